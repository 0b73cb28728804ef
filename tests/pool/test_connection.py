"""One thread's policy, in virtual time: connecting, backing off, pinging, ending."""

from __future__ import annotations

import json
import logging
import math
import queue
import random
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State as ProtocolState
from websockets.server import ServerProtocol

from okex_ws import (
    ConnectionLost,
    ConnectionReport,
    Credentials,
    Feed,
    HandshakeFailed,
    RawSubscription,
    Reconnect,
    State,
    Venue,
    WSSubscription,
)
from okex_ws.base.counts import Counts
from okex_ws.base.retry import Ping, Timeouts
from okex_ws.base.threads import on_library_thread
from okex_ws.net.stream import Network, TcpNetwork
from okex_ws.pool.connection import Connection, Settings, fatal
from okex_ws.pool.register import check
from okex_ws.protocol.messages import SocketPath
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.login import Login
from okex_ws.session.session import Session
from tests.support import clocks
from tests.support.http_proxy import HttpProxy
from tests.support.internals import (
    change_settings,
    pool_of,
    register_of,
    set_on_error,
    set_subscriptions_due,
)
from tests.support.loopback_servers import LIMIT, Server, accept_head, read_head
from tests.support.virtual_world import START, World, depth

KEY = Credentials("the key", "the secret", "the passphrase")
SHORT = Reconnect(first=0.1, cap=0.1, host_gap=0.0)
ORDERS = {"channel": "orders", "instType": "ANY"}


def connection(user: WSSubscription | RawSubscription | Feed) -> Connection:
    """The one connection behind it."""
    (one,) = pool_of(user).connections
    return one


@pytest.fixture
def world() -> World:
    world = World()
    world.exchange.first_pushes["spot/depth5:BTC-USDT"] = depth(0)
    return world


def test_a_subscription_becomes_live_with_ack_first_push_and_pong(world: World) -> None:
    seen = []
    sub = world.subscribe()
    world.at(1, lambda: seen.append((sub.state, sub.GetDepth())))

    world.run(2)

    assert seen == [
        (
            State.LIVE,
            {
                "instrument_id": "BTC-USDT",
                "asks": [["100.2", "2", "1"]],
                "bids": [["100.1", "1", "1"]],
                "timestamp": "2020-09-13T12:26:40.000Z",
            },
        )
    ]
    assert world.exchange.requests == [
        {"op": "subscribe", "args": ["spot/depth5:BTC-USDT", "spot/trade:BTC-USDT"]}
    ]


def test_a_ping_goes_out_every_five_seconds_and_its_pong_is_remembered(
    world: World,
) -> None:
    sub = world.subscribe()
    stats = []
    world.at(21, lambda: stats.append(sub.stats()))

    world.run(22)

    gaps = [round(at - world.t0, 3) for at in world.exchange.pings]
    assert gaps == [0, 5, 10, 15, 20]
    assert stats[0].last_pong is not None
    assert stats[0].ping_round_trip == pytest.approx(0.05)


def test_the_keep_alive_goes_out_five_seconds_early(world: World) -> None:
    world.subscribe(lease=60, ping_interval=20)

    world.run(40)

    gaps = [round(at - world.t0, 3) for at in world.exchange.pings]
    assert gaps == [0, 15, 30]


