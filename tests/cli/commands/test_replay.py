"""``okex-ws replay``: the same story, to the byte."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from okex_ws.cli import main
from okex_ws.cli.commands import replay
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from tests.support import cli_recordings
from tests.support.recordings import depth


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def told(
    capsys: pytest.CaptureFixture[str], path: Path, *arguments: str
) -> tuple[int, str]:
    """The exit code, and what was told as fast as it goes."""
    code = main(["replay", str(path), *arguments, "--speed", "max"])
    return code, capsys.readouterr().out


def test_without_an_instrument_it_says_what_is_in_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = told(capsys, cli_recordings.whole(path))

    assert code == GOOD
    assert (
        said.splitlines()
        == [
            "example (v5)  20 s",
            "2023-11-14T22:13:20.000Z to 2023-11-14T22:13:40.000Z",
            "  BTC-USDT        spot      depth5",
        ]
        or "22:13:3" in said
    )
    code, said = told(capsys, path, "--json")
    assert json.loads(said)["channels"] == ["depth5"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_twice_is_the_same_bytes(
    form: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_recordings.broken(path)
    first = told(capsys, path, "BTC-USDT", *form)
    second = told(capsys, path, "--all", *form)

    assert first == second
    assert first[0] == GOOD
    assert len(first[1].splitlines()) > 20


def test_another_digit_is_other_bytes(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = told(capsys, cli_recordings.whole(path), "--all")
    pushes = [
        cli_recordings.heard(1.0, cli_recordings.depth(1.0, "100.3")),
        *cli_recordings.PUSHES[1:],
    ]
    cli_recordings.write(path, *cli_recordings.session(*pushes, end=20.0))
    second = told(capsys, path, "--all")

    assert first != second
    assert second[1].replace("100.3 x 1", "100.1 x 1", 1).count("\n") == (
        first[1].count("\n")
    )


def test_an_outage_is_told_in_plain_text(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = told(capsys, cli_recordings.broken(path), "BTC-USDT")

    assert "LIVE -> RECONNECTING" in said
    assert "cut [red]\ufffd[2J" in said
    assert said.replace("\n", "").isprintable()


def test_it_begins_where_it_is_told(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, whole = told(capsys, cli_recordings.whole(path), "--all")
    _, part = told(capsys, path, "--all", "--start", "10")
    _, less = told(capsys, path, "--all", "--start", "10", "--end", "15")
    assert 0 < len(less) < len(part)

    assert 0 < part.count(" depth ") < whole.count(" depth ")
    assert part.splitlines()[0].startswith("2023-11-14T22:13:30")


def test_it_has_a_pace(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli_recordings.whole(path)
    assert main(["replay", str(path), "--all", "--speed", "200"]) == GOOD

    assert capsys.readouterr().out.count(" depth ") > 0


@pytest.mark.parametrize("instruments", [[], ["--all"]])
def test_a_damaged_one_is_told_up_to_the_damage(
    instruments: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["replay", str(cli_recordings.cut(path)), *instruments]
    assert main([*command, "--speed", "max"]) == FAILED

    out, err = capsys.readouterr()
    assert "BTC-USDT" in out
    assert err.startswith(f"okex-ws: recording {path} is damaged in line ")
    assert err.count("\n") == 1


def test_a_channel_that_was_not_recorded_fails(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = told(
        capsys, cli_recordings.whole(path), "--all", "--channels", "trade"
    )

    assert code == FAILED
    assert "FAILED" in said


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("foreign.gz", FAILED, "line 1: it is no recording of okex_ws"),
        ("none", FAILED, "none: No such"),
    ],
)
def test_what_is_no_recording_is_one_sentence(
    name: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "foreign.gz").write_bytes(b"hello")
    assert main(["replay", str(tmp_path / name)]) == code

    assert said in capsys.readouterr().err


def test_what_was_not_recorded_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(cli_recordings.whole(path)), "ETH-USDT"]) == USAGE
    assert "recorded are BTC-USDT" in capsys.readouterr().err


def test_without_a_recording_nothing_else_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["replay"])

    assert capsys.readouterr().err.endswith("are required: RECORDING\n")


def test_one_without_an_instrument_says_so(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_recordings.write(
        path,
        cli_recordings.opened(0.0),
        cli_recordings.at(1.0, "end", cause="", why="", code=None),
    )
    assert main(["replay", str(path), "--all"]) == GOOD

    said = capsys.readouterr()
    assert said.out == ""
    assert "no channel of an instrument is recorded in" in said.err


def test_a_capture_may_be_named_as_its_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.1.recv.jsonl"
    file.write_text(depth(5.0) + "\n")
    file.with_suffix(".times").write_text("5.0\n")

    assert main(["replay", str(tmp_path / "x.1")]) == GOOD
    told = capsys.readouterr().out
    assert "depth5" in told
    assert main(["replay", str(file)]) == GOOD
    assert capsys.readouterr().out == told


def test_at_whatever_speed_it_is_the_same_to_the_byte(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time that is waited for, and none of it really."""
    path, waits = cli_recordings.broken(tmp_path / "day.rec.gz"), list[float]()
    outputs, now = {}, [0.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: now[0])
    monkeypatch.setattr("okex_ws.cli.recordings.played.time", clock)
    for speed in ("max", "1", "10000"):
        assert main(["replay", str(path), "--all", "--speed", speed]) == GOOD
        outputs[speed] = capsys.readouterr().out

    assert outputs["max"] == outputs["1"] == outputs["10000"]
    assert sum(waits) == pytest.approx(29.0 * (1 + 1 / 10000))


def test_a_speed_is_a_number_or_max() -> None:
    assert replay.speed("max") == math.inf
    assert replay.speed("2.5") == 2.5
    for bad in ("0", "-1", "nan", "fast"):
        with pytest.raises(argparse.ArgumentTypeError):
            replay.speed(bad)


@pytest.mark.parametrize(
    "capture",
    ["v5_OKX.ws.1_20220513", "v5_OKEX.ws.1_20210722", "v3_OKCOIN.ws.1_20210722"],
    ids=["v5", "with a login", "v3"],
)
def test_a_capture_can_be_told(
    capture: str, captures: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = captures(f"cryptofeed/{capture}")
    code, contents = told(capsys, path)
    name = contents.splitlines()[2].split()[0]
    first = told(capsys, path, name)

    assert code == GOOD
    assert first == told(capsys, path, name)
    assert "-> LIVE" in first[1]


@pytest.mark.parametrize(
    "order",
    [
        ["{}", "BTC-USDT", "--speed", "max"],
        ["{}", "--speed", "max", "BTC-USDT"],
        ["--speed", "max", "{}", "--json", "BTC-USDT"],
    ],
)
def test_names_and_options_come_in_any_order(
    path: Path, capsys: pytest.CaptureFixture[str], order: list[str]
) -> None:
    cli_recordings.whole(path)

    assert main(["replay", *(word.format(path) for word in order)]) == GOOD
    assert "depth" in capsys.readouterr().out
