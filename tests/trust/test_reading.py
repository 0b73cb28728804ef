"""A read gives a value only if it was true at one instant inside the call.

The reader of these tests runs beside a writer: at each load of the reader, at each look
at a clock and while the result is built, the writer may do its next step. The last part
stalls a real thread in a real read while the connection goes through its faults.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from itertools import combinations
from operator import is_
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import WSSubscription
from okex_ws.base.state import NO_CAUSE, CauseCode, State
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.reading import (
    CHANGING,
    TRIES,
    TRIES_TOGETHER,
    ServingEntry,
    Taken,
    read,
    read_together,
    take,
)
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Limits, Published, Verdict
from tests.support import read_schedules as model
from tests.support.causes import because
from tests.support.virtual_world import World, listen

NOW, OFFSET, LONG = 1000.0, 1_700_000_000.0, 15.0
Step = Callable[[], object]


# --- A reader and a writer on one stage -----------------------------------------------


class Stage:
    """Counts what the reader does, and has the writer do its steps in between."""

    def __init__(self) -> None:
        self.done = 0
        # What the reader has loaded or done, in order.
        self.log: list[str] = []
        # The steps of the writer, each with the number of the load it goes before.
        self.steps: dict[int, list[Step]] = {}
        self.now = NOW
        self.wall_offset = OFFSET
        # Called before the monotonic clock is looked at.
        self.at_the_clocks: list[Step] = []

    def load(self, what: str) -> None:
        """The reader is about to load *what*, which the writer may store."""
        self.done += 1
        self.log.append(what)
        for step in self.steps.pop(self.done, ()):
            step()

    def before(self, number: int, *steps: Step) -> None:
        """Have the writer do *steps* before the load *number* from now on."""
        self.steps.setdefault(self.done + number, []).extend(steps)

    # The stage is the clock of the reader, too.

    def monotonic(self) -> float:
        self.load("clocks")
        steps, self.at_the_clocks = self.at_the_clocks, []
        for step in steps:
            step()
        return self.now

    def wall(self) -> float:
        return self.now + self.wall_offset


class StagedEra(Era):
    """An `Era` whose lease and marks are loaded on a stage."""

    def __init__(self, stage: Stage, until: float = NOW + LONG) -> None:
        self.stage = stage
        self.stored: dict[str, Any] = {}
        super().__init__(NOW)
        self.lease = Lease(until, OFFSET)

    def _staged(name: str) -> Any:  # type: ignore[misc]  # noqa: N805
        def load(era: StagedEra) -> Any:
            era.stage.load("marks" if name == "withdrawn" else name)
            return era.stored[name]

        return property(load, lambda era, value: era.stored.update({name: value}))

    lease = _staged("lease")
    withdrawn = _staged("withdrawn")


class StagedChannel:
    """What publishes the values of one channel, as a connection's thread does."""

    def __init__(self, stage: Stage, era: Era | None) -> None:
        self.stage, self.era = stage, era
        self.stored = Published(
            State.CONNECTING, because("not connected yet"), 0, channel=self
        )
        if era is not None:
            self.publish(epoch=1)

    @property
    def current(self) -> Published:
        """The present value."""
        self.stage.load("value")
        return self.stored

    def store(self, **changes: Any) -> None:
        serial = self.stored.serial + 1
        self.stored = self.stored._replace(serial=serial, **changes)

    def publish(self, epoch: int | None = None) -> None:
        """A push came: the next value, which is live."""
        epoch = self.stored.epoch if epoch is None else epoch
        data = f"push {self.stored.serial + 1}"
        live = State.LIVE
        self.store(state=live, cause=NO_CAUSE, epoch=epoch, era=self.era, data=data)

    def withdraw(self) -> None:
        """A proof failed: this one channel has no value any more."""
        self.store(state=State.RESYNCING, cause=because("it failed"), data=None)


class StagedReading:
    """What a script reads, and what serves it."""

    def __init__(self, stage: Stage, channel: StagedChannel) -> None:
        self.stage, self.stored = stage, ServingEntry(channel)

    @property
    def entry(self) -> ServingEntry:
        """What serves the reading at this moment."""
        self.stage.load("entry")
        return self.stored


