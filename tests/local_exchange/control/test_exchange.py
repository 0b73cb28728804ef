"""The local exchange as its users hold it, seen through an independent client."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from websockets.exceptions import ConnectionClosed

from okex_ws import Credentials
from okex_ws.local_exchange import Instrument, LocalExchange
from okex_ws.local_exchange.market.market import SyntheticMarket
from okex_ws.model.venues import Venue
from tests.support.exchange_peer import Peer, about, dial, dial_v5

DEPTH5, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))
BTC = "BTC-USDT"
CAPTURE = "cryptofeed/v3_OKCOIN.ws.1_20210722"
CAPTURES_V5 = {
    "cryptofeed/v5_OKEX.ws.1_20210722": "books-l2-tbt",
    "cryptofeed/v5_OKX.ws.1_20220513": "books",
}


@pytest.fixture
def quiet() -> Iterator[LocalExchange]:
    """An exchange where nothing happens by itself."""
    with LocalExchange(pace=0.0) as exchange:
        yield exchange


def ping(peer: Peer) -> None:
    """What was sent before this has arrived when the answer is here."""
    peer.socket.send("ping")
    assert peer.text() == "pong"


# --- As the exchange ----------------------------------------------------------------


def test_channels_are_acknowledged_one_by_one_and_a_bad_one_spoils_none(
    quiet: LocalExchange,
) -> None:
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5, "spot/tickerinvalid:NEO-USDT", TRADE, TICKER)
        assert peer.message() == {"event": "subscribe", "channel": DEPTH5}
        assert peer.message()["table"] == "spot/depth5"
        assert peer.message() == {
            "event": "error",
            "message": "Channel spot/tickerinvalid:NEO-USDT doesn't exist",
            "errorCode": 30040,
        }
        assert peer.message()["channel"] == TRADE
        assert peer.message()["table"] == "spot/trade"
        assert peer.message()["channel"] == TICKER
        assert peer.message()["table"] == "spot/ticker"


def test_a_second_subscribe_brings_no_second_snapshot(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5, DEPTH5)
        assert [peer.message().get("event") for _ in range(3)] == [
            "subscribe",
            None,
            "subscribe",
        ]
        ping(peer)


def test_an_unsubscribe_is_acknowledged_and_ends_the_pushes() -> None:
    with LocalExchange(pace=200.0) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", TRADE)
        peer.until(table="spot/trade")
        peer.ask("unsubscribe", TRADE, "spot/trade:NEO-USDT")
        assert peer.until(event="unsubscribe") == {
            "event": "unsubscribe",
            "channel": TRADE,
        }
        assert peer.message()["errorCode"] == 30040
        ping(peer)


def test_what_is_not_understood_is_an_error_and_the_socket_stays(
    quiet: LocalExchange,
) -> None:
    with dial(quiet) as peer:
        peer.socket.send("hello")
        assert peer.message()["errorCode"] == 30039
        ping(peer)
        assert [request.text for request in quiet.requests] == ["hello", "ping"]


def test_a_pong_is_the_deflated_one(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        peer.socket.send("ping")
        assert peer.frame() == bytes.fromhex("2bc8cf4b0700")


def test_what_is_pushed_is_what_is_recorded() -> None:
    with LocalExchange(seed=3, pace=100.0) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", DEPTH5, TRADE)
        got: dict[str, list[Any]] = {"spot/depth5": [], "spot/trade": []}
        for _ in range(100):
            message = peer.message()
            if "table" in message:
                got[message["table"]] += message["data"]
        for channel in (DEPTH5, TRADE):
            sent = exchange.pushed(channel)
            mine = got[channel.partition(":")[0]]
            assert [push.element for push in sent][: len(mine)] == mine
            assert mine
            assert [push.at for push in sent] == sorted(push.at for push in sent)
            assert exchange.newest(channel) in exchange.pushed(channel)


@pytest.mark.parametrize(
    ("options", "channel", "level"),
    [
        ({}, "spot/depth5:BTC-USDT", '["60000'),
        ({"level_fields": 4}, "spot/depth5:BTC-USDT", ',"0","'),
        ({"numbers_2018": True}, "futures/depth5:BTC-USD-190517", '"asks":[[7'),
    ],
)
def test_levels_are_of_the_form_that_was_asked_for(
    options: dict[str, Any], channel: str, level: str
) -> None:
    with LocalExchange(pace=0.0, **options) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", channel)
        peer.text()
        text = peer.text()
        assert level in text
        element = json.loads(text, parse_int=str, parse_float=str)["data"][0]
        newest = exchange.newest(channel)
        assert newest
        assert newest.element == element


def test_the_instruments_can_be_chosen() -> None:
    mine = Instrument("swap", "LTC-USD-SWAP", "90.00", "0.01")
    with LocalExchange(instruments=["DASH-BTC", mine]) as exchange:
        assert exchange.busiest == ("spot", "DASH-BTC")
        assert exchange.instruments == (exchange.busiest, ("swap", "LTC-USD-SWAP"))


@pytest.mark.once
def test_a_thousand_messages_a_second_can_be_asked_for() -> None:
    options: dict[str, Any] = {"pace": 400.0, "interval": 0.004}
    with LocalExchange(**options) as exchange, dial(exchange) as peer:
        topics = ("depth5", "trade", "ticker")
        peer.ask(
            "subscribe",
            *(f"{m}/{t}:{i}" for m, i in exchange.instruments for t in topics),
        )
        for _ in range(2000):
            peer.frame()


# --- Under v5 -----------------------------------------------------------------------


def books(exchange: LocalExchange, channel: str) -> list[Any]:
    """All that was pushed of one book, by prices, sizes and orders."""
    return [
        [
            [(row[0], row[1], row[-1]) for row in push.element[side]]
            for side in ("asks", "bids")
        ]
        for push in exchange.pushed(channel)
    ]


def test_clients_of_both_protocols_see_one_book_at_one_time() -> None:
    with (
        LocalExchange(pace=100.0) as exchange,
        dial(exchange) as old,
        dial_v5(exchange) as new,
    ):
        old.ask("subscribe", DEPTH5)
        new.ask("subscribe", about("books5"))
        old.until(table="spot/depth5")
        for _ in range(15):
            new.data("books5")
        ours, theirs = (books(exchange, each) for each in (DEPTH5, f"books5:{BTC}"))
        first = ours.index(theirs[0])
        common = min(len(ours) - first, len(theirs))
        assert common > 10
        assert ours[first:][:common] == theirs[:common]


def test_what_is_pushed_under_v5_is_what_is_recorded() -> None:
    with LocalExchange(seed=3, pace=100.0) as exchange, dial_v5(exchange) as peer:
        peer.ask("subscribe", about("books5"))
        got = [peer.data("books5") for _ in range(20)]
        sent = exchange.pushed(f"books5:{BTC}")
        for element, push in zip(got, sent, strict=False):
            assert str(element.pop("seqId")) == push.element["seqId"]
            assert element.items() <= push.element.items()
        assert exchange.newest(f"books5:{BTC}") in exchange.pushed(f"books5:{BTC}")


def test_the_number_of_a_book_is_shared_and_only_grows() -> None:
    with (
        LocalExchange(pace=100.0) as exchange,
        dial_v5(exchange) as one,
        dial_v5(exchange) as two,
    ):
        one.ask("subscribe", about("books5"), about("bbo-tbt"), about("trades"))
        two.ask("subscribe", about("books5"))
        seen: dict[str, list[dict[str, Any]]] = {
            "books5": [],
            "bbo-tbt": [],
            "trades": [],
        }
        while len(seen["books5"]) < 15:
            message = one.message()
            if "data" in message:
                seen[message["arg"]["channel"]] += message["data"]
        numbers = {
            channel: [each["seqId"] for each in elements]
            for channel, elements in seen.items()
        }
        assert all(each == sorted(each) for each in numbers.values())
        assert len(set(numbers["books5"])) == len(numbers["books5"])
        assert len(numbers["trades"]) > 5
        # On another connection a number means the same book.
        known = {each["seqId"]: each for each in seen["books5"]}
        common = [
            each for _ in range(10) if (each := two.data("books5"))["seqId"] in known
        ]
        assert len(common) > 5
        assert all(known[each["seqId"]] == each for each in common)
        # Of one change both channels say the same.
        tops = {each["seqId"]: each for each in seen["bbo-tbt"]}
        for number in tops.keys() & known.keys():
            assert tops[number]["asks"] == known[number]["asks"][:1]
            assert tops[number]["bids"] == known[number]["bids"][:1]


def test_trades_come_together_on_one_path_and_one_by_one_on_the_other() -> None:
    with (
        LocalExchange(pace=200.0) as exchange,
        dial_v5(exchange) as public,
        dial_v5(exchange, "business") as business,
        dial(exchange) as old,
    ):
        old.ask("subscribe", TRADE)
        old.until(table="spot/trade")
        business.ask("subscribe", about("trades-all"))
        business.data("trades-all")
        public.ask("subscribe", about("trades"))
        together = [public.data("trades") for _ in range(40)][1:]
        first = int(together[0]["tradeId"]) - int(together[0]["count"])
        last = int(together[-1]["tradeId"])
        single = {}
        while last not in single:
            trade = business.data("trades-all")
            single[int(trade["tradeId"])] = trade
        assert {"0"} <= {each["source"] for each in together} <= {"0", "1"}
        for each in together:
            final = int(each["tradeId"])
            mine = [single[final - n] for n in range(int(each["count"]))]
            assert sum(Decimal(one["sz"]) for one in mine) == Decimal(each["sz"])
            said = ("px", "side", "ts", "source")
            assert {tuple(one[name] for name in said) for one in mine} == {
                tuple(each[name] for name in said)
            }
        assert sum(int(each["count"]) for each in together) == last - first
        v3 = {int(push.element["trade_id"]) for push in exchange.pushed(TRADE)}
        assert set(single) <= v3 | set(range(max(v3) + 1, last + 1))


PRESENT = [
    ("public", "books5"),
    ("public", "bbo-tbt"),
    ("public", "tickers"),
    ("public", "trades"),
    ("public", "mark-price"),
    ("public", "funding-rate"),
    ("business", "trades-all"),
    ("business", "candle1m"),
    ("business", "candle1Dutc"),
]


@pytest.mark.parametrize(("path", "channel"), PRESENT)
@pytest.mark.parametrize(
    ("instrument_id", "inst_type"),
    [
        ("BTC-USDT", "SPOT"),
        ("BTC-USD-190517", "FUTURES"),
        ("BTC-USD-SWAP", "SWAP"),
        ("BTC-USD-301227-60000-C", "OPTION"),
    ],
)
def test_a_new_subscriber_of_v5_gets_the_present_state(
    quiet: LocalExchange, path: str, channel: str, instrument_id: str, inst_type: str
) -> None:
    arg = about(channel, instrument_id)
    with dial_v5(quiet, path) as peer:
        peer.ask("subscribe", arg)
        if channel == "funding-rate" and inst_type != "SWAP":
            assert peer.event()["code"] == "60018"
            return
        assert peer.event() == {"event": "subscribe", "arg": arg}
        message = peer.message()
        assert message["arg"] == arg
        (element,) = message["data"]
        if channel.startswith("candle"):
            assert (len(element), element[-1]) == (9, "0")
        elif "instType" in element and channel != "mark-price":
            assert element["instType"] == inst_type


def test_the_instruments_of_a_market_are_present(quiet: LocalExchange) -> None:
    arg = {"channel": "instruments", "instType": "SPOT"}
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", arg)
        assert peer.event() == {"event": "subscribe", "arg": arg}
        message = peer.message()
        assert [each["instId"] for each in message["data"]] == ["BTC-USDT", "ETH-USDT"]
        pushed = quiet.pushed("instruments:instType=SPOT")
        told = [
            {**each, "instIdCode": str(each["instIdCode"])} for each in message["data"]
        ]
        # An element has the characters of its numbers.
        assert [push.element for push in pushed] == told


def test_candles_close_and_are_the_same_in_both_protocols() -> None:
    with (
        LocalExchange(pace=200.0) as exchange,
        dial(exchange) as old,
        dial_v5(exchange, "business") as new,
    ):
        old.ask("subscribe", "spot/candle60s:BTC-USDT")
        new.ask("subscribe", about("candle1m"), about("candle1s"))
        candle = old.until(table="spot/candle60s")["data"][0]
        assert (len(candle["candle"]), candle["instrument_id"]) == (6, BTC)
        closed: list[list[str]] = []
        while len(closed) < 2:
            element = new.data("candle1s")
            if element[-1] == "1":
                closed.append(element)
        first, second = closed
        assert int(second[0]) - int(first[0]) == 1000
        assert second[1] == first[4]
        # The clock may go on into another minute.
        minutes = {
            (push.element[0], *push.element[1:6])
            for push in exchange.pushed(f"candle1m:{BTC}")
        }
        theirs = {
            tuple(push.element["candle"][1:])
            for push in exchange.pushed("spot/candle60s:BTC-USDT")
        }
        assert {each[1:] for each in minutes} & theirs


def test_times_are_those_of_the_exchange() -> None:
    with LocalExchange(pace=100.0, clock_offset=-86_400.0) as exchange:
        assert exchange.clock_offset == -86_400.0
        with dial_v5(exchange) as peer:
            peer.ask("subscribe", about("books5"))
            at = int(peer.data("books5")["ts"]) / 1000
            assert abs(at - time.time() + 86_400) < 600
            exchange.clock_offset = 86_400.0
            for _ in range(5):
                at = int(peer.data("books5")["ts"]) / 1000
            assert abs(at - time.time() - 86_400) < 600


@pytest.mark.once
def test_a_thousand_instruments_are_served() -> None:
    names = [f"T{number:04}-USDT" for number in range(1000)]
    instruments = [Instrument("spot", name) for name in names]
    with (
        LocalExchange(instruments=instruments, pace=2.0, history=0) as exchange,
        dial_v5(exchange) as peer,
    ):
        for start in range(0, 1000, 200):
            args = [about("books5", name) for name in names[start : start + 200]]
            peer.ask("subscribe", *args)
        waiting, pushes = set(names), 0
        while waiting or pushes < 2000:
            message = peer.message()
            if "data" in message:
                waiting.discard(message["arg"]["instId"])
                pushes += 1
        assert exchange.pushed("books5:T0001-USDT") == ()


# --- Its life -----------------------------------------------------------------------


@contextmanager
def secured(
    exchange: LocalExchange, client: ssl.SSLContext, name: str
) -> Iterator[ssl.SSLSocket]:
    """By hand: the peer's client reads and writes one TLS object on two threads."""
    where = urlsplit(exchange.url)
    with (
        socket.create_connection((where.hostname, where.port), 10) as plain,
        client.wrap_socket(plain, server_hostname=name) as secure,
    ):
        yield secure


