"""What the local exchange has received and sent: written by its thread, read by any.

Every collection is bounded, and every read gives a copy. A push is kept as its text,
and parsed only if a script reads it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..wire.values import EncodedPush

MAX_REQUESTS = 10_000


class Asked(NamedTuple):
    """A message of a client: the monotonic time of its receipt, and the message."""

    at: float
    text: str | bytes


class Pushed(NamedTuple):
    """A data message: the monotonic time just before it was sent, and its element.

    Every number of *element* is a ``str`` of the exchange's characters.
    """

    at: float
    element: Any


class _Kept:
    """A push that is parsed when it is first read."""

    __slots__ = ("_at", "_read", "push")

    def __init__(self, at: float, push: EncodedPush) -> None:
        self._at = at
        self.push = push
        self._read: tuple[Pushed, ...] | None = None

    def read(self) -> tuple[Pushed, ...]:
        """An entry for each element of the push; few pushes have more than one."""
        if self._read is None:
            # Two threads may both parse the push; they get the same.
            self._read = tuple(Pushed(self._at, each) for each in self.push.elements)
        return self._read


class Record:
    """What one exchange received and sent, for a script to compare with its own values.

    It keeps the last *history* pushes of each channel, the last 10,000 requests, and
    counts of handshakes and clients; older ones are dropped. The exchange's thread
    writes, and any thread reads: a lock guards it, and each read gives a copy.
    """

    def __init__(self, history: int) -> None:
        self._history = history
        self._changed = threading.Condition()
        self._requests: deque[Asked] = deque(maxlen=MAX_REQUESTS)
        self._rest_requests: deque[Asked] = deque(maxlen=MAX_REQUESTS)
        self._pushed: dict[str, deque[_Kept]] = {}
        self.handshakes = 0
        self.clients = 0

    # --- Written by the thread of the exchange --------------------------------------

    def count_handshake(self) -> None:
        """Count a handshake that a client asked for."""
        with self._changed:
            self.handshakes += 1
            self._changed.notify_all()

    def count_clients(self, change: int) -> None:
        """Add *change* to the number of connected clients."""
        with self._changed:
            self.clients += change
            self._changed.notify_all()

    def note_request(self, text: str | bytes) -> None:
        """Record *text*, a message of a client."""
        with self._changed:
            self._requests.append(Asked(time.monotonic(), text))
            self._changed.notify_all()

    def note_rest_request(self, target: str) -> None:
        """Record a request for *target* by plain HTTP."""
        with self._changed:
            self._rest_requests.append(Asked(time.monotonic(), target))
            self._changed.notify_all()

    def note_push(self, push: EncodedPush) -> None:
        """Record *push*, which is about to be sent."""
        if not self._history:
            return
        with self._changed:
            if push.channel not in self._pushed:
                self._pushed[push.channel] = deque(maxlen=self._history)
            self._pushed[push.channel].append(_Kept(time.monotonic(), push))
            self._changed.notify_all()

    def note_change(self) -> None:
        """Wake waiting threads after a change that is not recorded here."""
        with self._changed:
            self._changed.notify_all()

    # --- Read by any thread ---------------------------------------------------------

    @property
    def requests(self) -> tuple[Asked, ...]:
        """The messages of clients, oldest first."""
        with self._changed:
            return tuple(self._requests)

    @property
    def rest_requests(self) -> tuple[Asked, ...]:
        """The requests by plain HTTP, oldest first."""
        with self._changed:
            return tuple(self._rest_requests)

    def pushed(self, channel: str) -> tuple[Pushed, ...]:
        """What was sent on *channel*, oldest first."""
        with self._changed:
            kept = tuple(self._pushed.get(channel, ()))
        return tuple(pushed for each in kept for pushed in each.read())

    def newest(self, channel: str) -> Pushed | None:
        """What was last sent on *channel*; ``None`` if nothing was."""
        with self._changed:
            kept = self._pushed.get(channel)
            last = kept[-1] if kept else None
        return last.read()[-1] if last else None

    def last_pushes(self, channel: str, count: int) -> list[EncodedPush]:
        """The last *count* pushes on *channel*, oldest first, as they were sent."""
        with self._changed:
            kept = self._pushed.get(channel, deque())
            return [each.push for each in list(kept)[-count:]]

    def wait_for(self, predicate: Callable[[], object], timeout: float) -> bool:
        """Whether *predicate* came true within *timeout* seconds.

        It is called again after each change that is recorded here, and every 20 ms.
        """
        deadline = time.monotonic() + timeout
        while not predicate():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                # Short, for a change between the call and the wait, and for a change
                # that is not recorded here.
                self._changed.wait(min(left, 0.02))
        return True
