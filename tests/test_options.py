"""The keywords of a feed: refused by name, or what a connection lives by."""

from __future__ import annotations

import random
import ssl
from typing import Any

import pytest

from okex_ws import VENUES, Credentials, Reconnect, SystemClock, Timeouts, Venue
from okex_ws.options import ConnectionOptions, make_plan
from okex_ws.protocols.v3 import PROTOCOL as V3
from okex_ws.protocols.v5 import PROTOCOL as V5

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")


@pytest.mark.parametrize(("venue", "wire"), [("okj-v3", V3), ("okx", V5), ("okj", V5)])
def test_a_venue_is_spoken_to_in_its_own_protocol(venue: str, wire: object) -> None:
    plan = make_plan(venue)

    assert plan.wire is wire
    assert plan.venue is VENUES[venue]
    # Nothing is connected, and nothing is open, before somebody subscribes.
    assert plan.connections == ()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"credentials": ("a", "b", "c")}, "credentials is a Credentials, not a tuple"),
        ({"reconnect": 5}, "reconnect is a Reconnect, not a int"),
        ({"timeouts": 5}, "timeouts is a Timeouts"),
        ({"on_state": "print"}, "on_state is a function"),
        ({"ssl_context": "x"}, "SSLContext"),
        ({"ping_interval": "30"}, "ping_interval"),
        ({"probe_interval": True}, "probe_interval"),
        ({"proxy": "http://127.0.0.1"}, "proxy"),
    ],
)
def test_a_keyword_of_the_wrong_kind_is_refused_by_its_name(
    keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        make_plan("okx", **keywords)


@pytest.mark.parametrize("secret", ["the-secret-key", ("k", "the-secret-key", "p")])
def test_what_is_given_in_place_of_credentials_is_not_repeated(secret: Any) -> None:
    with pytest.raises(TypeError) as caught:
        make_plan("okx", credentials=secret)
    assert "the-secret-key" not in str(caught.value)


def test_a_key_is_sent_to_no_venue_that_was_retired() -> None:
    with pytest.raises(ValueError, match="not sent to venue 'okex'") as caught:
        make_plan("okex", credentials=KEY)
    assert "secret" not in str(caught.value)
    mine = Venue("mine", "v5", ("wss://localhost/ws/v5",), retired="gone since 2024")
    with pytest.raises(ValueError, match="gone since 2024"):
        make_plan(mine, credentials=KEY)
    # Nor to its host under another name.
    host = Venue("mine", "v3", ("wss://real.okex.com:8443/ws/v3",))
    with pytest.raises(ValueError, match="not sent to venue 'mine'"):
        make_plan(host, credentials=KEY)
    make_plan(host)
    make_plan("okex")


def test_a_context_that_does_not_verify_is_refused() -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False
    with pytest.raises(ValueError, match="must verify"):
        make_plan("okx", ssl_context=loose)


def test_what_is_injected_is_what_every_connection_lives_by() -> None:
    clock, rng = SystemClock(), random.Random(7)
    settings = make_plan(
        "okx",
        clock=clock,
        rng=rng,
        network=int,  # type: ignore[arg-type]
        reconnect=Reconnect(cap=5),
        timeouts=Timeouts(ack=3),
        ping_interval=20,
        probe_interval=None,
    )._settings

    assert (settings.clock, settings.rng, settings.network) == (clock, rng, int)
    assert (settings.reconnect.cap, settings.timeouts.ack) == (5, 3)
    assert (settings.ping.interval, settings.ping.probe) == (20, None)


def test_the_keywords_that_are_passed_on_are_those_that_are_taken() -> None:
    code = make_plan.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    assert set(ConnectionOptions.__annotations__) == {*names} - {"venue", "on_state"}
