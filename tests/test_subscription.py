"""The constructor's word on its arguments, and the object's own small manners."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.world import START, V5, World, depth

from okex_ws import (
    Candle,
    Credentials,
    Data,
    Feed,
    FundingRate,
    Gap,
    Reconnect,
    State,
    StateChange,
    Ticker,
    Trade,
    Venue,
    WSSubscription,
)
from okex_ws.timing import utc

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
        ((), {"channels": ("depth",)}, r"raw_channels=\('depth',\)"),
        (BTC, {"channels": ("books",), "venue": "okx"}, r"raw_channels=\('books',\)"),
        (BTC, {"channels": ("orders",), "venue": "okx"}, "RawSubscription"),
        (BTC, {"channels": ("instruments",), "venue": "okx"}, "RawSubscription"),
        ((), {"channels": ("bbo-tbt",)}, "v3 has no channel 'bbo-tbt'"),
        ((), {"channels": ("tickr",)}, "did you mean 'ticker'"),
        (BTC, {"channels": ("candle61s",)}, "did you mean 'candle60s'"),
        (BTC, {"channels": ("funding_rate",)}, "'swap'"),
        (("BTC-USD", "index"), {}, "market 'index' has no"),
        (BTC, {"venue": "okx", "channels": ("depth5", "bbo-tbt")}, "one depth a sub"),
        ((), {"raw_channels": ("trades",)}, "type of its own"),
        ((), {"raw_channels": ("a b",)}, "no name of a channel"),
        ((), {"credentials": KEY}, "credentials are not sent to venue 'okex'"),
        (BTC, {"venue": "okx", "raw_channels": ("books-l2-tbt",)}, "needs a login"),
        ((), {"max_age": -1}, "max_age"),
        ((), {"ping_interval": 60}, "ping_interval"),
        ((), {"probe_interval": -1}, "probe_interval"),
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
        (("BTC-USDT", None), {}, "strings"),
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
        ((), {"proxy": "http://127.0.0.1"}, "proxy"),
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
        with pytest.raises(ValueError, match="feed is one of venue 'okj-v3'"):
            WSSubscription("BTC-JPY", "spot", feed=feed, venue="okex")


def test_the_seeds_own_defaults_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
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
    updates = sub.updates()
    trade, candle = world.dialect.trade, world.dialect.candle

    def push(message: dict[str, Any]) -> None:
        path = "" if protocol == "v3" else "public"
        if "candle" in str(message.get("arg")):
            path = "business"
        world.peer_on(path).send(message)

    # The first trade after a subscribe is the exchange's last one, sent again.
    for number, trade_id in enumerate(("7", "8", "8", "9"), 1):
        world.at(number, lambda i=trade_id, n=number: push(trade(i, n * 1000)))
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
    book = {"v3": "depth", "v5": "books"}[protocol]
    texts: list[str] = []
    sub = world.subscribe(
        channels=("depth5",), raw_channels=(book,), on_message=texts.append
    )
    updates = sub.updates()
    element = {"bids": [["100.10", "1", "0", "1"]], "asks": [], "checksum": -12}
    action = {"v3": "partial", "v5": "snapshot"}[protocol]
    if protocol == "v3":
        element["instrument_id"] = "BTC-USDT"
        message = {"table": "spot/depth", "data": [element], "action": action}
    else:
        message = {**V5.push("books", element), "action": action}
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
    sub._view.callbacks.on_message = texts.append
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
