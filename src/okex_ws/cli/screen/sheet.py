"""The drawing area of a terminal: lines of styled text, none wider than the terminal.

The only module that knows what the terminal can show. Needs the extra ``cli``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ... import State
from ..logs import held_back
from ..reading import Quote
from ..text import clean

DIM = "dim"
BID, ASK = "green", "red"
_BLOCKS = " ▏▎▍▌▋▊▉█"
_STATES = {State.LIVE: "bold green", State.FAILED: "bold red", State.CLOSED: "red"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a terminal can show: its width in cells, its height in lines, and colours.

    Without *colour* old prices cannot be greyed out. *ascii* is whether the terminal's
    encoding has no other characters.
    """

    width: int
    height: int
    colour: bool = True
    ascii: bool = False

    def bar(self, part: float, cells: int) -> str:
        """A bar that fills *part* (0 to 1) of *cells*; a little is still visible."""
        if self.ascii:
            return "#" * max(round(part * cells), 1 if part > 0 else 0)
        eighths = max(round(part * cells * 8), 1 if part > 0 else 0)
        whole, rest = divmod(eighths, 8)
        return "█" * whole + _BLOCKS[rest].strip()

    def rule(self, width: int) -> Text:
        """A horizontal line."""
        return Text(("-" if self.ascii else "─") * width, style=DIM)

    def hides(self, reading: Quote) -> bool:
        """Whether to leave out old prices, which without colour look present."""
        return not (reading.live or self.colour)


def sheet_of(console: Console) -> Sheet:
    """The present size and colours of the terminal, which a user may resize."""
    colour = console.color_system is not None and not console.no_color
    width, height = console.size
    return Sheet(width, height, colour, console.options.ascii_only)


def state_of(state: State) -> Text:
    """The name of *state* in its colour."""
    return Text(str(state), style=_STATES.get(state, "bold yellow"))


def cause_of(reading: Quote) -> str:
    """Why *reading* is not live, as a sentence that is safe for a terminal."""
    return clean(str(reading.health.cause))


def fitted(line: Text, width: int) -> Text:
    """Cut *line* to *width* cells, with an ellipsis for what is cut off."""
    if width < 1:
        return Text()
    line.truncate(width, overflow="ellipsis")
    return line


def apart(left: Text, right: Text, width: int) -> Text:
    """*left* and *right* at the two ends of a line; *right* only if it fits."""
    room = width - left.cell_len - right.cell_len
    if room < 2:
        return fitted(left, width)
    return Text.assemble(left, " " * room, right)


def filled(line: Text, width: int) -> Text:
    """*line*, cut or padded to *width* cells."""
    line = fitted(line, width)
    return Text.assemble(line, " " * (width - line.cell_len))


def wrapped(text: str, width: int, most: int, style: str = "") -> list[Text]:
    """*text* in at most *most* lines of *width* cells, broken between words."""
    lines: list[str] = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if cell_len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    shown = [Text(line, style=style) for line in lines[:most] if line]
    if len(lines) > most and shown:
        shown[-1].append(" ...")
    return [fitted(line, width) for line in shown]


def columns_that_fit(
    widths: Sequence[int], gone: Iterable[Iterable[int]], width: int, gap: int = 2
) -> list[int]:
    """The columns that fit into *width*; groups are left out in the order of *gone*."""
    shown = list(range(len(widths)))
    for each in gone:
        if sum(widths[n] + gap for n in shown) - gap <= width:
            break
        left_out = set(each)
        shown = [n for n in shown if n not in left_out]
    return shown


# Seconds between two drawings; a change of state is drawn at once.
FRAME = 0.25


Draw = Callable[[Sheet], list[Text]]


def drawn(
    draw: Draw,
    over: Callable[[], bool],
    changed: threading.Event,
    console: Console,
) -> None:
    """Show the lines of *draw* on a screen until *over* returns true.

    *changed* asks for a new drawing at once. The terminal's size is read before each
    drawing, because it may change. The terminal is restored at the end, also by an
    error.
    """
    with (
        held_back(),
        Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live,
    ):
        while True:
            changed.clear()
            text = Text("\n").join(draw(sheet_of(console)))
            text.no_wrap, text.overflow = True, "crop"
            live.update(text, refresh=True)
            if over():
                return
            changed.wait(FRAME)
