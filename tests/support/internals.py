"""Private parts of the library, for the tests: the only file that names them.

A test first looks for a public way. Where there is none it asks here, by the name that
the thing has in the field. When a private part of the library gets another name, this
file changes and no test does; `test_internals.py` sees to that.

Only what ``import okex_ws`` loads is imported at run time: benchmarks and programs that
tests start use this file too, and are not to load more than a user's program does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from okex_ws.delivery.dispatcher import Dispatcher
from okex_ws.delivery.updates import UpdateQueue
from okex_ws.isolation.pool import IsolatedPool
from okex_ws.isolation.shared_memory import HEADER, Memory, Slot, SlotAddress
from okex_ws.isolation.slot_writer import SharedLink
from okex_ws.isolation.supervisor import Supervisor
from okex_ws.pool.connection import HOST_GAP, Connection, Settings
from okex_ws.pool.pool import Pool

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections import deque

    import pytest
    from matplotlib.axes import Axes

    from okex_ws import Credentials, Feed, Item, Reconnect, Updates
    from okex_ws.base.rates import Budget, HostGap
    from okex_ws.channels.base import Channel
    from okex_ws.channels.depth import DepthChannel
    from okex_ws.channels.series import SeriesChannel, TradeChannel
    from okex_ws.cli.recordings.story import ChartData
    from okex_ws.client.base import BaseSubscription
    from okex_ws.delivery.callback_queue import CallbackQueue
    from okex_ws.delivery.callbacks import CallbackRunner, Callbacks, OnError
    from okex_ws.delivery.view import View
    from okex_ws.history.worker import HistoryWorker
    from okex_ws.isolation.mirror import AnyMirror, RemoteLink, RemoteLinks
    from okex_ws.isolation.process import WorkerProcess
    from okex_ws.isolation.slots import Store
    from okex_ws.isolation.worker import ParentSender, Worker
    from okex_ws.local_exchange import LocalExchange
    from okex_ws.local_exchange.market.instrument_market import InstrumentMarket
    from okex_ws.local_exchange.market.market import Market, SyntheticMarket
    from okex_ws.local_exchange.market.side import BookSide
    from okex_ws.local_exchange.server.clients import Clients
    from okex_ws.local_exchange.wire.values import Row, Topic
    from okex_ws.net.proxy import Proxy
    from okex_ws.net.stream import Network, TcpNetwork
    from okex_ws.net.tcp import TcpStream
    from okex_ws.pool.connection_channels import ConnectionChannels
    from okex_ws.pool.conversation import Conversation
    from okex_ws.pool.handover import Handover
    from okex_ws.protocol.messages import SocketPath
    from okex_ws.recording.recorder import Recorder
    from okex_ws.rest import Rest
    from okex_ws.rest.limiter import Limiter
    from okex_ws.rest.pages import Found
    from okex_ws.session.events import Event
    from okex_ws.session.session import Session

    User = Union[BaseSubscription, Feed]
    Joining = Callable[[ConnectionChannels, View, list[Channel]], None]


# --- Subscriptions ------------------------------------------------------------------


def reading_of(subscription: BaseSubscription) -> View:
    """What *subscription* reads from: its channels, and the verdict on them."""
    return subscription._view


def callbacks_of(subscription: BaseSubscription) -> Callbacks:
    """The callbacks of *subscription*."""
    return reading_of(subscription).callbacks


def set_on_error(subscription: BaseSubscription, on_error: OnError | None) -> None:
    """Give *subscription* an *on_error* that it was not made with."""
    callbacks_of(subscription)._on_error = on_error


def is_ready(subscription: BaseSubscription) -> bool:
    """Whether ``wait_live()`` would return at this moment; raises what it would."""
    return reading_of(subscription)._is_ready()


def depth_channel_of(subscription: BaseSubscription) -> DepthChannel:
    """The first depth channel of *subscription*."""
    return reading_of(subscription)._depths[0]


def answering_connection_of(subscription: BaseSubscription, topic: str) -> Connection:
    """The connection on whose thread the past of *topic* is joined."""
    reading: Any = reading_of(subscription)
    connection = reading._submits[topic].__self__
    assert isinstance(connection, Connection)
    return connection


# --- The pool: which channel lives on which connection ------------------------------


def pool_of(user: User) -> Pool:
    """The pool of connections behind a subscription or a feed."""
    pool = user._pool
    assert isinstance(pool, Pool)
    return pool


def isolated_pool_of(user: User) -> IsolatedPool:
    """The same of one with ``isolate=True``."""
    pool = user._pool
    assert isinstance(pool, IsolatedPool)
    return pool


def caller_of(user: User) -> CallbackRunner:
    """What runs the callbacks of a feed, or of a subscription that has its own."""
    return pool_of(user).callback_runner


def readings_of(feed: Feed) -> tuple[View, ...]:
    """What the subscriptions of *feed* read from, of those that are not closed."""
    return feed._pool.views


def readings_with_own_counts(feed: Feed) -> list[View]:
    """The readings whose counts are not added up with those of closed ones yet."""
    return list(pool_of(feed)._present)


def set_history_worker(feed: Feed, worker: HistoryWorker) -> None:
    """Have *worker* fetch the past for the subscriptions of *feed*."""
    pool_of(feed).history_worker = worker


def settings_of(pool: Pool | IsolatedPool) -> Settings:
    """How the connections of *pool* behave."""
    assert isinstance(pool, Pool)
    return pool._settings


def change_settings(pool: Pool, **changes: Any) -> None:
    """Have the next connections of *pool* behave otherwise."""
    pool._settings = pool._settings._replace(**changes)


def credentials_of(feed: Feed) -> Credentials | None:
    """The key with which *feed* logs in."""
    return pool_of(feed)._credentials


def closing_connections_of(pool: Pool) -> tuple[Connection, ...]:
    """The connections that no channel lives on and that have not ended."""
    return pool._draining


def set_closing_connections(pool: Pool, *connections: Connection) -> None:
    """Have *connections* be those that are about to end."""
    pool._draining = connections


def replace_join(pool: Pool, make: Callable[[Joining], Joining]) -> Callable[[], None]:
    """Have *make*, given how a reading joins a connection, say how it is done instead.

    Returns what takes that back.
    """
    join = pool._join
    pool._join = make(join)  # type: ignore[assignment,method-assign]

    def undo() -> None:
        pool._join = join  # type: ignore[method-assign]

    return undo


def make_connection(pool: Pool, path: SocketPath, key: str) -> ConnectionChannels:
    """One more connection, on which no channel lives yet."""
    return pool._make_group(path, key)


def hand_over(pool: Pool, handover: Handover) -> None:
    """Have the standby of *handover* take the place of the old connection."""
    pool._install(handover)


def connections_per_reading(pool: Pool) -> list[int]:
    """Over how many connections each reading of *pool* has its channels."""
    return [len(channels) for channels in pool._held.values()]


def take_over(handover: Handover) -> None:
    """Have the standby take over now, on the thread of the old connection."""
    handover._release()


# --- A connection -------------------------------------------------------------------


def thread_of(owner: Connection | Dispatcher | ParentSender) -> threading.Thread | None:
    """The thread of a connection, of callbacks, or of what the worker says."""
    return owner._thread


def network_of(connection: Connection) -> Network:
    """Where *connection* opens its sockets."""
    return connection._network


def wrap_connection_threads(
    around: Callable[[Callable[[Connection], None], Connection], None],
) -> None:
    """Have each connection's thread call *around*, with what it does, and itself.

    For good: of the process.
    """
    run = Connection._run

    def wrapped(connection: Connection) -> None:
        around(run, connection)

    Connection._run = wrapped  # type: ignore[assignment,method-assign]


def give_every_host_a_turn(patch: pytest.MonkeyPatch) -> None:
    """Forget when connections to each host were opened last, and remember it after."""
    patch.setattr(HOST_GAP, "_next", {})


def waiting_frames(loop: Conversation) -> int:
    """How many frames were read that the connection's *loop* has not taken in."""
    return len(loop._frames)


