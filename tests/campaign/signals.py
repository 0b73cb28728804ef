"""The main thread of a campaign: it reads, and signal handlers interrupt its reads.

A handler runs between two lines of whatever the main thread does. It may read, close
what is being read, block, or raise.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from okex_ws import WSSubscription
from tests.campaign.interruptions import LINES, at_line
from tests.campaign.judge import Judge
from tests.campaign.pair_judge import PairJudge
from tests.campaign.rig import LEASE, Rig
from tests.campaign.script import OWN, look_around
from tests.campaign.setups import PASSENGER, SubscriptionSetup

# What a handler does: most often what takes no time.
_DOES = ("read",) * 8 + ("look",) * 4 + ("raise",) * 4 + ("close",) * 2 + ("block",)
_REST = 0.002


class Interrupted(Exception):
    """A signal handler raised."""


class Exited(SystemExit):
    """A signal handler would end the program."""


class Broken(KeyboardInterrupt):
    """A signal handler is the one of Ctrl-C."""


class SignalledReader:
    """Reads on the main thread until *is_over*; each read is met by a signal.

    Elsewhere than on the main thread of a process there are no signals, and no reads.
    """

    def __init__(self, rigs: Sequence[Rig], seed: int) -> None:
        self.did: Counter[str] = Counter()
        self._rigs = rigs
        self._rng = random.Random(f"{seed}:signals")
        self._inside: list[Judge] = []
        self._passenger: WSSubscription | None = None
        self._what = ""

    def run(self, is_over: Callable[[], bool]) -> None:
        """Read until *is_over*."""
        if threading.current_thread() is not threading.main_thread():
            return
        judges: list[Judge | PairJudge] = []
        for rig in self._rigs:
            judges += [judge.beside("signalled") for judge in rig.judges]
            judges += [] if rig.pairs is None else [rig.pairs.beside()]
            self._inside += [judge.beside("in a signal") for judge in rig.judges]
        for judge in judges:
            judge.around = self._signalled
        before = signal.signal(signal.SIGUSR1, self._handle)
        try:
            while not is_over():
                self._read_one(self._rng.choice(judges))
                if self._rng.random() < 0.02:
                    self._carry_a_passenger()
                time.sleep(_REST)
        finally:
            signal.signal(signal.SIGUSR1, before)

    def _read_one(self, judge: Judge | PairJudge) -> None:
        with contextlib.suppress(Interrupted, Exited, Broken):
            judge.read()

    def _carry_a_passenger(self) -> None:
        """Read a subscription that a handler closes while it is read."""
        rig = self._rng.choice([rig for rig in self._rigs if rig.feed is not None])
        judge = rig.visit(SubscriptionSetup(PASSENGER, ("depth5",)))
        self._passenger = judge.subscription
        judge.around = self._signalled
        try:
            for _ in range(20):
                self._read_one(judge)
                time.sleep(_REST)
        finally:
            self._passenger.close()
            self._passenger = None

    @contextlib.contextmanager
    def _signalled(self) -> Iterator[None]:
        """Inside, a signal comes at one of the lines that are executed."""
        self._what = self._rng.choice(_DOES)
        number = self._rng.randrange(1, LINES)
        with at_line(number, lambda: signal.raise_signal(signal.SIGUSR1)):
            yield

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        self.did[self._what] += 1
        judge = self._rng.choice(self._inside)
        if self._what == "read":
            judge.read()
        elif self._what == "look":
            look_around(judge.subscription, judge)
        elif self._what == "close" and self._passenger is not None:
            self._passenger.close()
        elif self._what == "block" and self._rng.random() < 0.2:
            time.sleep(LEASE + self._rng.uniform(0.3, 0.6))
        elif self._what == "raise":
            raise self._rng.choice((Interrupted, Exited, Broken))(OWN)
