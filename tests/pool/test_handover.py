"""One connection takes over from another, and no reader or iterator notices.

Virtual time. The exchange announces its restart, goes on for a minute, and closes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import InvalidState

from okex_ws import (
    BookUpdate,
    Candle,
    CauseCode,
    ConnectionLost,
    Credentials,
    Data,
    Feed,
    Gap,
    OkexWSError,
    OrderBook,
    RawSubscription,
    State,
    StateChange,
    Trade,
    WSSubscription,
)
from okex_ws.pool.handover import Handover, move
from okex_ws.pool.register import Register, Row
from tests.support.causes import because, gap_for
from tests.support.internals import closing_connections_of, pool_of
from tests.support.virtual_world import Ladder, World, listen

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

NOTICE = {
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed for a service upgrade.",
    "connId": "a4d3ae55",
}
NAMES = ("BTC-USDT", "ETH-USDT")
KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")


class BusyMarket:
    """A market that never rests, and everything that a feed tells of it."""

    def __init__(self, **facts: Any) -> None:
        self.world = World("v5")
        self.ladders = [Ladder(self.world, "depth", name) for name in NAMES]
        for ladder in self.ladders:
            key = self.world.dialect.channel("depth5", ladder.name)
            depth = lambda name=ladder.name: self.world.dialect.depth(  # noqa: E731
                self.now_ms, name=name
            )
            self.world.exchange.first_pushes[key] = depth
        self.feed = self.world.feed(self.world.venue(**facts))
        self.changes: list[StateChange] = []
        self.errors: list[Exception] = []
        self.subscriptions = [
            self.subscribe(name, ("depth", "depth5", "trade")) for name in NAMES
        ]
        self.traded = 0
        self.reads: list[tuple[float, int, str]] = []
        self.refused: list[float] = []

    @property
    def now_ms(self) -> int:
        return round((self.world.clock.now - self.world.t0) * 1000)

    def subscribe(self, name: str, channels: tuple[str, ...]) -> WSSubscription:
        return WSSubscription(
            name,
            "spot",
            feed=self.feed,
            channels=channels,
            on_state=self.changes.append,
            on_error=self.errors.append,
        )

    def every(self, seconds: float, until: float, act: Any, start: float = 2.0) -> None:
        for step in range(int((until - start) / seconds)):
            self.world.at(start + step * seconds, act)

    def trade(self) -> None:
        """A trade, told to everybody who asked for it."""
        self.traded += 1
        key = self.world.dialect.channel("trade")
        element = {
            "instId": "BTC-USDT",
            "tradeId": str(self.traded),
            "px": "100.1",
            "sz": "1",
            "side": "buy",
            "ts": self.world.dialect.stamp(self.now_ms),
            "count": "1",
        }
        push = {"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [element]}
        for peer in self.world.peers:
            if key in peer.subscribed:
                peer.send(push)

    def move(self) -> None:
        """Another size at the best bid, in both books."""
        for ladder in self.ladders:
            size = "3" if ladder.bids[0][1] == "2" else "2"
            ladder.send(ladder.size(size))

    def read(self) -> None:
        """What a script sees at this moment."""
        for subscription in self.subscriptions:
            best = subscription.best_bid_ask()
            if best is None or subscription.book is None:
                self.refused.append(self.world.clock.now - self.world.t0)
            else:
                at = best.timestamp.timestamp()
                self.reads.append((at, best.epoch, subscription.instrument_id))

    def notice(self, at: float, close_at: float) -> None:
        old = self.world.peers

        def say() -> None:
            for peer in list(old):
                peer.send(NOTICE)

        def close() -> None:
            if old[0].is_open:
                old[0].close(1001, "service upgrade")

        self.world.at(at, say)
        self.world.at(close_at, close)


def asked(world: World) -> list[tuple[int, str]]:
    """What each connection asked for, in order."""
    return [
        (world.peers.index(said.peer), json.loads(said.text)["op"])
        for said in world.exchange.log
        if said.text != "ping"
    ]


@pytest.mark.once
def test_an_announced_restart_is_no_gap_at_all() -> None:
    rig = BusyMarket()
    items = rig.feed.updates(max_queue=100_000)
    rig.every(0.013, 90, rig.trade)
    rig.every(0.1, 90, rig.move)
    rig.every(0.05, 90, rig.read)
    rig.notice(10, 70)

    rig.world.run(95)

    assert len(rig.world.opened) == 2
    # No script was told of anything.
    assert {c.new for c in rig.changes} == {State.SYNCING, State.LIVE, State.CLOSED}
    assert len(rig.changes) == 2 * 3
    assert rig.refused == []
    told = list(items)
    trades = [int(item.id) for item in told if isinstance(item, Trade)]
    assert trades == list(range(1, rig.traded + 1))
    assert not [item for item in told if isinstance(item, Gap)]
    # Nothing goes back, and no epoch begins.
    for name in NAMES:
        times = [at for at, _, whose in rig.reads if whose == name]
        assert times == sorted(times)
    assert len({(epoch, whose) for _, epoch, whose in rig.reads}) == 2
    # It unsubscribes nothing and asks for everything once; the first connection asked
    # for the list of instruments by itself.
    assert asked(rig.world) == [*[(0, "subscribe")] * 2, (1, "subscribe")]


def test_the_items_of_a_book_add_up_over_the_change() -> None:
    rig = BusyMarket()
    items = rig.subscriptions[0].updates(latest=False, timeout=0.0)
    told: list[BookUpdate] = []

    def take() -> None:
        """Leaving LIVE, at the end of the world, discards what waits."""
        with contextlib.suppress(TimeoutError):
            while True:
                if isinstance(item := next(items), BookUpdate):
                    told.append(item)

    rig.every(0.1, 40, rig.move)
    rig.every(1.0, 42, take)
    rig.notice(10, 30)

    rig.world.run(42)

    held = OrderBook()
    for item in told:
        held = held.apply(item.action, item.bids, item.asks)
        assert held == item.book
    assert [row[:2] for row in held.bids] == rig.ladders[0].bids
    # At the beginning, and where the other connection went on.
    assert [item.action for item in told].count("snapshot") == 2
    assert len(told) > 300


def test_a_feed_can_be_rotated_by_its_script() -> None:
    rig = BusyMarket()
    rig.every(0.05, 60, rig.read)
    rig.every(0.1, 60, rig.move)
    for at in (10, 30, 31):  # the last one finds a change under way
        rig.world.at(at, rig.feed.rotate)

    rig.world.run(62)

    assert len(rig.world.opened) == 3
    assert rig.refused == []
    assert len(rig.feed.connections()) == 1


def test_whoever_comes_and_goes_meanwhile_is_served() -> None:
    rig = BusyMarket()
    rig.every(0.1, 40, rig.move)
    late: list[Any] = []
    # The notice, the new connection's opening, its pong, and the swap are in between.
    for number, at in enumerate((10.01, 10.06, 10.12, 10.3, 12.0, 15.0, 15.2, 16.0)):
        key = rig.world.dialect.channel("depth5", f"C{number}-USDT")
        name = f"C{number}-USDT"
        rig.world.exchange.first_pushes[key] = rig.world.dialect.depth(0, name=name)
        rig.world.at(
            at, lambda name=name: late.append(rig.subscribe(name, ("depth5",)))
        )
    rig.world.at(10.2, lambda: rig.subscriptions[1].close())
    seen: list[Any] = []
    rig.world.at(39, lambda: seen.extend(each.state for each in late))
    rig.world.at(39, lambda: seen.append(len(rig.world.peers[-1].subscribed)))
    rig.notice(10, 30)

    rig.world.run(40)

    assert seen == [State.LIVE] * 8 + [3 + 8]
    assert rig.subscriptions[0].state is State.CLOSED  # by the end of the world
    assert [c.new for c in rig.changes if c.instrument_id == "BTC-USDT"] == [
        State.SYNCING,
        State.LIVE,
        State.CLOSED,
    ]


def test_whoever_comes_and_goes_at_the_very_moment_is_served() -> None:
    rig = BusyMarket()
    rig.every(0.1, 40, rig.move)
    for name in ("C-USDT", "D-USDT"):
        key = rig.world.dialect.channel("depth5", name)
        rig.world.exchange.first_pushes[key] = rig.world.dialect.depth(0, name=name)
    leaves, comes = rig.subscribe("D-USDT", ("depth5",)), list[Any]()

    def swap() -> None:
        (connection,) = pool_of(rig.feed).placed
        handover = connection.channels.handover
        assert handover is not None
        # A handover without a standby yet, and one whose standbys have no user.
        comes.append(rig.subscribe("C-USDT", ("depth5",)))
        rig.subscriptions[1].close()

        def release() -> None:
            handover.lost(pool_of(rig.feed).clock.monotonic())
            leaves.close()  # of the new connection, from the thread of the old one

        connection.submit(release)

    rig.world.at(12, swap)
    seen: list[Any] = []
    rig.world.at(20, lambda: seen.append(comes[0].state))
    rig.world.at(20, lambda: seen.append(rig.subscriptions[0].book is not None))
    rig.world.at(20, lambda: seen.append(sorted(rig.world.peers[-1].subscribed)))
    rig.notice(10, 30)

    rig.world.run(40)

    channels = ["books5:BTC-USDT", "books5:C-USDT", "books:BTC-USDT", "trades:BTC-USDT"]
    assert seen == [State.LIVE, True, channels]
    assert leaves.state is State.CLOSED
    assert len(rig.world.opened) == 2


def test_if_the_exchange_closes_at_once_it_is_a_loss_like_any_other() -> None:
    rig = BusyMarket()
    rig.notice(10, 10.01)
    seen: list[Any] = []
    rig.world.at(40, lambda: seen.append([s.state for s in rig.subscriptions]))

    rig.world.run(41)

    assert seen == [[State.LIVE, State.LIVE]]
    assert State.RECONNECTING in {c.new for c in rig.changes}
    assert len(closing_connections_of(pool_of(rig.feed))) <= 1


def test_if_it_closes_when_the_new_one_is_ready_that_one_takes_over() -> None:
    """Before the old one has proven that nothing was left on its way."""
    rig = BusyMarket()
    rig.every(0.05, 60, rig.trade)
    rig.notice(10, 10.9)
    items = rig.subscriptions[0].updates(max_queue=100_000)

    rig.world.run(62)

    assert len(rig.world.opened) == 2
    trades = [int(item.id) for item in items if isinstance(item, Trade)]
    assert trades == list(range(1, rig.traded + 1))
    # That nothing is missing does not make the loss a secret.
    assert [type(error) for error in rig.errors] == [ConnectionLost] * 2


def withhold_trades(rig: BusyMarket, peer: int) -> None:
    """From now on none comes over that connection, and nobody says so."""
    to = rig.world.peers[peer]
    send = to.send

    def selective(message: Any) -> None:
        data = isinstance(message, dict) and "data" in message
        if not (data and message["arg"]["channel"] == "trades"):
            send(message)

    to.send = selective  # type: ignore[method-assign]


def told_or_missing(items: list[Any]) -> list[int]:
    """The numbers of all trades that were handed over, or said to be missing."""
    found: list[int] = []
    for item in items:
        if isinstance(item, Trade):
            found.append(int(item.id))
        elif isinstance(item, Gap) and item.after and item.before:
            found.extend(range(int(item.after) + 1, int(item.before)))
    return found


@pytest.mark.once
def test_what_was_on_its_way_when_the_old_one_was_lost_is_a_gap() -> None:
    """The new one was ready, but what it was too late for came to nobody."""
    rig = BusyMarket()
    items = rig.subscriptions[0].updates(max_queue=100_000)
    rig.every(0.013, 60, rig.trade)
    rig.world.at(9.99, lambda: withhold_trades(rig, 0))
    rig.notice(10, 10.9)

    rig.world.run(62)

    assert len(rig.world.opened) == 2
    given = list(items)
    assert told_or_missing(given) == list(range(1, rig.traded + 1))
    gaps = [item for item in given if isinstance(item, Gap) and item.after]
    # The book was lost for a moment, too.
    (gap,) = [gap for gap in gaps if gap.channel == "trade"]
    assert gap.cause.text == "trades as a connection took over"


def garble(rig: BusyMarket, peer: int) -> None:
    """The next trade on that connection comes as no JSON."""
    to = rig.world.peers[peer]
    send = to.send

    def garbled(message: Any) -> None:
        data = isinstance(message, dict) and "data" in message
        if data and message["arg"]["channel"] == "trades":
            to.send = send  # type: ignore[method-assign]
            message = "{no JSON"
        send(message)

    to.send = garbled  # type: ignore[method-assign]


@pytest.mark.once
@pytest.mark.parametrize("last_of_old", [60.0, 10.2])
def test_what_the_new_one_could_not_read_is_a_gap_unless_the_old_one_had_it(
    last_of_old: float,
) -> None:
    """The old one had it if it had a later trade, which the new one had, too."""
    rig = BusyMarket()
    items = rig.subscriptions[0].updates(max_queue=100_000)
    rig.every(0.013, 60, rig.trade)
    rig.notice(10, 50)
    rig.world.at(last_of_old, lambda: withhold_trades(rig, 0))
    rig.world.at(10.3, lambda: garble(rig, 1))

    rig.world.run(62)

    assert len(rig.world.opened) == 2
    given = list(items)
    assert told_or_missing(given) == list(range(1, rig.traded + 1))
    gaps = [str(i.cause) for i in given if isinstance(i, Gap) and i.channel == "trade"]
    both = last_of_old > 50
    assert gaps == ([] if both else ["trades as a connection took over"])


@pytest.mark.once
@pytest.mark.parametrize("lag", [0.0, 1.5])
def test_thousands_of_trades_are_neither_lost_nor_doubled(lag: float) -> None:
    """More than are remembered, and the new connection may be far behind."""
    rig = BusyMarket()
    items = rig.subscriptions[0].updates(max_queue=100_000)
    rig.every(0.003, 24, rig.trade, start=8.0)

    def hold_back() -> None:
        """What the new connection is told of trades comes late from now on."""
        peer = rig.world.peers[-1]
        send = peer.send

        def later(message: Any) -> None:
            late = lag and isinstance(message, dict) and "data" in message
            if late and message["arg"]["channel"] == "trades":
                rig.world.after(lag, lambda: send(message))
            else:
                send(message)

        peer.send = later  # type: ignore[method-assign]

    rig.notice(10, 30)
    rig.world.at(10.001, hold_back)

    rig.world.run(40)

    trades = [int(item.id) for item in items if isinstance(item, Trade)]
    assert trades == list(range(1, rig.traded + 1))


def test_if_the_new_one_falls_meanwhile_the_old_one_serves_on() -> None:
    rig = BusyMarket()
    rig.every(0.05, 60, rig.read)
    rig.every(0.1, 60, rig.move)
    rig.notice(10, 50)
    rig.world.at(10.4, lambda: rig.world.peers[-1].drop())

    rig.world.run(62)

    # It tried again, and took over in time.
    assert len(rig.world.opened) == 3
    assert rig.refused == []


def test_a_new_one_that_is_refused_a_channel_never_takes_over() -> None:
    rig = BusyMarket()
    rig.world.at(9, lambda: rig.world.exchange.unknown.add("books:ETH-USDT"))
    rig.notice(10, 40)
    seen: list[Any] = []
    rig.world.at(39, lambda: seen.extend(s.state for s in rig.subscriptions))

    rig.world.run(41)

    assert seen == [State.LIVE, State.LIVE]


def test_a_feed_that_is_closed_meanwhile_leaves_nothing() -> None:
    for moment in (10.01, 10.06, 10.2, 10.6, 14.0, 15.3):
        rig = BusyMarket()
        rig.notice(10, 40)
        rig.world.at(moment, rig.feed.close)

        rig.world.run(20)  # which joins every thread

        assert rig.feed.state is State.CLOSED


def test_pushes_that_nothing_tells_apart_are_a_gap() -> None:
    world = World("v5")
    world.exchange.first_pushes["account"] = {
        "arg": {"channel": "account"},
        "data": [{"totalEq": "1"}],
    }
    feed: Feed = world.feed(credentials=KEY)
    account = RawSubscription(["account"], feed=feed)
    items = account.updates()
    world.at(10, feed.rotate)
    push = {"arg": {"channel": "account"}, "data": [{"totalEq": "2"}]}
    world.at(30, lambda: world.peers[-1].send(push))

    world.run(31)

    told = [item for item in items if isinstance(item, (Data, Gap))]
    assert [type(item) for item in told] == [Data, Gap, Data]
    why = because("pushes at a change of the connection", CauseCode.HANDOVER)
    assert told[1] == gap_for("account", None, None, why, "")
    assert account.data[-1].elements == ({"totalEq": "2"},)


@pytest.mark.parametrize("closes_on", [0, 1])
def test_a_bar_that_closes_during_the_change_is_told(closes_on: int) -> None:
    """On whichever of the two connections its last push comes first."""
    world = World("v5")
    feed = world.feed()
    candles = WSSubscription("BTC-USDT", "spot", feed=feed, channels=("candle1m",))
    items = candles.updates()

    def bar(peer: int, start: int, close: str, confirm: str) -> None:
        row = [world.dialect.stamp(start), "1", "9", "1", close, "1", "1", "1", confirm]
        arg = {"channel": "candle1m", "instId": "BTC-USDT"}
        world.peers[peer].send({"arg": arg, "data": [row]})

    world.at(9, lambda: bar(0, 0, "2", "0"))
    world.at(10, feed.rotate)
    world.at(10.5, lambda: bar(closes_on, 0, "3", "1"))
    world.at(30, lambda: bar(-1, 60_000, "4", "0"))

    world.run(31)

    told = [(str(i.close), i.closed) for i in items if isinstance(i, Candle)]
    assert told == [("2", False), ("3", True), ("4", False)]
    assert [str(each.close) for each in candles.candles] == ["3", "4"]


def test_a_wall_of_channels_lives_on_its_own_connections_again() -> None:
    """Each connection of a feed is replaced by itself."""
    rig = BusyMarket(depths_per_connection=1)
    rig.every(0.05, 60, rig.read)
    rig.every(0.1, 60, rig.move)
    rig.world.at(10, rig.feed.rotate)

    rig.world.run(62)

    assert len(rig.world.opened) == 4
    assert rig.refused == []
    assert [report.depths for report in rig.feed.connections()] == [1, 1]


class Side:
    """One side of a handover, which only notes what it is told."""

    def __init__(self) -> None:
        self.carrier: Any = self
        self.era, self.handover = None, None
        self.channels: dict[str, Any] = {}
        self.errors: list[Exception] = []

    def submit(self, work: Any) -> None:
        work()

    def catch_up(self) -> None: ...

    def troubled(self, error: OkexWSError) -> None:
        self.errors.append(error)


def between_two() -> tuple[Handover, Register, Side, Side, list[Handover]]:
    """A handover between two sides without channels, and what it has finished."""
    register, old, new, finished = Register(), Side(), Side(), list[Handover]()
    register.change(lambda table: table.with_carrier(old.carrier, None))
    maker: Any = None
    handover = Handover(register, old, new, maker, finished.append)
    return handover, register, old, new, finished


def test_what_was_called_off_is_not_done_after_all() -> None:
    """The old one is lost at the very moment at which the new one is refused."""
    handover, register, old, _, finished = between_two()
    error = OkexWSError("no")

    assert handover.refused(error)
    assert not handover.lost(0.0)
    handover.advance(2.0)

    assert register.table.carriers == (old,)
    assert (handover.is_called_off, handover.has_taken_over) == (True, False)
    assert old.errors == [error]
    # It ends the new connection, and once more if it was interrupted in that.
    assert set(finished) == {handover}


def test_what_has_taken_over_is_not_called_off_any_more() -> None:
    handover, register, old, new, finished = between_two()

    assert handover.lost(0.0)
    assert not handover.refused(OkexWSError("no"))

    assert register.table.carriers == (new,)
    assert old.errors == []
    assert finished == [handover]


class Racing:
    """A standby whose thread publishes its first value as *moment* has been read."""

    def __init__(self, reading: Any, moment: str) -> None:
        self.reading, self.followers, self.continues = reading, (), None
        self.moment, self.known = moment, (0, State.SYNCING)

    def _read(self, moment: str) -> tuple[int, State]:
        known = self.known
        if moment == self.moment:
            self.known = (1, State.LIVE)
        return known

    @property
    def own_epoch(self) -> int:
        return self._read("own_epoch")[0]

    @property
    def current(self) -> Any:
        epoch, state = self._read("current")
        return SimpleNamespace(epoch=epoch, state=state, is_withdrawn=False, era=None)


@pytest.mark.parametrize("moment", ["own_epoch", "current"])
def test_what_is_published_as_the_epoch_is_worked_out_is_in_a_later_one(
    moment: str,
) -> None:
    """The old value was lost: one of the new connection may be older than it."""
    register, old, new = Register(), Side(), Side()
    lost = SimpleNamespace(state=State.LIVE, is_withdrawn=True, era=None)
    entry = SimpleNamespace(channel=None)
    reading: Any = SimpleNamespace(
        name="x", error=None, entry=entry, current=lost, epoch=5
    )
    before: Any = SimpleNamespace(reading=reading)
    row = Row(reading, before, old.carrier, ())
    register.change(lambda t: t.with_carrier(old.carrier, None).with_rows([row]))
    standby: Any = Racing(reading, moment)

    move(register, old.carrier, new.carrier, {}, lambda _: standby, 0.0)

    assert reading.entry.channel is standby
    assert reading.entry.base + standby.own_epoch > 5


# --- What a hostile review found ----------------------------------------------------


ACCOUNT = {"arg": {"channel": "account"}, "data": [{"totalEq": "2"}]}
TOO_MANY = {
    "event": "channel-conn-count-error",
    "channel": "account",
    "connCount": "31",
    "connId": "a4d3ae55",
}


def of_account() -> tuple[World, Feed, RawSubscription, list[Exception]]:
    """A private channel on a feed of its own connection."""
    world, errors = World("v5"), list[Exception]()
    world.exchange.first_pushes["account"] = ACCOUNT
    feed = world.feed(credentials=KEY)
    account = RawSubscription(["account"], feed=feed, on_error=errors.append)
    return world, feed, account, errors


def test_a_channel_that_the_new_one_lost_again_is_served_by_the_old_one() -> None:
    world, feed, account, errors = of_account()
    world.at(10, feed.rotate)

    def terminate() -> None:
        world.peers[1].subscribed.pop("account")
        world.peers[1].send(TOO_MANY)

    world.at(10.6, terminate)
    seen: list[Any] = []
    world.at(30, lambda: seen.append(account.state))
    world.at(30, lambda: seen.extend(peer.is_open for peer in world.peers))

    world.run(31)

    # It is called off, and nothing that was live has failed by it.
    assert seen == [State.LIVE, True, False]
    assert "channel-conn-count-error" in str(errors[0])


def test_a_new_one_that_may_not_log_in_is_given_up_and_the_old_one_serves_on() -> None:
    world, feed, account, errors = of_account()
    refusal = ("60009", "Login failed.")
    world.at(9, lambda: setattr(world.exchange, "login_refusal", refusal))
    world.at(10, feed.rotate)
    world.at(20, lambda: setattr(world.exchange, "login_refusal", None))
    seen: list[Any] = []
    world.at(29, lambda: seen.append((account.state, len(world.opened))))
    world.at(30, feed.rotate)

    world.run(60)

    # It was offered once, and the next rotation is not in the way of the first.
    assert seen == [(State.LIVE, 2)]
    assert len(world.opened) == 3
    assert [str(error) for error in errors] == [
        "login was refused: Login failed. (error 60009)"
    ]


def test_a_new_one_ends_with_an_old_one_whose_key_is_refused() -> None:
    world, feed, account, _ = of_account()

    def answer(peer: Any, request: Any) -> None:
        if peer is world.peers[0]:
            peer.send(world.dialect.error("60009", "Login failed.", request))
        else:
            peer.logged_in = True
            peer.send(world.dialect.logged_in())

    world.exchange.answer_login = answer  # type: ignore[method-assign]
    world.at(0.02, feed.rotate)
    seen: list[Any] = []
    world.at(20, lambda: seen.append([peer.is_open for peer in world.peers]))

    world.run(21)

    assert seen == [[False, False]]
    assert account.state is State.FAILED


def test_a_time_that_was_ahead_freezes_no_price_for_long() -> None:
    """Of one bad push, or of another endpoint's clock, just before the change."""
    rig = BusyMarket()
    world = rig.world
    seen: list[str] = []

    def push() -> None:
        second = int(world.clock.now - world.t0)
        for number, peer in enumerate(world.peers):
            if "books5:BTC-USDT" in peer.subscribed:
                at = rig.now_ms + (600_000 if number == 0 else 0)
                bid, ask = str(100 + second), str(200 + second)
                peer.send(world.dialect.depth(at, bid=bid, ask=ask))

    only = WSSubscription("BTC-USDT", "spot", feed=rig.feed, channels=("depth5",))
    rig.every(1.0, 59, push, start=2.5)
    world.at(10, rig.feed.rotate)
    for at in (9.0, 40.0):
        world.at(at, lambda: seen.append(only.depth().bids[0][0]))

    world.run(60)

    assert seen == ["108", "139"]