def test_over_tls_only_its_own_authority_is_trusted() -> None:
    with LocalExchange(tls=True) as exchange, LocalExchange(tls=True) as another:
        assert exchange.url.startswith("wss://127.0.0.1:")
        assert exchange.ssl_context is not None
        assert another.ssl_context is not None
        with secured(exchange, exchange.ssl_context, "127.0.0.1") as client:
            assert client.getpeercert()
        for stranger in (another.ssl_context, ssl.create_default_context()):
            with (
                pytest.raises(ssl.SSLCertVerificationError),
                secured(exchange, stranger, "127.0.0.1"),
            ):
                pass


def test_a_certificate_of_ones_own_can_be_served() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    with LocalExchange(tls=server) as exchange:
        assert exchange.ssl_context is None
        with secured(exchange, client, "localhost") as secure:
            assert secure.getpeercert()


def test_its_venue_is_ready_to_use(quiet: LocalExchange) -> None:
    venue = quiet.venue

    assert isinstance(venue, Venue)
    assert (venue.name, venue.protocol, venue.endpoints) == (
        "local",
        "v3",
        (quiet.url,),
    )
    assert venue.host_gap < 0.01


def test_its_venue_of_v5_is_the_same_exchange(quiet: LocalExchange) -> None:
    venue = quiet.venue_v5

    assert (venue.name, venue.protocol) == ("local", "v5")
    assert venue.endpoints == (quiet.url_v5,)
    assert quiet.url_v5 == quiet.url.removesuffix("v3") + "v5"
    assert (venue.host_gap, venue.requests_per_hour) == (0.001, 1_000_000)


