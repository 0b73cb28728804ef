"""Conflation: of one channel's snapshots that wait unread, only the newest is parsed.

A connection's thread that was held up finds many of them. The script wants the newest
price, and each older snapshot that is parsed first makes it later. So a push is held
back until the frames behind it have been looked at, if no follower of its channel wants
every push. Only data of other channels may overtake a held push. Any other message may
not: a pong, for example, says that everything before it has been handled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from ..base.counts import Counts
from ..base.errors import WireError
from ..channels.base import Channel
from ..net.frames import Frame
from ..protocol.interface import WireProtocol
from ..session.subscription_state import Phase, SubscriptionState

# A held push is parsed after this many frames at the latest: tenths of a millisecond.
MOST_HELD = 64
# The most channels to recognize by the heads of their pushes. A connection has fewer.
_MOST_KNOWN = 4096


class Conflation:
    """Skips snapshots of a channel that a newer one, received already, replaces.

    It holds the frames that were read but not handled, and of each channel the newest
    push that is held back. A skipped push is counted as such (``stats().skipped``).
    `next` gives the next text to parse, and `release` the held pushes, after 64 frames
    at the latest. One object serves one opening of a connection. Only the connection's
    thread calls it.
    """

    def __init__(
        self,
        wire: WireProtocol,
        subscriptions: Mapping[str, SubscriptionState[Channel]],
        counts: Counts,
    ) -> None:
        self._unpack = wire.unpack
        self._head = wire.head
        self._read = wire.read
        self._subscriptions = subscriptions
        self._counts = counts
        # Frames that were read from the socket, but not handled yet.
        self.frames: deque[Frame] = deque()
        # The channel of each known head of a push, and the channels that `learn` has
        # seen.
        self._names: dict[bytes | None, str] = {}
        self._known: set[str] = set()
        # By channel, the newest held push, and how many older pushes it replaced.
        self._held: dict[str, tuple[bytes, int]] = {}
        self._since = 0

    def next(self) -> bytes:
        """Take frames up to the first one that is not held back, and return its text.

        Raises `WireError` if a frame has no text. It is the hot path of a connection
        that has fallen behind.
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
        # A follower that began to want every push mostly stays: do not look up this
        # channel's head again.
        self._names = {h: n for h, n in self._names.items() if n != name}
        return False

    @property
    def is_full(self) -> bool:
        """Whether the held pushes have waited for `MOST_HELD` frames."""
        return self._since >= MOST_HELD

    def learn(self, name: str, text: str) -> None:
        """Remember the head of *text*, a good push of channel *name*.

        Later pushes of the channel are recognized by it without being parsed.
        """
        if name in self._known:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._names.clear()
        self._known.add(name)
        head = self._head(text.encode())
        if head is not None and self._subscriptions[name].target.conflates:
            # What was not identified is never skipped: a head whose fields stand in
            # another order may not name its channel.
            with suppress(WireError):
                messages = self._read(head)
                if [getattr(m, "channel", None) for m in messages] == [name]:
                    self._names[head] = name

    def supersede(self, name: str) -> None:
        """Drop the held push of channel *name*: a newer one is about to be used."""
        if self._held and (waiting := self._held.pop(name, None)) is not None:
            self._count(name, waiting[1] + 1)

    def release(self) -> list[bytes]:
        """Return all held pushes, oldest first, and hold none."""
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
