"""What a script makes the exchange say, and how it goes wrong, seen by a client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from okex_ws import Credentials
from okex_ws.local_exchange import LocalExchange, deflate
from tests.support.exchange_peer import (
    TIMEOUT,
    Peer,
    about,
    dial,
    dial_v5,
    login_v3,
    login_v5,
)

DEPTH5, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))


@pytest.fixture
def quiet() -> Iterator[LocalExchange]:
    """An exchange where nothing happens by itself."""
    with LocalExchange(pace=0.0) as exchange:
        yield exchange


def ping(peer: Peer) -> None:
    """What was sent before this has arrived when the answer is here."""
    peer.socket.send("ping")
    assert peer.text() == "pong"


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
    ("silence", ("books5",), ValueError),
    ("silence", ("books5:NEO-USDT",), ValueError),
    ("reject", ("books5:BTC-USDT", "often", "no"), ValueError),
    ("reject", ("books5:BTC-USDT", 1.5, "no"), TypeError),
    ("push", ("orders", {}), ValueError),
    ("push", ("account", "text"), TypeError),
    ("notice", ("soon",), ValueError),
    ("notice", ("64008", None), TypeError),
    ("reject_login", (None, "no"), TypeError),
    ("reject_login", (60009, 5), TypeError),
    ("reject_login", (60009, "no", -1), ValueError),
    ("channel_conn_count", ("orders", "2"), TypeError),
    ("channel_conn_count", ("orders", -2), ValueError),
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


# --- Faults under v5 ----------------------------------------------------------------


def test_a_channel_of_v5_falls_silent_by_its_key() -> None:
    with LocalExchange(pace=200.0) as exchange, dial_v5(exchange) as peer:
        peer.ask("subscribe", about("books5"), about("trades"))
        peer.data("books5")
        exchange.silence("books5:BTC-USDT")
        sent = len(exchange.pushed("books5:BTC-USDT"))
        for _ in range(20):
            peer.data("trades")
        assert len(exchange.pushed("books5:BTC-USDT")) == sent
        exchange.resume()
        peer.data("books5")


@pytest.mark.parametrize("code", [60014, "60014"])
def test_a_subscribe_of_v5_is_rejected_with_its_channel_named(
    quiet: LocalExchange, code: int | str
) -> None:
    quiet.reject("books5:BTC-USDT", code, "Requests too frequent", times=1)
    with dial_v5(quiet) as peer:
        for _ in range(2):
            peer.ask("subscribe", about("books5"), named="7")
        assert peer.event() == {
            "id": "7",
            "event": "error",
            "code": "60014",
            "msg": "channel:books5,instId:BTC-USDT Requests too frequent",
        }
        assert peer.event()["event"] == "subscribe"


def test_a_rejection_can_leave_it_to_the_id_to_tell(quiet: LocalExchange) -> None:
    quiet.reject("books5:BTC-USDT", "64003", "Your tier is too low", named=False)
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("trades"), about("books5"), named="8")
        assert peer.event()["arg"] == about("trades")
        assert "data" in peer.message()
        assert peer.event() == {
            "id": "8",
            "event": "error",
            "code": "64003",
            "msg": "Your tier is too low",
        }


def test_a_subscribe_of_v5_can_be_ignored(quiet: LocalExchange) -> None:
    quiet.ignore_subscribe("books5:BTC-USDT")
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("books5"))
        ping(peer)
        assert quiet.subscribed == ()


def test_each_client_is_told_in_its_own_form(quiet: LocalExchange) -> None:
    with dial(quiet) as old, dial_v5(quiet) as new:
        assert quiet.send_error(30043, "internal error") == 2
        assert old.message() == {
            "event": "error",
            "message": "internal error",
            "errorCode": 30043,
        }
        assert new.event() == {
            "event": "error",
            "code": "30043",
            "msg": "internal error",
        }
        assert quiet.send_event({"event": "other"}) == 2
        assert old.message() == new.message() == {"event": "other"}


def test_a_plain_pong_is_no_change_under_v5(quiet: LocalExchange) -> None:
    quiet.plain_pong()
    with dial_v5(quiet) as peer:
        ping(peer)


def test_a_mute_exchange_is_mute_under_v5_too(quiet: LocalExchange) -> None:
    with dial_v5(quiet) as peer:
        quiet.mute()
        peer.ask("subscribe", about("books5"))
        assert quiet.wait_for(lambda: quiet.subscribed, TIMEOUT)
        with pytest.raises(TimeoutError):
            peer.socket.recv(0.05)


def test_clients_of_both_protocols_are_closed_and_dropped(quiet: LocalExchange) -> None:
    with dial(quiet) as old, dial_v5(quiet) as new:
        assert quiet.close_clients(4321, "because") == 2
        assert old.end() == new.end() == (4321, "because")
    with dial(quiet) as old, dial_v5(quiet) as new:
        assert quiet.drop() == 2
        assert old.end() == new.end() == (1006, "")


def test_a_notice_goes_to_clients_of_v5_alone(quiet: LocalExchange) -> None:
    with dial(quiet) as old, dial_v5(quiet) as new, dial_v5(quiet, "private") as third:
        assert quiet.notice() == 2
        for peer in (new, third):
            notice = peer.event()
            assert (notice["event"], notice["code"]) == ("notice", "64008")
            assert "service upgrade" in notice["msg"]
        assert quiet.notice("64009", "soon") == 2
        assert new.event()["msg"] == "soon"
        ping(old)


# --- Logins and private channels ----------------------------------------------------


def test_a_login_can_be_refused_whatever_it_holds(quiet: LocalExchange) -> None:
    (mine,) = quiet.credentials
    quiet.reject_login(60009, "Login failed.", times=2)
    with dial(quiet) as old, dial_v5(quiet, "private") as new:
        old.ask("login", *login_v3(mine))
        assert old.message()["errorCode"] == 60009
        new.ask("login", login_v5(mine), named="9")
        assert new.event() == {
            "id": "9",
            "event": "error",
            "code": "60009",
            "msg": "Login failed.",
        }
        new.ask("login", login_v5(mine))
        assert new.event()["event"] == "login"


def test_healing_lets_logins_pass_again(quiet: LocalExchange) -> None:
    quiet.reject_login("63999", "internal error")
    quiet.heal()
    with dial_v5(quiet, "private") as peer:
        peer.ask("login", login_v5(quiet.credentials[0]))
        assert peer.event()["event"] == "login"


def test_an_order_is_pushed_to_those_who_subscribed_it() -> None:
    one, two = (Credentials(name, f"{name}-secret", "open") for name in ("one", "two"))
    arg = {"channel": "orders", "instType": "ANY"}
    with (
        LocalExchange(pace=0.0, credentials=[one, two]) as exchange,
        dial_v5(exchange, "private") as first,
        dial_v5(exchange, "private") as second,
        dial_v5(exchange, "private") as stranger,
    ):
        assert exchange.push("orders:instType=ANY", {"px": "1"}) == 0
        for peer, mine in ((first, one), (second, two)):
            peer.ask("login", login_v5(mine))
            peer.ask("subscribe", arg)
            assert peer.event()["event"] == "login"
            assert peer.event()["arg"] == arg
        assert exchange.push("orders:instType=ANY", {"px": "1"}) == 2
        pushes = [peer.message() for peer in (first, second)]
        numbers = {push["arg"].pop("uid") for push in pushes}
        assert len(numbers) == 2
        assert pushes == [{"arg": arg, "data": [{"px": "1"}]}] * 2
        assert len(exchange.pushed("orders:instType=ANY")) == 1
        ping(stranger)


def test_an_order_of_v3_is_pushed_too(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        peer.ask("login", *login_v3(quiet.credentials[0]))
        peer.ask("subscribe", "spot/order:BTC-USDT")
        assert peer.message() == {"event": "login", "success": True}
        assert peer.message()["channel"] == "spot/order:BTC-USDT"
        assert quiet.push("spot/order:BTC-USDT", {"price": "30"}) == 1
        assert peer.message() == {"table": "spot/order", "data": [{"price": "30"}]}
        quiet.silence("spot/order:BTC-USDT")
        assert quiet.push("spot/order:BTC-USDT", {"price": "31"}) == 0


def test_a_balance_that_was_pushed_is_the_present_one(quiet: LocalExchange) -> None:
    quiet.push("account", {"totalEq": "3"})
    with dial_v5(quiet, "private") as peer:
        peer.ask("login", login_v5(quiet.credentials[0]))
        peer.ask("subscribe", {"channel": "account"})
        assert peer.data("account") == {"totalEq": "3"}


def test_any_channel_can_be_pushed(quiet: LocalExchange) -> None:
    with dial_v5(quiet) as peer, dial(quiet) as old:
        peer.ask("subscribe", {"channel": "status"}, about("trades"))
        assert peer.event()["event"] == peer.event()["event"] == "subscribe"
        peer.data("trades")
        assert quiet.push("status", {"state": "scheduled"}) == 1
        assert peer.message() == {
            "arg": {"channel": "status"},
            "data": [{"state": "scheduled"}],
        }
        assert quiet.push("trades:BTC-USDT", {"tradeId": "1"}) == 1
        assert peer.message()["arg"] == about("trades")
        old.ask("subscribe", TRADE)
        old.until(table="spot/trade")
        assert quiet.push(TRADE, {"trade_id": "1"}) == 1
        assert old.message()["data"] == [{"trade_id": "1"}]


def test_a_push_is_made_of_the_newest_before_another_one_can_come() -> None:
    with LocalExchange(pace=50.0, interval=0.01) as exchange, dial(exchange) as peer:
        peer.ask("subscribe", TICKER)
        peer.until(table="spot/ticker")
        for number in range(20):
            exchange.push(TICKER, lambda newest, n=number: {**newest, "mark": str(n)})
        said = [pushed.element for pushed in exchange.pushed(TICKER)]
    marks = [n for n, element in enumerate(said) if "mark" in element]
    assert len(marks) == 20
    for at in marks:
        assert {**said[at], "mark": ""} == {**said[at - 1], "mark": ""}


def test_a_push_that_is_made_of_the_newest_has_numbers_where_the_exchange_has() -> None:
    made: list[Any] = []

    def again(newest: dict[str, Any]) -> dict[str, Any]:
        made.append(newest)
        return newest

    with LocalExchange() as exchange, dial_v5(exchange) as peer:
        for channel in ("books5", "books"):
            peer.ask("subscribe", about(channel))
            while exchange.newest(f"{channel}:BTC-USDT") is None:
                peer.message()
            exchange.push(f"{channel}:BTC-USDT", again)
            said = peer.message()
            while said.get("data") != [made[-1]]:
                said = peer.message()
            assert type(said["data"][0]["seqId"]) is int
            assert type(said["data"][0]["ts"]) is str


def test_without_a_newest_push_none_is_made(quiet: LocalExchange) -> None:
    with pytest.raises(ValueError, match=r"nothing was pushed on 'status' yet"):
        quiet.push("status", lambda newest: newest)
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", {"channel": "status"})
        peer.event()
        quiet.push("status", {"state": "scheduled"})
        with pytest.raises(TypeError, match="is an object or an array, got 'no'"):
            quiet.push("status", lambda newest: "no")


def test_a_message_to_the_clients_of_a_channel_is_for_no_other(
    quiet: LocalExchange,
) -> None:
    with dial_v5(quiet) as one, dial_v5(quiet) as other:
        one.ask("subscribe", about("trades"))
        one.data("trades")
        assert quiet.send_event({"event": "party"}, channel="trades:BTC-USDT") == 1
        assert one.message() == {"event": "party"}
        ping(other)
    with pytest.raises(ValueError, match="channel"):
        quiet.send_event("pong", channel="trades")


def test_how_many_connections_there_are_is_told(quiet: LocalExchange) -> None:
    with (
        dial_v5(quiet, "private") as peer,
        dial_v5(quiet, "private") as other,
        dial(quiet) as old,
    ):
        assert quiet.channel_conn_count("account", 2) == 0
        peer.ask("login", login_v5(quiet.credentials[0]))
        peer.ask("subscribe", {"channel": "account", "ccy": "BTC"})
        peer.data("account")
        assert quiet.channel_conn_count("account", 2) == 1
        event = {"channel": "account", "connCount": "2"}
        assert peer.event() == {"event": "channel-conn-count", **event}
        assert quiet.channel_conn_count("account", 2, error=True) == 1
        assert peer.event() == {"event": "channel-conn-count-error", **event}
        assert quiet.subscribed == ()
        for silent in (peer, other, old):
            ping(silent)
