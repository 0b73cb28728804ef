"""A feed in a process of its own: the same reads, and what becomes of its end.

What is common to both is tried on a thread and in a process, on real sockets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    Feed,
    HandshakeFailed,
    NotLive,
    OkexWSError,
    Reconnect,
    State,
    SubscriptionRejected,
    Timeouts,
    Venue,
    WSSubscription,
)
from okex_ws.base.errors import WireError
from okex_ws.isolation.slot_reading import SharedPush
from okex_ws.local_exchange import LocalExchange
from okex_ws.trust.reading import take
from okex_ws.trust.verdict import LIVE, NO_LIMITS
from tests.support.http_proxy import HttpProxy
from tests.support.internals import (
    callbacks_of,
    depth_reading_of,
    forget_value,
    isolated_pool_of,
    leaves_slots,
    memory_key_of,
    memory_of,
    parser_of,
    process_of,
    reading_of,
    replace_answers,
    sizes_given_back,
    slot_of,
)

LIMIT = 30.0
# What a process may take to be gone once it was closed; `close` waits for it before.
GRACE = 5.0
QUICK = Reconnect(first=0.01, cap=0.01, host_gap=0.0)
BTC: Any = ("BTC-USDT", "spot")

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /proc of POSIX")
# What is left behind is seen by the suite: processes are looked for here.
pytestmark = posix


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """None but those that another fixture of the suite had before."""
    before = _children().keys()
    yield
    deadline = time.monotonic() + GRACE
    while left := _children().keys() - before:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.01)


def _children() -> dict[str, str]:
    """Those of this process, by number; the dead that nobody buried too."""
    found = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except (OSError, ValueError):
            continue
        if stat.rpartition(")")[2].split()[1] == str(os.getpid()):
            found[entry] = stat
    return found


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange() as exchange:
        yield exchange


@pytest.fixture(params=["v3", "v5"])
def venue(exchange: LocalExchange, request: pytest.FixtureRequest) -> Venue:
    return exchange.venue if request.param == "v3" else exchange.venue_v5


def until(is_so: Callable[[], object]) -> None:
    """Wait for what comes to pass by itself."""
    deadline = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def pid_of(user: WSSubscription | Feed) -> int:
    """The number of its process, once there is one."""
    until(lambda: process_of(user) is not None)
    process = process_of(user)
    assert process is not None
    return process.pid


def kill(user: WSSubscription | Feed, number: int = signal.SIGKILL) -> None:
    """Kill its process, and wait until the system has it dead."""
    pid = pid_of(user)
    os.kill(pid, number)
    with contextlib.suppress(ChildProcessError):  # the supervisor was as quick
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


# --- The same as on a thread ----------------------------------------------------------


def test_reads_are_those_of_the_exchange(
    exchange: LocalExchange, venue: Venue, where: Any
) -> None:
    with WSSubscription(*BTC, venue=venue, **where) as okx:
        assert okx.state in (State.CONNECTING, State.SYNCING)
        okx.wait_live(LIMIT)
        exchange.pace = 0
        v3 = venue.protocol == "v3"
        pushed = exchange.newest("spot/depth5:BTC-USDT" if v3 else "books5:BTC-USDT")
        assert pushed is not None
        bid = pushed.element["bids"][0]
        until(lambda: okx.GetDepth()["bids"][0] == bid)

        given, typed, best = okx.GetDepth(), okx.depth(), okx.best_bid_ask()
        assert [*given] == ["instrument_id", "asks", "bids", "timestamp"]
        assert given["asks"] == pushed.element["asks"]
        assert given is not okx.GetDepth()
        assert [[*level] for level in typed.bids] == given["bids"]
        assert best is not None
        assert (best.bid, best.ask) == (Decimal(bid[0]), Decimal(given["asks"][0][0]))
        assert (typed.channel, typed.epoch) == ("depth5", 1)
        assert len(okx.GetDepth(levels=2)["bids"]) == 2
        assert okx.GetDepth(max_age=0.0) == {}
        assert okx.latest("depth5") == typed
        health, stats = okx.health(), okx.stats()
        assert (health.state, health.epoch, health.failed) == (State.LIVE, 1, {})
        assert 0 <= health.age < LIMIT
        assert stats.messages > 2
        assert stats.bytes > 100
        assert stats.ping_round_trip is not None
        assert repr(okx) == "<WSSubscription BTC-USDT spot LIVE, 0 reconnects>"
    assert okx.state is State.CLOSED
    assert okx.GetDepth() == {}
    with pytest.raises(NotLive, match="closed"):
        okx.depth()
    # What was counted is known after the end.
    assert okx.stats().messages >= stats.messages
    assert okx.close() is True


def test_a_whole_book_is_that_of_the_exchange(
    exchange: LocalExchange, venue: Venue, where: Any
) -> None:
    v3 = venue.protocol == "v3"
    key = "spot/depth:BTC-USDT" if v3 else "books:BTC-USDT"
    with WSSubscription(
        *BTC, venue=venue, channels=("depth5", "depth"), **where
    ) as okx:
        okx.wait_live(LIMIT)
        exchange.pace = 0
        until(lambda: okx.book == exchange.book(key).book)
        assert len(okx.depth(levels=50).bids) == 50
        exchange.pace = 100
        exchange.spoil(key, "flip" if v3 else "lose", times=3)
        until(lambda: okx.stats().resyncs)
        exchange.heal()
        exchange.pace = 0
        until(lambda: okx.book == exchange.book(key).book)
        newest: Any = okx.latest("depth")
        assert (newest.action, newest.book) == ("snapshot", okx.book)
        assert okx.health().epoch > 2


def test_a_bad_depth_is_found_by_the_read_and_withdrawn(
    exchange: LocalExchange, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The process that reads tells the one that is connected."""
    exchange.pace = 100
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, channels=("depth5",), **where
    ) as okx:
        okx.wait_live(LIMIT)
        until(lambda: okx.stats().unread)
        exchange.pace = 0
        until(okx.GetDepth)
        resyncs = okx.stats().resyncs

        def spoil(newest: Any) -> Any:
            at = str(int(newest["ts"]) + 1)
            seq = int(newest["seqId"]) + 1
            return {**newest, "ts": at, "seqId": seq, "bids": [["x"]]}

        exchange.push("books5:BTC-USDT", spoil)
        until(lambda: not okx.GetDepth())
        assert okx.health().cause.text.startswith(
            "unreadable message on books5:BTC-USDT"
        )
        until(lambda: okx.stats().dropped)
        stats = okx.stats()
        assert (stats.dropped, stats.resyncs) == ({"depth": 1}, resyncs + 1)
        until(lambda: callbacks_of(okx).last_error)
        assert "books5:BTC-USDT" in str(callbacks_of(okx).last_error)
        exchange.pace = 100
        okx.wait_live(LIMIT)
        assert okx.depth().epoch == 2
    assert any("unreadable message on" in r.message for r in caplog.records)


