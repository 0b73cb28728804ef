"""Venues and instrument ids: what cannot be right is said at once."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from okex_ws.model.venues import (
    MARKETS,
    PROTOCOLS,
    V3_MARKETS,
    VENUES,
    Venue,
    check_instrument,
    find_venue,
)

URL, BASE = "wss://localhost/ws/v3", "wss://localhost/ws/v5"
URLS = {"v3": URL, "v5": BASE}
OKEX, OKJ, OKX = VENUES["okex"], VENUES["okj-v3"], VENUES["okx"]
# A dictionary keeps the order.
V5_HOSTS = {
    "okx": "ws.okx.com",
    "okx-us": "wsus.okx.com",
    "okx-eea": "wseea.okx.com",
    "okx-tr": "ws.okx.com",
    "okx-demo": "wspap.okx.com",
    "okx-us-demo": "wsuspap.okx.com",
    "okx-eea-demo": "wseeapap.okx.com",
    "okj": "ws.okj.com",
}

IDS = {
    "spot": ["BTC-USDT", "1INCH-BTC", "AAVE-USDT_UM"],
    "index": ["BTC-USD"],
    "swap": ["BTC-USD-SWAP", "BTC-USDT-SWAP"],
    "futures": ["BTC-USD-190517", "BTC-USDT-191227"],
    "option": ["BTC-USD-200327-11000-C", "EOS-USD-210625-8.00-P"],
}
EVERY_ID = [(market, name) for market, names in IDS.items() for name in names]


def test_the_venues_stand_in_the_order_in_which_to_consider_them() -> None:
    assert list(VENUES) == [*V5_HOSTS, "okj-v3", "okex"]
    assert [venue.name for venue in VENUES.values()] == list(VENUES)


def test_only_the_seeds_venue_is_retired() -> None:
    assert [name for name, venue in VENUES.items() if venue.retired] == ["okex"]


@pytest.mark.parametrize(("name", "host"), V5_HOSTS.items())
def test_a_venue_of_v5_listens_on_port_443_alone(name: str, host: str) -> None:
    venue = VENUES[name]

    assert venue.protocol == "v5"
    assert venue.endpoints == (f"wss://{host}:443/ws/v5",)


@pytest.mark.parametrize("name", V5_HOSTS)
def test_a_venue_of_v5_has_the_limits_of_its_documentation(name: str) -> None:
    venue = VENUES[name]

    assert (venue.connections_per_second, venue.requests_per_hour) == (3, 480)
    assert (venue.depths_per_connection, venue.channels_per_connection) == (29, None)
    assert venue.host_gap == pytest.approx(1 / 3)


def test_an_idle_book_is_known_to_repeat_itself_at_okx_and_nowhere_else() -> None:
    repeats = {name: venue.idle_repeat for name, venue in VENUES.items()}

    assert repeats == {
        name: 60.0 if name.startswith("okx") else None for name in VENUES
    }


def test_okj_has_spot_only() -> None:
    spot_only = {name for name, venue in VENUES.items() if venue.markets == ("spot",)}

    assert spot_only == {"okj", "okj-v3"}
    assert {v.markets for v in VENUES.values()} == {("spot",), MARKETS, V3_MARKETS}


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_what_is_known_of_a_venue_is_dated(venue: Venue) -> None:
    assert re.search(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", venue.known)


def test_a_venue_is_found_by_name_or_taken_as_it_is() -> None:
    own = Venue("mine", "v3", (URL,))

    assert find_venue("okj-v3") is OKJ
    assert find_venue(own) is own
    assert own.markets == V3_MARKETS


def test_v3_has_neither_spreads_nor_event_contracts_and_v5_has() -> None:
    assert set(MARKETS) - set(V3_MARKETS) == {"events", "spread"}
    assert Venue("mine", "v3", (URL,), markets=("spot", "spread")).markets == ("spot",)
    assert Venue("mine", "v5", ("wss://h/ws/v5",)).markets == MARKETS
    with pytest.raises(ValueError, match="'okex' has no market 'spread', only 'spot'"):
        check_instrument("BTC-USDT_BTC-USDT-SWAP", None, OKEX)


def test_an_unknown_venue_names_the_nearest_and_the_known() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'okj-v3'\?; known are 'okx', "):
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
        ({"protocol": "v4"}, "'mine' speaks protocol 'v4'; known are 'v3' and 'v5'"),
        ({"protocol": None}, "known are 'v3' and 'v5'"),
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
        ({"idle_repeat": -1.0}, "idle_repeat is a number of seconds"),
        ({"depths_per_connection": 0}, "depths_per_connection is a whole number"),
        ({"channels_per_connection": -3}, "channels_per_connection is a whole number"),
        ({"channels_per_connection": 0}, "from 1 up, got 0"),
        ({"rest": "wss://localhost"}, "rest is a http:// or https:// URL"),
        ({"rest": "localhost"}, "rest is a http:// or https:// URL"),
        ({"rest": "https://me:secret@localhost"}, "cannot carry credentials"),
        ({"rest": "https://localhost/api"}, "rest is an origin, without a path"),
        ({"rest": "https://localhost?x=1"}, "rest is an origin, without a path"),
        ({"rest": "https://local host"}, "without spaces"),
        ({"rest": "https://localhost:0"}, "port from 1 to 65535"),
        ({"rest_share": 0}, "rest_share is more than 0"),
        ({"rest_share": float("inf")}, "rest_share is more than 0"),
    ],
)
def test_a_venue_that_cannot_be_is_a_value_error(
    keywords: dict[str, Any], says: str
) -> None:
    right: dict[str, Any] = {"name": "mine", "protocol": "v3", "endpoints": (URL,)}
    with pytest.raises(ValueError, match=says):
        Venue(**right | keywords)


@pytest.mark.parametrize(
    "keywords",
    [
        {"depths_per_connection": 2.0},
        {"depths_per_connection": None},
        {"depths_per_connection": True},
        {"channels_per_connection": "100"},
        {"channels_per_connection": False},
        {"idle_repeat": "60"},
        {"rest_share": "1"},
        {"rest_share": True},
    ],
)
def test_a_limit_that_is_no_number_is_a_type_error(keywords: dict[str, Any]) -> None:
    (name,) = keywords
    with pytest.raises(TypeError, match=f"{name} is a (whole )?number"):
        Venue("mine", "v3", (URL,), **keywords)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "endpoint",
    [
        "wss://me:secret@localhost/ws/v5",
        # What urlsplit sees no host in, and what it refuses with the text in its error.
        "me:secret@localhost",
        "wss://me:secret@[localhost",
        "wss://me:secret@local\u2100host/ws/v5",
        "wss://me:sec\nsecret@localhost/ws/v5",
    ],
)
def test_credentials_in_an_endpoint_are_not_repeated_in_the_error(
    protocol: str, endpoint: str
) -> None:
    with pytest.raises(ValueError, match="cannot carry credentials") as caught:
        Venue("mine", protocol, (endpoint,))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "dirt", [" {}", "{} ", "{}\r\nX-Own: 1", "{}\t", "{}#", "{}#x", "{}\u00a0"]
)
def test_what_belongs_in_no_url_is_a_value_error(protocol: str, dirt: str) -> None:
    with pytest.raises(ValueError, match="without spaces and '#'"):
        Venue("mine", protocol, (dirt.format(URLS[protocol]),))


@pytest.mark.parametrize(
    "endpoint", [URL, URL + "/", URL + "?compress=true", "ws://localhost:8080"]
)
def test_an_endpoint_of_v3_stays_as_it_was_given(endpoint: str) -> None:
    assert Venue("mine", "v3", (endpoint,)).endpoints == (endpoint,)


@pytest.mark.parametrize(
    "endpoint", [BASE, "ws://127.0.0.1:8443/ws/v5", "wss://localhost/behind/ws/v5"]
)
def test_an_endpoint_of_v5_is_a_base_without_its_last_slash(endpoint: str) -> None:
    venue = Venue("mine", "v5", [endpoint, endpoint + "/"])  # type: ignore[arg-type]

    assert venue.endpoints == (endpoint, endpoint)
    assert dataclasses.replace(venue, name="other").endpoints == venue.endpoints


@pytest.mark.parametrize(
    "endpoint",
    [
        BASE + "/public",
        BASE + "/private",
        BASE + "/business",
        BASE + "/business/",
        BASE + "//",
        BASE + "?brokerId=9999",
        BASE + "?",
        # Each of these only ends like a base.
        BASE + "?x=/ws/v5",
        "wss://ws/v5",
        "wss://localhost/news/v5",
        "wss://localhost",
        "wss://localhost/",
        URL,
    ],
)
def test_an_endpoint_of_v5_that_is_no_base_is_told_what_is_expected(
    endpoint: str,
) -> None:
    with pytest.raises(ValueError, match=r"v5 ends in '/ws/v5', and '/public'") as said:
        Venue("mine", "v5", (endpoint,))
    assert repr(endpoint) in str(said.value)


@pytest.mark.parametrize("endpoint", [5, None])
def test_an_endpoint_that_is_no_text_is_a_type_error(endpoint: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Venue("mine", "v3", (endpoint,))


def test_the_gap_between_connections_is_the_venues() -> None:
    assert OKEX.host_gap == 1.0
    assert Venue("mine", "v3", (URL,), connections_per_second=4).host_gap == 0.25


def test_a_connection_to_a_retired_venue_is_advised_where_else_to_go() -> None:
    names = ", ".join(map(repr, [*V5_HOSTS, "okj-v3"]))

    for endpoint in OKEX.endpoints:
        assert OKEX.advice(endpoint) == (
            f"the exchange retired v3 (last seen on 2022-02-25); alive are {names}"
        )


def test_the_advice_knows_the_venues_of_the_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = dataclasses.replace(VENUES["okj-v3"], retired="last seen on 2027-01-01")
    monkeypatch.setitem(VENUES, "okj-v3", gone)
    monkeypatch.setitem(VENUES, "new", Venue("new", "v5", (BASE,)))

    assert OKEX.advice(OKEX.endpoints[0]).endswith(" 'okx-eea-demo', 'okj', 'new'")
    assert "(last seen on 2027-01-01)" in gone.advice(gone.endpoints[0])


@pytest.mark.parametrize(
    "host", ["ws", "wsus", "wseea", "wspap", "wsuspap", "wseeapap", "WS"]
)
@pytest.mark.parametrize("path", ["", "/", "/public"])
def test_the_port_that_okx_closed_is_advised_against(host: str, path: str) -> None:
    base = f"wss://{host}.okx.com:8443/ws/v5"
    own = Venue("mine", "v5", (base,))

    assert own.advice(base + path) == (
        "OKX stopped accepting WebSocket connections on port 8443 on 2026-10-31;"
        f" port 443 of {host.lower()}.okx.com answers"
    )


@pytest.mark.parametrize(
    "base",
    [
        "wss://ws.okx.com:443/ws/v5",
        "wss://ws.okx.com/ws/v5",
        "wss://ws.okx.com:10442/ws/v5",
        # Withdrawn altogether: nothing is known to answer on 443.
        "wss://wsaws.okx.com:8443/ws/v5",
        "wss://ws.okj.com:8443/ws/v5",
        "wss://ws.okx.com.localhost:8443/ws/v5",
        "wss://localhost:8443/ws/v5",
    ],
)
def test_there_is_no_advice_where_nothing_is_known(base: str) -> None:
    assert Venue("mine", "v5", (base,)).advice(base + "/public") == ""


def test_a_venue_that_works_needs_no_advice() -> None:
    working = [venue for venue in VENUES.values() if venue is not OKEX]

    assert {v.advice(url) for v in working for url in v.endpoints} == {""}


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
        "btc-usdt",
        "BTC_USDT",
        "BTC-USDT ",
        " BTC-USDT",
        "BTC-USDT\n",
        "BTC/USDT",
        "spot/trade:BTC-USDT",
    ],
)
@pytest.mark.parametrize("market", ["spot", "futures", None])
def test_what_is_no_id_or_misspelt_is_a_value_error(
    name: str, market: str | None
) -> None:
    with pytest.raises(ValueError, match="is not an instrument id"):
        check_instrument(name, market, OKEX)


@pytest.mark.parametrize(
    "name",
    [
        "BTC",
        "BTC-USD-1905",
        "BTC-USD-190517-11000",
        "BTC-USD-190517-11000-X",
        "BTC-ABOVE-DAILY-260224-1600",
    ],
)
def test_an_id_of_no_known_form_needs_a_market_and_is_never_refused(name: str) -> None:
    with pytest.raises(ValueError, match="or market=, one of 'spot', 'futures'"):
        check_instrument(name, None, OKEX)

    assert [check_instrument(name, each, OKX) for each in MARKETS] == list(MARKETS)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("BTC/USDT", "BTC-USDT"),
        ("btc_usdt", "BTC-USDT"),
        ("BTC/USDT:USDT", "BTC-USDT-SWAP"),
        ("btc-usd_um-swap", "BTC-USD_UM-SWAP"),
        (" BTC USD 190517 ", "BTC-USD-190517"),
    ],
)
def test_a_misspelt_id_is_told_as_it_should_be(misspelt: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        check_instrument(misspelt, None, OKEX)


@pytest.mark.parametrize(("market", "name"), EVERY_ID)
def test_without_a_market_the_id_tells_it(market: str, name: str) -> None:
    told = "spot" if market == "index" else market

    assert check_instrument(name, None, OKEX) == told
    assert check_instrument(name, None, OKEX, ("depth5", "index-tickers")) == told


def test_names_of_an_indexs_channels_alone_make_a_pair_an_index() -> None:
    names = ("index-tickers", "index-candle1m")

    assert check_instrument("BTC-USD", None, OKEX, names) == "index"
    assert check_instrument("BTC-USD-SWAP", None, OKEX, names) == "swap"
    with pytest.raises(ValueError, match="'okj-v3' has no market 'index'"):
        check_instrument("BTC-USD", None, OKJ, names)


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


@pytest.mark.parametrize(
    ("name", "market"), [(None, "spot"), ("BTC-USDT", 5), (7, None)]
)
def test_an_id_or_market_that_is_no_text_is_a_type_error(
    name: Any, market: Any
) -> None:
    with pytest.raises(TypeError, match="are strings"):
        check_instrument(name, market, OKEX)


@pytest.mark.parametrize("markets", ["spot", (), ("spot", "foo")])
def test_a_venue_has_markets_that_there_are(markets: Any) -> None:
    with pytest.raises(ValueError, match="markets is a tuple out of"):
        Venue("mine", "v3", (URL,), markets=markets)


def test_an_origin_is_taken_without_its_slash() -> None:
    venue = Venue("mine", "v3", (URL,), rest="http://127.0.0.1:8080/")

    assert venue.rest == "http://127.0.0.1:8080"
    assert Venue("mine", "v3", (URL,)).rest is None


def test_demo_trading_alone_is_simulated() -> None:
    demos = ["okx-demo", "okx-us-demo", "okx-eea-demo"]
    assert [name for name, venue in VENUES.items() if venue.simulated] == demos


def test_what_is_not_confirmed_says_so() -> None:
    assert VENUES["okx-tr"].known.startswith("UNCONFIRMED: ")
    assert "Australia" in VENUES["okx-us"].known
    assert "openapi.okx.com" in VENUES["okx"].known
