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

from ..base.clock import SystemClock
from ..base.counts import Counts
from ..base.errors import OkexWSError
from ..base.retry import Reconnect, Timeouts
from ..base.threads import register_for_fork
from ..base.throttled_log import OutageLog
from ..delivery.callbacks import Callbacks, OnState
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.credentials import Credentials
from ..model.reports import ConnectionReport, Stats
from ..model.venues import Venue
from ..pool.options import PoolOptions
from ..pool.statistics import add, of_connections, of_subscription
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName
from ..session.login import check_logins
from ..trust.verdict import Limits
from .process import WorkerProcess
from .slots import Store, SubscriptionSlots
from .supervisor import Supervisor
from .view import IsolatedView, NoCallbacks, check_isolated, refuse

log = logging.getLogger("okex_ws")

# Seconds that an answer of the child is waited for.
ANSWER_TIMEOUT = 1.0
# Seconds that it may take over its goodbye to the exchange, whatever it was told.
LONGEST_GOODBYE = 10.0


def make_isolated_pool(options: PoolOptions) -> IsolatedPool:
    """A pool in a process of its own; ``ValueError`` for what cannot be had there."""
    here: dict[str, object] = {
        name: getattr(options, name)
        for name in ("clock", "network", "rng", "recorder", "history_source")
    }
    check_isolated(options.on_state, options.callbacks, options.ssl_context, here)
    pings = ["ping_interval", "probe_interval"]
    crossing = ["credentials", *pings, "proxy", "reconnect", "timeouts"]
    keywords = {name: getattr(options, name) for name in crossing}
    return IsolatedPool(options.venue, options.wire_protocol, keywords)