class Rig:
    """One reading of one channel over one connection, and its reader."""

    def __init__(self, until: float = NOW + LONG) -> None:
        self.stage = Stage()
        self.era = StagedEra(self.stage, until)
        self.channel = StagedChannel(self.stage, self.era)
        self.reading = StagedReading(self.stage, self.channel)
        # What was built of which values.
        self.built: list[Taken] = []
        # Steps of the writer while the first, the second … result is built.
        self.while_building: list[list[Step]] = []

    def build(self, reading: object, taken: Taken) -> str:
        assert reading is self.reading
        self.built.append(taken)
        for step in self.while_building.pop(0) if self.while_building else ():
            step()
        return f"of {taken.current.data}"

    def read(self, limits: Limits = NO_LIMITS) -> tuple[Verdict, Taken, str | None]:
        return read(self.reading, limits, self.stage, self.build)

    # --- What the writer does -------------------------------------------------------

    def renew(self, until: float = NOW + 2 * LONG, lapses: int = 0) -> None:
        self.era.renew(Lease(until, OFFSET, lapses), NOW)

    def pass_time(self, seconds: float = LONG) -> None:
        self.stage.now += seconds

    def reconnect(self, until: float | None = None) -> StagedEra:
        """The connection is lost, opens again, and has the channel's first push."""
        self.era.lose()
        self.era = self.channel.era = StagedEra(self.stage, until or math.inf)
        if until is None:
            self.era.lease = None
        self.channel.publish(self.channel.stored.epoch + 1)
        return self.era

    def hand_over(self, base: int = 0) -> StagedChannel:
        """Another connection's channel serves the reading from now on."""
        channel = StagedChannel(self.stage, StagedEra(self.stage))
        self.reading.stored = ServingEntry(channel, base)
        return channel


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_value_under_a_running_lease_is_given_with_what_was_built(rig: Rig) -> None:
    verdict, taken, result = rig.read()

    assert (verdict, result) == (LIVE, "of push 1")
    assert taken.current is taken.value is rig.channel.stored
    assert (taken.entry, taken.epoch) == (rig.reading.stored, 1)
    assert rig.built == [taken]


def test_a_read_that_builds_nothing_has_the_same_verdict(rig: Rig) -> None:
    verdict, taken, result = read(rig.reading, NO_LIMITS, rig.stage)

    assert (verdict, taken.current, result) == (LIVE, rig.channel.stored, None)


# --- The lease is taken before the value ----------------------------------------------

# What a read of one channel loads, in this order.
ENTRY_FOR_THE_ERA, VALUE_FOR_THE_ERA, LEASE, ENTRY, VALUE = range(1, 6)


def test_the_lease_and_the_value_are_loaded_in_this_order(rig: Rig) -> None:
    old, renewed = rig.era.stored["lease"], Lease(NOW + 99, OFFSET)
    rig.stage.before(ENTRY, lambda: rig.era.renew(renewed, NOW), rig.channel.publish)

    taken = take(rig.reading)

    assert taken is not None
    assert (taken.lease, taken.current.data) == (old, "push 2")
    assert rig.stage.done == VALUE


def test_a_lease_that_was_granted_after_a_withdrawal_judges_no_value_from_before() -> (
    None
):
    """A suspended machine: everything happens between the value and its judgement."""
    rig = Rig(until=NOW - 1)
    rig.while_building = [[rig.channel.withdraw, rig.renew]]

    verdict, taken, result = rig.read()

    assert (verdict, result) == (Verdict(State.RESYNCING, because("it failed")), None)
    assert taken.current is rig.channel.stored


def test_a_lease_that_ran_out_is_asked_for_again_if_it_was_renewed(rig: Rig) -> None:
    rig.while_building = [[rig.pass_time, rig.renew]]

    verdict, taken, result = rig.read()

    assert (verdict, result) == (LIVE, "of push 1")
    assert [each.lease for each in rig.built] == [
        Lease(NOW + LONG, OFFSET),
        Lease(NOW + 2 * LONG, OFFSET),
    ]
    assert taken is rig.built[1]


