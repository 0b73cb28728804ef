"""What of a stream is news, and where its items may be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import CauseCode
from okex_ws.base.errors import WireError
from okex_ws.channels.continuity import (
    KEPT,
    BarLength,
    CandleContinuity,
    Missed,
    News,
    Receipt,
    TradeContinuity,
)
from okex_ws.channels.known_trades import KNOWN, trade_number
from okex_ws.protocol.messages import CandleData, TradeData
from tests.support.causes import because

WALL = 1_700_000_000.0
BAD = WireError("trade", "no side")
LOSS = because("trades while not connected", CauseCode.OUTAGE)
ANEW = because("the ids of the trades begin anew, or go back", CauseCode.IDS_RESTARTED)
TAKEN_OVER = because("trades as a connection took over", CauseCode.HANDOVER)
NO_CANDLES = because("candles while not connected", CauseCode.OUTAGE)


def trade(
    trade_id: object, price: object = 1, count: int = 1, at: float = WALL
) -> TradeData:
    """A trade; *count* ids end with *trade_id*, and *at* is its time."""
    name = str(trade_id)
    first = str(int(name) - count + 1) if count > 1 else name
    one, time_ms = Decimal(1), round(at * 1000)
    return TradeData(name, first, count, Decimal(str(price)), one, "buy", time_ms)


def short(told: Sequence[Any]) -> list[Any]:
    """Each news in a word, its id or its minute; of a gap its two ends."""
    words: list[Any] = []
    for each in told:
        if isinstance(each, Missed):
            words.append((each.after, each.before))
        elif isinstance(each.data, TradeData):
            words.append(each.data.id)
        else:
            words.append((each.data.start_ms // 60_000, each.data.closed))
    return words


class Trades:
    """A `TradeContinuity`, and the time."""

    def __init__(self, replays: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.continuity = TradeContinuity(self.counts, replays)
        self.now = 100.0

    def tell(self, *trades: Any, **how: Any) -> list[Any]:
        """One push of *trades*, each an id or as it is."""
        read = [
            t if isinstance(t, (TradeData, WireError)) else trade(t) for t in trades
        ]
        return self.continuity.take(read, Receipt(self.now, WALL + self.now, **how))

    def take(self, *trades: Any) -> list[Any]:
        return short(self.tell(*trades))

    def lose(self) -> None:
        self.continuity.owe(LOSS)


@pytest.fixture
def five() -> Trades:
    """The trades 1 to 5 have come."""
    trades = Trades()
    trades.take(1, 2, 3, 4, 5)
    return trades


# --- What a repeat is ---------------------------------------------------------------


def test_a_trade_that_is_equal_in_every_field_is_a_repeat(five: Trades) -> None:
    assert five.take(3, 5, 6) == ["6"]
    assert five.counts == {"skipped repeat": 2}


@pytest.mark.parametrize(
    "other",
    [
        TradeData("5", "5", 1, Decimal(2), Decimal(1), "buy", round(WALL * 1000)),
        TradeData("5", "5", 1, Decimal(1), Decimal(2), "buy", round(WALL * 1000)),
        TradeData("5", "5", 1, Decimal(1), Decimal(1), "sell", round(WALL * 1000)),
        TradeData("5", "5", 1, Decimal(1), Decimal(1), "buy", round(WALL * 1000) + 1),
        TradeData("5", "4", 2, Decimal(1), Decimal(1), "buy", round(WALL * 1000)),
        TradeData("05", "05", 1, Decimal(1), Decimal(1), "buy", round(WALL * 1000)),
    ],
    ids=["price", "size", "side", "time", "count", "zero"],
)
def test_another_trade_under_a_known_id_is_delivered_after_a_gap(
    five: Trades, other: TradeData
) -> None:
    gap, news = five.tell(other)

    assert gap == Missed("5", other.first_id, ANEW)
    assert news == News(other, Receipt(100.0, WALL + 100.0))
    assert five.take(other) == []


def test_the_number_of_known_trades_is_bounded() -> None:
    trades = Trades()
    trades.tell(*range(1, KNOWN + 2))

    assert trades.take(2) == []
    # The first one is forgotten: what is not identified is not left out.
    assert trades.take(1) == [(str(KNOWN + 1), "1"), "1"]


# --- After an interruption ----------------------------------------------------------


def test_the_newest_trade_repeated_shows_that_none_is_missing(five: Trades) -> None:
    five.lose()

    assert five.take(5) == []
    assert five.take(9) == ["9"]


def test_the_next_id_shows_that_none_is_missing(five: Trades) -> None:
    five.lose()

    assert five.take(trade(8, count=3), 11) == ["8", "11"]


def test_ids_with_zeros_in_front_are_numbers_too(five: Trades) -> None:
    five.lose()

    assert five.take("006") == ["006"]


def test_the_repeat_of_an_older_trade_shows_nothing(five: Trades) -> None:
    five.lose()

    assert five.tell(3, 9, 10)[0] == Missed("5", "9", LOSS)
    assert five.counts == {"skipped repeat": 1}


def test_the_repeat_of_several_trades_in_order_goes_on_without_a_gap(
    five: Trades,
) -> None:
    five.lose()

    assert [five.take(number) for number in (3, 4, 5, 6)] == [[], [], [], ["6"]]


def test_an_older_trade_and_then_the_next_one_go_on_without_a_gap(
    five: Trades,
) -> None:
    five.lose()

    assert five.take(3, 6) == ["6"]


def test_another_trade_under_a_known_id_settles_no_gap(five: Trades) -> None:
    five.lose()

    assert five.tell(trade(3, 9))[0] == Missed("5", "3", ANEW)
    # Where the exchange goes on is not proven yet.
    assert five.take(9) == [("3", "9"), "9"]


def test_ids_that_begin_anew_have_one_gap(five: Trades) -> None:
    five.lose()

    assert five.take(*(trade(n, 9) for n in range(1, 8))) == [("5", "1"), *"1234567"]


def test_a_trade_whose_range_overlaps_what_is_known_follows_a_gap(
    five: Trades,
) -> None:
    assert five.take(trade(7, count=4)) == [("5", "4"), "7"]


def test_the_first_trade_after_a_loss_without_any_has_a_gap_before_it() -> None:
    trades = Trades()
    trades.lose()

    assert trades.take(9) == [(None, "9"), "9"]


def test_ids_that_are_no_numbers_prove_nothing_after_a_loss() -> None:
    trades = Trades()
    assert trades.take("a", "b", "c") == ["a", "b", "c"]
    trades.lose()

    assert trades.take("a", "c", "d") == ["d"]
    trades.lose()
    assert trades.take("e", "f") == [("d", "e"), "e", "f"]
    assert trades.take(trade("b", 7)) == [("f", "b"), "b"]


def test_an_id_too_long_for_the_exchange_is_no_number() -> None:
    assert trade_number("0" * 19 + "7") == 7
    assert trade_number("9" * 21) is None
    assert [trade_number(text) for text in ("", "-1", "1.0", "\u0663")] == [None] * 4


# --- Within one connection ----------------------------------------------------------


def test_a_jump_of_the_ids_is_no_gap(five: Trades) -> None:
    """The exchange does not promise consecutive ids."""
    assert five.take(9, 20) == ["9", "20"]


def test_ids_that_go_back_are_a_gap(five: Trades) -> None:
    assert five.take(9, 7, 8) == ["9", ("9", "7"), "7", "8"]


def test_a_trade_between_that_goes_back_hides_no_loss(five: Trades) -> None:
    """A server that is behind shows one old trade; then the stream jumps on."""
    five.lose()

    assert five.take(0, 9) == [("5", "0"), "0", ("0", "9"), "9"]


# --- What could not be read ---------------------------------------------------------


def test_a_gap_stands_in_the_place_of_what_could_not_be_read(five: Trades) -> None:
    assert five.tell(6, BAD, BAD, 9)[1] == Missed("6", "9", BAD.cause)
    assert five.take(BAD, 9, 10, BAD) == [("9", "10"), "10", ("10", None)]
    assert five.counts["skipped unreadable"] == 4


def test_a_lost_push_has_one_gap_until_the_next_trade(five: Trades) -> None:
    assert short(five.continuity.lost(because("no JSON"))) == [("5", None)]
    assert five.continuity.lost(because("no JSON")) == []
    assert five.take(BAD, 5) == []
    assert five.take(trade(3, 9)) == ["3"]
    assert short(five.continuity.lost(because("no JSON"))) == [("3", None)]


def test_a_gap_that_was_told_is_not_told_again_after_a_loss(five: Trades) -> None:
    five.lose()

    assert five.take(BAD) == [("5", None)]
    assert five.take(9) == ["9"]


# --- The exchange's repeat of its last trade ----------------------------------------


def first(waited: float, age: float, proven: float | None = None) -> bool:
    """Whether the first trade is taken for a repeat.

    It came *waited* seconds after the acknowledgement and was made *age* seconds
    before, as this machine's clock says.
    """
    trades = Trades(replays=True)
    trades.continuity.acknowledged(100.0)
    trades.now = 100.0 + waited
    at = WALL + trades.now - age
    reached = 0.0 if proven is None else 100.0 + proven
    (news,) = trades.tell(trade(1, at=at), first=True, proven=reached)
    (after,) = trades.tell(2)
    assert isinstance(news, News)
    assert not after.replayed
    return news.replayed


@pytest.mark.parametrize(
    ("waited", "age", "proven", "replayed"),
    [
        (0.05, 36_000.0, None, True),  # as in the recordings
        (0.05, -5.0, None, True),  # the exchange's clock is ahead
        (0.9, 0.0, None, True),  # news, for all that can be known
        (1.5, 0.0, None, False),
        (1.5, 1.6, None, True),  # made before: late, but a repeat
        (60.0, 70.0, None, True),  # no pong, and a clock that is behind
        (60.0, 70.0, 30.0, False),  # a repeat would have come before that pong
        (1.5, 1.6, 0.4, True),  # that ping may have overtaken the repeat
    ],
)
def test_the_first_trade_is_a_repeat_unless_it_is_shown_to_be_news(
    waited: float, age: float, proven: float | None, replayed: bool
) -> None:
    assert first(waited, age, proven) is replayed


def test_data_before_the_acknowledgement_is_the_repeat() -> None:
    trades = Trades(replays=True)

    (news, after) = trades.tell(1, 2, first=True)

    assert (news.replayed, after.replayed) == (True, False)


def test_without_replays_the_first_trade_is_news() -> None:
    (news,) = Trades().tell(1, first=True)

    assert not news.replayed


def test_a_repeat_that_is_not_ours_proves_nothing_of_the_next_trade() -> None:
    """A server that is behind repeats an old trade, and goes on elsewhere."""
    for following, expected in ((10, ["10"]), (11, [("9", "11"), "11"])):
        trades = Trades(replays=True)
        trades.tell(5, first=True)
        trades.lose()
        assert short(trades.tell(9, first=True)) == [("5", "9"), "9"]
        assert trades.take(following) == expected


def test_after_an_interruption_nothing_is_marked_as_a_repeat() -> None:
    trades = Trades(replays=True)
    trades.lose()

    _, news = trades.tell(9, first=True)

    assert not news.replayed


# --- Joining a second stream --------------------------------------------------------


def second(*trades: Any, replays: bool = False) -> list[Any]:
    """What a second stream has collected of *trades*, one a push."""
    other = Trades(replays)
    told = [other.tell(each, first=not at) for at, each in enumerate(trades)]
    return [each for one in told for each in one]


@pytest.mark.parametrize("proven", [True, False])
def test_two_streams_join_at_an_equal_trade(five: Trades, proven: bool) -> None:
    told = five.continuity.join(second(3, 4, 5, 9), proven)

    assert short(told) == ["9"]
    assert five.take(20) == ["20"]


@pytest.mark.parametrize("proven", [True, False])
def test_two_streams_join_at_the_next_id(five: Trades, proven: bool) -> None:
    assert short(five.continuity.join(second(6, 9), proven)) == ["6", "9"]


@pytest.mark.parametrize("proven", [True, False])
def test_two_streams_that_do_not_meet_have_a_gap(five: Trades, proven: bool) -> None:
    told = five.continuity.join(second(8, 9), proven)

    assert told[0] == Missed("5", "8", TAKEN_OVER)
    assert short(told[1:]) == ["8", "9"]


def test_a_second_stream_that_is_behind_joins_when_it_comes_up(five: Trades) -> None:
    assert five.continuity.join(second(2, 3), False) == []
    assert five.take(4, 5, 9) == ["9"]


def test_on_a_quiet_market_the_pongs_prove_it_until_an_id_contradicts() -> None:
    for following, expected in (("6", ["6"]), ("8", [("5", "8"), "8"])):
        trades = Trades()
        trades.take(5)
        assert trades.continuity.join([], True) == []
        assert trades.take(following) == expected


def test_without_ids_that_are_numbers_the_pongs_prove_it() -> None:
    for proven, expected in ((True, ["b"]), (False, [("a", "b"), "b"])):
        trades = Trades()
        trades.take("a")
        assert short(trades.continuity.join(second("b"), proven)) == expected


def test_before_any_trade_the_pongs_prove_it() -> None:
    for proven, expected in ((True, ["8"]), (False, [(None, "8"), "8"])):
        trades = Trades()
        assert short(trades.continuity.join(second(8), proven)) == expected


def test_the_exchanges_last_trade_that_is_not_ours_is_a_gap() -> None:
    trades = Trades(replays=True)

    told = trades.continuity.join(second(8, replays=True), True)

    assert short(told) == [(None, "8"), "8"]
    assert not told[-1].replayed  # type: ignore[union-attr]


def test_an_older_trade_that_the_exchange_repeats_is_no_news(five: Trades) -> None:
    """It lay in a gap, so that it comes late; what follows goes on after the newest."""
    five.lose()
    assert five.take(9) == [("5", "9"), "9"]

    told = five.continuity.join(second(7, 10, replays=True), True)

    assert short(told) == ["7", "10"]
    assert [each.replayed for each in told if isinstance(each, News)] == [True, False]
    assert five.take(11) == ["11"]


def test_what_follows_such_a_trade_has_to_prove_itself(five: Trades) -> None:
    told = five.continuity.join(second(trade(2, 9), replays=True), True)

    assert short(told) == ["2"]
    assert five.take(7) == [("5", "7"), "7"]


def test_a_trade_that_only_the_second_stream_had_comes_late(five: Trades) -> None:
    """The first stream could not read it, and went on."""
    assert short(five.continuity.lost(because("no JSON"))) == [("5", None)]
    assert five.take(7, 8) == ["7", "8"]

    told = five.continuity.join(second(4, 5, 6, 7, 8, 9), True)

    assert short(told) == ["6", "9"]
    assert [each.replayed for each in told if isinstance(each, News)] == [True, False]
    assert five.continuity.join(second(6, 7, 8, 9), True) == []
    assert five.take(10) == ["10"]


def test_a_server_that_is_behind_repeats_no_news() -> None:
    trades = Trades(replays=True)
    trades.tell(5, first=True)
    trades.lose()

    (old,) = trades.tell(trade(3, 9), first=True)

    assert isinstance(old, News)
    assert old.replayed
    assert trades.take(6, 4) == ["6", ("6", "4"), "4"]


def test_more_than_is_kept_proves_nothing(five: Trades) -> None:
    held = second(*(f"x{number}" for number in range(KEPT)))

    assert short(five.continuity.join(held, True))[:2] == [("5", "x0"), "x0"]


def test_an_unknown_trade_before_a_known_one_is_not_left_out(five: Trades) -> None:
    """It contradicts one of its id, and comes late: told as such, behind a gap."""
    told = five.continuity.join(second(3, trade(4, 9), 5, 6), True)

    assert short(told) == [("5", None), "4", "6"]
    assert [each.replayed for each in told if isinstance(each, News)] == [True, False]


def test_what_the_second_stream_lost_is_a_gap_unless_the_first_had_it(
    five: Trades,
) -> None:
    held = [*second(3), Missed("3", None, because("no JSON")), *second(5, 6)]
    assert short(five.continuity.join(held, True)) == ["6"]

    late = [*second(6), Missed("6", None, because("no JSON")), *second(9)]
    assert short(five.continuity.join(late, True)) == [("6", "9"), "9"]


def test_what_either_stream_owes_is_still_owed(five: Trades) -> None:
    five.lose()
    assert five.continuity.join([], True) == []
    assert five.take(9) == [("5", "9"), "9"]

    assert five.continuity.join(second(9), True, LOSS) == []
    assert five.take(12) == [("9", "12"), "12"]


# --- Candles ------------------------------------------------------------------------


def bar(minute: int, closed: bool | None = False, close: object = 1) -> CandleData:
    one = Decimal(1)
    last = Decimal(str(close))
    return CandleData(60_000 * minute, one, one, one, last, one, None, None, closed)


class Candles:
    """A `CandleContinuity` of one-minute bars, and the time."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        length = BarLength("candle60s")
        self.continuity = CandleContinuity(self.counts, length)
        self.now = 100.0

    def tell(self, *bars: CandleData | WireError) -> list[Any]:
        self.now += 1
        return self.continuity.take(bars, Receipt(self.now, WALL + self.now))

    def take(self, *bars: CandleData | WireError) -> list[Any]:
        return short(self.tell(*bars))

    def lose(self) -> None:
        self.continuity.owe(NO_CANDLES)


