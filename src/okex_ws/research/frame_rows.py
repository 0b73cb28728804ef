"""The rows of a frame, from a replay in virtual time: items, states, gaps and ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..base.state import Cause, State
from ..client.subscription import WSSubscription
from ..model.book import Level
from ..model.items import Depth, Gap, Item, Trade
from ..model.reports import StateChange
from ..protocol.catalogue import KNOWN
from ..replay import Replay
from ..replay.requests import describe
from .frame_columns import Row

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
            yield _state_row("tick", tick.at, okx, tick.state, tick.cause)
        else:
            row = _depth_row(tick.depth)
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
        yield from _told_rows(okx, told, kind)
        if kind in ("bbo", "depth") and okx.state is State.LIVE:
            depth = okx.depth(levels=levels)
            if depth != last:
                yield _depth_row(depth)
            last = depth
    yield from _told_rows(okx, told, kind)


def _told_rows(okx: WSSubscription, told: list[Item], kind: str) -> Iterator[Row]:
    items, told[:] = list(told), []
    for item in items:
        if isinstance(item, StateChange):
            row = _state_row("state", item.at, okx, item.new, item.cause)
            yield {**row, "old": str(item.old), "epoch": item.epoch}
        elif kind != "trades":
            continue
        elif isinstance(item, Trade):
            yield _trade_row(item)
        elif isinstance(item, Gap):
            yield _state_row("gap", item.at, okx, None, item.cause)


def _state_row(
    row: str, at: datetime | None, okx: WSSubscription, state: State | None, why: Cause
) -> dict[str, Any]:
    return {
        "at": at,
        "row": row,
        "instrument_id": okx.instrument_id,
        "state": None if state is None else str(state),
        "cause": str(why) or None,
        "cause_code": why.code and str(why.code),
    }


def _depth_row(depth: Depth) -> dict[str, Any]:
    row: dict[str, Any] = {
        "at": depth.received,
        "row": "item",
        "instrument_id": depth.instrument_id,
        "timestamp": depth.timestamp,
        "epoch": depth.epoch,
    }
    _add_side(row, "bid", depth.bids)
    _add_side(row, "ask", depth.asks)
    return row


def _add_side(row: dict[str, Any], side: str, levels: tuple[Level, ...]) -> None:
    """Add each level by its number, and the best one by the names of a ``bbo``."""
    for number, level in enumerate(levels, 1):
        row[f"{side}_price_{number}"], row[f"{side}_size_{number}"] = level[:2]
        if number == 1:
            row[side], row[f"{side}_size"] = level[:2]


def _trade_row(trade: Trade) -> dict[str, Any]:
    return {
        "at": trade.received,
        "row": "item",
        **{
            name: getattr(trade, name)
            for name in ("instrument_id", "timestamp", "id", "first_id", "count")
        },
        **{name: getattr(trade, name) for name in ("side", "price", "size", "epoch")},
    }
