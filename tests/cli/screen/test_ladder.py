"""The ladder of one instrument, at every size of a terminal."""

from __future__ import annotations

import re

import pytest

from okex_ws import State
from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.ladder import Ladder
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_drawing import plain, sent
from tests.support.cli_samples import AT, HOSTILE, depth, live, lost

WIDE = Sheet(100, 30)
DIM = "\x1b[2m"


def lines(reading: Quote, sheet: Sheet = WIDE) -> list[str]:
    return plain(Ladder("okx").lines(reading, sheet, AT))


def row(drawn: list[str], price: str) -> int:
    (found,) = (n for n, line in enumerate(drawn) if line.startswith(f"  {price}"))
    return found


def test_asks_stand_over_the_spread_and_bids_under_it() -> None:
    drawn = lines(live())
    rows = [
        row(drawn, price)
        for price in ("60004.15", "60003.2 ", "spread 0.1", "60003.1 ", "60003  ")
    ]

    assert rows == list(range(rows[0], rows[0] + 5))
    assert "mid 60003.15" in drawn[rows[2]]


def test_a_bar_is_as_long_as_its_size() -> None:
    drawn = lines(live())
    bars = {
        price: drawn[row(drawn, price)].count("█") for price in ("60003.2 ", "60003.1 ")
    }

    assert bars["60003.2 "] == pytest.approx(4 * bars["60003.1 "], abs=4)


def test_the_head_says_what_and_how_it_is() -> None:
    drawn = lines(live())

    assert drawn[0].split() == ["BTC-USDT", "spot", "okx", "LIVE", "08:45:00", "UTC"]
    assert drawn[1] == "age 0.25 s  lag 0.01 s  epoch 1"


def test_trades_stand_beside_it_the_newest_first() -> None:
    told = [line.split("│")[1] for line in lines(live()) if "│" in line]

    assert told[0].split() == ["trades"]
    assert told[1].split() == ["08:45:02.1", "sell", "60003.2", "0.02"]
    assert told[2].split() == ["08:45:01.1", "buy", "60003.2", "0.01"]


def test_on_a_narrow_terminal_trades_stand_below() -> None:
    drawn = lines(live(), Sheet(60, 30))

    assert not any("│" in line for line in drawn)
    assert row(drawn, "60003.1 ") < drawn.index("trades")


@pytest.mark.parametrize(
    "reading", [live(), lost(cause=HOSTILE * 4)], ids=["live", "lost"]
)
def test_nothing_is_wider_or_higher_than_the_terminal(reading: Quote) -> None:
    ladder = Ladder("okx")
    for width in (1, 2, 5, 10, 20, 43, 44, 60, 75, 76, 77, 100, 200):
        for height in (1, 2, 3, 5, 11, 12, 15, 16, 30, 60):
            drawn = ladder.lines(reading, Sheet(width, height), AT)

            assert len(drawn) <= height
            assert max(line.cell_len for line in drawn) <= width, (width, height)


def test_a_number_is_whole_or_not_there() -> None:
    numbers = {"60003.1", "60003.2", "0.1", "0.25"}
    for width in range(1, 44):
        for line in lines(live(), Sheet(width, 5)):
            assert set(re.findall(r"[0-9.]+", line)) <= numbers, width


def test_little_room_has_the_best_levels() -> None:
    assert lines(live(), Sheet(20, 5)) == [
        "BTC-USDT LIVE",
        "60003.1 / 60003.2",
        "spread 0.1",
        "age 0.25 s",
    ]
    drawn = lines(lost(), Sheet(20, 5))
    assert "".join(drawn).startswith("RECONNECTING" + "the peer closed")
    assert not any("60003" in line for line in drawn)


def test_what_is_not_live_is_greyed_out_and_says_why() -> None:
    drawn = sent(Ladder("okx").lines(lost(), WIDE, AT), 100)
    prices = [line for line in drawn.splitlines() if "6000" in line.split("│")[0]]

    assert "NOT LIVE: RECONNECTING" in drawn
    assert "the peer closed (close code 1006); prices of 08:45:00.123" in drawn
    assert len(prices) == 4
    assert all(DIM in line for line in prices)
    assert not any("\x1b[32m" in line.split("│")[0] for line in prices)


def test_without_colours_old_prices_are_dashes() -> None:
    drawn = lines(lost(), Sheet(100, 30, colour=False))

    assert not any("6000" in line.split("│")[0] for line in drawn)
    assert sum(line.startswith("  -") for line in drawn) >= 2


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_an_empty_side_is_said(side: str) -> None:
    empty = depth(bids=()) if side == "bids" else depth(asks=())
    reading = live(shown=empty)

    assert any(f"no {side}" in line for line in lines(reading))
    assert any(f"no {side}" in line for line in lines(reading, Sheet(30, 5)))


def test_before_the_first_price_there_is_none() -> None:
    from tests.support.cli_samples import health

    reading = Quote("BTC-USDT", "spot", health(State.CONNECTING))

    assert "no prices yet" in lines(reading)[1]


def test_the_rows_become_more_and_never_fewer() -> None:
    ladder = Ladder("okx")
    few = live(shown=depth(bids=(("1", "1"),), asks=(("2", "1"),)))
    heights = [
        next(n for n, line in enumerate(plain(drawn)) if "spread" in line)
        for drawn in (ladder.lines(each, WIDE, AT) for each in (few, live(), few))
    ]

    assert heights[0] + 1 == heights[1] == heights[2]


def test_text_from_the_network_is_no_order_and_no_markup() -> None:
    for sheet in (WIDE, Sheet(40, 10)):
        drawn = Ladder("okx").lines(lost(cause=HOSTILE), sheet, AT)
        text = "".join(plain(drawn))

        assert text.isprintable()
        assert "[red]" in text


def test_an_ascii_terminal_gets_ascii() -> None:
    for reading in (live(), lost()):
        drawn = lines(reading, Sheet(100, 30, ascii=True))
        assert "".join(drawn).isascii()
