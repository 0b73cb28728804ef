"""The campaign: each stand has a thread that picks faults by its seed, one by one.

A violation is a stale or a wrong price, a fault that nobody noticed, a recovery that
did not come within its bound, an internal error of the library, or something left.
"""

from __future__ import annotations

import contextlib
import logging
import statistics
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.campaign import dialling, guests, resources, wire
from tests.campaign.catalogue import CATALOGUE, Fault
from tests.campaign.rig import Rig

__all__ = ["Result", "run"]

# Importing them lists their faults.
_LISTED = (dialling, guests, wire)
# How long a fault may stay unnoticed, and a recovery be waited for.
PATIENCE = 12.0
MIXED = 0.2
WARM_UP = 10.0


@dataclass
class Tally:
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
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    reads: int = 0
    prices: int = 0
    stale: int = 0
    wrong: int = 0
    by_way: Counter[str] = field(default_factory=Counter)
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
        return sorted(s for tally in self.tallies.values() for s in tally.seconds)

    def as_json(self) -> dict[str, Any]:
        """The result as a file keeps it."""
        times = self.recoveries() or [0.0]
        assert self.before is not None
        assert self.after is not None
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "ok": not self.violations and not self.late,
            "violations": self.violations + self.late,
            "faults": sum(t.injected for t in self.tallies.values()),
            "recoveries": sum(t.recovered for t in self.tallies.values()),
            "recovery_seconds": {
                "median": round(statistics.median(times), 3),
                "p90": round(times[int(len(times) * 0.9)], 3),
                "longest": round(times[-1], 3),
            },
            "reads": self.reads,
            "prices": self.prices,
            "reads_by_way": dict(self.by_way),
            "stale": self.stale,
            "wrong": self.wrong,
            "oldest_after_the_line_died": round(self.oldest, 3),
            "kinds": {kind: _kind(t) for kind, t in sorted(self.tallies.items())},
            "losses": dict(self.losses),
            "dropped": dict(self.dropped),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


def _kind(tally: Tally) -> dict[str, Any]:
    return {
        "injected": tally.injected,
        "mixed": tally.mixed,
        "noticed": tally.noticed,
        "recovered": tally.recovered,
        "longest_recovery": round(max(tally.seconds, default=0.0), 3),
        "bound": tally.bound,
    }


def _rigs(seed: int) -> list[Rig]:
    return [
        Rig("plain", seed),
        Rig("tls", seed + 1, tls=True),
        Rig("feed", seed + 2, tls=True, shared=True),
        Rig("direct feed", seed + 3, proxied=False, shared=True),
    ]


def run(seconds: float, seed: int) -> Result:
    """Run for about *seconds*; the schedule of each stand is that of *seed*."""
    result = Result(seed, seconds)
    with _watched(result):
        # What is made once and kept, by Python and by us, is no leak.
        _campaign(min(WARM_UP, seconds / 4), seed, Result(seed, 0))
        result.before = resources.count()
        _campaign(seconds, seed, result)
        result.after = resources.settled(result.before)
    for leak in resources.leaks(result.before, result.after):
        result.violate(leak)
    return result


def _campaign(seconds: float, seed: int, result: Result) -> None:
    with contextlib.ExitStack() as stack:
        rigs = [stack.enter_context(rig) for rig in _rigs(seed)]
        end = time.monotonic() + seconds
        drivers = [
            threading.Thread(target=_drive, args=(rig, end, result), name=rig.name)
            for rig in rigs
        ]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.join()
        for rig in rigs:
            _gather(rig, result)


def _drive(rig: Rig, end: float, result: Result) -> None:
    try:
        for faults in _schedule(rig):
            if time.monotonic() >= end:
                return
            _strike(rig, faults, result)
    except BaseException:
        result.violate(f"{rig.name}: {traceback.format_exc()}")


def _schedule(rig: Rig) -> Iterator[tuple[Fault, ...]]:
    """All that fit, in a new order each round; now and then two at once."""
    fitting = [fault for fault in CATALOGUE.values() if fault.fits(rig)]
    while True:
        for fault in rig.rng.sample(fitting, len(fitting)):
            yield (fault,)
            others = [other for other in fitting if other.layer != fault.layer]
            if rig.rng.random() < MIXED:
                yield (fault, rig.rng.choice(others))


