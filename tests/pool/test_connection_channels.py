"""What happens on one connection, to those who live on it alone, in virtual time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    Credentials,
    Data,
    Feed,
    Gap,
    Item,
    LoginRejected,
    RawSubscription,
    State,
    StateChange,
    SubscriptionRejected,
    Trade,
    Updates,
    WSSubscription,
)
from tests.support.internals import (
    credentials_of,
    is_ready,
    queue_of,
    set_on_error,
    take_without_waiting,
)
from tests.support.virtual_world import V5, Peer, World

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")
ORDERS = {"channel": "orders", "instType": "ANY"}
# A private channel of each protocol, and a push of it.
PRIVATE: dict[str, Any] = {"v3": "spot/order:BTC-USDT", "v5": ORDERS}
PUSHES: dict[str, Any] = {
    "v3": {"table": "spot/order", "data": [{"instrument_id": "BTC-USDT"}]},
    "v5": {"arg": {**ORDERS, "uid": "77982378738415879"}, "data": [{"ordId": "1"}]},
}


@pytest.fixture
def v5() -> World:
    return filled(World("v5"))


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


def filled(world: World) -> World:
    for topic in ("depth5", "candle60s"):
        make = getattr(world.dialect, topic.rstrip("56s0"))
        world.exchange.first_pushes[world.dialect.channel(topic)] = make(0)
    return world


def private(feed: Feed, world: World, **keywords: Any) -> RawSubscription:
    return RawSubscription([PRIVATE[world.protocol]], feed=feed, **keywords)


def public(feed: Feed, **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription("BTC-USDT", "spot", feed=feed, **keywords)


def said(world: World) -> list[str]:
    """What was asked on the connections that log in, in order."""
    peers = [peer for peer in world.peers if peer.logged_in]
    logins = [s for s in world.exchange.log if '"login"' in s.text]
    peers += [s.peer for s in logins]
    log = [s.text for s in world.exchange.log if s.peer in peers and s.text != "ping"]
    return [str(json.loads(text)["op"]) for text in log]


# --- While it connects --------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_the_moment_of_a_subscribe_makes_no_gap_and_no_news(
    world: World, moment: str
) -> None:
    """The last trade, of an hour ago, comes first, and is none of what was missed."""
    key = world.dialect.channel("trade", "ETH-USDT")
    world.exchange.first_pushes[key] = world.dialect.trade(
        "7", -3_600_000, name="ETH-USDT"
    )
    feed, items = world.feed(), list[Item]()

    def subscribe() -> None:
        sub = WSSubscription("ETH-USDT", "spot", feed=feed, channels=("trade",))
        updates.append(sub.updates(repeated=True))

    def connect(_: str) -> None:
        if moment == "during" and not updates:
            subscribe()

    updates: list[Updates] = []
    world.failure = connect
    if moment == "before":
        subscribe()
    public(feed)
    if moment == "after":
        world.at(1, subscribe)
    world.at(5, lambda: items.extend(take_without_waiting(queue_of(*updates))))

    world.run(6)

    assert not [item for item in items if isinstance(item, Gap)]
    (trade,) = [item for item in items if isinstance(item, Trade)]
    assert (trade.id, trade.replayed) == ("7", True)


# --- Two connections, one subscription ----------------------------------------------


def test_losing_the_business_connection_leaves_the_depth_live(v5: World) -> None:
    changes: list[StateChange] = []
    sub = v5.subscribe(channels=("depth5", "candle60s"), on_state=changes.append)
    seen: list[Any] = []

    def cut() -> None:
        v5.failure = lambda url: (
            ConnectionLost(url, "refused") if "business" in url else None
        )
        v5.peer_on("business").drop()

    v5.at(1, lambda: seen.append((sub.state, sub.latest("candle1m") is not None)))
    v5.at(2, cut)
    v5.at(2.001, lambda: seen.append((sub.state, sub.latest("candle60s"))))
    v5.at(60, lambda: seen.append((sub.state, bool(sub.GetDepth()))))

    v5.run(61)

    assert seen == [(State.LIVE, True), (State.LIVE, None), (State.LIVE, True)]
    assert [c.new for c in changes] == [State.SYNCING, State.LIVE, State.CLOSED]


def test_losing_the_public_connection_leaves_the_candles_and_no_price(
    v5: World,
) -> None:
    sub = v5.subscribe(channels=("depth5", "candle60s"))
    seen: list[Any] = []

    def cut() -> None:
        v5.failure = lambda url: (
            ConnectionLost(url, "refused") if "public" in url else None
        )
        v5.peer_on("public").drop()

    v5.at(2, cut)
    v5.at(3, lambda: v5.peer_on("business").send(V5.candle(0, "100.5")))
    v5.at(4, lambda: seen.extend([sub.state, sub.GetDepth(), sub.candles[-1].close]))
    v5.at(4, lambda: seen.append(sub.latest("candle60s") == sub.candles[-1]))

    v5.run(5)

    assert seen[:2] == [State.RECONNECTING, {}]
    assert str(seen[2]) == "100.5"
    assert seen[3] is True


def test_it_is_ready_when_the_channels_of_every_connection_are(v5: World) -> None:
    sub = v5.subscribe(channels=("depth5", "candle60s"))
    v5.failure = lambda url: (
        ConnectionLost(url, "refused") if "business" in url else None
    )
    seen: list[Any] = []
    v5.at(1, lambda: seen.append((sub.state, is_ready(sub))))
    v5.at(2, lambda: setattr(v5, "failure", lambda url: None))
    v5.at(40, lambda: seen.append((sub.state, is_ready(sub))))

    v5.run(41)

    assert seen == [(State.LIVE, False), (State.LIVE, True)]


def test_a_channel_of_a_wrong_path_would_be_refused(v5: World) -> None:
    """The exchange of these tests knows its paths, as the real one does."""
    sub = v5.subscribe(channels=("depth5",), raw_channels=("sprd-new",))
    other = v5.subscribe(channels=("depth5",), raw_channels=("candle9m",))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.health().failed, other.health().failed]))

    v5.run(2)

    assert seen == [{}, {}]
    objection = V5.objection("public", {"channel": "candle1m", "instId": "X"}, False)
    assert objection is not None
    assert objection[0] == "60018"


# --- What the exchange ends, or says ------------------------------------------------


def test_a_kind_of_channel_that_the_exchange_terminates_fails_for_good(
    v5: World, caplog: pytest.LogCaptureFixture
) -> None:
    feed = v5.feed(credentials=KEY)
    sub, other = private(feed, v5), RawSubscription(["account"], feed=feed)
    depth = public(feed)
    ended = {
        "event": "channel-conn-count-error",
        "channel": "orders",
        "connCount": "20",
        "connId": "a4d3ae55",
    }
    v5.at(1, lambda: v5.peer_on("private").send(ended))
    seen: list[Any] = []
    v5.at(2, lambda: seen.extend(s.state for s in (sub, other, depth)))

    v5.run(60)

    assert seen == [State.FAILED, State.LIVE, State.LIVE]
    (error,) = sub.health().failed.values()
    assert isinstance(error, SubscriptionRejected)
    assert error.code == "channel-conn-count-error"
    assert said(v5) == ["login", "subscribe"]


def test_a_notice_is_logged_and_ends_nothing(
    v5: World, caplog: pytest.LogCaptureFixture
) -> None:
    sub = v5.subscribe(channels=("depth5",))
    notice = {"event": "notice", "code": "64008", "msg": "closing\nsoon", "connId": "x"}
    count = {"event": "channel-conn-count", "channel": "orders", "connCount": "2"}
    seen: list[Any] = []
    v5.at(1, lambda: v5.peer_on("public").send(notice))
    v5.at(1, lambda: v5.peer_on("public").send(count))
    v5.at(2, lambda: seen.append(sub.state))

    v5.run(3)

    assert seen == [State.LIVE]
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == [f"{v5.url}/public: notice 64008: closing\ufffdsoon"]


def test_a_channel_that_ends_unasked_is_taken_from_all_who_share_it(
    world: World,
) -> None:
    feed = world.feed()
    subs = [public(feed), public(feed)]
    key = world.dialect.channel("depth5")
    seen: list[Any] = []
    world.at(1, lambda: world.peer and world.peer.end(key))
    world.at(1.5, lambda: seen.append([(s.state, s.GetDepth()) for s in subs]))
    world.at(4, lambda: seen.append([s.state for s in subs]))

    world.run(5)

    assert seen == [[(State.SYNCING, {})] * 2, [State.LIVE] * 2]


# --- A connection that logs in ------------------------------------------------------


def test_it_logs_in_before_anything_private_is_asked(world: World) -> None:
    feed = world.feed(credentials=KEY)
    sub = private(feed, world)
    seen: list[Any] = []
    world.at(1, lambda: world.peer and world.peer.send(PUSHES[world.protocol]))
    world.at(2, lambda: seen.extend([sub.state, sub.latest()]))

    world.run(3)

    assert seen[0] is State.LIVE
    assert isinstance(seen[1], Data)
    assert said(world) == ["login", "subscribe"]


def test_a_close_in_place_of_an_answer_refuses_the_key_as_well(v5: World) -> None:
    """v5 closes with 4001, "login failed": the key is not offered again and again."""
    v5.exchange.login_close = 4001
    sub = private(v5.feed(credentials=KEY), v5)

    v5.run(60)

    assert sub.state is State.FAILED
    assert "login failed" in sub.health().cause.text
    assert len(v5.opened) == 1


def test_the_time_of_a_login_is_the_exchanges_own(world: World) -> None:
    world.exchange.ahead = 3600.0
    private(world.feed(credentials=KEY), world)

    world.run(1)

    (arg, *rest) = world.exchange.requests[0]["args"]
    timestamp = rest[1] if rest else arg["timestamp"]
    sign = rest[2] if rest else arg["sign"]
    assert float(timestamp) == pytest.approx(1_600_003_600, abs=1)
    assert sign == KEY.sign(timestamp)


def test_after_each_reconnect_it_logs_in_first_and_says_that_pushes_may_be_missing(
    world: World,
) -> None:
    sub = private(world.feed(credentials=KEY), world)
    updates = sub.updates(timeout=0)
    for second in (2, 12):
        world.at(second, lambda: world.peer and world.peer.drop())

    world.run(20)

    assert said(world) == ["login", "subscribe"] * 3
    told = [item for item in updates if isinstance(item, (Gap, StateChange))]
    words = ["Gap" if isinstance(i, Gap) else i.new.value for i in told]
    lost = ["RECONNECTING", "SYNCING", "LIVE", "Gap"]
    assert words == ["SYNCING", "LIVE", *lost, *lost, "CLOSED"]
    assert sub.stats().gaps == 2


def test_a_rejected_key_fails_what_is_private_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.exchange.login_refusal = (30013, "Invalid sign")
    if world.protocol == "v5":
        world.exchange.login_refusal = ("60009", "Login failed.")
    errors: list[Exception] = []
    feed = world.feed(credentials=KEY)
    sub = private(feed, world, on_error=errors.append)
    depth = public(feed)
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([sub.state, depth.state, world.closed_networks]))
    world.at(100, lambda: seen.extend([depth.state, len(feed.connections())]))

    world.run(101)

    assert seen == [State.FAILED, State.LIVE, 1, State.LIVE, 1]
    (failed,) = sub.health().failed.values()
    assert isinstance(failed, LoginRejected)
    assert failed.code == world.exchange.login_refusal[0]
    assert errors == [failed]
    with pytest.raises(LoginRejected):
        sub.wait_live(0)
    assert said(world) == ["login"]
    assert len(world.opened) == 2


def test_a_later_private_subscription_tries_the_key_once_again(world: World) -> None:
    world.exchange.login_refusal = world.dialect.unknown({"key": "bad"})
    feed = world.feed(credentials=KEY)
    public(feed)
    subs = [private(feed, world)]
    world.at(10, lambda: subs.append(private(feed, world)))
    world.at(20, lambda: setattr(world.exchange, "login_refusal", None))
    world.at(30, lambda: subs.append(private(feed, world)))
    seen: list[Any] = []
    world.at(31, lambda: seen.extend(sub.state for sub in subs))

    world.run(32)

    assert seen == [State.FAILED, State.FAILED, State.LIVE]
    assert said(world) == ["login", "login", "login", "subscribe"]


def test_who_comes_while_a_key_is_being_rejected_is_told_too(world: World) -> None:
    """The login was sent when it came; it is told once the connection has parted."""
    world.exchange.login_refusal = world.dialect.unknown({"key": "bad"})
    feed = world.feed(credentials=KEY)
    subs = [private(feed, world)]

    def again(error: Exception) -> None:
        # The connection is given up by now, and not yet gone.
        subs.append(private(feed, world))

    first = subs[0]
    set_on_error(first, again)
    world.at(0.04, lambda: subs.append(private(feed, world)))
    # Together with the refusal, which is read before the newcomer is let in.
    world.at(0.05, lambda: subs.append(private(feed, world)))
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(sub.state for sub in subs))

    world.run(2)

    assert seen == [State.FAILED] * 4
    for sub in subs:
        with pytest.raises(LoginRejected):
            sub.wait_live(0)
    assert said(world) == ["login", "login"]


def test_an_error_that_passes_is_no_rejected_key(v5: World) -> None:
    v5.exchange.login_refusal = ("60006", "Timestamp request expired")
    errors: list[Exception] = []
    sub = private(v5.feed(credentials=KEY), v5, on_error=errors.append)
    v5.at(0.5, lambda: setattr(v5.exchange, "login_refusal", None))
    seen: list[Any] = []
    v5.at(5, lambda: seen.append(sub.state))

    v5.run(6)

    assert seen == [State.LIVE]
    assert [type(error) for error in errors] == [LoginRejected]
    assert said(v5) == ["login", "login", "subscribe"]
    assert len(v5.opened) == 1


def test_a_login_that_is_not_answered_is_sent_again_not_in_a_loop(world: World) -> None:
    world.exchange.answers_logins = False
    sub = private(world.feed(credentials=KEY), world)
    world.at(100, lambda: setattr(world.exchange, "answers_logins", True))
    seen: list[Any] = []
    world.at(99, lambda: seen.extend([sub.state, len(world.exchange.requests)]))
    world.at(200, lambda: seen.append(sub.state))

    world.run(201)

    assert seen[0] is State.SYNCING
    assert 3 <= seen[1] <= 8
    assert seen[2] is State.LIVE


def test_a_channel_behind_a_login_has_its_own_connection_on_a_public_path(
    v5: World,
) -> None:
    v5.exchange.login_refusal = ("60009", "Login failed.")
    feed = v5.feed(credentials=KEY)
    sub = public(feed, channels=("depth5", "books-l2-tbt"))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.state, list(sub.health().failed)]))

    v5.run(2)

    assert seen == [State.LIVE, ["depth_l2_tbt"]]
    assert [url.rpartition("/")[2] for _, url in v5.opened] == ["public", "public"]


def test_no_secret_is_in_any_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    errors: list[Exception] = []
    feed = world.feed(credentials=KEY)
    sub = private(feed, world, on_error=errors.append)
    world.at(2, lambda: world.peer and world.peer.drop())
    world.at(9, lambda: world.peer and world.peer.close(4001, "login failed"))
    refusal = world.dialect.unknown({"key": "bad"})
    world.at(9, lambda: setattr(world.exchange, "login_refusal", refusal))

    world.run(30)

    assert sub.state is State.FAILED
    texts = [caplog.text, repr(feed), repr(sub), repr(credentials_of(feed))]
    texts += [repr(each) for each in (*errors, feed.connections(), feed.stats())]
    texts += [str(each) for each in (*errors, sub.health())]
    for secret in (KEY.api_key, KEY.secret_key, KEY.passphrase):
        assert not [text for text in texts if secret in text]


def test_a_secret_that_the_exchange_echoes_is_in_no_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Both protocols answer what they cannot read with the whole request in a text."""
    caplog.set_level(logging.DEBUG, "okex_ws")
    errors: list[Exception] = []
    sub = private(world.feed(credentials=KEY), world, on_error=errors.append)

    def echo() -> None:
        request = world.exchange.log[0].text
        if request == "ping":
            request = world.exchange.log[1].text
        code = {"v3": 30039, "v5": "60012"}[world.protocol]
        refusal = (code, f"Invalid request: {request}")
        world.exchange.login_refusal = refusal

    world.at(0.04, echo)

    world.run(2)

    assert sub.state is State.FAILED
    assert errors
    texts = [caplog.text, *map(str, errors), *map(repr, errors), str(sub.health())]
    for secret in (KEY.api_key, KEY.secret_key, KEY.passphrase):
        assert not [text for text in texts if secret in text]


