"""The book with RPI, event contracts and X-Perps from end to end.

They come from the local exchange, over REST, from a recording and in a recorded market.
"""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    Data,
    Feed,
    FundingRate,
    Instrument,
    OrderBook,
    RawSubscription,
    Recorder,
    Replay,
    State,
    Ticker,
    Trade,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import Rest
from tests.support.recorder_taps import until

SPOT, SWAP = "BTC-USDT", "BTC-USD_UM-SWAP"
ABOVE, UPDOWN = "BTC-ABOVE-DAILY-310224-1600-65000", "BTC-UPDOWN-15MIN-310224-2350-0005"
XPERP = "BTC-USD_UM_XPERP-310404"
RPI = f"books-rpi:{SPOT}"
MARKETS = "event-contract-markets:instType=EVENTS"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    listed = [SPOT, SWAP, ABOVE, UPDOWN, XPERP]
    with LocalExchange(3, instruments=listed, pace=200.0) as running:
        yield running


@pytest.fixture
def rest(exchange: LocalExchange) -> Iterator[Rest]:
    with Rest(exchange.venue_v5) as opened:
        yield opened


def taken(subscription: WSSubscription, kind: type, count: int) -> list[Any]:
    found: list[Any] = []
    for item in subscription.updates(timeout=20):
        if isinstance(item, kind):
            found.append(item)
        if len(found) == count:
            break
    return found


# --- The local exchange ---------------------------------------------------------------


def test_the_book_with_rpi_has_the_form_of_the_exchange(
    exchange: LocalExchange,
) -> None:
    began = time.monotonic()
    with WSSubscription(SPOT, venue=exchange.venue_v5, channels=["books-rpi"]) as sub:
        updates = taken(sub, BookUpdate, 20)
    # Another test may have had this channel before.
    pushed = [each.element for each in exchange.pushed(RPI) if each.at > began]
    first, *changes = pushed

    assert first["prevSeqId"] == "-1"
    for element in (first, *changes):
        assert set(element) == {"asks", "bids", "ts", "prevSeqId", "seqId"}
        assert {len(row) for side in ("asks", "bids") for row in element[side]} <= {4}
    seqs = [each["seqId"] for each in (first, *changes)]
    assert [each["prevSeqId"] for each in changes] == seqs[:-1]
    assert all(each.book.rpi for each in updates)


def test_trades_say_which_makers_improved_the_price(exchange: LocalExchange) -> None:
    with WSSubscription(SPOT, venue=exchange.venue_v5, channels=["trade"]) as sub:
        trades = taken(sub, Trade, 150)

    assert {each.rpi for each in trades} == {True, False}


def _rests(exchange: LocalExchange, rest: Rest) -> bool:
    """Whether the book is what it was a moment ago, over REST too."""
    before = exchange.book(RPI).seq
    time.sleep(0.5)
    return rest.book(SPOT, rpi=True).seq == exchange.book(RPI).seq == before


def test_the_book_with_rpi_over_rest(exchange: LocalExchange, rest: Rest) -> None:
    exchange.pace = 0.0
    try:
        # REST makes this book every 200 ms, and the market has to come to rest.
        until(lambda: _rests(exchange, rest))
        found, plain = rest.book(SPOT, rpi=True), rest.book(SPOT)
        said = exchange.book(RPI)
    finally:
        exchange.pace = 200.0

    assert (found.book, found.seq) == (said.book, said.seq)
    assert (found.rpi, plain.rpi) == (True, False)
    assert found.book.best[0] is not None
    assert len(rest.book(SPOT, levels=3, rpi=True).bids) == 3
    with pytest.raises(TypeError, match="rpi is True or False"):
        rest.book(SPOT, rpi=1)  # type: ignore[arg-type]
    with (
        Rest(exchange.venue) as old,
        pytest.raises(ValueError, match="v3 has no channel 'books-rpi'"),
    ):
        old.book(SPOT, rpi=True)


