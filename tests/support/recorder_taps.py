"""Taps of a recorder, the frames that they record, and a wait for its thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from okex_ws import OkexWSError, Recorder
from okex_ws.recording.tap import RecordingTap
from tests.support.clocks import FakeClock
from tests.support.recordings import opened

URL = "wss://ws.example.test:443/ws/v5/public"
FACTS = {key: opened().facts[key] for key in ("path", "venue")}


def open_tap(
    recorder: Recorder, tell: Callable[[OkexWSError], object] = print
) -> RecordingTap:
    """A tap of *recorder* on a connection that is open; *tell* gets its errors."""
    tap = recorder.tap(FakeClock(), FACTS, None, tell)
    tap.opened(URL)
    return tap


def hear(tap: RecordingTap, *texts: str) -> None:
    """Record *texts* as received."""
    tap.received([(text.encode(), False) for text in texts])


def until(true: Callable[[], object]) -> None:
    """Wait until *true* returns something true; the time limit of the test applies."""
    pause = threading.Event()
    while not true():
        pause.wait(0.01)
