"""The process of an isolated feed: it reads the exchange, and writes what it shows.

Its parent tells it what to do over the socket that is its standard input, and reads
the answers there. Whatever way the parent ends, that socket does, and so does this.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import FrameType
from typing import Any

from ..base.errors import OkexWSError
from ..base.retry import Timeouts
from ..base.threads import mark_library_thread
from ..model.reports import Stats
from ..net.stream import Selector
from ..pool.options import PoolOptions
from ..pool.pool import Pool
from ..protocol.messages import ChannelName
from .process import Unpacker, pack
from .shared_memory import Memory, SlotAddress
from .slot_writer import Relay, SharedLinks, SlotAssignment

log = logging.getLogger("okex_ws")

# What is said that may be lost, if the parent does not take it, is lost beyond this.
MAX_QUEUED = 10_000
# Seconds between two words on what was counted, which a parent keeps if this is killed.
STATS_INTERVAL = 5.0
# Seconds that a thread which computes (a count, say) has before one that reads.
SWITCH_INTERVAL = 0.0005


class ParentSender:
    """What there is to say to the parent, sent on a thread that may wait for it.

    The threads of the connections never do.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._there = threading.Condition(threading.RLock())
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, name="okex_ws:sender", daemon=True
        )
        self._thread.start()

    def say(self, kind: str, *rest: Any) -> None:
        """Have it said, in order; any thread."""
        with self._there:
            if not self._is_said(kind, rest):
                self._waiting.append((kind, *rest))
            self._there.notify()

    def _is_said(self, kind: str, rest: tuple[Any, ...]) -> bool:
        """Whether what waits says as much, or too much waits already."""
        last = self._waiting[-1] if self._waiting else ("",)
        if kind == "woken" and last[0] == kind:
            return True
        if kind == "trouble" and last[0] == kind and last[2] is rest[1]:
            # One loss is that of all subscriptions of a connection.
            last[1].extend(rest[0])
            return True
        return kind in ("log", "trouble") and len(self._waiting) > MAX_QUEUED

    def close(self, timeout: float) -> None:
        """Wait until all was sent, if it can be."""
        with self._there:
            self._closing = True
            self._there.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        mark_library_thread()
        while True:
            with self._there:
                while not (self._waiting or self._closing):
                    self._there.wait()
                if not self._waiting:
                    return
                message = self._waiting.popleft()
            try:
                self._sock.sendall(pack(message))
            except OSError:
                return  # nobody is there any more: the main thread sees it too


class LogForwarder(logging.Handler):
    """Records of the library go to the parent: levels and handlers are the user's."""

    def __init__(self, sender: ParentSender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """As text: what a record holds need not pickle."""
        fields = dict(vars(record), msg=record.getMessage(), args=None, exc_info=None)
        if record.exc_info and not record.exc_text:
            fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
        self._sender.say("log", fields)


class Worker:
    """One feed, as its parent wants it: on the main thread, but for the feed's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._selector = Selector()
        self._selector.register(sock, selectors.EVENT_READ)
        self.sender = ParentSender(sock)
        self._pool: Pool | None = None
        self._memory: Memory | None = None
        self._relays: dict[int, Relay] = {}
        self._patience = 0.0
        self._parent = 0

    def run(self) -> None:
        """Do what the parent says until it says no more."""
        unpacker, due = Unpacker(), time.monotonic() + STATS_INTERVAL
        while True:
            if not self._selector.select(max(0.0, due - time.monotonic())):
                # A fork of the parent may hold its end of the socket open after it.
                if self._parent not in (0, os.getppid()):
                    return
                self._count(())
                due = time.monotonic() + STATS_INTERVAL
                continue
            try:
                data = self._sock.recv(1 << 16)
            except OSError:
                return
            for what, *rest in unpacker.feed(data):
                if what == "close":
                    return
                getattr(self, f"_{what}")(*rest)
            if not data:
                return

    def end(self) -> None:
        """Say goodbye to the exchange, and what was counted to the parent."""
        if self._pool is not None:
            self._pool.close()
            self._pool.join(self._patience)
            self._count(tuple(self._relays.values()))
        self.sender.close(1.0)

    # --- What the parent says -------------------------------------------------------

    def _start(
        self,
        options: Mapping[str, Any],
        key: int | str,
        links: list[SlotAddress],
        first: int,
        parent: int,
    ) -> None:
        self._parent = parent
        self._memory = memory = Memory(key)
        slots = [memory.slot(address) for address in links]
        shared = SharedLinks(slots, first, self._flush)
        self._patience = (options["timeouts"] or Timeouts()).goodbye + 1.0
        pool = PoolOptions(**options, link=shared.make).make_pool()
        assert isinstance(pool, Pool)
        self._pool = pool

    def _flush(self) -> None:
        for relay in list(self._relays.values()):
            relay.flush()

    def _subscribe(
        self,
        number: int,
        instrument_id: str,
        names: Mapping[str, ChannelName],
        assignments: Mapping[str, SlotAssignment],
    ) -> None:
        pool, memory = self._pool, self._memory
        assert pool is not None
        assert memory is not None
        slots = {
            t: (memory.slot(assignment.address), assignment.epoch)
            for t, assignment in assignments.items()
        }
        callbacks = pool.callback_runner.callbacks(
            instrument_id, pool.clock, None, (), None
        )
        relay = Relay(
            number, instrument_id, pool.clock, callbacks, slots, self.sender.say
        )
        self._relays[number] = relay
        try:
            pool.attach(relay, names)
        except (RuntimeError, ValueError) as error:
            # No thread to be had; what cannot be had at all the parent has refused.
            self.sender.say("failed", number, OkexWSError(str(error)))

    def _unsubscribe(self, number: int) -> None:
        relay, last = self._relays.pop(number, None), Stats()
        assert self._pool is not None
        if relay is not None:
            # In this order: its slots may be written by others once it is said.
            relay.leave()
            last = self._pool.stats((relay,))
            self._pool.detach(relay)
        self.sender.say("left", number, last)

    def _rotate(self) -> None:
        assert self._pool is not None
        try:
            self._pool.rotate()
        except RuntimeError as error:
            log.warning("no connection to take over: %s", error)

    def _ask(self, request: int, what: str, number: int | None) -> None:
        assert self._pool is not None
        answer: Any
        if what == "connections":
            answer = self._pool.reports()
        else:
            relay = None if number is None else self._relays.get(number)
            answer = self._pool.stats(None if relay is None else (relay,))
        self.sender.say("answer", request, answer)

    def _count(self, relays: tuple[Relay, ...]) -> None:
        if self._pool is not None:
            own: dict[int, Stats] = {r.number: self._pool.stats((r,)) for r in relays}
            self.sender.say("counts", self._pool.stats(), own)


def main() -> None:
    """Serve the parent until one of the two ends."""
    # Ctrl-C is for the parent, which ends this as it sees fit.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    # No thread waits for another one for long, nor for what is never garbage.
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    worker = Worker(_parent())
    log.setLevel(logging.DEBUG)
    log.addHandler(LogForwarder(worker.sender))
    log.propagate = False
    try:
        worker.run()
    except SystemExit:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        worker.end()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def _parent() -> socket.socket:
    """The socket of the parent: standard input, or under Windows what comes of it."""
    if hasattr(socket, "fromshare"):
        shared: socket.socket = socket.fromshare(sys.stdin.buffer.read())
        return shared
    try:
        return socket.socket(fileno=0)
    except OSError:
        sys.exit(
            "okex_ws.isolation.worker is started by a feed with isolate=True alone"
        )


if __name__ == "__main__":
    main()
