"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

import okex_ws
from okex_ws.cli import main, parser
from tests.support.cli_running import environment

COMMANDS = [
    name
    for action in parser()._actions
    if isinstance(action.choices, dict)
    for name in action.choices
]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_the_help_is_worth_reading(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])

    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "examples:" in said
    assert f"okex-ws {command[0]}" in said if command else "COMMAND" in said
    assert "exit codes: 0 good" in said


@pytest.mark.parametrize("arguments", [[], ["wach"], ["watch", "--jsn"]])
def test_what_is_no_command_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: okex-ws" in capsys.readouterr().err


def test_the_version_is_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"okex-ws {okex_ws.__version__}\n"


@pytest.mark.parametrize("state", ["None", "closed"])
def test_a_command_runs_where_there_is_no_output(state: str) -> None:
    """As under ``pythonw``; a wrong argument is still the exit code 2."""
    gone = {
        "None": "sys.stdout = sys.stderr = None",
        "closed": "sys.stdout.close(), sys.stderr.close()",
    }[state]
    code = (
        f"import os, sys; {gone}; before = sys.stdout\n"
        "from okex_ws.cli import main\n"
        "codes = [main(['doctor', '--local'])]\n"
        "for words in ['--help'], ['wach'], ['doctor', '--instrument', '?']:\n"
        "    try: codes.append(main(words))\n"
        "    except SystemExit as ended: codes.append(ended.code)\n"
        "os._exit(7 if codes == [0, 0, 2, 2] and sys.stdout is before else 8)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), timeout=60, check=False
    )

    assert done.returncode == 7


def test_the_help_needs_no_extra() -> None:
    missing = "import sys; sys.modules.update(rich=None, matplotlib=None, trustme=None,"
    missing += " websockets=None, httpx=None)"
    code = f"{missing}; from okex_ws.cli import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
