"""A recorded market: read and proved when made, then moved by its caller. No clock.

Recorded frames are played byte for byte. Two things are made here from the recorded
book: ``depth5`` (v5: ``books5``), and the snapshot for a client that subscribes late.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import OrderBook
from ..wire import v3, v5_data
from ..wire.v3 import DEFAULT_FORMAT, V3Format
from ..wire.values import EncodedPush
from .capture_files import TEXTS, Frame, damage, read
from .instruments import SyntheticInstrument


@dataclass(slots=True)
class _Book:
    """The recorded book of one instrument, and its best levels as last published.

    `apply` raises ``ValueError`` if the book does not have its recorded checksum. Where
    that is 0 or missing, it raises if the message does not follow the one before.
    """

    channel: str
    best_levels: str
    frame: Frame  # the last one
    derives: bool
    book: OrderBook = field(default_factory=OrderBook)
    top: OrderBook | None = None
    said: EncodedPush | None = None

    @property
    def is_v5(self) -> bool:
        return isinstance(self.frame.push.frame, str)

    def apply(self, frame: Frame) -> None:
        element = frame.element
        self.book = self.book.apply(
            frame.action or "", element["bids"], element["asks"]
        )
        before, self.frame = self.frame.element.get("seqId"), frame
        retired = "seqId" in element and element.get("checksum", "0") == "0"
        follows = frame.action == "snapshot" or element.get("prevSeqId") == before
        if retired and not follows:
            raise ValueError(f"seqId {element['seqId']} does not follow {before}")
        if not retired and str(self.book.checksum()) != element["checksum"]:
            raise ValueError(
                f"the book has checksum {self.book.checksum()}, not"
                f" {element['checksum']}"
            )
        # A late subscriber's snapshot needs the time and, if there is one, ``seqId``.
        if not isinstance(element["ts" if self.is_v5 else "timestamp"], str):
            raise ValueError("a book without its time")
        int(element.get("seqId", 0))

    def derived_pushes(self, v3_format: V3Format) -> tuple[EncodedPush, ...]:
        """A push of the best five levels, if they changed since the last one."""
        if not self.derives:
            return ()
        top = self.book.top(5)
        if top == self.top:
            return ()
        self.top, frame = top, self.frame
        if self.is_v5:
            element = {**_sides(top), "ts": frame.element["ts"]}
            if frame.market != "spread":
                element["instId"] = frame.instrument_id
            self.said = v5_data.book(self.best_levels, None, element)
        else:
            self.said = v3_format.depth5(
                frame.market,
                frame.instrument_id,
                top.asks,
                top.bids,
                frame.element["timestamp"],
            )
        return (self.said,)

    def whole(self) -> EncodedPush:
        """The book as it stands, as a snapshot for a late subscriber."""
        sides, last = _sides(self.book), self.frame.element.get("checksum")
        checksum = {"checksum": 0 if last == "0" else self.book.checksum()}
        if self.is_v5:
            checksum = {} if last is None else checksum
            element = {**sides, "ts": self.frame.element["ts"], **checksum}
            if "seqId" in self.frame.element:
                element |= {"prevSeqId": -1, "seqId": int(self.frame.element["seqId"])}
            return v5_data.book(self.channel, "snapshot", element)
        named = {"instrument_id": self.frame.instrument_id}
        timestamp = {"timestamp": self.frame.element["timestamp"]}
        table = self.channel.partition(":")[0]
        return v3.push(table, {**named, **sides, **timestamp, **checksum}, "partial")


def _sides(book: OrderBook) -> dict[str, Any]:
    return {"asks": book.asks, "bids": book.bids}


class RecordedMarket:
    """A capture (recorded messages) as a market: it sends again what was recorded.

    It starts at the first `advance`, once for all clients. With *repeat* it starts
    again at its end, with the same trade ids; the snapshots at its beginning then
    replace the books. The constructor plays the capture once, and so proves that every
    book has the recorded checksums. It raises ``ValueError`` if one has not. The
    exchange's event loop calls all other methods.
    """

    # A recording holds what happened on an instrument, and not its tick or its lot.
    listed: tuple[SyntheticInstrument, ...] = ()
    renamed: Mapping[str, str] = {}

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        repeat: bool = False,
        v3_format: V3Format = DEFAULT_FORMAT,
    ) -> None:
        name, protocol, self._frames = read(path)
        self.protocols: tuple[str, ...] = (protocol,)
        self._repeat = repeat
        self._v3_format = v3_format
        self._recorded = dict.fromkeys(frame.push.channel for frame in self._frames)
        self._rewind()
        for frame in self._frames:
            with damage(name, TEXTS, frame.line):
                self._play(frame)
        self._channels = dict.fromkeys((*self._recorded, *self._derived))
        self._survey()
        self._rewind()

    def _survey(self) -> None:
        """Find the instruments, the books, and the busiest instrument with a book."""
        counts = Counter((each.market, each.instrument_id) for each in self._frames)
        self.instruments = tuple(instrument for instrument, _ in counts.most_common())
        last = [book.frame for book in self._books.values()]
        self._sequenced = {each.push.channel: "seqId" in each.element for each in last}
        booked = {(each.market, each.instrument_id) for each in last}
        self.busiest = next(
            (each for each in self.instruments if each in booked), self.instruments[0]
        )

    def _rewind(self) -> None:
        self._next = 0
        self._elapsed = 0.0
        self._books: dict[str, _Book] = {}
        self._derived: dict[str, _Book] = {}
        self._last: dict[str, EncodedPush] = {}

    @property
    def ended(self) -> bool:
        """Whether the last message was played, so that no message will follow."""
        return self._next == len(self._frames)

    @property
    def channels(self) -> Collection[str]:
        """The recorded channels, and for each recorded book one of its best levels."""
        return self._channels.keys()

    def is_book(self, channel: str) -> bool:
        """Whether *channel* was recorded as a book by its changes."""
        return channel in self._sequenced

    def has_sequence(self, channel: str) -> bool:
        """Whether *channel* was recorded as a book whose messages have a ``seqId``."""
        return self._sequenced.get(channel, False)

    def needs_login(self, channel: str) -> bool:
        """Always ``False``: every channel was recorded without a login."""
        return False

    def present(self, channel: str, wall: float) -> EncodedPush | None:
        """The book as it stands, or the last push; ``None`` before the first push."""
        if channel in self._books:
            return self._books[channel].whole()
        if channel in self._derived:
            return self._derived[channel].said
        return self._last.get(channel)

    def due(self) -> float:
        """Seconds until the next recorded message."""
        if self.ended:
            return float("inf")
        return max(0.0, self._frames[self._next].at - self._elapsed)

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> Iterator[EncodedPush]:
        """Move on by *seconds*; yield the recorded and derived pushes of that time.

        The recording has its own timestamps, so *wall* is not used.
        """
        self._elapsed += seconds
        while not self.ended and self._frames[self._next].at <= self._elapsed:
            frame = self._frames[self._next]
            self._next += 1
            for each in self._play(frame):
                if each.channel in wanted:
                    yield each
            if self.ended and self._repeat:
                # The rest of a long step is dropped: to play it would flood clients.
                self._next, self._elapsed = 0, 0.0
                return

    def _play(self, frame: Frame) -> list[EncodedPush]:
        channel = frame.push.channel
        if frame.action is None:
            self._last[channel] = frame.push
            return [frame.push]
        if channel not in self._books:
            self._books[channel] = self._open_book(frame)
        book = self._books[channel]
        book.apply(frame)
        return [frame.push, *book.derived_pushes(self._v3_format)]

    def _open_book(self, frame: Frame) -> _Book:
        name = frame.instrument_id
        best = (
            f"books5:{name}"
            if self.protocols == ("v5",)
            else (f"{frame.market}/depth5:{name}")
        )
        if frame.market == "spread":
            best = f"sprd-books5:sprdId={name}"
        rpi = frame.push.channel.startswith("books-rpi:")
        known = best in self._recorded or best in self._derived
        # The best levels of the exchange leave RPI out.
        derives = not (rpi or known)
        book = _Book(frame.push.channel, best, frame, derives, OrderBook(rpi=rpi))
        if derives:
            self._derived[best] = book
        return book