def test_a_lease_that_ran_out_and_came_back_is_in_the_epoch(rig: Rig) -> None:
    rig.while_building = [[rig.pass_time, lambda: rig.renew(lapses=1)]]

    verdict, taken, _ = rig.read()

    assert (verdict, taken.epoch, taken.value.epoch) == (LIVE, 2, 2)
    assert taken.current.epoch == 1


# --- The value is of the era of that lease --------------------------------------------


@pytest.mark.parametrize("load", [LEASE, ENTRY, VALUE])
def test_a_lease_of_the_opening_before_judges_no_value(rig: Rig, load: int) -> None:
    """The new opening had no pong yet; only the lost one's lease runs."""
    rig.stage.before(load, rig.reconnect)

    verdict, taken, result = rig.read()

    assert verdict == Verdict(
        State.SYNCING, because("waiting for the first pong", CauseCode.FIRST_PONG)
    )
    assert (result, taken.lease, taken.current.era) == (None, None, rig.era)
    assert [each.current.era for each in rig.built] == [rig.era]


@pytest.mark.parametrize("load", [LEASE, ENTRY, VALUE])
def test_a_value_of_another_era_is_not_taken(rig: Rig, load: int) -> None:
    rig.stage.before(load, lambda: rig.reconnect(NOW + LONG))

    assert take(rig.reading) is None
    assert take(rig.reading) is not None


def test_a_handover_between_the_lease_and_the_value_begins_the_read_again(
    rig: Rig,
) -> None:
    rig.stage.before(ENTRY, rig.hand_over)

    verdict, taken, result = rig.read()

    assert (verdict, result, len(rig.built)) == (LIVE, "of push 1", 1)
    assert taken.entry is rig.reading.stored
    assert taken.lease is taken.entry.channel.era.stored["lease"]


def test_a_value_that_never_had_an_era_says_what_its_channel_knows() -> None:
    stage = Stage()
    reading = StagedReading(stage, StagedChannel(stage, None))

    verdict, taken, result = read(reading, NO_LIMITS, stage, pytest.fail)

    assert verdict == Verdict(State.CONNECTING, because("not connected yet"))
    assert (taken.lease, taken.epoch, result) == (None, 0, None)


# --- The clocks are taken after building ----------------------------------------------


def test_a_lease_that_runs_out_while_the_result_is_built_gives_nothing(
    rig: Rig,
) -> None:
    rig.while_building = [[rig.pass_time]]

    verdict, _, result = rig.read()

    assert (verdict.state, verdict.since) == (State.STALE, NOW + LONG)
    assert (result, len(rig.built)) == (None, 1)


def test_a_clock_that_jumps_while_the_result_is_built_ends_the_lease(rig: Rig) -> None:
    def suspend() -> None:
        rig.stage.wall_offset += 60

    rig.while_building = [[suspend]]

    verdict, _, result = rig.read()

    assert (verdict.state, result) == (State.STALE, None)
    assert "jumped" in verdict.cause.text


def test_a_limit_is_applied_after_building(rig: Rig) -> None:
    rig.channel.store(received=NOW)
    rig.while_building = [[lambda: rig.pass_time(2.0)]]

    verdict, _, result = rig.read(Limits(max_age=1.0))

    assert (verdict.state, verdict.limit, result) == (State.STALE, True, None)


def test_a_limit_on_silence_knows_what_was_heard_while_the_result_was_built(
    rig: Rig,
) -> None:
    hear = lambda: rig.era.hear(rig.stage.now)  # noqa: E731
    rig.while_building = [[lambda: rig.pass_time(2.0), hear]]

    verdict, _, result = rig.read(Limits(max_silence=1.0))

    assert (verdict, result, len(rig.built)) == (LIVE, "of push 1", 2)


# --- The mark -------------------------------------------------------------------------


def mark(rig: Rig) -> None:
    rig.era.withdraw([StoredChannel(rig.channel)], because("a fault"))