def test_a_book_that_stands_still_is_stale_by_the_callers_limit(
    exchange: LocalExchange, where: Any
) -> None:
    with WSSubscription(*BTC, venue=exchange.venue_v5, max_age=0.5, **where) as okx:
        okx.wait_live(LIMIT)
        exchange.silence()
        until(lambda: okx.state is State.STALE)
        assert okx.health().cause.text == "no push for 0.5 s (max_age)"
        assert okx.GetDepth(max_age=1000.0)
        exchange.resume()
        okx.wait_live(LIMIT)


def test_a_connection_that_is_dead_is_stale_when_the_lease_ends(
    exchange: LocalExchange, where: Any
) -> None:
    with WSSubscription(
        *BTC,
        venue=exchange.venue_v5,
        lease=2.0,
        timeouts=Timeouts(pong=1.0),
        **where,
    ) as okx:
        okx.wait_live(LIMIT)
        exchange.mute()
        until(lambda: okx.state is not State.LIVE)
        assert okx.health().age > 0.5
        until(lambda: okx.stats().reconnects.get("Stalled"))


def test_a_loss_is_seen_and_made_good(exchange: LocalExchange, where: Any) -> None:
    with WSSubscription(*BTC, venue=exchange.venue_v5, reconnect=QUICK, **where) as okx:
        okx.wait_live(LIMIT)
        exchange.refuse()
        exchange.drop()
        until(lambda: okx.state is State.RECONNECTING)
        assert okx.GetDepth() == {}
        with pytest.raises(TimeoutError, match=r"RECONNECTING after 0\.05 s") as caught:
            okx.wait_live(0.05)
        assert isinstance(caught.value.__cause__, ConnectionLost)
        exchange.refuse(False)
        okx.wait_live(LIMIT)
        assert okx.health().epoch == 2
        assert okx.stats().reconnects["ConnectionLost"] >= 1


