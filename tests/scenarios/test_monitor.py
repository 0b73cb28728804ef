"""The monitor: what it shows, what it refuses to show, and how it ends."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import logging
import math
import os
import signal
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okex_ws import (
    VENUES,
    BestBidAsk,
    Cause,
    CauseCode,
    ConnectionLost,
    Health,
    State,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange, deflate
from tests.support.causes import because
from tests.support.programs import TIMEOUT, Start, end_of, programs

PATH = Path(__file__).parents[2] / "examples" / "monitor.py"
RECORDED = "cryptofeed/v3_OKEX.ws.56_20210417"
RECORDED_OVER_V5 = "cryptofeed/v5_OKX.ws.1_20220513"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("monitor", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


monitor = load()


def best(
    bid: str | None = "7900.1",
    ask: str | None = "7900.25",
    bid_size: str | None = "12",
    ask_size: str | None = "0.5",
) -> BestBidAsk:
    prices = [None if n is None else Decimal(n) for n in (bid, bid_size, ask, ask_size)]
    at = datetime(2019, 5, 17, 7, 59, 59, 123456, tzinfo=timezone.utc)
    return BestBidAsk(
        "BTC-USD-190517",
        *prices,
        at,
        at,
        None,
        None,
        1,
        "futures/depth5:BTC-USD-190517",
    )


def health(
    state: State = State.LIVE, cause: str = "", age: float = 0.25, epoch: int = 1
) -> Health:
    return Health(state, because(cause), age, age, None, epoch, {})


def points(line: str) -> list[int]:
    return [place for place, character in enumerate(line) if character == "."]


# --- The table ----------------------------------------------------------------------


def test_digits_stand_under_each_other() -> None:
    table = monitor.Table("BTC-USD-190517")
    for _ in range(2):  # the columns have widened after the first time
        one = table.lines("08:00:00", best("7900.1", "7900.25"), health())[-1]
        other = table.lines("08:00:01", best("99.125", "101.5"), health())[-1]

    assert len(one) == len(other)
    assert one.index("7900.1") + 2 == other.index("99.125")
    assert points(one)[:1] == points(other)[:1]
    assert points(one)[-1] == points(other)[-1]


def test_the_header_comes_first_and_again_when_a_column_widens() -> None:
    table = monitor.Table("BTC-USD-190517")

    assert len(table.lines("08:00:00", best(), health())) == 2
    assert len(table.lines("08:00:01", best(), health())) == 1
    header, row = table.lines("08:00:02", best(bid="123456789.125"), health())
    titles = "time instrument state bid size ask size spread age"
    assert header.split() == titles.split(" ")
    assert header.index("age") + 3 == row.index(" s") + 2


def test_a_lost_feed_shows_state_and_cause_and_no_price() -> None:
    table = monitor.Table("BTC-USD-190517")
    table.lines("08:00:00", best(), health())
    lost = health(State.RECONNECTING, "the peer closed (close code 1006)", 12.0)
    row = table.lines("08:00:01", None, lost)[-1]

    assert row.split()[:8] == (
        ["08:00:01", "BTC-USD-190517", "RECONNECTING"] + ["-"] * 5
    )
    assert row.endswith("  12.0 s  the peer closed (close code 1006)")
    assert "7900" not in row


def test_dashes_stand_under_the_last_whole_digit() -> None:
    table = monitor.Table("BTC-USD-190517")
    row = table.lines("08:00:00", best(), health())[-1]
    lost = table.lines("08:00:01", None, health(State.STALE))[-1]

    assert row.index("7900.1") + 3 == lost.index("-", lost.index("STALE"))


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_an_empty_side_is_shown_as_such(side: str) -> None:
    empty: dict[str, Any] = {side: None, f"{side}_size": None}
    row = monitor.Table("X-Y").lines("08:00:00", best(**empty), health())[-1]

    assert f"no {side}s" in row
    assert "LIVE" in row


def test_an_age_that_is_not_known_is_a_dash() -> None:
    row = monitor.Table("X-Y").lines("08:00:00", None, health(age=math.inf))[-1]

    assert row.rstrip().endswith("-")
    assert "inf" not in row


def test_text_from_the_network_cannot_command_the_terminal() -> None:
    cause = "30040: \x1b[2J\x1b]0;title\x07 \u202egnp.\r\n08:00:00 LIVE 1"
    row = monitor.Table("X-Y").lines("08:00:01", None, health(State.FAILED, cause))[-1]

    assert row.isascii()
    assert row.isprintable()
    assert r"\x1b[2J" in row


def test_colour_is_only_added_to_the_state() -> None:
    plain = monitor.Table("X-Y").lines("08:00:00", best(), health())[-1]
    coloured = monitor.Table("X-Y", True).lines("08:00:00", best(), health())[-1]

    assert coloured != plain
    assert coloured.replace("\x1b[32m", "").replace("\x1b[0m", "") == plain


@pytest.mark.parametrize(
    ("tty", "no_color", "wanted"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colour_is_for_a_terminal_and_not_against_the_readers_wish(
    tty: bool, no_color: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert monitor.wants_colour() is wanted


def test_json_says_null_for_what_is_not_known() -> None:
    lost = health(State.RECONNECTING, "cut \x1b", math.inf)
    line = monitor.as_json("X-Y", None, lost)
    found = json.loads(line)
    at = found.pop("time")

    assert line.isprintable()
    assert datetime.fromisoformat(at).tzinfo is not None
    assert found == {
        "instrument_id": "X-Y",
        "state": "RECONNECTING",
        "cause": "cut \x1b",
        "code": "internal",
        "bid": None,
        "bid_size": None,
        "ask": None,
        "ask_size": None,
        "spread": None,
        "age": None,
        "epoch": 1,
        "timestamp": None,
    }


def test_json_gives_the_exchanges_numbers_as_they_are() -> None:
    found = json.loads(monitor.as_json("X-Y", best("3690.10", None), health()))

    assert (found["bid"], found["ask"], found["spread"]) == ("3690.10", None, None)
    assert found["timestamp"] == "2019-05-17T07:59:59.123+00:00"
    assert found["cause"] is found["code"] is None


# --- On a terminal ------------------------------------------------------------------

LOST = "cannot connect: Connection refused"


@pytest.mark.parametrize("name", ["BTC-USDT", "BTC-USD-301227-60000-C"])
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    table = monitor.Table(name)
    for width in (*range(3, 130), 200):
        lines = table.lines("08:00:00", best(), health(), width)
        lines += table.lines("08:00:01", None, health(State.STALE, LOST * 3), width)

        assert max(map(len, lines)) <= width


def test_sizes_are_left_out_where_they_do_not_fit() -> None:
    table = monitor.Table("BTC-USDT")
    header, row = table.lines("08:00:00", best(), health(), 80)
    wide, _ = table.lines("08:00:01", best(), health(), 120)

    titles = "time instrument state bid ask spread age"
    assert header.split() == titles.split(" ")
    assert row.split()[3:] == ["7900.1", "7900.25", "0.15", "0.2", "s"]
    assert header.index("ask") == row.index("7900.25") + 1
    assert wide.split().count("size") == 2


def test_a_number_is_shown_whole_or_not_at_all() -> None:
    seen = set()
    for width in range(40, 120):
        row = monitor.Table("BTC-USD-190517").lines("", best(), health(), width)[-1]
        seen |= set(row.split("LIVE")[1].split())

    assert seen == {"7900.1", "12", "7900.25", "0.5", "0.15", "0.2", "s"}


def test_a_cause_is_shown_without_the_address_that_the_log_has() -> None:
    cause = Cause(CauseCode.NETWORK, LOST, "wss://h:8443/ws/v3")
    lost = Health(State.RECONNECTING, cause, 1.0, 1.0, None, 1, {})
    row = monitor.Table("BTC-USDT").lines("08:00:00", None, lost)[-1]

    assert row.endswith("  cannot connect: Connection refused")
    assert "wss://" not in row


@pytest.mark.parametrize(
    ("width", "dashes", "end"),
    [
        (None, 5, "  cannot connect: Connection refused"),
        (120, 5, "  cannot connect: Connection refused"),
        (80, 1, "  cannot connect: Connection refused"),
        (72, 1, "  cannot connect: Connecti..."),
    ],
)
def test_a_cause_that_does_not_fit_takes_the_place_of_the_dashes(
    width: int | None, dashes: int, end: str
) -> None:
    table = monitor.Table("BTC-USDT")
    row = table.lines("08:00:00", None, health(State.RECONNECTING, LOST), width)[-1]

    assert row.split().count("-") == dashes
    assert row.endswith(end)


def test_an_id_that_looks_like_a_state_is_not_coloured() -> None:
    row = monitor.Table("LIVE-USDT", True).lines("", best(), health())[-1]

    assert "  LIVE-USDT   \x1b[32mLIVE\x1b[0m " in row


def test_without_a_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert monitor.terminal_width(sys.stdout) == 77

    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert monitor.terminal_width(sys.stdout) is None


@pytest.fixture
def log_line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What stderr is given of a warning, on a terminal of 80 columns or on none."""

    def line(text: str, *, tty: bool, error: BaseException | None = None) -> str:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: tty)
        thrown = None if error is None else (type(error), error, None)
        record = logging.LogRecord(
            "okex_ws", logging.WARNING, "", 0, "%s", (text,), thrown
        )
        formatter = monitor.Folded("%(asctime)s  %(message)s", "%H:%M:%S")
        found: str = formatter.format(record)
        return found

    return line


