"""The archive of the local exchange: an index, and files of made-up days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from okex_ws.local_exchange.market.instruments import INSTRUMENTS
from okex_ws.local_exchange.server.archive import (
    TRADES,
    UPDATES,
    Archive,
    FileResponse,
    Refusal,
)
from okex_ws.research.archive import ArchiveBook, ArchiveTable

NOW = datetime(2026, 9, 10, 12, tzinfo=timezone.utc).timestamp()
ORIGIN = "https://static.example"
LISTED = {each.instrument_id: each for each in INSTRUMENTS}


@pytest.fixture
def archive() -> Archive:
    return Archive(7, LISTED)


def asked(
    day: date, module: str = "4", inst_type: str = "SPOT", **changes: str
) -> dict[str, str]:
    at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()
    names = "instIdList" if inst_type == "SPOT" else "instFamilyList"
    return {
        "module": module,
        "instType": inst_type,
        names: "BTC-USDT" if inst_type == "SPOT" else "BTC-USD",
        "dateAggrType": "daily",
        "begin": str(int(at) * 1000),
        "end": str(int(at) * 1000),
        **changes,
    }


def rows(said: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for element in said:
        for group in element["details"]:
            yield from group["groupDetails"]


def kept(archive: Archive, row: dict[str, str], folder: Path) -> Path:
    """The file of a *row* of the index, as a file."""
    path = folder / row["filename"]
    answer = archive.file(row["url"].removeprefix(ORIGIN), None)
    assert answer.status == 200
    path.write_bytes(answer.body)
    return path


def test_a_day_is_there_from_the_second_day_after_it_on(archive: Archive) -> None:
    found = {
        day: [row["filename"] for row in rows(archive.index(asked(day), NOW, ORIGIN))]
        for day in (date(2026, 9, 8), date(2026, 9, 9))
    }

    assert found == {
        date(2026, 9, 8): ["BTC-USDT-L2orderbook-400lv-2026-09-08.tar.gz"],
        date(2026, 9, 9): [],
    }


def test_every_window_of_a_book_is_verified_but_the_last(
    archive: Archive, tmp_path: Path
) -> None:
    (row,) = rows(archive.index(asked(date(2026, 9, 1)), NOW, ORIGIN))

    windows = list(ArchiveBook(kept(archive, row, tmp_path)).windows())

    assert [each.is_verified for each in windows] == [True] * 95 + [False]
    assert {each.updates for each in windows} == {UPDATES}
    assert windows[0].start == datetime(2026, 9, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("module", "inst_type", "name", "count"),
    [
        ("1", "SPOT", "BTC-USDT-trades-2026-09-01.zip", TRADES),
        ("2", "SWAP", "BTC-USD-SWAP-candlesticks-2026-09-01.zip", 1440),
        ("3", "SWAP", "allswap-fundingrates-2026-09-01.zip", 3),
        ("1", "FUTURES", "BTC-USD-futureschain-trades-2026-09-01.zip", 2 * TRADES),
        ("1", "OPTION", "BTC-USD-optionchain-trades-2026-09-01.zip", TRADES),
    ],
)
def test_tables_are_of_a_day_of_utc_and_eight_hours(
    archive: Archive,
    tmp_path: Path,
    module: str,
    inst_type: str,
    name: str,
    count: int,
) -> None:
    (row,) = rows(
        archive.index(asked(date(2026, 9, 1), module, inst_type), NOW, ORIGIN)
    )
    table = list(ArchiveTable(kept(archive, row, tmp_path)))

    assert (row["filename"], len(table)) == (name, count)
    time = next(each for each in table[0] if each.endswith("time"))
    first = datetime(2026, 8, 31, 16, tzinfo=timezone.utc).timestamp() * 1000
    assert all(first <= int(each[time]) < first + 86_400_000 for each in table)


def test_a_seed_makes_the_same_files(archive: Archive) -> None:
    (row,) = rows(archive.index(asked(date(2026, 9, 1)), NOW, ORIGIN))
    path = row["url"].removeprefix(ORIGIN)

    assert Archive(7, LISTED).file(path, None) == archive.file(path, None)
    assert Archive(8, LISTED).file(path, None) != archive.file(path, None)


def test_the_rest_of_a_file_is_served(archive: Archive) -> None:
    (row,) = rows(archive.index(asked(date(2026, 9, 1)), NOW, ORIGIN))
    path = row["url"].removeprefix(ORIGIN)
    whole = archive.file(path, None)

    rest = archive.file(path, "bytes=100-")
    none = archive.file(path, f"bytes={len(whole.body)}-")

    assert (rest.status, rest.body) == (206, whole.body[100:])
    end = len(whole.body)
    assert rest.headers["Content-Range"] == f"bytes 100-{end - 1}/{end}"
    assert rest.headers["ETag"] == whole.headers["ETag"]
    assert (none.status, none.body) == (416, b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "7"},
        {"module": ""},
        {"instIdList": ""},
        {"dateAggrType": "monthly"},
        {"begin": "yesterday"},
        {"end": "1"},
        {"begin": "1000000000000"},
        {"begin": "9" * 30},
    ],
)
def test_a_wrong_request_is_refused(archive: Archive, changes: dict[str, str]) -> None:
    with pytest.raises(Refusal):
        archive.index(asked(date(2026, 9, 1), **changes), NOW, ORIGIN)


@pytest.mark.parametrize(
    "path",
    [
        "/cdn/okex/books/20260901/NONE-USDT-L2orderbook-400lv-2026-09-01.tar.gz",
        "/cdn/okex/books/2026090/BTC-USDT-L2orderbook-400lv-2026-09-01.tar.gz",
        "/cdn/okex/books/20260901/../../secret",
        "/cdn/okex/books/20269999/BTC-USDT-L2orderbook-400lv-2026-09-01.tar.gz",
        "/cdn/",
    ],
)
def test_what_is_not_there_is_404(archive: Archive, path: str) -> None:
    assert archive.file(path, None) == FileResponse(404, b"", {})
