"""`WSSubscription`: the live order book of one instrument, in one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, TypeVar, Union

from ..base.checks import (
    all_name_keywords,
    check_flag,
    names_keywords,
    unknown_keyword,
)
from ..base.clock import utc
from ..base.errors import InstrumentExpired
from ..base.log import log
from ..delivery.callbacks import (
    OnError,
    OnItem,
    OnMessage,
    OnState,
    check_callables,
)
from ..delivery.listing import PATIENCE, Listing
from ..isolation.view import refuse
from ..model.book import OrderBook
from ..model.instrument import Instrument
from ..model.instrument_ids import delivery
from ..model.items import BestBidAsk, Candle, Depth, Item, Tick, Trade
from ..model.venues import SITES, Venue, check_instrument, find_venue
from ..pool.options import ConnectionOptions
from ..pool.pool import Pool
from ..protocol.messages import ChannelName
from ..trust.verdict import NO_LIMITS, Limits
from .base import (
    AnyPool,
    BaseSubscription,
    SharedConnections,
    check_paths,
    find_pool,
    make_pool,
)
from .ticks import check_step, ticks

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
# A channel by the venue's name; or a mapping with that, and the path that it is on.
RawChannel = Union[str, Mapping[str, str]]


class SubscriptionOptions(TypedDict, total=False):
    """The keywords that ``Feed.subscribe`` passes to `WSSubscription`."""

    on_message: OnMessage | None
    raw_channels: Iterable[RawChannel]
    path: str | None
    history: int | None
    changes: bool
    max_age: float | None
    max_silence: float | None
    max_lag: float | None
    levels: int | None
    on_item: OnItem | None
    on_state: OnState | None
    on_error: OnError | None


@all_name_keywords("GetDepth", "depth", "best_bid_ask")
class WSSubscription(BaseSubscription):
    """The live order book of one instrument, or the answer that it is not live.

    Connects at once on a daemon thread and never blocks; a callback may fire before the
    constructor returns. An unclosed subscription lives on without references until the
    process ends, which then issues a ``ResourceWarning`` (``python -X dev`` shows it).
    Of an instrument that the exchange has delivered, such as the default one, there are
    no prices: the subscription is ``FAILED``, with an `InstrumentExpired`.

    Args:
        instrument_id: the exchange's id: ``'BTC-USDT'``, ``'BTC-USD-190517'``, ...
        market: ``'spot'``, ``'futures'``, ``'swap'``, ``'option'``, ``'events'``,
            ``'index'`` or ``'spread'``; the default is the market that the id tells.
            ``'BTC-USD'`` is an index if all channels have names of one
            (``'index-tickers'``, ``'index-candle1m'``), else spot.
            ``'BTC-USDT_BTC-USDT-SWAP'``, two ids joined by an underscore, is a spread,
            whose prices may be 0 or negative. An id of no known form needs *market*. Of
            an event contract all prices are those of YES: see `Instrument`.
        on_message: called with the venue's own JSON text of every data push, after the
            push is published; in order, never two calls at once, on a thread of the
            library.
        venue: a name (``'okx'``, ``'okj-v3'``, ...) or a `Venue`; the default is the
            feed's venue, else ``'okx'``.
        channels: ``'depth5'``, ``'bbo-tbt'``, the whole books ``'depth'``,
            ``'depth_l2_tbt'``, ``'books50-l2-tbt'`` and ``'books-rpi'``, ``'trade'``,
            ``'trades-all'``, ``'ticker'``, ``'candle60s'`` and the other bars,
            ``'funding_rate'``, ``'mark_price'``, ...: v3's and v5's names of a channel
            are aliases. A spread has ``'depth5'``, ``'bbo-tbt'``, ``'depth_l2_tbt'``,
            ``'trade'``, ``'ticker'`` and the bars. Of several depths each read is given
            the newest that can be trusted, out of those with as many levels as it asks
            for; never ``'books-rpi'`` beside another depth, unless the read has
            ``rpi=True``.
        raw_channels: further channels of the instrument by the venue's own names, known
            to the library or not; each push is a `Data`. In the place of a name may be
            ``{"channel": name, "path": "business"}``.
        path: on which of v5's paths each of *raw_channels* is that does not say so
            itself: ``'business'``, or another segment of small letters, digits and
            hyphens; ``None`` leaves it to the library's tables. A login goes to a path
            only if it is known that the channel needs one there.
        history: how much of the past to join to the stream, 0 to 10,000 items: closed
            candles, or trades of ``'trades-all'``. They come before the first live
            item, in `candles` or `trades` and in ``updates()``, with nothing missing or
            twice. Items that an outage took are fetched after it, and come before the
            next live item. Fetched items are marked ``backfilled``; where items cannot
            be had, there is a `Gap` in their place. Meanwhile that series is held back
            (20 s and 10,000 items at the most), and other channels do not wait. Trades
            are joined by their ids; those of ``'trade'``, which the exchange
            aggregates, cannot be joined exactly: more than 0 of them are a
            ``ValueError``. 0 fetches only what outages take. If no live item comes for
            two seconds, the past is delivered without it, and the next live item is
            joined to that.
        changes: also give an `InstrumentChange` in ``updates()`` and to *on_item* when
            the exchange renames, suspends, resumes, rebases, settles or delists the
            instrument, or changes its tick size. v5 alone tells of these
            (``ValueError`` elsewhere). What they mean for prices holds without asking:
            see `state`.
        instrument: the `Instrument` that the property of this name gives, if the script
            knows it; the exchange is then not asked.
        feed: a `Feed` whose connections to use; without one the subscription makes its
            own.
        max_age, max_silence, max_lag, levels: the default limits of every read (see
            `GetDepth`). Crossing one of the first three is a change to ``STALE``.
        on_item: called with each item that ``updates()`` gives: typed, in the same
            order, a `StateChange` and a `Gap` too. It is called as *on_message* is. A
            depth is made when it is about to be called: after a call that took long it
            gets the newest one, and at most 1,000 trades and other items that each
            count, with a `Gap` for those beyond. `close` discards what waits; the last
            item is the `StateChange` to ``FAILED`` or ``CLOSED``.
        on_state: called with each `StateChange`.
        on_error: called with each error of its channels: a refusal, an unreadable
            message, a book that failed its proof, an exception in a callback. Unless
            the feed has an *on_error*, it gets those of connections, too: a loss, a
            failed attempt.
        connection: the keywords of `Feed` (``credentials``, ``ssl_context``,
            ``reconnect``, ``lease``, ``callbacks``, ``isolate``, ...), not
            together with *feed*.

    Raises:
        ValueError, TypeError: an argument cannot be right; the message says what would
            be.
        ImportError: *history* needs the extra ``okex-ws[history]``.
        OSError: only with *isolate*: there is no memory to share.
    """

    @names_keywords(ConnectionOptions)
    def __init__(
        self,
        instrument_id: str = "BTC-USD-190517",
        market: str | None = None,
        on_message: OnMessage | None = None,
        *,
        # Venue and channels
        venue: str | Venue | None = None,
        channels: Iterable[str] = ("depth5", "trade"),
        raw_channels: Iterable[RawChannel] = (),
        path: str | None = None,
        history: int | None = None,
        changes: bool = False,
        instrument: Instrument | None = None,
        feed: SharedConnections | None = None,
        # Limits
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
        # Callbacks
        on_item: OnItem | None = None,
        on_state: OnState | None = None,
        on_error: OnError | None = None,
        # Connecting
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_callables(
            on_message=on_message, on_item=on_item, on_state=on_state, on_error=on_error
        )
        limits = _limits(max_age, max_silence, max_lag, levels)
        if feed is not None and connection:
            names = ", ".join(connection)
            raise ValueError(f"to be given to Feed(...), not beside feed=: {names}")
        where = _choose_venue(venue, feed)
        channels, raw_channels = _as_names(channels), _as_names(raw_channels)
        if path is not None and not raw_channels:
            raise ValueError(
                f"path={path!r:.80} is of raw_channels, and there are none"
            )
        market = check_instrument(
            instrument_id, market, where, (*channels, *map(_raw_name, raw_channels))
        )
        pool = make_pool(where, **connection) if feed is None else find_pool(feed)
        _check_given(instrument, instrument_id)
        told = _names(pool, instrument_id, market, channels, raw_channels, path)
        past = None if history is None else pool.history(history, market, told)
        on = (on_message, on_item, on_state, on_error)
        super().__init__(pool, feed is None, instrument_id, limits, *on, past)
        self._market = market
        self._instrument = instrument
        # What the exchange's list says of it; and until when the first use waits.
        self._listed: Listing | None = None
        self._patience: float | None = None
        listing = pool.wire.listing(market)
        self._view.wants_changes = _check_changes(changes, listing, pool)
        failed = _check_alive(where, instrument_id, pool.clock.wall())
        self._begin(told, failed, listing)

    @property
    def instrument_id(self) -> str:
        """The exchange's id, as given."""
        return self._view.instrument_id

    @property
    def market(self) -> str:
        """The market, as given or as the id tells."""
        return self._market

    @property
    def instrument(self) -> Instrument | None:
        """Tick size, lot, contract value and more of the instrument, or ``None``.

        The one that was given to the constructor, else what the exchange's channel
        ``instruments`` last said, which v5 alone has, and which a feed subscribes by
        itself. The first use waits for it: until it has come, or five seconds are over.
        In a callback and in a coroutine it does not wait. ``None`` says that the
        exchange has not described the instrument; of a spread it is, because that
        channel has none: `Rest.instruments` describes those.

        Raises:
            ValueError: the feed has *isolate*, and no instrument was given.
        """
        if self._instrument is not None:
            return self._instrument
        if self._pool.isolated:
            raise ValueError(
                "an isolated feed shares the newest depth alone: give the subscription"
                " its instrument="
            )
        assert isinstance(self._pool, Pool)
        if not self._view.ended and self._view.listing is not None:
            self._listed = self._pool.listing(self._view.listing)
        if self._listed is None:
            return None
        if self._patience is None:
            self._patience = self._pool.clock.monotonic() + PATIENCE
        return self._listed.wait(self.instrument_id, self._patience)

    # --- Reads: from any thread, never waiting --------------------------------------

    def GetDepth(  # noqa: N802 - the user's own name
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
        rpi: bool = False,
        **unknown: NoReturn,
    ) -> dict[str, Any]:
        """The newest depth that can be trusted at this moment, else ``{}``.

        Four keys: ``instrument_id``; ``asks`` and ``bids``, best first, each level a
        list of ``str`` with price and size first in the exchange's own characters,
        either side perhaps empty; and ``timestamp``, the exchange's, ISO-8601 UTC. Each
        call returns a new object.

        Args:
            max_age: the most seconds since the channel's last push. Answers "did this
                market move lately?": a quiet market is old and right. Measured, 0.3 s
                refuses 19 of 33 healthy instruments more than half the time.
            max_silence: the most seconds since any byte on the connection. Answers "is
                the connection in use?". On a quiet one pongs come every third of the
                feed's *lease*: less than that refuses good prices.
            max_lag: the most seconds that the push came later than the best of the
                connection's last ten minutes. Answers "is a backlog building up?":
                healthy connections were measured at 0.105 to 0.224 s (p99.9). An
                unknown lag passes.
            levels: the most levels a side; 5 if neither the call nor the subscription
                says.
            rpi: read channel ``'books-rpi'``, also beside other depths, of which a read
                is otherwise. Its levels are ``[price, total, not RPI, orders]``, with
                this argument or without.

        Raises:
            TypeError, ValueError: a limit is not a valid number, or *rpi* is true
                without channel ``'books-rpi'``; nothing else is ever raised.
        """
        if unknown:
            raise unknown_keyword(WSSubscription.GetDepth, (self,), unknown)
        limits = _limits(max_age, max_silence, max_lag, levels)
        return self._view.depth_dict(limits, rpi)

    def depth(
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
        rpi: bool = False,
        **unknown: NoReturn,
    ) -> Depth:
        """The depth of `GetDepth` as an immutable `Depth`, under the same limits.

        Raises:
            NotLive: where `GetDepth` gives ``{}``; it has *state* and *cause*.
        """
        if unknown:
            raise unknown_keyword(WSSubscription.depth, (self,), unknown)
        limits = _limits(max_age, max_silence, max_lag, levels)
        return self._view.depth(limits, rpi)

    def best_bid_ask(
        self,
        *,
        max_age: float | None = None,
        max_silence: float | None = None,
        max_lag: float | None = None,
        levels: int | None = None,
        rpi: bool = False,
        **unknown: NoReturn,
    ) -> BestBidAsk | None:
        """Best bid and ask as ``Decimal``, or ``None``; limits as for `GetDepth`.

        Of several depth channels the newest counts, even if it has only one level. Of
        channel ``'books-rpi'`` alone it is the best that every order can take; with
        *rpi* the best that an order of a retail user can take. Beside other depths that
        channel counts with *rpi* only.

        Raises:
            ValueError: *rpi* is true, and channel ``'books-rpi'`` is not subscribed.
        """
        if unknown:
            raise unknown_keyword(WSSubscription.best_bid_ask, (self,), unknown)
        limits = _limits(max_age, max_silence, max_lag, levels)
        return self._view.best_bid_ask(limits, rpi)

    @property
    def book(self) -> OrderBook | None:
        """The whole book at this moment as an immutable version, or ``None``.

        It is ``None`` without a channel that carries a whole book (``'depth'``,
        ``'depth_l2_tbt'``, ``'books50-l2-tbt'``, ``'books-rpi'``), while the proof of
        the book does not hold, and while one of the subscription's limits is crossed.
        ``'books-rpi'`` counts if there is no other whole book; ``latest('books-rpi')``
        always has its book.
        """
        return self._view.book

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades (1,000 and *history* at most), newest last, no repeats.

        They are those of the first trade channel. The exchange sends its last trade
        again after every subscribe, however old it is. On the first connection that
        trade is left out (``updates(repeated=True)`` gives it). Later it is dropped if
        it is equal to a known trade; otherwise it follows a `Gap`, unless its id is the
        next one.
        """
        return self._view.trades

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles (1,000 and *history* at most), newest last, one a start.

        They are those of the first candle channel; the last is mostly not complete yet.
        """
        return self._view.candles

    def latest(self, channel: str) -> Item | None:
        """The newest item of a subscribed channel, or ``None`` if it cannot be trusted.

        It is a `Depth`, `BookUpdate`, `Trade`, `Ticker`, `Candle`, `FundingRate` or
        `Data`, and ``None`` also before the first one.

        Raises:
            ValueError: *channel* is not subscribed here.
        """
        topics = self._view.readings
        known = channel in topics
        topic = channel if known else self._pool.wire.topic(channel, self._market)
        return self._view.latest(topic)

    def every(self, seconds: float, *, levels: int | None = None) -> Iterator[Tick]:
        """One read every *seconds*, refusals included, until the subscription closes.

        Each `Tick` has the `Depth` that `depth` gives then, or state and cause instead.
        Ticks are whole multiples of *seconds* in UTC; those that a slow loop missed are
        left out. The iterator waits for each; in a replay it lets time pass.
        """
        return ticks(self, self._view, self._pool.clock, check_step(seconds), levels)

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


