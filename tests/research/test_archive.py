"""Archived books, made up here: windows that agree, and the same with one change."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from okex_ws.research.archive import ArchiveBook, ArchiveUnreadable
from tests.support.archived import CHANGE, FIRST, SECOND, packed


def test_a_window_is_verified_by_the_snapshot_that_ends_it(tmp_path: Path) -> None:
    verified, last = ArchiveBook(packed(tmp_path, FIRST, CHANGE, SECOND)).windows()

    assert verified.is_verified
    assert (verified.updates, verified.levels, verified.agreeing) == (1, 3, 3)
    assert (last.levels, last.agreeing, last.is_verified) == (None, None, False)


def test_a_lost_update_shows_at_the_next_snapshot(tmp_path: Path) -> None:
    window, _ = ArchiveBook(packed(tmp_path, FIRST, SECOND)).windows()

    assert not window.is_verified
    assert (window.levels, window.agreeing) == (3, 1)


def test_one_changed_digit_shows_at_the_next_snapshot(tmp_path: Path) -> None:
    changed = {**CHANGE, "bids": [["99.5", "5", "2"]]}
    window, _ = ArchiveBook(packed(tmp_path, FIRST, changed, SECOND)).windows()

    assert (window.levels, window.agreeing) == (3, 2)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        {**CHANGE, "ts": "x"},
        {**CHANGE, "action": "no"},
        {**CHANGE, "bids": [["1"]]},
    ],
)
def test_a_bad_row_costs_itself_and_is_counted(tmp_path: Path, bad: object) -> None:
    book = ArchiveBook(packed(tmp_path, FIRST, bad, CHANGE, SECOND))

    window, _ = book.windows()

    assert window.is_verified
    assert book.bad_rows == 1


def test_a_download_cut_anywhere_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, FIRST, CHANGE, SECOND)
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveUnreadable, match="download it again"):
            list(ArchiveBook(path))


def test_a_flipped_bit_is_told_unless_it_changes_nothing(tmp_path: Path) -> None:
    path = packed(tmp_path, FIRST, CHANGE, SECOND)
    whole, rows = path.read_bytes(), list(ArchiveBook(path))
    data = whole.index(b"\0", 10) + 1  # after gzip's head and the file's name
    harmless = []

    for at in range(data, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert list(ArchiveBook(path)) == rows
            assert gzip.decompress(path.read_bytes()) == gzip.decompress(whole)
            harmless.append(at)
        except ArchiveUnreadable:
            continue

    assert len(harmless) <= 2  # bits that deflate does not use
