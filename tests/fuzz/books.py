"""A target for whole books, judged by a ledger without floats that keeps only prices.

The ledger is the slow and obvious book: a dictionary by exact price. For every message
it says whether the book must take it, and what the book is then; `BookBuilder` must
agree.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from okex_ws.base.errors import BookError, WireError
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.book import MAX_LEVELS, OrderBook
from okex_ws.protocol import v3, v5
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import BookData
from tests.fuzz.mutators import spoiled

if TYPE_CHECKING:
    from tests.fuzz.corpus import Corpus

# By the documentation of `numbers.decimal`, written once more.
NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_RECORDED = 12
_LINKS = 12
_WIRES: dict[str, WireProtocol] = {"v3": v3.PROTOCOL, "v5": v5.PROTOCOL}


class Era(NamedTuple):
    """One message of a book: the wire's action, and its element."""

    action: str | None
    element: Any


class Chain(NamedTuple):
    """A snapshot and the updates that follow it."""

    protocol: str
    links: tuple[Era, ...]


def is_number(text: object) -> bool:
    """Whether the wire may write a number so."""
    return isinstance(text, str) and len(text) <= 64 and _matches(text)


@functools.lru_cache(maxsize=1 << 15)
def _matches(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


# --- The ledger ---------------------------------------------------------------------


class _Refused(Exception):
    """What the ledger does not take."""


class Ledger:
    """A book, exactly."""

    def __init__(self) -> None:
        self.sides: tuple[dict[Decimal, Any], dict[Decimal, Any]] | None = None
        self.seq: int | None = None

    def take(self, data: BookData) -> None:
        """Merge and prove, or hold nothing and raise."""
        held, self.sides = self.sides, None
        if data.whole:
            held = {}, {}
        elif held is None or not self._follows(data):
            raise _Refused
        for side, rows in zip(held, (data.bids, data.asks), strict=True):
            for row in rows:
                _merge(side, row)
            if len(side) > MAX_LEVELS:
                raise _Refused
        proven = data.seq is not None and not data.checksum
        if not proven and data.checksum != checksum(*rows_of(held)):
            raise _Refused
        self.sides, self.seq = held, data.seq

    def _follows(self, data: BookData) -> bool:
        if data.seq is None:
            return True
        return data.prev_seq is not None and data.prev_seq == self.seq

    def rows(self) -> tuple[list[Any], list[Any]]:
        """Best first."""
        assert self.sides is not None
        return rows_of(self.sides)


def _merge(side: dict[Decimal, Any], row: Any) -> None:
    if not isinstance(row, (list, tuple)) or len(row) not in (3, 4):
        raise _Refused
    if not all(map(is_number, row)):
        raise _Refused
    price = Decimal(row[0])
    if not Decimal(row[1]):
        side.pop(price, None)
    elif price:
        side[price] = tuple(row)
    else:
        raise _Refused


def rows_of(
    sides: tuple[dict[Decimal, Any], dict[Decimal, Any]],
) -> tuple[list[Any], list[Any]]:
    """The rows of bids and asks, best first."""
    bids, asks = sides
    return [bids[p] for p in sorted(bids, reverse=True)], [
        asks[p] for p in sorted(asks)
    ]


def checksum(bids: list[Any], asks: list[Any]) -> int:
    """The exchange's, as its documentation tells it, level by level."""
    parts = []
    for at in range(25):
        parts += [f"{row[0]}:{row[1]}" for row in bids[at : at + 1]]
        parts += [f"{row[0]}:{row[1]}" for row in asks[at : at + 1]]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >> 31 else crc


# --- Chains -------------------------------------------------------------------------


def recorded_chains(path: Path) -> list[Chain]:
    """The first messages of some of the recorded books of a file."""
    protocol = "v3" if path.name.startswith("v3") else "v5"
    found: dict[str, list[Era]] = {}
    for line in path.read_text("utf-8").splitlines():
        if '"action":' not in line:
            continue
        # Numbers stay the wire's characters.
        message = json.loads(line, parse_float=str, parse_int=str)
        element, about = message["data"][0], message.get("arg") or message["table"]
        channel = f"{about} {element.get('instrument_id')}"
        if len(found) == _RECORDED and channel not in found:
            continue
        links = found.setdefault(channel, [])
        whole = message["action"] != "update"
        if (whole and not links) or (not whole and 0 < len(links) < _LINKS):
            links.append(Era(message["action"], element))
    chains = (Chain(protocol, _proven(protocol, links)) for links in found.values())
    return [chain for chain in chains if chain.links]


def _proven(protocol: str, links: list[Era]) -> tuple[Era, ...]:
    """Those up to the first that was cut when it was recorded."""
    ledger = Ledger()
    for at, (action, element) in enumerate(links):
        try:
            ledger.take(_WIRES[protocol].book(element, action))
        except _Refused:
            return tuple(links[:at])
    return tuple(links)


def generated_chains(rng: Random) -> Iterator[Chain]:
    """Books of every width and proof, some of prices that no float tells apart."""
    for number in range(40):
        protocol, sequenced = ("v3", False) if number % 2 else ("v5", number % 4 == 0)
        ledger, links, step = (
            Ledger(),
            [],
            rng.choice(("1", "0.01", "0.00000000000001")),
        )
        for at in range(8):
            size = rng.randrange(30) if at == 0 else rng.randrange(5)
            sides = _rows(rng, size, "9", step), _rows(rng, size, "1000", step)
            links.append(_link(protocol, sequenced, at, sides, ledger))
        yield Chain(protocol, tuple(links))


def _rows(rng: Random, count: int, base: str, step: str) -> list[list[str]]:
    rows = []
    for _ in range(count):
        price = Decimal(base) + rng.randrange(40) * Decimal(step)
        text = f"{price:f}" + (
            "0" if not rng.randrange(9) and "." in str(price) else ""
        )
        size = "0" if not rng.randrange(4) else str(rng.randrange(1, 500) / 100)
        rows.append([text, size, *("0" for _ in range(rng.randrange(2))), "1"])
    return rows


def _link(
    protocol: str,
    sequenced: bool,
    at: int,
    sides: tuple[list[list[str]], list[list[str]]],
    ledger: Ledger,
) -> Era:
    bids, asks = sides
    held = ledger.sides or ({}, {})
    for side, rows in zip(held, sides, strict=True):
        for row in rows:
            _merge(side, row)
    ledger.sides = held
    element: dict[str, Any] = {"bids": bids, "asks": asks}
    if sequenced:
        element |= {"prevSeqId": str(at - 1), "seqId": str(at), "checksum": "0"}
    # OKX sends no real one beside its sequence, and OKJ both.
    if not sequenced or at % 2 == 0:
        element["checksum"] = str(checksum(*ledger.rows()))
    if protocol == "v3":
        element["timestamp"] = "2022-02-25T00:00:01.032Z"
        return Era("update" if at else "partial", element)
    return Era("update" if at else "snapshot", {**element, "ts": "1786541241006"})


# --- The target ---------------------------------------------------------------------


def make_book(rng: Random, corpus: Corpus) -> tuple[str, list[Era]]:
    """Some of a book's messages, one or two of them spoiled, and its snapshot again."""
    protocol, links = corpus.chain(rng)
    some = list(links[: rng.randrange(1, len(links) + 1)])
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(some))
        what = rng.randrange(8)
        if what < 5:
            other = links[rng.randrange(len(links))].element
            some[at] = some[at]._replace(element=spoiled(rng, some[at].element, other))
        elif what == 5 and len(some) > 1:
            del some[at]
        elif what == 6 and rng.randrange(2):
            proofs = ("seqId", "prevSeqId", "checksum")[rng.randrange(3) :][:2]
            some[at] = some[at]._replace(element=_without(some[at].element, proofs))
        elif what == 6:
            some.insert(at, some[rng.randrange(len(some))])
        else:
            actions = ("partial", "snapshot", "update", None)
            some[at] = some[at]._replace(action=actions[rng.randrange(4)])
    if not rng.randrange(3):
        some += links[:2]
    if not rng.randrange(400):
        action = links[0].action if rng.randrange(2) else "update"
        element = {**links[0].element, "bids": TOO_WIDE[rng.randrange(3) :]}
        some.insert(rng.randrange(len(some) + 1), Era(action, element))
    return protocol, some