def _choose_venue(venue: str | Venue | None, feed: SharedConnections | None) -> Venue:
    if feed is None:
        return find_venue("okx" if venue is None else venue)
    where = find_pool(feed).venue
    if venue is not None and find_venue(venue) != where:
        other = find_venue(venue).name
        raise ValueError(f"the feed is one of venue {where.name!r}, not of {other!r}")
    return where


def _check_given(instrument: object, instrument_id: str) -> None:
    if instrument is None:
        return
    if not isinstance(instrument, Instrument):
        raise TypeError(f"instrument is an Instrument, got {instrument!r:.80}")
    if instrument.instrument_id != instrument_id:
        raise ValueError(
            f"instrument= is {instrument.instrument_id!r}, not {instrument_id!r}"
        )


def _check_changes(changes: bool, listing: object, pool: AnyPool) -> bool:
    check_flag("changes", changes)
    if changes and pool.isolated:
        raise refuse("what changes= gives")
    if changes and listing is None:
        raise ValueError(
            "changes= needs the channel 'instruments', which v5 has for all markets but"
            " 'index' and 'spread'"
        )
    return changes


def _as_names(channels: Iterable[T]) -> tuple[T, ...]:
    if isinstance(channels, (str, Mapping)) or not isinstance(channels, Iterable):
        raise TypeError(f"channels are a sequence of names, got {channels!r}")
    return tuple(channels)


