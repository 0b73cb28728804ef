"""Files in the form of Tardis: readers that know no outage get unbroken stretches."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from okex_ws import BookUpdate, OrderBook, StateChange, Trade
from okex_ws.base.state import State
from okex_ws.research import export
from okex_ws.research.tardis_files import TardisFiles
from tests.support.export_recording import IDS, played, record_an_outage

BTC = IDS[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording for all tests of this module."""
    return record_an_outage(tmp_path_factory.mktemp("recording") / "day.rec.gz")


def table(path: Path) -> list[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:  # type: ignore[operator]
        return list(csv.DictReader(file))


def us(at: datetime) -> str:
    return str(round(at.timestamp() * 1_000_000))


def test_each_stretch_of_a_book_is_a_file_that_adds_up_to_it(
    path: Path, tmp_path: Path
) -> None:
    *paths, _ = export(path, tmp_path, form="tardis", instruments=[BTC])
    books = [each for each in paths if "_incremental_book_L2_" in each.name]
    updates = [e for e in played(path, BTC, "depth") if isinstance(e, BookUpdate)]
    ends = [
        before.book
        for before, after in zip(updates, [*updates[1:], None], strict=True)
        if after is None or after.action == "snapshot"
    ]

    assert len(books) == len(ends) >= 2
    for file, last in zip(books, ends, strict=True):
        rows, sides = table(file), {"bid": dict[str, str](), "ask": dict[str, str]()}
        flags = [row["is_snapshot"] for row in rows]
        assert flags == sorted(flags, reverse=True)
        assert set(flags) == {"true", "false"}
        for row in rows:
            if Decimal(row["amount"]):
                sides[row["side"]][row["price"]] = row["amount"]
            else:
                del sides[row["side"]][row["price"]]
        assert sides == {
            "bid": {level[0]: level[1] for level in last.bids},
            "ask": {level[0]: level[1] for level in last.asks},
        }


def test_rows_have_the_vendors_columns(path: Path, tmp_path: Path) -> None:
    *paths, _ = export(path, tmp_path, form="tardis", instruments=[BTC])
    first = next(e for e in played(path, BTC, "depth") if isinstance(e, BookUpdate))

    row = table(paths[0])[0]

    assert row == {
        "exchange": "okex",
        "symbol": BTC,
        "timestamp": us(first.timestamp),
        "local_timestamp": us(first.received),
        "is_snapshot": "true",
        "side": "bid",
        "price": first.bids[0][0],
        "amount": first.bids[0][1],
    }


def test_every_deal_is_there_in_unbroken_files(path: Path, tmp_path: Path) -> None:
    *paths, _ = export(path, tmp_path, form="tardis", instruments=[BTC])
    files = [each for each in paths if "_trades_" in each.name]
    trades = [each for each in played(path, BTC, "trade") if isinstance(each, Trade)]

    found = [row for file in files for row in table(file)]

    assert len(files) >= 2
    assert [(r["id"], r["side"], r["price"], r["amount"]) for r in found] == [
        (t.id, t.side, str(t.price), str(t.size)) for t in trades
    ]
    assert list(found[0]) == [
        *("exchange", "symbol", "timestamp", "local_timestamp"),
        *("id", "side", "price", "amount"),
    ]


def test_each_end_of_a_stretch_is_a_row_of_the_outages(
    path: Path, tmp_path: Path
) -> None:
    *_, outages = export(path, tmp_path, form="tardis", instruments=[BTC])
    changes = [
        each
        for each in played(path, BTC, "depth")
        if isinstance(each, StateChange) and each.new not in (State.LIVE, State.CLOSED)
    ]

    rows = [row for row in table(outages) if row["of"] == "book"]

    assert outages.name == "outages.csv"
    assert [(r["at"], r["state"], r["cause"]) for r in rows] == [
        (each.at.isoformat(), str(each.new), str(each.cause)) for each in changes
    ]
    assert {row["of"] for row in table(outages)} == {"book", "trades"}


def test_a_folder_with_the_word_trades_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'trades' in its path"):
        export(path, tmp_path / "my-trades" / "x", form="tardis")


def test_the_same_recording_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    one = export(path, tmp_path / "a", form="tardis")
    other = export(path, tmp_path / "b", form="tardis")

    assert [each.read_bytes() for each in one] == [each.read_bytes() for each in other]


class _Rest:
    """What fails at the third of its calls, as a full disk would."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, at: object, part: float) -> None:
        self.calls += 1
        if self.calls == 3:
            raise OSError(28, "No space left on device")


def test_a_failure_late_leaves_no_stretch_without_its_outages(
    path: Path, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="No space left"):
        export(path, tmp_path, form="tardis", progress=_Rest())

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_snapshot_while_live_ends_a_file_with_a_row(tmp_path: Path) -> None:
    rows = [("100", "1", "1")], [("101", "2", "1")]
    at = datetime(2026, 9, 1, tzinfo=timezone.utc)
    wanted = [("spot", BTC, ("depth",))]
    with TardisFiles(tmp_path, wanted) as files:
        for _ in range(2):
            book = OrderBook(*map(tuple, rows))
            facts = at, at, None, 5, 1, "depth"
            files.take(BookUpdate(BTC, "snapshot", *map(tuple, rows), book, *facts), ())
        *books, outages = files.finish()

    assert [len(table(each)) for each in books] == [2, 2]
    (row,) = table(outages)
    assert (row["of"], row["state"]) == ("book", "LIVE")
    assert "another snapshot" in row["cause"]


def test_times_are_exact_to_the_microsecond(tmp_path: Path) -> None:
    at = datetime(2026, 9, 1, 12, 34, 56, 789_123, tzinfo=timezone.utc)
    trade = Trade(
        BTC, "7", "7", 1, Decimal("1.5"), Decimal(2), "buy", at, at, 1, False, False
    )
    with TardisFiles(tmp_path, [("spot", BTC, ("trade",))]) as files:
        files.take(trade, ())
        file, _ = files.finish()

    (row,) = table(file)
    assert row["timestamp"] == "1788266096789123"
