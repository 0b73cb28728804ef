"""Whether items of a series are missing, and which items are news. Pure.

Two stretches of trades join at a trade that is equal in every field, or at the next id;
two stretches of candles join at a start, or where a closed bar ends. Without such a
proof a script is told that items may be missing. An item that was not identified as one
that the script has is never left out.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, NamedTuple, TypeVar, Union

from ..base.errors import WireError
from ..base.state import Cause, CauseCode
from ..protocol.messages import CandleData, TradeData
from .convert import iso
from .known_trades import KnownTrades, UnparsedTrade, trade_number

# How many items a channel keeps for reads, and a standby for its handover.
KEPT = 1000
# Within how many seconds after its acknowledgement the exchange repeats the last trade.
# In the recordings it took less than 0.1 s, 39 times of 39.
AT_ONCE = 1.0

D = TypeVar("D", bound=Union[TradeData, CandleData])


class Receipt(NamedTuple):
    """How a push was received: at *now* (monotonic) and *wall* (epoch seconds).

    *first* is whether it is the first push after a subscribe. Everything that the
    exchange sent before *proven* (monotonic) has been handled, as a pong has shown.
    """

    now: float
    wall: float
    first: bool = False
    proven: float = -math.inf


class Missed(NamedTuple):
    """A place where items may be missing; the fields are those of a `Gap`."""

    after: str | None
    before: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class News(Generic[D]):
    """An item that is to be delivered; *replayed* is as in `Trade`."""

    data: D
    at: Receipt
    replayed: bool = False


# What is to be delivered, in this order.
Told = Union[News[D], Missed]


class Continuity(ABC, Generic[D]):
    """Decides which items of one stream are news, and where items may be missing.

    The channel's thread calls `owe` when the stream was interrupted, `lost` when a push
    could not be read, `take` for each push, and `join` to go on with the stream of a
    standby. The last three return what is to be delivered: each item once, and a
    `Missed` wherever continuity is not proven. Repeats are counted in *counts*.

    *owed* is why a `Missed` is due before the next item, unless that item proves that
    none is missing; ``None`` if it need not prove it.
    """

    # What the items are called in a cause.
    items: ClassVar[str]

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self.owed: Cause | None = None
        # The newest item, after which a gap begins.
        self.newest: D | None = None
        # True from a `Missed` until the next item.
        self._in_gap = False
        # Whether pongs prove that nothing was missed before what is owed.
        self._vouched = False
        # Whether the stream was interrupted, or joined to another one.
        self._is_resumed = False
        # Why the element before could not be read, within one push.
        self._unread: Cause | None = None

    def owe(self, cause: Cause) -> None:
        """The stream was interrupted by *cause*: the next item must prove itself."""
        self.owed, self._vouched, self._is_resumed = cause, False, True

    def lost(self, cause: Cause) -> list[Told[D]]:
        """A push was lost: items may be missing at this place."""
        if self._in_gap:
            return []
        self._in_gap = True
        return [Missed(self.last, None, cause)]

    def take(self, read: Sequence[D | WireError], at: Receipt) -> list[Told[D]]:
        """Take the elements of one push, of which some could not be read."""
        told: list[Told[D]] = []
        for place, data in enumerate(read):
            if isinstance(data, WireError):
                self.counts["skipped unreadable"] += 1
                self._unread = self._unread or data.cause
            else:
                told += self._take(data, at, at.first and not place)
        unread, self._unread = self._unread, None
        return told if unread is None else told + self.lost(unread)

    def join(
        self, held: Sequence[Told[D]], proven: bool, owed: Cause | None = None
    ) -> list[Told[D]]:
        """Go on with a second stream, which has collected *held* silently.

        *held* is what that stream's own object returned, at most the newest 1,000, and
        *owed* is what that object still owes. *proven* is whether this stream is known
        to have had all that the exchange sent before the second stream began.
        """
        text = f"{self.items} as a connection took over"
        cause = Cause(CauseCode.HANDOVER, text)
        if not proven or len(held) >= KEPT:
            self.owe(self.owed or cause)
        elif self.owed is None:
            self.owed, self._vouched = cause, True
        self._is_resumed = True
        told: list[Told[D]] = []
        for each in held:
            if isinstance(each, Missed):
                self.owe(cause)
            else:
                told += self._join(each)
        if owed is not None:
            self.owe(cause)
        return told

    def _news(self, data: D, at: Receipt, replayed: bool) -> Iterator[Told[D]]:
        """Deliver *data* as the newest item, after a `Missed` if one is due."""
        is_contradicted = self._is_contradicted(data)
        why = self._unread or self._doubt(data, is_contradicted)
        if why is not None and not self._in_gap:
            yield Missed(self.last, self._first(data), why)
        # A server that is behind may show one trade of another run of ids, or repeat an
        # old trade, and then go on elsewhere: the next trade has to prove itself, too.
        again = is_contradicted or (replayed and self._is_resumed)
        self.owed = why if again else None
        self._in_gap, self._vouched, self._unread = False, False, None
        self.newest = data
        yield News(data, at, replayed and not self._is_resumed)

    @property
    @abstractmethod
    def last(self) -> str | None:
        """The id of the newest item, after which a gap begins."""

    @abstractmethod
    def _take(self, data: D, at: Receipt, first: bool) -> Iterator[Told[D]]:
        """Take one element; *first* is whether the exchange's repeat may be here."""

    @abstractmethod
    def _join(self, news: News[D]) -> Iterator[Told[D]]:
        """Take one item that the second stream has collected."""

    @abstractmethod
    def _doubt(self, data: D, is_contradicted: bool) -> Cause | None:
        """Why items may be missing before *data*, or ``None`` if none are."""

    def _is_contradicted(self, data: D) -> bool:
        """Whether *data* contradicts that it follows on the newest item."""
        return False

    @abstractmethod
    def _first(self, data: D) -> str:
        """The id of *data* before which a gap ends."""


