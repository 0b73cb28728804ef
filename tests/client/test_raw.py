"""Any channel of a venue, as decoded data."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import (
    CauseCode,
    Credentials,
    Data,
    Feed,
    Gap,
    RawSubscription,
    State,
    WSSubscription,
)
from okex_ws.base.clock import utc
from tests.support.causes import because, gap_for
from tests.support.virtual_world import V5, World

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")
ORDERS = {"channel": "orders", "instType": "SWAP", "instFamily": "BTC-USD"}


@pytest.fixture
def v3() -> World:
    return World("v3")


@pytest.fixture
def v5() -> World:
    return World("v5")


def status(text: str) -> dict[str, Any]:
    return {"arg": {"channel": "status"}, "data": [{"state": text}]}


# --- What it takes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ("status", TypeError, "sequence"),
        ({"channel": "status"}, TypeError, "sequence"),
        (7, TypeError, "sequence"),
        ([], ValueError, "empty"),
        ([7], TypeError, "mapping"),
        ([{"channel": "status", "instType": 7}], TypeError, "str"),
        ([{"instType": "SWAP"}], TypeError, "name"),
        ([{"channel": "no name"}], ValueError, "name"),
        ([{"channel": "books5", "instId": "BTC-USDT"}], ValueError, "WSSubscription"),
        (["status", {"channel": "candle1m", "instId": "X-Y"}], ValueError, "type"),
    ],
)
def test_what_cannot_be_a_channel_of_v5_is_refused(
    v5: World, args: Any, error: type[Exception], says: str
) -> None:
    feed = v5.feed()
    with pytest.raises(error, match=says):
        RawSubscription(args, feed=feed)
    assert feed.subscriptions == ()


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ([{"channel": "status"}], TypeError, "name"),
        (["status"], ValueError, "spot/order:BTC-USDT"),
        (["spot/depth5:BTC-USDT"], ValueError, "WSSubscription"),
        (["spot/order:BTC USDT"], ValueError, "no channel of v3"),
    ],
)
def test_what_cannot_be_a_channel_of_v3_is_refused(
    v3: World, args: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        RawSubscription(args, feed=v3.feed())


@pytest.mark.parametrize("callback", ["on_message", "on_state", "on_error"])
def test_a_callback_that_cannot_be_called_is_refused(v5: World, callback: str) -> None:
    with pytest.raises(TypeError, match=callback):
        RawSubscription(["status"], feed=v5.feed(), **{callback: "print"})


def test_it_lives_on_a_feed_and_on_nothing_else(v5: World) -> None:
    with pytest.raises(TypeError, match="feed is a Feed"):
        RawSubscription(["status"], feed="okx")  # type: ignore[arg-type]
    feed = v5.feed()
    feed.close()
    with pytest.raises(ValueError, match="closed"):
        RawSubscription(["status"], feed=feed)


def test_what_is_private_needs_credentials(v3: World, v5: World) -> None:
    feed = v5.feed()
    with pytest.raises(ValueError, match=r"'account' needs a login: .*Credentials"):
        RawSubscription(["status", "account"], feed=feed)
    with pytest.raises(ValueError, match="'spot/order:BTC-USDT' needs a login"):
        RawSubscription(["spot/order:BTC-USDT"], feed=v3.feed())
    # Nothing was half done.
    assert feed.subscriptions == ()
    assert feed.connections() == ()


def test_the_same_channel_twice_is_one_and_an_iterator_is_a_sequence(
    v5: World,
) -> None:
    reordered = dict(reversed(ORDERS.items()))
    sub = RawSubscription(
        iter([ORDERS, "status", reordered, {"channel": "status"}]),
        feed=v5.feed(credentials=KEY),
    )
    v5.run(1)

    assert sub.channels == ("orders:instFamily=BTC-USD,instType=SWAP", "status")
    asked = [arg for request in v5.exchange.requests for arg in request["args"]]
    status, orders = (arg for arg in asked if "apiKey" not in arg)
    assert (status, orders) == ({"channel": "status"}, ORDERS)


# --- What it gives ------------------------------------------------------------------


def test_every_push_is_an_item_and_the_newest_can_be_asked_for(v5: World) -> None:
    texts: list[str] = []
    feed = v5.feed(credentials=KEY)
    sub = RawSubscription([ORDERS, "status"], feed=feed, on_message=texts.append)
    updates = sub.updates()
    # The exchange adds the user's id to what was asked for.
    push = {"arg": {**ORDERS, "uid": "77982378738415879"}, "data": [{"px": 1.50}, {}]}
    v5.at(1, lambda: v5.peer_on("private").send(push))
    v5.at(2, lambda: v5.peer_on("public").send(status("ongoing")))
    v5.at(3, lambda: v5.peer_on("private").send(push))
    seen: list[Any] = []
    v5.at(4, lambda: seen.extend([sub.latest(ORDERS), sub.latest("status")]))
    v5.at(4, lambda: seen.append(repr(sub)))

    v5.run(5)

    order, state, word = seen
    name = "orders:instFamily=BTC-USD,instType=SWAP"
    assert order == Data(name, ({"px": "1.5"}, {}), None, utc(1_600_000_003), 1)
    assert state.elements == ({"state": "ongoing"},)
    assert [item.channel for item in sub.data] == [name, "status", name]
    assert [i for i in updates if isinstance(i, Data)] == list(sub.data)
    assert [text.startswith('{"arg"') for text in texts] == [True] * 3
    assert word == f"<RawSubscription {name}, status LIVE>"


def test_of_one_channel_the_newest_needs_no_name(v5: World) -> None:
    feed = v5.feed()
    one, two = (
        RawSubscription(names, feed=feed) for names in (["status"], ["status", "x"])
    )
    v5.at(1, lambda: v5.peer_on("public").send(status("ongoing")))
    seen: list[Any] = []
    v5.at(0.5, lambda: seen.append(one.latest()))
    v5.at(2, lambda: seen.append(one.latest()))

    v5.run(3)

    assert [None if item is None else item.elements for item in seen] == [
        None,
        ({"state": "ongoing"},),
    ]
    with pytest.raises(ValueError, match="which of status, x"):
        two.latest()
    with pytest.raises(ValueError, match="not subscribed"):
        two.latest("instruments")


def test_what_came_over_a_lost_connection_is_not_the_latest(v5: World) -> None:
    sub = RawSubscription(["status"], feed=v5.feed())
    updates = sub.updates()
    v5.at(1, lambda: v5.peer_on("public").send(status("ongoing")))
    v5.at(2, lambda: v5.peer_on("public").drop())
    seen: list[Any] = []
    v5.at(9, lambda: seen.extend([sub.state, sub.latest(), len(sub.data)]))

    v5.run(10)

    assert seen == [State.LIVE, None, 1]
    gaps = [item for item in updates if isinstance(item, Gap)]
    why = because("pushes while not connected", CauseCode.OUTAGE)
    assert gaps == [gap_for("status", None, None, why, "")]


def test_the_newest_thousand_are_kept(v5: World) -> None:
    sub = RawSubscription(["status"], feed=v5.feed())

    def burst() -> None:
        for number in range(1003):
            v5.peer_on("public").send(status(str(number)))

    v5.at(1, burst)

    v5.run(2)

    assert len(sub.data) == 1000
    assert sub.data[0].elements == ({"state": "3"},)


def test_a_channel_of_v3_is_a_name(v3: World) -> None:
    feed = v3.feed(credentials=KEY)
    sub = RawSubscription(["spot/order:BTC-USDT", "system/status"], feed=feed)
    order = {"table": "spot/order", "data": [{"instrument_id": "BTC-USDT", "size": 1}]}
    other = {"table": "spot/order", "data": [{"instrument_id": "ETH-USDT"}]}
    private: list[Any] = []

    def send() -> None:
        private.extend(peer for peer in v3.peers if peer.logged_in)
        private[0].send(order)
        private[0].send(other)

    v3.at(1, send)
    seen: list[Any] = []
    v3.at(2, lambda: seen.append(sub.latest("spot/order:BTC-USDT")))

    v3.run(3)

    assert seen[0].elements == ({"instrument_id": "BTC-USDT", "size": "1"},)
    assert [len(peer.subscribed) for peer in v3.peers] == [1, 1]
    assert sub.stats().dropped == {"unasked": 1}


@pytest.mark.parametrize("first", ["raw", "typed"])
def test_a_channel_that_has_a_type_stays_typed_whoever_comes_first(
    v5: World, first: str
) -> None:
    """An index ticker has another name on the wire than that of an instrument."""
    feed = v5.feed()
    arg = {"channel": "index-tickers", "instId": "BTC-USD"}

    def raw(feed: Feed) -> None:
        with pytest.raises(ValueError, match="type of its own"):
            RawSubscription([arg], feed=feed)

    def typed(feed: Feed) -> None:
        WSSubscription("BTC-USD", "index", channels=("ticker",), feed=feed)

    for make in (raw, typed) if first == "raw" else (typed, raw):
        make(feed)
    ticker = {"instId": "BTC-USD", "idxPx": "100.1", "ts": V5.stamp(0)}
    push = {"arg": arg, "data": [ticker]}
    seen: list[Any] = []
    v5.at(1, lambda: v5.peer_on("public").send(push))
    (sub,) = feed.subscriptions
    assert isinstance(sub, WSSubscription)
    v5.at(2, lambda: seen.append(sub.latest("ticker")))

    v5.run(3)

    assert seen[0].last is not None


def test_a_late_iterator_begins_with_what_came_last(v5: World) -> None:
    """Nothing says when the exchange pushes an account again."""
    v5.exchange.first_pushes["account"] = {
        "arg": {"channel": "account", "uid": "7"},
        "data": [{"totalEq": "10000"}],
    }
    feed = v5.feed(credentials=KEY)
    RawSubscription(["account"], feed=feed)
    late: list[Any] = []

    def join() -> None:
        sub = RawSubscription(["account"], feed=feed)
        late.extend([sub, sub.updates()])

    v5.at(1, join)
    later = {"arg": {"channel": "account"}, "data": [{"totalEq": "9000"}]}
    v5.at(2, lambda: v5.peer_on("private").send(later))

    v5.run(3)

    told = [item for item in late[1] if isinstance(item, Data)]
    assert [each.elements[0]["totalEq"] for each in told] == ["10000", "9000"]


def test_what_is_brought_to_an_iterator_twice_is_given_once(v5: World) -> None:
    """It may register between the publishing of a push and its delivery."""
    feed = v5.feed()
    later: list[Any] = []

    def register(text: str) -> None:
        later.append(sub.updates())

    sub = RawSubscription(["status"], feed=feed, on_message=register)
    v5.at(1, lambda: v5.peer_on("public").send(status("ongoing")))

    v5.run(2)

    told = [item for item in later[0] if isinstance(item, Data)]
    assert [each.elements[0]["state"] for each in told] == ["ongoing"]


def test_no_request_could_carry_such_a_channel(v5: World, v3: World) -> None:
    huge = {"channel": "status", **{f"name{n}": "\u00e9" * 256 for n in range(60)}}
    feed = v5.feed()

    with pytest.raises(ValueError, match="no request can carry"):
        RawSubscription([huge], feed=feed)

    assert feed.subscriptions == ()


# --- Logins -------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["60031", "60010"])
def test_a_login_that_is_answered_late_and_twice_is_a_login(
    v5: World, code: str
) -> None:
    """The second is refused, because the first was accepted."""
    answered: list[int] = []

    def answer(peer: Any, request: Any) -> None:
        answered.append(1)
        if len(answered) == 1:
            v5.after(12.0, lambda: accept(peer))
        else:
            refusal = v5.dialect.error(code, "The connection is logged in already", {})
            v5.after(1.02, lambda: peer.send(refusal))

    def accept(peer: Any) -> None:
        peer.logged_in = True
        peer.send(v5.dialect.logged_in())

    v5.exchange.answer_login = answer  # type: ignore[method-assign]
    errors: list[str] = []
    sub = RawSubscription(
        ["account"],
        feed=v5.feed(credentials=KEY),
        on_error=lambda error: errors.append(str(error)),
    )
    seen: list[Any] = []
    v5.at(60, lambda: seen.extend([sub.state, dict(sub.health().failed)]))

    v5.run(61)

    assert seen == [State.LIVE, {}]
    assert [error.partition(" came")[0] for error in errors] == [
        "no acknowledgement of login"
    ]


def test_no_text_of_the_exchange_repeats_a_secret(v5: World, caplog: Any) -> None:
    echo = "the-api-key the-passphrase the-secret-key"
    errors: list[Any] = []
    feed = v5.feed(credentials=KEY)
    sub = RawSubscription(["account"], feed=feed, on_error=errors.append)
    peer = lambda: v5.peer_on("private")  # noqa: E731
    notice = {"event": "notice", "code": "64007", "msg": f"for {echo}"}
    v5.at(1, lambda: peer().send(notice))
    v5.at(2, lambda: peer().send(echo))
    error = v5.dialect.error("60018", f"what of {echo}", {"id": "no id of ours"})
    v5.at(3, lambda: peer().send(error))
    v5.at(4, lambda: peer().close(4001, f"Login failed: {echo}"))
    told: list[str] = []
    v5.at(4.5, lambda: told.append(f"{sub.health()!r} {sub.stats()!r}"))

    v5.run(20)

    said = " ".join([caplog.text, *told, *map(repr, errors), *map(str, errors)])
    assert len(errors) >= 2
    assert "notice 64007: for ..." in said
    for secret in echo.split():
        assert secret not in said
