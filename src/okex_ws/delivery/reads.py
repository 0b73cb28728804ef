"""The reads of one subscription: each computes its verdict at the call. No lock."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..base.checks import check_flag
from ..base.clock import Clock
from ..base.errors import NotLive, OkexWSError
from ..base.state import CLOSED, Cause, CauseCode, State
from ..base.threads import forks, heed_fork
from ..channels.convert import make_best, make_book, make_depth, make_dict
from ..channels.reading import Reading
from ..model.book import RPI, OrderBook
from ..model.items import BestBidAsk, Candle, Depth, Item, Trade
from ..model.reports import Health
from ..trust.reading import CHANGING, Taken, read, read_together
from ..trust.verdict import LIVE, NO_LIMITS, Limits, Verdict
from .depth_selection import LEVELS, Look, choose, worst

T = TypeVar("T")


class Reads:
    """What a script reads of one subscription, on any thread and at any time.

    A read takes no lock, never waits, and computes its verdict at the call. A read that
    finds no trusted value returns nothing or raises `NotLive`. A *look* is a verdict,
    together with the reading and the value that it judges.
    """

    def __init__(self, instrument_id: str, limits: Limits, clock: Clock) -> None:
        self.instrument_id = instrument_id
        self.limits = limits
        self._clock = clock
        # All readings by topic, and those of depths among them.
        self.readings: Mapping[str, Reading] = {}
        self._depths: tuple[Reading, ...] = ()
        # The reading of the book with RPI. It is among the depths only if it is alone:
        # its best levels are others than those of an ordinary depth.
        self._rpi: tuple[Reading, ...] = ()
        self.error: OkexWSError | None = None  # set once, as *closed* is
        self.closed = False
        # Why it is closed, if it is.
        self._closed_by = CLOSED

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Set the readings of this subscription, by topic. The pool calls this once."""
        self.readings = readings
        depths = tuple(each for each in readings.values() if each.is_depth)
        self._rpi = tuple(each for each in depths if each.topic == RPI)
        self._depths = tuple(each for each in depths if each.topic != RPI) or depths

    @property
    def ended(self) -> bool:
        """Whether the subscription failed or was closed, even if not delivered yet."""
        heed_fork()
        return self.closed or self.error is not None

    # --- Trust ----------------------------------------------------------------------

    def look(self, limits: Limits, levels: int | None = None) -> Look:
        """The verdict at this moment on the depth that a read of *levels* levels uses.

        Without a depth channel it is the verdict on the channel with the worst state.
        """
        levels = levels or limits.levels or LEVELS
        return self._read(self._depths, limits, levels, None)[0]

    def _read(
        self,
        depths: Sequence[Reading],
        limits: Limits,
        levels: int,
        build: Callable[[Reading, Taken], T] | None,
    ) -> tuple[Look, T | None]:
        """Read *depths*, and have *build* make the result of the one that is used.

        *build* gets a value that seemed trusted. Its result is given only if the
        verdict, which is taken after it, is `LIVE`.
        """
        carriers = depths or self._others()
        if len(carriers) > 1:
            return self._read_several(carriers, limits, levels, build)
        (reading,) = carriers
        if self.closed or self.error is not None:
            return Look(self._final, reading, reading.value), None
        verdict, taken, result = read(reading, limits, self._clock, build)
        if forks.number != forks.heeded:
            heed_fork()
        if self.closed or self.error is not None:
            verdict, result = self._final, None
        return Look(verdict, reading, taken.value), result

    def _build(
        self,
        depths: Sequence[Reading],
        limits: Limits,
        levels: int,
        build: Callable[[Reading, Taken], T],
    ) -> T | None:
        """What *build* makes of the depth that is used; ``None`` if none is trusted."""
        if len(depths) > 1:
            return self._read_several(depths, limits, levels, build)[1]
        result = read(depths[0], limits, self._clock, build)[2]
        if forks.number != forks.heeded:
            heed_fork()
        return None if self.closed or self.error is not None else result

    @property
    def _final(self) -> Verdict:
        """The verdict on a subscription that has ended."""
        if self.error is not None:
            return Verdict(State.FAILED, self.error.cause)
        return Verdict(State.CLOSED, self._closed_by)

    def _read_several(
        self,
        readings: Sequence[Reading],
        limits: Limits,
        levels: int,
        build: Callable[[Reading, Taken], T] | None,
    ) -> tuple[Look, T | None]:
        choice: list[Reading] = []

        def make(taken: Sequence[Taken]) -> T | None:
            now, wall = self._clock.monotonic(), self._clock.wall()
            look = self.choose(readings, taken, levels, now, wall)
            choice[:] = [look.reading]
            if build is None or look.verdict is not LIVE:
                return None
            each = taken[readings.index(look.reading)]
            epoch = look.current.epoch - each.epoch
            # The epoch of the subscription, which every read gives.
            entry = each.entry._replace(base=each.entry.base + epoch)
            return build(look.reading, each._replace(entry=entry))

        found = read_together(readings, self._clock, make)
        heed_fork()
        if found is None:
            return Look(CHANGING, readings[0], readings[0].current), None
        result, taken, now, wall = found
        chosen = self.choose(readings, taken, levels, now, wall)
        if self.closed or self.error is not None:
            return chosen._replace(verdict=self._final), None
        if chosen.verdict is LIVE and chosen.reading is not choice[0]:
            # The lease of the first choice ended as the result was built.
            return self._read_several(readings, limits, levels, build)
        if chosen.verdict is LIVE and limits is not NO_LIMITS:
            each = taken[readings.index(chosen.reading)]
            chosen = chosen._replace(verdict=each.judge(limits, now, wall))
        return chosen, result if chosen.verdict is LIVE else None

    @staticmethod
    def choose(
        readings: Sequence[Reading],
        taken: Sequence[Taken],
        levels: int,
        now: float,
        wall: float,
    ) -> Look:
        """The look at one of *readings*, by their values and the two clocks.

        It is at the depth that a read of *levels* levels uses; without a depth it is at
        the reading in the worst state.
        """
        looks = [
            Look(each.judge(NO_LIMITS, now, wall), reading, each.value)
            for reading, each in zip(readings, taken, strict=True)
        ]
        return choose(looks, levels) if readings[0].is_depth else worst(looks)

    def _others(self) -> list[Reading]:
        readings = self.readings.values()
        return [each for each in readings if each.error is None] or list(readings)

    # --- Reads ----------------------------------------------------------------------

    def depths(self, rpi: bool = False) -> tuple[Reading, ...]:
        """The readings of the depths; with *rpi* that of the book with RPI.

        ``ValueError`` if there is none with RPI, ``TypeError`` if *rpi* is no flag.
        """
        if rpi is False:
            return self._depths
        check_flag("rpi", rpi)
        if not self._rpi:
            name = self.instrument_id
            raise ValueError(f"rpi=True: no channel {RPI!r} is subscribed of {name!r}")
        return self._rpi

    def depth_dict(self, limits: Limits, rpi: bool = False) -> dict[str, Any]:
        """``GetDepth()``: the newest trusted depth as a dict, or ``{}``."""
        depths = self._depths if rpi is False else self.depths(rpi)
        if not depths:
            return {}
        limits = self.limits if limits is NO_LIMITS else limits.over(self.limits)
        levels, name = limits.levels or LEVELS, self.instrument_id

        def build(reading: Reading, taken: Taken) -> dict[str, Any]:
            return make_dict(name, taken.current, levels)

        return self._build(depths, limits, levels, build) or {}

    def depth(self, limits: Limits, rpi: bool = False) -> Depth:
        """The newest trusted depth; raises `NotLive` if there is none."""
        depths = self.depths(rpi)
        limits = limits.over(self.limits)
        levels, name = limits.levels or LEVELS, self.instrument_id

        def build(reading: Reading, taken: Taken) -> Depth:
            return make_depth(name, reading.topic, taken.value, levels)

        (verdict, *_), made = self._read(
            depths, limits, levels, build if depths else None
        )
        if not depths:
            cause = Cause(CauseCode.NO_SUBSCRIPTION, "no depth channel is subscribed")
            raise self._not_live(verdict._replace(cause=cause))
        if made is None:
            raise self._not_live(verdict)
        return made

    def _not_live(self, verdict: Verdict) -> NotLive:
        return NotLive(verdict.state, self._mine(verdict.cause))

    def _mine(self, cause: Cause) -> Cause:
        """*cause*, which names the instrument even if it is one of many channels."""
        if not cause or cause.instrument_id:
            return cause
        return replace(cause, instrument_id=self.instrument_id)

    def best_bid_ask(self, limits: Limits, rpi: bool = False) -> BestBidAsk | None:
        """Best bid and ask of the newest trusted depth, or ``None``."""
        depths = self._depths if rpi is False else self.depths(rpi)
        if not depths:
            return None
        limits = self.limits if limits is NO_LIMITS else limits.over(self.limits)
        # Every depth has the best level, so one level is asked for.
        best = self._best if rpi is False else self._best_with_rpi
        return self._build(depths, limits, limits.levels or 1, best)

    def _best(self, reading: Reading, taken: Taken) -> BestBidAsk:
        name, topic = self.instrument_id, reading.topic
        return make_best(name, topic, taken.current, taken.epoch)

    def _best_with_rpi(self, reading: Reading, taken: Taken) -> BestBidAsk:
        name = self.instrument_id
        return make_best(name, reading.topic, taken.current, taken.epoch, rpi=True)

    def best(self, look: Look, rpi: bool = False) -> BestBidAsk:
        """Best bid and ask of the depth of *look*."""
        current, topic = look.current, look.reading.topic
        return make_best(self.instrument_id, topic, current, current.epoch, rpi)

    @property
    def book(self) -> OrderBook | None:
        """The current version of the whole book, or ``None`` if it is not trusted."""
        books = [each for each in self._depths if each.kind == "book"] or self._rpi
        if not books:
            return None
        most = max(each.levels for each in books)

        def build(reading: Reading, taken: Taken) -> OrderBook:
            return make_book(taken.current, reading.topic)

        return self._build(books, self.limits, most, build)

    @property
    def has_depth(self) -> bool:
        """Whether the subscription has a depth channel."""
        return bool(self._depths)

    @property
    def has_rpi(self) -> bool:
        """Whether the subscription has the channel of the book with RPI."""
        return bool(self._rpi)

    @property
    def has_rpi_alone(self) -> bool:
        """Whether that is the only depth channel."""
        return bool(self._rpi) and self._depths == self._rpi

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades of the first trade channel, newest last."""
        return self._items("trade")

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles of the first candle channel, newest last."""
        return self._items("candle")

    def _items(self, kind: str) -> tuple[Any, ...]:
        found = (each.items for each in self.readings.values() if each.kind == kind)
        return next(found, ())

    def latest(self, topic: str) -> Item | None:
        """The newest item of the channel *topic*, or ``None`` if it is not trusted.

        ``ValueError`` if the channel is not subscribed.
        """
        reading = self.readings.get(topic)
        if reading is None:
            known = ", ".join(map(repr, self.readings))
            raise ValueError(f"channel {topic!r} is not subscribed, only {known}")

        def build(reading: Reading, taken: Taken) -> Item | None:
            return reading.item(taken.value, self.limits.levels)

        if self.ended:
            return None
        return read(reading, self.limits, self._clock, build)[2]

    @property
    def state(self) -> State:
        """The state at this moment."""
        return self.look(self.limits).verdict.state

    def health(self) -> Health:
        """State, cause, ages and lag, all taken from one look."""
        (verdict, _, current), now = self.look(self.limits), self._clock.monotonic()
        failed = {t: r.error for t, r in self.readings.items() if r.error is not None}
        return Health(
            verdict.state,
            self._mine(verdict.cause),
            now - current.received,
            now - current.era.heard if current.era is not None else math.inf,
            current.lag,
            current.epoch,
            failed,
        )