# --- What happened to one channel ---------------------------------------------------


def test_what_is_wrong_with_no_channel_of_its_own_is_told_to_all(world: World) -> None:
    errors: dict[str, list[Any]] = {"BTC-USDT": [], "ETH-USDT": []}
    feed = world.feed()
    for name, told in errors.items():
        channels = ("depth5",)
        WSSubscription(name, "spot", feed=feed, channels=channels, on_error=told.append)
    world.at(2, lambda: world.peers[0].send("garbage"))

    world.run(3)

    assert {name: len(told) for name, told in errors.items()} == dict.fromkeys(
        errors, 1
    )


# --- Data that matches no subscription ----------------------------------------------


def make_depth(world: World, name: str = "BTC-USDT") -> Any:
    """The depth of this moment."""
    now = round((world.clock.now - world.t0) * 1000)
    return world.dialect.depth(now, name=name)


def strange(world: World, **fields: str) -> Any:
    """The depth of this moment, under an identity that differs by *fields*."""
    message = make_depth(world)
    message["arg"].update(fields)
    return message


def every(world: World, step: float, end: float, act: Callable[[], object]) -> None:
    """Have *act* run every *step* seconds, from second 1 to second *end*."""
    for n in range(round((end - 1) / step)):
        world.at(1 + n * step, act)


