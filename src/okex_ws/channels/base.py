"""One channel of a feed: its current value, shared by all subscriptions that want it.

Only the thread of the channel's connection calls the methods that change a channel. The
current value, in the attribute *shown*, is an immutable `Published` that this thread
replaces as a whole, so that any thread may read it at any time.
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
    """What a channel calls for its events: the `View` of a subscription that wants it.

    The thread of the channel's connection calls. A follower of channels on several
    connections is called by several threads, and these calls may overlap. A call has to
    return soon, because the connection reads nothing meanwhile. If *wants_pushes* is
    False, `pushed` is not called. If *wants_every_push* is False, only the newest push
    matters: the connection may skip a push once a newer one has come.
    """

    wants_pushes: bool
    wants_every_push: bool

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """A push of *channel* was published; *text* is the exchange's JSON text."""
        ...

    def add(self, topic: str, item: Item) -> None:
        """An item of the channel *topic* came (a trade, say), or a `Gap` was found."""
        ...

    def tell(self, now: float) -> None:
        """The state of the channel may have changed."""
        ...


# A global name, because every push looks it up.
_LIVE = State.LIVE


class Channel(ABC):
    """One stream of the exchange, as a feed keeps it: its current value and state.

    The exchange sends a stream once over a connection, so all subscriptions that want
    it share one channel and follow it. The current value, *shown*, is an immutable
    `Published`, which is replaced as a whole; so any thread may read it at any time.
    Only one thread changes a channel: that of the connection that carries it, and after
    a handover that of the new connection. The pool counts *users* under its own lock.

    Whenever the value cannot be trusted (a loss, a failed proof, a refusal), it is
    withdrawn: *shown* then has the state and its cause, and no data. The next value
    that is live again begins a new epoch.
    """

    # Whether each push changes the value before it, as the pushes of a whole book do.
    incremental = False
    # How often the exchange repeats an idle book, in seconds, with a grace added. Set
    # by the pool from the venue's facts.
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
        # How many subscriptions want the channel. The pool sets it, under its lock.
        self.users = 0
        # How many connections have carried the channel, and counts of its events.
        self.openings = 0
        self.counts: Counter[str] = Counter()

    # --- What happens to the connection ---------------------------------------------

    def opened(self, link: Link, now: float) -> None:
        """The connection opened; the channel is not acknowledged on it yet."""
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
        """The connection ended: withdraw the value that came over it."""
        self.acknowledged = False
        self._withdraw(State.RECONNECTING, cause)
        self._tell(now)

    def invalidated(self, cause: str, now: float) -> None:
        """Withdraw the value: an unreadable message may have been this channel's."""
        if self.shown.state is State.LIVE:
            self._resync(cause, now)

    def _resync(self, cause: str, now: float) -> None:
        self.counts["resyncs"] += 1
        self._withdraw(State.RESYNCING, cause)
        self._tell(now)

    def lapsed(self) -> None:
        """The connection's lease had ended, and is about to be renewed: go stale."""
        if self.shown.state is State.LIVE:
            self.shown = self.shown._replace(state=State.STALE, cause="the lease ended")

    def renewed(self) -> None:
        """The lease is renewed: the value is good again, in a new epoch."""
        if self.shown.state is State.STALE:
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        epoch = self.shown.epoch + 1
        self.shown = self.shown._replace(state=State.LIVE, cause="", epoch=epoch)

    def refused(self, error: OkexWSError) -> None:
        """The exchange refused the channel for good.

        Each subscription decides by itself whether it fails for that.
        """
        self.error = error
        self._withdraw(State.FAILED, str(error))

    def copy_state(self, other: Channel) -> None:
        """Take over the state of *other*, an earlier object for the same channel.

        The exchange's stream was not interrupted in between, so no message is missing.
        """
        own = ("followers", "users", "counts")
        state = {name: value for name, value in vars(other).items() if name not in own}
        vars(self).update(state)

    def switch_to(self, standby: Channel, proven: bool) -> None:
        """Continue, after a handover, with the value and the connection of *standby*.

        *standby* is the same channel on the new connection. *proven* is True if the old
        connection has handled all that the exchange sent before the standby was ready.
        """
        self.acknowledged = standby.acknowledged
        news = self.shown.state is not State.LIVE and standby.shown.state is State.LIVE
        self.shown = standby.shown._replace(epoch=self.shown.epoch + news)

    @property
    def conflates(self) -> bool:
        """Whether a push may be skipped if a newer one has been received already."""
        return False

    def _wants_every_push(self) -> bool:
        return any(follower.wants_every_push for follower in self.followers)

    @property
    def has_gaps(self) -> bool:
        """True after a gap, on a second connection, and before the acknowledgement."""
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
        """Publish *push*; False if the channel cannot use it yet.

        *first* is True until the channel has used a push after its subscribe. *now* is
        monotonic and *wall* is epoch seconds. A push that raises `WireError` changes
        nothing.
        """

    @abstractmethod
    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """Make a script's item of *shown*, a ``LIVE`` value; ``None`` without data.

        *before* is the value of which the script received the item before, if any.
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
        # After a withdrawal, for any reason, a new epoch begins.
        epoch = before.epoch if live and not anew else before.epoch + 1
        overdue = now + self.repeats_within
        shown = (_LIVE, "", epoch, link, data, now, wall, lag, overdue)
        self.shown = publish(shown)
        for follower in self.followers:
            if not live:
                follower.tell(now)
            if follower.wants_pushes:
                follower.pushed(self, text, now)
