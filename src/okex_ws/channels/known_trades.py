"""The trades by which a stream recognises a repeat: parsed, or kept as they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from ..model.items import Trade
from ..protocol.messages import TradeData, TradeStamp
from ..protocol.unparsed import Keeping, Unparsed
from .convert import make_trade

# By how many trades a repeat is recognised: twice as many as are kept for reads. A
# standby's kept trades may be as much older than the channel's as they are many.
KNOWN = 2000
# How many bytes of unparsed trades one channel keeps at most. 2,000 usual pushes have
# fewer.
MOST_KEPT_BYTES = 512 * 1024


def trade_number(trade_id: str) -> int | None:
    """The id of a trade as a number, or ``None`` if it is not one."""
    decimal = trade_id.isascii() and trade_id.isdecimal() and len(trade_id) <= 20
    return int(trade_id) if decimal else None


class KeepingTrades(Keeping, Protocol):
    """The channel that keeps trades unparsed."""

    instrument_id: str


class UnparsedTrade(Unparsed):
    """The push of one trade, as bytes: the first read makes the `Trade` of it.

    *id* and *count* were sliced out of the bytes; the trade has the same, else it is
    refused. The push was received at *now* (monotonic) and *wall* (epoch seconds), in
    *epoch*. Any thread may read; two that read at the same time may both make the
    trade, and the trades are equal.
    """

    __slots__ = ("count", "epoch", "id", "made", "name", "now", "wall")

    def __init__(
        self,
        channel: KeepingTrades,
        said: bytes,
        stamp: TradeStamp,
        now: float,
        wall: float,
        epoch: int,
    ) -> None:
        # Not by the base class: each push of a busy channel calls this.
        self._channel: KeepingTrades = channel
        self.said = said
        self.result, self.is_parsed = None, False
        self.id, self.seq, self.count = stamp
        self.time_ms = 0
        self.name, self.epoch = channel.instrument_id, epoch
        self.now, self.wall = now, wall
        # The trade, once a read has made it.
        self.made: Trade | None = None

    @property
    def trade(self) -> Trade | None:
        """The trade; ``None`` if the push cannot be read."""
        made = self.made
        if made is None and self.fault is None:
            name, wall, epoch = self.name, self.wall, self.epoch
            made = self.made = make_trade(name, self.data, wall, epoch, False)
        return made

    def again(self, said: bytes, data: TradeData) -> UnparsedTrade:
        """Another push of the channel, *said*, which may be that of *data*."""
        stamp = data.id, 0, data.count
        return UnparsedTrade(self._channel, said, stamp, 0.0, 0.0, 0)

    def is_good(self) -> bool:
        """Whether the push can be read, by a second try too.

        The connection's thread calls it. If not, the channel hears of it.
        """
        if self.verify() is None:
            return True
        self._channel.doubt()
        return False


class KnownTrades:
    """The newest 2,000 trades of a stream, parsed or unparsed. Repeats are among them.

    An unparsed trade is parsed here only to be compared with one of the same id. Only
    the connection's thread calls. An unparsed trade that leaves unread is counted in
    *counts*, under the name *unread*.
    """

    def __init__(self, counts: Counter[str], unread: str) -> None:
        self._counts, self._unread = counts, unread
        # In the order of their receipt: of a parsed trade its id, by the hash of all
        # that the exchange said of it; an unparsed one by its id. Of that, its hash is
        # left once it was read, and its bytes once no script can read it any more. 61
        # bits stand for equality in every field: the trades themselves would take some
        # hundred bytes more each, and every garbage collection looks at them.
        self._trades: dict[int | str, str | UnparsedTrade | int | bytes] = {}
        self._bytes = 0
        # The last one of which only the bytes are known.
        self._released: UnparsedTrade | None = None
        # No known trade has a higher number; ``None`` if that has to be found out. And
        # how many trades came since the one that has it.
        self._highest: int | None = -1
        self._since = 0

    def __contains__(self, data: TradeData) -> bool:
        """Whether a trade is known that equals *data* in every field."""
        key = hash(data)
        if key in self._trades:
            return True
        kept = self._trades.get(data.id)
        if isinstance(kept, bytes) and self._released is not None:
            kept = self._released.again(kept, data)
        if isinstance(kept, UnparsedTrade):
            return kept.is_good() and bool(kept.data == data)
        return kept == key

    def ids(self) -> Iterator[str]:
        """The ids of all known trades; not of one that was found to be none."""
        for key, kept in self._trades.items():
            if isinstance(key, int):
                yield str(kept)
            elif not (isinstance(kept, UnparsedTrade) and kept.is_refused):
                yield key

    def add(self, data: TradeData) -> None:
        """Know the parsed trade *data*."""
        number, highest = trade_number(data.id), self._highest
        if number is not None and highest is not None and number >= highest:
            self._highest, self._since = number, 0
        else:
            self._since += 1
            if self._since > KNOWN:
                self._highest = None
        self._trades[hash(data)] = data.id
        if len(self._trades) > KNOWN:
            self._forget_oldest()

    def keep(self, kept: UnparsedTrade, number: int) -> bool:
        """Know *kept*, unless its ids do not all lie above those of the known trades.

        *number* is that of its last id. False if it was not added, for that reason or
        because there are too many bytes already: it has to be parsed.
        """
        trades, highest = self._trades, self._highest
        if highest is None:
            highest = self._highest = self._find_highest()
        kept_bytes = self._bytes + len(kept.said)
        if number - kept.count < highest or kept_bytes > MOST_KEPT_BYTES:
            return False
        self._highest, self._since, self._bytes = number, 0, kept_bytes
        trades[kept.id] = kept
        if len(trades) > KNOWN:
            self._forget_oldest()
        return True

    def release(self, kept: UnparsedTrade) -> None:
        """Know *kept*, which was read or cannot be any more, by as little as needed."""
        if self._trades.get(kept.id) is not kept:
            return
        if kept.is_parsed:
            self._trades[kept.id] = hash(kept.data)
            self._bytes -= len(kept.said)
        elif not kept.is_refused:
            self._trades[kept.id], self._released = kept.said, kept

    def _find_highest(self) -> int:
        self._since = 0
        numbers = map(trade_number, self.ids())
        return max((each for each in numbers if each is not None), default=-1)

    def drop(self, kept: UnparsedTrade) -> None:
        """Do not know *kept* any more, which cannot be read."""
        if self._trades.get(kept.id) is kept:
            del self._trades[kept.id]
            self._bytes -= len(kept.said)
            self._highest = None

    def _forget_oldest(self) -> None:
        kept = self._trades.pop(next(iter(self._trades)))
        said, read = kept, False
        if isinstance(kept, UnparsedTrade):
            said, read = kept.said, kept.result is not None
        if isinstance(said, bytes):
            self._bytes -= len(said)
            if not read:
                self._counts[self._unread] += 1

    def refused(self) -> list[UnparsedTrade]:
        """The unparsed trades that a thread could not read, in order."""
        kept = self._trades.values()
        return [e for e in kept if isinstance(e, UnparsedTrade) and e.is_refused]