@pytest.mark.parametrize(
    "fields",
    [
        {"instType": "SPOT"},
        {"instId": "btc-usdt"},
        {"channel": "BOOKS5"},
        {"channel": "books5-new"},
    ],
    ids=str,
)
def test_data_under_an_identity_that_changed_withdraws_what_it_may_belong_to(
    v5: World, fields: dict[str, str]
) -> None:
    sub, other = v5.subscribe(channels=("depth5",)), []
    errors: list[Exception] = []
    set_on_error(sub, errors.append)
    seen: list[Any] = []
    v5.at(1, lambda: v5.peers[0].send(strange(v5, **fields)))
    v5.at(1.001, lambda: seen.append((sub.state, sub.GetDepth(), sub.stats().dropped)))
    v5.at(1.5, lambda: v5.peers[0].send(make_depth(v5)))
    v5.at(1.501, lambda: other.append(sub.state))

    v5.run(2)

    kind = "shape" if "instId" in fields else "unasked"
    assert seen == [(State.RESYNCING, {}, {kind: 1})]
    assert [error.kind for error in errors] == [kind]  # type: ignore[attr-defined]
    assert other == [State.LIVE]


def test_an_exchange_that_changes_an_identity_for_good_does_not_stay_live(
    v5: World,
) -> None:
    """It goes on under the new name: the old value must not come back."""
    changes: list[StateChange] = []
    v5.subscribe(channels=("depth5",), on_state=changes.append)
    every(v5, 0.2, 200, lambda: v5.peer_on("public").send(strange(v5, instType="S")))

    v5.run(200)

    # Each subscribe brings one push under the old name, which stands for a minute.
    times = [(change.new, change.at.timestamp()) for change in changes]
    live = [
        later - at for (state, at), (_, later) in pairwise(times) if state is State.LIVE
    ]
    assert len(live) >= 3
    assert max(live) < 61