@pytest.fixture
def ten() -> Candles:
    """The bars 9 and 10 have come; neither is closed."""
    candles = Candles()
    candles.take(bar(9), bar(10))
    return candles


def test_the_last_word_on_a_bar_closes_it_after_the_next_has_begun(
    ten: Candles,
) -> None:
    assert ten.take(bar(9, True, 7), bar(9, True, 7)) == [(9, True)]
    assert ten.counts == {"skipped old": 1}
    assert ten.take(bar(10)) == [(10, False)]


def test_an_older_bar_that_is_not_the_last_word_is_left_out(ten: Candles) -> None:
    assert ten.take(bar(9), bar(8, True), bar(9, None)) == []
    assert ten.counts == {"skipped old": 3}


def test_the_last_word_is_the_only_word_on_a_bar_that_was_passed() -> None:
    candles = Candles()
    candles.take(bar(8, True), bar(10))

    assert candles.take(bar(9, True), bar(9, True)) == [(9, True)]


def test_a_closed_bar_is_not_opened_again(ten: Candles) -> None:
    assert ten.take(bar(10, True), bar(10)) == [(10, True)]


@pytest.mark.parametrize(
    ("closed", "minute", "gap"),
    [
        (False, 11, True),
        (None, 11, True),
        (True, 11, False),
        (True, 12, True),
        (False, 10, False),
    ],
)
def test_after_a_loss_a_closed_bar_and_the_next_start_prove_that_none_is_missing(
    closed: bool | None, minute: int, gap: bool
) -> None:
    candles = Candles()
    candles.take(bar(10, closed))
    candles.lose()

    told = candles.tell(bar(minute))

    starts = ("1970-01-01T00:10:00.000Z", f"1970-01-01T00:{minute}:00.000Z")
    missed = Missed(*starts, NO_CANDLES)
    assert told[:-1] == ([missed] if gap else [])
    assert short(candles.tell(bar(minute + 5))) == [(minute + 5, False)]


