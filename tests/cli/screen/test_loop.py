"""The live screen: drawn, moved by keys, left and restored, on terminals of its own."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from okex_ws import State
from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.loop import Loop
from okex_ws.cli.screen.navigation import Navigation
from tests.support.cli_running import Terminal
from tests.support.cli_samples import health, live

OPENED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
SHOWN, HIDDEN = "\x1b[?25h", "\x1b[?25l"


class Reader:
    """Gives readings one after the other; the last one again and again."""

    def __init__(self, *readings: Quote) -> None:
        self._readings = [*readings]

    def read(self, levels: int) -> Quote:
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]


class Keys:
    """A keyboard on which *pressed* is pressed, one key in each wait.

    ``"stop"`` is Ctrl-Z; an exception is raised.
    """

    readable = True

    def __init__(self, *pressed: str | BaseException) -> None:
        self._pressed: Iterator[str | BaseException] = iter(pressed)
        self.stopping = False
        self.stops = 0

    def keys(self, timeout: float) -> list[str]:
        key = next(self._pressed, "q")
        if isinstance(key, BaseException):
            raise key
        self.stopping = key == "stop"
        return [key]

    def stop(self) -> None:
        self.stopping = False
        self.stops += 1


def run(
    keys: Keys, *readers: Reader, over: Callable[[], bool] = lambda: False
) -> tuple[bool, str]:
    """Run the loop; return whether the user ended it, and what the terminal got."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    parts: Any = (readers or (Reader(live()),), over, keys)
    loop = Loop("okx", *parts, console)
    count = len(parts[0])
    ended = loop.run(Navigation(count, table=count > 1))
    assert isinstance(console.file, io.StringIO)
    return ended, console.file.getvalue()


def test_it_is_drawn_until_it_is_over_and_then_gone() -> None:
    ends = iter([False, False, True])
    ended, sent = run(Keys("x", "x"), over=lambda: next(ends))

    assert not ended
    assert sent.count("60003.1") >= 3
    assert sent.index(OPENED) < sent.index("60003.1") < sent.rindex("60003.1")
    assert sent.rindex(LEFT) > sent.rindex("60003.1")


def test_q_ends_it() -> None:
    ended, sent = run(Keys("q", ZeroDivisionError()))

    assert ended
    assert sent.rindex(LEFT) > sent.rindex(OPENED)


def test_keys_change_what_is_drawn_next() -> None:
    _, sent = run(Keys("c", "?", "q"))

    assert sent.index("size") < sent.index("total") < sent.index("these keys")


def test_a_pause_holds_the_prices_until_it_ends() -> None:
    quotes = [Quote(f"N{n}-USDT", "spot", health(State.SYNCING)) for n in range(6)]
    _, sent = run(Keys("p", "j", "k", "p", "q"), Reader(*quotes))

    assert sent.index("N0-USDT") < sent.index("PAUSED") < sent.index("N2-USDT")
    assert sent.count("N1-USDT") == 3  # while it is held
    assert sent.count("N2-USDT") == 1
    assert "N3-USDT" not in sent


def test_ctrl_z_leaves_the_screen_before_the_program_stops() -> None:
    keys = Keys("stop", "c", "q")
    ended, sent = run(keys)

    assert ended
    assert keys.stops == 1
    assert sent.count(OPENED) == sent.count(LEFT) == 2
    assert "total" in sent.rpartition(OPENED)[2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_however_it_ends_the_screen_is_left(error: type[BaseException]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40, height=6)
    parts: Any = ((Reader(live()),), lambda: False, Keys("x", error()))
    with pytest.raises(error):
        Loop("okx", *parts, console).run(Navigation(1))

    assert isinstance(console.file, io.StringIO)
    sent = console.file.getvalue()
    assert sent.rindex(LEFT) > sent.index(OPENED)
    assert sent.rindex(SHOWN) > sent.index(HIDDEN)


# --- As a process -------------------------------------------------------------------


@pytest.mark.slow
def test_a_terminal_shows_the_book_and_is_as_it_was_after_q() -> None:
    with Terminal("watch", "--local") as terminal:
        shown = terminal.read_until(lambda text: "spread" in text)
        assert not terminal.cooked
        terminal.resize(20, 5)
        small = terminal.read_until(lambda text: " / " in text)
        terminal.resize(100, 30)
        terminal.type("\x1b")
        terminal.read_until(lambda text: "BTC-USD-SWAP" in text)
        terminal.type("2\r")
        terminal.read_until(lambda text: "2 \x1b[0m\x1b[1;7mETH-USDT" in text)
        terminal.type("q")

        assert terminal.end() == 0
        assert terminal.cooked
    assert OPENED in shown
    assert "LIVE" in shown
    assert "space" not in small.rpartition("\x1b[H")[2]
    rest = terminal.sent.rpartition(LEFT)[2]
    assert SHOWN in terminal.sent
    assert "BTC-USDT" in rest
    assert "Traceback" not in terminal.sent


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_it_with_the_terminal_as_it_was(name: str) -> None:
    with Terminal("watch", "--local") as terminal:
        terminal.read_until(lambda text: "spread" in text)
        terminal.process.send_signal(getattr(signal, name))

        assert terminal.end() == 0
        assert terminal.cooked
    assert LEFT in terminal.sent
    assert "Traceback" not in terminal.sent


@pytest.mark.slow
def test_standard_input_may_be_a_pipe_whose_characters_are_no_keys() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"qqq")
        with Terminal("watch", "--local", stdin=reading) as terminal:
            terminal.read_until(lambda text: "spread" in text)
            terminal.type("?")
            terminal.read_until(lambda text: "these keys" in text)
            terminal.type("q")

            assert terminal.end() == 0
            assert terminal.cooked
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.slow
def test_ctrl_z_and_back() -> None:
    script = f"{sys.executable} -m okex_ws watch --local; echo now the shell; fg"
    with Terminal(script=script) as terminal:
        terminal.read_until(lambda text: "spread" in text)
        terminal.type("\x1a")
        stopped = terminal.read_until(lambda text: "the shell" in text)
        terminal.read_until(lambda text: "spread" in text)
        assert not terminal.cooked
        terminal.type("q")

        assert terminal.end() == 0
        assert terminal.cooked
    assert LEFT in stopped.partition("the shell")[0]