@pytest.mark.parametrize(
    "venue",
    [
        VENUES["okex"],
        monitor.venue_at("wss://ws.okx.com:8443/ws/v5/public"),
    ],
    ids=["retired", "8443"],
)
def test_what_is_known_of_a_dead_endpoint_can_be_read_on_a_terminal(
    venue: Venue, log_line: Callable[..., str]
) -> None:
    endpoint = venue.endpoints[0]
    lost = ConnectionLost(endpoint, "timed out", advice=venue.advice(endpoint))
    rows = log_line(f"{lost}; trying again", tty=True).splitlines()

    assert len(rows) > 1
    assert max(map(len, rows)) <= 80
    assert {row[:10].strip() for row in rows[1:]} == {""}
    assert " ".join(row[10:] for row in rows) == f"{lost}; trying again"


def test_a_log_that_is_no_terminal_has_one_line_a_warning(
    log_line: Callable[..., str],
) -> None:
    assert log_line("many words " * 30, tty=False).count("\n") == 0


def test_a_traceback_is_not_folded(log_line: Callable[..., str]) -> None:
    error = ValueError("many words " * 30)

    assert str(error) in log_line("an exception in on_message", tty=True, error=error)


# --- Looking and waiting ------------------------------------------------------------


class Flapping:
    """A subscription whose prices and state never agree."""

    def best_bid_ask(self) -> BestBidAsk:
        return best()

    def health(self) -> Health:
        return health(State.STALE, "late")