class StoredChannel:
    """A channel as the writer sees it: its loads are not the reader's."""

    def __init__(self, channel: StagedChannel) -> None:
        self._channel = channel
        self.current = channel.stored

    def __eq__(self, other: object) -> bool:
        return other is self._channel

    def __hash__(self) -> int:
        return hash(self._channel)


LOST = Verdict(State.RECONNECTING, because("cut off"))
MARKED = Verdict(State.RESYNCING, because("a fault"))
WITHDRAWALS: list[tuple[Callable[[Rig], object], Verdict]] = [
    (mark, MARKED),
    (lambda rig: rig.era.lose(because("cut off")), LOST),
    (
        lambda rig: rig.channel.withdraw(),
        Verdict(State.RESYNCING, because("it failed")),
    ),
]


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("when", ["before", "building", "clocks"])
def test_a_withdrawal_before_the_clocks_are_taken_is_seen(
    rig: Rig, when: str, kind: int
) -> None:
    withdraw, expected = WITHDRAWALS[kind]
    step = lambda: withdraw(rig)  # noqa: E731
    if when == "before":
        step()
    elif when == "building":
        rig.while_building = [[step]]
    else:
        rig.stage.at_the_clocks = [step]

    verdict, taken, result = rig.read()

    assert (verdict, result) == (expected, None)
    assert taken.current is rig.channel.stored


@pytest.mark.parametrize("withdraw", [mark, lambda rig: rig.channel.withdraw()])
def test_what_replaces_a_withdrawn_value_is_given_in_a_new_epoch(
    rig: Rig, withdraw: Callable[[Rig], object]
) -> None:
    rig.while_building = [[lambda: withdraw(rig), lambda: rig.channel.publish(epoch=2)]]

    verdict, taken, result = rig.read()

    assert (verdict, taken.epoch) == (LIVE, 2)
    assert result == f"of {rig.channel.stored.data}"
    assert len(rig.built) == 2


def test_a_mark_of_another_channel_withdraws_nothing(rig: Rig) -> None:
    other = StagedChannel(rig.stage, rig.era)
    rig.era.withdraw([StoredChannel(other)], because("a fault"))

    assert rig.read()[0] is LIVE


def test_a_value_that_is_withdrawn_at_each_try_is_not_given(rig: Rig) -> None:
    def again() -> None:
        mark(rig)
        rig.channel.publish(rig.channel.stored.epoch + 1)

    rig.while_building = [[again] for _ in range(TRIES)]

    verdict, _, result = rig.read()

    assert verdict.state is State.RESYNCING
    assert (result, len(rig.built)) == (None, TRIES)


# --- The present value ----------------------------------------------------------------


def test_being_overtaken_by_a_newer_value_of_the_epoch_is_no_reason_to_refuse(
    rig: Rig,
) -> None:
    rig.while_building = [[rig.channel.publish] * 3]
    rig.stage.at_the_clocks = [rig.channel.publish]

    verdict, taken, result = rig.read()

    assert (verdict, result, taken.current.data) == (LIVE, "of push 1", "push 1")
    assert (len(rig.built), rig.channel.stored.data) == (1, "push 5")


def test_a_value_that_a_newer_epoch_has_replaced_is_not_given(rig: Rig) -> None:
    rig.while_building = [[lambda: rig.channel.publish(epoch=2)]]

    verdict, taken, result = rig.read()

    assert (verdict, taken.epoch, result) == (LIVE, 2, "of push 2")


def test_values_that_change_faster_than_they_are_read_are_not_given(rig: Rig) -> None:
    step = lambda: rig.channel.publish(rig.channel.stored.epoch + 1)  # noqa: E731
    rig.while_building = [[step] for _ in range(TRIES)]

    verdict, _, result = rig.read()

    assert (verdict, result, len(rig.built)) == (CHANGING, None, TRIES)


def test_after_a_handover_the_value_is_that_of_the_new_connection(rig: Rig) -> None:
    rig.while_building = [[lambda: rig.hand_over(base=6)]]

    verdict, taken, result = rig.read()

    assert (verdict, taken.epoch, result) == (LIVE, 7, "of push 1")
    assert taken.entry is rig.reading.stored
    assert taken.value == taken.current._replace(epoch=7)
    assert len(rig.built) == 2


