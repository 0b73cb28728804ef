"""A signal handler that closes, or raises, at any line: nothing hangs, nothing is lost.

`every_line` calls the handler where a signal could: on the thread that runs the code.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from okex_ws import ConnectionLost, OkexWSError, Recorder, Venue
from okex_ws.base.clock import SystemClock
from okex_ws.recording.format import read
from okex_ws.rest import Rest
from tests.support.internals import is_disposed
from tests.support.line_hooks import every_line, raising
from tests.support.recorder_taps import hear, open_tap

WAIT = 20.0
TIME = {"code": "0", "msg": "", "data": [{"ts": "1597026383085"}]}


def venue(port: int = 1) -> Venue:
    rest = f"http://127.0.0.1:{port}"
    return Venue("here", "v5", ("ws://127.0.0.1:1/ws/v5",), rest=rest)


def answering() -> Rest:
    """A client that is answered at once, with a request budget of its own."""
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json=TIME))
    return Rest(venue(), transport=answer, clock=SystemClock())


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# --- Rest ---------------------------------------------------------------------------


def test_a_client_is_closed_in_a_signal_handler_at_any_line_of_a_request() -> None:
    rest = answering()
    for hook in every_line(lambda: rest.close()):  # noqa: B023
        rest = answering()
        with suppress(ConnectionLost), hook:
            rest.time()
        if hook.fired:
            assert is_disposed(rest), hook.place
            with pytest.raises(ConnectionLost, match="closed"):
                rest.time()
        rest.close()


def test_an_interrupt_at_any_line_of_a_request_leaves_a_client_that_works() -> None:
    for hook in every_line(raising(KeyboardInterrupt())):
        with answering() as rest:
            with suppress(KeyboardInterrupt), hook:
                rest.time()
            other: list[object] = []
            thread = threading.Thread(
                target=lambda rest=rest, other=other: other.append(rest.time())
            )
            thread.start()
            thread.join(WAIT)
            assert other, hook.place


def test_a_request_in_a_signal_handler_is_answered_or_refused() -> None:
    ended: list[object] = []
    rest = answering()

    def ask() -> None:
        try:
            ended.append(rest.time())
        except RuntimeError as error:
            ended.append("another client" in str(error) or error)

    for hook in every_line(ask):
        rest.close()
        rest = answering()
        ended.clear()
        with hook:
            assert rest.time().year == 2020, hook.place
        assert len(ended) == hook.fired, hook.place
        assert ended in ([], [True]) or isinstance(ended[0], datetime), hook.place
    rest.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
def test_a_real_signal_closes_a_client_that_waits_for_its_answer(
    silent_server: int,
) -> None:
    rest = Rest(venue(silent_server), retries=0)
    before = signal.signal(signal.SIGUSR1, lambda *_: rest.close())
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(OkexWSError):
            rest.time()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert is_disposed(rest)


# --- A recorder ---------------------------------------------------------------------


def test_a_recorder_is_closed_in_a_signal_handler_at_any_line(tmp_path: Path) -> None:
    number = 0
    for call in ("close", "tap"):
        recorder = Recorder(tmp_path / f"{call}.rec.gz")
        for hook in every_line(lambda: recorder.close(WAIT)):  # noqa: B023
            recorder.close()
            number += 1
            path = tmp_path / f"{number}.rec.gz"
            recorder = Recorder(path)
            tap = open_tap(recorder)
            hear(tap, "one")
            with hook:
                if call == "close":
                    recorder.close(WAIT)
                else:
                    open_tap(recorder)
            assert recorder.close(WAIT), hook.place
            kept = [entry.payload for entry in read(path) if entry.kind == "in"]
            assert kept == [b"one"], hook.place
