"""One wire channel of a feed: the newest of it, shared by all who subscribed to it.

Its connection's thread alone calls the methods that change anything. What it shows is
one immutable value, swapped whole, so that any thread may read it at any time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from ..base.errors import OkexWSError
from ..model.items import Gap, Item, State
from ..protocol.interface import WireProtocol
from ..protocol.messages import (
    NO_DEPTH,
    ChannelName,
    DepthData,
    FundingData,
    Push,
    TickerData,
)
from ..trust.verdict import Link, Published, publish
from .convert import make_depth, make_funding, make_ticker


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
# Pushes of a twin that may be older than what was shown before: a second of most books.
CATCH_UP = 10


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


class DepthChannel(Channel):
    """Snapshots of a book's best levels; the newest replaces the one before."""

    def __init__(self, wire: WireProtocol, name: ChannelName) -> None:
        super().__init__(wire, name)
        self.levels = name.levels
        self._read = wire.depth
        self._last = NO_DEPTH
        # After a change-over: what the connection before had shown already.
        self._shown_until = 0
        self._patience = 0

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Publish the newest element."""
        data = self._last
        for element in push.elements:
            data = self._read(element, data)
        self._show(data, first, link, now, wall, push.text)
        return True

    def _show(
        self,
        data: DepthData,
        first: bool,
        link: Link,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        before, self._last = self._last.time_ms, data
        time_ms = data.time_ms
        back = time_ms < self._shown_until
        if back and self._patience > 0:
            self._patience -= 1
            self.counts["skipped old"] += 1
            return
        self._shown_until = 0
        # The first push after a subscribe carries the time of the last change, and a
        # repeated one its old time: neither says how late the line is.
        newer = time_ms > before and not first
        lag = link.lag(wall - time_ms / 1000, now) if newer else None
        # Back in time (never recorded): what is older belongs to another epoch.
        older = back or (time_ms < before and not first)
        self._publish(data, lag, link, now, wall, text, older)

    def switch_to(self, standby: Channel, proven: bool) -> None:
        """No read goes back: what is newer here stays until the twin has caught up."""
        assert isinstance(standby, DepthChannel)
        mine, its = self.shown, standby.shown
        super().switch_to(standby, proven)
        self._last = standby._last
        both = mine.state is its.state is State.LIVE
        if both and its.depth.time_ms < mine.depth.time_ms:
            self.shown = mine._replace(link=its.link, overdue=its.overdue)
            self._shown_until, self._patience = mine.depth.time_ms, CATCH_UP

    @property
    def conflates(self) -> bool:
        """Each is whole; a whole book's are not."""
        return not self.incremental and not self._wants_every_push()

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """A `Depth`."""
        return make_depth(self.instrument_id, self.topic, shown, levels)


class ValueChannel(Channel):
    """Values of which only the newest counts: a ticker, a funding rate."""

    def __init__(self, wire: WireProtocol, name: ChannelName) -> None:
        super().__init__(wire, name)
        readers: dict[str, Callable[[object], object]] = {
            "ticker": wire.ticker,
            "funding": wire.funding,
        }
        self._read = readers[name.kind]

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Publish the newest element."""
        data: Any = None
        for element in push.elements:
            data = self._read(element)
        self._publish(data, None, link, now, wall, push.text)
        return True

    @property
    def conflates(self) -> bool:
        """Each has all there is to say."""
        return not self._wants_every_push()

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """A `Ticker` or a `FundingRate`."""
        if isinstance(shown.data, TickerData):
            return make_ticker(self.instrument_id, shown)
        if isinstance(shown.data, FundingData):
            return make_funding(self.instrument_id, shown)
        return None
