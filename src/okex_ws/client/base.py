"""Bases of feeds and of subscriptions: state, counts, iterators, waiting, closing."""

from __future__ import annotations

import atexit
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from ..base.clock import Timekeeper
from ..base.errors import OkexWSError
from ..base.state import State
from ..base.threads import heed_fork, on_library_thread
from ..base.worker import AsyncClosing, LibraryThread, join_all
from ..delivery.callbacks import OnError, OnItem, OnMessage, OnState
from ..delivery.updates import MAX_QUEUE, UpdateQueue, Updates
from ..history.view import HistoryOptions, JoinedView
from ..isolation.pool import IsolatedPool, make_isolated_pool
from ..model.reports import ConnectionReport, Health, Stats
from ..model.venues import Venue, find_venue
from ..pool.options import PoolOptions, check_type
from ..pool.pool import Pool
from ..protocol.messages import ChannelName
from ..trust.verdict import Limits

AnyPool = Pool | IsolatedPool


def make_pool(
    venue: str | Venue,
    on_state: OnState | None = None,
    *,
    isolate: bool = False,
    publish: str | None = None,
    via: str | None = None,
    redis_ca: str | None = None,
    lease: float | None = None,
    **keywords: Any,
) -> AnyPool:
    """The pool of a feed to *venue*, on threads or, with *isolate*, in a process.

    With *publish* or *via* it is one that writes to Redis, or reads from there.
    *keywords* are those of `PoolOptions`; errors are those of `Feed`.
    """
    if lease is not None:
        keywords["lease"] = lease
    options = PoolOptions(find_venue(venue), on_state, **keywords)
    check_type("isolate", isolate, bool)
    if publish is None and via is None:
        if redis_ca is not None:
            raise ValueError("redis_ca= is for publish= and via=, which are not given")
        return make_isolated_pool(options) if isolate else options.make_pool()
    if publish is not None and via is not None:
        raise ValueError("a feed has publish= or via=, not both")
    if isolate:
        name = "via" if publish is None else "publish"
        raise ValueError(f"a feed with {name}= cannot have isolate=True")
    # Imported only here, because it needs the extra.
    from ..fanout.pools import make_publishing_pool, make_reading_pool

    if publish is not None:
        return make_publishing_pool(options, publish, redis_ca)
    return make_reading_pool(options, via, redis_ca, lease)


class ClosingPool(AsyncClosing):
    """What a feed and a subscription share: the threads of a pool end after a close."""

    def __init__(self, pool: AnyPool) -> None:
        self._used_pool = pool

    @property
    def _pool(self) -> AnyPool:
        """The pool: in a forked child it is closed."""
        heed_fork()
        return self._used_pool

    def _ending(self) -> tuple[LibraryThread, ...]:
        return self._pool.threads

    def _in_virtual_time(self) -> bool:
        return isinstance(self._pool.clock, Timekeeper)


class SharedConnections(ClosingPool):
    """The connections to one venue that subscriptions share; `Feed` is one.

    It is the part of a feed that a subscription needs. Because it is a class of its
    own, a feed can make subscriptions, and a subscription can be given a feed.
    """

    @property
    def venue(self) -> Venue:
        """The venue of the connections."""
        return self._pool.venue

    def stats(self) -> Stats:
        """Counts of the connections and of all subscriptions, closed ones included.

        Of several connections *last_pong* is the oldest, *ping_round_trip* the longest.
        """
        return self._pool.stats()

    def connections(self) -> tuple[ConnectionReport, ...]:
        """The state of each connection, and what the exchange's limits leave it."""
        return self._pool.reports()

    def rotate(self) -> None:
        """Replace every connection by a new one, without a gap; returns at once.

        Each new connection is opened, subscribed and proven while the old one still
        serves, and takes over in one swap: reads stay live, and no trade is lost or
        delivered twice. The library does the same by itself when the exchange announces
        that it will close a connection (v5's notice 64008). Where the pushes of a
        channel cannot be told apart (`Data`), a `Gap` reports the swap. `on_message`
        gets the texts of each connection as they come: around the swap a text may be
        missing, or come twice.
        """
        self._pool.rotate()

    def close(self, timeout: float | None = 5.0) -> bool:
        """End every connection and every subscription on it; any thread, any time.

        Returns True when the threads have ended. Returns False if they have not within
        *timeout* seconds, or when called from a callback: the threads end after that.
        """
        self._pool.close()
        threads = self._pool.threads
        if not any(thread.running for thread in threads):
            return True
        return False if on_library_thread() else join_all(threads, timeout)


def find_pool(feed: object) -> AnyPool:
    """The pool behind *feed*; ``TypeError`` if that is not a `Feed`."""
    if not isinstance(feed, SharedConnections):
        raise TypeError(f"feed is a Feed, got {feed!r}")
    return feed._pool


def check_paths(names: Iterable[ChannelName]) -> None:
    """``ValueError`` if a channel is among *names* on two paths."""
    paths: dict[str, str] = {}
    for name in names:
        if paths.setdefault(name.key, name.path) != name.path:
            raise ValueError(f"channel {name.key!r} is on one path, not on two")


