"""`Rest`, the client of the exchange's REST interface: past and present data, typed.

This module needs the extra ``history``: ``pip install 'okex-ws[history]'``.
"""

from __future__ import annotations

import os
import random
import ssl
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Union

try:
    import httpx
except ImportError as _missing:
    raise ImportError(
        "okex_ws.rest needs the extra 'history':"
        f" pip install 'okex-ws[history]' ({_missing})",
        name=_missing.name,
    ) from _missing

from ..base.checks import all_name_keywords, check_flag, check_whole
from ..base.clock import Clock, SystemClock, utc
from ..base.errors import WireError
from ..base.log import log
from ..base.rates import RateLimits
from ..base.threads import Closing, Latch, heed_fork, register_for_fork
from ..channels.convert import make_candle, make_trade
from ..history.search import Search, T
from ..model.book import RPI
from ..model.instrument import Instrument
from ..model.items import Candle, PastBook, Trade
from ..model.venues import Venue, check_instrument, find_venue
from ..net.proxy import proxy_finder
from ..net.stream import TcpNetwork, check_ssl_context
from ..protocol import v3, v5
from ..protocol.catalogue import KNOWN
from ..protocol.interface import WireProtocol
from ..protocol.messages import CandleData, TradeData
from . import v3 as rest_v3
from . import v5 as rest_v5
from .archive_index import ArchiveFile, read_files, request_of
from .dialect import RestProtocol, RestRequest, Rows
from .download import HEADERS, Downloads, Progress
from .fetch import LIMITS, Fetcher, RetryPolicy, check_retries
from .http_pool import HttpPool
from .pages import (
    Answer,
    Page,
    PageSource,
    after_ms,
    answer_of,
    before_ms,
    collect,
    number,
)

_PROTOCOLS: dict[str, tuple[WireProtocol, RestProtocol]] = {
    "v3": (v3.PROTOCOL, rest_v3.REST_PROTOCOL),
    "v5": (v5.PROTOCOL, rest_v5.REST_PROTOCOL),
}


