"""The rules of the suite, enforced on every test.

1. Nothing leaves the loopback, not even a name look-up.
2. No test runs longer than its limit, whatever it waits for.
3. No test leaves a thread, a socket or a file open behind it.
4. A replay of recordings is skipped visibly where there are none.
5. No test waits for a turn at a host that another one took, by a clock of its own.
6. No proxy that this machine's environment names is any test's.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import ipaddress
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest

import okex_ws.pool.pool
from tests.support.internals import give_every_host_a_turn
from tests.support.shared_memory import make_shared_view

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"

TIME_LIMIT = 60.0
SLOW_TIME_LIMIT = 180.0
# What a closing thread or socket may take on a busy machine before it counts as left.
GRACE = 5.0
# But of a run whose leftovers stay anyway, no more than so many tests wait that long:
# one leak in a fixture once cost a hundred graces, and with them ten minutes.
PATIENCE = 3
# A look-up that the system cannot interrupt is abandoned on purpose.
ABANDONED = "okex_ws:resolve"

# Deadlines would assert durations on the real clock; CI always tries the same examples.
hypothesis.settings.register_profile(
    "okex_ws",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("okex_ws")


# --- Nothing leaves the loopback ----------------------------------------------------

_strays: list[str] = []


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode("idna") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _watch_sockets(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto"):
        # A path or bytes is a Unix socket; everything else begins with the host.
        host = args[1][0] if isinstance(args[1], tuple) else None
    else:
        return
    if not _is_local(host):
        _strays.append(f"{event} {host!r}")
        raise OSError(errno.ENETUNREACH, f"a test reached for {host!r}")


sys.addaudithook(_watch_sockets)


# --- Every thread runs, measured or not ---------------------------------------------


class _PatientSys:
    """`sys` as `threading` sees it, under coverage.

    Each new thread installs the tracer. That asks the audit hook above, which may let
    another thread in; CPython 3.11 refuses that one its tracer, and it never runs.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @staticmethod
    def settrace(tracer: Any) -> None:
        for _ in range(1000):
            try:
                return sys.settrace(tracer)
            except RuntimeError:
                time.sleep(0.001)
        return sys.settrace(tracer)


if threading.gettrace() is not None:
    threading._sys = _PatientSys()  # type: ignore[attr-defined]


# --- Nothing waits for another test -------------------------------------------------


@pytest.fixture(autouse=True)
def _turns_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap between connections to one host is the process's; clocks are not."""
    give_every_host_a_turn(monkeypatch)


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of proxies is the test's own word."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


# --- Nothing takes for ever ---------------------------------------------------------


def _all_stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"--- {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Fail the test in the middle of whatever it waits for; else end the run."""
    if not hasattr(signal, "setitimer"):
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        return

    def expired(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"not done in {seconds:g} s\n{_all_stacks()}", pytrace=False)

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- Nothing is left ----------------------------------------------------------------


def pytest_collection_finish() -> None:
    """What the tests themselves are made of is no garbage: a collection is for theirs.

    There are a million objects of it, and going through them takes half a second.
    """
    gc.collect()
    gc.freeze()


def _open_files() -> set[str]:
    """The open descriptors with what they are, where the system tells."""
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return set()
    found = set()
    for number in numbers:
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        # What the tools of the suite themselves keep open, and matplotlib its fonts.
        tools = (".coverage", "coverage.", ".hypothesis", "mpl-data")
        if not any(tool in target for tool in tools):
            found.add(f"{number} -> {target}")
    return found


def _left(threads: set[threading.Thread], files: set[str]) -> list[str]:
    left = [
        f"thread {thread.name!r}"
        for thread in threading.enumerate()
        if thread not in threads and not thread.name.startswith(ABANDONED)
    ]
    return left + [f"descriptor {name}" for name in sorted(_open_files() - files)]


_waited_in_vain = 0


def _left_for_good(threads: set[threading.Thread], files: set[str]) -> list[str]:
    global _waited_in_vain
    patient = _waited_in_vain < PATIENCE
    deadline = time.monotonic() + (GRACE if patient else GRACE / 10)
    while (left := _left(threads, files)) and time.monotonic() < deadline:
        # What only a cycle keeps open is closed here, with a ResourceWarning.
        gc.collect()
        time.sleep(0.01)
    _waited_in_vain += bool(left)
    return left


@pytest.fixture(autouse=True)
def _rules_of_the_suite(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up before and torn down after every other fixture of the test itself."""
    slow = request.node.get_closest_marker("slow")
    threads, files = set(threading.enumerate()), _open_files()
    _strays.clear()
    with _limited(SLOW_TIME_LIMIT if slow else TIME_LIMIT):
        yield
    if left := _left_for_good(threads, files):
        pytest.fail("the test left behind: " + ", ".join(left), pytrace=False)
    if _strays:
        pytest.fail(f"the test left the loopback: {_strays}", pytrace=False)


# --- Reads through shared memory ----------------------------------------------------


@pytest.fixture(params=["thread", "shared"])
def thread_or_shared(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The same test twice: the second time every read goes through shared memory."""
    if request.param == "shared":
        monkeypatch.setattr(okex_ws.pool.pool.Pool, "make_view", make_shared_view)
    return str(request.param)


@pytest.fixture(params=["thread", "isolate"])
def where(request: pytest.FixtureRequest) -> dict[str, bool]:
    """The same test twice, with real sockets: on a thread, and in a process."""
    return {"isolate": True} if request.param == "isolate" else {}


# --- Recordings ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def captures() -> Callable[[str], Path]:
    """The path of a recording by its name under the captures, or a visible skip."""

    def find(name: str) -> Path:
        if not CAPTURES.is_dir():
            pytest.skip("recordings are not on this machine (../shared/captures)")
        return CAPTURES / name

    return find
