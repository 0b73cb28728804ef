"""The library's book and the books of its peers, behind one interface.

A peer is run from its released package, by what it offers its own users. It gets the
messages in the shape that it expects, with the exchange's own characters in them. Only
installed packages are imported; they are those of the extra ``bench``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.book import CHECKSUM_LEVELS, Side
from okex_ws.model.numbers import NUMBERS
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.benchmarks.recordings import CHECKSUM, Frame

Top = list[tuple[Any, Any]]
Number = type[Decimal] | type[float]


class Refused(Exception):
    """A peer says that a message is not proven."""


class BookPeer(ABC):
    """The books of some instruments, as one library keeps them.

    *verified* counts the messages that passed the proof which was asked for. Every
    `play` looks at the best bid and ask after each message, because some sort late.
    """

    name: ClassVar[str]
    # What has to be installed: distribution and module.
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    pure: ClassVar[bool] = True
    # What it makes of a number.
    number: ClassVar[Number] = Decimal

    def __init__(self, instruments: Iterable[str], proof: str) -> None:
        self.proof = proof
        self.verified = 0
        self.prepare(list(instruments))

    @abstractmethod
    def prepare(self, instruments: list[str]) -> None:
        """Make what lives longer than a message. Not timed."""

    @abstractmethod
    def read(self, frame: Frame) -> Any:
        """Decode the message, and give it this peer's shape. Not timed."""

    @abstractmethod
    def play(self, messages: Sequence[Any]) -> None:
        """Take one message after the other. `Refused`, or an error of the peer's."""

    @abstractmethod
    def top(self, instrument_id: str) -> tuple[Top, Top]:
        """The best levels as this peer has them, bids and asks. Not timed."""


# --- Ours ---------------------------------------------------------------------------


class Ours(BookPeer):
    """What the library does with a decoded element, up to the version it publishes."""

    name = "okex_ws"

    def prepare(self, instruments: list[str]) -> None:
        self._builders = {name: BookBuilder() for name in instruments}
        self._held: dict[str, tuple[Side, Side]] = {}
        # The memory of numbers is the process's: a second replay would know them all.
        NUMBERS.clear()

    def read(self, frame: Frame) -> Any:
        # A message with a sequence is v5's, whatever was recorded.
        if self.proof == CHECKSUM and frame.protocol == "v3":
            action = "partial" if frame.whole else "update"
            return frame.instrument_id, action, _strings(frame.native), V3.book
        message = _strings(frame.text)
        return frame.instrument_id, message["action"], message["data"][0], V5.book

    def play(self, messages: Sequence[Any]) -> None:
        builders, held = self._builders, self._held
        for instrument_id, action, element, read in messages:
            bids, asks = builders[instrument_id].take(read(element, action))
            # As the library does: the version before it is let go.
            held[instrument_id] = bids, asks
            _ = bids[0] if bids else None, asks[0] if asks else None
            self.verified += 1

    def top(self, instrument_id: str) -> tuple[Top, Top]:
        bids, asks = self._held[instrument_id]
        return _pairs(bids), _pairs(asks)


def _pairs(side: Side) -> Top:
    return [(row[0], row[1]) for row in side[:CHECKSUM_LEVELS]]


# The library's decoder keeps every number as the characters that it is.
_strings = json.JSONDecoder(parse_int=str, parse_float=str).decode


# --- The whole handlers of two libraries --------------------------------------------