def test_a_refused_depth_fails_with_the_exchanges_own_word(
    exchange: LocalExchange, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.reject("books5:BTC-USDT", "60018", "no such thing")
    with WSSubscription(*BTC, venue=exchange.venue_v5, **where) as okx:
        with pytest.raises(SubscriptionRejected, match="no such thing") as caught:
            okx.wait_live(LIMIT)
        assert (caught.value.code, caught.value.channel) == ("60018", "books5:BTC-USDT")
        assert okx.state is State.FAILED
        with pytest.raises(NotLive, match="FAILED"):
            okx.depth()
        until(lambda: any(r.levelno == logging.ERROR for r in caplog.records))
        errors = [r.message for r in caplog.records if r.levelno == logging.ERROR]
        assert len(errors) == 1
        assert errors[0].startswith("BTC-USDT failed: books5:BTC-USDT was refused")


def test_a_refused_channel_beside_it_is_told(
    exchange: LocalExchange, where: Any
) -> None:
    exchange.reject("trades:BTC-USDT", "60018", "no such thing")
    with WSSubscription(*BTC, venue=exchange.venue_v5, **where) as okx:
        okx.wait_live(LIMIT)
        failed = okx.health().failed
        assert [*failed] == ["trade"]
        assert isinstance(failed["trade"], SubscriptionRejected)
        assert okx.state is State.LIVE


def test_many_share_a_feed_and_come_and_go(exchange: LocalExchange, where: Any) -> None:
    with Feed(exchange.venue_v5, lease=2.0, **where) as feed:
        one, two = feed.subscribe(["BTC-USDT", "ETH-USDT"], "spot", ["depth5"])
        feed.wait_live(LIMIT)
        best = feed.best_bid_asks(["BTC-USDT", "ETH-USDT"])
        assert [*best] == ["BTC-USDT", "ETH-USDT"]
        (connection,) = feed.connections()
        assert (connection.open, connection.channels) == (True, 2)
        two.close()
        assert feed.subscriptions == (one,)
        until(lambda: feed.connections()[0].channels == 1)
        again = WSSubscription("ETH-USDT", "spot", feed=feed, channels=["bbo-tbt"])
        again.wait_live(LIMIT)
        assert again.depth().channel == "bbo-tbt"
        assert two.state is State.CLOSED
        epoch = one.health().epoch
        feed.rotate()
        until(lambda: exchange.handshakes == 2 and exchange.clients == 1)
        one.wait_live(LIMIT)
        assert one.health().epoch == epoch
        assert feed.stats().messages > one.stats().resyncs
    assert [feed.state, one.state, again.state] == [State.CLOSED] * 3
    with pytest.raises(ValueError, match="the feed is closed"):
        feed.subscribe(["BTC-USDT"], "spot")


def test_a_login_is_made_with_the_key(exchange: LocalExchange, where: Any) -> None:
    with WSSubscription(
        *BTC,
        venue=exchange.venue_v5,
        channels=["books50-l2-tbt"],
        credentials=exchange.credentials[0],
        **where,
    ) as okx:
        okx.wait_live(LIMIT)
        assert okx.book


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalExchange]:
    """An exchange over TLS, which is trusted by its file."""
    with LocalExchange(history=0, tls=True) as exchange:
        assert exchange.ssl_context is not None
        path = tmp_path / "ca.pem"
        ours = exchange.ssl_context.get_ca_certs(binary_form=True)
        path.write_text("".join(map(ssl.DER_cert_to_PEM_cert, ours)))
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        yield exchange


def test_tls_is_verified_by_the_file_of_the_environment(
    trusted: LocalExchange, where: Any
) -> None:
    with WSSubscription(*BTC, venue=trusted.venue_v5, **where) as okx:
        okx.wait_live(LIMIT)
        assert okx.GetDepth()


