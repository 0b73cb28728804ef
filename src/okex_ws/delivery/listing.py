"""What the exchange's list of instruments says, and what follows from it.

A feed that follows an instrument of v5 subscribes the channel ``instruments`` of its
type, once: rows of a depth do not say that their instrument is suspended or renamed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from ..base.clock import Clock, utc
from ..base.errors import InstrumentExpired, OkexWSError, WireError
from ..base.log import log
from ..base.state import Cause
from ..base.threads import Waiters, in_event_loop, on_library_thread
from ..model.instrument import (
    ChangeKind,
    Instrument,
    InstrumentChange,
    InstrumentRenamed,
)
from ..model.items import Data, Gap, Item
from ..model.numbers import Clean
from ..protocol.catalogue import argument_of
from ..protocol.common import UNREADABLE, read_each
from ..protocol.listing import (
    EXPIRED,
    FIELDS,
    HALTS,
    INST_TYPES,
    LIVE,
    Listed,
    code_of,
    instrument,
    listed,
)
from ..protocol.messages import ChannelName
from ..trust.verdict import NO_LIMITS
from .callbacks import Callbacks
from .updates import UpdateQueue
from .view import View

# Seconds in which the exchange has to describe an instrument: after the first use;
# after a reconnect, one that it had halted before; by its new id, one that has expired.
PATIENCE = 5.0
# The channel of an `InstrumentChange`, for counts and for a `Gap` after too many.
TOPIC = "instruments"
_MARKETS = {kind: market for market, kind in INST_TYPES.items()}


class Followers(Protocol):
    """The views whose instruments a listing is about: what it asks of the pool."""

    def followers(self, listing: Listing) -> Mapping[str, Sequence[View]]:
        """The views that have not ended, by the id of their instrument."""
        ...

    def halt(self, views: Sequence[View], cause: Cause | None, by: View | None) -> None:
        """Withdraw what *views* read, and give no value until *cause* is ``None``.

        *by* is the listing whose connection's thread calls, if one does.
        """
        ...

    def end(self, views: Sequence[View], error: OkexWSError, by: View | None) -> None:
        """Have *views* fail with *error*; what they read is withdrawn before."""
        ...


class Listing(View):
    """Follows the channel *name*, the list of one type of instruments, for the library.

    It is a view of no subscription, and delivers nothing of its own: it halts, goes on
    with and ends what the *pool* has of an instrument. The exchange pushes what has
    changed, and need not push the whole list at first, so each push adds to what is
    known: absence is never a delisting, and a field that is absent stays. What it said
    last stays true through a loss of the connection, but for a halt that it does not
    confirm within five seconds after.

    The thread of its connection calls `add`, `tell` and `fail`; any thread `wait` and
    `enter`.
    """

    internal = True

    def __init__(
        self,
        name: ChannelName,
        clock: Clock,
        callbacks: Callbacks,
        pool: Followers,
        clean: Clean,
    ) -> None:
        super().__init__(None, name.key, NO_LIMITS, clock, callbacks)
        self.name = name
        self._pool, self._clean = pool, clean
        self._market = _MARKETS[argument_of(name.key)["instType"]]
        # What the exchange said of each instrument, and the id of each number.
        self._said: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}
        self._known: dict[str, tuple[dict[str, Any], Instrument | None]] = {}
        # The halt of each instrument that is halted: it lasts until it is live again.
        self._halted: dict[str, str] = {}
        # Until when those that have expired may get a new id, and those that were
        # halted before a reconnect may be said to be so still.
        self._expiring: dict[str, float] = {}
        self._unconfirmed: dict[str, float] = {}
        self._since = math.inf
        self._news = Waiters(clock)

    # --- On any thread --------------------------------------------------------------

    def wait(self, instrument_id: str, until: float) -> Instrument | None:
        """The instrument; ``None`` if it is not described by *until* (monotonic)."""

        def is_settled() -> bool:
            return self.ended or self._find(instrument_id) is not None

        while not is_settled():
            left = until - self._clock.monotonic()
            if left <= 0 or on_library_thread() or in_event_loop():
                break
            self._news.wait(left, is_settled)
        return self._find(instrument_id)

    def _find(self, instrument_id: str) -> Instrument | None:
        said = self._said.get(instrument_id)
        if said is None:
            return None
        known = self._known.get(instrument_id)
        if known is None or known[0] is not said:
            before = known and known[1]
            (made,) = read_each([said], lambda each: instrument(each, self._market))
            if isinstance(made, WireError):
                log.warning("instrument %s: left out: %s", instrument_id, made)
                made = None
            self._known[instrument_id] = known = said, made or before
        return known[1]

    def enter(self, view: View) -> None:
        """Have *view*, which is new, wait if its instrument is halted."""
        name = view.instrument_id
        if (state := self._halted.get(name)) is not None:
            self._pool.halt([view], _halt(name, state), None)

    def denies(self, instrument_id: str, new_id: str) -> bool:
        """Whether the numbers of two ids show that neither is the other's new one."""
        codes = [code_of(self._said.get(each, {})) for each in (instrument_id, new_id)]
        return all(codes) and codes[0] != codes[1]

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Deliver nothing to *queue*: no script asked for this channel."""

    # --- As the connection's thread tells -------------------------------------------

    def wake(self) -> None:
        """Let `wait` look again: the exchange may have refused the channel."""
        super().wake()
        self._news.wake()

    def tell(self, now: float) -> None:
        """Notice what time alone has decided. No script hears of the list's state."""
        for reading in self.readings.values():
            channel = reading.entry.channel
            if channel.acknowledged and channel.acknowledged_at != self._since:
                self._since = channel.acknowledged_at
                self._unconfirmed = dict.fromkeys(self._halted, now + PATIENCE)
        if self._expiring or self._unconfirmed:
            self._look(now)

    def fail(self, error: OkexWSError, now: float) -> None:
        """The exchange refused the list: what it halted may go on."""
        self.error = error
        log.debug("%s: %s", self.instrument_id, error)
        for views in self._pool.followers(self).values():
            self._pool.halt(views, None, self)
        self.wake()

    def _look(self, now: float) -> None:
        followed = self._pool.followers(self)
        for name in [n for n, until in self._unconfirmed.items() if now >= until]:
            del self._unconfirmed[name]
            self._halted.pop(name, None)
            self._pool.halt(followed.get(name, ()), None, self)
        for name in [n for n, until in self._expiring.items() if now >= until]:
            self._end(name, followed.get(name, ()), utc(self._clock.wall()))

    def add(self, topic: str, item: Item) -> None:
        """Take what *item*, a push of the list, says of each instrument."""
        for reading in self.readings.values():
            if reading.entry.channel.followers == (self,):
                # No script reads it, and a list may be long; nor is it told of a `Gap`.
                reading.kept.clear()
                reading.counts["gaps"] -= isinstance(item, Gap)
        if not isinstance(item, Data):
            return
        followed = self._pool.followers(self)
        changed: dict[str, tuple[Listed, Listed]] = {}
        for element in item.elements:
            if type(element) is dict and isinstance(element.get("instId"), str):
                self._take(element, followed, changed)
        for name, (before, after) in changed.items():
            self._follow(name, followed[name], before, after, item.received)
        # The new id of one that has expired may come in a later push.
        for name in [name for name in self._expiring if self._new_id(name)]:
            self._end(name, followed.get(name, ()), item.received)
        self._news.wake()

    def _take(
        self,
        element: dict[str, Any],
        followed: Collection[str],
        changed: dict[str, tuple[Listed, Listed]],
    ) -> None:
        name = element["instId"]
        before = self._said.get(name, {})
        said = before | {field: element[field] for field in FIELDS if field in element}
        if name in followed or name in self._known:
            try:
                first, after = listed(before), listed(said)
            except UNREADABLE as error:
                # One bad element costs itself.
                log.debug("instrument %s: %s", name[:80], error)
                return
            if name in self._halted:
                first = first._replace(state=self._halted[name])
            if name in followed:
                changed[name] = changed.get(name, (first,))[0], after
        self._said[name] = said
        self._unconfirmed.pop(name, None)
        state = said.get("state")
        if state == LIVE:
            self._halted.pop(name, None)
        elif isinstance(state, str) and state in HALTS:
            self._halted[name] = state
        if state != EXPIRED and (code := code_of(said)):
            self._ids[code] = name

    # --- What follows ---------------------------------------------------------------

    def _follow(
        self,
        name: str,
        views: Sequence[View],
        before: Listed,
        after: Listed,
        received: datetime,
    ) -> None:
        """Halt, go on with or end *views*, and tell them what has changed."""
        if after.state == EXPIRED:
            if before.state != EXPIRED:
                self._expire(name, views, after, received)
            return
        self._expiring.pop(name, None)
        rebased = None not in (before.contract, after.contract) and (
            before.contract != after.contract
        )
        if after.state != before.state and after.state in HALTS:
            self._halt(views, name, after.state)
        elif before.state in HALTS and after.state == LIVE:
            self._pool.halt(views, None, self)
        elif rebased and after.state not in HALTS:
            # Another contract, without a state between: no price of before is given.
            self._halt(views, name, "rebase")
            self._pool.halt(views, None, self)
        for kind, old, new, at in _changes(before, after, rebased):
            tell_change(views, InstrumentChange(name, kind, old, new, at, received))

    def _halt(self, views: Sequence[View], name: str, state: str) -> None:
        self._pool.halt(views, _halt(name, state), self)

    def _expire(
        self, name: str, views: Sequence[View], after: Listed, received: datetime
    ) -> None:
        """Nothing is given any more; the new id, if there is one, may be on its way."""
        self._halt(views, name, EXPIRED)
        due = after.expiry is not None and after.expiry <= received
        self._expiring[name] = self._clock.monotonic() + (0.0 if due else PATIENCE)
        if due:
            self._end(name, views, received)

    def _new_id(self, name: str) -> str | None:
        """The id that the number of *name* has now, if that is another one."""
        found = self._ids.get(code_of(self._said[name]))
        return None if found == name else found

    def _end(self, name: str, views: Sequence[View], received: datetime) -> None:
        self._expiring.pop(name, None)
        new_id = self._new_id(name)
        if new_id is not None:
            self.rename(name, new_id, views, received)
            return
        expiry = listed(self._said[name]).expiry
        due = expiry if expiry is not None and expiry <= received else None
        change = InstrumentChange(name, "delisted", LIVE, EXPIRED, None, received)
        tell_change(views, change)
        self._pool.end(views, InstrumentExpired(name, due), self)

    def rename(
        self, name: str, new_id: str, views: Sequence[View], received: datetime
    ) -> None:
        """End *views* of *name*: the exchange has renamed it."""
        new_id = self._clean(new_id)
        change = InstrumentChange(name, "renamed", name, new_id, None, received)
        tell_change(views, change)
        self._pool.end(views, InstrumentRenamed(name, new_id), self)


def tell_change(views: Iterable[View], change: InstrumentChange) -> None:
    """Deliver *change* to those of *views* whose script asked for it."""
    for view in views:
        if view.wants_changes:
            view.add(TOPIC, change)


def _halt(name: str, state: str) -> Cause:
    """Why there is no price of the instrument *name* while it is in *state*."""
    _, code, text = HALTS[state]
    return Cause(code, text, "", name)


_Value = Decimal | str | None
_Change = tuple[ChangeKind, _Value, _Value, datetime | None]


def _changes(before: Listed, after: Listed, rebased: bool) -> Iterator[_Change]:
    """What is told of the step from *before* to *after*, which has not expired."""
    if rebased:
        yield "rebased", before.contract, after.contract, None
    if after.state != before.state and after.state in HALTS:
        kind = HALTS[after.state][0]
        if kind != "rebased" or not rebased:
            yield kind, before.state, after.state, None
    elif after.state == LIVE and before.state in HALTS:
        yield "resumed", before.state, after.state, None
    if None not in (before.tick, after.tick) and before.tick != after.tick:
        yield "tick-size", before.tick, after.tick, None
    for tick, at in after.announced:
        if (tick, at) not in before.announced:
            yield "tick-size", after.tick, tick, at
