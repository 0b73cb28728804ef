"""What is left out: the seed's own id, the market, the venue."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from okex_ws import (
    Feed,
    InstrumentExpired,
    NotLive,
    RawSubscription,
    Recorder,
    Replay,
    State,
    StateChange,
    WSSubscription,
)
from tests.support.virtual_world import V5, World

WHY = "delivered 2019-05-17: name an instrument"


@pytest.fixture(params=[{}, {"isolate": True}], ids=["thread", "isolate"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The keywords of a subscription on threads, and of one in its own process."""
    return dict(request.param)


def test_the_seed_without_arguments_is_failed_and_says_why(
    options: dict[str, Any],
) -> None:
    with WSSubscription(**options) as sub:
        assert (sub.instrument_id, sub.market) == ("BTC-USD-190517", "futures")
        assert sub.venue.name == "okx"
        assert sub.state is State.FAILED
        assert str(sub.health().cause) == WHY
        assert sub.GetDepth() == {}
        assert sub.best_bid_ask() is None
        assert sub.book is None
        with pytest.raises(NotLive, match=WHY):
            sub.depth()
        with pytest.raises(InstrumentExpired, match=WHY) as expired:
            sub.wait_live(0)
        assert expired.value.instrument_id == "BTC-USD-190517"
        assert f"{expired.value.expiry:%Y-%m-%d}" == "2019-05-17"
        assert sub.stats().messages == 0
        assert "FAILED" in repr(sub)
    assert sub.close()


def test_what_the_seed_was_called_with_is_failed_alike() -> None:
    with WSSubscription("BTC-USD-190517", "futures", print) as sub:
        assert sub.state is State.FAILED
        assert sub.trades == sub.candles == ()
        assert sub.latest("trade") is None


@pytest.mark.parametrize("callbacks", ["inline", "thread"])
def test_its_callbacks_are_told_on_a_thread_of_the_library(callbacks: Any) -> None:
    told: list[object] = []
    done = threading.Event()
    lock = threading.Lock()

    def on_state(change: StateChange) -> None:
        with lock:  # which the script holds while it constructs
            told.append((change.old, change.new, str(change.cause)))
        done.set()

    def on_error(error: Exception) -> None:
        told.append((type(error), threading.current_thread() is not here))

    here = threading.current_thread()
    with lock:
        sub = WSSubscription(on_state=on_state, on_error=on_error, callbacks=callbacks)

    assert done.wait(10)
    assert sub.close()
    assert told == [
        (InstrumentExpired, True),
        (State.CONNECTING, State.FAILED, WHY),
    ]


def test_an_iterator_tells_that_the_seed_is_failed_and_ends() -> None:
    with Feed() as feed:
        items = feed.updates(timeout=10)
        sub = WSSubscription(feed=feed)

        change = next(items)

        assert isinstance(change, StateChange)
        assert (change.instrument_id, change.new) == (sub.instrument_id, State.FAILED)
        assert feed.subscriptions == (sub,)
        assert (feed.state, str(feed.health().cause)) == (State.FAILED, WHY)
        assert feed.connections() == ()
        with pytest.raises(InstrumentExpired):
            next(sub.updates(timeout=10))
        assert sub.close()
        assert feed.subscriptions == ()
    with pytest.raises(ValueError, match="the feed is closed"):
        WSSubscription(feed=feed)


def test_a_market_that_is_left_out_is_the_one_that_the_id_tells() -> None:
    world = World("v5")
    ids = ["BTC-USDT", "BTC-USD-SWAP", "BTC-USD-301227", "BTC-USD-301227-9.5-C"]

    made = world.feed().subscribe(ids, channels=["trade"])
    world.run(1)

    assert [one.market for one in made] == ["spot", "swap", "futures", "option"]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_an_index_is_told_by_the_names_of_its_channels(protocol: str) -> None:
    world = World(protocol)
    names = ("index-tickers", "index-candle1m")
    feed = world.feed()
    sub = WSSubscription("BTC-USD", feed=feed, channels=names)
    pair = WSSubscription("BTC-USD", feed=feed)
    world.run(1)

    assert (sub.market, pair.market) == ("index", "spot")
    assert sub.latest("index-tickers") is sub.latest("ticker") is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: WSSubscription(max_agee=1), r"^WSSubscription\(\) got .*'max_age'"),
        (lambda: WSSubscription(isolat=True), "did you mean 'isolate'"),
        (lambda: WSSubscription(on_mesage=print), "did you mean 'on_message'"),
        (lambda: Feed(isolat=True), r"^Feed\(\) got .*did you mean 'isolate'"),
        (lambda: Feed().subscribe([], on_eror=print), "did you mean 'on_error'"),
        (lambda: Feed().subscribe([], chanels=()), "did you mean 'channels'"),
        (lambda: Feed().updates(repeat=True), "did you mean 'repeated'"),
        (lambda: RawSubscription([], fed=None), "did you mean 'feed'"),
        (lambda: Recorder("x", max_byte=1), "did you mean 'max_bytes'"),
        (lambda: Replay("x", sped="max"), "did you mean 'speed'"),
    ],
)
def test_a_misspelt_keyword_is_told_with_the_right_one(call: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        call()


def test_an_id_of_a_form_that_is_new_is_subscribed_on_the_given_market() -> None:
    world = World("v5")
    name = "BTC-ABOVE-DAILY-260224-1600"
    sub = world.subscribe(name, "spot", channels=("depth5",))
    push = V5.depth(1000, name=name)
    world.at(1, lambda: world.peer and world.peer.send(push))
    seen: list[Any] = []
    world.at(8, lambda: seen.append((sub.state, sub.GetDepth())))

    world.run(9)

    ((state, depth),) = seen
    assert state is State.LIVE
    assert depth["instrument_id"] == name
