"""Private parts of the library, for the tests: the only file that names them.

A test uses a public way where there is one. Else it uses a function of this file, whose
name is the field's term. When a private part of the library is renamed, this file
changes and no test does; `test_internals.py` checks that.

Only what ``import okex_ws`` loads is imported at run time: benchmarks and programs that
tests start use this file too, and must not load more than a user's program does.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from okex_ws.base.worker import LibraryThread
from okex_ws.delivery.conflating_queue import ConflatingQueue
from okex_ws.delivery.dispatcher import Dispatcher
from okex_ws.delivery.updates import UpdateQueue
from okex_ws.fanout.envelope import Beat, Forwarded
from okex_ws.fanout.pools import PublishingPool
from okex_ws.fanout.producer import PublishedView
from okex_ws.fanout.publisher import Topic
from okex_ws.fanout.subscriber import TopicReader
from okex_ws.isolation.pool import IsolatedPool
from okex_ws.isolation.shared_memory import HEADER, Memory, Slot, SlotAddress
from okex_ws.isolation.slot_writer import SharedEra
from okex_ws.isolation.supervisor import Supervisor
from okex_ws.pool.connection import HOST_GAP, Connection, Settings
from okex_ws.pool.pool import Pool

if TYPE_CHECKING:
    import socket
    import subprocess

    import pytest
    from matplotlib.axes import Axes

    from okex_ws import Credentials, Feed, Item, Reconnect, Updates
    from okex_ws.base.errors import WireError
    from okex_ws.base.rates import RateLimits
    from okex_ws.base.threads import Waiters
    from okex_ws.channels.series import TradeChannel
    from okex_ws.cli.recordings.story import ChartData
    from okex_ws.client.base import BaseSubscription
    from okex_ws.delivery.callbacks import CallbackRunner, Callbacks, OnError
    from okex_ws.delivery.view import View
    from okex_ws.history.gap_join import GapJoin
    from okex_ws.history.worker import HistoryWorker
    from okex_ws.isolation.process import WorkerProcess
    from okex_ws.isolation.slot_reading import RemoteEra, RemoteEras, SlotReading
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
    from okex_ws.pool.opening import Opening
    from okex_ws.pool.register import Register
    from okex_ws.protocol.unparsed import Unparsed
    from okex_ws.recording.recorder import Recorder
    from okex_ws.rest import Rest
    from okex_ws.session.events import Event
    from okex_ws.session.session import Session

    User = Union[BaseSubscription, Feed]


# --- Subscriptions ------------------------------------------------------------------


def reading_of(subscription: BaseSubscription) -> View:
    """The `View` through which *subscription* reads and judges its channels."""
    return subscription._view


def callbacks_of(subscription: BaseSubscription) -> Callbacks:
    """The callbacks of *subscription*."""
    return reading_of(subscription).callbacks


def set_on_error(subscription: BaseSubscription, on_error: OnError | None) -> None:
    """Set the *on_error* callback of *subscription* after it was made."""
    callbacks_of(subscription)._on_error = on_error


def is_ready(subscription: BaseSubscription) -> bool:
    """Whether ``wait_live()`` would return now; raises what it would raise."""
    return reading_of(subscription)._is_ready()


def depth_reading_of(subscription: BaseSubscription) -> Any:
    """The reading of the first depth of *subscription*."""
    return reading_of(subscription)._depths[0]


def parser_of(push: Unparsed) -> Any:
    """What parses *push*: its channel, or through shared memory that of its slot."""
    return push._channel


def answering_connection_of(subscription: BaseSubscription, topic: str) -> Connection:
    """The connection whose thread joins the history of *topic* to its live items."""
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
    """The pool behind a subscription or a feed with ``isolate=True``."""
    pool = user._pool
    assert isinstance(pool, IsolatedPool)
    return pool


def memory_key_of(user: User) -> int | str:
    """The key of the shared memory of an isolated feed, which its process is given."""
    return isolated_pool_of(user)._store.key


def caller_of(user: User) -> CallbackRunner:
    """The runner of the callbacks of a feed, or of a subscription without a feed."""
    return pool_of(user).callback_runner


def waits_for_end(user: User) -> int:
    """How many threads and coroutines wait for the end of a thread of *user*."""
    return sum(len(thread._waiters.bells) for thread in user._pool.threads)


def callback_thread_of(user: User) -> LibraryThread:
    """The thread of the callbacks of a feed with ``callbacks='thread'``."""
    thread = caller_of(user).thread
    assert thread is not None
    return thread


def readings_of(feed: Feed) -> tuple[View, ...]:
    """The views of those subscriptions of *feed* that are not closed."""
    return feed._pool.views


def readings_with_own_counts(feed: Feed) -> list[View]:
    """The views whose counts are not yet added to the counts of closed ones."""
    return list(pool_of(feed)._present)


def set_history_worker(feed: Feed, worker: HistoryWorker) -> None:
    """Have *worker* fetch the history for the subscriptions of *feed*."""
    pool_of(feed).history_worker = worker


def settings_of(pool: Pool | IsolatedPool) -> Settings:
    """The settings of the connections of *pool*."""
    assert isinstance(pool, Pool)
    return pool._settings


def change_settings(pool: Pool, **changes: Any) -> None:
    """Change the settings of the next connections of *pool*."""
    pool._settings = pool._settings._replace(**changes)


def credentials_of(feed: Feed) -> Credentials | None:
    """The credentials with which *feed* logs in."""
    return pool_of(feed)._credentials


def closing_connections_of(pool: Pool) -> tuple[Connection, ...]:
    """The connections on which no channel lives any more and that have not ended."""
    return pool._draining


def set_closing_connections(pool: Pool, *connections: Connection) -> None:
    """Set the connections on which no channel lives and that are about to end."""
    pool._draining = connections


def register_of(pool: Pool) -> Register:
    """The register of *pool*: which channel lives on which connection."""
    return pool._register


def connections_per_reading(pool: Pool) -> list[int]:
    """The number of connections that carry the channels of each view of *pool*."""
    table = pool._register.table
    rows = [table.of_view(view) for view in table.views if not view.internal]
    return [len({row.carrier for row in found}) for found in rows if found]


# --- A connection -------------------------------------------------------------------


def thread_of(owner: Connection | Dispatcher | ParentSender) -> threading.Thread | None:
    """The thread of a connection, of a dispatcher, or of the worker's sender."""
    held: Any = getattr(owner, "_worker", owner)
    threads: list[threading.Thread] = held.thread._threads
    return threads[-1] if threads else None


