"""Each code of a `Cause`, brought about as a script would meet it.

`BROUGHT` has the codes that the tests of this file bring about, and the last test says
that it has them all.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

from okex_ws import (
    BackfillFailed,
    BudgetSpent,
    Cause,
    CauseCode,
    ConnectionLost,
    Credentials,
    Feed,
    Gap,
    LiveTimeout,
    LoginRejected,
    NotLive,
    OkexWSError,
    RawSubscription,
    Reconnect,
    State,
    StateChange,
    Timeouts,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.net.stream import TcpNetwork
from okex_ws.protocol.v5 import V5
from tests.support.fake_history import WorldHistoryWorker
from tests.support.http_proxy import HttpProxy
from tests.support.internals import process_of, set_history_worker
from tests.support.loopback_servers import (
    Server,
    closed_port,
    read_head,
    server_tls,
    wait_for_end,
)
from tests.support.recorder_taps import until
from tests.support.redis_server import RedisServer
from tests.support.virtual_world import Ladder, World

DEPTH, TRADES = "books5:BTC-USDT", "trades:BTC-USDT"
BTC = "BTC-USDT", "spot"
LIMIT = 30.0
KEY = Credentials("an-api-key", "a-secret-key", "a-passphrase")

BROUGHT: set[CauseCode] = set()
_Test = Callable[..., None]


def brings(*codes: CauseCode) -> Callable[[_Test], _Test]:
    """Note that a test brings *codes* about."""

    def note(test: _Test) -> _Test:
        BROUGHT.update(codes)
        return test

    return note


@pytest.fixture
def world(thread_or_shared: str) -> World:
    """A world whose reads go through shared memory the second time."""
    world = World("v5")
    world.exchange.first_pushes[DEPTH] = world.dialect.depth(0)
    return world


class Told:
    """A subscription, and all that it told."""

    def __init__(self, world: World, **keywords: Any) -> None:
        self.world = world
        self.errors: list[OkexWSError] = []
        self.changes: list[StateChange] = []
        self.seen: list[Cause] = []
        keywords = {"channels": ("depth5",), **keywords}
        told = {"on_error": self.errors.append, "on_state": self.changes.append}
        self.sub = world.subscribe(**told, **keywords)

    def look(self, at: float, **limits: float) -> None:
        """Note the cause that a read finds at *at*."""

        def note() -> None:
            with pytest.raises(NotLive) as caught:
                self.sub.depth(**limits)
            self.seen.append(caught.value.cause)
            if not limits:
                assert caught.value.cause == self.sub.health().cause

        self.world.at(at, note)

    def push(self, at: float, message: Any) -> None:
        self.world.at(at, lambda: self.world.peer_on("public").send(message))

    @property
    def codes(self) -> list[CauseCode | None]:
        return [cause.code for cause in self.seen]


def waited(sub: WSSubscription, timeout: float = 0.0) -> Any:
    """What `wait_live` raises, on a thread of the script."""
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            sub.wait_live(timeout)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(LIMIT)
    (error,) = raised
    return error


def codes_of(told: Iterable[Any]) -> list[CauseCode | None]:
    """The codes of errors, changes and gaps."""
    return [each.cause.code for each in told]


# --- The value ----------------------------------------------------------------------


def test_a_cause_is_its_sentence_and_is_true_if_there_is_one() -> None:
    cause = Cause(CauseCode.DNS, "no such name", "wss://x", "BTC-USDT", "depth5", 7)

    assert str(cause) == f"{cause}" == "no such name"
    assert f"{cause:>14}" == "  no such name"
    assert cause
    assert not Cause()
    assert str(Cause()) == ""
    names = ["code", "text", "endpoint", "instrument_id", "channel", "exchange_code"]
    names.append("new_id")
    assert [field.name for field in fields(cause)] == names


def test_a_cause_is_frozen_and_slotted_and_crosses_a_process_whole() -> None:
    cause = Cause(CauseCode.DNS, "no such name", "wss://x", "BTC-USDT", "depth5", "7")

    with pytest.raises(FrozenInstanceError):
        cause.text = "another"  # type: ignore[misc]
    assert not hasattr(cause, "__dict__")
    copied = pickle.loads(pickle.dumps(cause))
    assert (copied, hash(copied)) == (cause, hash(cause))
    assert copied.code is CauseCode.DNS


def test_a_code_is_a_text() -> None:
    assert CauseCode.FIRST_PONG == "first-pong"
    assert f"{CauseCode.FIRST_PONG}" == str(CauseCode.FIRST_PONG) == "first-pong"
    assert CauseCode("first-pong") is CauseCode.FIRST_PONG


def test_what_is_live_has_no_cause(world: World) -> None:
    told = Told(world)
    seen: list[Cause] = []
    world.at(1, lambda: seen.append(told.sub.health().cause))

    world.run(2)

    assert seen == [Cause()]
    live = [change for change in told.changes if change.new is State.LIVE]
    assert [bool(change.cause) for change in live] == [False]


# --- Nothing is there yet -----------------------------------------------------------


@brings(CauseCode.CONNECTING)
def test_before_the_first_connection(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    cause = sub.health().cause

    world.run(1)

    text = "not connected yet"
    assert cause == Cause(CauseCode.CONNECTING, text, "", "BTC-USDT", "depth5")


@brings(CauseCode.FIRST_PONG)
def test_before_the_first_pong(world: World) -> None:
    world.exchange.answers_pings = False
    told = Told(world)
    told.look(1)

    world.run(2)

    assert told.codes == [CauseCode.FIRST_PONG]
    assert told.seen[0].instrument_id == "BTC-USDT"


@brings(CauseCode.SUBSCRIBING)
def test_before_the_acknowledgement(world: World) -> None:
    world.exchange.acknowledges = False
    told = Told(world)
    told.look(1)

    world.run(30)

    assert told.codes == [CauseCode.SUBSCRIBING]
    assert told.seen[0].channel == "depth5"
    # After a while the request counts as unanswered.
    assert codes_of(told.errors) == [CauseCode.SUBSCRIBING] * len(told.errors)
    assert told.errors


@brings(CauseCode.SNAPSHOT)
def test_before_the_first_push(world: World) -> None:
    world.exchange.first_pushes.clear()
    told = Told(world)
    told.look(1)

    world.run(2)

    text = "waiting for the first push"
    assert told.seen == [Cause(CauseCode.SNAPSHOT, text, "", "BTC-USDT", "depth5")]


@brings(CauseCode.NO_SUBSCRIPTION)
def test_without_a_subscription(world: World) -> None:
    feed = world.feed()
    assert feed.health().cause.code is CauseCode.NO_SUBSCRIPTION
    told = Told(world, channels=("trade",))
    seen: list[Cause] = []

    def read() -> None:
        with pytest.raises(NotLive) as caught:
            told.sub.depth()
        seen.append(caught.value.cause)

    world.at(1, read)
    world.run(2)

    assert codes_of_causes(seen) == [CauseCode.NO_SUBSCRIPTION]


def codes_of_causes(causes: Iterable[Cause]) -> list[CauseCode | None]:
    return [cause.code for cause in causes]


# --- A value is too old -------------------------------------------------------------


@brings(CauseCode.LEASE)
def test_a_callback_that_blocks_lets_the_lease_run_out(world: World) -> None:
    told = Told(world, on_message=lambda text: world.sleep(60) if "7.7" in text else 0)
    told.push(2, world.dialect.depth(2000, bid="7.7"))
    told.look(50)

    world.run(100)

    assert told.codes == [CauseCode.LEASE]


@brings(CauseCode.CLOCK_JUMP)
def test_a_clock_that_jumps(world: World) -> None:
    told = Told(world)
    world.at(6, lambda: setattr(world.clock, "offset", world.clock.offset + 30))
    told.look(6.01)

    world.run(7)

    assert told.codes == [CauseCode.CLOCK_JUMP]


@brings(CauseCode.IDLE)
def test_a_repeat_that_does_not_come(world: World) -> None:
    ladder = Ladder(world)
    feed = world.feed(world.venue(idle_repeat=60.0))
    told = Told(world, feed=feed, channels=("depth",))
    world.at(1, lambda: setattr(world.exchange, "acknowledges", False))

    world.run(100)

    assert ladder.key in {key for peer in world.peers for key in peer.subscribed}
    stale = [change for change in told.changes if change.new is State.STALE]
    assert codes_of(stale) == [CauseCode.IDLE]


@brings(CauseCode.MAX_AGE, CauseCode.MAX_SILENCE, CauseCode.MAX_LAG)
def test_the_limits_of_a_script(world: World) -> None:
    told = Told(world)
    for second in (1, 2, 3):
        told.push(second, world.dialect.depth(1000 * second))
    told.push(4, world.dialect.depth(3500))
    told.look(4.01, max_lag=0.2)
    told.look(4.3, max_age=0.1)
    told.look(4.4, max_silence=0.1)

    world.run(5)

    assert told.codes == [CauseCode.MAX_LAG, CauseCode.MAX_AGE, CauseCode.MAX_SILENCE]
    assert {cause.instrument_id for cause in told.seen} == {"BTC-USDT"}


# --- Data could not be used ---------------------------------------------------------


@brings(CauseCode.UNREADABLE)
def test_a_message_that_cannot_be_read(world: World) -> None:
    told = Told(world, channels=("depth5", "trade"))
    updates = told.sub.updates()
    told.push(1, world.dialect.push("books5", {"bids": "none"}))
    told.push(1.1, world.dialect.push("trades", {"tradeId": "7"}))
    told.look(1.2)

    world.run(2)

    assert told.codes == [CauseCode.UNREADABLE]
    assert (told.seen[0].instrument_id, told.seen[0].channel) == (BTC[0], "depth5")
    assert codes_of(told.errors) == [CauseCode.UNREADABLE] * 2
    assert [error.cause.channel for error in told.errors] == ["depth5", "trade"]
    assert [error.instrument_id for error in told.errors] == [BTC[0]] * 2
    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [CauseCode.UNREADABLE]
    assert gaps[0].cause.channel == "trade"


@brings(CauseCode.CHECKSUM)
def test_a_book_of_another_checksum(thread_or_shared: str) -> None:
    world = World("v3")
    ladder = Ladder(world)
    told = Told(world, channels=("depth",))

    def spoil() -> None:
        message = ladder.size("5")
        message["data"][0]["checksum"] += 1
        ladder.send(message)

    world.at(1, spoil)
    told.look(1.01)
    world.run(2)

    assert told.codes == codes_of(told.errors) == [CauseCode.CHECKSUM]
    assert told.seen[0] == told.errors[0].cause


@brings(CauseCode.SEQUENCE)
def test_a_push_that_does_not_follow(world: World) -> None:
    ladder = Ladder(world)
    told = Told(world, channels=("depth",))
    updates = told.sub.updates()
    world.at(1, lambda: ladder.size("5"))
    world.at(1.1, lambda: ladder.send(ladder.size("6")))
    told.look(1.11)

    world.run(2)

    assert told.codes == codes_of(told.errors) == [CauseCode.SEQUENCE]
    assert (told.errors[0].instrument_id, told.errors[0].topic) == (BTC[0], "depth")
    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [CauseCode.SEQUENCE]


# --- The line -----------------------------------------------------------------------


@brings(CauseCode.NETWORK)
def test_a_line_that_is_cut(world: World) -> None:
    told = Told(world)
    world.at(1, lambda: world.peer_on("public").drop())

    world.run(2)

    endpoint = f"{world.url}/public"
    assert codes_of(told.errors) == [CauseCode.NETWORK]
    (lost,) = [each for each in told.changes if each.new is State.RECONNECTING]
    expected = Cause(CauseCode.NETWORK, "reset by peer", endpoint)
    assert told.errors[0].cause == expected
    assert lost.cause == replace(expected, instrument_id="BTC-USDT")


@brings(CauseCode.CLOSED_BY_EXCHANGE)
def test_a_close_frame(world: World) -> None:
    told = Told(world)
    world.at(1, lambda: world.peer_on("public").close(1012, "restart"))

    world.run(2)

    (error,) = told.errors
    assert error.cause.code is CauseCode.CLOSED_BY_EXCHANGE
    assert error.cause.exchange_code == 1012
    assert str(error.cause) == "restart (close code 1012)"


@brings(CauseCode.PONG)
def test_pongs_that_stop(world: World) -> None:
    told = Told(world)
    world.at(3, lambda: setattr(world.exchange, "answers_pings", False))

    world.run(40)

    assert set(codes_of(told.errors)) == {CauseCode.PONG}
    assert {error.cause.endpoint for error in told.errors} == {f"{world.url}/public"}
    lost = [each for each in told.changes if each.new is State.RECONNECTING]
    assert CauseCode.PONG in codes_of(lost)


def failing(
    url: str, where: dict[str, bool], code: CauseCode, **keywords: Any
) -> OkexWSError:
    """The error of an attempt at *url*, whose cause a read finds, too."""
    keywords.setdefault("proxy", "")
    venue = Venue("elsewhere", "v5", (url,))
    once = Reconnect(first=60.0, cap=60.0)
    with WSSubscription(*BTC, venue=venue, reconnect=once, **where, **keywords) as sub:
        give_up = time.monotonic() + LIMIT
        while sub.state is State.CONNECTING and time.monotonic() < give_up:
            time.sleep(0.005)
        cause = sub.health().cause
        # The error is told a moment later.
        while (late := waited(sub)).__cause__ is None and time.monotonic() < give_up:
            time.sleep(0.005)
        error = late.__cause__
    assert isinstance(late, LiveTimeout)
    assert isinstance(error, OkexWSError)
    assert error.cause.code is code
    assert error.cause.endpoint == f"{url}/public"
    assert cause == replace(error.cause, instrument_id="BTC-USDT")
    assert late.cause == cause
    assert url not in cause.text
    return error


@brings(CauseCode.NETWORK)
def test_a_port_on_which_nothing_listens(where: dict[str, bool]) -> None:
    failing(f"ws://127.0.0.1:{closed_port()}/ws/v5", where, CauseCode.NETWORK)


@brings(CauseCode.DNS)
@pytest.mark.parametrize("found", [[], None])
def test_a_name_without_an_address(found: list[Any] | None) -> None:
    def resolve(host: str) -> list[Any]:
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def network() -> TcpNetwork:
        return TcpNetwork(resolve=resolve, proxy="")

    url = "ws://nowhere.invalid/ws/v5"
    failing(url, {}, CauseCode.DNS, network=network, proxy=None)


@brings(CauseCode.DNS)
def test_name_servers_that_do_not_answer() -> None:
    with contextlib.ExitStack() as stack:
        waits: queue.Queue[None] = queue.Queue()
        stack.callback(waits.put, None)

        def resolve(host: str) -> list[Any]:
            waits.get(timeout=LIMIT)
            return []

        def network() -> TcpNetwork:
            return TcpNetwork(resolve=resolve, proxy="")

        url, soon = "ws://nowhere.invalid/ws/v5", Timeouts(connect=0.1)
        keywords: dict[str, Any] = {"network": network, "proxy": None}
        failing(url, {}, CauseCode.DNS, timeouts=soon, **keywords)


@brings(CauseCode.CONNECT_TIMEOUT)
def test_a_handshake_that_is_not_answered(where: dict[str, bool]) -> None:
    with Server(wait_for_end) as server:
        url, soon = f"ws://127.0.0.1:{server.port}/ws/v5", Timeouts(connect=0.2)
        failing(url, where, CauseCode.CONNECT_TIMEOUT, timeouts=soon)


@brings(CauseCode.HANDSHAKE)
@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 403 Forbidden\r\n\r\n", 403), (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", None)],
)
def test_a_handshake_that_is_refused(
    where: dict[str, bool], answer: bytes, status: int | None
) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)

    with Server(handler) as server:
        url = f"ws://127.0.0.1:{server.port}/ws/v5"
        error = failing(url, where, CauseCode.HANDSHAKE)

    assert error.cause.exchange_code == status


@brings(CauseCode.TLS)
def test_a_server_that_speaks_no_tls(where: dict[str, bool]) -> None:
    def handler(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        wait_for_end(sock)

    with Server(handler) as server:
        failing(f"wss://127.0.0.1:{server.port}/ws/v5", where, CauseCode.TLS)


@brings(CauseCode.CERTIFICATE)
def test_a_certificate_that_this_machine_does_not_trust(where: dict[str, bool]) -> None:
    with Server(wait_for_end, server_tls()) as server:
        url = f"wss://localhost:{server.port}/ws/v5"
        failing(url, where, CauseCode.CERTIFICATE)


REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"


@brings(CauseCode.PROXY)
@pytest.mark.parametrize("how", ["closed", "refuses", "leaves", "is silent"])
def test_a_proxy(where: dict[str, bool], how: str) -> None:
    keywords: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        if how == "closed":
            proxy = f"http://127.0.0.1:{closed_port()}"
        elif how == "is silent":
            server = stack.enter_context(Server(wait_for_end))
            proxy = f"http://127.0.0.1:{server.port}"
            keywords["timeouts"] = Timeouts(connect=0.2)
        else:
            answer = REFUSAL if how == "refuses" else b""
            proxy = stack.enter_context(HttpProxy(answer=answer, closes=True)).url
        url = "ws://exchange.invalid/ws/v5"
        error = failing(url, where, CauseCode.PROXY, proxy=proxy, **keywords)

    assert error.cause.exchange_code == (407 if how == "refuses" else None)


# --- The exchange refused -----------------------------------------------------------


@brings(CauseCode.TIER, CauseCode.MALFORMED, CauseCode.BUSY)
@pytest.mark.parametrize(
    ("code", "said", "times"),
    [
        ("64003", CauseCode.TIER, None),
        ("60012", CauseCode.MALFORMED, None),
        ("50001", CauseCode.BUSY, 1),
    ],
)
def test_a_refusal_by_its_code(
    exchange: LocalExchange, code: str, said: CauseCode, times: int | None
) -> None:
    exchange.reject(DEPTH, code, "no", times=times)
    errors: list[OkexWSError] = []
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, channels=("depth5",), on_error=errors.append
    ) as sub:
        # What passes is over before the subscription is live.
        with contextlib.suppress(OkexWSError):
            sub.wait_live(LIMIT)
        assert sub.state is (State.LIVE if times else State.FAILED)

    assert codes_of(errors) == [said]
    assert errors[0].cause.exchange_code == code


@brings(CauseCode.REGION)
def test_a_key_of_another_region(exchange: LocalExchange) -> None:
    exchange.reject_login("60032", "API key doesn't exist")
    venue, key = exchange.venue_v5, exchange.credentials[0]
    with Feed(venue, credentials=key) as feed:
        sub = RawSubscription([{"channel": "account"}], feed=feed)
        with pytest.raises(LoginRejected) as caught:
            sub.wait_live(LIMIT)

    assert caught.value.cause.code is CauseCode.REGION
    assert "'okx-eea'" in caught.value.advice


@brings(CauseCode.REJECTED)
def test_a_channel_that_does_not_exist(world: World) -> None:
    world.exchange.unknown.add(DEPTH)
    told = Told(world)
    told.look(1)
    news: list[Any] = []
    world.at(1, lambda: news.append(waited(told.sub)))

    world.run(2)

    assert told.codes == [CauseCode.REJECTED]
    assert told.seen[0].exchange_code == "60018"
    assert (told.seen[0].instrument_id, told.seen[0].channel) == (BTC[0], "depth5")
    assert told.changes[-1].cause == told.seen[0] == news[0].cause
    assert told.changes[-1].new is State.FAILED
    assert told.errors[0].instrument_id == "BTC-USDT"


@brings(CauseCode.LOGIN)
def test_a_key_that_is_refused(world: World) -> None:
    world.exchange.login_refusal = "60005", "Invalid apiKey"
    errors: list[Exception] = []
    feed = world.feed(credentials=KEY)
    sub = RawSubscription(["account"], feed=feed, on_error=errors.append)

    world.run(2)

    assert isinstance(sub.health().failed["account"], LoginRejected)
    assert codes_of(errors) == [CauseCode.LOGIN]
    assert codes_of(errors) == [sub.health().cause.code]
    assert sub.health().cause.exchange_code == "60005"


@brings(CauseCode.BUDGET)
def test_requests_that_have_to_wait(world: World) -> None:
    feed = world.feed(world.venue(requests_per_hour=3))
    told = Told(world, feed=feed)
    for second, name in ((10, "ETH-USDT"), (20, "LTC-USDT")):
        world.at(second, lambda n=name: world.subscribe(n, feed=feed))

    world.run(30)

    spent = [error for error in told.errors if isinstance(error, BudgetSpent)]
    assert codes_of(spent) == [CauseCode.BUDGET] * len(spent)
    assert spent


# --- Items are missing --------------------------------------------------------------


@brings(CauseCode.OUTAGE, CauseCode.IDS_RESTARTED)
def test_items_that_were_missed_or_begin_anew(world: World) -> None:
    told = Told(world, channels=("trade",))
    updates = told.sub.updates()
    told.push(1, world.dialect.trade("7", 1000))
    world.at(2, lambda: world.peer_on("public").drop())
    told.push(6, world.dialect.trade("11", 6000))
    told.push(7, world.dialect.trade("3", 7000))

    world.run(8)

    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [CauseCode.OUTAGE, CauseCode.IDS_RESTARTED]
    for gap in gaps:
        assert (gap.cause.instrument_id, gap.cause.channel) == ("BTC-USDT", "trade")


def test_a_whole_book_that_was_missed_says_why_the_line_was_lost(world: World) -> None:
    Ladder(world)
    told = Told(world, channels=("depth",))
    updates = told.sub.updates()
    world.at(1, lambda: world.peer_on("public").close(1012, "restart"))

    world.run(3)

    (gap,) = [item for item in updates if isinstance(item, Gap)]
    assert gap.cause.code is CauseCode.OUTAGE
    assert gap.cause.endpoint == f"{world.url}/public"
    assert gap.cause.exchange_code == 1012


@brings(CauseCode.HANDOVER)
def test_pushes_at_a_change_of_the_connection(world: World) -> None:
    feed = world.feed()
    sub = RawSubscription(["status"], feed=feed)
    updates = sub.updates()
    world.at(7, feed.rotate)

    world.run(40)

    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [CauseCode.HANDOVER]


@brings(CauseCode.QUEUE)
def test_a_script_that_is_too_slow(world: World) -> None:
    told = Told(world, channels=("trade",))
    updates = told.sub.updates(max_queue=1)
    for number in range(5):
        told.push(2 + number, world.dialect.trade(str(7 + number), 2000 + number))

    world.run(8)

    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [CauseCode.QUEUE]
    assert (gaps[0].cause.instrument_id, gaps[0].cause.channel) == (BTC[0], "trade")


class NoPast:
    """A history that cannot be asked for anything."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def trades(self, *args: Any, **bounds: Any) -> Any:
        raise self.error

    candles = book = trades


