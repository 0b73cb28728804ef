"""``okex-ws history``: what was, and what there is."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws.cli import main
from okex_ws.cli.commands import history
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from okex_ws.local_exchange import LocalExchange
from okex_ws.research.archive import ArchiveBook
from okex_ws.rest import ARCHIVED
from tests.support.imports import forget_import
from tests.support.internals import page_backwards


@pytest.fixture(scope="module")
def market() -> Iterator[LocalExchange]:
    """One for all: nothing is traded while nobody subscribes."""
    with LocalExchange() as found:
        yield found


@pytest.fixture
def exchange(market: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> LocalExchange:
    monkeypatch.setattr(
        "okex_ws.cli.commands.history.find_destination",
        lambda options, stack: history.Destination(market.venue_v5),
    )
    return market


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["history", *arguments]) == GOOD
    return capsys.readouterr().out


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.usefixtures("exchange")
def test_trades_are_oldest_first_and_as_many_as_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_PAGE", 100)
    found = rows(told(capsys, "BTC-USDT", "trades", "--limit", "250", "--csv"))
    ids = [int(each["id"]) for each in found]

    assert len(ids) == 250
    assert ids == list(range(ids[0], ids[0] + 250))
    assert {each["side"] for each in found} == {"buy", "sell"}


@pytest.mark.once
@pytest.mark.usefixtures("exchange")
def test_candles_are_of_the_bar_that_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["BTC-USDT", "candles", "--bar", "1H", "--limit", "3"]
    found = rows(told(capsys, *command, "--csv"))

    assert len(found) == 3
    assert all(each["start"].endswith(":00:00.000Z") for each in found)


@pytest.mark.usefixtures("exchange")
def test_a_book_stands_as_a_ladder(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "BTC-USDT", "book", "--limit", "2").splitlines()
    prices = [float(line.split()[1]) for line in lines[1:]]

    assert [line.split()[0] for line in lines] == ["side", "ask", "ask", "bid", "bid"]
    assert prices == sorted(prices, reverse=True)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.usefixtures("exchange")
def test_instruments_are_of_one_or_of_a_market(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = told(capsys, "BTC-USD-SWAP", "instruments").splitlines()
    many = told(capsys, "spot", "instruments", "--json").splitlines()
    found: list[dict[str, Any]] = [json.loads(line) for line in many]

    assert one[1].split()[:3] == ["BTC-USD-SWAP", "swap", "0.1"]
    assert [each["instrument_id"] for each in found] == ["BTC-USDT", "ETH-USDT"]
    assert found[0]["expiry"] is None


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["btc-usdt", "trades"], USAGE, "did you mean 'BTC-USDT'"),
        (
            ["BTC-USDT", "candles", "--bar", "7x"],
            USAGE,
            "'7x' is no bar, like 1m, 5m, 1H, 1D, 1W or 1M\n",
        ),
        (["BTC-USDT", "candles", "--bar", "1h"], USAGE, "did you mean '1H'?"),
        (["BTC-USDT", "candles", "--bar", "4hours"], USAGE, "did you mean '4H'?"),
        (["BTC-USDT", "candles", "--bar", "15min"], USAGE, "did you mean '15m'?"),
        (["BTC-USDT", "candles", "--bar", "1month"], USAGE, "did you mean '1M'?"),
        (["BTC-USDT", "candles", "--bar", "hour"], USAGE, "1W or 1M\n"),
        (["XXX-YYY", "trades"], FAILED, "51001"),
        (["XXX-YYY", "instruments"], FAILED, "is not listed"),
        (["index", "instruments"], USAGE, "not 'index'"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(
    arguments: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["history", *arguments]) == code

    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("arguments", [["BTC-USDT"], ["BTC-USDT", "tardes"]])
def test_what_is_wanted_has_to_be_said(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["history", *arguments])

    assert ended.value.code == USAGE


def test_a_venue_without_the_interface_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["history", "BTC-USDT", "trades", "--venue", "okex"]

    assert main(command) == USAGE
    assert "okex" in capsys.readouterr().err


def test_an_exchange_of_ones_own_is_asked_at_its_origin(
    market: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["history", "BTC-USDT", "trades", "--url", market.url_v5]
    assert main(command) == USAGE
    assert "add --rest" in capsys.readouterr().err
    assert main([*command, "--rest", str(market.venue_v5.rest)]) == GOOD

    assert len(capsys.readouterr().out.splitlines()) == 101


def test_without_httpx_it_names_the_extra(
    exchange: LocalExchange,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forget_import(monkeypatch, "okex_ws.rest")
    monkeypatch.setitem(sys.modules, "httpx", None)

    assert main(["history", "BTC-USDT", "trades"]) == FAILED
    assert "okex-ws[history]" in capsys.readouterr().err


@pytest.mark.usefixtures("exchange")
def test_long_work_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(history, "_PAGE", 100)
    assert main(["history", "BTC-USDT", "trades", "--limit", "200"]) == GOOD

    assert "100 of 200" in capsys.readouterr().err


def test_the_past_ends_where_there_is_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages = iter([[3, 4], [1, 2], [0]])
    asked: list[tuple[int | None, int]] = []

    def page(before: int | None, limit: int) -> list[int]:
        asked.append((before, limit))
        return next(pages)

    assert page_backwards(page, 100, 2) == [0, 1, 2, 3, 4]
    assert asked == [(None, 2), (3, 2), (1, 2)]
    assert "there are no more: 5 of 100" in capsys.readouterr().err


# --- Past days ----------------------------------------------------------------------

# The local exchange has it, whatever the day is on which this runs.
DAY = "2026-09-01"


@pytest.mark.usefixtures("exchange")
def test_a_past_day_is_fetched_as_the_exchanges_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "days"

    assert main(["history", "BTC-USDT", "books", "--day", DAY, "-o", str(folder)]) == 0
    out, err = capsys.readouterr()

    name = f"BTC-USDT-L2orderbook-400lv-{DAY}.tar.gz"
    assert out.splitlines() == [str(folder / name)]
    assert "not to be passed on" in err
    assert sum(each.is_verified for each in ArchiveBook(folder / name).windows()) == 95


@pytest.mark.usefixtures("exchange")
def test_a_day_of_trades_lies_in_two_files(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    out = told(capsys, "BTC-USD-SWAP", "trades", "--day", DAY)

    assert out.splitlines() == [
        "BTC-USD-SWAP-trades-2026-09-01.zip",
        "BTC-USD-SWAP-trades-2026-09-02.zip",
    ]


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["books"], USAGE, "books are of a past day: add --day DATE"),
        (["trades", "-o", "x"], USAGE, "-o is where a past day goes"),
        (["book", "--day", DAY], USAGE, "--day has trades, candles, funding, books"),
        (["trades", "--day", DAY, "--csv"], USAGE, "the exchange's files as they are"),
        (["trades", "--day", "1.9.2026"], USAGE, "is no day, like 2026-09-01"),
        (["books", "--day", "2019-01-01"], USAGE, "books since 2023-04-01"),
        (["books", "--day", "2999-01-01"], FAILED, "has no books of BTC-USDT of 2999"),
        (["books", "--day", DAY, "-o", __file__], FAILED, "cannot be written"),
    ],
)
def test_what_is_wrong_about_a_past_day_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, reason: str
) -> None:
    try:
        ended: object = main(["history", "BTC-USDT", *arguments])
    except SystemExit as error:
        ended = error.code

    assert ended == code
    assert reason in capsys.readouterr().err


def test_the_command_knows_what_the_archive_has() -> None:
    assert ARCHIVED == history.OF_PAST_DAYS
