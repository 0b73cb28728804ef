"""The keywords of a feed: refused by name, or what a connection lives by."""

from __future__ import annotations

import random
import ssl
from dataclasses import fields
from typing import Any

import pytest

from okex_ws import (
    VENUES,
    Credentials,
    Feed,
    Reconnect,
    SystemClock,
    Timeouts,
    Venue,
    WSSubscription,
)
from okex_ws.client.base import make_pool
from okex_ws.delivery.callbacks import CallbackRunner
from okex_ws.delivery.dispatcher import Dispatcher
from okex_ws.net.stream import TcpNetwork
from okex_ws.pool.options import ConnectionOptions, PoolOptions
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support.internals import proxy_of, settings_of

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")


@pytest.mark.parametrize(("venue", "wire"), [("okj-v3", V3), ("okx", V5), ("okj", V5)])
def test_a_venue_is_spoken_to_in_its_own_protocol(venue: str, wire: object) -> None:
    pool = make_pool(venue)

    assert pool.wire is wire
    assert pool.venue is VENUES[venue]
    # Nothing is connected, and nothing is open, before somebody subscribes.
    assert pool.connections == ()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"credentials": ("a", "b", "c")}, "credentials is a Credentials, not a tuple"),
        ({"reconnect": 5}, "reconnect is a Reconnect, not a int"),
        ({"timeouts": 5}, "timeouts is a Timeouts"),
        ({"on_state": "print"}, "on_state is a function"),
        ({"ssl_context": "x"}, "SSLContext"),
        ({"ping_interval": "30"}, "ping_interval"),
        ({"lease": True}, "lease"),
        ({"proxy": 3128}, "proxy is a URL"),
        ({"max_frame": 1e6}, "max_frame is a whole number"),
        ({"max_frame": True}, "max_frame is a whole number"),
        ({"max_frame": None}, "max_frame is a whole number"),
        ({"coalesce": True}, "coalesce"),
        ({"coalesce": "1"}, "coalesce"),
    ],
)
def test_a_keyword_of_the_wrong_kind_is_refused_by_its_name(
    keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        make_pool("okx", **keywords)


@pytest.mark.parametrize("secret", ["the-secret-key", ("k", "the-secret-key", "p")])
def test_what_is_given_in_place_of_credentials_is_not_repeated(secret: Any) -> None:
    with pytest.raises(TypeError) as caught:
        make_pool("okx", credentials=secret)
    assert "the-secret-key" not in str(caught.value)


def test_a_key_is_sent_to_no_venue_that_was_retired() -> None:
    with pytest.raises(ValueError, match="not sent to venue 'okex'") as caught:
        make_pool("okex", credentials=KEY)
    assert "secret" not in str(caught.value)
    mine = Venue("mine", "v5", ("wss://localhost/ws/v5",), retired="gone since 2024")
    with pytest.raises(ValueError, match="gone since 2024"):
        make_pool(mine, credentials=KEY)
    # Nor to its host under another name.
    host = Venue("mine", "v3", ("wss://real.okex.com:8443/ws/v3",))
    with pytest.raises(ValueError, match="not sent to venue 'mine'"):
        make_pool(host, credentials=KEY)
    make_pool(host)
    make_pool("okex")


@pytest.mark.parametrize(
    "host",
    [
        *("okex.com", "ws.okex.com:8443", "WWW.OKEX.COM", "real.okex.com.:8443"),
        *("a.b.okex.com..", "real.okex%2Ecom", "\uff4f\uff4b\uff45\uff58.com"),
        *("ws.okex\u3002com", "o\u034fkex.com", "real.OKEX.com\uff0e"),
    ],
)
def test_no_key_is_sent_under_the_domain_of_a_retired_venue(host: str) -> None:
    venue = Venue("mine", "v5", ("wss://ws.okx.com/ws/v5", f"wss://{host}/ws/v5"))

    with pytest.raises(ValueError, match="which was retired"):
        make_pool(venue, credentials=KEY, allow_plaintext=True)
    make_pool(venue)


@pytest.mark.parametrize("host", ["notokex.com", "okex.com.example", "okex-com.test"])
def test_a_domain_that_only_looks_like_a_retired_one_may_have_a_key(host: str) -> None:
    make_pool(Venue("mine", "v5", (f"wss://{host}/ws/v5",)), credentials=KEY)


@pytest.mark.parametrize(
    "host",
    ["ws.example.test", "10.1.2.3", "127.0.0.1.nip.test", "0.0.0.0", "[fe80::1]"],
)
def test_a_key_is_sent_to_another_machine_over_tls_alone(host: str) -> None:
    urls = "wss://ws.okx.com/ws/v5", f"WS://{host}:80/ws/v5"
    venue = Venue("mine", "v5", urls)

    with pytest.raises(ValueError, match="allow_plaintext=True") as caught:
        make_pool(venue, credentials=KEY)
    assert "secret" not in str(caught.value)
    make_pool(venue, credentials=KEY, allow_plaintext=True)
    make_pool(venue)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "LocalHost", "127.9.9.9", "[::1]:9"])
