"""`WSSubscription`, one instrument in one object: wiring and documentation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .callbacks import Callbacks, OnError, OnMessage, OnState
from .feed import ConnectionOptions, Feed
from .messages import BestBidAsk, Depth, Health, State, Stats, Ticker, Trade
from .timing import utc
from .trust import NO_LIMITS, Limits
from .updates import Inbox, Updates
from .venues import Venue, check_instrument, delivery, find_venue
from .view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger("okex_ws")


class WSSubscription:
    """The live order book of one instrument, or the word that it is not live.

    Connects at once on a daemon thread and never blocks; a callback may fire before
    the constructor returns. An unclosed subscription lives on without references.

    Args:
        instrument_id: the exchange's id: ``'BTC-USDT'``, ``'BTC-USD-190517'``, ...
        market: ``'spot'``, ``'futures'``, ``'swap'``, ``'option'`` or ``'index'``.
        on_message: called with the venue's own JSON text of every data push, after the
            snapshot is published; in order, on the connection's thread.
        venue: a name (``'okex'``, ``'okj-v3'``) or a `Venue`; default: the feed's,
            else ``'okex'``.
        channels: ``'depth5'`` (or ``'books5'``), ``'trade'`` (``'trades'``),
            ``'ticker'`` (``'tickers'``).
        feed: a `Feed` to live on; without one the subscription makes its own.
        max_age, max_silence, max_lag, levels: the default limits of every read (see
            `GetDepth`). Crossing one of the first three is a change to ``STALE``.
        on_state: called with each `StateChange`.
        on_error: called with what went wrong: a lost connection or a failed attempt,
            a refused channel, an unreadable message, an exception in a callback.
        connection: the keywords of `Feed` (``ssl_context``, ``reconnect``,
            ``ping_interval``, ``probe_interval``, ...), not together with *feed*.

    Raises:
        ValueError, TypeError: arguments that cannot be right; the message says what
            would be.
    """

    def __init__(
        self,
        instrument_id: str = "BTC-USD-190517",
        market: str = "futures",
        on_message: OnMessage | None = None,
        *,
        # Where
        venue: str | Venue | None = None,
        channels: Iterable[str] = ("depth5", "trade"),
        feed: Feed | None = None,
        # Limits
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
        # What is told
        on_state: OnState | None = None,
        on_error: OnError | None = None,
        # How to connect
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        _check_callables(on_message=on_message, on_state=on_state, on_error=on_error)
        limits = _limits(max_age, max_silence, max_lag, levels)
        where = _choose_venue(venue, feed)
        check_instrument(instrument_id, market, where)
        if feed is not None and connection:
            names = ", ".join(connection)
            raise ValueError(f"to be given to Feed(...), not beside feed=: {names}")
        # A feed of its own ends with it; one from outside stays open.
        self._own = feed is None
        self._feed = Feed(where, **connection) if feed is None else feed
        topics = _topics(self._feed, channels, market)
        self._market = market
        told = [on for on in (on_state, self._feed.on_state) if on is not None]
        clock = self._feed.clock
        callbacks = Callbacks(instrument_id, clock, on_message, told, on_error)
        self._view = View(self, instrument_id, limits, clock, callbacks)
        self._warn(where)
        # Last: from here on callbacks may fire.
        plan = self._feed._plan
        plan.private = self._own
        plan.attach(self._view, market, topics)

    def _warn(self, venue: Venue) -> None:
        """The seed's own defaults are gone: say so, and connect all the same."""
        if venue.retired is not None:
            log.warning(
                "venue %r was retired by the exchange %s; v3 is alive at 'okj-v3'",
                venue.name,
                venue.retired,
            )
        name = self._view.instrument_id
        expiry = delivery(name)
        if expiry is not None and expiry < utc(self._feed.clock.wall()):
            log.warning("%s was delivered on %s", name, expiry.date())

    @property
    def instrument_id(self) -> str:
        """The exchange's id, as given."""
        return self._view.instrument_id

    @property
    def market(self) -> str:
        """The market, as given."""
        return self._market

    @property
    def venue(self) -> Venue:
        """Where it lives."""
        return self._feed.venue

    # --- Reads: from any thread, never waiting --------------------------------------

    def GetDepth(  # noqa: N802 - the user's own name
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
    ) -> dict[str, Any]:
        """The newest depth that can be trusted at this moment, else ``{}``.

        Four keys: ``instrument_id``; ``asks`` and ``bids``, best first, each level a
        list of ``str`` with price and size first in the wire's own characters, either
        side perhaps empty; and ``timestamp``, the exchange's, ISO-8601 UTC. A fresh
        object each call.

        Args:
            max_age: seconds since the channel's last push. Answers "did this market
                move lately?": a quiet market is old and right. Measured, 0.3 s refuses
                19 of 33 healthy instruments more than half the time.
            max_silence: seconds since any byte on the connection. Answers "is the line
                in use?".
            max_lag: seconds that the push came later than the best of the connection's
                last ten minutes. Answers "is a backlog building up?": healthy
                connections were measured at 0.105 to 0.224 s (p99.9). An unknown lag
                passes.
            levels: at most so many levels a side.

        Raises:
            TypeError, ValueError: for a limit that is no number; nothing else, ever.
        """
        return self._view.depth_dict(_limits(max_age, max_silence, max_lag, levels))

    def depth(
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
    ) -> Depth:
        """What `GetDepth` gives, as an immutable `Depth`; limits as there.

        Raises:
            NotLive: where `GetDepth` gives ``{}``; it has *state* and *cause*.
        """
        return self._view.depth(_limits(max_age, max_silence, max_lag, levels))

    def best_bid_ask(
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
    ) -> BestBidAsk | None:
        """Best bid and ask as ``Decimal``; ``None`` where `GetDepth` gives ``{}``."""
        return self._view.best_bid_ask(_limits(max_age, max_silence, max_lag, levels))

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades (1,000 at most), newest last, without repeats.

        v3 sends its last trade again after every subscribe, however old: on the first
        connection that one is left out (`updates` gives it, marked ``replayed``); later
        it is dropped if its id is known, else it follows a `Gap`.
        """
        return self._view.trades

    def latest(self, channel: str) -> Depth | Trade | Ticker | None:
        """The newest item of a subscribed channel, ``None`` if it cannot be trusted.

        Raises:
            ValueError: *channel* is not subscribed here.
        """
        return self._view.latest(self._feed.wire.topic(channel))

    @property
    def state(self) -> State:
        """The state at this moment: the depth channel's, else the worst channel's."""
        return self._view.state

    def health(self) -> Health:
        """State, cause, age, silence, lag, epoch and failed channels, as one record."""
        return self._view.health()

    def stats(self) -> Stats:
        """Counts since the start; on a shared feed, *messages*, *bytes*,
        *reconnects*, *dropped* and the pongs are those of the whole connection.
        """
        return self._feed._count((self._view,))

    # --- Waiting --------------------------------------------------------------------

    def updates(
        self,
        *,
        latest: bool = True,
        max_queue: int = 1000,
        timeout: float | None = None,
    ) -> Updates:
        """An iterator of typed items, on the caller's own thread.

        `Depth`, `Trade`, `Ticker`, `StateChange` and `Gap`, from the moment of the
        call; the first item is the present trusted depth, if there is one. Leaving
        ``LIVE`` discards the depths that wait, before the `StateChange` is queued. Ends
        at `close`.

        Args:
            latest: keep only the newest depth that waits (counted in
                ``stats().skipped``); False keeps them all, up to *max_queue*.
            max_queue: how many items wait; trades beyond become a counted `Gap`.
                A `StateChange` or `Gap` is never dropped.
            timeout: seconds after which ``TimeoutError`` is raised if nothing came.

        Raises:
            OkexWSError: while iterating, the error with which the subscription failed.
        """
        return self._view.follow(Inbox(self._feed.clock, latest, max_queue, timeout))

    def wait_live(self, timeout: float | None = 30.0) -> None:
        """Return when depth is live and every other channel is acknowledged or failed.

        Raises:
            TimeoutError: after *timeout* seconds; its cause is the last failure.
            OkexWSError: the error with which the subscription failed, or `NotLive` if
                it was closed.
            RuntimeError: on a thread of the library, which would wait for itself.
        """
        self._view.wait_live(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """End the subscription; any thread, any time, any number of times.

        Returns True when its thread has ended (on a shared feed: when it has left),
        False if it had not within *timeout* seconds, or when called from a callback.
        """
        self._view.closed = True
        self._feed._plan.detach(self._view)
        return self._feed.close(timeout) if self._own else True

    def __enter__(self) -> WSSubscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        reconnects = sum(self.stats().reconnects.values())
        name = self._view.instrument_id
        return (
            f"<WSSubscription {name} {self._market} {self.state},"
            f" {reconnects} reconnects>"
        )


def _limits(
    max_age: float | None,
    max_silence: float | None,
    max_lag: float | None,
    levels: int | None,
) -> Limits:
    if max_age is max_silence is max_lag is levels is None:
        return NO_LIMITS
    return Limits(max_age, max_silence, max_lag, levels)


def _check_callables(**callbacks: object) -> None:
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} is a function or None, got {callback!r}")


def _choose_venue(venue: str | Venue | None, feed: Feed | None) -> Venue:
    if feed is None:
        return find_venue("okex" if venue is None else venue)
    if not isinstance(feed, Feed):
        raise TypeError(f"feed is a Feed, got {feed!r}")
    if venue is not None and find_venue(venue) != feed.venue:
        raise ValueError(
            f"the feed is one of venue {feed.venue.name!r}, not of"
            f" {find_venue(venue).name!r}"
        )
    return feed.venue


def _topics(feed: Feed, channels: Iterable[str], market: str) -> Sequence[str]:
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise TypeError(f"channels is a sequence of names, got {channels!r}")
    topics = list(dict.fromkeys(map(feed.wire.topic, channels)))
    if not topics:
        raise ValueError("channels is empty: name at least one")
    return topics
