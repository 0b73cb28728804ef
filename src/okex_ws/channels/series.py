"""Channels of which every item counts: trades, candles, and data of any kind.

Followers receive each item once and in order, and a `Gap` where items are missing.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Generic, TypeVar

from ..base.clock import utc
from ..base.errors import WireError
from ..base.state import NO_CAUSE, Cause, CauseCode, State
from ..model.items import Candle, Data, Trade
from ..protocol.common import read_each
from ..protocol.interface import WireProtocol
from ..protocol.messages import CandleData, ChannelName, Push, TradeData
from ..protocol.unparsed import Unparsed
from ..trust.lease import NOTHING, Era
from ..trust.verdict import publish
from .base import Channel
from .book import BookChannel
from .continuity import (
    KEPT,
    BarLength,
    CandleContinuity,
    Continuity,
    D,
    Missed,
    News,
    Receipt,
    Told,
    TradeContinuity,
)
from .convert import make_candle, make_trade
from .depth import DepthChannel, ValueChannel
from .known_trades import UnparsedTrade
from .reading import Reading

T = TypeVar("T", Trade, Candle, Data)
# A global name, because every push looks it up.
_LIVE = State.LIVE


class SeriesChannel(Channel, Generic[T]):
    """A series: a channel of which every item counts, such as one of trades.

    Followers receive each item once, in the exchange's order. Where items may be
    missing (after a loss, or a push that could not be read) they receive a `Gap`. The
    newest 1,000 items are kept for reads, also through a loss, with the `Reading`. The
    connection's thread adds items; any thread may read a copy of them there.
    """

    @property
    def kept(self) -> deque[T]:
        """The items that scripts read."""
        kept: deque[T] = self.reading.kept
        return kept

    def invalidated(self, cause: Cause, now: float) -> None:
        """Report a `Gap`: an item may be missing. The items so far stay good."""
        if self.current.state is State.LIVE:
            self._lost(cause)

    @abstractmethod
    def _lost(self, cause: Cause) -> None:
        """Report a `Gap` for a push that was lost by *cause*, unless one is open."""

    def _hand_over(self, item: T) -> None:
        for follower in self.followers:
            follower.add(self.topic, item)


class JoinedChannel(SeriesChannel[T], Generic[T, D]):
    """A series whose items prove their continuity: of trades, or of candles.

    Its `Continuity` decides what is news and where a `Gap` is; the channel makes items
    of that. An element that cannot be read costs itself only: a `Gap` stands in its
    place, and the neighbours are delivered.
    """

    continuity: Continuity[D]
    # The method of the protocol that reads an element.
    _read: Callable[[object], D]

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        # While the channel is silent, as a standby is: what there was to deliver.
        self._pending: deque[Told[D]] = deque(maxlen=KEPT)

    def opened(self, era: Era, now: float) -> None:
        """The connection opened; after a loss the next item must prove itself."""
        super().opened(era, now)
        if self.openings > 1:
            text = f"{self.continuity.items} while not connected"
            self.continuity.owe(self._cause(CauseCode.OUTAGE, text))

    def resubscribing(self) -> None:
        """The channel is subscribed anew: what comes before that is dropped."""
        text = f"{self.continuity.items} while subscribed anew"
        self.continuity.owe(self._cause(CauseCode.OUTAGE, text))

    def withheld(self, state: State, cause: Cause, now: float) -> None:
        """Withdraw the channel: its next item must prove that none is missing."""
        if self.current.state is State.LIVE:
            self.continuity.owe(replace(cause, code=CauseCode.OUTAGE))
        super().withheld(state, cause, now)

    def _lost(self, cause: Cause) -> None:
        self._deliver(self.continuity.lost(cause))

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish that a push came, then deliver the items in it that are news.

        If some elements cannot be read, the `WireError` of the first one is raised
        after the others were delivered; it is then marked as *partial*.
        """
        read = read_each(push.elements, self._read)
        errors = [each for each in read if isinstance(each, WireError)]
        if errors and (len(errors) == len(read) or not push.exact):
            raise errors[0]
        self._publish(None, None, era, now, wall, push.text)
        at = Receipt(now, wall, first, era.proven)
        self._deliver(self.continuity.take(read, at))
        if errors:
            errors[0].partial = True
            raise errors[0]
        return True

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, and deliver the items that only this channel received."""
        assert isinstance(before, type(self))
        super().take_over(before, proven)
        own, self.continuity = self.continuity, before.continuity
        pending = tuple(self._pending)
        self._pending.clear()
        known = proven and self.acknowledged
        self._deliver(self.continuity.join(pending, known, own.owed))

    def _deliver(self, told: Iterable[Told[D]]) -> None:
        if self.silent:
            self._pending.extend(told)
            return
        for each in told:
            if isinstance(each, Missed):
                self._missing(*each)
            else:
                self._add(each)

    @abstractmethod
    def _add(self, news: News[D]) -> None:
        """Keep the item that *news* is, and hand it over."""


class TradeChannel(JoinedChannel[Trade, TradeData]):
    """A series of trades, whose continuity is a `TradeContinuity`.

    A trade that no follower wants is not parsed at its receipt, if the ids in its bytes
    show that it is news and that no `Gap` is before it. The first script that reads
    `trades` parses it. One that cannot be read is left out; it counts and is told once
    a thread has found it, like one that could not be read at its receipt.
    """

    continuity: TradeContinuity

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self._read = self._wire.trade
        self._stamp = wire.trade_stamp
        replays = wire.replays_last(name.topic, name.is_spread)
        self.continuity = TradeContinuity(self.counts, replays, self._unread)
        # Whether a thread has found a kept trade that it cannot read, and which those
        # are, the oldest one last.
        self._is_doubted = False
        self._refused: list[UnparsedTrade] = []

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel; its repeat is due at once."""
        super().subscribed(era, now)
        self.continuity.acknowledged(now)

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*; a thread may have found that it kept what is no trade."""
        super().take_over(before, proven)
        self.doubt()

    # --- What is kept unparsed ------------------------------------------------------

    @property
    def keeps_unparsed(self) -> bool:
        """True if there are followers, and none of them wants each trade."""
        for follower in self.followers:  # no `any`: each parsed push calls this
            if follower.wants_items:
                return False
        return bool(self.followers) and not self.silent

    def keep(self, said: bytes, era: Era, now: float, wall: float) -> bool:
        """Keep the trade *said* unparsed, by the ids in its bytes.

        False if it has to be parsed at once: if there are no ids, if it may be a repeat
        or come after a `Gap`, or if a follower wants each trade.
        """
        # The hot path of a connection, so nearly all in one function.
        current, followers, text, told = self.current, self.followers, "", False
        if current.state is not _LIVE or current.era is not era or not followers:
            return False
        if self.silent or (era.withdrawn is not NOTHING and current.is_withdrawn):
            return False
        for follower in followers:
            if follower.wants_items:
                return False
            told = told or follower.wants_pushes
        if (stamp := self._stamp(said)) is None:
            return False
        if told:
            try:
                text = str(said, "utf-8")
            except UnicodeDecodeError:
                return False
        reading, continuity, lease = self.reading, self.continuity, era.lease
        lapses = 0 if lease is None else lease.lapses
        epoch = reading.entry.base + current.epoch + lapses
        if not continuity.unsettled:
            continuity.received = current.received, current.wall
        kept = UnparsedTrade(self, said, stamp, now, wall, epoch)
        if not continuity.keep(kept, stamp[1]):
            return False
        items: deque[Any] = reading.kept
        if len(items) == KEPT and type(items[0]) is UnparsedTrade:
            continuity.known.release(items[0])
        items.append(kept)
        self._serial = serial = self._serial + 1
        value = _LIVE, NO_CAUSE, current.epoch, era, None, now, wall, None
        overdue = now + self.repeats_within
        self.current = publish((*value, overdue, self, serial, -math.inf))
        for copy in reading.copies:
            copy.flush(now)
        if told:
            self._pass_on(text, now)
        return True

    def _parsed(self, push: Push, kept: Unparsed) -> TradeData:
        (element,) = push.elements
        data = self._read(element)
        assert isinstance(kept, UnparsedTrade)
        if (data.id, data.count) != (kept.id, kept.count):
            raise WireError("trade", "its ids are other ones than expected")
        return data

    @property
    def is_unverified(self) -> bool:
        """Whether the newest trade is not parsed, or another one cannot be."""
        return bool(self.continuity.unsettled or self._is_doubted or self._refused)

    def doubt(self) -> None:
        """A thread cannot read a kept trade: have it looked at. Any thread may call."""
        # The trade may have been kept on the connection before.
        channel = self.reading.entry.channel
        if not channel._is_doubted:
            channel._is_doubted = True
            channel.on_doubt()

    def verify(self) -> WireError | None:
        """Parse the newest trade, if it was kept unparsed.

        Returns what is wrong with one of the kept trades, and drops that trade; it is
        called until nothing is.
        """
        serving: Channel = self.reading.entry.channel
        if serving is not self:
            return None  # the channel that took over has them, on its own thread
        self.continuity.settle()
        if self.reading.was_read:
            self._release()
        if (receipt := self.continuity.receipt()) is not None:
            # What cannot be read is no sign that the stream goes on.
            received, wall = receipt
            self._store(received=received, wall=wall)
        if self._is_doubted:
            self._is_doubted = False
            self._refused = self.continuity.known.refused()[::-1]
        while self._refused:
            kept = self._refused.pop()
            if (fault := kept.verify()) is not None:
                self.continuity.known.drop(kept)
                with suppress(ValueError):
                    self.reading.kept.remove(kept)
                if self.current.state is not State.LIVE:
                    # It came over a connection that was lost since.
                    self._lost((kept.fault or fault).cause)
                return fault
        return None

    def _release(self) -> None:
        """Keep the trades that scripts have read in the place of their bytes."""
        self.reading.was_read, kept = False, self.reading.kept
        for place, each in enumerate(kept):
            if isinstance(each, UnparsedTrade) and each.made is not None:
                kept[place] = each.made
                self.continuity.known.release(each)

    def _add(self, news: News[TradeData]) -> None:
        epoch, wall = self.reading.epoch, news.at.wall
        name, replayed = self.instrument_id, news.replayed
        trade = make_trade(name, news.data, wall, epoch, replayed)
        if replayed and not self.kept:
            for follower in self.followers:
                follower.add_repeated(self.topic, trade)
            return
        # One that comes after others is no repeat, but late.
        if not replayed:
            self.kept.append(trade)
        self._hand_over(trade)


class CandleChannel(JoinedChannel[Candle, CandleData]):
    """A series of candles, whose continuity is a `CandleContinuity`.

    A push replaces the kept candle of the same start, and each push is handed over.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self._read = self._wire.candle
        self.continuity = CandleContinuity(self.counts, BarLength(name.topic))

    def _add(self, news: News[CandleData]) -> None:
        epoch, wall = self.reading.epoch, news.at.wall
        name, topic = self.instrument_id, self.topic
        candle = make_candle(name, topic, news.data, wall, epoch)
        self.reading.kept = keep_candle(self.kept, candle)
        self._hand_over(candle)


