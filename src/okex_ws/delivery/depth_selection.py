"""Chooses the depth channel that a read uses, if a subscription has several. Pure.

The choice is the newest trusted depth of the channels that have as many levels as the
read asks for. Newest is the one with the highest sequence number, and of one number the
one with the most levels; the exchange's timestamps choose nothing. A number that others
have moved on without for a second is not believed. The limits of the script are applied
to the choice afterwards, so that an older depth is never given because a newer one is
outside the limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from ..base.log import log
from ..base.state import State
from ..base.throttled_log import LogThrottle
from ..channels.reading import Reading
from ..protocol.messages import DepthData
from ..trust.verdict import LIVE, Published, Verdict, state_rank

# How many levels a side a read has, unless it asks for another number.
LEVELS = 5


# If another depth has moved on so many seconds after the one with the highest sequence
# number was received, that number is absurd or its stream has stopped. A repetition of
# an idle book is no move, nor is the first push of a subscription: it may be old.
OUTLIVED = 1.0


class Look(NamedTuple):
    """What one read found: a *verdict*, and the reading and value that it judges.

    A verdict is the state of the value, *current*, at the moment of the read, with its
    cause. The epoch of *current* is the one that a script is given.
    """

    verdict: Verdict
    reading: Reading
    current: Published


def choose(looks: Sequence[Look], levels: int) -> Look:
    """The look that a read of *levels* levels uses; without a trusted one, the best.

    The verdicts are on trust alone: no limits of the script are in them yet.
    """
    trusted = [look for look in looks if look.verdict is LIVE]
    if trusted:
        chosen = _newest(trusted, levels)
    else:
        chosen = max(looks, key=lambda look: state_rank(look.verdict.state))
    if len(looks) == 1:
        return chosen
    # The epoch changes whenever a channel becomes trusted or untrusted. Otherwise the
    # choice might fall on a channel with an older depth within one epoch.
    epoch = sum(2 * look.current.epoch + (look.verdict is not LIVE) for look in looks)
    return chosen._replace(current=chosen.current._replace(epoch=epoch))


def worst(looks: Sequence[Look]) -> Look:
    """The look whose state is the worst."""
    return min(looks, key=lambda look: state_rank(look.verdict.state))


def _newest(trusted: Sequence[Look], levels: int) -> Look:
    if len(trusted) == 1:
        return trusted[0]
    most = max(look.reading.levels for look in trusted)
    enough = [look for look in trusted if look.reading.levels >= min(levels, most)]
    if any(look.current.depth.seq is None for look in enough):
        # Without numbers (v3) the order is that of the receipt.
        return max(enough, key=_receipt)
    enough.sort(key=_sequence, reverse=True)
    moved = max(look.current.moved for look in enough)
    return next(x for x in enough if moved <= x.current.received + OUTLIVED)


def _sequence(look: Look) -> tuple[int, int, float]:
    seq = look.current.depth.seq
    return -1 if seq is None else seq, look.reading.levels, look.current.received


def _receipt(look: Look) -> tuple[float, int, float]:
    return look.current.moved, look.reading.levels, look.current.received


class CrossCheck:
    """Compares the depth channels of one subscription, which are separate streams.

    Two depths with one sequence number must have the same best levels; if they differ,
    one of the streams is wrong, which no proof of a single channel can show. A
    difference is counted (``stats().mismatches``) and logged once a minute at most; it
    withdraws no value. The threads of the connections call `check` after each push, and
    calls may overlap. *later* is a callable that queues a job: one thread at a time
    runs what it was given.
    """

    def __init__(
        self, instrument_id: str, later: Callable[[Callable[[], None]], None]
    ) -> None:
        self._instrument_id = instrument_id
        self._later = later
        self._throttle = LogThrottle()
        self._is_queued = False
        # By the topic that was pushed, so that one thread writes each count.
        self._counts: Counter[str] = Counter()

    @property
    def mismatches(self) -> int:
        """How many differences were found."""
        return sum(dict(self._counts).values())

    def check(self, reading: Reading, others: Iterable[Reading], now: float) -> None:
        """Compare the new value of *reading* with the current values of *others*."""
        current = reading.current
        for other in others:
            if other is reading or not disagree(current, other.current):
                continue
            self._counts[reading.topic] += 1
            if not self._is_queued:
                self._is_queued = True
                self._later(partial(self._report, reading.topic, other.topic, now))

    def _report(self, topic: str, other: str, now: float) -> None:
        self._is_queued = False
        if self._throttle.allows("tops", now):
            log.warning(
                "%s: of one sequence number, %s and %s have different best levels",
                self._instrument_id,
                topic,
                other,
            )


def disagree(one: Published, other: Published) -> bool:
    """Whether two live depths have one sequence number but different best levels."""
    if not (one.state is other.state is State.LIVE) or one.fault or other.fault:
        return False
    first, second = one.depth, other.depth
    if first.seq is None or first.seq != second.seq:
        return False
    return _top(first) != _top(second)


def _top(depth: DepthData) -> list[tuple[str, ...]]:
    # Texts are compared: one exchange writes the same number in the same characters.
    return [tuple(side[0][:2]) if side else () for side in (depth.bids, depth.asks)]
