"""Channels of which every item counts: trades, candles, and data of any kind.

Followers receive each item once and in order, and a `Gap` where items are missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from ..base.clock import utc
from ..base.state import State
from ..model.items import Candle, Data, Gap, Trade
from ..protocol.interface import WireProtocol
from ..protocol.messages import CandleData, ChannelName, Push, TradeData
from ..trust.lease import Era
from .base import Channel
from .book import BookChannel
from .convert import iso, make_candle, make_trade
from .depth import DepthChannel, ValueChannel
from .reading import KEPT, Reading

T = TypeVar("T", Trade, Candle, Data)


class SeriesChannel(Channel, Generic[T]):
    """A series: a channel of which every item counts, such as one of trades.

    Followers receive each item once, in the exchange's order. Where items may be
    missing (after a loss, or a push that could not be read) they receive a `Gap`. The
    channel keeps the newest 1,000 items for reads, also through a loss. The
    connection's thread adds items; any thread may read *items*, which is a copy.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        # True from a reported `Gap` until the next item.
        self._in_gap = False
        # While the channel is silent: the items and gaps that it found.
        self._pending: deque[T | Gap] = deque(maxlen=KEPT)

    def invalidated(self, cause: str, now: float) -> None:
        """Report a `Gap`: an item may be missing. The items so far stay good."""
        if self.current.state is State.LIVE and not self._in_gap:
            self._in_gap = True
            self._missing(self._last_id, None, cause)

    @property
    def _last_id(self) -> str | None:
        """The id of the last item, after which the next gap begins."""
        return None

    @property
    def _kept(self) -> deque[T]:
        """The items that scripts read; those of a silent channel are pending."""
        kept: deque[T] = self.reading.kept
        return kept

    def _missing(self, after: str | None, before: str | None, cause: str) -> None:
        if self.silent:
            gap = Gap(self.topic, after, before, cause, self.instrument_id)
            self._pending.append(gap)
        else:
            super()._missing(after, before, cause)

    def _hand_over(self, item: T) -> None:
        if self.silent:
            self._pending.append(item)
        for follower in self.followers:
            follower.add(self.topic, item)


class TradeChannel(SeriesChannel[Trade]):
    """A series of trades.

    The exchange repeats its last trade after a subscribe, and a standby receives what
    the old connection received, so the ids of the last 1,000 trades are kept, and a
    trade with a known id is skipped and counted. After a loss a `Gap` precedes the
    first trade, unless that trade is known.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self._read: Callable[[object], TradeData] = wire.trade
        self._replays = wire.replays_last(name.topic)
        self._known: dict[str, None] = {}
        self._newest_id: str | None = None
        self._after_loss = False

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel; after a loss a `Gap` may follow."""
        super().subscribed(era, now)
        self._after_loss |= self.openings > 1

    @property
    def _last_id(self) -> str | None:
        return self._newest_id

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish that a push came, then hand over each trade that is new."""
        read = [self._read(element) for element in push.elements]
        self._publish(None, None, era, now, wall, push.text)
        for place, data in enumerate(read):
            # After a subscribe the exchange repeats the last trade only, as the first
            # element of the push. The trades behind it are new.
            self._take(data, first and self._replays and not place, wall)
        return True

    def _take(self, data: TradeData, replayed: bool, wall: float) -> None:
        after_loss, self._after_loss = self._after_loss, False
        if data.id in self._known:
            self.counts["skipped repeat"] += 1
            return
        before, self._newest_id = self._newest_id, data.id
        self._in_gap = False
        self._remember(data.id)
        old = replayed and self.openings == 1
        if after_loss:
            # The exchange's last trade is unknown here, so trades happened during the
            # loss.
            self._missing(before, data.first_id, "trades while not connected")
        epoch = self.reading.epoch
        trade = make_trade(self.instrument_id, data, wall, epoch, old)
        if not (trade.replayed or self.silent):
            self._kept.append(trade)
        self._hand_over(trade)

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, and hand over the trades that only this channel has."""
        assert isinstance(before, TradeChannel)
        super().take_over(before, proven)
        pending, self._pending = list(self._pending), deque(maxlen=KEPT)
        known = [
            at
            for at, item in enumerate(pending)
            if isinstance(item, Trade) and item.id in before._known
        ]
        news = pending[known[-1] + 1 :] if known else pending
        meets = proven or any(
            isinstance(item, Trade) and item.id == before._newest_id for item in pending
        )
        self._known = {**before._known, **self._known}
        self._newest_id = before._newest_id
        if before._after_loss or not meets:
            first = news[0] if news else None
            after = first.first_id if isinstance(first, Trade) else None
            self._missing(self._newest_id, after, "trades as a connection took over")
        for item in news:
            if isinstance(item, Gap):
                self._missing(item.after, item.before, item.cause)
                continue
            self._newest_id = item.id
            own = replace(item, epoch=self.reading.epoch)
            self._kept.append(own)
            self._hand_over(own)

    def _remember(self, trade_id: str) -> None:
        self._known[trade_id] = None
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]


