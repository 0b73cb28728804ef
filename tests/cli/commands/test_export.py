"""``okex-ws export``: a recording as files of other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from okex_ws.cli import main
from okex_ws.cli.commands import export
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from tests.support import cli_recordings
from tests.support.imports import forget_import

pytest.importorskip("pyarrow")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return cli_recordings.broken(tmp_path / "day.rec.gz")


def test_it_prints_the_path_of_each_file(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    assert main(["export", str(path), "-o", str(out), "--form", "csv"]) == GOOD

    printed = capsys.readouterr().out.splitlines()
    assert printed == sorted(str(each) for each in out.rglob("*.csv"))
    states = next(each for each in printed if each.endswith("states.csv"))
    assert "RECONNECTING" in Path(states).read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], USAGE, "-o/--out"),
        (["-o", "x", "--tables", "bbos"], USAGE, "tables are some of"),
        (["-o", "x", "--form", "xlsx"], USAGE, "invalid choice"),
        (["XRP-USDT", "-o", "x"], USAGE, "recorded are BTC-USDT"),
        (["-o", __file__], FAILED, ""),
    ],
)
def test_what_is_wrong_is_told(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    reason: str,
) -> None:
    try:
        ended: object = main(["export", str(path), *arguments])
    except SystemExit as error:
        ended = error.code

    assert (ended, reason in capsys.readouterr().err) == (code, True)


def test_without_the_extra_it_says_what_to_install(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_import(monkeypatch, "okex_ws.research")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert main(["export", str(path), "-o", "x"]) == FAILED
    assert "pip install 'okex-ws[frames]'" in capsys.readouterr().err


def test_the_command_knows_the_forms() -> None:
    from okex_ws.research.recording_export import FORMS, TABLES

    assert FORMS == export.FORMS
    assert {*export.TABLES} < {*TABLES}
