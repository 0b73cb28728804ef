"""No callback runs in a transition: each event is queued, and one thread drains."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.clock import utc
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.channels.reading import Reading
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.model.reports import StateChange
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.clocks import FakeClock
from tests.support.internals import lock_of_callbacks

LIMIT = 10.0


def reading(topic: str) -> Reading:
    return Reading(PROTOCOL.channel(topic, "spot", "BTC-USDT"))


def change(old: State, new: State) -> StateChange:
    return StateChange(old, new, NO_CAUSE, 1, utc(0), "BTC-USDT")


TRADE, DEPTH5 = reading("trade"), reading("depth5")
LIVE = change(State.SYNCING, State.LIVE)
STALE = change(State.LIVE, State.STALE)
CLOSED = change(State.STALE, State.CLOSED)


def deliver(callbacks: Callbacks, text: str, of: Reading) -> None:
    """Queue *text* and drain, as a connection does between two steps."""
    callbacks.message(text, of)
    callbacks.drain()


def make(act: Callable[[Any], object]) -> Callbacks:
    """Callbacks that all call *act*."""
    return Callbacks("it", FakeClock(), act, [act], act)


# --- Only drain() runs a callback ----------------------------------------------------


def test_what_is_queued_is_told_when_it_is_drained_and_not_before() -> None:
    seen: list[Any] = []
    callbacks, error = make(seen.append), OSError("x")
    callbacks.message("1", TRADE)
    callbacks.state(LIVE)
    callbacks.error(error)
    assert callbacks.last_error is error
    assert seen == []

    callbacks.drain()
    assert seen == ["1", LIVE, error]


def test_what_a_callback_causes_comes_after_it() -> None:
    seen: list[Any] = []

    def act(what: Any) -> None:
        seen.append(f"begin {what}")
        if what == "1":
            callbacks.error(error)
            deliver(callbacks, "2", TRADE)
            callbacks.drain()
        seen.append(f"end {what}")

    callbacks, error = make(act), OSError("x")
    deliver(callbacks, "1", TRADE)

    assert seen == ["begin 1", "end 1", "begin x", "end x", "begin 2", "end 2"]


def test_a_message_that_is_delivered_waits_behind_what_waits() -> None:
    seen: list[Any] = []
    callbacks = make(seen.append)
    callbacks.state(LIVE)
    deliver(callbacks, "1", TRADE)

    assert seen == [LIVE, "1"]


@contextmanager
def handler(emit: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """A log handler of the script."""
    log, added = logging.getLogger("okex_ws"), logging.Handler()
    added.handle = emit  # type: ignore[method-assign, assignment]
    log.addHandler(added)
    try:
        yield
    finally:
        log.removeHandler(added)


def test_log_records_have_their_place_and_a_raising_handler_takes_nothing() -> None:
    seen: list[Any] = []

    def emit(record: logging.LogRecord) -> None:
        seen.append((record.getMessage(), getattr(record, "event", None)))
        raise SystemExit

    def act(what: Any) -> None:
        seen.append(what)
        raise ValueError

    callbacks = make(act)
    callbacks.message("1", TRADE)
    log = logging.getLogger("okex_ws")
    callbacks.log(lambda: log.error("it failed", extra={"event": "failed"}))
    callbacks.state(LIVE)
    with handler(emit):
        callbacks.drain()

    kinds = [type(e) if isinstance(e, Exception) else e for e in seen]
    assert kinds == [
        "1",
        ("on_message of it raised", None),
        ValueError,
        ("on_error of it raised", None),
        ("it failed", "failed"),
        LIVE,
        ("on_state of it raised", None),
        ValueError,
        ("on_error of it raised", None),
    ]
    assert callbacks.counts()["callback_errors"] == 4


@pytest.mark.parametrize("which", ["a callback", "a log handler"])
def test_no_thread_waits_for_one_that_blocks(which: str) -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def block(_: Any) -> None:
        inside.set()
        assert go_on.wait(LIMIT)

    def act(what: Any) -> None:
        seen.append(what)
        if what == "0" and which == "a callback":
            block(what)

    callbacks = make(act)
    with handler(block if which == "a log handler" else lambda record: None):
        callbacks.message("0", TRADE)
        callbacks.log(lambda: logging.getLogger("okex_ws").warning("a record"))
        drainer = threading.Thread(target=callbacks.drain)
        drainer.start()
        assert inside.wait(LIMIT)
        assert not lock_of_callbacks(callbacks).locked()
        # All of this returns at once, though nothing of it can be told yet.
        for number in range(1, 4):
            deliver(callbacks, str(number), TRADE)
            deliver(callbacks, str(-number), DEPTH5)
        callbacks.state(LIVE)
        callbacks.drain()
        assert seen == ["0"]
        go_on.set()
        drainer.join(LIMIT)

    assert seen == ["0", "1", "-3", "2", "3", LIVE]
    assert callbacks.counts()["skipped depth5"] == 2


def test_a_flood_behind_a_callback_that_blocks_is_bounded_and_counted() -> None:
    seen: list[Any] = []

    def act(what: Any) -> None:
        seen.append(what)
        if what == "0":
            for number in range(1, 20_001):
                deliver(callbacks, str(number), TRADE)

    callbacks = make(act)
    deliver(callbacks, "0", TRADE)

    assert [int(each) for each in seen[:-1]] == list(range(10_001))
    assert seen[-1].count == 10_000
    assert callbacks.counts()["skipped trade"] == 10_000


# --- The end -------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["a callback", "another thread"])
def test_after_a_close_the_final_state_alone_comes_once_and_last(where: str) -> None:
    seen: list[Any] = []

    def close() -> None:
        callbacks.mute()
        callbacks.state(CLOSED)
        callbacks.error(OSError("too late"))
        callbacks.state(CLOSED)
        callbacks.drain()

    def act(what: Any) -> None:
        seen.append(what)
        if what == "1":
            callbacks.message("2", TRADE)
            if where == "a callback":
                close()
            else:
                thread = threading.Thread(target=close)
                thread.start()
                thread.join(LIMIT)
            deliver(callbacks, "3", TRADE)

    callbacks = make(act)
    callbacks.message("1", TRADE)
    callbacks.message("4", TRADE)
    callbacks.drain()
    deliver(callbacks, "5", TRADE)

    assert seen == ["1", CLOSED]
    counts = callbacks.counts()
    assert (counts["skipped trade"], counts["skipped on_error"]) == (4, 1)


def test_a_close_silences_what_a_drainer_has_before_it() -> None:
    """A signal handler closes: its thread may hold anything, so it only notes that."""
    seen: list[Any] = []
    callbacks = make(seen.append)
    callbacks.message("1", TRADE)
    callbacks.drain()
    callbacks.message("2", TRADE)
    callbacks.state(LIVE)
    with lock_of_callbacks(callbacks):
        callbacks.mute()
    callbacks.drain()

    assert seen == ["1", LIVE]
    assert callbacks.counts()["skipped trade"] == 1


def test_work_of_the_library_runs_at_once_or_after_what_waits() -> None:
    seen: list[Any] = []
    callbacks = make(seen.append)
    callbacks.after(lambda: seen.append("first"))
    assert seen == ["first"]
    callbacks.message("1", TRADE)
    callbacks.after(lambda: seen.append("second"))
    # A script's callbacks never run on the thread that calls `after`.
    assert seen == ["first"]
    callbacks.drain()
    assert seen == ["first", "1", "second"]


def test_work_that_fails_ends_nothing() -> None:
    seen: list[Any] = []

    def fail() -> None:
        raise SystemExit

    callbacks = make(seen.append)
    callbacks.message("1", TRADE)
    callbacks.after(fail)
    callbacks.message("2", TRADE)
    callbacks.drain()
    assert seen == ["1", "2"]


def test_in_a_forked_child_nothing_is_told_whatever_was_held() -> None:
    seen: list[Any] = []

    def act(what: Any) -> None:
        seen.append(what)
        callbacks.forked()

    callbacks = make(act)
    callbacks.message("1", TRADE)
    callbacks.message("2", TRADE)
    callbacks.drain()
    deliver(callbacks, "3", TRADE)
    callbacks.state(CLOSED)
    callbacks.drain()
    assert seen == ["1"]


# --- Every step of two threads -------------------------------------------------------


class Steps(threading.Thread):
    """Runs a job, and stops before its step number *at* until it may go on.

    A step is a line of the two modules at which the thread does not hold the queue's
    lock. One of two such threads runs at a time.
    """

    def __init__(self, job: Callable[[], None], at: int, lock: Any) -> None:
        super().__init__()
        self.reached = False
        self._job, self._left, self._lock = job, at, lock
        self._stopped, self._may_go_on = threading.Event(), threading.Event()

    def run(self) -> None:
        sys.settrace(self._trace)
        try:
            self._job()
        finally:
            sys.settrace(None)
            self._stopped.set()

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if not name.endswith(("/delivery/callbacks.py", "/conflating_queue.py")):
            return None
        if event == "line" and not self._lock.locked():
            self._left -= 1
            if self._left == 0:
                self.reached = True
                self._stopped.set()
                assert self._may_go_on.wait(LIMIT)
        return self._trace

    def until_it_stops(self) -> None:
        self.start()
        assert self._stopped.wait(LIMIT)

    def to_the_end(self) -> None:
        self._may_go_on.set()
        self.join(LIMIT)
        assert not self.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["deliver", "state", "mute"])
def test_wherever_two_threads_interrupt_each_other_nothing_is_left_waiting(
    first: str,
) -> None:
    """The first stops at each of its steps, and then the second at each of its own."""
    pairs = 0
    for one in itertools.count(1):
        for two in itertools.count(1):
            reached = interleave(first, one, two)
            pairs += 1
            if not reached[1]:
                break
        if not reached[0]:
            break
    assert pairs > 100


def interleave(first: str, one: int, two: int) -> tuple[bool, bool]:
    """Whether the threads came to the steps *one* and *two*."""
    seen: list[Any] = []
    inside = threading.Lock()

    def act(what: Any) -> None:
        assert inside.acquire(blocking=False), "two callbacks at a time"
        seen.append(what)
        inside.release()

    def news() -> None:
        if first == "deliver":
            deliver(callbacks, "1", TRADE)
        elif first == "state":
            callbacks.state(LIVE)
        else:
            callbacks.mute()
            callbacks.state(CLOSED)
        callbacks.drain()

    callbacks = make(act)
    lock = lock_of_callbacks(callbacks)
    a = Steps(news, one, lock)
    b = Steps(lambda: deliver(callbacks, "2", TRADE), two, lock)
    a.until_it_stops()
    b.until_it_stops()
    a.to_the_end()
    b.to_the_end()

    told = {"deliver": ["1", "2"], "state": [LIVE, "2"], "mute": [CLOSED]}[first]
    if first == "mute":
        assert seen.count("2") + callbacks.counts()["skipped trade"] == 1
        assert [each for each in seen if each != "2"] == told
        assert seen[-1] is CLOSED
    else:
        assert sorted(map(str, seen)) == sorted(map(str, told))
    return a.reached, b.reached


# --- Whatever comes, from two threads ------------------------------------------------

EVENTS = st.lists(
    st.sampled_from(["trade", "depth5", "state", "error", "raise", "nested"]),
    max_size=30,
)


@given(EVENTS, EVENTS, st.sampled_from([None, 0, 5]))
def test_of_two_threads_all_is_told_in_order_or_counted(
    one: list[str], two: list[str], close_at: int | None
) -> None:
    seen: list[Any] = []
    inside = threading.Lock()

    def act(what: Any) -> None:
        assert inside.acquire(blocking=False), "two callbacks at a time"
        seen.append(what)
        try:
            if isinstance(what, str) and what.startswith("nested"):
                deliver(callbacks, f"of {what}", TRADE)
            if close_at is not None and len(seen) == close_at + 1:
                callbacks.mute()
                callbacks.state(CLOSED)
                callbacks.drain()
            if isinstance(what, str) and what.startswith("raise"):
                raise ValueError(what)
        finally:
            inside.release()

    def put(name: str, events: list[str]) -> None:
        for number, event in enumerate(events):
            if event == "depth5":
                deliver(callbacks, f"depth5 {name} {number}", DEPTH5)
            elif event == "state":
                callbacks.state(STALE if number % 2 else LIVE)
                callbacks.drain()
            elif event == "error":
                callbacks.error(OSError(f"{name} {number}"))
                callbacks.drain()
            else:
                deliver(callbacks, f"{event} {name} {number}", TRADE)

    callbacks = make(act)
    threads = [
        threading.Thread(target=put, args=("a", one)),
        threading.Thread(target=put, args=("b", two)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()

    counts, both = callbacks.counts(), [*one, *two]
    texts = [each for each in seen if isinstance(each, str)]
    own = [text.split() for text in texts if not text.startswith("of")]
    for name, of_depth in itertools.product("ab", (True, False)):
        # A newer depth is told in the place of an older one, before trades that waited.
        told = [e for e in own if e[1] == name and (e[0] == "depth5") is of_depth]
        numbers = [int(number) for _, _, number in told]
        assert numbers == sorted(numbers)
    depths = [text for text in texts if text.startswith("depth5")]
    assert len(depths) + counts["skipped depth5"] == both.count("depth5")
    nested = sum(text.startswith("nested") for text in texts)
    trades = len(texts) - len(depths) + counts["skipped trade"]
    assert trades == sum(map(both.count, ("trade", "raise", "nested"))) + nested
    errors = sum(isinstance(each, OSError) for each in seen)
    assert errors + counts["skipped on_error"] == both.count("error")
    if CLOSED in seen:
        last = seen.index(CLOSED)
        assert seen.count(CLOSED) == 1
        assert not [e for e in seen[last + 1 :] if not isinstance(e, ValueError)]
    else:
        assert close_at is None or len(seen) <= close_at
