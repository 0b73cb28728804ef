"""A subscription and a feed in coroutines: real sockets, both kinds of event loop."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    Depth,
    Feed,
    Item,
    NotLive,
    RawSubscription,
    Recorder,
    Replay,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import Rest
from tests.support.event_loops import NAMES, new_loop, run_in
from tests.support.internals import waits_for_end
from tests.support.recordings import depth, heard, session, write

LIMIT = 20.0
BTC = ("BTC-USDT", "spot")
Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine function, in a loop of asyncio and in one of uvloop."""
    loop = new_loop(request.param)
    yield functools.partial(run_in, loop)
    loop.close()


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange() as exchange:
        yield exchange


def btc(exchange: LocalExchange, **keywords: Any) -> WSSubscription:
    keywords = {"venue": exchange.venue_v5, "channels": ["depth5"], **keywords}
    return WSSubscription(*BTC, **keywords)


# --- async with ---------------------------------------------------------------------


def test_a_subscription_lives_as_long_as_the_block(
    run: Run, exchange: LocalExchange, where: dict[str, Any]
) -> None:
    async def main() -> WSSubscription:
        async with btc(exchange, **where) as okx:
            await okx.await_live(LIMIT)
            assert okx.GetDepth()["bids"]
        return okx

    assert run(main).state is State.CLOSED


def test_a_feed_and_what_is_on_it_live_as_long_as_the_block(
    run: Run, exchange: LocalExchange
) -> None:
    async def main() -> None:
        async with Feed(exchange.venue_v5) as feed:
            items = feed.updates()
            (okx,) = feed.subscribe([BTC[0]], BTC[1], ["depth5"])
            async with RawSubscription([{"channel": "status"}], feed=feed) as raw:
                await feed.await_live(LIMIT)
                assert okx.state is feed.state is State.LIVE
            assert raw.state is State.CLOSED
            assert okx.state is State.LIVE
            depths = (item async for item in items if isinstance(item, Depth))
            assert (await anext(depths)).instrument_id == BTC[0]
        assert okx.state is feed.state is State.CLOSED
        left = [item async for item in items]
        assert isinstance(left[-1], StateChange)
        assert left[-1].new is State.CLOSED

    run(main)


def test_an_error_in_the_block_closes_and_goes_on(
    run: Run, exchange: LocalExchange
) -> None:
    okx = btc(exchange)

    async def main() -> None:
        async with okx:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)
    assert okx.state is State.CLOSED


def test_a_cancellation_in_the_block_closes_and_goes_on(
    run: Run, exchange: LocalExchange
) -> None:
    okx = btc(exchange)

    async def wait() -> None:
        async with okx:
            await okx.await_live(None)
            await asyncio.Event().wait()

    async def main() -> None:
        waiting = asyncio.create_task(wait())
        while okx.state is not State.LIVE:
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert okx.close(LIMIT)

    run(main)
    assert okx.state is State.CLOSED


# --- aclose -------------------------------------------------------------------------


def test_the_loop_goes_on_while_it_closes(run: Run, exchange: LocalExchange) -> None:
    """A callback that needs the loop cannot end before."""
    released, inside = threading.Event(), threading.Event()

    def hold(text: str) -> None:
        inside.set()
        released.wait(LIMIT)

    async def main() -> None:
        okx = btc(exchange, on_message=hold)
        while not inside.is_set():
            await asyncio.sleep(0.001)
        assert await okx.aclose(0.0) is False
        asyncio.get_running_loop().call_later(0.01, released.set)
        assert await okx.aclose(LIMIT) is True
        assert await okx.aclose() is True

    run(main)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_aclose_has_begun_to_close(
    run: Run, exchange: LocalExchange, steps: int
) -> None:
    okx = btc(exchange)

    async def main() -> None:
        await okx.await_live(LIMIT)
        closing = asyncio.create_task(okx.aclose())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)

    run(main)
    assert okx.state is State.CLOSED
    assert okx.close(LIMIT)


