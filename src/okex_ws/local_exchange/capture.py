"""A recorded v3 market: read and proved at once, played as its caller says. No clock.

A capture ``NAME`` is three files of as many lines: ``NAME.recv.jsonl``, the messages as
received; ``NAME.deflate.b64``, their frames in base64; ``NAME.recv.times``, the local
times of their receipt in epoch seconds. Frames are played byte for byte; what is made
here is ``depth5`` and the book of whoever subscribes late, both from the recorded book.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from collections import Counter
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from decimal import InvalidOperation
from pathlib import Path
from typing import NamedTuple

from ..book import OrderBook
from .v3 import OWN_FORM, Dialect, Push, push

# The largest recorded message inflates to 19 kB.
MAX_TEXT = 1 << 22


class Frame(NamedTuple):
    """A recorded message: seconds since the capture's start, and its push."""

    at: float
    push: Push
    table: str
    action: str | None


def read(path: str | os.PathLike[str]) -> list[Frame]:
    """The data messages of a capture, by its path without suffix.

    ``FileNotFoundError`` for a file that is missing (those of v5 have no frames), and
    ``ValueError`` with file and line for one that is damaged.
    """
    lines = {
        suffix: _lines(f"{os.fspath(path)}.{suffix}")
        for suffix in ("recv.jsonl", "deflate.b64", "recv.times")
    }
    counts = {suffix: len(found) for suffix, found in lines.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"capture {path} is damaged: its files have {counts} lines")
    frames, start, before = [], 0.0, 0.0
    for number, (text, packed, at) in enumerate(zip(*lines.values(), strict=True), 1):
        try:
            seconds = float(at)
            start = start or seconds
            if not before <= seconds < float("inf"):
                raise ValueError(f"time {at!r} is before the last one")
            before = seconds
            frame = _frame(seconds - start, text, packed)
        except (
            ValueError,
            LookupError,
            TypeError,
            RecursionError,
            zlib.error,
        ) as error:
            raise ValueError(
                f"capture {path} is damaged in line {number}: {error}"
            ) from error
        if frame:
            frames.append(frame)
    if not frames:
        raise ValueError(f"capture {path} has no data")
    return frames


def _lines(name: str) -> list[str]:
    try:
        return Path(name).read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no file {name}: a v3 capture has NAME.recv.jsonl, NAME.deflate.b64 and"
            " NAME.recv.times, and is named without a suffix"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"capture file {name} is damaged: {error}") from error


def _frame(at: float, text: str, packed: str) -> Frame | None:
    """A checked data message, or ``None`` for an event."""
    try:
        frame = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise ValueError(f"its frame is not base64: {error}") from error
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = unpacker.decompress(frame, MAX_TEXT)
    if not unpacker.eof or unpacker.unused_data or inflated != text.encode():
        raise ValueError("its frame does not hold its text")
    # Numbers keep their characters.
    message = json.loads(text, parse_float=str, parse_int=str)
    if "event" in message:
        return None
    (element,) = message["data"]
    channel = f"{message['table']}:{element['instrument_id']}"
    return Frame(
        at, Push(channel, element, text, frame), message["table"], message.get("action")
    )


@dataclass(slots=True)
class _Book:
    """The recorded book of one instrument, and what ``depth5`` last said of it."""

    table: str
    market: str
    instrument_id: str
    derives: bool = False
    book: OrderBook = field(default_factory=OrderBook)
    timestamp: str = ""
    top: OrderBook | None = None
    depth5: Push | None = None

    def apply(self, frame: Frame) -> None:
        element = frame.push.element
        self.book = self.book.apply(
            frame.action or "", element["bids"], element["asks"]
        )
        self.timestamp = element["timestamp"]
        if str(self.book.checksum()) != element["checksum"]:
            raise ValueError(
                f"the book has checksum {self.book.checksum()}, not"
                f" {element['checksum']}"
            )

    def cut(self, dialect: Dialect) -> tuple[Push, ...]:
        """The best five levels, if they are not those of the last time."""
        if not self.derives:
            return ()
        top = self.book.top(5)
        if top == self.top:
            return ()
        self.top = top
        self.depth5 = dialect.depth5(
            self.market, self.instrument_id, top.asks, top.bids, self.timestamp
        )
        return (self.depth5,)

    def partial(self) -> Push:
        """The book as it stands, for whoever comes late."""
        made = push(
            self.table,
            {
                "instrument_id": self.instrument_id,
                "asks": [list(row) for row in self.book.asks],
                "bids": [list(row) for row in self.book.bids],
                "timestamp": self.timestamp,
                "checksum": self.book.checksum(),
            },
            "partial",
        )
        made.element["checksum"] = str(self.book.checksum())
        return made


