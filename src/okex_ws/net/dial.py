"""From a host's name to a connected TCP socket.

The addresses of a host are tried in parallel. Each is started a quarter of a second
after the one before, or when one has failed (RFC 8305), so that a dead address before a
live one does not use up the deadline. The functions wait only by the caller's `Pause`.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from ..base.clock import Clock
from ..base.threads import heed_fork, locked, register_for_fork

# Seconds until the next address is tried beside the last one (RFC 8305, section 5).
STAGGER = 0.25


class Address(NamedTuple):
    """An address to connect to: a socket *family*, and a *sockaddr* of that family.

    Both are as `socket.getaddrinfo` gives them. A *sockaddr* with port 0 means the port
    of the URL.
    """

    family: int
    sockaddr: tuple[Any, ...]


Resolve = Callable[[str], Iterable[Address]]


class Pause(Protocol):
    """The function with which a connection attempt waits, wherever it has to wait.

    It knows the attempt's deadline, and ends early on a wake-up from another thread. It
    raises, and so ends the attempt, if that was cancelled (`ConnectionLost`) or its
    deadline is over (`Stalled`). The thread that connects calls it.
    """

    def __call__(
        self,
        missing: str,
        descriptors: dict[int, int] | None = None,
        until: float | None = None,
    ) -> set[int]:
        """Wait for an event on *descriptors*, a wake-up, or the time *until*.

        Returns the descriptors that are ready. *missing* is the answer that is waited
        for, for the sentence of the error.
        """
        ...


def system_resolve(host: str) -> list[Address]:
    """Every address of *host*, in the system's order of preference. It blocks."""
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


def find_addresses(
    host: str, resolve: Resolve, wake: Callable[[], None], pause: Pause
) -> list[Address]:
    """Every address of *host*, the IPv6 and IPv4 ones in alternation.

    *resolve* runs on a thread of its own. At its end *wake* is called, which must cut
    *pause* short. If *host* is an IP address, no look-up is needed.

    Raises:
        OSError: the name has no address; also any error of *resolve* and *pause*.
    """
    if _is_literal(host):
        found = system_resolve(host)
    else:
        found = _looked_up(host, resolve, wake, pause)
    first = [address for address in found if address.family == found[0].family]
    others = [address for address in found if address.family != found[0].family]
    pairs = zip_longest(first, others)
    return [address for pair in pairs for address in pair if address is not None]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _LookUp:
    """A name look-up on a thread of its own, and its result.

    *asking* holds a wake-up function for each connection that waits for the result.
    Once *done* is true, *addresses* or *error* has the result.
    """

    def __init__(self) -> None:
        self.asking: set[Callable[[], None]] = set()
        self.addresses: list[Address] = []
        self.error: Exception | None = None
        self.done = False


class _Pending:
    """The name look-ups that have not ended: at most one for each host.

    The system's look-up cannot be interrupted. Retries against dead name servers would
    pile up threads if each one started a look-up, so a connection that asks for the
    same host joins the pending one. An error of the look-up is given to each connection
    that waits. Any thread may use it; a lock guards overlapping calls.
    """

    def __init__(self) -> None:
        # Re-entrant: a signal handler may connect, too, for a REST request.
        self._lock = threading.RLock()
        self._look_ups: dict[tuple[Resolve, str], _LookUp] = {}

    def ask(self, resolve: Resolve, host: str, wake: Callable[[], None]) -> _LookUp:
        heed_fork()
        return locked(self._lock, lambda: self._ask(resolve, host, wake))

    def _ask(self, resolve: Resolve, host: str, wake: Callable[[], None]) -> _LookUp:
        look_up = self._look_ups.get((resolve, host))
        if look_up is None:
            look_up = _LookUp()
            # A daemon: the interpreter can exit before name servers answer.
            threading.Thread(
                target=self._run,
                args=(look_up, resolve, host),
                name=f"okex_ws:resolve:{host}",
                daemon=True,
            ).start()
            self._look_ups[resolve, host] = look_up
        look_up.asking.add(wake)
        return look_up

    def forked(self) -> None:
        """In a forked child, which has the list but not the threads: start anew."""
        self._lock, self._look_ups = threading.RLock(), {}

    def leave(self, look_up: _LookUp, wake: Callable[[], None]) -> None:
        locked(self._lock, lambda: look_up.asking.discard(wake))

    def _run(self, look_up: _LookUp, resolve: Resolve, host: str) -> None:
        try:
            look_up.addresses = list(resolve(host))
        except Exception as error:
            # Each connection that asked for it raises it on its own thread.
            look_up.error = error
        except BaseException as error:
            # A user's *resolve* may raise ``SystemExit``, which may end no thread.
            look_up.error = OSError(f"the look-up raised {error!r}")
        with self._lock:
            self._look_ups.pop((resolve, host), None)
            look_up.done = True
            asking = tuple(look_up.asking)
        for wake in asking:
            wake()


