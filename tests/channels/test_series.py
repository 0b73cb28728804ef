"""Each item is handed over once and in order; what is missing is said as a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.base.state import CauseCode, State
from okex_ws.channels.continuity import KEPT
from okex_ws.channels.known_trades import KNOWN
from okex_ws.channels.reading import Reading
from okex_ws.channels.series import KINDS, SeriesChannel
from okex_ws.model.items import Candle, Data, Gap, Item, Trade
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import ChannelName, Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.reading import take
from tests.support.causes import because, gap_for
from tests.support.internals import known_ids_of

TIME_MS = 1645747201032
WALL = 1645747201.5
SPOT = ("spot", "BTC-USDT")
NAMES = {
    "trade": V3.channel("trade", *SPOT),
    "candle": V3.channel("candle60s", *SPOT),
    "data": V3.raw_channel("order", *SPOT),
}
# The one channel of trades whose last trade is not sent again after a subscribe.
ALL_TRADES = V5.channel("trades-all", *SPOT)


class Follower:
    """Writes down what it is told, in order."""

    wants_pushes = wants_data = wants_items = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def pushed(self, reading: Reading, text: str, now: float) -> None:
        self.heard.append(text)

    def add(self, topic: str, item: Item) -> None:
        self.heard.append((topic, item))

    add_repeated = add

    def tell(self, now: float) -> None:
        self.heard.append("tell")


class Bench:
    """One channel of items, its connection, and who follows it."""

    def __init__(
        self, kind: str, wire: WireProtocol = V3, name: ChannelName | None = None
    ) -> None:
        self.channel: Any = KINDS[kind](wire, name or NAMES[kind])
        self.topic = self.channel.topic
        self.follower = Follower()
        self.channel.followers = (self.follower,)
        self.connect()

    def connect(self) -> None:
        """A connection is open, and the channel acknowledged on it."""
        self.link = Era(0.0)
        self.channel.opened(self.link, 0.0)
        self.channel.subscribed(self.link, 0.0)

    def reconnect(self) -> None:
        self.channel.lost(because("reset by peer"), 9.0)
        self.connect()

    def push(self, *elements: Any, first: bool = False) -> None:
        push = Push(self.channel.name, [*elements], "text", None)
        self.channel.push(push, first, self.link, 1.0, WALL)

    def take(self) -> list[Any]:
        """What the follower was told since the last time."""
        heard, self.follower.heard = self.follower.heard, []
        return heard

    def items(self) -> list[Any]:
        """The items among that."""
        told = [one for one in self.take() if isinstance(one, tuple)]
        assert {topic for topic, _ in told} <= {self.topic}
        return [item for _, item in told]

    @property
    def counts(self) -> dict[str, int]:
        return {kind: n for kind, n in self.channel.counts.items() if n}


def trade(trade_id: int, price: str = "0.5") -> dict[str, Any]:
    return {
        "trade_id": str(trade_id),
        "price": price,
        "size": "2",
        "side": "sell",
        "timestamp": "2022-02-25T00:00:01.032Z",
    }


def trade5(trade_id: int, count: int = 1) -> dict[str, Any]:
    """The same as v5 writes it; *trade_id* is the last of *count*."""
    return {
        "instId": "BTC-USDT",
        "tradeId": str(trade_id),
        "px": "0.5",
        "sz": "2",
        "side": "sell",
        "ts": str(TIME_MS),
        "count": str(count),
        "seqId": "1",
    }


def bar(minute: int, close: str = "5") -> dict[str, Any]:
    start = f"2019-04-16T10:{minute:02}:00.000Z"
    return {"candle": [start, "4", "9.50", "1", close, "336.45"]}


def bar5(minute: int, confirm: str) -> list[str]:
    """A bar as v5 writes it; *confirm* is ``'1'`` if it is closed."""
    start_ms = 1_555_408_800_000 + 60_000 * minute
    return [str(start_ms), "4", "9", "1", "5", "3", "3", "3", confirm]


def start(minute: int) -> str:
    return f"2019-04-16T10:{minute:02}:00.000Z"


def short(items: list[Any]) -> list[Any]:
    """Each item in a word: an id, a minute and its close, or the ends of a gap."""
    words: list[Any] = []
    for item in items:
        if isinstance(item, Gap):
            words.append((item.after, item.before))
        elif isinstance(item, Candle):
            words.append((item.start.minute, str(item.close)))
        else:
            words.append(item.id if isinstance(item, Trade) else item.elements)
    return words


@pytest.fixture
def trades() -> Bench:
    """Trades on their first connection, after the one that is always sent again."""
    bench = Bench("trade")
    bench.push(trade(1), first=True)
    bench.take()
    return bench


@pytest.fixture
def bars() -> Bench:
    """Bars on their first connection, the first of which has come."""
    bench = Bench("candle")
    bench.push(bar(10), first=True)
    bench.take()
    return bench


@pytest.fixture
def data() -> Bench:
    bench = Bench("data")
    bench.take()
    return bench


# --- Trades -------------------------------------------------------------------------


def test_a_trade_is_typed_and_exact(trades: Bench) -> None:
    trades.push(trade(2, "0.10"))

    text, (topic, told) = trades.take()
    assert (text, topic) == ("text", "trade")
    assert trades.channel.reading.items == (told,)
    assert (told.id, told.first_id, told.count) == ("2", "2", 1)
    assert (str(told.price), told.size, told.side) == ("0.10", Decimal(2), "sell")
    assert (told.instrument_id, told.epoch, told.replayed) == ("BTC-USDT", 1, False)
    assert told.timestamp.timestamp() == TIME_MS / 1000
    assert told.received.timestamp() == WALL


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_loss_after_a_change_over_may_have_cost_trades(
    before: int, is_open: bool
) -> None:
    """Also of what was wanted while only the new connection was open."""
    old = Bench("trade")
    old.channel.openings = before
    new = Bench("trade")
    new.channel = KINDS["trade"](V3, NAMES["trade"], old.channel.reading)
    new.follower = old.follower
    if is_open:
        new.connect()
    new.channel.take_over(old.channel, True)
    assert new.channel.openings == max(before, int(is_open))
    if not is_open:
        new.connect()
    new.push(trade(1), trade(2), first=True)
    new.take()

    new.reconnect()
    new.push(trade(9), first=True)

    assert short(new.items()) == [("2", "9"), "9"]


def test_the_replay_of_the_first_connection_is_marked_and_kept_out() -> None:
    bench = Bench("trade")
    bench.take()

    bench.push(trade(1), first=True)

    text, (_, told) = bench.take()
    assert (text, told.id, told.replayed) == ("text", "1", True)
    assert bench.channel.reading.items == ()


def test_a_replay_of_a_known_trade_is_dropped_and_counted(trades: Bench) -> None:
    trades.push(trade(2))
    trades.reconnect()
    trades.take()

    trades.push(trade(2), first=True)

    assert trades.take() == ["text"]
    assert short(trades.channel.reading.items) == ["2"]
    assert trades.counts == {"skipped repeat": 1}


def test_a_replay_that_was_only_a_replay_before_is_known_too(trades: Bench) -> None:
    trades.reconnect()
    trades.take()

    trades.push(trade(1), first=True)

    assert trades.take() == ["text"]
    assert trades.channel.reading.items == ()


def test_a_replay_of_an_unknown_trade_comes_after_a_gap(trades: Bench) -> None:
    trades.push(trade(2))
    trades.reconnect()
    trades.take()

    trades.push(trade(9), first=True)

    missing, told = trades.items()
    cause = because("trades while not connected", CauseCode.OUTAGE)
    assert missing == gap_for("trade", "2", "9", cause, "BTC-USDT")
    assert (told.id, told.replayed) == ("9", False)
    assert short(trades.channel.reading.items) == ["2", "9"]
    assert trades.counts == {"gaps": 1}


def test_a_channel_that_the_exchange_ended_may_have_missed_trades(
    trades: Bench,
) -> None:
    """It was asked for again on the same connection."""
    trades.push(trade(2))
    trades.connect()
    trades.take()

    trades.push(trade(9), first=True)

    assert short(trades.items()) == [("2", "9"), "9"]


def test_after_a_known_replay_the_trades_behind_it_have_no_gap(trades: Bench) -> None:
    trades.push(trade(2))
    trades.reconnect()
    trades.take()

    trades.push(trade(2), trade(3), first=True)
    trades.push(trade(4))

    assert short(trades.items()) == ["3", "4"]


def test_a_gap_before_any_trade_has_no_beginning() -> None:
    bench = Bench("trade")
    bench.reconnect()
    bench.take()

    bench.push(trade(9), first=True)

    assert short(bench.items()) == [(None, "9"), "9"]


def test_trades_of_one_push_have_no_gap_between_them() -> None:
    """Only the last trade is sent again; what stands beside it is news."""
    bench = Bench("trade")

    bench.push(trade(1), trade(2), first=True)

    told = bench.items()
    assert [(t.id, t.replayed) for t in told] == [("1", True), ("2", False)]
    assert short(bench.channel.reading.items) == ["2"]


def test_trades_come_in_order_and_once(trades: Bench) -> None:
    trades.push(trade(2), trade(3), trade(2))
    trades.push(trade(3), trade(4))

    assert short(trades.items()) == ["2", "3", "4"]
    assert short(trades.channel.reading.items) == ["2", "3", "4"]
    assert trades.counts == {"skipped repeat": 2}


def test_an_unreadable_trade_costs_itself_and_not_its_neighbours(
    trades: Bench,
) -> None:
    with pytest.raises(WireError) as raised:
        trades.push(trade(2), {"trade_id": "3"}, trade(4), {"trade_id": "5"})

    assert raised.value.partial
    assert short(trades.items()) == ["2", ("2", "4"), "4", ("4", None)]
    assert short(trades.channel.reading.items) == ["2", "4"]
    assert trades.counts == {"gaps": 2, "skipped unreadable": 2}


def test_a_push_of_which_nothing_can_be_read_changes_nothing(trades: Bench) -> None:
    with pytest.raises(WireError) as raised:
        trades.push({"trade_id": "2"}, {"trade_id": "3"})

    assert not raised.value.partial
    assert trades.take() == []


def test_a_push_that_can_be_read_again_exactly_changes_nothing_before(
    trades: Bench,
) -> None:
    push = Push(trades.channel.name, [trade(2), {}], "text", None, False)

    with pytest.raises(WireError) as raised:
        trades.channel.push(push, False, trades.link, 1.0, WALL)

    assert not raised.value.partial
    assert trades.take() == []


def test_a_channel_without_replays_has_only_news() -> None:
    bench = Bench("trade", V5, ALL_TRADES)

    bench.push(trade5(7, 3), first=True)

    (told,) = bench.items()
    assert (told.id, told.count, told.replayed) == ("7", 3, False)
    assert bench.channel.reading.items == (told,)


def test_without_replays_too_the_first_trade_after_a_loss_follows_a_gap() -> None:
    bench = Bench("trade", V5, ALL_TRADES)
    bench.push(trade5(7), first=True)
    bench.reconnect()
    bench.take()

    bench.push(trade5(20, 3), first=True)
    bench.push(trade5(21))

    (gap, told, _) = bench.items()
    assert (gap.after, gap.before) == ("7", told.first_id)
    assert bench.counts == {"gaps": 1}


# --- Candles ------------------------------------------------------------------------


def test_a_candle_is_typed_and_exact() -> None:
    bench = Bench("candle")
    bench.take()

    bench.push(bar(10), first=True)

    assert bench.take()[0] == "text"
    (candle,) = bench.channel.reading.items
    assert candle == Candle(
        instrument_id="BTC-USDT",
        channel="candle60s",
        start=datetime(2019, 4, 16, 10, 10, tzinfo=timezone.utc),
        open=Decimal(4),
        high=Decimal("9.50"),
        low=Decimal(1),
        close=Decimal(5),
        volume=Decimal("336.45"),
        volume_ccy=candle.volume_ccy,
        volume_quote=candle.volume_quote,
        closed=None,
        received=candle.received,
        epoch=1,
    )
    assert candle.received.timestamp() == WALL


def test_a_candle_replaces_the_one_of_its_start_and_each_is_handed_over(
    bars: Bench,
) -> None:
    bars.push(bar(10, "6"))
    bars.push(bar(11, "7"), bar(11, "8"))

    assert short(bars.items()) == [(10, "6"), (11, "7"), (11, "8")]
    assert short(bars.channel.reading.items) == [(10, "6"), (11, "8")]


def test_a_bar_that_is_older_is_dropped_and_counted(bars: Bench) -> None:
    bars.push(bar(11))
    bars.take()

    bars.push(bar(10, "6"))

    assert bars.take() == ["text"]
    assert short(bars.channel.reading.items) == [(10, "5"), (11, "5")]
    assert bars.counts == {"skipped old": 1}


def test_the_last_word_on_a_bar_takes_its_place() -> None:
    """It may come after the first push of the next bar; v5 says that it is closed."""
    bench = Bench("candle", V5, V5.channel("candle60s", *SPOT))
    bars = [bar5(minute, "0") for minute in (8, 9, 11)]
    bench.push(*bars, first=True)
    bench.take()

    bench.push(bar5(9, "1"), bar5(9, "1"), bar5(10, "1"), bar5(8, "1"))

    told = [(bar.start.minute, bar.closed) for bar in bench.items()]
    assert told == [(9, True), (10, True)]
    kept = [(bar.start.minute, bar.closed) for bar in bench.channel.reading.items]
    assert kept == [(8, False), (9, True), (10, True), (11, False)]
    assert bench.counts == {"skipped old": 2}


def test_bars_between_which_nobody_traded_have_no_gap(bars: Bench) -> None:
    bars.push(bar(15))

    assert short(bars.items()) == [(15, "5")]
    assert bars.counts == {}


def test_the_same_bar_after_a_loss_misses_nothing(bars: Bench) -> None:
    """A candle is cumulative."""
    bars.reconnect()
    bars.take()

    bars.push(bar(10, "6"), first=True)
    bars.push(bar(11))

    assert short(bars.items()) == [(10, "6"), (11, "5")]
    assert short(bars.channel.reading.items) == [(10, "6"), (11, "5")]
    assert bars.counts == {}


def test_a_later_bar_after_a_loss_follows_a_gap(bars: Bench) -> None:
    bars.reconnect()
    bars.take()

    bars.push(bar(12), bar(13), first=True)

    missing, *candles = bars.items()
    why = because("candles while not connected", CauseCode.OUTAGE)
    assert missing == gap_for("candle60s", start(10), start(12), why, "BTC-USDT")
    assert short(candles) == [(12, "5"), (13, "5")]
    assert bars.counts == {"gaps": 1}


def test_an_older_bar_after_a_loss_hides_no_gap(bars: Bench) -> None:
    bars.reconnect()
    bars.take()

    bars.push(bar(9), bar(12), first=True)

    assert short(bars.items()) == [(start(10), start(12)), (12, "5")]


def test_the_first_bar_of_all_follows_no_gap() -> None:
    bench = Bench("candle")
    bench.reconnect()
    bench.take()

    bench.push(bar(12), first=True)

    assert short(bench.items()) == [(12, "5")]


def test_an_unreadable_candle_costs_itself_and_not_its_neighbours(
    bars: Bench,
) -> None:
    with pytest.raises(WireError):
        bars.push(bar(11), {"candle": ["2019", "1"]}, bar(12))

    gap = (start(11), start(12))
    assert short(bars.items()) == [(11, "5"), gap, (12, "5")]
    assert short(bars.channel.reading.items) == [(10, "5"), (11, "5"), (12, "5")]


# --- Data ---------------------------------------------------------------------------


def test_each_push_is_data_as_it_came(data: Bench) -> None:
    name = data.channel.name
    push = Push(name, [{"a": "1"}, ["2"]], "text", "snapshot")
    data.channel.push(push, True, data.link, 1.0, WALL)
    data.push({"a": "1"})

    one, other = data.items()
    assert isinstance(one, Data)
    assert (one.channel, one.instrument_id) == (data.topic, data.channel.instrument_id)
    assert (one.elements, one.action) == (({"a": "1"}, ["2"]), "snapshot")
    assert (one.received.timestamp(), one.epoch) == (WALL, 1)
    # Nothing in it is known, so a repeat is an item too.
    assert (other.elements, other.action) == (({"a": "1"},), None)
    assert data.channel.reading.items == (one, other)


def test_after_each_reconnect_pushes_may_be_missing(data: Bench) -> None:
    data.push(1)
    data.take()
    for _ in range(2):
        data.reconnect()

    why = because("pushes while not connected", CauseCode.OUTAGE)
    missing = gap_for(data.topic, None, None, why, data.channel.instrument_id)
    assert data.items() == [missing, missing]
    assert data.counts == {"gaps": 2}


def test_the_first_connection_misses_nothing() -> None:
    bench = Bench("data")

    assert bench.items() == []


# --- What could not be read ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "element", "last"),
    [("trade", trade(2), "2"), ("candle", bar(10), start(10)), ("data", 1, None)],
)
def test_what_could_not_be_read_may_have_been_an_item(
    kind: str, element: Any, last: str | None
) -> None:
    bench = Bench(kind)
    bench.push(element)
    bench.take()

    bench.channel.invalidated(because("not JSON"), 2.0)
    bench.channel.invalidated(because("not JSON either"), 3.0)

    # One gap, and open until the next item; nothing that is shown is wrong.
    name = bench.channel.instrument_id
    assert bench.take() == [
        (bench.topic, gap_for(bench.topic, last, None, because("not JSON"), name))
    ]
    assert bench.channel.current.state is State.LIVE
    assert bench.counts == {"gaps": 1}


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("trade", trade(2), trade(3)), ("candle", bar(1), bar(2)), ("data", 1, 2)],
)
def test_after_the_next_item_a_gap_is_another(kind: str, one: Any, other: Any) -> None:
    bench = Bench(kind)
    bench.push(one)
    bench.channel.invalidated(because("not JSON"), 2.0)
    bench.push(other)
    bench.take()

    bench.channel.invalidated(because("not JSON"), 2.0)

    (missing,) = bench.items()
    assert isinstance(missing, Gap)
    assert bench.counts == {"gaps": 2}


@pytest.mark.parametrize("kind", ["trade", "candle", "data"])
def test_an_unreadable_message_says_nothing_of_a_channel_that_is_not_live(
    kind: str,
) -> None:
    bench = Bench(kind)
    bench.channel.lost(because("reset by peer"), 1.0)
    bench.take()

    bench.channel.invalidated(because("not JSON"), 2.0)

    assert bench.take() == []
    assert bench.counts == {}


# --- The newest, and all that are kept ----------------------------------------------

ONE_OF_EACH = [("trade", trade(2)), ("candle", bar(10)), ("data", 1)]


@pytest.mark.parametrize(("kind", "element"), ONE_OF_EACH)
def test_the_newest_item_is_shown_while_its_epoch_lasts(
    kind: str, element: Any
) -> None:
    bench = Bench(kind)
    reading = bench.channel.reading
    assert reading.item(reading.current, None) is None

    bench.push(element)

    shown = reading.current
    assert reading.item(shown, None) is reading.items[-1]
    assert reading.items[-1].epoch == shown.epoch
    # A lease lapsed, which is in the epoch of the value that a read takes.
    bench.link.renew(Lease(9.0, WALL, 1), 1.0)
    taken = take(reading)
    assert taken is not None
    assert reading.item(taken.value, None) is None
    assert reading.item(shown, None) is reading.items[-1]


@pytest.mark.parametrize(("kind", "element"), ONE_OF_EACH)
def test_what_came_over_a_lost_connection_is_not_the_newest_of_the_next(
    kind: str, element: Any
) -> None:
    bench = Bench(kind)
    bench.push(element)

    bench.reconnect()

    assert len(bench.channel.reading.items) == 1
    if bench.channel.current.state is State.LIVE:
        assert bench.channel.reading.item(bench.channel.current, None) is None


def test_the_kept_trades_and_known_ids_are_bounded(trades: Bench) -> None:
    trades.push(*map(trade, range(2, 2 * KNOWN)))

    assert (KEPT, KNOWN) == (1000, 2000)
    assert len(trades.channel.reading.items) == KEPT
    assert trades.channel.reading.items[-1].id == str(2 * KNOWN - 1)
    assert len(known_ids_of(trades.channel)) == KNOWN


def test_the_kept_pushes_are_bounded(data: Bench) -> None:
    for number in range(KEPT + 1):
        data.push(number)

    assert len(data.channel.reading.items) == KEPT
    assert data.channel.reading.items[0].elements == (1,)


def test_the_kept_candles_are_bounded(bars: Bench) -> None:
    starts = [
        f"2019-04-{day:02}T{hour:02}:{minute:02}:00.000Z"
        for day in (17, 18)
        for hour in range(10)
        for minute in range(60)
    ]

    bars.push(*({"candle": [at, "4", "9", "1", "5", "3"]} for at in starts))

    assert len(bars.channel.reading.items) == KEPT
    assert bars.channel.reading.items[-1].start.hour == 9


class _Moving(deque[Trade]):
    """Is appended to while it is read, the first time."""

    reads = 0

    def __iter__(self) -> Iterator[Trade]:
        self.reads += 1
        if self.reads == 1:
            raise RuntimeError("deque mutated during iteration")
        return super().__iter__()


def test_items_can_be_read_while_one_comes(trades: Bench) -> None:
    trades.push(trade(2))
    items = _Moving(trades.channel.kept)
    trades.channel.reading.kept = items

    assert short(trades.channel.reading.items) == ["2"]
    assert items.reads == 2


def test_a_series_is_what_is_handed_over_one_by_one() -> None:
    series = {k for k, make in KINDS.items() if issubclass(make, SeriesChannel)}  # type: ignore[arg-type]

    assert series == {"trade", "candle", "data"}