def test_tls_that_is_not_trusted_is_not_used(
    trusted: LocalExchange, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with WSSubscription(*BTC, venue=trusted.venue_v5, **where) as okx:
        until(lambda: callbacks_of(okx).last_error)
        with pytest.raises(TimeoutError) as caught:
            okx.wait_live(0.01)
        assert isinstance(caught.value.__cause__, HandshakeFailed)
        assert trusted.clients == 0


# --- Its process ends -----------------------------------------------------------------


@pytest.fixture
def okx(exchange: LocalExchange) -> Iterator[WSSubscription]:
    """A subscription in a process of its own, which is live."""
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, reconnect=QUICK, isolate=True
    ) as okx:
        okx.wait_live(LIMIT)
        yield okx


def test_a_dead_process_gives_no_price_to_the_very_next_read(
    okx: WSSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the thread that keeps it has noticed or not: here it cannot have."""
    process, held, goes_on = process_of(okx), threading.Event(), threading.Event()
    assert process is not None
    receive = process.receive

    def hold() -> bytes | None:
        held.set()
        assert goes_on.wait(LIMIT)
        return receive()

    monkeypatch.setattr(process, "receive", hold)
    okx.stats()  # which makes it answer
    assert held.wait(LIMIT)
    assert okx.GetDepth()

    kill(okx)

    assert okx.GetDepth() == {}
    assert okx.best_bid_ask() is None
    assert okx.state is State.RECONNECTING
    with pytest.raises(NotLive, match="the reading process has ended"):
        okx.depth()
    goes_on.set()
    okx.wait_live(LIMIT)


def test_it_is_started_again_and_all_of_it_comes_back(
    exchange: LocalExchange, caplog: pytest.LogCaptureFixture
) -> None:
    with Feed(exchange.venue_v5, reconnect=QUICK, isolate=True) as feed:
        one, two = feed.subscribe(["BTC-USDT", "ETH-USDT"], "spot", ["depth5"])
        three = WSSubscription(*BTC, feed=feed, channels=["depth"])
        three.close()
        feed.wait_live(LIMIT)
        before, epochs = feed.stats(), [s.health().epoch for s in (one, two)]
        for times in range(1, 4):
            first = pid_of(feed)
            kill(feed)
            until(lambda: pid_of(feed) != first)  # noqa: B023
            feed.wait_live(LIMIT)
            after = [s.health().epoch for s in (one, two)]
            assert after == [epoch + 1 for epoch in epochs]
            epochs = after
            assert feed.stats().reconnects == {"reader": times}
        assert feed.stats().messages > before.messages
        assert one.stats().reconnects == {"reader": 3}
        # It can be added to, as ever.
        WSSubscription("ETH-USDT", "spot", feed=feed).wait_live(LIMIT)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert said == [
        "isolated feed of local: the reading process ended (SIGKILL); trying again"
    ]


def test_what_a_read_cannot_parse_is_looked_at_in_the_process_that_is_connected(
    okx: WSSubscription, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing wrong there, and is written anew; no other push comes."""
    exchange.pace = 100
    reading = depth_reading_of(okx)
    until(lambda: isinstance(reading.current.data, SharedPush))
    exchange.pace = 0

    def is_newest() -> bool:
        pushed = exchange.newest("books5:BTC-USDT")
        return pushed is not None and okx.depth().seq == int(pushed.element["seqId"])

    def later(newest: Any) -> Any:
        at = str(int(newest["ts"]) + 1)
        return {**newest, "ts": at, "seqId": int(newest["seqId"]) + 1}

    until(is_newest)
    # The first of a minute was parsed at its receipt.
    while not isinstance(reading.current.data, SharedPush):
        exchange.push("books5:BTC-USDT", later)
        until(is_newest)
    parser, failed = parser_of(reading.current.data), list[object]()

    def fail(kept: object) -> None:
        failed.append(kept)
        raise WireError("json", "maximum recursion depth exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(parser, "parse", fail)
        forget_value(slot_of(reading))
        okx.GetDepth()
    assert failed

    until(okx.GetDepth)
    assert okx.stats().resyncs == 0
    assert callbacks_of(okx).last_error is None


def test_a_price_of_a_dead_process_is_not_trusted_under_the_next_one(
    okx: WSSubscription, exchange: LocalExchange
) -> None:
    """Not by who read it before, either: the next has no connection yet to take over
    the place of the one that vouched for it."""
    held = take(depth_reading_of(okx))
    assert held is not None
    assert held.judge(NO_LIMITS, time.monotonic(), time.time()) is LIVE
    exchange.refuse()
    first = pid_of(okx)
    kill(okx)
    until(lambda: pid_of(okx) != first)
    until(lambda: okx.stats().reconnects.get("ConnectionLost"))

    verdict = held.judge(NO_LIMITS, time.monotonic(), time.time())
    assert verdict.state is State.RECONNECTING
    exchange.refuse(False)
    okx.wait_live(LIMIT)


def test_what_it_counted_is_added_up(
    okx: WSSubscription, exchange: LocalExchange
) -> None:
    exchange.drop()
    until(lambda: okx.stats().reconnects.get("ConnectionLost") == 1)
    okx.wait_live(LIMIT)
    before = isolated_pool_of(okx).stats()
    kill(okx)
    until(lambda: okx.health().cause.text.startswith("the reading process"))
    okx.wait_live(LIMIT)

    stats = okx.stats()
    assert stats.reconnects == {"ConnectionLost": 1, "reader": 1}
    assert stats.messages > before.messages


def test_a_process_that_is_asked_to_end_says_goodbye(
    okx: WSSubscription, exchange: LocalExchange
) -> None:
    kill(okx, signal.SIGTERM)
    until(lambda: callbacks_of(okx).last_error)
    error = callbacks_of(okx).last_error

    assert str(error) == "the reading process ended (exit code 0)"
    assert type(error) is OkexWSError
    okx.wait_live(LIMIT)


@pytest.mark.slow
def test_a_stopped_process_is_believed_until_its_lease_ends(
    exchange: LocalExchange,
) -> None:
    with WSSubscription(
        *BTC,
        venue=exchange.venue_v5,
        lease=2.0,
        isolate=True,
    ) as okx:
        okx.wait_live(LIMIT)
        pid, view = pid_of(okx), reading_of(okx)
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        end = view.lease_end()
        seen = []
        while (now := time.monotonic()) < end + 0.2:
            given = bool(okx.GetDepth())
            seen.append(given)
            # Judged on this side, so to the instant: a read that began later says no.
            assert not given or now < end
            time.sleep(0.01)
        assert seen[0] is True
        assert okx.health().cause.text == "no pong in time: the lease ran out"
        assert okx.health().state is State.STALE
        os.kill(pid, signal.SIGCONT)
        okx.wait_live(LIMIT)
        assert okx.health().epoch >= 2


@pytest.mark.slow
def test_one_that_is_stopped_is_closed_in_bounded_time(
    exchange: LocalExchange,
) -> None:
    timeouts = Timeouts(goodbye=0.0)
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, timeouts=timeouts, isolate=True
    ) as okx:
        okx.wait_live(LIMIT)
        pid = pid_of(okx)
        os.kill(pid, signal.SIGSTOP)
        assert okx.stats().messages >= 0  # the last that is known
        assert okx.close(LIMIT) is True
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_raves_is_replaced(okx: WSSubscription) -> None:
    process = process_of(okx)
    assert process is not None
    first, receive = process.pid, process.receive
    process.receive = lambda: receive() and b"garbage!" * 4  # type: ignore[method-assign]
    okx.stats()

    until(lambda: callbacks_of(okx).last_error)
    assert "makes no sense" in str(callbacks_of(okx).last_error)
    okx.wait_live(LIMIT)
    assert pid_of(okx) != first


def test_a_python_that_is_not_there_is_tried_again(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, reconnect=QUICK, isolate=True
    ) as okx:
        with pytest.raises(TimeoutError) as caught:
            okx.wait_live(0.1)
        assert "cannot be started" in str(caught.value.__cause__)
        assert okx.state is State.RECONNECTING
        until(lambda: okx.stats().reconnects["reader"] > 1)
        monkeypatch.undo()
        okx.wait_live(LIMIT)


@pytest.mark.slow
def test_no_read_goes_back_whatever_becomes_of_its_process(
    exchange: LocalExchange,
) -> None:
    """The exchange's own numbers only grow, over every connection and process."""
    exchange.pace = 200
    found: list[str] = []
    over = threading.Event()

    def watch(okx: WSSubscription, levels: int) -> None:
        epoch, seq, reads = 0, 0, 0
        while not over.is_set():
            with contextlib.suppress(NotLive):
                depth = okx.depth(levels=levels)
                assert depth.seq is not None
                if depth.epoch < epoch or depth.seq < seq:
                    found.append(f"{(epoch, seq)} before {(depth.epoch, depth.seq)}")
                epoch, seq, reads = depth.epoch, depth.seq, reads + 1
            time.sleep(0.0002)
        found.extend([] if reads else ["nothing was read"])

    with Feed(exchange.venue_v5, reconnect=QUICK, lease=2.0, isolate=True) as feed:
        okx = WSSubscription(*BTC, feed=feed, channels=["depth5", "depth"])
        okx.wait_live(LIMIT)
        threads = [
            threading.Thread(target=watch, args=(okx, levels)) for levels in (1, 5, 50)
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(12):
                [
                    lambda: kill(feed),
                    exchange.drop,
                    feed.rotate,
                    lambda: kill(feed, signal.SIGTERM),
                ][number % 4]()
                time.sleep(0.03 * number)
                okx.wait_live(LIMIT)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert found == []
        assert feed.stats().reconnects["reader"] >= 3


@pytest.mark.parametrize("channel", ["depth5", "depth"])
def test_a_read_never_waits_for_its_turn_among_threads(
    exchange: LocalExchange, channel: str
) -> None:
    """It does not let go of the GIL: else another thread that computes would have it.

    Which is asked for by nothing else here, as long as no thread waits.
    """
    exchange.pace = 200
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, channels=[channel], isolate=True
    ) as okx:
        okx.wait_live(LIMIT)
        ran: list[int] = []
        begin, over = threading.Event(), threading.Event()

        def compute() -> None:
            begin.wait()
            # Not for ever: with this interval nobody else could stop it.
            while not over.is_set() and len(ran) < 1_000_000:
                ran.append(1)

        thread = threading.Thread(target=compute)
        thread.start()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e4)
        try:
            # Whoever began to wait by the old interval has its turn first.
            time.sleep(0.05)
            begin.set()
            slot = slot_of(depth_reading_of(okx))
            for _ in range(200):
                forget_value(slot)  # as after every push
                assert okx.GetDepth(levels=400)
                assert okx.state is State.LIVE
            during = len(ran)
        finally:
            sys.setswitchinterval(interval)
            over.set()
            thread.join()
        assert during == 0