class BaseSubscription(ClosingPool):
    """What `WSSubscription` and `RawSubscription` share: state, counts, items, closing.

    Any thread may call its methods, callbacks included. Only `wait_live`, `close` and
    an iterator of `updates` wait; `await_live`, `aclose` and ``async for`` wait in a
    coroutine. It owns *pool* if *own* is True, and then closes it.
    """

    def __init__(
        self,
        pool: AnyPool,
        own: bool,
        label: str,
        limits: Limits,
        on_message: OnMessage | None,
        on_item: OnItem | None,
        on_state: OnState | None,
        on_error: OnError | None,
        past: HistoryOptions | None = None,
    ) -> None:
        # A pool that this subscription made ends with it; the pool of a feed stays.
        super().__init__(pool)
        self._own = own
        told = [on for on in (on_state, pool.on_state) if on is not None]
        callbacks = pool.callback_runner.callbacks(
            label, pool.clock, on_message, told, on_error, on_item
        )
        self._view = (
            pool.make_view(self, label, limits, callbacks)
            if past is None
            else JoinedView(self, label, limits, pool.clock, callbacks, past)
        )

    def _begin(
        self,
        names: Mapping[str, ChannelName],
        error: OkexWSError | None = None,
        listing: ChannelName | None = None,
    ) -> None:
        """Subscribe, or fail with *error*; *listing* is as in `Pool.attach`.

        A constructor calls it last: from here on callbacks may fire.
        """
        _made.add(self)
        self._pool.closes_with_subscription = self._own
        if error is None:
            self._pool.attach(self._view, names, listing)
        else:
            self._pool.refuse(self._view, names, error)

    @property
    def venue(self) -> Venue:
        """The venue that the subscription is at."""
        return self._pool.venue

    @property
    def state(self) -> State:
        """The state at this moment: the depth channel's, else the worst channel's."""
        return self._view.state

    def health(self) -> Health:
        """State, cause, age, silence, lag, epoch and failed channels, in one record."""
        return self._view.health()

    def stats(self) -> Stats:
        """Counts since the start.

        On a shared feed *messages*, *bytes*, *reconnects*, *dropped* and the pongs are
        those of all connections of the feed.
        """
        return self._pool.stats((self._view,))

    def updates(
        self,
        *,
        latest: bool = True,
        max_queue: int = MAX_QUEUE,
        timeout: float | None = None,
        repeated: bool = False,
    ) -> Updates:
        """An iterator of typed items, on the caller's own thread or event loop.

        The same object is for ``for`` and, in a coroutine of asyncio, ``async for``.

        It gives `Depth`, `BookUpdate`, `Trade`, `Ticker`, `Candle`, `FundingRate`,
        `Data`, `InstrumentChange` (with ``changes=True``), `StateChange` and `Gap`,
        from the moment of the call; the first item is the present trusted depth, if
        there is one. A whole book begins with a snapshot, and goes on with a snapshot
        after updates that were skipped. When the subscription leaves ``LIVE``, the
        depths that wait are discarded before the `StateChange` is queued. The iterator
        ends at `close`. Series that are joined to their past (``history=``) begin with
        what ``trades`` or ``candles`` hold at the moment of the call: whenever the call
        is made, the past comes first, and then all that came since.

        Args:
            latest: keep only the newest depth, book, ticker and funding rate that waits
                (the skipped ones are counted in ``stats().skipped``); False keeps all
                of them, up to *max_queue*. Trades, candles and data are always kept one
                by one.
            max_queue: how many items may wait; items beyond that become a counted
                `Gap`. A `StateChange` or `Gap` is never dropped. Items that were
                fetched, or held back while others were fetched, come all at once and
                have room of their own.
            timeout: seconds after which ``TimeoutError`` is raised if no item came.
            repeated: give also the last trade from before the subscription, of any age,
                which the exchange repeats once ``'trade'`` is subscribed. After an
                outage the trade that it repeats is news if it is not known: it follows
                a `Gap`, unless its id is the next one.

        Raises:
            OkexWSError: while iterating, the error with which the subscription failed.
        """
        queue = UpdateQueue(
            self._pool.clock, latest, max_queue, timeout, repeated=repeated
        )
        self._view.follow(queue)
        return Updates(queue)

    def wait_live(self, timeout: float | None = 30.0) -> None:
        """Return when depth is live and every other channel is acknowledged or failed.

        With ``history=`` it also waits until the past was joined or given up. If it was
        given up, *on_error* got a `BackfillFailed`, and a `Gap` says what is missing.

        Raises:
            LiveTimeout: after *timeout* seconds. It is a ``TimeoutError``, and its
                *cause* is what is still waited for.
            OkexWSError: the error with which the subscription failed, or `NotLive` if
                it was closed.
            RuntimeError: on a thread of the library, which would wait for itself.
        """
        self._view.wait_live(timeout)

    async def await_live(self, timeout: float | None = 30.0) -> None:
        """Return when live, as `wait_live` does, and raise what it raises.

        It waits in a coroutine of asyncio; elsewhere it raises ``RuntimeError``.
        """
        await self._view.await_live(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """End the subscription; any thread, any time, any number of times.

        Returns True when its threads have ended. Returns False if they have not within
        *timeout* seconds, or when called from a callback. In a signal handler that
        interrupts an iterator as it takes an item, they end after the handler has
        returned. On a shared feed there is nothing to wait for: the method returns True
        at once, and the library unsubscribes a moment later.
        """
        pool = self._pool
        self._view.closed = True
        pool.detach(self._view)
        if not self._own:
            return True
        self._pool.close()
        return False if on_library_thread() else join_all(self._pool.threads, timeout)


# The subscriptions that a script may still have to close. Connections keep an unclosed
# one alive without a reference, so that it is collected only as the process ends.
_made: weakref.WeakSet[BaseSubscription] = weakref.WeakSet()


def _warn_unclosed() -> None:
    """Issue a ``ResourceWarning`` for each subscription that has not ended."""
    for each in list(_made):
        if not each._view.ended:
            said = f"unclosed {each!r}: call close(), or use 'with'"
            warnings.warn(said, ResourceWarning, source=each, stacklevel=1)


atexit.register(_warn_unclosed)
