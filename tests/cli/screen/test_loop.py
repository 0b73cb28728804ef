"""The live screen, on a terminal of its own."""

from __future__ import annotations

import io
import os
import threading

import pytest
from rich.console import Console
from rich.text import Text

from okex_ws.cli.screen.sheet import Sheet, drawn

OPENED, LEFT = "\x1b[?1049h", "\x1b[?1049l"


def console(width: int = 40, height: int = 6) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height)


def output(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_it_is_drawn_until_it_is_over_and_then_gone() -> None:
    to, sizes = console(), list[Sheet]()
    ends = iter([False, True])
    changed = threading.Event()

    def draw(sheet: Sheet) -> list[Text]:
        sizes.append(sheet)
        changed.set()  # the next drawing waits for nothing
        return [Text(f"drawing {len(sizes)}")]

    drawn(draw, lambda: next(ends), changed, to)

    sent = output(to)
    assert sent.index(OPENED) < sent.index("drawing 1") < sent.index("drawing 2")
    assert sent.rindex(LEFT) > sent.index("drawing 2")
    assert [(each.width, each.height) for each in sizes] == [(40, 6)] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_however_it_ends_the_terminal_is_as_it_was(error: type[BaseException]) -> None:
    to = console()

    def draw(sheet: Sheet) -> list[Text]:
        raise error

    with pytest.raises(error):
        drawn(draw, lambda: False, threading.Event(), to)

    assert output(to).rindex(LEFT) > output(to).index(OPENED)
    assert output(to).rindex("\x1b[?25h") > output(to).index("\x1b[?25l")


def test_more_lines_than_there_are_rows_are_no_harm() -> None:
    to = console(10, 3)
    drawn(lambda sheet: [Text("x" * 50)] * 10, lambda: True, threading.Event(), to)

    frame = output(to).partition(OPENED)[2].partition(LEFT)[0]
    assert frame.count("\n") == 2


if os.name == "posix":
    from tests.support.cli_running import Terminal

    @pytest.mark.slow
    def test_a_terminal_shows_the_ladder_and_is_as_it_was_after_ctrl_c() -> None:
        with Terminal("watch", "--local") as terminal:
            shown = terminal.read_until(lambda text: "spread" in text)
            terminal.resize(20, 5)
            small = terminal.read_until(lambda text: " / " in text)
            terminal.interrupt()

            assert terminal.end() == 0
        assert OPENED in shown
        assert "LIVE" in shown
        assert "Ctrl-C ends" not in small.rpartition("\x1b[H")[2]
        rest = terminal.sent.rpartition(LEFT)[2]
        assert "\x1b[?25h" in terminal.sent
        assert "BTC-USDT" in rest
        assert "Traceback" not in terminal.sent
