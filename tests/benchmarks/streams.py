"""What the server pushes: three streams of one instrument, each to be sent in a circle.

``v3 depth5`` is the five best levels a side, to be deflated into binary frames; ``v5
books5`` is the same in text frames; ``v5 books`` is a whole book, a snapshot and then
changes, with the sequence that proves them. The streams are cut from recordings if
these lie beside the project, and else from a made-up book. Messages keep their recorded
order, so that two neighbours differ as little as they did at the exchange.

The end of a circle must meet its beginning. A depth is whole each time. The changes of
a book set levels to absolute sizes, so that each turn ends with the same book as the
first. In each turn the ids of a book begin anew, below the last, as after the
maintenance that OKX documents. Those of the depths go on (`raised`), because no depth
has such a reset.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import cache
from typing import Any, NamedTuple

from okex_ws.model.instrument_ids import market_of
from tests.benchmarks.recordings import CAPTURES, generated, recorded

V3_DEPTH5, V5_BOOKS5, V5_BOOKS = "v3 depth5", "v5 books5", "v5 books"
NAMES = (V3_DEPTH5, V5_BOOKS5, V5_BOOKS)
# Whose recording is played: one that is busy, and has a deep book under v5.
_RECORDINGS = {
    V3_DEPTH5: ("v3_OKEX.ws.56_20210417", "UNI-USD-SWAP"),
    V5_BOOKS5: ("v5_OKX.ws.1_20220513", "BTC-USDT"),
    V5_BOOKS: ("v5_OKX.ws.1_20220513", "BTC-USDT"),
}
SHOWN = 5
# Where a stamped message has the moment at which it was sent, and its number.
STAMP, NUMBER = "<stamp>", "<number>"
# The ids of depths have ten digits, so that a later one takes as many bytes.
FIRST_ID = 10**9
_DEPTH_ID = re.compile(rb'(?<="seqId":)\d{10}(?!\d)')

# Best first: price and size of each level.
Levels = tuple[tuple[float, float], ...]
Rows = list[list[str]]


class Stream(NamedTuple):
    """The *texts* go round and round, behind the *opening*; *ends* is what each leaves.

    *wraps* has the texts as another channel asks for them: cryptofeed follows nothing
    but ``books``, and is given each depth as a snapshot of that.
    """

    name: str
    market: str
    instrument_id: str
    channel: str
    opening: list[str]
    texts: list[str]
    ends: list[tuple[Levels, Levels]]
    wraps: dict[str, list[str]]
    source: str

    @property
    def protocol(self) -> str:
        """``'v3'`` or ``'v5'``."""
        return self.name[:2]

    @property
    def frame_bytes(self) -> float:
        """The mean of a frame, with its header."""
        frames = [pack(text, self.protocol) for text in self.texts]
        return sum(map(len, frames)) / len(frames)


def pack(text: str, protocol: str) -> bytes:
    """The server's frame with *text* in it: deflated under v3, as it is under v5."""
    payload, first = text.encode(), 0x81
    if protocol == "v3":
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        payload, first = deflater.compress(payload) + deflater.flush(), 0x82
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def raised(frames: bytes, by: int) -> bytes:
    """*frames* of v5's depths, with ids that are higher *by* so much."""
    return _DEPTH_ID.sub(lambda found: b"%d" % (int(found[0]) + by), frames)


@cache
def stream(name: str) -> Stream:
    """The stream of this *name*; the same in every process."""
    if CAPTURES.is_dir():
        recording, instrument_id = _RECORDINGS[name]
        updates = recorded(recording)
    else:
        updates = generated(instruments=1)
        (instrument_id,) = updates.instruments
    elements = [(m[1], m[2]) for m in updates.messages if m[0] == instrument_id]
    make = _books if name == V5_BOOKS else _depths
    return make(name, instrument_id, elements, updates.name)


def stamped(stream: Stream) -> list[tuple[str, list[str]]]:
    """Each text with places for the moment and the number: the best sizes.

    The first bid's size is the moment, the first ask's the number. Texts by channel.
    """
    return [(stream.channel, [_mark(text) for text in stream.texts])] + [
        (channel, [_mark(text) for text in texts])
        for channel, texts in stream.wraps.items()
    ]