def test_a_key_is_sent_to_this_machine_without_a_proxy(host: str) -> None:
    venue = Venue("mine", "v5", (f"ws://{host}/ws/v5",))

    make_pool(venue, credentials=KEY)
    make_pool(venue, credentials=KEY, proxy="")
    with pytest.raises(ValueError, match="without a proxy; allow_plaintext=True"):
        make_pool(venue, credentials=KEY, proxy="http://proxy.test")
    make_pool(venue, credentials=KEY, proxy="http://proxy.test", allow_plaintext=True)


def test_a_feed_and_a_subscription_take_the_permission_to_send_a_key_in_clear() -> None:
    venue = Venue("mine", "v5", ("ws://ws.invalid/ws/v5",))

    with pytest.raises(ValueError, match="allow_plaintext=True"):
        WSSubscription("BTC-USDT", "spot", venue=venue, credentials=KEY)
    with pytest.raises(ValueError, match="allow_plaintext=True"):
        Feed(venue, credentials=KEY, isolate=True)
    with pytest.raises(TypeError, match="allow_plaintext is a bool"):
        Feed(venue, allow_plaintext=1)  # type: ignore[arg-type]
    Feed(venue, credentials=KEY, allow_plaintext=True).close()


@pytest.mark.parametrize("value", ["threads", "", None, True, 1])
def test_callbacks_run_in_one_of_two_ways(value: Any) -> None:
    with pytest.raises(ValueError, match="callbacks is 'inline' or 'thread', got"):
        make_pool("okx", callbacks=value)
    assert type(make_pool("okx").callback_runner) is CallbackRunner
    assert type(make_pool("okx", callbacks="inline").callback_runner) is CallbackRunner
    assert type(make_pool("okx", callbacks="thread").callback_runner) is Dispatcher


def test_a_context_that_does_not_verify_is_refused() -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False
    with pytest.raises(ValueError, match="must verify"):
        make_pool("okx", ssl_context=loose)


def test_a_proxy_that_cannot_be_one_is_refused_before_anything_is_connected() -> None:
    with pytest.raises(ValueError, match="socks5:// proxies are not supported"):
        make_pool("okx", proxy="socks5://me:the-secret-key@localhost:1080")
    with pytest.raises(ValueError, match="a proxy is a URL like") as caught:
        make_pool("okx", proxy="http://me:the-secret-key@localhost:x")
    assert "the-secret-key" not in str(caught.value)
    for good in (None, "", "http://localhost:3128", "http://me:it@localhost:3128"):
        make_pool("okx", proxy=good)


@pytest.mark.parametrize(
    ("proxy", "found"), [("", None), ("http://me:it@there.test:3128", "there.test")]
)
def test_every_connection_goes_through_the_proxy(proxy: str, found: str | None) -> None:
    network = settings_of(make_pool("okx", proxy=proxy)).network()
    assert isinstance(network, TcpNetwork)
    network.close()

    way = proxy_of(network, "wss", "ws.okx.com", 443)
    assert (way and way.host) == found


def test_what_is_injected_is_what_every_connection_lives_by() -> None:
    clock, rng = SystemClock(), random.Random(7)
    pool = make_pool(
        "okx",
        clock=clock,
        rng=rng,
        network=int,  # type: ignore[arg-type]
        reconnect=Reconnect(cap=5),
        timeouts=Timeouts(ack=3),
        ping_interval=20,
        lease=2,
    )
    settings = settings_of(pool)

    assert (settings.clock, settings.rng, settings.network) == (clock, rng, int)
    assert (settings.reconnect.cap, settings.timeouts.ack) == (5, 3)
    assert (settings.ping.interval, settings.ping.lease) == (20, 2)


@pytest.mark.parametrize("coalesce", [-0.001, 0.2, float("nan"), float("inf")])
def test_a_wait_that_could_end_a_lease_is_refused(coalesce: float) -> None:
    with pytest.raises(ValueError, match="coalesce"):
        make_pool("okx", coalesce=coalesce)


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("venue", ["okx", "okj"])
def test_the_bound_of_a_message_is_that_of_the_protocol(
    venue: str, isolate: bool
) -> None:
    assert make_pool(venue, isolate=isolate).wire.max_frame == 8 << 20
    assert make_pool(venue, isolate=isolate, max_frame=1 << 16).wire.max_frame == 65536
    with pytest.raises(ValueError, match="max_frame is at least 65536"):
        make_pool(venue, isolate=isolate, max_frame=65535)


def test_the_keywords_that_are_passed_on_are_those_that_are_taken() -> None:
    names = {field.name for field in fields(PoolOptions)}

    assert set(ConnectionOptions.__annotations__) == names - {
        "venue",
        "on_state",
        "on_error",
        "era",
        "forwarded",
    } | {"isolate", "publish", "via", "redis_ca"}
