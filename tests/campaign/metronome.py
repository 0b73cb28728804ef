"""Notes when the machine stood still: no program can keep a bound of a second then."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType

BEAT = 0.01
# A beat that comes so late is a rest; the time-outs of the campaign are of a second.
REST = 0.25


class Metronome:
    """Notes each rest of this process; a context manager."""

    def __init__(self) -> None:
        self.rests: deque[tuple[float, float]] = deque(maxlen=1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metronome")

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(BEAT):
            now = time.monotonic()
            if now > last + REST:
                self.rests.append((last, now))
            last = now

    def rested(self, since: float) -> bool:
        """Whether there was a rest since that moment (monotonic)."""
        return any(end > since for _, end in [*self.rests])

    def __enter__(self) -> Metronome:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