@brings(CauseCode.HISTORY, CauseCode.PACKAGE)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no such past"), CauseCode.HISTORY),
        (ModuleNotFoundError("No module named 'httpx'"), CauseCode.PACKAGE),
    ],
)
def test_a_past_that_cannot_be_fetched(
    world: World, error: Exception, code: CauseCode
) -> None:
    source: Any = NoPast(error)
    feed = world.feed(history_source=lambda: source)
    set_history_worker(feed, WorldHistoryWorker(world, lambda: source, 4.0))
    told = Told(world, feed=feed, channels=("trades-all",), history=50)
    updates = told.sub.updates()
    raised: list[LiveTimeout] = []
    last = {"instId": BTC[0], "tradeId": "7", "px": "1", "sz": "3", "side": "buy"}
    push = world.dialect.push("trades-all", {**last, "ts": world.dialect.stamp(1000)})
    world.at(1, lambda: world.peer_on("business").send(push))

    world.at(2, lambda: raised.append(waited(told.sub)))

    world.run(30)

    assert codes_of(raised) == [CauseCode.HISTORY]
    failed = [each for each in told.errors if isinstance(each, BackfillFailed)]
    assert codes_of(failed) == [code]
    assert failed[0].instrument_id == "BTC-USDT"
    gaps = [item for item in updates if isinstance(item, Gap)]
    assert codes_of(gaps) == [code]
    assert str(error) in str(gaps[0].cause)


