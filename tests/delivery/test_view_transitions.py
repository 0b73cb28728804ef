"""No code of a script runs inside a transition, and none can hold up other reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws import Credentials, RawSubscription, State
from tests.support.virtual_world import World, depth

NAMES = ("BTC-USDT", "ETH-USDT", "LTC-USDT")
KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")
# The transition happens at this second, and the hook of the script blocks for a minute.
AT, BLOCKED = 5.0, 60.0
WHERE = ["on_state", "on_error", "on_message", "log"]


class Hook:
    """One callback or log handler of a script: it acts once, after `AT`."""

    def __init__(self, world: World, act: Callable[[], None]) -> None:
        self.world, self.act = world, act
        self.calls = 0

    def __call__(self, what: Any) -> None:
        if self.world.clock.now >= self.world.t0 + AT and not self.calls:
            self.calls += 1
            self.act()


class Stage:
    """Three subscriptions on one connection with a hook, and one on its own."""

    def __init__(self, how: str, where: str) -> None:
        self.world = world = World()
        self.how = how
        self.hook = Hook(world, self._act)
        for name in (*NAMES, "XRP-USDT"):
            world.exchange.first_pushes[f"spot/depth5:{name}"] = depth(0, name=name)
        self.feed = world.feed()
        keywords = {} if where == "log" else {where: self.hook}
        self.subs = self.feed.subscribe(NAMES, "spot", ("depth5",), **keywords)
        # It is on a feed, and so on a connection, of its own.
        self.other = world.subscribe("XRP-USDT", channels=("depth5",))
        # What was read when the hook began, and in the middle of its minute.
        self.at_first: list[Any] = []
        self.meanwhile: list[Any] = []
        for second in range(1, 130):
            world.at(second, lambda: self.feed_all(world.clock.now - world.t0))

    def _act(self) -> None:
        self.at_first = self.read()
        if self.how == "raise":
            raise SystemExit
        self.world.after(BLOCKED / 2, lambda: self.meanwhile.extend(self.read()))
        self.world.sleep(BLOCKED)

    def feed_all(self, second: float) -> None:
        for peer in self.world.peers:
            for key in list(peer.subscribed):
                _, name = key.split(":")
                peer.send(depth(int(second * 1000), name=name))

    def read(self) -> list[tuple[State, bool]]:
        """The states, and whether there is a price; that of `other` is the last."""
        subs = (*self.subs, self.other)
        return [(sub.state, bool(sub.GetDepth())) for sub in subs]

    @property
    def peer(self) -> Any:
        """The exchange's end of the connection that the three share."""
        return next(
            p for p in self.world.peers if "spot/depth5:BTC-USDT" in p.subscribed
        )


@pytest.fixture
def handle() -> Iterator[Callable[[Hook], None]]:
    """Adds a log handler of the script."""
    log, added = logging.getLogger("okex_ws"), logging.Handler()
    level = log.level

    def add(hook: Hook) -> None:
        added.handle = hook  # type: ignore[method-assign, assignment]
        log.setLevel(logging.INFO)
        log.addHandler(added)

    yield add
    log.removeHandler(added)
    log.setLevel(level)


def is_no(read: tuple[State, bool]) -> bool:
    state, price = read
    return state is not State.LIVE and not price


LIVE = (State.LIVE, True)


