"""A whole book: each message is merged and proven, and a failed proof withdraws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..base.errors import BookError
from ..base.state import Cause, CauseCode, State
from ..model.book import RPI
from ..model.items import PastBook
from ..protocol.interface import WireProtocol
from ..protocol.messages import BookData, ChannelName, DepthData, Push
from ..trust.lease import Era
from .base import Channel
from .book_builder import BookBuilder, RpiBookBuilder
from .book_snapshot import FETCHES, FIRST_WAIT, BookMessage, SnapshotJoin
from .depth import DepthChannel
from .reading import Reading


class BookChannel(DepthChannel):
    """A whole book: the first push is a snapshot, and every later push changes it.

    One lost or wrong push spoils every later book, so each push is proven by its
    sequence number or checksum before it is published. If a proof fails, `push` raises
    `BookError` and the book is dropped; the connection then calls `invalidated`, which
    withdraws the value and reports a `Gap`, and subscribes the channel again for a new
    snapshot. If the updates come without a snapshot, *fetch*, a callable that the
    connection sets, fetches a book over REST: see `SnapshotJoin`.
    """

    incremental = True

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self._read_book = self._wire.book
        self._builder = (
            RpiBookBuilder() if name.topic == RPI else BookBuilder(name.is_spread)
        )
        self._version = 0
        # The updates that wait for a book from REST, and the function that has the book
        # fetched after so many seconds. It returns False if no book can be fetched.
        self._snapshot_join: SnapshotJoin | None = None
        self.fetch: Callable[[float], bool] = lambda wait: False

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel: it will send a new snapshot."""
        self._clear()
        super().subscribed(era, now)

    def _clear(self) -> None:
        self._builder.clear()
        self._snapshot_join = None

    def _sync(self, cause: Cause, era: Era) -> None:
        # A channel that resynchronises keeps that state until the new snapshot.
        if self.current.state is State.RESYNCING and self.current.era is era:
            return
        super()._sync(cause, era)

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue with this connection's book; an iterator receives it as a snapshot.

        If the book that scripts had is not continued, they are told of a `Gap`.
        """
        super().take_over(before, proven)
        if before.current.state is State.LIVE and self.current.state is not State.LIVE:
            seq = before.current.depth.seq
            after = None if seq is None else str(seq)
            text = "updates as a connection took over"
            self._missing(after, None, self._cause(CauseCode.HANDOVER, text))

    def invalidated(self, cause: Cause, now: float) -> None:
        """A message of this book may be lost: withdraw the book and resynchronise."""
        self._clear()
        if self.acknowledged and self.current.state in (State.LIVE, State.SYNCING):
            self._is_missing(cause)
            self._resync(cause, now)

    def lost(self, cause: Cause, now: float) -> None:
        """The connection ended: withdraw the book, and report a `Gap`."""
        self._is_missing(replace(cause, code=CauseCode.OUTAGE))
        super().lost(cause, now)

    def withheld(self, state: State, cause: Cause, now: float) -> None:
        """Withdraw the book, and report a `Gap`."""
        self._is_missing(replace(cause, code=CauseCode.OUTAGE))
        self._clear()
        super().withheld(state, cause, now)

    def _is_missing(self, cause: Cause) -> None:
        """If the book is live, report a `Gap` to scripts that add up its updates.

        A state change may not tell them: a subscription with another depth stays live.
        """
        if self.current.state is State.LIVE:
            seq = self.current.depth.seq
            self._missing(None if seq is None else str(seq), None, cause)

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Merge, prove and publish. `WireError` and `BookError` leave no book."""
        for element in push.elements:
            change = self._read_book(element, push.action, push.exact)
            if change.whole:
                self._snapshot_join = None
            if change.whole or self._builder.is_proven:
                self._take(change, first, era, now, wall, push.text)
            elif not self._may_wait(BookMessage(change, push.text)):
                # An update of the stream before, or one that precedes the snapshot.
                self.counts["skipped before the snapshot"] += 1
            else:
                self._join(era, now, wall)
        return self._builder.is_proven

    def _take(
        self,
        change: BookData,
        first: bool,
        era: Era,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        bids, asks = self._builder.take(change)
        self._version += 1
        data = DepthData(bids, asks, change.time_ms, change.seq, change, self._version)
        self._show(data, first, era, now, wall, text)

    # --- A stream without a snapshot --------------------------------------------------

    def _may_wait(self, message: BookMessage) -> bool:
        """Keep *message* until a book is fetched; False if no book can be fetched."""
        if self._snapshot_join is None:
            # REST gives the book of the channel "depth", and its sequence number. The
            # books of other channels may hold other orders under the same numbers.
            proven = message.change.prev_seq is not None and self.topic == "depth"
            if not (proven and self.fetch(0.0)):
                return False
            self._snapshot_join = SnapshotJoin()
        self._snapshot_join.add(message)
        return True

    def fetched(
        self, book: PastBook | Exception, era: Era, now: float, wall: float
    ) -> bool:
        """Use *book*, which was fetched, or the error of the attempt.

        False if the channel is not live yet. `BookError` leaves no book.
        """
        snapshot_join = self._snapshot_join
        if snapshot_join is None:
            return False
        if isinstance(book, Exception):
            snapshot_join.fetches += 1
        else:
            snapshot_join.fetched(book)
        if snapshot_join.is_behind:
            if snapshot_join.fetches >= FETCHES:
                why = book if isinstance(book, Exception) else "each was too old"
                sentence = f"no snapshot came, and none could be fetched: {why}"
                raise BookError(sentence, cause_code=CauseCode.SNAPSHOT)
            self.fetch(FIRST_WAIT * 2.0 ** (snapshot_join.fetches - 1))
            return False
        return self._join(era, now, wall)

    def _join(self, era: Era, now: float, wall: float) -> bool:
        assert self._snapshot_join is not None
        steps = self._snapshot_join.joined()
        if not steps:
            return False
        self._snapshot_join, (whole, *rest) = None, steps
        if rest:
            # The exchange pushed no such book: the first version has the first update.
            self._builder.take(whole.change)
        for change, text in rest or steps:
            self._take(change, True, era, now, wall, text)
        return True
