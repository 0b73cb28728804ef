"""The local exchange as its users hold it, seen through an independent client."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from okex_ws.local_exchange import Instrument, LocalExchange, deflate
from okex_ws.local_exchange.market import SyntheticMarket
from okex_ws.venues import Venue

from .peer import TIMEOUT, Peer, dial

DEPTH5, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))
CAPTURE = "cryptofeed/v3_OKCOIN.ws.1_20210722"


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


# --- Its life -----------------------------------------------------------------------


def test_over_tls_only_its_own_authority_is_trusted() -> None:
    with LocalExchange(tls=True, pace=0.0) as exchange:
        assert exchange.url.startswith("wss://127.0.0.1:")
        with dial(exchange) as peer:
            ping(peer)
        with pytest.raises(ssl.SSLCertVerificationError), connect(exchange.url):
            pass


def test_a_certificate_of_ones_own_can_be_served() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    with LocalExchange(tls=server) as exchange:
        assert exchange.ssl_context is None
        with connect(exchange.url.replace("127.0.0.1", "localhost"), ssl=client):
            pass


def test_its_venue_is_ready_to_use(quiet: LocalExchange) -> None:
    venue = quiet.venue

    assert isinstance(venue, Venue)
    assert (venue.name, venue.protocol, venue.endpoints) == (
        "local",
        "v3",
        (quiet.url,),
    )
    assert venue.host_gap < 0.01


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
    ],
)
def test_arguments_of_the_wrong_type_are_type_errors(options: Any) -> None:
    with pytest.raises(TypeError, match=r"."):
        LocalExchange(**options)


def test_what_it_is_stands_in_its_help() -> None:
    for name in ("ssl_context", "url", "venue", "instruments", "busiest", "pace"):
        found = vars(LocalExchange)[name]
        assert isinstance(found, property)
        assert found.__doc__, name


# --- Faults of the connection -------------------------------------------------------


def test_it_refuses_connections_and_comes_back_on_its_port(
    quiet: LocalExchange,
) -> None:
    url = quiet.url
    with dial(quiet) as peer:
        quiet.refuse()
        quiet.refuse()
        with pytest.raises(ConnectionRefusedError), dial(quiet):
            pass
        ping(peer)
        quiet.refuse(on=False)
        quiet.refuse(on=False)
        assert quiet.url == url
        with dial(quiet) as another:
            ping(another)


def test_it_can_be_closed_while_it_refuses() -> None:
    with LocalExchange() as exchange, dial(exchange) as peer:
        exchange.refuse()
        exchange.close()
        assert peer.end()[0] == 1001


@pytest.mark.parametrize("status", [200, 301, 403, 404, 429, 503, 599])
def test_a_handshake_gets_any_http_answer(quiet: LocalExchange, status: int) -> None:
    quiet.respond(status, {"Retry-After": "7"}, body="no", times=1)
    with pytest.raises(InvalidStatus) as caught, dial(quiet):
        pass
    response = caught.value.response
    assert response.status_code == status
    assert response.headers["Retry-After"] == "7"
    assert bytes(response.body or b"") == b"no"
    with dial(quiet) as peer:
        ping(peer)
    assert quiet.handshakes == 2


def test_a_status_that_is_no_answer_is_a_value_error(quiet: LocalExchange) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        quiet.respond(101)


WRONG_FAULTS: list[tuple[str, tuple[Any, ...], type[Exception]]] = [
    ("respond", ("404",), TypeError),
    ("respond", (404, {}, "more"), TypeError),
    ("slow_handshake", (-1,), ValueError),
    ("slow_handshake", ("1",), TypeError),
    ("close_clients", ("1001",), TypeError),
    ("close_clients", (1001, None), TypeError),
    ("refuse", ("no",), TypeError),
    ("plain_pong", (0,), TypeError),
    ("silence", ("depth5",), ValueError),
    ("silence", ("spot/depth5:NEO-USDT",), ValueError),
    ("silence", ([DEPTH5],), TypeError),
    ("reject", ("depth5", 30026, "no"), ValueError),
    ("reject", (DEPTH5, "30026", "no"), TypeError),
    ("reject", (DEPTH5, 30026, None), TypeError),
    ("ignore_subscribe", ("trade",), ValueError),
    ("ignore_subscribe", (TRADE, "off"), TypeError),
    ("send_error", ("30043", "no"), TypeError),
    ("send_error", (30043, b"no"), TypeError),
    ("send_raw", ("text",), TypeError),
]


@pytest.mark.parametrize(("fault", "arguments", "error"), WRONG_FAULTS)
def test_a_fault_that_cannot_be_is_refused_at_once(
    quiet: LocalExchange,
    fault: str,
    arguments: tuple[Any, ...],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        getattr(quiet, fault)(*arguments)


def test_how_often_is_a_whole_number(quiet: LocalExchange) -> None:
    with pytest.raises(ValueError, match="times"):
        quiet.respond(503, times=-1)
    with pytest.raises(ValueError, match="times"):
        quiet.reject(DEPTH5, 30026, "no", times=-1)


def test_a_handshake_can_be_slow(quiet: LocalExchange) -> None:
    quiet.slow_handshake(60.0)
    with pytest.raises(TimeoutError), connect(quiet.url, open_timeout=0.1):
        pass
    quiet.heal()
    with dial(quiet) as peer:
        ping(peer)


def test_clients_are_closed_with_any_code(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        assert quiet.close_clients(4321, "because") == 1
        assert peer.end() == (4321, "because")


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (4000, "x" * 124)])
def test_a_close_frame_that_cannot_be_sent_is_a_value_error(
    quiet: LocalExchange, code: int, reason: str
) -> None:
    with pytest.raises(ValueError, match="close"):
        quiet.close_clients(code, reason)


# --- Faults of the data -------------------------------------------------------------


def test_one_channel_falls_silent_while_the_rest_goes_on() -> None:
    with LocalExchange(pace=200.0) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", DEPTH5, TRADE)
        peer.until(table="spot/depth5")
        exchange.silence(DEPTH5)
        sent = len(exchange.pushed(DEPTH5))
        for _ in range(20):
            peer.until(table="spot/trade")
        assert len(exchange.pushed(DEPTH5)) == sent
        exchange.resume()
        peer.until(table="spot/depth5")


def test_all_data_falls_silent_while_pongs_go_on() -> None:
    with LocalExchange(pace=200.0) as exchange, dial(exchange) as peer:
        exchange.silence()
        peer.ask("subscribe", DEPTH5)
        assert peer.message()["event"] == "subscribe"
        for _ in range(3):
            ping(peer)
        exchange.resume()
        peer.until(table="spot/depth5")


def test_a_mute_exchange_says_nothing_at_all(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        quiet.mute()
        peer.socket.send("ping")
        peer.ask("subscribe", DEPTH5)
        assert quiet.wait_for(lambda: quiet.subscribed == (DEPTH5,), TIMEOUT)
        with pytest.raises(TimeoutError):
            peer.socket.recv(0.05)
        quiet.resume()
        ping(peer)


def test_a_pong_can_be_plain_text(quiet: LocalExchange) -> None:
    quiet.plain_pong()
    with dial(quiet) as peer:
        peer.socket.send("ping")
        assert peer.socket.recv(TIMEOUT) == "pong"


def test_a_subscribe_is_rejected_as_often_as_asked(quiet: LocalExchange) -> None:
    quiet.reject(DEPTH5, 30026, "too frequent", times=1)
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5, DEPTH5)
        assert peer.message() == {
            "event": "error",
            "message": "too frequent",
            "errorCode": 30026,
        }
        assert peer.message() == {"event": "subscribe", "channel": DEPTH5}


def test_a_subscribe_can_be_ignored(quiet: LocalExchange) -> None:
    quiet.ignore_subscribe(DEPTH5)
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5)
        ping(peer)
        quiet.heal()
        peer.ask("subscribe", DEPTH5)
        assert peer.message()["event"] == "subscribe"


def test_one_of_two_that_are_ignored_can_be_heard_again(quiet: LocalExchange) -> None:
    quiet.ignore_subscribe(DEPTH5)
    quiet.ignore_subscribe(TRADE)
    quiet.ignore_subscribe(TRADE, on=False)
    quiet.ignore_subscribe(TICKER, on=False)
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5, TRADE)
        assert peer.message() == {"event": "subscribe", "channel": TRADE}


def test_anything_can_be_sent_to_all(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        ping(peer)
        assert quiet.send_error(30043, "internal error") == 1
        assert peer.message()["errorCode"] == 30043
        quiet.send_event({"event": "notice"})
        assert peer.message() == {"event": "notice"}
        quiet.send_event("no JSON")
        assert peer.text() == "no JSON"
        quiet.send_raw(b"\xff\x00")
        assert peer.frame() == b"\xff\x00"
        quiet.send_raw(deflate("[]"))
        assert peer.text() == "[]"
        quiet.send_raw(b"plain", text=True)
        assert peer.socket.recv(TIMEOUT) == "plain"
        quiet.send_raw(b"\xff", text=True)
        assert peer.socket.recv(TIMEOUT, decode=False) == b"\xff"


def test_healing_ends_every_fault(quiet: LocalExchange) -> None:
    quiet.respond(503)
    quiet.silence()
    quiet.mute()
    quiet.reject(DEPTH5, 30040, "no")
    quiet.refuse()
    quiet.heal()
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5)
        assert peer.message()["event"] == "subscribe"
        assert peer.message()["table"] == "spot/depth5"


def test_every_thread_may_control_it() -> None:
    with LocalExchange(pace=200.0) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", TRADE)

        def control() -> None:
            for _ in range(20):
                exchange.silence()
                exchange.resume()
                exchange.send_event("{}")
                assert exchange.pushed(TRADE)

        peer.until(table="spot/trade")
        threads = [threading.Thread(target=control) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        texts = [peer.text() for _ in range(80)]
        assert texts.count("{}") > 0


# --- A recorded market --------------------------------------------------------------


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


def test_a_recorded_market_can_start_again(captures: Callable[[str], Path]) -> None:
    options: dict[str, Any] = {"speed": 200.0, "repeat": True}
    path = captures(CAPTURE)
    with LocalExchange(capture=path, **options) as exchange, dial(exchange) as peer:
        market, instrument_id = exchange.busiest
        peer.ask("subscribe", f"{market}/depth_l2_tbt:{instrument_id}")
        assert peer.until(action="partial") == peer.until(action="partial")
        assert not exchange.ended


def test_nothing_is_open_before_the_start() -> None:
    exchange = LocalExchange()

    with pytest.raises(RuntimeError):
        exchange.refuse()
    assert exchange.close()
    assert socket.getdefaulttimeout() is None
