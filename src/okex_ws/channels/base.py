"""One wire channel of a feed: the newest of it, shared by all who subscribed to it.

Its connection's thread alone calls the methods that change anything. What it shows is
one immutable value, swapped whole, so that any thread may read it at any time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from typing import Protocol

from ..base.errors import OkexWSError
from ..base.state import State
from ..model.items import Gap, Item
from ..protocol.interface import WireProtocol
from ..protocol.messages import (
    ChannelName,
    Push,
)
from ..trust.lease import Link
from ..trust.verdict import Published, publish


class Follower(Protocol):
    """Who is told what a channel does; always on the connection's thread.

    A follower without *wants_pushes* is told of no push; one without
    *wants_every_push* has no use for a push once a newer one has come.
    """

    wants_pushes: bool
    wants_every_push: bool

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """A push was published; *text* is the venue's own."""
        ...

    def add(self, topic: str, item: Item) -> None:
        """An item came that counts by itself, or is known to be missing."""
        ...

    def tell(self, now: float) -> None:
        """What the channel shows may have changed its state."""
        ...


# Looked up for every push.
_LIVE = State.LIVE


class Channel(ABC):
    """What all channels have in common: a state that follows the connection."""

    # Whether each push builds on the one before, as those of a whole book.
    incremental = False
    # Seconds within which something is pushed, be it the same; the plan knows.
    repeats_within = math.inf

    def __init__(self, wire: WireProtocol, name: ChannelName) -> None:
        self._wire = wire
        self.described = name
        self.name = name.key
        self.topic = name.topic
        self.instrument_id = name.instrument_id
        self.needs_snapshot = wire.needs_snapshot(name.topic)
        self.acknowledged = False
        self.error: OkexWSError | None = None
        self.shown = Published(State.CONNECTING, "not connected yet", 0)
        self.followers: tuple[Follower, ...] = ()
        # How many subscriptions hold it; the plan's, under the plan's lock.
        self.users = 0
        # How many connections carried it, and what happened on them.
        self.openings = 0
        self.counts: Counter[str] = Counter()

    # --- What happens to the connection ---------------------------------------------

    def opened(self, link: Link, now: float) -> None:
        """A connection is open that will carry the channel, but does not yet."""
        self.acknowledged = False
        self.openings += 1
        self._sync("waiting for the acknowledgement", link)
        self._tell(now)

    def subscribed(self, link: Link, now: float) -> None:
        """The exchange acknowledged the channel."""
        self.acknowledged = True
        self._sync("waiting for the first push", link)
        if not self.needs_snapshot:
            self._begin_epoch()
        self._tell(now)

    def _sync(self, cause: str, link: Link) -> None:
        self._withdraw(State.SYNCING, cause)
        self.shown = self.shown._replace(link=link)

    def lost(self, cause: str, now: float) -> None:
        """The connection is gone, and with it all that came over it."""
        self.acknowledged = False
        self._withdraw(State.RECONNECTING, cause)
        self._tell(now)

    def invalidated(self, cause: str, now: float) -> None:
        """A message that may have been this channel's could not be read."""
        if self.shown.state is State.LIVE:
            self._resync(cause, now)

    def _resync(self, cause: str, now: float) -> None:
        self.counts["resyncs"] += 1
        self._withdraw(State.RESYNCING, cause)
        self._tell(now)

    def lapsed(self) -> None:
        """The lease ended, and is about to be renewed."""
        if self.shown.state is State.LIVE:
            self.shown = self.shown._replace(state=State.STALE, cause="the lease ended")

    def renewed(self) -> None:
        """It is renewed: what is shown is true again, in a new epoch."""
        if self.shown.state is State.STALE:
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        epoch = self.shown.epoch + 1
        self.shown = self.shown._replace(state=State.LIVE, cause="", epoch=epoch)

    def refused(self, error: OkexWSError) -> None:
        """The exchange will not give this channel; what that means is its holders'."""
        self.error = error
        self._withdraw(State.FAILED, str(error))

    def copy_state(self, other: Channel) -> None:
        """Go on where *other* stands, in the same stream: nothing was missed."""
        own = ("followers", "users", "counts")
        state = {name: value for name, value in vars(other).items() if name not in own}
        vars(self).update(state)

    def switch_to(self, standby: Channel, proven: bool) -> None:
        """Go on with the stream of *standby*, the same channel on another connection.

        *proven*: whatever the exchange sent before the twin was subscribed has come.
        """
        self.acknowledged = standby.acknowledged
        news = self.shown.state is not State.LIVE and standby.shown.state is State.LIVE
        self.shown = standby.shown._replace(epoch=self.shown.epoch + news)

    @property
    def conflates(self) -> bool:
        """Whether a push may be passed over for a newer one that is there already."""
        return False

    def _wants_every_push(self) -> bool:
        return any(follower.wants_every_push for follower in self.followers)

    @property
    def has_gaps(self) -> bool:
        """Whether something was missed since it was asked for, or is not had yet."""
        return bool(self.counts["gaps"]) or not self.acknowledged or self.openings > 1

    def _missing(self, after: str | None, before: str | None, cause: str) -> None:
        self.counts["gaps"] += 1
        gap = Gap(self.topic, after, before, cause, self.instrument_id)
        for follower in self.followers:
            follower.add(self.topic, gap)

    def _withdraw(self, state: State, cause: str) -> None:
        self.shown = self.shown._replace(state=state, cause=cause, data=None, lag=None)

    def _tell(self, now: float) -> None:
        for follower in self.followers:
            follower.tell(now)

    # --- What comes over it ---------------------------------------------------------

    @abstractmethod
    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Publish a push; False if it is of no use yet. *first*: after a subscribe.

        `WireError` changes nothing.
        """

    @abstractmethod
    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """What *shown*, which is ``LIVE``, is to a script; ``None`` if nothing came.

        *before* is what the script was given last, if anything.
        """

    def _publish(
        self,
        data: object,
        lag: float | None,
        link: Link,
        now: float,
        wall: float,
        text: str,
        anew: bool = False,
    ) -> None:
        before = self.shown
        live = before.state is _LIVE
        # Whatever was withdrawn, and for whatever reason, comes back as a new epoch.
        epoch = before.epoch if live and not anew else before.epoch + 1
        overdue = now + self.repeats_within
        shown = (_LIVE, "", epoch, link, data, now, wall, lag, overdue)
        self.shown = publish(shown)
        for follower in self.followers:
            if not live:
                follower.tell(now)
            if follower.wants_pushes:
                follower.pushed(self, text, now)
