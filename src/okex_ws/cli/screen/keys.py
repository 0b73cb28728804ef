"""The key decoder: bytes of a terminal to the names of keys. Pure: no I/O, no clock.

A terminal sends a key as a character or as an escape sequence, which may arrive in
pieces. The names are the characters themselves and `NAMES`.
"""

from __future__ import annotations

import re

NAMES = (
    *("up", "down", "left", "right", "home", "end", "page up", "page down"),
    *("enter", "esc", "tab", "back tab", "backspace", "space"),
)

# Seconds after which an escape character is the key Esc: a sequence's next byte comes
# sooner, over a slow line too. Seconds after which a sequence that has begun is given
# up. Its bytes are dropped, because they would be taken for keys.
ESCAPE_WAIT, SEQUENCE_WAIT = 0.1, 1.0
# The most bytes of a sequence that is not complete yet.
_LONGEST = 256

_CHARACTERS = {
    **{code: chr(code) for code in range(0x21, 0x7F)},
    0x20: "space",
    0x09: "tab",
    0x0A: "enter",
    0x0D: "enter",
    0x7F: "backspace",
    0x08: "backspace",
}
# By the last byte of a sequence (ECMA-48's CSI, and SS3 of the keypad's second mode).
_BY_LETTER = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "back tab",
    "M": "enter",
}
# By the number before ``~``, as the VT220 and rxvt send them.
_BY_NUMBER = {
    "1": "home",
    "7": "home",
    "4": "end",
    "8": "end",
    "5": "page up",
    "6": "page down",
}
# CSI with the Linux console's second ``[``, SS3, and a string such as OSC with its end.
_CONTROL = rb"\[(?P<console>\[?)(?P<numbers>[0-?]*)[ -/]*(?P<last>[@-Z\\-~])"
_KEYPAD = rb"O[0-9;]*(?P<keypad>[@-~])"
_SEQUENCE = re.compile(
    rb"\x1b(?:" + _CONTROL + rb"|" + _KEYPAD + rb"|[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\))"
)
# The longest beginning of such a sequence; of anything else the escape character alone.
_BEGUN = re.compile(rb"\x1b(?:\[\[?[0-?]*[ -/]*|O[0-9;]*|[]PX^_][^\x07\x1b]*\x1b?)?")


class KeyDecoder:
    """Turns what a terminal sends, in pieces of any size, into the names of keys.

    Modifiers of arrows are ignored; other keys that have no name give nothing, and
    neither do characters outside ASCII. Moments are seconds of any one clock. One
    thread calls it.
    """

    def __init__(self) -> None:
        self._waiting = b""
        self._since = 0.0

    @property
    def due(self) -> float | None:
        """When `decode` should be called even if no byte comes, or ``None``."""
        if not self._waiting:
            return None
        alone = self._waiting == b"\x1b"
        return self._since + (ESCAPE_WAIT if alone else SEQUENCE_WAIT)

    def decode(self, data: bytes, now: float) -> list[str]:
        """The keys that *data*, received at *now*, completes; ``b""`` is time alone."""
        found: list[str] = []
        if self.due is not None and now >= self.due:
            found += ["esc"] if self._waiting == b"\x1b" else []
            self._waiting = b""
        if not data:
            return found
        self._waiting += data
        self._since = now
        while self._waiting and not self._incomplete():
            key, length = _first(self._waiting)
            found += [key] if key else []
            self._waiting = self._waiting[length:]
        return found

    def _incomplete(self) -> bool:
        """Whether all that waits is a sequence that may still become complete."""
        waiting = self._waiting
        begun = waiting[:1] == b"\x1b" and not _SEQUENCE.match(waiting)
        if not begun or not _BEGUN.fullmatch(waiting):
            return False
        if len(waiting) > _LONGEST:
            self._waiting = b""
        return True


def _first(data: bytes) -> tuple[str | None, int]:
    """The first key of *data*, ``None`` if it has no name, and its length in bytes."""
    if data[0] != 0x1B:
        return _CHARACTERS.get(data[0]), 1
    whole = _SEQUENCE.match(data)
    if whole is not None:
        return _named(whole), whole.end()
    begun = _BEGUN.match(data)
    assert begun is not None
    # A sequence that another character breaks off is dropped. An escape character
    # before a character that begins no sequence was the key Esc.
    return ("esc" if begun.end() == 1 else None), begun.end()


def _named(sequence: re.Match[bytes]) -> str | None:
    last = (sequence["last"] or sequence["keypad"] or b"").decode()
    numbers = (sequence["numbers"] or b"").decode()
    if last == "~":
        return _BY_NUMBER.get(numbers.partition(";")[0])
    if sequence["console"] or not re.fullmatch("[0-9;]*", numbers):
        return None
    if last == "M" and not sequence["keypad"]:
        return None  # a CSI with M tells of the mouse
    return _BY_LETTER.get(last)
