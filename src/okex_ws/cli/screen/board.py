"""Several instruments on a screen: a line each, greyed out while it is not live.

Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ..reading import Quote, top
from ..text import NOTHING, aligned, number, seconds
from .sheet import (
    ASK,
    BID,
    DIM,
    Drawing,
    Sheet,
    cause_of,
    columns_that_fit,
    fitted,
)

_TITLES = (
    *("#", "instrument", "state", "bid", "size", "ask", "size"),
    *("spread", "last", "age"),
)
_INSTRUMENT, _STATE, _BID, _ASK = 1, 2, 3, 5
# The columns that a narrow terminal leaves out, in this order.
_GONE = ((4, 6), (8,), (7,), (9,), (0,), (5,), (3,), (2,))


class Board:
    """Draws several instruments as a table: a line each, greyed out while not live.

    The columns widen and never narrow, so that prices do not jump sideways. If the
    screen is too small, columns are left out, and the table has pages.
    """

    def __init__(self) -> None:
        self._widths = [len(title) for title in _TITLES]
        self._widths[_STATE] = len("RECONNECTING")

    def lines(
        self, readings: Sequence[Quote], sheet: Sheet, drawing: Drawing
    ) -> list[Text]:
        """The lines of the table: of all rows, or of the page with the marked one."""
        cells = self._cells(readings, sheet, drawing)
        shown = columns_that_fit(self._widths, _GONE, sheet.width)
        head = [self._header(shown, sheet)] if _STATE in shown else []
        room = max(sheet.height - len(head), 1)
        pages = len(readings) > room
        room = max(room - 1, 1) if pages else room
        first = drawing.navigation.at // room * room
        lines = head
        for at in range(first, min(first + room, len(readings))):
            reading, marked = readings[at], at == drawing.navigation.at
            if _STATE in shown:
                line = self._row(reading, cells[at], shown, sheet, drawing)
            else:
                line = _small(reading, drawing)
            line.stylize("reverse" if marked else "")
            lines.append(line)
        if pages:
            last = min(first + room, len(readings))
            told = f"{first + 1} to {last} of {len(readings)}"
            lines.append(Text(told, style=DIM))
        return [fitted(line, sheet.width) for line in lines[: sheet.height]]

    def _cells(
        self, readings: Sequence[Quote], sheet: Sheet, drawing: Drawing
    ) -> list[list[str]]:
        """The texts of all cells; those of one column have one width."""
        rows = [
            [str(place), *_row_of(reading, sheet, drawing)]
            for place, reading in enumerate(readings, 1)
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        for place, column in enumerate(columns):
            if _STATE < place < len(columns) - 1:
                column = aligned(column)
            width = max(map(len, column), default=0)
            self._widths[place] = max(self._widths[place], width)
            columns[place] = [self._put(place, each) for each in column]
        return [list(row) for row in zip(*columns, strict=True)]

    def _put(self, place: int, text: str) -> str:
        width = self._widths[place]
        left = place in (_INSTRUMENT, _STATE)
        return text.ljust(width) if left else text.rjust(width)

    def _header(self, shown: Sequence[int], sheet: Sheet) -> Text:
        titles = (self._put(place, _TITLES[place]) for place in shown)
        return fitted(Text("  ".join(titles), style=f"{DIM} underline"), sheet.width)

    def _row(
        self,
        reading: Quote,
        cells: Sequence[str],
        shown: Sequence[int],
        sheet: Sheet,
        drawing: Drawing,
    ) -> Text:
        live, age = reading.live, drawing.age(reading)
        colours = {_BID: BID, _ASK: ASK}
        parts: list[Text] = []
        for place in shown:
            if place == _STATE:
                state = drawing.state(reading)
                state.append(" " * (self._widths[_STATE] - state.cell_len))
                parts.append(state)
            else:
                style = sheet.tint(colours.get(place, ""), live, age)
                parts.append(Text(cells[place], style=style))
        cause = "" if live else cause_of(reading)
        kept = sum(place <= _STATE for place in shown)
        return _with_cause(parts, kept, cause, sheet.width)


def _row_of(reading: Quote, sheet: Sheet, drawing: Drawing) -> list[str]:
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
        seconds(drawing.age(reading)),
    ]


def _small(reading: Quote, drawing: Drawing) -> Text:
    """The line of an instrument if no columns fit: its id and its state."""
    name = Text(reading.instrument_id, style="" if reading.live else DIM)
    return Text(" ").join((name, drawing.state(reading)))


def _with_cause(parts: list[Text], kept: int, cause: str, width: int) -> Text:
    """A line of *parts* and the cause; if it is too wide, the first *kept* stay."""
    line = Text("  ").join(parts)
    if not cause:
        return line
    said = Text(cause, style="yellow")
    if line.cell_len + 2 + said.cell_len > width:
        line = Text("  ").join(parts[:kept])
    return Text("  ").join((line, said))
