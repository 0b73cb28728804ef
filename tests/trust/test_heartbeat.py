"""The ping and its lease, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

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


@pytest.mark.parametrize(("lease", "sent"), [(6.0, [0, 2, 4]), (15.0, [0, 5])])
def test_at_most_three_pings_are_unanswered(lease: float, sent: list[int]) -> None:
    beat = Heartbeat(Ping(lease=lease), PONG, 0.0)
    assert [now for now in range(10) if tick(beat, now)] == sent
    assert beat.due == PONG
    assert not tick(beat, just_before(PONG))


def test_a_pong_makes_room_for_the_next_ping() -> None:
    beat = Heartbeat(Ping(lease=6.0), PONG, 0.0)
    for now in (0, 2, 4):
        assert tick(beat, now)
    assert not tick(beat, 7.0)
    assert beat.ponged(7.5) is not None
    assert beat.due <= 7.5
    assert tick(beat, 7.5)


def test_a_ping_goes_out_every_third_of_the_lease(beat: Heartbeat) -> None:
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


def test_the_keep_alive_is_five_seconds_early() -> None:
    """A shorter one than a third of the lease takes its place."""
    beat = Heartbeat(Ping(20.0, 60.0), PONG, 0.0)
    assert tick(beat, 0.0)
    beat.ponged(0.1)
    assert beat.due == 15.0
    assert not tick(beat, just_before(15.0))
    assert tick(beat, 15.0)


@pytest.mark.parametrize("lease", [2.0, 15.0, 60.0])
def test_the_lease_runs_from_the_sending_of_the_ping(lease: float) -> None:
    beat = Heartbeat(Ping(30.0, lease), PONG, 100.0)
    assert tick(beat, 100.0)
    assert beat.ponged(101.0) == Renewed(Lease(100.0 + lease, WALL), 100.0, 1.0, 1)


def test_each_pong_renews_from_its_own_ping() -> None:
    beat = Heartbeat(Ping(lease=6.0), PONG, 0.0)
    for now in (0, 2, 4):
        assert tick(beat, now)
    pongs = [beat.ponged(5.0), beat.ponged(5.0), beat.ponged(5.5)]
    assert [pong and pong.lease.until for pong in pongs] == [6.0, 8.0, 10.0]
    assert [pong and pong.ping for pong in pongs] == [1, 2, 3]


def test_a_short_lease_ends_before_the_connection_is_given_up() -> None:
    beat = Heartbeat(Ping(lease=2.0), PONG, 0.0)
    assert tick(beat, 0.0)
    renewed = beat.ponged(0.1)
    assert renewed is not None
    assert renewed.lease.until == 2.0
    oldest = 2.0 / 3
    assert [now / 3 for now in range(32) if tick(beat, now / 3)] == [
        pytest.approx(oldest * number) for number in (1, 2, 3)
    ]
    with pytest.raises(Stalled, match="no pong came within 10 s"):
        tick(beat, oldest + PONG)


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
    assert beat.ponged(6.1) == Renewed(Lease(16.0, WALL), 1.0, pytest.approx(0.1), 1)
    # So the next ping goes out the sooner.
    assert beat.due == 6.0


def test_a_ping_waits_two_seconds_for_what_is_never_read(beat: Heartbeat) -> None:
    """Which counts from when it would have been sent: a callback may have blocked."""
    assert not tick(beat, 8.0, drained=False)
    assert not tick(beat, just_before(10.0), drained=False)
    assert tick(beat, 10.0, drained=False)
    # What its pong proves is what was read, and nothing later.
    assert beat.ponged(10.1) == Renewed(Lease(14.0, WALL), -1.0, pytest.approx(0.1), 1)


def test_a_missing_pong_is_a_stall_at_its_very_moment(beat: Heartbeat) -> None:
    tick(beat, 0.0)
    tick(beat, 5.0)
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
    """Three without a pong stop the others, but 25 seconds later the next one goes."""
    beat = Heartbeat(Ping(), PONG, 0.0)
    sent = [now / 10 for now in range(590) if tick(beat, now / 10, drained=False)]
    # Each waits two seconds for what is unread, but the keep-alive does not.
    assert sent == [2.0, 6.0, 8.1, 33.1, 58.1]
    # Pongs answer in order, and each vouches from what was read before its own ping.
    pongs = [beat.ponged(59.0) for _ in sent]
    assert [pong and pong.round_trip for pong in pongs] == [59.0 - at for at in sent]
    assert [pong and pong.lease.until for pong in pongs] == [14.0] * 5
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


def test_a_hurried_ping_goes_out_as_soon_as_two_wait_at_most() -> None:
    beat = Heartbeat(Ping(lease=6.0), PONG, 0.0)
    for now in (0, 2, 4):
        assert tick(beat, now)
    beat.hurry(4.5)
    assert not tick(beat, 4.5)
    assert beat.ponged(4.6) is not None
    assert beat.due == 4.5
    assert tick(beat, 4.6)


def test_a_ping_that_waits_goes_out_as_soon_as_all_is_read(beat: Heartbeat) -> None:
    assert not beat.tick(6.0, 6.0 + WALL, read_at=-1.0)
    assert beat.waits
    beat.caught_up(-0.5)
    assert beat.due == 8.0
    beat.caught_up(6.1)
    assert beat.due < 6.1
    assert beat.tick(6.1, 6.1 + WALL, read_at=6.1)
    assert not beat.waits


# --- Pongs that the library did not ask for, on lines of any delay ----------------


class Answer(NamedTuple):
    """A pong that came at *at*, of the ping *own* (0: of none), and what it granted."""

    at: float
    own: int
    renewed: Renewed | None


class Line:
    """A line on which each pong comes a while after its ping, and some come unasked."""

    def __init__(
        self,
        lease: float,
        trip: Callable[[float], float],
        unasked: tuple[float, ...] = (),
    ) -> None:
        self.beat = Heartbeat(Ping(lease=lease), PONG, 0.0)
        self.trip = trip
        self.coming = [(at, 0) for at in unasked]
        # So many pongs will be lost.
        self.lose = 0
        self.sent: list[float] = []
        self.answers: list[Answer] = []

    def run(self, until: float) -> Line:
        beat, now, ordered = self.beat, 0.0, 0.0
        while True:
            self.coming.sort()
            pong_at, own = self.coming[0] if self.coming else (math.inf, 0)
            now = max(now, min(pong_at, beat.due))
            if now > until:
                return self
            if pong_at <= now:
                self.coming.pop(0)
                self.answers.append(Answer(now, own, beat.ponged(now)))
            elif tick(beat, now):
                self.sent.append(now)
                ordered = max(ordered, now + self.trip(now))
                if self.lose:
                    self.lose -= 1
                else:
                    self.coming.append((ordered, len(self.sent)))

    @property
    def lapsed(self) -> float:
        """For how many seconds no lease ran, from the first pong to the last."""
        total, until = 0.0, math.inf
        for answer in self.answers:
            if answer.renewed is not None:
                total += max(0.0, answer.at - until)
                until = answer.renewed.lease.until
        return total


@pytest.mark.parametrize("trip", [0.0, 0.1, 0.6, 0.7, 1.0, 1.3])
def test_pings_keep_their_pace_and_the_lease_on_lines_of_any_delay(trip: float) -> None:
    line = Line(2.0, lambda _: trip).run(60.0)
    pace = [number * 2 / 3 for number in range(91)]
    if trip > 2 / 3:
        # Every ten seconds all pongs have to come before the next ping.
        pace = [at for at in pace if at < 10.1]
    assert line.sent[: len(pace)] == pytest.approx(pace)
    assert len(line.sent) > 84
    assert all(each.renewed and each.renewed.ping == each.own for each in line.answers)
    assert line.lapsed == pytest.approx(0.0 if trip <= 1.0 else 5 * (2 * trip - 2.0))


@pytest.mark.parametrize("lease", [2.0, 15.0, 60.0])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_pong_that_never_comes_ends_the_connection(lease: float, lost: int) -> None:
    """Though each later pong answers a ping, and then the one before its own."""
    line = Line(lease, lambda _: 0.1).run(lease + 0.2)
    line.coming.clear()
    line.lose = lost
    with pytest.raises(Stalled):
        line.run(1000.0)
    for answer in line.answers:
        assert answer.renewed is None or answer.renewed.ping <= answer.own
    assert line.sent[-1] < 2 * lease + 2 * PONG


@pytest.mark.parametrize("trip", [0.02, 0.3, 0.6, 0.7, 0.9, 1.0, 1.2, 1.3])
@pytest.mark.parametrize("offset", [number / 10 for number in range(14)])
@pytest.mark.parametrize("since", [4.03, 10.03])
def test_an_unasked_pong_makes_no_later_pong_count_for_a_younger_ping(
    trip: float, offset: float, since: float
) -> None:
    came = since + offset
    line = Line(2.0, lambda _: trip, (came,)).run(60.0)
    for answer in line.answers:
        if answer.own and answer.renewed is not None:
            assert answer.renewed.ping <= answer.own
    # Each ping that is sent later is renewed from at its own pong.
    late = [each for each in line.answers if each.at > came + 3 * trip + 2]
    assert all(each.renewed and each.renewed.ping == each.own for each in late)
    assert sum(each.renewed is None for each in line.answers) == 1
    if trip < 1.0:
        assert line.lapsed == 0.0


def test_on_a_line_that_varies_most_of_an_unasked_pong_is_undone_too() -> None:
    """A third of the time between two pings, up or down, is no more than usual."""
    waves = count()
    line = Line(2.0, lambda _: 0.9 + 0.1 * math.sin(next(waves)), (20.3,)).run(300.0)
    for answer in line.answers:
        if answer.own and answer.renewed is not None:
            assert answer.renewed.ping <= answer.own
    assert line.lapsed < 1.0


def test_more_pongs_than_pings_renew_nothing() -> None:
    flood = tuple(10.0 + number / 1000 for number in range(1000))
    line = Line(2.0, lambda _: 0.1, flood).run(30.0)
    granted = [each for each in line.answers if each.own == 0 and each.renewed]
    assert len(granted) <= 2
    assert all(each.renewed for each in line.answers if each.own and each.at > 12.0)


def test_a_line_that_becomes_quicker_is_trusted_again() -> None:
    """The first pong that comes too soon could be another's: so it renews nothing."""
    line = Line(2.0, lambda now: 1.0 if now < 20 else 0.05).run(60.0)
    refused = [each for each in line.answers if each.renewed is None]
    assert len(refused) == 1
    assert line.lapsed < 1.0
    last = [each for each in line.answers if each.at > 24.0]
    assert all(each.renewed and each.renewed.ping == each.own for each in last)
    # And pings keep their pace.
    assert len([at for at in line.sent if at > 24.0]) >= 54


