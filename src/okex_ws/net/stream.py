"""Byte streams over TCP and TLS, the wait for them, and its interruption from outside.

One thread owns a `Network` and its `Stream`, and does all I/O of the socket; other
threads call `Network.wake` alone. Only `Network.open`, `Network.wait` and `Stream.recv`
block, and `wake` cuts each of them short. One deadline covers everything from the name
look-up to the end of the WebSocket handshake.
"""

from __future__ import annotations

import contextlib
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
from ..base.rates import RateLimits
from ..base.state import CauseCode
from ..base.threads import locked
from ..base.worker import LibraryThread
from .dial import Resolve, connect, find_addresses, sentence, system_resolve
from .proxy import Proxy, UnusableProxy, open_tunnel, proxy_finder
from .tcp import TcpStream

# `poll` takes milliseconds as a C int, which a longer wait would overflow. A wait may
# always return early.
_LONGEST_WAIT = 3600.0
# The schemes of URLs that need TLS.
_SECURE = ("wss", "https", "rediss")
_PROXY = CauseCode.PROXY
_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class _Select:
    """The part of `select.poll` that is used here, for Windows, which has no `poll`."""

    def __init__(self) -> None:
        self._selector = selectors.SelectSelector()

    def register(self, descriptor: int, events: int) -> None:
        self._selector.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def poll(self, milliseconds: int | None) -> list[tuple[int, int]]:
        timeout = None if milliseconds is None else milliseconds / 1000
        return [(key.fd, events) for key, events in self._selector.select(timeout)]


# Both keep their list of sockets in user space. They have no descriptor that a forked
# child would share, as epoll has. `select`, with its limit of 512 sockets, is used only
# where there is no `poll`.
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
    """An open byte stream to the exchange: TCP, or TLS over TCP.

    `TcpStream` is the real one; a replay has its own. Only the thread that owns its
    `Network` uses it.

    *received* holds decrypted bytes that came and were not read yet; the reader deletes
    the bytes that it took. *heard* is the monotonic time at which the last bytes came.
    *ready* says that `fill` has something to do without further bytes (it raises the
    end of the stream, or takes the rest of a large input). `Network.wait` then returns
    at once, and `fill` sets *ready* again.
    """

    received: bytearray
    heard: float
    ready: bool

    def fill(self) -> int:
        """Move the bytes that are there into `received`; return how many. Never blocks.

        Raises:
            ConnectionLost: the stream has ended, and an earlier call has moved every
                byte that came before its end.
        """
        ...

    def flush(self) -> None:
        """Send queued output, as much of it as the kernel takes. Never blocks."""
        ...

    def recv(self, size: int) -> bytes:
        """Wait for 1 to *size* bytes. Only for the handshake, under its deadline."""
        ...

    def send(self, data: bytes) -> int:
        """Queue *data* and flush; return its length.

        Raises:
            ConnectionLost: the stream has ended, or more than 1 MiB would be queued.
        """
        ...

    def close(self) -> None:
        """End TLS and TCP properly, as far as that needs no waiting, and close.

        A second call does nothing.
        """
        ...

    def discard(self) -> None:
        """Close the descriptor and send nothing to the peer.

        A forked child must do so, since the connection is still the parent's.
        """
        ...

    def fileno(self) -> int:
        """The socket's descriptor, or -1 once it is closed."""
        ...


class Network(Protocol):
    """Opens streams and waits on them: one object for each thread that does I/O.

    It is an interface, so that tests and replays run the same code without sockets.
    `TcpNetwork` is the real one. Only the owning thread, mostly that of a connection,
    calls it. The exception is `wake`, with which any thread cuts a wait of the owner
    short.
    """

    def open(self, url: str, deadline: float, cancelled: Callable[[], bool]) -> Stream:
        """Look up the host, connect, through a proxy if need be, and do TLS.

        TLS is for ``wss`` and ``https``. All of it must end by *deadline*. *cancelled*
        is called after each wake-up: if it returns true, `open`, and later
        `Stream.recv`, raises a `ConnectionLost`.
        """
        ...

    def wait(self, timeout: float | None, stream: Stream | None = None) -> None:
        """Return when *stream* is ready, on a `wake`, or after *timeout* seconds."""
        ...

    def wake(self) -> None:
        """End the present or the next wait. Any thread, even after `close`."""
        ...

    def close(self) -> None:
        """Close the descriptors of the wake-up. Streams are closed by their owner."""
        ...

    def discard(self) -> None:
        """`close` for a forked child, where a lock may be held for ever."""
        ...


