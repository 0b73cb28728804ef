"""How a command ends: its exit code and, after a failure, one sentence on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from .. import OkexWSError, RecordingDamaged
from .text import clean

GOOD, FAILED, USAGE, STALE = 0, 1, 2, 3
# The exit code of shells for a program that Ctrl-C has ended: 128 and SIGINT's number.
INTERRUPTED = 130

MEANING = """\
exit codes: 0 good (also at Ctrl-C, where that is how it is meant to end), 1 failed,
2 usage, 3 stale (it ended with a price that cannot be trusted), 130 cut short"""


class Failure(Exception):
    """A command cannot go on. *sentence* is for its user, *code* is the exit code.

    `ending` prints the sentence, without a traceback.
    """

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the library refuses into a `Failure` with the library's own message.

    A ``ValueError`` or ``TypeError`` inside means that the user's arguments are wrong.
    """
    try:
        yield
    except RecordingDamaged:
        raise  # also a ValueError, but not the user's mistake
    except (ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from error


def say(text: str) -> None:
    """Write one line to stderr, with control characters replaced."""
    print(f"okex-ws: {clean(text)}", file=sys.stderr)


@contextmanager
def writable() -> Iterator[None]:
    """Inside, output can be written: to nowhere, where there is no stdout or stderr.

    Each of the two is ``None`` under ``pythonw``, and in a shell that closed it.
    """
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", False):
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.callback(setattr, sys, name, stream)
                setattr(sys, name, nowhere)
        yield


def ending(run: Callable[[], int]) -> int:
    """Run a command and return its exit code.

    An expected error ends with one sentence on stderr. Only a bug shows a traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal's encoding lacks is printed as its escape code.
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
        # The reader of the pipe has left, as ``head`` does: discard what is buffered.
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
    """The system's message of *error*, with the file's name and without the number."""
    about = f"{error.filename}: " if error.filename is not None else ""
    return f"{about}{error.strerror or error}"


@contextmanager
def _terminable() -> Iterator[None]:
    """Have other signals end the program as Ctrl-C does, with its files in order.

    The system sends SIGHUP when the terminal is closed, and SIGQUIT at Ctrl-\\. A
    signal that is ignored or handled already stays as it is. Only the main thread can
    set handlers.
    """
    mine = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP", "SIGQUIT") if mine else ()
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
