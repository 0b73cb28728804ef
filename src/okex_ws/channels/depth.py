"""Channels of which only the newest push counts: depths, tickers, funding rates."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from ..base.errors import SequenceGap, WireError
from ..base.state import NO_CAUSE, State
from ..protocol.interface import WireProtocol
from ..protocol.messages import NO_DEPTH, ChannelName, DepthData, Push
from ..protocol.unparsed import Unparsed
from ..trust.lease import NOTHING, Era
from ..trust.verdict import publish
from .base import Channel
from .reading import Reading

# A global name, because every push looks it up.
_LIVE = State.LIVE


class NewestChannel(Channel):
    """A channel of which only the newest push counts, because each push is complete.

    A push that no follower wants is not parsed at its receipt: `keep` publishes its
    bytes, and the first read parses them. What may be another channel's, or is out of
    order, is parsed at once, and so is the first push after a subscribe or a
    withdrawal. A push that is replaced before anything has read it is counted
    (``stats().unread``).
    """

    @property
    def keeps_unparsed(self) -> bool:
        """True if there are followers, and none of them wants each push.

        A silent channel parses, because its text is told when it takes over; so does a
        whole book, because each of its pushes changes the one before.
        """
        if self.silent or self.incremental or not self.followers:
            return False
        for follower in self.followers:  # noqa: SIM110 - each push calls it
            if follower.wants_pushes:
                return False
        return True

    def keep(self, said: bytes, era: Era, now: float, wall: float) -> bool:
        """Publish the push *said* unparsed; False if it has to be parsed at once.

        That is so after a withdrawal, if a reader could not parse the push before, if a
        follower wants each push, or if the bytes do not tell the order of the push.
        """
        current = self.current
        if current.state is not _LIVE or current.era is not era:
            return False
        if era.withdrawn is not NOTHING and current.is_withdrawn:
            return False
        followers = self.followers
        if not followers or self.silent or self.incremental:
            return False
        for follower in followers:
            if follower.wants_pushes:
                return False
        data, copies = current.data, self.reading.copies
        unread = data if isinstance(data, Unparsed) and not data.is_parsed else None
        if copies and unread is not None:
            unread = self._find_unread()
        if unread is not None and unread.result is not None:
            return False
        if (known := self._order(said, era, now, wall)) is None:
            return False
        if unread is not None:
            self.counts[self._unread] += 1
        kept, lag, moved = known
        self._serial += 1
        overdue = now + self.repeats_within
        value = (_LIVE, NO_CAUSE, current.epoch, era, kept, now, wall, lag, overdue)
        self.current = publish((*value, self, self._serial, moved))
        for copy in copies:
            copy.flush(now)
        # A follower that began to want pushes meanwhile has found the value before, or
        # finds this one told.
        for follower in followers:  # noqa: SIM110 - `all` makes a generator
            if follower.wants_pushes:
                return False
        return True

    @abstractmethod
    def _order(
        self, said: bytes, era: Era, now: float, wall: float
    ) -> tuple[Unparsed, float | None, float] | None:
        """*said*, unparsed, its lag, and when the channel moved.

        ``None`` if its bytes do not tell.
        """


class DepthChannel(NewestChannel):
    """A channel of a book's best levels, such as ``depth5``: each push has all of them.

    So a push replaces the value before it, and only the newest one counts. A push that
    cannot be read raises `WireError` and changes nothing; the connection then withdraws
    the value, which is not the newest any more. The order of the pushes is that of
    their sequence numbers where they have some, else that of their receipt: a number
    that goes back raises `SequenceGap`, and the channel is subscribed again. The
    exchange's timestamps order nothing.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        self.levels = name.levels
        self._read = wire.depth
        self._stamp = wire.stamp
        # The last depth, and the last one that was parsed, whose sides are checked.
        self._last: DepthData | Unparsed = NO_DEPTH
        self._checked = NO_DEPTH
        # Of a last push without a number: its text, or its bytes but for the time.
        self._rest: str | bytes | None = None

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data, newest = self._checked, None if first else self._last.seq
        for element in push.elements:
            data = self._read(element, data)
            if data.seq is not None and newest is not None and data.seq < newest:
                self._last = NO_DEPTH
                raise SequenceGap(newest, data.seq)
            newest = data.seq
        self._checked = data
        self._show(data, first, era, now, wall, push.text)
        if data.seq is None:
            self._rest = push.text
        return True

    def _show(
        self,
        data: DepthData,
        first: bool,
        era: Era,
        now: float,
        wall: float,
        text: str,
    ) -> None:
        before = self._last
        # The first push after a subscribe carries the time of the book's last change,
        # and a repeated push its old time. Neither tells how late the push is.
        repeats = data.seq is not None and data.seq == before.seq
        newer = data.time_ms > before.time_ms and not (first or repeats)
        lag = era.lag(wall - data.time_ms / 1000, now) if newer else None
        moved = -math.inf if first else self.current.moved
        if data.seq is None or before.seq is None:
            # Without numbers the order is that of the receipt.
            moved = now if first or _differ(data, before) else moved
        elif data.seq > before.seq and not first:
            moved = now
        self._last = data
        self._publish(data, lag, era, now, wall, text, moved)

    def _order(
        self, said: bytes, era: Era, now: float, wall: float
    ) -> tuple[Unparsed, float | None, float] | None:
        """The number and the time in the bytes of *said*.

        ``None`` if there is no time, if the number goes back or is missing, if the time
        goes back, or if the push is the least late of its minute.
        """
        if (stamp := self._stamp(said)) is None:
            return None
        (seq, time_ms, rest), before = stamp, self._last
        if before.seq is not None and (seq is None or seq < before.seq):
            return None
        lag, moved = None, self.current.moved
        if time_ms > before.time_ms and (seq is None or seq != before.seq):
            lag = era.known_lag(wall - time_ms / 1000, now)
            if lag is None:
                return None
        elif time_ms < before.time_ms:
            return None
        if seq is None:
            moved = moved if rest == self._rest_before() else now
            self._rest = rest
        elif before.seq is None or seq > before.seq:
            moved = now
        self._last = kept = Unparsed(self, said, seq, time_ms)
        return kept, lag, moved

    def _rest_before(self) -> bytes | None:
        """The last push without its time, to find whether the next one differs."""
        rest = self._rest
        if isinstance(rest, str):
            stamp = self._stamp(rest.encode())
            return None if stamp is None else stamp[2]
        return rest

    def _parsed(self, push: Push, kept: Unparsed) -> DepthData:
        (element,) = push.elements
        data = self._read(element, self._checked)
        if (data.seq, data.time_ms) != (kept.seq, kept.time_ms):
            raise WireError("depth", "its number or time is another one than expected")
        self._checked = data
        return data


def _differ(data: DepthData, before: DepthData | Unparsed) -> bool:
    """Whether the levels differ; `WireError` if *before* cannot be read."""
    last: DepthData = before.data if isinstance(before, Unparsed) else before
    return data.bids != last.bids or data.asks != last.asks


class ValueChannel(NewestChannel):
    """A channel of which only the newest value counts: a ticker or a funding rate.

    Each push is complete by itself, and replaces the value before it.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        readers: dict[str, Callable[[object], object]] = {
            "ticker": wire.ticker,
            "funding": wire.funding,
        }
        self._read = readers[name.kind]

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish the last element of *push*, which is the newest."""
        data: Any = None
        for element in push.elements:
            data = self._read(element)
        self._publish(data, None, era, now, wall, push.text)
        return True

    def _order(
        self, said: bytes, era: Era, now: float, wall: float
    ) -> tuple[Unparsed, float | None, float] | None:
        return Unparsed(self, said, None, 0), None, -math.inf

    def _parsed(self, push: Push, kept: Unparsed) -> object:
        (element,) = push.elements
        return self._read(element)
