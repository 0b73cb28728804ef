"""Every recorded book proves itself, and one with a changed digit does not.

The recordings go the way of live traffic: frame, protocol, `BookBuilder`. Beside each
replay stands its mutation, and a book in this file that is only a dict says where the
builder has to notice it.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from okex_ws.base.errors import BookError, ChecksumMismatch, SequenceGap
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.book import OrderBook, Side
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import BookData, Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
WS_56 = "cryptofeed/v3_OKEX.ws.56_20210417.deflate.b64"
WS_57 = "cryptofeed/v3_OKEX.ws.57_20210417.deflate.b64"
V5_OF_2022 = "cryptofeed/v5_OKX.ws.1_20220513.recv.jsonl"
TICKVAULT = "tickvault/okx_books.jsonl"
# The recordings that carry a checksum, and how many frames of books each has.
FRAMES: dict[str, tuple[WireProtocol, int]] = {
    WS_56: (V3, 2398),
    WS_57: (V3, 2338),
    "cryptofeed/v3_OKCOIN.ws.1_20210722.deflate.b64": (V3, 1031),
    "cryptofeed/v5_OKEX.ws.1_20210722.recv.jsonl": (V5, 1504),
    V5_OF_2022: (V5, 290),
    "gocryptotrader/v3_spot_depth_verified.jsonl": (V3, 8),
    "gocryptotrader/v5_books_verified.jsonl": (V5, 4),
}
MUTATIONS = 1000
SEED = 4

Sides = tuple[Side, Side]


class Recorded(NamedTuple):
    """One message of a book, and the book before and after it."""

    wire: WireProtocol
    channel: str
    text: str
    data: BookData
    before: Sides
    after: Sides


def pushes(name: str, wire: WireProtocol) -> Iterator[Push]:
    """Those of books, read from the binary frames where there are any."""
    binary = name.endswith(".b64")
    for line in (CAPTURES / name).read_text().splitlines():
        frame = base64.b64decode(line) if binary else line.encode()
        for message in wire.decode(frame, binary):
            if isinstance(message, Push) and message.action is not None:
                yield message


@cache
def replay(name: str, wire: WireProtocol) -> tuple[Recorded, ...]:
    """The whole recording; a `BookError` where one of its books is not proven."""
    builders: dict[str, BookBuilder] = defaultdict(BookBuilder)
    held: dict[str, Sides] = defaultdict(lambda: ((), ()))
    found = []
    for push in pushes(name, wire):
        (element,) = push.elements
        channel, data = push.channel, wire.book(element, push.action)
        after = builders[channel].take(data)
        found.append(Recorded(wire, channel, push.text, data, held[channel], after))
        held[channel] = after
    assert all(builder.is_proven for builder in builders.values())
    return tuple(found)


def book_sum(bids: Side, asks: Side) -> int:
    """The checksum, as the wire page has it: one level after the other."""
    parts: list[str] = []
    for i in range(25):
        for side in (bids, asks):
            parts += side[i][:2] if i < len(side) else ()
    crc = zlib.crc32(":".join(parts).encode("ascii"))
    return crc - 2**32 if crc >= 2**31 else crc


def builder_of(sides: Sides) -> BookBuilder:
    """A builder that holds this book, as if it had come whole."""
    builder = BookBuilder()
    bids, asks = ([list(row) for row in side] for side in sides)
    builder.take(BookData(True, bids, asks, 0, None, None, book_sum(*sides)))
    return builder


def changed_digit(text: str, rng: random.Random) -> str:
    """*text* with one digit of it another one, anywhere."""
    at = rng.choice([at for at, each in enumerate(text) if each.isdigit()])
    digit = rng.choice([digit for digit in "0123456789" if digit != text[at]])
    return text[:at] + digit + text[at + 1 :]


class Place(NamedTuple):
    """A row of a message of a recording."""

    number: int
    side: int
    row: int


def mutated(message: Recorded, place: Place, rng: random.Random) -> BookData:
    """The message after a digit of price or size changed on its way."""
    said = json.loads(message.text)
    element = said["data"][0]
    row = element[("bids", "asks")[place.side]][place.row]
    field = rng.randrange(2)
    row[field] = changed_digit(row[field], rng)
    (push,) = message.wire.decode(json.dumps(said).encode(), False)
    assert isinstance(push, Push)
    data = message.wire.book(push.elements[0], push.action)
    assert data != message.data
    return data


# --- Replays ------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("name", FRAMES)
def test_every_recorded_book_is_proven_by_its_checksum(name: str) -> None:
    wire, frames = FRAMES[name]

    messages = replay(name, wire)

    assert len(messages) == frames
    assert all(each.data.checksum is not None for each in messages)
    # It is the only proof that they have.
    assert all(each.data.seq is None is each.data.prev_seq for each in messages)
    sums = [OrderBook(*each.after).checksum() for each in messages]
    assert sums == [each.data.checksum for each in messages]
    assert sums == [book_sum(*each.after) for each in messages]


def test_the_chain_of_2026_is_proven_by_its_sequence() -> None:
    messages = replay(TICKVAULT, V5)

    data = [each.data for each in messages]
    assert [each.whole for each in data] == [True] + [False] * 6
    assert [len(side) for side in messages[0].after] == [400, 400]
    assert data[0].prev_seq == -1
    assert [each.prev_seq for each in data[1:]] == [each.seq for each in data[:-1]]
    assert {each.checksum for each in data} == {0}
    assert all(book_sum(*each.after) != 0 for each in messages)


def test_the_recordings_have_what_a_book_has_to_bear() -> None:
    messages = [each for name in FRAMES for each in replay(name, FRAMES[name][0])]

    assert len(messages) == 7573
    assert sum(each.data.whole for each in messages) == 51
    empty = [each for each in messages if not (each.data.bids or each.data.asks)]
    assert len(empty) == 55
    assert all(each.after == each.before for each in empty)
    assert sum(min(map(len, each.after)) < 25 for each in messages) == 928
    assert max(len(side) for each in messages for side in each.after) == 400
    assert not any(OrderBook(*each.after).crossed for each in messages)


def test_deletes_of_levels_that_are_not_held_are_recorded() -> None:
    unknown = 0
    for each in replay(V5_OF_2022, V5):
        for rows, held in zip(
            (each.data.bids, each.data.asks), each.before, strict=True
        ):
            prices = {row[0] for row in held}
            unknown += sum(row[1] == "0" and row[0] not in prices for row in rows)
    assert unknown == 953


def test_every_published_vector_has_its_sum() -> None:
    lines = (CAPTURES / "vectors" / "checksum_vectors.jsonl").read_text().splitlines()
    for vector in map(json.loads, lines):
        sides = [tuple(map(tuple, vector[side])) for side in ("bids", "asks")]
        assert OrderBook(*sides).checksum() == vector["checksum_signed"]
        row = list(sides[1][0])
        row[1] = changed_digit(row[1], random.Random(SEED))
        changed = OrderBook(sides[0], (tuple(row), *sides[1][1:]))
        assert changed.checksum() != vector["checksum_signed"]
    assert len(lines) == 3


# --- One digit ----------------------------------------------------------------------


def top(sides: Sides) -> list[list[tuple[str, ...]]]:
    """What the checksum sees."""
    return [[row[:2] for row in side[:25]] for side in sides]


def places(messages: Sequence[Recorded]) -> list[Place]:
    """The rows inside the top 25: what they put there, or take from there."""
    found = []
    for number, each in enumerate(messages):
        for side, rows in enumerate((each.data.bids, each.data.asks)):
            now = {row[:2] for row in each.after[side][:25]}
            gone = {Decimal(row[0]) for row in each.before[side][:25]}
            found += [
                Place(number, side, at)
                for at, row in enumerate(rows)
                if (row[0], row[1]) in now
                or (not Decimal(row[1]) and Decimal(row[0]) in gone)
            ]
    return found


class Brute:
    """A book that is only a dict by exact price, sorted anew at every look."""

    def __init__(self, sides: Sides) -> None:
        self._held = [{Decimal(row[0]): row for row in side} for side in sides]

    def take(self, data: BookData) -> Sides:
        """Merge, or `ZeroDivisionError` for a level at no price."""
        for held, rows in zip(self._held, (data.bids, data.asks), strict=True):
            if data.whole:
                held.clear()
            for row in rows:
                held.pop(Decimal(row[0]), None)
                if Decimal(row[1]):
                    held[Decimal(row[0])] = tuple(row)
        bids, asks = self._held
        return (
            tuple(bids[price] for price in sorted(bids, reverse=True)),
            tuple(asks[price] for price in sorted(asks)),
        )

    def has_a_level_at_zero(self) -> bool:
        return any(Decimal(0) in held for held in self._held)


def reach(stream: Sequence[Recorded], first: BookData) -> int | str:
    """Which message of *stream* is the first that a change of its first can reach.

    That is the first with another top 25 than the exchange's: the change put a row
    there, or a right one is missing. A change may never get there: a later message
    repairs all of it below the top 25, or the recording ends before.
    """
    brute = Brute(stream[0].before)
    for number, each in enumerate(stream):
        sides = brute.take(first if number == 0 else each.data)
        if brute.has_a_level_at_zero() or top(sides) != top(each.after):
            return number
        if sides == each.after:
            return "repaired before it could be seen"
    return "not seen before the recording ends"


def caught(stream: Sequence[Recorded], first: BookData) -> tuple[int, BookError] | None:
    """At which message of *stream* the builder notices the change of its first."""
    builder = builder_of(stream[0].before)
    for number, each in enumerate(stream):
        try:
            builder.take(first if number == 0 else each.data)
        except BookError as error:
            assert not builder.is_proven
            assert_nothing_follows(builder, stream[number + 1 :])
            return number, error
        assert builder.is_proven
    return None


def assert_nothing_follows(builder: BookBuilder, rest: Sequence[Recorded]) -> None:
    """Until the next snapshot, of which there is seldom one."""
    for each in rest[:2]:
        if each.data.whole:
            return
        with pytest.raises(BookError, match="not held"):
            builder.take(each.data)
        assert not builder.is_proven


def following(messages: Sequence[Recorded], number: int) -> list[Recorded]:
    """A message, and those of the same book after it."""
    channel = messages[number].channel
    return [each for each in messages[number:] if each.channel == channel]


class Mutation(NamedTuple):
    """A changed digit: where it was to be caught, and where it was."""

    name: str
    whole: bool
    expected: int | str
    found: int | None
    error: BookError | None


@cache
def mutations() -> tuple[Mutation, ...]:
    """A thousand of them, over all recordings with a checksum."""
    rng = random.Random(SEED)
    recordings = {name: replay(name, wire) for name, (wire, _) in FRAMES.items()}
    everywhere = [
        (name, place)
        for name, messages in recordings.items()
        for place in places(messages)
    ]
    made = []
    for name, place in rng.sample(everywhere, MUTATIONS):
        stream = following(recordings[name], place.number)
        data = mutated(stream[0], place, rng)
        found = caught(stream, data) or (None, None)
        made.append(Mutation(name, data.whole, reach(stream, data), *found))
    return tuple(made)


@pytest.mark.once
def test_a_changed_digit_in_the_top_25_is_caught_where_it_can_first_be_seen() -> None:
    made = mutations()

    # Not a message earlier, and not one later.
    for each in made:
        assert each.found == (each.expected if isinstance(each.expected, int) else None)
    where = Counter(
        each.expected
        if isinstance(each.expected, str)
        else ("at a later message" if each.expected else "at that message")
        for each in made
    )
    print(dict(where))
    assert sum(where.values()) == len(made) == MUTATIONS
    assert {each.name for each in made} == set(FRAMES)
    assert {each.whole for each in made} == {True, False}
    # Which is the message itself, but for a row that says again what is held already:
    # then the right row stays, and the wrong one may be below the top 25.
    assert where["at that message"] >= 0.99 * MUTATIONS
    assert where["at that message"] + where["at a later message"] >= MUTATIONS - 5


@pytest.mark.once
def test_what_a_changed_digit_fails_is_the_checksum_or_the_form() -> None:
    errors = [each.error for each in mutations() if each.error is not None]

    assert {type(error) for error in errors} <= {ChecksumMismatch, BookError}
    for error in errors:
        if isinstance(error, ChecksumMismatch):
            assert error.expected != error.actual


@pytest.mark.once
def test_a_digit_below_the_top_25_is_no_business_of_the_checksum() -> None:
    # The proof has a limit, which is the exchange's: it covers 25 levels.
    rng = random.Random(SEED)
    messages = replay(WS_57, V3)
    seen = 0
    for place in rng.sample(places_below(messages), 100):
        message = messages[place.number]
        data = mutated(message, place, rng)
        brute = Brute(message.before)
        same_top = top(brute.take(data)) == top(message.after)
        found = caught([message], data)
        assert (found is None) is (same_top and not brute.has_a_level_at_zero())
        seen += found is not None
    # A price may come up to the top.
    assert seen < 50


# --- The chain ----------------------------------------------------------------------


@cache
def chain() -> tuple[BookData, ...]:
    """The snapshot of 2026, its six updates, and what comes after an idle minute."""
    data = [each.data for each in replay(TICKVAULT, V5)]
    last = data[-1].seq
    idle = BookData(False, [], [], data[-1].time_ms + 60_000, last, last, 0)
    return (*data, idle)


def first_error(messages: Sequence[BookData]) -> tuple[int, BookError] | None:
    """At which message the builder withdraws the book; it never shows one again."""
    builder = BookBuilder()
    for number, data in enumerate(messages):
        try:
            builder.take(data)
        except BookError as error:
            assert not builder.is_proven
            for later in messages[number + 1 :]:
                if later.whole:
                    break
                with pytest.raises(BookError, match="not held"):
                    builder.take(later)
            return number, error
    return None


def test_the_whole_chain_has_no_error() -> None:
    assert len(chain()) == 8
    assert first_error(chain()) is None


@pytest.mark.parametrize("lost", range(7))
def test_a_lost_message_is_caught_at_the_next(lost: int) -> None:
    found = first_error(chain()[:lost] + chain()[lost + 1 :])

    assert found is not None
    assert found[0] == lost
    assert type(found[1]) is (SequenceGap if lost else BookError)


def test_a_repeated_update_is_caught_at_the_repeat_wherever_it_comes() -> None:
    caught_at_once = 0
    for again, after in itertools.combinations_with_replacement(range(1, 7), 2):
        messages = (*chain()[: after + 1], chain()[again], *chain()[after + 1 :])
        found = first_error(messages)
        assert found is not None
        assert found[0] == after + 1
        assert type(found[1]) is SequenceGap
        caught_at_once += 1
    assert caught_at_once == 21


def test_a_repeated_snapshot_is_its_own_book_and_what_follows_it_is_caught() -> None:
    # Right behind itself it changes nothing.
    assert first_error((chain()[0], *chain())) is None
    for after in range(1, 7):
        messages = (*chain()[: after + 1], chain()[0], *chain()[after + 1 :])
        found = first_error(messages)
        assert found is not None
        assert found[0] == after + 2
        assert type(found[1]) is SequenceGap


@pytest.mark.once
def test_every_other_order_is_caught_at_the_first_that_is_out_of_it() -> None:
    orders = 0
    right = tuple(range(7))
    for order in itertools.permutations(right):
        if order == right:
            continue
        found = first_error([*(chain()[number] for number in order), chain()[7]])
        assert found is not None
        place = next(at for at, number in enumerate(order) if at != number)
        assert found[0] == place
        assert type(found[1]) is (SequenceGap if place else BookError)
        orders += 1
    assert orders == 5039


@pytest.mark.once
def test_every_changed_digit_of_an_id_is_caught() -> None:
    changed = 0
    for number, field in itertools.product(range(7), ("seq", "prev_seq")):
        if (number, field) == (0, "prev_seq"):
            continue  # of a snapshot, which follows nothing
        text = str(getattr(chain()[number], field))
        for at, digit in itertools.product(range(len(text)), "0123456789"):
            if digit == text[at]:
                continue
            wrong = int(text[:at] + digit + text[at + 1 :])
            messages = list(chain())
            messages[number] = chain()[number]._replace(**{field: wrong})
            found = first_error(messages)
            assert found is not None
            assert found[0] == number + (field == "seq")
            assert type(found[1]) is SequenceGap
            changed += 1
    assert changed == 13 * 11 * 9


# --- Two connections ----------------------------------------------------------------


@cache
def by_time(name: str) -> dict[tuple[str, int], int]:
    """The last message of each book at each of the exchange's milliseconds."""
    messages = replay(name, V3)
    return {(each.channel, each.data.time_ms): at for at, each in enumerate(messages)}


