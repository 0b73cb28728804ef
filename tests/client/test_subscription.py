"""The constructor's word on its arguments, and the object's own small manners."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    Candle,
    Credentials,
    Data,
    Feed,
    FundingRate,
    Gap,
    OrderBook,
    Reconnect,
    State,
    StateChange,
    Ticker,
    Trade,
    Venue,
    WSSubscription,
)
from okex_ws.base.clock import utc
from tests.support.virtual_world import START, V5, Ladder, World, depth, listen

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")
BTC = ("BTC-USDT", "spot")


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        (("",), {}, "not an instrument id"),
        (("btc-usd-190517",), {}, "not an instrument id"),
        (("BTC-USDT", "spots"), {}, "did you mean 'spot'"),
        (("BTC-USDT", "futures"), {}, "market 'spot'"),
        (("BTC-USD-SWAP", "futures"), {}, "market 'swap'"),
        (("BTC-USD-190517",), {"venue": "okj-v3"}, "has no market 'futures'"),
        (("BTC-USD-991399",), {}, "no day"),
        ((), {"venue": "okex3"}, "did you mean 'okex'"),
        ((), {"channels": ()}, "name at least one"),
        ((), {"channels": ("deph",)}, "did you mean 'depth'"),
        ((), {"raw_channels": ("depth",)}, "type of its own"),
        (BTC, {"raw_channels": ("books",), "venue": "okx"}, "type of its own"),
        (BTC, {"channels": ("orders",), "venue": "okx"}, "RawSubscription"),
        (BTC, {"channels": ("instruments",), "venue": "okx"}, "RawSubscription"),
        (
            ("BTC-JPY",),
            {"venue": "okj-v3", "channels": ("bbo-tbt",)},
            "v3 has no channel 'bbo-tbt'",
        ),
        ((), {"channels": ("tickr",)}, "did you mean 'ticker'"),
        (
            ("BTC-JPY",),
            {"venue": "okj-v3", "channels": ("candle61s",)},
            "did you mean 'candle60s'",
        ),
        (BTC, {"channels": ("funding_rate",)}, "'swap'"),
        (("BTC-USD", "index"), {}, "market 'index' has no"),
        ((), {"raw_channels": ("trades",)}, "type of its own"),
        ((), {"raw_channels": ("a b",)}, "no name of a channel"),
        (("BTC/USDT",), {}, "did you mean 'BTC-USDT'"),
        (("BTC/USDT", "spot"), {}, "did you mean 'BTC-USDT'"),
        (("BTC/USDT:USDT",), {}, "did you mean 'BTC-USDT-SWAP'"),
        (("btc_usdt", "spot"), {}, "did you mean 'BTC-USDT'"),
        (("btc-usd_um-swap",), {}, "did you mean 'BTC-USD_UM-SWAP'"),
        (("BTC-ABOVE-DAILY-260224-1600",), {}, "or market=, one of 'spot'"),
        (("BTC-USD",), {"channels": ("index-tickers", "trade")}, "of market 'index'"),
        (
            (),
            {"venue": "okex", "credentials": KEY},
            "credentials are not sent to venue 'okex'",
        ),
        (
            BTC,
            {"venue": "okx", "channels": ("depth_l2_tbt",)},
            "login of the fee .*VIP4",
        ),
        (BTC, {"venue": "okx", "channels": ("books50-l2-tbt",)}, "fee tier VIP4"),
        (
            ("BTC-JPY",),
            {"venue": "okj-v3", "channels": ("books-rpi",)},
            "v3 has no channel 'books-rpi'",
        ),
        ((), {"max_age": -1}, "max_age"),
        ((), {"ping_interval": 60}, "ping_interval"),
        ((), {"lease": 61}, "lease is 2 to 60 seconds"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_with_one_that_would_be(
    arguments: tuple[Any, ...], keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        WSSubscription(*arguments, **keywords)


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        ((7,), {}, "strings"),
        (("BTC-USDT", 5), {}, "strings"),
        (("BTC-USD-190517", "futures", "print"), {}, "on_message"),
        ((), {"on_state": 1}, "on_state"),
        ((), {"venue": 3}, "venue"),
        ((), {"feed": "okex"}, "feed"),
        ((), {"channels": "depth5"}, "sequence of names"),
        ((), {"channels": (5,)}, "name"),
        ((), {"raw_channels": "books"}, "sequence of names"),
        ((), {"raw_channels": (5,)}, "name"),
        ((), {"credentials": ("a", "b", "c")}, "credentials is a Credentials"),
        ((), {"max_lag": "1"}, "max_lag"),
        ((), {"ssl_context": "x"}, "SSLContext"),
        ((), {"proxy": 3128}, "proxy"),
    ],
)
def test_a_thing_of_the_wrong_type_is_refused(
    arguments: tuple[Any, ...], keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        WSSubscription(*arguments, **keywords)


def test_what_belongs_to_the_feed_is_not_taken_beside_one() -> None:
    with Feed("okj-v3") as feed:
        with pytest.raises(ValueError, match="not beside feed=: reconnect"):
            WSSubscription("BTC-JPY", "spot", feed=feed, reconnect=Reconnect())
        with pytest.raises(ValueError, match="not beside feed=: lease"):
            WSSubscription("BTC-JPY", "spot", feed=feed, lease=5.0)
        with pytest.raises(ValueError, match="feed is one of venue 'okj-v3'"):
            WSSubscription("BTC-JPY", "spot", feed=feed, venue="okex")


def test_where_another_peer_lists_what_was_delivered_it_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    retired = Venue("old", "v3", (world.url,), retired="after 2022-02-25")
    sub = world.subscribe("BTC-USD-190517", "futures", venue=retired)
    world.run(1)

    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "retired" in said[0]
    assert said[1] == "BTC-USD-190517 was delivered on 2019-05-17"
    assert sub.state is State.CLOSED


# --- What a channel is called, and what comes over it --------------------------------


@pytest.mark.parametrize("protocol", ["v3", "v5"])
@pytest.mark.parametrize(
    "names",
    [
        ("depth5", "trade", "ticker", "candle60s"),
        ("books5", "trades", "tickers", "candle1m"),
        ("books5", "depth5", "trades", "trade", "ticker", "candle1m", "candle60s"),
    ],
)
def test_both_vocabularies_name_the_same_channels(
    protocol: str, names: tuple[str, ...]
) -> None:
    world = World(protocol)
    sub = world.subscribe(channels=names)
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(k for p in world.peers for k in p.subscribed))

    world.run(2)

    topics = ("depth5", "trade", "ticker", "candle60s")
    own = {"v3": "spot/ticker:BTC-USDT", "v5": "tickers:BTC-USDT"}
    keys = [world.dialect.channel(topic) for topic in topics if topic != "ticker"]
    assert sorted(seen) == sorted([*keys, own[protocol]])
    for name in names:
        assert sub.latest(name) is None


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_trades_and_candles_are_typed_under_either_name(protocol: str) -> None:
    world = World(protocol)
    sub = world.subscribe(channels=("trades", "candle1m"))
    updates = sub.updates(repeated=True)
    trade, candle = world.dialect.trade, world.dialect.candle

    def push(message: dict[str, Any]) -> None:
        path = "" if protocol == "v3" else "public"
        if "candle" in str(message.get("arg")):
            path = "business"
        world.peer_on(path).send(message)

    # The first trade after a subscribe is the exchange's last one, sent again; a trade
    # that is equal in every field is a repeat.
    for second, trade_id, at in ((1, "7", 1), (2, "8", 2), (3, "8", 2), (4, "9", 4)):
        world.at(second, lambda i=trade_id, n=at: push(trade(i, n * 1000)))
    for second, start, close in ((5, 0, "100"), (6, 0, "101"), (7, 60_000, "99")):
        world.at(second, lambda start=start, c=close: push(candle(start, c)))
    seen: list[Any] = []
    world.at(8, lambda: seen.extend([sub.latest("trade"), sub.latest("trades")]))
    world.at(8, lambda: seen.extend([sub.latest("candle60s"), sub.latest("candle1m")]))

    world.run(9)

    assert [trade.id for trade in sub.trades] == ["8", "9"]
    assert [(c.start - utc(START), c.close) for c in sub.candles] == [
        (timedelta(0), Decimal(101)),
        (timedelta(seconds=60), Decimal(99)),
    ]
    assert seen == [sub.trades[-1], sub.trades[-1], sub.candles[-1], sub.candles[-1]]
    assert (seen[2].channel, seen[2].open) == ("candle60s", Decimal(99))
    assert (seen[2].volume, seen[2].closed) == (
        (Decimal(7), None) if protocol == "v3" else (Decimal(7), False)
    )
    items = list(updates)
    given = [i for i in items if isinstance(i, (Trade, Candle))]
    assert [i.id if isinstance(i, Trade) else str(i.close) for i in given] == [
        *("7", "8", "9"),
        *("100", "101", "99"),
    ]
    assert sub.stats().skipped == {"repeat": 1}


@pytest.mark.parametrize("minutes", [0, 1, 3])
def test_candles_that_were_missed_while_away_are_a_gap(minutes: int) -> None:
    """The same bar is cumulative; behind it nothing is known, nor how it ended."""
    world = World("v5")
    sub = world.subscribe(channels=("candle60s",))
    updates = sub.updates()
    first, later = V5.candle(-40_000), V5.candle(-40_000 + minutes * 60_000)
    world.at(1, lambda: world.peer and world.peer.send(first))
    world.at(2, lambda: world.peer and world.peer.drop())
    world.at(5, lambda: world.peer and world.peer.send(later))

    world.run(6)

    gaps = [(i.after, i.before) for i in updates if isinstance(i, Gap)]
    both = ("2020-09-13T12:26:00.000Z", f"2020-09-13T12:2{6 + minutes}:00.000Z")
    assert gaps == ([both] if minutes else [])
    assert len(sub.candles) == (1 if minutes == 0 else 2)


def test_the_newest_of_a_swap_are_typed_too() -> None:
    world = World("v5")
    name = "BTC-USD-SWAP"
    channels = ("funding_rate", "ticker", "mark_price")
    sub = world.subscribe(name, "swap", channels=channels)
    updates = sub.updates()
    funding = {
        "instId": name,
        "fundingRate": "-0.0001",
        "fundingTime": V5.stamp(3_600_000),
        "nextFundingRate": "",
        "nextFundingTime": V5.stamp(7_200_000),
        "ts": V5.stamp(0),
    }
    ticker = {"instId": name, "last": "100.1", "ts": V5.stamp(0)}
    mark = {"instId": name, "markPx": "100.15", "ts": V5.stamp(0)}
    for channel, element in (
        ("funding-rate", funding),
        ("tickers", ticker),
        ("mark-price", mark),
    ):
        message = V5.push(channel, element, name)
        world.at(1, lambda message=message: world.peer and world.peer.send(message))
    seen: list[Any] = []
    world.at(2, lambda: seen.extend(sub.latest(channel) for channel in channels))
    world.at(2, lambda: seen.append(sub.latest("funding-rate")))

    world.run(3)

    rate, newest, data, again = seen
    assert isinstance(rate, FundingRate)
    assert (rate.rate, rate.next_rate) == (Decimal("-0.0001"), None)
    assert rate.funding_time == utc(START + 3600)
    assert again == rate
    assert isinstance(newest, Ticker)
    assert newest.last == Decimal("100.1")
    assert isinstance(data, Data)
    assert (data.channel, data.instrument_id) == ("mark_price", name)
    assert data.elements == (mark,)
    given = [type(i) for i in updates if not isinstance(i, StateChange)]
    # What counts only as the newest is no longer true when it is taken this late.
    assert given == [Data]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_raw_channels_bring_every_push_decoded(protocol: str) -> None:
    world = World(protocol)
    book = {"v3": "depth_of_all", "v5": "books-elp"}[protocol]
    texts: list[str] = []
    sub = world.subscribe(
        channels=("depth5",), raw_channels=(book,), on_message=texts.append
    )
    updates = sub.updates()
    element = {"bids": [["100.10", "1", "0", "1"]], "asks": [], "checksum": -12}
    action = {"v3": "partial", "v5": "snapshot"}[protocol]
    if protocol == "v3":
        element["instrument_id"] = "BTC-USDT"
        message = {"table": f"spot/{book}", "data": [element], "action": action}
    else:
        message = {**V5.push(book, element), "action": action}
    for second in (1, 2):
        world.at(second, lambda: world.peer and world.peer.send(message))
    seen: list[Any] = []
    world.at(3, lambda: seen.extend([sub.latest(book), sub.state]))

    world.run(4)

    newest, state = seen
    assert isinstance(newest, Data)
    assert (newest.channel, newest.instrument_id) == (book, "BTC-USDT")
    assert newest.action == action
    assert newest.elements[0]["bids"] == [["100.10", "1", "0", "1"]]
    # Every JSON number is the text of its own characters.
    assert newest.elements[0]["checksum"] == "-12"
    assert newest.received == utc(START + 2)
    assert state is State.SYNCING
    given = [item for item in updates if isinstance(item, Data)]
    assert [item.elements for item in given] == [newest.elements] * 2
    assert len(texts) == 2


def test_typed_and_raw_channels_of_one_kind_of_data_are_one() -> None:
    world = World("v5")
    name = "BTC-USD-SWAP"
    sub = world.subscribe(
        name, "swap", channels=("mark_price",), raw_channels=("mark-price",)
    )
    texts: list[str] = []
    listen(sub, texts.append)
    mark = V5.push("mark-price", {"instId": name, "markPx": "1"}, name)
    world.at(1, lambda: world.peer and world.peer.send(mark))

    world.run(2)

    assert len(texts) == 1
    assert len(world.exchange.requests[0]["args"]) == 1


def test_an_index_has_its_own_ticker_and_candles_on_v5() -> None:
    world = World("v5")
    sub = world.subscribe("BTC-USD", "index", channels=("ticker", "candle60s"))
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(k for p in world.peers for k in p.subscribed))
    ticker = {"instId": "BTC-USD", "idxPx": "100.1", "ts": V5.stamp(0)}
    push = V5.push("index-tickers", ticker, "BTC-USD")
    world.at(1, lambda: world.peer_on("public").send(push))
    world.at(2, lambda: seen.append(sub.latest("ticker")))

    world.run(3)

    assert seen[:2] == ["index-tickers:BTC-USD", "index-candle1m:BTC-USD"]
    assert isinstance(seen[2], Ticker)


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_messages_are_told_in_the_order_of_their_connection(protocol: str) -> None:
    world = World(protocol)
    texts: list[str] = []
    world.subscribe(channels=("depth5", "trade"), on_message=texts.append)
    trade, depth5 = world.dialect.trade, world.dialect.depth

    def burst() -> None:
        for number in range(10):
            for message in (trade(str(number), 1000), depth5(1000 + number)):
                assert world.peer is not None
                world.peer.send(message)

    world.at(1, burst)

    world.run(2)

    kinds = ["trade" if "trade" in text else "depth" for text in texts]
    assert kinds == ["trade", "depth"] * 10


# --- Its small manners ---------------------------------------------------------------


def test_its_repr_tells_the_truth() -> None:
    world = World()
    world.exchange.first_pushes["spot/depth5:BTC-USDT"] = depth(0)
    sub = world.subscribe()
    seen: list[str] = []
    world.at(1, lambda: seen.append(repr(sub)))
    world.run(2)

    assert seen == ["<WSSubscription BTC-USDT spot LIVE, 0 reconnects>"]
    assert repr(sub) == "<WSSubscription BTC-USDT spot CLOSED, 0 reconnects>"


def test_a_channel_that_is_not_subscribed_has_no_latest() -> None:
    world = World()
    sub = world.subscribe()
    with pytest.raises(ValueError, match="not subscribed, only 'depth5', 'trade'"):
        sub.latest("ticker")
    world.run(1)


def test_a_context_manager_closes_it_and_closing_twice_is_once() -> None:
    world = World()
    with world.subscribe() as sub:
        world.run(1)
    assert sub.close() is True
    assert sub.GetDepth() == {}


@pytest.mark.parametrize("bad", [0, -1, True, 1.5])
def test_a_queue_needs_room(bad: Any) -> None:
    world = World()
    sub = world.subscribe()
    with pytest.raises((TypeError, ValueError), match="max_queue"):
        sub.updates(max_queue=bad)
    with pytest.raises(ValueError, match="timeout"):
        sub.updates(timeout=-1)
    world.run(1)


def test_it_says_what_it_is_subscribed_to() -> None:
    world = World()
    sub = world.subscribe()
    assert (sub.instrument_id, sub.market, sub.venue.name) == (
        "BTC-USDT",
        "spot",
        "fake",
    )
    world.run(1)


# --- Whole books --------------------------------------------------------------------


def with_book(protocol: str, *channels: str, **keywords: Any) -> Any:
    """A world, the exchange's book in it, and a subscription to it."""
    world = World(protocol)
    ladder = Ladder(world)
    for topic in ("depth5", "bbo-tbt"):
        top(world, ladder, topic)
    sub = world.subscribe(channels=channels or ("depth",), **keywords)
    return world, ladder, sub


