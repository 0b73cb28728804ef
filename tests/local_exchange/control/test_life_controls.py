"""The life of an instrument of the local exchange, and what subscriptions are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws import Feed, InstrumentChange, State, StateChange, WSSubscription
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import Rest

ID, NEW = "BTC-USD-SWAP", "XBT-USD-SWAP"
LIST = "instruments:instType=SWAP"
DEPTHS = ("depth5", "trade", "ticker")


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(pace=50, instruments=[ID, "BTC-USDT"]) as running:
        yield running


def follow(exchange: LocalExchange, **keywords: Any) -> WSSubscription:
    """A live subscription of v5 whose list was told."""
    sub = WSSubscription(ID, venue=exchange.venue_v5, channels=DEPTHS, **keywords)
    sub.wait_live(10)
    assert exchange.wait_for(lambda: exchange.newest(LIST))
    return sub


def told_until(items: Iterator[Any], is_last: Callable[[Any], bool]) -> list[Any]:
    """The changes and states that *items* tell, up to one that *is_last*."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, InstrumentChange):
            found.append((item.kind, item.old, item.new))
        elif isinstance(item, StateChange):
            found.append((item.new.value, item.cause.code and item.cause.code.value))
        if is_last(item):
            break
    return found


@pytest.mark.parametrize(
    ("how", "told", "code"),
    [
        ("suspend", ("suspended", "live", "suspend"), "suspended"),
        ("settle", ("settling", "live", "settling"), "settling"),
    ],
)
def test_a_halt_and_its_end(
    exchange: LocalExchange, how: str, told: tuple[str, ...], code: str
) -> None:
    with follow(exchange, changes=True) as sub:
        items = sub.updates(timeout=10)
        getattr(exchange, how)(ID)

        assert told_until(items, lambda item: isinstance(item, InstrumentChange)) == [
            ("STALE", code),
            told,
        ]
        assert not exchange.wait_for(lambda: sub.GetDepth(), 0.3)

        exchange.resume(ID)
        live = told_until(items, lambda item: getattr(item, "new", "") is State.LIVE)
        assert ("resumed", told[2], "live") in live
        assert sub.GetDepth()


def test_a_rebase_changes_the_contract(exchange: LocalExchange) -> None:
    with follow(exchange) as sub:
        before = sub.instrument
        exchange.rebase(ID, "10")
        assert exchange.wait_for(lambda: sub.state is State.STALE)
        assert sub.health().cause.code == "rebased"

        exchange.resume(ID)
        sub.wait_live(10)
        after = sub.instrument

    assert before is not None
    assert after is not None
    assert after.contract_value == 10 * before.contract_value  # type: ignore[operator]


@pytest.mark.parametrize("isolate", [False, True], ids=["thread", "isolate"])
def test_a_delisted_instrument_fails(exchange: LocalExchange, isolate: bool) -> None:
    with follow(exchange, isolate=isolate) as sub:
        exchange.delist(ID)

        assert exchange.wait_for(lambda: sub.state is State.FAILED)
        assert sub.health().cause.code == "expired"
        assert sub.GetDepth() == {}
    with WSSubscription(ID, venue=exchange.venue_v5) as late:
        assert exchange.wait_for(lambda: late.state is State.FAILED)
        assert late.health().cause.code == "rejected"
    with Rest(exchange.venue_v5) as rest:
        assert [each.instrument_id for each in rest.instruments("swap")] == []


@pytest.mark.parametrize("isolate", [False, True], ids=["thread", "isolate"])
def test_a_renamed_instrument_fails_and_names_the_new_id(
    exchange: LocalExchange, isolate: bool
) -> None:
    with follow(exchange, isolate=isolate) as sub:
        exchange.rename(ID, NEW)

        assert exchange.wait_for(lambda: sub.state is State.FAILED)
        cause = sub.health().cause
        assert (cause.code, cause.new_id, cause.instrument_id) == ("renamed", NEW, ID)
        assert sub.GetDepth() == {}
    with WSSubscription(NEW, venue=exchange.venue_v5) as after:
        after.wait_live(10)


@pytest.mark.parametrize("isolate", [False, True], ids=["thread", "isolate"])
def test_an_isolated_feed_is_suspended_and_goes_on(
    exchange: LocalExchange, isolate: bool
) -> None:
    with follow(exchange, isolate=isolate) as sub:
        epoch = sub.depth().epoch
        exchange.suspend(ID)
        assert exchange.wait_for(lambda: sub.state is State.STALE)
        assert sub.health().cause.code == "suspended"
        assert sub.GetDepth() == {}

        exchange.resume(ID)
        sub.wait_live(10)
        assert sub.depth().epoch > epoch