class RecordedMarket:
    """A capture as a market: it starts when first moved, and is one for everyone.

    With *repeat* it starts again at its end, trade ids and all; the partials at its
    beginning then replace the books. Constructing it plays it once, and so proves that
    every book has the recorded checksums: ``ValueError`` if not.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        repeat: bool = False,
        dialect: Dialect = OWN_FORM,
    ) -> None:
        self._frames = read(path)
        self._repeat = repeat
        self._dialect = dialect
        self._recorded = dict.fromkeys(frame.push.channel for frame in self._frames)
        self._rewind()
        for number, frame in enumerate(self._frames, 1):
            try:
                self._play(frame)
            except (ValueError, LookupError, TypeError, InvalidOperation) as error:
                raise ValueError(
                    f"capture {path} is damaged in its data message {number}: {error}"
                ) from error
        self._channels = (*self._recorded, *self._derived)
        self._survey()
        self._rewind()

    def _survey(self) -> None:
        """Count what there is: the busiest instrument is the one to watch a book of."""
        counts = Counter(
            (frame.table.partition("/")[0], frame.push.element["instrument_id"])
            for frame in self._frames
        )
        self.instruments = tuple(instrument for instrument, _ in counts.most_common())
        booked = {(book.market, book.instrument_id) for book in self._books.values()}
        self.busiest = next(
            (each for each in self.instruments if each in booked), self.instruments[0]
        )

    def _rewind(self) -> None:
        self._next = 0
        self._elapsed = 0.0
        self._books: dict[str, _Book] = {}
        self._derived: dict[str, _Book] = {}
        self._last: dict[str, Push] = {}

    @property
    def ended(self) -> bool:
        """Whether the last message is played, and nothing will follow."""
        return self._next == len(self._frames)

    @property
    def channels(self) -> Collection[str]:
        """What was recorded, and the ``depth5`` of every recorded book."""
        return self._channels

    def present(self, channel: str) -> Push | None:
        """The book as it stands, or the last push; ``None`` before the first."""
        if channel in self._books:
            return self._books[channel].partial()
        if channel in self._derived:
            return self._derived[channel].depth5
        return self._last.get(channel)

    def due(self) -> float:
        """Seconds until the next recorded message."""
        if self.ended:
            return float("inf")
        return max(0.0, self._frames[self._next].at - self._elapsed)

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> Iterator[Push]:
        """Move on by *seconds*; recorded and derived pushes of that time, in order.

        The recording has its own timestamps; *wall* is not used.
        """
        self._elapsed += seconds
        while not self.ended and self._frames[self._next].at <= self._elapsed:
            frame = self._frames[self._next]
            self._next += 1
            for each in self._play(frame):
                if each.channel in wanted:
                    yield each
            if self.ended and self._repeat:
                # The rest of a long step is lost: better than a flood.
                self._next, self._elapsed = 0, 0.0
                return

    def _play(self, frame: Frame) -> list[Push]:
        channel = frame.push.channel
        if frame.action is None:
            self._last[channel] = frame.push
            return [frame.push]
        if channel not in self._books:
            self._books[channel] = self._open_book(frame)
        book = self._books[channel]
        book.apply(frame)
        return [frame.push, *book.cut(self._dialect)]

    def _open_book(self, frame: Frame) -> _Book:
        market = frame.table.partition("/")[0]
        instrument_id = frame.push.element["instrument_id"]
        book = _Book(frame.table, market, instrument_id)
        depth5 = f"{market}/depth5:{instrument_id}"
        if depth5 not in self._recorded and depth5 not in self._derived:
            book.derives = True
            self._derived[depth5] = book
        return book