class IsolatedPool:
    """The subscriptions of one feed, as the process sees them that reads the prices.

    *options* are the keywords with which the child makes the plan that connects.
    """

    isolated = True
    on_state: OnState | None = None

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        options: dict[str, Any],
        spawn: Callable[[int | str], WorkerProcess] = WorkerProcess,
    ) -> None:
        self.venue = venue
        self.wire = wire
        self.clock = SystemClock()
        self.callback_runner = NoCallbacks()
        self.closes_with_subscription = False
        self.closed = False
        self.views: tuple[View, ...] = ()
        self._options = {"venue": venue, **options}
        self._spawn = spawn
        self._supervisor: Supervisor | None = None
        self._store = Store(wire, self._process_runs)
        # The first of the numbers that the links of the next child have.
        self._first = 0
        self._slots: dict[int, SubscriptionSlots] = {}
        # Left by their subscription, and perhaps written to by the child.
        self._leaving: dict[int, SubscriptionSlots] = {}
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._counts = Counts()
        self._past, self._last = Stats(), Stats()
        self._reports: tuple[ConnectionReport, ...] = ()
        self._outage_log = OutageLog()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()
        _pools.add(self)

    # --- On any thread --------------------------------------------------------------

    def _process_runs(self) -> bool:
        supervisor = self._supervisor
        return supervisor is not None and supervisor.process_runs

    def make_view(
        self, subscription: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """What *subscription* reads, once it is attached."""
        return IsolatedView(subscription, label, limits, self.clock, callbacks)

    def history(
        self, items: int, market: str, names: Mapping[str, ChannelName]
    ) -> NoReturn:
        """Not to be had."""
        raise refuse("what history= fetches")

    def attach(self, view: View, names: Mapping[str, ChannelName]) -> None:
        """Have *view* carry these channels, by topic; `Plan.attach` in the child.

        ``ValueError`` if the feed is closed, or a channel cannot be had as asked;
        ``OSError`` if there is no memory for them.
        """
        with self._lock:
            if self.closed:
                raise ValueError("the feed is closed")
            credentials: Credentials | None = self._options["credentials"]
            check_logins(self.wire, names.values(), credentials)
            slots = SubscriptionSlots(view, next(self._numbers), names)
            try:
                self._store.allocate(slots)
                self._keep().send(*self._subscribe_message(slots))
            except BaseException:
                self._store.clear(slots)
                if self.closes_with_subscription:
                    self.supervisor_stopped()
                raise
            assert isinstance(view, IsolatedView)
            view.slots = slots
            view.carry(slots.mirrors)
            view.callbacks.begin()
            self._slots[slots.number] = slots
            self.views = (*self.views, view)

    def _keep(self) -> Supervisor:
        """The keeper, which is started with the first subscription."""
        if self._supervisor is None:
            goodbye = (self._options["timeouts"] or Timeouts()).goodbye
            self._supervisor = Supervisor(
                self,
                f"okex_ws:{self.venue.name}:isolated",
                self._options["reconnect"] or Reconnect(),
                min(goodbye, LONGEST_GOODBYE) + 2.0,
                lambda: self._spawn(self._store.key),
            )
            try:
                self._supervisor.start()
            except RuntimeError:
                self._supervisor = None
                raise
        return self._supervisor

    @staticmethod
    def _subscribe_message(slots: SubscriptionSlots) -> tuple[Any, ...]:
        assignments = slots.assignments()
        names = {topic: slots.names[topic] for topic in assignments}
        name = slots.view.instrument_id
        return "subscribe", slots.number, name, names, assignments

    def detach(self, view: View) -> None:
        """*view* is closed."""
        view.closed = True
        view.callbacks.mute()
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            assert isinstance(view, IsolatedView)
            if view.slots is not None and view.slots.number in self._slots:
                self._leave(view.slots)
        view.wake()
        if self.closes_with_subscription:
            self.close()

    def _leave(self, slots: SubscriptionSlots) -> None:
        del self._slots[slots.number]
        slots.freeze()
        # Until the child has left too, it may write there.
        self._leaving[slots.number] = slots
        self._keep().send("unsubscribe", slots.number)

    def follow(self, queue: UpdateQueue) -> None:
        """Not to be had."""
        raise refuse("what updates() gives")

    def rotate(self) -> None:
        """Have every connection be replaced by a new one, without a gap."""
        if self._supervisor is not None:
            self._supervisor.send("rotate")

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """What `Plan.stats` has in the child, and what the ones before it had."""
        if views is None:
            self._last = self._ask("stats", None) or self._last
            return add(self._before(), self._last)
        connections, mine = self._last, Stats()
        for view in views:
            assert isinstance(view, IsolatedView)
            if (slots := view.slots) is None:
                continue
            if answer := self._ask("stats", slots.number):
                slots.last = connections = answer
            mine = add(mine, of_subscription(add(slots.past, slots.last)))
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
            if self._supervisor is None or not self._supervisor.process_runs:
                return None
            request = next(self._numbers)
            self._asked[request] = answered, answer
            self._supervisor.send("ask", request, what, number)
        answered.wait(ANSWER_TIMEOUT)
        self._asked.pop(request, None)
        return answer[0]

    def close(self) -> None:
        """Have everything end; returns at once."""
        with self._lock:
            self.closed = True
            views, supervisor = self.views, self._supervisor
        for view in views:
            view.closed = True
            view.callbacks.mute()
            view.wake()
        if supervisor is not None:
            supervisor.close()
        else:
            self.supervisor_stopped()

    @property
    def has_ended(self) -> bool:
        """Whether neither thread nor process is left, or was ever started."""
        return self._supervisor is None or not self._supervisor.running

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the child; False if it has not come in time."""
        return self._supervisor is None or self._supervisor.join(timeout)

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.RLock()
        self.closed = True
        if self._supervisor is not None:
            self._supervisor.forked()
        for slots in self._slots.values():
            slots.view.forked()
            slots.forked()
        self._store.forked()

    # --- On the keeper's thread -----------------------------------------------------

    def process_started(self) -> None:
        """See `keeper.Owner`."""
        assert self._supervisor is not None
        with self._lock:
            # Whatever was told since it runs is among this, or was of the one before.
            self._supervisor.discard_unsent()
            self._forget(*self._leaving)
            send, store = self._supervisor.send, self._store
            memory = store.key, store.link_addresses, self._first
            send("start", self._options, *memory, os.getpid())
            self._first += 1 << 32
            for slots in self._slots.values():
                if slots.view.error is None:
                    send(*self._subscribe_message(slots))

    def message_received(self, message: Any) -> None:
        """See `keeper.Owner`."""
        kind, *rest = message
        getattr(self, f"_on_{kind}")(*rest)

    def process_ended(self, why: str) -> None:
        """See `keeper.Owner`."""
        error = OkexWSError(why)
        self._counts.reconnects["reader"] += 1
        with self._lock:
            self._past, self._last = add(self._past, self._last), Stats()
            all_slots = list(self._slots.values())
            self._store.lose()
            for slots in all_slots:
                slots.withdraw(why)
            asked = list(self._asked.values())
        for answered, _ in asked:
            answered.set()
        self._outage_log.log_loss(
            f"isolated feed of {self.venue.name}", error, self._now()
        )
        for slots in all_slots:
            slots.view.trouble(error)
            slots.view.wake()

    def supervisor_stopped(self) -> None:
        """See `keeper.Owner`."""
        with self._lock:
            self.closed = True
            all_slots = list(self._slots.values())
            for slots in all_slots:
                # One may have come while it was closed, in a signal handler.
                slots.view.closed = True
                slots.freeze()
            self._store.close()
        for slots in all_slots:
            slots.view.wake()

    def _now(self) -> float:
        return self.clock.monotonic()

    def _forget(self, *numbers: int) -> None:
        for number in numbers:
            self._store.clear(self._leaving.pop(number))

    def _on_woken(self) -> None:
        for view in self.views:
            view.wake()

    def _on_refused(self, number: int, topic: str, error: OkexWSError) -> None:
        slots = self._slots.get(number)
        if slots is not None:
            slots.mirrors[topic].error = error
            slots.view.wake()

    def _on_failed(self, number: int, error: OkexWSError) -> None:
        slots = self._slots.get(number)
        if slots is not None:
            # The child has said so in the log.
            slots.view.error = error
            slots.view.wake()

    def _on_trouble(self, numbers: list[int], error: OkexWSError) -> None:
        for number in numbers:
            slots = self._slots.get(number)
            if slots is not None:
                slots.view.trouble(error)

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
        self._outage_log.over()
        for number, stats in of_each.items():
            slots = self._slots.get(number) or self._leaving.get(number)
            if slots is not None:
                slots.last = stats

    def _on_log(self, fields: dict[str, Any]) -> None:
        record = logging.makeLogRecord(fields)
        if log.isEnabledFor(record.levelno):
            log.handle(record)


_pools: weakref.WeakSet[IsolatedPool] = weakref.WeakSet()


register_for_fork(_pools)
