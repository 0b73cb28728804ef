"""One GET until it is answered, in virtual time: tries, waits, bounds, whose fault."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from okex_ws.base.errors import (
    ConnectionLost,
    HandshakeFailed,
    OkexWSError,
    RequestRejected,
    Stalled,
    WireError,
)
from okex_ws.base.rates import RateLimits
from okex_ws.rest import v5 as rest_v5
from okex_ws.rest.dialect import HttpResponse, RestRequest, Rule
from okex_ws.rest.fetch import CAP, FIRST, MAX_BODY, SLACK, Fetcher, RetryPolicy
from tests.support.clocks import FakeClock

ORIGIN = "https://rest.invalid"
RULE = Rule("trades", 3, 2.0)
ASK = RestRequest("/api/v5/market/trades", {"instId": "BTC-USDT"}, RULE)
GOOD = '{"code":"0","msg":"","data":[]}'
CROWDED = '{"code":"50011","msg":"Too Many Requests"}'

Said = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class World:
    """A peer that says one thing after the other, and a clock that waits move."""

    def __init__(self, *says: Said, share: float = 1.0, **tries: Any) -> None:
        self.says = iter(says)
        self.asked: list[httpx.Request] = []
        self.waits: list[float] = []
        self.clock = FakeClock()
        self.closed = False
        self.limits = RateLimits()
        self.client = httpx.Client(transport=httpx.MockTransport(self.answer))
        tries = {"timeout": 10.0, "retries": 4, "patience": 60.0, **tries}
        self.fetcher = Fetcher(
            ORIGIN,
            self.client,
            RetryPolicy(**tries),
            rest_v5.REST_PROTOCOL,
            begin=lambda seconds: None,
            pause=lambda seconds: self.pause(seconds),
            closing=lambda: self.closed,
            dispose=self.client.close,
            limits=self.limits,
            share=share,
            clock=self.clock,
            rng=random.Random(7),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        said = next(self.says)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, httpx.Response) else said(request)

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def get(self) -> Any:
        return self.fetcher.get(
            ASK, lambda answer: rest_v5.REST_PROTOCOL.data(ASK, answer)
        )


def good() -> httpx.Response:
    return httpx.Response(200, text=GOOD)


def test_it_asks_for_what_it_should() -> None:
    world = World(good())

    assert world.get() == []
    assert str(world.asked[0].url) == f"{ORIGIN}{ASK.path}?instId=BTC-USDT"
    assert world.asked[0].method == "GET"


PASSING: list[Callable[[], Said]] = [
    lambda: httpx.Response(503, text="<html>"),
    lambda: httpx.Response(500, text='{"code":"50026","msg":"System error."}'),
    lambda: httpx.Response(200, text='{"code":"50013","msg":"Systems are busy."}'),
    lambda: httpx.Response(200, text=CROWDED),
    lambda: httpx.Response(429, text=CROWDED),
    lambda: httpx.ReadTimeout("slow"),
    lambda: httpx.ConnectError("nobody"),
    lambda: ConnectionLost(ORIGIN, "gone"),
    lambda: Stalled("answer", 10.0),
    lambda: HandshakeFailed(ORIGIN, "the proxy says 503", 503, 1.0),
]


@pytest.mark.parametrize("says", PASSING)
def test_what_passes_is_tried_again(says: Callable[[], Said]) -> None:
    world = World(says(), says(), good())

    assert world.get() == []
    assert len(world.asked) == 3
    assert len(world.waits) == 2


def bad(status: int, text: str) -> Callable[[], Said]:
    return lambda: httpx.Response(status, text=text)


LASTING: list[tuple[Callable[[], Said], type[OkexWSError]]] = [
    (bad(200, '{"code":"51001","msg":"no such thing"}'), RequestRejected),
    (bad(403, "<html>"), RequestRejected),
    (bad(302, ""), RequestRejected),
    (bad(404, '{"code":404,"msg":"Not Found"}'), RequestRejected),
    (bad(200, "<html>"), HandshakeFailed),
    (bad(200, "no JSON"), WireError),
    (lambda: httpx.RemoteProtocolError("no HTTP"), WireError),
    (lambda: HandshakeFailed(ORIGIN, "certificate refused"), HandshakeFailed),
    (lambda: HandshakeFailed(ORIGIN, "the proxy says 407", 407), HandshakeFailed),
]


@pytest.mark.parametrize(("says", "kind"), LASTING)
def test_what_does_not_pass_is_told_at_once(
    says: Callable[[], Said], kind: type[OkexWSError]
) -> None:
    world = World(says())

    with pytest.raises(kind):
        world.get()
    assert world.waits == []


UNKNOWN = '{"code":"59999","msg":"who knows"}'


def test_an_unknown_code_is_tried_three_times() -> None:
    world = World(*(httpx.Response(200, text=UNKNOWN) for _ in range(9)))

    with pytest.raises(RequestRejected, match="who knows"):
        world.get()
    assert len(world.asked) == 3
    first, second = world.waits
    assert 0 < first < FIRST
    assert 0 < second < 2 * FIRST


def test_an_unknown_code_may_pass() -> None:
    world = World(httpx.Response(400, text=UNKNOWN), good())

    assert world.get() == []


def test_redirects_are_not_followed() -> None:
    world = World(httpx.Response(302, headers={"location": "https://evil.invalid/"}))

    with pytest.raises(RequestRejected, match="not followed"):
        world.get()
    assert len(world.asked) == 1


def test_the_last_failure_is_told_after_so_many_tries() -> None:
    world = World(*(httpx.Response(503) for _ in range(9)), retries=3)

    with pytest.raises(RequestRejected) as caught:
        world.get()
    assert caught.value.code == 503
    assert len(world.asked) == 4
    assert all(0 <= wait <= CAP for wait in world.waits)


def test_patience_ends_before_a_wait_that_it_would_not_survive() -> None:
    world = World(httpx.Response(503, headers={"retry-after": "61"}))

    with pytest.raises(RequestRejected) as caught:
        world.get()
    assert caught.value.retry_after == 61.0
    assert world.waits == []


def test_the_peers_own_wish_is_honoured() -> None:
    world = World(httpx.Response(503, headers={"retry-after": "17"}), good())

    assert world.get() == []
    assert world.waits == [17.0]


def test_too_many_requests_wait_for_the_budget_whoever_asks() -> None:
    world = World(httpx.Response(429, headers={"retry-after": "5"}), good(), good())

    assert world.get() == []
    assert sum(world.waits) == pytest.approx(5.0)
    world.limits.hold((ORIGIN, RULE.name), world.clock.now + 30.0)
    assert world.get() == []
    assert sum(world.waits) == pytest.approx(35.0)


def test_too_many_requests_without_a_wish_wait_a_period() -> None:
    world = World(httpx.Response(200, text=CROWDED), good())

    world.get()

    assert sum(world.waits) == pytest.approx(RULE.period)


def test_the_budget_is_kept() -> None:
    world = World(*(good() for _ in range(10)))
    times = []
    for _ in range(10):
        world.get()
        times.append(world.clock.now)

    for first, fourth in zip(times, times[RULE.limit :], strict=False):
        assert fourth - first >= RULE.period


@pytest.mark.parametrize(("share", "at_once"), [(0.1, 1), (1.0, 3), (2.0, 6)])
def test_a_share_of_the_budget_is_a_part_of_it_and_never_nothing(
    share: float, at_once: int
) -> None:
    world = World(*(good() for _ in range(at_once + 1)), share=share)
    for _ in range(at_once):
        world.get()
    assert world.waits == []

    world.get()

    assert sum(world.waits) == pytest.approx(RULE.period + SLACK)


def test_no_turn_in_time_is_told() -> None:
    world = World(patience=3.0)
    world.limits.hold((ORIGIN, RULE.name), world.clock.now + 10.0)

    with pytest.raises(Stalled, match="no turn"):
        world.get()
    assert world.asked == []


def test_closing_ends_the_wait() -> None:
    world = World(httpx.Response(503), good())

    def close(seconds: float) -> None:
        world.closed = True

    world.pause = close  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost, match="closed"):
        world.get()
    with pytest.raises(ConnectionLost, match="closed"):
        world.get()
    assert len(world.asked) == 1


class Endless(httpx.SyncByteStream):
    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 1 << 20
            yield bytes(1 << 20)


def test_a_body_that_is_too_large_is_refused_while_it_comes() -> None:
    stream = Endless()
    world = World(httpx.Response(200, stream=stream))

    with pytest.raises(WireError, match="more than"):
        world.get()
    assert stream.given <= MAX_BODY + (1 << 20)


class Sent(httpx.SyncByteStream):
    """A body as it comes over the line."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body


