"""How a command ends: its exit code and, if not well, one sentence on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import OkexWSError, RecordingDamaged
from .text import clean

GOOD, FAILED, USAGE, STALE = 0, 1, 2, 3
# Ended by Ctrl-C, as shells count it.
INTERRUPTED = 130

MEANING = """\
exit codes: 0 good (also at Ctrl-C, where that is how it is meant to end), 1 failed,
2 usage, 3 stale (it ended with a price that cannot be trusted), 130 cut short"""


class Failure(Exception):
    """A command cannot go on: *sentence* is for its user, *code* for the shell."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


@contextmanager
def refusing() -> Iterator[None]:
    """What the library refuses inside is the user's mistake, in the library's words."""
    try:
        yield
    except RecordingDamaged:
        raise  # a ValueError too, but no mistake of the user
    except (ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from error


def say(text: str) -> None:
    """One line on stderr, in which nothing commands the terminal."""
    print(f"okex-ws: {clean(text)}", file=sys.stderr)


def ending(run: Callable[[], int]) -> int:
    """The exit code of *run*, however it ends: no traceback for what is no bug."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no such character shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _terminable():
            code = run()
            sys.stdout.flush()
    except Failure as failure:
        say(str(failure))
        return failure.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough. What is buffered has nowhere to go any more.
        _discard_output()
        return GOOD
    except (OkexWSError, RecordingDamaged, ImportError) as error:
        say(str(error))
        return FAILED
    except OSError as error:
        say(_in_words(error))
        return FAILED
    return code


def _in_words(error: OSError) -> str:
    """What the system says, without its numbers."""
    about = f"{error.filename}: " if error.filename is not None else ""
    return f"{about}{error.strerror or error}"


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite end is like Ctrl-C: the terminal and files are left well.

    It is SIGTERM, or SIGHUP of a terminal that was closed, unless they are ignored.
    """
    mine = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP") if mine else ()
    every = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [one for one in every if signal.getsignal(one) is signal.SIG_DFL]
    for one in ours:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def _discard_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
