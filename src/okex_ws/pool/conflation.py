"""Of the snapshots of one channel that wait in line, only the newest is read.

A thread that was held up finds many of them: whoever wants the price wants the last,
and is late by every one before it that is parsed. So a push waits for what is behind it
if nobody has a use for each push of its channel. Nothing else may overtake it but data
of other channels: a pong says that all before it was taken in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ..base.counts import Counts
from ..channels.base import Channel
from ..net.transport import Frame
from ..protocol.interface import WireProtocol
from ..session.subscription_state import Phase, SubscriptionState

# What waits is read after so many frames at the latest: tenths of a millisecond.
MOST_HELD = 64
# Channels that are known by the heads of their pushes; a connection has fewer.
_MOST_KNOWN = 4096


class Conflation:
    """The frames of one connection that wait, and the newest of each channel."""

    def __init__(
        self,
        wire: WireProtocol,
        subscriptions: Mapping[str, SubscriptionState[Channel]],
        counts: Counts,
    ) -> None:
        self._unpack = wire.unpack
        self._head = wire.head
        self._subscriptions = subscriptions
        self._counts = counts
        # Read, and not taken yet.
        self.frames: deque[Frame] = deque()
        # By the head of a push the channel that it is of, and which of these are known.
        self._names: dict[bytes | None, str] = {}
        self._known: set[str] = set()
        # The newest push of a channel, and how many it stands for beside itself.
        self._held: dict[str, tuple[bytes, int]] = {}
        self._since = 0

    def next(self) -> bytes:
        """Take frames up to one that does not wait for what is behind it: what it says.

        `WireError` if that is nothing. The hot path of a line that is behind.
        """
        frames, names, held = self.frames, self._names, self._held
        unpack, head_of, taken = self._unpack, self._head, 0
        try:
            while True:
                taken += 1
                said = unpack(*frames.popleft())
                if not (frames and names) or self._since + taken >= MOST_HELD:
                    return said
                name = names.get(head_of(said))
                if name is None:
                    return said
                if name in held:
                    held[name] = said, held[name][1] + 1
                elif self._may_wait(name):
                    held[name] = said, 0
                else:
                    return said
        finally:
            self._since += taken
            self._counts.messages += taken

    def _may_wait(self, name: str) -> bool:
        subscription = self._subscriptions.get(name)
        if (
            subscription is not None
            and subscription.phase is Phase.FLOWING
            and subscription.target.conflates
        ):
            return True
        # Whoever came to want each of them mostly stays.
        self._names = {h: n for h, n in self._names.items() if n != name}
        return False

    @property
    def is_full(self) -> bool:
        """Whether what waits has waited long enough."""
        return self._since >= MOST_HELD

    def learn(self, name: str, text: str) -> None:
        """*text* was a good push of channel *name*: later ones are told by its head."""
        if name in self._known:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._names.clear()
        self._known.add(name)
        head = self._head(text.encode())
        if head is not None and self._subscriptions[name].target.conflates:
            self._names[head] = name

    def supersede(self, name: str) -> None:
        """A newer push of channel *name* is about to be read: none that waits is."""
        if self._held and (waiting := self._held.pop(name, None)) is not None:
            self._count(name, waiting[1] + 1)

    def release(self) -> list[bytes]:
        """All that waits, oldest first."""
        self._since = 0
        held, self._held = self._held, {}
        for name, (_, passed_over) in held.items():
            self._count(name, passed_over)
        return [said for said, _ in held.values()]

    def _count(self, name: str, passed_over: int) -> None:
        if passed_over and (subscription := self._subscriptions.get(name)) is not None:
            subscription.target.counts[f"skipped {subscription.target.topic}"] += (
                passed_over
            )