def test_an_entry_of_another_base_is_another_entry(rig: Rig) -> None:
    """It is compared by identity: the epoch that was made of the base has ended."""

    def change() -> None:
        rig.reading.stored = ServingEntry(rig.channel, 1)

    rig.while_building = [[change]]

    assert rig.read()[1].epoch == 2


def test_a_verdict_of_no_is_given_only_on_what_is_still_so(rig: Rig) -> None:
    """The lease has run out, and meanwhile another connection serves."""
    rig.pass_time()
    rig.stage.at_the_clocks = [rig.hand_over, lambda: rig.pass_time(-LONG)]

    assert rig.read()[0] is LIVE


def test_a_value_whose_thread_has_ended_is_not_given(rig: Rig) -> None:
    rig.era.runs = lambda: None

    verdict, _, result = rig.read()

    assert (verdict.state, result) == (State.RECONNECTING, None)


def test_nothing_is_built_of_a_value_that_its_channel_knows_to_be_bad(rig: Rig) -> None:
    rig.channel.withdraw()

    assert rig.read()[2] is None
    assert rig.built == []


def test_an_error_of_the_builder_is_the_readers(rig: Rig) -> None:
    def fail() -> None:
        raise MemoryError

    rig.while_building = [[fail]]
    with pytest.raises(MemoryError):
        rig.read()


# --- Each place, each step ------------------------------------------------------------


class Watched:
    """A stage with two channels, of one connection or of two, and what was good when.

    After each store of the writer it notes, of each channel, the value that may be
    given at this instant.
    """

    def __init__(self, connections: int) -> None:
        self.stage = Stage()
        self.eras = [StagedEra(self.stage) for _ in range(connections)]
        self.channels = [
            StagedChannel(self.stage, self.eras[n % connections]) for n in (0, 1)
        ]
        self.readings = [StagedReading(self.stage, each) for each in self.channels]
        self.good: list[list[Published | None]] = []
        self.note()

    def note(self) -> None:
        """Note what holds at this instant."""
        present = [each.stored.channel.stored for each in self.readings]
        self.good.append([each if self.is_good(each) else None for each in present])

    def is_good(self, value: Published) -> bool:
        era: Any = value.era
        marks, lease = era.stored["withdrawn"], era.stored["lease"]
        marked = value.serial <= marks.get(value.channel, -1)
        holds = lease is not None and self.stage.now < lease.until
        return value.state is State.LIVE and not marked and holds

    @property
    def always(self) -> bool:
        """Whether both values were good at every instant."""
        return all(map(all, self.good))

    def step(self, kind: str, at: int) -> Step:
        """A step of the writer, of which each store is followed by a note."""
        channel = self.channels[at]

        def noted(*stores: Step) -> None:
            for store in stores:
                store()
                self.note()

        def step() -> None:
            era: Any = channel.era
            if kind == "publish":
                noted(channel.publish)
            elif kind == "publish both":
                noted(*(each.publish for each in self.channels))
            elif kind == "withdraw":
                noted(
                    channel.withdraw,
                    lambda: channel.publish(channel.stored.epoch + 1),
                )
            elif kind == "mark":
                own = [each for each in self.channels if each.era is era]
                noted(lambda: era.withdraw(map(StoredChannel, own), NO_CAUSE))
                for each in own:
                    noted(lambda each=each: each.publish(each.stored.epoch + 1))
            elif kind == "lapse":
                noted(lambda: setattr(self.stage, "now", era.stored["lease"].until))
                until, lapses = self.stage.now + LONG, era.lapses + 1
                noted(lambda: era.renew(Lease(until, OFFSET, lapses), NOW))
            elif kind == "renew":
                until = era.stored["lease"].until + LONG
                noted(lambda: era.renew(era.stored["lease"]._replace(until=until), NOW))
            elif kind == "renew, and time passes":
                lease = era.stored["lease"]
                renewed = lease._replace(until=lease.until + LONG)
                noted(lambda: era.renew(renewed, NOW))
                noted(lambda: setattr(self.stage, "now", lease.until))
            elif kind == "hand over":
                other = StagedChannel(self.stage, StagedEra(self.stage))
                self.channels[at] = other
                entry = ServingEntry(other, self.readings[at].stored.base)
                noted(lambda: setattr(self.readings[at], "stored", entry))
            else:
                era.lose()
                self.note()
                now = StagedEra(self.stage, self.stage.now + LONG)
                for each in [each for each in self.channels if each.era is era]:
                    each.era = now
                    noted(lambda each=each: each.publish(each.stored.epoch + 1))

        return step


