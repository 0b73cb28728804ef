"""The recorder: nobody waits for its disk, and what is missing is told."""

from __future__ import annotations

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    Credentials,
    Feed,
    OkexWSError,
    RawSubscription,
    Recorder,
    RecordingFailed,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.protocol.messages import DepthData
from okex_ws.recording import recorder as module
from okex_ws.recording.format import read
from okex_ws.recording.keyframes import MADE
from tests.support.clocks import FakeClock
from tests.support.internals import file_of, set_file
from tests.support.recorder_taps import FACTS, URL, hear, open_tap, until
from tests.support.recordings import readable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def texts(path: Path) -> list[str]:
    return [entry.payload.decode() for entry in read(path) if entry.kind == "in"]


def losses(path: Path) -> list[tuple[int, str]]:
    return [
        (entry.facts["count"], entry.facts["why"])
        for entry in read(path)
        if entry.kind == "lost"
    ]


# --- What is kept -------------------------------------------------------------------


def test_what_came_is_there_once_it_is_closed(path: Path) -> None:
    with Recorder(path) as recorder:
        tap = open_tap(recorder)
        for n in range(3000):
            hear(tap, f"a {n}", f"b {n}")

    assert texts(path) == [f"{name} {n}" for n in range(3000) for name in "ab"]
    assert (recorder.lost, recorder.path) == (0, str(path))
    assert "closed" in repr(recorder)


def test_one_that_heard_nothing_is_a_whole_recording(path: Path) -> None:
    recorder = Recorder(path)
    assert "recording" in repr(recorder)
    assert recorder.close()
    assert recorder.close()

    assert list(read(path)) == []


def test_what_comes_after_its_end_is_nobodys(path: Path) -> None:
    recorder = Recorder(path)
    tap = open_tap(recorder)
    recorder.close()
    hear(tap, "late")

    assert texts(path) == []
    assert recorder.lost == 0


def test_many_threads_may_put(path: Path) -> None:
    with Recorder(path) as recorder:

        def talk() -> None:
            tap = open_tap(recorder)
            for n in range(200):
                hear(tap, str(n))

        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    entries = list(read(path))
    for number in range(1, 5):
        mine = [each for each in entries if each.connection == number]
        assert [each.payload for each in mine[1:]] == [b"%d" % n for n in range(200)]


def test_it_is_one_file_after_the_other_each_with_who_is_open(path: Path) -> None:
    with Recorder(path, max_bytes=1) as recorder:
        first, second = open_tap(recorder), open_tap(recorder)
        until(lambda: path.with_name("day.1.rec.gz").exists())
        first.ended(URL, None)
        hear(second, "one")
        until(lambda: path.with_name("day.2.rec.gz").exists())
        hear(second, "two")

    part = list(read(path.with_name("day.2.rec.gz")))
    assert [each.connection for each in part if each.facts.get("again")] == [2]
    assert texts(path) == ["one", "two"]
    assert not any(entry.facts.get("again") for entry in read(path))


def test_keyframes_are_asked_for_again_and_again(path: Path) -> None:
    asked: list[int] = []
    with Recorder(path, keyframes=1e-9) as recorder:
        tap = recorder.tap(FakeClock(), FACTS, None, print, lambda: asked.append(1))
        tap.opened(URL)
        until(lambda: asked)
        count = len(asked)
        hear(tap, "more")
        until(lambda: len(asked) > count)
    rare: list[int] = []
    with Recorder(path.with_name("rare.rec.gz"), keyframes=math.inf) as recorder:
        tap = recorder.tap(FakeClock(), FACTS, None, print, lambda: rare.append(1))
        tap.opened(URL)
        hear(tap, "one")
    assert rare == []


def test_a_part_begins_with_keyframes_and_they_alone_fill_none(path: Path) -> None:
    depth = DepthData((("1", "2", "0", "1"),), (), 1_700_000_000_000, 7)
    with Recorder(path, max_bytes=1, keyframes=math.inf) as recorder:

        def ask() -> None:
            tap.keyframe("books:BTC-USDT", depth, True)
            tap.keyframe("trades:BTC-USDT", None, False)

        tap = recorder.tap(FakeClock(), FACTS, None, print, ask)
        tap.opened(URL)
        until(lambda: path.with_name("day.1.rec.gz").exists())

    assert not path.with_name("day.2.rec.gz").exists()
    kinds = [entry.kind for entry in read(path.with_name("day.1.rec.gz"))]
    assert kinds == ["open", "keyframe", "keyframe"]
    book, trades = list(read(path))[-2:]
    assert book.payload.decode().startswith(MADE)
    assert (book.facts["channel"], trades.payload) == ("books:BTC-USDT", b"")


