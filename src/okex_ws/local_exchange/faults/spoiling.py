"""Faults of a book's messages: one true message in, the messages sent instead out.

Only the text of a message is changed, so that everything else about it stays right.
`Faults` has the faults in force and their counts. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator

from ..market.levels import SIGNED_LEVELS
from ..wire.values import EncodedPush
from .faults import Faults

# The faults of a book, which `LocalExchange.spoil` explains.
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
# The faults of sequence numbers, which only v5's messages have.
SEQUENCE_FAULTS = ("gap", "reset")
_OF_UPDATES = frozenset(BOOK_FAULTS) - {"no snapshot", "retire"}

# How far sequence numbers jump: forward at a gap, and below the last number at a reset.
GAP, RESET = 1, 1000

# Price and size of a level: quoted, except in the number format of 2018.
_LEVEL = re.compile(r'\["?(-?[0-9][0-9.]*)"?,"?([0-9][0-9.]*)"?,')
_CHECKSUM = re.compile(r'"checksum":-?[0-9]+')
_NUMBERS = re.compile(r'"(seqId|prevSeqId)":(-?[0-9]+)')


class Spoiler:
    """Spoils the messages of one book: a true message in, what is sent instead out.

    A test needs books that are wrong in one way and right in all others. *present* is a
    callable that gives the whole book as last published. A message that cannot have the
    fault in force is sent as it is, and the fault waits for the next one. A jump of the
    sequence numbers is for good: all later messages continue from it, and `heal` does
    not undo it. Only the exchange's event loop uses it.
    """

    def __init__(self, channel: str, present: Callable[[], EncodedPush | None]) -> None:
        self._channel, self._present = channel, present
        self._shift = 0
        self._held: EncodedPush | None = None
        self._whole: EncodedPush | None = None

    def keep_book(self, faults: Faults) -> None:
        """Keep the present book, if a fault will send it before the next change."""
        if faults.active_fault(self._channel, ("second snapshot",)):
            self._whole = self._present()

    def sent(self, push: EncodedPush, faults: Faults) -> list[EncodedPush]:
        """The messages to send in place of *push*."""
        how = faults.active_fault(self._channel, _OF_UPDATES)
        # A message that was held back goes first if its fault, a reorder, has ended.
        late = [] if how == "reorder" else self.release()
        pushes = None
        if how and '"action":"update"' in push.text and _LEVEL.search(push.text):
            pushes = self._spoiled(how, push)
            if pushes is not None and self._held is None:
                faults.count_down(self._channel, how)
        sent = late + ([self.numbered(push)] if pushes is None else pushes)
        if faults.active_fault(self._channel, ("retire",)):
            sent = [each.reworded(_CHECKSUM.sub(_RETIRED, each.text)) for each in sent]
        return sent

    def release(self) -> list[EncodedPush]:
        """Take out the message that was held back, if there is one."""
        late, self._held = self._held, None
        return [late] if late else []

    def numbered(self, push: EncodedPush) -> EncodedPush:
        """*push* with its sequence numbers shifted by all jumps so far."""
        return _renumbered(push, self._shift, self._shift)

    def _spoiled(self, how: str, push: EncodedPush) -> list[EncodedPush] | None:
        """The messages of an update with this fault; ``None`` if it cannot have it."""
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
        """The prices that the checksum covers."""
        whole = self._present()
        if whole is None:
            return ()
        sides = whole.element["asks"], whole.element["bids"]
        return {row[0] for side in sides for row in side[:SIGNED_LEVELS]}


_RETIRED = '"checksum":0'


def _flipped(push: EncodedPush, best: Container[str]) -> list[EncodedPush] | None:
    """Change the last digit of one size at a *best* price; the size never is zero."""
    for level in _resting(push.text):
        if level[1] in best:
            at, digit = level.end(2) - 1, int(level[2][-1])
            wrong = digit - 1 if digit == 9 else digit + 1
            text = f"{push.text[:at]}{wrong}{push.text[at + 1 :]}"
            return [push.reworded(text)]
    return None


def _negative(push: EncodedPush) -> list[EncodedPush] | None:
    """Put a minus sign before one size."""
    for level in _resting(push.text):
        at = level.start(2)
        return [push.reworded(f"{push.text[:at]}-{push.text[at:]}")]
    return None


def _resting(text: str) -> Iterator[re.Match[str]]:
    """The levels whose size is not zero."""
    return (level for level in _LEVEL.finditer(text) if level[2].strip("0."))


def _renumbered(push: EncodedPush, before: int, after: int) -> EncodedPush:
    """*push* with *before* added to its ``prevSeqId``, and *after* to its ``seqId``."""
    more = {"prevSeqId": before, "seqId": after}

    def number(found: re.Match[str]) -> str:
        name, value = found[1], int(found[2])
        # A ``prevSeqId`` of -1 marks a snapshot, and stays.
        return found[0] if value == -1 else f'"{name}":{value + more[name]}'

    return push.reworded(_NUMBERS.sub(number, push.text))