PUBLISHES = ("publish", "publish both")
RENEWALS = ("renew", "renew, and time passes")
KINDS = (*PUBLISHES, *RENEWALS, "withdraw", "mark", "lapse", "hand over", "reconnect")
Story = Sequence[tuple[int, str, int]]


def staged(story: Story, connections: int) -> Watched:
    watched = Watched(connections)
    for number, kind, at in story:
        watched.stage.before(number, watched.step(kind, at))
    return watched


def check_read(watched: Watched) -> None:
    """Read one channel, and check what the read promises."""
    built: list[float] = []

    def build(reading: object, taken: Taken) -> None:
        watched.stage.load("build")
        built.append(watched.stage.now)

    verdict, taken, _ = read(watched.readings[0], NO_LIMITS, watched.stage, build)

    if verdict is LIVE:
        assert any(one is taken.current for one, _ in watched.good)
        assert taken.lease is not None
        assert taken.lease.until > built[-1]
    else:
        assert not all(one for one, _ in watched.good), verdict


def check_pair(watched: Watched) -> None:
    """Read both channels, and check that they stood together."""

    def build(taken: Sequence[Taken]) -> None:
        watched.stage.load("build")

    found = read_together(watched.readings, watched.stage, build)

    if found is None:
        assert not watched.always
        return
    _, taken, now, wall = found
    verdicts = [each.judge(NO_LIMITS, now, wall) for each in taken]
    if all(each is LIVE for each in verdicts):
        pair = [each.current for each in taken]
        assert any(all(map(is_, pair, good)) for good in watched.good), pair
    else:
        assert not watched.always, verdicts


# More loads than a read does that begins again twice.
LOADS = 40


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_one_step_at_any_load_breaks_no_promise(kind: str, connections: int) -> None:
    for number in range(1, LOADS):
        for at in (0, 1):
            check_read(staged([(number, kind, at)], connections))
            check_pair(staged([(number, kind, at)], connections))


@pytest.mark.once
@pytest.mark.parametrize("connections", [1, 2])
def test_two_steps_at_any_two_loads_never_make_a_pair_that_never_stood(
    connections: int,
) -> None:
    for one, other in combinations(range(1, LOADS), 2):
        for kind in KINDS:
            story = [(one, "publish", 0), (other, kind, 1)]
            check_pair(staged(story, connections))


STORY = st.lists(
    st.tuples(st.integers(1, 3 * LOADS), st.sampled_from(KINDS), st.integers(0, 1)),
    max_size=TRIES - 1,
)


@given(story=STORY, connections=st.integers(1, 2))
def test_no_story_of_the_writers_breaks_a_promise(
    story: Story, connections: int
) -> None:
    check_read(staged(story, connections))
    check_pair(staged(story, connections))


@given(
    story=st.lists(
        st.tuples(
            st.integers(1, 20 * TRIES_TOGETHER),
            st.sampled_from((*PUBLISHES, *RENEWALS)),
            st.integers(0, 1),
        ),
        max_size=TRIES_TOGETHER - 1,
    ),
    connections=st.integers(1, 2),
)
def test_beside_publishes_and_renewals_a_read_of_a_pair_never_says_no(
    story: Story, connections: int
) -> None:
    watched = staged(story, connections)

    assert watched.always
    check_pair(watched)


def test_a_pair_that_never_stands_still_is_not_given() -> None:
    watched = Watched(1)
    step = watched.step("publish", 1)
    for number in range(1, 20 * TRIES_TOGETHER):
        watched.stage.before(number, step)

    assert read_together(watched.readings, watched.stage, len) is None


