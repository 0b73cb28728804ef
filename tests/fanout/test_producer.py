"""The producer: its views of channels, and what a slow or full Redis makes of it."""

from __future__ import annotations

import pytest

from okex_ws import ConnectionLost, Feed, OkexWSError, RawSubscription, Reconnect
from okex_ws.local_exchange import LocalExchange
from tests.support.recorder_taps import until
from tests.support.redis_server import RedisServer

QUICK = Reconnect(first=0.05, cap=0.2, host_gap=0.0)


def keys(redis: RedisServer) -> set[str]:
    return {key.decode() for key in redis.call("KEYS", "*")}


def test_every_public_channel_of_a_script_is_published_and_no_private_one(
    redis: RedisServer,
) -> None:
    with LocalExchange(instruments=["BTC-USDT"]) as exchange:
        credentials = exchange.credentials[0]
        with Feed(
            exchange.venue_v5, publish=redis.url, credentials=credentials
        ) as feed:
            feed.subscribe(["BTC-USDT"], channels=["depth5", "depth"])
            account = RawSubscription([{"channel": "account"}], feed=feed)
            account.wait_live(10)
            prefix = "{okx}:test:local:0"
            # A whole book has a key once a reader asks for a beat.
            redis.call("SET", f"{prefix}:probe", str(1 << 41))
            until(lambda: f"{prefix}:t:books:BTC-USDT" in keys(redis))
            until(lambda: f"{prefix}:t:books5:BTC-USDT" in keys(redis))

            assert not any("account" in key for key in keys(redis))
            assert {f"{prefix}:leader", f"{prefix}:term"} <= keys(redis)


def test_an_end_of_the_line_is_told_once_and_gives_way(redis: RedisServer) -> None:
    errors: list[OkexWSError] = []
    with LocalExchange(instruments=["BTC-USDT"]) as exchange:
        with Feed(
            exchange.venue_v5,
            publish=redis.url,
            on_error=errors.append,
            reconnect=QUICK,
        ) as feed:
            feed.subscribe(["BTC-USDT"], channels=["depth5"])
            until(lambda: redis.call("GET", "{okx}:test:local:0:leader"))
            redis.kill()
            until(lambda: errors)
            assert isinstance(errors[0], ConnectionLost)
            assert "redis://127.0.0.1" in str(errors[0])
            feed.wait_live(10)  # its own reads go on
            redis.start()
            until(lambda: redis.call("GET", "{okx}:test:local:0:leader"))
        assert redis.call("GET", "{okx}:test:local:0:leader") is None


def test_a_redis_without_memory_is_told_and_delays_nothing(redis: RedisServer) -> None:
    errors: list[OkexWSError] = []
    redis.call("CONFIG", "SET", "maxmemory", "1")
    redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    with (
        LocalExchange(instruments=["BTC-USDT"]) as exchange,
        Feed(
            exchange.venue_v5,
            publish=redis.url,
            on_error=errors.append,
            reconnect=QUICK,
        ) as feed,
    ):
        (btc,) = feed.subscribe(["BTC-USDT"], channels=["depth5"])
        until(lambda: errors)
        assert "OOM" in str(errors[0])
        btc.wait_live(10)
        redis.call("CONFIG", "SET", "maxmemory", "0")
        until(lambda: any(":t:" in key for key in keys(redis)))


@pytest.mark.parametrize("key", ["leader", "term", "probe"])
def test_keys_that_are_something_else_are_told_and_tried_again(
    redis: RedisServer, key: str
) -> None:
    errors: list[OkexWSError] = []
    name = f"{{okx}}:test:local:0:{key}"
    redis.call("HSET", name, "a", "b")
    with (
        LocalExchange(instruments=["BTC-USDT"]) as exchange,
        Feed(
            exchange.venue_v5,
            publish=redis.url,
            on_error=errors.append,
            reconnect=QUICK,
        ) as feed,
    ):
        (btc,) = feed.subscribe(["BTC-USDT"], channels=["depth5"])
        until(lambda: errors)
        assert "WRONGTYPE" in str(errors[0])
        btc.wait_live(10)
        redis.call("DEL", name)
        until(lambda: any(":t:" in key for key in keys(redis)))
