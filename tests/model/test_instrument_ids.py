"""The forms of instrument ids: the market that each tells, and its time."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import MARKETS, VENUES, WSSubscription, check_instrument
from okex_ws.base.errors import InstrumentExpired
from okex_ws.model.instrument_ids import delivery, is_xperp, market_of

OKX = VENUES["okx"]
ABOVE, UPDOWN = "BTC-ABOVE-DAILY-260224-1600-65000", "BTC-UPDOWN-15MIN-260224-1600-1615"


@pytest.mark.parametrize(
    ("name", "market"),
    [
        (ABOVE, "events"),
        (UPDOWN, "events"),
        # A strike has four digits, as a time has, and may have a point.
        ("ETH-ABOVE-DAILY-260224-1600-1615", "events"),
        ("XRP-ABOVE-HOURLY-260224-1600-1.85", "events"),
        ("BTC-BETWEEN-MONTHLY-260228-1600-65000-70000", "events"),
        ("BTC-HIT-MONTHLY-260228-1600-65000-UP", "events"),
        ("BTC-USD_UM_XPERP-310404", "futures"),
        ("AAOI-USD_UM_XPERP-310711", "futures"),
        ("BTC-USD_UM-261030", "futures"),
        ("BTC-USD_UM-SWAP", "swap"),
        ("XSNDK-USDT", "spot"),
        # An option's strike may have four digits too.
        ("ETH-USD-260224-1600-C", "option"),
    ],
)
def test_the_form_of_an_id_tells_the_market(name: str, market: str) -> None:
    assert market_of(name) == market
    assert check_instrument(name, None, OKX) == market
    assert check_instrument(name, market, OKX) == market
    for other in set(MARKETS) - {market} - {"index"}:
        with pytest.raises(ValueError, match=f"is an id of market {market!r}"):
            check_instrument(name, other, OKX)


@pytest.mark.parametrize(
    "name", ["BTC-ABOVE-DAILY", "BTC-ABOVE-DAILY-260224-1600", "BTC-USD-260224-1600-X"]
)
def test_a_series_and_an_event_are_no_instrument(name: str) -> None:
    assert market_of(name) is None
    with pytest.raises(ValueError, match="'BTC-ABOVE-DAILY-260224-1600-65000'"):
        check_instrument(name, None, OKX)


@pytest.mark.parametrize("when", ["269924-1600", "260224-2460", "260230-0000"])
def test_an_event_contract_of_no_time_is_a_value_error(when: str) -> None:
    with pytest.raises(ValueError, match="is of no time"):
        check_instrument(f"BTC-ABOVE-DAILY-{when}-65000", None, OKX)


def test_an_event_contract_in_small_letters_is_not_known_but_named() -> None:
    with pytest.raises(ValueError, match=f"did you mean '{UPDOWN}'"):
        check_instrument(UPDOWN.lower(), None, OKX)


def test_v3_has_no_event_contracts() -> None:
    with pytest.raises(ValueError, match="'okex' has no market 'events'"):
        check_instrument(ABOVE, None, VENUES["okex"])


@given(st.text(max_size=40))
def test_any_text_has_a_market_or_none(text: str) -> None:
    assert market_of(text) in (None, *MARKETS)


@pytest.mark.parametrize("name", ["BTC-USD-190517", "BTC-USD-190517-11000-C"])
def test_delivery_is_at_eight_in_the_morning_of_the_day(name: str) -> None:
    assert delivery(name) == datetime(2019, 5, 17, 8, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("BTC-USD_UM_XPERP-310404", datetime(2031, 4, 4, 8)),
        # The times in the id are those of Hong Kong.
        (ABOVE, datetime(2026, 2, 24, 8)),
        (UPDOWN, datetime(2026, 2, 24, 8, 15)),
        ("BTC-UPDOWN-15MIN-260224-2345-0000", datetime(2026, 2, 24, 16)),
        ("BTC-UPDOWN-DAILY-260224-1600-1600", datetime(2026, 2, 25, 8)),
        # Here the last number is a strike.
        ("ETH-ABOVE-DAILY-260224-1600-1615", datetime(2026, 2, 24, 8)),
    ],
)
def test_an_id_tells_when_it_ends(name: str, moment: datetime) -> None:
    assert delivery(name) == moment.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "name",
    [
        *("BTC-USDT", "BTC-USD-SWAP", "BTC-USD-191345", "", "BTC-USD-190230"),
        # Their ids do not say when they are decided.
        "BTC-HIT-MONTHLY-260228-1600-65000",
        "BTC-UPDOWN-15MIN-260224-1600-9999",
    ],
)
def test_what_is_never_delivered_has_no_delivery(name: str) -> None:
    assert delivery(name) is None


def test_an_event_contract_that_is_decided_has_no_prices() -> None:
    with WSSubscription(ABOVE, venue="okx") as sub:
        error = sub.health().cause
        with pytest.raises(InstrumentExpired):
            sub.wait_live(5)
    assert "2026-02-24" in str(error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC-USD_UM_XPERP-310404", True),
        ("BTC-USD_UM-261030", False),
        ("BTC-USD-261030", False),
        ("BTC-USD_UM_XPERP-SWAP", False),
    ],
)
def test_the_family_of_an_x_perp_says_so(name: str, expected: bool) -> None:
    assert is_xperp(name) is expected
