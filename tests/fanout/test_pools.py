"""A feed that publishes and feeds that read, over a real Redis and a local exchange."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from okex_ws import (
    Depth,
    Feed,
    NotLive,
    RawSubscription,
    Reconnect,
    State,
    Timeouts,
    Trade,
)
from okex_ws.base.state import CauseCode
from okex_ws.local_exchange import LocalExchange
from tests.support.recorder_taps import until
from tests.support.redis_server import RedisServer

BTC, ETH = "BTC-USDT", "ETH-USDT"
CHANNELS = ("depth5", "depth", "trade", "ticker")
QUICK = Reconnect(first=0.05, cap=0.2, host_gap=0.0)
LEASE = 3.0


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(instruments=[BTC, ETH]) as made:
        yield made


@pytest.fixture
def producer(exchange: LocalExchange, redis: RedisServer) -> Iterator[Feed]:
    with Feed(
        exchange.venue_v5, publish=redis.url, lease=LEASE, reconnect=QUICK
    ) as feed:
        feed.subscribe([BTC], channels=CHANNELS)
        feed.wait_live(10)
        yield feed


@pytest.fixture
def reader(
    exchange: LocalExchange, producer: Feed, redis: RedisServer
) -> Iterator[Feed]:
    timeouts = Timeouts(pong=2.0)
    with Feed(
        exchange.venue_v5, via=redis.url, reconnect=QUICK, timeouts=timeouts
    ) as feed:
        yield feed


def test_a_reader_has_what_the_producer_has(producer: Feed, reader: Feed) -> None:
    (btc,) = reader.subscribe([BTC], channels=CHANNELS)
    items = btc.updates(timeout=10.0)
    reader.wait_live(10)
    kinds = set[type]()
    while not {Depth, Trade} <= kinds:
        kinds.add(type(next(items)))
    (own,) = producer.subscriptions

    def same() -> bool:
        mine, theirs = btc.book, getattr(own, "book", None)
        return mine is not None and theirs is not None and mine.bids == theirs.bids

    until(same)
    assert btc.GetDepth()
    assert btc.best_bid_ask().bid is not None
    assert set(btc.GetDepth()) == {"instrument_id", "asks", "bids", "timestamp"}


def test_on_message_gets_the_exchanges_own_text(
    exchange: LocalExchange, producer: Feed, reader: Feed
) -> None:
    texts: list[str] = []
    reader.subscribe([BTC], channels=["depth5"], on_message=texts.append)

    until(lambda: len(texts) >= 3)

    assert all(text.startswith('{"arg":{"channel":"books5"') for text in texts)


def test_both_hops_are_reported(
    exchange: LocalExchange, reader: Feed, redis: RedisServer
) -> None:
    reader.subscribe([BTC], channels=["depth5"])
    reader.wait_live(10)

    near, far = reader.connections()

    assert near.endpoint == f"redis://127.0.0.1:{redis.port}/0"
    assert far.endpoint.startswith("ws://127.0.0.1:")
    assert near.open
    assert far.open


def test_what_is_not_published_stays_connecting_and_says_what_is(reader: Feed) -> None:
    (eth,) = reader.subscribe([ETH], channels=["depth5"])

    until(lambda: BTC in eth.health().cause)

    assert eth.state is State.CONNECTING
    assert eth.health().cause.code is CauseCode.NOT_PUBLISHED
    assert eth.GetDepth() == {}


def test_what_is_published_later_becomes_live(producer: Feed, reader: Feed) -> None:
    (eth,) = reader.subscribe([ETH], channels=["depth5"])
    until(lambda: eth.health().cause.code is CauseCode.NOT_PUBLISHED)

    producer.subscribe([ETH], channels=["depth5"])

    eth.wait_live(10)
    assert eth.GetDepth()["instrument_id"] == ETH


def test_what_the_producer_lets_go_of_is_withheld(producer: Feed, reader: Feed) -> None:
    (mine,) = producer.subscribe([ETH], channels=["depth5"])
    (eth,) = reader.subscribe([ETH], channels=["depth5"])
    eth.wait_live(10)

    mine.close()

    until(lambda: eth.GetDepth() == {})
    until(lambda: eth.health().cause.code is CauseCode.NOT_PUBLISHED)


def test_a_lost_exchange_is_a_no_that_names_that_link(
    exchange: LocalExchange, reader: Feed
) -> None:
    (btc,) = reader.subscribe([BTC], channels=["depth5"])
    btc.wait_live(10)

    exchange.close()

    until(lambda: btc.GetDepth() == {})
    until(lambda: "ws://127.0.0.1" in btc.health().cause.endpoint)
    with pytest.raises(NotLive):
        btc.depth()


@pytest.mark.parametrize("again", [True, False])
def test_a_redis_that_is_killed_is_a_no_until_it_is_back(
    reader: Feed, redis: RedisServer, again: bool
) -> None:
    (btc,) = reader.subscribe([BTC], channels=CHANNELS)
    btc.wait_live(10)

    redis.kill()

    until(lambda: btc.state is State.RECONNECTING)
    assert btc.GetDepth() == {}
    if again:
        redis.start()
        btc.wait_live(15)


def test_a_redis_that_stands_still_is_a_no_within_a_lease(
    reader: Feed, redis: RedisServer
) -> None:
    (btc,) = reader.subscribe([BTC], channels=["depth5"])
    btc.wait_live(10)
    redis.signal(signal.SIGSTOP)
    stopped = time.monotonic()

    until(lambda: btc.GetDepth() == {})

    assert time.monotonic() - stopped < LEASE + 1.0
    redis.signal(signal.SIGCONT)
    btc.wait_live(15)


def test_a_redis_that_is_emptied_is_filled_again(
    reader: Feed, redis: RedisServer
) -> None:
    (btc,) = reader.subscribe([BTC], channels=["depth5"])
    btc.wait_live(10)

    redis.call("FLUSHALL")

    until(lambda: btc.state is not State.LIVE)
    btc.wait_live(15)


def test_a_lease_that_lapsed_and_was_renewed_is_a_no_only_meanwhile(
    exchange: LocalExchange, producer: Feed, reader: Feed
) -> None:
    (btc,) = reader.subscribe([BTC], channels=CHANNELS)
    btc.wait_live(10)
    (mine,) = producer.subscriptions

    exchange.mute()  # its connection stays: no answer comes, and no push

    until(lambda: mine.state is not State.LIVE)
    until(lambda: btc.GetDepth() == {})
    exchange.resume()
    btc.wait_live(15)


def test_a_producer_that_is_gone_is_a_no_that_says_whose_beats_are_missing(
    producer: Feed, reader: Feed
) -> None:
    (btc,) = reader.subscribe([BTC], channels=["depth5"])
    btc.wait_live(10)

    producer.close()

    until(lambda: btc.GetDepth() == {})
    until(lambda: "'test'" in btc.health().cause)


@pytest.mark.parametrize(
    ("keywords", "why"),
    [
        ({"isolate": True}, "isolate"),
        ({"proxy": "http://127.0.0.1:1"}, "takes no proxy="),
        ({"publish": "redis://127.0.0.1"}, "not both"),
        ({"redis_ca": "/nowhere/ca.pem"}, "redis_ca"),
    ],
)
def test_what_a_reader_cannot_have_is_refused(
    keywords: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Feed("okx", via="redis://127.0.0.1:1", **keywords)  # type: ignore[arg-type]


def test_a_reader_refuses_rotate_private_channels_and_a_past_without_a_source(
    reader: Feed,
) -> None:
    with pytest.raises(ValueError, match="cannot rotate"):
        reader.rotate()
    with pytest.raises(ValueError, match="never published"):
        RawSubscription([{"channel": "account"}], feed=reader)
    with pytest.raises(ValueError, match="history"):
        reader.subscribe([BTC], channels=["trades-all"], history=10)
