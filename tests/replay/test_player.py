"""A recording replayed through the library itself: the same story, to the byte.

Beside each replay that proves something stands one that was changed by a digit.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    ChecksumMismatch,
    Depth,
    Feed,
    NotLive,
    Reconnect,
    Recorder,
    RecordingDamaged,
    Replay,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.base.clock import utc
from okex_ws.local_exchange import LocalExchange, deflate
from okex_ws.recording.format import Entry
from tests.support.recordings import (
    ACK,
    SUBSCRIBE,
    WALL,
    asked,
    at,
    depth,
    heard,
    opened,
    session,
    write,
)

BTC = ("BTC-USDT", "spot")


class Ear:
    """All that a subscription tells, in order, as text."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.texts: list[str] = []
        self.changes: list[StateChange] = []
        self.errors: list[Exception] = []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "on_message": self.message,
            "on_state": self.state,
            "on_error": self.error,
        }

    def message(self, text: str) -> None:
        self.texts.append(text)
        self.told.append(text)

    def state(self, change: StateChange) -> None:
        self.changes.append(change)
        self.told.append(repr(change))

    def error(self, error: Exception) -> None:
        self.errors.append(error)
        self.told.append(repr(error))

    @property
    def story(self) -> list[tuple[str, str, str]]:
        """The changes of state, without their times."""
        return [(str(each.old), str(each.new), each.cause) for each in self.changes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


PUSHES = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 40)]


def bid(sub: WSSubscription) -> str | None:
    """The best bid that can be trusted."""
    depth = sub.GetDepth()
    return depth["bids"][0][0] if depth else None


# --- Virtual time -------------------------------------------------------------------


def test_it_is_the_recorded_exchange_at_the_recorded_time(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path, speed="max") as replay:
        sub = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        seen = {
            round(moment.timestamp() - WALL, 3): (sub.state, bid(sub))
            for moment in replay
        }

        assert replay.venue.name == "example"
        assert replay.instruments == (("spot", "BTC-USDT", ("depth5",)),)
        assert replay.begins == datetime.fromtimestamp(WALL, timezone.utc)
        assert (replay.ends - replay.begins).total_seconds() == 39.0
    assert seen[0.05] == (State.SYNCING, None)
    assert all(seen[n] == (State.LIVE, f"{100 + n:.0f}.1") for n in range(1, 40))
    assert sub.state is State.CLOSED


def test_what_only_a_raw_channel_takes_is_no_channel_of_it(path: Path) -> None:
    asks = [SUBSCRIBE.replace("books5", name) for name in ("books5", "mystery")]
    write(path, opened(), *(asked(0.01, ask) for ask in asks), *PUSHES)

    with Replay(path, speed=math.inf) as replay:
        assert replay.instruments == (("spot", "BTC-USDT", ("depth5",)),)


def test_a_login_is_answered_whoever_asks(path: Path) -> None:
    live = Gated("v5", path)
    live.run()

    ear, reads, _ = replayed(live)

    assert State.LIVE in {change.new for change in ear.changes}
    assert any("books50-l2-tbt" in text for text in ear.texts)
    assert len(reads) > 8


def test_what_was_received_was_so_when_it_was_recorded(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path, speed=math.inf) as replay:
        sub = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        moment = next(at for at in replay if bid(sub) == "117.1")

        assert sub.depth().received == moment
        assert moment.timestamp() == WALL + 17.0
        # Nothing moves outside: a later look is the same.
        assert bid(sub) == "117.1"
        # And the loop may be gone on with.
        assert next(iter(replay)).timestamp() == WALL + 18.0


def test_at_speed_nothing_that_waits_need_know_of_it(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path, speed="max") as replay:
        feed = replay.feed()
        sub = feed.subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        feed.wait_live()
        assert bid(sub) == "101.1"
        items = list(sub.updates(latest=False))

    depths = [item for item in items if isinstance(item, Depth)]
    assert [item.bids[0][0] for item in depths] == [
        f"{100 + n}.1" for n in range(1, 40)
    ]
    assert isinstance(items[-1], StateChange)
    assert items[-1].new is State.CLOSED