def test_pongs_that_waited_behind_a_slow_callback_do_not_come_too_soon() -> None:
    beat = Heartbeat(Ping(lease=6.0), PONG, 0.0)
    for now in (0, 2, 4):
        assert tick(beat, now)
        assert beat.ponged(now + 1.5) is not None
    # A keep-alive beside three others, and then all their pongs.
    for now in (6.0, 8.0, 10.0, 35.0):
        assert tick(beat, now, drained=now < 35.0)
    pongs = [beat.ponged(36.5) for _ in range(4)]
    assert [pong and pong.ping for pong in pongs] == [4, 5, 6, 7]


def test_a_line_that_was_slower_than_a_pong_may_be_is_not_given_up() -> None:
    """Slow callbacks kept each pong for long, and the next one comes at once."""
    beat = Heartbeat(Ping(lease=6.0), PONG, 0.0)
    for now in (0, 20, 40):
        assert tick(beat, now)
        assert beat.ponged(now + 19.0) is not None
    assert tick(beat, 60.0)
    assert beat.ponged(60.1) is None
    assert not tick(beat, just_before(70.0))
    assert tick(beat, 70.0)
    assert beat.ponged(70.1) is not None


def test_a_pong_that_came_too_soon_does_not_hide_a_dead_line() -> None:
    line = Line(2.0, lambda now: 1.0 if now < 20 else 1000.0, (20.5,))
    with pytest.raises(Stalled):
        line.run(60.0)
    assert line.sent[-1] < 24.0


