"""The whole screen: which books there are, at every size, and the line of keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.navigation import KEYS, Navigation
from okex_ws.cli.screen.pages import Screen, books
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_drawing import drawing, plain
from tests.support.cli_samples import live, lost

SMALL, USUAL, WIDE = Sheet(30, 8), Sheet(80, 24), Sheet(200, 50)
SIX = [live(f"X{n}-USDT") for n in range(1, 7)]


def lines(
    readings: list[Quote], sheet: Sheet = USUAL, *keys: str, paused: float | None = None
) -> list[str]:
    shown = drawing(*keys, count=len(readings), paused=paused)
    return plain(Screen("okx", len(readings)).lines(readings, sheet, shown))


def shown(drawn: list[str]) -> list[str]:
    """The instruments whose books are drawn, by the line of their titles."""
    (titles,) = (n - 2 for n, line in enumerate(drawn) if line.split()[:2] == PRICES)
    return [word for word in drawn[titles].split() if word.endswith("-USDT")]


PRICES = ["price", "size"]


def test_one_instrument_is_a_book_with_trades_beside_it() -> None:
    drawn = lines([live()])

    assert drawn[0].split() == ["okx", "1", "of", "1", "live", "08:45:00", "UTC"]
    assert shown(drawn) == ["BTC-USDT"]
    assert "│ trades" in drawn[3]
    assert drawn[-1].split()[:4] == ["q", "end", "?", "keys"]
    assert "table" not in drawn[-1]


def test_several_are_a_table_with_books_below_it() -> None:
    drawn = lines(SIX[:3])

    assert drawn[1].split()[:3] == ["#", "instrument", "state"]
    assert [line.split()[1] for line in drawn[2:5]] == ["X1-USDT", "X2-USDT", "X3-USDT"]
    assert shown(drawn) == ["X1-USDT", "X2-USDT"]
    assert shown(lines(SIX[:3], USUAL, "j", "j")) == ["X2-USDT", "X3-USDT"]


def test_a_wide_screen_has_more_books() -> None:
    assert shown(lines(SIX, WIDE)) == ["X1-USDT", "X2-USDT", "X3-USDT", "X4-USDT"]
    assert shown(lines(SIX, USUAL, "5", "enter")) == ["X5-USDT"]
    assert shown(lines(SIX, WIDE, "5", "enter")) == ["X5-USDT", "X6-USDT", "X1-USDT"]


def test_a_low_screen_has_a_table_alone() -> None:
    drawn = lines(SIX, Sheet(80, 20))

    assert not any(line.split()[:2] == PRICES for line in drawn)


def test_a_long_table_on_a_high_screen_leaves_room_for_books() -> None:
    drawn = lines([live(f"X{n}-USDT") for n in range(1, 201)], WIDE, *["j"] * 30)

    assert "X31-USDT" in shown(drawn)
    assert any("of 200" in line for line in drawn)


@pytest.mark.parametrize("keys", ["", "\n", "?", "p"])
def test_the_keys_are_in_the_last_line_of_any_screen_that_is_not_small(
    keys: str,
) -> None:
    pressed = [{"\n": "enter"}.get(key, key) for key in keys]
    for count in (1, 2, 6, 30, 200):
        readings = [live(f"X{n}-USDT") for n in range(count)]
        for width, height in ((36, 12), (80, 24), (80, 25), (100, 39), (200, 50)):
            drawn = lines(readings, Sheet(width, height), *pressed)

            assert len(drawn) == height
            assert "q end" in drawn[-1], (count, width, height)


@pytest.mark.parametrize("table", [True, False])
def test_books_have_room_and_no_two_are_the_same(table: bool) -> None:
    for width in range(1, 400, 7):
        for count in (1, 2, 5, 50):
            navigation = Navigation(count, table=table and count > 1, at=count - 1)
            found = books(Sheet(width, 40), navigation)

            assert sum(columns + 3 for _, columns in found) - 3 <= max(width, 1)
            assert len({at for at, _ in found}) == len(found) <= count
            assert not found or count - 1 in {at for at, _ in found}
            assert all(36 <= columns <= 99 for _, columns in found[1:])


@pytest.mark.parametrize("keys", ["", "?", "p", "c+", "\n", "12", "99\n"])
def test_nothing_is_wider_or_higher_than_the_terminal(keys: str) -> None:
    readings = [live(), *(lost(f"X{n}-USDT", "late " * 40) for n in range(20))]
    pressed = [{"\n": "enter"}.get(key, key) for key in keys]
    screen = Screen("okx", 21)
    for width in (1, 5, 20, 36, 40, 60, 80, 100, 200):
        for height in (1, 2, 3, 5, 12, 24, 50):
            told = drawing(*pressed, count=21, paused=3.0 if keys == "p" else None)
            drawn = screen.lines(readings, Sheet(width, height), told)

            assert len(drawn) <= height
            assert max(line.cell_len for line in drawn) <= width, (width, height)


def test_the_help_has_each_key_and_any_key_leads_back() -> None:
    drawn = lines(SIX, USUAL, "?")

    for key, meaning in KEYS:
        assert any(line.split("   ")[0].strip() == key for line in drawn), key
        assert any(meaning in line for line in drawn)
    assert drawn[-1] == "any key: back   q end"
    assert lines(SIX, USUAL, "?", "x") == lines(SIX)


def test_a_pause_is_told_where_the_count_stood() -> None:
    title = lines(SIX, USUAL, "p", paused=75.0)[0]

    assert title.split()[:4] == ["okx", "PAUSED", "for", "75"]
    assert "live" not in title


def test_the_last_line_has_what_is_typed_or_was_wrong() -> None:
    assert lines(SIX, USUAL, "1", "2")[-1].startswith("instrument 12_ ")
    assert lines(SIX, USUAL, "1", "2", "enter")[-1] == ("no instrument 12: there are 6")


def test_the_keys_that_fit_are_whole() -> None:
    whole = lines(SIX, WIDE)[-1].split("   ")
    for width in range(40, 130):
        drawn = lines(SIX, Sheet(width, 24))[-1].strip().split("   ")

        assert set(drawn) <= {*whole, ""}, width


def test_without_keys_the_last_line_says_how_to_end() -> None:
    shown = replace(drawing(), keys=False)
    drawn = plain(Screen("okx", 1).lines([live()], USUAL, shown))

    assert drawn[-1] == "Ctrl-C ends"


def test_where_there_is_little_room_there_is_the_marked_instrument() -> None:
    assert lines(SIX, SMALL, "enter")[0] == "X1-USDT LIVE"
    assert lines(SIX, SMALL, "tab", "enter")[0] == "X2-USDT LIVE"
    assert lines(SIX, Sheet(22, 8))[:2] == ["okx  6 of 6 live", "X1-USDT LIVE"]
