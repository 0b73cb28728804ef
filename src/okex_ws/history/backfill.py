"""`GapFill`: fetches the items that are missing in one hole of a channel. Pure.

A hole is a place in a channel's items where items may be missing. A `Search` fills it
from its newer end back. An answer can lack items at its ends: a limit or the venue's
memory cut off the older part, or the servers for the past do not know the newest items
yet. Each query therefore includes the items at both ends of the hole. The proof that
none is missing needs trade ids that grow, and not consecutive ones, because the
exchange does not promise those. The candle at the newer end is still open and in no
list; the newest candle of the list must end where the open one begins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from ..base.clock import utc
from ..channels.continuity import BarLength
from ..channels.convert import iso
from ..channels.known_trades import trade_number
from ..model.items import Candle, Trade
from .search import Search
from .source import History

# The most items that one query asks for: few, so that holes of other channels have
# their turn in between.
CHUNK = 500
# The most items of one outage that are fetched.
MOST_MISSED = 10_000

T = TypeVar("T", Trade, Candle)


class Missing(NamedTuple):
    """A place where items are, or may be, missing: the two ids of a `Gap`."""

    after: str | None
    before: str | None


class Series(ABC, Generic[T]):
    """How the items of one channel are ordered, named and fetched.

    A series is the ordered items of one channel: single trades, or candles of one
    length. `GapJoin` and `GapFill` work on any series. A key is the item's place in it,
    a whole number that grows with time. The history worker's thread calls `ask`, which
    blocks and raises what the source of past data raises; any thread may call the other
    methods, which are pure.
    """

    kind: type[T]

    @abstractmethod
    def key(self, item: T) -> int:
        """The place of *item* in the series; -1 if it has none."""

    @abstractmethod
    def name(self, key: int) -> str:
        """How a `Gap` names the item of this *key*."""

    @abstractmethod
    def ask(
        self, history: History, after: int | None, before: int | None, limit: int
    ) -> Sequence[T]:
        """Fetch the newest *limit* items from *after* to *before*, both included."""

    @abstractmethod
    def follows(self, older: int, newer: int) -> bool:
        """Whether no item can be between these two keys."""

    def is_past(self, item: T) -> bool:
        """Whether *item* of an answer counts as past; an open candle does not."""
        return True

    def is_final(self, item: T) -> bool:
        """Whether *item* will never be replaced by a newer version of itself."""
        return True

    def same(self, item: T, other: T) -> bool:
        """Whether two items of the same key are one item of the exchange."""
        return True

    def touch(self, older: T, newer: T) -> bool:
        """Whether nothing is missing between two items of the series."""
        first, last = self.key(older), self.key(newer)
        if first == last:
            return first != -1 and self.same(older, newer)
        return self.follows(first, last) and self.is_final(older)


class TradeSeries(Series[Trade]):
    """The single trades of one instrument, ordered by their ids."""

    kind = Trade

    def __init__(self, instrument_id: str, market: str) -> None:
        self._whose = instrument_id, market

    def key(self, item: Trade) -> int:
        """The id as a number, or -1 if it is not one."""
        number = trade_number(item.id)
        return -1 if number is None else number

    def name(self, key: int) -> str:
        """The id as text."""
        return str(key)

    def ask(
        self, history: History, after: int | None, before: int | None, limit: int
    ) -> Sequence[Trade]:
        """Fetch trades by ids one further out: `History` excludes its bounds."""
        return history.trades(
            *self._whose,
            after_id=None if after is None else str(after - 1),
            before_id=None if before is None else str(before + 1),
            limit=limit,
        )

    def follows(self, older: int, newer: int) -> bool:
        """Whether there is no whole number between the two ids."""
        return newer == older + 1

    def same(self, item: Trade, other: Trade) -> bool:
        """Whether all that the exchange said is equal: ids may begin anew."""
        return _said(item) == _said(other)


def _said(trade: Trade) -> tuple[object, ...]:
    of_ids = trade.id, trade.first_id, trade.count
    return (*of_ids, trade.price, trade.size, trade.side, trade.timestamp)


class CandleSeries(Series[Candle]):
    """The candles of one channel, ordered by their starts in epoch milliseconds."""

    kind = Candle

    def __init__(self, instrument_id: str, market: str, topic: str) -> None:
        self._whose = instrument_id, market, topic
        self._length = BarLength(topic)

    def key(self, item: Candle) -> int:
        """The start in epoch milliseconds."""
        return round(item.start.timestamp() * 1000)

    def name(self, key: int) -> str:
        """The start as the exchange writes it."""
        return iso(key)

    def ask(
        self, history: History, after: int | None, before: int | None, limit: int
    ) -> Sequence[Candle]:
        """Fetch candles by starts 1 ms further out: `History` excludes its bounds."""
        return history.candles(
            *self._whose,
            after=None if after is None else utc((after - 1) / 1000),
            before=None if before is None else utc((before + 1) / 1000),
            limit=limit,
        )

    def follows(self, older: int, newer: int) -> bool:
        """Whether the older candle ends where the newer one begins."""
        return self._length.follows(older, newer)

    def is_past(self, item: Candle) -> bool:
        """Whether the candle is not open; the stream delivers an open one."""
        return item.closed is not False

    def is_final(self, item: Candle) -> bool:
        """Whether the candle is closed; a fetched candle is."""
        return item.closed is True or item.backfilled


class GapFill(Generic[T]):
    """The search for the trades or candles that are missing in one hole of a series.

    *after* is the last item in front of the hole, *before* the first item behind it.
    The exchange answers queries from the newest item backwards, so the search begins at
    *before*, or at the newest item there is if *before* is ``None``. It ends at
    *after*, and after 10,000 items at the latest; if *after* is ``None``, it ends once
    *wanted* items were found.

    The history worker's thread calls `ask`, which runs one query. The threads of the
    connections call the rest, one at a time, because `JoinedView` has a lock for
    them: `take` adds an answer, until `done`; then `result` gives the items, with a
    `Missing` wherever the answers do not prove that no item is left out.
    """

    def __init__(
        self, series: Series[T], after: T | None, before: T | None, wanted: int
    ) -> None:
        self._series: Series[T] = series
        # The last word on this item may come meanwhile.
        self.after: T | None = after
        self._bottom = None if after is None else series.key(after)
        self._behind = None if before is None else series.key(before)
        self._wanted = wanted if after is None else MOST_MISSED
        # The search looks for the item at the older end, too.
        bound = None if self._bottom is None else self._bottom - 1
        self._search: Search[T] = Search(
            bound,
            self._behind,
            self._wanted,
            known=before,
            same=series.same,
            follows=series.follows,
        )
        self.done = False
        # Why items between those that were found could not be read.
        self._left_out: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether the fetch began at the newest item there was, with no *before*."""
        return self._behind is None

    @property
    def is_possible(self) -> bool:
        """Whether the two ends are known to be in order."""
        bottom, behind = self._bottom, self._behind
        if bottom is None or behind is None:
            return bottom != -1 and behind != -1
        return 0 <= bottom < behind

    def ask(self, history: History) -> Sequence[T]:
        """Run the next query on *history*; any thread may do it."""
        search, series = self._search, self._series
        limit = min(CHUNK, search.missing) + 2
        # Read on this thread: an answer that is an iterator may block, too.
        given = series.ask(history, self._bottom, search.cursor, limit)
        answer = given if isinstance(given, tuple) else tuple(given)
        for item in answer:
            if not isinstance(item, series.kind):
                wanted, got = series.kind.__name__, type(item).__name__
                raise TypeError(f"a past of {wanted}s, got a {got}")
        return answer

    def take(self, answer: Sequence[T], last: bool) -> bool:
        """Add an answer to what was found; False if the query is to be run again.

        It is run again if the answer is not joined to what was found, or is empty. The
        *last* answer is used as it is; if it is not joined, a hole stays after it.
        """
        series, search = self._series, self._search
        key: Callable[[T], int] = series.key
        # What could not be read is missing behind the item before it. Before the first
        # item nothing is joined yet.
        left_out = getattr(answer, "left_out", ())
        holes = {key(answer[at - 1]): str(why) for at, why in left_out if at}
        # An item without a place is left out.
        past = filter(series.is_past, answer)
        page = {key(item): item for item in past if key(item) >= 0}
        led = search.take(page, anyway=last, holes=holes)
        if led:
            self._left_out += holes.values()
        self.done = search.is_done or search.is_end or (last and not led)
        return led or self.done

    @property
    def why(self) -> str:
        """Why the fetch did not reach its older end, if no error is the reason."""
        if self._left_out:
            return self._left_out[0]
        missing, wanted = self._search.missing, self._wanted
        if self.after is None:
            return f"the venue gave {wanted - max(missing, 0)} of {wanted}"
        if missing <= 0:
            return f"more than {wanted} were missed"
        return "the venue does not give them all"

    def result(self) -> Iterator[T | Missing]:
        """The items found, oldest first, and a `Missing` where some are missing."""
        key: Callable[[T], int] = self._series.key
        found: list[tuple[T, bool]] = self._search.oldest_first()
        if self.after is None:
            # No more items of the past than were asked for.
            found = found[-self._wanted :]
        keys = [*(key(item) for item, _ in found), self._behind]
        reached = bool(found) and self._is_after(found[0][0])
        if not reached and (self.after is not None or len(found) < self._wanted):
            yield self._missing(self._bottom, keys[0])
        for (item, joined), behind in zip(found, keys[1:], strict=True):
            if not self._is_after(item, final=True):
                yield item
            if not joined:
                yield self._missing(key(item), behind)

    def _is_after(self, item: T, final: bool = False) -> bool:
        """Whether *item* is the one in front of the hole; with *final*, its last word.

        Another trade of the same id shows that the ids began anew.
        """
        after, series = self.after, self._series
        if after is None or series.key(item) != self._bottom:
            return False
        return series.same(item, after) and (not final or series.is_final(after))

    def _missing(self, after: int | None, before: int | None) -> Missing:
        return Missing(self._name(after), self._name(before))

    def _name(self, key: int | None) -> str | None:
        return None if key is None or key < 0 else self._series.name(key)