# --- This machine -------------------------------------------------------------------


@brings(CauseCode.CLOSED)
def test_what_the_script_closed(world: World) -> None:
    told = Told(world)
    feed = world.feed()

    world.run(1)

    feed.close()
    assert feed.health().cause.code is CauseCode.CLOSED
    with pytest.raises(NotLive) as caught:
        feed.wait_live(0.0)
    assert caught.value.cause.code is CauseCode.CLOSED
    assert told.changes[-1].cause.code is CauseCode.CLOSED
    with pytest.raises(NotLive) as caught:
        told.sub.wait_live(0.0)
    assert caught.value.cause.code is CauseCode.CLOSED
    assert caught.value.instrument_id == "BTC-USDT"


@brings(CauseCode.INTERNAL)
def test_an_error_of_the_library(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(world)

    def broken(self: Any, said: bytes) -> Any:
        raise KeyError("a bug")

    world.at(1, lambda: monkeypatch.setattr(V5, "read", broken))
    told.push(1, world.dialect.depth(1000))

    world.run(1.5)

    assert set(codes_of(told.errors)) == {CauseCode.INTERNAL}
    assert isinstance(told.errors[0], ConnectionLost)
    assert "a bug" in str(told.errors[0].cause)


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange() as exchange:
        yield exchange


@brings(CauseCode.READER)
def test_the_process_of_an_isolated_feed_ends(exchange: LocalExchange) -> None:
    slow = Reconnect(first=60.0, cap=60.0)
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, isolate=True, reconnect=slow
    ) as sub:
        sub.wait_live(LIMIT)
        process = process_of(sub)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        give_up = time.monotonic() + LIMIT
        while sub.state is State.LIVE and time.monotonic() < give_up:
            time.sleep(0.005)
        first = sub.health().cause
        while "SIGKILL" not in sub.health().cause.text and time.monotonic() < give_up:
            time.sleep(0.005)
        then = sub.health().cause

    assert first.code is then.code is CauseCode.READER
    assert str(then) == "the reading process ended (SIGKILL)"


