"""Channels of which only the newest push counts: depths, tickers, funding rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..base.errors import SequenceGap
from ..protocol.interface import WireProtocol
from ..protocol.messages import NO_DEPTH, ChannelName, DepthData, Push
from ..trust.lease import Era
from .base import Channel
from .reading import Reading


class DepthChannel(Channel):
    """A channel of a book's best levels, such as ``depth5``: each push has all of them.

    So a push replaces the value before it, and only the newest one counts. A push that
    cannot be read raises `WireError` and changes nothing; the connection then withdraws
    the value, which is not the newest any more. The order of the pushes is that of
    their sequence numbers where they have some, else that of their receipt: a number
    that goes back raises `SequenceGap`, and the channel is subscribed again. The
    exchange's timestamps order nothing.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self.levels = name.levels
        self._read = wire.depth
        self._last = NO_DEPTH

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data = before = NO_DEPTH if first else self._last
        for element in push.elements:
            data = self._read(element, data)
            seq = data.seq
            if seq is not None and before.seq is not None and seq < before.seq:
                self._last = NO_DEPTH
                raise SequenceGap(before.seq, seq)
            before = data
        self._show(data, first, era, now, wall, push.text)
        return True

    def _show(
        self,
        data: DepthData,
        first: bool,
        era: Era,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        before, self._last = self._last, data
        # The first push after a subscribe carries the time of the book's last change,
        # and a repeated push its old time. Neither tells how late the push is.
        newer = data.time_ms > before.time_ms and not first
        lag = era.lag(wall - data.time_ms / 1000, now) if newer else None
        moved = -math.inf if first else self.current.moved
        if data.seq is None or before.seq is None:
            # Without numbers the order is that of the receipt.
            moved = now if first or data.bids != before.bids else moved
            moved = now if data.asks != before.asks else moved
        elif data.seq > before.seq and not first:
            moved = now
        self._publish(data, lag, era, now, wall, text, moved)

    @property
    def conflates(self) -> bool:
        """True if no follower wants every push; each push has all levels.

        False for a whole book, because each of its pushes changes the one before.
        """
        return not self.incremental and not self._wants_every_push()


class ValueChannel(Channel):
    """A channel of which only the newest value counts: a ticker or a funding rate.

    Each push is complete by itself, and replaces the value before it.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        readers: dict[str, Callable[[object], object]] = {
            "ticker": wire.ticker,
            "funding": wire.funding,
        }
        self._read = readers[name.kind]

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data: Any = None
        for element in push.elements:
            data = self._read(element)
        self._publish(data, None, era, now, wall, push.text)
        return True

    @property
    def conflates(self) -> bool:
        """True if no follower wants every push; each push is complete by itself."""
        return not self._wants_every_push()