def test_a_pair_of_which_one_is_withdrawn_is_given_as_what_it_is() -> None:
    """It stood together; the caller is told which of the two may not be used."""
    watched = Watched(2)
    watched.eras[1].withdraw([StoredChannel(watched.channels[1])], because("a fault"))

    found = read_together(watched.readings, watched.stage, len)

    assert found is not None
    count, taken, now, wall = found
    assert count == 2
    assert [each.judge(NO_LIMITS, now, wall) for each in taken] == [LIVE, MARKED]


def test_a_read_of_no_channels_is_of_none() -> None:
    stage = Stage()

    assert read_together([], stage, len) == (0, [], NOW, NOW + OFFSET)


# --- The model of the schedules -------------------------------------------------------


def loads_of_the_model(channels: int, case: str) -> list[str]:
    """What the model of a read loads, in order, while no writer does anything."""
    marks = (1,) * channels if case == "marked" else (0,) * channels
    until = 0 if case == "lapsed" else 1
    world: Any = model.World(
        now=0,
        eras=tuple(model.Era(n, model.Lease(until, 0), marks) for n in range(channels)),
        entries=tuple(model.Kept(at, at, 0, 1) for at in range(channels)),
        places=tuple(map(model.Place, range(channels))),
        left=model.Left(),
        gone=marks,
    )
    reader = model.read_one if channels == 1 else model.read_many
    read: Any = model.Read("the entry, for the era")
    found = []
    while not isinstance(read, model.Answer):
        found.append(read.step)
        read = reader(read, world, model.Rules())
    return [SHORT.get(step, step.split()[-1]) for step in found]


# Steps of the model whose last word is not what is loaded.
SHORT = {
    "the entry, for the era": "entry",
    "the era": "value",
    "the lease once more": "lease",
}