def packed(body: bytes | None, encoding: str) -> World:
    stream = Endless() if body is None else Sent(body)
    headers = {"content-encoding": encoding}
    return World(lambda request: httpx.Response(200, headers=headers, stream=stream))


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (gzip.compress, " X-GZIP ")],
)
def test_an_answer_that_a_server_in_between_packed_is_unpacked(
    pack: Callable[[bytes], bytes], encoding: str
) -> None:
    world = packed(pack(b"7" * 5000), encoding)

    assert world.fetcher.get(ASK, lambda answer: answer).body == b"7" * 5000


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (None, "gzip", "more than"),
        (gzip.compress(bytes(MAX_BODY + 1), mtime=0), "gzip", "more than"),
        (gzip.compress(b"7" * 5000, mtime=0)[:-9], "gzip", "ends early"),
        (b"no gzip", "gzip", "cannot be unpacked"),
        (b"", "br", "packed by 'br'"),
    ],
)
def test_a_packed_answer_is_bounded_and_whole_or_refused(
    body: bytes | None, encoding: str, why: str
) -> None:
    with pytest.raises(WireError, match=why):
        packed(body, encoding).get()


def test_an_answer_is_what_came() -> None:
    world = World(httpx.Response(418, text="tea", headers={"retry-after": "soon"}))

    got = world.fetcher.get(ASK, lambda answer: answer)

    assert got == HttpResponse(418, b"tea", None)
