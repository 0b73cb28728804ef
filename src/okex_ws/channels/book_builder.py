"""Builds one whole book from its messages, and proves each of them."""

from __future__ import annotations

from ..base.errors import BookError, ChecksumMismatch, SequenceGap
from ..base.state import CauseCode
from ..model.book import MergedSide, Side, check_rpi, checksum_of
from ..model.numbers import SIGNED
from ..protocol.messages import BookData


class BookBuilder:
    """Merges the messages of one book channel into a book, and proves each message.

    A message is proven by its sequence number, which has to follow the last one, or by
    the checksum of the merged book. If the proof fails, the builder drops the book and
    raises `BookError`: the next message then has to be a whole book. One thread alone
    uses a builder. The sides that `take` returns are tuples, which never change, so
    that other threads may read them.

    The book of a *spread* may have prices of 0 and below, its levels have three items,
    and its messages have to prove themselves by number and checksum.
    """

    def __init__(self, spread: bool = False) -> None:
        self._spread = spread
        self.clear()

    def clear(self) -> None:
        """Drop the book: the next message has to be a whole book."""
        if self._spread:
            self._bids = MergedSide(-1.0, (), SIGNED, 3)
            self._asks = MergedSide(1.0, (), SIGNED, 3)
        else:
            self._bids, self._asks = MergedSide(-1.0), MergedSide(1.0)
        self._seq: int | None = None
        # Whether a whole book came, and every message after it was proven.
        self.is_proven = False

    def take(self, data: BookData) -> tuple[Side, Side]:
        """Merge and prove one message; returns bids and asks of the next version.

        Raises:
            BookError: the proof failed, and the book is dropped.
        """
        # All seven at once take the time of three by name.
        whole, bids, asks, _, seq, prev_seq, checksum = data
        try:
            if whole:
                self.clear()
            elif not self.is_proven:
                raise BookError("an update of a book that is not held")
            # The ids are only compared for equality: they grow by steps of any size, an
            # idle book is repeated with the same id, and after a maintenance of the
            # exchange the ids begin again below the last one.
            elif seq is not None and (prev_seq is None or prev_seq != self._seq):
                raise SequenceGap(self._seq, prev_seq)
            if bids:
                self._bids.merge(bids)
            if asks:
                self._asks.merge(asks)
            # The checksum is retired, but for spreads: v5 of 2026 sends 0 beside its
            # sequence, or none.
            if seq is None or checksum or self._spread:
                self._check_sum(checksum)
        except BookError:
            self.clear()
            raise
        except (TypeError, ValueError) as error:
            self.clear()
            raise BookError(error, cause_code=CauseCode.UNREADABLE) from error
        self._seq, self.is_proven = seq, True
        return self._bids.version, self._asks.version

    def _check_sum(self, expected: int | None) -> None:
        if expected is None:
            raise BookError("neither a checksum nor a sequence")
        actual = checksum_of(self._bids.top(), self._asks.top())
        if actual != expected:
            raise ChecksumMismatch(expected, actual)


class RpiBookBuilder(BookBuilder):
    """Builds the book of ``books-rpi``, whose rows it checks before it merges them.

    A row has the whole size and the size without RPI, which cannot be more.
    """

    def take(self, data: BookData) -> tuple[Side, Side]:
        """Check, merge and prove one message; as `BookBuilder.take`."""
        try:
            check_rpi(data.bids)
            check_rpi(data.asks)
        except (TypeError, ValueError) as error:
            self.clear()
            raise BookError(error, cause_code=CauseCode.UNREADABLE) from error
        return super().take(data)
