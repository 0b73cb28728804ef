"""What a script reads of one channel, apart from what writes it."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Protocol, TypeVar

from ..base.errors import OkexWSError
from ..base.state import Cause
from ..model.items import Item, Trade
from ..protocol.messages import ChannelName, FundingData, TickerData
from ..trust.reading import ServingEntry
from ..trust.verdict import Published
from .continuity import KEPT
from .convert import make_book_update, make_depth, make_funding, make_ticker
from .known_trades import UnparsedTrade

T = TypeVar("T")


def copied(items: deque[T]) -> tuple[T, ...]:
    """A copy of *items*, to which another thread may append meanwhile."""
    while True:
        try:
            return tuple(items)
        except RuntimeError:  # another thread appended during the copy: try again
            continue


class Copy(Protocol):
    """What copies the values of a reading for another process: a slot writer."""

    def flush(self, now: float) -> None:
        """Copy the present value. Any thread may call."""
        ...

    def is_read(self, current: Published) -> bool:
        """Whether a reader of the copy of *current* has parsed it.

        If a reader could not, this process tries. Any thread may call.
        """
        ...


class Reading:
    """One channel of a feed, as subscriptions read it: its present value and its items.

    The exchange sends a stream once over a connection, so all subscriptions that want
    it share one reading. *entry* leads to the `Channel` that writes the values, on one
    connection; a handover replaces it by the channel on the new connection, in one
    store. The register of the pool makes readings; any thread may read. *error* is the
    exchange's final refusal. *halt* is why the exchange does not trade the instrument
    at present, or ``None``: until it is, no value is live. *items* are the newest of a
    series, newest last. Each value is copied to *copies* before it is told.
    """

    entry: ServingEntry

    def __init__(self, name: ChannelName) -> None:
        self.described = name
        self.name = name.key
        self.topic = name.topic
        self.instrument_id = name.instrument_id
        self.kind = name.kind
        self.levels = name.levels
        self.error: OkexWSError | None = None
        self.halt: Cause | None = None
        self.counts: Counter[str] = Counter()
        self.kept: deque[Any] = deque(maxlen=KEPT)
        # Whether a script has read the items since the channel last asked.
        self.was_read = False
        self.copies: tuple[Copy, ...] = ()

    @property
    def current(self) -> Published:
        """The present value."""
        current: Published = self.entry.channel.current
        return current

    @property
    def value(self) -> Published:
        """The present value, with the epoch that a script is given."""
        return self.current._replace(epoch=self.epoch)

    @property
    def acknowledged(self) -> bool:
        """Whether the exchange acknowledged the channel."""
        acknowledged: bool = self.entry.channel.acknowledged
        return acknowledged

    @property
    def epoch(self) -> int:
        """The epoch that a script is given, at this moment."""
        entry = self.entry
        current: Published = entry.channel.current
        lease = None if current.era is None else current.era.lease
        lapses = 0 if lease is None else lease.lapses
        return entry.base + current.epoch + lapses

    @property
    def is_depth(self) -> bool:
        """Whether each value is a depth: a book's best levels, or a whole book."""
        return self.kind in ("depth", "book")

    @property
    def is_series(self) -> bool:
        """Whether every item counts, and not the newest value alone."""
        return self.kind in ("trade", "candle", "data")

    @property
    def items(self) -> tuple[Any, ...]:
        """The newest items of a series, newest last. Any thread may read them.

        Trades that were kept unparsed are parsed here; one that cannot be read is left
        out.
        """
        kept = copied(self.kept)
        if self.kind != "trade":
            return kept
        # A loop of its own, because a script may read all trades again and again.
        made = [e if type(e) is Trade else e.made or e.trade for e in kept]
        self.was_read = True
        return tuple(filter(None, made))

    @property
    def newest(self) -> Any:
        """The newest item of a series, or ``None``. Any thread may read it."""
        made = map(_made, reversed(copied(self.kept)))
        return next((each for each in made if each is not None), None)

    def item(
        self, value: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """Make a script's item of *value*, a ``LIVE`` one; ``None`` without data.

        *before* is the value of which the script received the item before, if any. Of
        a whole book the item is the change since *before*, if that is the version
        before, else the book.
        """
        if self.is_series:
            newest = self.newest
            good = newest is not None and newest.epoch == value.epoch
            return newest if good else None
        if self.kind == "depth":
            return make_depth(self.instrument_id, self.topic, value, levels)
        if self.kind == "book":
            follows = (
                before is not None
                and before.channel is value.channel
                and before.depth.version == value.depth.version - 1
            )
            return make_book_update(self.instrument_id, self.topic, value, follows)
        data = value.parsed
        if isinstance(data, TickerData):
            return make_ticker(self.instrument_id, value)
        if isinstance(data, FundingData):
            return make_funding(self.instrument_id, value)
        return None


def _made(item: Any) -> Any:
    """*item*, or the trade of an `UnparsedTrade`; ``None`` if it cannot be read."""
    return item.trade if isinstance(item, UnparsedTrade) else item
