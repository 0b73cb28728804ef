"""The drawing area of a terminal: lines of styled text, none wider than the terminal.

The only module that knows what the terminal can show. Needs the extra ``cli``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ... import State
from ..reading import Quote
from ..text import clean
from .navigation import Navigation

DIM = "dim"
# Prices that can be trusted are dim after so many seconds without a push.
STILL = 5.0
# On a terminal of many colours prices that are not live go from grey to darker grey:
# the style up to an age in seconds, and the style of any older ones.
_GREYS, _OLDEST = ((10.0, "grey62"), (60.0, "grey50")), "grey39"
BID, ASK = "green", "red"
_BLOCKS = " ▏▎▍▌▋▊▉█"
_STATES = {State.LIVE: "bold green", State.FAILED: "bold red", State.CLOSED: "red"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a terminal can show: its width in cells, its height in lines, and colours.

    Without *colour* old prices cannot be greyed out. *ascii* is whether the terminal's
    encoding has no other characters, *shades* whether it has 256 colours or more.
    """

    width: int
    height: int
    colour: bool = True
    ascii: bool = False
    shades: bool = False

    def part(self, width: int, height: int) -> Sheet:
        """A part of the terminal."""
        return replace(self, width=width, height=height)

    def tint(self, colour: str, live: bool, age: float) -> str:
        """The style of prices that are *age* seconds old: the older, the dimmer.

        *colour* is that of fresh prices that can be trusted.
        """
        if live:
            return colour if age < STILL else f"dim {colour}".strip()
        if not self.shades:
            return DIM
        return next((grey for until, grey in _GREYS if age < until), _OLDEST)

    def bar(self, part: float, cells: int) -> str:
        """A bar that fills *part* (0 to 1) of *cells*; a little is still visible."""
        if self.ascii:
            return "#" * max(round(part * cells), 1 if part > 0 else 0)
        eighths = max(round(part * cells * 8), 1 if part > 0 else 0)
        whole, rest = divmod(eighths, 8)
        return "█" * whole + _BLOCKS[rest].strip()

    def hides(self, reading: Quote) -> bool:
        """Whether to leave out old prices, which without colour look present."""
        return not (reading.live or self.colour)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What all parts of one drawing share.

    *paused* is the seconds since the prices were held on the screen, or ``None``.
    *keys* is whether the terminal gives keys; without them Ctrl-C ends the program.
    """

    navigation: Navigation
    now: datetime
    paused: float | None = None
    keys: bool = True

    def age(self, reading: Quote) -> float:
        """The seconds since the last push of the prices that are shown."""
        if reading.live or reading.last is None:
            return reading.health.age + (self.paused or 0.0)
        return max((self.now - reading.last.received).total_seconds(), 0.0)

    def state(self, reading: Quote) -> Text:
        """The state of *reading*; LIVE is told of the present moment alone."""
        if reading.live and self.paused is not None:
            return Text("PAUSED", style="bold yellow")
        return state_of(reading.health.state)


def sheet_of(console: Console) -> Sheet:
    """The present size and colours of the terminal, which a user may resize."""
    colour = console.color_system is not None and not console.no_color
    shades = console.color_system in ("256", "truecolor")
    width, height = console.size
    return Sheet(width, height, colour, console.options.ascii_only, colour and shades)


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
