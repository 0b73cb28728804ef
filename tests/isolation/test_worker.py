"""The process of an isolated feed, as its parent meets it: every word of it."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from okex_ws import ConnectionLost, Stats, SubscriptionRejected, Timeouts
from okex_ws.isolation.process import Unpacker, WorkerProcess, pack
from okex_ws.isolation.shared_memory import Memory
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    RemoteEras,
    SlotReading,
    decode_era,
    slot_capacity,
)
from okex_ws.isolation.slot_writer import SlotAssignment
from okex_ws.isolation.worker import LogForwarder, ParentSender, Worker
from okex_ws.local_exchange import LocalExchange
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support.internals import (
    close_selector,
    era_number_of,
    popen_of,
    set_pool_of_worker,
    slot_of,
    thread_of,
    unsubscribe,
    version_of,
    waiting_in,
)

LIMIT = 30.0

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX: Windows is untried")


class Parent:
    """A reader, and what it says."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.exchange = exchange
        self.memory = Memory()
        self.addresses = [self.memory.allocate(ERA_CAPACITY) for _ in range(4)]
        slots = [self.memory.slot(address, decode_era) for address in self.addresses]
        self.remote = RemoteEras(slots, lambda: True)
        self.remote.lose()
        self.child = WorkerProcess(self.memory.key)
        self._unpacker = Unpacker()
        self._said: list[Any] = []

    def tell(self, *message: Any) -> None:
        data = pack(message)
        while data:
            data = data[self.child.send(data) :]

    def start(self, pid: int | None = None) -> None:
        options = {
            "venue": self.exchange.venue_v5,
            "credentials": None,
            "timeouts": Timeouts(),
            "lease": 3.0,
        }
        memory = self.memory.key, self.addresses, 100
        self.tell("start", options, *memory, os.getpid() if pid is None else pid)

    def subscribe(self, number: int, *topics: str, epoch: int = 0) -> list[SlotReading]:
        names = {t: V5.channel(t, "spot", "BTC-USDT") for t in topics}
        assignments = {
            t: SlotAssignment(self.memory.allocate(slot_capacity(n)), epoch)
            for t, n in names.items()
        }
        readings = [
            SlotReading(
                n,
                V5,
                self.memory,
                assignments[t].address,
                self.remote,
                partial(self.tell, "doubt", number, t),
            )
            for t, n in names.items()
        ]
        self.tell("subscribe", number, "BTC-USDT", names, assignments)
        return readings

    def hear(self, kind: str) -> Any:
        """The next message of that kind."""
        deadline = time.monotonic() + LIMIT
        while True:
            for place, message in enumerate(self._said):
                if message[0] == kind:
                    del self._said[place]
                    return message[1:]
            assert time.monotonic() < deadline
            select.select([self.child.sock], [], [], 0.1)
            data = self.child.receive()
            assert data != b"", "it ended"
            self._said.extend(self._unpacker.feed(data or b""))

    def until_live(self, *readings: SlotReading) -> None:
        deadline = time.monotonic() + LIMIT
        while not all(r.current.state == "LIVE" for r in readings):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def how_it_ended(self) -> int:
        return popen_of(self.child).wait(LIMIT)


@pytest.fixture
def parent() -> Iterator[Parent]:
    with LocalExchange() as exchange:
        parent = Parent(exchange)
        yield parent
        parent.child.end()
        parent.memory.close()
        # What is mapped goes with who has it.
        vars(parent).clear()


def test_it_reads_and_writes_what_it_is_told_to(parent: Parent) -> None:
    parent.start()
    depth, trade = parent.subscribe(1, "depth5", "trade", epoch=41)
    parent.until_live(depth, trade)

    assert (depth.current.epoch, trade.current.epoch) == (42, 42)
    assert (depth.acknowledged, trade.acknowledged) == (True, True)
    assert depth.current.depth.bids
    assert depth.current.era is not None
    assert depth.current.era.lease is not None
    parent.hear("woken")
    parent.tell("ask", 7, "stats", 1)
    request, stats = parent.hear("answer")
    assert (request, stats.messages > 2) == (7, True)
    parent.tell("ask", 8, "connections", None)
    request, reports = parent.hear("answer")
    assert (request, [r.channels for r in reports]) == (8, [2])