def test_a_wait_has_its_limit_in_that_time(path: Path) -> None:
    write(path, *session(heard(60.0, depth(60.0)), end=80.0))
    with Replay(path, speed=math.inf) as replay:
        sub = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        with pytest.raises(TimeoutError, match="SYNCING after 30 s"):
            sub.wait_live(timeout=30.0)
        with pytest.raises(TimeoutError):
            next(sub.updates(timeout=5.0))
        sub.wait_live(timeout=30.0)
        assert bid(sub) == "100.1"
        replay.run()
        with pytest.raises(NotLive, match="CLOSED"):
            sub.wait_live()


def moved(entry: Entry, mono: float) -> Entry:
    """An entry of a second connection, of another time."""
    return entry._replace(mono=mono, wall=WALL + mono, connection=2)


def test_a_stall_is_one_again_and_so_is_the_next_connection(path: Path) -> None:
    # The pongs end, and the pushes go on; much later there is a connection.
    pongs = [each for each in session(*PUSHES, end=30.0) if each.payload != b"pong"]
    pongs += [heard(5.0 * n + 0.1, "pong") for n in range(4)]
    pongs.sort(key=lambda entry: entry.mono)
    rest = [opened(80.0, 2)]
    rest += [moved(each, 80.1) for each in session()[1:3]]
    late = [heard(80.2, "pong", 2), heard(81.0, depth(81.0), 2), heard(86.0, "pong", 2)]
    end = at(30.1, "end", cause="Stalled", why="no pong came within 10 s")
    write(path, *pongs, end, *rest, *late)
    ear = Ear()
    with Replay(path, speed=math.inf) as replay:
        replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"], **ear.options)
        replay.run()

    states = [change.new for change in ear.changes]
    assert states == [
        *(State.SYNCING, State.LIVE, State.STALE, State.RECONNECTING),
        *(State.SYNCING, State.LIVE, State.CLOSED),
    ]
    # The lease of the last ping that was answered, and that of the one that was not.
    since = [change.at.timestamp() - WALL for change in ear.changes]
    assert since[2] == pytest.approx(30.0, abs=0.2)
    assert since[4] == pytest.approx(80.0, abs=0.01)


def test_a_program_may_come_and_go_in_the_middle(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path, speed=math.inf) as replay:
        with replay.feed() as first:
            one = first.subscribe([BTC[0]], BTC[1], ["depth5"])[0]
            for moment in replay:
                if moment.timestamp() - WALL > 10.0:
                    break
            assert bid(one) == "110.1"
        assert one.state is State.CLOSED
        two = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        three = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        # They are proven by the next pong that was recorded.
        proven = next(at for at in replay if two.state is State.LIVE)
        assert proven.timestamp() == pytest.approx(WALL + 15.1)
        assert (bid(two), bid(three)) == ("115.1", "115.1")
        two.close()
        next(iter(replay))
        assert bid(three) == "116.1"


def test_from_a_start_on_it_begins_with_what_still_matters(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    begins = datetime.fromtimestamp(WALL, timezone.utc)
    for start in (20.5, begins + timedelta(seconds=20.5)):
        ear = Ear()
        with Replay(path, speed=math.inf, start=start) as replay:
            feed = replay.feed()
            sub = feed.subscribe([BTC[0]], BTC[1], ["depth5"], **ear.options)[0]
            moment = next(iter(replay))
            assert moment.timestamp() == WALL + 21.0
            replay.run()
        assert sub.state is State.CLOSED
        assert ear.texts == [entry.payload.decode() for entry in PUSHES[19:]]


@pytest.mark.parametrize(
    "start",
    [
        -1.0,
        41.0,
        math.nan,
        datetime.fromtimestamp(WALL - 1, timezone.utc),
        datetime.fromtimestamp(WALL, timezone.utc).replace(tzinfo=None),
    ],
)
def test_a_start_outside_of_it_is_refused(path: Path, start: Any) -> None:
    write(path, *session(*PUSHES, end=39.0))

    with pytest.raises(ValueError, match="start is"):
        Replay(path, start=start)


def test_a_channel_that_was_not_recorded_is_refused(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    ear = Ear()
    with Replay(path, speed=math.inf) as replay:
        feed = replay.feed()
        sub = feed.subscribe(["ETH-USDT"], "spot", ["depth5"], **ear.options)[0]
        for _ in replay:
            pass

    assert sub.state is State.FAILED
    (error,) = ear.errors
    assert isinstance(error, SubscriptionRejected)
    assert error.code == "60018"


# --- Bad input ----------------------------------------------------------------------


def test_of_a_damaged_one_all_before_is_played_and_then_it_says_where(
    path: Path,
) -> None:
    write(path, *session(*PUSHES, end=39.0))
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data)[:-9])
    ear = Ear()
    with Replay(path, speed=math.inf) as replay:
        replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"], **ear.options)
        with pytest.raises(RecordingDamaged, match="it is cut off here") as damaged:
            replay.run()

    assert len(ear.texts) >= 38
    assert damaged.value.path == str(path)
    assert damaged.value.line > 40


