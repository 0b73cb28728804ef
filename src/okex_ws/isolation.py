"""The plan of a feed that lives in a process of its own, and is read through memory.

Subscriptions come and go on any thread; the keeper's thread has the child, its answers
and its end. While a child runs, it alone writes what is shown; while none does, this.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from .callbacks import Callbacks, OnState
from .child import Child
from .counters import Counts
from .credentials import Credentials
from .errors import OkexWSError
from .holding import Holding, Store
from .isolated import IsolatedView, Silent, refuse
from .keeper import Keeper
from .lifecycle import tell_forks
from .login import check_logins
from .messages import ConnectionReport, Stats
from .outage import Outage
from .protocols import Wire
from .tally import add, of_connections, own
from .timing import Reconnect, SystemClock, Timeouts
from .trust import Limits
from .updates import Inbox
from .venues import Venue
from .view import View
from .wire import Name

log = logging.getLogger("okex_ws")

# Seconds that an answer of the child is waited for.
ANSWERS = 1.0
# Seconds that it may take over its goodbye to the exchange, whatever it was told.
LONGEST_GOODBYE = 10.0


class IsolatedPlan:
    """The subscriptions of one feed, as the process sees them that reads the prices.

    *options* are the keywords with which the child makes the plan that connects.
    """

    isolated = True
    on_state: OnState | None = None

    def __init__(
        self,
        venue: Venue,
        wire: Wire,
        options: dict[str, Any],
        spawn: Callable[[int | str], Child] = Child,
    ) -> None:
        self.venue = venue
        self.wire = wire
        self.clock = SystemClock()
        self.caller = Silent()
        self.private = False
        self.closed = False
        self.views: tuple[View, ...] = ()
        self._options = {"venue": venue, **options}
        self._spawn = spawn
        self._keeper: Keeper | None = None
        self._store = Store(wire, self._works)
        # The first of the numbers that the links of the next child have.
        self._first = 0
        self._holdings: dict[int, Holding] = {}
        # Left by their subscription, and perhaps written to by the child.
        self._leaving: dict[int, Holding] = {}
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._counts = Counts()
        self._past, self._last = Stats(), Stats()
        self._reports: tuple[ConnectionReport, ...] = ()
        self._outage = Outage()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()
        _plans.add(self)

    # --- On any thread --------------------------------------------------------------

    def _works(self) -> bool:
        keeper = self._keeper
        return keeper is not None and keeper.works

    def make_view(
        self, owner: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """What *owner* reads, once it is attached."""
        return IsolatedView(owner, label, limits, self.clock, callbacks)

    def history(self, items: int, market: str, names: Mapping[str, Name]) -> NoReturn:
        """Not to be had."""
        raise refuse("what history= fetches")

    def attach(self, view: View, names: Mapping[str, Name]) -> None:
        """Have *view* carry these channels, by topic; `Plan.attach` in the child.

        ``ValueError`` if the feed is closed, or a channel cannot be had as asked;
        ``OSError`` if there is no memory for them.
        """
        with self._lock:
            if self.closed:
                raise ValueError("the feed is closed")
            credentials: Credentials | None = self._options["credentials"]
            check_logins(self.wire, names.values(), credentials)
            holding = Holding(view, next(self._numbers), names)
            try:
                self._store.furnish(holding)
                self._keep().tell(*self._word(holding))
            except BaseException:
                self._store.clear(holding)
                if self.private:
                    self.over()
                raise
            assert isinstance(view, IsolatedView)
            view.holding = holding
            view.carry(holding.mirrors)
            view.callbacks.begin()
            self._holdings[holding.number] = holding
            self.views = (*self.views, view)

    def _keep(self) -> Keeper:
        """The keeper, which is started with the first subscription."""
        if self._keeper is None:
            goodbye = (self._options["timeouts"] or Timeouts()).goodbye
            self._keeper = Keeper(
                self,
                f"okex_ws:{self.venue.name}:isolated",
                self._options["reconnect"] or Reconnect(),
                min(goodbye, LONGEST_GOODBYE) + 2.0,
                lambda: self._spawn(self._store.key),
            )
            try:
                self._keeper.start()
            except RuntimeError:
                self._keeper = None
                raise
        return self._keeper

    @staticmethod
    def _word(holding: Holding) -> tuple[Any, ...]:
        spots = holding.spots()
        names = {topic: holding.names[topic] for topic in spots}
        name = holding.view.instrument_id
        return "subscribe", holding.number, name, names, spots

    def detach(self, view: View) -> None:
        """*view* is closed."""
        view.closed = True
        view.callbacks.mute()
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            assert isinstance(view, IsolatedView)
            if view.holding is not None and view.holding.number in self._holdings:
                self._leave(view.holding)
        view.wake()
        if self.private:
            self.close()

    def _leave(self, holding: Holding) -> None:
        del self._holdings[holding.number]
        holding.freeze()
        # Until the child has left too, it may write there.
        self._leaving[holding.number] = holding
        self._keep().tell("unsubscribe", holding.number)

    def follow(self, inbox: Inbox) -> None:
        """Not to be had."""
        raise refuse("what updates() gives")

    def rotate(self) -> None:
        """Have every connection be replaced by a new one, without a gap."""
        if self._keeper is not None:
            self._keeper.tell("rotate")

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """What `Plan.stats` has in the child, and what the ones before it had."""
        if views is None:
            self._last = self._ask("stats", None) or self._last
            return add(self._before(), self._last)
        connections, mine = self._last, Stats()
        for view in views:
            assert isinstance(view, IsolatedView)
            if (holding := view.holding) is None:
                continue
            if answer := self._ask("stats", holding.number):
                holding.last = connections = answer
            mine = add(mine, own(add(holding.past, holding.last)))
        return add(
            add(of_connections(self._before()), of_connections(connections)), mine
        )

    def _before(self) -> Stats:
        """What the children before this one counted, and how many there were."""
        ends = Stats(reconnects=dict(self._counts.reconnects))
        return add(self._past, ends)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """How each connection stands, or stood when the child said so last."""
        self._reports = self._ask("connections", None) or self._reports
        return self._reports

    def _ask(self, what: str, number: int | None) -> Any:
        """The child's answer; ``None`` if it has none in time."""
        answered, answer = threading.Event(), [None]
        with self._lock:
            if self._keeper is None or not self._keeper.works:
                return None
            request = next(self._numbers)
            self._asked[request] = answered, answer
            self._keeper.tell("ask", request, what, number)
        answered.wait(ANSWERS)
        self._asked.pop(request, None)
        return answer[0]

    def close(self) -> None:
        """Have everything end; returns at once."""
        with self._lock:
            self.closed = True
            views, keeper = self.views, self._keeper
        for view in views:
            view.closed = True
            view.callbacks.mute()
            view.wake()
        if keeper is not None:
            keeper.close()
        else:
            self.over()

    @property
    def has_ended(self) -> bool:
        """Whether neither thread nor process is left, or was ever started."""
        return self._keeper is None or not self._keeper.running

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the child; False if it has not come in time."""
        return self._keeper is None or self._keeper.join(timeout)

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.RLock()
        self.closed = True
        if self._keeper is not None:
            self._keeper.forked()
        for holding in self._holdings.values():
            holding.view.forked()
            holding.forked()
        self._store.forked()

    # --- On the keeper's thread -----------------------------------------------------

    def begin(self) -> None:
        """See `keeper.Owner`."""
        assert self._keeper is not None
        with self._lock:
            # Whatever was told since it runs is among this, or was of the one before.
            self._keeper.untell()
            self._forget(*self._leaving)
            tell, store = self._keeper.tell, self._store
            memory = store.key, store.link_places, self._first
            tell("start", self._options, *memory, os.getpid())
            self._first += 1 << 32
            for holding in self._holdings.values():
                if holding.view.error is None:
                    tell(*self._word(holding))

    def heard(self, message: Any) -> None:
        """See `keeper.Owner`."""
        kind, *rest = message
        getattr(self, f"_on_{kind}")(*rest)

    def ended(self, why: str) -> None:
        """See `keeper.Owner`."""
        error = OkexWSError(why)
        self._counts.reconnects["reader"] += 1
        with self._lock:
            self._past, self._last = add(self._past, self._last), Stats()
            holdings = list(self._holdings.values())
            self._store.lose()
            for holding in holdings:
                holding.withdraw(why)
            asked = list(self._asked.values())
        for answered, _ in asked:
            answered.set()
        self._outage.say(f"isolated feed of {self.venue.name}", error, self._now())
        for holding in holdings:
            holding.view.trouble(error)
            holding.view.wake()

    def over(self) -> None:
        """See `keeper.Owner`."""
        with self._lock:
            self.closed = True
            holdings = list(self._holdings.values())
            for holding in holdings:
                # One may have come while it was closed, in a signal handler.
                holding.view.closed = True
                holding.freeze()
            self._store.close()
        for holding in holdings:
            holding.view.wake()

    def _now(self) -> float:
        return self.clock.monotonic()

    def _forget(self, *numbers: int) -> None:
        for number in numbers:
            self._store.clear(self._leaving.pop(number))

    def _on_woken(self) -> None:
        for view in self.views:
            view.wake()

    def _on_refused(self, number: int, topic: str, error: OkexWSError) -> None:
        holding = self._holdings.get(number)
        if holding is not None:
            holding.mirrors[topic].error = error
            holding.view.wake()

    def _on_failed(self, number: int, error: OkexWSError) -> None:
        holding = self._holdings.get(number)
        if holding is not None:
            # The child has said so in the log.
            holding.view.error = error
            holding.view.wake()

    def _on_trouble(self, numbers: list[int], error: OkexWSError) -> None:
        for number in numbers:
            holding = self._holdings.get(number)
            if holding is not None:
                holding.view.trouble(error)

    def _on_left(self, number: int, last: Stats) -> None:
        with self._lock:
            if number in self._leaving:
                self._leaving[number].last = last
                self._forget(number)

    def _on_answer(self, request: int, value: Any) -> None:
        waiting = self._asked.get(request)
        if waiting is not None:
            answered, answer = waiting
            answer[0] = value
            answered.set()

    def _on_counts(self, total: Stats, of_each: Mapping[int, Stats]) -> None:
        self._last = total
        self._outage.over()
        for number, stats in of_each.items():
            holding = self._holdings.get(number) or self._leaving.get(number)
            if holding is not None:
                holding.last = stats

    def _on_log(self, fields: dict[str, Any]) -> None:
        record = logging.makeLogRecord(fields)
        if log.isEnabledFor(record.levelno):
            log.handle(record)


_plans: weakref.WeakSet[IsolatedPlan] = weakref.WeakSet()


tell_forks(_plans)
