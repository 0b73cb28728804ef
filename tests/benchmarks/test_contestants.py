"""Every contestant has the newest depth in the end, or has failed."""

from __future__ import annotations

import pytest

from tests.benchmarks import lateness, throughput
from tests.benchmarks.lateness import Setting
from tests.benchmarks.reading import IDLE, LOOP, READING
from tests.benchmarks.roster import (
    ALL,
    CALLED,
    CEILING,
    LIMIT,
    OURS,
    PEERS,
    PLAIN,
    TLS,
    Entry,
    has_orjson,
)
from tests.benchmarks.rounds import Failed, Server, Turn
from tests.benchmarks.streams import NAMES, V5_BOOKS5, stream

# Each is a process or two.
pytestmark = pytest.mark.slow

# Of a turn, which has a process of its own.
SECONDS = 0.1
everyone = pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)


def turn(entry: Entry, name: str, transport: str | None = None) -> Turn:
    """Its first way, by its first parser."""
    if entry.missing:
        pytest.skip(f"not installed: {', '.join(entry.missing)}")
    return Turn(
        entry, entry.parsers[0], transport or entry.transports[-1], stream(name)
    )


@everyone
def test_one_turn_over_tls(entry: Entry, where: Server) -> None:
    found = throughput.one(turn(entry, entry.streams[-1]), where, SECONDS)
    assert found["messages"] > 0
    assert found["cpu"] > 0
    assert not found.get("refused")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("entry", [OURS, CALLED, LIMIT], ids=lambda entry: entry.name)
def test_ours_and_the_limit_on_every_stream_with_every_parser(
    entry: Entry, name: str, where: Server
) -> None:
    if not has_orjson():
        pytest.skip("not installed: orjson")
    found = throughput.one(
        turn(entry, name, PLAIN)._replace(parser="orjson"), where, SECONDS
    )
    assert found["messages"] > 0


def test_a_parser_that_is_blocked_is_not_there(where: Server) -> None:
    found = throughput.one(turn(OURS, V5_BOOKS5), where, SECONDS)
    assert found["orjson"] is False


def test_one_that_has_another_depth_than_the_last_fails(where: Server) -> None:
    right = turn(OURS, V5_BOOKS5)
    (bids, asks) = right.stream.ends[0]
    other = [((bids[0][0], bids[0][1] + 1), *bids[1:]), asks]
    wrong = right.stream._replace(ends=[tuple(other)])
    with pytest.raises(Failed, match="was sent last"):
        throughput.one(right._replace(stream=wrong), where, SECONDS)


def test_one_that_ends_with_an_error_says_which(where: Server) -> None:
    broken = OURS._replace(options={"levels": -1})
    with pytest.raises(Failed, match="levels"):
        throughput.one(turn(broken, V5_BOOKS5), where, SECONDS)


def test_what_only_receives_counts_what_was_sent(where: Server) -> None:
    found = throughput.one(turn(CEILING, V5_BOOKS5, PLAIN), where, SECONDS)
    assert 0 < found["messages"] <= where.play()["messages"]


LATE = [OURS, *PEERS]


@pytest.mark.parametrize("main", [IDLE, READING, LOOP])
def test_ours_sees_every_message_of_a_paced_stream(main: str, where: Server) -> None:
    setting = Setting(main, 200, TLS)
    found = lateness.one(turn(OURS, V5_BOOKS5), where, setting, 0.3)
    kinds = ("noted",) if main == IDLE else ("noted", "read")
    for kind in kinds:
        assert found[f"{kind}_behind"] == 0
        assert (
            0 < found[f"{kind}_p50"] <= found[f"{kind}_p99"] <= found[f"{kind}_worst"]
        )
    assert found["refused"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("entry", LATE, ids=lambda entry: entry.name)
def test_a_peer_beside_a_script_that_computes(entry: Entry, where: Server) -> None:
    setting = Setting(LOOP, 200, pinned=True, interval=1.0, stream=entry.streams[0])
    found = lateness.one(turn(entry, entry.streams[0], TLS), where, setting, 0.3)
    assert found["read_behind"] == 0
    assert found["read_p50"] > 0
