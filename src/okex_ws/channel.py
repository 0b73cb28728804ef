"""One wire channel of a feed: the newest of it, shared by all who subscribed to it.

Its connection's thread alone calls the methods that change anything. What it shows is
one immutable value, swapped whole, so that any thread may read it at any time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

from .errors import OkexWSError
from .messages import (
    NO_DEPTH,
    Gap,
    Push,
    State,
    TickerData,
    Trade,
    TradeData,
)
from .protocols import Wire
from .timing import utc
from .trust import Link, Published

# How many trades are kept to be looked at, and how many ids to know a repeat by.
KEPT_TRADES = 1000


class Follower(Protocol):
    """Who is told what a channel does; always on the connection's thread."""

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """A push was published; *text* is the venue's own."""
        ...

    def traded(self, item: Trade | Gap) -> None:
        """A trade came, or is known to be missing."""
        ...

    def tell(self, now: float) -> None:
        """What the channel shows may have changed its state."""
        ...


class Channel(ABC):
    """What all channels have in common: a state that follows the connection."""

    def __init__(self, wire: Wire, topic: str, market: str, instrument_id: str) -> None:
        self.name = wire.channel(topic, market, instrument_id)
        self.topic = topic
        self.instrument_id = instrument_id
        self.owes = wire.needs_snapshot(topic)
        self.acknowledged = False
        self.error: OkexWSError | None = None
        self.shown = Published(State.CONNECTING, "not connected yet", 0)
        self.followers: tuple[Follower, ...] = ()
        # How many subscriptions hold it; the feed's, under the feed's lock.
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
        if not self.owes:
            epoch = self.shown.epoch + 1
            self.shown = self.shown._replace(state=State.LIVE, cause="", epoch=epoch)
        self._tell(now)

    def _sync(self, cause: str, link: Link) -> None:
        self._withdraw(State.SYNCING, cause)
        self.shown = self.shown._replace(link=link)

    def lost(self, cause: str, now: float) -> None:
        """The connection is gone, and with it all that came over it."""
        self.acknowledged = False
        self._withdraw(State.RECONNECTING, cause)
        self._tell(now)

    def spoiled(self, cause: str, now: float) -> None:
        """A message that may have been this channel's could not be read."""
        if self.shown.state is State.LIVE:
            self.counts["resyncs"] += 1
            self._withdraw(State.RESYNCING, cause)
            self._tell(now)

    def lapsed(self) -> None:
        """The lease ended and is about to be renewed: what follows is a new epoch."""
        self.shown = self.shown._replace(epoch=self.shown.epoch + 1)

    def refused(self, error: OkexWSError) -> None:
        """The exchange will not give this channel; what that means is its holders'."""
        self.error = error
        self._withdraw(State.FAILED, str(error))

    def _withdraw(self, state: State, cause: str) -> None:
        self.shown = self.shown._replace(state=state, cause=cause, data=None, lag=None)

    def _tell(self, now: float) -> None:
        for follower in self.followers:
            follower.tell(now)

    # --- What comes over it ---------------------------------------------------------

    @abstractmethod
    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> None:
        """Publish a push. *first*: after a subscribe. `WireError` changes nothing."""

    def _publish(
        self,
        data: object,
        lag: float | None,
        link: Link,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        before = self.shown
        live = before.state is State.LIVE
        # Whatever was withdrawn, and for whatever reason, comes back as a new epoch.
        epoch = before.epoch if live else before.epoch + 1
        self.shown = Published(State.LIVE, "", epoch, link, data, now, wall, lag)
        for follower in self.followers:
            if not live:
                follower.tell(now)
            follower.pushed(self, text, now)


class DepthChannel(Channel):
    """Snapshots of a book's best levels; the newest replaces the one before."""

    def __init__(self, wire: Wire, topic: str, market: str, instrument_id: str) -> None:
        super().__init__(wire, topic, market, instrument_id)
        self._read = wire.depth
        self._last = NO_DEPTH

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> None:
        """Publish the newest element."""
        before = data = self._last
        for element in push.elements:
            data = self._read(element, data)
        self._last = data
        # The first push after a subscribe carries the time of the last change, and a
        # repeated one its old time: neither says how late the line is.
        newer = data.time_ms > before.time_ms
        lag = link.lag(wall - data.time_ms / 1000, now) if newer and not first else None
        if data.time_ms < before.time_ms and not first:
            # Back in time (never recorded): what is older belongs to another epoch.
            self.lapsed()
        self._publish(data, lag, link, now, wall, push.text)


class TickerChannel(Channel):
    """The exchange's own summary; the newest replaces the one before."""

    def __init__(self, wire: Wire, topic: str, market: str, instrument_id: str) -> None:
        super().__init__(wire, topic, market, instrument_id)
        self._read: Callable[[object], TickerData] = wire.ticker

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> None:
        """Publish the newest element."""
        for element in push.elements:
            data = self._read(element)
        self._publish(data, None, link, now, wall, push.text)


class TradeChannel(Channel):
    """Trades in order and without repeats; what is missing is said as a `Gap`."""

    def __init__(self, wire: Wire, topic: str, market: str, instrument_id: str) -> None:
        super().__init__(wire, topic, market, instrument_id)
        self._read: Callable[[object], TradeData] = wire.trade
        self._replays = wire.replays_last(topic)
        self._trades: deque[Trade] = deque(maxlen=KEPT_TRADES)
        self._known: dict[str, None] = {}
        self._last_id: str | None = None
        # A gap is open, and said, until the next trade.
        self._in_gap = False

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades, newest last; from any thread."""
        while True:
            try:
                return tuple(self._trades)
            except RuntimeError:  # appended to meanwhile; an append takes no time
                continue

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> None:
        """Publish that data came, then each trade that is new."""
        read = [self._read(element) for element in push.elements]
        self._publish(None, None, link, now, wall, push.text)
        for place, data in enumerate(read):
            # Only the last trade is sent again; what stands beside it is news.
            self._take(data, first and self._replays and not place, wall)

    def _take(self, data: TradeData, replayed: bool, wall: float) -> None:
        if data.id in self._known:
            self.counts["skipped repeat"] += 1
            return
        before, self._last_id = self._last_id, data.id
        self._in_gap = False
        self._remember(data.id)
        old = replayed and self.openings == 1
        if replayed and not old:
            # The exchange's last trade is none of ours: some came while we were away.
            self._missing(before, data.first_id, "trades while not connected")
        trade = self._trade(data, old, wall)
        if not trade.replayed:
            self._trades.append(trade)
        for follower in self.followers:
            follower.traded(trade)

    def _remember(self, trade_id: str) -> None:
        self._known[trade_id] = None
        if len(self._known) > KEPT_TRADES:
            del self._known[next(iter(self._known))]

    def _missing(self, after: str | None, before: str | None, cause: str) -> None:
        self.counts["gaps"] += 1
        gap = Gap(self.topic, after, before, cause, self.instrument_id)
        for follower in self.followers:
            follower.traded(gap)

    def _trade(self, data: TradeData, replayed: bool, wall: float) -> Trade:
        return Trade(
            self.instrument_id,
            data.id,
            data.first_id,
            data.count,
            data.price,
            data.size,
            data.side,
            utc(data.time_ms / 1000),
            utc(wall),
            self.shown.epoch,
            replayed,
        )

    def spoiled(self, cause: str, now: float) -> None:
        """Nothing shown is wrong, but a trade may be missing."""
        if self.shown.state is State.LIVE and not self._in_gap:
            self._in_gap = True
            self._missing(self._last_id, None, cause)


KINDS: dict[str, Callable[[Any, str, str, str], Channel]] = {
    "depth5": DepthChannel,
    "trade": TradeChannel,
    "ticker": TickerChannel,
}
