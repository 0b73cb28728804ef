"""Files of the archive as frames: each row with its verdict, a bad row left out."""

from __future__ import annotations

import zipfile
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from okex_ws.local_exchange.market.instruments import INSTRUMENTS
from okex_ws.local_exchange.server.archive import Archive
from okex_ws.research import archive_frame
from okex_ws.research.archive import ArchiveBook, ArchiveUnreadable
from tests.support.archived import CHANGE, FIRST, SECOND, packed

ARCHIVE = Archive(7, {each.instrument_id: each for each in INSTRUMENTS})


def made_up(folder: Path, kind: str, name: str) -> Path:
    path = folder / name
    answer = ARCHIVE.file(f"/cdn/okex/{kind}/20260901/{name}", None)
    assert answer.status == 200
    path.write_bytes(answer.body)
    return path


def table(folder: Path, *lines: str) -> Path:
    path = folder / "x-trades-2026-09-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.csv", "\n".join(lines))
    return path


def test_a_row_of_a_book_says_whether_its_window_is_verified(tmp_path: Path) -> None:
    found = archive_frame(packed(tmp_path, FIRST, CHANGE, SECOND), exact=True)
    rows = found.table.to_pylist()

    assert [(row["bid"], row["ask"], row["verified"]) for row in rows] == [
        (Decimal(100), Decimal(101), True),
        (Decimal(100), Decimal(102), True),
        (Decimal(100), Decimal(102), None),
    ]
    assert rows[1]["timestamp"] - rows[0]["timestamp"] == (
        datetime.fromtimestamp(0.01, timezone.utc)
        - datetime.fromtimestamp(0, timezone.utc)
    )


def test_a_lost_update_makes_every_row_of_its_window_unverified(tmp_path: Path) -> None:
    rows = archive_frame(packed(tmp_path, FIRST, SECOND)).table.to_pylist()

    assert [row["verified"] for row in rows] == [False, None]


def test_the_best_levels_are_those_of_the_whole_book(tmp_path: Path) -> None:
    path = made_up(tmp_path, "books", "BTC-USDT-L2orderbook-400lv-2026-09-01.tar.gz")
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    wanted = []
    for row in ArchiveBook(path):
        if row.is_snapshot:
            bids, asks = {}, {}
        for side, changes in ((bids, row.bids), (asks, row.asks)):
            side.update(changes)
            for price in [price for price, size in side.items() if not size]:
                del side[price]
        best = max(bids), bids[max(bids)], min(asks), asks[min(asks)]
        if row.is_snapshot or wanted[-1] != best:
            wanted.append(best)

    rows = archive_frame(path, exact=True).table.to_pylist()

    names = ("bid", "bid_size", "ask", "ask_size")
    assert [tuple(row[name] for name in names) for row in rows] == wanted
    assert [row["verified"] for row in rows].count(None) < len(rows) / 50


@pytest.mark.parametrize(
    ("kind", "name", "columns"),
    [
        (
            "trades",
            "BTC-USDT-trades-2026-09-01.zip",
            ["price", "size", "trade_id", "side", "source"],
        ),
        (
            "candlesticks",
            "BTC-USDT-candlesticks-2026-09-01.zip",
            ["open", "high", "low", "close", "vol", "vol_ccy", "vol_quote", "confirm"],
        ),
        ("fundingrates", "allswap-fundingrates-2026-09-01.zip", ["funding_rate"]),
    ],
)
def test_a_table_has_its_own_columns_and_times_of_utc(
    tmp_path: Path, kind: str, name: str, columns: list[str]
) -> None:
    found = archive_frame(made_up(tmp_path, kind, name))

    assert found.table.column_names == ["timestamp", "instrument_id", *columns]
    first = found.table.to_pylist()[0]
    assert first["timestamp"] >= datetime(2026, 8, 31, 16, tzinfo=timezone.utc)
    assert found.left_out == 0


HEADER = "instrument_name,trade_id,side,price,size,created_time"
GOOD = "BTC-USDT,7,buy,60000.1,0.5,1788220800000"


@pytest.mark.parametrize(
    "bad",
    [
        "BTC-USDT,7,buy,much,0.5,1788220800000",
        "BTC-USDT,7,buy,60000.1,0.5,noon",
        "BTC-USDT,7,buy,60000.1,0.5,99999999999999999999",
        "BTC-USDT,7,buy,60000.1,0.5",
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_and_counted(
    tmp_path: Path, bad: str
) -> None:
    found = archive_frame(table(tmp_path, HEADER, bad, GOOD))

    assert [row["price"] for row in found.table.to_pylist()] == [60000.1]
    assert found.left_out == 1


def test_what_is_no_table_of_the_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row of the archive's tables"):
        archive_frame(table(tmp_path, "a,b", "1,2"))
    with pytest.raises(ArchiveUnreadable):
        archive_frame(tmp_path / "x.csv")
