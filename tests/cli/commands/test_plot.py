"""``okex-ws plot``: a recording as a picture."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from okex_ws.cli import main
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from tests.support import cli_recordings
from tests.support.loopback_servers import untraced


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def test_the_picture_is_named_as_the_recording(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(cli_recordings.broken(path))]) == GOOD

    assert capsys.readouterr() == ("day.png\n", "")
    assert Path("day.png").read_bytes().startswith(b"\x89PNG")


def test_it_is_of_what_is_asked_for(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plot", str(cli_recordings.broken(path)), "BTC-USDT", "--start", "12"]
    assert main([*command, "-o", "x.svg"]) == GOOD

    assert "22:13:32 to 2023-11-14" in Path("x.svg").read_text()
    assert main(["plot", str(path), "ETH-USDT"]) == USAGE
    assert "'ETH-USDT' is not recorded" in capsys.readouterr().err


def test_a_damaged_one_is_drawn_up_to_the_damage(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(cli_recordings.cut(path))]) == FAILED

    assert "is damaged in line" in capsys.readouterr().err
    assert Path("day.png").exists()


def test_without_a_price_there_is_no_picture(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_recordings.write(path, *cli_recordings.session(end=3.0))
    assert main(["plot", str(path)]) == FAILED

    assert "no price of BTC-USDT" in capsys.readouterr().err
    assert not Path("day.png").exists()


def test_a_form_that_is_none_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(cli_recordings.whole(path)), "-o", "x.foo"]) == USAGE
    assert "no picture is a 'foo': take .png" in capsys.readouterr().err


def test_without_a_form_it_names_the_file_that_it_made(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(cli_recordings.whole(path)), "-o", "x"]) == GOOD
    assert capsys.readouterr().out == "x.png\n"
    assert Path("x.png").exists()


def test_a_full_disk_leaves_no_part_of_a_picture(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(_story: object, name: str) -> None:
        Path(name).touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("okex_ws.cli.recordings.picture.draw", draw)
    assert main(["plot", str(cli_recordings.whole(path))]) == FAILED
    assert capsys.readouterr().err == "okex-ws: day.png: No space left on device\n"
    assert not Path("day.png").exists()


def test_the_backend_of_a_notebook_is_not_asked_for(path: Path) -> None:
    """Its package may be missing, and matplotlib would refuse the variable."""
    environment = untraced() | {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline"
    }
    done = subprocess.run(
        [sys.executable, "-m", "okex_ws", "plot", str(cli_recordings.broken(path))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(".png\n")


def test_without_matplotlib_it_names_the_extra(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "okex_ws.cli.recordings.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    assert main(["plot", str(cli_recordings.whole(path))]) == FAILED
    assert "pip install 'okex-ws[plot]'" in capsys.readouterr().err


def test_on_a_terminal_it_says_how_far_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("okex_ws.cli.commands.plot._EVERY", 5)
    assert main(["plot", str(cli_recordings.whole(path))]) == GOOD

    assert " %" in capsys.readouterr().err
