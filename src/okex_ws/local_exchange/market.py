"""A synthetic market: seeded, and moved by its caller alone. No clock, no I/O.

The same seed and the same calls give the same market. Each instrument is a real order
book on a grid of ticks: orders are placed and cancelled, a trade takes what rests on
the other side, best price first, and the book never crosses.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from typing import Protocol

from . import checks
from .floor import Floor
from .instruments import INSTRUMENTS, AnyInstrument, as_instruments
from .v3 import OWN_FORM, Dialect, Push

# Countdowns are sums of floats: what is this near is due.
_EPSILON = 1e-9


class Market(Protocol):
    """What the local exchange runs: a synthetic market or a recorded one."""

    instruments: tuple[tuple[str, str], ...]
    busiest: tuple[str, str]

    @property
    def ended(self) -> bool:
        """Whether nothing will ever happen again."""
        ...

    @property
    def channels(self) -> Collection[str]:
        """Every channel that there is, by its name on the wire."""
        ...

    def present(self, channel: str) -> Push | None:
        """What a new subscriber of *channel* is sent at once, if anything."""
        ...

    def due(self) -> float:
        """Seconds of the market's own time until something can happen next."""
        ...

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> Iterable[Push]:
        """Move on by *seconds*; the pushes of that time on the *wanted* channels.

        *wall* is the time of day for timestamps, in epoch seconds.
        """
        ...


class SyntheticMarket:
    """Several instruments, *pace* updates a second each; best levels every *interval*.

    ``pace = 0`` is a quiet market: nothing changes and nothing is pushed. It may be set
    at any time.
    """

    ended = False

    def __init__(
        self,
        seed: int = 0,
        instruments: Iterable[AnyInstrument] = INSTRUMENTS,
        *,
        pace: float = 20.0,
        interval: float = 0.1,
        dialect: Dialect = OWN_FORM,
        wall: float = 0.0,
    ) -> None:
        checks.number("interval", interval, positive=True)
        self._interval = interval
        self.pace = pace
        self._to_cut = interval
        self._floors = [
            Floor(instrument, seed, dialect, wall)
            for instrument in as_instruments(instruments)
        ]
        self.instruments = tuple(
            (floor.market, floor.instrument_id) for floor in self._floors
        )
        self.busiest = self.instruments[0]
        self._present = {
            channel: (floor, topic)
            for floor in self._floors
            for topic, channel in floor.channels.items()
        }

    @property
    def pace(self) -> float:
        """Updates a second of each instrument."""
        return self._pace

    @pace.setter
    def pace(self, pace: float) -> None:
        checks.number("pace", pace)
        self._pace = pace
        self._to_step = 1.0 / pace if pace else float("inf")

    @property
    def channels(self) -> Collection[str]:
        """``depth5``, ``trade`` and ``ticker`` of each instrument."""
        return self._present.keys()

    def present(self, channel: str) -> Push | None:
        """The last best levels, trade or ticker, just as everyone has it."""
        floor, topic = self._present[channel]
        return floor.present(topic)

    def due(self) -> float:
        """Seconds until the next update or the next look at the best levels."""
        return min(self._to_step, self._to_cut)

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> list[Push]:
        """Move on by *seconds*; the pushes of that time on the *wanted* channels."""
        pushes: list[Push] = []
        while (wait := self.due()) <= seconds + _EPSILON:
            seconds -= wait
            self._pass(wait)
            if self._to_step <= _EPSILON:
                self._to_step = 1.0 / self._pace
                for floor in self._floors:
                    pushes += floor.step(wall)
            if self._to_cut <= _EPSILON:
                self._to_cut = self._interval
                for floor in self._floors:
                    pushes += floor.cut(wall, wanted)
        self._pass(max(0.0, seconds))
        return [each for each in pushes if each.channel in wanted]

    def _pass(self, seconds: float) -> None:
        self._to_step -= seconds
        self._to_cut -= seconds
