"""`frame`: one instrument of a recording as an Arrow table, outages included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..base.checks import check_whole
from ..client.ticks import check_step
from ..model.items import Item
from ..model.reports import StateChange
from ..replay import Replay
from .frame_columns import Columns, columns_of
from .frame_rows import KINDS, Row, event_rows, find_channels, tick_rows

# Rows of one batch: some megabytes of a depth with 5 levels.
BATCH = 65_536


@dataclass(frozen=True, slots=True)
class MarketFrame:
    """A frame as a `pyarrow.Table`, *table*.

    *inexact* is how many of its prices and sizes are not what the exchange sent, digit
    by digit, because a ``float64`` has too few of them; 0 with ``exact=True``.
    *left_out* is how many rows of a file of the archive could not be read.
    """

    table: Any
    inexact: int
    left_out: int = 0

    def to_pandas(self) -> Any:
        """The table as a ``pandas.DataFrame``; pandas has to be installed."""
        return self.table.to_pandas()

    def to_polars(self) -> Any:
        """The table as a ``polars.DataFrame``; polars has to be installed."""
        import polars

        return polars.from_arrow(self.table)


def frame(
    path: str | os.PathLike[str],
    instrument_id: str,
    *,
    kind: str = "bbo",
    every: float | None = None,
    levels: int = 5,
    exact: bool = False,
    market: str | None = None,
    start: datetime | float | None = None,
    end: datetime | float | None = None,
    venue: str | None = None,
) -> MarketFrame:
    """One instrument of a recording as a `MarketFrame`.

    Columns: *at* (receipt, UTC), *row*, *instrument_id*, *timestamp* (the exchange's,
    UTC; null where there is no item), the numbers of *kind*, *epoch*, *state*, *cause*
    and *cause_code*. *row* says what a row is: ``'item'`` (a depth or a trade),
    ``'state'`` (the subscription's state changed to *state*, *cause* says why),
    ``'gap'`` (trades are missing here) or ``'tick'`` (a read on a grid). A row without
    a trusted price has nulls for it: nothing is carried over.

    Args:
        path: the first file of a recording, or a capture.
        instrument_id: the exchange's id.
        kind: ``'bbo'`` (*bid*, *bid_size*, *ask*, *ask_size*), ``'depth'``
            (*bid_price_1*, *bid_size_1*, *ask_price_1*, ... to *levels*), ``'trades'``
            (*id*, *first_id*, *count*, *side* of the taker, *price*, *size*) or
            ``'states'`` (*old*).
        every: seconds between the ticks of a grid, of ``'bbo'`` and ``'depth'``, as in
            `Replay.every`; ``None`` gives each change as it came.
        levels: the levels of each side of ``'depth'``.
        exact: numbers as ``decimal128(38, 18)``, not ``float64``.
        market, start, end, venue: as for `Replay`; *market* if two have the id.

    Raises:
        ValueError: an argument cannot be right, or the instrument or a channel for
            *kind* was not recorded: the message lists those that were. Or, with
            *exact*, a number does not fit.
        OSError, RecordingDamaged: as for `Replay`.
    """
    columns = _check(kind, every, levels, exact)
    where = market, start, end, venue
    found = list(_batches(columns, path, instrument_id, kind, every, levels, where))
    return MarketFrame(columns.table(found), columns.inexact)


def batches(
    path: str | os.PathLike[str],
    instrument_id: str,
    *,
    kind: str = "bbo",
    every: float | None = None,
    levels: int = 5,
    exact: bool = False,
    market: str | None = None,
    start: datetime | float | None = None,
    end: datetime | float | None = None,
    venue: str | None = None,
) -> Iterator[Any]:
    """What `frame` gives, as an iterator of `pyarrow.RecordBatch`; errors are its own.

    One batch, of 65,536 rows at the most, is in memory at a time, beside what `Replay`
    holds. A writer of Parquet takes them one by one.
    """
    columns = _check(kind, every, levels, exact)
    where = market, start, end, venue
    return _batches(columns, path, instrument_id, kind, every, levels, where)


def _check(kind: str, every: float | None, levels: int, exact: bool) -> Columns:
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, got {kind!r:.80}")
    check_whole("levels", levels)
    if every is not None:
        check_step(every)
        if kind not in ("bbo", "depth"):
            raise ValueError(f"every= is for 'bbo' and 'depth', not for {kind!r}")
    return columns_of(kind, levels, exact)


def _batches(
    columns: Columns,
    path: str | os.PathLike[str],
    instrument_id: str,
    kind: str,
    every: float | None,
    levels: int,
    where: tuple[
        str | None, datetime | float | None, datetime | float | None, str | None
    ],
) -> Iterator[Any]:
    market, start, end, venue = where
    levels = levels if kind == "depth" else 1
    with Replay(path, speed="max", start=start, end=end, venue=venue) as replay:
        found, channels = find_channels(replay, instrument_id, market, kind)
        told: list[Item] = []
        feed = replay.feed()
        (okx,) = feed.subscribe(
            [instrument_id],
            found,
            channels,
            on_item=told.append if kind == "trades" else None,
            on_state=_ignore if kind == "trades" else told.append,
        )
        rows = (
            event_rows(replay, okx, told, kind, levels)
            if every is None
            else tick_rows(replay, okx, every, levels)
        )
        waiting: list[Row] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == BATCH:
                yield columns.batch(waiting)
                waiting = []
        if waiting:
            yield columns.batch(waiting)


def _ignore(change: StateChange) -> None:
    """The state changes of trades come among their items, at their place."""
