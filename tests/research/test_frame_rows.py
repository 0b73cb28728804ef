"""Rows of trades and of states, and what was not recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from okex_ws import Trade
from okex_ws.recording.format import Entry
from okex_ws.research import frame
from tests.support.frame_recordings import items_of, lossy, read_back
from tests.support.recordings import SUBSCRIBE, WALL, asked, heard, opened, write

BTC = "BTC-USDT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "day.rec.gz", *lossy())


def test_states_are_the_changes_alone(path: Path) -> None:
    rows = frame(path, BTC, kind="states").table.to_pylist()
    assert {row["row"] for row in rows} == {"state"}
    assert [row["old"] for row in rows[1:]] == [row["state"] for row in rows[:-1]]
    assert rows[-1]["state"] == "CLOSED"


def trades(*numbers: int) -> list[Entry]:
    """A connection that subscribed to ``trades``, and trades of these ids."""
    arg = '{"channel":"trades","instId":"BTC-USDT"}'
    pushed = [
        heard(
            float(n),
            f'{{"arg":{arg},"data":[{{"instId":"BTC-USDT","tradeId":"{n}","px":"{n}.5",'
            f'"sz":"2","side":"buy","ts":"{round((WALL + n) * 1000)}","count":"1"}}]}}',
        )
        for n in numbers
    ]
    ack = f'{{"id":"1","event":"subscribe","arg":{arg},"connId":"a4d3ae55"}}'
    first = [opened(), asked(0.01, SUBSCRIBE.replace("books5", "trades"))]
    pongs = [heard(5.0 * n + 0.1, "pong") for n in range(4)]
    later = sorted([*pushed, *pongs], key=lambda each: each.mono)
    return [*first, heard(0.05, ack), *later]


def test_trades_are_the_items_with_their_states(tmp_path: Path) -> None:
    path = write(tmp_path / "trades.rec.gz", *trades(2, 3, 4))
    rows = read_back(frame(path, BTC, kind="trades", exact=True).table, tmp_path)
    found = [row for row in rows if row["row"] == "item"]
    items = [each for each in items_of(path, "trade") if isinstance(each, Trade)]
    assert len(found) >= 2
    for name in ("id", "price", "size", "side", "count", "timestamp", "epoch"):
        assert [row[name] for row in found] == [getattr(each, name) for each in items]
    assert [row["at"] for row in found] == [each.received for each in items]
    assert rows[-1]["row"] == "state"


def test_what_was_not_recorded_is_refused_with_the_list(path: Path) -> None:
    with pytest.raises(ValueError, match=r"no trades of 'BTC-USDT'.*\(spot\): depth5"):
        frame(path, BTC, kind="trades")
    with pytest.raises(ValueError, match="'ETH-USDT'; it has BTC-USDT"):
        frame(path, "ETH-USDT")
