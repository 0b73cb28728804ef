"""Items for coroutines: by ``async for`` on the one iterator, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import math
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.clock import SystemClock, utc
from okex_ws.base.errors import Stalled
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.base.threads import mark_library_thread
from okex_ws.delivery.updates import UpdateQueue, Updates
from okex_ws.model.items import Depth, Gap, Item, Trade
from okex_ws.model.reports import StateChange
from okex_ws.replay.script import Moment
from okex_ws.replay.virtual_time import VirtualClock
from okex_ws.trust.verdict import Published
from tests.support.event_loops import LIMIT, NAMES, new_loop, run_in
from tests.support.internals import waiters_of

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]

NOW = utc(0)
ONE = Decimal(1)


class Source:
    """A subscription that is live, for ever or until a test says when."""

    instrument_id = "BTC-USDT"

    def __init__(self) -> None:
        self.end = math.inf

    def lapse(self) -> StateChange:
        self.end = math.inf
        return StateChange(
            State.LIVE, State.STALE, NO_CAUSE, 1, NOW, self.instrument_id
        )

    def lease_end(self) -> float:
        return self.end


class Rig:
    """An iterator, and the threads that put items for it."""

    def __init__(
        self, max_queue: int = 100_000, timeout: float | None = None, clock: Any = None
    ) -> None:
        self.queue = UpdateQueue(clock or SystemClock(), True, max_queue, timeout)
        self.items = Updates(self.queue)
        self.source = Source()
        self.queue.follow(self.source)
        self.queue.begin(self.source, State.LIVE)

    def trade(self, number: int) -> None:
        name = str(number)
        one = Trade("BTC-USDT", name, name, 1, ONE, ONE, "buy", NOW, NOW, 1)
        self.queue.add("trade", one)

    def depth(self, epoch: int) -> None:
        shown = Published(State.LIVE, NO_CAUSE, epoch)
        self.queue.note("depth5", self.source, shown, made)

    def end(self, error: Exception | None = None) -> None:
        self.queue.end(self.source, error)


def made(value: Published, before: Published | None) -> Depth:
    return Depth("BTC-USDT", (), (), NOW, NOW, None, None, value.epoch, "depth5")


def number(item: Item) -> int:
    assert isinstance(item, Trade)
    return int(item.id)


@contextlib.contextmanager
def thread(work: Callable[[], object]) -> Any:
    """Run *work* on a thread of its own, which has ended at the end."""
    running = threading.Thread(target=work, daemon=True)
    running.start()
    try:
        yield
    finally:
        running.join(LIMIT)
        assert not running.is_alive()


def put_slowly(rig: Rig, count: int, seed: int) -> None:
    """Put *count* trades, now many at once and now one alone, and end the source."""
    rng = random.Random(seed)
    for n in range(count):
        rig.trade(n)
        if rng.random() < 0.05:
            time.sleep(rng.choice((0.0, 0.0, 0.0001, 0.001)))
    rig.end()


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine function, in a loop of asyncio and in one of uvloop."""
    loop = new_loop(request.param)
    yield functools.partial(run_in, loop)
    loop.close()


# --- Order and end ------------------------------------------------------------------


def test_an_iterator_is_for_both_kinds_of_loop(run: Run) -> None:
    rig = Rig()

    async def main() -> list[int]:
        assert aiter(rig.items) is rig.items is iter(rig.items)
        rig.trade(1)
        rig.trade(2)
        rig.trade(3)
        first = number(next(rig.items))
        rig.end()
        return [first, *[number(item) async for item in rig.items]]

    assert run(main) == [1, 2, 3]
    assert next(rig.items, None) is None


def test_what_comes_while_it_waits_ends_the_wait(run: Run) -> None:
    rig = Rig()

    async def main() -> list[int]:
        with thread(lambda: put_slowly(rig, 500, 1)):
            return [number(item) async for item in rig.items]

    assert run(main) == [*range(500)]


def test_the_error_of_the_last_source_is_raised(run: Run) -> None:
    rig, error = Rig(), Stalled("wss://here", 10.0)

    async def main() -> None:
        waiting = asyncio.create_task(anext(rig.items))
        await asyncio.sleep(0)
        rig.end(error)
        for step in (waiting, anext(rig.items)):
            with pytest.raises(Stalled) as raised:
                await step
            assert raised.value is error

    run(main)


def test_a_timeout_does_not_end_it(run: Run) -> None:
    rig = Rig(timeout=0.001)

    async def main() -> int:
        for _ in range(3):
            with pytest.raises(TimeoutError, match=r"no item within 0\.001 s"):
                await anext(rig.items)
        rig.trade(7)
        return number(await anext(rig.items))

    assert run(main) == 7


