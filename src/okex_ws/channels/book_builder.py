"""One whole book as its messages come, and the proof of each of them."""

from __future__ import annotations

from ..base.errors import BookError, ChecksumMismatch, SequenceGap
from ..model.book import MergedSide, Side, checksum_of
from ..protocol.messages import BookData


class BookBuilder:
    """The book of one channel as its messages come, and what proves each of them.

    For one thread. What it gives out is made of tuples and never changes.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Hold nothing: the next message has to be a whole book."""
        self._bids, self._asks = MergedSide(-1.0), MergedSide(1.0)
        self._seq: int | None = None
        # Whether a whole book came, and everything after it was proven.
        self.is_proven = False

    def take(self, data: BookData) -> tuple[Side, Side]:
        """Merge and prove one message; the sides of the next version.

        Raises:
            BookError: the proof failed, and nothing is held any more.
        """
        self.merge(data)
        return self._bids.version(), self._asks.version()

    def merge(self, data: BookData) -> None:
        """`take` without the version; the hot path of every book."""
        seq = data.seq
        try:
            if data.whole:
                self._bids, self._asks = MergedSide(-1.0), MergedSide(1.0)
            elif not self.is_proven:
                raise BookError("an update of a book that is not held")
            # Only identity counts: the steps are of any size, an idle book repeats
            # itself with the same id, and after a maintenance the ids begin anew, below
            # the last.
            elif seq is not None and (
                data.prev_seq is None or data.prev_seq != self._seq
            ):
                raise SequenceGap(self._seq, data.prev_seq)
            if data.bids:
                self._bids.merge(data.bids)
            if data.asks:
                self._asks.merge(data.asks)
            # Retired: v5 of 2026 sends a checksum of 0 beside its sequence, or none.
            if seq is None or data.checksum:
                self._check_sum(data.checksum)
        except BookError:
            self.clear()
            raise
        except (TypeError, ValueError) as error:
            self.clear()
            raise BookError(str(error)) from error
        self._seq, self.is_proven = seq, True

    def _check_sum(self, expected: int | None) -> None:
        if expected is None:
            raise BookError("neither a checksum nor a sequence")
        actual = checksum_of(self._bids.top(), self._asks.top())
        if actual != expected:
            raise ChecksumMismatch(expected, actual)
