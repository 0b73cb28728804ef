"""Channels of which only the newest push counts: depths, tickers, funding rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.state import State
from ..model.items import Item
from ..protocol.interface import WireProtocol
from ..protocol.messages import (
    NO_DEPTH,
    ChannelName,
    DepthData,
    FundingData,
    Push,
    TickerData,
)
from ..trust.lease import Link
from ..trust.verdict import Published
from .base import Channel
from .convert import make_depth, make_funding, make_ticker

# After a handover this many older pushes of the standby are skipped at most: about a
# second of most books.
CATCH_UP = 10


class DepthChannel(Channel):
    """A channel of a book's best levels, such as ``depth5``: each push has all of them.

    So a push replaces the value before it, and only the newest one counts. A push that
    cannot be read raises `WireError` and changes nothing; the connection then withdraws
    the value, which is not the newest any more. If the exchange's time goes back, a new
    epoch begins; only after a handover are up to ten older pushes skipped and counted.
    """

    def __init__(self, wire: WireProtocol, name: ChannelName) -> None:
        super().__init__(wire, name)
        self.levels = name.levels
        self._read = wire.depth
        self._last = NO_DEPTH
        # After a handover: the time of the old connection's depth, and how many older
        # pushes may still be skipped.
        self._shown_until = 0
        self._patience = 0

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data = self._last
        for element in push.elements:
            data = self._read(element, data)
        self._show(data, first, link, now, wall, push.text)
        return True

    def _show(
        self,
        data: DepthData,
        first: bool,
        link: Link,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        before, self._last = self._last.time_ms, data
        time_ms = data.time_ms
        back = time_ms < self._shown_until
        if back and self._patience > 0:
            self._patience -= 1
            self.counts["skipped old"] += 1
            return
        self._shown_until = 0
        # The first push after a subscribe carries the time of the book's last change,
        # and a repeated push its old time. Neither tells how late the push is.
        newer = time_ms > before and not first
        lag = link.lag(wall - time_ms / 1000, now) if newer else None
        # A time that goes back (never seen in recorded traffic) begins a new epoch.
        older = back or (time_ms < before and not first)
        self._publish(data, lag, link, now, wall, text, older)

    def switch_to(self, standby: Channel, proven: bool) -> None:
        """Continue with *standby*, without a read that goes back in time.

        The old connection's depth stays while the standby's pushes are older, for ten
        pushes at most.
        """
        assert isinstance(standby, DepthChannel)
        mine, its = self.shown, standby.shown
        super().switch_to(standby, proven)
        self._last = standby._last
        both = mine.state is its.state is State.LIVE
        if both and its.depth.time_ms < mine.depth.time_ms:
            self.shown = mine._replace(link=its.link, overdue=its.overdue)
            self._shown_until, self._patience = mine.depth.time_ms, CATCH_UP

    @property
    def conflates(self) -> bool:
        """True if no follower wants every push; each push has all levels.

        False for a whole book, because each of its pushes changes the one before.
        """
        return not self.incremental and not self._wants_every_push()

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """A `Depth` with *levels* levels a side, or all of them if that is ``None``."""
        return make_depth(self.instrument_id, self.topic, shown, levels)


class ValueChannel(Channel):
    """A channel of which only the newest value counts: a ticker or a funding rate.

    Each push is complete by itself, and replaces the value before it.
    """

    def __init__(self, wire: WireProtocol, name: ChannelName) -> None:
        super().__init__(wire, name)
        readers: dict[str, Callable[[object], object]] = {
            "ticker": wire.ticker,
            "funding": wire.funding,
        }
        self._read = readers[name.kind]

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data: Any = None
        for element in push.elements:
            data = self._read(element)
        self._publish(data, None, link, now, wall, push.text)
        return True

    @property
    def conflates(self) -> bool:
        """True if no follower wants every push; each push is complete by itself."""
        return not self._wants_every_push()

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """A `Ticker` or a `FundingRate`."""
        if isinstance(shown.data, TickerData):
            return make_ticker(self.instrument_id, shown)
        if isinstance(shown.data, FundingData):
            return make_funding(self.instrument_id, shown)
        return None
