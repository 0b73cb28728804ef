"""A recording opened for a command."""

from __future__ import annotations

import argparse
import itertools
import logging
from datetime import datetime, timezone
from pathlib import Path

import pytest

from okex_ws import Depth, RecordingDamaged, State, StateChange
from okex_ws.cli.exits import USAGE, Failure
from okex_ws.cli.recordings.played import chosen, moment, open_recording, played
from tests.support import cli_recordings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def test_every_item_comes_once_and_the_end_is_none(path: Path) -> None:
    cli_recordings.whole(path)
    with open_recording(str(path), None, None) as replay:
        items = list(played(replay, chosen(replay, ["BTC-USDT"]), None))

    assert len([each for each in items if isinstance(each, Depth)]) == len(
        cli_recordings.PUSHES
    )
    changes = [each.new for each in items if isinstance(each, StateChange)]
    assert changes == [State.SYNCING, State.LIVE]


def test_a_damage_is_told_after_all_that_is_good(path: Path) -> None:
    cli_recordings.cut(path)
    with open_recording(str(path), None, None) as replay:
        items = played(replay, chosen(replay, ["BTC-USDT"]), None)
        good = list(itertools.islice(items, 5))
        with pytest.raises(RecordingDamaged, match="cut off"):
            list(items)

    assert any(isinstance(each, Depth) for each in good)


def test_what_is_long_past_is_no_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cli_recordings.broken(path)
    with open_recording(str(path), None, None) as replay:
        states = [
            item.new
            for item in played(replay, chosen(replay, ["BTC-USDT"]), None)
            if isinstance(item, StateChange)
        ]

    assert State.RECONNECTING in states
    assert caplog.records == []
    assert logging.getLogger("okex_ws").level != logging.CRITICAL


def test_what_was_not_recorded_is_the_users_mistake(path: Path) -> None:
    cli_recordings.whole(path)
    replay = open_recording(str(path), None, None)
    with replay, pytest.raises(Failure, match="did you mean 'BTC-USDT'") as failed:
        chosen(replay, ["BTC-USDC"])

    assert failed.value.code == USAGE


def test_a_start_outside_is_the_users_mistake(path: Path) -> None:
    cli_recordings.whole(path)
    with pytest.raises(Failure, match="start is within the recording") as failed:
        open_recording(str(path), 1000.0, None)

    assert failed.value.code == USAGE
    with pytest.raises(Failure, match=r"got 2020-01-01T00:00:00\+00:00"):
        open_recording(str(path), moment("2020-01-01"), None)


def test_a_foreign_file_is_no_mistake_of_the_user(path: Path) -> None:
    path.write_bytes(b"hello")
    with pytest.raises(RecordingDamaged):
        open_recording(str(path), None, None)


def test_a_moment_is_seconds_or_a_time_of_utc() -> None:
    at = datetime(2026, 11, 26, 8, 45, tzinfo=timezone.utc)

    assert moment("12.5") == 12.5
    for text in ("2026-11-26T08:45:00", "2026-11-26T08:45Z", "2026-11-26T09:45+01:00"):
        assert moment(text) == at
    for bad in ("", "soon", "-1", "inf", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            moment(bad)