def test_it_closes_though_the_script_has_filled_the_executor(
    run: Run, exchange: LocalExchange
) -> None:
    released = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(64):
            loop.run_in_executor(None, released.wait, LIMIT)
        okx = btc(exchange)
        await okx.await_live(LIMIT)
        assert await okx.aclose(LIMIT) is True
        released.set()

    run(main)


def test_the_end_of_a_thread_wakes_it_and_it_does_not_look_meanwhile(
    run: Run, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, script = asyncio.sleep, threading.get_ident()

    async def pause(seconds: float) -> None:
        # The exchange, on a thread of this process, goes on as it did.
        if threading.get_ident() == script:
            raise AssertionError(f"it looks again every {seconds} s")
        await sleep(seconds)

    released, inside = threading.Event(), threading.Event()

    def hold(text: str) -> None:
        inside.set()
        released.wait(LIMIT)

    okx = btc(exchange, on_message=hold)
    assert inside.wait(LIMIT)

    async def main() -> None:
        monkeypatch.setattr(asyncio, "sleep", pause)
        asyncio.get_running_loop().call_later(0.01, released.set)
        assert await okx.aclose(None) is True

    run(main)
    assert waits_for_end(okx) == 0


def test_a_cancelled_aclose_leaves_nothing_that_waits(
    run: Run, exchange: LocalExchange
) -> None:
    released, inside = threading.Event(), threading.Event()

    def hold(text: str) -> None:
        inside.set()
        released.wait(LIMIT)

    okx = btc(exchange, on_message=hold)
    assert inside.wait(LIMIT)

    async def main() -> None:
        closing = [asyncio.create_task(okx.aclose()) for _ in range(3)]
        await asyncio.sleep(0)
        assert waits_for_end(okx) == 3
        for each in closing:
            each.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    run(main)
    assert waits_for_end(okx) == 0
    released.set()
    assert okx.close(LIMIT)


def test_many_are_closed_together_while_the_loop_goes_on(
    run: Run, exchange: LocalExchange
) -> None:
    async def main() -> None:
        many = [btc(exchange) for _ in range(20)]
        async with Feed(exchange.venue_v5) as feed:
            shared = feed.subscribe(["BTC-USDT", "ETH-USDT"], channels=["depth5"])
            await asyncio.gather(*(one.await_live(LIMIT) for one in [*many, *shared]))
            closing = [one.aclose(LIMIT) for one in [*many, *shared]]
            assert all(one.state is State.CLOSED for one in [*many, *shared])
            assert await asyncio.gather(*closing) == [True] * len(closing)
        assert sum(map(waits_for_end, many)) == 0

    run(main)


# --- await_live ---------------------------------------------------------------------


def test_await_live_raises_what_wait_live_raises(
    run: Run, exchange: LocalExchange
) -> None:
    exchange.ignore_subscribe("books5:ETH-USDT")
    exchange.reject("books5:BTC-USDT", "60018", "doesn't exist")

    async def main() -> None:
        async with Feed(exchange.venue_v5) as feed:
            (eth,) = feed.subscribe(["ETH-USDT"], "spot", ["depth5"])
            for waits in (eth, feed):
                with pytest.raises(TimeoutError, match=r"ETH-USDT is \w+ after 0\.05"):
                    await waits.await_live(0.05)
            asyncio.get_running_loop().call_later(0.01, eth.close)
            with pytest.raises(NotLive, match="CLOSED"):
                await eth.await_live(LIMIT)
        with pytest.raises(NotLive, match="CLOSED"):
            await feed.await_live()
        async with Feed(exchange.venue_v5) as feed:
            feed.subscribe([BTC[0]], BTC[1], ["depth5"])
            with pytest.raises(SubscriptionRejected, match="60018"):
                await feed.await_live(LIMIT)

    run(main)


# --- Items --------------------------------------------------------------------------


def test_a_lost_connection_is_told_to_a_coroutine(
    run: Run, exchange: LocalExchange
) -> None:
    async def main() -> list[State]:
        async with btc(exchange) as okx:
            await okx.await_live(LIMIT)
            items = okx.updates(timeout=LIMIT)
            exchange.drop()
            changes = (i.new async for i in items if isinstance(i, StateChange))
            return [await anext(changes) for _ in range(3)]

    told = run(main)
    assert told == [State.RECONNECTING, State.SYNCING, State.LIVE]


def test_callbacks_that_wake_coroutines_and_iterators_go_together(
    run: Run, exchange: LocalExchange
) -> None:
    changes: list[State] = []

    async def take(items: AsyncIterator[Item]) -> None:
        async for _ in items:
            pass

    async def main() -> None:
        live = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told(change: StateChange) -> None:
            changes.append(change.new)
            if change.new is State.LIVE:
                loop.call_soon_threadsafe(live.set)

        async with btc(exchange, on_state=told) as okx:
            taking = [asyncio.create_task(take(okx.updates())) for _ in range(3)]
            await live.wait()
        await asyncio.gather(*taking)

    run(main)
    assert changes[-2:] == [State.LIVE, State.CLOSED]


def test_close_ends_a_next_that_waits_in_an_executor(
    run: Run, exchange: LocalExchange
) -> None:
    exchange.ignore_subscribe("books5:BTC-USDT")

    async def main() -> None:
        okx = btc(exchange)
        items = okx.updates()
        loop, found = asyncio.get_running_loop(), list[Item | None]()

        def closing(call: Callable[[], object]) -> Any:
            return loop.run_in_executor(None, call)

        asyncio.get_running_loop().call_later(0.01, okx.close, 0.0)
        while not found or found[-1] is not None:
            found.append(await closing(functools.partial(next, items, None)))
        assert await okx.aclose(LIMIT)

    run(main)


def test_the_loop_ends_while_items_come(run: Run, exchange: LocalExchange) -> None:
    okx, waiting = btc(exchange), list[Any]()

    async def main() -> None:
        await okx.await_live(LIMIT)
        items = okx.updates()
        await anext(items)
        waiting.append(anext(items))
        waiting[0].send(None)

    run(main)
    for _ in zip(range(5), okx.updates(timeout=LIMIT), strict=False):
        assert okx.state is State.LIVE
    assert okx.close(LIMIT)
    waiting[0].close()


# --- Misuse -------------------------------------------------------------------------


def test_without_a_loop_of_asyncio_each_says_what_to_call(
    exchange: LocalExchange,
) -> None:
    """As under trio and curio, which drive a coroutine by themselves."""
    with Feed(exchange.venue_v5) as feed:
        feed.subscribe([BTC[0]], BTC[1], ["depth5"])
        for make, says in (
            (feed.await_live, r"wait_live\(\) on a thread"),
            (feed.updates().__anext__, r"next\(items, None\) on a thread"),
            (feed.__aenter__, r"close\(\) on a thread"),
            (feed.aclose, r"close\(\) on a thread"),
        ):
            with pytest.raises(RuntimeError, match=f"asyncio.*trio.*{says}"):
                make().send(None)
        assert feed.state is State.CLOSED


async def on_anything(told: object) -> None:
    """No thread of the library awaits it."""


class AsyncObject:
    async def __call__(self, told: object) -> None:
        """Nor this."""


@pytest.mark.parametrize(
    "callback",
    [
        on_anything,
        functools.partial(on_anything),
        AsyncObject(),
        AsyncObject().__call__,
    ],
)
def test_an_async_callback_is_refused_where_it_is_given(callback: Any) -> None:
    feed = Feed("okx")
    for name in ("on_message", "on_state", "on_error"):
        says = f"{name} is a plain function.*'async for item in okx.updates"
        with pytest.raises(TypeError, match=says):
            WSSubscription(*BTC, venue="okx", **{name: callback})
        with pytest.raises(TypeError, match=says):
            RawSubscription([{"channel": "status"}], feed=feed, **{name: callback})
        with pytest.raises(TypeError, match=says):
            feed.subscribe([BTC[0]], BTC[1], **{name: callback})  # type: ignore[misc]
    with pytest.raises(TypeError, match="on_state is a plain function"):
        Feed("okx", on_state=callback)
    assert feed.subscriptions == ()


# --- Replays and forks --------------------------------------------------------------


def test_a_replay_in_virtual_time_is_the_same_in_a_coroutine(
    run: Run, tmp_path: Path
) -> None:
    pushes = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 40)]
    path = write(tmp_path / "a.rec", *session(*pushes, end=39.0))

    def blocking() -> list[Item]:
        with Replay(path, speed=math.inf) as replay:
            feed = replay.feed()
            (okx,) = feed.subscribe([BTC[0]], BTC[1], ["depth5"])
            okx.wait_live()
            return list(okx.updates(latest=False))

    async def main() -> list[Item]:
        with Replay(path, speed=math.inf) as replay:
            async with replay.feed() as feed:
                (okx,) = feed.subscribe([BTC[0]], BTC[1], ["depth5"])
                await feed.await_live()
                return [item async for item in okx.updates(latest=False)]

    items = run(main)
    assert len(items) == 40
    assert list(map(repr, items)) == list(map(repr, blocking()))


