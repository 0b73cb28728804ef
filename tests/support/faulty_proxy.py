"""A TCP proxy on the loopback that does to bytes what networks do.

It knows nothing of TLS or WebSocket: what it cuts, stalls or injects may fall anywhere
in a record or a frame. One thread serves every connection. A fault holds for present
and for later connections, until `heal`.

    with Proxy(server_port) as proxy:
        proxy.stall()             # connect to proxy.port; nothing moves, either way
        proxy.heal()              # what was held back comes through
        proxy.cut([1, 2, 700])    # server -> client in segments of these sizes, cyclic
        proxy.throttle(1000)      # server -> client at 1,000 bytes a second
        proxy.replace(b"a", b"b")  # server -> client, bytes of the same length
        proxy.inject(b"garbage")  # to every client, in the middle of what comes
        proxy.reset()             # RST to both ends of every connection
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

_CHUNK = 65536
# Bytes that are held for a slow reader at most: a fast sender then meets back-pressure,
# as it would on a network.
_HELD = 1 << 20
_LINGER_0 = struct.pack("ii", 1, 0)


class _Link:
    """A client's connection and the one to its server.

    `down` holds bytes for the client, `up` bytes for the server.
    """

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.down = bytearray()
        self.up = bytearray()
        self.ended: set[socket.socket] = set()
        self.shut: set[socket.socket] = set()

    def sides(self) -> Iterator[tuple[socket.socket, socket.socket, bytearray]]:
        """For each direction its source, its destination and the bytes in between."""
        yield self.server, self.client, self.down
        yield self.client, self.server, self.up


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to *target_port* there.

    `accepted` counts connections, `passed` the bytes that were sent to clients.
    """

    def __init__(self, target_port: int) -> None:
        self.accepted = 0
        self.passed = 0
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._links: list[_Link] = []
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._heard, self._call = socket.socketpair()
        self._heard.setblocking(False)
        self._stalled = self._stopping = False
        self._sizes: Iterator[int] | None = None
        self._rate: float | None = None
        self._swap: tuple[bytes, bytes] | None = None
        self._next_at = 0.0
        self._thread = threading.Thread(target=self._run, name="fault proxy")
        self._thread.start()

    def heal(self) -> None:
        """Pass everything through again, first the bytes that were held back."""
        self._order(self._set)

    def stall(self) -> None:
        """Pass nothing in either direction, and close nothing: a pulled cable."""
        self._order(lambda: self._set(stalled=True))

    def throttle(self, bytes_per_second: float) -> None:
        """Send at most so many bytes a second to the clients."""
        self._order(lambda: self._set(rate=bytes_per_second))

    def cut(self, sizes: Iterable[int]) -> None:
        """Send to clients in segments of these *sizes*, again and again."""
        segments = itertools.cycle([*sizes])
        self._order(lambda: self._set(sizes=segments))

    def one_byte(self) -> None:
        """Send to clients one byte a segment."""
        self.cut([1])

    def replace(self, old: bytes, new: bytes) -> None:
        """Send *new* in place of *old*, of as many bytes, to the clients."""
        assert len(old) == len(new)
        self._order(lambda: self._set(swap=(old, new)))

    def inject(self, garbage: bytes) -> None:
        """Send *garbage* to every client, after the bytes that are held for it."""
        self._order(lambda: self._inject(garbage))

    def reset(self) -> None:
        """End every connection with a RST to both ends, as a dying router does."""
        self._order(self._reset)

    def close(self) -> None:
        """Close everything, and wait for the thread to end."""
        self._order(self._stop)
        self._thread.join(10)
        if self._thread.is_alive():
            raise RuntimeError("the proxy's thread did not end")

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _order(self, order: Callable[[], None]) -> None:
        """Have the thread run *order*, and wait until it has."""
        done = threading.Event()
        self._orders.put(order)
        self._orders.put(done.set)
        with contextlib.suppress(OSError):
            self._call.send(b"\0")
        if not done.wait(10) and self._thread.is_alive():
            raise RuntimeError("the proxy's thread does not answer")

    def _set(
        self,
        stalled: bool = False,
        rate: float | None = None,
        sizes: Iterator[int] | None = None,
        swap: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._stalled, self._rate, self._sizes = stalled, rate, sizes
        self._swap = swap
        self._next_at = 0.0

    def _inject(self, garbage: bytes) -> None:
        for link in self._links:
            link.down += garbage

    def _stop(self) -> None:
        self._stopping = True

    def _reset(self) -> None:
        for link in self._links:
            for side in (link.client, link.server):
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
                side.close()
        self._links.clear()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._step()
        finally:
            for link in self._links:
                link.client.close()
                link.server.close()
            self._listener.close()
            self._heard.close()
            self._call.close()

    def _step(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._heard, selectors.EVENT_READ)
            for side, events in self._interests().items():
                selector.register(side, events)
            late = self._next_at - time.monotonic() if self._rate else 0.0
            ready = {key.fileobj for key, _ in selector.select(max(late, 0) or None)}
        if self._heard in ready:
            self._obey()
        if self._listener in ready:
            self._accept()
        for link in list(self._links):
            self._move(link)

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(_CHUNK)
        with contextlib.suppress(queue.Empty):
            while True:
                self._orders.get_nowait()()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            client.close()
            return
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.append(_Link(client, server))
        self.accepted += 1

    def _interests(self) -> dict[socket.socket, int]:
        wanted: dict[socket.socket, int] = {}
        if self._stalled:
            return wanted
        for link in self._links:
            for source, destination, held in link.sides():
                if source not in link.ended and len(held) < _HELD:
                    wanted[source] = wanted.get(source, 0) | selectors.EVENT_READ
                waits = destination is link.client and self._too_early()
                if held and not waits:
                    wanted[destination] = (
                        wanted.get(destination, 0) | selectors.EVENT_WRITE
                    )
        return wanted

    def _too_early(self) -> bool:
        return self._rate is not None and time.monotonic() < self._next_at

    def _move(self, link: _Link) -> None:
        if self._stalled:
            return
        try:
            for source, destination, held in link.sides():
                self._take(link, source, held)
                self._give(link, destination, held)
                if source in link.ended and not held and destination not in link.shut:
                    link.shut.add(destination)
                    destination.shutdown(socket.SHUT_WR)
        except OSError:
            # One end is gone: close the other end, as would happen without the proxy.
            link.ended = {link.client, link.server}
            link.shut = link.ended
        if len(link.shut) == 2:
            self._links.remove(link)
            link.client.close()
            link.server.close()

    def _take(self, link: _Link, source: socket.socket, held: bytearray) -> None:
        if source in link.ended or len(held) >= _HELD:
            return
        with contextlib.suppress(BlockingIOError):
            data = source.recv(_CHUNK)
            held += data
            if self._swap is not None and source is link.server:
                held[:] = held.replace(*self._swap)
            if not data:
                link.ended.add(source)

    def _give(self, link: _Link, destination: socket.socket, held: bytearray) -> None:
        down = destination is link.client
        with contextlib.suppress(BlockingIOError):
            while held and not (down and self._too_early()):
                size = self._segment() if down else _CHUNK
                sent = destination.send(held[:size])
                del held[:sent]
                self.passed += sent if down else 0

    def _segment(self) -> int:
        if self._rate is not None:
            # Bytes for a tenth of a second at a time.
            size = max(1, int(self._rate / 10))
            self._next_at = time.monotonic() + size / self._rate
            return size
        return next(self._sizes) if self._sizes is not None else _CHUNK
