"""A push that was kept as it came: parsed once, by the first read, and verified."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.unparsed import Unparsed


class Keeping:
    """A channel that parses as a test says, and counts."""

    def __init__(self, *results: object) -> None:
        self.results = list(results)
        self.parsed: list[bytes] = []
        self.doubts = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def parse(self, kept: Unparsed) -> object:
        self.parsed.append(kept.said)
        result = self.results.pop(0)
        self.meanwhile()
        if isinstance(result, BaseException):
            raise result
        return result

    def doubt(self) -> None:
        self.doubts += 1


def kept(*results: object) -> tuple[Unparsed, Keeping]:
    channel = Keeping(*results)
    return Unparsed(channel, b"push", 7, 1000), channel


def test_the_first_read_parses_and_no_later_one() -> None:
    push, channel = kept("data")
    assert channel.parsed == []

    assert (push.data, push.data, push.fault, push.verify()) == (
        "data",
        "data",
        None,
        None,
    )
    assert channel.parsed == [b"push"]
    assert channel.doubts == 0
    assert (push.seq, push.time_ms) == (7, 1000)


def test_what_cannot_be_read_is_told_to_the_connection_once() -> None:
    push, channel = kept(WireError("depth", "no price", "books5:BTC-USDT"))

    assert str(push.fault) == str(push.fault)
    assert "books5:BTC-USDT" in str(push.fault)
    assert push.is_refused
    assert (len(channel.parsed), channel.doubts) == (1, 1)
    with pytest.raises(WireError):
        _ = push.data


def test_a_reader_keeps_nothing_of_what_was_raised() -> None:
    """Its traceback has the frames of a script, and its cause the raw text."""
    push, _ = kept(WireError("depth", "no price"))

    fault = push.fault

    assert fault is not None
    assert fault.__traceback__ is fault.__cause__ is fault.__context__ is None


def test_the_connection_parses_again_what_a_reader_could_not() -> None:
    """The reader may have been at its limit of recursion."""
    push, channel = kept(WireError("json", "too deep"), "data")
    assert push.fault is not None

    assert push.verify() is None
    assert (push.fault, push.data, push.is_refused) == (None, "data", False)
    assert channel.doubts == 1


def test_the_connection_finds_what_is_bad_without_a_doubt() -> None:
    error = WireError("depth", "no price")
    push, channel = kept(error)

    assert push.verify() is error
    assert channel.doubts == 0
    assert push.is_refused


def test_a_signal_that_ends_a_parse_leaves_it_to_the_next_read() -> None:
    push, _ = kept(KeyboardInterrupt(), "data")
    with pytest.raises(KeyboardInterrupt):
        _ = push.fault

    assert push.data == "data"


def test_a_reader_that_fails_as_another_one_parses_changes_nothing() -> None:
    push, channel = kept(WireError("json", "too deep"))

    def parsed_by_another() -> None:
        push.result, push.is_parsed = "data", True

    channel.meanwhile = parsed_by_another

    assert push.fault is None
    assert push.data == "data"
    assert not push.is_refused


def test_two_readers_at_once_both_parse_and_agree() -> None:
    push, channel = kept(["same"], ["same"])
    both = threading.Barrier(2, timeout=30.0)
    channel.meanwhile = both.wait
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(push.data)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)

    assert found == [["same"], ["same"]]
    assert len(channel.parsed) == 2
    assert push.data == ["same"]