def test_after_a_rename_trades_have_the_new_id_and_books_go_on(
    exchange: LocalExchange,
) -> None:
    # Without the list, and without a word of it: as a client of its own sees it.
    exchange.reject(LIST, 60018, "doesn't exist")
    channels = ("depth5", "ticker")
    with (
        Feed(exchange.venue_v5) as feed,
        Feed(exchange.venue_v5) as other,
    ):
        (books,) = feed.subscribe([ID], channels=channels)
        (trades,) = other.subscribe([ID], channels=["trade"])
        feed.wait_live(10)
        other.wait_live(10)
        ticks = len(exchange.pushed(f"tickers:{ID}"))
        exchange.rename(ID, NEW)
        count = len(exchange.pushed(f"books5:{ID}"))

        assert exchange.wait_for(
            lambda: len(exchange.pushed(f"books5:{ID}")) > count + 3
        )
        assert exchange.wait_for(lambda: trades.state is State.FAILED)
        assert trades.health().cause.new_id == NEW
        assert len(exchange.pushed(f"tickers:{ID}")) <= ticks + 1
        books.close()
        assert exchange.wait_for(lambda: f"books5:{ID}" in exchange.subscribed)


def test_under_v3_trades_have_the_new_id_and_all_else_is_silent(
    exchange: LocalExchange,
) -> None:
    keywords: dict[str, Any] = {"channels": ("depth5", "trade"), "lease": 2}
    with WSSubscription(ID, venue=exchange.venue, **keywords) as sub:
        sub.wait_live(10)
        assert exchange.wait_for(lambda: exchange.newest(f"swap/trade:{ID}"))
        exchange.rename(ID, NEW)

        # A trade under a strange name withdraws what it may belong to, unless that is
        # fed; the exchange then refuses the old id.
        assert exchange.wait_for(lambda: sub.state is not State.LIVE, 20)
        assert sub.GetDepth() == {}
        trade = exchange.newest(f"swap/trade:{ID}")
        assert trade is not None
        assert trade.element["instrument_id"] == NEW


def test_under_v3_a_suspended_market_is_quiet(exchange: LocalExchange) -> None:
    with WSSubscription(ID, venue=exchange.venue) as sub:
        sub.wait_live(10)
        exchange.suspend(ID)
        before = exchange.newest(f"swap/depth5:{ID}")

        assert not exchange.wait_for(
            lambda: exchange.newest(f"swap/depth5:{ID}") != before, 0.3
        )
        exchange.resume(ID)
        assert exchange.wait_for(lambda: exchange.newest(f"swap/depth5:{ID}") != before)


def test_an_unsubscribe_by_the_new_id_ends_what_the_old_id_began(
    exchange: LocalExchange,
) -> None:
    with Feed(exchange.venue_v5) as feed:
        (sub,) = feed.subscribe([ID], channels=DEPTHS)
        (other,) = feed.subscribe(["BTC-USDT"], channels=["depth5"])
        feed.wait_live(10)
        assert exchange.wait_for(lambda: exchange.newest(LIST))
        exchange.rename(ID, NEW)
        assert exchange.wait_for(lambda: sub.state is State.FAILED)
        assert exchange.wait_for(
            lambda: not [each for each in exchange.subscribed if ID in each]
        )
        assert other.state is State.LIVE
        (again,) = feed.subscribe([NEW], channels=DEPTHS)
        again.wait_live(10)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda e: e.suspend("ETH-USDT"), ValueError, "no instrument is called"),
        (lambda e: e.suspend(7), TypeError, "instrument_id is a string"),
        (lambda e: e.rebase(ID, "0"), ValueError, "more than zero"),
        (lambda e: e.rebase(ID, "x"), ValueError, "more than zero"),
        (lambda e: e.rename(ID, "BTC-USDT"), ValueError, "."),
        (lambda e: e.rename(ID, ID), ValueError, "another instrument"),
        (lambda e: e.rename(ID, "no id"), ValueError, "."),
        (lambda e: e.resume("ETH-USDT"), ValueError, "no instrument is called"),
    ],
)
def test_what_makes_no_sense_is_refused(
    exchange: LocalExchange, call: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(exchange)
