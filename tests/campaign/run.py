"""The campaign: each rig has a thread that picks faults by its seed, one by one.

A violation is a stale or a wrong price, a fault that was not noticed, a recovery that
did not come within its bound, an internal error of the library, or something left.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.campaign import (
    account_faults,
    book_faults,
    channel_faults,
    connection_faults,
    dial_faults,
    frame_faults,
    gateway_faults,
    handover_faults,
    handshake_faults,
    message_faults,
    number_faults,
    refusal_faults,
    resources,
    script_faults,
)
from tests.campaign.catalogue import ALONE, CATALOGUE, CHANGE, Fault
from tests.campaign.fanout_stand import NAME, FanoutStand
from tests.campaign.judge import Findings
from tests.campaign.metronome import Metronome
from tests.campaign.replay_digest import recording_path
from tests.campaign.results import FaultCounts, Result
from tests.campaign.rig import Rig
from tests.campaign.script import OWN
from tests.campaign.setups import SETUPS, Setup
from tests.campaign.signals import SignalledReader
from tests.support.internal_errors import bugs_told

__all__ = ["Result", "run"]

# Importing them lists their faults.
_LISTED = (account_faults, book_faults, channel_faults, connection_faults, dial_faults)
_LISTED += (frame_faults, gateway_faults, handover_faults, handshake_faults)
_LISTED += (message_faults, number_faults, refusal_faults, script_faults)
# How long a fault may stay unnoticed, and a recovery be waited for.
PATIENCE = 12.0
# How long the second of two may take to be noticed; one may hide the other.
BOTH = 1.0
MIXED = 0.2
# Until the records of what was sent are full, and memory tells a leak from them.
WARM_UP = 75.0


def run(
    seconds: float,
    seed: int,
    setups: Sequence[Setup] = SETUPS,
    only: str = "",
    recordings: Path | None = None,
    fanout: bool = False,
) -> Result:
    """Run for about *seconds*; the schedule of each setup is that of *seed*.

    Only faults whose kind matches *only* are injected. With *recordings*
    each setup is recorded in that folder. *fanout* adds the stand of the fan-out, which
    needs a Redis server.
    """
    with Metronome() as metronome:
        result = Result(seed, seconds, metronome)
        _run(result, setups, only, recordings, fanout)
        result.rests += [end - start for start, end in metronome.rests]
    return result


def _run(
    result: Result,
    setups: Sequence[Setup],
    only: str,
    recordings: Path | None,
    fanout: bool,
) -> None:
    seconds, seed = result.seconds, result.seed
    with _watched(result):
        # What is made once and kept, by Python and by us, is no leak.
        warm_up = Result(seed, 0, result.metronome)
        warm = min(WARM_UP, seconds / 4)
        _campaign(warm, seed, warm_up, setups, only, None, fanout)
        result.before = resources.count()
        _campaign(seconds, seed, result, setups, only, recordings, fanout)
        result.after = resources.settled(result.before)
    for leak in resources.leaks(result.before, result.after):
        result.violate(leak)


def _campaign(
    seconds: float,
    seed: int,
    result: Result,
    setups: Sequence[Setup],
    only: str,
    recordings: Path | None = None,
    fanout: bool = False,
) -> None:
    with contextlib.ExitStack() as stack:
        rigs = [
            stack.enter_context(
                Rig(
                    setup,
                    seed + n,
                    recordings and recording_path(recordings, setup.name),
                    result.metronome,
                )
            )
            for n, setup in enumerate(setups)
        ]
        stands = [stack.enter_context(FanoutStand(seed))] if fanout else []
        end = time.monotonic() + seconds
        drivers = [
            threading.Thread(
                target=_drive, args=(rig, end, result, only), name=rig.name
            )
            for rig in rigs
        ]
        drivers += [
            threading.Thread(
                target=_drive_fanout, args=(stand, end, result, only), name=NAME
            )
            for stand in stands
        ]
        for driver in drivers:
            driver.start()
        signalled = SignalledReader(rigs, seed)
        if rigs:
            signalled.run(lambda: not any(driver.is_alive() for driver in drivers))
        for driver in drivers:
            driver.join()
        result.signals.update(signalled.did)
        for rig in rigs:
            _gather(rig, result)
        for stand in stands:
            stand.gather(result)


def _drive_fanout(stand: FanoutStand, end: float, result: Result, only: str) -> None:
    try:
        stand.drive(end, result, only)
    except BaseException:
        result.violate(f"{NAME}: {traceback.format_exc()}")


def _drive(rig: Rig, end: float, result: Result, only: str) -> None:
    try:
        for faults in _schedule(rig, only):
            if time.monotonic() >= end or not _strike(rig, faults, result):
                break
        settle(rig, result)
    except BaseException:
        result.violate(f"{rig.name}: {traceback.format_exc()}")


def _schedule(rig: Rig, only: str) -> Iterator[tuple[Fault, ...]]:
    """All that fit, in a new order each round; now and then two at once."""
    fitting = [
        fault
        for _, fault in sorted(CATALOGUE.items())
        if re.search(only, fault.kind) and fault.fits(rig)
    ]
    while fitting:
        for fault in rig.rng.sample(fitting, len(fitting)):
            yield (fault,)
            others = [other for other in fitting if _go_together(fault, other)]
            if others and rig.rng.random() < MIXED:
                yield (fault, rig.rng.choice(others))


def _go_together(fault: Fault, other: Fault) -> bool:
    return fault.layer != other.layer and ALONE not in (fault.layer, other.layer)


def _strike(rig: Rig, faults: tuple[Fault, ...], result: Result) -> bool:
    """Inject, see it noticed, take it back, and time the recovery, if there is one.

    A rest of the machine excuses what was not noticed or came late, and nothing else.
    """
    name = " and ".join(fault.kind for fault in faults)
    if not rig.rest(PATIENCE):
        open_ones = f"{rig.exchange.clients} connections at rest"
        result.violate(f"{rig.name}: {open_ones}: {rig.happened()}")
    rig.mixed = len(faults) > 1
    rig.mark(name, changes_over=any(fault.layer == CHANGE for fault in faults))
    began = since = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(rig.revive)
        noticed = {f.kind: stack.enter_context(f.inject(rig)) for f in faults}
        seen = _wait_for_any(noticed, PATIENCE)
        if seen:
            # Of two, what the other one does should not come after the recovery.
            seen |= _wait_for_all(noticed, BOTH)
        unseen = "" if seen else f"nobody noticed {name}: {rig.happened()}"
        if not all(fault.instant for fault in faults):
            rig.pause(0.1)
            since = time.monotonic()
        rig.revive()
    took = rig.recover(since, PATIENCE)
    rig.ended()
    if took is None:
        result.violate(f"{rig.name}: never recovered from {name}: {rig.happened()}")
    elif not rig.caught_up(PATIENCE):
        result.violate(f"{rig.name}: not told the end of {name}: {rig.happened()}")
    late = _lateness(faults, took)
    if (unseen or late) and result.metronome.rested(began):
        result.disturbed += 1
    elif unseen:
        result.violate(f"{rig.name}: {unseen}")
    elif late:
        result.late.append(f"{rig.name}: recovered from {name} {late}")
    for fault in faults:
        _enter(result.by_kind[fault.kind], fault, fault.kind in seen, took, rig.mixed)
    return took is not None


def _lateness(faults: tuple[Fault, ...], took: float | None) -> str:
    """How late a recovery that *took* so many seconds was; empty if it was not."""
    bound = max(fault.bound for fault in faults) + len(faults) - 1
    if took is None or took <= bound:
        return ""
    return f"in {took:.3f} s, not {bound:g} s"


def _wait_for_any(noticed: dict[str, Any], patience: float) -> set[str]:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if seen := {kind for kind, has in noticed.items() if has()}:
            return seen
        time.sleep(0.005)
    return set()


def _wait_for_all(noticed: dict[str, Any], patience: float) -> set[str]:
    deadline, seen = time.monotonic() + patience, set[str]()
    while seen < noticed.keys() and time.monotonic() < deadline:
        seen |= {kind for kind, has in noticed.items() if has()}
        time.sleep(0.005)
    return seen


_entering = threading.Lock()


def _enter(
    counts: FaultCounts, fault: Fault, noticed: bool, took: float | None, mixed: bool
) -> None:
    with _entering:
        counts.bound = fault.bound
        counts.injected += 1
        counts.mixed += mixed
        counts.noticed += noticed
        if took is not None:
            counts.recovered += 1
            counts.seconds.append(took)


def settle(rig: Rig, result: Result) -> None:
    """The market stands still: what was pushed last is there, and nothing else.

    Before that it trades once more, since what was pushed during the last fault may be
    in a gap.
    """
    waits = {
        f"trades of {name} in updates()": trades
        for listener in rig.listeners
        for name, trades in listener.trades.items()
    }
    healed = time.monotonic()
    deadline = healed + PATIENCE
    while not all(each.pushed_since(healed) for each in waits.values()):
        if time.monotonic() > deadline:
            result.violate(f"{rig.name}: no trades after the last fault")
            break
        time.sleep(0.02)
    rig.exchange.pace = 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        waits = {what: each for what, each in waits.items() if not each.settled}
        wrong = [judge for judge in rig.judges if not judge.holds(rig.exchange)]
        if not waits and not wrong:
            return
        time.sleep(0.02)
    for what in waits:
        result.violate(f"{rig.name}: the last {what} did not come")
    for judge in wrong:
        result.violate(f"{rig.name}: {judge.subscription!r} has another book at rest")


def _gather(rig: Rig, result: Result) -> None:
    """What the judges of a rig found, while its users may still be at it."""
    if rig.user_error is not None:
        result.violate(f"{rig.name}: a user ended: {rig.user_error!r}")
    both = [] if rig.pairs is None else [rig.pairs.found]
    for found in [judge.found for judge in rig.judges] + rig.visits + both:
        _gather_reads(rig, found, result)
    for listener in rig.listeners:
        result.items.update(listener.counts)
        result.wrong += len(listener.wrong)
        result.wrong_books += len(listener.wrong_books)
        for what in (listener.wrong + listener.wrong_books)[:5]:
            result.violate(f"{rig.name}: {what}")
        for trades in listener.trades.values():
            result.trades.update(trades.counts)
    stats = rig.subscriptions[0].stats()
    result.losses.update(stats.reconnects)
    result.dropped.update(stats.dropped)


def _gather_reads(rig: Rig, found: Findings, result: Result) -> None:
    result.reads += found.reads
    result.prices += found.prices
    result.books += found.books
    result.stale += len(found.stale)
    result.wrong += len(found.wrong)
    result.wrong_books += len(found.wrong_books)
    result.by_way.update(found.by_way)
    result.oldest = max(result.oldest, found.oldest)
    for what in (found.stale + found.wrong + found.wrong_books)[:5]:
        result.violate(f"{rig.name}: {what}")


@contextlib.contextmanager
def _watched(result: Result) -> Iterator[None]:
    """Have errors that no thread caught, or that were only logged, be violations."""
    hook = threading.excepthook
    # The exchange's side of a fault, as asyncio sees it, is no news.
    servers = logging.getLogger("asyncio")
    level = servers.level
    servers.setLevel(logging.CRITICAL)

    def uncaught(args: threading.ExceptHookArgs) -> None:
        result.violate(f"uncaught in {args.thread}: {args.exc_value!r}")

    threading.excepthook = uncaught
    # A log handler of the script is told of change-overs, too.
    library = logging.getLogger("okex_ws")
    said = library.level
    library.setLevel(logging.INFO)
    try:
        with bugs_told(lambda bug: OWN in bug or result.violate(bug)):
            yield
    finally:
        threading.excepthook = hook
        servers.setLevel(level)
        library.setLevel(said)