class TradeContinuity(Continuity[TradeData]):
    """The continuity of a stream of trades.

    A trade is a repeat only if a trade that is equal in every field was taken before;
    the last 2,000 are known. After an interruption a `Missed` is due, unless the newest
    trade comes again, or the next id follows on it. The exchange does not promise
    consecutive ids, so a jump within one stream is no sign of a loss. Ids that go back,
    or name another trade, are one.

    The exchange repeats its last trade after a subscribe, however old (*replays*), and
    nothing in the message says so. The first trade is taken for the repeat unless it
    came more than a second after the acknowledgement, and either a pong proves that the
    repeat would have come before it, or by this machine's clock it was made after the
    acknowledgement. If the exchange repeats nothing, a trade of the first second is so
    marked as replayed. That error is the lesser one, because the trade is still
    delivered with its time: an old trade told as news would be a price of hours ago.

    A repeat with a lower id than the newest trade's (one that was lost, or the last one
    of a gateway that is behind) is delivered as replayed, too. It proves nothing: the
    stream goes on after the newest trade. So is a trade that only a second stream had,
    if the newest trade came after it there.

    A trade whose ids lie above those of all known trades is news without a `Missed`,
    while nothing is owed. So it may stay unparsed: `keep` takes it by the ids in its
    bytes. Before anything is decided by the newest trade, `settle` parses it.
    """

    items = "trades"

    def __init__(
        self, counts: Counter[str], replays: bool = False, unread: str = "unread"
    ) -> None:
        super().__init__(counts)
        self._replays = replays
        self._acknowledged_at = math.inf
        self.known = KnownTrades(counts, unread)
        # The trades that came after the newest one, unparsed.
        self.unsettled: deque[UnparsedTrade] = deque(maxlen=KEPT)
        # When the last push before them came; and, until `receipt` is asked, whether
        # the last of them could not be read.
        self.received = (-math.inf, 0.0)
        self._is_behind = False

    def acknowledged(self, now: float) -> None:
        """The exchange acknowledged the subscribe."""
        self._acknowledged_at = now

    def keep(self, kept: UnparsedTrade, number: int) -> bool:
        """Take an unparsed trade as news; False if it has to be parsed and taken.

        *number* is that of its last id.
        """
        if self.owed is not None or self._in_gap or self.newest is None:
            return False
        if not self.known.keep(kept, number):
            return False
        self.unsettled.append(kept)
        return True

    def settle(self) -> None:
        """Parse the newest trade. One that cannot be read is none."""
        unsettled = self.unsettled
        while unsettled:
            kept = unsettled.pop()
            if kept.is_good():
                self.newest, self.received = kept.data, (kept.now, kept.wall)
                unsettled.clear()
            else:
                self._is_behind = True

    def receipt(self) -> tuple[float, float] | None:
        """When the last push came, if that is not the last one that was kept.

        Which could not be read then. It is told once.
        """
        is_behind, self._is_behind = self._is_behind, False
        return self.received if is_behind else None

    def lost(self, cause: Cause) -> list[Told[TradeData]]:
        """A push was lost: trades may be missing after the newest one."""
        self.settle()
        return super().lost(cause)

    @property
    def last(self) -> str | None:
        """The id of the newest trade."""
        return None if self.newest is None else self.newest.id

    def _first(self, data: TradeData) -> str:
        return data.first_id

    def _take(
        self, data: TradeData, at: Receipt, first: bool
    ) -> Iterator[Told[TradeData]]:
        if self.unsettled:
            self.settle()
        return self._tell(data, at, first and self._is_replay(data, at))

    def _tell(
        self, data: TradeData, at: Receipt, replayed: bool
    ) -> Iterator[Told[TradeData]]:
        if data in self.known:
            self.counts["skipped repeat"] += 1
            if data == self.newest:
                self.owed = None
            return
        if replayed and self._goes_back(data):
            yield News(data, at, True)
        else:
            yield from self._news(data, at, replayed)
        self.known.add(data)

    def _is_replay(self, data: TradeData, at: Receipt) -> bool:
        waited = at.now - self._acknowledged_at
        if not self._replays or waited <= AT_ONCE:
            return self._replays
        proven = at.proven >= self._acknowledged_at + AT_ONCE
        return not proven and at.wall - data.time_ms / 1000 >= waited

    def join(
        self, held: Sequence[Told[TradeData]], proven: bool, owed: Cause | None = None
    ) -> list[Told[TradeData]]:
        """Go on with a second stream; what it had before the newest trade is late."""
        self.settle()
        place = self._place_of_newest(held)
        late = [
            each
            for each in held[:place]
            if isinstance(each, News) and each.data not in self.known
        ]
        told: list[Told[TradeData]] = []
        if not {each.data.id for each in late}.isdisjoint(self.known.ids()):
            # Another trade under a known id contradicts that the two are one stream.
            text = "two trades of one id"
            told += self.lost(Cause(CauseCode.IDS_RESTARTED, text))
        for each in late:
            self.known.add(each.data)
            told.append(replace(each, replayed=True))
        return told + super().join(held[place:], proven, owed)

    def _place_of_newest(self, held: Iterable[Told[TradeData]]) -> int:
        for place, each in enumerate(held):
            if isinstance(each, News) and each.data == self.newest:
                return place
        return 0

    def _join(self, news: News[TradeData]) -> Iterator[Told[TradeData]]:
        if news.replayed and self._vouched and news.data not in self.known:
            # The second stream began after a trade that this stream should have had.
            self._vouched = False
        goes_back = news.replayed and self._goes_back(news.data)
        return self._tell(news.data, news.at, goes_back is True)

    def _doubt(self, data: TradeData, is_contradicted: bool) -> Cause | None:
        if is_contradicted:
            text = "the ids of the trades begin anew, or go back"
            return Cause(CauseCode.IDS_RESTARTED, text)
        if self.owed is None or self.newest is None:
            return None if self._vouched else self.owed
        last, first = trade_number(self.newest.id), trade_number(data.first_id)
        if last is None or first is None:
            return None if self._vouched else self.owed
        return None if first == last + 1 else self.owed

    def _is_contradicted(self, data: TradeData) -> bool:
        goes_back = self._goes_back(data)
        if goes_back is None:
            return data.id in self.known.ids()
        return goes_back

    def _goes_back(self, data: TradeData) -> bool | None:
        """Whether the ids go back to *data*; ``None`` if they are no numbers."""
        if self.newest is None:
            return False
        last, first = trade_number(self.newest.id), trade_number(data.first_id)
        return None if last is None or first is None else first <= last


