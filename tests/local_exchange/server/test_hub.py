"""The sockets: many clients, slow clients, silent clients, half-open clients."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from okex_ws.local_exchange import LocalExchange
from tests.support.exchange_peer import TIMEOUT, Peer, about, dial, dial_v5
from tests.support.internals import clients_of, market_is_started, on_loop_of

DEPTH5, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))

HANDSHAKE = (
    b"GET /ws/v3 HTTP/1.1\r\nHost: local\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture
def quiet() -> Iterator[LocalExchange]:
    with LocalExchange(pace=0.0) as exchange:
        yield exchange


@pytest.fixture
def busy() -> Iterator[LocalExchange]:
    with LocalExchange(pace=100.0) as exchange:
        yield exchange


def raw(exchange: LocalExchange) -> socket.socket:
    parts = urlsplit(exchange.url)
    return socket.create_connection((parts.hostname, parts.port), TIMEOUT)


def test_all_subscribers_get_the_same_frames_and_others_none(
    busy: LocalExchange,
) -> None:
    with dial(busy) as one, dial(busy) as two, dial(busy) as other:
        for peer in (one, two):
            peer.ask("subscribe", DEPTH5)
            assert peer.message()["event"] == "subscribe"
        other.ask("subscribe", TRADE)
        frames = {one.frame() for _ in range(20)} & {two.frame() for _ in range(20)}
        assert len(frames) > 10
        assert other.message()["event"] == "subscribe"
        assert {other.message()["table"] for _ in range(5)} == {"spot/trade"}


def test_a_client_that_never_says_anything_is_closed() -> None:
    with LocalExchange(idle_timeout=0.2) as exchange, dial(exchange) as peer:
        assert peer.end() == (4001, "No data received in 0.2s")


@pytest.mark.parametrize("path", ["public", "business", "private"])
def test_a_silent_client_of_v5_has_a_code_of_its_own(path: str) -> None:
    with LocalExchange(idle_timeout=0.2) as exchange, dial_v5(exchange, path) as peer:
        assert peer.end() == (4004, "No data received in 0.2s")


def test_a_client_that_pings_or_is_pushed_to_stays() -> None:
    exchange = LocalExchange(idle_timeout=1.5, pace=100.0)
    with exchange, dial(exchange) as pinging, dial(exchange) as pushed:
        pushed.ask("subscribe", DEPTH5)
        start = time.monotonic()
        while time.monotonic() < start + 2.0:
            pushed.text()
            pinging.socket.send("ping")
            assert pinging.text() == "pong"
        exchange.pace = 0.0
        assert pushed.end()[0] == pinging.end()[0] == 4001


def test_a_slow_client_is_dropped_and_holds_up_nobody(quiet: LocalExchange) -> None:
    payload = b"x" * 500_000
    with raw(quiet) as slow, dial(quiet) as quick:
        slow.sendall(HANDSHAKE)
        assert quiet.wait_for(lambda: quiet.clients == 2, TIMEOUT)
        while quiet.clients == 2:
            quiet.send_raw(payload)
            assert quick.frame() == payload
        quiet.send_raw(b"on")
        while quick.frame() != b"on":
            pass


def test_a_slow_client_of_v5_is_dropped_with_a_code_of_its_own() -> None:
    with LocalExchange(pace=0.0, buffer_limit=1) as exchange, dial_v5(exchange) as peer:
        peer.socket.send("ping")
        assert peer.text() == "pong"
        # More than any socket takes at once, however fast its peer reads.
        exchange.send_raw(b"x" * 64_000_000, text=True)
        assert peer.end() == (4005, "buffer full")


def test_a_request_that_is_too_long_is_closed_as_the_exchange_did() -> None:
    with LocalExchange() as exchange:
        with dial(exchange) as peer:
            peer.socket.send("x" * 70_000)
            assert peer.end()[0] == 1009
        with dial_v5(exchange) as peer:
            peer.socket.send("x" * 70_000)
            assert peer.end()[0] == 1009


@pytest.mark.parametrize("path", ["/ws/v5", "/ws/v5/else", "/ws/v4", "/"])
def test_another_path_is_not_found(quiet: LocalExchange, path: str) -> None:
    elsewhere = quiet.url.replace("/ws/v3", path)
    with pytest.raises(InvalidStatus, match="404"), connect(elsewhere):
        pass
    with connect(quiet.url + "?compress=true"):
        pass


@pytest.mark.parametrize("tls", [False, True])
def test_closing_does_not_wait_for_half_open_connections(tls: bool) -> None:
    with LocalExchange(tls=tls) as exchange:
        exchange.slow_handshake(60.0)
        with raw(exchange) as mute, raw(exchange) as waiting:
            context = exchange.ssl_context or ssl.create_default_context()
            asking = (
                context.wrap_socket(waiting, server_hostname="localhost")
                if tls
                else waiting
            )
            asking.sendall(HANDSHAKE)
            assert exchange.wait_for(lambda: exchange.handshakes == 1, TIMEOUT)
            assert exchange.close()
            assert not mute.recv(1)
            asking.close()


def test_a_client_that_ignores_the_close_frame_is_aborted() -> None:
    with LocalExchange() as exchange, raw(exchange) as rude:
        rude.sendall(HANDSHAKE)
        assert exchange.wait_for(lambda: exchange.clients == 1, TIMEOUT)
        exchange.close_clients(4000, "go")
        exchange.close_clients(4000, "go, I said")
        assert exchange.wait_for(lambda: exchange.clients == 0, TIMEOUT)


def test_a_dropped_connection_ends_without_a_close_frame() -> None:
    with LocalExchange() as exchange, dial(exchange) as peer:
        assert exchange.drop() == 1
        assert peer.end() == (1006, "")
        assert exchange.wait_for(lambda: exchange.clients == 0, TIMEOUT)


def test_who_leaves_is_forgotten() -> None:
    with LocalExchange() as exchange:
        with dial(exchange) as peer:
            peer.ask("subscribe", TICKER, TRADE)
            peer.until(table="spot/trade")
            assert set(exchange.subscribed) == {TICKER, TRADE}
            peer.ask("unsubscribe", TICKER)
            assert peer.until(event="unsubscribe")["channel"] == TICKER
            assert exchange.subscribed == (TRADE,)
        assert exchange.wait_for(lambda: not exchange.subscribed, TIMEOUT)
        assert exchange.clients == 0


@pytest.mark.parametrize("tls", [False, True])
def test_nothing_is_written_to_a_connection_that_is_gone(
    tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalExchange(pace=0.0, tls=tls) as exchange, dial(exchange) as peer:
        clients = clients_of(exchange)

        def drop_and_send() -> list[int]:
            clients.drop()
            sent = [clients.send(b"x") for _ in range(10)]
            return sent + [clients.send_text_bytes(b"x") for _ in range(10)]

        # In one step of the loop, which has not told the connection of its end.
        assert on_loop_of(exchange, drop_and_send) == [0] * 20
        assert peer.end()[0] == 1006
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("offset", [0.0, 86_400.0, -86_400.0])
def test_the_handshake_tells_the_clock_of_the_exchange(
    quiet: LocalExchange, offset: float
) -> None:
    quiet.clock_offset = offset
    with dial(quiet) as old, dial_v5(quiet) as new:
        for peer in (old, new):
            response = peer.socket.response
            assert response
            (date,) = response.headers.get_all("Date")
            told = parsedate_to_datetime(date).timestamp()
            assert abs(told - time.time() - offset) < 600
    with pytest.raises(InvalidStatus) as caught, connect(quiet.url + "/else"):
        pass
    date = caught.value.response.headers["Date"]
    assert abs(parsedate_to_datetime(date).timestamp() - time.time() - offset) < 600


def test_what_is_no_part_of_the_market_does_not_start_it() -> None:
    with LocalExchange() as exchange, dial_v5(exchange) as peer:
        peer.ask("subscribe", {"channel": "status"})
        assert peer.event()["event"] == "subscribe"
        assert not market_is_started(exchange)
        peer.ask("subscribe", about("trades"))
        assert exchange.wait_for(lambda: market_is_started(exchange), TIMEOUT)


def test_a_market_that_breaks_down_ends_the_exchange(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(
        "okex_ws.local_exchange.market.market.SyntheticMarket.advance", broken
    )
    with LocalExchange() as exchange, dial(exchange) as peer:
        peer.ask("subscribe", TRADE)
        assert Peer.end(peer)[0] == 1001
    assert "broke down" in caplog.text
