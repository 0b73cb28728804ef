"""What the user has chosen to see: the state of the screen, changed by keys. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

# Every key for the help, with what it does.
KEYS = (
    ("q", "end (Ctrl-C too)"),
    ("?", "these keys"),
    ("space, p", "pause: hold the prices on the screen; again: go on"),
    ("up, k  down, j", "the instrument before, the next one"),
    ("Tab", "the next instrument, after the last one the first"),
    ("digits, Enter", "the instrument of that number"),
    ("Enter", "the book of the instrument that is marked"),
    ("Esc", "back: from a number, from a book to the table"),
    ("+  -", "prices in larger groups of ticks, in smaller ones"),
    ("c", "the total of the sizes up to each price"),
    ("Ctrl-Z", "to the shell; its command fg comes back"),
)
# Instruments that a page has, and steps of the grouping.
_PAGE, _GROUPINGS = 10, 18


@dataclass(frozen=True, slots=True)
class Navigation:
    """The state of the screen; each key makes a new one from it.

    *count* is the number of instruments, *at* the one that is marked, from 0. *table*
    is whether the table of all instruments is shown, else the book of the marked one.
    *grouping* is how many steps prices are grouped, *totals* whether the book has
    totals. *typed* is a number that is being typed, *notice* a word about the last key.
    """

    count: int
    table: bool = False
    at: int = 0
    help: bool = False
    held: bool = False
    grouping: int = 0
    totals: bool = False
    typed: str = ""
    notice: str = ""
    ended: bool = False

    def press(self, key: str) -> Navigation:
        """The state after *key*; a key without a meaning changes nothing."""
        before = replace(self, notice="")
        if key == "q":
            return replace(before, ended=True)
        if self.help:
            return replace(before, help=False)
        if key.isdigit():
            return before._digit(key)
        if key in ("enter", "esc", "backspace"):
            return _ANSWERS[key](before)
        change = _CHANGES.get(key)
        return before if change is None else replace(change(before), typed="")

    def _digit(self, key: str) -> Navigation:
        typed = (self.typed + key).lstrip("0")
        return replace(self, typed=typed[: len(str(self.count)) + 1])

    def _enter(self) -> Navigation:
        if not self.typed:
            return replace(self, table=False)
        at = int(self.typed) - 1
        if at < self.count:
            return replace(self, table=False, at=at, typed="")
        notice = f"no instrument {self.typed}: there are {self.count}"
        return replace(self, typed="", notice=notice)

    def _escape(self) -> Navigation:
        if self.typed:
            return replace(self, typed="")
        return replace(self, table=self.count > 1)

    def _backspace(self) -> Navigation:
        return replace(self, typed=self.typed[:-1])

    def _moved(self, steps: int) -> Navigation:
        return replace(self, at=min(max(self.at + steps, 0), self.count - 1))

    def _turned(self, steps: int) -> Navigation:
        return replace(self, at=(self.at + steps) % self.count)

    def _grouped(self, steps: int) -> Navigation:
        return replace(self, grouping=min(max(self.grouping + steps, 0), _GROUPINGS))


_Change = Callable[[Navigation], Navigation]
_ANSWERS: Mapping[str, _Change] = {
    "enter": Navigation._enter,
    "esc": Navigation._escape,
    "backspace": Navigation._backspace,
}
_CHANGES: Mapping[str, _Change] = {
    "?": lambda now: replace(now, help=True),
    **dict.fromkeys(("space", "p"), lambda now: replace(now, held=not now.held)),
    "c": lambda now: replace(now, totals=not now.totals),
    **dict.fromkeys(("up", "left", "k"), lambda now: now._moved(-1)),
    **dict.fromkeys(("down", "right", "j"), lambda now: now._moved(1)),
    "page up": lambda now: now._moved(-_PAGE),
    "page down": lambda now: now._moved(_PAGE),
    "home": lambda now: replace(now, at=0),
    "end": lambda now: replace(now, at=now.count - 1),
    "tab": lambda now: now._turned(1),
    "back tab": lambda now: now._turned(-1),
    **dict.fromkeys(("+", "="), lambda now: now._grouped(1)),
    **dict.fromkeys(("-", "_"), lambda now: now._grouped(-1)),
}