@pytest.mark.parametrize("speed", ["max", 100.0])
def test_a_recording_is_made_and_played_in_a_coroutine(
    run: Run, exchange: LocalExchange, tmp_path: Path, speed: Any
) -> None:
    path = tmp_path / "a.rec"

    async def main() -> list[Item]:
        recorder = Recorder(path)
        async with recorder, Feed(exchange.venue_v5, recorder=recorder) as feed:
            (okx,) = feed.subscribe([BTC[0]], BTC[1], ["depth5"])
            await anext(item async for item in okx.updates() if type(item) is Depth)
        assert await recorder.aclose() is True
        async with Replay(path, speed=speed) as replay:
            (okx,) = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])
            items = okx.updates(timeout=LIMIT)
            found = [await anext(item async for item in items if type(item) is Depth)]
        assert okx.state is State.CLOSED
        assert await replay.aclose() is True
        assert replay.close() is True
        return found

    assert run(main)[0].instrument_id == BTC[0]


def test_an_error_in_the_block_closes_recorder_replay_and_exchange(
    run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.rec", *session(heard(1.0, depth(1.0, "1")), end=2.0))

    exchange, recorder = LocalExchange(), Recorder(tmp_path / "b.rec")
    replay = Replay(path)

    async def main() -> None:
        async with exchange, recorder, replay:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)
    assert "closed" in repr(exchange)
    assert "closed" in repr(recorder)
    with pytest.raises(ValueError, match="over"):
        replay.feed()


