"""The faults of the REST interface: which request, how, and how often. No I/O.

A fault applies to the requests whose path or query contains its *path*, and ends after
it has happened *times* times. Of several faults, the one added first applies first.
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
# How many elements of the page before it an overlapping page repeats.
OVERLAP = 10


@dataclass(slots=True)
class RestFault:
    """One fault of the next *times* requests, or of all if ``None``.

    *how* is one of `REST_FAULTS`, or ``'answer'``, which sends *answer*.
    """

    how: str
    path: str
    times: int | None
    seconds: float = 0.0
    answer: tuple[int, Mapping[str, str], str] | None = None


@dataclass(slots=True)
class RestFaults:
    """The faults of REST requests in force, and the last page of each list.

    The page is kept, by path and instrument, for faults that send it again. Only the
    exchange's event loop uses it.
    """

    waiting: list[RestFault] = field(default_factory=list)
    pages: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, fault: RestFault) -> None:
        """Add a fault, after those that are in force."""
        if fault.times != 0:
            self.waiting.append(fault)

    def heal(self) -> None:
        """End all faults."""
        self.waiting.clear()
        self.pages.clear()

    def take(self, target: str) -> RestFault | None:
        """The fault of this request for *target*, if any; counts it down."""
        for fault in self.waiting:
            if fault.path in target:
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self.waiting.remove(fault)
                return fault
        return None

    def page(self, of: str, page: list[Any], how: str) -> list[Any]:
        """Return *page* with the fault *how*, and keep the right page.

        *of* names the list of the page. Its right pages are kept because ``'repeat'``
        and ``'overlap'`` send elements of the page before.
        """
        before = self.pages.get(of, [])
        self.pages[of] = page
        if how == "empty":
            return []
        if how == "repeat":
            return before or page
        if how == "overlap":
            return [*before[-OVERLAP:], *page][: max(len(page), 1)]
        return page[::-1] if how == "reorder" else page