def test_an_older_bar_settles_no_gap(ten: Candles) -> None:
    ten.lose()

    assert ten.take(bar(9, True)) == [(9, True)]
    assert len(ten.take(bar(12))) == 2


def test_a_second_stream_of_candles_joins_at_a_start() -> None:
    candles, other = Candles(), Candles()
    candles.take(bar(10, close=5))
    other.now = 90.0  # what it has of the bar is older
    held = other.tell(bar(10, close=2), bar(10, close=3))

    assert candles.continuity.join(held, False) == []
    assert candles.take(bar(11)) == [(11, False)]


def test_a_later_word_on_the_bar_is_delivered_at_the_join() -> None:
    candles, other = Candles(), Candles()
    candles.take(bar(10, close=5))
    other.now = 110.0
    held = other.tell(bar(10, close=5), bar(10, close=6), bar(11))

    told = candles.continuity.join(held, False)

    assert short(told) == [(10, False), (11, False)]
    assert told[0].data.close == 6  # type: ignore[union-attr]


def test_the_closing_of_a_bar_is_delivered_though_it_came_before(ten: Candles) -> None:
    other = Candles()
    other.now = 1.0

    assert short(ten.continuity.join(other.tell(bar(10, True)), True)) == [(10, True)]


@pytest.mark.parametrize("proven", [True, False])
def test_a_bar_that_was_passed_unclosed_at_a_join_is_a_gap(
    ten: Candles, proven: bool
) -> None:
    held = Candles().tell(bar(11))

    told = ten.continuity.join(held, proven)

    assert [type(each) for each in told] == [Missed, News]


def test_bars_without_trades_are_no_gap_if_the_pongs_prove_it() -> None:
    for proven, count in ((True, 1), (False, 2)):
        candles = Candles()
        candles.take(bar(10, True))
        held = Candles().tell(bar(15))
        assert len(candles.continuity.join(held, proven)) == count


def test_a_bar_lasts_as_long_as_the_name_of_its_channel_says() -> None:
    day = 86_400_000
    month = BarLength("candle1Mutc")
    assert month.follows(0, 28 * day)
    assert month.follows(0, 31 * day)
    assert not month.follows(0, 32 * day)
    assert not month.follows(0, 27 * day)
    assert BarLength("candle3600s").follows(day, day + 3_600_000)