def keep_candle(items: deque[Candle], candle: Candle) -> deque[Candle]:
    """Add *candle* to *items*, in which it replaces a candle of the same start.

    Returns *items*, or a copy with the last word on the bar before the newest one: a
    thread that reads *items* meanwhile finds both bars or the bars of before.
    """
    if not items or candle.start > items[-1].start:
        items.append(candle)
    elif candle.start == items[-1].start:
        items[-1] = candle
    else:
        older = [each for each in items if each.start < candle.start]
        newer = [each for each in items if each.start > candle.start]
        items = deque([*older, candle, *newer], items.maxlen)
    return items


class DataChannel(SeriesChannel[Data]):
    """A series of pushes that the library has no type for: each push is one `Data`.

    Such pushes have no id that could show a loss or a repeat, so that a `Gap` is
    reported after each loss and at each handover.
    """

    # True from a reported `Gap` until the next item.
    _in_gap = False

    def withheld(self, state: State, cause: Cause, now: float) -> None:
        """Withdraw the channel, and report a `Gap`."""
        if self.current.state is State.LIVE:
            self._lost(replace(cause, code=CauseCode.OUTAGE))
        super().withheld(state, cause, now)

    def _lost(self, cause: Cause) -> None:
        if not self._in_gap:
            self._in_gap = True
            self._missing(None, None, cause)

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel; after a loss report a `Gap`."""
        super().subscribed(era, now)
        if self.openings > 1:
            text = "pushes while not connected"
            self._missing(None, None, self._cause(CauseCode.OUTAGE, text))

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, and report a `Gap`.

        Pushes have no id, so that one may be missing, or delivered twice, unnoticed.
        """
        super().take_over(before, proven)
        text = "pushes at a change of the connection"
        self._missing(None, None, self._cause(CauseCode.HANDOVER, text))

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish *push*, and hand it over as decoded JSON."""
        self._publish(None, None, era, now, wall, push.text)
        self._in_gap = False
        received, epoch = utc(wall), self.reading.epoch
        push = self._wire.exactly(push) or push
        elements, said = tuple(push.elements), (push.action, received, epoch)
        name, envelope = self.instrument_id, push.envelope
        data = Data(self.topic, elements, *said, name, envelope)
        if not self.silent:
            self.kept.append(data)
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