def network_of(connection: Connection) -> Network:
    """The network by which *connection* opens its sockets."""
    return connection._network


def wrap_connection_threads(
    around: Callable[[Callable[[Connection], None], Connection], None],
) -> None:
    """Have each connection's thread call *around* with its own loop and its connection.

    This lasts until the process ends.
    """
    run = LibraryThread._run

    def wrapped(thread: LibraryThread) -> None:
        owner = getattr(thread._turn, "__self__", None)
        if isinstance(owner, Connection):
            around(lambda _: run(thread), owner)
        else:
            run(thread)

    LibraryThread._run = wrapped  # type: ignore[assignment,method-assign]


def give_every_host_a_turn(patch: pytest.MonkeyPatch) -> None:
    """Forget when each host was last connected to; *patch* restores that later."""
    patch.setattr(HOST_GAP, "_limits", {})


def waiting_frames(loop: Opening) -> int:
    """How many frames were read that *loop* has not handled yet."""
    return len(loop._frames)


def loop_of(subscription: BaseSubscription) -> Opening:
    """The present opening of the connection of *subscription*'s first depth."""
    table = register_of(pool_of(subscription)).table
    row = table.rows[depth_reading_of(subscription).name]
    assert isinstance(row.carrier, Connection)
    assert row.carrier.opening is not None
    return row.carrier.opening


def messages_of(loop: Opening) -> int:
    """How many messages the connection of *loop* has counted."""
    return loop._counts.messages


def known_heads(loop: Opening) -> dict[bytes | None, str]:
    """The heads of pushes by which *loop* recognizes a channel, with its name."""
    return loop._recognition._names


def take_in(loop: Opening, event: Event, now: float, wall: float) -> None:
    """Have a connection's *loop* handle an event of its session."""
    loop._handle([event], now, wall)


