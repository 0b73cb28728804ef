"""The public API as a user's type checker sees it. Checked by mypy, never executed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from typing_extensions import assert_type

from okex_ws import (
    MARKETS,
    VENUES,
    BackfillFailed,
    BestBidAsk,
    BookError,
    BookUpdate,
    BudgetSpent,
    Candle,
    Cause,
    CauseCode,
    ChecksumMismatch,
    ConnectionLost,
    ConnectionReport,
    Credentials,
    Data,
    Depth,
    Feed,
    FundingRate,
    Gap,
    HandshakeFailed,
    Health,
    History,
    Instrument,
    Item,
    LoginRejected,
    MessagesLost,
    NotLive,
    OkexWSError,
    OrderBook,
    PastBook,
    RawSubscription,
    Reconnect,
    Recorder,
    RecordingDamaged,
    RecordingFailed,
    Replay,
    RequestRejected,
    SequenceGap,
    Stalled,
    State,
    StateChange,
    Stats,
    SubscriptionRejected,
    Sweep,
    Ticker,
    Trade,
    Updates,
    Venue,
    WireError,
    WSSubscription,
    __version__,
    check_instrument,
    find_venue,
    market_of,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.replay.feed import ReplayFeed
from okex_ws.rest import Answer, Rest

assert_type(__version__, str)


def on_message(text: str) -> None: ...


def on_item(item: Item) -> None:
    if isinstance(item, Trade):
        assert_type(item.id, str)


def on_state(change: StateChange) -> None:
    assert_type(change.old, State)
    assert_type(change.new, State)
    assert_type(change.cause, Cause)
    assert_type(change.cause.code, CauseCode | None)
    assert_type(change.cause.exchange_code, int | str | None)
    assert_type(change.epoch, int)
    assert_type(change.at, datetime)


def on_error(exception: Exception) -> None: ...


# The seed's own three forms, and every keyword.
WSSubscription()
WSSubscription("BTC-USD-190517", "futures")
WSSubscription("BTC-USD-190517", "futures", on_message)
okex = WSSubscription(
    instrument_id="BTC-JPY",
    market="spot",
    on_message=on_message,
    venue="okj-v3",
    channels=("depth5", "trade", "ticker"),
    on_item=on_item,
    on_state=on_state,
    on_error=on_error,
    max_age=None,
    max_silence=5.0,
    max_lag=1,
    levels=5,
    ssl_context=ssl.create_default_context(),
    reconnect=Reconnect(first=0.5, cap=30.0, healthy_after=60.0, host_gap=None),
    ping_interval=30.0,
    lease=15.0,
)
okx = WSSubscription(
    "BTC-USDT-SWAP",
    "swap",
    venue=VENUES["okx"],
    channels=["books5", "books-l2-tbt", "candle1m", "funding-rate"],
    raw_channels=("books-elp",),
    credentials=Credentials.from_env(),
    history=500,
)

assert_type(okx.instrument, Instrument | None)
if (spot := okx.instrument) is not None:
    assert_type(spot.tick_at(60000.1), Decimal)
    assert_type(spot.round_price("60000.1", "down"), Decimal)
    assert_type(spot.round_size(Decimal("0.5")), Decimal)
okx.updates(repeated=True)
if okx.book is not None:
    assert_type(okx.book.sweep("buy", 0.5), Sweep)
Replay("day.rec.gz", speed="max")

assert_type(find_venue("okj"), Venue)
assert_type(find_venue(VENUES["okj"]), Venue)
assert_type(market_of("BTC-USDT"), str | None)
assert_type(MARKETS, tuple[str, str, str, str, str, str, str])
assert_type(check_instrument("BTC-USDT", None, VENUES["okx"]), str)


def past() -> History:
    # Whatever satisfies it: the REST client does.
    return Rest()


with Feed("okx", history_source=past) as joined:
    joined.subscribe(["BTC-USDT"], channels=["trades-all"], history=0)


def missed(error: BackfillFailed, book: PastBook) -> None:
    assert_type((error.instrument_id, error.channel, error.why), tuple[str, str, str])
    assert_type(book.seq, int | None)
    assert_type(book.bids[0], tuple[str, ...])


book: dict[str, Any] = okex.GetDepth()
book = okex.GetDepth(max_age=1.0, max_silence=5, max_lag=0.5, levels=5)
best_bid = okex.GetDepth()["bids"][0][0]  # as the seed's monitor reads it


def read(okex: WSSubscription) -> None:
    depth = okex.depth(max_age=1.0)
    assert_type(depth, Depth)
    assert_type(depth.bids, tuple[tuple[str, ...], ...])
    assert_type(depth.asks[0][0], str)
    assert_type(depth.timestamp, datetime)
    assert_type(depth.lag, float | None)
    assert_type(depth.seq, int | None)
    assert_type(depth.channel, str)

    best = okex.best_bid_ask(max_lag=0.5)
    assert_type(best, BestBidAsk | None)
    if best is not None:
        assert_type(best.bid, Decimal | None)
        assert_type(best.ask_size, Decimal | None)
        assert_type(best.mid, Decimal | None)
        assert_type(best.spread, Decimal | None)
        assert_type(best.received, datetime)


def follow(okex: WSSubscription) -> Iterator[str]:
    for item in okex.updates(latest=True, max_queue=1000, timeout=None):
        if isinstance(item, Depth):
            yield item.bids[0][0]
        elif isinstance(item, BookUpdate):
            assert_type(item.action, str)
            assert_type(item.bids, tuple[tuple[str, ...], ...])
            assert_type(item.book, OrderBook)
            assert_type(item.seq, int | None)
            yield item.book.bids[0][0]
        elif isinstance(item, Trade):
            assert_type(item.price, Decimal)
            assert_type(item.replayed, bool)
            assert_type(item.backfilled, bool)
            yield f"{item.side} {item.size}"
        elif isinstance(item, Ticker):
            yield str(item.last)
        elif isinstance(item, Candle):
            assert_type(item.start, datetime)
            assert_type(item.close, Decimal)
            assert_type(item.volume_quote, Decimal | None)
            assert_type(item.closed, bool | None)
            yield item.channel
        elif isinstance(item, FundingRate):
            assert_type(item.rate, Decimal)
            assert_type(item.next_rate, Decimal | None)
            assert_type(item.funding_time, datetime)
            yield item.instrument_id
        elif isinstance(item, Data):
            assert_type(item.elements, tuple[Any, ...])
            assert_type(item.action, str | None)
            yield item.elements[0]["state"]
        elif isinstance(item, StateChange):
            yield f"{item.new}: {item.cause}"
        elif isinstance(item, Gap):
            yield item.channel


def whole(okex: WSSubscription) -> None:
    assert_type(okex.book, OrderBook | None)
    book = okex.book
    if book is not None:
        assert_type(book.bids, tuple[tuple[str, ...], ...])
        assert_type(book.best, tuple[tuple[str, ...] | None, tuple[str, ...] | None])
        assert_type(book.mid, Decimal | None)
        assert_type(book.spread, Decimal | None)
        assert_type(book.crossed, bool)
        assert_type(book.checksum(), int)
        assert_type(book.top(10), OrderBook)
        sweep = book.sweep("buy", Decimal("1.5"))
        assert_type(sweep, Sweep)
        assert_type(sweep.average, Decimal | None)
        assert_type(sweep.remaining, Decimal)
        book.sweep("sell", 2)
        book.sweep("sell", "2.5")
        assert_type(book.sweep("sell", 2, rpi=True), Sweep)
        assert_type(book.takeable(rpi=True).mid, Decimal | None)
    mine = OrderBook()
    mine = mine.apply("snapshot", [("1", "2", "0", "1")], [["2", "2", "1"]])
    assert_type(mine, OrderBook)


def look(okex: WSSubscription) -> None:
    assert_type(okex.trades, tuple[Trade, ...])
    assert_type(okex.candles, tuple[Candle, ...])
    ticker = okex.latest("ticker")
    assert_type(ticker, Item | None)
    if isinstance(ticker, Ticker):
        assert_type(ticker.last, Decimal | None)
    assert_type(okex.instrument_id, str)
    assert_type(okex.venue, Venue)
    okex.wait_live(timeout=30)
    assert_type(okex.state, State)
    assert_type(okex.state.final, bool)
    health, stats = okex.health(), okex.stats()
    assert_type(health, Health)
    assert_type(health.age, float)
    assert_type(health.failed, Mapping[str, Exception])
    assert_type(stats, Stats)
    assert_type(stats.reconnects, Mapping[str, int])
    assert_type(stats.resyncs, int)
    assert_type(stats.mismatches, int)
    assert_type(stats.last_pong, datetime | None)


def end(okex: WSSubscription) -> None:
    assert_type(okex.close(timeout=5), bool)
    with WSSubscription("BTC-JPY", "spot", venue="okj-v3") as opened:
        assert_type(opened, WSSubscription)


async def in_a_coroutine(venue: Venue) -> None:
    async with WSSubscription("BTC-USDT", "spot", venue=venue) as opened:
        assert_type(opened, WSSubscription)
        await opened.await_live(timeout=30)
        async for item in opened.updates(timeout=1):
            assert_type(item, Item)
    assert_type(await opened.aclose(timeout=None), bool)
    async with Feed(venue) as feed, RawSubscription(["status"], feed=feed) as raw:
        assert_type((feed, raw), tuple[Feed, RawSubscription])
        assert_type(await feed.await_live(partial=True), dict[str, Cause])
        step = asyncio.create_task(anext(feed.updates()))
        assert_type(await asyncio.wait_for(step, 1.0), Item)
        assert_type(await asyncio.to_thread(next, raw.updates(), None), Item | None)
        closing = asyncio.create_task(feed.aclose())
        assert_type(await closing, bool)


def share() -> None:
    venue = Venue("mine", "v3", ("wss://example.test/ws/v3",), markets=("spot",))
    assert_type(venue.endpoints, tuple[str, ...])
    with Feed(venue, on_state=on_state, reconnect=Reconnect(cap=10)) as feed:
        WSSubscription("BTC-JPY", "spot", feed=feed)
        assert_type(feed.wait_live(timeout=30, partial=True), dict[str, Cause])
        assert_type(feed.health(), Health)
        assert_type(feed.stats(), Stats)
        feed.rotate()
        assert_type(feed.close(timeout=5), bool)
    Feed("okx", callbacks="inline", proxy=None)
    Feed("okx", isolate=True)
    WSSubscription("BTC-USDT", "spot", venue="okx", isolate=True)
    Feed("okx", callbacks="thread", proxy="http://me:it@proxy.test:3128")
    WSSubscription("BTC-USDT", "spot", callbacks="thread", proxy="")


def many(names: list[str]) -> None:
    with Feed("okx") as feed:
        subs = feed.subscribe(
            names,
            "spot",
            ("depth5", "depth", "candle60s"),
            on_message=on_message,
            on_item=on_item,
            raw_channels=("books-elp",),
            max_age=5.0,
            on_state=on_state,
            on_error=on_error,
        )
        assert_type(subs, tuple[WSSubscription, ...])
        best = feed.best_bid_asks(names, max_age=1, max_lag=0.5, max_skew=0.25)
        assert_type(best, dict[str, BestBidAsk])
        some = feed.best_bid_asks(names, partial=True, rpi=True)
        assert_type(some, dict[str, BestBidAsk])
        for report in feed.connections():
            assert_type(report, ConnectionReport)
            assert_type(report.endpoint, str)
            assert_type(report.open, bool)
            assert_type(report.depths, int)
            assert_type(report.requests_wait, float)
        updates = feed.updates(latest=False, max_queue=100, timeout=60)
        assert_type(updates, Updates)
        for item in updates:
            assert_type(item, Item)
        for one in feed.subscriptions:
            assert_type(one.state, State)
            one.wait_live(5)
            assert_type(one.close(), bool)


def any_channel() -> None:
    key = Credentials(api_key="a", secret_key="b", passphrase="c")
    assert_type(key.sign("1538054050"), str)
    feed = Feed("okx", credentials=key)
    orders = {"channel": "orders", "instType": "ANY"}
    with RawSubscription(
        [orders, "status"],
        feed=feed,
        on_message=on_message,
        on_item=on_item,
        on_state=on_state,
        on_error=on_error,
    ) as raw:
        assert_type(raw, RawSubscription)
        assert_type(raw.channels, tuple[str, ...])
        assert_type(raw.data, tuple[Data, ...])
        assert_type(raw.latest(orders), Data | None)
        newest = raw.latest("status")
        if newest is not None:
            assert_type(newest.received, datetime)
        assert_type(raw.updates(timeout=1), Updates)
        assert_type(raw.health(), Health)
        assert_type(raw.stats(), Stats)


def locally() -> None:
    with LocalExchange(tls=True) as exchange:
        market, instrument_id = exchange.busiest
        WSSubscription(
            instrument_id,
            market,
            venue=exchange.venue,
            ssl_context=exchange.ssl_context,
        )
        assert_type(exchange.url, str)
        exchange.drop()


def a_builtin_too(error: ConnectionError | TimeoutError) -> None: ...


def the_past(context: ssl.SSLContext) -> None:
    with Rest("okx", proxy="", ssl_context=context, timeout=5.0) as rest:
        trades = rest.trades("BTC-USDT", "spot", after_id="1", limit=1000)
        assert_type(trades, Answer[Trade])
        candles = rest.candles("BTC-USDT", "spot", "candle1m", limit=500)
        assert_type(candles, Answer[Candle])
        assert_type(candles[0].backfilled, bool)
        book = rest.book("BTC-USDT", "spot")
        assert_type(book.seq, int | None)
        assert_type(rest.time(), datetime)
        assert_type(rest.book("BTC-USDT", rpi=True).book, OrderBook)
        rest.instruments("events", series="BTC-ABOVE-DAILY")
        for each in rest.instruments("swap"):
            assert_type(each, Instrument)
            assert_type(each.tick, Decimal)
            assert_type(each.contract_value, Decimal | None)
            assert_type(each.expiry, datetime | None)


def explain(error: OkexWSError) -> str:
    if isinstance(error, ConnectionLost):
        a_builtin_too(error)
        return f"{error.endpoint} {error.reason} {error.code}"
    if isinstance(error, HandshakeFailed):
        return f"{error.status} {error.retry_after}"
    if isinstance(error, Stalled):
        a_builtin_too(error)
        return f"{error.what} {error.after}"
    if isinstance(error, WireError):
        return f"{error.kind} {error.channel}"
    if isinstance(error, (ChecksumMismatch, SequenceGap)):
        return f"{error.expected} {error.actual}"
    if isinstance(error, SubscriptionRejected):
        return f"{error.code} {error.message} {error.channel}"
    if isinstance(error, RequestRejected):
        return f"{error.code} {error.path} {error.status} {error.retry_after}"
    if isinstance(error, BudgetSpent):
        return f"{error.op} {error.channels} {error.wait:.0f}"
    if isinstance(error, LoginRejected):
        return f"{error.code} {error.message}"
    if isinstance(error, MessagesLost):
        assert_type(error.count, int)
        return f"{error.instrument_id} {error.channel} {error.count}"
    if isinstance(error, NotLive):
        assert_type(error.state, State)
        assert_type(error.cause, Cause)
        return str(error.cause)
    if isinstance(error, BookError):
        return f"{error.kind} {error.channel}"
    return repr(error)


def record_and_replay() -> None:
    with Recorder("day.rec.gz", max_bytes=1 << 30, max_seconds=3600.0) as recorder:
        assert_type(recorder.lost, int)
        Feed("okx", recorder=recorder)
        WSSubscription("BTC-USDT", "spot", venue="okx", recorder=recorder)
    with Replay("day.rec.gz", speed=2.0, start=60.0, venue="okx") as replay:
        assert_type(replay.feed(lease=2), ReplayFeed)
        assert_type(replay.feed().subscribe(["X"]), tuple[WSSubscription, ...])
        assert_type(replay.venue, Venue)
        assert_type(replay.instruments, tuple[tuple[str, str, tuple[str, ...]], ...])
        assert_type(replay.begins, datetime)
        assert_type(replay.ends, datetime)
        for at in replay:
            assert_type(at, datetime)
        replay.run()


def recording_errors(damaged: RecordingDamaged, failed: RecordingFailed) -> None:
    assert_type(damaged.line, int)
    assert_type(damaged.why, str)
    assert_type(failed.lost, int)
    assert_type(failed.reason, str)