def test_one_made_up_key_may_log_in_unless_others_are_given() -> None:
    mine = Credentials("mine", "secret", "open")

    assert len(LocalExchange().credentials) == 1
    assert LocalExchange(credentials=mine).credentials == (mine,)
    assert LocalExchange(credentials=[mine]).credentials == (mine,)


def test_it_starts_once_and_closes_any_number_of_times() -> None:
    exchange = LocalExchange()
    assert repr(exchange) == "<LocalExchange not started, 0 clients>"
    with pytest.raises(RuntimeError, match="not started"):
        print(exchange.url)
    with pytest.raises(RuntimeError, match="not started"):
        exchange.drop()
    assert exchange.start() is exchange
    assert exchange.url in repr(exchange)
    with pytest.raises(RuntimeError, match="once"):
        exchange.start()
    assert exchange.close()
    assert exchange.close()
    assert repr(exchange) == "<LocalExchange closed, 0 clients>"
    with pytest.raises(RuntimeError, match="closed"):
        exchange.drop()


def test_closing_says_goodbye() -> None:
    with LocalExchange() as exchange, dial(exchange) as peer:
        assert exchange.close()
        assert peer.end() == (1001, "the local exchange is closing")


@pytest.mark.parametrize(
    "options",
    [
        {"level_fields": 5},
        {"speed": 0.0},
        {"idle_timeout": -1.0},
        {"pace": -1.0},
        {"interval": 0.0},
        {"instruments": []},
        {"instruments": ["bitcoin"]},
        {"buffer_limit": 0},
        {"history": -1},
        {"clock_offset": float("nan")},
    ],
)
def test_arguments_that_cannot_be_right_are_value_errors(options: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        LocalExchange(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "7"},
        {"tls": "yes"},
        {"pace": "fast"},
        {"interval": None},
        {"speed": "2"},
        {"repeat": 1},
        {"numbers_2018": "no"},
        {"idle_timeout": "30"},
        {"buffer_limit": 1e6},
        {"history": "all"},
        {"instruments": "BTC-USDT"},
        {"instruments": [5]},
        {"capture": 5},
        {"credentials": "key"},
        {"clock_offset": "1"},
    ],
)
def test_arguments_of_the_wrong_type_are_type_errors(options: Any) -> None:
    with pytest.raises(TypeError, match=r"."):
        LocalExchange(**options)