def test_an_event_contract_is_traded_like_any_other(exchange: LocalExchange) -> None:
    names = ["depth5", "depth", "bbo-tbt", "trade", "ticker", "candle60s", "mark_price"]
    with Feed(exchange.venue_v5) as feed:
        above, updown = feed.subscribe([ABOVE, UPDOWN], channels=names)
        assert feed.wait_live(20) == {}
        (ticker,) = taken(above, Ticker, 1)
        best, book, known = updown.best_bid_ask(), above.book, above.instrument
        assert above.market == "events"

    assert isinstance(known, Instrument)
    assert known.tick_at("0.5") == Decimal("0.01")
    assert known.tick_at("0.97") == known.tick == Decimal("0.001")
    assert best is not None
    assert book is not None
    prices = [Decimal(row[0]) for row in (*book.bids, *book.asks)]
    prices += [each for each in (best.bid, best.ask, ticker.last) if each is not None]
    assert all(0 < price < 1 for price in prices)


def test_an_x_perp_has_funding_rates_and_a_swap_in_dollars_too(
    exchange: LocalExchange,
) -> None:
    with Feed(exchange.venue_v5) as feed:
        subs = feed.subscribe([XPERP, SWAP], channels=["depth5", "funding_rate"])
        assert feed.wait_live(20) == {}
        rates = [taken(sub, FundingRate, 1)[0] for sub in subs]
        known = [sub.instrument for sub in subs]

    assert [sub.market for sub in subs] == ["futures", "swap"]
    assert [each.instrument_id for each in rates] == [XPERP, SWAP]
    for each in known:
        assert each is not None
        assert (each.base, each.quote, each.settle_currency) == ("BTC", "USD", "USD")
    assert exchange.pushed(f"funding-rate:{XPERP}")[0].element["instType"] == "FUTURES"


def test_a_future_without_funding_says_which_have_it(exchange: LocalExchange) -> None:
    with pytest.raises(ValueError, match="futures that are X-Perps"):
        WSSubscription(
            "BTC-USD_UM-310926", venue=exchange.venue_v5, channels=["funding_rate"]
        )


def test_the_markets_of_events_have_no_first_push(exchange: LocalExchange) -> None:
    wanted = {"channel": "event-contract-markets", "instType": "EVENTS"}
    with Feed(exchange.venue_v5) as feed:
        sub = RawSubscription([wanted], feed=feed)
        sub.wait_live(20)
        assert exchange.newest(MARKETS) is None
        items = sub.updates(timeout=20)
        for state in ("preopen", "live", "settling", "expired"):
            exchange.push(MARKETS, {"instId": ABOVE, "state": state, "disputed": False})
        states = _states(items)
        assert sub.stats().dropped == {}

    assert states == ["preopen", "live", "settling", "expired"]


def _states(items: Any) -> list[str]:
    found: list[str] = []
    for item in items:
        if isinstance(item, Data):
            found.append(item.elements[0]["state"])
        if len(found) == 4:
            break
    return found


def test_event_contracts_are_listed_by_series(rest: Rest) -> None:
    every = rest.instruments("events")
    (one,) = rest.instruments("events", series="BTC-ABOVE-DAILY")

    assert {each.instrument_id for each in every} == {ABOVE, UPDOWN}
    assert one.instrument_id == ABOVE
    assert one.tick_at("0.041") == Decimal("0.01")
    assert rest.instruments("events", series="ETH-ABOVE-DAILY") == ()
    assert len(rest.trades(ABOVE, limit=300)) == 300
    for market, series, wrong in (
        ("swap", "BTC-ABOVE-DAILY", ValueError),
        ("events", "", ValueError),
        ("events", 5, TypeError),
    ):
        with pytest.raises(wrong, match="series"):
            rest.instruments(market, series=series)  # type: ignore[arg-type]


# --- Recorded -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(
    exchange: LocalExchange, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, OrderBook]:
    """A recording, and the book with RPI at its end."""
    path = tmp_path_factory.mktemp("recorded") / "one.rec.gz"
    with (
        Recorder(str(path)) as recorder,
        Feed(exchange.venue_v5, recorder=recorder) as feed,
    ):
        (spot,) = feed.subscribe([SPOT], channels=["books-rpi", "trade"])
        feed.subscribe([ABOVE], channels=["depth", "trade"])
        feed.subscribe([XPERP], channels=["depth5", "funding_rate"])
        feed.wait_live(20)
        taken(spot, BookUpdate, 15)
        exchange.pace = 0.0
        assert exchange.wait_for(lambda: spot.book == exchange.book(RPI).book)
        book = spot.book
    exchange.pace = 200.0
    assert book is not None
    return path, book


