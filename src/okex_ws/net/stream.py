"""TCP and TLS with a wake-up and one deadline. Nothing here knows what it carries.

One thread owns a network and its stream, and does all the socket's I/O; other threads
only call `wake`. Nothing blocks but `Network.open`, `Network.wait` and `Stream.recv`,
and a wake-up cuts each of them short.
"""

from __future__ import annotations

import contextlib
import math
import select
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..base.clock import Clock, SystemClock
from ..base.errors import ConnectionLost, HandshakeFailed, Stalled
from ..base.rates import HostGap
from .dial import Resolve, connect, find_addresses, sentence, system_resolve
from .proxy import Proxy, open_tunnel, proxy_finder
from .tcp import TcpStream

# `poll` takes milliseconds in an int; returning early is always right.
_LONGEST_WAIT = 3600.0
# Whose URLs ask for TLS.
_SECURE = ("wss", "https")
_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class _Select:
    """`select.poll` for Windows, which has none."""

    def __init__(self) -> None:
        self._selector = selectors.SelectSelector()

    def register(self, descriptor: int, events: int) -> None:
        self._selector.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def poll(self, milliseconds: int | None) -> list[tuple[int, int]]:
        timeout = None if milliseconds is None else milliseconds / 1000
        return [(key.fd, events) for key, events in self._selector.select(timeout)]


# Both keep their list in user space: no descriptor that a fork would share. `select`,
# with its limit of 512 sockets, is the last resort.
Selector: type[Any] = getattr(selectors, "PollSelector", selectors.SelectSelector)
_poll: Callable[[], Any] = getattr(select, "poll", _Select)
_EVENTS = (
    {
        _READ: select.POLLIN,
        _WRITE: select.POLLOUT,
        _READ | _WRITE: select.POLLIN | select.POLLOUT,
    }
    if _poll is not _Select
    else {events: events for events in (_READ, _WRITE, _READ | _WRITE)}
)


class Stream(Protocol):
    """What a transport reads and writes; only the connection's thread touches it.

    *received* holds decrypted bytes that nobody consumed yet: the reader deletes what
    it took. *heard* is the monotonic clock at the last bytes that came. *ready* says
    that a `fill` is due whether or not a byte comes (an end to be told, the rest of a
    flood): `Network.wait` then returns at once, and `fill` sets it anew.
    """

    received: bytearray
    heard: float
    ready: bool

    def fill(self) -> int:
        """Move what is there now into `received`: how many bytes; never blocks.

        Raises `ConnectionLost` at the end, after all that came before was handed over.
        """
        ...

    def flush(self) -> None:
        """Hand queued output to the kernel, as far as it takes it; never blocks."""
        ...

    def recv(self, size: int) -> bytes:
        """Wait for 1 to *size* bytes; for the handshake, under its one deadline."""
        ...

    def send(self, data: bytes) -> int:
        """Queue *data* and flush; `ConnectionLost` if the queue outgrows 1 MiB."""
        ...

    def close(self) -> None:
        """Say goodbye, as far as that needs no waiting, and close; idempotent."""
        ...

    def discard(self) -> None:
        """Close the descriptor without a word to the peer, as a forked child must."""
        ...

    def fileno(self) -> int:
        """The socket's descriptor, or -1 once it is closed."""
        ...


class Network(Protocol):
    """Opens streams and waits on them: one object for each connection's thread."""

    def open(self, url: str, deadline: float, cancelled: Callable[[], bool]) -> Stream:
        """Look up, connect, by a proxy or not, and do TLS, for ``wss`` and ``https``.

        All by *deadline*. *cancelled* is asked whenever the thread was woken: a true
        answer ends the attempt with a `ConnectionLost`, also later in `Stream.recv`.
        """
        ...

    def wait(self, timeout: float | None, stream: Stream | None = None) -> None:
        """Return when *stream* is ready, when woken, or after *timeout* seconds."""
        ...

    def wake(self) -> None:
        """Cut the present or the next wait short; any thread, even after `close`."""
        ...

    def close(self) -> None:
        """Give the wake-up's descriptors back; streams are closed by their owner."""
        ...

    def discard(self) -> None:
        """`close` in a forked child, where another thread's lock is held for ever."""
        ...


@runtime_checkable
class Staged(Protocol):
    """What a `Network` may be beside: part of a world that has a time of its own."""

    # At connecting: those of the process go by the machine's clock.
    turns: HostGap

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        """The thread, not started yet, that will *run* what owns this network."""
        ...