@pytest.mark.once
def test_a_stranger_that_repeats_does_not_make_five_hundred_others_flap(
    v5: World,
) -> None:
    names = [f"C{n}-USDT" for n in range(500)]
    for name in names:
        key = v5.dialect.channel("depth5", name)
        v5.exchange.first_pushes[key] = v5.dialect.depth(0, name=name)
    changes: list[StateChange] = []
    feed = v5.feed(on_state=changes.append)
    subs = feed.subscribe(names, "spot", ["depth5"])

    def push_all() -> None:
        for name in names:
            v5.peers[0].send(make_depth(v5, name))

    every(v5, 0.2, 10, lambda: v5.peers[0].send(strange(v5, channel="news")))
    every(v5, 1.0, 10, lambda: v5.after(0.1, push_all))
    seen: list[State] = []
    v5.at(9.9, lambda: seen.extend(sub.state for sub in subs))

    v5.run(10)

    assert seen == [State.LIVE] * 500
    assert feed.stats().dropped["unasked"] == 45
    # Each was withdrawn by the first of them, and by no other.
    withdrawn = [c for c in changes if c.new is State.RESYNCING]
    assert len(withdrawn) == 500


def test_a_channel_that_was_left_lately_is_no_stranger(v5: World) -> None:
    feed = v5.feed()
    sub, left = public(feed), public(feed, channels=("bbo-tbt",))

    def straggler() -> None:
        v5.peers[0].send(V5.depth(2000, channel="bbo-tbt"))

    v5.at(1, left.close)
    for second in (1.001, 1.5, 30, 60.9):
        v5.at(second, straggler)
    seen: list[Any] = []
    v5.at(60.95, lambda: seen.append((sub.state, dict(sub.stats().dropped))))
    # A minute after it was left it is one.
    v5.at(62, straggler)
    v5.at(62.001, lambda: seen.append((sub.state, dict(sub.stats().dropped))))

    v5.run(63)

    assert seen == [
        (State.LIVE, {"unasked": 4}),
        (State.RESYNCING, {"unasked": 5}),
    ]


