"""One instrument on a part of the screen: its book as a ladder, trades and state.

Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest

from rich.text import Text

from ... import Trade
from ..reading import Quote, Top, top
from ..text import NOTHING, aligned, clock, number, seconds
from .rows import BookRow, book_rows, finest_tick, group_size
from .sheet import (
    ASK,
    BID,
    DIM,
    Drawing,
    Sheet,
    apart,
    cause_of,
    columns_that_fit,
    filled,
    fitted,
    wrapped,
)

# A smaller part of the screen shows only the best prices.
LEAST_WIDTH, LEAST_HEIGHT = 36, 10
# The most columns of a book: on a wide screen there are more books, not longer bars.
_BOOK = 60
# The columns of trades beside a book, with what separates them, and the columns that
# the book has at least then.
_TRADES, _BETWEEN, _BESIDE = 36, 3, 40
# The columns that a ladder with trades beside it has at most.
MOST_WIDTH = _BOOK + _BETWEEN + _TRADES
_TITLES = ("price", "size", "total")


class Ladder:
    """Draws one instrument: its book as a ladder, its trades and its state.

    Rows become more and columns wider, and never the reverse while prices are grouped
    the same way, so that prices do not jump.
    """

    def __init__(self) -> None:
        self._tick: Decimal | None = None
        self._grouping = 0
        self._forget()

    def _forget(self) -> None:
        self._rows = 1
        self._widths = [len(title) for title in _TITLES]

    def lines(
        self, reading: Quote, sheet: Sheet, drawing: Drawing, place: int = 0
    ) -> list[Text]:
        """The lines of *sheet*; *place* is the instrument's number, or 0."""
        if sheet.width < LEAST_WIDTH or sheet.height < LEAST_HEIGHT:
            return _small(reading, sheet, drawing)
        group = self._group(reading, drawing.navigation.grouping)
        head = _head(reading, sheet.width, drawing, place, group)
        room = sheet.height - len(head)
        if sheet.width < _BESIDE + _BETWEEN + _TRADES:
            below = room // 4 if room >= 16 else 0
            part = sheet.part(min(sheet.width, _BOOK), room - below)
            book = self._book(reading, part, drawing, group)
            trades = _trades(reading.trades, room - len(book))
            return [*head, *book, *(fitted(line, sheet.width) for line in trades)]
        width = min(sheet.width - _BETWEEN - _TRADES, _BOOK)
        book = self._book(reading, sheet.part(width, room), drawing, group)
        bar = Text(" | " if sheet.ascii else " │ ", style=DIM)
        pairs = zip_longest(book, _trades(reading.trades, room), fillvalue=Text())
        return [
            *head,
            *(
                Text.assemble(filled(left, width), bar, fitted(right, _TRADES))
                for left, right in pairs
            ),
        ]

    def _group(self, reading: Quote, grouping: int) -> Decimal | None:
        """The size of the groups of prices, ``None`` without."""
        if grouping != self._grouping:
            self._grouping = grouping
            self._forget()
        depth = reading.shown
        if not grouping or depth is None:
            return None
        self._tick = finest_tick([*depth.bids, *depth.asks], self._tick)
        return group_size(self._tick, grouping)

    def _book(
        self, reading: Quote, sheet: Sheet, drawing: Drawing, group: Decimal | None
    ) -> list[Text]:
        """At most as many lines as *sheet* has: titles, asks, spread and bids."""
        most = max((sheet.height - 2) // 2, 1)
        depth = None if sheet.hides(reading) else reading.shown
        sides: list[list[BookRow]] = [[], []]
        if depth is not None:
            book = depth.book.takeable()
            sides[0] = book_rows(book.asks, group, most, asks=True)
            sides[1] = book_rows(book.bids, group, most, asks=False)
        self._rows = min(most, max(self._rows, *map(len, sides)))
        asks, bids = (
            side[: self._rows] + [BookRow()] * (self._rows - len(side))
            for side in sides
        )
        titles, *levels = self._levels(asks[::-1] + bids, reading, sheet, drawing)
        middle = _middle(reading, sheet, drawing)
        return [titles, *levels[: self._rows], middle, *levels[self._rows :]]

    def _levels(
        self, rows: Sequence[BookRow], reading: Quote, sheet: Sheet, drawing: Drawing
    ) -> list[Text]:
        """The titles, and a line for each of *rows*: asks first, then as many bids."""
        totals = drawing.navigation.totals
        columns = [
            aligned(row.price for row in rows),
            aligned(row.size for row in rows),
            aligned(row.total for row in rows),
        ]
        for place, column in enumerate(columns):
            width = max(self._widths[place], max(map(len, column), default=0))
            self._widths[place] = width
            columns[place] = [text.rjust(width) for text in column]
        # A number is whole or not there: sizes are left out before totals.
        widths = self._widths if totals else self._widths[:-1]
        shown = columns_that_fit(widths, ((1,), (2,)), sheet.width - 2)
        titles = "  ".join(_TITLES[place].rjust(self._widths[place]) for place in shown)
        lines = [fitted(Text(f"  {titles}", style=f"{DIM} underline"), sheet.width)]
        most = max((row.part(totals) for row in rows), default=Decimal(0)) or Decimal(1)
        age = drawing.age(reading)
        for at, row in enumerate(rows):
            colour = ASK if at < len(rows) // 2 else BID
            style = sheet.tint(colour, reading.live, age)
            cells = [columns[place][at] for place in shown]
            line = Text.assemble(("  " + cells[0], style))
            plain = sheet.tint("", reading.live, age)
            line.append("  " + "  ".join(cells[1:]), style=plain)
            line.append("+ " if row.open else "  ")
            room = max(0, sheet.width - line.cell_len)
            line.append(sheet.bar(float(row.part(totals) / most), room), style=style)
            lines.append(fitted(line, sheet.width))
        return lines


def _head(
    reading: Quote, width: int, drawing: Drawing, place: int, group: Decimal | None
) -> list[Text]:
    """The title and the status: ages, or why the book is not live."""
    state = drawing.state(reading)
    marked = drawing.navigation.at + 1 == place
    bold = "bold reverse" if marked else "bold"
    name = Text.assemble((f"{place} " if place else "", DIM))
    name.append(reading.instrument_id, style=bold)
    if name.cell_len + len(reading.market) + state.cell_len + 6 <= width:
        name.append(f"  {reading.market}", style=DIM)
    name = fitted(name, max(width - state.cell_len - 2, 0))
    grouped = "" if group is None else f"by {group:f}  "
    status = fitted(_status(reading, drawing, grouped), width)
    return [apart(name, state, width), status]


def _status(reading: Quote, drawing: Drawing, grouped: str) -> Text:
    health, age = reading.health, seconds(drawing.age(reading))
    if not reading.live:
        old = f"{age} old: " if reading.last else ""
        return Text(f"{old}{cause_of(reading) or 'no prices yet'}", style="yellow")
    lag = NOTHING if health.lag is None else seconds(health.lag)
    said = f"{grouped}age {age}  lag {lag}  epoch {health.epoch}"
    if health.failed:
        said += f"  refused: {', '.join(health.failed)}"
    return Text(said, style=DIM)


def _middle(reading: Quote, sheet: Sheet, drawing: Drawing) -> Text:
    """The line between the sides: the spread, or that the book is not live."""
    width = sheet.width
    if not reading.live:
        said = f" NOT LIVE: {reading.health.state} "
        dash = "-" if sheet.ascii else "─"
        return fitted(Text(said.center(width, dash), style="bold yellow"), width)
    best = top(reading.depth or reading.ticker)
    spread = best.spread
    if spread is None or best.mid is None:
        side = "no bids" if best.bid is None else "no asks"
        return Text(f"  {side}", style="bold")
    said = f"  spread {number(spread)}"
    # The price of a spread may be 0 or negative, and so is no measure.
    more = [f" ({spread / best.mid * 10_000:.2f} bp)"] if best.mid > 0 else []
    for part in (*more, f"  mid {number(best.mid)}"):
        said += part if len(said) + len(part) <= width else ""
    style = sheet.tint("", reading.live, drawing.age(reading)) or "bold"
    return fitted(Text(said, style=style), width)


def _trades(trades: Sequence[Trade], rows: int) -> list[Text]:
    """The newest trades, newest first, in *rows* lines; the first line has titles.

    A line for titles alone stays empty.
    """
    if rows < 2:
        return []
    shown = list(reversed(trades))[: rows - 1]
    prices = _titled("price", [number(trade.price) for trade in shown])
    sizes = _titled("size", [number(trade.size) for trade in shown])
    titles = f"{'trades':10}  side  {prices.pop(0)}  {sizes.pop(0)}"
    lines = [Text(titles, style=f"{DIM} underline")]
    for trade, price, size in zip(shown, prices, sizes, strict=True):
        colour = BID if trade.side == "buy" else ASK
        lines.append(
            Text.assemble(
                (clock(trade.timestamp)[:10], DIM),
                (f"  {trade.side:4}  {price}", colour),
                f"  {size}",
            )
        )
    return lines


def _titled(title: str, numbers: Sequence[str]) -> list[str]:
    """*title* and *numbers* as texts of one width."""
    column = aligned(numbers)
    width = max(map(len, [title, *column]))
    return [text.rjust(width) for text in (title, *column)]


# --- Where there is little room -----------------------------------------------------


def _small(reading: Quote, sheet: Sheet, drawing: Drawing) -> list[Text]:
    """State, prices and cause, as far as they fit.

    A line that does not fit becomes ``~``, because a number must not be cut.
    """
    state = drawing.state(reading)
    title = Text.assemble((reading.instrument_id, "bold"), " ", state)
    if title.cell_len > sheet.width:
        title = state
    lines = [title]
    if not reading.live:
        lines += wrapped(cause_of(reading), sheet.width, sheet.height - 1, "yellow")
    else:
        lines += _small_prices(top(reading.depth or reading.ticker), sheet)
        lines += [Text(f"age {seconds(drawing.age(reading))}", style=DIM)]
    lines = [line if line.cell_len <= sheet.width else Text("~") for line in lines]
    return lines[: max(sheet.height, 1)]


def _small_prices(best: Top, sheet: Sheet) -> list[Text]:
    bid = "no bids" if best.bid is None else number(best.bid)
    ask = "no asks" if best.ask is None else number(best.ask)
    both = Text.assemble((bid, BID), " / ", (ask, ASK))
    if both.cell_len <= sheet.width:
        lines = [both]
    else:
        lines = [Text(ask, style=ASK), Text(bid, style=BID)]
    if best.spread is not None:
        lines.append(Text(f"spread {number(best.spread)}"))
    return lines
