"""``okex-ws record``: a file that can be read, whatever ends it."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws import Replay
from okex_ws.cli import main
from okex_ws.cli.commands import record
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from okex_ws.local_exchange import LocalExchange
from tests.support.cli_running import start
from tests.support.programs import Start, end_of

__all__ = ["start"]  # a fixture


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(interval=0.02) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def kinds(path: Path) -> set[str]:
    with gzip.open(path, "rt") as lines:
        next(lines)
        return {json.loads(line)["kind"] for line in lines}


def test_what_came_can_be_replayed(
    exchange: LocalExchange, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["record", "BTC-USDT", "BTC-USD-SWAP", "-o", str(path)]
    assert main([*command, "--for", "0.5", "--url", exchange.url_v5]) == GOOD

    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"day.rec.gz: \d+ messages, [\d.]+ kB, .* s, 2 of 2 live\n$", err)
    assert {"open", "in", "out", "end"} <= kinds(path)
    with Replay(path) as replay:
        assert replay.instruments == (
            ("swap", "BTC-USD-SWAP", ("depth", "trade")),
            ("spot", "BTC-USDT", ("depth", "trade")),
        )


def test_ctrl_c_is_how_it_is_meant_to_end(
    exchange: LocalExchange, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(text: str) -> None:
        if text and " 0 messages" not in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(record, "progress", interrupted)
    monkeypatch.setattr(record, "_TICK", 0.01)
    assert main(["record", "-o", str(path), "--url", exchange.url_v5]) == GOOD

    assert "end" in kinds(path)


def test_what_is_there_is_not_overwritten(
    exchange: LocalExchange, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("mine")
    assert main(["record", "-o", str(path), "--url", exchange.url_v5]) == FAILED

    assert "day.rec.gz: File exists" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [["btc-usdt"], ["BTC-USDT", "--channels", "trads"]]
)
def test_what_is_refused_leaves_no_file(
    arguments: list[str],
    exchange: LocalExchange,
    path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["record", *arguments, "-o", str(path), "--url", exchange.url_v5]
    assert main(command) == USAGE

    assert "did you mean" in capsys.readouterr().err
    assert not path.exists()


def test_a_refused_instrument_ends_it_with_one(
    exchange: LocalExchange, path: Path
) -> None:
    command = ["record", "XXX-YYY", "-o", str(path), "--url", exchange.url_v5]

    assert main([*command, "--for", "20"]) == FAILED


def test_an_exchange_that_is_not_there_is_no_recording(
    exchange: LocalExchange, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.refuse()
    command = ["record", "-o", str(path), "--url", exchange.url_v5]

    assert main([*command, "--for", "0.2"]) == FAILED
    said = capsys.readouterr().err
    assert re.search(r"[\d.]+ s, \d+ attempts? to reconnect, RECONNECTING\n$", said)


def test_parts_are_begun_as_asked(exchange: LocalExchange, path: Path) -> None:
    command = ["record", "-o", str(path), "--max-bytes", "2k"]
    assert main([*command, "--for", "1", "--url", exchange.url_v5]) == GOOD

    assert path.with_name("day.1.rec.gz").exists()


def test_on_a_terminal_it_says_how_far_it_is(
    exchange: LocalExchange,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(record, "_TICK", 0.1)
    command = ["record", "-o", str(path), "--url", exchange.url_v5]
    assert main([*command, "--for", "0.3"]) == GOOD

    shown = capsys.readouterr().err.split("\r")
    assert sum("messages" in each for each in shown) > 2


def test_without_a_name_the_file_has_one(
    exchange: LocalExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["record", "--url", exchange.url_v5, "--for", "0.3"]) == GOOD

    (found,) = tmp_path.iterdir()
    assert re.fullmatch(r"url-\d{8}-\d{6}\.rec\.gz", found.name)


@pytest.mark.parametrize(
    ("text", "value"), [("1000", 1000), ("20k", 20_000), ("2G", 2 * 10**9)]
)
def test_bytes_have_units(text: str, value: int) -> None:
    assert record.amount(text) == value
    for bad in ("", "k", "1.5M", "-1", "0M"):
        with pytest.raises(argparse.ArgumentTypeError):
            record.amount(bad)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="ends it as a service is ended")
def test_a_polite_end_closes_the_file(start: Start, path: Path) -> None:
    with LocalExchange() as exchange:
        process = start("record", "-o", str(path), "--url", exchange.url_v5)
        assert exchange.wait_for(lambda: exchange.newest("books:BTC-USDT"), 30)
        process.send_signal(signal.SIGTERM)
        code, said = end_of(process)

    assert code == 0
    assert "messages" in said
    assert "end" in kinds(path)