# --- Ends -----------------------------------------------------------------------------


def test_closing_at_once_leaves_nothing(exchange: LocalExchange) -> None:
    for _ in range(3):
        okx = WSSubscription(*BTC, venue=exchange.venue_v5, isolate=True)
        assert okx.close(LIMIT) is True
        assert okx.state is State.CLOSED
    assert exchange.wait_for(lambda: exchange.clients == 0)


def test_closing_need_not_be_waited_for(okx: WSSubscription) -> None:
    assert okx.close(0) is False
    assert okx.close(LIMIT) is True


def test_who_waits_is_told_that_it_was_closed(exchange: LocalExchange) -> None:
    exchange.ignore_subscribe("books5:BTC-USDT")
    okx = WSSubscription(*BTC, venue=exchange.venue_v5, isolate=True)
    threading.Timer(0.3, okx.close).start()
    with pytest.raises(NotLive, match="closed"):
        okx.wait_live(LIMIT)
    okx.close(LIMIT)


def test_waiting_on_its_own_thread_is_refused(okx: WSSubscription) -> None:
    found: list[BaseException] = []
    pool = isolated_pool_of(okx)

    def heard(*_: Any) -> None:
        try:
            okx.wait_live(1)
        except RuntimeError as error:
            found.append(error)

    replace_answers(pool, heard)
    okx.stats()

    assert "its own thread" in str(found[0])


