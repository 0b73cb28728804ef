"""Every name of a channel: whose it is, where it exists, and its key under v5."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.model.venues import MARKETS, V3_MARKETS
from okex_ws.protocol.catalogue import (
    ALIASES,
    BOOKS,
    GATED,
    INDEX_ALIASES,
    KNOWN,
    SPREAD_ALIASES,
    argument_of,
    check_market,
    find,
    is_private,
    key_of,
)

TRADED = ("spot", "futures", "swap", "option", "events")
# Those that v3 has.
OLDER = V3_MARKETS
SPREAD = (*TRADED, "spread")
NAME = "BTC-USDT"
BARS = {
    60: "1m",
    180: "3m",
    300: "5m",
    900: "15m",
    1800: "30m",
    3600: "1H",
    7200: "2H",
    14400: "4H",
    21600: "6H",
    43200: "12H",
    86400: "1D",
    604800: "1W",
}
ROWS = [
    ("depth5", "depth", "depth5", "books5"),
    ("bbo-tbt", "depth", None, "bbo-tbt"),
    ("depth", "book", "depth", "books"),
    ("depth_l2_tbt", "book", "depth_l2_tbt", "books-l2-tbt"),
    ("books50-l2-tbt", "book", None, "books50-l2-tbt"),
    ("books-rpi", "book", None, "books-rpi"),
    ("trade", "trade", "trade", "trades"),
    ("trades-all", "trade", None, "trades-all"),
    ("ticker", "ticker", "ticker", "tickers"),
    ("funding_rate", "funding", "funding_rate", "funding-rate"),
    ("mark_price", "data", "mark_price", "mark-price"),
    ("price_range", "data", "price_range", "price-limit"),
    ("estimated_price", "data", "estimated_price", "estimated-price"),
    ("open-interest", "data", None, "open-interest"),
    ("option-trades", "data", None, "option-trades"),
    *((f"candle{s}s", "candle", f"candle{s}s", f"candle{b}") for s, b in BARS.items()),
    *(
        (f"candle{bar}", "candle", None, f"candle{bar}")
        for bar in ("1s", "2D", "1M", "1Y", "1Dutc", "6Hutc", "3Mutc")
    ),
    *(
        (f"mark-price-candle{bar}", "candle", None, f"mark-price-candle{bar}")
        for bar in ("1m", "1D", "1Dutc", "6M")
    ),
]


@pytest.mark.parametrize(("topic", "kind", "v3", "v5"), ROWS)
def test_a_thing_has_one_topic_under_all_its_names(
    topic: str, kind: str, v3: str | None, v5: str
) -> None:
    for name in {topic, v3 or topic, v5}:
        found = find(name, "v5")
        assert (found.topic, found.kind, found.v3, found.v5) == (topic, kind, v3, v5)
        if v3 is None:
            with pytest.raises(ValueError, match=f"^v3 has no channel {name!r}$"):
                find(name, "v3")
        else:
            assert find(name, "v3") is found


def test_no_name_means_two_things() -> None:
    names = [
        name
        for known in KNOWN.values()
        for name in {known.topic, known.v3, known.v5}
        if name is not None
    ]

    assert len(names) == len(set(names)) == len(ALIASES)
    assert not set(names) & {*INDEX_ALIASES, *SPREAD_ALIASES}
    assert not any(map(is_private, names))


@pytest.mark.parametrize(
    ("topic", "v3", "v5"),
    [
        *((topic, OLDER[:-1], SPREAD) for topic in ("depth5", "trade", "depth_l2_tbt")),
        ("depth", OLDER[:-1], TRADED),
        ("bbo-tbt", None, SPREAD),
        *((topic, None, TRADED) for topic in ("trades-all", "candle1s")),
        *((topic, None, TRADED) for topic in ("books50-l2-tbt", "books-rpi")),
        ("mark-price-candle1m", None, TRADED),
        *((topic, OLDER, MARKETS) for topic in ("ticker", "candle60s")),
        ("candle1Dutc", None, MARKETS),
        *((topic, None, MARKETS[:-1]) for topic in ("candle6M", "candle1Y")),
        ("funding_rate", ("swap",), ("swap",)),
        *((topic, ("futures", "swap"), TRADED) for topic in ("mark_price",)),
        ("price_range", ("futures", "swap"), OLDER[:-1]),
        ("estimated_price", ("futures",), ("futures", "swap", "option", "events")),
        ("open-interest", None, ("futures", "swap", "option", "events")),
        ("option-trades", None, ("option",)),
    ],
)
def test_a_market_has_what_is_documented_of_it(
    topic: str, v3: tuple[str, ...] | None, v5: tuple[str, ...]
) -> None:
    for protocol, markets in (("v3", v3), ("v5", v5)):
        for market in MARKETS if markets is not None else ():
            if market in (markets or ()):
                check_market(KNOWN[topic], protocol, market, NAME)
            else:
                with pytest.raises(ValueError, match=f"has no channel '{topic}' under"):
                    check_market(KNOWN[topic], protocol, market, NAME)


def test_the_wrong_market_is_told_the_right_one() -> None:
    right = "under v3: it is one of 'futures' and 'swap'"
    with pytest.raises(ValueError, match=f"^market 'spot' .* 'mark_price' {right}$"):
        check_market(KNOWN["mark_price"], "v3", "spot", NAME)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("index-tickers", "ticker"),
        ("index-candle1m", "candle60s"),
        ("index-candle1Dutc", "candle1Dutc"),
    ],
)
def test_a_name_that_an_index_has_names_the_market(name: str, topic: str) -> None:
    assert INDEX_ALIASES[name] == topic
    assert KNOWN[topic].of("v5", "index") == name
    for protocol in ("v3", "v5"):
        with pytest.raises(ValueError, match=f"channel '{topic}' of market 'index'"):
            find(name, protocol)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("sprd-books5", "depth5"),
        ("sprd-bbo-tbt", "bbo-tbt"),
        ("sprd-books-l2-tbt", "depth_l2_tbt"),
        ("sprd-public-trades", "trade"),
        ("sprd-tickers", "ticker"),
        ("sprd-candle1m", "candle60s"),
        ("sprd-candle3Mutc", "candle3Mutc"),
    ],
)
def test_a_name_that_a_spread_has_names_the_market(name: str, topic: str) -> None:
    assert KNOWN[topic].of("v5", "spread") == name
    assert find(name, "v5", "spread") is find(topic, "v5", "spread") is KNOWN[topic]
    for protocol, market in (("v3", ""), ("v5", ""), ("v5", "spot"), ("v5", "index")):
        with pytest.raises(ValueError, match=f"channel '{topic}' of market 'spread'"):
            find(name, protocol, market)


@pytest.mark.parametrize("name", ["sprd-candle1s", "sprd-candle1Y", "sprd-books"])
def test_a_spread_has_no_more_channels_than_are_documented(name: str) -> None:
    assert name not in SPREAD_ALIASES
    with pytest.raises(ValueError, match="unknown channel"):
        find(name, "v5", "spread")


def test_v3_calls_an_index_by_its_market_alone() -> None:
    assert KNOWN["ticker"].of("v3", "index") == "ticker"
    assert "index-candle1s" not in INDEX_ALIASES


@pytest.mark.parametrize(
    ("topic", "names", "levels", "tier"),
    [
        ("depth", ("depth", "books"), 400, None),
        ("depth_l2_tbt", ("depth_l2_tbt", "books-l2-tbt"), 400, "VIP4"),
        ("books50-l2-tbt", ("books50-l2-tbt",), 50, "VIP4"),
        ("books-rpi", ("books-rpi",), 400, None),
    ],
)
def test_a_full_book_has_names_levels_and_perhaps_a_tier(
    topic: str, names: tuple[str, ...], levels: int, tier: str | None
) -> None:
    known = KNOWN[topic]

    assert [name for name, its in ALIASES.items() if its == topic] == list(names)
    assert (known.kind, known.levels, known.v5) == ("book", levels, names[-1])
    assert set(names) <= BOOKS
    assert GATED.get(names[-1]) == tier


def test_only_books_are_books_and_only_they_are_gated() -> None:
    books = {topic for topic, known in KNOWN.items() if known.kind == "book"}

    assert {(ALIASES | SPREAD_ALIASES)[name] for name in BOOKS} == books
    assert len(books) == 4
    assert set(GATED) - {"fills"} < set(BOOKS)


def test_only_a_depth_and_a_book_have_levels() -> None:
    levels = {topic: known.levels for topic, known in KNOWN.items() if known.levels}

    assert set(levels) == {t for t, k in KNOWN.items() if k.kind in ("depth", "book")}
    assert (levels["bbo-tbt"], levels["depth5"]) == (1, 5)


@pytest.mark.parametrize(
    "name",
    [
        *("instruments", "status", "summary", "opt-summary", "liquidation-orders"),
        *("adl-warning", "public-block-trades", "block-tickers"),
        *("public-struc-block-trades",),
    ],
)
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_what_is_not_about_one_instrument_has_a_subscription_of_its_own(
    name: str, protocol: str
) -> None:
    with pytest.raises(ValueError, match="is not about one instrument: RawSubscr"):
        find(name, protocol)


@pytest.mark.parametrize(
    "name",
    [
        *("account", "positions", "balance_and_position", "orders", "fills"),
        *("account-greeks", "liquidation-warning", "orders-algo", "algo-advance"),
        *("grid-orders-spot", "grid-sub-orders", "deposit-info", "withdrawal-info"),
        *("sprd-orders", "sprd-trades", "rfqs", "quotes", "algo-recurring-buy"),
        *("margin_account", "position", "order", "order_algo"),
    ],
)
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_private_channel_says_that_it_needs_a_login(name: str, protocol: str) -> None:
    assert is_private(name)
    with pytest.raises(ValueError, match=r"is private: RawSubscription .*credentials"):
        find(name, protocol)


@pytest.mark.parametrize(
    ("name", "protocol", "near"),
    [
        ("dept5", "v3", "; did you mean 'depth5'?"),
        ("book5", "v5", "; did you mean 'books5'?"),
        ("candle1min", "v5", "; did you mean 'candle1m'?"),
        ("trades-al", "v3", "; did you mean 'trades'?"),
        ("depht", "v3", "; did you mean 'depth'?"),
        ("books50-l2-tb", "v5", "; did you mean 'books50-l2-tbt'?"),
        ("books-rp", "v5", "; did you mean 'books-rpi'?"),
        ("zzz", "v3", ""),
    ],
)
def test_an_unknown_channel_names_the_nearest_and_the_known(
    name: str, protocol: str, near: str
) -> None:
    said = (
        f"unknown channel {name!r}{near}; known are 'depth5', 'depth', 'trade',"
        " 'ticker', 'candle60s', 'funding_rate', 'mark_price', ..."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        find(name, protocol)


@pytest.mark.parametrize("name", ["books-elp", "books-elp-all"])
def test_a_channel_that_was_renamed_names_the_new_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}' was renamed .* 'books-rpi' now"):
        find(name, "v5")


def test_of_the_futures_x_perps_alone_have_funding_rates() -> None:
    known = KNOWN["funding_rate"]

    check_market(known, "v5", "futures", "BTC-USD_UM_XPERP-310404")
    for name, protocol in (
        ("BTC-USD_UM-261030", "v5"),
        ("BTC-USD-261030", "v5"),
        ("BTC-USD_UM_XPERP-310404", "v3"),
    ):
        with pytest.raises(ValueError, match="market 'futures' has no channel"):
            check_market(known, protocol, "futures", name)


def test_what_the_exchange_leaves_out_of_a_name_is_in_its_key() -> None:
    key = "event-contract-markets:instType=EVENTS"
    whole = {"channel": "event-contract-markets", "instType": "EVENTS"}

    assert key_of({"channel": "event-contract-markets"}) == key_of(whole) == key
    assert argument_of(key) == whole


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "a/b", "-a", "a" * 65, "é"])
def test_what_no_channel_can_be_called_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a channel"):
        find(name, "v5")


@pytest.mark.parametrize("name", [None, 5, b"depth5", ["depth5"]])
def test_a_channel_that_is_no_name_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="a channel is a name, not "):
        find(name, "v3")


# --- Keys of v5 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "key"),
    [
        ({"channel": "books5", "instId": "BTC-USDT"}, "books5:BTC-USDT"),
        (
            {"channel": "trades", "instId": "EOS-USD-210625-8.00-C"},
            "trades:EOS-USD-210625-8.00-C",
        ),
        ({"channel": "status"}, "status"),
        ({"channel": "orders", "instType": "ANY"}, "orders:instType=ANY"),
        ({"channel": "account", "ccy": "BTC"}, "account:ccy=BTC"),
        (
            {"instType": "FUTURES", "instId": "A-B-1", "channel": "estimated-price"},
            "estimated-price:instId=A-B-1,instType=FUTURES",
        ),
        (
            {"channel": "sprd-tickers", "sprdId": "BTC-USDT_BTC-USDT-SWAP"},
            "sprd-tickers:sprdId=BTC-USDT_BTC-USDT-SWAP",
        ),
        ({"channel": "x", "instId": "a=b,c:d%/"}, "x:a%3Db%2Cc%3Ad%25%2F"),
        ({"channel": "x", "instId": ""}, "x:"),
        ({"channel": "x", "ccy": "", "instId": ""}, "x:ccy=,instId="),
    ],
)
def test_a_channels_object_has_a_key(argument: dict[str, str], key: str) -> None:
    assert key_of(argument) == key
    assert argument_of(key) == argument


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
parameters = st.sampled_from(["instId", "instType", "ccy", "sprdId", "algoId"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
arguments = st.builds(
    lambda channel, rest: {"channel": channel, **rest},
    names,
    st.dictionaries(parameters, texts, max_size=4),
)


@given(arguments)
def test_any_text_survives_as_a_key(argument: dict[str, str]) -> None:
    key = key_of(argument)

    assert argument_of(key) == argument
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key


@given(arguments, arguments)
def test_two_objects_never_share_a_key(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (key_of(one) == key_of(other)) is (one == other)


@pytest.mark.parametrize(
    "argument",
    [
        *({}, {"instId": "A-B"}, {"channel": None}, {"channel": 5}),
        *({"channel": "x", "instId": None}, {"channel": "x", "instId": ["A-B"]}),
        {"channel": "x", 5: "A-B"},
    ],
)
def test_an_object_is_made_of_text(argument: Any) -> None:
    with pytest.raises(TypeError):
        key_of(argument)


@pytest.mark.parametrize(
    "argument",
    [
        *({"channel": ""}, {"channel": "books5:BTC-USDT"}, {"channel": "a=b"}),
        *({"channel": "x", "": "y"}, {"channel": "x", "a b": "y"}),
        *({"channel": "x", "a=b": "y"}, {"channel": "x", "a" * 33: "y"}),
        {"channel": "x", "instId": "A" * 257},
        {"channel": "x", "instId": "\ud800"},
    ],
)
def test_an_object_that_names_no_channel_has_no_key(argument: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is no name|cannot have|surrogates"):
        key_of(argument)