@pytest.mark.parametrize("case", ["good", "lapsed", "marked"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_model_loads_what_a_read_loads_in_its_order(
    channels: int, case: str
) -> None:
    watched = Watched(channels)
    stage = watched.stage
    if case == "marked":
        for each in watched.channels:
            each.era.withdraw(map(StoredChannel, watched.channels), NO_CAUSE)
    elif case == "lapsed":
        stage.now += LONG
    stage.log.clear()

    if channels == 1:
        build = lambda reading, taken: stage.load("build")  # noqa: E731
        read(watched.readings[0], NO_LIMITS, stage, build)
    else:
        read_together(watched.readings, stage, lambda taken: stage.load("build"))

    # The marks are looked at twice for the words of the verdict.
    twice = zip(stage.log, [*stage.log[1:], ""], strict=True)
    once = [one for one, other in twice if not one == other == "marks"]
    assert once == loads_of_the_model(channels, case)


# --- A real thread in a real read -----------------------------------------------------


class StalledRead:
    """`GetDepth()` on a thread of its own, held up as it takes the clocks.

    The virtual world goes on meanwhile, on the threads of its connections.
    """

    # Real seconds after which a test that hangs fails.
    LIMIT = 30.0

    def __init__(self, world: World, sub: WSSubscription) -> None:
        self._clock, self._sub = world.clock, sub
        self._monotonic = world.clock.monotonic
        self._stalled, self._go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.depth: dict[str, Any] | None = None
        world.clock.monotonic = self.monotonic  # type: ignore[method-assign]

    def monotonic(self) -> float:
        if threading.current_thread() is self._thread and not self._stalled.is_set():
            self._stalled.set()
            assert self._go_on.wait(self.LIMIT)
        return self._monotonic()

    def _read(self) -> None:
        self.depth = self._sub.GetDepth()

    def begin(self) -> None:
        """Start the read; returns when it has built its result."""
        self._thread.start()
        assert self._stalled.wait(self.LIMIT)

    def end(self) -> None:
        """Let the read look at the clocks and end."""
        self._go_on.set()
        self._thread.join(self.LIMIT)
        assert not self._thread.is_alive()


class StalledWorld:
    """A depth that is read at second 5, by a read that ends at another second."""

    def __init__(self, ends: float) -> None:
        self.world = world = World("v5")
        key = world.dialect.channel("depth5")
        world.exchange.first_pushes[key] = lambda: world.dialect.depth(
            self.time_ms, bid=self.bid, seq=self.seq
        )
        self.feed = world.feed()
        self.sub = WSSubscription("BTC-USDT", "spot", feed=self.feed)
        self.bid, self.seq = "100.1", 10
        self.read = StalledRead(world, self.sub)
        self.epochs: list[int] = []
        self.present: list[str] = []
        world.at(5, lambda: self.epochs.append(self.sub.health().epoch))
        world.at(5, self.read.begin)
        world.at(ends, self.look)
        world.at(ends, self.read.end)
        self.ends = ends

    @property
    def time_ms(self) -> int:
        return round((self.world.clock.now - self.world.t0) * 1000)

    def look(self) -> None:
        """Note what a read gives that nothing holds up, just before the other ends."""
        self.epochs.append(self.sub.health().epoch)
        depth = self.sub.GetDepth()
        self.present.append(depth["bids"][0][0] if depth else "")

    def change(self, bid: str, sent: bool = True) -> None:
        """The exchange's book changes; it is pushed unless not *sent*."""
        self.bid, self.seq = bid, self.seq + 1
        message = self.world.dialect.depth(self.time_ms, bid=bid, seq=self.seq)
        for peer in self.world.peers if sent else ():
            if peer.is_open and peer.subscribed:
                peer.send(message)

    def run(self) -> str:
        """The best bid that the read which was held up gave; ``''`` if it said no."""
        self.world.run(self.ends + 1)
        depth = self.read.depth
        assert depth is not None
        return depth["bids"][0][0] if depth else ""


def test_a_stalled_read_that_was_overtaken_gives_what_it_had() -> None:
    stalled = StalledWorld(6.0)
    stalled.world.at(5.5, lambda: stalled.change("99.5"))

    assert stalled.run() == "100.1"
    assert stalled.present == ["99.5"]
    assert stalled.epochs == [1, 1]


def test_a_stalled_read_gives_the_value_of_the_new_connection() -> None:
    stalled = StalledWorld(30.0)
    stalled.world.at(6, lambda: stalled.world.peers[0].drop())
    stalled.world.at(6.01, lambda: stalled.change("99.5", sent=False))

    assert stalled.run() == "99.5"
    assert stalled.present == ["99.5"]
    assert stalled.epochs == [1, 2]
    assert len(stalled.world.opened) == 2


def test_a_stalled_read_gives_nothing_while_there_is_no_connection() -> None:
    stalled = StalledWorld(6.01)
    stalled.world.at(6, lambda: stalled.world.peers[0].drop())

    assert stalled.run() == ""
    assert stalled.present == [""]


def test_a_stalled_read_gives_the_value_of_a_connection_that_took_over() -> None:
    stalled = StalledWorld(15.0)
    stalled.world.at(6, stalled.feed.rotate)
    stalled.world.at(14, lambda: stalled.change("99.5"))

    assert stalled.run() == "99.5"
    assert stalled.present == ["99.5"]
    assert len(stalled.world.opened) == 2
    # Nothing was missed between the two: the epoch goes on.
    assert stalled.epochs == [1, 1]


@pytest.mark.parametrize("pongs", [True, False])
def test_a_stalled_read_whose_lease_ran_out_waits_for_the_next_one(pongs: bool) -> None:
    """A callback blocks the connection's thread, so that its lease runs out."""
    stalled = StalledWorld(100.0 if pongs else 60.0)
    blocks: list[Callable[[], None]] = [lambda: stalled.world.sleep(60.0)]

    def hear(text: str) -> None:
        if blocks and stalled.bid == "99.5":
            blocks.pop()()

    stalled.world.at(5.1, lambda: listen(stalled.sub, hear))
    stalled.world.at(5.2, lambda: stalled.change("99.5"))

    got = stalled.run()

    assert got == stalled.present[0] == ("99.5" if pongs else "")
    if pongs:
        assert stalled.epochs[0] < stalled.epochs[1]
