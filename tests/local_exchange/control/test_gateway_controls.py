"""What a gateway does to true messages, as a client sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from okex_ws.local_exchange import LocalExchange
from tests.support.exchange_peer import about, dial, dial_v5, login_v5

DEPTH5, BOOKS5, TRADES = "spot/depth5:BTC-USDT", "books5:BTC-USDT", "trades:BTC-USDT"


@pytest.fixture
def quiet() -> Iterator[LocalExchange]:
    """An exchange where nothing happens by itself."""
    with LocalExchange(pace=0.0) as exchange:
        yield exchange


def at(element: dict[str, str]) -> float:
    """The time of an element of v3."""
    return datetime.fromisoformat(
        element["timestamp"].replace("Z", "+00:00")
    ).timestamp()


def test_messages_are_worded_as_often_as_asked(quiet: LocalExchange) -> None:
    quiet.reword(BOOKS5, "field", 1)
    for expected in ("ANY", None):
        with dial_v5(quiet) as peer:
            peer.ask("subscribe", about("books5"))
            assert peer.event()["event"] == "subscribe"
            assert peer.message()["arg"].get("instType") == expected


def test_a_wording_is_ended_and_an_unknown_one_refused(quiet: LocalExchange) -> None:
    quiet.reword(DEPTH5, "event", None)
    quiet.reword(DEPTH5, "event", 0)
    with dial(quiet) as peer:
        peer.ask("subscribe", DEPTH5)
        assert "event" not in peer.until(table="spot/depth5")
    with pytest.raises(ValueError, match="how is one of"):
        quiet.reword(DEPTH5, "verse")


def test_a_clock_is_that_of_a_clients_gateway(quiet: LocalExchange) -> None:
    with dial(quiet) as first:
        first.ask("subscribe", DEPTH5)
        quiet.gateway_clock(-20.0, connected=False)
        with dial(quiet) as second:
            second.ask("subscribe", DEPTH5)
            (true,) = first.until(table="spot/depth5")["data"]
            (late,) = second.until(table="spot/depth5")["data"]
            assert at(late) == pytest.approx(at(true) - 20.0, abs=0.002)
            quiet.gateway_clock(30.0)
            quiet.push(DEPTH5, true)
            for peer in (first, second):
                (ahead,) = peer.until(table="spot/depth5")["data"]
                assert at(ahead) == pytest.approx(at(true) + 30.0, abs=0.002)
    newest = quiet.newest(DEPTH5)
    assert newest is not None
    assert newest.element["timestamp"] == true["timestamp"]
    quiet.heal()
    with dial(quiet) as third:
        third.ask("subscribe", DEPTH5)
        assert third.until(table="spot/depth5")["data"] == [true]


def test_trades_are_numbered_anew(quiet: LocalExchange) -> None:
    quiet.number_trades(TRADES, 1000)
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("trades"))
        assert peer.data("trades")["tradeId"] == "1000"


def test_data_can_come_before_its_acknowledgement(quiet: LocalExchange) -> None:
    quiet.acknowledge_late(0.05)
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("books5"))
        assert "data" in peer.message()
        assert peer.event()["event"] == "subscribe"


@pytest.mark.parametrize("times", [0, 1, 2])
def test_old_data_comes_around_an_unsubscribe(quiet: LocalExchange, times: int) -> None:
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("books5"))
        peer.until(event="subscribe")
        old = peer.message()
        quiet.straggle(BOOKS5, times)
        peer.ask("unsubscribe", about("books5"))
        if times:
            assert peer.message() == old
        assert peer.event()["event"] == "unsubscribe"
        if times == 2:
            assert peer.message() == old
        peer.socket.send("ping")
        assert peer.text() == "pong"


def test_a_login_is_forgotten_without_a_word(quiet: LocalExchange) -> None:
    orders = {"channel": "orders", "instType": "ANY"}
    with dial_v5(quiet, "private") as peer:
        peer.ask("login", login_v5(quiet.credentials[0]))
        assert peer.event()["event"] == "login"
        assert quiet.log_out() == 1
        peer.ask("subscribe", orders)
        assert peer.event()["code"] == "60011"
        peer.ask("login", login_v5(quiet.credentials[0]))
        assert peer.event()["code"] == "0"
        peer.ask("subscribe", orders)
        assert peer.event()["event"] == "subscribe"
    assert quiet.wait_for(lambda: quiet.log_out() == 0)


def test_only_the_clients_of_a_channel_are_closed(quiet: LocalExchange) -> None:
    with dial_v5(quiet) as one, dial_v5(quiet) as other:
        for peer, channel in ((one, "books5"), (other, "trades")):
            peer.ask("subscribe", about(channel))
            peer.until(event="subscribe")
        assert quiet.close_clients(4009, "too many", channel=BOOKS5) == 1
        assert one.end() == (4009, "too many")
        other.socket.send("ping")
        while other.text() != "pong":
            pass
