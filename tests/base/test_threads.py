"""A ``with`` closes, however it is left; a forked child is told of the fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from okex_ws.base.clock import SystemClock
from okex_ws.base.threads import (
    Bell,
    Closing,
    Waiters,
    heed_fork,
    in_event_loop,
    register_for_fork,
    running_loop,
    thread_life,
)
from tests.support.line_hooks import LineHook, every_line


class Door(Closing):
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_with_gives_the_thing_itself_and_closes_it() -> None:
    with Door() as door:
        assert not door.closed

    assert door.closed == 1


def test_an_error_closes_it_and_goes_on() -> None:
    door = Door()
    with pytest.raises(ZeroDivisionError), door:
        raise ZeroDivisionError

    assert door.closed == 1


class Told:
    def __init__(self) -> None:
        self.times = 0

    def forked(self) -> None:
        self.times += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_is_heeded_in_the_child_once_by_all_that_are_there() -> None:
    first, later = Told(), Told()
    objects = [first]
    register_for_fork(objects)
    objects.append(later)

    child = os.fork()
    if not child:
        unheeded = first.times + later.times
        heed_fork()
        heed_fork()
        os._exit(100 * unheeded + 10 * first.times + later.times)
    _, status = os.waitpid(child, 0)

    heed_fork()
    # The list is the process's until its end.
    objects.clear()
    assert os.waitstatus_to_exitcode(status) == 11
    assert first.times == later.times == 0


def test_a_life_ends_with_its_thread() -> None:
    lives: list[Callable[[], object]] = []

    def keep() -> None:
        lives.extend([thread_life(), thread_life()])
        assert all(life() is not None for life in lives)

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()

    assert [life() for life in lives] == [None, None]
    assert thread_life()() is not None


def test_a_bell_remembers_one_ring() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()

    assert bell.wait()
    assert not bell.wait(0.0)


def test_a_bell_ends_the_wait_of_another_thread() -> None:
    bell, heard = Bell(), threading.Event()

    def hear() -> None:
        bell.wait()
        heard.set()

    thread = threading.Thread(target=hear)
    thread.start()
    bell.ring()

    assert heard.wait(10)
    thread.join(10)


def test_one_wake_up_is_for_all_threads_and_coroutines_that_wait() -> None:
    waiters, woken = Waiters(SystemClock()), list[str]()

    def block() -> None:
        waiters.wait(10.0, lambda: False)
        woken.append("a thread")

    async def wait(name: str) -> None:
        loop = running_loop("this", "that")
        await waiters.wait_in_loop(loop, 10.0, lambda: False)
        woken.append(name)

    async def main() -> None:
        threads = [threading.Thread(target=block) for _ in range(2)]
        for thread in threads:
            thread.start()
        waiting = asyncio.gather(wait("a coroutine"), wait("a coroutine"))
        while len(waiters.bells) < 4:
            await asyncio.sleep(0)
        waiters.wake()
        await waiting
        for thread in threads:
            thread.join(10)

    asyncio.run(main())
    assert sorted(woken) == ["a coroutine"] * 2 + ["a thread"] * 2
    assert waiters.bells == set()


def test_what_is_done_as_a_waiter_looks_a_last_time_is_not_missed() -> None:
    waiters = Waiters(SystemClock())

    def is_done() -> bool:
        assert len(waiters.bells) == 1  # A change from here on wakes it.
        waiters.wake()
        return False

    async def main() -> None:
        loop = running_loop("this", "that")
        await waiters.wait_in_loop(loop, 1e9, is_done)
        await waiters.wait_in_loop(loop, 1e9, lambda: True)

    waiters.wait(1e6, is_done)
    waiters.wait(1e6, lambda: True)
    asyncio.run(main())


def released(waiters: Waiters, hook: LineHook, done: list[bool]) -> threading.Timer:
    """A timer that ends the wait unless *hook* has fired, and so has to end it."""

    def release() -> None:
        if not hook.fired:
            done.append(True)
            waiters.wake()

    return threading.Timer(0.2, release)


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_a_change_at_any_line_of_a_wait_ends_the_wait(kind: str) -> None:
    waiters, done = Waiters(SystemClock()), list[bool]()
    loop = asyncio.new_event_loop()

    def change() -> None:
        done.append(True)
        waiters.wake()

    def wait() -> None:
        while not done:
            if kind == "thread":
                waiters.wait(1e6, lambda: bool(done))
            else:
                step = waiters.wait_in_loop(loop, 1e6, lambda: bool(done))
                loop.run_until_complete(step)

    places = set()
    for hook in every_line(change, within="threads.py"):
        done.clear()
        timer = released(waiters, hook, done)
        timer.start()
        with hook:
            wait()
        timer.cancel()
        timer.join()
        places.add(hook.place)
        assert waiters.bells == set()
    loop.close()
    assert len(places) > 10


def test_a_loop_is_known_only_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[bool, bool]:
        return in_event_loop(), await asyncio.to_thread(in_event_loop)

    assert asyncio.run(main()) == (True, False)
    assert not in_event_loop()
    with pytest.raises(RuntimeError, match=r"this needs .* call that on a thread"):
        running_loop("this", "that")
    monkeypatch.delitem(sys.modules, "asyncio")
    assert not in_event_loop()


def test_the_library_itself_does_not_import_asyncio() -> None:
    program = "import okex_ws, sys; sys.exit('asyncio' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
