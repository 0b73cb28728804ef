"""`Fetcher`: one GET request with its turn, its retries, its limits and its errors.

Every fault of the network or the exchange is raised as an `OkexWSError`. A fault that
may pass is retried, a limited number of times within a limited time.
"""

from __future__ import annotations

import random
import threading
import zlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import httpx

from ..base.checks import check_seconds, check_whole
from ..base.clock import Clock
from ..base.errors import (
    ConnectionLost,
    HandshakeFailed,
    OkexWSError,
    RequestRejected,
    Stalled,
    WireError,
    printable,
)
from ..base.rates import RateLimits
from ..base.retry import backoff
from ..base.state import CauseCode
from ..base.threads import heed_fork, locked
from ..model.exchange_codes import TRIES, Advice, advised, find_code
from ..model.numbers import quote
from ..net.http_head import retry_after
from .dialect import HttpResponse, RestProtocol, RestRequest

T = TypeVar("T")

# Bytes of an answer. A list of instruments has half a megabyte, a page of trades some
# ten kilobytes.
MAX_BODY = 8 << 20
# Seconds added to each period. The exchange counts requests when they arrive, and some
# take longer on the way than others.
SLACK = 0.1
# The documented budgets of each host, for the whole process, on the system's clock.
LIMITS = RateLimits()
# Seconds of back-off between attempts, with full jitter: first and last ceiling.
FIRST, CAP = 0.5, 8.0


class RetryPolicy(NamedTuple):
    """When to give one REST request up.

    *timeout*: seconds of one attempt. *retries*: attempts after the first. *patience*:
    seconds of all attempts together, waits included.
    """

    timeout: float
    retries: int
    patience: float


def check_retries(policy: RetryPolicy) -> None:
    """``TypeError`` or ``ValueError`` for a number that no request can have."""
    check_seconds("timeout", policy.timeout)
    check_seconds("patience", policy.patience)
    check_whole("retries", policy.retries, least=0)