def test_what_it_is_stands_in_its_help() -> None:
    for name in (
        *("ssl_context", "url", "url_v5", "venue", "venue_v5", "instruments"),
        *("busiest", "pace", "credentials", "clock_offset"),
    ):
        found = vars(LocalExchange)[name]
        assert isinstance(found, property)
        assert found.__doc__, name


# --- A recorded market --------------------------------------------------------------


@pytest.mark.once
def test_a_recorded_market_is_sent_byte_for_byte(
    captures: Callable[[str], Path],
) -> None:
    path = captures(CAPTURE)
    lines = Path(f"{path}.deflate.b64").read_text().splitlines()
    frames = [base64.b64decode(line) for line in lines]
    with LocalExchange(capture=path, speed=100.0) as exchange, dial(exchange) as peer:
        market, instrument_id = exchange.busiest
        name = f"{instrument_id}".encode()
        channel = f"{market}/depth_l2_tbt:{instrument_id}"
        wanted = [
            frame
            for frame in frames
            if b'"table":"spot/depth_l2_tbt"' in (text := zlib.decompress(frame, -15))
            and b'"instrument_id":"' + name + b'"' in text
        ]
        peer.ask("subscribe", channel)
        assert peer.message() == {"event": "subscribe", "channel": channel}
        assert [peer.frame() for _ in wanted] == wanted
        assert peer.end() == (1001, "the recording is over")
        assert exchange.ended
        with pytest.raises(RuntimeError, match="recorded"):
            exchange.pace = 1.0
        channel = f"{market}/depth5:{instrument_id}"
        pushed = exchange.pushed(channel)
        with dial(exchange) as late:
            with suppress(ConnectionClosed):
                late.ask("subscribe", channel)
            with pytest.raises(ConnectionClosed):
                late.frame()
            assert late.end() == (1001, "the recording is over")
        assert exchange.clients == 0
        assert exchange.pushed(channel) == pushed