def test_a_subscription_without_memory_is_an_error_and_leaves_nothing(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("okex_ws.isolation.shared_memory.reserve", full)
    with pytest.raises(OSError, match="No space left"):
        WSSubscription(*BTC, venue=exchange.venue_v5, isolate=True)
    with Feed(exchange.venue_v5, isolate=True) as feed:
        with pytest.raises(OSError, match="No space left"):
            feed.subscribe(["BTC-USDT"], "spot")
        assert feed.subscriptions == ()
        monkeypatch.undo()
        feed.subscribe(["BTC-USDT"], "spot")
        feed.wait_live(LIMIT)


def test_without_a_thread_nothing_is_subscribed(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            WSSubscription(*BTC, venue=exchange.venue_v5, isolate=True)


def test_a_book_of_a_closed_subscription_is_nobodys(exchange: LocalExchange) -> None:
    """Its place in the memory is another one's by then."""
    with Feed(exchange.venue_v5, isolate=True) as feed:
        (one,) = feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
        feed.wait_live(LIMIT)
        one.close()
        pool = isolated_pool_of(feed)
        until(lambda: not leaves_slots(pool))
        (two,) = feed.subscribe(["ETH-USDT"], "spot", ["depth5"])
        feed.wait_live(LIMIT)
        held = depth_reading_of(one).current
        assert held.data is None
        assert one.GetDepth() == {}
        assert two.depth().instrument_id == "ETH-USDT"
        assert len(sizes_given_back(memory_of(pool))) <= 1


@pytest.mark.once
def test_a_thousand_subscriptions_take_no_descriptor_each(
    exchange: LocalExchange,
) -> None:
    with Feed(exchange.venue_v5, isolate=True) as feed:
        feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
        before = len(os.listdir("/proc/self/fd"))
        subs = [
            WSSubscription(*BTC, feed=feed, channels=["depth5"]) for _ in range(1000)
        ]
        feed.wait_live(LIMIT)
        assert all(sub.GetDepth() for sub in subs)
        assert len(os.listdir("/proc/self/fd")) <= before + 3
        # An answer that a busy child has not given in time is the last one known.
        until(lambda: bool(feed.stats().messages))
        for sub in subs:
            sub.close()
        pool = isolated_pool_of(feed)
        until(lambda: not leaves_slots(pool))
        assert len(feed.subscriptions) == 1


def test_a_fork_has_nothing_of_it_and_the_parent_all(okx: WSSubscription) -> None:
    pid = os.fork()
    if pid == 0:
        gc.collect()
        closed = okx.state is State.CLOSED and okx.GetDepth() == {}
        os._exit(3 if closed and okx.close() and okx.stats().messages >= 0 else 4)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 3
    assert okx.GetDepth()
    assert okx.stats().messages


def test_a_fork_alone_takes_nothing_from_a_program_that_the_child_starts(
    okx: WSSubscription,
) -> None:
    """A hook cannot foresee an exec: gevent's `subprocess` forks as a script does."""
    process = process_of(okx)
    assert process is not None
    memory = memory_key_of(okx)
    theirs = process.sock.fileno()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.fstat(theirs)
            os._exit(3 if isinstance(memory, str) or os.fstat(memory) else 4)
        os._exit(5)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


# --- What is said ---------------------------------------------------------------------


def test_what_it_logs_is_logged_here_once_and_by_the_level_here(
    exchange: LocalExchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "okex_ws")
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, reconnect=QUICK, isolate=True
    ) as okx:
        okx.wait_live(LIMIT)
        okx.stats()
        first = [r.getMessage() for r in caplog.records]
        assert [text for text in first if "connected to" in text] == first
        assert len(first) == 1
        caplog.set_level(logging.ERROR, "okex_ws")
        exchange.drop()
        until(lambda: okx.stats().reconnects.get("ConnectionLost"))
        assert [r.getMessage() for r in caplog.records] == first


def test_secrets_are_in_no_command_and_no_environment(exchange: LocalExchange) -> None:
    key = exchange.credentials[0]
    port = int(exchange.venue_v5.endpoints[0].rpartition(":")[2].split("/")[0])
    with (
        HttpProxy(port) as proxy,
        WSSubscription(
            *BTC,
            venue=exchange.venue_v5,
            channels=["books50-l2-tbt"],
            credentials=key,
            allow_plaintext=True,
            proxy=proxy.url.replace("://", "://me:s3cret@"),
            isolate=True,
        ) as okx,
    ):
        okx.wait_live(LIMIT)
        assert proxy.heads
        pid = pid_of(okx)
        shown = b"".join(
            Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")
        )
        assert b"okex_ws.isolation.worker" in shown
        for secret in ("s3cret", *dataclasses.astuple(key)):
            assert secret.encode() not in shown
