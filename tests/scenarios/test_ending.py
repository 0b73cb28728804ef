"""How a program ends, or is stopped, with a feed open: seen from outside.

Each runs in a process of its own against an exchange in this one. Silent means that
nothing is on its stderr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws.local_exchange import LocalExchange
from tests.support.loopback_servers import untraced

# Seconds that no end takes: a program that hangs is killed.
LIMIT = 30.0
# Each warning is an error, but for the one that is due to who leaves a feed open: see
# `test_unclosed`.
STRICT = ("-W", "error", "-W", "ignore:unclosed <WSSubscription:ResourceWarning")

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# Behind the rest: what is in the folder of the tests hides nothing of a program's own.
START = f"""
import atexit, os, signal, sys, threading, time
from okex_ws import Feed, Timeouts, Venue, WSSubscription
sys.path.append({str(Path(__file__).parents[2])!r})
from tests.support.internals import process_of

venue = Venue("local", "v5", (sys.argv[1],))
keywords = dict(lease=2.0, timeouts=Timeouts(pong=1.0))
keywords |= dict(isolate=True) if sys.argv[2:] else dict()

def subscribe(**more):
    return WSSubscription("BTC-USDT", "spot", venue=venue, **keywords, **more)

def say(*words):
    # Not print, which a signal handler may interrupt, and then not call.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(history=0) as exchange:
        yield exchange


