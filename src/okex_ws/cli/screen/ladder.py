"""One instrument on a screen: its book as a ladder, its trades, and its state.

Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from rich.text import Text

from ... import Depth, Level, Trade
from ..reading import Quote, Top, top
from ..text import NOTHING, aligned, clock, number, seconds
from .sheet import (
    ASK,
    BID,
    DIM,
    Sheet,
    apart,
    cause_of,
    filled,
    fitted,
    state_of,
    wrapped,
)

# A smaller terminal shows only the best prices.
LEAST_WIDTH, LEAST_HEIGHT = 44, 12
# The least width of a ladder with trades beside it, and the width of the trades.
_BESIDE, _TRADES = 40, 36
_MOST = 40
# The lines of header, status, rules, spread and footer.
_FRAME = 6


class Ladder:
    """Draws one instrument: its book as a ladder, its trades and its state.

    The number of rows grows, and never shrinks, so that prices do not jump up and down.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows = 1

    def levels(self, sheet: Sheet) -> int:
        """How many levels a side fit on the screen."""
        return max(1, min(_MOST, (sheet.height - _FRAME - self._below(sheet)) // 2))

    def lines(self, reading: Quote, sheet: Sheet, now: datetime) -> list[Text]:
        """The lines of the whole screen."""
        if sheet.width < LEAST_WIDTH or sheet.height < LEAST_HEIGHT:
            return _small(reading, sheet)
        beside = sheet.width >= _BESIDE + _TRADES
        width = sheet.width - _TRADES - 3 if beside else sheet.width
        lines = self._head(reading, sheet, now)
        book = self._book(reading, sheet, width)
        room = sheet.height - len(lines) - 2
        if beside:
            trades = _trades(reading.trades, room, _TRADES)
            trades += [Text()] * (len(book) - len(trades))
            bar = Text(" | " if sheet.ascii else " │ ", style=DIM)
            book += [Text()] * (len(trades) - len(book))
            pairs = zip(book[:room], trades[:room], strict=True)
            lines += [Text.assemble(filled(a, width), bar, b) for a, b in pairs]
        else:
            below = self._below(sheet)
            lines += book[: room - below]
            lines += _trades(reading.trades, below, width) if below else []
        lines += [Text()] * (sheet.height - 1 - len(lines))
        return [*lines, Text("Ctrl-C ends", style=DIM)][: sheet.height]

    def _below(self, sheet: Sheet) -> int:
        """How many lines trades get below the book if there is no room beside it."""
        if sheet.width >= _BESIDE + _TRADES:
            return 0
        return sheet.height // 4 if sheet.height >= 16 else 0

    def _head(self, reading: Quote, sheet: Sheet, now: datetime) -> list[Text]:
        name = Text.assemble(
            (reading.instrument_id, "bold"),
            (f"  {reading.market}  {self._where}", DIM),
        )
        time = f"  {now:%H:%M:%S} UTC"
        title = apart(
            name,
            Text.assemble(state_of(reading.health.state), (time, DIM)),
            sheet.width,
        )
        status = fitted(Text.assemble(*_status(reading)), sheet.width)
        return [title, status, sheet.rule(sheet.width)]

    def _book(self, reading: Quote, sheet: Sheet, width: int) -> list[Text]:
        depth = reading.shown
        most = self.levels(sheet)
        if depth is not None:
            held = max(len(depth.bids), len(depth.asks))
            self._rows = min(most, max(self._rows, held))
        rows = min(self._rows, most)
        hidden = sheet.hides(reading)
        asks, bids = _sides(None if hidden else depth, rows)
        style = "" if reading.live else DIM
        lines = _levels(asks[::-1] + bids, rows, sheet, width, style)
        return [*lines[:rows], *_middle(reading, sheet, width), *lines[rows:]]


def _status(reading: Quote) -> list[tuple[str, str]]:
    """The status line: age, lag, epoch and refusals, or why it is not live."""
    health = reading.health
    if not reading.live:
        cause = cause_of(reading) or "no prices yet"
        last = reading.last
        old = f"; prices of {clock(last.timestamp)}" if last else ""
        return [(f"{cause}{old}", "yellow")]
    lag = NOTHING if health.lag is None else seconds(health.lag)
    said = f"age {seconds(health.age)}  lag {lag}  epoch {health.epoch}"
    if health.failed:
        said += f"  refused: {', '.join(health.failed)}"
    return [(said, DIM)]


def _sides(
    depth: Depth | None, rows: int
) -> tuple[list[Level | None], list[Level | None]]:
    """*rows* levels of asks and of bids, best first; ``None`` where there is none."""
    sides: list[list[Level | None]] = []
    for side in ((), ()) if depth is None else (depth.asks, depth.bids):
        levels: list[Level | None] = list(side[:rows])
        sides.append(levels + [None] * (rows - len(levels)))
    return sides[0], sides[1]


def _levels(
    levels: Sequence[Level | None], asks: int, sheet: Sheet, width: int, style: str
) -> list[Text]:
    """A line for each level: price, size and a bar. The first *asks* lines are asks."""
    prices = aligned(NOTHING if row is None else row[0] for row in levels)
    sizes = aligned(NOTHING if row is None else row[1] for row in levels)
    volumes = [Decimal(0) if row is None else Decimal(row[1]) for row in levels]
    most = max(volumes, default=Decimal(0)) or Decimal(1)
    lines = []
    for place, (price, size, volume) in enumerate(
        zip(prices, sizes, volumes, strict=True)
    ):
        colour = style or (ASK if place < asks else BID)
        room = max(0, width - len(price) - len(size) - 6)
        bar = sheet.bar(float(volume / most), room)
        line = Text.assemble(("  " + price, colour), f"  {size}  ", (bar, colour))
        line.stylize(style if levels[place] is not None else DIM)
        lines.append(fitted(line, width))
    return lines


def _middle(reading: Quote, sheet: Sheet, width: int) -> list[Text]:
    """The line between the sides: the spread, or that the book is not live."""
    if not reading.live:
        said = f" NOT LIVE: {reading.health.state} "
        dash = "-" if sheet.ascii else "─"
        line = Text(said.center(min(width, 72), dash), style="bold yellow")
        return [fitted(line, width)]
    best = top(reading.depth or reading.ticker)
    spread = best.spread
    if spread is None or best.mid is None:
        side = "no bids" if best.bid is None else "no asks"
        return [Text(f"  {side}", style="bold")]
    points = f" ({spread / best.mid * 10_000:.2f} bp)" if best.mid else ""
    said = f"  spread {number(spread)}{points}  mid {number(best.mid)}"
    return [fitted(Text(said, style="bold"), width)]


def _trades(trades: Sequence[Trade], rows: int, width: int) -> list[Text]:
    """The newest trades, newest first, in *rows* lines; the first line is a title."""
    shown = list(reversed(trades))[: max(rows - 1, 0)]
    prices = aligned(number(trade.price) for trade in shown)
    sizes = aligned(number(trade.size) for trade in shown)
    lines = [Text("trades", style=DIM)]
    for trade, price, size in zip(shown, prices, sizes, strict=True):
        colour = BID if trade.side == "buy" else ASK
        line = Text.assemble(
            (clock(trade.timestamp)[:10], DIM),
            (f"  {trade.side:4}  {price}", colour),
            f"  {size}",
        )
        lines.append(fitted(line, width))
    return lines[:rows]


# --- Where there is little room -----------------------------------------------------


def _small(reading: Quote, sheet: Sheet) -> list[Text]:
    """State, prices and cause, as far as they fit.

    A line that does not fit becomes ``~``, because a number must not be cut.
    """
    state = reading.health.state
    title = Text.assemble((reading.instrument_id, "bold"), " ", state_of(state))
    if title.cell_len > sheet.width:
        title = state_of(state)
    lines = [title]
    if not reading.live:
        lines += wrapped(cause_of(reading), sheet.width, sheet.height - 1, "yellow")
    else:
        lines += _small_prices(top(reading.depth or reading.ticker), sheet)
        lines += [Text(f"age {seconds(reading.health.age)}", style=DIM)]
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
