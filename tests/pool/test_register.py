"""The register: one table of channels, changed in one step, whatever interrupts it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import InvalidState

from okex_ws import Feed, OkexWSError, State, WSSubscription
from okex_ws.pool.placement import Placement
from okex_ws.pool.register import Register, Row, Table, check
from tests.support.internals import pool_of, reading_of, register_of
from tests.support.line_hooks import LineHook, every_line, raising
from tests.support.virtual_world import World

NAMES = tuple(f"{letter}-USDT" for letter in "ABCDEF")
CHANNELS = ("depth5", "trade", "candle60s")


class Interrupted(BaseException):
    """What a signal handler raises, as ``KeyboardInterrupt`` is."""


class FeedRig:
    """A feed in virtual time, whose register is checked."""

    def __init__(self, **facts: Any) -> None:
        self.world = World("v5")
        for name in NAMES:
            key = self.world.dialect.channel("depth5", name)
            self.world.exchange.first_pushes[key] = self.world.dialect.depth(
                0, name=name
            )
        self.feed: Feed = self.world.feed(self.world.venue(**facts))
        self.subscriptions: list[WSSubscription] = []
        # The channels that the exchange has refused at one time.
        self.unknown: set[str] = set()

    @property
    def table(self) -> Table:
        """The present table of the feed."""
        return register_of(pool_of(self.feed)).table

    def subscribe(
        self, name: str = NAMES[0], channels: tuple[str, ...] = ("depth5",)
    ) -> WSSubscription:
        """A subscription that `check` knows of."""
        made = WSSubscription(name, "spot", feed=self.feed, channels=channels)
        self.subscriptions.append(made)
        return made

    def check(self) -> None:
        """The table holds together, and has those subscriptions that are open."""
        table = self.table
        check(table)
        views = [view.subscription for view in table.views if not view.internal]
        assert len(set(map(id, views))) == len(views)
        if not table.closed:
            opened = [s for s in self.subscriptions if not reading_of(s).closed]
            assert {id(each) for each in opened} <= {id(each) for each in views}

    def check_fed(self, subscriptions: list[WSSubscription]) -> None:
        """What is trusted is taken in: its connection has it among its channels."""
        for subscription in subscriptions:
            if subscription.state is not State.LIVE:
                continue
            for reading in reading_of(subscription).readings.values():
                channel = reading.entry.channel
                assert any(
                    each.channels.channels.get(reading.name) is channel
                    and each.channels.era is channel.current.era
                    for each in pool_of(self.feed).connections
                ), reading.name

    def check_exchange(self) -> None:
        """The exchange serves the rows that have users, each once, and no others."""
        wanted = sorted(
            name
            for name, row in self.table.rows.items()
            if row.users and row.reading.error is None and not self.table.closed
            # What the feed follows of its own the world keeps apart.
            if not name.startswith("instruments:")
        )
        served = sorted(
            key for peer in self.world.peers if peer.is_open for key in peer.subscribed
        )
        # Of a name that it does not know the exchange refuses an unsubscribe, too.
        served = [key for key in served if key in wanted or key not in self.unknown]
        assert served == wanted


# --- The table itself ---------------------------------------------------------------


def test_a_change_that_comes_inside_a_change_is_not_lost() -> None:
    """A signal handler may come between the old table and the new one."""
    register, carriers = Register(), [object(), object()]
    first: Any = carriers[0]
    second: Any = carriers[1]
    calls: list[None] = []

    def change(table: Table) -> Table:
        calls.append(None)
        after = table.with_carrier(first, None)
        if len(calls) == 1:
            register.change(lambda now: now.with_carrier(second, None))
        return after

    register.change(change)

    assert len(calls) == 2
    assert register.table.carriers == (second, first)


def test_a_change_that_raises_leaves_the_table() -> None:
    register = Register()
    before = register.table

    with pytest.raises(Interrupted):
        register.change(lambda table: raising(Interrupted)())  # type: ignore[arg-type,return-value]

    assert register.table is before


def test_a_table_that_is_replaced_is_left_as_it_was() -> None:
    register, carrier = Register(), object()
    any_carrier: Any = carrier
    before = register.table

    after = register.change(lambda table: table.with_carrier(any_carrier, None))

    assert (before.carriers, after.carriers) == ((), (carrier,))
    assert register.table is after


def test_what_does_not_hold_together_is_found() -> None:
    rig = FeedRig()
    rig.subscribe()
    table = rig.table
    ((name, row),) = table.rows.items()
    broken = {
        "another key": table.but({"x": row}),
        "a closed view": table.but(views=()),
        "twice": table.with_rows([row._replace(users=row.users * 2)]),
        "another reading": table.with_rows([row._replace(reading=other_reading())]),
        "not served": table.with_rows([row._replace(users=())]),
        "a connection twice": table.but(carriers=table.carriers * 2),
    }

    check(table)
    for each in broken.values():
        with pytest.raises(AssertionError):
            check(each)
    assert name == row.reading.name
    rig.world.run(1)


def other_reading() -> Any:
    """The reading of the same channel in another feed, whose row this is not."""
    rig = FeedRig()
    rig.subscribe()
    (row,) = rig.table.rows.values()
    rig.world.run(0.1)
    return row.reading


def running(feed: Feed) -> int:
    """How many connections of *feed* have a thread that runs."""
    return sum(not each.join(0) for each in pool_of(feed).connections)


# --- At every line ------------------------------------------------------------------


STRIDE = 3
AT_EVERY_LINE = pytest.mark.parametrize("first", range(1, 1 + STRIDE))


def interrupted_at(first: int) -> Iterator[LineHook]:
    """Hooks that raise at a line of the pool, at every `STRIDE`-th one in turn.

    Not where a ``with`` gives a lock back: a tracer that raises there keeps the lock,
    but no signal handler runs between the last line of a ``with`` and its end.
    """
    hooks: list[LineHook] = []

    def interrupt() -> None:
        if not hooks[-1].source.startswith("with "):
            raise Interrupted

    for hook in every_line(interrupt, within="/pool/", first=first, stride=STRIDE):
        hooks.append(hook)
        yield hook


@AT_EVERY_LINE
def test_a_subscribe_that_is_interrupted_has_not_been(first: int) -> None:
    for hook in interrupted_at(first):
        interrupt_subscribe(hook)


def interrupt_subscribe(hook: LineHook) -> None:
    rig = FeedRig()
    other = rig.subscribe(NAMES[1])
    with hook, suppress(Interrupted):
        rig.subscribe(NAMES[0], ("depth5", "candle60s"))
    rig.check()
    seen: list[Any] = []
    rig.world.at(1, lambda: seen.append(rig.subscribe(NAMES[2], CHANNELS)))
    rig.world.at(3, lambda: seen.append((other.state, seen[0].state)))
    rig.world.at(3, rig.check)
    rig.world.at(3, rig.check_exchange)

    rig.world.run(4)

    assert seen[1:] == [(State.LIVE, State.LIVE)], (hook.place, hook.source)
    if hook.fired and len(rig.subscriptions) == 2:
        found = rig.table.views
        views = [view.subscription for view in found if not view.internal]
        assert views == [other, seen[0]], (hook.place, hook.source)


@AT_EVERY_LINE
def test_a_close_that_is_interrupted_can_be_made_again(first: int) -> None:
    for hook in interrupted_at(first):
        interrupt_close(hook)


def interrupt_close(hook: LineHook) -> None:
    rig = FeedRig()
    other = rig.subscribe(NAMES[1])
    gone = rig.subscribe(NAMES[0], ("depth5", "candle60s"))

    def close() -> None:
        with hook, suppress(Interrupted):
            gone.close()
        assert gone.state is State.CLOSED
        gone.close()

    rig.world.at(1, close)
    seen: list[Any] = []
    rig.world.at(1, rig.check)
    rig.world.at(3, lambda: seen.append(other.state))
    rig.world.at(3, rig.check_exchange)

    rig.world.run(4)

    assert seen == [State.LIVE], (hook.place, hook.source)


@AT_EVERY_LINE
def test_a_rotation_that_is_interrupted_is_no_hindrance(first: int) -> None:
    for hook in interrupted_at(first):
        interrupt_rotation(hook)


def interrupt_rotation(hook: LineHook) -> None:
    rig = FeedRig()
    only = rig.subscribe()

    def rotate() -> None:
        with hook, suppress(Interrupted):
            rig.feed.rotate()

    rig.world.at(1, rotate)
    seen: list[Any] = []
    rig.world.at(20, lambda: seen.append((only.state, len(rig.feed.connections()))))
    rig.world.at(20, lambda: seen.append(running(rig.feed)))
    # Nothing of it is left that would be in the way of the next one.
    rig.world.at(21, lambda: seen.append(len(rig.world.opened)))
    rig.world.at(21, rig.feed.rotate)
    rig.world.at(40, lambda: seen.append(len(rig.world.opened)))
    rig.world.at(40, lambda: seen.append(only.state))
    rig.world.at(40, rig.check)
    rig.world.at(40, rig.check_exchange)

    rig.world.run(41)

    place = hook.place, hook.source
    assert seen[:2] == [(State.LIVE, 1), 1], place
    assert seen[3:] == [seen[2] + 1, State.LIVE], place


@pytest.mark.once
@AT_EVERY_LINE
def test_a_change_over_that_is_interrupted_is_made_good(first: int) -> None:
    for hook in interrupted_at(first):
        interrupt_change_over(hook)


def interrupt_change_over(hook: LineHook) -> None:
    """On the thread of the old connection, at any line of the taking over."""
    rig = FeedRig()
    subscriptions = [rig.subscribe(name, ("depth5", "trade")) for name in NAMES[:2]]

    def take_over() -> None:
        (connection,) = pool_of(rig.feed).placed
        handover = connection.channels.handover
        assert handover is not None
        advance = handover.advance

        def traced(now: float) -> None:
            with hook:
                advance(now)

        handover.advance = traced  # type: ignore[method-assign]

    def look() -> None:
        rig.check()
        rig.check_fed(subscriptions)

    rig.world.at(1, rig.feed.rotate)
    rig.world.at(1, take_over)
    # The taking over is done within a second or two; later it could only come undone.
    for moment in (*range(10, 60), *range(60, 300, 10)):
        rig.world.at(moment / 10, look)
    seen: list[Any] = []
    rig.world.at(30, lambda: seen.extend(each.state for each in subscriptions))
    rig.world.at(30, rig.check_exchange)
    rig.world.at(30, lambda: seen.append(running(rig.feed)))
    rig.world.at(31, rig.feed.rotate)
    rig.world.at(50, lambda: seen.extend(each.state for each in subscriptions))
    rig.world.at(50, rig.check_exchange)

    rig.world.run(51)

    live = [State.LIVE, State.LIVE]
    assert seen == [*live, 1, *live], (hook.place, hook.source)


@pytest.mark.parametrize("act", ["close", "subscribe", "leave", "rotate"])
@pytest.mark.parametrize("step", ["subscribe", "leave", "rotate"])
def test_a_signal_handler_may_change_the_register_at_every_line(
    act: str, step: str
) -> None:
    rigs: list[FeedRig] = []
    for hook in every_line(
        lambda: change(rigs[-1], act, 3, 0), within="/pool/", stride=7
    ):
        rigs.append(FeedRig())
        signal_inside(hook, rigs[-1], act, step)


def change(rig: FeedRig, what: str, new: int, old: int) -> None:
    with suppress(ValueError):  # the feed may be closed already
        if what == "subscribe":
            rig.subscribe(NAMES[new], ("depth5",))
        elif what == "leave":
            rig.subscriptions[old].close()
        else:
            getattr(rig.feed, what)()


def signal_inside(hook: LineHook, rig: FeedRig, act: str, step: str) -> None:
    def take_step() -> None:
        with hook:
            change(rig, step, 2, 1)

    for name in NAMES[:2]:
        rig.subscribe(name)
    rig.world.at(1, take_step)
    rig.world.at(1, rig.check)
    seen: list[Any] = []
    rig.world.at(20, rig.check)
    rig.world.at(20, rig.check_exchange)
    rig.world.at(20, lambda: seen.extend(s.state for s in rig.subscriptions))

    rig.world.run(21)  # which joins every thread

    assert set(seen) <= {State.LIVE, State.CLOSED}, (hook.place, hook.source)


# --- At random ----------------------------------------------------------------------


class RandomSteps:
    """Steps of scripts, of the exchange and of signal handlers, drawn at random."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.rig = FeedRig(channels_per_connection=5)
        self.depth = 0

    def step(self) -> None:
        """One step, and then the invariant."""
        steps: list[Callable[[], object]] = [
            self.attach,
            self.attach,
            self.detach,
            self.refuse,
            self.retire,
            self.rig.feed.rotate,
            self.lose,
            self.divide,
        ]
        with suppress(Interrupted):
            self.draw.choice(steps)()
        self.rig.check()

    def attach(self) -> None:
        channels = self.draw.sample(CHANNELS, self.draw.randint(1, 3))
        self.rig.subscribe(self.draw.choice(NAMES), tuple(channels))

    def detach(self) -> None:
        if self.rig.subscriptions:
            self.draw.choice(self.rig.subscriptions).close()

    def close_again(self) -> None:
        for subscription in self.rig.subscriptions:
            if reading_of(subscription).closed:
                subscription.close()

    def refuse(self) -> None:
        """From now on the exchange refuses a channel, or takes it again."""
        key = self.rig.world.dialect.channel("trade", self.draw.choice(NAMES))
        self.rig.world.exchange.unknown ^= {key}
        self.rig.unknown.add(key)

    def retire(self) -> None:
        """The exchange refuses a connection's key for good, as far as this knows."""
        placed = pool_of(self.rig.feed).placed
        if placed:
            channels = self.draw.choice(placed).channels
            error: Any = OkexWSError("the key was refused")
            channels.carrier.submit(lambda: channels.locked_out(error))

    def lose(self) -> None:
        opened = [peer for peer in self.rig.world.peers if peer.is_open]
        if opened:
            self.draw.choice(opened).drop()

    def divide(self) -> None:
        """The exchange closes a connection, because it has too many channels."""
        opened = [peer for peer in self.rig.world.peers if peer.is_open]
        if opened:
            peer = self.draw.choice(opened)
            with suppress(InvalidState):  # it says goodbye at this moment
                peer.close(4008, "too many channels")
            # It answers nothing more.
            peer.send = lambda message: None  # type: ignore[method-assign]

    @contextmanager
    def interruptions(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """A signal handler comes inside changes and placements, and may raise."""
        change, place, forget = Register.change, Placement.place, Register.forget

        def maybe() -> None:
            if self.depth or self.draw.random() > 0.15:
                return
            self.depth += 1
            try:
                self.draw.choice([self.attach, self.detach])()
            finally:
                self.depth -= 1
            if self.draw.random() < 0.2:
                raise Interrupted

        def changed(register: Register, act: Any) -> Table:
            def acted(table: Table) -> Table:
                after: Table = act(table)
                maybe()
                return after

            return change(register, acted)

        def placed(placement: Placement, *what: Any) -> Table:
            maybe()
            return place(placement, *what)

        def forgotten(register: Register, reading: Any) -> bool:
            maybe()
            return forget(register, reading)

        with patch.context() as patched:
            self.end = patched.undo
            patched.setattr(Register, "change", changed)
            patched.setattr(Placement, "place", placed)
            patched.setattr(Register, "forget", forgotten)
            yield


@pytest.mark.once
@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_the_register_holds_together(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = RandomSteps(seed)
    rig, world = steps.rig, steps.rig.world
    moment = 0.0
    for _ in range(60):
        moment += steps.draw.choice([0.0, 0.01, 0.03, 0.3, 3.0])
        world.at(moment, steps.step)
    world.at(moment, lambda: steps.end())
    # What was interrupted is done again.
    world.at(moment, steps.close_again)
    world.at(moment + 200, rig.check)
    world.at(moment + 200, rig.check_exchange)
    seen: list[State] = []
    world.at(moment + 200, lambda: seen.extend(s.state for s in rig.subscriptions))

    with steps.interruptions(monkeypatch):
        world.run(moment + 201)

    assert set(seen) <= {State.LIVE, State.CLOSED, State.FAILED}
    rows: list[Row] = list(rig.table.rows.values())
    alive = [row for row in rows if row.users and row.reading.error is None]
    assert all(row.carrier in rig.table.carriers for row in alive)
