"""Recognition: pushes whose bytes name their channel are kept as they came, unparsed.

Of a depth only the newest push counts, and most are replaced before a script reads
them; most trades leave unread. So a push of such a channel is not parsed at its
receipt: its channel keeps the bytes, and the first read parses them. The bytes of a
push before its data, its head, are the same in all pushes of a channel; a head is
learned from a push that was parsed.
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
from ..protocol.messages import Push
from ..session.subscription_state import Phase, SubscriptionState
from ..trust.lease import Era

# The longest push that is kept, in bytes: a larger one is parsed at once, so that what
# is kept of a channel is bounded.
MOST_BYTES = 4096
# After so many pushes the connection looks at its clock: tenths of a millisecond.
MOST_AT_ONCE = 64
# How many heads are known, and how long one may be. A connection has fewer channels.
MOST_HEADS = 4096
_LONGEST_HEAD = 512
# A global name, because every push looks it up.
_FLOWING = Phase.FLOWING


class Recognition:
    """The frames that were read and not handled, and the heads of the channels' pushes.

    `next` takes the frames in order: it gives each push that it recognizes to its
    channel to keep, and returns the first text that has to be parsed. A head counts
    only if the protocol reads it as a push of that very channel; so no two channels
    have one head. *enabled* is False where every push is parsed at its receipt. One
    object serves one opening of a connection. Only the connection's thread calls it.
    """

    def __init__(
        self,
        wire: WireProtocol,
        subscriptions: Mapping[str, SubscriptionState[Channel]],
        counts: Counts,
        enabled: bool = True,
    ) -> None:
        self._unpack = wire.unpack
        self._head = wire.head
        self._read = wire.read
        self._subscriptions = subscriptions
        self._counts = counts
        self._enabled = enabled
        self.frames: deque[Frame] = deque()
        # The name of the channel of each known head.
        self._names: dict[bytes | None, str] = {}

    def next(self, era: Era, now: float, wall: float) -> bytes | WireError | None:
        """Have channels keep pushes, up to the first frame that has to be parsed.

        Returns the text of that frame, or what is wrong if it has none; ``None`` if no
        frame is left, after 64 frames, or after one that a callback was told. *now* and
        *wall* are the time of the receipt of all these frames. It is the hot path of a
        connection.
        """
        frames, names, subscriptions = self.frames, self._names, self._subscriptions
        head_of, counts, taken, said = self._head, self._counts, 0, None
        while frames and taken < MOST_AT_ONCE:
            taken += 1
            counts.messages += 1
            payload, binary = frames.popleft()
            said = payload
            if binary or type(payload) is not bytes:
                try:
                    said = self._unpack(payload, binary)
                except WireError as error:
                    return error
            if not names or len(said) > MOST_BYTES:
                break
            name = names.get(head_of(said))
            one = None if name is None else subscriptions.get(name)
            if one is None or one.phase is not _FLOWING:
                break
            if not one.target.keep(said, era, now, wall):
                if not one.target.keeps_unparsed:
                    self._forget(one.name)
                break
            one.suspect, said = False, None
            for follower in one.target.followers:
                if follower.wants_pushes:
                    # It was told the text. The caller looks at the clock afterwards.
                    follower.callbacks.drain()
                    taken = MOST_AT_ONCE
        return said

    def _forget(self, name: str) -> None:
        """Look for no head of channel *name* until `learn` is called for it again."""
        for head in [head for head, known in self._names.items() if known == name]:
            del self._names[head]

    def learn(self, name: str, said: bytes) -> None:
        """Remember the head of *said*, a good push of channel *name*."""
        if not self._enabled or len(said) > MOST_BYTES:
            return
        head = self._head(said)
        if head is None or head in self._names or len(head) > _LONGEST_HEAD:
            return
        with suppress(WireError):
            # A head whose fields stand in another order may not name its channel.
            messages = self._read(head)
            if [m.channel for m in messages if isinstance(m, Push)] == [name]:
                if len(self._names) >= MOST_HEADS:
                    self._names.clear()
                self._names[head] = name