def public_endpoint(url: str) -> str:
    """*url* without user, password, query and fragment: fit for logs and errors."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_ssl_context(context: ssl.SSLContext | None) -> None:
    """Refuse what would turn verification off: nothing does."""
    if context is None:
        return
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl_context is an ssl.SSLContext, got {context!r}")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("ssl_context must verify certificates and host names")


class TcpNetwork:
    """The real network.

    *ssl_context* replaces the system's trust store, which is read anew for each
    connection (and so is ``SSL_CERT_FILE``); a context that does not verify both
    certificate and host name is a `ValueError`. *resolve* replaces the system's names.
    *proxy* as of `Feed`: the environment, too, is read anew for each connection.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = system_resolve,
        proxy: str | None = None,
    ) -> None:
        check_ssl_context(ssl_context)
        self._find_proxy = proxy_finder(proxy)
        self._clock = clock or SystemClock()
        self._ssl_context = ssl_context
        self._resolve = resolve
        # Re-entrant: a signal handler may call `wake` in the middle of `wake`.
        self._lock = threading.RLock()
        self._woken = False
        self._watched: dict[int, int] = {}
        self._poll = _poll()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._wake_up = self._receiver.fileno()
        self._poll.register(self._wake_up, _EVENTS[_READ])

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> TcpStream:
        """See `Network.open`."""
        parts = urlsplit(url)
        attempt = _Attempt(self, self._clock, url, deadline, cancelled)
        host = parts.hostname
        if not host:
            raise ValueError(f"no host in {attempt.endpoint!r}")
        secure = parts.scheme in _SECURE
        port = parts.port or (443 if secure else 80)
        proxy = self._proxy("wss" if secure else "ws", host, port, attempt)
        stream = self._connected(host, port, attempt, proxy)
        try:
            if proxy is not None:
                open_tunnel(stream, proxy, host, port, attempt.endpoint)
                stream.via = attempt.via = f"through {attempt.via}"
            if secure:
                self._check_again(attempt.endpoint)
                stream.start_tls(self._ssl_context, host)
        except BaseException:
            stream.discard()
            raise
        return stream

    def _check_again(self, endpoint: str) -> None:
        """A context can be loosened after it was given; then it is not used."""
        try:
            check_ssl_context(self._ssl_context)
        except ValueError as error:
            raise HandshakeFailed(endpoint, str(error)) from error

    def wait(self, timeout: float | None, stream: Stream | None = None) -> None:
        """See `Network.wait`."""
        watched = {}
        if stream is not None and stream.fileno() >= 0:
            blocked = isinstance(stream, TcpStream) and stream.blocked
            watched[stream.fileno()] = _READ | _WRITE if blocked else _READ
        if not self._woken and not (stream is not None and stream.ready):
            self.select(watched, timeout)
        if stream is not None:
            stream.flush()
        self._woken = False

    def wake(self) -> None:
        """See `Network.wake`."""
        # A full pipe is a wake-up that is still unread; a closed one wakes nobody. The
        # lock keeps the byte out of a descriptor that was closed and given to another.
        with self._lock, contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def close(self) -> None:
        """See `Network.close`."""
        with self._lock:
            self._receiver.close()
            self._sender.close()

    def discard(self) -> None:
        """See `Network.discard`."""
        self._lock = threading.RLock()
        self.close()

    def select(self, watched: dict[int, int], timeout: float | None) -> set[int]:
        """Wait on the wake-up and the *watched* descriptors: which are ready.

        A wake-up is remembered until the next `wait` has returned for it.
        """
        if watched != self._watched:
            for descriptor in self._watched:
                self._poll.unregister(descriptor)
            for descriptor, events in watched.items():
                self._poll.register(descriptor, _EVENTS[events])
            self._watched = watched
        if timeout is not None:
            # Rounded up, as a wait that is too short is one more turn.
            timeout = math.ceil(min(max(timeout, 0.0), _LONGEST_WAIT) * 1000)
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout)}
        if self._wake_up in ready:
            self._woken = True
            self._receiver.recv(1 << 16)
        return ready

    def _proxy(
        self, scheme: str, host: str, port: int, attempt: _Attempt
    ) -> Proxy | None:
        try:
            return self._find_proxy(scheme, host, port)
        # The keyword's were raised to the caller; the environment may be set any time.
        except ValueError as error:
            reason = f"the environment's proxy is of no use: {error}"
            raise ConnectionLost(attempt.endpoint, reason) from error

    def _connected(
        self, host: str, port: int, attempt: _Attempt, proxy: Proxy | None
    ) -> TcpStream:
        """A stream to the target, or to the proxy in its place."""
        if proxy is not None:
            host, port, attempt.via = proxy.host, proxy.port, f"{proxy}: "
        what = "name look-up failed"
        try:
            found = find_addresses(host, self._resolve, self.wake, attempt.pause)
            what = "cannot connect"
            sock = connect(found, port, self._clock, attempt.pause)
        except (ConnectionLost, Stalled):
            raise
        # RuntimeError: no thread can be started. ValueError: a name that cannot be one.
        except (RuntimeError, ValueError, OSError) as error:
            reason = f"{attempt.via}{what}: {sentence(error)}"
            raise ConnectionLost(attempt.endpoint, reason) from error
        clock, endpoint = self._clock, attempt.endpoint
        return TcpStream(sock, clock, endpoint, attempt.pause, attempt.via)


class _Attempt:
    """One deadline over everything between the URL and the first frame."""

    def __init__(
        self,
        network: TcpNetwork,
        clock: Clock,
        url: str,
        deadline: float,
        cancelled: Callable[[], bool],
    ) -> None:
        self.endpoint = public_endpoint(url)
        # Said before what went wrong: who is in between.
        self.via = ""
        self._network = network
        self._clock = clock
        self._deadline = deadline
        self._limit = round(deadline - clock.monotonic(), 3)
        self._cancelled = cancelled

    def pause(
        self,
        missing: str,
        descriptors: dict[int, int] | None = None,
        until: float | None = None,
    ) -> set[int]:
        """See `dial.Pause`."""
        if self._cancelled():
            raise ConnectionLost(self.endpoint, "closed while connecting")
        now = self._clock.monotonic()
        if now >= self._deadline:
            raise Stalled(f"{self.endpoint}: {self.via}no {missing}", self._limit)
        until = self._deadline if until is None else min(until, self._deadline)
        return self._network.select(descriptors or {}, until - now)
