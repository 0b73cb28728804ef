"""What goes wrong about the REST interface: which request, how, and how often. No I/O.

A fault is about the next requests whose path it is part of, and heals by itself once it
has been *times*; several are met in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REST_FAULTS = (
    "crowded",
    "busy",
    "slow",
    "empty",
    "repeat",
    "overlap",
    "reorder",
    "cut",
    "garbage",
    "drop",
)
# Elements of the page before that a page reaches back over.
OVERLAP = 10


@dataclass(slots=True)
class RestFault:
    """One fault; *how* is one of `REST_FAULTS`, or ``'answer'``: as *answer* says."""

    how: str
    path: str
    times: int | None
    seconds: float = 0.0
    answer: tuple[int, Mapping[str, str], str] | None = None


@dataclass(slots=True)
class RestFaults:
    """The faults in force, and the last pages that were given, by what they are of."""

    waiting: list[RestFault] = field(default_factory=list)
    pages: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, fault: RestFault) -> None:
        """Have this go wrong after what is in force already."""
        if fault.times != 0:
            self.waiting.append(fault)

    def heal(self) -> None:
        """End all of them."""
        self.waiting.clear()
        self.pages.clear()

    def take(self, target: str) -> RestFault | None:
        """What goes wrong about a request for *target* now, counted down."""
        for fault in self.waiting:
            if fault.path in target:
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self.waiting.remove(fault)
                return fault
        return None

    def page(self, of: str, page: list[Any], how: str) -> list[Any]:
        """A page as it is given, if this is wrong about it; the right one is kept."""
        before = self.pages.get(of, [])
        self.pages[of] = page
        if how == "empty":
            return []
        if how == "repeat":
            return before or page
        if how == "overlap":
            return [*before[-OVERLAP:], *page][: max(len(page), 1)]
        return page[::-1] if how == "reorder" else page
