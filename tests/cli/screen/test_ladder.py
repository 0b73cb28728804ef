"""The ladder of one instrument, at every size of a terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from okex_ws import State
from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.ladder import Ladder
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_drawing import drawing, plain, sent
from tests.support.cli_samples import AT, HOSTILE, depth, health, live, lost, trade

WIDE = Sheet(100, 30)
DIM = "\x1b[2m"


def lines(reading: Quote, sheet: Sheet = WIDE, *keys: str) -> list[str]:
    return plain(Ladder().lines(reading, sheet, drawing(*keys)))


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

    assert drawn[0].split() == ["BTC-USDT", "spot", "LIVE"]
    assert drawn[1] == "age 0.25 s  lag 0.01 s  epoch 1"
    assert drawn[2].split("│")[0].split() == ["price", "size"]


def test_trades_stand_beside_it_the_newest_first() -> None:
    told = [line.split("│")[1] for line in lines(live()) if "│" in line]

    assert told[0].split() == ["trades", "side", "price", "size"]
    assert told[1].split() == ["08:45:02.1", "sell", "60003.2", "0.02"]
    assert told[2].split() == ["08:45:01.1", "buy", "60003.2", "0.01"]


def test_on_a_narrow_terminal_trades_stand_below() -> None:
    drawn = lines(live(), Sheet(60, 30))

    assert not any("│" in line for line in drawn)
    assert row(drawn, "60003.1 ") < next(
        n for n, line in enumerate(drawn) if line.startswith("trades")
    )


@pytest.mark.parametrize(
    "reading", [live(), lost(cause=HOSTILE * 4)], ids=["live", "lost"]
)
def test_nothing_is_wider_or_higher_than_the_terminal(reading: Quote) -> None:
    ladder = Ladder()
    for width in (1, 2, 5, 10, 20, 35, 36, 60, 78, 79, 80, 100, 200):
        for height in (1, 2, 3, 5, 9, 10, 15, 16, 30, 60):
            shown = drawing("c", "+")
            drawn = ladder.lines(reading, Sheet(width, height), shown, 7)

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
    drawn = sent(Ladder().lines(lost(), WIDE, drawing()), 100)
    prices = [line for line in drawn.splitlines() if "6000" in line.split("│")[0]]

    assert "NOT LIVE: RECONNECTING" in drawn
    assert "0.00 s old: the peer closed (close code 1006)" in drawn
    assert len(prices) == 4
    assert all(DIM in line for line in prices)
    assert not any("\x1b[32m" in line.split("│")[0] for line in prices)


def test_without_colours_old_prices_are_dashes() -> None:
    drawn = lines(lost(), Sheet(100, 30, colour=False))

    assert not any("6000" in line.split("│")[0] for line in drawn)
    assert sum(line.split()[0] == "-" for line in drawn if line.strip()) >= 2


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_an_empty_side_is_said(side: str) -> None:
    empty = depth(bids=()) if side == "bids" else depth(asks=())
    reading = live(shown=empty)

    assert any(f"no {side}" in line for line in lines(reading))
    assert any(f"no {side}" in line for line in lines(reading, Sheet(30, 5)))


def test_before_the_first_price_there_is_none() -> None:
    reading = Quote("BTC-USDT", "spot", health(State.CONNECTING))

    assert "no prices yet" in lines(reading)[1]


def test_the_rows_become_more_and_never_fewer() -> None:
    ladder = Ladder()
    few = live(shown=depth(bids=(("1", "1"),), asks=(("2", "1"),)))
    heights = [
        next(n for n, line in enumerate(plain(drawn)) if "spread" in line)
        for drawn in (
            ladder.lines(each, WIDE, drawing()) for each in (few, live(), few)
        )
    ]

    assert heights[0] + 1 == heights[1] == heights[2]


def test_text_from_the_network_is_no_order_and_no_markup() -> None:
    for sheet in (WIDE, Sheet(40, 10)):
        drawn = Ladder().lines(lost(cause=HOSTILE), sheet, drawing())
        text = "".join(plain(drawn))

        assert text.isprintable()
        assert "[red]" in text


def test_an_ascii_terminal_gets_ascii() -> None:
    for reading in (live(), lost()):
        drawn = lines(reading, Sheet(100, 30, ascii=True))
        assert "".join(drawn).isascii()


# --- What keys change ---------------------------------------------------------------


def test_totals_are_summed_up_from_the_best_price() -> None:
    drawn = lines(live(), WIDE, "c")

    assert drawn[2].split("│")[0].split() == ["price", "size", "total"]
    assert drawn[row(drawn, "60004.15")].split()[:3] == ["60004.15", "0.001", "2.001"]
    assert drawn[row(drawn, "60003  ")].split()[:3] == ["60003", "1.25", "1.75"]


@pytest.mark.parametrize(
    ("width", "keys", "titles"),
    [
        (46, "c", ["price", "size", "total"]),
        (40, "c", ["price", "total"]),
        (40, "", ["price", "size"]),
    ],
)
def test_columns_that_have_no_room_are_left_out_whole(
    width: int, keys: str, titles: list[str]
) -> None:
    wide = depth(asks=(("60003.2", "2.0000000000001"),))

    assert lines(live(shown=wide), Sheet(width, 20), *keys)[2].split() == titles


def test_prices_are_grouped_by_their_ticks() -> None:
    drawn = lines(live(), WIDE, "+", "+", "+")

    assert drawn[1].startswith("by 0.5  age")
    assert drawn[row(drawn, "60004.5")].split()[:2] == ["60004.5", "0.001+"]
    assert drawn[row(drawn, "60003.5")].split()[:2] == ["60003.5", "2"]
    assert drawn[row(drawn, "60003.0")].split()[:2] == ["60003.0", "1.75"]
    assert "spread 0.1 (0.02 bp)  mid 60003.15" in "".join(drawn)


def test_before_the_first_price_there_are_no_groups() -> None:
    reading = Quote("BTC-USDT", "spot", health(State.CONNECTING))

    assert "no prices yet" in lines(reading, WIDE, "+")[1]


def test_other_groups_begin_with_new_rows_and_columns() -> None:
    ladder = Ladder()
    many = depth(asks=tuple((f"{60004 + n}.123456", "1") for n in range(8)))
    ladder.lines(live(shown=many), WIDE, drawing())
    kept = plain(ladder.lines(live(), WIDE, drawing()))
    grouped = plain(ladder.lines(live(), WIDE, drawing("+")))

    assert row(kept, "spread") > row(grouped, "spread")


def test_a_wide_screen_makes_no_longer_bars() -> None:
    wide, wider = (lines(live(), Sheet(width, 30)) for width in (110, 300))

    assert wide[1:] == wider[1:]


def test_a_marked_book_beside_others_has_its_number() -> None:
    told = Ladder().lines(live(), WIDE, drawing("j", count=3), 2)
    others = Ladder().lines(live(), WIDE, drawing("j", count=3), 1)

    assert told[0].plain.startswith("2 BTC-USDT")
    assert "\x1b[1;7m" in sent(told, 100)
    assert "\x1b[1;7m" not in sent(others, 100)


def test_a_state_is_never_left_out_for_a_long_name() -> None:
    long = lost("BTC-USD-301227-60000-C")
    for width in range(36, 60):
        first = lines(long, Sheet(width, 20))[0]

        assert first.endswith("RECONNECTING")
        assert first.startswith("BTC-USD-3012")


# --- What stands still --------------------------------------------------------------


def prices(reading: Quote, paused: float | None = None, shades: bool = False) -> str:
    """The style of the best bid, as rich has it."""
    sheet = Sheet(100, 30, shades=shades)
    keys = () if paused is None else ("p",)
    drawn = Ladder().lines(reading, sheet, drawing(*keys, paused=paused))
    (line,) = (line for line in drawn if line.plain.startswith("  60003.1 "))
    return next(str(span.style) for span in line.spans if span.style)


def test_a_live_book_without_a_push_dims_with_its_age() -> None:
    still = replace(live(), health=health(age=12.0))

    assert prices(live()) == "green"
    assert prices(still) == "dim green"
    assert lines(still)[1].startswith("age 12 s")


def test_a_paused_book_dims_with_its_age() -> None:
    drawn = plain(Ladder().lines(live(), WIDE, drawing("p", paused=30.0)))

    assert prices(live(), paused=1.0) == "green"
    assert prices(live(), paused=30.0) == "dim green"
    assert drawn[0].endswith("PAUSED")
    assert drawn[1].startswith("age 30 s")


def test_a_book_that_is_not_live_becomes_darker_with_its_age() -> None:
    ages = (0, 30, 300)
    books = [replace(depth(), received=AT - timedelta(seconds=age)) for age in ages]
    styles = [prices(replace(lost(), last=book), shades=True) for book in books]

    assert styles == ["grey62", "grey50", "grey39"]
    assert "5 min old: the peer closed" in lines(replace(lost(), last=books[2]))[1]


def test_refused_channels_are_told() -> None:
    refused = replace(health(), failed={"trade": ValueError("no")})

    assert "refused: trade" in lines(replace(live(), health=refused))[1]


def test_trades_fill_what_the_book_leaves() -> None:
    many = replace(live(), trades=tuple(trade(n) for n in range(1, 40)))
    drawn = lines(many, Sheet(60, 30))

    assert len(drawn) == 30
    assert drawn[-1].split()[1] == "buy"
