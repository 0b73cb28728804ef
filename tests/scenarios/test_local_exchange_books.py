"""Whole books, from the market to a client: merged by brute force, and proved."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from okex_ws.local_exchange import BOOK_FAULTS, LocalExchange, Said
from okex_ws.local_exchange.market.levels import IDLE
from okex_ws.local_exchange.market.market import SyntheticMarket
from okex_ws.local_exchange.wire.v3 import V3Format
from okex_ws.local_exchange.wire.values import EncodedPush
from okex_ws.model.book import OrderBook
from tests.support.capture_files import (
    BOOK,
    BOOK_V5,
    TEXTS,
    TEXTS_V5,
    UPDATE,
    UPDATE_V5,
    write,
)
from tests.support.exchange_peer import Peer, PeerV5, about, dial, dial_v5, login_v5
from tests.support.internals import (
    book_faults_of,
    followed_books_of,
    holds_back,
    instrument_markets_of,
    sides_of,
    watches_of,
)
from tests.support.merged_book import Merged

SPOT, OPTION = "BTC-USDT", "BTC-USD-301227-60000-C"
DEPTH, TICKS = f"spot/depth:{SPOT}", f"spot/depth_l2_tbt:{SPOT}"
BOOKS, BOOKS_TICKS, BOOKS_50 = (
    f"{name}:{SPOT}" for name in ("books", "books-l2-tbt", "books50-l2-tbt")
)
EVERY = [DEPTH, TICKS, BOOKS, BOOKS_TICKS, BOOKS_50]
THIN = [each.replace("spot/", "option/").replace(SPOT, OPTION) for each in EVERY]


def moved(
    market: SyntheticMarket, wanted: set[str], steps: int
) -> Iterator[EncodedPush]:
    for step in range(steps):
        yield from market.advance(0.05, 1000.0 + step / 20, wanted)


def opened(market: SyntheticMarket, *channels: str) -> dict[str, EncodedPush]:
    """The snapshots of channels that are asked for now."""
    found = {channel: market.present(channel, 1000.0) for channel in channels}
    return {channel: push for channel, push in found.items() if push}


# --- The market ---------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("channel", [*EVERY, *THIN])
@pytest.mark.parametrize("numbers_2018", [False, True])
def test_a_merged_book_is_the_books_and_every_proof_stands(
    channel: str, numbers_2018: bool
) -> None:
    market = SyntheticMarket(
        3,
        pace=300.0,
        v3_format=V3Format(numbers_2018=numbers_2018),
        checksums=True,
    )
    merged = Merged()
    merged.take(opened(market, channel)[channel].text)
    for push in moved(market, {channel}, 50):
        merged.take(push.text)
        present = market.present(channel, 0.0)
        assert present
        again = Merged()
        again.take(present.text)
        assert again.book == merged.book
        assert again.seq == merged.seq

    assert merged.flaws == []
    assert len(merged.actions) > 20
    assert set(merged.actions[1:]) == {"update"}


@pytest.mark.parametrize("channel", [TICKS, BOOKS])
def test_one_changed_digit_is_seen_by_the_checksum(channel: str) -> None:
    market = SyntheticMarket(3, pace=300.0, checksums=True)
    text = opened(market, channel)[channel].text
    price = json.loads(text)["data"][0]["asks"][0][0]
    merged = Merged()
    digit = "1" if price[-1] != "1" else "2"
    merged.take(text.replace(f'["{price}"', f'["{price[:-1]}{digit}"'))

    assert merged.flaws == ["checksum"]


@pytest.mark.once
def test_at_one_number_the_best_levels_of_all_agree() -> None:
    market = SyntheticMarket(5, [SPOT], pace=100.0)
    names = [BOOKS, BOOKS_TICKS, BOOKS_50, f"books5:{SPOT}", f"bbo-tbt:{SPOT}"]
    books = {name: Merged() for name in names[:3]}
    best: dict[str, dict[str, Any]] = {name: {} for name in names}

    def note(push: EncodedPush) -> None:
        element = push.element
        for name in set(books) & {push.channel}:
            books[name].take(push.text)
            bids, asks = books[name].book
            element = {**element, "bids": bids, "asks": asks}
        rows = [[tuple(row) for row in element[side]] for side in ("bids", "asks")]
        best[push.channel][element["seqId"]] = rows

    for push in (*opened(market, *names).values(), *moved(market, set(names), 600)):
        note(push)
    for one in names:
        for other in names:
            both = best[one].keys() & best[other].keys()
            assert len(both) > 100
            levels = min(1 if "bbo" in name else 5 for name in (one, other))
            for seq in both:
                mine, theirs = (
                    [s[:levels] for s in best[n][seq]] for n in (one, other)
                )
                assert mine == theirs


def test_v5_pushes_in_its_order() -> None:
    # One look at the book after every change.
    market = SyntheticMarket(5, [SPOT], pace=10.0, interval=0.1)
    names = ["bbo-tbt", "books-l2-tbt", "books50-l2-tbt", "books", "books5"]
    wanted = {f"{name}:{SPOT}" for name in names}
    opened(market, *sorted(wanted))
    for step in range(200):
        said = [
            push.channel.partition(":")[0]
            for push in market.advance(0.1, float(step), wanted)
        ]
        assert said == [name for name in names if name in said]


def test_the_forms_are_those_of_the_wire() -> None:
    market = SyntheticMarket(1, [SPOT, OPTION], pace=100.0)
    option = f"option/depth:{OPTION}"
    wholes = opened(market, DEPTH, BOOKS, option)
    updates: dict[str, Any] = {}
    for push in moved(market, {*wholes}, 400):
        element = json.loads(push.text)["data"][0]
        if element["asks"] and element["bids"]:
            updates[push.channel] = json.loads(push.text)

    for channel, action in ((DEPTH, "partial"), (option, "partial")):
        for message, said in (
            (json.loads(wholes[channel].text), action),
            (updates[channel], "update"),
        ):
            assert list(message) == ["table", "action", "data"]
            assert message["table"] == channel.partition(":")[0]
            assert message["action"] == said
            assert list(message["data"][0]) == [
                "instrument_id",
                "asks",
                "bids",
                "timestamp",
                "checksum",
            ]
            assert isinstance(message["data"][0]["checksum"], int)
            fields = 3 if channel == DEPTH else 4
            assert {len(row) for row in message["data"][0]["bids"]} == {fields}
    for message in (json.loads(wholes[BOOKS].text), updates[BOOKS]):
        assert list(message) == ["arg", "action", "data"]
        assert message["arg"] == about("books")
        (element,) = message["data"]
        names = ["asks", "bids", "ts", "checksum", "prevSeqId", "seqId"]
        assert list(element) == names
        assert [type(element[name]) for name in names[2:]] == [str, int, int, int]
        assert element["checksum"] == 0
        assert {len(row) for row in element["bids"]} == {4}


def test_a_price_that_is_gone_has_four_fields_of_which_three_are_zero() -> None:
    market = SyntheticMarket(1, [SPOT], pace=100.0)
    opened(market, BOOKS_50, TICKS)
    rows = {BOOKS_50: set(), TICKS: set()}  # type: ignore[var-annotated]
    for push in moved(market, set(rows), 200):
        for side in ("asks", "bids"):
            rows[push.channel] |= {tuple(row[1:]) for row in push.element[side]}

    assert ("0", "0", "0") in rows[BOOKS_50]
    assert ("0", "0") in rows[TICKS]
    assert all(float(row[0]) > 0 or set(row) == {"0"} for row in rows[BOOKS_50])


def test_fifty_levels_are_fifty() -> None:
    market, merged = SyntheticMarket(2, [SPOT], pace=300.0), Merged()
    merged.take(opened(market, BOOKS_50)[BOOKS_50].text)
    for push in moved(market, {BOOKS_50}, 200):
        merged.take(push.text)
        assert [len(side) for side in merged.book] == [50, 50]


def test_a_book_is_said_every_interval_and_tick_by_tick_at_once() -> None:
    market = SyntheticMarket(2, [SPOT], pace=100.0, interval=0.5)
    opened(market, BOOKS, BOOKS_TICKS)
    counts = {BOOKS: 0, BOOKS_TICKS: 0}
    for push in moved(market, set(counts), 200):
        counts[push.channel] += 1

    assert 18 <= counts[BOOKS] <= 20
    assert counts[BOOKS_TICKS] > 700


def test_a_book_that_nobody_asked_for_is_not_followed() -> None:
    market = SyntheticMarket(2, [SPOT], pace=100.0)
    opened(market, f"books5:{SPOT}")
    list(moved(market, {BOOKS}, 20))
    (instrument_market,) = instrument_markets_of(market)
    bids, _ = sides_of(instrument_market)

    assert followed_books_of(instrument_market) == []
    assert watches_of(bids) == []


def test_v5_says_once_a_minute_that_a_book_is_idle_and_v3_does_not() -> None:
    market = SyntheticMarket(2, [SPOT], pace=0.0)
    wholes = opened(market, *EVERY)
    last = {name: push.element.get("seqId") for name, push in wholes.items()}
    pushes = [
        push
        for second in range(int(2 * IDLE) + 5)
        for push in market.advance(1.0, 5000.0 + second, set(EVERY))
    ]

    assert [push.channel for push in pushes] == [BOOKS_TICKS, BOOKS_50, BOOKS] * 2
    for push in pushes:
        element, number = push.element, last[push.channel]
        assert json.loads(push.text)["action"] == "update"
        assert (element["asks"], element["bids"]) == ([], [])
        assert element["seqId"] == element["prevSeqId"] == number
    market.pace = 100.0
    assert next(moved(market, {BOOKS_TICKS}, 9)).element["prevSeqId"] == number


# --- A client -----------------------------------------------------------------------


class Follower:
    """One subscription of one book, read as far as a test wants."""

    def __init__(self, peer: Peer, channel: str) -> None:
        self.peer, self.channel = peer, channel
        self.merged = Merged()
        self.texts: list[str] = []

    def read(self, count: int) -> list[dict[str, Any]]:
        """Merge the next *count* messages; their elements."""
        elements: list[dict[str, Any]] = []
        while len(elements) < count:
            text = self.peer.text()
            if '"data"' in text:
                elements.append(self.merged.take(text))
                self.texts.append(text)
        return elements

    def read_all(self) -> None:
        """Merge whatever has been sent so far."""
        self.peer.socket.send("ping")
        while (text := self.peer.text()) != "pong":
            if '"data"' in text:
                self.merged.take(text)
                self.texts.append(text)

    def ask(self, op: str) -> None:
        name, _, instrument_id = self.channel.partition(":")
        if isinstance(self.peer, PeerV5):
            self.peer.ask(op, about(name, instrument_id))
        else:
            self.peer.ask(op, self.channel)


@contextmanager
def following(exchange: LocalExchange, channel: str) -> Iterator[Follower]:
    """A client whose subscription is on its way, with a login where it needs one."""
    old = "/" in channel
    with dial(exchange) if old else dial_v5(exchange) as peer:
        if isinstance(peer, PeerV5):
            peer.ask("login", login_v5(exchange.credentials[0]))
            assert peer.event()["event"] == "login"
        follower = Follower(peer, channel)
        follower.ask("subscribe")
        yield follower


def still(exchange: LocalExchange, *followers: Follower) -> None:
    """Let the market stand still, and the clients read what there is."""
    exchange.pace = 0.0
    # What is said every interval is soon what is said at once.
    assert exchange.wait_for(
        lambda: exchange.book(BOOKS).book == exchange.book(BOOKS_TICKS).book
    )
    for follower in followers:
        follower.read_all()


@pytest.mark.parametrize("channel", EVERY)
def test_a_client_has_the_truth_once_the_market_stands_still(channel: str) -> None:
    exchange = LocalExchange(pace=300.0, checksums=True, interval=0.02)
    with exchange, following(exchange, channel) as first:
        first.read(40)
        with following(exchange, channel) as late:
            late.read(10)
            still(exchange, first, late)
            truth = exchange.book(channel)
            assert isinstance(truth, Said)
            for client in (first, late):
                assert client.merged.flaws == []
                assert client.merged.actions.count("update") > 8
                assert client.merged.book == (truth.book.bids, truth.book.asks)
                assert client.merged.seq == truth.seq
            assert (truth.seq is None) == ("/" in channel)
            assert abs(truth.at - time.time()) < 600
            pushed = [each.element for each in exchange.pushed(channel)]
            sent = [
                json.loads(text, parse_float=str, parse_int=str)["data"][0]
                for text in first.texts
            ]
            # But for the snapshot of the second.
            assert [each for each in pushed if each in sent] == sent


def test_the_truth_of_a_book_that_nobody_asked_for_is_there_too() -> None:
    with LocalExchange(pace=0.0) as exchange:
        truth = exchange.book(BOOKS)
        with following(exchange, BOOKS) as client:
            client.read(1)

        assert client.merged.book == (truth.book.bids, truth.book.asks)
        assert len(truth.book.bids) > 50


def test_a_second_subscribe_brings_no_second_snapshot_and_another_one_does() -> None:
    with LocalExchange(pace=0.0) as exchange, following(exchange, BOOKS) as client:
        client.ask("subscribe")
        client.read_all()
        assert client.merged.actions == ["snapshot"]
        client.ask("unsubscribe")
        client.ask("subscribe")
        client.read_all()
        assert client.merged.actions == ["snapshot"] * 2


@pytest.mark.parametrize("name", ["books-l2-tbt", "books50-l2-tbt"])
def test_what_is_tick_by_tick_needs_a_login_on_the_public_path(name: str) -> None:
    with LocalExchange(pace=0.0) as exchange:
        with dial_v5(exchange) as peer:
            peer.ask("subscribe", about(name))
            event = peer.event()
            assert (event["event"], event["code"]) == ("error", "60011")
            peer.ask("subscribe", about("books"))
            assert peer.event()["event"] == "subscribe"
            peer.message()
            peer.ask("login", login_v5(exchange.credentials[0]))
            assert peer.event()["event"] == "login"
            peer.ask("subscribe", about(name))
            assert peer.event()["event"] == "subscribe"
            assert peer.message()["action"] == "snapshot"
        with dial_v5(exchange, "private") as peer:
            peer.ask("subscribe", about(name))
            assert peer.event()["code"] == "60018"


def test_an_idle_book_is_said_in_the_markets_own_time() -> None:
    exchange = LocalExchange(pace=0.0, speed=2000.0)
    with exchange, following(exchange, BOOKS) as client:
        first, second, third = client.read(3)
        assert client.merged.flaws == []
        assert first["seqId"] == second["prevSeqId"] == second["seqId"]
        assert third["seqId"] == third["prevSeqId"] == first["seqId"]
        assert second["bids"] == second["asks"] == []


# --- Faults -------------------------------------------------------------------------


@contextmanager
def spoiled(
    channel: str, how: str, times: int | None = 1, **options: Any
) -> Iterator[tuple[LocalExchange, Follower]]:
    """A client with its snapshot, at an exchange that is about to go wrong."""
    exchange = LocalExchange(7, pace=0.0, interval=0.02, **options)
    with exchange, following(exchange, channel) as client:
        client.read(1)
        exchange.spoil(channel, how, times)
        exchange.pace = 800.0
        yield exchange, client


# What a client of v3 finds, one of v5, and one of v5 with checksums; after how many
# messages at most, of which the snapshot is the first.
FOUND = {
    "lose": ("checksum", "sequence", "sequence"),
    "flip": ("checksum", None, "checksum"),
    "repeat": (None, "sequence", "sequence"),
    "reorder": ("checksum", "sequence", "sequence"),
    "gap": (..., "sequence", "sequence"),
    "reset": (..., None, None),
    "second snapshot": (None, None, None),
    "negative": ("size", "size", "size"),
}
KINDS = [(TICKS, False), (BOOKS_TICKS, False), (BOOKS_TICKS, True)]


@pytest.mark.once
@pytest.mark.parametrize("how", FOUND)
@pytest.mark.parametrize("kind", range(3))
def test_a_proof_sees_what_it_should(how: str, kind: int) -> None:
    (channel, checksums), found = KINDS[kind], FOUND[how][kind]
    if found is ...:
        with LocalExchange() as exchange, pytest.raises(ValueError, match="sequence"):
            exchange.spoil(channel, how)
        return
    # A lost change may be too deep for a checksum to see: several are not.
    times = 20 if how in ("lose", "reorder") else 1
    with spoiled(channel, how, times, checksums=checksums) as (exchange, client):
        client.read(80)
        assert client.merged.flaws[:1] == ([] if found is None else [found])
        if found is None and how != "repeat":
            assert client.merged.flaws == []


def test_a_lost_update_is_not_recorded_and_the_truth_has_it() -> None:
    with spoiled(BOOKS_TICKS, "lose") as (exchange, client):
        client.read(10)
        still(exchange, client)
        pushed = [each.element["seqId"] for each in exchange.pushed(BOOKS_TICKS)]
        assert client.merged.flaws == ["sequence"]
        assert str(exchange.book(BOOKS_TICKS).seq) == pushed[-1]
        assert exchange.newest(BOOKS_TICKS)
        # A new subscription is at the same place of the chain, and right.
        client.ask("unsubscribe")
        client.ask("subscribe")
        client.read_all()
        truth = exchange.book(BOOKS_TICKS).book
        assert client.merged.book == (truth.bids, truth.asks)


def test_a_repeated_update_is_recorded_twice() -> None:
    with spoiled(DEPTH, "repeat") as (exchange, client):
        client.read(3)
        _, first, second, third = client.texts
        assert first == second != third
        assert client.merged.flaws == []
        one, two = (each.element for each in exchange.pushed(DEPTH)[1:3])
        assert one == two


def test_a_flip_is_one_character_and_recorded_as_sent() -> None:
    with spoiled(TICKS, "flip") as (exchange, client):
        while not client.merged.flaws:
            client.read(1)
        assert client.merged.flaws == ["checksum"]
        exchange.pace = 0.0
        sent = json.loads(client.texts[-1], parse_int=str)["data"][0]
        assert sent in [each.element for each in exchange.pushed(TICKS)]
        wrong = set(client.merged.side("bids") + client.merged.side("asks"))
        truth = exchange.book(TICKS).book
        assert wrong != {*truth.bids, *truth.asks}


def test_a_second_snapshot_is_whole_right_and_unasked() -> None:
    with spoiled(BOOKS, "second snapshot", 2) as (exchange, client):
        client.read(8)
        actions = ["snapshot"] + ["snapshot", "update"] * 2 + ["update"] * 3
        assert client.merged.actions[:8] == actions
        still(exchange, client)
        truth = exchange.book(BOOKS)
        assert client.merged.flaws == []
        assert client.merged.book == (truth.book.bids, truth.book.asks)


@pytest.mark.parametrize("channel", [DEPTH, BOOKS])
def test_without_its_snapshot_a_client_gets_updates_alone(channel: str) -> None:
    with LocalExchange(pace=0.0, interval=0.02) as exchange:
        exchange.spoil(channel, "no snapshot")
        with following(exchange, channel) as client:
            client.read_all()
            assert client.texts == []
            exchange.pace = 300.0
            client.read(2)
            assert client.merged.flaws[0] == "no snapshot"
            assert client.merged.actions == ["update"] * 2
            with following(exchange, channel) as second:
                second.read(2)
                assert second.merged.flaws == []


@pytest.mark.parametrize("how", ["gap", "reset"])
def test_a_jump_of_the_numbers_is_the_truth_from_then_on(how: str) -> None:
    with spoiled(BOOKS_TICKS, how) as (exchange, client):
        client.read(10)
        exchange.heal()
        with following(exchange, BOOKS_TICKS) as late:
            late.read(10)
            client.read(10)
            still(exchange, client, late)
            truth = exchange.book(BOOKS_TICKS)
            for each in (client, late):
                assert each.merged.seq == truth.seq
                assert each.merged.book == (truth.book.bids, truth.book.asks)
            assert late.merged.flaws == []
            assert client.merged.flaws == (["sequence"] if how == "gap" else [])


def test_what_was_held_back_comes_with_the_healing() -> None:
    with (
        LocalExchange(7, pace=0.0) as exchange,
        following(exchange, BOOKS_TICKS) as client,
    ):
        client.read(1)
        hold_back(exchange)
        exchange.heal()
        client.read_all()
        truth = exchange.book(BOOKS_TICKS)
        # All came, though some pairs out of order: the market made several messages.
        in_order = Merged()
        for text in sorted(client.texts, key=seq_of):
            in_order.take(text)
        assert in_order.flaws == []
        assert in_order.book == (truth.book.bids, truth.book.asks)
        exchange.heal()


def test_what_was_held_back_for_those_who_left_is_lost() -> None:
    with LocalExchange(7, pace=0.0) as exchange:
        with following(exchange, BOOKS_TICKS) as client:
            client.read(1)
            hold_back(exchange)
        assert exchange.wait_for(lambda: not exchange.clients)
        exchange.heal()
        exchange.pace = 100.0
        with following(exchange, BOOKS_TICKS) as client:
            client.read(5)
            assert client.merged.flaws == []


def seq_of(text: str) -> int:
    return int(json.loads(text)["data"][0]["seqId"])


def hold_back(exchange: LocalExchange) -> None:
    """Have a message be held back, and the market stand still behind it."""
    # Every second one is, until the next: one alone could come and go unseen.
    exchange.spoil(BOOKS_TICKS, "reorder", times=1_000_000)
    while not holds_back(exchange, BOOKS_TICKS):
        exchange.pace = 100.0
        time.sleep(0.003)
        exchange.pace = 0.0


@pytest.mark.parametrize(("channel", "checksums"), [(DEPTH, False), (BOOKS, True)])
def test_a_retired_checksum_is_zero_until_it_is_healed(
    channel: str, checksums: bool
) -> None:
    with spoiled(channel, "retire", checksums=checksums) as (exchange, client):
        assert {each["checksum"] for each in client.read(3)} == {"0"}
        with following(exchange, channel) as late:
            assert late.read(1)[0]["checksum"] == "0"
        exchange.heal()
        exchange.pace = 0.0
        client.read_all()
        exchange.pace = 300.0
        assert client.read(2)[1]["checksum"] == str(client.merged.checksum())


def test_nothing_that_nobody_receives_counts() -> None:
    with LocalExchange(7, pace=0.0) as exchange:
        with following(exchange, BOOKS_TICKS) as client:
            client.read(1)
        assert exchange.wait_for(lambda: not exchange.clients)
        exchange.spoil(BOOKS_TICKS, "lose")
        exchange.spoil(BOOKS_TICKS, "second snapshot")
        exchange.pace = 300.0
        assert exchange.wait_for(
            lambda: exchange.book(BOOKS_TICKS).seq != client.merged.seq
        )
        with following(exchange, BOOKS_TICKS) as client:
            client.read(6)
            assert client.merged.flaws == []
            assert client.merged.actions[:3] == ["snapshot", "snapshot", "update"]


@pytest.mark.parametrize(
    ("channel", "how", "error", "sentence"),
    [
        (DEPTH, "gap", ValueError, "sequence of a book, and 'spot/depth:BTC-USDT'"),
        (TICKS, "reset", ValueError, "sequence"),
        (f"books5:{SPOT}", "lose", ValueError, "no incremental book"),
        ("account", "lose", ValueError, "no incremental book"),
        ("books:XXX", "lose", ValueError, "no channel"),
        (BOOKS, "break", ValueError, "one of"),
        (BOOKS, 5, TypeError, "how"),
        (5, "lose", TypeError, "channel"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    channel: Any, how: Any, error: type[Exception], sentence: str
) -> None:
    with LocalExchange(pace=0.0) as exchange, pytest.raises(error, match=sentence):
        exchange.spoil(channel, how)


def test_how_often_is_checked_too() -> None:
    with LocalExchange(pace=0.0) as exchange:
        with pytest.raises(ValueError, match="times"):
            exchange.spoil(BOOKS, "lose", -1)
        with pytest.raises(ValueError, match="no incremental book"):
            exchange.book(f"spot/depth5:{SPOT}")
        for how in BOOK_FAULTS:
            exchange.spoil(BOOKS, how, times=None)
            exchange.spoil(BOOKS, how, times=0)
        assert book_faults_of(exchange) == {BOOKS: {}}


# --- Recordings ---------------------------------------------------------------------


@contextmanager
def recorded(path: Path, channel: str, how: str, v5: bool) -> Iterator[Follower]:
    """A client of a recording of which something is about to go wrong."""
    texts = TEXTS_V5 if v5 else TEXTS
    write(path / "made", texts, v5=v5)
    with LocalExchange(capture=path / "made", speed=20.0) as exchange:
        exchange.spoil(channel, how)
        with following(exchange, channel) as client:
            yield client


@pytest.mark.once
@pytest.mark.parametrize(
    ("how", "sent"),
    [
        ("lose", lambda update: []),
        ("flip", lambda update: [update.replace('"451"', '"452"')]),
        ("repeat", lambda update: [update] * 2),
        ("negative", lambda update: [update.replace('"451"', '"-451"')]),
        ("retire", lambda update: [update.replace("338594214", "0")]),
    ],
)
@pytest.mark.parametrize("v5", [False, True])
def test_a_recorded_book_is_spoiled_too(
    tmp_path: Path, how: str, sent: Callable[[str], list[str]], v5: bool
) -> None:
    channel, update = (BOOK_V5, UPDATE_V5) if v5 else (BOOK, UPDATE)
    with recorded(tmp_path, channel, how, v5) as client:
        texts = list(texts_until_the_end(client.peer))
        assert texts[1:] == sent(update)


def texts_until_the_end(peer: Peer) -> Iterator[str]:
    try:
        while True:
            if '"data"' in (text := peer.text()):
                yield text
    except TimeoutError:
        raise
    except Exception:
        return


def test_before_the_first_message_of_a_recording_its_book_is_empty(
    tmp_path: Path,
) -> None:
    write(tmp_path / "made", TEXTS)
    with LocalExchange(capture=tmp_path / "made") as exchange:
        assert exchange.book(BOOK) == Said(OrderBook(), None, 0.0)
        with pytest.raises(ValueError, match="sequence"):
            exchange.spoil(BOOK, "gap")
