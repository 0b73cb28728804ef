"""One thread's policy, in virtual time: connecting, backing off, pinging, ending."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from tests.world import World, depth

from okex_ws import ConnectionLost, HandshakeFailed, Reconnect, Stalled, State
from okex_ws.counters import cause_of


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


def test_without_a_probe_the_ping_is_five_seconds_early(world: World) -> None:
    world.subscribe(probe_interval=None)

    world.run(60)

    gaps = [round(at - world.t0, 3) for at in world.exchange.pings]
    assert gaps == [0, 25, 50]


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


def test_an_internal_error_is_logged_and_ends_no_thread(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sub = world.subscribe(channels=("depth5",))

    def break_it() -> None:
        session = sub._feed._plan.connection.conversation.session  # type: ignore[union-attr]
        session.lines.clear()
        session.lines["x"] = None  # type: ignore[assignment]
        session._lines_due = 0.0

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
    sub._view.callbacks._on_error = errors.append

    world.run(5)

    assert sub.stats().reconnects == {"ConnectionLost 4004": 1}
    assert isinstance(errors[0], ConnectionLost)
    assert errors[0].code == 4004


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionLost("e", "r"), "ConnectionLost"),
        (ConnectionLost("e", "r", 1001), "ConnectionLost 1001"),
        (HandshakeFailed("e", "r"), "HandshakeFailed"),
        (HandshakeFailed("e", "r", 503), "HandshakeFailed 503"),
        (Stalled("pong", 10), "Stalled"),
    ],
)
def test_a_cause_has_a_short_stable_name(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause  # type: ignore[arg-type]
