"""The past over REST: against the local exchange, and against pages that go wrong."""

from __future__ import annotations

import builtins
import importlib
import itertools
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from okex_ws import (
    VENUES,
    ConnectionLost,
    HandshakeFailed,
    RequestRejected,
    Stalled,
    Venue,
)
from okex_ws.local_exchange import REST_FAULTS, Instrument, LocalExchange
from okex_ws.rest import Rest
from tests.support.clocks import WALL, FakeClock
from tests.support.exchange_peer import about, dial_v5
from tests.support.http_proxy import HttpProxy
from tests.support.imports import forget_import
from tests.support.internals import request_lock_of

PAIR = ("BTC-USDT", "spot")
UTC = timezone.utc
MINUTE = timedelta(minutes=1)
NAIVE = datetime(2026, 1, 1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    """A market that stands still: nobody subscribes to it."""
    with LocalExchange(seed=11) as running:
        yield running


@pytest.fixture
def rest(exchange: LocalExchange) -> Iterator[Rest]:
    with Rest(exchange.venue_v5) as opened:
        yield opened
    exchange.heal()


@pytest.fixture
def rest_v3(exchange: LocalExchange) -> Iterator[Rest]:
    with Rest(exchange.venue) as opened:
        yield opened
    exchange.heal()


def ids(trades: Any) -> list[int]:
    return [int(trade.id) for trade in trades]


# --- Trades -------------------------------------------------------------------------


def test_trades_are_typed_as_the_channels_are(rest: Rest) -> None:
    (trade,) = rest.trades(*PAIR, limit=1)

    assert (trade.instrument_id, trade.count, trade.first_id) == (
        "BTC-USDT",
        1,
        trade.id,
    )
    assert isinstance(trade.price, Decimal)
    assert trade.side in ("buy", "sell")
    assert (trade.backfilled, trade.replayed, trade.epoch) == (True, False, 0)
    assert trade.timestamp.tzinfo is UTC
    assert abs(trade.received - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize("limit", [1, 100, 500, 501, 730])
def test_the_newest_trades_are_consecutive(rest: Rest, limit: int) -> None:
    got = ids(rest.trades(*PAIR, limit=limit))

    assert got == list(range(got[0], got[0] + limit))
    assert ids(rest.trades(*PAIR, limit=1)) == [got[-1]]


def test_all_there_is_and_no_more(rest: Rest) -> None:
    everything = ids(rest.trades(*PAIR, limit=5000))

    assert len(everything) == 1001  # the first of the market, and what led up to it
    assert everything == list(range(everything[0], everything[0] + 1001))


@pytest.mark.parametrize("limit", [3, 40, 150, 5000])
@pytest.mark.parametrize("span", [0, 1, 130, 420])
def test_ids_are_strictly_between(rest: Rest, limit: int, span: int) -> None:
    newest = ids(rest.trades(*PAIR, limit=1))[0]
    before = newest - 300
    after = before - span - 1

    got = ids(
        rest.trades(*PAIR, after_id=str(after), before_id=str(before), limit=limit)
    )
    assert got == list(range(after + 1, before))[-limit:]


def test_a_small_outage_costs_one_request(exchange: LocalExchange, rest: Rest) -> None:
    newest = ids(rest.trades(*PAIR, limit=1))[0]
    asked = len(exchange.rest_requests)

    between = {"after_id": str(newest - 400), "before_id": str(newest)}
    assert len(rest.trades(*PAIR, limit=10_000, **between)) == 399
    assert len(exchange.rest_requests) == asked + 1


@pytest.mark.parametrize("how", [each for each in REST_FAULTS if each != "garbage"])
@pytest.mark.parametrize("which", ["market/trades", "history-trades"])
def test_a_fault_on_the_way_loses_and_doubles_nothing(
    exchange: LocalExchange, how: str, which: str
) -> None:
    clock = FakeClock()
    with Rest(exchange.venue_v5, clock=clock, pause=clock.advance) as rest:
        exchange.spoil_rest(how, path=which)
        got = ids(rest.trades(*PAIR, limit=900))
    exchange.heal()
    assert got == list(range(got[-1] - 899, got[-1] + 1))


def test_v3_has_the_newest_sixty_on_spot(rest: Rest, rest_v3: Rest) -> None:
    newest = ids(rest.trades(*PAIR, limit=60))

    assert ids(rest_v3.trades(*PAIR, limit=500)) == newest
    assert ids(rest_v3.trades(*PAIR, limit=5)) == newest[-5:]
    between = {"after_id": str(newest[10]), "before_id": str(newest[20])}
    assert ids(rest_v3.trades(*PAIR, **between)) == newest[11:20]
    assert rest_v3.trades(*PAIR, before_id=str(newest[0])) == ()


def test_v3_pages_elsewhere(rest_v3: Rest) -> None:
    got = ids(rest_v3.trades("BTC-USD-SWAP", "swap", limit=1000))

    assert got == list(range(got[0], got[0] + 300))
    assert ids(rest_v3.trades("BTC-USD-190517", "futures", limit=150))


# --- Candles ------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 299, 300, 500, 1441])
def test_closed_candles_without_a_gap(rest: Rest, limit: int) -> None:
    candles = rest.candles(*PAIR, "candle1m", limit=limit)

    assert len(candles) == limit
    starts = [candle.start for candle in candles]
    assert starts == [starts[0] + n * MINUTE for n in range(limit)]
    assert all(candle.closed and candle.backfilled for candle in candles)
    assert {candle.channel for candle in candles} == {"candle60s"}
    assert candles[-1].start + MINUTE <= datetime.now(UTC)
    line = itertools.pairwise(candles)
    assert all(older.close == newer.open for older, newer in line)


def test_the_newest_closed_one_is_there(rest: Rest) -> None:
    now = datetime.now(UTC)
    (candle,) = rest.candles(*PAIR, "candle60s", limit=1)
    then = datetime.now(UTC)

    assert now - 2 * MINUTE < candle.start <= then - MINUTE


@pytest.mark.usefixtures("exchange")  # before the rules of the suite begin
@pytest.mark.parametrize("name", ["rest", "rest_v3"])
def test_starts_are_strictly_between(name: str, request: pytest.FixtureRequest) -> None:
    rest: Rest = request.getfixturevalue(name)
    last = rest.candles(*PAIR, "candle60s", limit=1)[0].start
    before, after = last - 100 * MINUTE, last - 500 * MINUTE
    tick = timedelta(microseconds=1)

    def count(after: datetime, before: datetime) -> int:
        candles = rest.candles(
            *PAIR, "candle60s", after=after, before=before, limit=5000
        )
        assert candles[0].start > after
        assert candles[-1].start < before
        return len(candles)

    assert count(after, before) == 399
    assert count(after - tick, before + tick) == 401
    assert count(after + tick, before - tick) == 399
    (one,) = rest.candles(*PAIR, "candle60s", before=before, limit=1)
    assert one.start == before - MINUTE


@pytest.mark.once
def test_old_candles_have_an_end(rest: Rest) -> None:
    candles = rest.candles(*PAIR, "candle1m", limit=10_000)

    assert len(candles) >= 3000
    starts = [candle.start for candle in candles]
    assert starts == [starts[0] + n * MINUTE for n in range(len(starts))]


@pytest.mark.parametrize("bar", ["candle1s", "candle1Dutc", "candle604800s"])
def test_every_bar_is_had(rest: Rest, bar: str) -> None:
    assert len(rest.candles(*PAIR, bar, limit=150)) == 150


@pytest.mark.once
@pytest.mark.parametrize("how", ["empty", "repeat", "overlap", "reorder", "cut"])
@pytest.mark.parametrize("name", ["venue", "venue_v5"])
def test_a_page_that_goes_wrong_loses_no_candle(
    exchange: LocalExchange, how: str, name: str
) -> None:
    with Rest(getattr(exchange, name), pause=lambda seconds: None) as rest:
        right = [each.start for each in rest.candles(*PAIR, "candle5m", limit=700)]
        exchange.heal()
        # The second page is the first one once more.
        exchange.spoil_rest(
            how, 2 if how in ("repeat", "overlap") else 1, path="candles"
        )
        again = [each.start for each in rest.candles(*PAIR, "candle5m", limit=700)]
    exchange.heal()

    assert len(right) == 700
    assert again[:-1] == right[1:] or again == right


@pytest.mark.once
def test_v3_is_closed_by_the_exchanges_own_clock(exchange: LocalExchange) -> None:
    exchange.clock_offset = -90 * 60.0
    try:
        with Rest(exchange.venue) as rest:
            now = rest.time()
            (candle,) = rest.candles("ETH-USDT", "spot", "candle3600s", limit=1)
    finally:
        exchange.clock_offset = 0.0

    hour = timedelta(hours=1)
    assert timedelta(minutes=85) < datetime.now(UTC) - now < timedelta(minutes=95)
    assert candle.start + hour <= rest_end(now) < candle.start + 2 * hour
    assert candle.closed is True


def rest_end(now: datetime) -> datetime:
    """The clock moved on a little between the two questions."""
    return now + timedelta(seconds=5)


# --- The present --------------------------------------------------------------------


def test_the_book_is_the_channels(exchange: LocalExchange, rest: Rest) -> None:
    book = rest.book(*PAIR)
    said = exchange.book("books:BTC-USDT")

    assert book.bids == said.book.bids
    assert book.asks == said.book.asks
    assert book.seq == said.seq
    assert book.timestamp.timestamp() == said.at


def test_a_market_that_is_left_out_is_the_one_that_the_id_tells(rest: Rest) -> None:
    assert rest.book("BTC-USD-SWAP", levels=1) == rest.book("BTC-USD-SWAP", "swap", 1)
    (told,) = rest.trades("BTC-USD-SWAP", limit=1)
    (given,) = rest.trades("BTC-USD-SWAP", "swap", limit=1)
    assert int(told.id) <= int(given.id)
    assert len(rest.candles("BTC-USDT", None, "candle1m", limit=2)) == 2


@pytest.mark.parametrize("levels", [1, 5, 200, 9000])
def test_a_book_has_at_most_so_many_levels(rest: Rest, levels: int) -> None:
    book, whole = rest.book(*PAIR, levels), rest.book(*PAIR)

    assert book.bids == whole.bids[:levels]
    assert book.asks == whole.asks[:levels]


@pytest.mark.parametrize(
    ("instrument_id", "market"),
    [PAIR, ("BTC-USD-SWAP", "swap"), ("BTC-USD-301227", "futures")],
)
def test_v3_books_of_every_market(
    rest_v3: Rest, instrument_id: str, market: str
) -> None:
    book = rest_v3.book(instrument_id, market, 9)

    assert book.seq is None
    assert (len(book.bids), len(book.asks)) == (9, 9)
    assert Decimal(book.bids[0][0]) < Decimal(book.asks[0][0])


@pytest.mark.usefixtures("exchange")  # before the rules of the suite begin
@pytest.mark.parametrize("name", ["rest", "rest_v3"])
def test_instruments_of_every_market(name: str, request: pytest.FixtureRequest) -> None:
    rest: Rest = request.getfixturevalue(name)
    found = {
        each.instrument_id: each
        for market in ("spot", "futures", "swap", "option")
        for each in rest.instruments(market)
    }

    assert len(found) == 6
    spot, swap = found["BTC-USDT"], found["BTC-USD-SWAP"]
    option = found["BTC-USD-301227-60000-C"]
    assert (spot.base, spot.quote, spot.tick) == ("BTC", "USDT", Decimal("0.1"))
    assert spot.lot == spot.min_size == Decimal("0.0001")
    assert (spot.contract_value, spot.expiry) == (None, None)
    assert (swap.contract_value, swap.contract_currency) == (1, "BTC")
    assert swap.settle_currency == "BTC"
    assert option.expiry == datetime(2030, 12, 27, 8, tzinfo=UTC)


@pytest.mark.usefixtures("exchange")  # before the rules of the suite begin
@pytest.mark.parametrize("name", ["rest", "rest_v3"])
def test_the_time(name: str, request: pytest.FixtureRequest) -> None:
    rest: Rest = request.getfixturevalue(name)

    assert abs(rest.time() - datetime.now(UTC)) < timedelta(minutes=5)
    assert rest.time().tzinfo is UTC


# --- Ways ---------------------------------------------------------------------------


def test_over_tls_with_ones_own_authority() -> None:
    with LocalExchange(tls=True) as exchange:
        with Rest(exchange.venue_v5, ssl_context=exchange.ssl_context) as rest:
            assert len(rest.trades(*PAIR, limit=600)) == 600
        with (
            Rest(exchange.venue_v5) as rest,
            pytest.raises(HandshakeFailed, match="certificate refused"),
        ):
            rest.time()


def test_the_system_trust_is_read_anew_for_each_connection(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE`` may be set, or written anew, at any time."""
    with LocalExchange(tls=True) as exchange, Rest(exchange.venue_v5) as rest:
        with pytest.raises(HandshakeFailed):
            rest.time()
        assert exchange.ssl_context is not None
        (authority,) = exchange.ssl_context.get_ca_certs(binary_form=True)[-1:]
        path = tmp_path / "authority.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert rest.time().tzinfo is UTC


@pytest.mark.parametrize("tls", [False, True])
def test_through_a_proxy(tls: bool) -> None:
    with LocalExchange(tls=tls) as exchange:
        port = int(exchange.rest_url.rpartition(":")[2])
        with (
            HttpProxy(port) as proxy,
            Rest(
                exchange.venue_v5, ssl_context=exchange.ssl_context, proxy=proxy.url
            ) as rest,
        ):
            assert len(rest.trades(*PAIR, limit=30)) == 30
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{port} ".encode())


def test_no_answer_in_time_stalls(exchange: LocalExchange) -> None:
    exchange.spoil_rest("slow", seconds=3.0)
    with Rest(exchange.venue_v5, timeout=0.05, retries=0) as rest:
        with pytest.raises(Stalled) as caught:
            rest.time()
        assert caught.value.after == 0.05
        exchange.heal()


def test_close_ends_what_is_under_way(exchange: LocalExchange) -> None:
    exchange.spoil_rest("slow", seconds=2.0)
    rest = Rest(exchange.venue_v5)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            rest.time()
        except ConnectionLost as failure:
            failures.append(failure)

    asked = len(exchange.rest_requests)
    thread = threading.Thread(target=ask)
    thread.start()
    assert exchange.wait_for(lambda: len(exchange.rest_requests) > asked)
    rest.close()
    rest.close()
    thread.join(20)
    assert "closed" in str(failures[0])
    with pytest.raises(ConnectionLost, match="closed"):
        rest.time()
    exchange.heal()


@pytest.mark.once
def test_while_it_trades_rest_says_what_the_socket_says() -> None:
    instrument = Instrument("spot", "BTC-USDT", "60000.0", "0.1", "0.0001")
    told: dict[str, Any] = {}
    with (
        LocalExchange(5, instruments=[instrument], pace=3000.0) as exchange,
        Rest(exchange.venue_v5) as rest,
        dial_v5(exchange, "business") as peer,
    ):
        peer.ask("subscribe", about("trades-all"))
        found: dict[str, Any] = {}
        last: str | None = None
        while len(found) < 2000:
            got = rest.trades(*PAIR, after_id=last, limit=10_000 if last else 1)
            assert not found.keys() & {each.id for each in got}
            found.update((each.id, each) for each in got)
            last = got[-1].id if got else last
        while not told or int(max(told, key=int)) < int(last or 0):
            for each in peer.message().get("data", ()):
                told[each["tradeId"]] = each

    assert ids(found.values()) == list(range(int(min(found)), int(last or 0) + 1))
    common = found.keys() & told.keys()
    assert len(common) >= 1900
    for name in common:
        trade, said = found[name], told[name]
        assert (str(trade.price), str(trade.size)) == (said["px"], said["sz"])
        assert trade.side == said["side"]
        assert round(trade.timestamp.timestamp() * 1000) == int(said["ts"])


# --- What goes wrong ----------------------------------------------------------------


def test_an_unknown_instrument_is_refused(rest: Rest, rest_v3: Rest) -> None:
    with pytest.raises(RequestRejected) as caught:
        rest.trades("NO-SUCH", "spot")
    assert (caught.value.code, caught.value.status) == ("51001", 200)
    assert caught.value.path == "/api/v5/market/trades"
    with pytest.raises(RequestRejected) as other:
        rest_v3.trades("NO-SUCH", "spot")
    assert (other.value.code, other.value.status) == (30032, 400)


def test_a_web_page_is_told_at_once(exchange: LocalExchange, rest: Rest) -> None:
    exchange.spoil_rest("garbage", times=2)
    asked = len(exchange.rest_requests)

    with pytest.raises(HandshakeFailed, match="a web page, not JSON") as caught:
        rest.time()
    assert caught.value.status == 200
    assert len(exchange.rest_requests) == asked + 1


def test_what_lasts_is_told_after_some_tries(exchange: LocalExchange) -> None:
    exchange.spoil_rest("crowded", times=None)
    clock = FakeClock()
    with (
        Rest(exchange.venue_v5, clock=clock, pause=clock.advance, retries=3) as rest,
        pytest.raises(RequestRejected) as caught,
    ):
        rest.time()
    exchange.heal()
    assert (caught.value.code, caught.value.status) == ("50011", 429)
    assert clock.now >= 1000.0 + 3 * 2.0


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda rest: rest.trades("BTC-USDT", "swap"), ValueError),
        (lambda rest: rest.trades("BTC-USDT", "index"), ValueError),
        (lambda rest: rest.trades("btc/usdt", "spot"), ValueError),
        (lambda rest: rest.trades("BTC"), ValueError),
        (lambda rest: rest.trades(*PAIR, limit=0), ValueError),
        (lambda rest: rest.trades(*PAIR, limit=1.0), TypeError),
        (lambda rest: rest.trades(*PAIR, after_id="x"), ValueError),
        (lambda rest: rest.trades(*PAIR, before_id=7), TypeError),
        (lambda rest: rest.candles(*PAIR, "trade"), ValueError),
        (lambda rest: rest.candles(*PAIR, "candle7m"), ValueError),
        (
            lambda rest: rest.candles(*PAIR, "candle1m", after=datetime.now()),
            ValueError,
        ),
        (lambda rest: rest.candles(*PAIR, "candle1m", before=WALL), TypeError),
        (lambda rest: rest.book(*PAIR, 0), ValueError),
        (lambda rest: rest.instruments("index"), ValueError),
        (lambda rest: rest.instruments("margin"), ValueError),
    ],
)
def test_what_can_never_be_had_is_the_callers_error(
    exchange: LocalExchange,
    rest: Rest,
    call: Callable[[Rest], object],
    kind: type[Exception],
) -> None:
    asked = len(exchange.rest_requests)

    with pytest.raises(kind):
        call(rest)
    assert len(exchange.rest_requests) == asked


def test_v3_has_no_index(rest_v3: Rest) -> None:
    with pytest.raises(ValueError, match="no REST"):
        rest_v3.candles("BTC-USDT", "index", "candle60s")


@pytest.mark.parametrize(
    ("keywords", "kind"),
    [
        ({"venue": "okex"}, ValueError),
        ({"venue": "nowhere"}, ValueError),
        ({"venue": Venue("own", "v3", ("ws://127.0.0.1/ws/v3",))}, ValueError),
        ({"timeout": -1.0}, ValueError),
        ({"retries": -1}, ValueError),
        ({"patience": "long"}, TypeError),
        ({"proxy": "socks5://127.0.0.1"}, ValueError),
        ({"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, ValueError),
    ],
)
def test_a_client_that_cannot_be_is_refused(
    keywords: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        Rest(**{"venue": "okx", **keywords})


# --- What is sent -------------------------------------------------------------------


def sent_to(venue: str | Venue) -> httpx.Request:
    """The request that asks a venue for its time."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        text = {"code": "0", "data": [{"ts": "1790133322254"}]}
        return httpx.Response(200, text=json.dumps(text))

    with Rest(venue, transport=httpx.MockTransport(answer)) as rest:
        assert rest.time() == datetime.fromtimestamp(1790133322.254, UTC)
    return asked[0]


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("okx", "openapi.okx.com"),
        ("okx-us", "us.okx.com"),
        ("okx-eea", "eea.okx.com"),
        ("okx-tr", "tr.okx.com"),
        ("okx-demo", "www.okx.com"),
        ("okx-us-demo", "us.okx.com"),
        ("okx-eea-demo", "eea.okx.com"),
        ("okj", "api.okj.com"),
    ],
)
def test_every_venue_has_its_host(name: str, host: str) -> None:
    request = sent_to(name)

    assert str(request.url) == f"https://{host}/api/v5/public/time"
    simulated = request.headers.get("x-simulated-trading")
    assert simulated == ("1" if name.endswith("-demo") else None)
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == "okex-ws"


def test_the_retired_venue_alone_has_none() -> None:
    assert [name for name, venue in VENUES.items() if venue.rest is None] == ["okex"]


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "httpx":
            raise ImportError("No module named 'httpx'", name="httpx")
        return real(name, *args, **kwargs)

    forget_import(monkeypatch, "okex_ws.rest")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"okex-ws\[history\]") as caught:
        importlib.import_module("okex_ws.rest")
    assert caught.value.name == "httpx"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_forked_child_it_is_closed_and_the_parent_goes_on(
    exchange: LocalExchange,
) -> None:
    with Rest(exchange.venue_v5) as rest:
        rest.time()
        request_lock_of(rest).acquire()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                rest.time()
            except ConnectionLost:
                code = 0
            finally:
                os._exit(code)
        request_lock_of(rest).release()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert rest.time().tzinfo is UTC
