"""A capture is read line by line, and what is wrong with a line is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from okex_ws.local_exchange import deflate
from okex_ws.local_exchange.market.capture_files import damage, read
from tests.support.capture_files import (
    BOOK,
    BOOK_V5,
    ETH,
    EVENT,
    EVENT_V5,
    LAST_TRADE,
    LAST_TRADE_V5,
    TEXTS,
    TEXTS_V5,
    TRADE,
    TRADES,
    write,
)


def test_a_recording_of_v3_has_its_frames(tmp_path: Path) -> None:
    path, protocol, frames = read(write(tmp_path / "made", TEXTS))

    assert (path, protocol) == (str(tmp_path / "made"), "v3")
    assert [frame.push.channel for frame in frames] == [BOOK, TRADE, BOOK]
    assert [frame.push.text for frame in frames] == TEXTS[1:]
    assert [frame.push.frame for frame in frames] == [deflate(x) for x in TEXTS[1:]]
    assert [frame.line for frame in frames] == [2, 3, 4]
    assert [frame.at for frame in frames] == [1.0, 2.0, 3.0]
    assert {(f.market, f.instrument_id) for f in frames} == {("option", ETH)}


def test_a_recording_of_v5_is_its_texts(tmp_path: Path) -> None:
    _, protocol, frames = read(write(tmp_path / "made", TEXTS_V5, v5=True))

    assert protocol == "v5"
    assert [frame.push.channel for frame in frames] == [BOOK_V5, TRADES, BOOK_V5]
    assert [frame.push.frame for frame in frames] == TEXTS_V5[1:]
    assert [frame.action for frame in frames] == ["snapshot", None, "update"]
    assert frames[0].element["checksum"] == "1815367951"
    assert {(f.market, f.instrument_id) for f in frames} == {("option", ETH)}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"times": ["1.0"]}, "recv.times .* line 2: it is cut off here"),
        ({"times": ["4", "3", "2", "1"]}, "recv.times .* line 2: it is before the one"),
        ({"times": ["1", "x", "2", "3"]}, "recv.times .* line 2: it is no time"),
        ({"times": ["1", "2", "3", "inf"]}, "recv.times .* line 4: it is before"),
        ({"frames": [deflate(text) for text in TEXTS[:2]]}, "b64 .* line 3: it is cut"),
        ({"frames": [b"\xff"] * 4}, "deflate.b64 is damaged in line 1: "),
        ({"frames": [deflate("{}")] * 4}, "line 1: its frame does not hold its text"),
        ({"texts": ["{}"]}, "recv.jsonl is damaged in line 1: 'data'"),
        ({"texts": ["nonsense"]}, "line 1: "),
        ({"texts": ["[" * 100_000]}, "line 1: "),
        ({"texts": [EVENT]}, "has no data"),
        ({"texts": []}, "has no data"),
    ],
)
def test_a_damaged_capture_is_a_value_error(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "made", **{"texts": TEXTS, **changes})

    with pytest.raises(ValueError, match=sentence):
        read(path)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([EVENT_V5, LAST_TRADE_V5[:-1]], "recv.jsonl is damaged in line 2: "),
        ([LAST_TRADE_V5, "{}"], "line 2: 'data'"),
        ([LAST_TRADE_V5.replace(ETH, "eth")], "line 1: 'eth' is no instrument id"),
        ([LAST_TRADE_V5, '{"arg":{"channel":"a"},"data":[{}]}'], "line 2: 'instId'"),
        ([LAST_TRADE_V5, '{"arg":{"channel":"a"},"data":[]}'], "line 2: not enough"),
    ],
)
def test_a_damaged_capture_of_v5_is_one_too(
    tmp_path: Path, texts: list[str], sentence: str
) -> None:
    path = write(tmp_path / "made", texts, v5=True)

    with pytest.raises(ValueError, match=sentence):
        read(path)


def test_a_frame_that_is_not_base64_is_a_value_error(tmp_path: Path) -> None:
    path = write(tmp_path / "made", TEXTS)
    Path(f"{path}.deflate.b64").write_text("!\n" * 4)

    with pytest.raises(ValueError, match="line 1: no base64 frame: "):
        read(path)


def test_a_file_that_is_no_text_is_a_value_error(tmp_path: Path) -> None:
    path = write(tmp_path / "made", TEXTS)
    Path(f"{path}.recv.jsonl").write_bytes(b"\xff")

    with pytest.raises(ValueError, match=r"recv.jsonl is damaged in line 1: "):
        read(path)


@pytest.mark.parametrize("missing", ["recv.jsonl", "recv.times", "deflate.b64"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "made", [LAST_TRADE])
    Path(f"{path}.{missing}").unlink()

    with pytest.raises(FileNotFoundError, match=f"made.{missing}: .* without a suffix"):
        read(path)


@pytest.mark.parametrize("name", ["book-400lv.tar.gz", "trades.zip"])
def test_a_file_of_the_archive_is_told_as_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"packed")

    with pytest.raises(ValueError, match=r"okex_ws\.research\.archive reads"):
        read(tmp_path / name)


def test_other_errors_are_no_damage() -> None:
    with pytest.raises(ZeroDivisionError), damage("made", "recv.jsonl", 1):
        raise ZeroDivisionError
