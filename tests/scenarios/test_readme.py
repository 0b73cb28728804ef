"""What the pages for users say, done: programs run, and commands do what they say.

The pages are the README and those of the guide.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from okex_ws import CauseCode, Feed, State
from okex_ws.cli import main
from okex_ws.local_exchange import Instrument, LocalExchange
from okex_ws.model.exchange_codes import CODES
from okex_ws.model.venues import VENUES
from tests.support.pages import (
    PAGES,
    PROGRAMS,
    README,
    ROOT,
    TOPICS,
    TYPED,
    Program,
    causes,
    codes,
)
from tests.support.recorder_taps import until
from tests.support.redis_server import RedisServer

COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, flags=re.DOTALL)

# The server that programs of the guide name; a test has one on another port.
REDIS = "127.0.0.1:6379"

OKX = (
    Instrument("spot", "BTC-USDT", price="60000.0", tick="0.1", lot="0.0001"),
    Instrument("spot", "ETH-USDT", price="2500.00", tick="0.01", lot="0.001"),
    Instrument("spot", "SOL-USDT", price="150.00", tick="0.01", lot="0.01"),
    Instrument("swap", "BTC-USDT-SWAP", price="60100.0", tick="0.1"),
)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """The README's programs may set up logging; the next test finds none of it."""
    root, library = logging.getLogger(), logging.getLogger("okex_ws")
    handlers, levels = root.handlers[:], (root.level, library.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    library.setLevel(levels[1])


def cut_line(exchange: LocalExchange, program: dict[str, Any]) -> Callable[..., None]:
    """A ``time.sleep`` for *program*: its line is cut, and is back at the next call."""
    steps = iter([(State.RECONNECTING, 30.0), (State.LIVE, 0.0)])

    def sleep(seconds: float) -> None:
        for state, later in islice(steps, 1):
            items = program["okx"].updates(timeout=10)
            # Until the exchange is as before, no further attempt succeeds or fails.
            exchange.slow_handshake(later)
            exchange.drop()
            while getattr(next(items), "new", None) is not state:
                pass

    return sleep


def shape(output: str) -> list[str]:
    """*output* with every number replaced by the same one, line by line."""
    return [re.sub(r"-?\d+(?:\.\d+)?", "0", line) for line in output.splitlines()]


@pytest.mark.local_exchange(instruments=OKX)
@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("program", PROGRAMS, ids=repr)
def test_a_program_prints_what_its_page_shows(
    program: Program,
    okx_is_local: LocalExchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if "pandas" in program.source:
        # The extra "test" has it; the further interpreters of CI do without.
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    source, server = program.source, None
    if REDIS in source:
        server = RedisServer(tmp_path)
        source = source.replace(REDIS, f"127.0.0.1:{server.port}")
    made: dict[str, Any] = {"__name__": "__main__"}
    if program is PROGRAMS[0]:
        monkeypatch.setattr(time, "sleep", cut_line(okx_is_local, made))
    try:
        exec(compile(source, program.page, "exec"), made)
    finally:
        if server is not None:
            server.kill()
    for test in [made[name] for name in made if name.startswith("test_")]:
        test(*[okx_is_local] * len(signature(test).parameters))

    printed = capsys.readouterr().out
    if program.output:
        assert shape(printed) == shape(program.output)


@pytest.mark.local_exchange(instruments=OKX)
@pytest.mark.usefixtures("okx_is_local")
def test_what_is_typed_does_what_is_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for page, line in TYPED:
        # A day is half a second here.
        words = shlex.split(line.replace("--for 86400", "--for 0.5"))
        words += ["--once"] if words[0] == "watch" else []
        assert main(words) == 0, (page, line, capsys.readouterr())
        said[words[0]] = capsys.readouterr().out

    assert {"watch", "record", "replay", "plot", "help"} == set(said)
    assert '"type": "book"' in said["replay"]
    assert said["plot"] == "day.png\n"
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_programs_are_clean_to_a_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    paths = [tmp_path / f"program_{number}.py" for number in range(len(PROGRAMS))]
    for path, program in zip(paths, PROGRAMS, strict=True):
        path.write_text(program.source, "utf-8")
    # The project's own settings, with which the pin need have no types, and what mypy
    # has found out about the library, if it has been run.
    cache = ROOT / ".mypy_cache"
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={cache}"]
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
    assert {o for o in options if f"`{o}" not in TOPICS["terminal"]} == set()


def test_the_shape_of_output_sees_more_than_numbers() -> None:
    assert shape("7 / 8.5") == shape("10.25 / 9")
    assert shape("LIVE 7") != shape("STALE 7")


def test_the_first_program_has_ten_lines() -> None:
    lines = [line for line in PROGRAMS[0].source.splitlines() if line]

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
        assert f"`{venue.name}`" in TOPICS["venues"]
        assert venue.endpoints[0] in TOPICS["venues"]


def test_the_causes_are_those_of_the_enumeration() -> None:
    table = [x for x in TOPICS["causes"].splitlines() if x.startswith("|")]
    named = re.findall(r"`([^`]+)`", " ".join(row.split(" | ")[0] for row in causes()))

    assert table[-len(causes()) :] == causes()
    assert sorted(named) == sorted(CauseCode)


@pytest.mark.parametrize("protocol", CODES)
def test_the_codes_are_those_of_the_table(protocol: str) -> None:
    assert "\n".join(codes(protocol)) in TOPICS["codes"]


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 300


@pytest.mark.parametrize("topic", TOPICS)
def test_the_readme_leads_to_each_page(topic: str) -> None:
    assert f"src/okex_ws/guide/{topic}.md)" in README


@pytest.mark.parametrize(("page", "text"), PAGES.items(), ids=PAGES)
def test_what_a_page_names_is_there(page: str, text: str) -> None:
    links = re.findall(r"\]\(\S*src/okex_ws/guide/(\S*)\.md\)", text)
    named = re.findall(r"\bpages? `([a-z-]+)`", text)
    files = re.findall(r"\bexamples/\w+\.py\b", text)

    assert {*links, *named} <= set(TOPICS)
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_each_fault_of_the_page_can_be_caused() -> None:
    rows = re.findall(r"^\| (`\w+\(.*) \| ", TOPICS["testing"], flags=re.MULTILINE)
    calls = [call for row in rows for call in re.findall(r"`(.*?)`", row)]
    with LocalExchange() as exchange:
        for call in calls:
            eval(f"exchange.{call}", {"exchange": exchange})

    assert len(calls) > 10


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_begins_with_its_title(topic: str) -> None:
    assert re.match(r"# [^\n]+\n\n[^\n]", TOPICS[topic])


# --- A reader in another language -----------------------------------------------------


def test_the_reader_in_perl_has_prices_and_no_price_once_the_producer_is_gone(
    tmp_path: Path,
) -> None:
    perl = shutil.which("perl")
    if perl is None:
        pytest.skip("perl is not installed here")
    (source,) = re.findall(r"```perl\n(.*?)```", TOPICS["redis"], flags=re.DOTALL)
    (tmp_path / "reader.pl").write_text(source)
    redis = RedisServer(tmp_path)
    said = tmp_path / "said"
    try:
        with (
            said.open("wb") as out,
            subprocess.Popen(
                [
                    perl,
                    str(tmp_path / "reader.pl"),
                    f"127.0.0.1:{redis.port}",
                    "{okx}:test:local:0",
                    "books5:BTC-USDT",
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            ) as reader,
        ):
            try:
                _watch_perl(redis, said)
            finally:
                reader.kill()
    finally:
        redis.kill()


def _watch_perl(redis: RedisServer, said: Path) -> None:
    def last() -> str:
        return said.read_text().rstrip("\n").rpartition("\n")[2]

    with LocalExchange(instruments=OKX) as exchange:
        with Feed(exchange.venue_v5, publish=redis.url, lease=2.0) as feed:
            feed.subscribe(["BTC-USDT"], channels=["depth5"])
            until(lambda: last().startswith('{"arg":{"channel":"books5"'))
        until(lambda: last() == "no price")
    words = {line[:8] for line in said.read_text().splitlines()}
    assert words == {"no price", '{"arg":{'}