def unsent_of(stream: TcpStream) -> int:
    """How many bytes wait until the socket takes them."""
    return len(stream._output)


def socket_of(stream: TcpStream) -> socket.socket:
    """The socket that *stream* reads and writes."""
    return stream._socket


def proxy_of(network: TcpNetwork, scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy through which *network* connects to a host."""
    return network._find_proxy(scheme, host, port)


# --- A session ----------------------------------------------------------------------


def subscriptions_due(session: Session[Any]) -> float:
    """When *session* next checks its subscriptions."""
    return session.subscriptions_due


def set_subscriptions_due(session: Session[Any], moment: float) -> None:
    """Have *session* check its subscriptions at *moment*."""
    session.subscriptions_due = moment


def open_request_of(session: Session[Any]) -> Any:
    """The request that awaits its answer, with its *op* and *channels*; or ``None``."""
    return session._request


def is_logged_in(session: Session[Any]) -> bool:
    """Whether the exchange has accepted the login of *session*, and has not lost it."""
    return session._login is not None and session._login.accepted


def spend_resubscription(session: Session[Any], now: float) -> None:
    """Spend one request of the resubscriptions' share of the request budget."""
    session._request_budget.spend_share(now)


def forget_pings(session: Session[Any]) -> None:
    """Have *session* forget its unanswered pings, so that it waits for no pong."""
    session.heartbeat._in_flight.clear()


# --- Channels -----------------------------------------------------------------------


def watch_kept_pushes(
    patch: pytest.MonkeyPatch,
    kept: Callable[[bytes], None],
    refused: Callable[[bytes], None],
) -> None:
    """Tell of each push that a channel keeps unparsed, and that cannot be parsed."""
    from okex_ws.channels import depth

    class Watched(depth.Unparsed):
        __slots__ = ()

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            kept(self.said)

        def _parse(self) -> WireError | None:
            fault = super()._parse()
            if fault is not None:
                refused(self.said)
            return fault

    patch.setattr(depth, "Unparsed", Watched)


def watch_kept_trades(
    patch: pytest.MonkeyPatch,
    kept: Callable[[bytes], None],
    refused: Callable[[bytes], None],
) -> None:
    """Tell of each trade that a channel keeps unparsed, and that cannot be parsed."""
    from okex_ws.channels.known_trades import KnownTrades, UnparsedTrade

    keep, parse = KnownTrades.keep, UnparsedTrade._parse

    def noted(known: KnownTrades, trade: UnparsedTrade, number: int) -> bool:
        if not keep(known, trade, number):
            return False
        kept(trade.said)
        return True

    def parsed(trade: UnparsedTrade) -> WireError | None:
        fault = parse(trade)
        if fault is not None:
            refused(trade.said)
        return fault

    patch.setattr(KnownTrades, "keep", noted)
    patch.setattr(UnparsedTrade, "_parse", parsed)


def keep_few_trades(patch: pytest.MonkeyPatch, kept: int) -> None:
    """Have channels keep *kept* items for reads, and know twice as many trades."""
    from okex_ws.channels import continuity, known_trades, reading, series

    for module in (continuity, reading, series):
        patch.setattr(module, "KEPT", kept)
    patch.setattr(known_trades, "KNOWN", 2 * kept)


def known_ids_of(channel: TradeChannel) -> list[str]:
    """The trade ids by which *channel* recognises a trade that it has."""
    return list(channel.continuity.known.ids())


def most_kept(join: GapJoin[Any]) -> int | None:
    """How many delivered items *join* keeps at the most."""
    return join._delivered.maxlen


# --- Delivery -----------------------------------------------------------------------


def queue_of(updates: Updates) -> UpdateQueue:
    """The update queue of an iterator."""
    return updates._queue


def take_without_waiting(queue: UpdateQueue) -> list[Item]:
    """All items that wait, taken without reading the clock."""
    taken = []
    while (item := queue._next(-math.inf)) is not None:
        taken.append(item)
    return taken


def waiting_in(owner: ConflatingQueue | ParentSender) -> list[Any]:
    """What waits in a conflating queue, or in the worker's sender."""
    if isinstance(owner, ConflatingQueue):
        return [entry.what for entry in owner._waiting]
    return list(owner._waiting)


def counted_in(queue: ConflatingQueue) -> int:
    """How many entries of a conflating queue count against its bound."""
    return len(queue._room)


def notes_in(queue: ConflatingQueue) -> int:
    """How many calls a conflating queue has noted and not applied."""
    return len(queue._notes)


def waiters_of(queue: UpdateQueue) -> Waiters:
    """The threads and coroutines that wait for an item of *queue*."""
    return queue._waiters


# --- Locks --------------------------------------------------------------------------


def lock_of(
    owner: UpdateQueue | CallbackRunner | Supervisor | Memory | RateLimits | TcpNetwork,
) -> Any:
    """The lock that guards *owner*."""
    if isinstance(owner, Dispatcher):
        return owner._queue._lock
    locked: Any = owner
    return locked._lock


def lock_of_callbacks(callbacks: Callbacks) -> threading.Lock:
    """The lock that guards what waits for the callbacks of one subscription."""
    return callbacks._queue._lock


def request_lock_of(rest: Rest) -> threading.Lock:
    """The lock that is held while a request of *rest* is under way."""
    return rest._fetcher._busy


def is_disposed(rest: Rest) -> bool:
    """Whether the connection of *rest* is closed."""
    return rest._client.is_closed


# --- Isolation: the supervisor and its process --------------------------------------


def supervisor_of(user: User) -> Supervisor:
    """The supervisor that keeps the process of an isolated feed alive."""
    supervisor = isolated_pool_of(user)._supervisor
    assert supervisor is not None
    return supervisor


def process_of(owner: User | Supervisor) -> WorkerProcess | None:
    """The process of an isolated subscription or feed; ``None`` before its start."""
    supervisor = owner if isinstance(owner, Supervisor) else supervisor_of(owner)
    return supervisor._process


def popen_of(process: WorkerProcess) -> subprocess.Popen[bytes]:
    """The ``Popen`` object of *process*."""
    return process._process


def set_backoff(supervisor: Supervisor, policy: Reconnect) -> None:
    """Set the *policy* by which *supervisor* restarts its process."""
    supervisor._policy = policy


def wakers_of(supervisor: Supervisor) -> tuple[socket.socket, socket.socket]:
    """The two sockets that wake the thread of *supervisor*."""
    return supervisor._sender, supervisor._receiver


def close_wakers(supervisor: Supervisor) -> None:
    """Close the waking sockets of a *supervisor* that was never started."""
    supervisor._close_wakers()


def replace_answers(pool: IsolatedPool, hear: Callable[[int, Any], None]) -> None:
    """Have the supervisor's thread call *hear* with each answer of the process."""
    pool._on_answer = hear  # type: ignore[assignment,method-assign]


def leaves_slots(pool: IsolatedPool) -> bool:
    """Whether the process may still write to slots of closed subscriptions."""
    return bool(pool._leaving)


def memory_of(owner: IsolatedPool | Store) -> Memory:
    """The memory that is shared with the process."""
    store = owner._store if isinstance(owner, IsolatedPool) else owner
    assert store._memory is not None
    return store._memory


# --- Isolation: the worker, in that process -----------------------------------------


def set_pool_of_worker(worker: Worker, pool: Any, writers: Mapping[int, Any]) -> None:
    """Give *worker* a pool, and slot *writers* by the numbers of subscriptions."""
    worker._pool = pool
    worker._relays.update(writers)


def unsubscribe(worker: Worker, number: int) -> None:
    """Have *worker* unsubscribe the subscription *number*, as if its parent asked."""
    worker._unsubscribe(number)


def close_selector(worker: Worker) -> None:
    """Close the selector of *worker*, which otherwise the end of its process closes."""
    worker._selector.close()


# --- Shared memory ------------------------------------------------------------------


def slot_of(reading: SlotReading) -> Slot:
    """The slot in shared memory that has the values of *reading*."""
    assert reading._slot is not None
    return reading._slot


def era_slots_of(eras: RemoteEras) -> list[Slot]:
    """The slots in which connections write their signs of life."""
    return eras._slots


def era_number_of(era: RemoteEra) -> int:
    """The number that tells *era* from an earlier one in the same slot."""
    return era._number


def forget_value(slot: Slot) -> None:
    """Have the next read of *slot* copy from the memory, as after every write."""
    slot._seen = (0, None)


def version_of(slot: Slot) -> int:
    """The version of *slot*, which every write raises."""
    return slot._words[slot._word]


def set_version(slot: Slot, version: int) -> None:
    """Set the version of *slot*."""
    slot._words[slot._word] = version


def bytes_in(slot: Slot, start: int, length: int, buffer: int = 0) -> bytes:
    """*length* bytes from *start* on, of one of the two buffers of *slot*."""
    at = slot._at + buffer * slot._stride + start
    return bytes(slot._bytes[at : at + length])


def flip_bits(slot: Slot, at: int, mask: int = 1, buffer: int = 0) -> None:
    """Damage the byte at *at* of one of the two buffers of *slot*."""
    slot._bytes[slot._at + buffer * slot._stride + at] ^= mask


def slot_that_tells(
    memory: Memory, slot: Slot, copies: Callable[[int], object]
) -> Slot:
    """A second reader of *slot*; *copies* is given each version before it is copied."""

    class ObservedSlot(Slot):
        __slots__ = ()

        def _copy(self, version: int) -> bytes | None:
            copies(version)
            return super()._copy(version)

    place = SlotAddress(0, slot._at - HEADER, slot.capacity)
    return ObservedSlot(memory._chunks[0], place, bytes)


def chunk_sizes(memory: Memory) -> list[int]:
    """The size of each mapped chunk of *memory*."""
    return [chunk.size for chunk in memory._chunks]


def sizes_given_back(memory: Memory) -> list[int]:
    """The capacities of which at least one slot was given back."""
    return list(memory._free)


def around_era_writes(
    patch: pytest.MonkeyPatch, around: Callable[[Callable[[], None]], None]
) -> None:
    """Have *around* called for each write of an era; it is given the write itself."""
    write = SharedEra._write

    def wrapped(era: SharedEra, held: bool = False) -> None:
        around(lambda: write(era, held))

    patch.setattr(SharedEra, "_write", wrapped)


def message_head(length: int) -> bytes:
    """The first bytes of a message of *length* bytes between two processes."""
    from okex_ws.isolation import process

    return process._PREFIX.pack(process._MAGIC, length, 0)


# --- Recording ----------------------------------------------------------------------


def file_of(recorder: Recorder) -> int:
    """The descriptor of the file that *recorder* writes to."""
    return recorder._files._file


def set_file(recorder: Recorder, descriptor: int) -> None:
    """Have *recorder* write to *descriptor*."""
    recorder._files._file = descriptor


# --- Parsing ------------------------------------------------------------------------


def find_fast_json() -> Callable[[Any], Any]:
    """The fastest JSON reader that is installed."""
    from okex_ws.protocol import json_text

    return json_text._find_fast()


# --- The local exchange -------------------------------------------------------------


def market_of(exchange: LocalExchange) -> Market:
    """The market that *exchange* runs."""
    return exchange._market


def instrument_markets_of(market: SyntheticMarket) -> list[InstrumentMarket]:
    """The instruments of *market* that at least one client has asked for."""
    return [active.instrument_market for active in market._active_instruments]


def on_loop_of(exchange: LocalExchange, do: Callable[[], Any]) -> Any:
    """Call *do* in one step of the event loop of *exchange*, and return its result."""
    return exchange._thread.call(do)


def clients_of(exchange: LocalExchange) -> Clients:
    """The clients of *exchange*; only its event loop may use them."""
    return exchange._hub.clients


def market_is_started(exchange: LocalExchange) -> bool:
    """Whether the market of *exchange* moves, or starts to in a moment."""
    return exchange._hub._starts is not None


def book_faults_of(exchange: LocalExchange) -> dict[str, dict[str, int | None]]:
    """The faults of each book of *exchange*, and how often each is still to happen."""
    return exchange._hub.faults.books


def holds_back(exchange: LocalExchange, channel: str) -> bool:
    """Whether a message of *channel* is held back until the next one is sent."""
    return exchange._hub._spoilers[channel]._held is not None


def sides_of(market: InstrumentMarket) -> tuple[BookSide, BookSide]:
    """The bids and the asks of one instrument."""
    return market._bids, market._asks


def best_rows_of(market: InstrumentMarket, count: int) -> tuple[list[Row], list[Row]]:
    """The best *count* rows of bids and of asks, in the form of a push."""
    bids, asks = (market._rows(side.top(count)) for side in sides_of(market))
    return bids, asks


def followed_books_of(market: InstrumentMarket) -> list[Topic]:
    """The incremental books of one instrument that clients follow."""
    return list(market._incremental_books)


def watches_of(side: BookSide) -> list[set[int]]:
    """The sets to which *side* adds each price that changes."""
    return side._watches


# --- The command line ---------------------------------------------------------------


def replace_serving(
    patch: pytest.MonkeyPatch, serve: Callable[[LocalExchange], object]
) -> None:
    """Have ``okex-ws serve`` call *serve* instead of its own loop."""
    from okex_ws.cli.commands.serve import _CommandLoop

    patch.setattr(_CommandLoop, "work", lambda loop: serve(loop._exchange))


def make_serving(exchange: Any, faults: Sequence[tuple[float, str]]) -> Any:
    """The command loop of ``okex-ws serve``; *faults* has each with its second."""
    from okex_ws.cli.commands.serve import _CommandLoop

    return _CommandLoop(exchange, list(faults))


def page_backwards(
    page: Callable[[Any, int], Sequence[Any]], limit: int, size: int
) -> list[Any]:
    """The newest *limit* items of *page*, fetched *size* at a time."""
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
    """Draw the title, the scales and the legend of *chart*."""
    from okex_ws.cli.recordings.picture import _dress

    _dress(axes, chart)


def published_topics(feed: Feed) -> tuple[set[str], int]:
    """The topics that *feed* publishes, and how many of its views follow those."""
    pool = feed._pool
    assert isinstance(pool, PublishingPool)
    views = pool._register.table.views
    views = tuple(view for view in views if isinstance(view, PublishedView))
    return set(pool.producer.publisher.topics), len(views)


def opening_numbers(feed: Feed, count: int) -> list[int]:
    """The numbers of so many openings of connections of the publishing *feed*."""
    pool = feed._pool
    assert isinstance(pool, PublishingPool)
    return [pool.settings.era(0.0).number for _ in range(count)]


def count_versions_anew(patch: pytest.MonkeyPatch) -> None:
    """Have each topic that is published anew begin with the first version."""
    init = Topic.__init__

    def anew(self: Any, *args: Any) -> None:
        init(self, *args[:-1], itertools.count(1))

    patch.setattr(Topic, "__init__", anew)


def weaken_topic_reader(patch: pytest.MonkeyPatch, how: str) -> None:
    """Take one part out of the proof of the fan-out, to see that it is needed."""
    judge, beat_of = TopicReader._judge, TopicReader._beat
    message = TopicReader._message

    def without_versions(self: Any, name: str, one: Any, beat: Beat, *rest: Any) -> Any:
        if (vouch := beat.topics.get(name)) is not None:
            topics = {**beat.topics, name: vouch._replace(version=0)}
            beat = beat._replace(topics=topics)
        return judge(self, name, one, beat, *rest)

    def by_receipt(self: Any, beat: Beat, now: float) -> list[Any]:
        probes = [probe._replace(at=now) for probe in self._probes]
        self._probes = deque(probes, self._probes.maxlen)
        return beat_of(self, beat, now)

    def any_session(self: Any, who: Any, now: float) -> list[Any]:
        self._identity = who
        return []

    def no_order(self: Any, said: Forwarded) -> list[Any]:
        return message(self, said._replace(after=0))

    weaker: dict[str, tuple[str, Callable[..., Any]]] = {
        "no versions": ("_judge", without_versions),
        "by receipt": ("_beat", by_receipt),
        "no ages": ("_oldest", lambda self, beat: 0.0),
        "any session": ("_meet", any_session),
        "no order": ("_message", no_order),
    }
    patch.setattr(TopicReader, *weaker[how])


def fail_to_close(files: Any) -> None:
    """Have each open file of an export raise at its end, as on a full disk."""

    class Full:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    for each in files._open.values():
        each._writer.close()
        each._writer = Full()