def test_a_missing_pong_ends_the_lease_and_then_the_connection(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    states: list[tuple[float, State]] = []

    def mute() -> None:
        world.exchange.answers_pings = False

    world.at(1, mute)
    for tenth in range(10, 300):
        world.at(tenth / 10, lambda: states.append((world.clock.now, sub.state)))

    world.run(30)

    changed = [
        (round(at - world.t0, 1), state)
        for before, (at, state) in zip([(0.0, None), *states], states, strict=False)
        if before[1] is not state
    ]
    # The last answered ping went out at 0, the next at 5: lease and patience end at 15.
    assert changed[:3] == [
        (1.0, State.LIVE),
        (15.0, State.STALE),
        (15.1, State.RECONNECTING),
    ]
    assert sub.stats().reconnects["Stalled"] >= 1


def test_a_lost_connection_withdraws_at_once_and_comes_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "okex_ws")
    changes = []
    sub = world.subscribe(channels=("depth5",), on_state=changes.append)
    seen = []
    world.at(3, lambda: world.peer and world.peer.drop())
    world.at(3.001, lambda: seen.append((sub.GetDepth(), sub.state)))
    world.at(9, lambda: seen.append((bool(sub.GetDepth()), sub.state)))

    world.run(10)

    assert seen == [({}, State.RECONNECTING), (True, State.LIVE)]
    assert [change.new for change in changes] == [
        State.SYNCING,
        State.LIVE,
        State.RECONNECTING,
        State.SYNCING,
        State.LIVE,
        State.CLOSED,
    ]
    assert [change.epoch for change in changes] == [0, 1, 1, 1, 2, 2]
    lost = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.getMessage() for r in lost] == [
        f"{world.url}: reset by peer; trying again"
    ]
    assert "connected" in caplog.records[-1].getMessage()


def test_each_failed_attempt_takes_the_next_endpoint_and_a_longer_wait(
    world: World,
) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    venue = world.venue(f"ws://1.{world.host}/", f"ws://2.{world.host}/")
    sub = world.subscribe(venue=venue)

    world.run(3600)

    times = [at - world.t0 for at, _ in world.opened]
    assert [url for _, url in world.opened[:3]] == [
        f"ws://1.{world.host}/",
        f"ws://2.{world.host}/",
        f"ws://1.{world.host}/",
    ]
    waits = [late - early for early, late in pairwise(times)]
    assert all(wait <= 30.001 for wait in waits)
    # Full jitter under a cap of 30 s: about one attempt in 15 s, and never a storm.
    assert 120 < len(times) < 400
    assert sum(sub.stats().reconnects.values()) == len(times)


def test_an_outage_is_said_at_once_and_then_once_a_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    errors: list[Exception] = []
    world.subscribe(on_error=errors.append)

    world.run(600)

    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert 8 <= len(warnings) <= 11
    assert " failures in " in warnings[1].getMessage()
    assert len(errors) == len(world.opened)


def test_a_wish_to_wait_is_honoured_but_not_for_ever(world: World) -> None:
    wishes = iter([120.0, 9000.0])
    world.failure = lambda url: HandshakeFailed(url, "HTTP 429", 429, next(wishes, 0))
    world.subscribe()

    world.run(1000)

    times = [at - world.t0 for at, _ in world.opened]
    assert times[1] == pytest.approx(120, abs=0.1)
    assert times[2] == pytest.approx(720, abs=0.1)