def test_a_lone_suspect_must_be_fed_once_a_minute_beside_a_stranger(v5: World) -> None:
    """What was fed since the stranger came is another one, for a minute."""
    sub = v5.subscribe(channels=("depth5",))
    seen: list[State] = []
    v5.at(1, lambda: v5.peers[0].send(strange(v5, channel="books5-new")))
    v5.at(2, lambda: v5.peers[0].send(make_depth(v5)))
    for second in (10, 61, 63):
        v5.at(second, lambda: v5.peers[0].send(strange(v5, channel="books5-new")))
        v5.at(second + 0.001, lambda: seen.append(sub.state))

    v5.run(64)

    assert seen == [State.LIVE, State.LIVE, State.RESYNCING]


@pytest.mark.parametrize(
    "fields", [{"instType": "SPOT"}, {"instId": "btc-usdt"}, {"channel": "BOOKS5"}]
)
def test_under_a_name_that_changes_to_and_fro_no_value_outlives_a_lease(
    v5: World, fields: dict[str, str]
) -> None:
    """One gateway follows on another. Beside own data such data is another stream's."""
    sub = v5.subscribe(channels=("depth5",))
    seen: dict[float, State] = {}

    def send(second: float, *, strangely: bool) -> None:
        make = partial(strange, v5, **fields) if strangely else partial(make_depth, v5)
        v5.at(second, lambda: v5.peers[0].send(make()))
        v5.at(second + 0.001, lambda: seen.setdefault(second, sub.state))

    for second in range(1, 120):
        # Of each minute twenty seconds under the strange name alone.
        alone = second % 60 > 40
        send(second, strangely=alone)
        if not alone:
            send(second + 0.5, strangely=True)

    v5.run(121)

    live = {second for second, state in seen.items() if state is State.LIVE}
    missed = set(seen) - live
    # It is withdrawn by the first strange push, and then where it was not fed for half
    # of the fifteen seconds of a lease; ten seconds later it is subscribed anew.
    assert 1.5 in missed
    for began in (41, 101):
        assert {*range(began, began + 7)} <= live
        assert {*range(began + 8, began + 17)} <= missed
    assert len(missed) <= 1 + 2 * 12


