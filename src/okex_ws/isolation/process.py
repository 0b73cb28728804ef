"""The worker process: how it is started, talked to, checked and ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).parents[2])
MODULE = f"{__package__}.worker"
# From Python 3.11 on the option -P keeps the current folder out of the module path.
# Before, the program itself removes it first: a json.py there would hide Python's own.
_BEFORE_3_11 = (
    f"import sys; del sys.path[0]; import runpy; runpy.run_module({MODULE!r},"
    " run_name='__main__', alter_sys=True)"
)
# How many seconds a process has to end by itself, and then again after SIGTERM.
END_TIMEOUT = 0.5


def check_can_start() -> None:
    """Raise ``ValueError`` in a program that cannot start another Python."""
    if getattr(sys, "frozen", False):
        raise ValueError(
            "isolate=True starts another Python, and a frozen program has none:"
            " leave it out"
        )


def command() -> list[str]:
    """The command that starts the worker, with this process's warning filters."""
    options = [f"-W{option}" for option in sys.warnoptions]
    if sys.version_info >= (3, 11):
        return [sys.executable, *options, "-P", "-m", MODULE]
    return [sys.executable, *options, "-c", _BEFORE_3_11]


def environment() -> dict[str, str]:
    """The worker's environment: a copy of this one, with the path to this package.

    PYTHON variables are left out if this process ignores them. The path is left out if
    Python finds the package anyway.
    """
    env = dict(os.environ)
    if sys.flags.ignore_environment:
        env = {k: v for k, v in env.items() if not k.startswith("PYTHON")}
    # An installed package is found anyway. Its folder is not put in front, where it
    # could hide modules of Python's own library.
    if ROOT not in {sysconfig.get_path(name) for name in ("purelib", "platlib")}:
        before = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([ROOT, *([before] if before else [])])
    return env


class WorkerProcess:
    """A worker process that was started, and the socket over which it gets messages.

    The constructor starts it, and raises ``OSError`` if the system gives no process.
    *memory* is the key of the shared memory, which the process inherits. Only the
    supervisor's thread calls the methods; any thread may read `runs`. No method but
    `end` waits: that waits for the process for a moment, and then kills it.
    """

    def __init__(self, memory: int | str) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        windows = os.name == "nt"
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
                command(),
                stdin=subprocess.PIPE if windows else theirs.fileno(),
                # The worker prints nothing. Anything that it did print would mix with
                # the output of the script.
                stdout=subprocess.DEVNULL,
                pass_fds=(memory,) if isinstance(memory, int) else (),
                env=environment(),
                # Windows: Ctrl-C is to reach the script only.
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            if windows:
                self._share(theirs)
        except BaseException:
            self.sock.close()
            raise
        finally:
            theirs.close()
        self._is_over = _exit_check(self._process)

    def _share(self, theirs: Any) -> None:
        # Windows only. This has never been run there.
        assert self._process.stdin is not None
        self._process.stdin.write(theirs.share(self._process.pid))
        self._process.stdin.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process runs; each access asks the system."""
        return not self._is_over()

    def send(self, data: bytes | bytearray) -> int:
        """Send a part of *data*, and return how many bytes; never blocks."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # the process has ended, as `receive` will report

    def receive(self) -> bytes | None:
        """Bytes from the process, ``None`` if none wait, or ``b""`` at its end.

        Never blocks.
        """
        try:
            return self.sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def end(self) -> str:
        """Close the socket, end the process, and return how it ended.

        The process has time to end by itself, then receives SIGTERM, and is then
        killed.
        """
        self.sock.close()
        for push in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _exit_text(self._process.wait(END_TIMEOUT))
            push()
        return _exit_text(self._process.wait())

    def forked(self) -> None:
        """In a forked child: forget the process, which is the parent's child."""
        self.sock.close()
        # With a return code, `Popen` does not wait for the process when it is deleted.
        self._process.returncode = 0


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _exit_check(process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """Make a function that tells whether *process* has ended; it keeps the GIL.

    Every read calls it. If it released the GIL, the read would wait until another
    thread that computes gives the GIL back.
    """
    try:
        import ctypes

        waitid = ctypes.PyDLL(None).waitid
        p_pid, options = os.P_PID, os.WEXITED | os.WNOHANG | os.WNOWAIT
    except (ImportError, AttributeError, OSError, TypeError):
        return lambda: process.poll() is not None
    pid = process.pid
    # A siginfo_t, which begins with the signal: 0 while the process runs.
    info = (ctypes.c_int * 64)()

    def is_over() -> bool:
        return waitid(p_pid, pid, info, options) != 0 or info[0] != 0

    return is_over


_PREFIX = struct.Struct("=4sII")  # magic, length, checksum


_MAGIC = b"okws"


# A limit in bytes. The largest real messages, statistics and errors with texts of the
# exchange, are far smaller.
MAX_MESSAGE = 1 << 26


class GarbageError(Exception):
    """The bytes from the socket are no message: the process has to be replaced."""


def pack(message: object) -> bytes:
    """Encode *message* as a header with a checksum, and a pickle."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _PREFIX.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


class Unpacker:
    """Splits the bytes of one socket into the messages that `pack` encoded.

    A socket gives bytes in pieces of any size. A length and a checksum before each
    message show bytes that are not a message, before anything is made of them: `feed`
    then raises `GarbageError`. One thread uses it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield each message that *data* completes.

        Raises:
            GarbageError: the bytes are no message.
        """
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            magic, length, checksum = _PREFIX.unpack_from(self._buffer)
            if magic != _MAGIC or length > MAX_MESSAGE:
                begin = bytes(self._buffer[: _PREFIX.size])
                raise GarbageError(f"no message begins with {begin!r}")
            end = _PREFIX.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_PREFIX.size : end])
            del self._buffer[:end]
            if zlib.crc32(payload) != checksum:
                raise GarbageError(f"a message of {length} bytes with another checksum")
            yield pickle.loads(payload)  # noqa: S301 - of our own process