_pending = _Pending()
register_for_fork([_pending])


def _looked_up(
    host: str, resolve: Resolve, wake: Callable[[], None], pause: Pause
) -> list[Address]:
    look_up = _pending.ask(resolve, host, wake)
    try:
        while not look_up.done:
            pause("answer to the name look-up")
    finally:
        _pending.leave(look_up, wake)
    if look_up.error is not None:
        raise look_up.error
    if not look_up.addresses:
        raise OSError("the name has no address")
    return look_up.addresses


def connect(
    addresses: Iterable[Address], port: int, clock: Clock, pause: Pause
) -> socket.socket:
    """Connect to several addresses in parallel: the first that answers is returned.

    The sockets of the others are closed. *pause* waits for them.

    Raises:
        OSError: every address failed; it is the error of the last one.
    """
    race = _Race(addresses, port, clock)
    try:
        while True:
            race.start_next()
            ready = pause("TCP connection", race.descriptors(), race.next_at())
            winner = race.winner(ready)
            if winner is not None:
                return winner
    finally:
        race.close()


class _Race:
    def __init__(self, addresses: Iterable[Address], port: int, clock: Clock) -> None:
        self._waiting = deque(addresses)
        self._running: dict[int, socket.socket] = {}
        self._port = port
        self._clock = clock
        self._next_at = clock.monotonic()
        self._failure: OSError | None = None

    def descriptors(self) -> dict[int, int]:
        return dict.fromkeys(self._running, selectors.EVENT_WRITE)

    def next_at(self) -> float | None:
        return self._next_at if self._waiting else None

    def start_next(self) -> None:
        """Start the next address if it is due; raise if all have failed."""
        while self._waiting and (
            not self._running or self._clock.monotonic() >= self._next_at
        ):
            try:
                sock = _start(self._waiting.popleft(), self._port)
            except OSError as error:
                self._failure = error
                continue
            self._running[sock.fileno()] = sock
            self._next_at = self._clock.monotonic() + STAGGER
        if not self._running:
            raise self._failure or OSError("the host has no address")

    def winner(self, ready: set[int]) -> socket.socket | None:
        for descriptor in ready & self._running.keys():
            sock = self._running.pop(descriptor)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return sock
            sock.close()
            self._failure = OSError(code, os.strerror(code))
            self._next_at = self._clock.monotonic()
        return None

    def close(self) -> None:
        for sock in self._running.values():
            sock.close()


# Codes of a non-blocking connect that has begun; EWOULDBLOCK is Windows'.
_BEGUN = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


def _start(address: Address, port: int) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        host, own_port, *scope = address.sockaddr
        code = sock.connect_ex((host, own_port or port, *scope))
        if code not in _BEGUN:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def sentence(error: BaseException) -> str:
    """Why a look-up or a socket failed: the system's text without the error number."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or str(error) or type(error).__name__