_DAY = 86_400
# The least and the most seconds that each unit lasts.
_LENGTHS = {
    "s": (1, 1),
    "m": (60, 60),
    "H": (3600, 3600),
    "D": (_DAY, _DAY),
    "W": (7 * _DAY, 7 * _DAY),
    "M": (28 * _DAY, 31 * _DAY),
    "Y": (365 * _DAY, 366 * _DAY),
}
_BAR = re.compile(r"candle([0-9]+)([smHDWMY])(?:utc)?$")


class BarLength:
    """How long the bars of a channel last, as the name of its *topic* says."""

    def __init__(self, topic: str) -> None:
        found = _BAR.search(topic)
        assert found is not None, topic
        least, most = _LENGTHS[found[2]]
        count = int(found[1])
        self._least, self._most = 1000 * count * least, 1000 * count * most

    def follows(self, older_ms: int, newer_ms: int) -> bool:
        """Whether the bar of the older start ends where the newer one begins."""
        return self._least <= newer_ms - older_ms <= self._most


class CandleContinuity(Continuity[CandleData]):
    """The continuity of a stream of candles, whose open bar is pushed at each change.

    A bar is cumulative, so the same start after an interruption misses nothing, and a
    later start misses nothing if the bar before it was closed and ends there. The last
    word on a bar may come after the first push of the next bar: it closes the bar just
    before the newest one, once. Other bars that start before the newest one, and a push
    that would open a closed bar again, are counted and left out.
    """

    items = "candles"

    def __init__(self, counts: Counter[str], length: BarLength) -> None:
        super().__init__(counts)
        self._length = length
        # The bar just before the newest one.
        self._before: CandleData | None = None
        self._received = -math.inf

    @property
    def last(self) -> str | None:
        """The start of the newest bar."""
        return None if self.newest is None else self._first(self.newest)

    def _first(self, data: CandleData) -> str:
        return iso(data.start_ms)

    def _take(
        self, data: CandleData, at: Receipt, first: bool
    ) -> Iterator[Told[CandleData]]:
        newest = self.newest
        if newest is not None and data.start_ms < newest.start_ms:
            if not self._is_last_word(data, newest):
                self.counts["skipped old"] += 1
                return
            self._before = data
            yield News(data, at)
            return
        if newest is not None and data.start_ms > newest.start_ms:
            self._before = newest
        elif newest is not None and newest.closed and not data.closed:
            self.counts["skipped old"] += 1
            return
        self._received = at.now
        yield from self._news(data, at, False)

    def _is_last_word(self, data: CandleData, newest: CandleData) -> bool:
        before = self._before
        if not data.closed:
            return False
        if before is not None and data.start_ms <= before.start_ms:
            return data.start_ms == before.start_ms and not before.closed
        return self._length.follows(data.start_ms, newest.start_ms)

    def _join(self, news: News[CandleData]) -> Iterator[Told[CandleData]]:
        data, newest = news.data, self.newest
        if newest is not None and data.start_ms == newest.start_ms:
            # The second stream goes on from a bar that this one has.
            self.owed = None
            closes = data.closed and not newest.closed
            if data == newest or (news.at.now <= self._received and not closes):
                self.counts["skipped repeat"] += 1
                return
        yield from self._take(data, news.at, False)

    def _doubt(self, data: CandleData, is_contradicted: bool) -> Cause | None:
        newest = self.newest
        if newest is None or data.start_ms == newest.start_ms:
            return None
        follows = self._length.follows(newest.start_ms, data.start_ms)
        return None if newest.closed and (self._vouched or follows) else self.owed
