"""Whatever a callback does, the connection that called it goes on."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from okex_ws.base.clock import utc
from okex_ws.base.errors import Stalled
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.channels.reading import Reading
from okex_ws.delivery.callbacks import SLOW, CallbackRunner, Callbacks, check_callables
from okex_ws.model.reports import StateChange
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.clocks import FakeClock

CHANGE = StateChange(State.CONNECTING, State.LIVE, NO_CAUSE, 1, utc(0), "BTC-USDT")
LATE = Stalled("no pong came", 10)
TRADES = Reading(PROTOCOL.channel("trade", "spot", "BTC-USDT"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records]


def test_each_callback_gets_what_it_is_for(clock: FakeClock) -> None:
    texts: list[str] = []
    changes: list[StateChange] = []
    errors: list[Exception] = []
    callbacks = Callbacks(
        "it", clock, texts.append, [changes.append, changes.append], errors.append
    )
    callbacks.message("text", TRADES)
    callbacks.state(CHANGE)
    callbacks.error(LATE)
    callbacks.drain()
    assert (texts, changes, errors) == (["text"], [CHANGE, CHANGE], [LATE])
    assert (callbacks.errors, callbacks.stalls) == (0, 0)


def test_none_need_be_given_and_the_last_error_is_kept(clock: FakeClock) -> None:
    callbacks = Callbacks("it", clock)
    assert callbacks.last_error is None
    callbacks.message("text", TRADES)
    callbacks.state(CHANGE)
    callbacks.error(LATE)
    callbacks.drain()
    assert callbacks.last_error is LATE


def test_an_exception_is_logged_counted_and_told(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Exception] = []
    bug = ZeroDivisionError("bug")

    def raises(_: object) -> None:
        raise bug

    callbacks = Callbacks("it", clock, raises, [raises], told.append)
    callbacks.message("text", TRADES)
    callbacks.state(CHANGE)
    callbacks.drain()
    assert told == [bug, bug]
    assert callbacks.errors == 2
    assert callbacks.last_error is bug
    assert logged(caplog) == [
        ("ERROR", "on_message of it raised"),
        ("ERROR", "on_state of it raised"),
    ]
    assert "ZeroDivisionError: bug" in caplog.text


def test_one_callback_that_raises_keeps_nothing_from_the_next(
    clock: FakeClock,
) -> None:
    changes: list[StateChange] = []

    def raises(_: StateChange) -> None:
        raise ValueError

    callbacks = Callbacks("it", clock, on_state=[raises, changes.append])
    callbacks.state(CHANGE)
    callbacks.drain()
    assert changes == [CHANGE]


def test_an_error_in_on_error_is_not_told_to_itself(clock: FakeClock) -> None:
    told: list[Exception] = []

    def raises(error: Exception) -> None:
        told.append(error)
        raise ValueError("worse")

    callbacks = Callbacks("it", clock, on_error=raises)
    callbacks.error(LATE)
    callbacks.drain()
    assert told == [LATE]
    assert callbacks.errors == 1
    assert callbacks.last_error is LATE


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_callback_cannot_end_the_connection(
    clock: FakeClock, end: type[BaseException]
) -> None:
    told: list[Exception] = []

    def ends(_: str) -> None:
        raise end

    callbacks = Callbacks("it", clock, ends, on_error=told.append)
    callbacks.message("text", TRADES)
    callbacks.drain()
    assert callbacks.errors == 1
    # It is no error of anything: on_error takes an Exception.
    assert told == []


@pytest.mark.parametrize(("took", "stalls"), [(SLOW - 0.01, 0), (SLOW, 1), (60.0, 1)])
def test_a_slow_callback_is_counted_and_named(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, took: float, stalls: int
) -> None:
    caplog.set_level(logging.WARNING)
    callbacks = Callbacks("it", clock, lambda _: clock.advance(took))
    callbacks.message("text", TRADES)
    callbacks.drain()
    assert callbacks.stalls == stalls
    line = ("WARNING", f"on_message of it took {took:.1f} s")
    assert logged(caplog) == [line] * stalls


def test_a_slow_callback_that_raises_is_both(clock: FakeClock) -> None:
    def slow(_: str) -> None:
        clock.advance(2)
        raise ValueError

    callbacks = Callbacks("it", clock, slow)
    callbacks.message("text", TRADES)
    callbacks.drain()
    assert (callbacks.errors, callbacks.stalls) == (1, 1)


def test_what_cannot_be_called_is_named() -> None:
    check_callables(on_message=print, on_state=None, on_error=[].append)

    with pytest.raises(TypeError, match="on_state is a function or None, got 5"):
        check_callables(on_message=print, on_state=5)


def test_what_no_thread_can_await_is_named() -> None:
    class Told:
        async def __call__(self, told: object) -> None:
            pass

    async def items(told: object) -> AsyncIterator[object]:
        yield told

    check_callables(on_state=Told)  # A call makes an object, and awaits nothing.
    for callback in (Told(), Told().__call__, items):
        with pytest.raises(TypeError, match="on_state is a plain function"):
            check_callables(on_state=callback)


def test_they_are_called_at_once_and_there_is_no_thread_to_wait_for(
    clock: FakeClock,
) -> None:
    callback_runner, seen = CallbackRunner(), list[object]()
    callbacks = callback_runner.callbacks(
        "it", clock, seen.append, [seen.append], seen.append
    )

    callback_runner.start()
    callbacks.begin()
    callbacks.message("text", TRADES)
    callbacks.drain()
    callbacks.mute()
    callbacks.after(lambda: seen.append("after"))
    callback_runner.close()

    assert seen == ["text", "after"]
    assert type(callbacks) is Callbacks
    assert callback_runner.thread is None
    callback_runner.forked()


def test_how_they_behaved_is_counted_by_name(clock: FakeClock) -> None:
    def slow(_: str) -> None:
        clock.advance(2)
        raise ValueError

    callbacks = Callbacks("it", clock, slow)
    callbacks.message("text", TRADES)
    callbacks.message("text", TRADES)
    callbacks.drain()
    assert callbacks.counts() == {"callback_errors": 2, "callback_stalls": 2}