def test_a_name_that_changes_before_a_silence_withdraws_within_half_a_lease(
    v5: World,
) -> None:
    """The value that was fed just before is not the newest: the strange one is."""
    sub = v5.subscribe(channels=("depth5",))
    seen: list[State] = []

    def other_name() -> None:
        v5.peers[0].send(strange(v5, instType="SPOT"))

    # Fed again after it, it is another one.
    for second in (1, 2, 3):
        v5.at(second, lambda: v5.peers[0].send(make_depth(v5)))
        v5.at(second - 0.5, other_name)
    v5.at(3.5, other_name)
    for second in (3.6, 10.9, 11.1):
        v5.at(second, lambda: seen.append(sub.state))

    v5.run(12)

    assert seen == [State.LIVE, State.LIVE, State.RESYNCING]


def test_each_trade_under_a_strange_name_is_a_gap_for_its_own_channel(
    v5: World,
) -> None:
    """The trades that came since do not make good for the one that was lost."""
    sub = v5.subscribe(channels=("trade",))
    updates = sub.updates(repeated=True)

    def send(number: int, **fields: str) -> None:
        message = V5.trade(str(number), number * 1000)
        message["arg"].update(fields)
        v5.peers[0].send(message)

    for second, name in enumerate(("BTC-USDT", "btc-usdt") * 3, 1):
        v5.at(second, lambda n=second, name=name: send(n, instId=name))
    v5.at(7, lambda: send(7))

    v5.run(8)

    items = [item for item in updates if isinstance(item, (Trade, Gap))]
    assert [type(item) for item in items] == [Trade, Gap] * 3 + [Trade]


