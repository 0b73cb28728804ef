"""What keys do to the screen: without a terminal, a clock or a price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.cli.screen.keys import NAMES
from okex_ws.cli.screen.navigation import KEYS, Navigation

TABLE = Navigation(12, table=True)
ONE = Navigation(1)


def after(start: Navigation, *keys: str) -> Navigation:
    for key in keys:
        start = start.press(key)
    return start


def test_q_ends_from_anywhere() -> None:
    for keys in ((), ("?",), ("1",), ("enter",), ("p",)):
        assert after(TABLE, *keys, "q").ended
    assert not after(TABLE, *"pcj+?").ended


@pytest.mark.parametrize("key", ["space", "p"])
def test_a_pause_is_held_until_the_next_press(key: str) -> None:
    assert after(TABLE, key).held
    assert not after(TABLE, key, key).held


@pytest.mark.parametrize("down", ["down", "j", "right"])
@pytest.mark.parametrize("up", ["up", "k", "left"])
def test_arrows_mark_the_next_instrument_and_stop_at_the_ends(
    down: str, up: str
) -> None:
    assert after(TABLE, down, down).at == 2
    assert after(TABLE, down, down, up).at == 1
    assert after(TABLE, up).at == 0
    assert after(TABLE, *[down] * 20).at == 11


def test_pages_and_ends() -> None:
    assert after(TABLE, "page down").at == 10
    assert after(TABLE, "page down", "page down").at == 11
    assert after(TABLE, "end", "page up").at == 1
    assert after(TABLE, "end", "home").at == 0


def test_tab_goes_round() -> None:
    assert after(TABLE, *["tab"] * 13).at == 1
    assert after(TABLE, "back tab").at == 11
    assert after(ONE, "tab") == ONE


def test_enter_opens_the_marked_book_and_esc_goes_back() -> None:
    opened = after(TABLE, "j", "enter")

    assert (opened.table, opened.at) == (False, 1)
    assert after(opened, "esc") == after(TABLE, "j")
    assert after(TABLE, "esc") == TABLE


def test_of_one_instrument_there_is_no_table() -> None:
    assert after(ONE, "esc", "enter", "esc") == ONE


def test_digits_and_enter_open_an_instrument() -> None:
    assert after(TABLE, "1", "2").typed == "12"
    opened = after(TABLE, "1", "2", "enter")
    assert (opened.table, opened.at, opened.typed) == (False, 11, "")
    assert after(opened, "0", "3", "enter").at == 2


def test_a_number_that_is_none_is_told_until_the_next_key() -> None:
    told = after(TABLE, "9", "9", "enter")

    assert told.notice == "no instrument 99: there are 12"
    assert (told.table, told.at, told.typed) == (True, 0, "")
    assert after(told, "j").notice == ""


def test_a_number_can_be_corrected_and_given_up() -> None:
    assert after(TABLE, "1", "2", "backspace", "enter").at == 0
    assert after(TABLE, "enter", "1", "esc") == after(TABLE, "enter")
    assert after(TABLE, "1", "j").typed == ""
    assert len(after(TABLE, *"1" * 50).typed) == 3


def test_groups_and_totals() -> None:
    assert after(TABLE, "+", "=", "-").grouping == 1
    assert after(TABLE, "-", "_").grouping == 0
    assert 3 < after(TABLE, *"+" * 1000).grouping < 1000
    assert after(TABLE, "c").totals
    assert not after(TABLE, "c", "c").totals


def test_any_key_leaves_the_help() -> None:
    shown = after(TABLE, "j", "?")

    assert shown.help
    for key in ("?", "esc", "j", "enter", "5"):
        assert after(shown, key) == after(TABLE, "j")


def test_a_key_without_a_meaning_changes_nothing() -> None:
    for key in ("x", "@", "unheard of", ""):
        assert after(TABLE, key) == TABLE


@given(
    st.integers(1, 300),
    st.lists(st.sampled_from([*NAMES, *map(chr, range(0x21, 0x7F))])),
)
def test_no_keys_lead_out_of_the_instruments(count: int, keys: list[str]) -> None:
    now = after(Navigation(count, table=count > 1), *keys)

    assert 0 <= now.at < count
    assert count > 1 or not now.table
    assert now.ended == ("q" in keys)


def test_the_help_has_every_kind_of_key() -> None:
    told = " ".join(name for name, _ in KEYS)

    for key in ("q", "?", "p", "j", "k", "Tab", "Enter", "Esc", "+", "-", "c"):
        assert key in told
