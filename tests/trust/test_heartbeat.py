"""The ping and its lease, in virtual time."""

from __future__ import annotations

import math

import pytest

from okex_ws.base.errors import Stalled
from okex_ws.base.retry import Ping
from okex_ws.trust.heartbeat import Heartbeat, Renewed
from okex_ws.trust.lease import Lease

PONG = 10.0
WALL = 1_700_000_000.0


def tick(beat: Heartbeat, now: float, drained: bool = True) -> bool:
    return beat.tick(now, now + WALL, now if drained else -1.0)


def just_before(moment: float) -> float:
    return math.nextafter(moment, -math.inf)


@pytest.fixture
def beat() -> Heartbeat:
    return Heartbeat(Ping(), PONG, 0.0)


def test_the_first_ping_goes_out_at_the_opening(beat: Heartbeat) -> None:
    assert beat.due == 0.0
    assert tick(beat, 0.0)


def test_one_ping_is_in_flight_at_a_time(beat: Heartbeat) -> None:
    assert tick(beat, 0.0)
    assert beat.due == PONG
    assert not any(tick(beat, now) for now in (0.0, 5.0, just_before(PONG)))


def test_a_ping_goes_out_every_probe(beat: Heartbeat) -> None:
    sent = []
    for now in range(16):
        if tick(beat, now):
            sent.append(now)
            beat.ponged(now)
    assert sent == [0, 5, 10, 15]


def test_a_ping_after_a_late_pong_goes_out_at_once(beat: Heartbeat) -> None:
    tick(beat, 0.0)
    beat.ponged(8.0)
    assert beat.due <= 8.0
    assert tick(beat, 8.0)


def test_without_a_probe_the_keep_alive_is_five_seconds_early() -> None:
    beat = Heartbeat(Ping(30.0, None), PONG, 0.0)
    assert tick(beat, 0.0)
    beat.ponged(0.1)
    assert beat.due == 25.0
    assert not tick(beat, just_before(25.0))
    assert tick(beat, 25.0)


@pytest.mark.parametrize(("probe", "until"), [(5.0, 15.0), (1.0, 11.0), (None, 40.0)])
def test_the_lease_runs_from_the_sending_of_the_ping(
    probe: float | None, until: float
) -> None:
    beat = Heartbeat(Ping(30.0, probe), PONG, 100.0)
    assert tick(beat, 100.0)
    assert beat.ponged(107.0) == Renewed(Lease(100.0 + until, WALL), 100.0, 7.0)


def test_the_clocks_are_compared_with_those_of_the_sending(beat: Heartbeat) -> None:
    """A jump while the pong was under way shows in the new lease."""
    beat.tick(0.0, WALL, True)
    renewed = beat.ponged(1.0)
    assert renewed is not None
    assert renewed.lease.holds(1.0, WALL + 1.0)
    assert not renewed.lease.holds(1.0, WALL + 3600.0)


def test_a_pong_that_nobody_asked_for_renews_nothing(beat: Heartbeat) -> None:
    assert beat.ponged(0.0) is None
    tick(beat, 0.0)
    assert beat.ponged(0.1) is not None
    assert beat.ponged(0.2) is None


def test_a_pong_of_a_backlog_answers_no_ping_that_is_younger(beat: Heartbeat) -> None:
    """A callback blocks from 1.0 to 6.0, and a pong that nobody asked for has come."""
    assert tick(beat, 0.0)
    assert beat.ponged(0.1) is not None
    assert not beat.tick(6.0, WALL, read_at=1.0)
    assert beat.ponged(6.0) is None
    # Now all that came by then is handled.
    assert tick(beat, 6.01)


def test_the_lease_runs_from_the_read_before_the_ping(beat: Heartbeat) -> None:
    """A callback blocked from 1.0 to 6.0, in a message that was read at 1.0."""
    assert beat.tick(6.0, 6.0 + WALL, read_at=1.0)
    assert beat.ponged(6.1) == Renewed(Lease(16.0, WALL), 1.0, pytest.approx(0.1))
    # So the next ping goes out the sooner.
    assert beat.due == 6.0


def test_a_ping_waits_two_seconds_for_what_is_never_read(beat: Heartbeat) -> None:
    """Which counts from when it would have been sent: a callback may have blocked."""
    assert not tick(beat, 8.0, drained=False)
    assert not tick(beat, just_before(10.0), drained=False)
    assert tick(beat, 10.0, drained=False)
    # What its pong proves is what was read, and nothing later.
    assert beat.ponged(10.1) == Renewed(Lease(14.0, WALL), -1.0, pytest.approx(0.1))


def test_a_missing_pong_is_a_stall_at_its_very_moment(beat: Heartbeat) -> None:
    tick(beat, 0.0)
    assert not tick(beat, just_before(PONG))
    with pytest.raises(Stalled, match="no pong came within 10 s"):
        tick(beat, PONG)


def test_a_pong_may_wait_behind_waiting_frames_but_not_for_ever(
    beat: Heartbeat,
) -> None:
    tick(beat, 0.0)
    tick(beat, just_before(6 * PONG), drained=False)
    with pytest.raises(Stalled):
        tick(beat, 6 * PONG, drained=False)


def test_the_end_of_the_waiting_frames_ends_the_patience(beat: Heartbeat) -> None:
    tick(beat, 0.0)
    tick(beat, 30.0, drained=False)
    with pytest.raises(Stalled):
        tick(beat, 30.0, drained=True)


def test_a_late_pong_does_not_hold_the_keep_alive_back() -> None:
    """A ping in flight stops the probes, but 25 seconds after it the next one goes."""
    beat = Heartbeat(Ping(30.0, 5.0), PONG, 0.0)
    sent = [now / 10 for now in range(590) if tick(beat, now / 10, drained=False)]
    # The first one waits two seconds for what is unread.
    assert sent == [2.0, 27.0, 52.0]
    # Pongs answer in order, and each vouches from what was read before its own ping.
    pongs = [beat.ponged(59.0) for _ in range(3)]
    assert [pong and pong.round_trip for pong in pongs] == [57.0, 32.0, 7.0]
    assert [pong and pong.lease.until for pong in pongs] == [14.0, 14.0, 14.0]
    assert beat.ponged(59.0) is None


def test_a_ping_that_a_channel_waits_for_goes_out_at_once(beat: Heartbeat) -> None:
    tick(beat, 0.0)
    beat.hurry(1.0)
    assert beat.due == 1.0
    assert tick(beat, 1.0)
    # Pongs come in order: the second answers the ping that was hurried.
    trips = [beat.ponged(2.0), beat.ponged(2.0)]
    assert [pong and pong.round_trip for pong in trips] == [2.0, 1.0]
    assert beat.due == 6.0


def test_a_ping_that_waits_goes_out_as_soon_as_all_is_read(beat: Heartbeat) -> None:
    assert not beat.tick(6.0, 6.0 + WALL, read_at=-1.0)
    assert beat.waits
    beat.caught_up(-0.5)
    assert beat.due == 8.0
    beat.caught_up(6.1)
    assert beat.due < 6.1
    assert beat.tick(6.1, 6.1 + WALL, read_at=6.1)
    assert not beat.waits