def replayed(path: Path) -> tuple[list[Any], Feed]:
    items: list[Any] = []
    with Replay(str(path), speed=math.inf) as replay:
        feed = replay.feed()
        for market, name, channels in replay.instruments:
            feed.subscribe([name], market, channels, on_item=items.append)
        replay.run()
    return items, feed


def test_a_recording_gives_them_again(recorded: tuple[Path, OrderBook]) -> None:
    path, last = recorded
    items, feed = replayed(path)

    books = [each for each in items if isinstance(each, BookUpdate)]
    assert [each.book for each in books if each.channel == "books-rpi"][-1] == last
    assert {each.instrument_id for each in books} == {SPOT, ABOVE}
    assert [each.instrument_id for each in items if isinstance(each, FundingRate)]
    assert {each.rpi for each in items if isinstance(each, Trade)} >= {False}
    assert feed.stats().resyncs == 0


def test_one_number_of_it_and_the_book_is_not_proven(
    recorded: tuple[Path, OrderBook], tmp_path: Path
) -> None:
    path, _ = recorded
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    place = next(
        n
        for n, line in enumerate(lines)
        if "books-rpi" in line and r"\"action\":\"update\"" in line
    )
    head, _, tail = lines[place].partition(r"\"prevSeqId\":")
    lines[place] = rf"{head}\"prevSeqId\":1{tail}"
    damaged = tmp_path / "damaged.rec.gz"
    damaged.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))

    _, feed = replayed(damaged)

    # The replay has no other book for the subscribe that follows.
    assert feed.stats().dropped["sequence"] >= 1


def captured(path: Path, wrong: bool = False) -> str:
    """Write a capture of one book with RPI; return its name."""
    rows: list[tuple[str, list[Any], list[Any]]] = [
        ("snapshot", [["100.1", "3", "0", "2"]], [["100.3", "7", "6", "3"]]),
        ("update", [["100.0", "4", "4", "1"]], []),
        ("update", [["100.1", "0", "0", "0"]], []),
    ]
    texts = []
    for n, (action, bids, asks) in enumerate(rows):
        element = {"asks": asks, "bids": bids, "ts": str(1_700_000_000_000 + n)}
        element |= {"prevSeqId": n if n else -1, "seqId": n + 1}
        arg = {"channel": "books-rpi", "instId": SPOT}
        texts.append(json.dumps({"arg": arg, "action": action, "data": [element]}))
    if wrong:
        texts[-1] = texts[-1].replace('"prevSeqId": 2', '"prevSeqId": 1')
    (path / "one.recv.jsonl").write_text("".join(f"{text}\n" for text in texts))
    times = "".join(f"{1_700_000_000 + n / 100}\n" for n in range(len(texts)))
    (path / "one.recv.times").write_text(times)
    return str(path / "one")


def test_a_recorded_market_has_the_book_with_rpi(tmp_path: Path) -> None:
    with LocalExchange(capture=captured(tmp_path), repeat=True) as exchange:
        with Feed(exchange.venue_v5) as feed:
            (sub,) = feed.subscribe([SPOT], channels=["books-rpi"])
            sub.wait_live(20)
            updates = taken(sub, BookUpdate, 3)
            assert sub.state is State.LIVE
        said = exchange.book(RPI).book
        assert not any(name.startswith("books5") for name in exchange.subscribed)

    assert said.rpi
    assert all(each.book.rpi for each in updates)


def test_a_recorded_book_without_a_checksum_is_proven_by_its_numbers(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="line 3: seqId 3 does not follow 2"):
        LocalExchange(capture=captured(tmp_path, wrong=True))


@pytest.mark.slow
def test_an_isolated_feed_reads_it_too(exchange: LocalExchange) -> None:
    with Feed(exchange.venue_v5, isolate=True) as feed:
        (sub,) = feed.subscribe([SPOT], channels=["books-rpi", "depth5"])
        feed.wait_live(30)
        every, retail = sub.best_bid_ask(), sub.best_bid_ask(rpi=True)
        book = sub.book

    assert every is not None
    assert retail is not None
    assert book is not None
    assert (every.channel, retail.channel, book.rpi) == ("depth5", "books-rpi", True)
