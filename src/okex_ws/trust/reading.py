"""Reads of current values: each is given only if it was true at one instant.

The connection's thread replaces values and leases while a script reads, and the system
may interrupt the reader between any two of its steps. So a read takes the lease before
the value, builds its result, takes the clocks, and then proves that no withdrawal came.
Pure: no lock, no I/O; the clocks are an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_not
from typing import Any, NamedTuple, Protocol, TypeVar

from ..base.clock import Clock
from ..base.state import Cause, CauseCode, State
from ..protocol.unparsed import Unparsed
from .lease import Lease
from .verdict import LIVE, Limits, Published, Verdict, judge, withdrawn

# How often a read begins again because its value was replaced meanwhile, before it
# answers no. Beside a writer of 5,000 values a second the first try sufficed.
TRIES = 8
# The same for a read of several channels, which all have to stand still for two passes.
TRIES_TOGETHER = 64

CHANGING = Verdict(
    State.RESYNCING,
    Cause(CauseCode.INTERNAL, "the values changed faster than they were read"),
)


# A global name, because every read looks it up.
_LIVE = State.LIVE


class ServingEntry(NamedTuple):
    """What serves a reading: a *channel* on one connection, and the *base* of epochs.

    A handover replaces the entry, in one store. *base* is added to the epochs of the
    channel, so that they go on where those of the entry before ended.
    """

    channel: Any
    base: int = 0


class Readable(Protocol):
    """What a read needs: where the present value is, which has its signs of life.

    A channel of a feed has one, and so has a slot of shared memory.
    """

    @property
    def entry(self) -> ServingEntry:
        """What serves the reading at this moment."""
        ...


R = TypeVar("R", bound=Readable)
T = TypeVar("T")


class Taken(NamedTuple):
    """The value of one channel, with the lease and the entry that were taken with it.

    *epoch* is the epoch that a script is given.
    """

    entry: ServingEntry
    current: Published
    lease: Lease | None
    heard: float

    @property
    def epoch(self) -> int:
        """The entry's base, the channel's epoch, and the lapses of the lease."""
        lapses = 0 if self.lease is None else self.lease.lapses
        return self.entry.base + self.current.epoch + lapses

    @property
    def value(self) -> Published:
        """The value, with the epoch that a script is given."""
        epoch = self.epoch
        current = self.current
        return current if epoch == current.epoch else current._replace(epoch=epoch)

    def judge(self, limits: Limits, now: float, wall: float) -> Verdict:
        """The verdict at this reading of the clocks, by the lease that was taken."""
        current = self.current
        if current.state is _LIVE and current.is_withdrawn:
            return withdrawn(current)
        return judge(current, self.lease, self.heard, limits, now, wall)

    def is_present(self, reading: Readable) -> bool:
        """Whether *reading* still has a value of the same entry, era and epoch.

        A newer value of the same epoch is no reason to refuse the one that was taken.
        """
        entry, mine = reading.entry, self.current
        present = entry.channel.current
        if present is mine:
            return entry is self.entry
        return (
            entry is self.entry
            and present.era is mine.era
            and present.epoch == mine.epoch
            and present.state is mine.state
        )


# Makes a `Taken` of all its fields, in order. Fast, because every read needs one.
_taken: Callable[[tuple[Any, ...]], Taken] = partial(tuple.__new__, Taken)


def take(reading: Readable) -> Taken | None:
    """The lease and then the value; ``None`` if a value of another era came between."""
    era = reading.entry.channel.current.era
    lease, heard = (None, 0.0) if era is None else (era.lease, era.heard)
    entry = reading.entry
    current = entry.channel.current
    return Taken(entry, current, lease, heard) if current.era is era else None


def read(
    reading: R,
    limits: Limits,
    clock: Clock,
    build: Callable[[R, Taken], T] | None = None,
) -> tuple[Verdict, Taken, T | None]:
    """Read one channel: the verdict, the value, and what *build* makes of it.

    If the verdict is `LIVE`, then at one instant inside the call the value was the
    channel's present one, was not withdrawn, and the lease of its connection ran; and
    when the clocks were taken, after *build*, the lease that was taken before the value
    still ran. *build* is called for a value that is live as far as its channel knew.
    """
    verdict, last = CHANGING, None
    for _ in range(TRIES):
        era = reading.entry.channel.current.era
        lease, heard = (None, 0.0) if era is None else (era.lease, era.heard)
        entry = reading.entry
        current = entry.channel.current
        if current.era is not era:
            continue
        taken = last = _taken((entry, current, lease, heard))
        live, result = current.state is _LIVE, None
        if live and build is not None:
            data = current.data
            # What was kept unparsed is parsed here, on the reader's thread.
            if not isinstance(data, Unparsed) or data.is_parsed or data.fault is None:
                result = build(reading, taken)
        now, wall = clock.monotonic(), clock.wall()
        verdict = judge(current, lease, heard, limits, now, wall)
        # The mark first, and then the present value: a withdrawal that is marked is
        # seen here, and one of a single channel below.
        if live and current.is_withdrawn:
            verdict = withdrawn(current)
            if reading.entry.channel.current is current:
                return verdict, taken, None
            continue
        present = reading.entry
        if (
            present is not entry or present.channel.current is not current
        ) and not taken.is_present(reading):
            verdict = CHANGING
            continue
        if verdict is LIVE:
            return verdict, taken, result
        unchanged = era is None or (era.lease is lease and era.heard == heard)
        if unchanged and reading.entry.channel.current is current:
            return verdict, taken, None
    entry = reading.entry
    return verdict, last or Taken(entry, entry.channel.current, None, 0.0), None


def read_together(
    readings: Sequence[Readable],
    clock: Clock,
    build: Callable[[Sequence[Taken]], T],
) -> tuple[T, Sequence[Taken], float, float] | None:
    """Read several channels at one instant; ``None`` if they did not stand still.

    Returns what *build* made of the values, the values, and the two clocks, taken
    after *build*. At one instant inside the call each value was its channel's present
    one and not withdrawn. Whether each is trusted, the caller asks `Taken.judge`. If a
    lease has run out and the connection has another one, the read begins again.
    """
    for _ in range(TRIES_TOGETHER):
        taken = _take_together(readings)
        if taken is None:
            continue
        result = build(taken)
        now, wall = clock.monotonic(), clock.wall()
        if all(map(_remains, taken, readings)) and not _is_renewed(taken, now, wall):
            return result, taken, now, wall
    return None


def _take_together(readings: Sequence[Readable]) -> list[Taken] | None:
    eras = [reading.entry.channel.current.era for reading in readings]
    signs = [(None, 0.0) if e is None else (e.lease, e.heard) for e in eras]
    # Two adjacent passes over the references: if both find the same, all of them stood
    # together at the moment between.
    entries = [reading.entry for reading in readings]
    first = [entry.channel.current for entry in entries]
    second = [reading.entry for reading in readings]
    again = [entry.channel.current for entry in entries]
    if any(map(is_not, entries, second)) or any(map(is_not, first, again)):
        return None
    if any(current.era is not era for current, era in zip(first, eras, strict=True)):
        return None
    return [
        Taken(entry, current, lease, heard)
        for entry, current, (lease, heard) in zip(entries, first, signs, strict=True)
    ]


def _remains(taken: Taken, reading: Readable) -> bool:
    """Whether the value was neither withdrawn nor replaced by one of another epoch."""
    current = taken.current
    if current.state is _LIVE and current.is_withdrawn:
        # A value that is withdrawn and still present is a definite no: see `judge`.
        return reading.entry.channel.current is current
    return taken.is_present(reading)


def _is_renewed(taken: Sequence[Taken], now: float, wall: float) -> bool:
    """Whether a lease of *taken* has run out, and its connection has another one."""
    # The values of one connection have the same lease: it is looked at once.
    for each in {id(each.lease): each for each in taken}.values():
        era, lease = each.current.era, each.lease
        if era is None or lease is None or lease.holds(now, wall):
            continue
        if era.lease is not lease:
            return True
    return False
