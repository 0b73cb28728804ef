"""Whether the depths of one instrument agree: counted, and said once a minute.

Under v5 the sequence numbers of an instrument are those of every channel of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..base.throttled_log import LogThrottle
from ..channels.base import DepthChannel
from ..model.items import State
from ..protocol.messages import DepthData
from ..trust.verdict import Published

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