def test_who_leaves_is_written_no_more_once_it_is_said(parent: Parent) -> None:
    parent.start()
    (depth,) = parent.subscribe(1, "depth5")
    (other,) = parent.subscribe(2, "depth5")
    parent.until_live(depth, other)
    parent.tell("unsubscribe", 1)
    number, last = parent.hear("left")
    assert (number, last.messages > 2) == (1, True)
    version = version_of(slot_of(depth))
    moved = other.current.received
    deadline = time.monotonic() + LIMIT
    while other.current.received <= moved:
        assert time.monotonic() < deadline
        time.sleep(0.005)

    assert version_of(slot_of(depth)) == version
    # One that it does not know has left as well.
    parent.tell("unsubscribe", 99)
    assert parent.hear("left")[0] == 99


def test_what_goes_wrong_is_told(parent: Parent) -> None:
    parent.exchange.reject("books5:BTC-USDT", "60018", "no such thing")
    parent.start()
    parent.subscribe(3, "depth5")

    number, topic, error = parent.hear("refused")
    assert (number, topic, type(error)) == (3, "depth5", SubscriptionRejected)
    number, error = parent.hear("failed")
    assert (number, error.code) == (3, "60018")
    (record,) = parent.hear("log")
    while record["levelno"] < logging.ERROR:
        (record,) = parent.hear("log")
    assert record["msg"].startswith("BTC-USDT failed: ")
    parent.subscribe(4, "trade")
    parent.exchange.wait_for(lambda: "trades:BTC-USDT" in parent.exchange.subscribed)
    parent.exchange.drop()
    numbers, error = parent.hear("trouble")
    while not isinstance(error, ConnectionLost):
        numbers, error = parent.hear("trouble")
    assert 4 in numbers


def test_a_connection_is_replaced_on_request(parent: Parent) -> None:
    parent.start()
    (depth,) = parent.subscribe(1, "depth5")
    parent.until_live(depth)
    epoch = depth.current.epoch
    parent.tell("rotate")
    exchange = parent.exchange

    # The era of the new connection vouches for it, and no price is missed.
    assert exchange.wait_for(lambda: era_number_of(depth.current.era) == 101)
    assert exchange.wait_for(lambda: exchange.clients == 1)
    parent.until_live(depth)
    assert depth.current.epoch == epoch


@pytest.mark.parametrize("end", ["close", "end of file", "SIGTERM", "SIGINT"])
def test_it_ends_with_a_goodbye_but_not_for_ctrl_c(parent: Parent, end: str) -> None:
    parent.start()
    (depth,) = parent.subscribe(1, "depth5")
    parent.until_live(depth)
    if end == "close":
        parent.tell("close")
    elif end == "end of file":
        parent.child.sock.close()
    else:
        os.kill(parent.child.pid, getattr(signal, end))
    if end == "SIGINT":
        parent.tell("ask", 1, "stats", None)
        parent.hear("answer")
        assert parent.child.runs
        parent.tell("close")
    if end != "end of file":
        total, own = parent.hear("counts")
        while not own:
            total, own = parent.hear("counts")
        assert (total.messages > 2, own[1].messages > 2) == (True, True)

    assert parent.how_it_ended() == 0
    assert parent.exchange.wait_for(lambda: parent.exchange.clients == 0)


def test_nonsense_ends_it(parent: Parent) -> None:
    parent.start()
    parent.child.send(b"nonsense" * 3)

    assert parent.how_it_ended() == 1


