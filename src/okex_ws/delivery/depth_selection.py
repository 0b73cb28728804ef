"""Which of a subscription's depth channels a read is of. Pure.

The newest of those that can be trusted, among those that carry as many levels as are
asked for. A caller's limits judge what was chosen, and choose nothing themselves: an
older depth is never given because a newer one is too old.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..base.state import State
from ..base.throttled_log import LogThrottle
from ..channels.base import Channel
from ..channels.depth import DepthChannel
from ..protocol.messages import DepthData
from ..trust.verdict import LIVE, Published, Verdict, state_rank

# Of a whole book a read has so many a side, unless it asks for more.
LEVELS = 5


class Look(NamedTuple):
    """A verdict, and the one channel and value that it was passed on."""

    verdict: Verdict
    channel: Channel
    shown: Published


def choose(looks: Sequence[Look], levels: int) -> Look:
    """What a read of *levels* levels is given, or the best there is to be said of it.

    The looks are verdicts on trust alone.
    """
    trusted = [look for look in looks if look.verdict is LIVE]
    if trusted:
        chosen = _newest(trusted, levels)
    else:
        chosen = max(looks, key=lambda look: state_rank(look.verdict.state))
    if len(looks) == 1:
        return chosen
    # Within an epoch the same channels are trusted: else the choice might go back.
    epoch = sum(2 * look.shown.epoch + (look.verdict is not LIVE) for look in looks)
    return chosen._replace(shown=chosen.shown._replace(epoch=epoch))


def worst(looks: Sequence[Look]) -> Look:
    """The channel that is worst off."""
    return min(looks, key=lambda look: state_rank(look.verdict.state))


def _newest(trusted: Sequence[Look], levels: int) -> Look:
    if len(trusted) == 1:
        return trusted[0]
    most = max(map(_levels, trusted))
    enough = [look for look in trusted if _levels(look) >= min(levels, most)]
    return max(enough, key=_newness)


def _levels(look: Look) -> int:
    assert isinstance(look.channel, DepthChannel)
    return look.channel.levels


def _newness(look: Look) -> tuple[int, int, int]:
    depth = look.shown.depth
    seq = -1 if depth.seq is None else depth.seq
    return depth.time_ms, seq, _levels(look)


log = logging.getLogger("okex_ws")


class CrossCheck:
    """How often two depths of one sequence number had different best levels."""

    def __init__(self, instrument_id: str) -> None:
        self.mismatches = 0
        self._instrument_id = instrument_id
        self._throttle = LogThrottle()

    def check(
        self, channel: DepthChannel, others: Iterable[DepthChannel], now: float
    ) -> None:
        """Compare what was just pushed on *channel* with what the others show."""
        for other in others:
            if other is channel or not disagree(channel.shown, other.shown):
                continue
            self.mismatches += 1
            if self._throttle.allows("tops", now):
                log.warning(
                    "%s: of one sequence number, %s and %s have different best levels",
                    self._instrument_id,
                    channel.topic,
                    other.topic,
                )


def disagree(one: Published, other: Published) -> bool:
    """Whether two depths of the same moment, by their sequence, have other tops."""
    if not (one.state is other.state is State.LIVE):
        return False
    first, second = one.depth, other.depth
    if first.seq is None or first.seq != second.seq:
        return False
    return _top(first) != _top(second)


def _top(depth: DepthData) -> list[tuple[str, ...]]:
    # Of one exchange: the same number has the same characters.
    return [tuple(side[0][:2]) if side else () for side in (depth.bids, depth.asks)]
