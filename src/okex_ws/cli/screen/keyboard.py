"""The keyboard of the terminal that the screen is on: ``termios``, or ``msvcrt``.

Keys come from the screen's own terminal, and standard input is left alone: it may be a
pipe. Needs no extra.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

from .keys import KeyDecoder

# Seconds between two looks at a console of Windows, which cannot be waited for.
_LOOK = 0.05
# What a console of Windows gives after the first character of a special key, and what
# a terminal sends for that key.
_SPECIAL = dict(zip("HPMKGOIQ", (*"ABCDHF", "5~", "6~"), strict=True))


class Keyboard:
    """The keys of a terminal; a context that gives the terminal back as it was.

    Inside, keys come at once and are not echoed, and Ctrl-Z sets `stopping` instead of
    stopping the program at once, with the screen on. `stopping` is also set when the
    program goes on after it was stopped in another way, because the shell may have
    changed the terminal. *screen* is where the screen is written to, ``sys.stdout`` by
    default. Any thread may call `wake`, only the main thread the rest.
    """

    def __init__(self, screen: IO[Any] | None = None) -> None:
        self.stopping = False
        self._screen = screen
        self._asked = False  # by Ctrl-Z to stop the program
        self._decoder = KeyDecoder()
        self._source: _Terminal | _Console = _Terminal(None)
        self._waker: socket.socket | None = None
        self._stack = ExitStack()

    @property
    def readable(self) -> bool:
        """Whether there is a terminal to read keys from at the moment."""
        return self._source.readable

    def __enter__(self) -> Keyboard:
        try:
            self._enter(self._stack)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _enter(self, stack: ExitStack) -> None:
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
            stack.callback(end.close)
        self._source = _find_source(self._screen or sys.stdout)
        stack.enter_context(_handled("SIGTSTP", self._ask))
        stack.enter_context(_handled("SIGCONT", self._go_on))
        # A second Ctrl-C may cut `__exit__` short.
        atexit.register(self._source.give_back)
        stack.callback(atexit.unregister, self._source.give_back)
        stack.callback(self._source.give_back)
        self._source.take()

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def wake(self) -> None:
        """Have `keys` return soon; before and after the context it does nothing."""
        if self._waker is not None:
            with suppress(OSError):  # full of wakes, or closed
                self._waker.send(b"\0")

    def keys(self, timeout: float) -> list[str]:
        """Wait for keys; return their names, none after *timeout* seconds or a wake."""
        due = self._decoder.due
        if due is not None:
            timeout = min(timeout, due - time.monotonic())
        data = self._source.read(self._woken, max(timeout, 0.0))
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        return self._decoder.decode(data, time.monotonic())

    def stop(self) -> None:
        """Stop the program if Ctrl-Z asked for it; take the terminal again after that.

        The caller has left the screen, and enters it again afterwards.
        """
        asked, self._asked = self._asked, False
        if asked:
            self._source.give_back()
            with _handled("SIGTSTP", signal.SIG_DFL, self._ask):
                # It reaches this thread before the call returns; `os.kill` might stop
                # the program later, when it has the terminal again.
                signal.raise_signal(signal.SIGTSTP)
        self.stopping = False
        self._source.take()

    def _ask(self, *_: object) -> None:
        self._asked = True
        self._go_on()

    def _go_on(self, *_: object) -> None:
        self.stopping = True
        self.wake()


@contextmanager
def _handled(name: str, handler: Any, before: Any = signal.SIG_DFL) -> Iterator[None]:
    """Inside, *handler* handles the signal *name*, if *before* did until now.

    A signal that is ignored, or that a program around this one handles, stays as it
    is. Only the main thread can set handlers.
    """
    number = getattr(signal, name, None)
    mine = threading.current_thread() is threading.main_thread()
    if number is None or not mine or signal.getsignal(number) != before:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _find_source(screen: IO[Any] | None) -> _Terminal | _Console:
    """The keys' source: a console on Windows, else the screen's terminal or none."""
    try:
        console = importlib.import_module("msvcrt")
    except ImportError:
        return _Terminal(_find_descriptor(screen, sys.stdin))
    return _Console(console)


def _find_descriptor(*streams: IO[Any] | None) -> int | None:
    """The descriptor of the first of *streams* that is a terminal to read from."""
    import fcntl

    for stream in streams:
        if stream is None:
            continue
        try:
            descriptor = stream.fileno()
            mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        except (OSError, ValueError):  # closed, or not a file
            continue
        if os.isatty(descriptor) and mode != os.O_WRONLY:
            return descriptor
    return None


class _Terminal:
    """A POSIX terminal, or none (*descriptor* is ``None``)."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None
        self._taken = False

    @property
    def readable(self) -> bool:
        return self._taken

    def take(self) -> None:
        """Have keys come at once and without an echo (cbreak mode).

        A program that was begun in the background, by ``timeout`` in a script for
        example, goes on without keys. One that had the terminal before is stopped here
        by the system, until it is in the foreground.
        """
        descriptor = self._descriptor
        if descriptor is None or not (self._before or _in_foreground(descriptor)):
            return
        import termios

        try:
            # The first modes are the ones to give back: after a stop the terminal may
            # still be as this program left it.
            self._before = self._before or termios.tcgetattr(descriptor)
            modes = [*self._before[:6], [*self._before[6]]]
            # Ctrl-S would halt the screen, and old prices would look present.
            modes[0] &= ~termios.IXON
            modes[3] = modes[3] & ~(termios.ICANON | termios.ECHO) | termios.ISIG
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            self._taken = True
            self._set(descriptor, modes)
        except termios.error:
            self._lose()

    def _lose(self) -> None:
        """The terminal is gone."""
        self._descriptor, self._taken = None, False

    def give_back(self) -> None:
        """Restore the modes, unless another program has the terminal now."""
        taken, self._taken = self._taken, False
        descriptor = self._descriptor
        if descriptor is None or not taken or not _in_foreground(descriptor):
            return
        import termios

        with suppress(termios.error):
            self._set(descriptor, self._before or [])

    def _set(self, descriptor: int, modes: list[Any]) -> None:
        import termios

        while True:
            try:
                # At once: a terminal that was halted by Ctrl-S never drains.
                termios.tcsetattr(descriptor, termios.TCSANOW, modes)
                return
            except termios.error as error:
                # A signal whose handler runs, like SIGCONT after a stop, cuts it short.
                if error.args[0] != errno.EINTR:
                    raise

    def read(self, woken: socket.socket, timeout: float) -> bytes:
        """What is typed within *timeout* seconds; a wake ends the wait."""
        if not self._taken:
            self.take()  # it may be in the foreground now
        terminal = self._descriptor if self._taken else None
        sources: list[Any] = [woken] if terminal is None else [woken, terminal]
        ready = select.select(sources, [], [], timeout)[0]
        if terminal is None or terminal not in ready:
            return b""
        try:
            data = os.read(terminal, 1024)
        except OSError:
            data = b""
        if not data:
            self._lose()
        return data


def _in_foreground(descriptor: int) -> bool:
    """Whether the terminal is this program's to change at the moment."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # the terminal controls no program, so that any one may use it
        return True


class _Console:
    """A console of Windows: *console* is the module ``msvcrt``."""

    readable = True

    def __init__(self, console: Any) -> None:
        self._console = console

    def take(self) -> None:
        """Nothing: a console gives keys at once to a program that asks for them."""

    def give_back(self) -> None:
        """Nothing: the modes of the console were not changed."""

    def read(self, woken: socket.socket, timeout: float) -> bytes:
        """What is typed within *timeout* seconds; a wake ends the wait."""
        until = time.monotonic() + timeout
        while not self._console.kbhit():
            left = until - time.monotonic()
            if left <= 0 or select.select([woken], [], [], min(left, _LOOK))[0]:
                return b""
        typed = ""
        while self._console.kbhit():
            key = self._console.getwch()
            if key in ("\0", "\xe0"):
                code = _SPECIAL.get(self._console.getwch(), "")
                key = f"\x1b[{code}" if code else ""
            typed += key
        return typed.encode("utf-8", "replace")
