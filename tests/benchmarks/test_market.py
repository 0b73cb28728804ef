"""The market: what is sent, what must be left of it, and what is made of results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import goals, market
from tests.benchmarks.__main__ import main
from tests.benchmarks.contestant import Spec
from tests.benchmarks.market_loops import MarketHand, RawPicows, batches
from tests.benchmarks.market_reading import compared
from tests.benchmarks.market_stream import (
    DEPTH,
    KEPT,
    OLD_MS,
    TRADES,
    Market,
    sent_between,
)
from tests.benchmarks.roster import OURS, Entry
from tests.benchmarks.rounds import Failed, Server, Turn
from tests.benchmarks.scale import names
from tests.benchmarks.streams import FIRST_ID

pytestmark = pytest.mark.slow

AT = 1_700_000_000_000
FEW = names(6)


@pytest.fixture(scope="module")
def traded() -> Market:
    """A market of few instruments."""
    return Market(FEW)


def answers(traded: Market) -> list[str]:
    """What all subscribes are answered with."""
    return [
        traded.push(channel, name, 0, AT)
        for channel in (DEPTH, TRADES)
        for name in traded.names
    ]


def sent(traded: Market, count: int) -> list[str]:
    """All that a client is sent."""
    return [*answers(traded), *(traded.message(n, AT + n) for n in range(count))]


# --- What is sent -------------------------------------------------------------------


def test_every_channel_has_a_push_in_each_turn(traded: Market) -> None:
    for turn in range(2):
        numbers = range(turn * traded.channels, (turn + 1) * traded.channels)
        args = [json.loads(traded.message(n, AT))["arg"] for n in numbers]
        told = {(arg["channel"], arg["instId"]) for arg in args}
        assert told == {(c, name) for c in (DEPTH, TRADES) for name in FEW}


def test_pushes_of_a_channel_have_successive_numbers(traded: Market) -> None:
    seen: dict[tuple[str, str], list[int]] = {}
    for text in sent(traded, 40):
        message = json.loads(text)
        (element,) = message["data"]
        channel, name = message["arg"]["channel"], message["arg"]["instId"]
        assert element["instId"] == name
        number = element["seqId"] if channel == DEPTH else int(element["tradeId"])
        seen.setdefault((channel, name), []).append(number - FIRST_ID)
    for (channel, name), numbers in seen.items():
        last = traded.pushes(channel, name, 40)
        assert numbers == list(range(last + 1))


def test_no_two_depths_of_an_instrument_are_equal(traded: Market) -> None:
    texts = {traded.push(DEPTH, FEW[0], number, AT) for number in range(500)}
    elements = [json.loads(text)["data"][0] for text in texts]
    assert len({str((e["bids"], e["asks"])) for e in elements}) == 500
    # The frames of a channel are equally long where the levels are.
    assert {len(str(element["seqId"])) for element in elements} == {10}


def test_the_trade_of_the_answer_is_old(traded: Market) -> None:
    old, new = (
        json.loads(traded.push(TRADES, FEW[0], number, AT))["data"][0]
        for number in (0, 1)
    )
    assert int(new["ts"]) - int(old["ts"]) == OLD_MS


def test_what_was_sent_in_a_time_is_counted() -> None:
    stamps = [10, 20, 20, 30, 40]
    assert sent_between(stamps, 10, 30) == 3
    assert sent_between(stamps, 11, 41) == 4
    assert sent_between(stamps, 50, 60) == 0


# --- What is kept of it by hand -------------------------------------------------------


class Keeps(MarketHand):
    """A loop without a socket."""

    def read(self) -> Any:
        return self.messages


class KeepsRaw(RawPicows):
    """The same, of bytes."""


def spec(instruments: list[str]) -> Spec:
    """Of one that is not run."""
    return Spec(
        ("", ""),
        "json",
        "v5",
        "spot",
        "",
        DEPTH,
        "ws://",
        {"names": instruments},
        "",
        {},
    )


@pytest.mark.parametrize("kind", [Keeps, KeepsRaw])
@pytest.mark.parametrize("count", [0, 5, 12, 31])
def test_a_hand_is_left_with_what_was_sent_last(
    kind: type[MarketHand], count: int, traded: Market
) -> None:
    hand = kind(spec(FEW))
    hand.take(memoryview(b'{"event":"subscribe","arg":{}}').tobytes())
    assert hand.look(FEW[0]) is None
    for text in sent(traded, count):
        hand.take(text.encode())
    assert hand.count() == count + traded.channels
    market.check({name: hand.left(name) for name in FEW}, traded, count)


@pytest.mark.parametrize("kind", [Keeps, KeepsRaw])
def test_a_hand_keeps_the_last_thousand_trades(kind: type[MarketHand]) -> None:
    one = Market(names(1))
    hand, count = kind(spec(names(1))), 2 * KEPT + 60
    for text in sent(one, count):
        hand.take(text.encode())
    left = hand.left(one.names[0])
    assert len(left["trades"]) == KEPT
    market.check({one.names[0]: left}, one, count)


@pytest.mark.parametrize("lost", [("trades", TRADES, 2), ("levels", DEPTH, 4)])
def test_one_that_lost_a_message_fails(
    lost: tuple[str, str, int], traded: Market
) -> None:
    what, channel, number = lost
    hand, count = Keeps(spec(FEW)), 4 * traded.channels
    missing = f'"seqId":{FIRST_ID + number}}}'
    for text in sent(traded, count):
        about = json.loads(text)["arg"]
        if about != {"channel": channel, "instId": FEW[3]} or missing not in text:
            hand.take(text.encode())
    left = {name: hand.left(name) for name in FEW}
    with pytest.raises(Failed, match=f"{what} of {FEW[3]}"):
        market.check(left, traded, count)


def test_requests_are_as_long_as_they_may_be() -> None:
    assert batches(["aaaa", "bb", "cc", "dddd"], 8) == [["aaaa", "bb"], ["cc", "dddd"]]
    assert batches(["aaaaaaaaaaaa", "b"], 8) == [["aaaaaaaaaaaa"], ["b"]]
    hand = Keeps(spec(names(1000)))
    requests = hand.requests
    assert all(len(request) <= 32_768 for request in requests)
    args = [arg for request in requests for arg in json.loads(request)["args"]]
    assert len({(arg["channel"], arg["instId"]) for arg in args}) == 2000


def test_some_instruments_are_compared() -> None:
    assert compared(FEW) == FEW
    assert len(compared(names(1000))) == 20


# --- The results ----------------------------------------------------------------------


def results(*cpu: float, share: float = 1.0, sent: float = 5000.0) -> list[Any]:
    """Of the rounds of one contestant."""
    same = {"share": share, "sent": sent, "refused": 0, "starved": 0.1}
    return [{**same, "cpu": each, "core": each * 0.005} for each in cpu]


def rounds_of(**more: Any) -> dict[str, Any]:
    """What the rounds of all gave."""
    return {
        "okex_ws, polled [orjson]": results(40.0, 30.0, 50.0),
        "okex_ws, on_message [orjson]": results(60.0, 60.0, 60.0),
        "okex_ws, updates() [orjson]": results(90.0, 90.0, 75.0),
        "aiohttp [orjson]": results(66.0, 54.0, 75.0),
        "picows [orjson]": results(50.0, 45.0, 20.0),
        **more,
    }


def found_of(rounds: dict[str, Any]) -> dict[str, Any]:
    """The part of a run."""
    return {
        "instruments": 1000,
        "rate": 5000.0,
        "seconds": 5.0,
        "source": "made up",
        "reached": [4900.0, 5000.0, 5010.0],
        "server": [40.0, 41.0, 42.0],
        "missing": ["a package"],
        "failures": {"a peer": "broken"},
        "rows": [market.row(name, rounds, 5000.0) for name in rounds],
        "rounds": rounds,
    }


def test_a_ratio_of_a_market_is_its_cpu_over_ours_in_the_same_round() -> None:
    picows = market.row("picows [orjson]", rounds_of(), 5000.0)
    assert picows["over_polled"] == [0.4, 1.25, 1.5]
    assert picows["cpu"] == [20.0, 45.0, 50.0]
    ours = market.row("okex_ws, updates() [orjson]", rounds_of(), 5000.0)
    assert ours["over_aiohttp"] == pytest.approx([1.0, 90 / 66, 90 / 54])
    other = market.row("picows [json]", {"picows [json]": results(1.0)}, 5000.0)
    assert math.isnan(other["over_polled"][1])


def test_who_fell_behind_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    behind = {"websockets [orjson]": results(70.0, 70.0, 70.0, share=0.5)}
    slow = {"picows, uvloop [orjson]": results(30.0, 30.0, 30.0, sent=3000.0)}
    found = found_of(rounds_of(**behind, **slow))
    market.show(found)
    lines = {line[:40].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert "fell behind: 3" in lines["websockets [orjson]"]
    assert "server too slow: 3" in lines["picows, uvloop [orjson]"]
    assert "1.25 (0.40-1.50)" in lines["picows [orjson]"]
    assert "fell" not in lines["picows [orjson]"]
    assert "not installed" in lines["a package"]


def test_the_goals_of_a_market(capsys: pytest.CaptureFixture[str]) -> None:
    lines = goals.goals({"market": found_of(rounds_of())})
    assert [(goal.found, goal.reached) for goal in lines] == [
        (1.25, True),
        (pytest.approx(66 / 60), True),
        (pytest.approx(90 / 66), False),
        (pytest.approx(0.2), True),
    ]
    goals.show(lines)
    assert "1,000 instruments, 5,000/s" in capsys.readouterr().out


def test_who_catches_up_had_been_behind() -> None:
    mixed = [*results(9.0, share=1.3), *results(9.0, share=1.02), *results(9.0)]
    row = market.row("picows [orjson]", {"picows [orjson]": mixed}, 5000.0)
    assert (row["behind"], row["sound"]) == (1, True)


def test_who_mostly_fell_behind_reaches_no_goal() -> None:
    polled = {"okex_ws, polled [orjson]": results(9.0, 9.0, 9.0, share=0.9)}
    first, *_, last = goals.goals({"market": found_of(rounds_of(**polled))})
    assert not first.reached
    assert not last.reached


def test_a_fifth_of_a_core_is_of_a_thousand_instruments() -> None:
    found = {**found_of(rounds_of()), "instruments": 100}
    assert len(goals.goals({"market": found})) == 3


def test_coalesce_takes_part_where_the_library_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for can in (True, False):
        monkeypatch.setattr(market, "can_coalesce", lambda can=can: can)
        assert (market.OUR_COALESCED in market.entries()) is can
    assert market.entries(["aiohttp"]) == [market.AIOHTTP]


# --- Contestants, and the command -----------------------------------------------------


def turn(entry: Entry) -> Turn:
    """Its only way."""
    if entry.missing:
        pytest.skip(f"not installed: {', '.join(entry.missing)}")
    (made,) = market.turns_of([entry])
    return made


@pytest.mark.parametrize("entry", market.entries(), ids=lambda entry: entry.name)
def test_a_turn_ends_with_what_was_sent_last(
    entry: Entry, where: Server, traded: Market
) -> None:
    found = market.one(turn(entry), where, traded, 400.0, 0.5)
    assert found["messages"] > 0
    assert found["reads"] > 0
    assert found["refused"] == 0
    assert found["cpu"] > 0


def test_one_that_ends_with_an_error_says_which(where: Server, traded: Market) -> None:
    broken = turn(market.OUR_POLLED)._replace(
        entry=market.OUR_POLLED._replace(options={"proxy": 7})
    )
    with pytest.raises(Failed, match="proxy"):
        market.one(broken, where, traded, 400.0, 0.1)
    # The server goes on with the next.
    assert market.one(turn(market.OUR_POLLED), where, traded, 400.0, 0.1)["messages"]


def test_the_command_measures_a_market(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    options = ["--rounds", "1", "--seconds", "0.1", "--rate", "300"]
    options += ["--instruments", "3", "--only", OURS.name, "--json", str(path)]
    assert main(["market", *options]) == 0
    found = json.loads(path.read_text())["market"]
    assert found["instruments"] == 3
    assert found["failures"] == {}
    assert len(found["rows"]) == len(market.entries([OURS.name]))
    shown = capsys.readouterr().out
    assert "okex_ws, polled" in shown
    assert "messages/s wanted" in shown