@brings(CauseCode.FORKED)
def test_a_forked_child(exchange: LocalExchange, where: dict[str, bool]) -> None:
    with WSSubscription(*BTC, venue=exchange.venue_v5, **where) as sub:
        sub.wait_live(LIMIT)
        pid = os.fork()
        if pid == 0:
            is_told = sub.health().cause.code is CauseCode.FORKED
            os._exit(3 if is_told and sub.state is State.CLOSED else 4)
        _, status = os.waitpid(pid, 0)
        assert sub.state is State.LIVE

    assert os.waitstatus_to_exitcode(status) == 3


def test_a_refusal_crosses_an_isolated_feed_whole(
    exchange: LocalExchange, where: dict[str, bool]
) -> None:
    message = "Wrong URL or " + "x" * 150
    exchange.reject(DEPTH, "60018", message)
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, channels=("depth5",), **where
    ) as (sub):
        with pytest.raises(OkexWSError) as caught:
            sub.wait_live(LIMIT)
        cause = sub.health().cause

    assert cause == caught.value.cause
    assert cause.code is CauseCode.REJECTED
    assert (cause.instrument_id, cause.channel) == ("BTC-USDT", "depth5")
    assert cause.exchange_code == "60018"
    assert "x" * 100 in str(cause)


def test_a_message_that_cannot_be_read_crosses_an_isolated_feed_whole(
    exchange: LocalExchange, where: dict[str, bool]
) -> None:
    with WSSubscription(
        *BTC, venue=exchange.venue_v5, channels=("depth5",), **where
    ) as (sub):
        sub.wait_live(LIMIT)
        exchange.silence(DEPTH)
        exchange.send_event(
            {"arg": {"channel": "books5", "instId": BTC[0]}, "data": [1]}
        )
        give_up = time.monotonic() + LIMIT
        while sub.state is State.LIVE and time.monotonic() < give_up:
            sub.GetDepth()
            time.sleep(0.005)
        cause = sub.health().cause

    assert cause.code is CauseCode.UNREADABLE
    assert (cause.instrument_id, cause.channel) == ("BTC-USDT", "depth5")
    assert "unreadable message" in str(cause)


