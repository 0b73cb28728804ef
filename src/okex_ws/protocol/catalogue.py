"""The names of every channel in one table: the library's name, v3's and v5's.

The library's name is the topic. It is v3's name wherever v3 has the channel. A user may
write any of the three names at every venue; `find` refuses a channel that the venue's
protocol does not have.

A channel is identified by its key. In messages of v3 a channel is a string, and that
string is the key. In messages of v5 a channel is an object. Its key is
``'books5:BTC-USDT'`` if the object has only an ``instId``, the bare name if it has no
parameter, and otherwise ``'orders:instFamily=BTC-USD,instType=SWAP'``, sorted by the
parameters' names. A spread has ``sprdId`` in the place of ``instId``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..base.checks import nearest
from ..model.book import RPI
from ..model.instrument_ids import is_xperp
from ..model.numbers import UnreadableValue
from ..model.venues import MARKETS, V3_MARKETS

# The markets whose channels are named alike; those of spreads have names of their own.
_LISTED = tuple(market for market in MARKETS if market != "spread")
_TRADED = tuple(market for market in _LISTED if market != "index")
_DERIVATIVES = ("futures", "swap", "option", "events")
# Characters of a parameter's value, at the most. The longest recorded value has 24.
_MAX_VALUE = 256


class ChannelSpec(NamedTuple):
    """One kind of channel: its names, the markets that have it, and what its items are.

    *topic* is the library's name, *v3* and *v5* are the protocols' names (``None`` if
    the protocol does not have the channel). *kind* is the type of its items, as in
    `ChannelName`. *markets* are the markets that have the channel; *v3_markets* are
    those that have it under v3, if they differ. *by_type* is whether v5 wants the type
    of the instrument beside its id. *levels* is the greatest number of levels on one
    side of a depth or a book. *spread* is v5's name of the channel for a spread, or
    ``None`` if spreads do not have it.
    """

    topic: str
    kind: str
    v3: str | None
    v5: str | None
    markets: tuple[str, ...] = _TRADED
    v3_markets: tuple[str, ...] | None = None
    by_type: bool = False
    levels: int = 0
    spread: str | None = None

    def of(self, protocol: str, market: str = "") -> str | None:
        """The channel's name under *protocol*; ``None`` if *protocol* does not have it.

        For the market ``'index'`` v5 puts ``index-`` before the name.
        """
        if protocol == "v3":
            return self.v3
        if market == "spread":
            return self.spread
        return f"index-{self.v5}" if market == "index" else self.v5

    def on(self, protocol: str) -> tuple[str, ...]:
        """The markets that have the channel under *protocol*."""
        if protocol == "v3":
            # Event contracts and spreads are younger than v3.
            return tuple(m for m in self.v3_markets or self.markets if m in V3_MARKETS)
        return self.markets if self.spread is None else (*self.markets, "spread")


# The bars of v3 in seconds, and v5's name for each. A day of v3 begins at 00:00 UTC+8,
# as v5's "1D" does.
_BARS = (
    *((60, "1m"), (180, "3m"), (300, "5m"), (900, "15m"), (1800, "30m")),
    *((3600, "1H"), (7200, "2H"), (14400, "4H"), (21600, "6H"), (43200, "12H")),
    *((86400, "1D"), (604800, "1W")),
)
# Bars that v5 alone has, and bars that v5 offers with days that begin at 00:00 UTC too.
_MORE_BARS = ("2D", "3D", "5D", "1M", "3M", "6M", "1Y")
_UTC_BARS = ("6H", "12H", "1D", "2D", "3D", "5D", "1W", "1M", "3M", "1Y")
# Bars that spreads do not have (v5 documentation of July 2026).
_NO_SPREAD_BARS = ("6M", "1Y", "1Yutc")


def _of_spread(bar: str) -> str | None:
    bar = bar.removeprefix("candle")
    return None if bar in _NO_SPREAD_BARS else f"sprd-candle{bar}"


def _candles() -> list[ChannelSpec]:
    bars = [*_MORE_BARS, *(f"{bar}utc" for bar in _UTC_BARS)]
    own = [f"candle{bar}" for bar in bars]
    marks = [f"mark-price-candle{bar}" for bar in (*(bar for _, bar in _BARS), *bars)]
    both = [(f"candle{seconds}s", f"candle{bar}") for seconds, bar in _BARS]
    # An index has no candle1s: v5 makes bars of one second of traded instruments only.
    return [
        *(
            ChannelSpec(v3, "candle", v3, v5, _LISTED, spread=f"sprd-{v5}")
            for v3, v5 in both
        ),
        *(
            ChannelSpec(name, "candle", None, name, _LISTED, spread=spread)
            for name, spread in ((name, _of_spread(name)) for name in own)
        ),
        *(ChannelSpec(name, "candle", None, name) for name in ("candle1s", *marks)),
    ]


KNOWN: dict[str, ChannelSpec] = {
    known.topic: known
    for known in (
        ChannelSpec(
            "depth5", "depth", "depth5", "books5", levels=5, spread="sprd-books5"
        ),
        ChannelSpec(
            "bbo-tbt", "depth", None, "bbo-tbt", levels=1, spread="sprd-bbo-tbt"
        ),
        ChannelSpec("depth", "book", "depth", "books", levels=400),
        ChannelSpec(
            "depth_l2_tbt",
            "book",
            "depth_l2_tbt",
            "books-l2-tbt",
            levels=400,
            spread="sprd-books-l2-tbt",
        ),
        ChannelSpec("books50-l2-tbt", "book", None, "books50-l2-tbt", levels=50),
        ChannelSpec(RPI, "book", None, RPI, levels=400),
        ChannelSpec("trade", "trade", "trade", "trades", spread="sprd-public-trades"),
        ChannelSpec("trades-all", "trade", None, "trades-all"),
        ChannelSpec(
            "ticker", "ticker", "ticker", "tickers", _LISTED, spread="sprd-tickers"
        ),
        ChannelSpec(
            "funding_rate", "funding", "funding_rate", "funding-rate", ("swap",)
        ),
        ChannelSpec(
            "mark_price",
            "data",
            "mark_price",
            "mark-price",
            v3_markets=("futures", "swap"),
        ),
        ChannelSpec(
            "price_range",
            "data",
            "price_range",
            "price-limit",
            tuple(market for market in _TRADED if market != "events"),
            v3_markets=("futures", "swap"),
        ),
        ChannelSpec(
            "estimated_price",
            "data",
            "estimated_price",
            "estimated-price",
            _DERIVATIVES,
            v3_markets=("futures",),
            by_type=True,
        ),
        ChannelSpec("open-interest", "data", None, "open-interest", _DERIVATIVES),
        ChannelSpec(
            "option-trades", "data", None, "option-trades", ("option",), None, True
        ),
        *_candles(),
    )
}
# Kinds of channels of which each push is complete: it replaces the one before.
COMPLETE = ("depth", "ticker", "funding")
# The topic of each channel, by every name of the channel.
ALIASES: dict[str, str] = {
    name: known.topic
    for known in KNOWN.values()
    for name in (known.topic, known.v3, known.v5)
    if name is not None
}
# The topic of each channel of an index, by v5's name.
INDEX_ALIASES: dict[str, str] = {
    f"index-{known.v5}": known.topic
    for known in KNOWN.values()
    if "index" in known.markets
}
# The topic of each channel of a spread, by v5's name.
SPREAD_ALIASES: dict[str, str] = {
    known.spread: known.topic for known in KNOWN.values() if known.spread is not None
}
# The topics of the channels that only one market has by these names.
_ALIASES_OF = {"index": INDEX_ALIASES, "spread": SPREAD_ALIASES}

# Whole books, which have 50 levels and more, by their names under v3 and v5.
BOOKS = frozenset(
    name
    for known in KNOWN.values()
    for name in (known.v3, known.v5, known.spread)
    if known.kind == "book" and name is not None
)
# The channels for which v5 demands a fee tier beside a login, since 2026-04-07 (its
# changelog). Before, books-l2-tbt and fills took VIP6, and books50-l2-tbt VIP5.
GATED = dict.fromkeys(("books-l2-tbt", "books50-l2-tbt", "fills"), "VIP4")
# The names of channels before they were renamed (changelog of OKX, 2026-07-08).
_FORMER = {"books-elp": RPI, "books-elp-all": RPI}
# Channels that are not about one instrument.
_WHOLESALE = frozenset(
    (
        *("instruments", "status", "summary", "opt-summary", "liquidation-orders"),
        *("adl-warning", "public-block-trades", "public-struc-block-trades"),
        *("block-tickers", "economic-calendar", "event-contract-markets"),
    )
)
# What the exchange leaves out of the name of a channel in some messages of it.
_IMPLIED = {"event-contract-markets": {"instType": "EVENTS"}}
V3_PRIVATE = frozenset(("account", "margin_account", "position", "order", "order_algo"))
V5_PRIVATE = frozenset(
    (
        *("account", "positions", "balance_and_position", "orders", "fills"),
        *("account-greeks", "liquidation-warning", "position-risk"),
    )
)
# Channels of v5 that need a login on the path /business. The economic calendar holds no
# account data, but the exchange gives it to the fee tier VIP1 only.
PRIVATE_BUSINESS = re.compile(
    r"orders-algo|algo-advance|grid-[\w-]+|algo-recurring-buy|deposit-info"
    r"|withdrawal-info|sprd-orders|sprd-trades|rfqs|quotes|struc-block-trades"
    r"|copytrading-lead-notification|economic-calendar"
)
# A channel whose pushes do not repeat the one parameter that a request has to have.
_WITHOUT_TYPE = {"event-contract-markets": "event-contract-markets:instType=EVENTS"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")


def find(name: object, protocol: str, market: str = "") -> ChannelSpec:
    """The channel that a user calls *name*.

    ``ValueError`` if *protocol* does not have it, or it is not about one instrument. On
    the markets ``'index'`` and ``'spread'`` v5's own names of their channels are known,
    too.
    """
    checked = check_name(name)
    topic = ALIASES.get(checked) or _ALIASES_OF.get(market, {}).get(checked)
    if topic is None:
        raise ValueError(_why_not(checked, protocol))
    if KNOWN[topic].of(protocol) is None:
        raise ValueError(f"{protocol} has no channel {name!r}")
    return KNOWN[topic]


def check_name(name: object) -> str:
    """*name* itself; ``TypeError`` or ``ValueError`` if no channel has such a name."""
    if not isinstance(name, str):
        # The type, not the repr: an object that a peer sent may be nested too deep.
        raise TypeError(f"a channel is a name, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise UnreadableValue("{} is no name of a channel", name)
    return name


def check_market(
    known: ChannelSpec, protocol: str, market: str, instrument_id: str
) -> None:
    """Raise ``ValueError`` if *market* has no such channel under *protocol*.

    Of the futures the X-Perps alone have funding rates.
    """
    if known.kind == "funding" and protocol == "v5" and is_xperp(instrument_id):
        return
    markets = known.on(protocol)
    if market not in markets:
        has = " and ".join(map(repr, markets))
        if known.kind == "funding" and protocol == "v5":
            has += ", and of the futures that are X-Perps ('BTC-USD_UM_XPERP-310404')"
        raise ValueError(
            f"market {market!r} has no channel {known.topic!r} under {protocol}:"
            f" it is one of {has}"
        )


def _why_not(name: str, protocol: str) -> str:
    if name in _FORMER:
        new = _FORMER[name]
        return f"channel {name!r} was renamed on 2026-07-28: it is {new!r} now"
    for market, aliases in _ALIASES_OF.items():
        if name in aliases:
            return f"{name!r} is channel {aliases[name]!r} of market {market!r}"
    if name in _WHOLESALE:
        return (
            f"channel {name!r} is not about one instrument: RawSubscription carries it"
        )
    if is_private(name):
        return (
            f"channel {name!r} is private: RawSubscription carries it, on a feed with"
            " credentials"
        )
    known = [a for a, topic in ALIASES.items() if KNOWN[topic].of(protocol)]
    common = "'depth5', 'depth', 'trade', 'ticker', 'candle60s', 'funding_rate'"
    return (
        f"unknown channel {name!r}{nearest(name, known)}; known are {common},"
        " 'mark_price', ..."
    )


def is_private(name: str) -> bool:
    """Whether *name* is a channel that v3 or v5 lists as private.

    The books of `GATED` need a login too, but are not private: they hold no account
    data.
    """
    if name in V3_PRIVATE or name in V5_PRIVATE:
        return True
    return PRIVATE_BUSINESS.fullmatch(name) is not None


# --- Keys of v5 ---------------------------------------------------------------------


def key_of(argument: Mapping[str, str]) -> str:
    """The key of the channel that *argument*, an object of v5, names.

    `argument_of` is the inverse. ``ValueError`` or ``TypeError`` if *argument* names no
    channel.
    """
    rest = dict(argument)
    channel = check_name(rest.pop("channel", None))
    rest = {**_IMPLIED.get(channel, {}), **rest}
    for name, value in rest.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a channel has only str, not {type(value).__name__}")
        if not _PARAMETER.fullmatch(name) or len(value) > _MAX_VALUE:
            raise UnreadableValue("a channel cannot have {}: {}", name, value)
    if not rest:
        return _WITHOUT_TYPE.get(channel, channel)
    if rest.keys() == {"instId"}:
        return f"{channel}:{escape(rest['instId'])}"
    pairs = (f"{name}={escape(value)}" for name, value in sorted(rest.items()))
    return f"{channel}:{','.join(pairs)}"


def argument_of(key: str) -> dict[str, str]:
    """The object that names the channel *key* in messages of v5."""
    channel, colon, rest = key.partition(":")
    if not colon:
        return {"channel": channel}
    if "=" not in rest:
        return {"channel": channel, "instId": unquote(rest)}
    pairs = (part.partition("=") for part in rest.split(","))
    return {"channel": channel, **{name: unquote(value) for name, _, value in pairs}}


def escape(text: str) -> str:
    """*text* in a key: the characters of an id stay, the separators are escaped."""
    return quote(text, safe="")