def _strike(rig: Rig, faults: tuple[Fault, ...], result: Result) -> None:
    """Inject, see it noticed, take it back, and time the recovery."""
    name = " and ".join(fault.kind for fault in faults)
    rig.mixed = len(faults) > 1
    rig.mark()
    since = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(_revive, rig)
        noticed = {f.kind: stack.enter_context(f.inject(rig)) for f in faults}
        seen = _wait_for_any(noticed, PATIENCE)
        if not seen:
            state = [(str(s.state), s.health().cause) for s in rig.subscriptions]
            what = f"{rig.name}: nobody noticed {name}: {state}, {rig.errors[-5:]}"
            result.violate(what)
        if not all(fault.instant for fault in faults):
            time.sleep(rig.rng.uniform(0.0, 0.3))
            since = time.monotonic()
        _revive(rig)
    took = rig.recover(since, PATIENCE)
    bound = max(fault.bound for fault in faults) + len(faults) - 1
    if took is None:
        state = [(str(s.state), s.health().cause) for s in rig.subscriptions]
        result.violate(f"{rig.name}: never recovered from {name}: {state}")
    elif took > bound:
        slow = f"in {took:.3f} s, not {bound:g} s"
        result.late.append(f"{rig.name}: recovered from {name} {slow}")
    for fault in faults:
        _enter(result.tallies[fault.kind], fault, fault.kind in seen, took, rig.mixed)


def _revive(rig: Rig) -> None:
    """Before anything is healed: what comes from now on may be true again."""
    rig.dead_since, rig.mischief = None, None


def _wait_for_any(noticed: dict[str, Any], patience: float) -> set[str]:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if seen := {kind for kind, has in noticed.items() if has()}:
            return seen
        time.sleep(0.005)
    return set()


_entering = threading.Lock()


def _enter(
    tally: Tally, fault: Fault, noticed: bool, took: float | None, mixed: bool
) -> None:
    with _entering:
        tally.bound = fault.bound
        tally.injected += 1
        tally.mixed += mixed
        tally.noticed += noticed
        if took is not None:
            tally.recovered += 1
            tally.seconds.append(took)


def _gather(rig: Rig, result: Result) -> None:
    """What the judges of a stand found, while its reader may still read."""
    if rig.reader_error is not None:
        result.violate(f"{rig.name}: the reader ended: {rig.reader_error!r}")
    for judge in rig.judges:
        found = judge.found
        result.reads += found.reads
        result.prices += found.prices
        result.stale += len(found.stale)
        result.wrong += len(found.wrong)
        result.by_way.update(found.by_way)
        result.oldest = max(result.oldest, found.oldest)
        for what in (found.stale + found.wrong)[:5]:
            result.violate(f"{rig.name}: {what}")
    stats = rig.subscriptions[0].stats()
    result.losses.update(stats.reconnects)
    result.dropped.update(stats.dropped)


class _Watch(logging.Handler):
    """Hears the library's log: what it calls an internal error is one of ours."""

    def __init__(self, result: Result) -> None:
        super().__init__(logging.WARNING)
        self._result = result

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("internal error"):
            trace = "".join(traceback.format_exception(*(record.exc_info or ())))
            self._result.violate(f"{record.getMessage()}: {trace}")


@contextlib.contextmanager
def _watched(result: Result) -> Iterator[None]:
    """Have errors that no thread caught, or that were only logged, be violations."""
    log, watch = logging.getLogger("okex_ws"), _Watch(result)
    propagated, hook = log.propagate, threading.excepthook
    # The exchange's side of a fault, as asyncio sees it, is no news.
    servers = logging.getLogger("asyncio")
    level = servers.level
    servers.setLevel(logging.CRITICAL)
    log.addHandler(watch)
    log.propagate = False

    def uncaught(args: threading.ExceptHookArgs) -> None:
        result.violate(f"uncaught in {args.thread}: {args.exc_value!r}")

    threading.excepthook = uncaught
    try:
        yield
    finally:
        threading.excepthook = hook
        log.propagate = propagated
        servers.setLevel(level)
        log.removeHandler(watch)