@pytest.mark.parametrize("how", ["block", "raise"])
@pytest.mark.parametrize("where", ["on_state", "on_error", "log"])
@pytest.mark.parametrize("transition", ["loss", "garbage"])
def test_when_the_first_hook_runs_all_is_withdrawn(
    transition: str,
    where: str,
    how: str,
    handle: Callable[[Hook], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stage = Stage(how, where)
    world = stage.world
    if where == "log":
        handle(stage.hook)

    def happen() -> None:
        if transition == "loss":
            stage.peer.drop()
        else:
            stage.peer.send("not json")

    seen: list[Any] = []
    world.at(AT + 0.1, happen)
    world.at(120.5, lambda: seen.extend(stage.read()))

    world.run(125)

    assert stage.hook.calls == 1
    *withdrawn, other = stage.at_first
    assert [is_no(read) for read in withdrawn] == [True] * 3
    assert other == LIVE
    if how == "block":
        # The three are silent, because their connection's thread stands; no other is.
        *withdrawn, other = stage.meanwhile
        assert [is_no(read) for read in withdrawn] == [True] * 3
        assert other == LIVE
    assert seen == [LIVE] * 4


@pytest.mark.parametrize("how", ["block", "raise"])
def test_a_hook_that_runs_while_it_reconnects_changes_no_read(how: str) -> None:
    """The first callback after the loss that is not of the loss: `LIVE` again."""
    stage = Stage(how, "on_message")
    world = stage.world
    seen: list[Any] = []
    world.at(AT - 0.5, lambda: stage.peer.drop())
    world.at(120.5, lambda: seen.extend(stage.read()))

    world.run(125)

    assert stage.hook.calls == 1
    assert stage.at_first[-1] == LIVE
    if how == "block":
        # No pong is handled during the minute, so the lease ends.
        assert [is_no(read) for read in stage.meanwhile] == [True, True, True, False]
    assert seen == [LIVE] * 4


@pytest.mark.parametrize("how", ["block", "raise"])
def test_a_log_handler_at_a_change_over_holds_up_no_read(
    how: str, handle: Callable[[Hook], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called on the old connection's thread, when all is done."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stage = Stage(how, "log")
    world = stage.world

    def took_over(record: Any) -> None:
        if getattr(record, "event", None) == "took over":
            stage.hook(record)

    handle(took_over)  # type: ignore[arg-type]
    seen: list[Any] = []
    world.at(AT, stage.feed.rotate)
    world.at(120.5, lambda: seen.extend(stage.read()))

    world.run(125)

    assert stage.hook.calls == 1
    assert stage.at_first == [LIVE] * 4
    if how == "block":
        assert stage.meanwhile == [LIVE] * 4
    assert seen == [LIVE] * 4


@pytest.mark.parametrize("how", ["block", "raise"])
def test_when_the_first_of_several_is_told_to_have_failed_all_have(how: str) -> None:
    world = World("v5")
    feed = world.feed(credentials=KEY)
    states: list[list[State]] = []

    def on_state(change: Any) -> None:
        if change.new is not State.FAILED:
            return
        states.append([sub.state for sub in subs])
        if how == "block" and len(states) == 1:
            world.sleep(BLOCKED)
        raise SystemExit

    subs = [
        RawSubscription([name], feed=feed, on_state=on_state)
        for name in ("account", "positions", "orders")
    ]
    seen: list[Any] = []

    def refuse() -> None:
        seen.extend(sub.state for sub in subs)
        world.exchange.login_refusal = ("60009", "Login failed.")
        next(peer for peer in world.peers if peer.logged_in).drop()

    world.at(AT, refuse)

    world.run(120)

    assert State.FAILED not in seen
    assert states == [[State.FAILED] * 3] * 3


def test_inside_a_callback_every_read_has_the_value_of_that_push() -> None:
    """The value is published, whole, before its text is delivered."""
    world = World()
    world.exchange.first_pushes["spot/depth5:BTC-USDT"] = depth(0)
    feed = world.feed()
    seen: list[Any] = []

    def on_message(text: str) -> None:
        stamped = sub.depth().timestamp
        best = feed.best_bid_asks(["BTC-USDT"])["BTC-USDT"]
        assert sub.latest("depth5") == sub.depth()
        seen.append((stamped == best.timestamp, sub.GetDepth()["timestamp"] in text))

    (sub,) = feed.subscribe(["BTC-USDT"], "spot", ("depth5",), on_message=on_message)
    for second in range(1, 6):
        world.at(second, lambda n=second: world.peers[0].send(depth(n * 1000)))

    world.run(6)

    assert seen == [(True, True)] * 6
    assert sub.stats().callback_errors == 0
