"""Judges `Feed.best_bid_asks`: the values of several instruments, at one instant.

There must have been an instant, inside the call or a lease before it, at which each
value was the exchange's present one.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence

from okex_ws import BestBidAsk, Feed
from tests.campaign.interruptions import StallingClock
from tests.campaign.judge import Findings, Judge
from tests.campaign.truth import Placed

VIA = "best_bid_asks"


class PairJudge:
    """Reads several instruments of a feed together, and judges each answer.

    *judges* are those of its subscriptions, one for each instrument. *spread* is asked
    for how many seconds two values may miss each other, which is little as long as they
    come over one connection: what it receives is in order.
    """

    def __init__(
        self,
        feed: Feed,
        judges: Sequence[Judge],
        rng: random.Random,
        lease: float,
        spread: Callable[[Sequence[str]], float],
        clock: StallingClock,
    ) -> None:
        self.found = Findings()
        self.around: Callable[[], contextlib.AbstractContextManager[None]]
        self.around = contextlib.nullcontext
        self._feed = feed
        self._judges = {each.subscription.instrument_id: each for each in judges}
        self._rng = rng
        self._lease = lease
        self._spread = spread
        self._clock = clock

    def beside(self) -> PairJudge:
        """A judge for another thread, which reports to the same findings."""
        judges = [each.beside("of several") for each in self._judges.values()]
        rng = random.Random(self._rng.random())
        other = PairJudge(
            self._feed, judges, rng, self._lease, self._spread, self._clock
        )
        other.found = self.found
        return other

    def read(self) -> None:
        """One read of some of the instruments, and its verdict."""
        names = self._rng.sample(
            sorted(self._judges), self._rng.randint(2, len(self._judges))
        )
        now = time.monotonic()
        for name in names:
            for truth in self._judges[name].truths.values():
                truth.keep_up(now)
        start = time.monotonic()
        before = [(self._judges[name].told, self._judges[name].dead) for name in names]
        with self.around():
            given = self._feed.best_bid_asks(names)
        after = [self._judges[name].dead for name in names]
        until = max(start, self._clock.last)
        self.found.reads += 1
        self.found.by_way[VIA] += 1
        if not given:
            return
        self.found.prices += 1
        if [*given] != names:
            self.found.wrong.append(f"{VIA} of {names} gave {[*given]}")
        found = [self._place(given[name], start) for name in names]
        placed = [each for each in found if each is not None]
        for name, place, (told, dead), still in zip(
            names, found, before, after, strict=True
        ):
            # What is given while a line is mended may be from after that.
            since = dead if dead == still else None
            if place is not None:
                self._judges[name].judge(
                    VIA, given[name], place, start, until, told, since
                )
        self._check_instant(given, placed, start, until)

    def _place(self, given: BestBidAsk, now: float) -> Placed | None:
        placed = self._judges[given.instrument_id].top(given, now)
        if placed is None:
            self.found.wrong.append(f"{VIA} gave what was never sent: {given!r}")
        return placed

    def _check_instant(
        self,
        given: dict[str, BestBidAsk],
        placed: Sequence[Placed],
        start: float,
        until: float,
    ) -> None:
        """Whether all stood at one instant: none was replaced before another came."""
        for each in placed:
            each.truth.refresh(time.monotonic())
        came = max(each.truth.sent_at(each.first) for each in placed)
        gone = min(each.truth.sent_at(each.last + 1) for each in placed)
        apart = came - gone
        spread = self._spread([each.channel for each in given.values()])
        if apart > spread:
            self.found.stale.append(
                f"{VIA}: of {[*given]} one was replaced {apart:.3f} s before another"
                f" came, in a read of {until - start:.3f} s"
            )
