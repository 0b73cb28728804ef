"""Whole books end to end: spoiled by an exchange, or recorded from a real one.

What a client holds at the end is the exchange's own book, to the last character.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    ChecksumMismatch,
    Feed,
    OrderBook,
    Reconnect,
    SequenceGap,
    State,
    StateChange,
    Timeouts,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.instrument_ids import market_of

CAPTURES = Path(__file__).parents[3] / "shared/captures/cryptofeed"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recordings beside the project"
)

INTERVAL = 0.02
# Seconds that nothing here takes.
PATIENCE = 20.0
# What breaks the proof of either protocol, and what breaks none.
BREAKS = {
    "v3": ("lose", "flip", "reorder", "no snapshot", "negative", "retire"),
    "v5": ("lose", "repeat", "reorder", "gap", "no snapshot", "negative"),
}
BREAKS_AT_ONCE = {"v3": "flip", "v5": "lose"}
HARMLESS = {
    "v3": ("repeat", "second snapshot"),
    "v5": ("reset", "second snapshot", "retire"),
}


class BrokenBook:
    """A broken book among others on one connection, and what was told of each."""

    def __init__(self, protocol: str) -> None:
        self.exchange = LocalExchange(pace=100, interval=INTERVAL).__enter__()
        self.protocol = protocol
        v3 = protocol == "v3"
        (market, name), (other_market, other) = self.exchange.instruments[:2]
        self.key = f"{market}/depth:{name}" if v3 else f"books:{name}"
        venue = self.exchange.venue if v3 else self.exchange.venue_v5
        self.feed = Feed(venue, timeouts=Timeouts(first_push=0.3))
        self.changes: list[StateChange] = []
        self.others: list[StateChange] = []
        self.errors: list[Exception] = []
        self.broke = threading.Event()
        self.book = WSSubscription(
            name,
            market,
            feed=self.feed,
            channels=("depth",),
            on_state=self._told,
            on_error=self.errors.append,
        )
        self.neighbours = [
            WSSubscription(
                who,
                where,
                feed=self.feed,
                channels=(channel,),
                on_state=self.others.append,
            )
            for who, where, channel in (
                (name, market, "depth5"),
                (other, other_market, "depth"),
                (other, other_market, "depth5"),
            )
        ]
        self.feed.wait_live(PATIENCE)
        self.asked = len(self.exchange.requests)

    def _told(self, change: StateChange) -> None:
        self.changes.append(change)
        if change.new is State.RESYNCING:
            self.broke.set()

    def requests(self) -> list[tuple[str, list[Any]]]:
        """What was asked since the beginning; pings and lists of instruments apart."""
        texts = [asked.text for asked in self.exchange.requests[self.asked :]]
        apart = "ping", '"channel":"instruments"'
        said = [json.loads(t) for t in texts if not any(each in t for each in apart)]
        return [(each["op"], each["args"]) for each in said]

    def settle(self) -> None:
        """Stand still; the last cut of the book is an interval later."""
        self.exchange.heal()
        self.book.wait_live(PATIENCE)
        self.exchange.pace = 0
        # Whenever that is, its last pushes are there, and the client has them.
        sent = -1
        while sent != (sent := len(self.exchange.pushed(self.key))):
            assert self.exchange.wait_for(self._agrees, PATIENCE)
            time.sleep(3 * INTERVAL)

    def _agrees(self) -> bool:
        return self.book.book == self.exchange.book(self.key).book


@pytest.fixture(params=["v3", "v5"])
def rig(request: pytest.FixtureRequest) -> Iterator[BrokenBook]:
    rig = BrokenBook(request.param)
    yield rig
    rig.feed.close()
    rig.exchange.close()


@pytest.mark.once
@pytest.mark.parametrize(
    ("rig", "how"),
    [(protocol, how) for protocol in BREAKS for how in BREAKS[protocol]],
    indirect=["rig"],
)
def test_a_book_that_is_spoiled_is_withdrawn_and_asked_for_anew_alone(
    rig: BrokenBook, how: str
) -> None:
    if how == "no snapshot":
        # Of the subscribe that follows a break.
        rig.exchange.spoil(rig.key, how)
        rig.exchange.spoil(rig.key, BREAKS_AT_ONCE[rig.protocol])
    else:
        # The first lost change may be below what a checksum sees: not all of twenty.
        rig.exchange.spoil(rig.key, how, times=20 if how == "lose" else 1)

    assert rig.broke.wait(PATIENCE)
    if how == "no snapshot":
        rig.book.wait_live(PATIENCE)
    rig.settle()

    first, back = (c.new for c in rig.changes[2:4])
    assert (first, back) == (State.RESYNCING, State.LIVE)
    assert rig.changes[3].epoch > rig.changes[2].epoch
    # Nobody else noticed, and nothing else was asked for.
    assert Counter(c.new for c in rig.others) == {State.SYNCING: 3, State.LIVE: 3}
    wanted = rig.key
    if rig.protocol == "v5":
        channel, _, name = rig.key.partition(":")
        wanted = {"channel": channel, "instId": name}  # type: ignore[assignment]
    pair = [("unsubscribe", [wanted]), ("subscribe", [wanted])]
    asked = rig.requests()
    assert asked == pair * (len(asked) // 2)
    assert len(asked) >= (4 if how == "no snapshot" else 2)
    assert rig.book.stats().resyncs >= 1
    assert rig.errors


@pytest.mark.once
@pytest.mark.parametrize(
    ("rig", "how"),
    [(protocol, how) for protocol in HARMLESS for how in HARMLESS[protocol]],
    indirect=["rig"],
)
def test_what_breaks_no_proof_breaks_no_book(rig: BrokenBook, how: str) -> None:
    before = len(rig.exchange.pushed(rig.key))
    rig.exchange.spoil(rig.key, how)
    assert rig.exchange.wait_for(
        lambda: len(rig.exchange.pushed(rig.key)) > before + 20, PATIENCE
    )

    rig.settle()

    assert [c.new for c in rig.changes] == [State.SYNCING, State.LIVE]
    assert (rig.requests(), rig.errors) == ([], [])
    assert not rig.book.stats().dropped


def test_a_failed_proof_is_told_by_its_own_error(rig: BrokenBook) -> None:
    rig.exchange.spoil(rig.key, "lose", times=20)

    assert rig.broke.wait(PATIENCE)
    assert rig.exchange.wait_for(lambda: bool(rig.errors), PATIENCE)

    kind = ChecksumMismatch if rig.protocol == "v3" else SequenceGap
    assert isinstance(rig.errors[0], kind)
    assert rig.errors[0].channel == rig.key


@pytest.mark.once
def test_updates_add_up_to_the_book_through_every_fault(rig: BrokenBook) -> None:
    items = rig.book.updates(timeout=PATIENCE, max_queue=50)
    held, seen = OrderBook(), 0
    for how in BREAKS[rig.protocol]:
        if how != "retire":  # which nothing ends
            rig.exchange.spoil(rig.key, how)
    for item in items:
        if not isinstance(item, BookUpdate):
            continue
        held = held.apply(item.action, item.bids, item.asks)
        assert held == item.book
        seen += 1
        if seen == 60:
            break


# --- Recordings ---------------------------------------------------------------------


def merged(path: Path) -> dict[str, OrderBook]:
    """Every book at the end of a recording, by the pure merge alone."""
    books: dict[str, OrderBook] = {}
    for line in Path(f"{path}.recv.jsonl").read_text("utf-8").splitlines():
        message = json.loads(line)
        if "action" in message:
            (element,) = message["data"]
            name = element.get("instrument_id") or message["arg"]["instId"]
            held = books.get(name, OrderBook())
            sides = element["bids"], element["asks"]
            books[name] = held.apply(message["action"], *sides)
    return books


def played(
    path: Path, channel: str, books: int, flipped: str = ""
) -> tuple[dict[str, OrderBook], int]:
    """What a feed shows last of every book of a recording, and how often one broke.

    Of *flipped* one digit is changed on the way.
    """
    again = Reconnect(first=0.01, cap=0.01, host_gap=0.0)
    shown: dict[str, OrderBook] = {}
    with (
        LocalExchange(capture=path, speed=20) as exchange,
        Feed(
            exchange.venue if "v3" in path.name else exchange.venue_v5,
            credentials=exchange.credentials[0],
            reconnect=again,
        ) as feed,
    ):
        over = threading.Event()

        def ended(change: StateChange) -> None:
            if change.new is State.RECONNECTING and len(shown) == books:
                over.set()

        def keep(text: str) -> None:
            """On the connection's thread, after each push."""
            for one in followed:
                if (book := one.book) is not None:
                    shown[one.instrument_id] = book

        # All of them are asked for in one request, before the recording begins.
        exchange.refuse()
        if flipped:
            exchange.spoil(f"books:{flipped}", "flip")
        followed: list[WSSubscription] = []
        for name in merged(path):
            market = market_of(name)
            assert market is not None
            followed.append(
                WSSubscription(
                    name,
                    market,
                    keep,
                    channels=(channel,),
                    feed=feed,
                    on_state=ended,
                )
            )
        exchange.refuse(False)
        assert over.wait(PATIENCE)
        return shown, feed.stats().resyncs


@recorded
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("v3_OKEX.ws.56_20210417", "depth_l2_tbt"),
        ("v5_OKEX.ws.1_20210722", "depth_l2_tbt"),
        ("v5_OKX.ws.1_20220513", "depth"),
    ],
)
def test_recorded_books_go_through_the_whole_stack(name: str, channel: str) -> None:
    truth = merged(CAPTURES / name)

    shown, resyncs = played(CAPTURES / name, channel, len(truth))

    assert shown == truth
    assert resyncs == 0


@recorded
@pytest.mark.slow
def test_one_changed_digit_of_a_recording_breaks_its_book_and_no_other() -> None:
    path = CAPTURES / "v5_OKX.ws.1_20220513"
    truth = merged(path)

    shown, resyncs = played(path, "depth", len(truth), flipped=next(iter(truth)))

    # It was asked for anew, alone, and is the exchange's own again.
    assert shown == truth
    assert resyncs == 1
