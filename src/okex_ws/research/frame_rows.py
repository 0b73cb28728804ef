"""The rows of a frame, from a replay in virtual time: items, states, gaps and ticks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..base.state import Cause, State
from ..client.subscription import WSSubscription
from ..model.book import Level
from ..model.items import BookUpdate, Depth, Gap, Item, Trade
from ..model.reports import StateChange
from ..protocol.catalogue import KNOWN
from ..replay import Replay
from ..replay.requests import describe

Row = Mapping[str, Any]

# Of what a frame of each kind is made.
_FROM = {
    "bbo": ("depth", "book"),
    "depth": ("depth", "book"),
    "trades": ("trade",),
    "states": ("depth", "book", "trade"),
}
KINDS = tuple(_FROM)


def find_channels(
    replay: Replay, instrument_id: str, market: str | None, kind: str
) -> tuple[str, tuple[str, ...]]:
    """The market and the recorded channels for a frame of *kind*.

    Raises:
        ValueError: the instrument, or a channel for *kind*, was not recorded; the
            message lists what was.
    """
    recorded = replay.instruments
    for found, name, topics in recorded:
        if name == instrument_id and market in (None, found):
            channels = [each for each in topics if KNOWN[each].kind in _FROM[kind]]
            if kind == "trades" and "trades-all" in channels:
                channels = ["trades-all"]  # each trade by itself
            if kind == "depth" and len(channels) > 1:
                channels = [each for each in channels if each != "bbo-tbt"]
            if channels:
                return found, tuple(channels)
    raise ValueError(
        f"the recording has no {kind} of {instrument_id!r}; it has"
        f" {describe(recorded) or 'none'}"
    )


def tick_rows(
    replay: Replay, okx: WSSubscription, seconds: float, levels: int
) -> Iterator[Row]:
    """A row for each tick of the grid, refusals included."""
    for (tick,) in replay.every(seconds, levels=levels):
        if tick.depth is None:
            name, why = okx.instrument_id, tick.cause
            yield _outage_row("tick", tick.at, name, tick.state, why)
        else:
            row = depth_row(tick.depth)
            yield {**row, "at": tick.at, "row": "tick", "state": str(State.LIVE)}


def event_rows(
    replay: Replay, okx: WSSubscription, told: list[Item], kind: str, levels: int
) -> Iterator[Row]:
    """A row for each change, as it came: *told* is filled by the callback of *okx*.

    A depth has a row if it is another one than before, once all that came at its moment
    was handled.
    """
    last: Depth | None = None
    for _ in replay:
        yield from _told_rows(told, kind)
        if kind in ("bbo", "depth") and okx.state is State.LIVE:
            depth = okx.depth(levels=levels)
            if depth != last:
                yield depth_row(depth)
            last = depth
    yield from _told_rows(told, kind)


def _told_rows(told: list[Item], kind: str) -> Iterator[Row]:
    items, told[:] = list(told), []
    for item in items:
        if isinstance(item, StateChange):
            yield state_row(item)
        elif kind != "trades":
            continue
        elif isinstance(item, Trade):
            yield trade_row(item)
        elif isinstance(item, Gap):
            yield gap_row(item)


def state_row(change: StateChange) -> Row:
    """The row of a change of the subscription's state."""
    name, at = change.instrument_id, change.at
    row = _outage_row("state", at, name, change.new, change.cause)
    return {**row, "old": str(change.old), "epoch": change.epoch}


def gap_row(gap: Gap) -> Row:
    """The row that says that trades are missing."""
    return _outage_row("gap", gap.at, gap.instrument_id, None, gap.cause)


def _outage_row(
    row: str, at: datetime | None, name: str, state: State | None, why: Cause
) -> dict[str, Any]:
    return {
        "at": at,
        "row": row,
        "instrument_id": name,
        "state": None if state is None else str(state),
        "cause": str(why) or None,
        "cause_code": why.code and str(why.code),
    }


def depth_row(depth: Depth | BookUpdate, levels: int | None = None) -> Row:
    """The row of a depth, or of the book after a change; the best *levels* of it."""
    row: dict[str, Any] = {
        "at": depth.received,
        "row": "item",
        "instrument_id": depth.instrument_id,
        "timestamp": depth.timestamp,
        "epoch": depth.epoch,
    }
    book = depth.book if levels is None else depth.book.top(levels)
    _add_side(row, "bid", book.bids)
    _add_side(row, "ask", book.asks)
    return row


def _add_side(row: dict[str, Any], side: str, levels: tuple[Level, ...]) -> None:
    """Add each level by its number, and the best one by the names of a ``bbo``."""
    for number, level in enumerate(levels, 1):
        row[f"{side}_price_{number}"], row[f"{side}_size_{number}"] = level[:2]
        if number == 1:
            row[side], row[f"{side}_size"] = level[:2]


def trade_row(trade: Trade) -> Row:
    """The row of a trade."""
    return {
        "at": trade.received,
        "row": "item",
        **{
            name: getattr(trade, name)
            for name in ("instrument_id", "timestamp", "id", "first_id", "count")
        },
        **{name: getattr(trade, name) for name in ("side", "price", "size", "epoch")},
    }
