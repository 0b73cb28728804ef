"""One connection to a Redis server: its login, its refusals, and what is no RESP3."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import ConnectionLost, HandshakeFailed
from okex_ws.base.state import CauseCode
from okex_ws.fanout.address import RedisAddress, parse
from okex_ws.fanout.redis_line import MOST_HELD, RedisLine, RedisRefused
from okex_ws.net.stream import TcpNetwork
from tests.support.redis_server import RedisServer

SECRET = "s3cret-word"


@pytest.fixture
def network() -> Iterator[TcpNetwork]:
    made = TcpNetwork(SystemClock(), proxy="")
    yield made
    made.close()


def opened(network: TcpNetwork, address: RedisAddress) -> RedisLine:
    deadline = time.monotonic() + 5.0
    return RedisLine.open(network, address, deadline, lambda: False, "test")


def replies(network: TcpNetwork, line: RedisLine, number: int) -> list[object]:
    found: list[object] = []
    while len(found) < number:
        network.wait(5.0, line.stream)
        found += line.read()
    return found


def test_commands_are_answered_in_order(
    network: TcpNetwork, redis: RedisServer
) -> None:
    line = opened(network, parse(redis.url, "via"))
    try:
        line.send([("SET", "a", "1"), ("INCR", "a"), ("GET", "a"), ("GET", "b")])
        assert replies(network, line, 4) == [b"OK", 2, b"2", None]
    finally:
        line.stream.close()


def test_an_error_is_a_reply_and_a_message_is_none(
    network: TcpNetwork, redis: RedisServer
) -> None:
    line = opened(network, parse(redis.url, "via"))
    try:
        line.send([("SET", "a", "x"), ("INCR", "a"), ("SUBSCRIBE", "c")])
        _, refused, word = replies(network, line, 3)
        assert isinstance(refused, RedisRefused)
        assert refused.word == "ERR"
        assert line.is_published(word)
        redis.call("PUBLISH", "c", "hello")
        (message,) = replies(network, line, 1)
        assert message == [b"message", b"c", b"hello"]
        assert line.is_published(message)
    finally:
        line.stream.close()


def test_a_database_is_chosen(network: TcpNetwork, redis: RedisServer) -> None:
    line = opened(network, parse(f"redis://127.0.0.1:{redis.port}/5", "via"))
    try:
        line.send([("SET", "here", "1")])
        replies(network, line, 1)
        assert redis.call("GET", "here") is None
    finally:
        line.stream.close()


def test_a_user_without_a_password_is_that_user(
    network: TcpNetwork, redis: RedisServer
) -> None:
    redis.call("ACL", "SETUSER", "pub", "on", "nopass", "~*", "&*", "+@all")
    line = opened(network, parse(f"redis://pub@127.0.0.1:{redis.port}/0", "via"))
    try:
        line.send([("ACL", "WHOAMI")])
        assert replies(network, line, 1) == [b"pub"]
    finally:
        line.stream.close()


def test_a_wrong_password_is_told_without_it(
    network: TcpNetwork, redis: RedisServer
) -> None:
    redis.call("ACL", "SETUSER", "pub", "on", ">right", "~*", "&*", "+@all")
    url = f"redis://pub:{SECRET}@127.0.0.1:{redis.port}/0"

    with pytest.raises(HandshakeFailed) as caught:
        opened(network, parse(url, "via"))

    assert caught.value.cause_code is CauseCode.LOGIN
    assert "WRONGPASS" in str(caught.value)
    assert "another password" in str(caught.value)
    assert SECRET not in str(caught.value) + repr(caught.value.__context__)


def test_a_replica_is_refused_with_what_to_do(
    network: TcpNetwork, redis: RedisServer, tmp_path: Path
) -> None:
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = RedisServer(folder, f"replicaof 127.0.0.1 {redis.port}")
    try:
        with pytest.raises(HandshakeFailed, match=r"a replica; name a single server"):
            opened(network, parse(replica.url, "via"))
    finally:
        replica.kill()


def test_a_cluster_is_refused_with_what_to_do(
    network: TcpNetwork, tmp_path: Path
) -> None:
    cluster = RedisServer(tmp_path, "cluster-enabled yes")
    try:
        with pytest.raises(HandshakeFailed, match="mode cluster"):
            opened(network, parse(cluster.url, "via"))
    finally:
        cluster.kill()


def test_a_server_at_its_limit_of_clients_is_told(
    network: TcpNetwork, redis: RedisServer
) -> None:
    redis.call("CONFIG", "SET", "maxclients", "1")
    line = opened(network, parse(redis.url, "via"))
    try:
        with pytest.raises((HandshakeFailed, ConnectionLost)) as caught:
            opened(network, parse(redis.url, "via"))
        assert "max number of clients" in str(caught.value)
    finally:
        line.stream.close()


def test_a_server_that_is_gone_ends_the_line(
    network: TcpNetwork, redis: RedisServer
) -> None:
    line = opened(network, parse(redis.url, "via"))
    redis.kill()
    try:
        with pytest.raises(ConnectionLost):
            replies(network, line, 1)
    finally:
        line.stream.close()


class Said:
    """A stream on which a server has said what a test chooses, and nothing else."""

    def __init__(self, said: Iterable[bytes]) -> None:
        self._said = iter(said)
        self.received = bytearray()

    def fill(self) -> int:
        self.received += next(self._said)
        return len(self.received)


def said(*parts: bytes) -> RedisLine:
    stream: Any = Said(parts)
    return RedisLine(stream, parse("redis://127.0.0.1/0", "via"))


@pytest.mark.parametrize(
    "garbage",
    [b"%1\r\n*1\r\n:1\r\n:2\r\n", b"*4294967294\r\n", b",x\r\n", b"?\r\n"],
)
def test_what_no_parser_can_read_ends_the_line(garbage: bytes) -> None:
    with pytest.raises(ConnectionLost, match="no RESP3"):
        said(garbage).read()


def test_a_false_is_an_answer_as_any_other() -> None:
    assert said(b"#f\r\n:1\r\n").read() == [False, 1]


def test_a_list_without_an_end_is_not_held_without_an_end() -> None:
    stream: Any = Said(
        itertools.chain([b"*99999999\r\n"], itertools.repeat(b":1\r\n" * 9999))
    )
    line = RedisLine(stream, parse("redis://127.0.0.1/0", "via"))

    with pytest.raises(ConnectionLost, match="an answer of more than"):
        all(line.read() == [] for _ in range(MOST_HELD // 9999))


def test_many_answers_are_more_than_one_may_be() -> None:
    answer = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"
    line = said(*[answer] * 50)

    assert sum(len(line.read()) for _ in range(50)) == 50