# --- Data before its acknowledgement ------------------------------------------------


def test_data_before_its_acknowledgement_is_used_and_a_late_refusal_withdraws_it(
    v5: World,
) -> None:
    v5.exchange.acknowledges = False
    sub = v5.subscribe(channels=("depth5",))
    seen: list[Any] = []
    v5.at(1, lambda: v5.peers[0].send(make_depth(v5)))
    v5.at(1.001, lambda: seen.append((sub.state, bool(sub.GetDepth()))))
    refusal = V5.error(*V5.unknown({"channel": "books5", "instId": "BTC-USDT"}), {})
    v5.at(2, lambda: v5.peers[0].send(refusal))
    v5.at(2.001, lambda: seen.append((sub.state, bool(sub.GetDepth()))))

    v5.run(3)

    assert seen == [(State.LIVE, True), (State.FAILED, False)]


# --- Trades that fall silent --------------------------------------------------------


def asked_again(world: World) -> list[float]:
    """When trades were unsubscribed, to be subscribed again."""
    log = [s for s in world.exchange.log if '"unsubscribe"' in s.text]
    return [said.at - world.t0 for said in log if "trades" in said.text]


def test_trades_that_are_silent_beside_a_moving_depth_are_asked_for_again(
    v5: World,
) -> None:
    changes: list[StateChange] = []
    sub = v5.subscribe(channels=("depth5", "trade"), on_state=changes.append)
    v5.at(5, lambda: v5.peers[0].send(V5.trade("7", 5000)))
    every(v5, 5.0, 3600, lambda: v5.peers[0].send(make_depth(v5)))
    seen: set[Any] = set()
    every(v5, 1.0, 3600, lambda: seen.add((sub.state, bool(sub.GetDepth()))))
    trades: list[Any] = []
    v5.at(3599, lambda: trades.extend(trade.id for trade in sub.trades))

    v5.run(3600)

    times = asked_again(v5)
    assert len(times) == 5
    assert all(600 <= late - early < 670 for early, late in pairwise([5.0, *times]))
    # Nothing is withdrawn for it.
    assert seen == {(State.LIVE, True)}
    assert trades == ["7"]
    assert len(v5.opened) == 1


@pytest.mark.parametrize("moves", ["nothing", "another instrument"])
def test_trades_are_not_asked_for_again_beside_a_depth_that_is_still(
    v5: World, moves: str
) -> None:
    feed = v5.feed()
    public(feed, channels=("depth5", "trade"))
    WSSubscription("ETH-USDT", "spot", feed=feed, channels=("depth5",))
    if moves != "nothing":
        push = partial(make_depth, v5, "ETH-USDT")
        every(v5, 5.0, 1500, lambda: v5.peers[0].send(push()))

    v5.run(1500)

    assert asked_again(v5) == []


def test_a_trade_that_is_missed_while_trades_are_asked_for_again_is_a_gap(
    v5: World,
) -> None:
    sub = v5.subscribe(channels=("depth5", "trade"))
    updates = sub.updates(latest=False)
    v5.at(5, lambda: v5.peers[0].send(V5.trade("7", 5000)))
    every(v5, 5.0, 700, lambda: v5.peers[0].send(make_depth(v5)))

    answer = v5.exchange.asked

    def asked(peer: Peer, text: str) -> None:
        """Answer, and trade while trades are not subscribed, and again afterwards."""
        answer(peer, text)
        if '"unsubscribe"' in text:
            v5.after(0.06, lambda: peer.send(V5.trade("8", 6000)))
            v5.after(20, lambda: peer.send(V5.trade("10", 7000)))

    vars(v5.exchange)["asked"] = asked

    v5.run(700)

    told = [i for i in updates if isinstance(i, (Gap, Trade))]
    words = ["Gap" if isinstance(item, Gap) else item.id for item in told]
    assert words == ["7", "Gap", "10"]
    assert sub.stats().dropped == {"resynchronising": 1}
