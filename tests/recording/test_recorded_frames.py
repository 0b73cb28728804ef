"""Captures of another program: each message as it came, and where one is damaged."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from okex_ws.local_exchange import deflate
from okex_ws.recording import recorded_frames
from okex_ws.recording.format import read
from okex_ws.recording.recorded_frames import RecordingDamaged
from tests.support.capture_files import TEXTS, TEXTS_V5, write
from tests.support.recordings import readable


def test_one_of_v3_has_its_frames(tmp_path: Path) -> None:
    path = str(write(tmp_path / "mine", TEXTS))

    found = list(recorded_frames.read(path))

    assert recorded_frames.is_capture(path)
    assert not recorded_frames.is_capture(f"{path}.recv.jsonl")
    assert [each.payload for each in found] == [deflate(text) for text in TEXTS]
    assert {each.binary for each in found} == {True}
    assert [each.at for each in found] == [1000.5 + n for n in range(len(TEXTS))]


def test_one_of_v5_has_its_texts_and_is_read_as_a_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "mine", TEXTS_V5, v5=True)

    found = list(read(path))

    assert [each.payload.decode() for each in found] == TEXTS_V5
    assert {(each.kind, each.binary, each.connection) for each in found} == {
        ("in", False, 1)
    }
    assert all(each.wall == each.mono for each in found)


@pytest.mark.parametrize(
    ("suffix", "line", "with_what", "why"),
    [
        ("recv.times", 2, "soon", "it is no time"),
        ("recv.times", 3, "1.0", "it is before the one before"),
        ("recv.times", 4, "inf", "it is before the one before"),
        ("deflate.b64", 3, "%%%%", "no base64"),
        ("deflate.b64", 3, "AAAA", "not hold its"),
        ("deflate.b64", 2, base64.b64encode(deflate("{}")).decode(), "not hold its"),
        ("recv.jsonl", 2, "{}", "its frame does not hold its text"),
    ],
)
def test_damage_is_told_with_file_and_line(
    tmp_path: Path, suffix: str, line: int, with_what: str, why: str
) -> None:
    path = write(tmp_path / "mine", TEXTS)
    file = Path(f"{path}.{suffix}")
    whole = file.read_text().splitlines()
    whole[line - 1] = with_what
    file.write_text("\n".join(whole) + "\n")

    found, damage = readable(path)

    assert len(found) == line - 1
    assert damage is not None
    file = Path(f"{path}.deflate.b64") if suffix == "recv.jsonl" else file
    assert (damage.path, damage.line) == (str(file), line)
    assert why in damage.why


@pytest.mark.parametrize(("cut", "whole"), [(1, True), (2, False), (40, False)])
def test_the_last_message_may_lack_its_line_feed_but_nothing_else(
    tmp_path: Path, cut: int, whole: bool
) -> None:
    path = write(tmp_path / "mine", TEXTS_V5, v5=True)
    file = Path(f"{path}.recv.jsonl")
    file.write_bytes(file.read_bytes()[:-cut])

    found, damage = readable(path)

    assert len(found) == len(TEXTS_V5) - (not whole)
    assert (damage is None) == whole


def test_files_of_different_length_are_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "mine", TEXTS_V5, v5=True)
    with Path(f"{path}.recv.times").open("a") as file:
        file.write("9999.5\n")

    with pytest.raises(RecordingDamaged, match="it is cut off here"):
        list(read(path))


def test_every_real_one_is_read(captures: Callable[[str], Path]) -> None:
    lengths = {
        "v3_OKEX.ws.56_20210417": 2486,
        "v3_OKEX.ws.57_20210417": 2426,
        "v3_OKCOIN.ws.1_20210722": 1092,
        "v5_OKEX.ws.1_20210722": 1616,
        "v5_OKX.ws.1_20220513": 410,
    }
    for name, length in lengths.items():
        found = list(read(captures(f"cryptofeed/{name}")))
        assert len(found) == length
        assert {entry.binary for entry in found} == {name.startswith("v3")}