class Ccxt(BookPeer):
    """ccxt's `pro` handler of OKX books, with markets that it knows beforehand.

    Whoever watches gets the one book that goes on changing, so no copy is made.
    """

    name = "ccxt pro"
    needs = (("ccxt", "ccxt.pro"),)
    number = float

    def prepare(self, instruments: list[str]) -> None:
        self._exchange, self._client = asyncio.run(self._make())
        self._exchange.set_markets(
            [
                {"id": name, "symbol": name, "base": "", "quote": "", "spot": True}
                for name in instruments
            ]
        )
        for name in instruments:
            self._client.subscriptions[f"books:{name}"] = True

    async def _make(self) -> tuple[Any, Any]:
        # Both take the running loop; nothing is ever connected.
        pro = importlib.import_module("ccxt.pro")
        client = importlib.import_module("ccxt.async_support.base.ws.client")
        # An older release (4.5.40) checks the checksum by this option, 4.5.90 never.
        check = {"watchOrderBook": {"checksum": self.proof == CHECKSUM}}
        return pro.okx({"options": check}), client.Client("", *[None] * 4)

    def read(self, frame: Frame) -> Any:
        return frame.instrument_id, json.loads(frame.text)

    def play(self, messages: Sequence[Any]) -> None:
        exchange, client = self._exchange, self._client
        handle, books = exchange.handle_order_book, exchange.orderbooks
        for instrument_id, message in messages:
            handle(client, message)
            # What it rejects it takes back, and says so to whoever waits for a book.
            if client.rejections:
                raise Refused(str(client.rejections))
            book = books[instrument_id]
            bids, asks = book["bids"], book["asks"]
            _ = bids[0] if bids else None, asks[0] if asks else None
            self.verified += 1

    def top(self, instrument_id: str) -> tuple[Top, Top]:
        book = self._exchange.orderbooks[instrument_id]
        bids, asks = book["bids"], book["asks"]
        return (
            [tuple(row[:2]) for row in bids[:CHECKSUM_LEVELS]],
            [tuple(row[:2]) for row in asks[:CHECKSUM_LEVELS]],
        )


class Cryptofeed(BookPeer):
    """cryptofeed's handler of OKX books and its callback; C does the sorting."""

    name = "cryptofeed"
    needs = (("cryptofeed", "cryptofeed.exchanges.okx"),)
    pure = False

    def prepare(self, instruments: list[str]) -> None:
        okx = importlib.import_module("cryptofeed.exchanges.okx").OKX
        symbols = importlib.import_module("cryptofeed.symbols").Symbols
        # Else it asks the exchange for them.
        names = {name: name for name in instruments}
        symbols.set(okx.id, names, {"instrument_type": {}})
        self._books: dict[str, Any] = {}
        self._feed = okx(
            symbols=instruments,
            channels=["l2_book"],
            callbacks={"l2_book": self._on_book},
            checksum_validation=self.proof == CHECKSUM,
        )

    async def _on_book(self, book: Any, _: float) -> None:
        # Not called for a message that was refused.
        self._books[book.symbol] = book.book
        bids, asks = book.book.bids, book.book.asks
        _best = bids.index(0) if len(bids) else None, asks.index(0) if asks else None
        self.verified += 1

    def read(self, frame: Frame) -> Any:
        return json.loads(frame.text)

    def play(self, messages: Sequence[Any]) -> None:
        # It awaits nothing but the callback, so that no loop is needed, nor paid for.
        try:
            self._play(messages).send(None)
        except StopIteration:
            return
        raise AssertionError("it waits for something")

    async def _play(self, messages: Sequence[Any]) -> None:
        handle = self._feed._book
        for message in messages:
            await handle(message, 0.0)

    def top(self, instrument_id: str) -> tuple[Top, Top]:
        book = self._books[instrument_id]
        return (
            book.bids.to_list()[:CHECKSUM_LEVELS],
            book.asks.to_list()[:CHECKSUM_LEVELS],
        )


# --- Books on a container -----------------------------------------------------------


class _Element(BookPeer):
    """Those that get an element: the rest of the message is decoded, and not read."""

    def read(self, frame: Frame) -> Any:
        return frame.instrument_id, frame.whole, json.loads(frame.text)["data"][0]


