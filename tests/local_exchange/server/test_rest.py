"""The local exchange's REST interface as a stranger sees it, by plain HTTP."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from okex_ws.local_exchange import REST_FAULTS, Instrument, LocalExchange
from tests.support.exchange_peer import about, dial_v5

V5, V3 = "/api/v5/market", "/api/spot/v3/instruments/BTC-USDT"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(seed=3) as running:
        yield running


def get(exchange: LocalExchange, path: str, **params: object) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    parts = urlsplit(exchange.rest_url)
    assert parts.hostname is not None
    line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    with closing(line):
        line.request("GET", f"{path}?{urlencode(params)}" if params else path)
        answer = line.getresponse()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(answer.read())


def data(exchange: LocalExchange, path: str, **params: object) -> list[Any]:
    status, body = get(exchange, path, **params)
    assert (status, body["code"], body["msg"]) == (200, "0", "")
    assert isinstance(body["data"], list)
    return body["data"]


def test_trades_have_a_past_of_consecutive_ids(exchange: LocalExchange) -> None:
    newest = data(exchange, f"{V5}/trades", instId="BTC-USDT", limit=500)
    ids = [int(each["tradeId"]) for each in newest]
    older = data(
        exchange,
        f"{V5}/history-trades",
        instId="BTC-USDT",
        type=1,
        after=ids[-1],
    )

    assert ids == list(range(ids[0], ids[0] - 500, -1))
    assert [int(each["tradeId"]) for each in older] == list(
        range(ids[-1] - 1, ids[-1] - 101, -1)
    )
    assert newest[0].keys() >= {"instId", "tradeId", "px", "sz", "side", "ts"}
    times = [int(each["ts"]) for each in newest + older]
    assert times == sorted(times, reverse=True)


def test_the_past_of_trades_has_an_end(exchange: LocalExchange) -> None:
    (newest,) = data(exchange, f"{V5}/trades", instId="BTC-USDT", limit=1)
    far = int(newest["tradeId"]) - 990

    page = data(exchange, f"{V5}/history-trades", instId="BTC-USDT", after=far)
    assert 0 < len(page) < 100
    assert data(exchange, f"{V5}/history-trades", instId="BTC-USDT", after=1) == []


@pytest.mark.parametrize("bar", ["1m", "5m", "1H", "1D", "1Wutc"])
def test_five_hundred_closed_candles_are_there_from_the_first_moment(
    exchange: LocalExchange, bar: str
) -> None:
    page = data(exchange, f"{V5}/candles", instId="BTC-USDT", bar=bar, limit=300)
    old = data(
        exchange, f"{V5}/history-candles", instId="BTC-USDT", bar=bar, after=page[-1][0]
    )
    candles = [*page, *old]

    assert [each[8] for each in candles] == ["0", *["1"] * 399]
    starts = [int(each[0]) for each in candles]
    assert len({newer - older for newer, older in itertools.pairwise(starts)}) == 1
    assert all(older[4] == newer[1] for newer, older in itertools.pairwise(candles))


def test_the_first_list_of_candles_ends_after_1440(exchange: LocalExchange) -> None:
    (newest,) = data(exchange, f"{V5}/candles", instId="BTC-USDT", limit=1)
    last = int(newest[0]) - 1439 * 60_000

    assert len(data(exchange, f"{V5}/candles", instId="BTC-USDT", after=last + 1)) == 1
    assert data(exchange, f"{V5}/candles", instId="BTC-USDT", after=last) == []
    older = data(exchange, f"{V5}/history-candles", instId="BTC-USDT", after=last)
    assert len(older) == 100


def test_before_is_newer_than(exchange: LocalExchange) -> None:
    page = data(exchange, f"{V5}/candles", instId="BTC-USDT", limit=10)

    newer = data(exchange, f"{V5}/candles", instId="BTC-USDT", before=page[4][0])
    assert newer == page[:4]


def test_the_book_is_the_one_that_the_channel_begins_with(
    exchange: LocalExchange,
) -> None:
    (book,) = data(exchange, f"{V5}/books", instId="BTC-USDT", sz=400)
    (best,) = data(exchange, f"{V5}/books", instId="BTC-USDT")

    # Nothing has subscribed: the market stands still.
    said = exchange.book("books:BTC-USDT")
    for side in ("asks", "bids"):
        rows = [tuple(row) for row in book[side]]
        assert rows == list(getattr(said.book, side))
    assert book["seqId"] == said.seq
    assert [len(best[side]) for side in ("asks", "bids")] == [1, 1]


def test_instruments_and_the_time(exchange: LocalExchange) -> None:
    exchange.clock_offset = 3600.0
    try:
        (time,) = data(exchange, "/api/v5/public/time")
    finally:
        exchange.clock_offset = 0.0
    (now,) = data(exchange, "/api/v5/public/time")
    assert 3500 < (int(time["ts"]) - int(now["ts"])) / 1000 <= 3600

    path = "/api/v5/public/instruments"
    spot = data(exchange, path, instType="SPOT")
    assert [each["instId"] for each in spot] == ["BTC-USDT", "ETH-USDT"]
    families = data(exchange, "/api/v5/public/underlying", instType="OPTION")
    assert families == [["BTC-USD"]]
    options = data(exchange, path, instType="OPTION", instFamily="BTC-USD")
    assert [each["instType"] for each in options] == ["OPTION"]
    assert data(exchange, path, instType="OPTION", instFamily="ETH-USD") == []


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (f"{V5}/trades", {"instId": "NO-SUCH"}, 200, "51001"),
        (f"{V5}/trades", {}, 200, "51001"),
        (f"{V5}/trades", {"instId": "BTC-USDT", "limit": 501}, 200, "51000"),
        (f"{V5}/trades", {"instId": "BTC-USDT", "limit": "x"}, 200, "51000"),
        (f"{V5}/history-trades", {"instId": "BTC-USDT", "after": "-"}, 200, "51000"),
        (f"{V5}/candles", {"instId": "BTC-USDT", "limit": 301}, 200, "51000"),
        (f"{V5}/candles", {"instId": "BTC-USDT", "bar": "1s"}, 200, "51000"),
        (f"{V5}/candles", {"instId": "BTC-USDT", "bar": "7m"}, 200, "51000"),
        (f"{V5}/books", {"instId": "BTC-USDT", "sz": 401}, 200, "51000"),
        ("/api/v5/public/instruments", {}, 400, "50014"),
        ("/api/v5/public/instruments", {"instType": "OPTION"}, 400, "50015"),
        ("/api/v5/market/nothing", {}, 404, 404),
        ("/api/v5/nothing", {}, 404, 404),
        ("/api/nothing", {}, 404, 30000),
        ("/api/spot/v3/instruments/NO-SUCH/trades", {}, 400, 30032),
        (f"{V3}/nothing", {}, 404, 30000),
        (f"{V3}/candles", {"granularity": 7}, 400, 30024),
        (f"{V3}/candles", {"start": "today"}, 400, 30024),
    ],
)
def test_what_is_wrong_is_refused_in_the_words_of_the_protocol(
    exchange: LocalExchange,
    path: str,
    params: dict[str, object],
    status: int,
    code: int | str,
) -> None:
    said, body = get(exchange, path, **params)

    assert (said, body["code"]) == (status, code)


def test_v3_has_the_same_market(exchange: LocalExchange) -> None:
    _, bare = get(exchange, f"{V3}/trades", limit=60)
    wrapped = data(exchange, f"{V5}/trades", instId="BTC-USDT", limit=60)
    assert [(each["trade_id"], each["price"], each["size"]) for each in bare] == [
        (each["tradeId"], each["px"], each["sz"]) for each in wrapped
    ]

    _, rows = get(exchange, f"{V3}/candles", granularity=60)
    candles = data(exchange, f"{V5}/candles", instId="BTC-USDT", limit=200)
    assert len(rows) == 200
    assert [row[1:6] for row in rows] == [candle[1:6] for candle in candles]

    _, book = get(exchange, f"{V3}/book", size=5)
    (same,) = data(exchange, f"{V5}/books", instId="BTC-USDT", sz=5)
    assert [row[:2] for row in book["asks"]] == [row[:2] for row in same["asks"]]
    assert get(exchange, "/api/general/v3/time")[1].keys() == {"iso", "epoch"}


def test_v3s_windows_and_ends(exchange: LocalExchange) -> None:
    _, rows = get(exchange, f"{V3}/candles", granularity=60)
    start, end = rows[7][0], rows[3][0]

    assert get(exchange, f"{V3}/candles", start=start, end=end)[1] == rows[3:8]
    swap = "/api/swap/v3/instruments/BTC-USD-SWAP"
    _, trades = get(exchange, f"{swap}/trades")
    _, older = get(exchange, f"{swap}/trades", after=trades[-1]["trade_id"])
    assert [len(trades), len(older)] == [100, 100]
    assert int(older[0]["trade_id"]) == int(trades[-1]["trade_id"]) - 1
    _, depth = get(exchange, f"{swap}/depth", size=1)
    assert depth.keys() == {"asks", "bids", "time"}
    for market, step in (("futures", "trade_increment"), ("swap", "size_increment")):
        _, listed = get(exchange, f"/api/{market}/v3/instruments")
        assert all(each[step] == "1" for each in listed)
    _, options = get(exchange, "/api/option/v3/instruments/BTC-USD")
    assert len(options) == 1
    assert get(exchange, "/api/option/v3/underlying")[1] == ["BTC-USD"]


def test_the_same_seed_has_the_same_past() -> None:
    pasts = []
    for seed in (1, 1, 2):
        with LocalExchange(seed) as exchange:
            trades = data(exchange, f"{V5}/trades", instId="BTC-USDT", limit=500)
            candles = data(exchange, f"{V5}/candles", instId="BTC-USDT", limit=300)
            pasts.append(
                (
                    [(each["tradeId"], each["px"], each["sz"]) for each in trades],
                    [each[1:] for each in candles],
                )
            )

    assert pasts[0] == pasts[1]
    assert pasts[0] != pasts[2]


def test_what_rest_says_is_what_the_socket_said() -> None:
    """Every trade by its id, every closed bar by its start, while it trades."""
    instrument = Instrument("spot", "BTC-USDT", "60000.0", "0.1", "0.0001")
    with LocalExchange(5, instruments=[instrument], pace=1500.0) as exchange:
        told: dict[str, Any] = {}
        bars: dict[str, Any] = {}
        with dial_v5(exchange, "business") as peer:
            peer.ask("subscribe", about("trades-all"), about("candle1s"))
            while len(told) < 700 or not bars:
                message = peer.message()
                for each in message.get("data", ()):
                    if message["arg"]["channel"] == "trades-all":
                        assert each["tradeId"] not in told
                        told[each["tradeId"]] = each
                    elif each[8] == "1":
                        assert each[0] not in bars
                        bars[each[0]] = each
            exchange.pace = 0.0
            newest = data(exchange, f"{V5}/trades", instId="BTC-USDT", limit=500)
            first, last = int(min(told, key=int)), int(max(told, key=int))
            while (place := int(newest[-1]["tradeId"])) > first:
                newest += data(
                    exchange, f"{V5}/history-trades", instId="BTC-USDT", after=place
                )
            closed = data(
                exchange, f"{V5}/history-candles", instId="BTC-USDT", bar="1s"
            )

    by_id = {each["tradeId"]: each for each in newest}
    assert len(by_id) == len(newest)
    assert all(told[name] == by_id[name] for name in told)
    assert [str(n) for n in range(first, last + 1)] == sorted(told, key=int)
    by_start = {each[0]: each for each in closed}
    assert all(by_start[start] == bar for start, bar in bars.items())


def test_the_interface_is_behind_tls_with_the_sockets() -> None:
    with LocalExchange(tls=True) as exchange:
        parts = urlsplit(exchange.rest_url)
        assert parts.scheme == "https"
        assert parts.hostname is not None
        line = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=20, context=exchange.ssl_context
        )
        with closing(line):
            line.request("GET", "/api/v5/public/time")
            assert json.loads(line.getresponse().read())["code"] == "0"


@pytest.mark.parametrize("how", [*REST_FAULTS, "answer"])
def test_a_fault_is_met_once(exchange: LocalExchange, how: str) -> None:
    path = f"{V5}/trades"
    right = data(exchange, path, instId="BTC-USDT", limit=30)
    if how == "answer":
        exchange.respond_rest(503, {"Retry-After": "2"}, body="{}", path="trades")
    else:
        exchange.spoil_rest(how, path="trades", seconds=0.01 if how == "slow" else 0.0)

    broken: dict[str, tuple[type[Exception], ...]] = {
        "cut": (http.client.IncompleteRead,),
        "garbage": (json.JSONDecodeError,),
        "drop": (http.client.RemoteDisconnected, ConnectionError),
    }
    if how in broken:
        with pytest.raises(broken[how]):
            get(exchange, path, instId="BTC-USDT", limit=30)
    else:
        status, body = get(exchange, path, instId="BTC-USDT", limit=30)
        page = body.get("data")
        assert {
            "crowded": status == 429 and body.get("code") == "50011",
            "busy": status == 503 and body.get("code") == "50013",
            "answer": status == 503 and body == {},
            "slow": page == right,
            "empty": page == [],
            "repeat": page == right,
            "overlap": page == right[-10:] + right[:20],
            "reorder": page == right[::-1],
        }[how]
        assert page != right or how in ("slow", "repeat")
    assert data(exchange, path, instId="BTC-USDT", limit=30) == right


def test_what_was_asked_is_remembered_and_is_no_handshake() -> None:
    with LocalExchange() as exchange:
        get(exchange, "/api/v5/public/time")

        assert [text for _, text in exchange.rest_requests] == ["/api/v5/public/time"]
        assert exchange.handshakes == 0