def _mark(text: str) -> str:
    message = json.loads(text)
    (element,) = message["data"]
    element["bids"][0][1], element["asks"][0][1] = STAMP, NUMBER
    return _dump(message)


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class _Book:
    """A book by brute force: nobody's own code keeps what all are compared with."""

    def __init__(self) -> None:
        self._sides: dict[str, dict[float, list[str]]] = {"bids": {}, "asks": {}}

    def take(self, whole: bool, element: dict[str, Any]) -> None:
        for name, side in self._sides.items():
            if whole:
                side.clear()
            for row in element[name]:
                side[float(row[0])] = row
                if not float(row[1]):
                    del side[float(row[0])]

    def rows(self, count: int | None = SHOWN) -> tuple[Rows, Rows]:
        """The best *count* a side, bids and asks."""
        bids, asks = self._sides["bids"], self._sides["asks"]
        return (
            [bids[price] for price in sorted(bids, reverse=True)[:count]],
            [asks[price] for price in sorted(asks)[:count]],
        )


def levels(rows: Iterable[Any]) -> Levels:
    """Prices and sizes as the numbers that all can be compared in."""
    return tuple((float(row[0]), float(row[1])) for row in rows)


def _depths(
    name: str, instrument_id: str, elements: list[tuple[bool, Any]], source: str
) -> Stream:
    book, market = _Book(), market_of(instrument_id)
    texts, wrapped, ends = [], [], []
    for number, (whole, element) in enumerate(elements, 1):
        book.take(whole, element)
        bids, asks = book.rows()
        if not bids or not asks:
            continue
        ends.append((levels(bids), levels(asks)))
        if name == V3_DEPTH5:
            said = {"asks": asks, "bids": bids, "instrument_id": instrument_id}
            data = [{**said, "timestamp": _iso(element["ts"])}]
            texts.append(_dump({"table": f"{market}/depth5", "data": data}))
            continue
        said = {"asks": asks, "bids": bids, "instId": instrument_id}
        end = {"ts": element["ts"], "seqId": FIRST_ID + number}
        texts.append(_v5("books5", instrument_id, None, {**said, **end}))
        end = {"ts": element["ts"], "checksum": 0, "seqId": number, "prevSeqId": -1}
        wrapped.append(_v5("books", instrument_id, "snapshot", {**said, **end}))
    wraps = {"books": wrapped} if wrapped else {}
    channel = "depth5" if name == V3_DEPTH5 else "books5"
    return Stream(name, market, instrument_id, channel, [], texts, ends, wraps, source)


def _books(
    name: str, instrument_id: str, elements: list[tuple[bool, Any]], source: str
) -> Stream:
    book = _Book()
    for whole, element in elements:
        book.take(whole, element)
    # The snapshot is of the book that the first turn ends with, and so do all others.
    bids, asks = book.rows(None)
    count = len(elements) - 1
    ts = elements[-1][1]["ts"]
    sides = {"asks": asks, "bids": bids}
    end = {"ts": ts, "checksum": 0, "seqId": count, "prevSeqId": -1}
    opening = _v5("books", instrument_id, "snapshot", {**sides, **end})
    texts, ends = [], []
    for number, (_, element) in enumerate(elements[1:], 1):
        book.take(False, element)
        ends.append((levels(book.rows()[0]), levels(book.rows()[1])))
        sides = {side: element[side] for side in ("asks", "bids")}
        end = {"ts": element["ts"], "checksum": 0, "seqId": number}
        end["prevSeqId"] = number - 1 if number > 1 else count
        texts.append(_v5("books", instrument_id, "update", {**sides, **end}))
    market = market_of(instrument_id)
    return Stream(
        name, market, instrument_id, "books", [opening], texts, ends, {}, source
    )


def _v5(channel: str, about: str, action: str | None, element: dict[str, Any]) -> str:
    head: dict[str, Any] = {"arg": {"channel": channel, "instId": about}}
    if action is not None:
        head["action"] = action
    return _dump({**head, "data": [element]})


def _iso(milliseconds: str) -> str:
    moment = datetime.fromtimestamp(int(milliseconds) / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def joined(frames: list[bytes], size: int) -> list[tuple[bytes, int]]:
    """*frames* in writes of *size* bytes or more, and how many frames are in each."""
    writes: list[tuple[bytes, int]] = []
    batch: list[bytes] = []
    for frame in frames:
        batch.append(frame)
        if sum(map(len, batch)) >= size:
            writes.append((b"".join(batch), len(batch)))
            batch = []
    if batch and writes:
        # What is left over goes with the last.
        more, count = writes.pop()
        return [*writes, (more + b"".join(batch), count + len(batch))]
    return writes or [(b"".join(batch), len(batch))]
