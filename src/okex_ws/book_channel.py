"""A whole book: merged and proven message by message, and withdrawn when it is not."""

from __future__ import annotations

from .book import BookBuilder
from .channel import Channel, DepthChannel
from .items import make_book_update
from .messages import Item, State
from .protocols import Wire
from .trust import Link, Published
from .wire import DepthData, Name, Push


class BookChannel(DepthChannel):
    """A book that is snapshot once, and then changed by every push."""

    chained = True

    def __init__(self, wire: Wire, name: Name) -> None:
        super().__init__(wire, name)
        self._read_book = wire.book
        self._builder = BookBuilder()
        self._version = 0

    def subscribed(self, link: Link, now: float) -> None:
        """The exchange acknowledged the channel: a new stream, with a new snapshot."""
        self._builder.clear()
        super().subscribed(link, now)

    def _sync(self, cause: str, link: Link) -> None:
        # Whoever was told that it is resynchronised hears no more until it is.
        if self.shown.state is State.RESYNCING:
            self.shown = self.shown._replace(link=link)
        else:
            super()._sync(cause, link)

    def go_on_as(self, twin: Channel, proven: bool) -> None:
        """The book is the twin's; to an iterator it begins anew, with a snapshot."""
        assert isinstance(twin, BookChannel)
        if twin.shown.state is not State.LIVE:
            self._is_missing(twin.shown.cause)
        super().go_on_as(twin, proven)
        self._builder = twin._builder
        self._version += 1
        if self.shown.state is State.LIVE:
            data = self.shown.depth._replace(version=self._version)
            self.shown = self.shown._replace(data=data)

    def spoiled(self, cause: str, now: float) -> None:
        """A message of this book was lost: it is not the exchange's any more."""
        self._builder.clear()
        if self.acknowledged and self.shown.state in (State.LIVE, State.SYNCING):
            self._is_missing(cause)
            self._resync(cause, now)

    def lost(self, cause: str, now: float) -> None:
        """The connection is gone, and with it all that came over it."""
        self._is_missing(cause)
        super().lost(cause, now)

    def _is_missing(self, cause: str) -> None:
        """Tell those who add up updates: beside another depth no state may change."""
        if self.shown.state is State.LIVE:
            seq = self.shown.depth.seq
            self._missing(None if seq is None else str(seq), None, cause)

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Merge, prove and publish. `WireError` and `BookError` leave no book."""
        for element in push.elements:
            change = self._read_book(element, push.action, push.exact)
            if not (change.whole or self._builder.stands):
                # Of the stream before, or ahead of the snapshot.
                self.counts["skipped before the snapshot"] += 1
                continue
            bids, asks = self._builder.take(change)
            self._version += 1
            data = DepthData(
                bids, asks, change.time_ms, change.seq, change, self._version
            )
            self._show(data, first, link, now, wall, push.text)
        return self._builder.stands

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """A `BookUpdate`: the change alone for who has the version before it."""
        follows = before is not None and (
            before.depth.version == shown.depth.version - 1
        )
        return make_book_update(self.instrument_id, self.topic, shown, follows)
