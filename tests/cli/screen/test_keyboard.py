"""The keyboard: on a pseudo terminal, on a made-up console, and on none."""

from __future__ import annotations

import atexit
import errno
import os
import pty
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from okex_ws.cli.screen.keyboard import Keyboard

LIMIT = 20.0  # seconds; the tests wait for nothing that does not come


class Terminal:
    """A pseudo terminal in this process: *screen* is the program's end of it."""

    def __init__(self) -> None:
        self.typing, slave = pty.openpty()
        self.screen = os.fdopen(slave, "r+b", buffering=0)

    def type(self, data: bytes) -> None:
        os.write(self.typing, data)

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.screen.fileno())

    @property
    def cooked(self) -> bool:
        """Whether it echoes, and gives lines: True, or False if it does neither."""
        both = termios.ECHO | termios.ICANON
        found = self.modes[3] & both
        assert found in (0, both)
        return bool(found)

    def cook(self) -> None:
        """As a shell does when it has the terminal again."""
        modes = self.modes
        modes[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(self.screen.fileno(), termios.TCSANOW, modes)

    def close(self) -> None:
        self.screen.close()
        if self.typing >= 0:
            os.close(self.typing)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.close()


def keyboard_of(terminal: Terminal) -> Keyboard:
    """The keyboard of a screen on *terminal*."""
    return Keyboard(terminal.screen)


def pressed(keyboard: Keyboard, count: int = 1) -> list[str]:
    """The next *count* keys."""
    found: list[str] = []
    for _ in range(10):
        found += keyboard.keys(LIMIT) if len(found) < count else []
    return found


# --- On a terminal ------------------------------------------------------------------


def test_keys_come_at_once_and_without_an_echo(terminal: Terminal) -> None:
    before = terminal.modes
    with keyboard_of(terminal) as keyboard:
        assert keyboard.readable
        assert not terminal.cooked
        terminal.type(b"q\x1b[A\r")
        assert pressed(keyboard, 3) == ["q", "up", "enter"]

    assert terminal.modes == before


def test_ctrl_s_does_not_halt_the_screen_and_ctrl_z_stops_it(
    terminal: Terminal,
) -> None:
    assert terminal.modes[0] & termios.IXON
    with keyboard_of(terminal) as keyboard:
        assert not terminal.modes[0] & termios.IXON
        assert terminal.modes[3] & termios.ISIG
        terminal.type(b"\x13q")
        assert pressed(keyboard) == ["q"]


def test_an_escape_character_alone_becomes_a_key_by_time(terminal: Terminal) -> None:
    with keyboard_of(terminal) as keyboard:
        terminal.type(b"\x1b")
        assert pressed(keyboard) == ["esc"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_however_it_ends_the_terminal_is_as_it_was(
    terminal: Terminal, error: type[BaseException]
) -> None:
    before = terminal.modes
    with pytest.raises(error), keyboard_of(terminal):
        raise error

    assert terminal.modes == before


def test_an_interrupt_while_it_begins_leaves_the_terminal_as_it_was(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, set_modes = terminal.modes, termios.tcsetattr

    def interrupted(*arguments: Any) -> None:
        set_modes(*arguments)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(termios, "tcsetattr", interrupted)
    with pytest.raises(KeyboardInterrupt), keyboard_of(terminal):
        pytest.fail("it has begun")

    assert terminal.modes == before


def test_the_interpreter_gives_back_what_an_interrupt_left(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(atexit, "unregister", at_exit.remove)
    with keyboard_of(terminal):
        (give_back,) = at_exit
        give_back()
        assert terminal.cooked
    assert at_exit == []


def test_standard_input_is_left_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"qqqq")
    os.close(writing)
    with open(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with keyboard_of(terminal) as keyboard:
            terminal.type(b"j")
            assert pressed(keyboard) == ["j"]
            assert keyboard.keys(0.0) == []

        assert pipe.read() == "qqqq"


def test_a_screen_that_can_only_be_written_leaves_the_terminal_of_standard_input(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.ttyname(terminal.screen.fileno())
    with open(os.open(name, os.O_WRONLY | os.O_NOCTTY), "w") as written:
        monkeypatch.setattr(sys, "stdin", None)
        with Keyboard(written) as keyboard:
            assert not keyboard.readable

        monkeypatch.setattr(sys, "stdin", terminal.screen)
        with Keyboard(written) as keyboard:
            terminal.type(b"j")
            assert pressed(keyboard) == ["j"]


def test_a_terminal_that_goes_away_gives_no_keys_and_no_error(
    terminal: Terminal,
) -> None:
    with keyboard_of(terminal) as keyboard:
        os.close(terminal.typing)
        terminal.typing = -1
        assert keyboard.keys(LIMIT) == []
        assert not keyboard.readable
        keyboard.wake()
        assert keyboard.keys(LIMIT) == []


def test_a_terminal_that_cannot_be_read_gives_no_keys(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with keyboard_of(terminal) as keyboard:
        terminal.type(b"q")
        monkeypatch.setattr(os, "read", refuse)
        assert keyboard.keys(LIMIT) == []
        assert not keyboard.readable


def test_a_terminal_that_cannot_be_changed_gives_no_keys(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(termios, "tcsetattr", refuse)
    with keyboard_of(terminal) as keyboard:
        assert not keyboard.readable


def test_a_signal_that_cuts_a_change_short_is_no_error(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_modes, calls = termios.tcsetattr, list[int]()

    def interrupted(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) % 2:
            raise termios.error(errno.EINTR, "Interrupted system call")
        set_modes(*arguments)

    monkeypatch.setattr(termios, "tcsetattr", interrupted)
    with keyboard_of(terminal):
        assert not terminal.cooked

    assert terminal.cooked


# --- Without one --------------------------------------------------------------------


def test_a_wake_ends_the_wait_for_keys(terminal: Terminal) -> None:
    with keyboard_of(terminal) as keyboard:
        for _ in range(100_000):  # more than the system keeps
            keyboard.wake()
        assert keyboard.keys(LIMIT) == []
        while keyboard.keys(0.0):
            pass
        waker = threading.Timer(0.01, keyboard.wake)
        waker.start()
        assert keyboard.keys(LIMIT) == []
        waker.join()
    keyboard.wake()
    Keyboard().wake()


def test_without_a_terminal_there_are_wakes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stdin", None)
    with Keyboard() as keyboard:
        assert not keyboard.readable
        keyboard.wake()
        assert keyboard.keys(LIMIT) == []
        assert keyboard.keys(0.0) == []


# --- Stopped, and going on ----------------------------------------------------------


def test_ctrl_z_stops_with_the_terminal_given_back(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[tuple[int, bool, object]] = []

    def stop(number: int) -> None:
        stops.append((number, terminal.cooked, signal.getsignal(number)))
        os.kill(os.getpid(), signal.SIGCONT)

    monkeypatch.setattr(signal, "raise_signal", stop)
    with keyboard_of(terminal) as keyboard:
        os.kill(os.getpid(), signal.SIGTSTP)
        assert keyboard.keys(LIMIT) == []
        assert keyboard.stopping
        assert stops == []

        keyboard.stop()
        assert stops == [(signal.SIGTSTP, True, signal.SIG_DFL)]
        assert not keyboard.stopping
        assert not terminal.cooked
        terminal.type(b"j")
        assert pressed(keyboard) == ["j"]
    assert terminal.cooked
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL


def test_after_a_stop_of_another_kind_the_terminal_is_taken_again(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "raise_signal", pytest.fail)
    with keyboard_of(terminal) as keyboard:
        terminal.cook()
        os.kill(os.getpid(), signal.SIGCONT)
        assert keyboard.keys(LIMIT) == []
        assert keyboard.stopping
        keyboard.stop()

        assert not terminal.cooked
        assert not keyboard.stopping


def test_what_the_shell_left_after_a_stop_is_not_taken_for_the_users_modes(
    terminal: Terminal,
) -> None:
    before = terminal.modes
    with keyboard_of(terminal) as keyboard:
        keyboard.stop()  # a shell that restores nothing

    assert terminal.modes == before


def test_signals_that_are_ignored_or_handled_stay_so(terminal: Terminal) -> None:
    kept = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        with keyboard_of(terminal):
            assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTSTP, kept)
    assert terminal.cooked


def test_another_thread_gets_keys_and_sets_no_handlers(terminal: Terminal) -> None:
    found: list[object] = []

    def run() -> None:
        with keyboard_of(terminal) as keyboard:
            found.append(signal.getsignal(signal.SIGTSTP))
            terminal.type(b"q")
            found.extend(pressed(keyboard))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT)

    assert found == [signal.SIG_DFL, "q"]


@pytest.mark.parametrize("mine", [True, False])
def test_a_terminal_that_another_program_has_is_left_to_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, mine: bool
) -> None:
    with keyboard_of(terminal):
        group = os.getpgrp() if mine else os.getpgrp() + 1
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: group)

    assert terminal.cooked is mine


def test_a_program_that_begins_in_the_background_has_keys_once_it_is_in_front(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"now": os.getpgrp() + 1}
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: groups["now"])
    with keyboard_of(terminal) as keyboard:
        assert terminal.cooked
        assert not keyboard.readable
        assert keyboard.keys(0.0) == []

        groups["now"] = os.getpgrp()
        assert keyboard.keys(0.0) == []
        assert keyboard.readable
        terminal.type(b"j")
        assert pressed(keyboard) == ["j"]
    assert terminal.cooked


# --- A console of Windows -----------------------------------------------------------


def test_a_console_gives_the_same_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [*"q", "\0", "H", "\xe0", "Q", "\0", ";", "\r", "ж"]
    console = SimpleNamespace(
        kbhit=lambda: bool(waiting), getwch=lambda: waiting.pop(0)
    )
    monkeypatch.setitem(sys.modules, "msvcrt", console)  # type: ignore[arg-type]
    with Keyboard() as keyboard:
        assert keyboard.readable
        assert pressed(keyboard, 4) == ["q", "up", "page down", "enter"]
        assert keyboard.keys(0.001) == []
        keyboard.wake()
        assert keyboard.keys(LIMIT) == []