def test_a_cancelled_aclose_of_an_exchange_has_begun_to_close(run: Run) -> None:
    exchange = LocalExchange()

    async def main() -> None:
        assert await exchange.aclose() is True  # it had not begun
        async with LocalExchange() as other:
            closing = other.aclose()
            assert "closed" in repr(other)
            task = asyncio.create_task(closing)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await other.aclose() is True

    run(main)


def test_rest_says_how_a_coroutine_calls_it(run: Run, exchange: LocalExchange) -> None:
    rest = Rest(exchange.venue_v5)

    async def main() -> None:
        with pytest.raises(TypeError, match=r"asyncio\.to_thread\(rest\.trades"):
            async with rest:
                pass

    run(main)
    with pytest.raises(ConnectionLost):
        rest.time()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_is_closed_and_the_parents_coroutine_goes_on(
    exchange: LocalExchange,
) -> None:
    async def main() -> int:
        async with btc(exchange) as okx:
            await okx.await_live(LIMIT)
            items = okx.updates()
            await anext(items)
            child = os.fork()
            if not child:
                try:
                    ended = okx.state is State.CLOSED and next(items, None) is None
                    os._exit(11 if ended else 12)
                finally:
                    os._exit(13)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert isinstance(await anext(items), Depth)
            return os.waitstatus_to_exitcode(status)

    assert run_in(new_loop("asyncio"), main) == 11
