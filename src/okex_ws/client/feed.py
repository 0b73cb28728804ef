"""`Feed`: the connections to one venue, shared by many subscriptions."""

from __future__ import annotations

import math
import random
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, SupportsIndex

from ..base.checks import all_name_keywords, check_seconds, names_keywords
from ..base.clock import Clock
from ..base.errors import LiveTimeout, NotLive, OkexWSError
from ..base.retry import Reconnect, Timeouts
from ..base.state import Cause, CauseCode, State
from ..channels.reading import Reading
from ..delivery.callbacks import OnError, OnState
from ..delivery.depth_selection import Look
from ..delivery.updates import UpdateQueue, Updates
from ..delivery.view import View
from ..history.source import History
from ..model.book import RPI
from ..model.credentials import Credentials
from ..model.items import BestBidAsk
from ..model.reports import Health
from ..model.venues import Venue
from ..net.frames import MAX_FRAME
from ..net.stream import Network
from ..pool.options import check_type
from ..recording.recorder import Recorder
from ..trust.reading import Taken, read_together
from ..trust.verdict import LIVE, Limits, state_rank
from .base import BaseSubscription, SharedConnections, make_pool
from .subscription import SubscriptionOptions, WSSubscription

if TYPE_CHECKING:
    from typing_extensions import Unpack


_NO_SUBSCRIPTION = Cause(CauseCode.NO_SUBSCRIPTION, "no subscription")


