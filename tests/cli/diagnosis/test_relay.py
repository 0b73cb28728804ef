"""The way by Redis, link by link; the whole of it is tried with ``publish``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from okex_ws import find_venue
from okex_ws.base.state import Cause, CauseCode
from okex_ws.cli.arguments import Destination
from okex_ws.cli.diagnosis.checks import CheckFailed, Grade
from okex_ws.cli.diagnosis.relay import RedisWay
from okex_ws.fanout.envelope import Beat, Identity, Link, Vouch
from tests.support.redis_server import RedisServer

WHO = Identity(1, "session", "me")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def relay(url: str) -> RedisWay:
    return RedisWay(Destination(find_venue("okx"), via=url), 2.0)


def test_a_reader_without_rights_is_told_which_it_misses(redis: RedisServer) -> None:
    rights = ["~*", "&*", "-@all", "+hello", "+auth", "+get"]
    redis.call("ACL", "SETUSER", "sub", "on", ">secret", *rights)
    url = redis.url.replace("redis://", "redis://sub:secret@")
    with closing(relay(url)) as one:
        assert one.connect().said == "logged in as 'sub', database 0"
        with pytest.raises(CheckFailed, match="may not INCR, SUBSCRIBE"):
            one.try_rights()


def test_a_reader_with_the_rights_of_the_guide_cannot_publish(
    redis: RedisServer,
) -> None:
    rights = ["%R~{okx}:*", "%RW~{okx}:*:probe", "&{okx}:*", "-@all", "+hello"]
    more = ["+auth", "+get", "+incr", "+subscribe", "+select", "+client|setname"]
    redis.call("ACL", "SETUSER", "sub", "on", ">secret", *rights, *more)
    url = redis.url.replace("redis://", "redis://sub:secret@")
    with closing(relay(url)) as one:
        one.connect()
        found = one.try_rights()
        assert (found.grade, found.said) == (
            Grade.GOOD,
            "it may read, and cannot publish",
        )


def test_a_server_that_is_not_there_is_told(redis: RedisServer) -> None:
    redis.kill()
    wrong = closing(relay(redis.url))
    with wrong as one, pytest.raises(CheckFailed, match="cannot connect"):
        one.connect()


def beat(age: float, lost: dict[str, Cause]) -> Beat:
    topics = {"books5:BTC-USDT": Vouch(3, 1, True)}
    return Beat(WHO, 1, 15.0, {1: Link(age, "wss://x")}, topics, lost)


def test_a_beat_isdescribed_with_what_it_does_not_vouch_for() -> None:
    with closing(relay("redis://127.0.0.1:1")) as one:
        good = one.described(beat(2.0, {}))
        assert good.grade is Grade.GOOD
        assert "vouches for 1 channels (books5:BTC-USDT)" in good.said
        assert one.described(beat(12.0, {})).grade is Grade.WARN
        why = Cause(CauseCode.NETWORK, "reset", "wss://y")
        half = one.described(beat(2.0, {"books:X": why}))
        assert half.grade is Grade.WARN
        assert half.advice == "not for books:X: wss://y reset"
        none = beat(2.0, {"books:X": why})._replace(topics={}, links={})
        with pytest.raises(CheckFailed, match="no channel"):
            one.described(none)
