"""What is drawn on: lines of styled text, none wider than the terminal.

The only place that knows what the terminal can show. Needs the extra ``cli``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ... import State
from ..logs import held_back
from ..reading import Reading
from ..text import clean

DIM = "dim"
BID, ASK = "green", "red"
_BLOCKS = " ▏▎▍▌▋▊▉█"
_STATES = {State.LIVE: "bold green", State.FAILED: "bold red", State.CLOSED: "red"}
_ADDRESS = re.compile(r"\bwss?://\S+: ")


@dataclass(frozen=True, slots=True)
class Sheet:
    """So many cells wide and lines high; what has no *colour* cannot be greyed out.

    *ascii* is whether the terminal's encoding has nothing else.
    """

    width: int
    height: int
    colour: bool = True
    ascii: bool = False

    def bar(self, part: float, cells: int) -> str:
        """A bar of *part* (0 to 1) of so many *cells*; not nothing for a little."""
        if self.ascii:
            return "#" * max(round(part * cells), 1 if part > 0 else 0)
        eighths = max(round(part * cells * 8), 1 if part > 0 else 0)
        whole, rest = divmod(eighths, 8)
        return "█" * whole + _BLOCKS[rest].strip()

    def rule(self, width: int) -> Text:
        """A line across."""
        return Text(("-" if self.ascii else "─") * width, style=DIM)

    def hides(self, reading: Reading) -> bool:
        """Whether old prices have to be left out, as nothing would tell them apart."""
        return not (reading.live or self.colour)


def sheet_of(console: Console) -> Sheet:
    """What the terminal is like now: it may be another size each time."""
    colour = console.color_system is not None and not console.no_color
    width, height = console.size
    return Sheet(width, height, colour, console.options.ascii_only)


def state_of(state: State) -> Text:
    """A state in its colour."""
    return Text(str(state), style=_STATES.get(state, "bold yellow"))


def cause_of(reading: Reading) -> str:
    """Why it is not live, without the address, which the log has."""
    return clean(_ADDRESS.sub("", reading.health.cause))


def fitted(line: Text, width: int) -> Text:
    """*line*, with an ellipsis for what is over *width* cells."""
    if width < 1:
        return Text()
    line.truncate(width, overflow="ellipsis")
    return line


def apart(left: Text, right: Text, width: int) -> Text:
    """*left* and *right* at the two ends of a line; *right* only if there is room."""
    room = width - left.cell_len - right.cell_len
    if room < 2:
        return fitted(left, width)
    return Text.assemble(left, " " * room, right)


def filled(line: Text, width: int) -> Text:
    """*line* as wide as *width*."""
    line = fitted(line, width)
    return Text.assemble(line, " " * (width - line.cell_len))


def wrapped(text: str, width: int, most: int, style: str = "") -> list[Text]:
    """*text* in at most so many lines, broken between words where there are any."""
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
    """Which columns to show: whole ones are left out, in the order of *gone*."""
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
    """Show what *draw* draws until it is *over*; *changed* asks for a drawing.

    The size of the terminal is asked each time, so that it may change. However this
    ends, the terminal is as it was.
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