@all_name_keywords()
class Feed(SharedConnections):
    """The connections to one venue, shared by many subscriptions.

    ``feed.subscribe(ids)``, ``WSSubscription(..., feed=feed)`` and
    ``RawSubscription(..., feed=feed)`` use them. The feed connects with its first
    subscription. It opens a further connection where the exchange wants one: for v5's
    business and private channels, and for books of 50 and more levels beyond a
    connection's advised number. It stays open until `close`.

    Args:
        venue: a name of `okex_ws.VENUES`, or a `Venue`.
        credentials: an API key, for private channels and those that need a login. It is
            sent only on connections that carry such a channel, over TLS or to this
            machine without a proxy (*allow_plaintext*), and never to an endpoint under
            the domain of a retired venue: ``ValueError``. No error, log record, repr or
            recording has a secret of it, even if the exchange repeats one. A secret of
            less than six characters is cut out only where it is a whole word.
        allow_plaintext: send the key without TLS, too: to a ``ws://`` endpoint on
            another machine, or through a proxy. Each machine in between can then read
            the key.
        on_state: called with every `StateChange` of every subscription, on the thread
            that *callbacks* chooses.
        on_error: called with each error of a connection, once, however many
            subscriptions live on it: a lost connection or a failed attempt, a refused
            key, a message that may be of any channel, requests that wait. Without it
            each subscription's own *on_error* gets these, too. What happens to a
            channel is told to its subscriptions alone.
        callbacks: where the callbacks of all subscriptions of the feed run.
            ``'inline'``: on the thread of the connection that calls them. This has the
            least delay, but that connection reads nothing more until the callback
            returns. ``'thread'``: on one thread of their own, so that no callback holds
            up reading, pings or another feed. Of a depth, ticker or funding rate only
            the newest text waits; other texts, those of whole books included, wait one
            by one, 10,000 a feed. Texts beyond that are reported to *on_error* as one
            `MessagesLost` for each run of them. Leaving ``LIVE`` discards the depths
            and values that wait, and `close` discards every text. Discarded and skipped
            texts are counted in ``stats().skipped``. A `StateChange` and an error are
            never dropped; beyond the bound successive ones of a subscription become
            one. The items for *on_item* wait as those of ``updates()`` do, 1,000 a
            subscription.
        proxy: the URL of an HTTP proxy, ``'http://host:port'`` or
            ``'http://user:password@host:port'``, through which every connection is made
            (by CONNECT; TLS is with the exchange, inside the tunnel). ``None`` takes
            the proxy that the environment names when a connection is made:
            ``HTTPS_PROXY`` (for ``ws://`` ``HTTP_PROXY``), else ``ALL_PROXY``, unless
            ``NO_PROXY`` lists the host. ``''`` means no proxy, even if the environment
            names one.
        ssl_context: used in place of the system's trust store; it must verify
            certificates and host names.
        reconnect: the back-off after a lost connection.
        lease: seconds, 2 to 60 (``None`` is 15, and with *via* what the producer has):
            no read gives what the exchange's gateway had replaced
            more than so long before. A ping goes out every third of it, at most three
            unanswered at a time, and each pong renews it from the sending of its ping.
            A short lease makes reads say no sooner; it does not reconnect, which a pong
            that is missing for ``Timeouts.pong`` does. 5 suits a line across an ocean,
            2 one near the exchange. OKX publishes no limit on pings.
        ping_interval: the keep-alive, the most seconds between two pings, 10 to 30.
        max_frame: the most bytes of one message, unpacked under v3; at least 64 KiB.
            What a larger message says is not taken in: it is discarded as it comes,
            counted as ``stats().dropped['too-large']``, and withdraws the channel that
            its beginning names, or else all channels of its connection. The connection
            goes on.
        coalesce: how many seconds a connection waits after it has read what had come,
            before it reads again; at most 0.1. Each push may be so much later, and the
            connections wake up less often: 0.001 saves much CPU where thousands of
            messages come in a second. A wait of less than a millisecond lasts one.
            Leases and states are as always.
        isolate: run the connections in a process of their own, so that nothing that
            this process computes makes a price late. The newest depths are shared
            through memory. Reads (`GetDepth`, ``depth``, ``best_bid_ask``, ``book``,
            ``state``, ``health()``, ``wait_live``, ``stats()``) are the same, with the
            same proof. If that process ends, no read gives a price from then on, and
            the process is started again. It takes the environment of the moment at
            which it is started, keeps the gap between connections to a host by itself,
            and ends with this process. What is delivered, or is kept beside the depth,
            is not shared: callbacks, ``updates()``, ``trades``, ``candles``, ``latest``
            of other channels and a `RawSubscription` raise ``ValueError``. So do
            *ssl_context* (a private CA can be named in ``SSL_CERT_FILE``), *recorder*,
            *clock*, *network* and *rng*.
        publish: the URL of a Redis server, ``'rediss://user:password@host:6379/0'``
            and perhaps ``'?name=desk'``: what this feed reads of public channels is
            published there, for feeds on other machines (page ``redis`` of the guide;
            the extra ``okex-ws[redis]``). A password goes over TLS (``rediss``), or to
            this machine.
        via: the URL of a Redis server where a feed with *publish* writes, of the same
            database and *name*: this feed reads there, and has no connection to the
            exchange. Reads say no as surely as there: no read gives what the gateway of
            the exchange had replaced more than *lease* seconds before. A channel that
            is not published stays ``CONNECTING``, with the cause ``not-published``. A
            *lease* below the producer's is a constant no. *credentials*, *proxy*,
            *ssl_context*, *isolate*, ``rotate()``, and ``history=`` without a
            *history_source* raise ``ValueError``.
        redis_ca: the path of a file of certificates that ``rediss://`` trusts, in place
            of the system's.
        recorder: a `Recorder`, which writes all that is received and sent.

    *clock*, *network* (a factory), *rng* and *timeouts* are for tests and replays.
    *history_source* makes the `History` that ``history=`` queries, on first use and on
    the history worker's thread; ``None`` takes the venue's REST interface
    (``okex_ws.rest.Rest``, with *proxy* and *ssl_context*; the extra
    ``okex-ws[history]``).
    """

    def __init__(
        self,
        venue: str | Venue = "okx",
        *,
        credentials: Credentials | None = None,
        allow_plaintext: bool = False,
        # Callbacks
        on_state: OnState | None = None,
        on_error: OnError | None = None,
        callbacks: Literal["inline", "thread"] = "inline",
        # Connecting
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        reconnect: Reconnect | None = None,
        lease: float | None = None,
        ping_interval: float = 30.0,
        # Injection
        clock: Clock | None = None,
        network: Callable[[], Network] | None = None,
        rng: random.Random | None = None,
        timeouts: Timeouts | None = None,
        max_frame: SupportsIndex = MAX_FRAME,
        coalesce: float = 0.0,
        history_source: Callable[[], History] | None = None,
        # Processes
        isolate: bool = False,
        publish: str | None = None,
        via: str | None = None,
        redis_ca: str | None = None,
        # Recording
        recorder: Recorder | None = None,
    ) -> None:
        pool = make_pool(
            venue,
            on_state,
            on_error=on_error,
            credentials=credentials,
            allow_plaintext=allow_plaintext,
            callbacks=callbacks,
            proxy=proxy,
            ssl_context=ssl_context,
            reconnect=reconnect,
            lease=lease,
            ping_interval=ping_interval,
            clock=clock,
            network=network,
            rng=rng,
            timeouts=timeouts,
            max_frame=max_frame,
            coalesce=coalesce,
            history_source=history_source,
            isolate=isolate,
            publish=publish,
            via=via,
            redis_ca=redis_ca,
            recorder=recorder,
        )
        super().__init__(pool)

    # --- Subscriptions --------------------------------------------------------------

    @names_keywords(SubscriptionOptions)
    def subscribe(
        self,
        instrument_ids: Iterable[str],
        market: str | None = None,
        channels: Iterable[str] = ("depth5", "trade"),
        **keywords: Unpack[SubscriptionOptions],
    ) -> tuple[WSSubscription, ...]:
        """Make one `WSSubscription` an instrument, all or none; any thread, any time.

        *market* and *keywords* are those of `WSSubscription` (``on_message``,
        ``max_age``, ...), the same for each. A request carries as many channels as the
        exchange accepts.
        """
        if isinstance(instrument_ids, str) or not isinstance(instrument_ids, Iterable):
            raise TypeError(f"instrument_ids is a sequence, like [{instrument_ids!r}]")
        # Kept as a tuple: an iterator would be empty after the first instrument.
        if not isinstance(channels, str):
            channels = tuple(channels)
        raw = keywords.get("raw_channels", ())
        if not isinstance(raw, str):
            keywords["raw_channels"] = tuple(raw)
        made: list[WSSubscription] = []
        try:
            for name in instrument_ids:
                one = WSSubscription(
                    name, market, channels=channels, feed=self, **keywords
                )
                made.append(one)
        except BaseException:
            for one in made:
                one.close()
            raise
        return tuple(made)

    @property
    def subscriptions(self) -> tuple[BaseSubscription, ...]:
        """The subscriptions that are not closed; failed ones are included."""
        return tuple(view.subscription for view in self._pool.views)

    def wait_live(
        self, timeout: float | None = 30.0, *, partial: bool = False
    ) -> dict[str, Cause]:
        """Wait until every subscription is live; return what is not, and why.

        Live is as in ``WSSubscription.wait_live``. The mapping has a `Cause` for each
        instrument id (of a `RawSubscription`: its channels) that is not live at the
        return, and is empty if all are: a subscription may have been lost while another
        one was waited for. With *partial* a subscription that failed is not waited for
        and raises nothing, nor does the time-out: the mapping has both.

        Raises:
            LiveTimeout: after *timeout* seconds, without *partial*. It is a
                ``TimeoutError``, and its *cause* is what is still waited for.
            OkexWSError: the error of a subscription that failed, without *partial*; or
                `NotLive` if the feed is closed.
            RuntimeError: on a thread of the library, which would wait for itself.
        """
        give_up, check = self._begin_waiting(timeout, partial)
        for view in self._pool.views:
            with self._tolerating(partial):
                view.wait_live(timeout, give_up, check)
        return self._not_live()

    async def await_live(
        self, timeout: float | None = 30.0, *, partial: bool = False
    ) -> dict[str, Cause]:
        """Wait as `wait_live` does, and return and raise what it does.

        It waits in a coroutine of asyncio; elsewhere it raises ``RuntimeError``.
        """
        give_up, check = self._begin_waiting(timeout, partial)
        for view in self._pool.views:
            with self._tolerating(partial):
                await view.await_live(timeout, give_up, check)
        return self._not_live()

    def _begin_waiting(
        self, timeout: float | None, partial: bool
    ) -> tuple[float, Callable[[], None]]:
        """When to give up, and what `View.wait_live` is to check meanwhile."""
        check_type("partial", partial, bool)
        self._check_open()
        now = self._pool.clock.monotonic()
        give_up = math.inf if timeout is None else now + timeout
        return give_up, self._check_open if partial else self._check

    @contextmanager
    def _tolerating(self, partial: bool) -> Iterator[None]:
        """Do not wait for a subscription that is closed meanwhile.

        If *partial*, do not raise its failure or the time-out either.
        """
        tolerated = (OkexWSError, LiveTimeout) if partial else (NotLive,)
        try:
            yield
        except tolerated:
            self._check_open()

    def _check_open(self) -> None:
        if self._pool.closed:
            raise NotLive(State.CLOSED, self._pool.closed_by)

    def _check(self) -> None:
        for view in self._pool.views:
            view.check()

    def _not_live(self) -> dict[str, Cause]:
        missing: dict[str, Cause] = {}
        for view in self._pool.views:
            if cause := view.awaited():
                missing.setdefault(view.instrument_id, cause)
        # A closed feed has no subscriptions left, so that nothing would be missing.
        self._check_open()
        return missing

    def updates(
        self,
        *,
        latest: bool = True,
        max_queue: int = 10_000,
        timeout: float | None = None,
        repeated: bool = False,
    ) -> Updates:
        """An iterator of the items of all subscriptions, later ones included.

        It works as ``WSSubscription.updates``; *instrument_id* says which subscription
        an item is from. If a subscription fails or is closed, the iterator gives its
        `StateChange` and goes on; it ends when the feed is closed.
        """
        queue = UpdateQueue(
            self._pool.clock, latest, max_queue, timeout, True, repeated
        )
        self._pool.follow(queue)
        return Updates(queue)

    # --- Reads ----------------------------------------------------------------------

    def best_bid_asks(
        self,
        instrument_ids: Iterable[str],
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        max_skew: float | None = None,
        partial: bool = False,
        rpi: bool = False,
    ) -> dict[str, BestBidAsk]:
        """Best bid and ask of several instruments, at one moment: all, or ``{}``.

        With *partial* an instrument that is not live, or that is outside a limit, is
        left out of the ``dict``, and the others are given, again at one moment.

        The limits are those of ``WSSubscription.GetDepth``, and the subscriptions' own
        limits hold as well. *max_skew* is how many seconds the exchange's timestamps of
        any two of the instruments that are given may be apart; beyond it the result is
        ``{}``. It answers "did these markets move together?":
        a quiet market has an old timestamp and is right. *rpi* is as for
        ``WSSubscription.best_bid_ask``: each instrument needs channel ``'books-rpi'``.

        Raises:
            ValueError: an instrument has no depth channel on this feed, or with *rpi*
                no channel ``'books-rpi'``.
        """
        if isinstance(instrument_ids, str) or not isinstance(instrument_ids, Iterable):
            raise TypeError(f"instrument_ids is a sequence, like [{instrument_ids!r}]")
        if max_skew is not None:
            check_seconds("max_skew", max_skew)
        limits = Limits(max_age, max_silence, max_lag)
        check_type("partial", partial, bool)
        check_type("rpi", rpi, bool)
        views = self._carriers(instrument_ids, bool(rpi))
        best = _best_at_once(views, limits, self._pool.clock, partial, bool(rpi))
        times = [one.timestamp for one in best.values()]
        if max_skew is None or not times:
            return best
        apart = (max(times) - min(times)).total_seconds()
        return best if apart <= max_skew else {}

    def _carriers(self, instrument_ids: Iterable[str], rpi: bool) -> list[View]:
        known: dict[str, tuple[tuple[bool, bool], View]] = {}
        for view in reversed(self._pool.views):
            if not (view.has_rpi if rpi else view.has_depth):
                continue
            name = view.instrument_id
            # Of several subscriptions of an instrument the first counts; one that has
            # ended, or has the book with RPI alone, only if there is no better one.
            rank = view.ended, not rpi and view.has_rpi_alone
            if name not in known or rank <= known[name][0]:
                known[name] = rank, view
        names = list(dict.fromkeys(instrument_ids))
        missing = [name for name in names if name not in known]
        if missing:
            what = f"rpi=True: no channel {RPI!r}" if rpi else "no depth"
            listed = ", ".join(map(repr, missing))
            raise ValueError(f"{what} is subscribed on this feed of {listed}")
        return [known[name][1] for name in names]

    @property
    def state(self) -> State:
        """The worst state of the subscriptions; ``CLOSED`` once the feed is closed."""
        return self.health().state

    def health(self) -> Health:
        """The health of the subscription in the worst state."""
        if self._pool.closed or not self._pool.views:
            state = State.CLOSED if self._pool.closed else State.CONNECTING
            cause = self._pool.closed_by if self._pool.closed else _NO_SUBSCRIPTION
            return Health(state, cause, math.inf, math.inf, None, 0, {})
        healths: Sequence[Health] = [view.health() for view in self._pool.views]
        return min(healths, key=lambda health: state_rank(health.state))

    def __repr__(self) -> str:
        count = len(self._pool.views)
        return f"<Feed {self.venue.name} {self.state}, {count} subscriptions>"


