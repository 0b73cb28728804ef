"""Replayed connections as the library opens them: to the script, in either time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws import ConnectionLost, Stalled
from okex_ws.base.rates import RateLimits
from okex_ws.net.stream import Staged
from okex_ws.net.transport import Transport
from okex_ws.recording.format import Entry
from okex_ws.replay.matching import ConnectionMatcher
from okex_ws.replay.network import ReplayNetwork, ReplayStream, ScaledTime, VirtualTime
from okex_ws.replay.script import Script
from okex_ws.replay.virtual_time import ScaledClock, VirtualClock, VirtualScheduler
from tests.support.recordings import URL, at, depth, heard, opened, session, venue

PUSH = heard(1.0, depth(1.0))


def once(run: Callable[[], object]) -> Callable[[], bool]:
    """A turn after which a thread ends."""

    def turn() -> bool:
        run()
        return False

    return turn


class Rig:
    """A stage, a script, and one network, used by a thread of the stage."""

    def __init__(self, *entries: Entry, now: float = 0.0) -> None:
        script = Script(entries, "day.rec.gz", None)
        self.clock = VirtualClock(script.moments, now)
        self.scheduler = VirtualScheduler(self.clock)
        self.network = ReplayNetwork(
            VirtualTime(self.scheduler), ConnectionMatcher(script), RateLimits()
        )
        self.result: Any = None

    def open(self, deadline: float = math.inf, until: float = 100.0) -> Any:
        """What opening gives, or raises, by *until*."""

        def run() -> None:
            try:
                self.result = Transport.open(self.network, URL, deadline, lambda: False)
            except Exception as error:
                self.result = error

        self.network.thread("okex_ws:test", once(run)).start()
        self.scheduler.settle()
        while (due := self.scheduler.due()) <= until:
            self.scheduler.move(due)
        return self.result


def test_it_is_a_network_with_turns_and_threads_of_its_own() -> None:
    assert isinstance(Rig(*session(PUSH)).network, Staged)


def test_a_connection_is_open_when_it_was() -> None:
    rig = Rig(opened(30.0), heard(31.0, depth(31.0)))

    assert rig.open(until=29.0) is None
    rig.scheduler.move(30.0)

    assert isinstance(rig.result, Transport)
    assert rig.clock.now == 30.0
    rig.result.close()


def test_one_that_has_no_end_in_the_recording_waits_for_the_deadline() -> None:
    own = at(2.0, "end", cause="ConnectionLost", why="reset")
    rig = Rig(opened(), PUSH, own, now=3.0)

    stalled = rig.open(deadline=13.0)

    assert isinstance(stalled, Stalled)
    assert str(stalled) == f"{URL}: no connection in the recording within 10 s"


def test_an_attempt_that_failed_fails_again_at_its_time() -> None:
    about: dict[str, Any] = {"url": URL, "path": "public", "line": 1, "venue": venue()}
    failed = at(5.0, "failed", 0, **about, cause="ConnectionLost", why="refused")
    rig = Rig(failed, opened(9.0), heard(9.5, depth(9.5)))

    lost = rig.open()

    assert isinstance(lost, ConnectionLost)
    assert lost.reason == "refused"
    assert rig.clock.now == 5.0


def test_who_is_called_off_opens_nothing() -> None:
    rig, called = Rig(opened(30.0), heard(31.0, depth(31.0))), [False]

    def run() -> None:
        try:
            rig.network.open(URL, math.inf, lambda: called[0])
        except ConnectionLost as error:
            rig.result = error

    rig.network.thread("okex_ws:test", once(run)).start()
    rig.scheduler.settle()
    called[0] = True
    rig.network.wake()
    rig.scheduler.settle()

    assert isinstance(rig.result, ConnectionLost)
    assert rig.result.reason == "closed while connecting"


def test_a_closed_stream_hears_nothing() -> None:
    rig = Rig(*session(PUSH))
    transport = rig.open(until=0.0)
    stream: ReplayStream = transport.stream

    assert stream.fill() == 0
    transport.close()

    assert (stream.due(), stream.fileno()) == (math.inf, -1)
    with pytest.raises(ConnectionLost, match="the connection is closed"):
        stream.fill()


def test_in_scaled_time_a_wait_is_as_much_shorter() -> None:
    script = Script(session(PUSH), "day.rec.gz", None)
    clock = ScaledClock(script.moments, 0.0, 1000.0)
    network = ReplayNetwork(ScaledTime(clock), ConnectionMatcher(script), RateLimits())
    thread = network.thread("okex_ws:test", once(lambda: network.wait(20.0)))
    thread.start()
    assert thread.join(20.0)

    # It waited, and not for 20 s of ours.
    assert clock.monotonic() >= 20.0


def test_a_call_ends_a_wait_in_scaled_time() -> None:
    script = Script(session(PUSH), "day.rec.gz", None)
    clock = ScaledClock(script.moments, 0.0, 1e-6)
    network = ReplayNetwork(ScaledTime(clock), ConnectionMatcher(script), RateLimits())
    thread = threading.Thread(target=lambda: network.wait(None))
    thread.start()
    network.wake()
    thread.join()
    network.close()