class OrderBookC(_Element):
    """The C extension `order-book`, used as its README says: `Decimal`, no limit.

    Its checksum is over ``str()`` of what it holds, so that floats have none.
    """

    name = "order-book (C), Decimal"
    needs = (("order-book", "order_book"),)
    pure = False

    def prepare(self, instruments: list[str]) -> None:
        self._books: dict[str, Any] = {}
        self._make = importlib.import_module("order_book").OrderBook

    def play(self, messages: Sequence[Any]) -> None:
        books, number, check = self._books, self.number, self.proof == CHECKSUM
        for instrument_id, whole, element in messages:
            if whole:
                books[instrument_id] = book = self._make(checksum_format="OKX")
                book.bids = {number(row[0]): number(row[1]) for row in element["bids"]}
                book.asks = {number(row[0]): number(row[1]) for row in element["asks"]}
                bids, asks = book.bids, book.asks
            else:
                book = books[instrument_id]
                bids, asks = book.bids, book.asks
                _merge_c(bids, element["bids"], number)
                _merge_c(asks, element["asks"], number)
            if check and book.checksum() != element["checksum"] & 0xFFFFFFFF:
                raise Refused(instrument_id)
            _ = (
                bids.index(0) if len(bids) else None,
                asks.index(0) if len(asks) else None,
            )
            self.verified += 1

    def top(self, instrument_id: str) -> tuple[Top, Top]:
        book = self._books[instrument_id]
        return (
            book.bids.to_list()[:CHECKSUM_LEVELS],
            book.asks.to_list()[:CHECKSUM_LEVELS],
        )


def _merge_c(side: Any, rows: Any, number: Number) -> None:
    for row in rows:
        price, size = number(row[0]), number(row[1])
        if size:
            side[price] = size
        elif price in side:
            del side[price]


class OrderBookCFloats(OrderBookC):
    """The same with floats, which are faster, and exact up to 15 digits."""

    name = "order-book (C), float"
    number = float


class Sorted(_Element):
    """A careful user's book on `sortedcontainers`: the wire's row at each price."""

    name = "sortedcontainers, Decimal"
    needs = (("sortedcontainers", "sortedcontainers"),)

    def prepare(self, instruments: list[str]) -> None:
        self._books: dict[str, tuple[Any, Any]] = {}
        self._make = importlib.import_module("sortedcontainers").SortedDict

    def play(self, messages: Sequence[Any]) -> None:
        books, number, check = self._books, self.number, self.proof == CHECKSUM
        make = self._make
        for instrument_id, whole, element in messages:
            if whole:
                bids = make((number(row[0]), row) for row in element["bids"])
                asks = make((number(row[0]), row) for row in element["asks"])
                books[instrument_id] = bids, asks
            else:
                bids, asks = books[instrument_id]
                _merge_sorted(bids, element["bids"], number)
                _merge_sorted(asks, element["asks"], number)
            if check and _crc(bids, asks) != element["checksum"]:
                raise Refused(instrument_id)
            _ = (
                bids.peekitem(-1) if bids else None,
                asks.peekitem(0) if asks else None,
            )
            self.verified += 1

    def top(self, instrument_id: str) -> tuple[Top, Top]:
        bids, asks = self._books[instrument_id]
        number = self.number
        return (
            [(price, number(bids[price][1])) for price in _best(reversed(bids))],
            [(price, number(asks[price][1])) for price in _best(asks)],
        )


class SortedFloats(Sorted):
    """The same with floats for keys, whose checksum is as good: it is over the text."""

    name = "sortedcontainers, float"
    number = float


def _merge_sorted(side: Any, rows: Any, number: Number) -> None:
    for row in rows:
        if number(row[1]):
            side[number(row[0])] = row
        else:
            side.pop(number(row[0]), None)


def _best(prices: Iterable[Any]) -> Iterable[Any]:
    return islice(prices, CHECKSUM_LEVELS)


def _crc(bids: Any, asks: Any) -> int:
    ours = [bids[price] for price in _best(reversed(bids))]
    theirs = [asks[price] for price in _best(asks)]
    parts: list[str] = []
    for bid, ask in zip(ours, theirs, strict=False):
        parts += bid[0], bid[1], ask[0], ask[1]
    both = min(len(ours), len(theirs))
    for row in ours[both:] + theirs[both:]:
        parts += row[0], row[1]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


PEERS: tuple[type[BookPeer], ...] = (
    Ccxt,
    Cryptofeed,
    OrderBookC,
    OrderBookCFloats,
    Sorted,
    SortedFloats,
)