def test_the_end_of_a_lease_ends_the_wait(run: Run) -> None:
    rig = Rig()

    async def main() -> Item:
        rig.source.end = time.monotonic() + 0.001
        rig.queue.begin(rig.source, State.LIVE)
        rig.queue.change(rig.source, rig.source.lapse())
        await anext(rig.items)
        rig.source.end = time.monotonic() + 0.001
        live = StateChange(State.STALE, State.LIVE, NO_CAUSE, 1, NOW, "BTC-USDT")
        rig.queue.change(rig.source, live)
        await anext(rig.items)
        return await anext(rig.items)

    last = run(main)
    assert isinstance(last, StateChange)
    assert last.new is State.STALE


# --- Nothing is lost ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_cancellations_at_random_points_lose_no_item(run: Run, seed: int) -> None:
    rig, rng, count = Rig(), random.Random(seed), 4000
    cancelled = 0

    async def main() -> list[int]:
        nonlocal cancelled
        found = []
        with thread(lambda: put_slowly(rig, count, seed)):
            while len(found) < count:
                step = asyncio.create_task(anext(rig.items))
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0.0002 if rng.random() < 0.02 else 0)
                step.cancel()
                try:
                    found.append(number(await step))
                except asyncio.CancelledError:
                    cancelled += 1
        return found

    assert run(main) == [*range(count)]
    assert cancelled > count / 10
    assert waiters_of(rig.queue).bells == set()


def test_wait_for_again_and_again_loses_no_item(run: Run) -> None:
    rig, rng, count = Rig(), random.Random(5), 2000
    late = 0

    async def main() -> list[int]:
        nonlocal late
        found: list[int] = []
        with thread(lambda: put_slowly(rig, count, 5)):
            while len(found) < count:
                seconds = rng.choice((0, 0.00001, 0.0001, 0.001))
                try:
                    item = await asyncio.wait_for(anext(rig.items), seconds)
                except (TimeoutError, asyncio.TimeoutError):
                    late += 1
                else:
                    found.append(number(item))
        return found

    assert run(main) == [*range(count)]
    assert late


def test_coroutines_and_threads_share_the_items_of_one_iterator(run: Run) -> None:
    rig, count = Rig(), 3000
    by_thread: list[int] = []
    by_other_loop: list[int] = []

    async def take_all() -> list[int]:
        return [number(item) async for item in rig.items]

    async def main() -> list[int]:
        with (
            thread(lambda: by_thread.extend(map(number, rig.items))),
            thread(lambda: by_other_loop.extend(asyncio.run(take_all()))),
            thread(lambda: put_slowly(rig, count, 3)),
        ):
            parts = await asyncio.gather(*[take_all() for _ in range(4)])
        assert all(part == sorted(part) for part in parts)
        return [n for part in parts for n in part]

    found = [*run(main), *by_thread, *by_other_loop]
    assert sorted(found) == [*range(count)]


def test_each_of_several_iterators_gives_every_item(run: Run) -> None:
    rigs, count = [Rig() for _ in range(5)], 300

    async def take_all(rig: Rig) -> list[int]:
        return [number(item) async for item in rig.items]

    def put() -> None:
        for n in range(count):
            for rig in rigs:
                rig.trade(n)
        for rig in rigs:
            rig.end()

    async def main() -> list[list[int]]:
        with thread(put):
            return await asyncio.gather(*map(take_all, rigs))

    assert run(main) == [[*range(count)]] * 5


# --- The loop -----------------------------------------------------------------------


def test_others_have_their_turn_after_64_items_at_most(run: Run) -> None:
    one, other = Rig(), Rig()
    for n in range(1000):
        one.trade(n)
        other.trade(n)
    one.end()
    since = most = 0

    async def count_turns() -> None:
        nonlocal since
        while True:
            since = 0
            await asyncio.sleep(0)

    async def main() -> None:
        nonlocal since, most
        turns = asyncio.create_task(count_turns())
        async for _ in one.items:
            await anext(other.items)
            since += 2
            most = max(most, since)
        turns.cancel()

    run(main)
    assert 0 < most <= 64


def test_a_wait_of_no_seconds_lets_others_have_their_turn(run: Run) -> None:
    rig = Rig(timeout=0.0)

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.001, rig.trade, 1)
        while True:
            with contextlib.suppress(TimeoutError):
                assert number(await anext(rig.items)) == 1
                return

    run(main)


def test_a_loop_that_blocks_costs_one_depth_and_a_bounded_queue() -> None:
    rig, loop, calls = Rig(max_queue=10), new_loop("asyncio"), []
    schedule = loop.call_soon_threadsafe

    def counted(*args: Any, **keywords: Any) -> Any:
        calls.append(args)
        return schedule(*args, **keywords)

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign]

    def put() -> None:
        for n in range(5000):
            rig.depth(n)
            rig.trade(n)

    async def main() -> list[Item]:
        waiting = asyncio.create_task(anext(rig.items))
        await asyncio.sleep(0)
        with thread(put):
            pass  # The loop stands still meanwhile.
        rig.end()
        return [await waiting, *[item async for item in rig.items]]

    found = run_in(loop, main)

    depths = [item.epoch for item in found if isinstance(item, Depth)]
    assert depths == [4999]
    assert sum(isinstance(item, Trade) for item in found) <= 10
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert "of trade not taken in time" in gap.cause.text
    assert len(calls) <= 2  # one is the end of `wait_for`, in `run_in`