def test_what_cannot_be_read_is_told_at_once(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(RecordingDamaged, match="line 1: it is empty"):
        Replay(path)
    with pytest.raises(FileNotFoundError):
        Replay(path.with_name("none.rec.gz"))
    with pytest.raises(IsADirectoryError):
        Replay(path.parent)
    write(path.with_name("bare.rec.gz"))
    with pytest.raises(RecordingDamaged, match="it has no data"):
        Replay(path.with_name("bare.rec.gz"))


@pytest.mark.parametrize("speed", [0, -1.0, math.nan, 100.5, "fast", "MAX"])
def test_a_speed_is_more_than_nothing_and_what_threads_can_keep_up_with(
    path: Path, speed: Any
) -> None:
    with pytest.raises(ValueError, match="speed"):
        Replay(path, speed=speed)


def test_what_is_its_own_cannot_be_given(path: Path) -> None:
    write(path, *session(*PUSHES, end=9.0))
    with Replay(path, speed=math.inf) as replay:
        with pytest.raises(ValueError, match="its own clock"):
            replay.feed(clock=None)
        with pytest.raises(ValueError, match="callbacks='thread'"):
            replay.feed(callbacks="thread")
        with pytest.raises(ValueError, match="isolate"):
            replay.feed(isolate=True)
        replay.run()
        with pytest.raises(ValueError, match="the replay is over"):
            replay.feed()
    assert str(path) in repr(replay)


# --- Another speed ------------------------------------------------------------------


@pytest.mark.parametrize("callbacks", ["inline", "thread"])
def test_faster_it_is_the_same_by_the_machines_clock(
    path: Path, callbacks: Any
) -> None:
    write(path, *session(*PUSHES, end=39.0))
    ear, seen = Ear(), threading.Event()

    def listen(text: str) -> None:
        ear.message(text)
        if len(ear.texts) == 20:
            seen.set()

    with Replay(path, speed=60.0) as replay:
        feed = replay.feed(callbacks=callbacks)
        sub = feed.subscribe(
            [BTC[0]], BTC[1], ["depth5"], on_message=listen, on_state=ear.state
        )[0]
        sub.wait_live()
        # By itself, as nobody lets it.
        assert seen.wait(30.0)
        replay.run()
        replay.run()
    assert sub.state is State.CLOSED
    # A machine that is busy may come late, and then begins with what still matters.
    pushed = [entry.payload.decode() for entry in PUSHES]
    order = [pushed.index(text) for text in ear.texts]
    assert order == sorted(set(order))
    assert [change.new for change in ear.changes][:2] == [State.SYNCING, State.LIVE]


def test_it_may_be_closed_by_another_thread_while_it_waits(path: Path) -> None:
    write(path, *session(heard(1.0, depth(1.0)), heard(39.0, depth(39.0))))
    with Replay(path, speed=0.001) as replay:
        threading.Timer(0.01, replay.close).start()
        replay.run()


# --- Captures -----------------------------------------------------------------------

# Of books, how many messages prove themselves.
PROOFS = {
    "v3_OKEX.ws.56_20210417": 2398,
    "v3_OKEX.ws.57_20210417": 2338,
    "v3_OKCOIN.ws.1_20210722": 1031,
    "v5_OKEX.ws.1_20210722": 1504,
    "v5_OKX.ws.1_20220513": 290,
}


def follow(replay: Replay) -> tuple[Feed, Ear]:
    """Everything that a replay has; its texts are those of whole books."""
    feed, ear = replay.feed(), Ear()
    for market, name, channels in replay.instruments:
        feed.subscribe([name], market, channels, **ear.options)
    replay.run()
    ear.texts = [text for text in ear.texts if '"action"' in text]
    return feed, ear


@pytest.mark.once
@pytest.mark.parametrize("name", PROOFS)
def test_every_book_of_a_capture_is_proven(
    captures: Callable[[str], Path], name: str
) -> None:
    with Replay(captures(f"cryptofeed/{name}"), speed=math.inf) as replay:
        feed, ear = follow(replay)

    assert len(ear.texts) == PROOFS[name]
    assert feed.stats().dropped == {}
    assert feed.stats().resyncs == 0
    assert {change.new for change in ear.changes} == {
        *(State.SYNCING, State.LIVE, State.CLOSED)
    }


@pytest.mark.once
@pytest.mark.parametrize("name", PROOFS)
def test_one_digit_of_it_and_the_book_is_not(
    captures: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    # In the place of the recording itself, none of which may be in the project.
    source, mine = captures(f"cryptofeed/{name}"), tmp_path / name
    suffixes = ["recv.jsonl", "recv.times"] + ["deflate.b64"] * (name[:2] == "v3")
    files = {each: Path(f"{source}.{each}").read_text() for each in suffixes}
    lines = files["recv.jsonl"].splitlines()
    place, text = next(
        (n, line)
        for n, line in enumerate(lines)
        if n > 250 and '"action":"update"' in line and '"bids":[["' in line
    )
    change = json.loads(text)
    row = change["data"][0]["bids"][0]
    row[1] = row[1][:-1] + str((int(row[1][-1]) + 1) % 10)
    lines[place] = json.dumps(change, separators=(",", ":"))
    files["recv.jsonl"] = "\n".join([*lines, ""])
    if "deflate.b64" in files:
        packed = files["deflate.b64"].splitlines()
        packed[place] = base64.b64encode(deflate(lines[place])).decode()
        files["deflate.b64"] = "\n".join([*packed, ""])
    for suffix, content in files.items():
        Path(f"{mine}.{suffix}").write_text(content)
    with Replay(mine, speed=math.inf) as replay:
        feed, ear = follow(replay)

    broken = change["data"][0]["checksum"]
    first = next(each for each in ear.errors if isinstance(each, ChecksumMismatch))
    assert first.expected == broken
    about = change.get("arg", {}).get("instId")
    about = about or change["data"][0]["instrument_id"]
    assert about in str(first.channel)
    assert State.RESYNCING in {change.new for change in ear.changes}
    assert feed.stats().resyncs >= 1


# --- Through every kind of fault ----------------------------------------------------


class Live:
    """A feed that is recorded, and an exchange that goes wrong."""

    def __init__(self, protocol: str, path: Path) -> None:
        self.exchange = LocalExchange(seed=7, pace=100.0, interval=0.02)
        self.ear = Ear()
        self.path = path
        self.is_v5 = protocol == "v5"

    def run(self) -> None:
        again = Reconnect(first=0.02, cap=0.02, host_gap=0.0)
        with self.exchange as exchange, Recorder(self.path) as recorder:
            self.market, self.name = exchange.busiest
            venue = exchange.venue_v5 if self.is_v5 else exchange.venue
            with Feed(
                venue,
                recorder=recorder,
                reconnect=again,
                lease=2.0,
                credentials=exchange.credentials[0],
            ) as feed:
                self.feed = feed
                self.sub = self.subscribe(feed, self.ear)
                self.until(State.LIVE)
                self.go_wrong(exchange)
                self.stats = feed.stats()
            assert recorder.lost == 0

    def subscribe(self, feed: Feed, ear: Ear) -> WSSubscription:
        channels = ["depth5", "depth", "trade"]
        (sub,) = feed.subscribe([self.name], self.market, channels, **ear.options)
        return sub

    def until(self, state: State) -> None:
        """It comes to a *state*, and then the market goes on for a while."""
        assert self.exchange.wait_for(lambda: self.sub.state is state)
        more = len(self.ear.texts) + 8
        if state is State.LIVE:
            assert self.exchange.wait_for(lambda: len(self.ear.texts) > more)

    def spoil(self, how: Callable[[], object]) -> None:
        """Have something be unreadable, or wrong."""
        before = sum(self.feed.stats().dropped.values())
        how()
        assert self.exchange.wait_for(
            lambda: sum(self.feed.stats().dropped.values()) > before
        )
        self.until(State.LIVE)

    def lose(self, how: Callable[[], object], back: bool = True) -> None:
        """Have all connections be lost, and come back."""
        lost = len(self.ear.changes)
        how()
        assert self.exchange.wait_for(
            lambda: any(
                change.new is State.RECONNECTING for change in self.ear.changes[lost:]
            )
        )
        if back:
            self.until(State.LIVE)

    def go_wrong(self, exchange: LocalExchange) -> None:
        book = (
            f"books:{self.name}" if self.is_v5 else f"{self.market}/depth:{self.name}"
        )
        trade = (
            f"trades:{self.name}" if self.is_v5 else f"{self.market}/trade:{self.name}"
        )
        self.spoil(lambda: exchange.send_raw(b"\xff garbage", text=self.is_v5))
        self.lose(exchange.drop)
        # v3's checksum is of the best levels, and one is lost that may be further down.
        self.spoil(lambda: exchange.spoil(book, "lose" if self.is_v5 else "flip"))
        self.lose(lambda: exchange.close_clients(1012, "restart"))
        self.spoil(lambda: exchange.spoil(book, "negative"))
        exchange.refuse()
        self.lose(exchange.drop, back=False)
        errors = len(self.ear.errors)
        assert exchange.wait_for(lambda: len(self.ear.errors) > errors + 2)
        exchange.refuse(False)
        self.until(State.LIVE)
        exchange.respond(503, times=2)
        exchange.reject(trade, 60012 if self.is_v5 else 30040, "no", times=1)
        self.lose(exchange.drop)
        exchange.silence()
        exchange.send_event({"event": "odd"})
        exchange.resume()
        self.until(State.LIVE)


class Gated(Live):
    """One with a channel that wants a login."""

    def go_wrong(self, exchange: LocalExchange) -> None:
        self.lose(exchange.drop)

    def subscribe(self, feed: Feed, ear: Ear) -> WSSubscription:
        (sub,) = feed.subscribe(
            [self.name], self.market, ["books50-l2-tbt"], **ear.options
        )
        return sub


class Rotated(Live):
    """One whose exchange announces its end, so that another connection takes over."""

    def go_wrong(self, exchange: LocalExchange) -> None:
        assert exchange.handshakes == 1
        exchange.notice()
        assert exchange.wait_for(
            lambda: exchange.handshakes == 2 and exchange.clients == 1
        )
        self.until(State.LIVE)


def replayed(live: Live) -> tuple[Ear, list[str], Any]:
    """All that comes of the recording: what was told, and what every read gave."""
    ear, reads = Ear(), []
    with Replay(live.path, speed=math.inf) as replay:
        feed = replay.feed(lease=2.0)
        sub = live.subscribe(feed, ear)
        for moment in replay:
            health = sub.health()
            best = sub.best_bid_ask()
            reads.append(f"{moment} {health} {sub.GetDepth()} {best} {sub.trades}")
        reads.append(str(feed.stats()))
    return ear, reads, feed.stats()


@pytest.fixture(scope="module", params=["v3", "v5"])
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Live:
    made = Live(request.param, tmp_path_factory.mktemp("live") / "day.rec.gz")
    made.run()
    return made


def test_the_replay_tells_what_the_live_run_told(live: Live) -> None:
    ear, reads, stats = replayed(live)

    assert len(live.ear.texts) > 100
    # What was read after `close` was called is in the recording, and was told nobody.
    told = len(live.ear.texts)
    assert ear.texts[:told] == live.ear.texts
    assert len(ear.texts) < told + 20
    assert ear.story == live.ear.story
    assert list(map(str, ear.errors)) == list(map(str, live.ear.errors))
    assert (stats.reconnects, stats.dropped, stats.gaps, stats.resyncs) == (
        *(live.stats.reconnects, live.stats.dropped),
        *(live.stats.gaps, live.stats.resyncs),
    )
    assert len(reads) > 100


def test_twice_it_is_the_same_to_the_byte(live: Live) -> None:
    one, two = replayed(live), replayed(live)

    assert "\n".join(one[0].told).encode() == "\n".join(two[0].told).encode()
    assert "\n".join(one[1]).encode() == "\n".join(two[1]).encode()


@pytest.mark.once
def test_one_digit_of_it_and_it_is_not(live: Live, path: Path) -> None:
    said = gzip.decompress(live.path.read_bytes()).split(b"\n")
    whole = [n for n, line in enumerate(said) if b'"kind":"in"' in line]
    # A price in the middle of what a good while of the market was.
    for n in whole[len(whole) // 3 :]:
        entry = json.loads(said[n])
        text = entry.get("text", "")
        if '"books5"' in text and 'bids":[["' in text:
            at = entry["text"].index('bids":[["') + len('bids":[["')
            digit = str((int(entry["text"][at]) + 1) % 10)
            entry["text"] = entry["text"][:at] + digit + entry["text"][at + 1 :]
            break
        if "binary" in entry:
            entry["binary"] = "A" * 8 + entry["binary"][8:]
            break
    said[n] = json.dumps(entry).encode()
    path.write_bytes(gzip.compress(b"\n".join(said)))
    mine = Live("v5" if live.is_v5 else "v3", path)
    mine.market, mine.name = live.market, live.name

    ear, reads, _ = replayed(mine)

    assert ear.told != replayed(live)[0].told
    assert reads != replayed(live)[1]


def test_where_one_connection_took_over_one_does_again(path: Path) -> None:
    live = Rotated("v5", path)
    live.run()

    one, two = replayed(live), replayed(live)

    # Around the change two threads spoke then: what each had read when is not told.
    assert one[0].story == live.ear.story
    assert State.RECONNECTING not in {change.new for change in one[0].changes}
    assert one[2].reconnects == {}
    assert set(live.ear.texts) - set(one[0].texts) == set()
    assert (one[0].told, one[1]) == (two[0].told, two[1])


# --- The log ------------------------------------------------------------------------


def cut_off(path: Path) -> None:
    """A day on which a message could not be read, and the connection was cut off."""
    broken = heard(20.0, '{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[1]}')
    cut = at(30.1, "end", cause="ConnectionLost", why="cut off", cause_code="tls")
    rest = [opened(35.0, 2), *(moved(each, 35.1) for each in session()[1:3])]
    entries = [*session(*PUSHES, broken, end=30.0), cut, *rest]
    write(path, *sorted(entries, key=lambda entry: entry.mono))


@pytest.mark.parametrize("speed", [math.inf, 100.0])
def test_the_past_is_not_logged_as_if_it_were_present(
    path: Path, speed: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    cut_off(path)
    ear = Ear()
    with Replay(path, speed=speed) as replay:
        replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"], **ear.options)
        replay.run()

    assert [error.cause.code for error in ear.errors] == ["unreadable", "tls"]  # type: ignore[attr-defined]
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    (lost,) = [each for each in caplog.messages if "cut off" in each]
    when = f"at {utc(WALL + 30.1):%Y-%m-%d %H:%M:%S} UTC, as recorded: "
    # By the machine's clock, which runs meanwhile, it is the same minute at least.
    assert lost.startswith(when if speed == math.inf else when[:16])


def test_an_exception_of_the_script_is_of_the_present(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, *session(*PUSHES, end=39.0))

    def fail(change: StateChange) -> None:
        raise RuntimeError("a bug of the script")

    with Replay(path, speed=math.inf) as replay:
        replay.feed(on_state=fail).subscribe([BTC[0]], BTC[1], ["depth5"])
        replay.run()

    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert {each.getMessage() for each in errors} == {"on_state of BTC-USDT raised"}


def test_a_feed_of_a_replay_is_told_of_its_connections(path: Path) -> None:
    cut_off(path)
    ear, told = Ear(), list[Exception]()
    with Replay(path, speed=math.inf) as replay:
        feed = replay.feed(on_error=told.append)
        feed.subscribe([BTC[0]], BTC[1], ["depth5"], **ear.options)
        replay.run()

    assert [error.cause.code for error in told] == ["tls"]  # type: ignore[attr-defined]
    assert [error.cause.code for error in ear.errors] == ["unreadable"]  # type: ignore[attr-defined]


# --- What the recorded program left ---------------------------------------------------


def leaving(end: float = 39.0) -> list[Entry]:
    """The program left the channel after 10 s, and its connection went on."""
    leave = SUBSCRIBE.replace("subscribe", "unsubscribe")
    left = ACK.replace('"subscribe"', '"unsubscribe"')
    first = [each for each in session(*PUSHES[:9], end=end) if each.mono <= 10.0]
    rest = [each for each in session(end=end) if each.mono > 10.0]
    return [*first, asked(10.0, leave), heard(10.05, left), *rest]


def lives(path: Path, **more: Any) -> list[float]:
    """The seconds at which a program that stays has a live book."""
    with Replay(path, speed="max", **more) as replay:
        (sub,) = replay.feed().subscribe([BTC[0]])
        return [
            round(at.timestamp() - WALL, 3)
            for at in replay
            if sub.state is State.LIVE and sub.GetDepth()
        ]


def test_a_channel_that_was_left_then_is_live_no_more(path: Path) -> None:
    write(path, *leaving())
    assert max(lives(path)) == 10.0
    assert lives(path, start=20.0) == []


def test_where_messages_are_missing_no_book_goes_on(path: Path) -> None:
    calm = [each for each in session(*PUSHES, end=39.0) if each.payload == b"pong"]
    rest = [heard(20.0, depth(20.0, "120.1")), *(e for e in calm if e.mono > 9.5)]
    rest.sort(key=lambda each: each.mono)
    first = [each for each in session(*PUSHES, end=39.0) if each.mono <= 9.5]
    lost = at(9.5, "lost", 0, count=3, why="too slow")

    write(path, *first, lost, *rest)
    live = lives(path)
    assert 9.0 in live
    assert not [mono for mono in live if 9.5 <= mono < 20.0]
    assert max(live) > 35.0
    # The twin: with nothing missing the book of a quiet market goes on.
    write(path, *first, *rest)
    assert [mono for mono in lives(path) if 9.5 <= mono < 20.0]


def test_a_channel_that_was_not_left_goes_on_by_its_pongs(path: Path) -> None:
    # The twin: the same, but for the answer that says that it was left.
    kept = [each for each in leaving() if b"unsubscribe" not in each.payload]
    write(path, *kept)
    assert max(lives(path)) > 35.0


# --- On a grid ----------------------------------------------------------------------


def test_on_a_grid_each_subscription_has_a_row_a_tick(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path, speed="max") as replay:
        feed = replay.feed()
        one, two = (feed.subscribe([BTC[0]], BTC[1], ["depth5"])[0] for _ in range(2))
        rows = list(replay.every(1.0, levels=1))
    assert [row[0].at for row in rows] == [utc(WALL + n) for n in range(40)]
    bids = [[each.depth and each.depth.bids[0][0] for each in row] for row in rows]
    assert bids == [[None, None], *([f"{100 + n}.1"] * 2 for n in range(1, 40))]
    assert one.state is two.state is State.CLOSED


def test_on_a_grid_a_damaged_recording_says_so_last(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    path.write_bytes(path.read_bytes()[:-40])
    rows = []
    with Replay(path, speed="max") as replay:
        replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])
        with pytest.raises(RecordingDamaged):
            rows.extend(iter(replay.every(1.0)))
    assert rows


def test_a_grid_of_a_replay_is_in_virtual_time_alone(path: Path) -> None:
    write(path, *session(*PUSHES, end=39.0))
    with Replay(path) as replay, pytest.raises(ValueError, match=r"okx\.every"):
        replay.every(1.0)
    with Replay(path, speed="max") as replay, pytest.raises(ValueError, match="more"):
        replay.every(0.0)


def test_a_later_part_alone_begins_with_its_own_first_message(tmp_path: Path) -> None:
    path = tmp_path / "day.1.rec.gz"
    later = [each for each in session(*PUSHES, end=39.0) if each.mono >= 20.0]
    write(path, opened(again=True), *later, part=1)
    with Replay(path, speed="max") as replay:
        assert replay.begins == utc(WALL + 20.0)
        sub = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        seen = {round(at.timestamp() - WALL, 3): bid(sub) for at in replay}
    assert min(seen) == 20.0
    assert seen[20.0] is None  # no pong has come yet
    assert all(seen[n] == f"{100 + n}.1" for n in range(21, 40))


def test_one_digit_of_a_later_part_and_it_is_another(tmp_path: Path) -> None:
    path = tmp_path / "day.1.rec.gz"
    later = [each for each in session(*PUSHES, end=39.0) if each.mono >= 20.0]
    spoiled = [
        each._replace(payload=each.payload.replace(b"130.1", b"130.2"))
        for each in later
    ]
    write(path, opened(again=True), *spoiled, part=1)
    with Replay(path, speed="max") as replay:
        sub = replay.feed().subscribe([BTC[0]], BTC[1], ["depth5"])[0]
        seen = {round(at.timestamp() - WALL, 3): bid(sub) for at in replay}
    assert (seen[30.0], seen[31.0]) == ("130.2", "131.1")
