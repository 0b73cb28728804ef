"""The pool of an isolated feed: a worker process connects, the script reads its memory.

Any thread may add and close subscriptions. The supervisor's thread starts the worker
process, receives its messages and sees it end. While the worker process runs, it alone
writes to the slots; this process writes to them only while none runs.
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
from ..base.log import log
from ..base.retry import Reconnect, Timeouts
from ..base.state import CLOSED, FORKED, CauseCode
from ..base.threads import Latch, heed_fork, locked, register_for_fork
from ..base.throttled_log import OutageLog
from ..base.worker import LibraryThread
from ..channels.series import KINDS
from ..delivery.callbacks import Callbacks, OnState
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.credentials import Credentials
from ..model.reports import (
    ConnectionReport,
    Stats,
    add,
    of_connections,
    of_subscription,
)
from ..model.venues import Venue
from ..pool.options import PoolOptions
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName
from ..session.login import check_logins
from ..trust.verdict import Limits
from .process import WorkerProcess
from .slots import Store, SubscriptionSlots
from .supervisor import Supervisor
from .view import IsolatedView, NoCallbacks, check_isolated, refuse

# How many seconds a call waits for an answer of the worker process.
ANSWER_TIMEOUT = 1.0
# How many seconds the worker process has for its goodbye to the exchange at most, even
# if the script's `Timeouts` allow more.
LONGEST_GOODBYE = 10.0


def make_isolated_pool(options: PoolOptions) -> IsolatedPool:
    """Make the pool; ``ValueError`` for an option that an isolated feed cannot have."""
    here: dict[str, object] = {
        name: getattr(options, name)
        for name in ("clock", "network", "rng", "recorder", "history_source")
    }
    told = {"on_state": options.on_state, "on_error": options.on_error}
    check_isolated(told, options.callbacks, options.ssl_context, here)
    pings = ["ping_interval", "lease"]
    crossing = ["credentials", "allow_plaintext", *pings, "proxy"]
    crossing += ["reconnect", "timeouts", "coalesce"]
    keywords = {name: getattr(options, name) for name in crossing}
    wire = options.wire_protocol
    keywords["max_frame"] = wire.max_frame
    return IsolatedPool(options.venue, wire, keywords)


class IsolatedPool:
    """The subscriptions of an isolated feed, in the script's process.

    It takes the place of a `Pool`, with the same methods, but a worker process has the
    connections; so a script that computes delays no connection, and no connection
    delays the script. *options* are the keywords of the `Pool` that the worker process
    makes, *spawn* a callable that starts that process with the key of the shared
    memory.

    Any thread may subscribe, close and ask: a lock guards the tables. The supervisor's
    thread calls the methods of `ProcessObserver`. If the worker process ends, all
    values are withdrawn, the loss is logged, and a new process gets all subscriptions.
    A question that is not answered within a second gives the last answer.
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
        self.closed, self.closed_by = False, CLOSED
        self.views: tuple[View, ...] = ()
        self._options = {"venue": venue, **options}
        self._spawn = spawn
        self._supervisor: Supervisor | None = None
        self._store = Store(wire, self._process_runs, self._doubt)
        # The first era number of the next worker process.
        self._first = 0
        self._slots: dict[int, SubscriptionSlots] = {}
        # The slots of closed subscriptions, which the worker process may still write.
        self._leaving: dict[int, SubscriptionSlots] = {}
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Latch, list[Any]]] = {}
        self._counts = Counts()
        self._past, self._last = Stats(), Stats()
        self._reports: tuple[ConnectionReport, ...] = ()
        self._outage_log = OutageLog()
        # Re-entrant, because a signal handler or the garbage collector may call `close`
        # on a thread that holds the lock.
        self._lock = threading.RLock()
        heed_fork()
        _pools.add(self)

    # --- On any thread --------------------------------------------------------------

    def _process_runs(self) -> bool:
        supervisor = self._supervisor
        return supervisor is not None and supervisor.process_runs

    def _doubt(self, number: int, topic: str) -> None:
        if self._supervisor is not None:
            self._supervisor.send("doubt", number, topic)

    def make_view(
        self, subscription: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """Make the view that *subscription* reads, once it is attached."""
        return IsolatedView(subscription, label, limits, self.clock, callbacks)

    def history(
        self, items: int, market: str, names: Mapping[str, ChannelName]
    ) -> NoReturn:
        """Raise ``ValueError``: past items are not shared."""
        raise refuse("what history= fetches")

    def attach(
        self,
        view: View,
        names: Mapping[str, ChannelName],
        listing: ChannelName | None = None,
    ) -> None:
        """Subscribe *view* to the channels *names*, which are by topic.

        *listing* is the channel that tells of the life of its instrument. The worker
        process then attaches them to its own pool. ``ValueError`` if the feed is closed
        or a channel needs credentials that it does not have; ``OSError`` if there is no
        memory for the slots.
        """
        view.listing = listing
        locked(self._lock, lambda: self._attach(view, names))

    def _attach(self, view: View, names: Mapping[str, ChannelName]) -> None:
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
        view.carry(slots.readings)
        view.callbacks.begin()
        self._slots[slots.number] = slots
        self.views = (*self.views, view)

    def refuse(
        self, view: View, names: Mapping[str, ChannelName], error: OkexWSError
    ) -> None:
        """Have *view* fail with *error*: the exchange is asked for nothing.

        ``ValueError`` if the feed is closed.
        """
        if self.closed:
            raise ValueError("the feed is closed")
        view.carry(
            {t: KINDS[name.kind](self.wire, name).reading for t, name in names.items()}
        )
        view.fail(error, self.clock.monotonic())
        view.callbacks.drain()
        self.views = (*self.views, view)

    def _keep(self) -> Supervisor:
        """The supervisor, which is started with the first subscription."""
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
            if self.closed:  # by a thread or signal handler that saw no supervisor
                self._supervisor.close()
        return self._supervisor

    @staticmethod
    def _subscribe_message(slots: SubscriptionSlots) -> tuple[Any, ...]:
        assignments = slots.assignments()
        names = {topic: slots.names[topic] for topic in assignments}
        name, listing = slots.view.instrument_id, slots.view.listing
        return "subscribe", slots.number, name, names, assignments, listing

    def detach(self, view: View) -> None:
        """Close the subscription of *view*, and tell the worker process."""
        view.closed = True
        view.callbacks.mute()
        locked(self._lock, lambda: self._remove(view))
        view.wake()
        if self.closes_with_subscription:
            self.close()

    def _remove(self, view: View) -> None:
        self.views = tuple(other for other in self.views if other is not view)
        assert isinstance(view, IsolatedView)
        number = -1 if view.slots is None else view.slots.number
        slots = self._slots.pop(number, None)
        if slots is None:
            return
        slots.freeze()
        # The worker process may write to the slots until it has answered.
        self._leaving[number] = slots
        self._keep().send("unsubscribe", number)

    def follow(self, queue: UpdateQueue) -> None:
        """Raise ``ValueError``: items for iterators are not shared."""
        raise refuse("what updates() gives")

    def rotate(self) -> None:
        """Let the worker process replace each connection by a new one, without gaps."""
        if self._supervisor is not None:
            self._supervisor.send("rotate")

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """The counts of the worker process, plus those of the processes before it.

        *views* are the subscriptions to count; ``None`` is the whole feed.
        """
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
        """The counts of the worker processes that ended, and how many these are."""
        ends = Stats(reconnects=dict(self._counts.reconnects))
        return add(self._past, ends)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """A report of each connection: the worker process's answer, or its last one."""
        self._reports = self._ask("connections", None) or self._reports
        return self._reports

    def _ask(self, what: str, number: int | None) -> Any:
        """Ask the worker process; ``None`` if no answer comes in time."""
        answered, answer = Latch(), [None]
        supervisor, request = self._supervisor, next(self._numbers)
        # Before the check, so that a process that ends after it cuts the wait short.
        self._asked[request] = answered, answer
        if supervisor is not None and supervisor.process_runs:
            supervisor.send("ask", request, what, number)
            answered.wait(ANSWER_TIMEOUT)
        self._asked.pop(request, None)
        return answer[0]

    def close(self) -> None:
        """Close all subscriptions and let the worker process end; returns at once."""
        self.closed = True
        # A view that another thread attaches meanwhile is closed with the supervisor.
        supervisor = self._supervisor
        for view in self.views:
            view.closed = True
            view.callbacks.mute()
            view.wake()
        if supervisor is not None:
            supervisor.close()
        else:
            self.supervisor_stopped()

    @property
    def threads(self) -> tuple[LibraryThread, ...]:
        """The supervisor's thread, if there is one; it outlasts the worker process."""
        return () if self._supervisor is None else (self._supervisor.thread,)

    def forked(self) -> None:
        """In a forked child: close all here; the worker process stays the parent's.

        It takes no lock, because a thread of the parent may have held one at the fork.
        """
        self._lock = threading.RLock()
        self.closed, self.closed_by = True, FORKED
        if self._supervisor is not None:
            self._supervisor.forked()
        for slots in self._slots.values():
            slots.view.forked()
            slots.forked()
        self._store.forked()

    # --- On the supervisor's thread -------------------------------------------------

    def process_started(self) -> None:
        """Send a new worker process its options and all subscriptions."""
        assert self._supervisor is not None
        with self._lock:
            # Messages that wait are dropped: what follows contains them, or they were
            # for the process before.
            self._supervisor.discard_unsent()
            self._forget(*self._leaving)
            send, store = self._supervisor.send, self._store
            memory = store.key, store.era_addresses, self._first
            send("start", self._options, *memory, os.getpid())
            self._first += 1 << 32
            for slots in self._slots.values():
                if slots.view.error is None:
                    send(*self._subscribe_message(slots))

    def message_received(self, message: Any) -> None:
        """Call the method ``_on_...`` for one message of the worker process."""
        kind, *rest = message
        getattr(self, f"_on_{kind}")(*rest)

    def process_ended(self, why: str) -> None:
        """Withdraw every value, keep the counts, and deliver the loss as an error."""
        error = OkexWSError(why, cause_code=CauseCode.READER)
        self._counts.reconnects["reader"] += 1
        with self._lock:
            self._past, self._last = add(self._past, self._last), Stats()
            all_slots = list(self._slots.values())
            # In this order: the epochs are read while the eras' slots are as they were.
            for slots in all_slots:
                slots.withdraw(error.cause)
            self._store.lose()
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
        """Close all subscriptions and the memory: no other process will start."""
        with self._lock:
            self.closed = True
            all_slots = list(self._slots.values())
            for slots in all_slots:
                # A signal handler may have added a subscription during `close`.
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
            slots.readings[topic].error = error
            slots.view.wake()

    def _on_failed(self, number: int, error: OkexWSError) -> None:
        slots = self._slots.get(number)
        if slots is not None:
            # The worker process has logged it already.
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
        log.handle(logging.makeLogRecord(fields))


_pools: weakref.WeakSet[IsolatedPool] = weakref.WeakSet()


register_for_fork(_pools)