def top(world: World, ladder: Ladder, topic: str, seq: int = 7) -> Any:
    """The best of the exchange's book as a push of another channel."""
    now = round((world.clock.now - world.t0) * 1000)
    (bid, _), (ask, _) = ladder.bids[0], ladder.asks[0]
    if world.protocol == "v3":
        message = world.dialect.depth(now, bid, ask)
    else:
        name = {"depth5": "books5"}.get(topic, topic)
        message = world.dialect.depth(now, bid, ask, channel=name, seq=seq)
    world.exchange.first_pushes[world.dialect.channel(topic)] = message
    return message


@pytest.mark.parametrize("protocol", ["v3", "v5"])
@pytest.mark.parametrize(
    ("default", "asked", "given"),
    [
        (None, None, 5),
        (None, 1, 1),
        (None, 7, 7),
        (None, 400, 8),
        (2, None, 2),
        (7, None, 7),
        (2, 6, 6),
    ],
)
def test_of_a_whole_book_a_read_has_five_levels_unless_it_asks_for_more(
    protocol: str, default: int | None, asked: int | None, given: int
) -> None:
    world, ladder, sub = with_book(protocol, levels=default)
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([sub.GetDepth(levels=asked), sub.book]))
    world.at(1, lambda: seen.append(sub.depth(levels=asked)))

    world.run(2)

    found, book, depth = seen
    assert set(found) == {"instrument_id", "asks", "bids", "timestamp"}
    rows = [tuple(row[:2]) for row in found["bids"]], found["asks"]
    assert (rows[0], len(rows[1])) == (ladder.bids[:given], given)
    assert (depth.bids, depth.asks) == (book.bids[:given], book.asks[:given])
    assert depth.channel == "depth"
    # Of the book itself no limit of levels takes anything away.
    assert isinstance(book, OrderBook)
    assert (len(book.bids), len(book.asks)) == (8, 8)
    assert book.best == (book.bids[0], book.asks[0])


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_book_is_none_where_it_cannot_be_trusted(protocol: str) -> None:
    world, ladder, sub = with_book(protocol, max_age=5.0)
    seen: list[Any] = []

    def look() -> None:
        seen.append((sub.book is not None, bool(sub.GetDepth()), sub.state))

    for at in (0.01, 1, 5.5, 6.5, 8, 9):
        world.at(at, look)
    world.at(6, lambda: ladder.send(ladder.size("3")))
    world.at(7.9, lambda: world.peer and world.peer.drop())
    world.at(8.9, sub.close)

    world.run(10)

    states = [State.SYNCING, State.LIVE, State.STALE, State.LIVE]
    states += [State.RECONNECTING, State.CLOSED]
    assert seen == [(s is State.LIVE, s is State.LIVE, s) for s in states]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_subscription_without_a_whole_book_has_none(protocol: str) -> None:
    world, _, sub = with_book(protocol, "depth5", "trade")
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([sub.state, sub.book]))

    world.run(2)

    assert seen == [State.LIVE, None]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_version_that_is_held_does_not_change(protocol: str) -> None:
    world, ladder, sub = with_book(protocol)
    held: list[Any] = []
    for at in (1, 3):
        world.at(at, lambda: held.append((sub.book, [*sub.book.bids], sub.book.best)))
    world.at(2, lambda: ladder.send(ladder.change(price="100.0", size="0")))

    world.run(4)

    (first, bids, best), (second, *_) = held
    assert ([*first.bids], first.best) == (bids, best)
    assert first != second
    sweep = first.sweep("buy", 4)
    assert (sweep.average, sweep.worst) == (Decimal("100.15"), Decimal("100.2"))


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_beside_a_book_five_levels_go_on_while_it_is_resynchronised(
    protocol: str,
) -> None:
    changes: list[StateChange] = []
    world, ladder, sub = with_book(protocol, "depth5", "depth", on_state=changes.append)
    seen: list[Any] = []

    def look() -> None:
        few, many = sub.depth(), sub.depth(levels=20)
        best = sub.best_bid_ask()
        seen.append((few.channel, many.channel, len(many.bids), best.channel))
        seen.append((sub.book is None, sub.state, sub.health().epoch))

    def breaks() -> None:
        message = ladder.size("5")
        message["data"][0]["bids"] = "none"
        ladder.send(message)

    world.at(1, lambda: ladder.send(ladder.size("3")))
    world.at(1.5, look)
    world.at(2, breaks)
    world.at(2.05, look)
    world.at(3, look)
    top(world, ladder, "depth5")

    def moves_on() -> None:
        """The five levels tell a change that the book has not told yet."""
        ladder.change(price="100.05", size="1")
        assert world.peer is not None
        world.peer.send(top(world, ladder, "depth5", seq=ladder.seq))

    world.at(4.2, moves_on)
    world.at(4.5, look)

    world.run(5)

    channels, facts = seen[::2], seen[1::2]
    assert channels == [
        ("depth", "depth", 8, "depth"),
        ("depth5", "depth5", 1, "depth5"),
        ("depth", "depth", 8, "depth"),
        # Newer, and with enough of levels for one of the two.
        ("depth5", "depth", 8, "depth5"),
    ]
    assert [fact[:2] for fact in facts] == [
        *((False, State.LIVE), (True, State.LIVE)),
        *((False, State.LIVE), (False, State.LIVE)),
    ]
    epochs = [epoch for *_, epoch in facts]
    assert epochs[0] < epochs[1] < epochs[2] == epochs[3]
    assert [c.new for c in changes] == [State.SYNCING, State.LIVE, State.CLOSED]
    stats = sub.stats()
    assert (stats.resyncs, stats.mismatches) == (1, 0)
    assert stats.dropped == {"book": 1}


