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

import pytest
from tests.peers import untraced

from okex_ws.local_exchange import LocalExchange

# Seconds that no end takes: a program that hangs is killed.
LIMIT = 30.0

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

START = """
import atexit, os, signal, sys, threading, time
from okex_ws import Feed, Timeouts, Venue, WSSubscription

venue = Venue("local", "v5", (sys.argv[1],))
keywords = {"probe_interval": 0.5, "timeouts": Timeouts(pong=1.0)}

def subscribe(**more):
    return WSSubscription("BTC-USDT", "spot", venue=venue, **keywords, **more)

def say(*words):
    print(*words, flush=True)
"""


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(history=0) as exchange:
        yield exchange


def begin(exchange: LocalExchange, program: str) -> subprocess.Popen[str]:
    """Start *program*; it may use what `START` has."""
    return subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(program), exchange.url_v5],
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
    exchange: LocalExchange, wait: float
) -> None:
    exchange.slow_handshake(60)
    program = f"okx = subscribe(); time.sleep({wait}); say('bye')"
    assert end(begin(exchange, program)) == (0, "bye\n", "")


def test_a_feed_can_be_closed_at_exit(exchange: LocalExchange) -> None:
    program = """
    okx = subscribe()
    atexit.register(lambda: say("closed", okx.close(10), threading.active_count()))
    okx.wait_live(20)
    """
    assert end(begin(exchange, program)) == (0, "closed True 1\n", "")


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
    say("ready")
    while {where!r} == "reading":
        okx.GetDepth()
    if {where!r} == "waiting":
        WSSubscription("BTC-USD-SWAP", "swap", feed=other).wait_live(None)
    for item in items:
        pass
    time.sleep(1000)
    """
    if where == "waiting":
        exchange.ignore_subscribe("books5:BTC-USD-SWAP")
    process = begin(exchange, program)
    assert heard(process) == "ready"

    process.send_signal(signal.SIGTERM)

    assert end(process) == (7, "closed True\n", "")


@posix
def test_ctrl_c_in_a_wait_ends_the_program_as_python_does(
    exchange: LocalExchange,
) -> None:
    exchange.ignore_subscribe("books5:BTC-USDT")
    program = """
    say("ready")
    with subscribe() as okx:
        okx.wait_live(None)
    """
    process = begin(exchange, program)
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
    say("ready")
    before, epoch = time.monotonic(), okx.health().epoch
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
    exchange: LocalExchange,
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
    code, said, _ = end(begin(exchange, program))
    # Python 3.12 warns of a fork with threads, and rightly so.
    assert (code, said) == (0, "child CLOSED {} True\nparent 3 LIVE\n")