def _raw_name(argument: Any) -> Any:
    return argument.get("channel") if isinstance(argument, Mapping) else argument


def _names(
    pool: AnyPool,
    instrument_id: str,
    market: str,
    channels: Iterable[str],
    raw_channels: Iterable[RawChannel],
    path: str | None,
) -> dict[str, ChannelName]:
    wire = pool.wire
    topics = [wire.topic(name, market) for name in channels]
    found = [wire.channel(topic, market, instrument_id) for topic in topics]
    found += [wire.raw_channel(r, market, instrument_id, path) for r in raw_channels]
    if not found:
        raise ValueError("channels is empty: name at least one")
    check_paths(found)
    return {name.topic: name for name in found}


def _check_alive(
    venue: Venue, instrument_id: str, wall: float
) -> InstrumentExpired | None:
    """The error of an instrument that the exchange delivered before *wall*, if it did.

    It is so of the constructor's own default. Log the venue's advice (`Venue.advice`),
    and of an instrument of another peer than the exchange, which may list it, that the
    exchange delivered it.
    """
    for advice in dict.fromkeys(map(venue.advice, venue.endpoints)):
        if advice:
            log.warning("venue %r: %s", venue.name, advice)
    expiry = delivery(instrument_id)
    if expiry is None or expiry >= utc(wall):
        return None
    if venue in SITES:
        return InstrumentExpired(instrument_id, expiry)
    log.warning("%s was delivered on %s", instrument_id, expiry.date())
    return None
