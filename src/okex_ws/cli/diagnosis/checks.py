"""A check list: checks run in order, and after a failure the others are not tried."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Grade(str, Enum):
    """The result of a check."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    NOT_TRIED = "not tried"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; *advice* is what to do about it."""

    said: str
    grade: Grade = Grade.GOOD
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list; *seconds* is what the check took, ``None`` if not tried."""

    name: str
    said: str
    grade: Grade
    advice: str = ""
    seconds: float | None = None


class CheckFailed(Exception):
    """A check failed, so the checks after it cannot be tried."""

    def __init__(self, said: str, advice: str = "") -> None:
        super().__init__(said)
        self.said = said
        self.advice = advice


class Checklist:
    """Runs checks one after the other; after a failure the others are not tried.

    What depends on a failed step would fail too, and hide the cause. *begin* is a
    callable that gets the name of each check that is tried, *tell* one that gets each
    `Check`, *clock* one that gives seconds. A check fails by raising `CheckFailed`;
    other exceptions pass through.
    """

    def __init__(
        self,
        begin: Callable[[str], None],
        tell: Callable[[Check], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.checks: list[Check] = []
        self._begin = begin
        self._tell = tell
        self._clock = clock

    @property
    def failed(self) -> Check | None:
        """The check that failed, if one did."""
        return next((each for each in self.checks if each.grade is Grade.BAD), None)

    @property
    def warned(self) -> list[Check]:
        """The checks that passed with a warning."""
        return [each for each in self.checks if each.grade is Grade.WARN]

    def check(self, name: str, do: Callable[[], Finding]) -> None:
        """Run the check *do*, unless an earlier check failed."""
        if self.failed is not None:
            self._note(Check(name, "not tried", Grade.NOT_TRIED))
            return
        self._begin(name)
        began = self._clock()
        try:
            found = do()
        except CheckFailed as bad:
            found = Finding(bad.said, Grade.BAD, bad.advice)
        took = self._clock() - began
        self._note(Check(name, found.said, found.grade, found.advice, took))

    def _note(self, check: Check) -> None:
        self.checks.append(check)
        self._tell(check)
