"""Channels of which only the newest push counts: depths, tickers, funding rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..base.errors import SequenceGap, WireError
from ..base.state import NO_CAUSE, State
from ..protocol.common import read_each
from ..protocol.interface import WireProtocol
from ..protocol.messages import NO_DEPTH, ChannelName, DepthData, Push, Stamp
from ..protocol.unparsed import Unparsed
from ..trust.lease import NOTHING, Era
from ..trust.verdict import publish
from .base import Channel
from .reading import Reading

# A global name, because every push looks it up.
_LIVE = State.LIVE


class NewestChannel(Channel):
    """A channel of which only the newest push counts, because each push is complete.

    A push whose data no follower wants is not parsed at its receipt: `keep` publishes
    its bytes, and the first read parses them. What may be another channel's, or is out
    of order, is parsed at once, and so is the first push after a subscribe or a
    withdrawal. A push that is replaced before anything has read it is counted
    (``stats().unread``).
    """

    # What tells the order of a push by its bytes; and the last push.
    _stamp: Callable[[bytes], Stamp | None]
    _last: DepthData | Unparsed
    # Of a last push without a number: its text, or its bytes but for the time.
    _rest: str | bytes | None = None

    @property
    def keeps_unparsed(self) -> bool:
        """True if there are followers, and none of them wants the data of each push.

        A silent channel parses, because its text is told when it takes over; so does a
        whole book, because each of its pushes changes the one before.
        """
        for follower in self.followers:  # no `any`: each parsed push calls this
            if follower.wants_data:
                return False
        return bool(self.followers) and not (self.silent or self.incremental)

    def keep(self, said: bytes, era: Era, now: float, wall: float) -> bool:
        """Publish the push *said* unparsed; False if it has to be parsed at once.

        That is so after a withdrawal, if a reader could not parse the push before, if a
        follower wants the data, or if the bytes do not tell the order of the push:
        there is no time, the number or the time goes back, or the push is the least
        late of its minute.
        """
        # The hot path of a connection, so all in one function.
        current, last, followers = self.current, self._last, self.followers
        if current.state is not _LIVE or current.era is not era or not followers:
            return False
        if self.silent or self.incremental:
            return False
        if era.withdrawn is not NOTHING and current.is_withdrawn:
            return False
        for follower in followers:
            if follower.wants_data:
                return False
        data, copies = current.data, self.reading.copies
        unread = data if type(data) is Unparsed and not data.is_parsed else None
        if copies and unread is not None:
            unread = self._find_unread()
        if unread is not None and unread.result is not None:
            return False
        if (stamp := self._stamp(said)) is None:
            return False
        seq, time_ms, _ = stamp
        if time_ms < last.time_ms or (last.seq is not None and (seq or -1) < last.seq):
            return False
        lag = None
        if time_ms > last.time_ms and (seq is None or seq != last.seq):
            delay = wall - time_ms / 1000
            if delay < era.least_of_minute or now >= era.minute_ends:
                return False
            lag = delay - era.least
        if unread is not None:
            self.counts[self._unread] += 1
        return self._keep(said, stamp, lag, now, wall)

    def _keep(
        self, said: bytes, stamp: Stamp, lag: float | None, now: float, wall: float
    ) -> bool:
        current, last, (seq, time_ms, rest) = self.current, self._last, stamp
        if seq is None:
            moved = current.moved if rest == self._rest_before() else now
            self._rest = rest
        else:
            moved = now if last.seq is None or seq > last.seq else current.moved
        self._last = kept = Unparsed(self, said, seq, time_ms)
        self._serial = serial = self._serial + 1
        value = _LIVE, NO_CAUSE, current.epoch, current.era, kept, now, wall, lag
        overdue = now + self.repeats_within
        self.current = publish((*value, overdue, self, serial, moved))
        for copy in self.reading.copies:
            copy.flush(now)
        # A follower that began to want data meanwhile has found the value before, or
        # finds this one told.
        told = False
        for follower in self.followers:
            if follower.wants_data:
                return False
            told = told or follower.wants_pushes
        if told:
            try:
                text = str(said, "utf-8")
            except UnicodeDecodeError:
                return False
            self._pass_on(text, now)
        return True

    def _rest_before(self) -> bytes | None:
        """The last push without its time, to find whether the next one differs."""
        rest = self._rest
        if isinstance(rest, str):
            stamp = self._stamp(rest.encode())
            return None if stamp is None else stamp[2]
        return rest


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
        self._read = self._wire.depth
        self._stamp = wire.stamp
        # The last depth, and the last one that was parsed, whose sides are checked.
        self._last = NO_DEPTH
        self._checked = NO_DEPTH

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

    @property
    def standing(self) -> DepthData | None:
        """The present depth, if it is live and nothing has withdrawn it."""
        current = self.current
        stands = current.state is State.LIVE and not current.is_withdrawn
        return current.depth if stands else None

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


def _no_stamp(said: bytes) -> Stamp:
    """Nothing in the bytes of a value orders it: the receipt does."""
    return None, 0, b""


class ValueChannel(NewestChannel):
    """A channel of which only the newest value counts: a ticker or a funding rate.

    Each push is complete by itself, and replaces the value before it.
    """

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        super().__init__(wire, name, reading)
        readers: dict[str, Callable[[object], object]] = {
            "ticker": self._wire.ticker,
            "funding": self._wire.funding,
        }
        self._read = readers[name.kind]
        self._stamp, self._last, self._rest = _no_stamp, NO_DEPTH, b""

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish the last element of *push*, which is the newest.

        If only older ones cannot be read, the `WireError` of the first one is raised
        after that; it is then marked as *partial*.
        """
        if len(push.elements) == 1:
            data: Any = self._read(push.elements[0])
            self._publish(data, None, era, now, wall, push.text)
            return True
        *older, data = read_each(push.elements, self._read)
        errors = [each for each in older if isinstance(each, WireError)]
        if isinstance(data, WireError) or (errors and not push.exact):
            raise data if isinstance(data, WireError) else errors[0]
        self._publish(data, None, era, now, wall, push.text)
        if errors:
            errors[0].partial = True
            raise errors[0]
        return True

    def _parsed(self, push: Push, kept: Unparsed) -> object:
        (element,) = push.elements
        return self._read(element)