@pytest.mark.parametrize("how", ["notice", "rotate"])
def test_without_a_thread_for_the_new_one_the_old_one_serves_on(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rig = BusyMarket()
    refused: list[str] = []

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def begin() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            try:
                if how == "rotate":
                    rig.feed.rotate()
                else:
                    (connection,) = pool_of(rig.feed).placed
                    connection.channels.ending()
            except RuntimeError as error:
                refused.append(str(error))

    rig.every(0.1, 30, rig.read)
    rig.world.at(10, begin)
    rig.world.at(20, rig.feed.rotate)

    world = rig.world
    world.run(40)

    assert rig.refused == []
    assert len(world.opened) == 2
    told = [str(error) for error in rig.errors]
    if how == "rotate":
        assert refused == ["can't start new thread"]
    else:
        assert told == ["no connection to take over: can't start new thread"] * 2


def test_a_notice_to_the_new_one_is_heeded_once_it_has_taken_over() -> None:
    rig = BusyMarket()
    rig.every(0.1, 60, rig.move)
    rig.every(0.1, 60, rig.read)
    rig.world.at(10, rig.feed.rotate)
    rig.world.at(12, lambda: [peer.send(NOTICE) for peer in rig.world.peers])
    rig.world.at(50, lambda: rig.world.peers[1].close(1001, "service upgrade"))

    with contextlib.suppress(InvalidState):  # it has gone by then, as it should
        rig.world.run(62)

    assert len(rig.world.opened) == 3
    assert rig.refused == []


# --- The laws -----------------------------------------------------------------------


class OneDepth:
    """One depth on a feed that is rotated, and what a script reads of it.

    Each push has the second in which it was sent as its best bid. *seq* is, by the
    number of the connection, what is added to its sequence numbers, and *late* by how
    many seconds what it sends is behind.
    """

    def __init__(self, protocol: str = "v5", every: float = 0.1) -> None:
        self.world = World(protocol)
        self.feed = self.world.feed()
        self.changes: list[StateChange] = []
        self.seq, self.late = [0, 0, 0], [0.0, 0.0, 0.0]
        self.reads: list[tuple[float, float | None, int]] = []
        self.world.exchange.first_pushes[self.key] = lambda: self.push(
            len(self.world.peers) - 1
        )
        self.only = WSSubscription(
            "BTC-USDT",
            "spot",
            feed=self.feed,
            channels=("depth5",),
            on_state=self._changed,
        )
        for step in range(int(58 / every)):
            self.world.at(1 + step * every, self.send)
        for step in range(568):
            self.world.at(2.05 + step * 0.1, self.read)

    on_change: Any = staticmethod(lambda change: None)

    def _changed(self, change: StateChange) -> None:
        self.changes.append(change)
        self.on_change(change)

    @property
    def key(self) -> str:
        key: str = self.world.dialect.channel("depth5")
        return key

    @property
    def now(self) -> float:
        return self.world.clock.now - self.world.t0

    def push(self, peer: int) -> Any:
        sent = max(0.0, self.now - self.late[peer])
        ms = round(sent * 1000)
        more = {"seq": 1_000_000 + ms + self.seq[peer]}
        if self.world.protocol == "v3":
            more = {}
        return self.world.dialect.depth(ms, f"{1 + sent:.3f}", "9999", **more)

    def send(self) -> None:
        for number, peer in enumerate(self.world.peers):
            if self.key in peer.subscribed and peer.is_open:
                with contextlib.suppress(InvalidState):  # it says goodbye
                    peer.send(self.push(number))

    def read(self) -> None:
        best = self.only.best_bid_ask()
        epoch = self.only.health().epoch
        age = None if best is None else self.now - (float(best.bid) - 1)
        self.reads.append((self.now, age, epoch))

    def run(self) -> None:
        self.world.run(61)
        epochs = [epoch for *_, epoch in self.reads]
        assert epochs == sorted(epochs)

    @property
    def ages(self) -> list[float]:
        """How old the prices were that were read as trusted."""
        return [age for _, age, _ in self.reads if age is not None]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_values_that_follow_go_on_in_their_epoch(protocol: str) -> None:
    """Under v3 without a sequence number: a pong proves it, in a quiet market."""
    rig = OneDepth(protocol, every=4.0)
    rig.world.at(10, rig.feed.rotate)

    rig.run()

    assert len(rig.world.opened) == 2
    assert len(rig.ages) == len(rig.reads)
    assert len({epoch for *_, epoch in rig.reads}) == 1
    assert [c.new for c in rig.changes] == [State.SYNCING, State.LIVE, State.CLOSED]


def test_a_market_without_proof_begins_a_new_epoch_after_five_seconds() -> None:
    """Pushes without a number come so fast that no pong proves the newest one."""
    rig = OneDepth("v3", every=0.02)
    rig.world.at(10, rig.feed.rotate)

    rig.run()

    assert len(rig.world.opened) == 2
    began = [at for at, _, epoch in rig.reads if epoch == 2]
    assert {epoch for *_, epoch in rig.reads} == {1, 2}
    assert 15 <= began[0] < 25
    assert max(rig.ages) < 0.2


def test_a_script_that_keeps_subscribing_does_not_put_a_change_over_off() -> None:
    """What is new waits for its own proof, and has no other channel wait again."""
    rig = OneDepth("v3", every=0.02)
    rig.world.at(10, rig.feed.rotate)
    for moment in range(11, 60, 2):
        rig.world.at(
            moment,
            lambda moment=moment: WSSubscription(
                f"X{moment}-USDT", "spot", feed=rig.feed, channels=("trade",)
            ),
        )

    rig.run()

    assert len(rig.world.opened) == 2
    began = [at for at, _, epoch in rig.reads if epoch == 2]
    assert 15 <= began[0] < 25
    assert max(rig.ages) < 0.2


def test_a_server_whose_sequence_is_behind_begins_a_new_epoch() -> None:
    """A pong proves only what its own server sent: the numbers say more."""
    rig = OneDepth(every=2.0)
    rig.seq[1] = -100_000
    rig.world.at(10, rig.feed.rotate)

    rig.run()

    assert {epoch for *_, epoch in rig.reads} == {1, 2}
    assert max(rig.ages) < 2.2


def test_a_server_whose_clock_is_behind_hides_nothing() -> None:
    rig = OneDepth()
    make = rig.push

    def behind(peer: int) -> Any:
        message = make(peer)
        if peer == 1:
            message["data"][0]["ts"] = rig.world.dialect.stamp(-600_000)
        return message

    rig.push = behind  # type: ignore[method-assign]
    rig.world.at(10, rig.feed.rotate)

    rig.run()

    assert len(rig.world.opened) == 2
    assert len(rig.ages) == len(rig.reads)
    assert max(rig.ages) < 0.2
    assert len({epoch for *_, epoch in rig.reads}) == 1


@pytest.mark.once
@pytest.mark.parametrize("blocks", ["on_message", "on_state", "log"])
@pytest.mark.parametrize("moment", [10.0, 10.2, 10.4, 11.0, 15.0, 20.0])
def test_a_callback_that_blocks_in_a_change_over_makes_no_old_price_live(
    blocks: str, moment: float
) -> None:
    """Neither under the lease of the other connection nor under its own."""
    rig = OneDepth()
    asleep: list[float] = []

    def block(*what: Any) -> None:
        on_thread = threading.current_thread().name.startswith("okex_ws")
        if on_thread and rig.now >= moment and not asleep:
            asleep.append(rig.now)
            rig.world.sleep(25.0)

    handler = LogHook(block)
    if blocks == "log":
        logging.getLogger("okex_ws").addHandler(handler)
    elif blocks == "on_message":
        listen(rig.only, block)
    else:
        rig.on_change = block
    rig.world.at(9.9, rig.feed.rotate)
    try:
        rig.run()
    finally:
        logging.getLogger("okex_ws").removeHandler(handler)

    # A price is trusted no longer than its lease, whatever blocks.
    assert max(rig.ages) < 20
    assert rig.reads[-1][1] is not None


class LogHook(logging.Handler):
    """Calls *act* with each record of the library's log."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.emit = act  # type: ignore[method-assign]


def test_the_log_says_that_a_connection_took_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "okex_ws")
    rig = OneDepth()
    rig.world.at(10, rig.feed.rotate)

    rig.run()

    events = [r for r in caplog.records if getattr(r, "event", "") == "took over"]
    assert len(events) == 1