def _without(element: Any, names: Collection[str]) -> Any:
    if not isinstance(element, dict):
        return element
    return {name: value for name, value in element.items() if name not in names}


# One level more than a book may have; without the first or the first two, as many.
TOO_WIDE = [[str(price), "1", "1"] for price in range(1, MAX_LEVELS + 2)]


def check_book(given: tuple[str, list[Era]]) -> str:
    """The builder does what the ledger does, and holds nothing after a failure."""
    protocol, links = given
    builder, ledger, book = BookBuilder(), Ledger(), OrderBook()
    outcome = "value"
    for action, element in links:
        try:
            data = _WIRES[protocol].book(element, action)
        except WireError:
            outcome = "WireError"
            continue
        try:
            ledger.take(data)
        except _Refused:
            outcome = _refusal(builder, data)
            continue
        sides = builder.take(data)
        assert builder.is_proven
        rows = ledger.rows()
        assert (list(sides[0]), list(sides[1])) == rows
        book = book.apply("snapshot" if data.whole else "update", data.bids, data.asks)
        assert (book.bids, book.asks) == sides
        if data.seq is not None:
            assert book.checksum() == checksum(*rows)
    return outcome


def _is_line(said: str) -> None:
    assert said.isprintable(), said
    assert len(said) <= 300, len(said)


def _is_taken(builder: BookBuilder, data: BookData) -> bool:
    try:
        builder.take(data)
    except BookError:
        return False
    return True


def _refusal(builder: BookBuilder, data: BookData) -> str:
    try:
        builder.take(data)
    except BookError as error:
        _is_line(str(error))
        assert not builder.is_proven
        empty = BookData(False, [], [], 0, 1, None, None)
        for nothing in (empty, empty._replace(seq=None, checksum=0)):
            assert not _is_taken(builder, nothing), "by a book that is not held"
        return type(error).__name__
    raise AssertionError(f"taken, and should not be: {data!r:.300}")
