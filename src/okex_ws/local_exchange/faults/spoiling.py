"""How the exchange goes wrong about a book: one true message in, what is sent out.

A message is changed in its text, so that everything else about it stays as it was. What
is in force, and how often, is kept by `Faults`; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator

from ..market.levels import SIGNED_LEVELS
from ..wire.values import EncodedPush
from .faults import Faults

# What can go wrong about a book, as `LocalExchange.spoil` explains.
BOOK_FAULTS = (
    "lose",
    "flip",
    "repeat",
    "reorder",
    "gap",
    "reset",
    "no snapshot",
    "second snapshot",
    "negative",
    "retire",
)
# Those that only a numbered message can have.
SEQUENCE_FAULTS = ("gap", "reset")
_OF_UPDATES = frozenset(BOOK_FAULTS) - {"no snapshot", "retire"}

# How far the numbers of a book jump: over one message, and back.
GAP, RESET = 1, 1000

# Price and size of a level, which is quoted but in the dialect of 2018.
_LEVEL = re.compile(r'\["?([0-9][0-9.]*)"?,"?([0-9][0-9.]*)"?,')
_CHECKSUM = re.compile(r'"checksum":-?[0-9]+')
_NUMBERS = re.compile(r'"(seqId|prevSeqId)":(-?[0-9]+)')


class Spoiler:
    """One book: true messages in, what is sent in their place out.

    *present* gives the whole book as it was last said. What numbers have jumped is
    part of their sequence from then on, and is healed by nothing.
    """

    def __init__(self, channel: str, present: Callable[[], EncodedPush | None]) -> None:
        self._channel, self._present = channel, present
        self._shift = 0
        self._held: EncodedPush | None = None
        self._whole: EncodedPush | None = None

    def keep_book(self, faults: Faults) -> None:
        """Keep the book as it is now, if a fault needs it before its next change."""
        if faults.active_fault(self._channel, ("second snapshot",)):
            self._whole = self._present()

    def sent(self, push: EncodedPush, faults: Faults) -> list[EncodedPush]:
        """What is sent in place of *push*."""
        how = faults.active_fault(self._channel, _OF_UPDATES)
        # One that was held back goes first, if what it was held back for has ended.
        late = [] if how == "reorder" else self.release()
        pushes = None
        if how and '"action":"update"' in push.text and _LEVEL.search(push.text):
            pushes = self._spoiled(how, push)
            if pushes is not None and self._held is None:
                faults.count_down(self._channel, how)
        sent = late + ([self.numbered(push)] if pushes is None else pushes)
        if faults.active_fault(self._channel, ("retire",)):
            sent = [
                _reworded(each, _CHECKSUM.sub(_RETIRED, each.text)) for each in sent
            ]
        return sent

    def release(self) -> list[EncodedPush]:
        """A message that was held back, if one was."""
        late, self._held = self._held, None
        return [late] if late else []

    def numbered(self, push: EncodedPush) -> EncodedPush:
        """*push* with the numbers of the sequence as its receivers know it."""
        return _renumbered(push, self._shift, self._shift)

    def _spoiled(self, how: str, push: EncodedPush) -> list[EncodedPush] | None:
        """An update with that fault; ``None`` for one that cannot have it."""
        if how == "reset":
            before = self._shift
            numbers = dict(_NUMBERS.findall(push.text))
            fall = int(numbers["seqId"]) - int(numbers["prevSeqId"]) + RESET
            self._shift -= fall
            return [_renumbered(push, before, self._shift)]
        if how == "gap":
            self._shift += GAP
        push = self.numbered(push)
        if how == "lose":
            return []
        if how == "repeat":
            return [push, push]
        if how == "reorder":
            return self._turned(push)
        if how == "second snapshot":
            return [self.numbered(self._whole), push] if self._whole else None
        if how == "flip":
            return _flipped(push, self._best())
        return _negative(push) if how == "negative" else [push]

    def _turned(self, push: EncodedPush) -> list[EncodedPush]:
        late = self.release()
        if late:
            return [push, *late]
        self._held = push
        return []

    def _best(self) -> Container[str]:
        """The prices that the checksum is over."""
        whole = self._present()
        if whole is None:
            return ()
        sides = whole.element["asks"], whole.element["bids"]
        return {row[0] for side in sides for row in side[:SIGNED_LEVELS]}


_RETIRED = '"checksum":0'


def _flipped(push: EncodedPush, best: Container[str]) -> list[EncodedPush] | None:
    """The last digit of one size among the *best* is another, and the size not zero."""
    for level in _resting(push.text):
        if level[1] in best:
            at, digit = level.end(2) - 1, int(level[2][-1])
            wrong = digit - 1 if digit == 9 else digit + 1
            text = f"{push.text[:at]}{wrong}{push.text[at + 1 :]}"
            return [_reworded(push, text)]
    return None


def _negative(push: EncodedPush) -> list[EncodedPush] | None:
    """One size has a minus sign."""
    for level in _resting(push.text):
        at = level.start(2)
        return [_reworded(push, f"{push.text[:at]}-{push.text[at:]}")]
    return None


def _resting(text: str) -> Iterator[re.Match[str]]:
    """Every level whose size is not zero."""
    return (level for level in _LEVEL.finditer(text) if level[2].strip("0."))


def _renumbered(push: EncodedPush, before: int, after: int) -> EncodedPush:
    """*push* with so much more as ``prevSeqId``, and so much as ``seqId``."""
    more = {"prevSeqId": before, "seqId": after}

    def number(found: re.Match[str]) -> str:
        name, value = found[1], int(found[2])
        # Before a snapshot there is nothing.
        return found[0] if value == -1 else f'"{name}":{value + more[name]}'

    return _reworded(push, _NUMBERS.sub(number, push.text))


def _reworded(push: EncodedPush, text: str) -> EncodedPush:
    """*push* with another text; of v3 as one that is still to be deflated."""
    if text == push.text:
        return push
    return EncodedPush(
        push.channel, text, text if isinstance(push.frame, str) else None
    )
