"""What an isolated feed cannot give is refused, and it is said what to do instead."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws import Feed, NotLive, RawSubscription, SystemClock, WSSubscription
from okex_ws.client.base import make_pool
from okex_ws.isolation.pool import IsolatedPool
from okex_ws.isolation.view import check_isolated
from tests.support.internals import supervisor_of

BTC: Any = ("BTC-USDT", "spot")
INSTEAD = r"read those \(GetDepth\(\)|or leave isolate=True"


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"ssl_context": ssl.create_default_context()}, "SSL_CERT_FILE"),
        ({"clock": SystemClock()}, "clock cannot cross"),
        ({"network": object}, "network cannot cross"),
        ({"rng": random.Random()}, "rng cannot cross"),
        ({"callbacks": "thread"}, INSTEAD),
    ],
)
def test_a_keyword_that_cannot_cross_a_process_is_refused(
    keywords: Any, says: str
) -> None:
    (name,) = keywords
    for make in (Feed, WSSubscription):
        first = ("okx",) if make is Feed else BTC
        with pytest.raises(ValueError, match=says) as caught:
            make(*first, isolate=True, **keywords)
        assert str(caught.value).startswith(name)


@pytest.mark.parametrize("name", ["on_message", "on_state", "on_error"])
def test_a_callback_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=INSTEAD) as caught:
        WSSubscription(*BTC, venue="okx", isolate=True, **{name: print})  # type: ignore[misc]
    assert str(caught.value).startswith(name)


def test_a_callback_of_a_feed_is_refused() -> None:
    with pytest.raises(ValueError, match=INSTEAD):
        Feed("okx", on_state=print, isolate=True)


@pytest.mark.parametrize("value", [1, "yes"])
def test_it_is_asked_for_by_yes_or_no(value: Any) -> None:
    with pytest.raises(TypeError, match="isolate is a bool"):
        Feed("okx", isolate=value)


def test_other_keywords_are_checked_as_ever() -> None:
    with pytest.raises(ValueError, match="ping_interval"):
        make_pool("okx", isolate=True, ping_interval=60)
    with pytest.raises(ValueError, match="unknown venue"):
        make_pool("okex3", isolate=True)
    with pytest.raises(TypeError, match="reconnect is a Reconnect"):
        make_pool("okx", isolate=True, reconnect=5)  # type: ignore[arg-type]


def test_a_frozen_program_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    with pytest.raises(ValueError, match="frozen"):
        check_isolated({}, "inline", None, {})


def test_nothing_is_started_before_somebody_subscribes() -> None:
    pool = make_pool("okx", isolate=True)

    assert isinstance(pool, IsolatedPool)
    assert pool.threads == ()
    assert pool.reports() == ()
    with Feed("okx", isolate=True) as feed:
        assert (feed.state, feed.subscriptions) == ("CONNECTING", ())
        assert feed.connections() == ()
        feed.rotate()
        assert feed.stats().messages == 0
    assert feed.state == "CLOSED"


# --- Of one that runs, or would -------------------------------------------------------


@pytest.fixture
def okx(monkeypatch: pytest.MonkeyPatch) -> Iterator[WSSubscription]:
    """A subscription whose process never comes to be."""

    def spawn(key: Any) -> Any:
        raise OSError("not in this test")

    monkeypatch.setattr(IsolatedPool.__init__, "__defaults__", (spawn,))
    channels = ("depth5", "depth", "trade", "ticker", "candle60s")
    with WSSubscription(*BTC, venue="okj", channels=channels, isolate=True) as okx:
        yield okx


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda okx: okx.trades, "what trades gives"),
        (lambda okx: okx.candles, "what candles gives"),
        (lambda okx: okx.updates(), r"what updates\(\) gives"),
        (lambda okx: okx.latest("ticker"), "the newest of 'ticker'"),
        (lambda okx: okx.latest("trades"), "the newest of 'trade'"),
    ],
)
def test_what_is_not_shared_is_refused(
    okx: WSSubscription, ask: Callable[[WSSubscription], object], says: str
) -> None:
    with pytest.raises(ValueError, match=INSTEAD) as caught:
        ask(okx)
    assert str(caught.value).startswith(says.replace("\\", ""))


def test_what_is_shared_is_not_refused(okx: WSSubscription) -> None:
    assert okx.GetDepth() == {}
    assert okx.best_bid_ask() is okx.book is None
    assert okx.latest("depth5") is okx.latest("books") is None
    with pytest.raises(ValueError, match="not subscribed, only 'depth5'"):
        okx.latest("mark_price")


def test_one_that_came_while_its_feed_was_closed_ends_with_it(
    okx: WSSubscription,
) -> None:
    supervisor_of(
        okx
    ).close()  # as a signal handler may, in the middle of the constructor

    with pytest.raises(NotLive, match="closed"):
        okx.wait_live(30)
    assert okx.state == "CLOSED"


def test_the_iterator_of_a_feed_is_refused() -> None:
    with (
        Feed("okx", isolate=True) as feed,
        pytest.raises(ValueError, match=INSTEAD),
    ):
        feed.updates()


def test_raw_data_wants_a_feed_of_this_process() -> None:
    with (
        Feed("okx", isolate=True) as feed,
        pytest.raises(ValueError, match="a Feed without it"),
    ):
        RawSubscription([{"channel": "status"}], feed=feed)


def test_a_login_is_missed_as_ever() -> None:
    with (
        Feed("okx", isolate=True) as feed,
        pytest.raises(ValueError, match="fee tier VIP4"),
    ):
        feed.subscribe(["BTC-USDT"], "spot", ["books50-l2-tbt"])
    assert feed.subscriptions == ()