# --- What wait_live waits for -------------------------------------------------------


def test_wait_live_says_what_it_still_waits_for(world: World) -> None:
    """The depth is live, and the exchange does not answer for the trades."""
    told = Told(world, channels=("depth5", "trade"))
    answer = world.exchange.answer_one

    def one(peer: Any, request: dict[str, Any], arg: Any) -> None:
        if arg["channel"] != "trades":
            answer(peer, request, arg)

    world.exchange.answer_one = one  # type: ignore[method-assign]
    raised: list[LiveTimeout] = []
    world.at(1, lambda: raised.append(waited(told.sub)))

    world.run(2)

    (error,) = raised
    assert isinstance(error, TimeoutError)
    assert not isinstance(error, OkexWSError)
    text = "waiting for the acknowledgement"
    assert error.cause == Cause(CauseCode.SUBSCRIBING, text, "", "BTC-USDT", "trade")
    assert (error.state, error.instrument_id, error.after) == (State.LIVE, BTC[0], 0.0)
    assert str(error) == f"BTC-USDT is LIVE after 0 s: {text}"
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.cause) == (str(error), error.cause)


@brings(CauseCode.EXPIRED)
def test_an_instrument_that_was_delivered_is_expired() -> None:
    with WSSubscription("BTC-USD-190517") as sub, pytest.raises(NotLive) as caught:
        sub.depth()

    text = "delivered 2019-05-17: name an instrument"
    assert caught.value.cause.code is CauseCode.EXPIRED
    assert caught.value.cause.instrument_id == "BTC-USD-190517"
    assert str(caught.value.cause) == text