@runtime_checkable
class Staged(Protocol):
    """What a `Network` has besides if a clock of its own drives it: that of a replay.

    A replay's clock moves only while every thread waits, so its network must know each
    thread: a connection asks the network for its thread, and does not start one itself.
    A connection checks for this protocol when it starts, and finds it in a replay only.
    """

    # The least time between connection attempts to one host, by the network's own
    # clock. The limit of the process is by the machine's clock.
    turns: RateLimits

    def thread(self, *parts: Any) -> LibraryThread:
        """The thread of the network's owner, from what `LibraryThread` is made of."""
        ...


def public_endpoint(url: str) -> str:
    """*url* without user, password, query and fragment, for logs and errors."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_ssl_context(context: ssl.SSLContext | None) -> None:
    """Raise unless *context* verifies certificates and host names.

    The library never connects without that verification.

    Raises:
        TypeError: *context* is no `ssl.SSLContext` (``None`` passes).
        ValueError: it does not verify both.
    """
    if context is None:
        return
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl_context is an ssl.SSLContext, got {context!r}")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("ssl_context must verify certificates and host names")


class TcpNetwork:
    """The `Network` of real sockets: opens TCP and TLS streams, and waits on them.

    Only the thread that owns it calls it; any thread may call `wake`. A blocking socket
    could not be woken, so every wait is on the socket and on a wake-up together. `open`
    raises `ConnectionLost` (no address, no connection, or it was cancelled),
    `HandshakeFailed` (the TLS handshake failed, or the proxy refused) or `Stalled` (the
    deadline is over).

    *ssl_context* replaces the system's trust store. Without it the trust store and
    ``SSL_CERT_FILE`` are read again for each connection. *resolve* replaces the
    system's name look-up: a callable that takes a host and returns its addresses; it
    may block, because it runs on a thread of its own. *proxy* is as in `Feed`: a URL,
    ``''`` for none, or ``None`` for that of the environment, which is read again for
    each connection.

    Raises:
        ValueError: *ssl_context* does not verify both certificate and host name, or
            *proxy* is no URL of an HTTP proxy.
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
        # Re-entrant, because a signal handler may call `wake` while `wake` runs.
        self._lock = threading.RLock()
        self._woken = False
        self._watched: dict[int, int] = {}
        # The stream whose reading end is watched, and nothing else.
        self._waited: Stream | None = None
        self._poll = _poll()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._wake_up = self._receiver.fileno()
        self._poll.register(self._wake_up, _EVENTS[_READ])

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> TcpStream:
        """Look up the host, connect, through a proxy if need be, and do TLS.

        All of it must end by *deadline*. It raises `ConnectionLost` if *cancelled*
        returns true.
        """
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
        """Raise if the user has changed the context since, so that it verifies less."""
        try:
            check_ssl_context(self._ssl_context)
        except ValueError as error:
            code = CauseCode.CERTIFICATE
            raise HandshakeFailed(endpoint, str(error), cause_code=code) from error

    def wait(self, timeout: float | None, stream: Stream | None = None) -> None:
        """Return when *stream* is ready, on a `wake`, or after *timeout* seconds.

        It also sends queued output of *stream*.
        """
        blocked = isinstance(stream, TcpStream) and stream.blocked
        if stream is not self._waited or blocked or stream is None:
            descriptor = -1 if stream is None else stream.fileno()
            events = _READ | _WRITE if blocked else _READ
            self._watch({descriptor: events} if descriptor >= 0 else {})
            self._waited = None if blocked else stream
        if not self._woken and (stream is None or not stream.ready):
            self._sleep(timeout)
        if blocked and stream is not None:
            stream.flush()
        self._woken = False

    def wake(self) -> None:
        """End the present or the next wait. Any thread, even after `close`."""
        # OSError is ignored: if the socket is full, a wake-up is still unread, and if
        # it is closed, no thread waits. The lock keeps `close` out until the byte is
        # sent, which else could go to another file that got the same descriptor.
        with contextlib.suppress(OSError):
            locked(self._lock, lambda: self._sender.send(b"\0"))

    def close(self) -> None:
        """Close the descriptors of the wake-up."""
        locked(self._lock, self._close)

    def _close(self) -> None:
        self._receiver.close()
        self._sender.close()

    def discard(self) -> None:
        """`close` for a forked child, where a lock may be held for ever."""
        self._lock = threading.RLock()
        self.close()

    def select(self, watched: dict[int, int], timeout: float | None) -> set[int]:
        """Wait on the wake-up and the *watched* descriptors; return the ready ones.

        *watched* maps a descriptor to the events of `selectors`. A wake-up is
        remembered until a `wait` has returned for it.
        """
        self._waited = None
        self._watch(watched)
        return {descriptor for descriptor, _ in self._sleep(timeout)}

    def _watch(self, watched: dict[int, int]) -> None:
        if watched != self._watched:
            for descriptor in self._watched:
                self._poll.unregister(descriptor)
            for descriptor, events in watched.items():
                self._poll.register(descriptor, _EVENTS[events])
            self._watched = watched

    def _sleep(self, timeout: float | None) -> list[tuple[int, int]]:
        if timeout is not None:
            timeout = _LONGEST_WAIT if timeout > _LONGEST_WAIT else timeout
            # Rounded up: a wait that ends too early costs one more pass of the caller.
            timeout = -int(timeout * -1000 // 1) if timeout > 0.0 else 0
        ready: list[tuple[int, int]] = self._poll.poll(timeout)
        for descriptor, _ in ready:
            if descriptor == self._wake_up:
                self._woken = True
                self._receiver.recv(1 << 16)
        return ready

    def _proxy(
        self, scheme: str, host: str, port: int, attempt: _Attempt
    ) -> Proxy | None:
        try:
            return self._find_proxy(scheme, host, port)
        # The environment may have changed. A wrong *proxy* was refused by `__init__`.
        except UnusableProxy as error:
            raise ConnectionLost(
                attempt.endpoint, error.reason, advice=error.advice, cause_code=_PROXY
            ) from error

    def _connected(
        self, host: str, port: int, attempt: _Attempt, proxy: Proxy | None
    ) -> TcpStream:
        """Connect to the target, or to the proxy if there is one."""
        if proxy is not None:
            host, port, attempt.via = proxy.host, proxy.port, f"{proxy}: "
        what, code = "name look-up failed", CauseCode.DNS
        try:
            found = find_addresses(host, self._resolve, self.wake, attempt.pause)
            what, code = "cannot connect", CauseCode.NETWORK
            sock = connect(found, port, self._clock, attempt.pause)
        except ConnectionLost:
            raise
        except Stalled as late:
            if proxy is not None or code is CauseCode.DNS:
                late.cause_code = code if proxy is None else _PROXY
            raise
        # RuntimeError: no thread can be started. ValueError: *host* is no valid name.
        except (RuntimeError, ValueError, OSError) as error:
            reason = f"{attempt.via}{what}: {sentence(error)}"
            code = code if proxy is None else _PROXY
            raise ConnectionLost(attempt.endpoint, reason, cause_code=code) from error
        clock, endpoint = self._clock, attempt.endpoint
        return TcpStream(sock, clock, endpoint, attempt.pause, attempt.via)


class _Attempt:
    """One attempt to connect, with one deadline from the look-up to the handshake.

    *pause* is its `dial.Pause`: the only place where the attempt waits. It is used by
    the thread that connects.
    """

    def __init__(
        self,
        network: TcpNetwork,
        clock: Clock,
        url: str,
        deadline: float,
        cancelled: Callable[[], bool],
    ) -> None:
        self.endpoint = public_endpoint(url)
        # Put before the reason of an error: the proxy that is in between, if any.
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
        """Wait for an event on *descriptors*, a wake-up, or the time *until*.

        Returns the descriptors that are ready, and the wake-up's own.

        Raises:
            ConnectionLost: the attempt was cancelled.
            Stalled: its deadline is over; *missing* is the answer that did not come.
        """
        if self._cancelled():
            reason, code = "closed while connecting", CauseCode.CLOSED
            raise ConnectionLost(self.endpoint, reason, cause_code=code)
        now = self._clock.monotonic()
        if now >= self._deadline:
            what = f"{self.via}no {missing}"
            raise Stalled(what, self._limit, endpoint=self.endpoint)
        until = self._deadline if until is None else min(until, self._deadline)
        return self._network.select(descriptors or {}, until - now)