def take_in(loop: Conversation, event: Event, now: float, wall: float) -> None:
    """Have the connection's *loop* act on what the session says happened."""
    loop._handle(event, now, wall)


def unsent_of(stream: TcpStream) -> int:
    """How many bytes wait until the socket takes them."""
    return len(stream._output)


def socket_of(stream: TcpStream) -> socket.socket:
    """The socket below *stream*."""
    return stream._socket


def proxy_of(network: TcpNetwork, scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy through which *network* connects to a host."""
    return network._find_proxy(scheme, host, port)


# --- A session ----------------------------------------------------------------------


def subscriptions_due(session: Session[Any]) -> float:
    """When *session* looks at its subscriptions again."""
    return session._subscriptions_due


def set_subscriptions_due(session: Session[Any], moment: float) -> None:
    """Have *session* look at its subscriptions at that moment."""
    session._subscriptions_due = moment


def open_request_of(session: Session[Any]) -> Any:
    """The request that is not answered yet, with its *op* and *channels*; or None."""
    return session._request


def spend_resubscription(session: Session[Any], now: float) -> None:
    """Take one request of the share of the budget that resubscribing has."""
    session._request_budget.spend_share(now)


def forget_pings(session: Session[Any]) -> None:
    """Have *session* wait for no pong."""
    session._heartbeat._in_flight.clear()


def set_spent(budget: Budget, spent: deque[float]) -> None:
    """Have *budget* keep the moments of its requests in *spent*."""
    budget._spent = spent


def spent_of(budget: Budget) -> deque[float]:
    """Where *budget* keeps the moments of its requests."""
    return budget._spent


# --- Channels -----------------------------------------------------------------------


def items_of(channel: SeriesChannel[Any]) -> deque[Any]:
    """Where *channel* keeps its items."""
    return channel._items


def set_items(channel: SeriesChannel[Any], items: deque[Any]) -> None:
    """Have *channel* keep its items in *items*."""
    channel._items = items


def known_ids_of(channel: TradeChannel) -> list[str]:
    """The ids of trades that *channel* would know again."""
    return list(channel._known)


def found_of(found: Found[Any]) -> dict[int, Any]:
    """What was found so far, by its place."""
    return found._found


# --- Delivery -----------------------------------------------------------------------


def queue_of(updates: Updates) -> UpdateQueue:
    """The update queue of an iterator."""
    return updates._queue


def take_without_waiting(queue: UpdateQueue) -> list[Item]:
    """All items that wait, without a look at the clock."""
    taken = []
    with queue._changed:
        while (item := queue._pop()) is not None:
            taken.append(item)
    return taken


def waiting_in(queue: UpdateQueue | CallbackQueue | ParentSender) -> list[Any]:
    """What waits in an update queue, in a callback queue, or to be said."""
    return list(queue._waiting)


def counted_in(queue: CallbackQueue) -> int:
    """How many entries of a callback queue count against its bound."""
    return queue._counted


# --- Locks --------------------------------------------------------------------------


def lock_of(
    owner: UpdateQueue
    | CallbackRunner
    | Supervisor
    | Memory
    | Limiter
    | HostGap
    | TcpNetwork,
) -> Any:
    """The lock under which *owner* is changed; a condition where it is waited on."""
    if isinstance(owner, (UpdateQueue, Dispatcher)):
        return owner._changed
    locked: Any = owner
    return locked._lock


def request_lock_of(rest: Rest) -> threading.Lock:
    """Held while one request of *rest* is under way."""
    return rest._fetcher.lock


# --- Isolation: the supervisor and its process --------------------------------------


def supervisor_of(user: User) -> Supervisor:
    """What keeps the process of an isolated feed alive."""
    supervisor = isolated_pool_of(user)._supervisor
    assert supervisor is not None
    return supervisor


def process_of(owner: User | Supervisor) -> WorkerProcess | None:
    """The process that reads for a subscription or a feed, once it is started."""
    supervisor = owner if isinstance(owner, Supervisor) else supervisor_of(owner)
    return supervisor._process


def popen_of(process: WorkerProcess) -> subprocess.Popen[bytes]:
    """What the system knows of *process*."""
    return process._process


def set_backoff(supervisor: Supervisor, policy: Reconnect) -> None:
    """Have *supervisor* start its process again by *policy*."""
    supervisor._policy = policy


def wakers_of(supervisor: Supervisor) -> tuple[socket.socket, socket.socket]:
    """The two sockets with which the thread of *supervisor* is woken."""
    return supervisor._sender, supervisor._receiver


def close_wakers(supervisor: Supervisor) -> None:
    """Close those, of a *supervisor* that was never started."""
    supervisor._close_wakers()


def replace_answers(pool: IsolatedPool, hear: Callable[[int, Any], None]) -> None:
    """Have *hear* be called with each answer of the process, on its own thread."""
    pool._on_answer = hear  # type: ignore[assignment,method-assign]


def leaves_slots(pool: IsolatedPool) -> bool:
    """Whether the process may yet write to slots of closed subscriptions."""
    return bool(pool._leaving)


def memory_of(owner: IsolatedPool | Store) -> Memory:
    """The memory that is shared with the process."""
    store = owner._store if isinstance(owner, IsolatedPool) else owner
    assert store._memory is not None
    return store._memory


# --- Isolation: the worker, in that process -----------------------------------------


def set_pool_of_worker(worker: Worker, pool: Any, writers: Mapping[int, Any]) -> None:
    """Have *worker* read by *pool*, and write by *writers*, each with its number."""
    worker._pool = pool
    worker._relays.update(writers)


def unsubscribe(worker: Worker, number: int) -> None:
    """Have *worker* do what it does when it is told to unsubscribe."""
    worker._unsubscribe(number)


def close_selector(worker: Worker) -> None:
    """Close what the process's end closes."""
    worker._selector.close()


# --- Shared memory ------------------------------------------------------------------


def slot_of(channel: AnyMirror | DepthChannel) -> Slot:
    """The slot from which a shared *channel* is read."""
    shared: Any = channel
    assert isinstance(shared._slot, Slot)
    return shared._slot


def link_slots_of(links: RemoteLinks) -> list[Slot]:
    """The slots in which connections show their signs of life."""
    return links._slots


def link_number_of(link: RemoteLink) -> int:
    """The number by which a link is told from an earlier one in its slot."""
    return link._number


def forget_value(slot: Slot) -> None:
    """Have the next read of *slot* be from the memory, as after every write."""
    slot._seen = (0, None)


def version_of(slot: Slot) -> int:
    """How often *slot* was written."""
    return slot._words[slot._word]


def set_version(slot: Slot, version: int) -> None:
    """Say that *slot* was written so often."""
    slot._words[slot._word] = version


def bytes_in(slot: Slot, start: int, length: int, buffer: int = 0) -> bytes:
    """What is in the memory of one of the two buffers of *slot*."""
    at = slot._at + buffer * slot._stride + start
    return bytes(slot._bytes[at : at + length])


def flip_bits(slot: Slot, at: int, mask: int = 1, buffer: int = 0) -> None:
    """Spoil the byte at *at* of one of the two buffers of *slot*."""
    slot._bytes[slot._at + buffer * slot._stride + at] ^= mask


def slot_that_tells(
    memory: Memory, slot: Slot, copies: Callable[[int], object]
) -> Slot:
    """The place of *slot* again; *copies* is told each version before it is copied."""

    class ObservedSlot(Slot):
        __slots__ = ()

        def _copy(self, version: int) -> bytes | None:
            copies(version)
            return super()._copy(version)

    place = SlotAddress(0, slot._at - HEADER, slot.capacity)
    return ObservedSlot(memory._chunks[0], place, bytes)


def chunk_sizes(memory: Memory) -> list[int]:
    """How long each mapped part of *memory* is."""
    return [chunk.size for chunk in memory._chunks]


def sizes_given_back(memory: Memory) -> list[int]:
    """For which capacities there was ever a slot that was given back."""
    return list(memory._free)


def around_link_writes(
    patch: pytest.MonkeyPatch, around: Callable[[Callable[[], None]], None]
) -> None:
    """Have *around* be called, with the write itself, when a link is written."""
    write = SharedLink._write

    def wrapped(link: SharedLink) -> None:
        around(lambda: write(link))

    patch.setattr(SharedLink, "_write", wrapped)


def message_head(length: int) -> bytes:
    """How a message of *length* bytes begins, between two processes."""
    from okex_ws.isolation import process

    return process._PREFIX.pack(process._MAGIC, length, 0)


# --- Recording ----------------------------------------------------------------------


def file_of(recorder: Recorder) -> int:
    """The descriptor that *recorder* writes to."""
    return recorder._files._file


def set_file(recorder: Recorder, descriptor: int) -> None:
    """Have *recorder* write to *descriptor*."""
    recorder._files._file = descriptor


# --- Parsing ------------------------------------------------------------------------


def find_fast_json() -> Callable[[Any], Any]:
    """The quickest way to read JSON that is installed."""
    from okex_ws.protocol import json_text

    return json_text._find_fast()


# --- The local exchange -------------------------------------------------------------


def market_of(exchange: LocalExchange) -> Market:
    """The market that *exchange* runs."""
    return exchange._market


def instrument_markets_of(market: SyntheticMarket) -> list[InstrumentMarket]:
    """The instruments of *market* that some client has asked for."""
    return [active.instrument_market for active in market._active_instruments]


def on_loop_of(exchange: LocalExchange, do: Callable[[], Any]) -> Any:
    """What *do* returns, called in one step of the event loop of *exchange*."""
    return exchange._thread.call(do)


def clients_of(exchange: LocalExchange) -> Clients:
    """The clients of *exchange*; to be touched on its loop alone."""
    return exchange._hub.clients


def market_is_started(exchange: LocalExchange) -> bool:
    """Whether the market of *exchange* moves, or will in a moment."""
    return exchange._hub._starts is not None


def book_faults_of(exchange: LocalExchange) -> dict[str, dict[str, int | None]]:
    """Of each book of *exchange*, what goes wrong about it and how often."""
    return exchange._hub.faults.books


def holds_back(exchange: LocalExchange, channel: str) -> bool:
    """Whether a message of *channel* is kept to be sent behind the next one."""
    return exchange._hub._spoilers[channel]._held is not None


def sides_of(market: InstrumentMarket) -> tuple[BookSide, BookSide]:
    """The bids and the asks of one instrument."""
    return market._bids, market._asks


def best_rows_of(market: InstrumentMarket, count: int) -> tuple[list[Row], list[Row]]:
    """The best *count* rows of bids and of asks, as a whole book says them."""
    bids, asks = (market._rows(side.top(count)) for side in sides_of(market))
    return bids, asks


def followed_books_of(market: InstrumentMarket) -> list[Topic]:
    """The whole books of one instrument that are followed change by change."""
    return list(market._incremental_books)


def watches_of(side: BookSide) -> list[set[int]]:
    """What is told of each change of *side*."""
    return side._watches


# --- The command line ---------------------------------------------------------------


def replace_serving(
    patch: pytest.MonkeyPatch, serve: Callable[[LocalExchange], object]
) -> None:
    """Have ``okex-ws serve`` call *serve* in place of what it does until its end."""
    from okex_ws.cli.commands.serve import _CommandLoop

    patch.setattr(_CommandLoop, "work", lambda desk: serve(desk._exchange))


def make_serving(exchange: Any, plan: Sequence[tuple[float, str]]) -> Any:
    """What ``okex-ws serve`` runs: *plan* are its faults, each with its second."""
    from okex_ws.cli.commands.serve import _CommandLoop

    return _CommandLoop(exchange, list(plan))


def page_backwards(
    page: Callable[[Any, int], Sequence[Any]], limit: int, size: int
) -> list[Any]:
    """The newest *limit* of what *page* gives, asked for *size* at a time."""
    from okex_ws.cli.commands import history

    before, history._PAGE = history._PAGE, size
    try:
        return history._backwards(page, limit)
    finally:
        history._PAGE = before


def draw_book(axes: Axes, chart: ChartData) -> None:
    """Draw the bids and asks of *chart*."""
    from okex_ws.cli.recordings.picture import _draw_book

    _draw_book(axes, chart)


def dress(axes: Axes, chart: ChartData) -> None:
    """Draw the legend, the title and the scales of *chart*."""
    from okex_ws.cli.recordings.picture import _dress

    _dress(axes, chart)