def test_putting_into_a_closed_loop_is_no_error(run: Run) -> None:
    rig, waiting = Rig(), []

    async def main() -> None:
        waiting.append(anext(rig.items))
        waiting[0].send(None)  # It waits, and the loop ends without it.

    run(main)
    for n in range(10):
        rig.trade(n)

    assert [number(next(rig.items)) for _ in range(10)] == [*range(10)]
    waiting.clear()
    gc.collect()
    assert waiters_of(rig.queue).bells == set()


def test_another_error_of_a_loop_is_raised() -> None:
    rig, loop = Rig(), new_loop("asyncio")

    def refuse(*args: Any) -> None:
        raise RuntimeError("out of order")

    async def main() -> None:
        waiting = anext(rig.items)
        waiting.send(None)
        loop.call_soon_threadsafe = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(RuntimeError, match="out of order"):
            rig.trade(1)
        del loop.call_soon_threadsafe  # type: ignore[method-assign]
        waiting.close()

    run_in(loop, main)


def test_without_a_loop_it_says_what_to_call(recwarn: Any) -> None:
    """As under trio or curio, which run a coroutine without asyncio's loop."""
    rig = Rig()
    rig.trade(1)
    step = anext(rig.items)

    with pytest.raises(RuntimeError, match=r"next\(items, None\).*trio\.to_thread"):
        step.send(None)

    assert number(next(rig.items)) == 1


def test_next_that_blocks_a_loop_warns_once(run: Run) -> None:
    rig = Rig(timeout=0.001)

    async def main() -> list[str]:
        rig.trade(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            next(rig.items)
            assert not caught  # It did not have to wait.
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    next(rig.items)
        assert [each.category for each in caught] == [RuntimeWarning]
        assert [each.filename for each in caught] == [__file__]
        return [str(each.message) for each in caught]

    assert "use 'async for'" in run(main)[0]


def test_next_on_a_thread_warns_of_nothing(run: Run) -> None:
    rig = Rig(timeout=0.001)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(next, rig.items)

    run(main)


def test_the_end_ends_a_next_that_waits_in_an_executor(run: Run) -> None:
    rig = Rig()

    async def main() -> Item | None:
        waiting = asyncio.create_task(asyncio.to_thread(next, rig.items, None))
        while not waiters_of(rig.queue).bells:
            await asyncio.sleep(0)
        rig.end()
        return await waiting

    assert run(main) is None


def test_a_loop_on_a_thread_of_the_library_does_not_wait_for_itself() -> None:
    rig, raised = Rig(), list[str]()

    async def main() -> None:
        try:
            await anext(rig.items)
        except RuntimeError as error:
            raised.append(str(error))

    def work() -> None:
        mark_library_thread()
        asyncio.run(main())

    with thread(work):
        pass
    assert raised == ["an iterator would wait for its own thread"]


# --- Virtual time, forks ------------------------------------------------------------


def test_in_virtual_time_a_coroutine_lets_time_pass_instead_of_waiting() -> None:
    clock, turns = VirtualClock([Moment(0.0, 0.0)], 0.0), 0
    rig = Rig(clock=clock)

    def pass_time(seconds: float) -> None:
        clock.now += min(seconds, 10.0)
        if clock.now >= 1000.0:
            rig.trade(1)

    clock.pass_time = pass_time

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> int:
        counting = asyncio.create_task(count_turns())
        found = number(await anext(rig.items))
        counting.cancel()
        return found

    assert run_in(new_loop("asyncio"), main) == 1
    assert clock.now == 1000.0
    assert turns >= 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_in_a_forked_child_the_iteration_is_over_and_the_parents_goes_on() -> None:
    rig, loop = Rig(), new_loop("asyncio")

    async def take_all() -> list[Item]:
        return [item async for item in rig.items]

    async def main() -> tuple[int, int]:
        waiting = asyncio.create_task(anext(rig.items))
        await asyncio.sleep(0)
        child = os.fork()
        if not child:
            try:
                rig.queue.forked()
                while not waiting.done():
                    await asyncio.sleep(0)
                ended = isinstance(waiting.exception(), StopAsyncIteration)
                os._exit(11 if ended and asyncio.run(take_all()) == [] else 12)
            finally:
                os._exit(13)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        rig.trade(5)
        return os.waitstatus_to_exitcode(status), number(await waiting)

    assert run_in(loop, main) == (11, 5)