def begin(
    exchange: LocalExchange, program: str, where: object = None
) -> subprocess.Popen[str]:
    """Start *program*; it may use what `START` has."""
    words = [sys.executable, *STRICT, "-c", START + textwrap.dedent(program)]
    return subprocess.Popen(
        [*words, exchange.url_v5, *(["isolate"] if where else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The tracer of coverage has a lock, which a signal handler can find taken by
        # the very thread that it interrupted.
        env=untraced(),
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, and all that it said."""
    try:
        said, wrong = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, wrong = process.communicate()
        pytest.fail(f"it did not end: {said!r} {wrong!r}")
    return process.returncode, said, wrong


def heard(process: subprocess.Popen[str]) -> str:
    """The next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("callbacks", ["inline", "thread"])
def test_a_program_may_end_with_its_feed_open(
    exchange: LocalExchange, callbacks: str
) -> None:
    program = f"""
    okx = subscribe(callbacks={callbacks!r}, on_message=lambda text: None)
    okx.wait_live(20)
    say(okx.state)
    """
    assert end(begin(exchange, program)) == (0, "LIVE\n", "")


def test_a_program_may_end_while_a_callback_blocks(exchange: LocalExchange) -> None:
    program = """
    there = threading.Event()
    okx = subscribe(on_message=lambda text: (there.set(), time.sleep(1000)))
    there.wait(20)
    say("blocked")
    """
    assert end(begin(exchange, program)) == (0, "blocked\n", "")


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1])
def test_a_program_may_end_while_it_connects(
    exchange: LocalExchange, wait: float, where: object
) -> None:
    exchange.slow_handshake(60)
    program = f"okx = subscribe(); time.sleep({wait}); say('bye')"
    assert end(begin(exchange, program, where)) == (0, "bye\n", "")


def test_a_feed_can_be_closed_at_exit(exchange: LocalExchange, where: object) -> None:
    program = """
    okx = subscribe()
    atexit.register(lambda: say("closed", okx.close(10), threading.active_count()))
    okx.wait_live(20)
    """
    assert end(begin(exchange, program, where)) == (0, "closed True 1\n", "")


def until_it_sleeps(pid: int) -> None:
    """Wait until the main thread of a process has waited ten looks in a row."""
    stat, asleep, give_up = Path(f"/proc/{pid}/stat"), 0, time.monotonic() + 10
    while stat.exists() and asleep < 10:
        assert time.monotonic() < give_up
        asleep = asleep + 1 if stat.read_text().rpartition(")")[2][1] == "S" else 0
        time.sleep(0.01)


@posix
@pytest.mark.parametrize("where", ["reading", "waiting", "iterating"])
def test_a_feed_can_be_closed_in_a_signal_handler(
    exchange: LocalExchange, where: str
) -> None:
    program = f"""
    okx = subscribe()

    def leave(number, frame):
        say("closed", okx.close(10))
        sys.exit(7)

    signal.signal(signal.SIGTERM, leave)
    okx.wait_live(20)
    other = Feed(venue)
    items = okx.updates()
    # Before it is ready: what is being made when the signal comes is nobody's yet.
    if {where!r} == "waiting":
        silent = WSSubscription("BTC-USD-SWAP", "swap", feed=other)
    say("ready")
    while {where!r} == "reading":
        okx.GetDepth()
    if {where!r} == "waiting":
        silent.wait_live(None)
    for item in items:
        pass
    time.sleep(1000)
    """
    if where == "waiting":
        exchange.ignore_subscribe("books5:BTC-USD-SWAP")
    process = begin(exchange, program)
    assert heard(process) == "ready"
    if where != "reading":
        # As it takes an item it has a lock that `close` would wait for; see there.
        until_it_sleeps(process.pid)

    process.send_signal(signal.SIGTERM)

    assert end(process) == (7, "closed True\n", "")


@posix
def test_ctrl_c_in_a_wait_ends_the_program_as_python_does(
    exchange: LocalExchange, where: object
) -> None:
    exchange.ignore_subscribe("books5:BTC-USDT")
    program = """
    say("ready")
    with subscribe() as okx:
        okx.wait_live(None)
    """
    process = begin(exchange, program, where)
    assert heard(process) == "ready"
    assert exchange.wait_for(lambda: exchange.clients, LIMIT)

    process.send_signal(signal.SIGINT)

    code, said, wrong = end(process)
    assert (code, said) == (-signal.SIGINT, "")
    assert wrong.rstrip().endswith("KeyboardInterrupt")


@posix
def test_a_process_that_was_stopped_gives_no_price_when_it_goes_on(
    exchange: LocalExchange,
) -> None:
    """Its lease ended meanwhile; its own thread need not have noticed."""
    program = """
    okx = subscribe()
    okx.wait_live(20)
    before, epoch = time.monotonic(), okx.health().epoch
    say("ready")
    while (now := time.monotonic()) - before < 2.0:  # until it was stopped
        before = now
    first = okx.health()
    # Its own thread may have gone on before this one: then with a new proof.
    say(first.state != "LIVE" or first.epoch > epoch)
    okx.wait_live(20)
    say(okx.state, okx.health().epoch > epoch)
    """
    process = begin(exchange, program)
    assert heard(process) == "ready"
    process.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    process.send_signal(signal.SIGCONT)

    code, said, _ = end(process)

    assert (code, said) == (0, "True\nLIVE True\n")


@posix
def test_a_forked_child_ends_at_once_and_the_parents_feed_goes_on(
    exchange: LocalExchange, where: object
) -> None:
    program = """
    okx = subscribe()
    okx.wait_live(20)
    child = os.fork()
    if child == 0:
        say("child", okx.state, okx.GetDepth(), okx.close())
        sys.exit(3)
    _, status = os.waitpid(child, 0)
    say("parent", os.waitstatus_to_exitcode(status), okx.state)
    """
    code, said, _ = end(begin(exchange, program, where))
    # Python 3.12 warns of a fork with threads, and rightly so.
    assert (code, said) == (0, "child CLOSED {} True\nparent 3 LIVE\n")


# --- With a process of its own ------------------------------------------------------


def reader_of(process: subprocess.Popen[str]) -> int:
    """The number of the process that reads for it."""
    return int(heard(process))


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    # Of one whose parent is gone the system's first process need not be quick.
    with open(f"/proc/{number}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def wait_gone(number: int) -> None:
    deadline = time.monotonic() + LIMIT
    while not is_gone(number):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


ISOLATED = """
okx = subscribe()
okx.wait_live(20)
reader = process_of(okx).pid
say(reader)
"""


@posix
@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("", 0),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(reader, signal.SIGSTOP)\nokx.close()", 0),
    ],
)
def test_whatever_way_a_program_ends_its_reader_does(
    exchange: LocalExchange, program: str, code: int
) -> None:
    process = begin(exchange, ISOLATED + program, "isolate")
    reader = reader_of(process)

    assert end(process)[0] == code
    wait_gone(reader)
    assert exchange.wait_for(lambda: exchange.clients == 0, LIMIT)


