"""A feed that publishes and feeds that read, over a real Redis and a local exchange."""

from __future__ import annotations

import gzip
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from okex_ws import (
    Depth,
    Feed,
    NotLive,
    OkexWSError,
    RawSubscription,
    Reconnect,
    Recorder,
    Replay,
    State,
    Timeouts,
    Trade,
)
from okex_ws.base.state import CauseCode
from okex_ws.fanout.envelope import Forwarded, decode
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import Rest
from tests.support.internals import opening_numbers, published_topics
from tests.support.loopback_servers import closed_port
from tests.support.pages import TOPICS
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


def test_a_topic_that_is_published_anew_has_higher_versions_than_before(
    producer: Feed, redis: RedisServer
) -> None:
    key = "{okx}:test:local:0:t:books5:" + ETH

    def newest() -> int:
        said = decode(redis.call("GET", key))
        assert isinstance(said, Forwarded)
        return said.version

    (mine,) = producer.subscribe([ETH], channels=["depth5"])
    until(lambda: redis.call("GET", key) and newest() > 10)
    mine.close()
    before = newest()

    producer.subscribe([ETH], channels=["depth5"])

    until(lambda: newest() != before)
    assert newest() > before


def test_what_was_let_go_of_is_followed_no_more(
    exchange: LocalExchange, producer: Feed
) -> None:
    for _ in range(20):
        subscriptions = producer.subscribe([BTC, ETH], channels=["depth5"])
        for one in subscriptions:
            one.close()

    topics, views = published_topics(producer)
    assert {f"books5:{BTC}", f"books:{BTC}"} <= topics
    assert f"books5:{ETH}" not in topics
    assert views == len(topics)


def test_openings_have_numbers_of_their_own(
    exchange: LocalExchange, producer: Feed
) -> None:
    found: list[int] = []

    def openings() -> None:
        found.extend(opening_numbers(producer, 2000))

    threads = [threading.Thread(target=openings) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 8000


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


# --- Rights, TLS, recordings ----------------------------------------------------------

PRODUCERS = (
    "~{okx}:* &{okx}:* -@all +hello +auth +ping +select +set +get +del +incr +pexpire"
    " +publish +client|setname"
)
READERS = (
    "%R~{okx}:* %RW~{okx}:*:probe &{okx}:* -@all +hello +auth +ping +select +get +mget"
    " +incr +subscribe +unsubscribe +client|setname"
)
SECRET = "s3cret-word"


def test_the_rights_of_the_guide_are_enough_and_a_reader_cannot_publish(
    exchange: LocalExchange, redis: RedisServer
) -> None:
    for user, rights in (("okx-pub", PRODUCERS), ("okx-sub", READERS)):
        assert f"ACL SETUSER {user} on >PASSWORD {rights}" in TOPICS["redis"]
        redis.call("ACL", "SETUSER", user, "on", f">{SECRET}", *rights.split())
    redis.call("ACL", "SETUSER", "default", "resetpass", "-@all", "+ping", "+acl")
    at = f"127.0.0.1:{redis.port}/0?name=test"
    venue = exchange.venue_v5
    with (
        Feed(venue, publish=f"redis://okx-pub:{SECRET}@{at}", lease=LEASE) as producer,
        Feed(venue, via=f"redis://okx-sub:{SECRET}@{at}") as reader,
    ):
        producer.subscribe([BTC], channels=CHANNELS)
        (btc,) = reader.subscribe([BTC], channels=CHANNELS)
        btc.wait_live(10)
        btc.close()
    with (
        Feed(venue, publish=f"redis://okx-sub:{SECRET}@{at}", reconnect=QUICK) as feed,
    ):
        errors: list[OkexWSError] = []
        feed.subscribe([BTC], channels=["depth5"], on_error=errors.append)
        until(lambda: errors)
        assert "NOPERM" in str(errors[0])
        assert SECRET not in str(errors) + repr(feed)


def test_tls_trusts_the_authority_that_is_named_and_no_other(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    made = authority.issue_cert("localhost")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    made.private_key_pem.write_to_path(str(key))
    made.cert_chain_pems[0].write_to_path(str(chain))
    for name, each in (("ca", authority), ("other", other)):
        each.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    port = closed_port()
    config = [f"tls-port {port}", f"tls-cert-file {chain}", f"tls-key-file {key}"]
    config += [f"tls-ca-cert-file {tmp_path / 'ca.pem'}", "tls-auth-clients no"]
    try:
        server = RedisServer(tmp_path, *config)
    except AssertionError:
        pytest.skip("this redis-server was built without TLS")
    url, venue = f"rediss://localhost:{port}/0?name=test", exchange.venue_v5
    try:
        with (
            Feed(venue, publish=url, redis_ca=str(tmp_path / "ca.pem")) as producer,
            Feed(venue, via=url, redis_ca=str(tmp_path / "ca.pem")) as reader,
            Feed(venue, via=url, redis_ca=str(tmp_path / "other.pem")) as stranger,
        ):
            producer.subscribe([BTC], channels=["depth5"])
            (btc,) = reader.subscribe([BTC], channels=["depth5"])
            errors: list[OkexWSError] = []
            stranger.subscribe([BTC], channels=["depth5"], on_error=errors.append)
            btc.wait_live(15)
            until(lambda: errors)
            assert errors[0].cause_code is CauseCode.CERTIFICATE
    finally:
        server.kill()


def test_a_recording_of_a_reader_has_what_came_and_is_not_replayed(
    exchange: LocalExchange, producer: Feed, redis: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "far.rec.gz"
    with (
        Recorder(path) as recorder,
        Feed(exchange.venue_v5, via=redis.url, recorder=recorder) as reader,
    ):
        (btc,) = reader.subscribe([BTC], channels=["depth5"])
        btc.wait_live(10)

    with gzip.open(path, "rt") as lines:
        assert "books5" in lines.read()
    with pytest.raises(ValueError, match="record the feed that publishes"):
        Replay(path)


def test_a_past_comes_from_a_source_of_the_scripts_own(
    exchange: LocalExchange, producer: Feed, redis: RedisServer
) -> None:
    producer.subscribe([BTC], channels=["trades-all"])

    def source() -> Rest:
        return Rest(exchange.venue_v5)

    with Feed(exchange.venue_v5, via=redis.url, history_source=source) as reader:
        (btc,) = reader.subscribe([BTC], channels=["trades-all"], history=20)
        btc.wait_live(20)

        assert len(btc.trades) >= 20
