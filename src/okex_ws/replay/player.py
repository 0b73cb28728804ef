"""`Replay`: a recording as a venue, played to this library's own classes."""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ..base.checks import all_name_keywords, check_number, names_keywords
from ..base.clock import utc
from ..base.rates import RateLimits
from ..base.retry import Reconnect, Timeouts
from ..base.threads import Latch, on_library_thread
from ..base.worker import AsyncClosing, LibraryThread, join_all
from ..client.base import find_pool
from ..client.feed import Feed
from ..client.subscription import WSSubscription
from ..client.ticks import Grid, check_step, read_tick
from ..model.credentials import Credentials
from ..model.items import Tick
from ..model.venues import Venue, retired
from ..pool.options import ConnectionOptions
from .feed import ReplayFeed
from .matching import ConnectionMatcher
from .network import ReplayNetwork, ReplayTime, ScaledTime, VirtualTime
from .requests import Recorded
from .script import Moment, Script
from .stretch import Stretch
from .virtual_time import RecordedClock, ScaledClock, VirtualClock, VirtualScheduler

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..delivery.callbacks import OnError, OnState

# Reconnect at once: the recording says when the next connection opens.
_AT_ONCE = Reconnect(first=1e-6, cap=1e-6, host_gap=0.0)
# At this speed 0.1 s on a busy machine is as long as a connection may be silent.
MOST_SPEED = 100.0
# A channel that needed a login needs one again, and a recording holds no key.
_NOBODY = Credentials("nobody", "no secret", "no passphrase")


