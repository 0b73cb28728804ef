"""What a subscription does for each code of the exchange, and what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from okex_ws import (
    CauseCode,
    Credentials,
    Feed,
    LoginRejected,
    OkexWSError,
    RawSubscription,
    State,
    SubscriptionRejected,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.exchange_codes import CODES, TRIES, Advice, ExchangeCode

LIMIT = 30.0
UNKNOWN = {"v3": "30099", "v5": "69999"}
PASSING = {"v3": "30043", "v5": "50001"}


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange() as exchange:
        yield exchange


def errors(protocol: str, *but: Advice) -> list[ExchangeCode]:
    """The errors of *protocol*, but for those of some advice."""
    rows = CODES[protocol].values()
    return [row for row in rows if len(row.code) == 5 and row.advice not in but]


def venue_of(exchange: LocalExchange, protocol: str) -> Venue:
    return exchange.venue_v5 if protocol == "v5" else exchange.venue


def wait_for(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT
    while not fact():
        assert time.monotonic() < ends
        time.sleep(0.01)


def wait_until(sub: RawSubscription | WSSubscription, *states: State) -> None:
    wait_for(lambda: sub.state in states)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_channel_that_is_refused_does_what_the_code_advises(protocol: str) -> None:
    rows = {row.code: row for row in errors(protocol)}
    ids = {f"CODE{code}-USDT": code for code in (*rows, UNKNOWN[protocol])}
    told: dict[str, list[OkexWSError]] = {name: [] for name in ids}
    with (
        LocalExchange(instruments=[*ids], pace=0.1) as exchange,
        Feed(venue_of(exchange, protocol)) as feed,
    ):
        subs = {}
        for name, code in ids.items():
            refuse(exchange, protocol, name, code)
            tell = told[name].append
            subs[name] = WSSubscription(name, "spot", feed=feed, on_error=tell)
        for name, sub in subs.items():
            row = rows.get(ids[name])
            wait_until(sub, State.LIVE if row and row.advice.passes else State.FAILED)
        final = {name: sub.health().failed for name, sub in subs.items()}
        causes = {name: sub.health().cause for name, sub in subs.items()}
        texts = [str(text) for _, text in exchange.requests]

    for name, code in ids.items():
        row = rows.get(code)
        refused = [e for e in told[name] if isinstance(e, SubscriptionRejected)]
        asked = sum('"subscribe"' in text and name in text for text in texts)
        tries = TRIES if row is None or row.advice is Advice.TRIES else 1
        assert [str(error.code) for error in refused] == [code] * tries
        if row is None:
            assert refused[0].cause_code is CauseCode.REJECTED
        else:
            assert {e.cause_code for e in refused} == {row.advice.cause_code}
            assert row.remedy in refused[0].advice
        if row is not None and row.advice.passes:
            assert refused[0].cause_code is CauseCode.BUSY
            assert not final[name]
            assert asked == 2
        else:
            assert [*final[name].values()] == [refused[-1]]
            assert causes[name] == refused[-1].cause
            assert asked == tries


def refuse(exchange: LocalExchange, protocol: str, name: str, code: str) -> None:
    """Refuse the depth of *name* with *code*: once, if that passes."""
    passes = CODES[protocol].get(code)
    times = 1 if passes is not None and passes.advice.passes else None
    if protocol == "v5":
        exchange.reject(f"books5:{name}", code, "no", times=times)
    else:
        key = f"spot/depth5:{name}"
        exchange.reject(key, int(code), f"Channel {key}: no", times=times)


def accounted(exchange: LocalExchange, protocol: str) -> tuple[Feed, list[OkexWSError]]:
    """A feed with a key, and what its subscription of an account is told."""
    told: list[OkexWSError] = []
    key = exchange.credentials[0]
    feed = Feed(venue_of(exchange, protocol), credentials=key, on_error=told.append)
    return feed, told


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_login_that_is_refused_does_what_the_code_advises(
    exchange: LocalExchange, protocol: str
) -> None:
    account = {"channel": "account"} if protocol == "v5" else "spot/account:BTC"
    # Of those that pass one is enough here: each costs a second of back-off.
    rows = [
        row
        for row in errors(protocol, Advice.LOGIN, Advice.LOGGED_IN, Advice.TRIES)
        if not row.advice.passes
    ]
    for row in [CODES[protocol][PASSING[protocol]], *rows]:
        number = row.code if protocol == "v5" else int(row.code)
        exchange.reject_login(number, "no", times=1)
        feed, told = accounted(exchange, protocol)
        with feed:
            sub = RawSubscription([account], feed=feed)
            wait_until(sub, State.LIVE, State.FAILED)
            is_live = sub.state is State.LIVE
        assert is_live == row.advice.passes
        assert isinstance(told[0], LoginRejected)
        assert str(told[0].code) == row.code
        assert told[0].cause_code in (row.advice.cause_code, CauseCode.LOGIN)


def test_a_key_of_another_region_is_told_the_venues_of_the_others(
    exchange: LocalExchange,
) -> None:
    exchange.reject_login("60032", "API key doesn't exist")
    feed, told = accounted(exchange, "v5")
    with feed:
        sub = RawSubscription([{"channel": "account"}], feed=feed)
        wait_until(sub, State.FAILED)
        cause = sub.health().cause

    assert cause.code is CauseCode.REGION
    assert isinstance(told[0], LoginRejected)
    for name in ("okx", "okx-us", "okx-eea"):
        assert f"'{name}'" in str(cause)
    assert "demo" not in str(cause)


def test_a_login_that_fails_for_an_unknown_reason_is_sent_three_times(
    exchange: LocalExchange,
) -> None:
    exchange.reject_login("69999", "no")
    feed, told = accounted(exchange, "v5")
    with feed:
        sub = RawSubscription([{"channel": "account"}], feed=feed)
        wait_until(sub, State.FAILED)

    assert sum('"login"' in str(text) for _, text in exchange.requests) == TRIES
    assert [type(error) for error in told] == [LoginRejected] * TRIES


def test_a_key_that_is_deleted_fails_what_needs_it(exchange: LocalExchange) -> None:
    feed, _ = accounted(exchange, "v5")
    with feed:
        private = RawSubscription([{"channel": "account"}], feed=feed)
        (public,) = feed.subscribe(["BTC-USDT"], "spot")
        feed.wait_live(LIMIT)
        exchange.close_clients(4007, "API key was deleted", channel="account")
        wait_until(private, State.FAILED)
        assert public.state is State.LIVE

    assert private.health().cause.code is CauseCode.LOGIN
    assert private.health().cause.exchange_code == 4007


def test_a_request_that_is_too_long_is_sent_in_halves(exchange: LocalExchange) -> None:
    names = [f"COIN{n}-USDT" for n in range(8)]
    with Feed(exchange.venue_v5) as feed:
        (sub,) = feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
        feed.wait_live(LIMIT)
        exchange.close_clients(1009, "Max frame length of 65536 has been exceeded")
        wait_for(lambda: feed.stats().reconnects.get("ConnectionLost 1009") == 1)
        wait_until(sub, State.LIVE)
        several = [{"channel": "mark-price", "instId": name} for name in names]
        wait_until(RawSubscription(several, feed=feed), State.FAILED)

    assert not any(
        str(text).count("COIN") > 1 for _, text in exchange.requests
    )  # the largest request had one channel, and half of that is one


def test_a_public_feed_is_told_that_a_channel_needs_a_key(
    exchange: LocalExchange,
) -> None:
    exchange.reject("books5:BTC-USDT", "60011", "Please log in")
    with Feed(exchange.venue_v5) as feed:
        (sub,) = feed.subscribe(["BTC-USDT"], "spot")
        wait_until(sub, State.FAILED)
        cause = sub.health().cause

    assert cause.code is CauseCode.LOGIN
    assert "credentials=Credentials(...)" in str(cause)


def test_a_tier_that_is_too_low_is_named(exchange: LocalExchange) -> None:
    exchange.reject("books-l2-tbt:BTC-USDT", "64003", "Your fee tier is too low.")
    key: Credentials = exchange.credentials[0]
    with Feed(exchange.venue_v5, credentials=key) as feed:
        (sub,) = feed.subscribe(["BTC-USDT"], "spot", ["depth_l2_tbt"])
        wait_until(sub, State.FAILED)
        cause = sub.health().cause

    assert cause.code is CauseCode.TIER
    assert str(cause).endswith("; it needs the fee tier VIP4")