def test_one_whose_parent_is_another_one_by_now_ends(parent: Parent) -> None:
    """Though the socket is open: a fork of the parent may have it."""
    parent.start(pid=1)

    assert parent.how_it_ended() == 0


def test_it_is_for_a_parent_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "okex_ws.isolation.worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )

    assert done.returncode == 1
    assert done.stderr == (
        "okex_ws.isolation.worker is started by a feed with isolate=True alone\n"
    )


# --- What is said, in this process ----------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(LIMIT)
    yield ours, theirs
    ours.close()
    theirs.close()


def received(sock: socket.socket) -> list[Any]:
    """All that was said until the end."""
    unpacker, out = Unpacker(), []
    while data := sock.recv(65536):
        out += unpacker.feed(data)
    return out


def test_nobody_waits_for_a_parent_that_does_not_listen(ends: Any) -> None:
    """What can be said again is said once, and what may be lost has a bound."""
    ours, theirs = ends
    sender = ParentSender(ours)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("okex_ws.isolation.worker.MAX_QUEUED", 5)
            sender.say("log", "x" * 10_000_000)  # more than the socket takes
            deadline = time.monotonic() + LIMIT
            while waiting_in(sender):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            lost, other = ConnectionLost("ws://x", "gone"), ConnectionLost("ws://y", "")
            for number in range(1000):
                sender.say("trouble", [number], lost)
            sender.say("trouble", [7], other)
            for _ in range(1000):
                sender.say("woken")
            for number in range(100):
                sender.say("log", {"number": number})
            sender.say("left", 1, None)
    finally:
        threading.Thread(target=lambda: (sender.close(LIMIT), ours.close())).start()
    first, *rest = received(theirs)

    assert first[0] == "log"
    kinds = [kind for kind, *_ in rest]
    assert kinds == ["trouble", "trouble", "woken", "log", "log", "log", "left"]
    assert rest[0][1] == [*range(1000)]
    assert rest[1][1] == [7]


def test_a_place_is_left_before_that_is_said(ends: Any) -> None:
    """Whoever has it next is written over by nobody."""
    ours, theirs = ends
    worker, steps = Worker(ours), []  # type: ignore[var-annotated]

    class Relay:
        def leave(self) -> None:
            steps.append("leave")

    class FakePool:
        def detach(self, relay: Any) -> None:
            steps.append("detach")

        def stats(self, relays: Any) -> Stats:
            return Stats(messages=7)

    say = worker.sender.say
    worker.sender.say = lambda kind, *rest: (steps.append(kind), say(kind, *rest))  # type: ignore[assignment,func-returns-value,method-assign]
    set_pool_of_worker(worker, FakePool(), {1: Relay()})
    unsubscribe(worker, 1)
    worker.sender.close(LIMIT)
    close_selector(worker)
    ours.close()

    assert steps == ["leave", "detach", "left"]
    assert received(theirs) == [("left", 1, Stats(messages=7))]


def test_what_is_said_to_nobody_ends_the_thread(ends: Any) -> None:
    ours, theirs = ends
    sender = ParentSender(ours)
    theirs.close()
    sender.say("woken")
    thread = thread_of(sender)
    assert thread is not None
    thread.join(LIMIT)
    assert not thread.is_alive()
    sender.say("woken")
    sender.close(LIMIT)


def test_a_record_goes_as_text_with_its_traceback(ends: Any) -> None:
    ours, theirs = ends
    sender = ParentSender(ours)
    logger = logging.Logger("okex_ws")
    logger.addHandler(LogForwarder(sender))
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("%s went wrong", object, extra={"event": "dropped"})
    sender.close(LIMIT)
    ours.close()
    ((_, fields),) = received(theirs)

    record = logging.makeLogRecord(fields)
    assert record.getMessage() == "<class 'object'> went wrong"
    assert "ValueError: odd" in logging.Formatter().format(record)
    assert vars(record)["event"] == "dropped"
