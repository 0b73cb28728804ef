"""Venues and instrument ids: what cannot be right is said at once."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.venues import (
    LATER_VENUES,
    MARKETS,
    VENUES,
    Venue,
    check_instrument,
    delivery,
    find_venue,
    market_of,
    nearest,
)

URL = "wss://localhost/ws/v3"
OKEX, OKJ = VENUES["okex"], VENUES["okj-v3"]

IDS = {
    "spot": ["BTC-USDT", "1INCH-BTC", "AAVE-USDT_UM"],
    "index": ["BTC-USD"],
    "swap": ["BTC-USD-SWAP", "BTC-USDT-SWAP"],
    "futures": ["BTC-USD-190517", "BTC-USDT-191227"],
    "option": ["BTC-USD-200327-11000-C", "EOS-USD-210625-8.00-P"],
}
EVERY_ID = [(market, name) for market, names in IDS.items() for name in names]


def test_the_shipped_venues_are_those_of_this_protocol() -> None:
    assert set(VENUES) == {"okex", "okj-v3"}
    assert {name: venue.name for name, venue in VENUES.items()} == {
        name: name for name in VENUES
    }
    assert OKEX.retired is not None
    assert OKJ.retired is None
    assert OKJ.markets == ("spot",)


def test_a_venue_is_found_by_name_or_taken_as_it_is() -> None:
    own = Venue("mine", "v3", (URL,))
    assert find_venue("okj-v3") is OKJ
    assert find_venue(own) is own
    assert own.markets == MARKETS


@pytest.mark.parametrize("name", LATER_VENUES)
def test_a_venue_of_a_later_release_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' speaks protocol v5.*'okex'"):
        find_venue(name)


def test_an_unknown_venue_names_the_nearest_and_the_known() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'okj-v3'\?; known are 'okex'"):
        find_venue("okj-v4")
    with pytest.raises(ValueError, match="unknown venue 'kraken'; known are"):
        find_venue("kraken")


@pytest.mark.parametrize("venue", [None, 5, b"okex"])
def test_a_venue_that_is_no_name_is_a_type_error(venue: Any) -> None:
    with pytest.raises(TypeError, match="venue is a name or a Venue"):
        find_venue(venue)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"protocol": "v5"}, "v5 comes with a later"),
        ({"endpoints": ()}, "needs a tuple of endpoint URLs"),
        ({"endpoints": URL}, "needs a tuple of endpoint URLs"),
        ({"endpoints": ("https://localhost",)}, "ws:// or wss:// URL"),
        ({"endpoints": ("localhost",)}, "ws:// or wss:// URL"),
        ({"endpoints": ("wss://",)}, "ws:// or wss:// URL"),
        ({"endpoints": (URL, "wss://me@localhost")}, "cannot carry credentials"),
        ({"endpoints": ("wss://:secret@localhost",)}, "cannot carry credentials"),
        ({"endpoints": ("wss://localhost:0",)}, "port from 1 to 65535"),
        ({"endpoints": ("wss://localhost:65536",)}, "[Pp]ort"),
        ({"endpoints": ("wss://localhost:x",)}, "[Pp]ort"),
        ({"connections_per_second": 0}, "must be positive"),
        ({"requests_per_hour": -1}, "must be positive"),
    ],
)
def test_a_venue_that_cannot_be_is_a_value_error(
    keywords: dict[str, Any], says: str
) -> None:
    right: dict[str, Any] = {"name": "mine", "protocol": "v3", "endpoints": (URL,)}
    with pytest.raises(ValueError, match=says):
        Venue(**right | keywords)


def test_credentials_in_an_endpoint_are_not_repeated_in_the_error() -> None:
    with pytest.raises(ValueError, match="credentials") as caught:
        Venue("mine", "v3", ("wss://me:secret@localhost",))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("endpoint", [5, None])
def test_an_endpoint_that_is_no_text_is_a_type_error(endpoint: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Venue("mine", "v3", (endpoint,))


def test_the_gap_between_connections_is_the_venues() -> None:
    assert OKEX.host_gap == 1.0
    assert Venue("mine", "v3", (URL,), connections_per_second=4).host_gap == 0.25


@pytest.mark.parametrize(("market", "name"), EVERY_ID)
def test_an_id_is_good_on_its_own_market_and_on_no_other(
    market: str, name: str
) -> None:
    check_instrument(name, market, OKEX)
    pair = {"spot", "index"}
    for other in MARKETS:
        if other != market and {market, other} != pair:
            with pytest.raises(ValueError, match=r"is an id of market '\w+', not of"):
                check_instrument(name, other, OKEX)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "BTC",
        "btc-usdt",
        "BTC_USDT",
        "BTC-USDT ",
        " BTC-USDT",
        "BTC-USDT\n",
        "BTC-USD-1905",
        "BTC-USD-190517-11000",
        "BTC-USD-190517-11000-X",
        "spot/trade:BTC-USDT",
    ],
)
@pytest.mark.parametrize("market", ["spot", "futures"])
def test_an_id_of_no_form_is_a_value_error(name: str, market: str) -> None:
    with pytest.raises(ValueError, match="is not an instrument id"):
        check_instrument(name, market, OKEX)


@pytest.mark.parametrize(
    "name",
    [
        # Digits of another script, which a regular expression calls digits too.
        "BTC-USD-200327-\u0661\u0669-C",
        # Longer than any id that the protocol reads back (64 characters).
        "A" * 46 + "-USD-200327-11000-C",
    ],
    ids=["foreign digits", "65 characters"],
)
def test_an_id_that_no_push_could_carry_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not an instrument id"):
        check_instrument(name, "option", OKEX)


@pytest.mark.parametrize(
    ("name", "market"),
    [("BTC-USD-191345", "futures"), ("BTC-USD-190230-11000-C", "option")],
)
def test_a_delivery_day_that_is_none_is_a_value_error(name: str, market: str) -> None:
    with pytest.raises(ValueError, match="delivered on no day"):
        check_instrument(name, market, OKEX)


def test_an_unknown_market_names_the_nearest_and_the_known() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'futures'\?; known are 'spot'"):
        check_instrument("BTC-USD-190517", "future", OKEX)


def test_a_market_that_the_venue_has_not_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="'okj-v3' has no market 'swap', only 'spot'"):
        check_instrument("BTC-USD-SWAP", "swap", OKJ)


@pytest.mark.parametrize(("name", "market"), [(None, "spot"), ("BTC-USDT", 5)])
def test_an_id_or_market_that_is_no_text_is_a_type_error(
    name: Any, market: Any
) -> None:
    with pytest.raises(TypeError, match="are strings"):
        check_instrument(name, market, OKEX)


@given(st.text(max_size=40))
def test_any_text_has_a_market_or_none(text: str) -> None:
    assert market_of(text) in (None, "spot", "futures", "swap", "option")


@pytest.mark.parametrize("name", ["BTC-USD-190517", "BTC-USD-190517-11000-C"])
def test_delivery_is_at_eight_in_the_morning_of_the_day(name: str) -> None:
    assert delivery(name) == datetime(2019, 5, 17, 8, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "name", ["BTC-USDT", "BTC-USD-SWAP", "BTC-USD-191345", "", "BTC-USD-190230"]
)
def test_what_is_never_delivered_has_no_delivery(name: str) -> None:
    assert delivery(name) is None


def test_the_nearest_name_is_a_question_or_nothing() -> None:
    assert nearest("dept5", ("depth5", "trade")) == "; did you mean 'depth5'?"
    assert nearest("xyz", ("depth5", "trade")) == ""


@pytest.mark.parametrize("markets", ["spot", (), ("spot", "foo")])
def test_a_venue_has_markets_that_there_are(markets: Any) -> None:
    with pytest.raises(ValueError, match="markets is a tuple out of"):
        Venue("mine", "v3", (URL,), markets=markets)
