"""The rules of the suite, enforced on every test.

1. Nothing leaves the loopback, not even a name look-up.
2. No test runs longer than its limit.
3. No test leaves a thread, a socket or a file open behind it.
4. A replay of recordings is skipped visibly where there are no recordings.
5. No test waits because an earlier test connected to the same host.
6. No test uses a proxy that the environment of this machine names, nor the drawing
   backend of a notebook from whose shell the tests are run.
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

os.environ.pop("MPLBACKEND", None)

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"

TIME_LIMIT = 60.0
SLOW_TIME_LIMIT = 180.0
# Seconds that a thread or socket may take to close before it counts as left behind. A
# busy machine needs them.
GRACE = 5.0
# So many tests of a run wait `GRACE` in vain, and later ones a tenth of it: a leak in
# one fixture once cost a hundred graces, and with them ten minutes.
PATIENCE = 3
# Threads of this name are left on purpose: the system cannot interrupt a look-up.
ABANDONED = "okex_ws:resolve"

# There are no deadlines: they would assert durations on the real clock. CI always tries
# the same examples.
hypothesis.settings.register_profile(
    "okex_ws",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
# The first of the same examples, for the further interpreters of CI.
hypothesis.settings.register_profile(
    "further", hypothesis.settings.get_profile("okex_ws"), max_examples=20
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
    """`sys` as `threading` sees it under coverage; its `settrace` tries again.

    Each new thread installs coverage's tracer. That runs the audit hook above, in which
    another thread may get its turn. CPython 3.11 refuses that other thread its tracer,
    and the thread would never run.
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
    """Forget when each host was last connected to.

    The gap between connections to one host is kept for the process, but each test has
    its own clock.
    """
    give_every_host_a_turn(monkeypatch)


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment's proxies, so that a test sees only those that it sets."""
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
    """Fail the test after *seconds*, even in the middle of a wait.

    A system without ``setitimer`` ends the whole run instead.
    """
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


# --- Nothing waits at the end -------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``, have a process that is done take tests over from one that is not."""
    from xdist.scheduler import WorkStealingScheduling

    if config.getoption("dist") != "load":
        return None
    return WorkStealingScheduling(config, log)


# --- Nothing is left ----------------------------------------------------------------


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from the objects that the tests are made of.

    There are a million of them, and to go through them takes half a second each time.
    """
    gc.collect()
    gc.freeze()


def _open_files() -> set[str]:
    """The open descriptors and the files behind them, where the system tells."""
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
        # Files that the tools of the suite keep open, and the fonts of matplotlib.
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
        # An object that only a reference cycle keeps open is closed here, with a
        # ResourceWarning.
        gc.collect()
        time.sleep(0.01)
    _waited_in_vain += bool(left)
    return left


@pytest.fixture(autouse=True)
def _rules_of_the_suite(request: pytest.FixtureRequest) -> Iterator[None]:
    """Enforce the rules; it begins before and ends after all other fixtures."""
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
    """Run the test twice: the second time every read goes through shared memory."""
    if request.param == "shared":
        monkeypatch.setattr(okex_ws.pool.pool.Pool, "make_view", make_shared_view)
    return str(request.param)


@pytest.fixture(params=["thread", "isolate"])
def where(request: pytest.FixtureRequest) -> dict[str, bool]:
    """Run the test twice with real sockets: on a thread, and in its own process."""
    return {"isolate": True} if request.param == "isolate" else {}


# --- Recordings ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def captures() -> Callable[[str], Path]:
    """A function that finds a recording by name; without recordings it skips."""

    def find(name: str) -> Path:
        if not CAPTURES.is_dir():
            pytest.skip("recordings are not on this machine (../shared/captures)")
        return CAPTURES / name

    return find
