"""A Python of our own beside the user's: how it is started, asked after, and ended."""

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
# Where the folder of the program is not kept out of the path by an option, the first
# thing that is done is to take it out: a json.py there is the user's.
_BEFORE_3_11 = (
    f"import sys; del sys.path[0]; import runpy; runpy.run_module({MODULE!r},"
    " run_name='__main__', alter_sys=True)"
)
# Seconds that a process has to end, by itself and then once a signal told it so.
END_TIMEOUT = 0.5


def check_can_start() -> None:
    """``ValueError`` where no other Python can be started."""
    if getattr(sys, "frozen", False):
        raise ValueError(
            "isolate=True starts another Python, and a frozen program has none:"
            " leave it out"
        )


def command() -> list[str]:
    """What starts the reader, with the warnings as they are here."""
    options = [f"-W{option}" for option in sys.warnoptions]
    if sys.version_info >= (3, 11):
        return [sys.executable, *options, "-P", "-m", MODULE]
    return [sys.executable, *options, "-c", _BEFORE_3_11]


def environment() -> dict[str, str]:
    """Its environment: ours, and the way to this very package where it needs one."""
    env = dict(os.environ)
    if sys.flags.ignore_environment:
        env = {k: v for k, v in env.items() if not k.startswith("PYTHON")}
    # Where Python looks anyway it stays: put first, it could hide Python's own library.
    if ROOT not in {sysconfig.get_path(name) for name in ("purelib", "platlib")}:
        before = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([ROOT, *([before] if before else [])])
    return env


class WorkerProcess:
    """A process, and the socket to it; one thread has it, any may ask if it `runs`."""

    def __init__(self, memory: int | str) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        windows = os.name == "nt"
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
                command(),
                stdin=subprocess.PIPE if windows else theirs.fileno(),
                # Nothing is said there, and what was would be among the user's words.
                stdout=subprocess.DEVNULL,
                pass_fds=(memory,) if isinstance(memory, int) else (),
                env=environment(),
                # Windows: Ctrl-C is for the program.
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
        # Nobody has tried this.
        assert self._process.stdin is not None
        self._process.stdin.write(theirs.share(self._process.pid))
        self._process.stdin.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it did not end yet, as the system has it now."""
        return not self._is_over()

    def send(self, data: bytes | bytearray) -> int:
        """Send some of *data*: how much; never blocks."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # there is nobody, as `receive` will say

    def receive(self) -> bytes | None:
        """What it said, ``None`` for nothing yet, nothing at its end; never blocks."""
        try:
            return self.sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def end(self) -> str:
        """Have it end, by itself if it will, and say how it did."""
        self.sock.close()
        for push in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _exit_text(self._process.wait(END_TIMEOUT))
            push()
        return _exit_text(self._process.wait())

    def forked(self) -> None:
        """In a forked child: it is no child of ours."""
        self.sock.close()
        # Else it is asked after when it is forgotten.
        self._process.returncode = 0


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _exit_check(process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """A function that tells whether *process* ended, without letting go of the GIL.

    A read asks at each call. To let go would be to wait for its turn again, for as long
    as another thread of the program likes to compute.
    """
    try:
        import ctypes

        waitid = ctypes.PyDLL(None).waitid
        p_pid, options = os.P_PID, os.WEXITED | os.WNOHANG | os.WNOWAIT
    except (ImportError, AttributeError, OSError, TypeError):
        return lambda: process.poll() is not None
    pid = process.pid
    # siginfo_t, which begins with the signal: 0 while it runs.
    info = (ctypes.c_int * 64)()

    def is_over() -> bool:
        return waitid(p_pid, pid, info, options) != 0 or info[0] != 0

    return is_over


_PREFIX = struct.Struct("=4sII")  # magic, length, checksum


_MAGIC = b"okws"


# No message is nearly as large: statistics, an error with the exchange's own text.
MAX_MESSAGE = 1 << 26


class GarbageError(Exception):
    """Bytes that are no message."""


def pack(message: object) -> bytes:
    """The bytes of *message*."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _PREFIX.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


class Unpacker:
    """Bytes as they come, and the messages in them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in *data*: the messages that are complete; `GarbageError` for none."""
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
