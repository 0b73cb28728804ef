"""What the README says, done: its programs run, its commands are those that CI runs."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws import State
from okex_ws.cli import main
from okex_ws.local_exchange import Instrument, LocalExchange
from okex_ws.model.venues import VENUES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")

# Every program, with the block of output that follows it, if one does.
PROGRAMS = re.findall(
    r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", README, flags=re.DOTALL
)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, flags=re.DOTALL)
# What is typed in a terminal, in its order.
TYPED = re.findall(r"^\$ okex-ws (.*)$", README, flags=re.MULTILINE)

OKX = (
    Instrument("spot", "BTC-USDT", price="60000.0", tick="0.1", lot="0.0001"),
    Instrument("spot", "ETH-USDT", price="2500.00", tick="0.01", lot="0.001"),
    Instrument("spot", "SOL-USDT", price="150.00", tick="0.01", lot="0.01"),
    Instrument("swap", "BTC-USDT-SWAP", price="60100.0", tick="0.1"),
)


@pytest.fixture
def okx_is_local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here, ``venue="okx"`` means an exchange on this machine, which knows the user."""
    with LocalExchange(instruments=OKX) as exchange:
        local = dataclasses.replace(exchange.venue_v5, name="okx")
        monkeypatch.setitem(VENUES, "okx", local)
        for name in ("api_key", "secret_key", "passphrase"):
            value = getattr(exchange.credentials[0], name)
            monkeypatch.setenv(f"OKX_{name.upper()}", value)
        yield


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """The README's programs may set up logging; the next test finds none of it."""
    root, library = logging.getLogger(), logging.getLogger("okex_ws")
    handlers, levels = root.handlers[:], (root.level, library.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    library.setLevel(levels[1])


def shape(output: str) -> list[str]:
    """*output* with every number replaced by the same one, line by line."""
    return [re.sub(r"-?\d+(?:\.\d+)?", "0", line) for line in output.splitlines()]


@pytest.mark.usefixtures("okx_is_local", "logging_as_before")
@pytest.mark.parametrize(
    ("program", "output"), PROGRAMS, ids=[p[:40].split("\n")[0] for p, _ in PROGRAMS]
)
def test_a_program_prints_what_the_readme_shows(
    program: str,
    output: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if "import pandas" in program:
        # The extra "test" has it; the further interpreters of CI do without.
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {"__name__": "__main__"}
    exec(compile(program, "README.md", "exec"), made)
    for name, test in list(made.items()):
        if name.startswith("test_"):
            assert callable(test)
            test()

    printed = capsys.readouterr().out
    if output:
        assert shape(printed) == shape(output)


@pytest.mark.usefixtures("okx_is_local")
def test_what_is_typed_does_what_is_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    said = []
    for line in TYPED:
        # A day is half a second here.
        words = shlex.split(line.replace("--for 86400", "--for 0.5"))
        words += ["--once"] if words[0] == "watch" else []
        assert main(words) == 0, (line, capsys.readouterr())
        said.append(capsys.readouterr().out)

    assert [line.split()[0] for line in TYPED] == ["watch", "record", "replay", "plot"]
    assert '"type": "book"' in said[2]
    assert said[3] == "day.png\n"
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_programs_are_clean_to_a_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    paths = [tmp_path / f"program_{number}.py" for number in range(len(PROGRAMS))]
    for path, (program, _) in zip(paths, PROGRAMS, strict=True):
        path.write_text(program, "utf-8")
    # The project's own settings, with which the pin need have no types.
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *options, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
    )

    assert (done.returncode, done.stdout + done.stderr) == (
        0,
        f"Success: no issues found in {len(paths)} source files\n",
    )


def test_every_option_of_the_monitor_is_named() -> None:
    monitor = (ROOT / "examples" / "monitor.py").read_text("utf-8")
    options = set(re.findall(r'"(--[a-z]+)"', monitor))

    assert options
    assert {option for option in options if f"`{option}" not in README} == set()


def test_the_shape_of_output_sees_more_than_numbers() -> None:
    assert shape("7 / 8.5") == shape("10.25 / 9")
    assert shape("LIVE 7") != shape("STALE 7")


def test_the_first_program_has_ten_lines() -> None:
    lines = [line for line in PROGRAMS[0][0].splitlines() if line]

    assert len(lines) == 10


@pytest.mark.parametrize("command", COMMANDS[:2])
def test_ci_runs_the_two_commands_as_they_stand(command: str) -> None:
    assert f'"{command}"' in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_contributing_page_has_the_same_test_command() -> None:
    assert COMMANDS[1] in (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")


def test_every_state_has_its_row() -> None:
    rows = re.findall(r"^\| `([A-Z]+)` \|.*\| (.*?) \|$", README, flags=re.MULTILINE)

    assert [state for state, _ in rows] == [str(state) for state in State]
    assert {state for state, read in rows if "None" not in read} == {"LIVE"}


def test_every_venue_is_named() -> None:
    for venue in VENUES.values():
        assert f"`{venue.name}`" in README
        assert venue.endpoints[0] in README


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 400