@brings(CauseCode.SUSPENDED, CauseCode.SETTLING, CauseCode.REBASED, CauseCode.RENAMED)
def test_the_life_of_an_instrument(world: World) -> None:
    told = Told(world)
    listed = {"instId": BTC[0], "instIdCode": 3}
    states = ("suspend", "live", "settling", "live", "rebase", "live", "expired")

    def say(**fields: Any) -> None:
        argument = {"channel": "instruments", "instType": "SPOT"}
        world.peers[0].send({"arg": argument, "data": [{**listed, **fields}]})

    for second, state in enumerate(states, 2):
        world.at(second, lambda state=state: say(state=state))
        told.push(second + 0.5, world.dialect.depth(second * 1000))
    world.at(9, lambda: say(instId="XBT-USDT", state="live"))

    world.run(10)

    stale = [each for each in told.changes if each.new in (State.STALE, State.FAILED)]
    assert [each.cause.code for each in stale] == [
        *(CauseCode.SUSPENDED, CauseCode.SETTLING, CauseCode.REBASED),
        *(CauseCode.EXPIRED, CauseCode.RENAMED),
    ]
    assert (stale[-1].cause.new_id, stale[-1].instrument_id) == ("XBT-USDT", BTC[0])


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@brings(CauseCode.NOT_PUBLISHED, CauseCode.WITHHELD, CauseCode.LEASE_TOO_SHORT)
def test_what_another_machine_forwards(redis: RedisServer) -> None:
    with LocalExchange(instruments=["BTC-USDT"]) as exchange:
        venue = exchange.venue_v5
        with (
            Feed(venue, publish=redis.url, lease=3.0) as producer,
            Feed(venue, via=redis.url) as reader,
            Feed(venue, via=redis.url, lease=2.0) as hasty,
        ):
            (btc,) = reader.subscribe(["BTC-USDT"], channels=["depth5"])
            until(lambda: btc.health().cause.code is CauseCode.NOT_PUBLISHED)
            (mine,) = producer.subscribe(["BTC-USDT"], channels=["depth5"])
            btc.wait_live(10)
            (soon,) = hasty.subscribe(["BTC-USDT"], channels=["depth5"])
            until(lambda: soon.health().cause.code is CauseCode.LEASE_TOO_SHORT)
            changes = btc.updates(timeout=10.0)
            redis.call("PUBLISH", "{okx}:test:local:0:t:books5:BTC-USDT", "garbage")
            until(
                lambda: (
                    isinstance(item := next(changes), StateChange)
                    and item.cause.code is CauseCode.WITHHELD
                )
            )
            assert mine.state is State.LIVE


def test_each_code_is_brought_about_here() -> None:
    assert set(CauseCode) == BROUGHT