def test_the_top_is_that_of_the_newest_and_the_levels_those_of_the_book() -> None:
    world, ladder, sub = with_book("v5", "bbo-tbt", "depth")
    seen: list[Any] = []

    def look() -> None:
        best, depth = sub.best_bid_ask(), sub.depth()
        seen.append(
            (best.channel, best.bid, depth.channel, sub.depth(levels=1).channel)
        )

    def top_alone() -> None:
        message = ladder.change(price="100.05", size="1")
        world.peer_on("public").send(top(world, ladder, "bbo-tbt", seq=ladder.seq))
        world.after(1, lambda: ladder.send(message))

    world.at(1, lambda: ladder.send(ladder.size("3")))
    world.at(1.5, look)
    world.at(2, top_alone)
    world.at(2.5, look)

    world.run(5)

    assert seen == [
        ("depth", Decimal("100.0"), "depth", "depth"),
        ("bbo-tbt", Decimal("100.05"), "depth", "bbo-tbt"),
    ]
    # The sizes of the sequence number agree in the end.
    assert sub.stats().mismatches == 0


def test_tops_of_one_sequence_number_that_differ_are_counted_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, ladder, sub = with_book("v5", "bbo-tbt", "depth")

    def wrong() -> None:
        message = top(world, ladder, "bbo-tbt", seq=ladder.seq)
        message["data"][0]["bids"][0][0] = "99.9"
        world.peer_on("public").send(message)

    for second in (1, 2, 70):
        world.at(second, lambda: ladder.send(ladder.size("1")))
        world.at(second + 0.5, wrong)
    seen: list[Any] = []
    world.at(3, lambda: seen.append((sub.state, sub.best_bid_ask().channel)))

    world.run(80)

    assert sub.stats().mismatches == 3
    said = [r.getMessage() for r in caplog.records if "sequence number" in r.message]
    assert len(said) == 2
    assert {text.split(": ")[0] for text in said} == {"BTC-USDT"}
    # It is counted, and takes nothing away: who of the two is wrong is not known. Of
    # one sequence number the depth with the most levels serves.
    assert seen == [(State.LIVE, "depth")]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_both_vocabularies_name_the_same_books(protocol: str) -> None:
    world, ladder, sub = with_book(protocol, "books")
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([sub.latest("depth"), sub.latest("books")]))

    world.run(2)

    first, second = seen
    assert isinstance(first, BookUpdate)
    assert first == second
    assert (first.action, first.channel, first.epoch) == ("snapshot", "depth", 1)
    assert (first.bids, first.asks) == (first.book.bids, first.book.asks)
    assert first.seq == (None if protocol == "v3" else ladder.seq)
    assert first.received == utc(START + 0.05)


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_the_items_of_a_book_begin_with_all_of_it(protocol: str) -> None:
    world, ladder, sub = with_book(protocol)
    items: list[Any] = []

    def take() -> None:
        items.append(next(iterators[0]))

    iterators: list[Any] = []
    world.at(1, lambda: iterators.append(sub.updates(timeout=0.0)))
    world.at(1, take)
    for second in (2, 3):
        world.at(second, lambda: ladder.send(ladder.change(price="98", size="1")))
        world.at(second + 0.5, take)

    world.run(4)

    assert [(i.action, len(i.bids), len(i.asks)) for i in items] == [
        *(("snapshot", 8, 8), ("update", 1, 0), ("update", 1, 0))
    ]
    kept = OrderBook()
    for item in items:
        kept = kept.apply(item.action, item.bids, item.asks)
        assert kept == item.book


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_book_that_is_refused_is_told_and_five_levels_go_on(protocol: str) -> None:
    errors: list[Exception] = []
    world, ladder, sub = with_book(protocol, "depth5", "depth", on_error=errors.append)
    world.exchange.unknown.add(ladder.key)
    seen: list[Any] = []
    world.at(1, lambda: seen.append((sub.state, sub.book, [*sub.health().failed])))
    world.at(1, lambda: seen.append(sub.depth(levels=20).channel))

    world.run(2)

    assert seen == [(State.LIVE, None, ["depth"]), "depth5"]
    assert len(errors) == 1
