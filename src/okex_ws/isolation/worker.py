"""The worker process of an isolated feed: it connects, and writes values to slots.

Its parent, the script's process, sends it messages over a socket, which is its standard
input, and receives answers there. If the parent ends in any way, the socket closes, and
this process ends too.
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
from ..base.log import log
from ..base.retry import Timeouts
from ..base.worker import WorkerThread, join_all
from ..model.reports import Stats
from ..net.stream import Selector
from ..pool.options import PoolOptions
from ..pool.pool import Pool
from ..protocol.messages import ChannelName
from .process import Unpacker, pack
from .shared_memory import Memory, SlotAddress
from .slot_writer import Relay, SharedEras, SlotAssignment

# If more messages than this wait for the parent, log records and errors are dropped.
MAX_QUEUED = 10_000
# Seconds between two messages with the counts, which the parent keeps if this process
# is killed.
STATS_INTERVAL = 5.0
# The switch interval of Python, in seconds: how long a computing thread may keep the
# GIL from a thread that reads a socket.
SWITCH_INTERVAL = 0.0005


class ParentSender:
    """Sends messages to the parent process on a thread of its own.

    Only that thread waits for the parent, which may be stopped for minutes. Any thread
    may call `say`, which queues a message and returns at once. Log records and errors
    are dropped while more than 10,000 messages wait; other messages never are. If the
    parent has ended, the thread ends.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._lock = threading.RLock()
        self._worker = WorkerThread("okex_ws:sender")
        self._worker.start()

    def say(self, kind: str, *rest: Any) -> None:
        """Queue a message of *kind*, in order. Any thread may call."""
        with self._lock:
            if not self._is_said(kind, rest) and self._worker.submit(self._send_next):
                self._waiting.append((kind, *rest))

    def _is_said(self, kind: str, rest: tuple[Any, ...]) -> bool:
        """True if the last message that waits covers this one, or too many wait."""
        last = self._waiting[-1] if self._waiting else ("",)
        if kind == "woken" and last[0] == kind:
            return True
        if kind == "trouble" and last[0] == kind and last[2] is rest[1]:
            # One lost connection is an error of all its subscriptions: one message.
            last[1].extend(rest[0])
            return True
        return kind in ("log", "trouble") and len(self._waiting) > MAX_QUEUED

    def close(self, timeout: float) -> None:
        """Wait until all was sent, for *timeout* seconds at most."""
        self._worker.close()
        self._worker.join(timeout)

    def _send_next(self) -> None:
        with self._lock:
            message = self._waiting.popleft()
        try:
            self._sock.sendall(pack(message))
        except OSError:
            self._worker.close(drop=True)  # the parent has ended, as `Worker` sees too


class LogForwarder(logging.Handler):
    """Sends the library's log records to the parent, which filters and handles them.

    So the log of an isolated feed appears where the script configured logging. Any
    thread may log.
    """

    def __init__(self, sender: ParentSender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record* as text, because its objects may not pickle."""
        fields = dict(vars(record), msg=record.getMessage(), args=None, exc_info=None)
        if record.exc_info and not record.exc_text:
            fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
        self._sender.say("log", fields)


class Worker:
    """Carries out the parent's messages, on the main thread of the worker process.

    It has the `Pool` that connects, and a `Relay` for each subscription. `run` returns
    when the parent sends ``close`` or ends; `end` then closes the pool. A message is
    handled by the method of its kind: ``subscribe`` by `_subscribe`, and so on. Every
    five seconds it sends the counts.
    """

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
        """Handle the parent's messages until it closes or ends."""
        unpacker, due = Unpacker(), time.monotonic() + STATS_INTERVAL
        while True:
            if not self._selector.select(max(0.0, due - time.monotonic())):
                # The parent's number is checked too, because a fork of the parent may
                # keep its end of the socket open.
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
        """Close the connections, and send the last counts to the parent."""
        if self._pool is not None:
            self._pool.close()
            join_all(self._pool.threads, self._patience)
            self._count(tuple(self._relays.values()))
        self.sender.close(1.0)

    # --- Messages of the parent, each by its kind -----------------------------------

    def _start(
        self,
        options: Mapping[str, Any],
        key: int | str,
        eras: list[SlotAddress],
        first: int,
        parent: int,
    ) -> None:
        self._parent = parent
        self._memory = memory = Memory(key)
        slots = [memory.slot(address) for address in eras]
        shared = SharedEras(slots, first, self._flush)
        self._patience = (options["timeouts"] or Timeouts()).goodbye + 1.0
        pool = PoolOptions(**options, era=shared.make).make_pool()
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
        listing: ChannelName | None = None,
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
            pool.attach(relay, names, listing)
        except (RuntimeError, ValueError) as error:
            # The system gave no thread, for example. Channels that an isolated feed
            # cannot have were refused by the parent.
            self.sender.say("failed", number, OkexWSError(str(error)))

    def _unsubscribe(self, number: int) -> None:
        relay, last = self._relays.pop(number, None), Stats()
        assert self._pool is not None
        if relay is not None:
            # In this order: after "left" the parent may give the slots away.
            relay.leave()
            last = self._pool.stats((relay,))
            self._pool.detach(relay)
        self.sender.say("left", number, last)

    def _doubt(self, number: int, topic: str) -> None:
        if number in self._relays:
            self._relays[number].doubt(topic)

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
    """Run the worker process until it or its parent ends."""
    # Ctrl-C is for the parent, which then ends this process if it wants to.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    # Threads switch often, and the garbage collector skips all objects made so far.
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    worker = Worker(_parent())
    logger = logging.getLogger("okex_ws")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(LogForwarder(worker.sender))
    logger.propagate = False
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
    """The socket to the parent: standard input, or under Windows read from it."""
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
