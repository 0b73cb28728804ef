"""What every subscription can do, whatever it is about: tell, wait, iterate and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.state import State
from ..base.threads import Closing, on_library_thread
from ..delivery.callbacks import OnError, OnMessage, OnState
from ..delivery.updates import UpdateQueue, Updates
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
    **keywords: Any,
) -> AnyPool:
    """The pool of a feed to *venue*, on threads or in a process; errors as of `Feed`.

    *keywords* are those of `PoolOptions`.
    """
    options = PoolOptions(find_venue(venue), on_state, **keywords)
    check_type("isolate", isolate, bool)
    return make_isolated_pool(options) if isolate else options.make_pool()


class SharedConnections(Closing):
    """The connections to one venue that subscriptions share; `Feed` is one.

    This is what a subscription needs of its feed, so that `Feed` can give
    subscriptions and a subscription can be given a feed.
    """

    def __init__(self, pool: AnyPool) -> None:
        self._pool = pool

    @property
    def venue(self) -> Venue:
        """Where it is connected to."""
        return self._pool.venue

    def stats(self) -> Stats:
        """What its connections and all of its subscriptions counted, closed ones too.

        Of several connections *last_pong* is the oldest, *ping_round_trip* the longest.
        """
        return self._pool.stats()

    def connections(self) -> tuple[ConnectionReport, ...]:
        """How each connection stands, and what the exchange's limits leave it."""
        return self._pool.reports()

    def rotate(self) -> None:
        """Replace every connection by a new one, without a gap; returns at once.

        Each new one is opened, subscribed and proven while the old one still serves,
        and takes over in one swap: prices go on, and trades are neither lost nor
        doubled. The same is done by itself when the exchange announces that it will
        close a connection (v5's notice 64008). Where the pushes of a channel cannot be
        told apart (`Data`) a `Gap` says so. `on_message` alone hands over what each
        connection says: around the swap a text may be missing there, or come twice.
        """
        self._pool.rotate()

    def close(self, timeout: float | None = 5.0) -> bool:
        """End every connection and every subscription on it; any thread, any time.

        Returns True when the threads have ended; False if they had not within *timeout*
        seconds, or when called from a callback (they end after that).
        """
        self._pool.close()
        if self._pool.has_ended:
            return True
        return False if on_library_thread() else self._pool.join(timeout)


def find_pool(feed: object) -> AnyPool:
    """The pool behind a ``Feed``."""
    if not isinstance(feed, SharedConnections):
        raise TypeError(f"feed is a Feed, got {feed!r}")
    return feed._pool


class BaseSubscription(Closing):
    """A subscription; `WSSubscription` and `RawSubscription` are the two there are."""

    def __init__(
        self,
        pool: AnyPool,
        own: bool,
        label: str,
        limits: Limits,
        on_message: OnMessage | None,
        on_state: OnState | None,
        on_error: OnError | None,
        past: HistoryOptions | None = None,
    ) -> None:
        # A plan of its own ends with it; that of a feed stays.
        self._pool = pool
        self._own = own
        told = [on for on in (on_state, pool.on_state) if on is not None]
        callbacks = pool.callback_runner.callbacks(
            label, pool.clock, on_message, told, on_error
        )
        self._view = (
            pool.make_view(self, label, limits, callbacks)
            if past is None
            else JoinedView(self, label, limits, pool.clock, callbacks, past)
        )

    def _begin(self, names: Mapping[str, ChannelName]) -> None:
        """Subscribe. Last in a constructor: from here on callbacks may fire."""
        self._pool.closes_with_subscription = self._own
        self._pool.attach(self._view, names)

    @property
    def venue(self) -> Venue:
        """Where it lives."""
        return self._pool.venue

    @property
    def state(self) -> State:
        """The state at this moment: the depth channel's, else the worst channel's."""
        return self._view.state

    def health(self) -> Health:
        """State, cause, age, silence, lag, epoch and failed channels, as one record."""
        return self._view.health()

    def stats(self) -> Stats:
        """Counts since the start; on a shared feed, *messages*, *bytes*,
        *reconnects*, *dropped* and the pongs are those of all of its connections.
        """
        return self._pool.stats((self._view,))

    def updates(
        self,
        *,
        latest: bool = True,
        max_queue: int = 1000,
        timeout: float | None = None,
    ) -> Updates:
        """An iterator of typed items, on the caller's own thread.

        `Depth`, `BookUpdate`, `Trade`, `Ticker`, `Candle`, `FundingRate`, `Data`,
        `StateChange` and `Gap`, from the moment of the call; the first item is the
        present trusted depth, if there is one. A whole book begins with a snapshot, and
        goes on with one where updates were passed over. Leaving ``LIVE`` discards the
        depths that wait, before the `StateChange` is queued. Ends at `close`. Series
        that are joined to their past (``history=``) begin with what ``trades`` or
        ``candles`` hold at the moment of the call: no matter when that is, the past
        comes first, and then all that came since.

        Args:
            latest: keep only the newest depth, book, ticker and funding rate that waits
                (counted in ``stats().skipped``); False keeps them all, up to
                *max_queue*. Trades, candles and data are always kept one by one.
            max_queue: how many items wait; what is beyond becomes a counted `Gap`.
                A `StateChange` or `Gap` is never dropped. What was fetched, or held
                back for it, comes all at once and has room of its own.
            timeout: seconds after which ``TimeoutError`` is raised if nothing came.

        Raises:
            OkexWSError: while iterating, the error with which the subscription failed.
        """
        queue = UpdateQueue(self._pool.clock, latest, max_queue, timeout)
        self._view.follow(queue)
        return Updates(queue)

    def wait_live(self, timeout: float | None = 30.0) -> None:
        """Return when depth is live and every other channel is acknowledged or failed.

        With ``history=`` also not before the past was joined, or could not be: then
        *on_error* was told a `BackfillFailed`, and a `Gap` says what is missing.

        Raises:
            TimeoutError: after *timeout* seconds; its cause is the last failure.
            OkexWSError: the error with which the subscription failed, or `NotLive` if
                it was closed.
            RuntimeError: on a thread of the library, which would wait for itself.
        """
        self._view.wait_live(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """End the subscription; any thread, any time, any number of times.

        Returns True when its threads have ended, False if they had not within *timeout*
        seconds, or when called from a callback. In a signal handler that interrupts an
        iterator as it takes an item, they end once the handler has returned. On a
        shared feed there is nothing to wait for: it is True at once, and the exchange
        is told a moment later.
        """
        self._view.closed = True
        self._pool.detach(self._view)
        if not self._own:
            return True
        self._pool.close()
        return False if on_library_thread() else self._pool.join(timeout)
