"""The index of the exchange's archive: what is asked, and which files are meant."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.rest.archive_index import (
    ARCHIVED,
    ArchiveFile,
    is_file_name,
    read_files,
    request_of,
)

DAY = date(2026, 9, 1)
# Midnight of that day, in UTC and in UTC+8.
UTC_MS, UTC8_MS, DAY_MS = 1_788_220_800_000, 1_788_192_000_000, 86_400_000
SWAP = "BTC-USDT-SWAP"


def row(name: str, at: int, **changes: Any) -> dict[str, Any]:
    url = f"https://static.example/{name}?v=2"
    return {
        "dateTs": str(at),
        "filename": name,
        "sizeMB": "10.82",
        "url": url,
        **changes,
    }


def answer(*rows: Any) -> list[Any]:
    """The ``data`` of an answer, a group for each row, newest first."""
    groups = [{"groupDetails": [each], "instType": "SWAP"} for each in rows]
    return [{"dateAggrType": "daily", "details": groups, "ts": "1"}]


@pytest.mark.parametrize(
    ("kind", "instrument_id", "market", "whose", "module", "days"),
    [
        ("trades", "BTC-USDT", "spot", "BTC-USDT", "1", (UTC8_MS, UTC8_MS + DAY_MS)),
        ("candles", SWAP, "swap", "BTC-USDT", "2", (UTC8_MS, UTC8_MS + DAY_MS)),
        ("funding", SWAP, "swap", "ANY", "3", (UTC8_MS, UTC8_MS + DAY_MS)),
        ("books", "BTC-USDT", "spot", "BTC-USDT", "4", (UTC_MS, UTC_MS)),
        ("books-5000", "BTC-USD-270326", "futures", "BTC-USD", "5", (UTC_MS, UTC_MS)),
    ],
)
def test_a_day_of_utc_is_asked_for_in_the_archives_own_days(
    kind: str,
    instrument_id: str,
    market: str,
    whose: str,
    module: str,
    days: tuple[int, int],
) -> None:
    request = request_of(kind, instrument_id, market, DAY)
    ids = "instIdList" if market == "spot" else "instFamilyList"

    assert request.path == "/api/v5/public/market-data-history"
    assert request.params == {
        "module": module,
        "instType": {"spot": "SPOT", "swap": "SWAP"}.get(market, "FUTURES"),
        ids: whose,
        "dateAggrType": "daily",
        "begin": str(days[0]),
        "end": str(days[1]),
    }
    assert (request.rule.limit, request.rule.period) == (5, 2.0)


@pytest.mark.parametrize(
    ("kind", "market", "day", "error", "reason"),
    [
        ("book", "spot", DAY, ValueError, "the archive has trades, candles"),
        ("books", "spot", date(2023, 3, 31), ValueError, "since 2023-04-01"),
        ("books-5000", "spot", date(2025, 10, 31), ValueError, "since 2025-11-01"),
        ("funding", "spot", DAY, ValueError, "no funding of the market 'spot'"),
        ("trades", "spread", DAY, ValueError, "no trades of the market 'spread'"),
        ("trades", "spot", "2026-09-01", TypeError, "day is a date"),
        ("trades", "spot", datetime(2026, 9, 1), TypeError, "day is a date"),
    ],
)
def test_what_the_archive_cannot_have_is_refused(
    kind: str, market: str, day: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        request_of(kind, "BTC-USDT", market, day)


def test_the_files_are_given_oldest_first() -> None:
    names = [f"{SWAP}-trades-{DAY + timedelta(days=n)}.zip" for n in (1, 0)]
    said = answer(row(names[0], UTC8_MS + DAY_MS), row(names[1], UTC8_MS))

    found = read_files(said, "trades", SWAP, DAY)

    assert found == [
        ArchiveFile(
            "trades",
            DAY,
            names[1],
            f"https://static.example/{names[1]}?v=2",
            Decimal("10.82"),
        ),
        ArchiveFile(
            "trades",
            DAY + timedelta(days=1),
            names[0],
            f"https://static.example/{names[0]}?v=2",
            Decimal("10.82"),
        ),
    ]


def test_the_date_has_two_names() -> None:
    other = row(f"{SWAP}-trades-{DAY}.zip", UTC8_MS)
    other["dataTs"] = other.pop("dateTs")

    (file,) = read_files(answer(other), "trades", SWAP, DAY)

    assert isinstance(file, ArchiveFile)
    assert file.day == DAY


@pytest.mark.parametrize(
    ("name", "kind", "at"),
    [
        (f"ETH-USDT-SWAP-trades-{DAY}.zip", "trades", UTC8_MS),
        (f"BTC-USDT-SWAP2-trades-{DAY}.zip", "trades", UTC8_MS),
        (f"allswap-trades-{DAY}.zip", "trades", UTC8_MS),
        (f"{SWAP}-trades-{DAY}.zip", "trades", UTC8_MS + 2 * DAY_MS),
        (f"{SWAP}-trades-{DAY}.zip", "trades", UTC8_MS - 1),
        (f"{SWAP}-L2orderbook-400lv-{DAY}.tar.gz", "books", UTC_MS + DAY_MS),
    ],
)
def test_a_file_of_another_instrument_or_day_is_not_among_them(
    name: str, kind: str, at: int
) -> None:
    assert read_files(answer(row(name, at)), kind, SWAP, DAY) == []


def test_rates_and_chains_are_files_of_many_instruments() -> None:
    rates = row(f"allswap-fundingrates-{DAY}.zip", UTC8_MS)
    chain = row(f"BTC-USDT-futureschain-trades-{DAY}.zip", UTC8_MS)

    assert len(read_files(answer(rates), "funding", SWAP, DAY)) == 1
    assert len(read_files(answer(chain), "trades", "BTC-USDT-270326", DAY)) == 1


GOOD = f"{SWAP}-trades-{DAY}.zip"


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "../../.bashrc"},
        {"filename": "/etc/passwd"},
        {"filename": f"..\\{GOOD}"},
        {"filename": ".hidden.zip"},
        {"filename": f"{SWAP}-trades.exe"},
        {"filename": f"{GOOD}\n"},
        {"filename": None},
        {"filename": "x" * 300 + ".zip"},
        {"url": "file:///etc/passwd"},
        {"url": "https://"},
        {"url": "https://[::"},
        {"url": f"https://static.example/{'x' * 2000}"},
        {"url": "https://static.example/\n"},
        {"url": 5},
        {"sizeMB": "much"},
        {"sizeMB": "-1"},
        {"sizeMB": "1e9"},
        {"sizeMB": "NaN"},
        {"dateTs": "yesterday"},
        {"dateTs": str(10**18)},
    ],
)
def test_a_row_that_is_wrong_costs_itself_alone(changes: dict[str, Any]) -> None:
    said = answer(row(GOOD, UTC8_MS, **changes), row(GOOD, UTC8_MS))

    found = read_files(said, "trades", SWAP, DAY)

    assert [type(each) for each in found].count(WireError) == 1
    assert [each.name for each in found if isinstance(each, ArchiveFile)] == [GOOD]


@pytest.mark.parametrize(
    "said",
    [5, [5], [{}], [{"details": 5}], [{"details": [{}]}], [{"details": [None]}]],
)
def test_an_answer_of_another_shape_is_an_error(said: Any) -> None:
    with pytest.raises(WireError):
        read_files(said, "trades", SWAP, DAY)


def test_every_kind_has_a_zone_of_which_its_days_are() -> None:
    for kind in ARCHIVED:
        first = int(request_of(kind, SWAP, "swap", DAY).params["begin"]) / 1000
        at = datetime.fromtimestamp(first, timezone.utc)
        assert at.hour == (0 if kind.startswith("books") else 16), kind


@pytest.mark.parametrize("name", [GOOD, "a.tar.gz", "A-1_b.csv.gz"])
def test_a_name_is_one_of_a_packed_file(name: str) -> None:
    assert is_file_name(name)
    assert not is_file_name(f"x/{name}")
    assert not is_file_name(f"{name}.part")