class Fetcher:
    """Sends GET requests to one host, within its request budgets; repeats failed ones.

    Any thread may call `get`, which blocks. A lock lets one request out at a time: a
    call waits until the call before it has returned; only a signal handler that
    interrupts a call cannot wait for it, and gets a ``RuntimeError``. A failure that
    may pass (no connection, no answer in time, HTTP 5xx, too many requests) is tried
    again after a back-off, as *retry_policy* allows; other failures, and the last one,
    are raised as an `OkexWSError`.

    *origin* is the host's URL without a path. *begin* is a callable that is called
    before each attempt with the seconds that it has. *pause* is a callable that waits
    so many seconds. *closing* is a callable: once it returns true, a request that is
    about to be sent, or waits, raises `ConnectionLost`. *dispose* is a callable that
    closes the connection, once *closing* is true and no request is under way. *share*
    is the part of the documented budgets that is used; 1.0 is all of it.
    """

    def __init__(
        self,
        origin: str,
        client: httpx.Client,
        retry_policy: RetryPolicy,
        protocol: RestProtocol,
        *,
        begin: Callable[[float], None],
        pause: Callable[[float], object],
        closing: Callable[[], bool],
        dispose: Callable[[], None],
        limits: RateLimits,
        share: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._origin, self._client = origin, client
        self._retry_policy, self._protocol = retry_policy, protocol
        self._begin, self._pause = begin, pause
        self._closing, self._dispose = closing, dispose
        self._limits, self._share = limits, share
        self._clock, self._rng = clock, rng
        # Requests of other threads wait for *turn*. It is re-entrant, so that a signal
        # handler does not wait for the thread that it interrupts. *busy* is held while
        # the connection is in use, and no thread waits for it.
        self._turn, self._busy = threading.RLock(), threading.Lock()

    def forked(self) -> None:
        """In a forked child: replace the locks, which a thread may have held.

        The connection, and httpcore's own lock, are the parent's: nothing closes them.
        """
        self._turn, self._busy = threading.RLock(), threading.Lock()
        self._dispose = lambda: None

    def close(self) -> None:
        """Close the connection, unless a request uses it, which then does so itself."""
        if not self._busy.locked():
            self._dispose()

    def get(self, request: RestRequest, read: Callable[[HttpResponse], T]) -> T:
        """Send *request* and return what *read* makes of the answer, with retries.

        An error that *read* raises, such as a refusal, counts as a failed attempt too.
        """
        heed_fork()
        try:
            return locked(self._turn, lambda: self._get_in_turn(request, read))
        finally:
            if self._closing():
                self.close()

    def _get_in_turn(
        self, request: RestRequest, read: Callable[[HttpResponse], T]
    ) -> T:
        if self._busy.locked():
            raise RuntimeError(
                "a signal handler interrupted a request of this client: use another"
                " client there"
            )
        return locked(self._busy, lambda: self._get(request, read))

    def _get(self, request: RestRequest, read: Callable[[HttpResponse], T]) -> T:
        ends = self._clock.monotonic() + self._retry_policy.patience
        waits = backoff(FIRST, CAP, self._rng)
        retries = self._retry_policy.retries
        for sent in range(1, retries + 2):
            self._take_turn(request, ends)
            try:
                return read(self._send(request))
            except OkexWSError as failure:
                wait = self._until_next(request, failure, next(waits), sent)
                now = self._clock.monotonic()
                if wait is None or sent > retries or now + wait > ends:
                    raise
            self._wait(wait)
        raise AssertionError("the last try returns or raises")

    def _take_turn(self, request: RestRequest, ends: float) -> None:
        while True:
            now, rule = self._clock.monotonic(), request.rule
            limit, period = max(1, int(rule.limit * self._share)), rule.period + SLACK
            turn = self._limits.take((self._origin, rule.name), limit, period, now)
            if turn <= now:
                return
            if turn > ends:
                raise Stalled(
                    "no turn within the exchange's budget",
                    self._retry_policy.patience,
                    endpoint=f"{self._origin}{request.path}",
                    cause_code=CauseCode.BUDGET,
                )
            self._wait(turn - now)

    def _wait(self, seconds: float) -> None:
        self._check_open()
        self._pause(seconds)
        self._check_open()

    def _check_open(self) -> None:
        if self._closing():
            why, code = "the client was closed", CauseCode.CLOSED
            raise ConnectionLost(self._origin, why, cause_code=code)

    def _until_next(
        self, request: RestRequest, failure: OkexWSError, wait: float, sent: int
    ) -> float | None:
        """Seconds until the next attempt, or ``None`` if the failure will not pass.

        *sent* is the number of attempts so far.
        """
        if isinstance(failure, ConnectionLost | Stalled):
            return None if self._closing() else wait
        if not isinstance(failure, HandshakeFailed | RequestRejected):
            return None
        wish = max(wait, failure.retry_after or 0.0)
        status = failure.status or 0
        passes = self._passes(failure, sent)
        if status == 429 or passes is Advice.SLOWER:
            wish = max(wish, failure.retry_after or request.rule.period)
            until = self._clock.monotonic() + wish
            self._limits.hold((self._origin, request.rule.name), until)
            return wish
        return wish if status >= 500 or passes else None

    def _passes(self, failure: OkexWSError, sent: int) -> Advice | None:
        """The advice of the exchange's code, if the same request may succeed later."""
        if not isinstance(failure, RequestRejected):
            return None
        if str(failure.code) == str(failure.status):
            # The exchange gave no code of its own.
            if failure.status == 429 or failure.status >= 500:
                failure.cause_code = CauseCode.BUSY
            return None
        known = find_code(self._protocol.name, failure.code)
        advised(failure, known)
        again = known.advice is Advice.TRIES and sent < TRIES
        return known.advice if known.advice.passes or again else None

    def _send(self, request: RestRequest) -> HttpResponse:
        self._check_open()
        self._begin(self._retry_policy.timeout)
        url = f"{self._origin}{request.path}"
        http_request = self._client.build_request(
            "GET", url, params=dict(request.params) or None
        )
        try:
            response = self._client.send(http_request, stream=True)
            try:
                return HttpResponse(
                    response.status_code, _body(response), _wish(response)
                )
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise Stalled(
                "no answer",
                self._retry_policy.timeout,
                endpoint=url,
                cause_code=CauseCode.NETWORK,
            ) from error
        except httpx.ProtocolError as error:
            raise WireError("http", printable(str(error)), request.path) from error
        except httpx.HTTPError as error:
            reason = printable(str(error)) or type(error).__name__
            raise ConnectionLost(self._origin, reason) from error


def _body(response: httpx.Response) -> bytes:
    """The content, at most `MAX_BODY` bytes; a server in between may have packed it."""
    encoding = response.headers.get("content-encoding", "identity").lower().strip()
    if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
        raise WireError("http", f"an answer that is packed by {quote(encoding)}")
    packed, body = encoding != "identity", bytearray()
    for chunk in response.iter_raw() if packed else response.iter_bytes():
        body += chunk
        _check_size(body)
    if not packed:
        return bytes(body)
    # Either of the two, as its head says (zlib.decompressobj, 32 + MAX_WBITS).
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise WireError("http", f"an answer that cannot be unpacked: {error}") from None
    _check_size(content)
    if not unpacker.eof:
        raise WireError("http", "a packed answer that ends early")
    return content


def _check_size(body: bytes | bytearray) -> None:
    if len(body) > MAX_BODY:
        raise WireError("http", f"an answer of more than {MAX_BODY} bytes")


def _wish(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after")
    return retry_after(text.strip()) if text is not None else None