def test_a_connection_that_is_not_open_has_no_keyframe(path: Path) -> None:
    with Recorder(path) as recorder:
        tap = open_tap(recorder)
        tap.ended(URL, None)
        tap.keyframe("books:BTC-USDT", None, True)

    assert [entry.kind for entry in read(path)] == ["open", "end"]


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"max_bytes": 0}, ValueError),
        ({"max_bytes": 1.5}, TypeError),
        ({"max_bytes": True}, TypeError),
        ({"max_seconds": 0}, ValueError),
        ({"max_seconds": float("inf")}, ValueError),
        ({"max_seconds": "60"}, TypeError),
        ({"keyframes": 0}, ValueError),
        ({"keyframes": float("nan")}, ValueError),
        ({"keyframes": None}, TypeError),
    ],
)
def test_limits_that_are_none_are_refused(
    path: Path, limits: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Recorder(path, **limits)
    assert not path.exists()


def test_of_a_private_session_no_secret_is_in_any_of_its_bytes(path: Path) -> None:
    key = Credentials("an-api-key-of-mine", "a-secret/key+of=mine", "a-pass-phrase")
    with LocalExchange(credentials=key) as exchange, Recorder(path) as recorder:
        exchange.reject_login(60009, f"no: {key.api_key} {key.passphrase}", times=1)
        errors: list[Exception] = []
        for _ in range(2):
            with Feed(exchange.venue_v5, credentials=key, recorder=recorder) as feed:
                raw = RawSubscription(
                    [{"channel": "account"}], feed=feed, on_error=errors.append
                )
                until(lambda: errors or raw.state == "LIVE")  # noqa: B023
                errors.clear()
        said = [str(asked.text) for asked in exchange.requests]
    logins = [json.loads(text) for text in said if '"login"' in text]
    signatures = [each["args"][0]["sign"] for each in logins]

    entries = list(read(path))
    data = gzip.decompress(path.read_bytes()).decode()
    for entry in entries:
        data += entry.payload.decode("latin-1")
    assert len(signatures) == 2
    assert data.count('"args":"redacted"') >= 2
    assert '"account"' in data
    for secret in (key.api_key, key.secret_key, key.passphrase, *signatures):
        assert secret not in data


# --- What is not --------------------------------------------------------------------


def test_what_no_queue_holds_is_counted_where_it_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1000)
    with Recorder(path) as recorder:
        tap = open_tap(recorder)
        hear(tap, "kept")
        hear(tap, "x" * 1000, "lost too")
        hear(tap, "kept as well")
        hear(tap, "y" * 1000)

    assert texts(path) == ["kept", "kept as well"]
    assert losses(path) == [(2, "too slow"), (1, "too slow")]
    kinds = [entry.kind for entry in read(path)]
    assert kinds == ["open", "in", "lost", "in", "lost"]
    assert recorder.lost == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_full_device_ends_nothing_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[OkexWSError] = []
    recorder = Recorder(path)
    good = file_of(recorder)
    full = os.open("/dev/full", os.O_WRONLY)
    set_file(recorder, full)
    tap = open_tap(recorder, told.append)
    until(lambda: told)
    hear(tap, "lost", "as well")
    until(lambda: recorder.lost == 3)
    # There is room again.
    set_file(recorder, good)
    os.close(full)
    hear(tap, "kept")
    assert recorder.close()

    assert texts(path) == ["kept"]
    assert losses(path) == [(3, "No space left on device")]
    (failure,) = told
    assert isinstance(failure, RecordingFailed)
    assert (failure.reason, failure.lost) == ("No space left on device", 1)
    assert str(path) in str(failure)
    assert isinstance(failure.__cause__, OSError)
    assert [each.getMessage() for each in caplog.records] == [str(failure)]


def test_the_feed_goes_on_and_its_on_error_is_told(path: Path) -> None:
    # A file may not become larger than that: the system's own limit, in a process of
    # its own, which has a whole feed in it.
    pytest.importorskip("resource")
    done = run(path, "fill")

    assert done.returncode == 0, done.stderr
    told, live = done.stdout.split()
    assert int(told) >= 1
    assert live == "LIVE"
    assert len(readable(path)[0]) > 10
    assert path.stat().st_size <= 8192


def test_a_crash_loses_the_last_second_at_most_and_never_the_file(path: Path) -> None:
    process = start(path, "crash")
    assert process.stdout is not None
    last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    found, damage = readable(path)
    assert damage is not None
    assert damage.why == "it is cut off here"
    said = [int(entry.payload) for entry in found if entry.kind == "in"]
    assert said == list(range(len(said)))
    assert said[-1] >= last
    assert damage.line == len(found) + 2


def test_a_script_that_ends_without_a_word_has_recorded_all(path: Path) -> None:
    done = run(path, "end")

    assert done.returncode == 0, done.stderr
    assert texts(path) == [str(n) for n in range(100)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_nothing_and_the_parent_goes_on(path: Path) -> None:
    done = run(path, "fork")

    assert done.returncode == 0, done.stderr
    assert texts(path) == ["before", "after"]


PROGRAM = Path(__file__).parents[1] / "support" / "recorder_program.py"


def run(path: Path, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(path), what]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def start(path: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(path), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
