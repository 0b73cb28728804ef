"""What a campaign found: its counts, its times, and its violations."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.campaign import resources
from tests.campaign.metronome import Metronome


@dataclass
class FaultCounts:
    """One kind of fault."""

    injected: int = 0
    noticed: int = 0
    recovered: int = 0
    mixed: int = 0
    bound: float = 0.0
    seconds: list[float] = field(default_factory=list)


@dataclass
class Result:
    """All that a campaign found; `violations` and `late` are empty if all is well.

    *late* are recoveries that came, but after their bound: a matter of the real clock,
    which the command judges and no test does.
    """

    seed: int
    seconds: float
    metronome: Metronome
    by_kind: dict[str, FaultCounts] = field(
        default_factory=lambda: defaultdict(FaultCounts)
    )
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    # Faults that nobody judged, since the machine stood still meanwhile.
    disturbed: int = 0
    rests: list[float] = field(default_factory=list)
    reads: int = 0
    prices: int = 0
    books: int = 0
    stale: int = 0
    wrong: int = 0
    wrong_books: int = 0
    items: Counter[str] = field(default_factory=Counter)
    trades: Counter[str] = field(default_factory=Counter)
    by_way: Counter[str] = field(default_factory=Counter)
    # What signal handlers did inside of reads.
    signals: Counter[str] = field(default_factory=Counter)
    oldest: float = 0.0
    losses: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    before: resources.Resources | None = None
    after: resources.Resources | None = None

    def violate(self, what: str) -> None:
        """Take down what must not be; any thread."""
        self.violations.append(what)

    def recoveries(self) -> list[float]:
        """Every time to recover, shortest first."""
        return sorted(s for counts in self.by_kind.values() for s in counts.seconds)

    def as_json(self) -> dict[str, Any]:
        """The result as a file keeps it."""
        times = self.recoveries() or [0.0]
        assert self.before is not None
        assert self.after is not None
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "ok": not self.violations and not self.late,
            "violations": self.violations,
            "late": self.late,
            "faults": sum(t.injected for t in self.by_kind.values()),
            "recoveries": sum(t.recovered for t in self.by_kind.values()),
            "recovery_seconds": {
                "median": round(statistics.median(times), 3),
                "p90": round(times[int(len(times) * 0.9)], 3),
                "longest": round(times[-1], 3),
            },
            "disturbed": self.disturbed,
            "rests": [round(rest, 2) for rest in self.rests],
            "reads": self.reads,
            "prices": self.prices,
            "books": self.books,
            "reads_by_way": dict(self.by_way),
            "signals": dict(self.signals),
            "stale": self.stale,
            "wrong": self.wrong,
            "wrong_books": self.wrong_books,
            "items": dict(self.items),
            "trades": dict(self.trades),
            "oldest_after_the_line_died": round(self.oldest, 3),
            "kinds": {kind: _kind(t) for kind, t in sorted(self.by_kind.items())},
            "losses": dict(self.losses),
            "dropped": dict(self.dropped),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


def _kind(counts: FaultCounts) -> dict[str, Any]:
    return {
        "injected": counts.injected,
        "mixed": counts.mixed,
        "noticed": counts.noticed,
        "recovered": counts.recovered,
        "longest_recovery": round(max(counts.seconds, default=0.0), 3),
        "bound": counts.bound,
    }