@all_name_keywords()
class Rest(Closing):
    """Past trades and candles, the present book, instruments and time of a *venue*.

        with Rest() as rest:
            rest.candles("BTC-USDT", "spot", "candle1m", limit=500)

    Trades and candles have the types that a subscription delivers, oldest first;
    *backfilled* is true, *received* is when they were fetched and *epoch* is 0. Every
    method blocks and may be called from any thread; the requests of all threads go out
    one at a time. If `close` is called meanwhile, the request under way ends with a
    `ConnectionLost`.

    What a venue keeps. v5 (documentation of August 2025): trades of the last three
    months; one-second candles of the last three months and other candles of years;
    books of 400 levels a side that are at most 50 ms old. v3 (the official SDKs; alive
    at OKJ): the newest 60 trades on spot and 300 elsewhere, 2,000 candles on spot and
    1,440 elsewhere, books of 200 levels a side. **Data that the venue does not keep are
    neither made up nor an error**: a method returns what the venue has, and ids or
    start times show what is missing.

    All clients of a process together keep the documented budget of each kind of request
    (`Venue.rest_share` is the share of it that they use). A request that fails for a
    passing reason (no connection, no answer in *timeout* seconds, HTTP 5xx, too many
    requests) is retried up to *retries* times, after a back-off or the time that
    ``Retry-After`` names, for *patience* seconds altogether.

    A *market* of ``None`` is the one that the id tells, as for `WSSubscription`.
    In a coroutine a method would block the event loop, so that ``async with`` is a
    ``TypeError``: use ``with``, and ``await asyncio.to_thread(rest.trades, ...)``.

    **A row that cannot be read costs only itself**: it is left out, and the `Answer`, a
    ``tuple`` of the others, has in *left_out* where that was and the `WireError` that
    says why; a warning is logged. If no row can be read, the first error is raised. Of
    a book no row is left out: a book with such a row is a `WireError`.

    *proxy* and *ssl_context* are as for `Feed`. An answer may have 8 MiB at most;
    redirects are not followed. *clock*, *pause* (waits so many seconds), *rng* and
    *transport* are for tests; a client with its own *clock* has its own budgets.

    Raises:
        ValueError, TypeError: the request can never succeed: the venue has no REST
            interface, or the instrument or channel cannot exist.
        RequestRejected: the exchange refused the request; ``'51001'`` is an unknown
            instrument.
        ConnectionLost, Stalled, HandshakeFailed: no answer came.
        WireError: the answer is not what the exchange documents.
    """

    def __init__(
        self,
        venue: str | Venue = "okx",
        *,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        patience: float = 60.0,
        clock: Clock | None = None,
        pause: Callable[[float], object] | None = None,
        rng: random.Random | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.venue = find_venue(venue)
        origin = _origin(self.venue)
        check_ssl_context(ssl_context)
        proxy_finder(proxy)
        check_retries(RetryPolicy(timeout, retries, patience))
        self._wire, self._protocol = _PROTOCOLS[self.venue.protocol]
        self._clock = clock or SystemClock()
        self._closing = Latch()
        self._network: TcpNetwork | None = None
        self._pool: HttpPool | None = None
        pause = pause or self._closing.wait
        connect = partial(TcpNetwork, self._clock, ssl_context=ssl_context, proxy=proxy)
        args = transport, self._clock, pause, self._is_closing, (timeout, retries)
        own = connect if transport is None else None
        self._downloads = Downloads(origin, own, *args)
        begin: Callable[[float], None] = lambda seconds: None  # noqa: E731
        if transport is None:
            self._network = connect()
            facts = self._network, self._clock, self._is_closing
            transport = self._pool = HttpPool(origin, *facts)
            begin = self._pool.begin
        self._client = httpx.Client(
            transport=transport, trust_env=False, headers=_headers(self.venue)
        )
        self._fetcher = Fetcher(
            origin,
            self._client,
            RetryPolicy(timeout, retries, patience),
            self._protocol,
            begin=begin,
            pause=pause,
            closing=self._is_closing,
            dispose=self._close_connection,
            limits=LIMITS if clock is None else RateLimits(),
            share=self.venue.rest_share,
            clock=self._clock,
            rng=rng or random.Random(),
        )
        heed_fork()
        _opened.add(self)

    def _is_closing(self) -> bool:
        return self._closing.is_set

    def forked(self) -> None:
        """Close the client in a forked child.

        It sends nothing to the peer and takes no lock that the parent may hold.
        """
        self._closing = Latch()
        self._closing.set()
        self._fetcher.forked()
        self._downloads.discard()
        if self._pool is not None and self._network is not None:
            self._pool.discard()
            self._network.discard()

    def close(self) -> None:
        """End the request under way and the connection; idempotent, returns at once.

        Any thread may call it, and a signal handler at any point. The thread whose
        request is under way closes the connection when that request has ended.
        """
        heed_fork()
        self._closing.set()
        if self._network is not None:
            self._network.wake()
        self._downloads.wake()
        self._fetcher.close()

    def _close_connection(self) -> None:
        self._client.close()
        if self._network is not None:
            self._network.close()

    async def __aenter__(self) -> NoReturn:
        self.close()
        raise TypeError(
            "every call of Rest blocks: use 'with Rest(...) as rest', and in a"
            " coroutine 'await asyncio.to_thread(rest.trades, ...)'"
        )

    async def __aexit__(self, *_: object) -> None:
        """Never called; without it ``async with`` does not call `__aenter__`."""

    # --- Present data ---------------------------------------------------------------

    def time(self) -> datetime:
        """The time on the exchange's clock."""
        return utc(self._time_ms() / 1000)

    def instruments(
        self, market: str, *, series: str | None = None
    ) -> Answer[Instrument]:
        """Every instrument of a *market*, or every event contract of a *series*.

        Options take one request for each underlying, and ``'events'`` one for each
        series, unless *series* names one (``'BTC-ABOVE-DAILY'``). Under v5 one that is
        not live and lacks a tick or lot size is not among them.
        """
        if market not in self.venue.markets or market == "index":
            traded = [each for each in self.venue.markets if each != "index"]
            raise ValueError(
                f"venue {self.venue.name!r} lists {' and '.join(map(repr, traded))},"
                f" not {market!r:.80}"
            )
        if series is not None and market != "events":
            raise ValueError(f"series names event contracts, not those of {market!r}")
        if series is not None and not isinstance(series, str):
            raise TypeError(f"series is a name, got {series!r:.80}")
        if series == "":
            raise ValueError("series is the name of a series, got ''")
        protocol, families = self._of(market), Rows[Union[str, None]]([series])
        by_family = protocol.families(market)
        if by_family is not None and series is None:
            families = [*self._get(by_family, protocol.read_families)]
        rows: Rows[Instrument | None] = []
        for family in families:
            if isinstance(family, WireError):
                rows.append(family)
                continue
            request = protocol.instruments(market, family)
            rows += self._get(request, lambda d: protocol.read_instruments(d, market))
        return _told(f"instruments of {market}", answer_of(rows))

    def book(
        self,
        instrument_id: str,
        market: str | None = None,
        levels: int = 400,
        *,
        rpi: bool = False,
    ) -> PastBook:
        """The book at this moment, at most *levels* a side.

        A side is shorter if the book is, or if the venue gives fewer (400 under v5, 200
        under v3). Rows are the exchange's own, best first: price, size and the fields
        that follow. *seq* is the sequence number of channel ``depth`` under v5, and
        ``None`` under v3 and of spreads. With *rpi*, which v5 alone has, it is the book
        of channel ``books-rpi``: see `OrderBook`.
        """
        market = check_instrument(instrument_id, market, self.venue)
        topic = "depth_l2_tbt" if market == "spread" else "depth"
        check_flag("rpi", rpi)
        if rpi:
            topic = RPI
        market, _ = self._check(instrument_id, market, topic)
        check_whole("levels", levels)
        protocol = self._of(market)
        many = min(levels, protocol.levels)
        request = protocol.book(instrument_id, market, many, topic)
        depth = self._get(request, lambda data: protocol.read_book(data, topic))
        bids, asks = (
            tuple(tuple(row) for row in side[:many])
            for side in (depth.bids, depth.asks)
        )
        return PastBook(bids, asks, depth.seq, utc(depth.time_ms / 1000), rpi)

    # --- Past data ------------------------------------------------------------------

    def trades(
        self,
        instrument_id: str,
        market: str | None = None,
        *,
        after_id: str | None = None,
        before_id: str | None = None,
        limit: int = 100,
    ) -> Answer[Trade]:
        """The newest *limit* single trades, oldest first.

        Ids are strictly between *after_id* and *before_id*, compared as numbers. Of a
        spread the venue gives no others than its newest 500.
        """
        market = check_instrument(instrument_id, market, self.venue)
        is_single = self.venue.protocol == "v5" and market != "spread"
        market, _ = self._check(
            instrument_id, market, "trades-all" if is_single else "trade"
        )
        check_whole("limit", limit)
        after, before = number("after_id", after_id), number("before_id", before_id)
        protocol = self._of(market)

        def page(data: Any) -> Page[TradeData]:
            return [_placed(each) for each in protocol.read_trades(data, instrument_id)]

        sources = protocol.trades(instrument_id, market, before, limit)
        search: Search[TradeData] = Search(after, before, limit, exact=True)
        single = self._collect(sources, page, search)
        wall = self._clock.wall()

        def make(each: TradeData) -> Trade:
            made = make_trade(instrument_id, each, wall, 0, False)
            return replace(made, backfilled=True)

        answer = Answer(map(make, single), single.left_out)
        return _told(f"trades of {instrument_id}", answer)

    def candles(
        self,
        instrument_id: str,
        market: str | None,
        channel: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
    ) -> Answer[Candle]:
        """The newest *limit* closed candles, oldest first.

        They start strictly between *after* and *before*. *channel* is the library's
        name, ``'candle60s'``, or v5's, ``'candle1m'``. v3 does not say whether a candle
        is closed, so the client asks for the exchange's time and leaves out candles
        that end later. Of v5's candles of 5 and 7 fields, which do not say it either,
        the newest one counts as open.
        """
        market, topic = self._check(instrument_id, market, channel)
        if KNOWN[topic].kind != "candle":
            raise ValueError(f"channel {channel!r} has no candles")
        check_whole("limit", limit)
        own_name = KNOWN[topic].of(self.venue.protocol, market)
        assert own_name is not None
        oldest, newest = after_ms(after), before_ms(before)
        protocol = self._of(market)
        if (seconds := protocol.seconds_of(own_name)) is not None:
            # The time is requested before the candles, so that each candle that ended
            # by then was closed already when the exchange answered.
            closed = self._time_ms() - 1000 * seconds + 1
            newest = closed if newest is None else min(newest, closed)

        found: set[int] = set()

        def page(data: Any) -> Page[CandleData]:
            rows = protocol.read_candles(data)
            page = [r if isinstance(r, WireError) else (r.start_ms, r) for r in rows]
            found.update(row[0] for row in page if not isinstance(row, WireError))
            return page

        def is_closed(each: CandleData) -> bool:
            if each.closed is None:
                return seconds is not None or each.start_ms < max(found)
            return each.closed

        sources = protocol.candles(instrument_id, market, own_name)
        search: Search[CandleData] = Search(oldest, newest, limit)
        over = self._collect(sources, page, search, is_closed)
        wall = self._clock.wall()

        def make(each: CandleData) -> Candle:
            made = make_candle(instrument_id, topic, each, wall, 0)
            return replace(made, closed=True, backfilled=True)

        answer = Answer(map(make, over), over.left_out)
        return _told(f"{channel} of {instrument_id}", answer)

    # --- The archive ----------------------------------------------------------------

    def archive(
        self, instrument_id: str, kind: str, day: date, market: str | None = None
    ) -> Answer[ArchiveFile]:
        """The files of the exchange's archive with the UTC *day*, oldest first.

        *kind* is ``'trades'``, ``'candles'`` (of a minute), ``'funding'``, ``'books'``
        (400 levels a side) or ``'books-5000'``. A file of books is one day of UTC; any
        other is one of UTC+8, so that there are two. The exchange has a day two or
        three days later; what it does not have is not among them. v5 alone has it.
        """
        if self.venue.protocol != "v5":
            raise ValueError(f"venue {self.venue.name!r} has no archive: v5 has one")
        market = check_instrument(instrument_id, market, self.venue)
        request = request_of(kind, instrument_id, market, day)
        read = partial(read_files, kind=kind, instrument_id=instrument_id, day=day)
        answer = answer_of(self._get(request, read))
        return _told(f"archive of {instrument_id}", answer)

    def download(
        self,
        file: ArchiveFile,
        folder: str | os.PathLike[str],
        progress: Progress | None = None,
    ) -> Path:
        """Fetch *file* of the archive into *folder*, which exists; return its path.

        The file has its name only once it is whole; a file of that name is not fetched
        again. What an earlier call has left is gone on with. *progress* is called with
        the bytes so far and the bytes of all (``None``: not known). *timeout* is how
        long the server may be silent, *retries* how often in a row it may fail. By the
        exchange's terms the files are for non-commercial use, and are not passed on.
        """
        return self._downloads.fetch(file, folder, progress)

    # --- Requests -------------------------------------------------------------------

    def _collect(
        self,
        sources: Sequence[PageSource[RestRequest]],
        page: Callable[[Any], Page[T]],
        search: Search[T],
        keep: Callable[[T], bool] = lambda each: True,
    ) -> Answer[T]:
        return collect(sources, lambda request: self._get(request, page), search, keep)

    def _of(self, market: str) -> RestProtocol:
        return rest_v5.REST_SPREADS if market == "spread" else self._protocol

    def _get(self, request: RestRequest, read: Callable[[Any], T]) -> T:
        return self._fetcher.get(
            request, lambda answer: read(self._protocol.data(request, answer))
        )

    def _time_ms(self) -> int:
        return self._get(self._protocol.time(), self._protocol.read_time)

    def _check(
        self, instrument_id: str, market: str | None, channel: str
    ) -> tuple[str, str]:
        """The market of the instrument, and the topic of *channel* there."""
        market = check_instrument(instrument_id, market, self.venue, (channel,))
        topic = self._wire.topic(channel, market)
        self._wire.channel(topic, market, instrument_id)
        if market == "index" and self.venue.protocol == "v3":
            raise ValueError("v3 has no REST interface of the market 'index'")
        return market, topic


# A forked child closes its copies of these clients: the connections are the parent's.
_opened: weakref.WeakSet[Rest] = weakref.WeakSet()


register_for_fork(_opened)


def _origin(venue: Venue) -> str:
    """The origin of the venue's REST interface; ``ValueError`` if it has none."""
    if venue.rest is not None:
        return venue.rest
    why = "give it one, Venue(rest=...)"
    if venue.retired is not None:
        why = f"it was {venue.retired}"
    raise ValueError(f"venue {venue.name!r} has no REST interface: {why}")


def _headers(venue: Venue) -> dict[str, str]:
    own = {"x-simulated-trading": "1"} if venue.simulated else {}
    return {**HEADERS, **own}


def _placed(trade: TradeData | WireError) -> tuple[int, TradeData] | WireError:
    """*trade* and its place, or why it has none."""
    if isinstance(trade, WireError):
        return trade
    if not (trade.id.isascii() and trade.id.isdecimal()):
        return WireError("trade", f"id {trade.id!r} has no order")
    return int(trade.id), trade


def _told(what: str, answer: Answer[T]) -> Answer[T]:
    """*answer*; log a warning of what was left out of it."""
    if lost := answer.left_out:
        text = "%s: %d of %d left out, the first one: %s"
        log.warning(text, what, len(lost), len(lost) + len(answer), lost[0].error)
    return answer