@all_name_keywords()
class Replay(AsyncClosing):
    """A recording, or a capture, as a venue that sends again what it sent then.

    The same classes read it, and give the same callbacks, books, proofs and states; no
    network connection is made:

        with Replay("day.rec.gz", speed="max") as replay:
            (okx,) = replay.feed().subscribe(["BTC-USDT"])
            for at in replay:
                print(at, okx.state, okx.GetDepth())

    Data of subscribed channels come at their recorded time, byte for byte. A connection
    that ended ends again, in the same manner, and the next one opens when it did; a
    pong that did not come does not come. If a channel is subscribed later than it was
    then, it begins with what still matters: a whole book with its last snapshot and the
    changes since, a depth or ticker with its newest push. Prices are live from the next
    recorded pong. A channel that was never recorded is refused.

    With ``speed="max"`` time is virtual: it passes only inside ``for at in replay``
    (or `run`, which is that without a body), and inside calls that wait. There, one
    thread at a time runs, in a fixed order: the same program makes the same output of
    the same recording, to the byte. Each round is one recorded moment that has been
    handled wholly; *at* is that moment on the recorded wall clock. A call that waits
    (`Feed.wait_live`, ``updates()``) lets time pass until it has what it waits for, so
    that a program need not know that it is a replay. With any other *speed* the clock
    is the machine's, that many times as fast, from the first subscription on, and ``for
    at in replay`` waits for each moment.

    A coroutine closes the replay by ``async with`` or `aclose`, while its event loop
    goes on, and reads it as it would read the exchange: ``async for item in
    feed.updates()`` lets the time of the recording pass. ``for at in replay`` would
    block the loop until the next moment, at any *speed* but ``"max"``.

    At the end of the recording the replay closes its feeds. What it plays is held in
    memory meanwhile: of a long one replay a part (``day.3.rec.gz``), or a stretch
    between *start* and *end*.

    Args:
        path: the first file of a recording, or a capture.
        speed: how many times as fast: 100 at the most, which threads can keep up with,
            or ``'max'`` (or ``math.inf``) for as fast as it goes.
        start: where to begin: an aware ``datetime``, or seconds from the beginning. Of
            a recording in several files, those before the last one with keyframes
            before *start* are not read.
        end: where to end, likewise; what comes after it is not read.
        venue: the name of the venue, if several were recorded.

    Raises:
        OSError: the recording cannot be read.
        RecordingDamaged: nothing of the recording can be read. If it is damaged further
            on, all before that is played, and the loop, or `run`, ends with this error.
        ValueError, TypeError: *speed*, *start*, *end* or *venue* cannot be right.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        speed: float | Literal["max"] = 1.0,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
        venue: str | None = None,
    ) -> None:
        speed = _checked(speed)
        self._path = os.fspath(path)
        self._stretch = stretch = Stretch(self._path, start, end)
        self._script = script = Script(stretch.entries(), self._path, venue)
        moments, now = script.moments, stretch.begin(script)
        self._next = next(
            (n for n, each in enumerate(moments) if each.mono >= now), len(moments)
        )
        self._matcher = ConnectionMatcher(script)
        self._turns = RateLimits()
        self._feeds: list[Feed] = []
        self._closed = Latch()
        # Held by the one thread that lets time pass.
        self._directing = threading.RLock()
        self._scheduler: VirtualScheduler | None = None
        self._replay_time: ReplayTime
        self._clock: RecordedClock
        if speed == math.inf:
            self._clock = clock = VirtualClock(moments, now)
            clock.pass_time = self._wait
            self._scheduler = VirtualScheduler(clock)
            self._replay_time = VirtualTime(self._scheduler)
        else:
            self._clock = scaled = ScaledClock(moments, now, speed)
            self._replay_time = ScaledTime(scaled)

    # --- The recording --------------------------------------------------------------

    @property
    def venue(self) -> Venue:
        """The venue that was recorded; the replay never connects to its address."""
        return self._script.venue

    @property
    def instruments(self) -> tuple[Recorded, ...]:
        """What was recorded: (market, instrument_id, channels) of each instrument.

        The channels are the library's own names (``'depth5'``, ``'trade'``, ...), which
        a subscription takes. Channels of ``raw_channels=`` are not among them.
        """
        return self._script.instruments

    @property
    def begins(self) -> datetime:
        """When the recording begins, also if *start* is later."""
        return utc(self._stretch.origin(self._script).wall)

    @property
    def ends(self) -> datetime:
        """When the recording, or the stretch to *end*, ends."""
        return utc(self._script.ends.wall)

    @names_keywords(ConnectionOptions)
    def feed(
        self,
        *,
        on_state: OnState | None = None,
        on_error: OnError | None = None,
        **keywords: Unpack[ConnectionOptions],
    ) -> ReplayFeed:
        """A `Feed` to the recorded venue; *keywords* are those of `Feed`.

        Its ``subscribe`` takes the recorded channels, unless it is given others.

        Pongs come when they were recorded, so ``lease`` is not to be shorter than the
        recorded program's.
        It needs no API key: every login is accepted, with any key. The clock, the
        network and the random numbers are the replay's own; giving them is a
        ``ValueError``, and so is ``callbacks='thread'`` in virtual time.
        """
        own = {"clock", "network", "rng"} & keywords.keys()
        if own:
            raise ValueError(f"a replay has its own {', '.join(sorted(own))}")
        if self._scheduler is not None and keywords.get("callbacks") == "thread":
            raise ValueError(
                "callbacks='thread' has a time of its own, and speed='max' none:"
                " leave one of them out"
            )
        if self._closed.is_set:
            raise ValueError("the replay is over")
        keywords.setdefault("reconnect", _AT_ONCE)
        keywords.setdefault("timeouts", Timeouts(connect=math.inf))
        if retired(self.venue) is None:
            keywords.setdefault("credentials", _NOBODY)
        # Nothing leaves this process.
        keywords["allow_plaintext"] = True
        keywords["clock"], keywords["rng"] = self._clock, random.Random(0)
        keywords["network"] = self._network
        feed = ReplayFeed(
            self.venue,
            self.instruments,
            on_state=on_state,
            on_error=on_error,
            **keywords,
        )
        self._feeds.append(feed)
        return feed

    def _network(self) -> ReplayNetwork:
        return ReplayNetwork(self._replay_time, self._matcher, self._turns)

    # --- Playing --------------------------------------------------------------------

    def __iter__(self) -> Iterator[datetime]:
        """The wall clock at each recorded moment, once all of that moment was handled.

        After a loop was left, another loop goes on from there.
        """
        advance = self._await if self._scheduler is None else self._advance
        while not self._is_over:
            moment = advance()
            if moment is not None:
                yield utc(moment.wall)
        self._finish()

    def every(
        self, seconds: float, *, levels: int | None = None
    ) -> Iterator[tuple[Tick, ...]]:
        """What a script would have read at each tick, to the end of the recording.

        One `Tick` for each `WSSubscription` of the replay's feeds, in the order in
        which they were made:

            for (tick,) in replay.every(0.1):
                print(tick.at, tick.state, tick.cause, tick.depth)

        Ticks are whole multiples of *seconds* in UTC, by the time of receipt; all that
        had come by then was handled. A tick at which no depth could be trusted has
        ``None`` for it, with state and cause; no earlier depth is carried over.
        *levels* is as in ``WSSubscription.depth``.

        Raises:
            ValueError: *seconds* is not above 0, or *speed* is not ``'max'``: in real
                time use ``WSSubscription.every``.
            RecordingDamaged: as the last thing, where the recording is damaged.
        """
        step = check_step(seconds)
        if self._scheduler is None:
            raise ValueError("replay.every() needs speed='max', else use okx.every()")
        return self._every(Grid(self._clock, step), levels)

    def _every(self, grid: Grid, levels: int | None) -> Iterator[tuple[Tick, ...]]:
        while not self._closed.is_set:
            while (left := grid.left) > 0 and not self._is_over:
                self._advance(left)
            if left > 0:
                break  # it ends before this tick
            at = grid.at()
            made = [each for feed in self._feeds for each in feed.subscriptions]
            yield tuple(
                read_tick(each, at, levels)
                for each in made
                if isinstance(each, WSSubscription)
            )
            grid.go_on()
        self._finish()

    def _finish(self) -> None:
        """Close the feeds, and raise what the recording's damage is, once played."""
        complete = self._next == len(self._script.moments)
        self.close()
        if self._script.damage is not None and complete:
            raise self._script.damage

    @property
    def _is_over(self) -> bool:
        return self._closed.is_set or self._next == len(self._script.moments)

    def _await(self) -> Moment | None:
        """Wait for the next moment, by the machine's clock."""
        clock, moment = self._clock, self._script.moments[self._next]
        assert isinstance(clock, ScaledClock)
        clock.start()
        left = (moment.mono - clock.monotonic()) / clock.speed
        if self._closed.wait(max(0.0, left)):
            return None
        self._next += 1
        return moment

    def _advance(self, seconds: float = math.inf) -> Moment | None:
        """Let virtual time pass until the next event, for at most *seconds*.

        Returns the next recorded moment if it has come, else ``None``.
        """
        scheduler = self._scheduler
        assert scheduler is not None
        with self._directing:
            scheduler.settle()
            due = min(scheduler.due(), scheduler.clock.now + seconds)
            moments = self._script.moments
            moment = moments[self._next] if self._next < len(moments) else None
            if moment is None or due < moment.mono:
                scheduler.move(due if due < math.inf else scheduler.clock.now)
                return None
            scheduler.move(moment.mono)
            self._next += 1
            return moment

    def _wait(self, seconds: float) -> None:
        """Let time pass while the program waits for something; the clock calls this."""
        if self._is_over:
            self.close()
        else:
            self._advance(seconds)

    def run(self) -> None:
        """Play the recording to its end, as ``for at in replay`` does."""
        for _ in self:
            pass

    # --- Closing --------------------------------------------------------------------

    def close(self, timeout: float | None = 5.0) -> bool:
        """Close every feed of the replay; any number of times.

        Returns True when their threads have ended, as `Feed.close` does.
        """
        self._closed.set()
        virtual = self._in_virtual_time()
        ended = [feed.close(timeout if virtual else 0.0) for feed in self._feeds]
        if self._scheduler is not None:
            self._scheduler.end()
        if virtual or on_library_thread():
            return all(ended)
        return join_all(self._ending(), timeout)

    def _ending(self) -> list[LibraryThread]:
        return [each for feed in self._feeds for each in find_pool(feed).threads]

    def _in_virtual_time(self) -> bool:
        return self._scheduler is not None

    def __repr__(self) -> str:
        at = utc(self._clock.wall()).isoformat(timespec="seconds")
        return f"<Replay {self._path} at {at}>"


def _checked(speed: object) -> float:
    if speed == "max":
        return math.inf
    if isinstance(speed, str):
        raise ValueError(f"speed is a number or 'max', got {speed!r:.80}")
    check_number("speed", speed)
    assert isinstance(speed, (int, float))
    if not (0 < speed <= MOST_SPEED or speed == math.inf):
        raise ValueError(
            f"speed is more than 0, and {MOST_SPEED:g} at the most, or 'max', which is"
            f" as fast as it goes and loses nothing; got {speed!r}"
        )
    return speed