def _best_at_once(
    views: Sequence[View], limits: Limits, clock: Clock, partial: bool, rpi: bool
) -> dict[str, BestBidAsk]:
    """Best bid and ask of each view that is trusted; all at one moment.

    If one is not trusted, the result is ``{}`` unless *partial*.
    """
    asked = [(view, view.depths(rpi), limits.over(view.limits)) for view in views]
    readings = [reading for _, depths, _ in asked for reading in depths]

    def build(taken: Sequence[Taken]) -> dict[View, tuple[Look, BestBidAsk]]:
        now, wall = clock.monotonic(), clock.wall()
        values, made = iter(taken), {}
        for view, depths, _ in asked:
            mine = [next(values) for _ in depths]
            look = _first_look(view, depths, mine, now, wall)
            if look is not None:
                made[view] = look, view.best(look, rpi)
            elif not partial:
                return {}
        return made

    found = read_together(readings, clock, build)
    if found is None:
        return {}
    made, taken, now, wall = found
    values, best = iter(taken), {}
    for view, depths, own in asked:
        mine = [next(values) for _ in depths]
        if view in made and not view.ended:
            look, one = made[view]
            judged = depths, mine, own, now, wall
            if _is_still_live(view, look, *judged):
                best[view.instrument_id] = one
    return best if partial or len(best) == len(views) else {}


def _first_look(
    view: View,
    depths: Sequence[Reading],
    mine: Sequence[Taken],
    now: float,
    wall: float,
) -> Look | None:
    """The depth that a read of *view* uses, if it is live; judged once it is built."""
    if len(mine) > 1:
        look = view.choose(depths, mine, 1, now, wall)
        return look if look.verdict is LIVE else None
    value = mine[0].value
    # What was kept unparsed is parsed here.
    is_good = value.state is State.LIVE and value.fault is None
    return Look(LIVE, depths[0], value) if is_good else None


def _is_still_live(
    view: View,
    look: Look,
    depths: Sequence[Reading],
    mine: Sequence[Taken],
    own: Limits,
    now: float,
    wall: float,
) -> bool:
    """Whether *look* is the choice at these clocks too, and within the limits *own*."""
    if len(mine) > 1:
        again = view.choose(depths, mine, 1, now, wall)
        if again.verdict is not LIVE or again.reading is not look.reading:
            return False
    return mine[depths.index(look.reading)].judge(own, now, wall) is LIVE