def test_a_second_pong_that_comes_too_soon_is_dropped_like_the_first() -> None:
    beat = Heartbeat(Ping(30.0, 15.0), 10.0, 0.0)
    for now in (0.0, 5.0, 10.0):
        assert beat.tick(now, now, now)
        assert beat.ponged(now + 4.0)
    assert beat.tick(15.0, 15.0, 15.0)

    assert beat.ponged(15.5) is None
    assert beat.ponged(15.6) is None
    assert beat.ponged(19.0) is not None


# --- Where data is forwarded ---------------------------------------------------------


def test_a_probe_goes_out_every_sixth_of_the_lease() -> None:
    beat = Heartbeat(Ping(lease=6.0, forwarded=True), PONG, 0.0)
    sent = []
    for now in range(5):
        if tick(beat, now):
            sent.append(now)
            assert beat.ponged(now) is not None

    assert sent == [0, 1, 2, 3, 4]
    assert beat.round_trip == 0.0


def test_a_lease_that_is_known_later_sets_the_pace() -> None:
    beat = Heartbeat(Ping(lease=60.0, forwarded=True), PONG, 0.0)
    assert beat.round_trip == 0.0
    assert tick(beat, 0.0)
    assert beat.ponged(0.5) is not None
    assert beat.round_trip == 0.5
    assert beat.due == 10.0

    beat.adopt(6.0)

    assert beat.due == 1.0
    beat.adopt(6.0)
    assert beat.due == 1.0