@posix
def test_a_reader_whose_program_is_killed_while_it_starts_ends(
    exchange: LocalExchange,
) -> None:
    program = """
    okx = subscribe()
    while process_of(okx) is None:
        pass
    say(process_of(okx).pid)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    process = begin(exchange, program, "isolate")
    reader = reader_of(process)

    assert end(process)[0] == -signal.SIGKILL
    wait_gone(reader)


@posix
def test_a_program_that_was_forked_off_keeps_no_reader_alive(
    exchange: LocalExchange,
) -> None:
    program = """
    if os.fork() == 0:
        sys.stdout.close(), sys.stderr.close()
        os.close(1), os.close(2)
        time.sleep(1000)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    words = [sys.executable, "-c", START + ISOLATED + textwrap.dedent(program)]
    process = subprocess.Popen(
        [*words, exchange.url_v5, "isolate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=untraced(),
        start_new_session=True,
    )
    reader = reader_of(process)
    try:
        assert end(process)[0] == -signal.SIGKILL
        wait_gone(reader)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@posix
def test_ctrl_c_on_the_terminal_is_for_the_program_alone(
    exchange: LocalExchange,
) -> None:
    """It goes to every process of the group; the prices of its last words are live."""
    program = """
    def stop(number, frame):
        time.sleep(0.5)
        say(okx.state, okx.stats().reconnects, bool(okx.GetDepth()))
        sys.exit(5)
    signal.signal(signal.SIGINT, stop)
    say("ready")
    while True:
        time.sleep(0.01)
    """
    words = [sys.executable, "-c", START + ISOLATED + textwrap.dedent(program)]
    process = subprocess.Popen(
        [*words, exchange.url_v5, "isolate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=untraced(),
        start_new_session=True,
    )
    reader = reader_of(process)
    assert heard(process) == "ready"

    os.killpg(process.pid, signal.SIGINT)

    assert end(process) == (5, "LIVE {} True\n", "")
    wait_gone(reader)


@posix
def test_ctrl_c_while_it_starts_breaks_no_reader(exchange: LocalExchange) -> None:
    program = """
    signal.signal(signal.SIGINT, lambda number, frame: None)
    okx = subscribe()
    while process_of(okx) is None:
        pass
    say("started")
    okx.wait_live(20)
    say(okx.state, okx.stats().reconnects)
    """
    words = [sys.executable, "-c", START + textwrap.dedent(program)]
    process = subprocess.Popen(
        [*words, exchange.url_v5, "isolate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=untraced(),
        start_new_session=True,
    )
    assert heard(process) == "started"
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.005)

    assert end(process) == (0, "LIVE {}\n", "")


@posix
def test_a_main_module_is_not_run_again(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    """Without any ``if __name__ == "__main__"``, in a folder with traps."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    path = tmp_path / "program.py"
    path.write_text(
        "import sys\n"
        "sys.path.pop(0)\n"
        "print('once', flush=True)\n"
        "from okex_ws import Venue, WSSubscription\n"
        "venue = Venue('local', 'v5', (sys.argv[1],))\n"
        "okx = WSSubscription('BTC-USDT', 'spot', venue=venue, isolate=True)\n"
        "okx.wait_live(20)\n"
        "print(okx.state)\n"
    )
    done = subprocess.run(
        [sys.executable, *STRICT, str(path), exchange.url_v5],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=tmp_path,
        env=untraced(),
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "once\nLIVE\n", "")
