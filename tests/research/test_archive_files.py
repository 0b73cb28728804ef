"""Files of the archive, made up here: every packing, old headers, damage."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from okex_ws.research.archive_files import ArchiveTable, ArchiveUnreadable

HEADER = "instrument_name,trade_id,side,price,size,created_time"
ROW = "BTC-USDT-SWAP,7,sell,100.0,3.5,1748707200008"


def packed(folder: Path, text: bytes) -> Path:
    path = folder / "BTC-USDT-SWAP-trades-2025-06-01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BTC-USDT-SWAP-trades-2025-06-01.csv", text)
    return path


def test_rows_come_by_the_names_of_the_header(tmp_path: Path) -> None:
    path = packed(tmp_path, f"{HEADER},source\n{ROW},1\n".encode())

    (row,) = ArchiveTable(path)

    assert row["trade_id"] == "7"
    assert row["source"] == "1"


def test_the_headers_of_2021_are_read_in_gbk(tmp_path: Path) -> None:
    header = "trade_id/撮合id,side/交易方向,size/数量,price/价格,created_time/成交时间"
    path = packed(tmp_path, f"{header}\n7,buy,1,100.5,1630454400000\n".encode("gbk"))

    (row,) = ArchiveTable(path)

    assert list(row) == ["trade_id", "side", "size", "price", "created_time"]
    assert row["price"] == "100.5"


def test_a_bad_row_costs_itself_and_is_counted(tmp_path: Path) -> None:
    table = ArchiveTable(packed(tmp_path, f"{HEADER}\n{ROW}\n,,\n{ROW}\n\n".encode()))

    assert len(list(table)) == 2
    assert table.bad_rows == 1


def test_a_cut_download_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, f"{HEADER}\n{ROW}\n".encode())
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(ArchiveUnreadable, match=r"cut short .*download it again"):
        list(ArchiveTable(path))


def test_another_packing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnreadable, match=r"not a \.zip or \.tar\.gz"):
        list(ArchiveTable(tmp_path / "trades.rar"))


def test_an_absent_file_is_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(ArchiveTable(tmp_path / "trades.zip"))
