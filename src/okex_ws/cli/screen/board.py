"""Several instruments on a screen: a line each, greyed out while it is not live.

Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from ..reading import Quote, top
from ..text import NOTHING, aligned, number, seconds
from .sheet import (
    ASK,
    BID,
    DIM,
    Sheet,
    apart,
    cause_of,
    columns_that_fit,
    fitted,
    state_of,
)

_TITLES = ("instrument", "state", "bid", "size", "ask", "size", "spread", "last", "age")
_INSTRUMENT, _STATE, _BID, _ASK = 0, 1, 2, 4
# The columns that a narrow terminal leaves out, in this order.
_GONE = ((3, 5), (7,), (6,), (8,), (4,), (2,), (1,))


class Board:
    """Draws several instruments as a table: a line each, greyed out while not live.

    The columns widen and never narrow, so that prices do not jump sideways. If the
    screen is too small, columns and then instruments are left out.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._widths = [len(title) for title in _TITLES]
        self._widths[_STATE] = len("RECONNECTING")

    def levels(self, sheet: Sheet) -> int:
        """How many levels a side a reading needs to have."""
        return 1

    def lines(
        self, readings: Sequence[Quote], sheet: Sheet, now: datetime
    ) -> list[Text]:
        """The lines of the whole screen."""
        live = sum(reading.live for reading in readings)
        title = apart(
            Text.assemble(
                (self._where, "bold"), (f"  {live} of {len(readings)} live", DIM)
            ),
            Text(f"{now:%H:%M:%S} UTC", style=DIM),
            sheet.width,
        )
        cells = self._cells(readings, sheet)
        shown = columns_that_fit(self._widths, _GONE, sheet.width)
        if _STATE in shown:
            lines = [title, self._header(shown, sheet)]
            rows = zip(readings, cells, strict=True)
            every = [self._row(*row, shown, sheet) for row in rows]
        else:
            lines, every = [title], list(map(_small, readings))
        room = max(sheet.height - len(lines) - 1, 1)
        lines += every[:room]
        if len(every) > room:
            lines.append(Text(f"and {len(every) - room} more", style=DIM))
        return [fitted(line, sheet.width) for line in lines[: sheet.height]]

    def _cells(self, readings: Sequence[Quote], sheet: Sheet) -> list[list[str]]:
        """The texts of all cells; those of one column have one width."""
        rows = [_row_of(reading, sheet) for reading in readings]
        columns = [list(column) for column in zip(*rows, strict=True)]
        for place, column in enumerate(columns):
            if place > _STATE:
                column = aligned(column) if place != len(columns) - 1 else column
            width = max(map(len, column), default=0)
            self._widths[place] = max(self._widths[place], width)
            columns[place] = [self._put(place, each) for each in column]
        return [list(row) for row in zip(*columns, strict=True)]

    def _put(self, place: int, text: str) -> str:
        width = self._widths[place]
        return text.ljust(width) if place <= _STATE else text.rjust(width)

    def _header(self, shown: Sequence[int], sheet: Sheet) -> Text:
        titles = (self._put(place, _TITLES[place]) for place in shown)
        return fitted(Text("  ".join(titles), style=f"{DIM} underline"), sheet.width)

    def _row(
        self, reading: Quote, cells: Sequence[str], shown: Sequence[int], sheet: Sheet
    ) -> Text:
        styles = {_BID: BID, _ASK: ASK} if reading.live else {}
        style = "" if reading.live else DIM
        parts: list[Text] = []
        for place in shown:
            if place == _STATE:
                state = state_of(reading.health.state)
                state.append(" " * (self._widths[_STATE] - state.cell_len))
                parts.append(state)
            else:
                parts.append(Text(cells[place], style=styles.get(place, style)))
        cause = "" if reading.live else cause_of(reading)
        return _with_cause(parts, cause, sheet.width)


def _row_of(reading: Quote, sheet: Sheet) -> list[str]:
    hidden = sheet.hides(reading)
    best = top(None if hidden else reading.shown or reading.ticker)
    last = reading.trades[-1].price if reading.trades else None
    if last is None and reading.ticker is not None:
        last = reading.ticker.last
    bid = "no bids" if reading.live and best.bid is None else number(best.bid)
    ask = "no asks" if reading.live and best.ask is None else number(best.ask)
    return [
        reading.instrument_id,
        str(reading.health.state),
        bid,
        number(best.bid_size),
        ask,
        number(best.ask_size),
        number(best.spread),
        NOTHING if hidden else number(last),
        seconds(reading.health.age),
    ]


def _small(reading: Quote) -> Text:
    """The line of an instrument if no columns fit: its id and its state."""
    name = Text(reading.instrument_id, style="" if reading.live else DIM)
    return Text(" ").join((name, state_of(reading.health.state)))


def _with_cause(parts: list[Text], cause: str, width: int) -> Text:
    """A line of *parts* and the cause; if it is too wide, only two *parts* stay."""
    line = Text("  ").join(parts)
    if not cause:
        return line
    said = Text(cause, style="yellow")
    if line.cell_len + 2 + said.cell_len > width and len(parts) > 1:
        line = Text("  ").join(parts[:2])
    return Text("  ").join((line, said))