def test_prices_are_never_shown_beside_a_state_that_is_not_live() -> None:
    prices, found = monitor.read_prices(Flapping())

    assert prices is None
    assert found.state is State.STALE


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of the monitor; its clock runs by them and by nothing else."""
    waits: list[float] = []

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            self.now += seconds

    monkeypatch.setattr(monitor, "time", Clock())
    return waits


def test_lines_come_once_a_second_until_the_time_is_up(sleeps: list[float]) -> None:
    assert len(list(monitor.ticks(10.0))) == 10
    assert sleeps == [1.0] * 10


def test_a_part_of_a_second_ends_when_it_is_over(sleeps: list[float]) -> None:
    assert len(list(monitor.ticks(2.5))) == 3
    assert sleeps == [1.0, 1.0, 0.5]


def test_what_printing_takes_is_not_added_up(sleeps: list[float]) -> None:
    for _ in monitor.ticks(3.0):
        monitor.time.now += 0.25

    assert sleeps == [0.75, 0.75, 0.75]


def test_seconds_that_were_missed_are_left_out(sleeps: list[float]) -> None:
    ticks = monitor.ticks(None)
    next(ticks)
    monitor.time.now += 7.25
    next(ticks)

    assert sleeps == [0.75]


# --- The program --------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--for", "0"],
        ["--for", "nan"],
        ["--for", "soon"],
        ["--venue", "nowhere"],
        ["not an id"],
        ["BTC-JPY", "--market", "futures"],
        ["BTC-USD-SWAP", "--venue", "okj"],
        ["--capture", "/nonexistent/capture"],
        ["--local", "--venue", "nowhere"],
        ["--capture", "/nonexistent/capture", "--venue", "okj-v3"],
        ["--url", "ws://127.0.0.1:1/ws/v3", "--local"],
        ["--url", "ws://127.0.0.1:1/ws/v3", "--venue", "okj-v3"],
        ["--url", "ws://127.0.0.1:1/ws/v5", "--capture", "/nonexistent/capture"],
        ["--url", "ws://127.0.0.1:1/ws/v5/business"],
        ["--url", "ws://127.0.0.1:1/ws/v5?brokerId=9999"],
        ["--url", "http://127.0.0.1:1/"],
        ["--url", "http://127.0.0.1:1/ws/v5"],
        ["--url", ""],
        ["--venue", ""],
    ],
)
def test_bad_arguments_end_it_with_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        monitor.main(arguments)

    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.fixture
def one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor waits for prices as long as it takes, prints a line, and ends."""
    monkeypatch.setattr(monitor, "FIRST_WAIT", TIMEOUT)
    monkeypatch.setattr(monitor, "ticks", lambda _: iter([None]))


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The object of a run that ended well."""
    assert monitor.main(["--local", "--json", *arguments]) == 0

    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("one_line")
def test_the_local_exchange_has_prices_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = run_json(capsys)

    assert first["state"] == "LIVE"
    assert Decimal(first["bid"]) < Decimal(first["ask"])
    assert Decimal(first["spread"]) == Decimal(first["ask"]) - Decimal(first["bid"])


@pytest.mark.usefixtures("one_line")
def test_an_instrument_brings_its_market(capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(capsys, "BTC-USD-SWAP")

    assert (first["instrument_id"], first["state"]) == ("BTC-USD-SWAP", "LIVE")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[LocalExchange]:
    """The local exchanges that the monitor made."""
    found: list[LocalExchange] = []

    def make(**keywords: Any) -> LocalExchange:
        found.append(LocalExchange(**keywords))
        return found[-1]

    monkeypatch.setattr("okex_ws.local_exchange.LocalExchange", make)
    return found


def asked(exchange: LocalExchange) -> str:
    """The requests that the exchange got, in one text."""
    return " ".join(str(request.text) for request in exchange.requests)


@pytest.mark.usefixtures("one_line")
@pytest.mark.parametrize(
    ("arguments", "channel"),
    [
        ([], '"books5"'),
        (["--venue", "okx"], '"books5"'),
        (["--venue", "okj"], '"books5"'),
        (["--venue", "okj-v3"], '"spot/depth5:BTC-USDT"'),
        (["--venue", "okex"], '"spot/depth5:BTC-USDT"'),
    ],
)
def test_the_local_exchange_speaks_as_the_venue_whose_place_it_takes(
    arguments: list[str],
    channel: str,
    made: list[LocalExchange],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = run_json(capsys, "BTC-USDT", *arguments)

    assert (first["instrument_id"], first["state"]) == ("BTC-USDT", "LIVE")
    assert channel in asked(made[0])


@pytest.mark.usefixtures("one_line")
@pytest.mark.parametrize(
    ("protocol", "rest", "channel"),
    [
        ("v3", "", '"swap/depth5:BTC-USD-SWAP"'),
        ("v5", "", '"books5"'),
        ("v5", "/", '"books5"'),
        ("v5", "/public", '"books5"'),
        ("v5", "/public/", '"books5"'),
    ],
)
def test_an_exchange_of_another_process_can_be_watched(
    protocol: str, rest: str, channel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        venue = exchange.venue if protocol == "v3" else exchange.venue_v5
        url = f"{venue.endpoints[0]}{rest}"
        assert monitor.main(["BTC-USD-SWAP", "--json", "--url", url]) == 0
        assert channel in asked(exchange)

    first = json.loads(capsys.readouterr().out)
    assert (first["instrument_id"], first["state"]) == ("BTC-USD-SWAP", "LIVE")


def test_the_help_says_what_is_so_without_an_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        monitor.main(["--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "default: BTC-USDT; with --local" in said
    assert "(default: what the instrument's id tells)" in said
    assert "(default: okx)" in said
    assert all(name in said for name in VENUES)


@pytest.mark.usefixtures("one_line")
def test_the_table_has_a_header_and_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert monitor.main(["--local"]) == 0

    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("time")
    assert "LIVE" in row


def test_a_lost_feed_is_said_and_its_prices_are_gone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    with LocalExchange() as exchange:
        market, name = exchange.busiest

        def ticks(seconds: float | None) -> Iterator[None]:
            yield
            exchange.close()
            assert lost.wait(TIMEOUT)
            yield

        monkeypatch.setattr(monitor, "ticks", ticks)
        with WSSubscription(
            name, market, venue=exchange.venue_v5, on_state=lambda _: lost.set()
        ) as subscription:
            subscription.wait_live(TIMEOUT)
            lost.clear()
            options = argparse.Namespace(seconds=None, json=True)
            monitor.watch(subscription, name, options)

    before, after = map(json.loads, capsys.readouterr().out.splitlines())
    assert before["state"] == "LIVE"
    assert before["bid"] is not None
    assert after["state"] == "RECONNECTING"
    assert after["cause"]
    assert after["bid"] is after["ask"] is after["timestamp"] is None


@pytest.mark.parametrize(("venue", "code"), [("okx", "60018"), ("okj-v3", "30040")])
def test_a_refused_instrument_is_said_and_ends_it(
    venue: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["XXX-YYY", "--local", "--venue", venue, "--for", "20"]
    assert monitor.main(arguments) == 1

    row = capsys.readouterr().out.splitlines()[-1]
    assert "FAILED" in row
    assert code in row


def recorded_levels(path: Path, instrument_id: str) -> set[tuple[str, str]]:
    """Every price with its size that a recording holds of one instrument."""
    levels = set()
    recording = path.with_name(f"{path.name}.recv.jsonl").read_text("utf-8")
    for line in recording.splitlines():
        message = json.loads(line)
        of = message.get("arg", {}).get("instId")  # v5's; v3's element says it itself
        for element in message.get("data", ()):
            if element.get("instrument_id", of) == instrument_id:
                for side in ("asks", "bids"):
                    levels |= {(row[0], row[1]) for row in element.get(side, ())}
    return levels


both_protocols = pytest.mark.parametrize(
    "recorded", [RECORDED, RECORDED_OVER_V5], ids=["v3", "v5"]
)


@pytest.mark.once
@pytest.mark.usefixtures("one_line")
@both_protocols
def test_a_capture_shows_the_recorded_markets_prices(
    recorded: str, captures: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = captures(recorded)
    first = run_json(capsys, "--capture", str(path))
    levels = recorded_levels(path, first["instrument_id"])

    assert first["state"] == "LIVE"
    assert (first["bid"], first["bid_size"]) in levels
    assert (first["ask"], first["ask_size"]) in levels


@pytest.mark.parametrize("json_wanted", [False, True])
def test_the_end_of_a_market_is_said_in_one_line(
    json_wanted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(seconds=None, json=json_wanted)
    ends = iter([False, True])
    with LocalExchange() as exchange:
        market, name = exchange.busiest
        with WSSubscription(name, market, venue=exchange.venue_v5) as subscription:
            code = monitor.watch(subscription, name, options, lambda: next(ends))

    said = capsys.readouterr()
    last = said.err if json_wanted else said.out
    assert code == 0
    assert last.endswith("the recording is over\n")
    assert (said.out + said.err).count("the recording is over") == 1
    assert len(said.out.splitlines()) == (1 if json_wanted else 3)


@pytest.mark.slow
@both_protocols
def test_a_capture_is_watched_to_its_end(
    recorded: str,
    captures: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = functools.partial(LocalExchange, speed=100.0)
    monkeypatch.setattr("okex_ws.local_exchange.LocalExchange", quick)

    assert monitor.main(["--capture", str(captures(recorded))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the recording is over"


def copy_with_one_digit_changed(path: Path, folder: Path) -> Path:
    """A copy of a recording whose first recorded level has another price."""
    files = {
        file.name.removeprefix(f"{path.name}."): file.read_text("utf-8").splitlines()
        for file in path.parent.glob(f"{path.name}.*")
    }
    texts = files["recv.jsonl"]
    number = next(n for n, text in enumerate(texts) if '[["' in text)
    before, quote, after = texts[number].partition('[["')
    digit = "2" if after[0] != "2" else "3"
    texts[number] = before + quote + digit + after[1:]
    if "deflate.b64" in files:
        files["deflate.b64"][number] = b64encode(deflate(texts[number])).decode()
    for suffix, lines in files.items():
        (folder / f"copy.{suffix}").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "copy"


@both_protocols
def test_a_capture_with_a_changed_digit_is_refused(
    recorded: str,
    captures: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = copy_with_one_digit_changed(captures(recorded), tmp_path)

    with pytest.raises(SystemExit) as ended:
        monitor.main(["--capture", str(changed)])

    assert ended.value.code == 2
    assert "checksum" in capsys.readouterr().err


# --- As a process -------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the monitor as a program of its own; none outlives the test."""
    here = {**os.environ, "PYTHONPATH": str(PATH.parents[1] / "src")}
    with programs() as run:
        yield lambda *arguments: run(str(PATH), *arguments, env=here)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT as a terminal does")
def test_ctrl_c_ends_it_cleanly(start: Start) -> None:
    process = start("--local")
    assert process.stdout is not None
    next(line for line in process.stdout if " LIVE " in line)
    process.send_signal(signal.SIGINT)

    assert end_of(process) == (0, "")


@pytest.mark.slow
def test_a_closed_pipe_ends_it_cleanly(start: Start) -> None:
    process = start("--local", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["epoch"] >= 0
    process.stdout.close()
    process.stdout = None

    assert end_of(process) == (0, "")