class CandleChannel(SeriesChannel[Candle]):
    """A series of candles: the exchange pushes the open candle again at each change.

    A push replaces the kept candle of the same start, and each push is handed over. A
    candle that starts before the newest one is skipped and counted. After a loss, a
    `Gap` precedes a first candle that starts later than the newest one.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self._read: Callable[[object], CandleData] = wire.candle
        self._newest_ms: int | None = None
        self._after_loss = False

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel; after a loss a `Gap` may follow."""
        super().subscribed(era, now)
        self._after_loss |= self.openings > 1

    @property
    def _last_id(self) -> str | None:
        return None if self._newest_ms is None else iso(self._newest_ms)

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish that a push came, then hand over each candle."""
        read = [self._read(element) for element in push.elements]
        self._publish(None, None, era, now, wall, push.text)
        for data in read:
            self._take(data, wall)
        return True

    def _take(self, data: CandleData, wall: float) -> None:
        before = self._newest_ms
        if before is not None and data.start_ms < before:
            self.counts["skipped old"] += 1
            return
        epoch = self.reading.epoch
        candle = make_candle(self.instrument_id, self.topic, data, wall, epoch)
        self._keep(candle, data.start_ms)

    def _keep(self, candle: Candle, start_ms: int) -> None:
        before = self._newest_ms
        after_loss, self._after_loss = self._after_loss, False
        if after_loss and before is not None and start_ms > before:
            # The new candle covers its whole bar. Only the bars in between, and the end
            # of the bar before the loss, are unknown.
            text = "candles while not connected"
            self._missing(iso(before), iso(start_ms), text)
        if self.silent:
            pass
        elif start_ms == before and self._kept:
            self._kept[-1] = candle
        else:
            self._kept.append(candle)
        self._newest_ms, self._in_gap = start_ms, False
        self._hand_over(candle)

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, and hand over the candles that came later."""
        assert isinstance(before, CandleChannel)
        super().take_over(before, proven)
        pending, self._pending = list(self._pending), deque(maxlen=KEPT)
        self._newest_ms = before._newest_ms
        self._after_loss |= before._after_loss or not proven
        for item in pending:
            if isinstance(item, Gap):
                self._missing(item.after, item.before, item.cause)
                continue
            newest = self._kept[-1] if self._kept else None
            start_ms = round(item.start.timestamp() * 1000)
            later = newest is None or item.received > newest.received
            if later and start_ms >= (self._newest_ms or 0):
                self._keep(replace(item, epoch=self.reading.epoch), start_ms)


class DataChannel(SeriesChannel[Data]):
    """A series of pushes that the library has no type for: each push is one `Data`.

    Such pushes have no id that could show a loss or a repeat, so that a `Gap` is
    reported after each loss and at each handover.
    """

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel; after a loss report a `Gap`."""
        super().subscribed(era, now)
        if self.openings > 1:
            self._missing(None, None, "pushes while not connected")

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, and report a `Gap`.

        Pushes have no id, so that one may be missing, or delivered twice, unnoticed.
        """
        super().take_over(before, proven)
        self._pending.clear()
        self._missing(None, None, "pushes at a change of the connection")

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish *push*, and hand it over as decoded JSON."""
        self._publish(None, None, era, now, wall, push.text)
        self._in_gap = False
        received, epoch = utc(wall), self.reading.epoch
        elements = tuple((self._wire.exactly(push) or push).elements)
        name = self.instrument_id
        data = Data(self.topic, elements, push.action, received, epoch, name)
        if not self.silent:
            self._kept.append(data)
        self._hand_over(data)
        return True


KINDS: dict[str, Callable[..., Channel]] = {
    "depth": DepthChannel,
    "book": BookChannel,
    "ticker": ValueChannel,
    "funding": ValueChannel,
    "trade": TradeChannel,
    "candle": CandleChannel,
    "data": DataChannel,
}