def test_after_the_end_of_a_recording_nobody_is_served(
    quiet: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyntheticMarket, "ended", True)
    with dial(quiet) as late:
        with suppress(ConnectionClosed):
            late.ask("subscribe", DEPTH5)
        with pytest.raises(ConnectionClosed):
            late.frame()
        assert late.end() == (1001, "the recording is over")
    assert not quiet.subscribed
    assert quiet.newest(DEPTH5) is None


def test_a_recorded_market_is_shared_and_its_late_clients_get_the_book(
    captures: Callable[[str], Path],
) -> None:
    with LocalExchange(capture=captures(CAPTURE), speed=2.0) as exchange:
        market, instrument_id = exchange.busiest
        book, depth5 = (
            f"{market}/{t}:{instrument_id}" for t in ("depth_l2_tbt", "depth5")
        )
        with dial(exchange) as early, dial(exchange) as late:
            early.ask("subscribe", book, depth5, "spot/depth5:BTC-USDT")
            assert early.until(event="error")["errorCode"] == 30040
            first = early.until(action="partial")
            early.until(action="update")
            early.until(action="update")
            late.ask("subscribe", book)
            partial = late.until(table=f"{market}/depth_l2_tbt")
            assert partial["action"] == "partial"
            assert partial["data"][0]["timestamp"] > first["data"][0]["timestamp"]
            update = late.until(action="update")
            assert early.until(**update) == update