def test_two_attempts_at_one_host_are_a_gap_apart(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    gap = Reconnect(first=0.001, cap=0.001, host_gap=5.0)
    world.subscribe(reconnect=gap)

    world.run(21)

    times = [round(at - world.t0, 2) for at, _ in world.opened]
    assert times == [0, 5, 10, 15, 20]


def test_two_ports_of_a_host_are_one_host(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    gap = Reconnect(first=0.001, cap=0.001, host_gap=5.0)
    venue = world.venue(f"ws://{world.host}:10442/", f"ws://{world.host}:8443/")
    world.subscribe(reconnect=gap, venue=venue)

    world.run(11)

    assert [round(at - world.t0, 2) for at, _ in world.opened] == [0, 5, 10]


def test_the_back_off_starts_again_after_a_healthy_minute_only(world: World) -> None:
    def drop() -> None:
        assert world.peer is not None
        world.peer.drop()

    world.subscribe(reconnect=Reconnect(first=8, cap=64, host_gap=0.0))
    for second in range(0, 400, 4):
        world.at(second, drop)
    world.at(1000, drop)

    world.run(1100)

    opened = [at - world.t0 for at, _ in world.opened]
    assert any(late - early > 10 for early, late in pairwise(opened))
    assert opened[-1] - 1000 <= 8.1


def test_work_and_closing_cut_a_back_off_short(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    sub = world.subscribe(reconnect=Reconnect(first=1000, cap=1000, host_gap=0))
    closed: list[bool] = []
    world.at(5, lambda: closed.append(sub.close()))

    world.run(5000)

    assert closed == [False]  # called on the connection's own thread
    assert len(world.opened) == 1
    assert world.closed_networks == 1
    assert sub.state is State.CLOSED


def test_a_close_cuts_the_wait_for_the_hosts_turn_short(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    sub = world.subscribe(reconnect=Reconnect(first=0.001, cap=0.001, host_gap=1000))
    world.at(5, sub.close)

    world.run(5000)

    assert len(world.opened) == 1
    assert sub.state is State.CLOSED


def test_work_is_done_in_order_on_the_connections_thread(world: World) -> None:
    sub = world.subscribe()
    done: list[tuple[int, bool]] = []

    def work(number: int) -> Callable[[], None]:
        return lambda: done.append((number, on_library_thread()))

    for number in range(3):
        connection(sub).submit(work(number))

    world.run(1)

    assert done == [(0, True), (1, True), (2, True)]


def test_what_is_submitted_after_the_end_is_done_at_once(world: World) -> None:
    one = connection(world.subscribe())
    world.run(1)
    done: list[bool] = []

    one.submit(lambda: done.append(on_library_thread()))

    assert done == [False]


def test_an_internal_error_is_logged_and_ends_no_thread(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sub = world.subscribe(channels=("depth5",))

    def break_it() -> None:
        talk = connection(sub).opening
        assert talk is not None
        session = talk.session
        session.subscriptions.clear()
        session.subscriptions["x"] = None  # type: ignore[assignment]
        set_subscriptions_due(session, 0.0)

    world.at(2, break_it)
    seen = []
    world.at(8, lambda: seen.append(sub.state))

    world.run(10)

    assert seen == [State.LIVE]
    assert any("internal error" in r.getMessage() for r in caplog.records)
    assert sub.stats().reconnects == {"ConnectionLost": 1}


def test_a_peers_close_frame_is_counted_by_its_code(world: World) -> None:
    sub = world.subscribe()
    world.at(2, lambda: world.peer and world.peer.close(4004, "No data received"))
    errors: list[Exception] = []
    set_on_error(sub, errors.append)

    world.run(5)

    assert sub.stats().reconnects == {"ConnectionLost 4004": 1}
    assert isinstance(errors[0], ConnectionLost)
    assert errors[0].code == 4004


# --- Paths and endpoints ------------------------------------------------------------


def test_each_path_is_a_connection_of_its_own_to_an_endpoint_and_its_path() -> None:
    world = World("v5")
    world.subscribe(channels=("depth5", "candle60s"))

    world.run(2)

    assert [url for _, url in world.opened] == [
        f"{world.url}/public",
        f"{world.url}/business",
    ]


def test_a_path_is_kept_at_the_next_endpoint() -> None:
    world = World("v5")
    world.failure = lambda url: ConnectionLost(url, "refused")
    bases = [f"ws://{number}.{world.host}/ws/v5" for number in (1, 2)]
    world.subscribe(venue=world.venue(*bases), channels=("trade",))

    world.run(20)

    urls = [url for _, url in world.opened]
    assert urls[:3] == [f"{bases[n]}/public" for n in (0, 1, 0)]


def drop(world: World) -> Callable[[], None]:
    """What ends the newest connection."""

    def act() -> None:
        assert world.peer is not None
        world.peer.drop()

    return act


@pytest.mark.parametrize(
    ("lost_after", "then"),
    [
        # Healthy for a minute: it is tried again first, and again.
        ([100, 100], "122"),
        # Lost too early: the first endpoint has its turn.
        ([50], "121"),
        ([100, 50], "1221"),
    ],
)
def test_a_good_endpoint_is_tried_again_first_and_a_bad_one_is_left(
    world: World, lost_after: list[float], then: str
) -> None:
    bases = [f"ws://{number}.{world.host}/" for number in (1, 2)]
    refused = [True]

    def failure(url: str) -> ConnectionLost | None:
        # The first endpoint does not answer, the first time.
        down = url == bases[0] and refused.pop() if refused else False
        return ConnectionLost(url, "refused") if down else None

    world.failure = failure
    at = 1.0
    for seconds in lost_after:
        at += seconds
        world.at(at, drop(world))
    world.subscribe(venue=world.venue(*bases), reconnect=SHORT)

    world.run(at + 5)

    tried = "".join(str(1 + bases.index(url)) for _, url in world.opened)
    assert tried[: len(then)] == then


def test_a_good_endpoint_that_fails_gives_way_to_the_venues_first(world: World) -> None:
    bases = [f"ws://{number}.{world.host}/" for number in (1, 2)]
    down = {bases[0]}
    world.failure = lambda url: ConnectionLost(url, "refused") if url in down else None

    def swap() -> None:
        down.symmetric_difference_update(bases)
        drop(world)()

    world.at(100, swap)
    world.subscribe(venue=world.venue(*bases), reconnect=SHORT)

    world.run(103)

    tried = [1 + bases.index(url) for _, url in world.opened]
    assert tried == [1, 2, 2, 1]


def test_an_hours_stop_costs_a_bounded_number_of_attempts_and_is_over_in_time(
    world: World,
) -> None:
    stopped: list[bool] = []
    world.failure = lambda url: ConnectionLost(url, "refused") if stopped else None
    sub = world.subscribe()

    def stop() -> None:
        stopped.append(True)
        drop(world)()

    seen: list[State] = []
    world.at(100, stop)
    world.at(3700, stopped.clear)
    world.at(99, lambda: seen.append(sub.state))
    world.at(3699, lambda: seen.append(sub.state))
    # The longest wait, and what the first push takes.
    world.at(3731, lambda: seen.append(sub.state))

    world.run(3732)

    attempts = [at - world.t0 for at, _ in world.opened if 100 < at - world.t0 < 3700]
    # Full jitter under a cap of 30 s is an attempt in 15 s, but for the first few.
    assert 200 < len(attempts) < 300
    assert seen == [State.LIVE, State.RECONNECTING, State.LIVE]


def test_attempts_at_one_host_are_a_gap_apart_over_all_feeds(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    eager = Reconnect(first=0.001, cap=0.001, host_gap=2.0)
    for _ in range(5):
        world.subscribe(reconnect=eager)
    # Another port is the same host, under another venue's name too.
    other = world.venue(f"ws://{world.host}:8443/")
    world.feed(other, reconnect=eager).subscribe(["BTC-USDT"], "spot")

    world.run(600)

    times = [round(at - world.t0, 3) for at, _ in world.opened]
    assert times == [2 * turn for turn in range(300)]


@pytest.mark.once
def test_an_hours_stop_costs_one_host_no_more_than_its_turns_and_each_feed_has_some(
    world: World,
) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    subs = [world.subscribe(reconnect=Reconnect(host_gap=2.0)) for _ in range(10)]

    world.run(3600)

    times = [at for at, _ in world.opened]
    gaps = [round(late - early, 6) for early, late in pairwise(times)]
    assert min(gaps) >= 2.0
    assert all(sum(sub.stats().reconnects.values()) > 60 for sub in subs)


def test_an_attempt_that_failed_carries_the_venues_advice(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    errors: list[Any] = []
    venue = world.venue(retired="last seen on 2022-02-25")
    world.subscribe(venue=venue, on_error=errors.append)

    world.run(1)

    assert errors[0].advice == venue.advice(world.url) != ""
    assert "the exchange retired v3" in str(errors[0])


def test_the_loss_of_what_was_open_needs_no_advice(world: World) -> None:
    errors: list[Any] = []
    venue = world.venue(retired="last seen on 2022-02-25")
    world.subscribe(venue=venue, on_error=errors.append)
    world.at(1, lambda: world.peer and world.peer.drop())

    world.run(1.5)

    assert [error.advice for error in errors] == [""]


# --- The login ----------------------------------------------------------------------


def logins(world: World) -> list[dict[str, str]]:
    return [r["args"][0] for r in world.exchange.requests if r["op"] == "login"]


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 86400.0])
def test_a_login_is_stamped_with_the_exchanges_clock(ahead: float) -> None:
    """It is good for 30 seconds; the machine's own clock may be hours off."""
    world = World("v5")
    world.exchange.ahead = ahead
    feed = world.feed(credentials=KEY)
    sub = RawSubscription([ORDERS], feed=feed)
    seen: list[State] = []
    world.at(1, lambda: seen.append(sub.state))

    world.run(2)

    (login,) = logins(world)
    timestamp = str(int(START + ahead))
    assert login == {
        "apiKey": "the key",
        "passphrase": "the passphrase",
        "timestamp": timestamp,
        "sign": KEY.sign(timestamp),
    }
    assert [r["op"] for r in world.exchange.requests] == ["login", "subscribe"]
    assert seen == [State.LIVE]


def test_each_login_has_the_time_at_which_it_is_sent() -> None:
    world = World("v5")
    world.exchange.ahead = 5000.0
    world.exchange.login_refusal = ("60006", "Timestamp request expired")
    feed = world.feed(credentials=KEY)
    RawSubscription([ORDERS], feed=feed)

    def relent() -> None:
        world.exchange.login_refusal = None

    world.at(4, relent)

    world.run(10)

    # At once, then one, two and four seconds after each refusal.
    stamps = [int(login["timestamp"]) - int(START) - 5000 for login in logins(world)]
    assert stamps == [0, 1, 3, 7]


def test_each_connection_logs_in_for_itself() -> None:
    world = World("v5")
    feed = world.feed(credentials=KEY)
    sub = RawSubscription([ORDERS], feed=feed)
    world.at(1, lambda: world.peer_on("private").drop())
    seen: list[State] = []
    world.at(9, lambda: seen.append(sub.state))

    world.run(10)

    assert len(logins(world)) == 2
    assert seen == [State.LIVE]


def test_without_credentials_nobody_logs_in() -> None:
    world = World("v5")
    world.subscribe(channels=("depth5", "trade"))

    world.run(2)

    assert [r["op"] for r in world.exchange.requests] == ["subscribe"]


@pytest.mark.parametrize(
    ("code", "awaits_login", "fails"),
    [
        (4001, True, True),
        (4001, False, False),
        (4007, True, True),
        (4007, False, True),
        (1006, True, False),
        (1012, True, False),
        (None, True, False),
    ],
)
def test_only_a_key_that_is_refused_is_fatal(
    code: int | None, awaits_login: bool, fails: bool
) -> None:
    login = Login(str, 600.0)
    login.asked = awaits_login
    error = fatal(ConnectionLost("wss://x", "no", code), login, V5)

    assert (error is not None) is fails
    assert error is None or (error.code, error.message) == (code, "no")
    # Without a login no key is refused.
    assert fatal(ConnectionLost("wss://x", "no", code), None, V5) is None


class Holder:
    """Wants one private channel, and nothing else."""

    def __init__(self) -> None:
        self.counts = Counts()

    def opened(self, session: Session[Any], era: object, now: float) -> None:
        session.want("orders:BTC-USDT", self, False, now)

    def due(self) -> float:
        return math.inf

    def overdue(self, now: float) -> list[Any]:
        return []

    silent_trades = overdue

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def answering(headers: bytes, heard: queue.Queue[str]) -> Callable[[Any], None]:
    """A server's handler: these headers in its handshake, then nothing but ears."""

    def handler(sock: socket.socket) -> None:
        status, rest = accept_head(read_head(sock)).split(b"\r\n", 1)
        sock.sendall(status + b"\r\n" + headers + rest)
        protocol = ServerProtocol(state=ProtocolState.OPEN)
        while not protocol.close_expected() and (data := sock.recv(65536)):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    heard.put(bytes(event.data).decode())
            sock.sendall(b"".join(protocol.data_to_send()))

    return handler


@pytest.mark.parametrize(
    ("headers", "timestamp"),
    [
        (b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777),
        (b"Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 253402300799),
        (b"Date: soon\r\n", int(clocks.WALL)),
        (b"", int(clocks.WALL)),
    ],
)
def test_the_date_of_a_handshake_is_the_time_of_the_login(
    headers: bytes, timestamp: int
) -> None:
    clock = clocks.FakeClock()
    settings = Settings(
        clock,
        lambda: TcpNetwork(clock),
        random.Random(7),
        Ping(),
        Timeouts(),
        Reconnect(host_gap=0.0),
    )
    heard: queue.Queue[str] = queue.Queue()
    with Server(answering(headers, heard)) as server:
        venue = Venue("raw", "v5", (f"ws://localhost:{server.port}/ws/v5",))
        path = SocketPath("private", True)
        holder: Any = Holder()
        one = Connection(venue, V5, path, holder, settings, "raw", KEY)
        one.start()
        texts = [heard.get(timeout=LIMIT) for _ in range(2)]
        one.close()
        assert one.join(LIMIT)

    assert texts[0] == "ping"
    assert json.loads(texts[1])["args"][0]["timestamp"] == str(timestamp)


@pytest.mark.parametrize("allowed", [False, True])
def test_no_key_goes_in_clear_through_a_proxy_of_a_network_of_the_scripts_own(
    allowed: bool,
) -> None:
    """The pool does not know that proxy: the connection finds it before it logs in."""
    heard: queue.Queue[str] = queue.Queue()
    told: queue.Queue[Exception] = queue.Queue()
    with Server(answering(b"", heard)) as server, HttpProxy(server.port) as proxy:
        venue = Venue("raw", "v5", (f"ws://127.0.0.1:{server.port}/ws/v5",))
        feed = Feed(
            venue,
            credentials=KEY,
            network=lambda: TcpNetwork(proxy=proxy.url),
            allow_plaintext=allowed,
            reconnect=SHORT,
        )
        with feed:
            RawSubscription(["account"], feed=feed, on_error=told.put)
            if allowed:
                assert '"op":"login"' in [heard.get(timeout=LIMIT) for _ in "12"][1]
            else:
                assert "allow_plaintext=True" in str(told.get(timeout=LIMIT))
                assert heard.empty()


# --- What is known of a connection --------------------------------------------------


def test_a_report_tells_how_a_connection_stands_and_what_the_limits_leave_it() -> None:
    world = World("v5")
    url = f"{world.url}/public"
    sub = world.subscribe(
        venue=world.venue(requests_per_hour=480),
        channels=("trade",),
        reconnect=Reconnect(host_gap=8.0),
    )
    seen: list[ConnectionReport] = [connection(sub).report(0, 0)]
    world.at(2, lambda: seen.append(connection(sub).report(3, 1)))
    world.at(3, lambda: world.peer and world.peer.drop())
    world.at(3.5, lambda: seen.append(connection(sub).report(3, 1)))

    world.run(4)

    assert seen == [
        ConnectionReport(url, False, 0, 0, 479, 0.0, 0.0),
        ConnectionReport(url, True, 3, 1, 477, 0.0, 6.0),
        # A new connection begins with all of its requests.
        ConnectionReport(url, False, 3, 1, 479, 0.0, 4.5),
    ]


def test_a_report_tells_when_the_next_request_may_go(world: World) -> None:
    venue = world.venue(requests_per_hour=2)
    sub = world.subscribe(venue=venue, channels=("trade",))
    seen: list[ConnectionReport] = []
    world.at(600, lambda: seen.append(connection(sub).report(1, 0)))

    world.run(601)

    # One less than the exchange allows: its hour need not begin where ours does.
    assert (seen[0].requests_left, seen[0].requests_wait) == (0, 3000.0)


def test_a_report_has_no_more_of_the_url_than_may_be_shown(world: World) -> None:
    sub = world.subscribe(venue=world.venue(f"{world.url}?token=secret"))
    report = connection(sub).report(0, 0)

    world.run(1)

    assert report.endpoint == world.url


def test_a_login_is_one_of_the_requests() -> None:
    world = World("v5")
    feed = world.feed(world.venue(requests_per_hour=480), credentials=KEY)
    RawSubscription([ORDERS], feed=feed)
    seen: list[int] = []
    world.at(1, lambda: seen.append(connection(feed).report(1, 0).requests_left))

    world.run(2)

    assert seen == [479 - 2]


# --- Faults -------------------------------------------------------------------------


class Raises(logging.Handler):
    """A log handler that always raises."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit(record.getMessage())


def test_a_log_handler_that_always_raises_keeps_no_price_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger, handler = logging.getLogger("okex_ws"), Raises(logging.DEBUG)
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    logger.addHandler(handler)
    sub = world.subscribe(channels=("depth5",))
    seen: list[State] = []
    world.at(1, lambda: seen.append(sub.state))
    world.at(2, lambda: world.peer and world.peer.send("garbage"))
    world.at(2.001, lambda: seen.append(sub.state))
    world.at(3, lambda: world.peer and world.peer.drop())
    world.at(3.001, lambda: seen.append(sub.state))
    world.at(9, lambda: seen.append(sub.state))

    world.run(10)

    logger.removeHandler(handler)
    assert seen == [State.LIVE, State.RESYNCING, State.RECONNECTING, State.LIVE]


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemExit])
def test_a_job_that_raises_withdraws_what_came_over_the_connection(
    world: World, fault: type[BaseException]
) -> None:
    sub = world.subscribe(channels=("depth5",))
    one = connection(sub)
    eras: list[Any] = []
    seen: list[Any] = []

    def job() -> None:
        raise fault

    world.at(2, lambda: eras.append(one.opening and one.opening.era))
    world.at(2, lambda: one.submit(job))
    world.at(2.001, lambda: seen.append((sub.state, sub.GetDepth(), eras[0].lost)))
    world.at(9, lambda: seen.append(sub.state))

    world.run(10)

    assert seen == [(State.RECONNECTING, {}, True), State.LIVE]
    assert sub.stats().reconnects == {"ConnectionLost": 1}
    assert not world.peers[0].is_open


@pytest.mark.parametrize("name", ["lost", "troubled", "catch_up", "drain"])
def test_what_raises_while_a_loss_is_handled_withdraws_and_the_thread_goes_on(
    world: World, name: str
) -> None:
    sub = world.subscribe(channels=("depth5",))
    one, seen = connection(sub), list[Any]()
    works, left = getattr(one.channels, name), [8]

    def fails(*arguments: Any) -> Any:
        if left[0] and world.clock.now - world.t0 < 5:
            left[0] -= 1
            raise MemoryError
        return works(*arguments)

    def begin() -> None:
        seen.append(one.opening and one.opening.era)
        vars(one.channels)[name] = fails
        assert world.peer is not None
        world.peer.drop()

    world.at(2, begin)
    world.at(2.001, lambda: seen.append((seen[0].lost, sub.GetDepth())))
    world.at(60, lambda: seen.append(sub.state))

    world.run(61)

    assert seen[1:] == [(True, {}), State.LIVE]


def test_a_clock_that_raises_withdraws_and_makes_no_thread_spin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on the thread works then, not even what handles a failure."""
    sub = world.subscribe(channels=("depth5",))
    one, seen = connection(sub), list[Any]()
    left, pauses = [30], list[float]()
    monkeypatch.setattr(time, "sleep", pauses.append)

    def fails() -> float:
        if on_library_thread() and left[0] and len(seen) == 1:
            left[0] -= 1
            raise OSError("no clock")
        return world.clock.now

    def begin() -> None:
        world.clock.look = fails
        one.submit(lambda: seen.append(one.opening and one.opening.era))

    world.at(2, begin)
    world.at(2.001, lambda: seen.append(seen[0].lost))
    world.at(60, lambda: seen.append(sub.state))

    world.run(61)

    assert seen[1:] == [True, State.LIVE]
    # Each pause is longer than the one before, up to a second.
    assert pauses[:4] == [0.002, 0.004, 0.008, 0.016]
    assert max(pauses) == 1.0
    assert len(pauses) >= 15


def test_random_numbers_that_fail_once_end_no_back_off(world: World) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    rng = random.Random(7)
    works, calls = rng.uniform, list[float]()

    def uniform(low: float, high: float) -> float:
        calls.append(high)
        if len(calls) == 3:
            raise MemoryError
        return works(low, high)

    vars(rng)["uniform"] = uniform
    world.subscribe(rng=rng)

    world.run(600)

    # One attempt each, and no more of them than with a back-off that never failed.
    assert len(calls) - 2 <= len(world.opened) <= 100


# --- Too many channels --------------------------------------------------------------


@pytest.mark.parametrize("code", [4008, 4009])
def test_a_connection_that_is_closed_for_its_many_channels_keeps_half_of_them(
    code: int,
) -> None:
    world = World("v5")
    names = [f"C{n}-USDT" for n in range(9)]
    for name in names:
        key = world.dialect.channel("depth5", name)
        world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
    feed = world.feed()
    subs = list(feed.subscribe(names, "spot", ["depth5"]))
    shares: list[list[int]] = []
    seen: list[Any] = []

    def look() -> None:
        shares.append(sorted(report.channels for report in feed.connections()))
        seen.append({sub.state for sub in subs})

    world.at(1, lambda: world.peers[0].close(code, "too many channels"))
    world.at(1.001, lambda: seen.append([bool(sub.GetDepth()) for sub in subs]))
    world.at(10, look)
    # The rest moves on alike, also where it is.
    world.at(11, lambda: world.peers[-1].close(code, "too many channels"))
    world.at(20, look)
    # A later channel goes where there is room for it.
    world.at(21, lambda: subs.extend(feed.subscribe(["C9-USDT"], "spot", ["trade"])))
    world.at(25, look)
    held: list[str] = []
    peers = world.peers
    world.at(
        25, lambda: held.extend(k for p in peers if p.is_open for k in p.subscribed)
    )

    world.run(26)

    first, *states = seen
    assert first == [False] * 9
    assert states == [{State.LIVE}] * 3
    assert shares[0] == [4, 5]
    assert sum(shares[1]) == 9
    assert max(shares[1]) <= 5
    assert len(shares[1]) >= 3
    assert sum(shares[2]) == 10
    check(register_of(pool_of(feed)).table)
    # The exchange carries each of them once.
    assert len(set(held)) == len(held) == 10


def test_without_a_socket_for_another_connection_the_channels_stay() -> None:
    def no_socket() -> Network:
        raise OSError("too many open files")

    world = World("v5")
    names = [f"C{n}-USDT" for n in range(4)]
    for name in names:
        key = world.dialect.channel("depth5", name)
        world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
    told: list[str] = []
    feed = world.feed(on_error=lambda error: told.append(str(error)))
    subs = feed.subscribe(names, "spot", ["depth5"])
    seen: list[Any] = []
    world.at(1, lambda: change_settings(pool_of(feed), network=no_socket))
    world.at(1, lambda: world.peers[0].close(4008, "too many channels"))
    world.at(20, lambda: seen.extend(sub.state for sub in subs))
    world.at(20, lambda: seen.extend(r.channels for r in feed.connections()))

    world.run(21)

    assert seen == [*[State.LIVE] * 4, 4]
    assert any("too many open files" in each for each in told)
    assert not any("internal" in each for each in told)


@pytest.mark.parametrize("code", [4008, 4009])
def test_one_channel_alone_is_never_too_many(code: int) -> None:
    world = World("v5")
    world.exchange.first_pushes["books5:BTC-USDT"] = world.dialect.depth(0)
    sub = world.subscribe(channels=("depth5",))
    seen: list[State] = []
    world.at(1, lambda: world.peers[0].close(code, "too many channels"))
    world.at(9, lambda: seen.append(sub.state))

    world.run(10)

    assert seen == [State.LIVE]
    assert len(world.networks) == 1
