"""The whole screen: the table or a book, more books where there is room, and keys.

Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ..reading import Quote
from ..text import seconds
from .board import Board
from .ladder import LEAST_HEIGHT, LEAST_WIDTH, MOST_WIDTH, Ladder
from .navigation import KEYS, Navigation
from .sheet import DIM, Drawing, Sheet, apart, filled, fitted

# The columns of a book beside others, of the first one with trades beside it, and what
# separates two books.
_WIDTH, _FIRST, _BETWEEN = 38, 79, 3
# The lines of books below the table. If the terminal is high, a long table leaves them.
_HEIGHT, _BOOKS, _HIGH = 14, 22, 40
# The keys' line: always, of one instrument, in the table, and in a book beside a table.
# A narrow screen has the first ones.
_ALWAYS = (("q", "end"), ("?", "keys"), ("space", "pause"))
_BOOK = (("+ -", "group"), ("c", "total"))
_TABLE = (("j k", "move"), ("Enter", "book"), *_BOOK, ("1-9 Enter", "by number"))
_OF_MANY = (("Esc", "table"), ("Tab", "next"), *_BOOK, ("1-9 Enter", "by number"))


class Screen:
    """Draws all instruments, as the state of the screen says. One thread calls it.

    *where* names the venue, *count* is the number of instruments.
    """

    def __init__(self, where: str, count: int) -> None:
        self._where = where
        self._board = Board()
        self._ladders = [Ladder() for _ in range(count)]

    def lines(
        self, readings: Sequence[Quote], sheet: Sheet, drawing: Drawing
    ) -> list[Text]:
        """The lines of the whole screen."""
        navigation = drawing.navigation
        if _small(sheet) and not (navigation.table or navigation.help):
            at = navigation.at
            return self._ladders[at].lines(readings[at], sheet, drawing)
        lines = [self._title(readings, sheet, drawing)]
        bottom = [] if _small(sheet) else [_bottom(sheet, drawing)]
        inner = sheet.part(sheet.width, max(sheet.height - 1 - len(bottom), 0))
        if navigation.help:
            lines += _help()[: inner.height]
        else:
            lines += self._body(readings, inner, drawing)
        lines += [Text()] * (inner.height + 1 - len(lines))
        lines += bottom
        return [fitted(line, sheet.width) for line in lines[: sheet.height]]

    def _body(
        self, readings: Sequence[Quote], sheet: Sheet, drawing: Drawing
    ) -> list[Text]:
        """The table, if it is shown, and books."""
        navigation, table = drawing.navigation, list[Text]()
        if navigation.table:
            height = _table_height(sheet, navigation.count)
            table = self._board.lines(
                readings, sheet.part(sheet.width, height), drawing
            )
            table += [Text()] * (min(height + 1, sheet.height) - len(table))
        sheet = sheet.part(sheet.width, sheet.height - len(table))
        columns: list[list[Text]] = []
        for at, width in books(sheet, navigation) if sheet.height > 0 else ():
            part = sheet.part(width, sheet.height)
            place = at + 1 if navigation.count > 1 else 0
            lines = self._ladders[at].lines(readings[at], part, drawing, place)
            lines += [Text()] * (sheet.height - len(lines))
            columns.append([filled(line, width) for line in lines])
        between = Text(" " * _BETWEEN)
        return [*table, *(between.join(row) for row in zip(*columns, strict=True))]

    def _title(self, readings: Sequence[Quote], sheet: Sheet, drawing: Drawing) -> Text:
        live = sum(reading.live for reading in readings)
        title = Text(self._where, style="bold")
        if drawing.paused is None:
            title.append(f"  {live} of {len(readings)} live", style=f"not bold {DIM}")
        else:
            said = f" PAUSED for {seconds(drawing.paused)} "
            title.append("  ").append(said, style="bold reverse yellow")
        time = Text(f"{drawing.now:%H:%M:%S} UTC", style=DIM)
        return apart(title, time, sheet.width)


def _bottom(sheet: Sheet, drawing: Drawing) -> Text:
    """The keys' line, or the number that is being typed, or what was wrong."""
    navigation = drawing.navigation
    if navigation.notice:
        return Text(navigation.notice, style="yellow")
    if navigation.typed:
        line = Text(f"instrument {navigation.typed}_", style="bold")
        return line.append("   Enter opens it, Esc gives it up", style=DIM)
    if not drawing.keys:
        return Text("Ctrl-C ends", style=DIM)
    if navigation.help:
        return Text("any key: back   q end", style=DIM)
    line = Text()
    known = _TABLE if navigation.table else _OF_MANY
    for key, meaning in (*_ALWAYS, *(known if navigation.count > 1 else _BOOK)):
        item = Text.assemble((key, "bold"), (f" {meaning}", DIM))
        if line.cell_len + item.cell_len <= sheet.width:
            line.append_text(item).append("   ")
    line.rstrip()
    return line


def books(sheet: Sheet, navigation: Navigation) -> list[tuple[int, int]]:
    """The instruments whose books are drawn on *sheet*, and the columns of each."""
    count, at = navigation.count, navigation.at
    if navigation.table:
        shown = min(count, (sheet.width + _BETWEEN) // (_WIDTH + _BETWEEN))
        if not shown:
            return []
        width = min((sheet.width + _BETWEEN) // shown - _BETWEEN, MOST_WIDTH)
        first = min(at // shown * shown, count - shown)
        return [(first + n, width) for n in range(shown)]
    others = max((sheet.width - _FIRST) // (_WIDTH + _BETWEEN), 0)
    others = min(others, count - 1)
    wide = min(sheet.width - others * (_WIDTH + _BETWEEN), MOST_WIDTH)
    found = [(at, wide)]
    if others:
        width = min((sheet.width - wide) // others - _BETWEEN, MOST_WIDTH)
        found += [((at + n) % count, width) for n in range(1, others + 1)]
    return found


def _table_height(sheet: Sheet, count: int) -> int:
    """How many lines the table gets; below it stand a blank line and books, or none."""
    if sheet.height - count - 2 >= _HEIGHT:
        return count + 1
    return sheet.height - 1 - _BOOKS if sheet.height >= _HIGH else sheet.height


def _small(sheet: Sheet) -> bool:
    """Whether there is no room for a book with a title and a line of keys."""
    return sheet.width < LEAST_WIDTH or sheet.height < LEAST_HEIGHT + 2


def _help() -> list[Text]:
    width = max(len(key) for key, _ in KEYS)
    lines = [Text(), Text("keys", style="bold")]
    for key, meaning in KEYS:
        lines.append(Text.assemble((f"  {key:{width}}", "bold"), f"   {meaning}"))
    return [
        *lines,
        Text(),
        Text("  + after a size: the book ends inside this group of prices"),
        Text("  dim prices: 5 s without a push; grey ones: not live, not to be used"),
    ]
