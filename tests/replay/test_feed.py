"""The feed of a replay: it takes what was recorded, and lists that where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from okex_ws import Replay, State, SubscriptionRejected
from okex_ws.recording.format import Entry
from okex_ws.replay.requests import ReplayDialect, describe
from tests.support.recordings import asked, depth, heard, opened, session, write

# A channel of the same instrument, which the helpers' session has not.
TRADES = '{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}'
TRADES_ACK = (
    '{"event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT"},"connId":"a"}'
)
PUSHES = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 9)]


def recorded(*more: Entry) -> list[Entry]:
    first, *rest = session(*PUSHES, end=9.0)
    return [first, *more, *rest]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "day.rec.gz", *recorded())


def test_the_default_channels_are_those_that_were_recorded(path: Path) -> None:
    with Replay(path, speed="max") as replay:
        (btc,) = replay.feed().subscribe(["BTC-USDT"])
        assert "LIVE" in {str(btc.state) for _ in replay}
        assert btc.health().failed == {}

    more = [asked(0.02, TRADES), heard(0.03, TRADES_ACK)]
    write(path, *recorded(*more))
    with Replay(path, speed="max") as replay:
        assert replay.instruments == (("spot", "BTC-USDT", ("depth5", "trade")),)
        replay.feed().subscribe(["BTC-USDT"])
        replay.run()
    # The twin: with channels that are named one is refused, and the others go on.
    write(path, *recorded())
    with Replay(path, speed="max") as replay:
        (btc,) = replay.feed().subscribe(["BTC-USDT"], channels=["depth5", "trade"])
        failed = {each for _ in replay for each in btc.health().failed}
    assert failed == {"trade"}


def test_an_iterator_of_instruments_is_read_once(path: Path) -> None:
    with Replay(path, speed="max") as replay:
        made = replay.feed().subscribe(iter(["BTC-USDT"]), "spot")
        assert [each.market for each in made] == ["spot"]
        with pytest.raises(TypeError, match="a sequence"):
            replay.feed().subscribe("BTC-USDT")


def test_an_instrument_that_was_not_recorded_has_no_default(path: Path) -> None:
    listed = r"recorded are BTC-USDT \(spot\): depth5"
    with Replay(path, speed="max") as replay:
        feed = replay.feed()
        with pytest.raises(ValueError, match=f"did you mean 'BTC-USDT'.*{listed}"):
            feed.subscribe(["BTC-USD"])
        with pytest.raises(ValueError, match=f"in market 'swap' is not.*{listed}"):
            feed.subscribe(["BTC-USDT"], "swap")
        assert feed.subscriptions == ()


def test_one_id_in_two_markets_has_to_be_told_apart(tmp_path: Path) -> None:
    index = '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"}}'
    ask = '{"op":"subscribe","args":[{"channel":"index-tickers","instId":"BTC-USDT"}]}'
    more = [
        asked(0.02, ask),
        heard(0.03, index.replace('{"arg', '{"event":"subscribe","arg')),
    ]
    path = write(tmp_path / "two.rec.gz", *recorded(*more))
    with Replay(path, speed="max") as replay:
        feed = replay.feed()
        with pytest.raises(ValueError, match="several markets: 'spot', 'index'"):
            feed.subscribe(["BTC-USDT"])
        (btc,) = feed.subscribe(["BTC-USDT"], "spot")
        assert "LIVE" in {str(btc.state) for _ in replay}


def test_a_refusal_lists_what_was_recorded(path: Path) -> None:
    errors: list[Exception] = []
    with Replay(path, speed="max") as replay:
        feed = replay.feed()
        (btc,) = feed.subscribe(
            ["BTC-USDT"], channels=["trade"], on_error=errors.append
        )
        (eth,) = feed.subscribe(
            ["ETH-USDT"], "spot", ["depth5"], on_error=errors.append
        )
        states = {(str(btc.state), str(eth.state)) for _ in replay}
    assert (str(State.FAILED), str(State.FAILED)) in states
    assert all(isinstance(each, SubscriptionRejected) for each in errors)
    of_btc, of_eth = map(str, errors)
    assert "the recording, which has BTC-USDT (spot): depth5." in of_btc
    assert "the recording, which has BTC-USDT (spot): depth5." in of_eth


def test_a_list_of_what_was_recorded_has_an_end() -> None:
    every = [("spot", f"A{n}-USDT", ("depth5", "trade")) for n in range(12)]

    assert describe(every[:1]) == "A0-USDT (spot): depth5, trade"
    assert describe(every).endswith("A9-USDT (spot): depth5, trade; and 2 more")
    assert "more" not in describe(every[:10])


@pytest.mark.parametrize(
    ("protocol", "key"), [("v3", "spot/trade:X-Y"), ("v5", "trades:X-Y")]
)
def test_a_refusal_names_its_own_channel_alone(protocol: str, key: str) -> None:
    dialect = ReplayDialect(protocol)
    listed = [("spot", "X-Y", ("depth5",)), ("spot", "A-B", ("depth", "trade"))]
    payload, binary = dialect.refusal(key, None, listed)
    (said,) = dialect.wire.read(dialect.wire.unpack(payload, binary))

    message = said.message  # type: ignore[union-attr]
    assert dialect.wire.mentioned(message) == (key,)
    assert "X-Y (spot): depth5" in message
    assert "A-B" not in message


def test_a_channel_that_was_refused_then_was_not_recorded(tmp_path: Path) -> None:
    refusal = (
        '{"id":"9","event":"error","code":"60018","msg":"channel:trades,instId:BTC-USDT'
        ' doesn\'t exist","connId":"a"}'
    )
    ask = TRADES.replace('{"op', '{"id":"9","op')
    more = [asked(0.02, ask), heard(0.03, refusal)]
    path = write(tmp_path / "day.rec.gz", opened(), *recorded(*more)[1:])
    with Replay(path, speed="max") as replay:
        assert replay.instruments == (("spot", "BTC-USDT", ("depth5",)),)