def places_below(messages: Sequence[Recorded]) -> list[Place]:
    """The rows that are put below the top 25."""
    found = []
    for number, each in enumerate(messages):
        for side, rows in enumerate((each.data.bids, each.data.asks)):
            below = set(each.after[side][25:])
            found += [
                Place(number, side, at)
                for at, row in enumerate(rows)
                if tuple(row) in below
            ]
    return found


def test_two_connections_have_the_same_books_at_the_same_time() -> None:
    one, other = replay(WS_56, V3), replay(WS_57, V3)
    both = by_time(WS_56).keys() & by_time(WS_57).keys()

    # All of their levels, not the best alone.
    for moment in both:
        assert one[by_time(WS_56)[moment]].after == other[by_time(WS_57)[moment]].after

    assert len(both) == 2335 == len(by_time(WS_57))
    assert len({channel for channel, _ in both}) == 10


@pytest.mark.once
def test_a_changed_digit_that_no_checksum_covers_shows_beside_the_other() -> None:
    rng = random.Random(SEED)
    one, other = replay(WS_56, V3), replay(WS_57, V3)
    last = set(by_time(WS_57).values())
    below = [place for place in places_below(other) if place.number in last]
    shown = 0
    for place in rng.sample(below, 200):
        message = other[place.number]
        data = mutated(message, place, rng)
        builder = builder_of(message.before)
        try:
            sides = builder.take(data)
        except BookError:
            continue
        at = by_time(WS_56)[message.channel, data.time_ms]
        assert sides != one[at].after
        shown += 1
    print(shown)
    assert shown > 150
