"""A ``with`` closes, however it is left; a forked child is told of the fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from okex_ws.base.threads import Bell, Closing, register_for_fork, thread_life


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
def test_those_that_are_there_at_a_fork_are_told_in_the_child_alone() -> None:
    first, later = Told(), Told()
    objects = [first]
    register_for_fork(objects)
    objects.append(later)

    child = os.fork()
    if not child:
        os._exit(10 * first.times + later.times)
    _, status = os.waitpid(child, 0)

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
