"""A short run of every target, and tests that the targets see faults at all.

Hypothesis makes the random choices of an input here, so that a failure shrinks to few
of them. The seeded run beside it makes more inputs, of the same kind as the command's.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.numbers import NUMBERS
from okex_ws.protocol import v5
from okex_ws.sbe import reader
from okex_ws.sbe.decimals import text_of
from tests.fuzz import binary, books, framing, identities
from tests.fuzz.__main__ import main
from tests.fuzz.corpus import corpus
from tests.fuzz.frames import check_error, check_frame, check_reading
from tests.fuzz.identities import check_order
from tests.fuzz.mutators import BOMBS, deflated
from tests.fuzz.promises import check_trade
from tests.fuzz.targets import TARGETS, Target, check_memories
from tests.support import sbe_vectors, v3_frames, v5_frames

_NAMES = [target.name for target in TARGETS]
_BY_NAME = dict(zip(_NAMES, TARGETS, strict=True))
# The longest ones, whose code is the same everywhere.
_LONG = ("recordings", "secrets", "captures", "books")
each_target = pytest.mark.parametrize("target", TARGETS, ids=_NAMES)


def outcomes(target: Target, count: int, seed: str) -> Counter[str]:
    """What becomes of *count* inputs."""
    rng, seeds = Random(seed), corpus()
    found: Counter[str] = Counter()
    for number in range(count):
        some = target.make(rng, seeds)
        try:
            found[target.check(some)] += 1
        except Exception as error:
            raise AssertionError(f"input {number}: {some!r:.5000}") from error
    return found


# --- Nothing but a value or the one family ------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        # The newest websocket-client has to frame as the pinned one does, and without
        # orjson the standard library has to read as it does.
        pytest.param(each, marks=[pytest.mark.once] if each.name in _LONG else [])
        for each in TARGETS
    ],
    ids=_NAMES,
)
def test_seeded_inputs_end_as_documented(target: Target) -> None:
    found = outcomes(target, 2000 // target.cost, f"short {target.name}")

    # All of one outcome would say nothing.
    assert len(found) > 1, found
    check_memories()


@pytest.mark.slow
@each_target
def test_inputs_of_hypothesis_end_as_documented(target: Target) -> None:
    @settings(
        max_examples=max(20, 200 // target.cost),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def run(rng: Random) -> None:
        some = target.make(rng, corpus())
        note(f"input: {some!r:.5000}")
        target.check(some)

    run()


def test_recordings_are_part_of_the_corpus(captures: Callable[[str], Path]) -> None:
    captures("")
    found = corpus()

    assert found.recorded > 200
    assert {seed.kind[:8] for seeds in found.v3 for seed in seeds} >= {'"table":'}
    assert any(seed.frame for seeds in found.v3 for seed in seeds)


def test_a_seed_that_is_not_spoiled_is_read() -> None:
    for protocol, kinds in (("v3", corpus().v3), ("v5", corpus().v5)):
        for seed in (seed for seeds in kinds for seed in seeds):
            assert check_frame(protocol, (seed.text, False)) != "WireError", seed
            if protocol == "v3":
                frame = seed.frame or deflated(seed.text)
                assert check_frame(protocol, (frame, True)) != "WireError", seed


def test_a_chain_that_is_not_spoiled_is_taken_to_its_end() -> None:
    found = corpus()
    for protocol, links in (*found.chains, *found.long_chains):
        assert _BY_NAME["books"].check((protocol, list(links))) == "value"


def test_one_seed_makes_the_same_inputs_again() -> None:
    for target in TARGETS:
        first, again = (
            [repr(target.make(rng, corpus())) for _ in range(20)]
            for rng in (Random(7), Random(7))
        )
        assert first == again


# --- What the judges would see ------------------------------------------------------


def test_a_value_that_is_not_the_wires_is_seen() -> None:
    element = v5_frames.element(v5_frames.TRADES)
    value = v5.PROTOCOL.trade(element)
    check_trade("v5", value, element)

    for name, text in (("px", "63913.5"), ("sz", "2"), ("tradeId", "2832749636")):
        with pytest.raises(AssertionError):
            check_trade("v5", value, {**element, name: text})


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("best", "BinaryBest"), ("book", "BinaryBook"), ("trade", "BinaryTrade")],
)
def test_a_binary_number_that_is_not_that_of_json_is_seen(
    name: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = sbe_vectors.EVERY[name]
    assert binary.check_binary(frame) == outcome

    monkeypatch.setattr(reader, "text_of", lambda number, _: text_of(number, 0))
    with pytest.raises(AssertionError):
        binary.check_binary(frame)


def test_another_exception_than_the_one_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trade(element: Any) -> Any:
        raise ArithmeticError

    monkeypatch.setattr(type(v5.PROTOCOL), "trade", staticmethod(trade))

    with pytest.raises(ArithmeticError):
        check_reading("v5", (v5_frames.element(v5_frames.TRADES), None, None))


def test_another_message_is_seen_behind_another_order() -> None:
    other = v5_frames.TRADES.replace('"buy"', '"sell"')
    assert other != v5_frames.TRADES

    with pytest.raises(AssertionError):
        check_order(("v5", v5_frames.TRADES.encode(), other.encode()))


@pytest.mark.parametrize("how", ["case", "instrument", "both"])
def test_a_name_that_is_not_taken_is_seen(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = identities.OddName("v5", ("BTC-USDT", "depth5"), "order", 1, 1)
    assert identities.check_name(given) == "taken"
    misname = identities.misnamed
    monkeypatch.setattr(
        identities, "misnamed", lambda _, message: misname(how, message)
    )

    with pytest.raises(AssertionError):
        identities.check_name(given)


@pytest.mark.parametrize(
    "error",
    [
        WireError("json", "x" * 301),
        WireError("json", "two\nlines"),
        WireError("no kind", "x"),
    ],
)
def test_an_error_that_no_log_can_bear_is_seen(error: WireError) -> None:
    with pytest.raises(AssertionError):
        check_error(error)


def test_a_book_that_keeps_something_after_a_failure_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Keeping(BookBuilder):
        def __init__(self) -> None:
            super().clear()

        def clear(self) -> None:
            pass

    monkeypatch.setattr(books, "BookBuilder", Keeping)

    with pytest.raises(AssertionError):
        outcomes(_BY_NAME["books"], 200, "kept")


def test_a_digit_of_a_book_is_seen() -> None:
    ticks = [["1.0", "2", "1"]], [["1.1", "3", "1"]]
    element = {
        "bids": ticks[0],
        "asks": ticks[1],
        "timestamp": "2022-02-25T00:00:01.032Z",
        "checksum": str(books.checksum(*ticks)),
    }
    check = _BY_NAME["books"].check
    assert check(("v3", [books.Era("partial", element)])) == "value"

    changed = {**element, "bids": [["1.00", "2", "1"]]}
    assert check(("v3", [books.Era("partial", changed)])) == "ChecksumMismatch"


@pytest.mark.parametrize(
    ("ours", "judge"),
    [
        ([b"\x81\x01a"], [b"\x81\x01b"]),
        ([b"\x81\x01a"], [b"\x82\x01a"]),
        ([b"\x81\x01a"], [b"\x01\x01a"]),
        ([b"\x81\x01a"], [b"\x81\x81a"]),
        ([b"\x89\x01a"], [b"\x89\x01b"]),
        ([b"\x88\x02\x03\xe8"], [b"\x88\x02\x03\xe9"]),
        ([b"\x88\x02\x03\xe8"], [b"\x88\x02\x00\x00"]),
        ([b"\x8b\x00"], [b"\x81\x00\x8b\x00"]),
    ],
)
def test_two_readers_that_disagree_are_seen(
    ours: list[bytes], judge: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert framing.compare(ours)
    assert framing.compare(judge)
    verdict = framing.judged(judge, framing.MOST)
    monkeypatch.setattr(framing, "judged", lambda chunks, most: verdict)

    with pytest.raises(framing.Mismatch):
        framing.compare(ours)


@pytest.mark.parametrize(
    ("stream", "difference"),
    [
        (b"\x83\x05a", "an unknown opcode is refused once its frame is whole"),
        (b"\x83\x7f" + b"\xff" * 8, "wrong twice"),
        (b"\x88\x03\x03\xe7\xff", "wrong twice"),
        (b"\x88\x03\x03\xe8\xff", "a close reason need not be UTF-8"),
        (b"\x01\x01a\x88\x02\x03\xe8", "a close frame may come between fragments"),
    ],
)
def test_every_difference_that_is_allowed_exists(
    stream: bytes, difference: str
) -> None:
    assert difference in framing.compare([stream])


def test_small_limits_are_met_and_gone_afterwards() -> None:
    long = b"\x81\x7e\x01\x2d" + bytes(301)
    pings = b"\x89\x00" * 6

    with framing.small_heads():
        assert framing.ours([long], framing.SMALL).messages == [(bytes(130), False)]
    assert framing.ours([long], framing.MOST).messages == [(bytes(301), False)]
    assert framing.check_small_framing([long]) == "open"
    assert framing.check_small_framing([pings]) == "error 1009"
    assert framing.check_framing([pings]) == "open"


def test_a_channel_of_any_length_makes_no_sentence_of_any_length() -> None:
    more = ",".join(f'"p{number}":"{"x" * 256}"' for number in range(100))
    frame = f'{{"arg":{{"channel":"books5",{more}}},"data":5}}'.encode()

    assert check_frame("v5", (frame, False)) == "WireError"


def test_a_book_that_is_too_wide_is_refused() -> None:
    sides = {"bids": books.TOO_WIDE, "asks": [], "ts": "1786541241006", "seqId": "1"}
    for first, outcome in ((0, "BookError"), (1, "value"), (2, "value")):
        element = {**sides, "bids": books.TOO_WIDE[first:]}
        links = [books.Era("snapshot", element)]
        assert _BY_NAME["books"].check(("v5", links)) == outcome


def test_a_bomb_is_bounded() -> None:
    assert [check_frame("v3", (bomb, True)) for bomb in BOMBS] == ["WireError"] * 3


def test_a_cache_without_a_bound_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    @functools.cache
    def remembered(text: str) -> str:
        return text

    remembered("a")
    remembered("b")
    remembered.__module__ = v5.__name__
    monkeypatch.setattr(v5, "remembered", remembered, raising=False)
    with pytest.raises(AssertionError):
        check_memories()

    monkeypatch.undo()
    monkeypatch.setitem(NUMBERS, "1" * 65, 1.0)
    with pytest.raises(AssertionError):
        check_memories()


# --- The command --------------------------------------------------------------------


def test_the_command_counts_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"

    arguments = ["--seconds", "0", "--seed", "3", "--json", str(out)]
    assert main([*arguments, "--target", "numbers", "--target", "v3 frames"]) == 0

    found = json.loads(out.read_text())
    assert found["ok"]
    assert list(found["targets"]) == ["v3 frames", "numbers"]
    assert found["inputs"] == sum(t["inputs"] for t in found["targets"].values()) > 0
    assert "numbers" in capsys.readouterr().out


def test_the_command_tells_an_input_that_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(self: Any, payload: bytes, binary: bool) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(type(v5.PROTOCOL), "decode", read)

    assert main(["--seconds", "0", "--target", "v5 frames"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "input: (b'" in said


def test_the_generated_frames_are_those_of_the_protocols_own_tests() -> None:
    kinds = {seed.text.decode() for seeds in corpus().v3 for seed in seeds}

    assert {v3_frames.DEPTH5, v3_frames.CANDLE, v3_frames.FUNDING} <= kinds