@pytest.mark.once
def test_a_recorded_market_can_start_again(captures: Callable[[str], Path]) -> None:
    options: dict[str, Any] = {"speed": 200.0, "repeat": True}
    path = captures(CAPTURE)
    with LocalExchange(capture=path, **options) as exchange, dial(exchange) as peer:
        market, instrument_id = exchange.busiest
        peer.ask("subscribe", f"{market}/depth_l2_tbt:{instrument_id}")
        assert peer.until(action="partial") == peer.until(action="partial")
        assert not exchange.ended


def everything(recorded: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The texts of a capture's data, and every argument that is in it."""
    texts = Path(f"{recorded}.recv.jsonl").read_text().splitlines()
    data = [text for text in texts if '"event"' not in text]
    args = {json.dumps(json.loads(text)["arg"]) for text in data}
    return data, [json.loads(arg) for arg in sorted(args)]


@pytest.mark.once
@pytest.mark.parametrize("name", CAPTURES_V5)
def test_a_recorded_market_of_v5_is_sent_text_by_text(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(name)
    texts, args = everything(path)
    with LocalExchange(capture=path, speed=50.0) as exchange:
        with dial_v5(exchange) as peer:
            peer.ask("subscribe", *args)
            for _ in args:
                assert peer.message()["event"] == "subscribe"
            # Every one of them in order, trades too.
            assert [peer.text() for _ in texts] == texts
            assert peer.end() == (1001, "the recording is over")
        assert exchange.ended


@pytest.mark.once
@pytest.mark.parametrize(("name", "book"), CAPTURES_V5.items())
def test_a_late_client_of_a_recorded_v5_gets_the_book_and_books5(
    captures: Callable[[str], Path], name: str, book: str
) -> None:
    with LocalExchange(capture=captures(name), speed=2.0) as exchange:
        _, instrument_id = exchange.busiest
        with dial_v5(exchange) as early, dial_v5(exchange) as late:
            early.ask("subscribe", about(book, instrument_id))
            early.until(action="snapshot")
            early.until(action="update")
            late.ask("subscribe", about(book, instrument_id))
            late.ask("subscribe", about("books5", instrument_id))
            snapshot = late.until(action="snapshot")["data"][0]
            update = late.until(action="update")
            assert early.until(**update) == update
            best = late.data("books5")
            assert best["instId"] == instrument_id
            assert len(best["asks"]) == 5
            assert "checksum" in snapshot


@pytest.mark.once
@pytest.mark.parametrize("name", [CAPTURE, *CAPTURES_V5])
def test_only_the_recorded_protocol_has_channels(
    captures: Callable[[str], Path], name: str
) -> None:
    with LocalExchange(capture=captures(name)) as exchange:
        market, instrument_id = exchange.busiest
        with dial(exchange) as old, dial_v5(exchange) as new:
            old.ask("subscribe", f"{market}/depth5:{instrument_id}")
            new.ask("subscribe", about("books5", instrument_id))
            answers = old.message(), new.message()
        error = answers[1] if name == CAPTURE else answers[0]
        fine = answers[0] if name == CAPTURE else answers[1]
        assert "doesn't exist" in error.get("message", error.get("msg", ""))
        assert fine["event"] == "subscribe"


def test_nothing_is_open_before_the_start() -> None:
    exchange = LocalExchange()

    with pytest.raises(RuntimeError):
        exchange.refuse()
    assert exchange.close()
    assert socket.getdefaulttimeout() is None
