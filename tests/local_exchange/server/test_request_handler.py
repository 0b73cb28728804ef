"""The conversation with one client: requests, acknowledgements, errors, logins."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from okex_ws import Credentials
from okex_ws.local_exchange import LocalExchange
from tests.support.exchange_peer import PeerV5, about, dial, dial_v5, login_v3, login_v5

MINE = Credentials("mine", "my-secret", "open")
YOURS = Credentials("yours", "your-secret", "sesame")
ACCOUNT = {"channel": "account"}


@pytest.fixture
def quiet() -> Iterator[LocalExchange]:
    """An exchange where nothing happens by itself, and two may log in."""
    with LocalExchange(pace=0.0, credentials=(MINE, YOURS)) as exchange:
        yield exchange


@pytest.fixture
def private(quiet: LocalExchange) -> Iterator[PeerV5]:
    with dial_v5(quiet, "private") as peer:
        yield peer


def ping(peer: PeerV5) -> None:
    peer.socket.send("ping")
    assert peer.text() == "pong"


# --- Channels -----------------------------------------------------------------------


def test_arguments_are_acknowledged_one_by_one_and_a_bad_one_spoils_none(
    quiet: LocalExchange,
) -> None:
    unknown = about("books5", "XXX")
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("books5"), unknown, about("trades"), named="1512")
        assert peer.event() == {
            "id": "1512",
            "event": "subscribe",
            "arg": about("books5"),
        }
        assert peer.message()["arg"] == about("books5")
        assert peer.event() == {
            "id": "1512",
            "event": "error",
            "code": "60018",
            "msg": "Wrong URL or channel:books5,instId:XXX doesn't exist. Please use"
            " the correct URL, channel and parameters referring to API document.",
        }
        assert peer.event()["arg"] == about("trades")
        assert peer.message()["arg"] == about("trades")
        ping(peer)


def test_a_second_subscribe_of_v5_brings_no_second_snapshot(
    quiet: LocalExchange,
) -> None:
    with dial_v5(quiet) as peer:
        peer.ask("subscribe", about("books5"), about("books5"))
        assert peer.event()["event"] == "subscribe"
        assert "data" in peer.message()
        assert peer.event()["event"] == "subscribe"
        peer.ask("subscribe", about("books5"))
        assert peer.event()["event"] == "subscribe"
        ping(peer)


def test_an_unsubscribe_of_v5_is_acknowledged_and_ends_the_pushes() -> None:
    with LocalExchange(pace=200.0) as exchange, dial_v5(exchange) as peer:
        peer.ask("subscribe", about("trades"))
        peer.data("trades")
        peer.ask("unsubscribe", about("trades"), about("trades", "XXX"), named="2")
        event = peer.until(event="unsubscribe")
        assert (event["id"], event["arg"]) == ("2", about("trades"))
        assert peer.event()["code"] == "60018"
        ping(peer)
        assert exchange.subscribed == ()


@pytest.mark.parametrize("message", ["hello", '{"op":"dance","args":[{}]}'])
def test_what_is_not_understood_is_an_error_and_the_socket_stays(
    quiet: LocalExchange, message: str
) -> None:
    with dial_v5(quiet) as peer:
        peer.socket.send(message)
        assert peer.event() == {
            "event": "error",
            "code": "60012",
            "msg": f"Invalid request: {message}",
        }
        ping(peer)


@pytest.mark.parametrize(
    ("path", "arg", "code"),
    [
        ("public", about("candle1m"), "64001"),
        ("public", about("trades-all"), "64001"),
        ("business", about("books5"), "64002"),
        ("public", ACCOUNT, "60018"),
        ("private", about("books5"), "60018"),
        ("private", ACCOUNT, "60011"),
        ("private", {"channel": "orders", "instType": "ANY"}, "60011"),
        ("business", {"channel": "orders-algo", "instType": "ANY"}, "60011"),
    ],
)
def test_a_channel_is_refused_on_the_wrong_path_and_before_a_login(
    quiet: LocalExchange, path: str, arg: dict[str, str], code: str
) -> None:
    with dial_v5(quiet, path) as peer:
        peer.ask("subscribe", arg, named="3")
        event = peer.event()
        assert (event["id"], event["event"], event["code"]) == ("3", "error", code)
        ping(peer)
    assert quiet.subscribed == ()


# --- Logins -------------------------------------------------------------------------


def test_after_a_login_the_balance_comes_at_once(private: PeerV5) -> None:
    private.ask("login", login_v5(MINE), named="4")
    private.ask("subscribe", ACCOUNT)
    assert private.event() == {"id": "4", "event": "login", "code": "0", "msg": ""}
    assert private.event() == {"event": "subscribe", "arg": ACCOUNT}
    push = private.message()
    assert push["arg"]["channel"] == "account"
    assert push["arg"]["uid"].isdigit()
    assert push["data"][0]["totalEq"] == "10000"


WRONG: list[tuple[Credentials, str | None, str, int]] = [
    (Credentials("nobody", "my-secret", "open"), None, "60005", 30006),
    (Credentials("mine", "my-secret", "shut"), None, "60024", 30027),
    (Credentials("mine", "another-secret", "open"), None, "60007", 30013),
    (MINE, "soon", "60004", 30005),
    (MINE, "1538054050", "60006", 30008),
]


@pytest.mark.parametrize(("credentials", "timestamp", "code", "_"), WRONG)
def test_a_wrong_login_is_told_why_and_followed_by_nothing(
    private: PeerV5, credentials: Credentials, timestamp: str, code: str, _: int
) -> None:
    private.ask("login", login_v5(credentials, timestamp), named="5")
    event = private.event()
    assert (event["id"], event["event"], event["code"]) == ("5", "error", code)
    private.ask("subscribe", ACCOUNT)
    assert private.event()["code"] == "60011"
    private.ask("login", login_v5(MINE))
    assert private.event()["event"] == "login"


@pytest.mark.parametrize(("credentials", "timestamp", "_", "code"), WRONG)
def test_a_wrong_login_of_v3_is_told_why(
    quiet: LocalExchange, credentials: Credentials, timestamp: str, _: str, code: int
) -> None:
    with dial(quiet) as peer:
        peer.ask("login", *login_v3(credentials, timestamp))
        assert peer.message()["errorCode"] == code
        peer.ask("subscribe", "spot/account:BTC")
        assert peer.message()["errorCode"] == 30041


def test_a_malformed_login_is_none(private: PeerV5) -> None:
    private.ask("login", {"apiKey": "mine"})
    assert private.event()["code"] == "60013"
    private.ask("login", login_v5(MINE), login_v5(YOURS))
    assert private.event()["code"] == "60031"


def test_a_second_login_is_refused(private: PeerV5) -> None:
    private.ask("login", login_v5(MINE))
    private.ask("login", login_v5(YOURS))
    assert private.event()["event"] == "login"
    assert private.event()["code"] == "60031"


def test_a_login_is_that_of_one_connection(
    quiet: LocalExchange, private: PeerV5
) -> None:
    private.ask("login", login_v5(MINE))
    assert private.event()["event"] == "login"
    with dial_v5(quiet, "private") as another:
        another.ask("subscribe", ACCOUNT)
        assert another.event()["code"] == "60011"


def test_v3_logs_in_on_its_one_socket(quiet: LocalExchange) -> None:
    with dial(quiet) as peer:
        peer.ask("login", *login_v3(MINE))
        assert peer.text() == '{"event":"login","success":true}'
        peer.ask("subscribe", "spot/account:BTC")
        assert peer.message() == {"event": "subscribe", "channel": "spot/account:BTC"}
        push = peer.message()
        assert push["table"] == "spot/account"
        assert push["data"][0]["currency"] == "BTC"
        peer.ask("login", *login_v3(MINE))
        assert peer.message()["errorCode"] == 30042


def test_the_clock_of_a_login_is_that_of_the_exchange(quiet: LocalExchange) -> None:
    quiet.clock_offset = 3600.0
    with dial_v5(quiet, "private") as peer, dial(quiet) as old:
        peer.ask("login", login_v5(MINE))
        assert peer.event()["code"] == "60006"
        old.ask("login", *login_v3(MINE))
        assert old.message()["errorCode"] == 30008
        there = f"{time.time() + 3600.0:.3f}"
        peer.ask("login", login_v5(MINE, there))
        assert peer.event()["event"] == "login"
        old.ask("login", *login_v3(MINE, there))
        assert old.message()["event"] == "login"
