"""The names of every channel in one table: the library's name, v3's and v5's.

The library's name is the topic. It is v3's name wherever v3 has the channel. A user may
write any of the three names at every venue; `find` refuses a channel that the venue's
protocol does not have.

A channel is identified by its key. In messages of v3 a channel is a string, and that
string is the key. In messages of v5 a channel is an object. Its key is
``'books5:BTC-USDT'`` if the object has only an ``instId``, the bare name if it has no
parameter, and otherwise ``'orders:instFamily=BTC-USD,instType=SWAP'``, sorted by the
parameters' names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..base.checks import nearest
from ..model.numbers import UnreadableValue
from ..model.venues import MARKETS

_TRADED = tuple(market for market in MARKETS if market != "index")
_DERIVATIVES = ("futures", "swap", "option")
# Characters of a parameter's value, at the most. The longest recorded value has 24.
_MAX_VALUE = 256


class ChannelSpec(NamedTuple):
    """One kind of channel: its names, the markets that have it, and what its items are.

    *topic* is the library's name, *v3* and *v5* are the protocols' names (``None`` if
    the protocol does not have the channel). *kind* is the type of its items, as in
    `ChannelName`. *markets* are the markets that have the channel; *v3_markets* are
    those that have it under v3, if they differ. *by_type* is whether v5 wants the type
    of the instrument beside its id. *levels* is the greatest number of levels on one
    side of a depth or a book.
    """

    topic: str
    kind: str
    v3: str | None
    v5: str | None
    markets: tuple[str, ...] = _TRADED
    v3_markets: tuple[str, ...] | None = None
    by_type: bool = False
    levels: int = 0

    def of(self, protocol: str, market: str = "") -> str | None:
        """The channel's name under *protocol*; ``None`` if *protocol* does not have it.

        For the market ``'index'`` v5 puts ``index-`` before the name.
        """
        if protocol == "v3":
            return self.v3
        return f"index-{self.v5}" if market == "index" else self.v5

    def on(self, protocol: str) -> tuple[str, ...]:
        """The markets that have the channel under *protocol*."""
        return self.v3_markets or self.markets if protocol == "v3" else self.markets


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


def _candles() -> list[ChannelSpec]:
    bars = [*_MORE_BARS, *(f"{bar}utc" for bar in _UTC_BARS)]
    own = [f"candle{bar}" for bar in bars]
    marks = [f"mark-price-candle{bar}" for bar in (*(bar for _, bar in _BARS), *bars)]
    both = [(f"candle{seconds}s", f"candle{bar}") for seconds, bar in _BARS]
    # An index has no candle1s: v5 makes bars of one second of traded instruments only.
    return [
        *(ChannelSpec(v3, "candle", v3, v5, MARKETS) for v3, v5 in both),
        *(ChannelSpec(name, "candle", None, name, MARKETS) for name in own),
        *(ChannelSpec(name, "candle", None, name) for name in ("candle1s", *marks)),
    ]


KNOWN: dict[str, ChannelSpec] = {
    known.topic: known
    for known in (
        ChannelSpec("depth5", "depth", "depth5", "books5", levels=5),
        ChannelSpec("bbo-tbt", "depth", None, "bbo-tbt", levels=1),
        ChannelSpec("depth", "book", "depth", "books", levels=400),
        ChannelSpec("depth_l2_tbt", "book", "depth_l2_tbt", "books-l2-tbt", levels=400),
        ChannelSpec("books50-l2-tbt", "book", None, "books50-l2-tbt", levels=50),
        ChannelSpec("books-rpi", "book", None, "books-rpi", levels=400),
        ChannelSpec("trade", "trade", "trade", "trades"),
        ChannelSpec("trades-all", "trade", None, "trades-all"),
        ChannelSpec("ticker", "ticker", "ticker", "tickers", MARKETS),
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

# Whole books, which have 50 levels and more, by their names under v3 and v5.
BOOKS = frozenset(
    name
    for known in KNOWN.values()
    for name in (known.v3, known.v5)
    if known.kind == "book" and name is not None
)
# The fee tier that v5 demands for each fast book, beside a login, since 2022-05-05.
GATED = {"books-l2-tbt": "VIP5", "books50-l2-tbt": "VIP4"}
# Channels that are not about one instrument.
_WHOLESALE = frozenset(
    (
        *("instruments", "status", "summary", "opt-summary", "liquidation-orders"),
        *("adl-warning", "public-block-trades", "public-struc-block-trades"),
        *("block-tickers", "economic-calendar"),
    )
)
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
    the market ``'index'`` v5's own names of its channels are known, too.
    """
    checked = check_name(name)
    topic = ALIASES.get(checked)
    if topic is None and market == "index":
        topic = INDEX_ALIASES.get(checked)
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


def check_market(known: ChannelSpec, protocol: str, market: str) -> None:
    """Raise ``ValueError`` if *market* has no such channel under *protocol*."""
    markets = known.on(protocol)
    if market not in markets:
        has = " and ".join(map(repr, markets))
        raise ValueError(
            f"market {market!r} has no channel {known.topic!r} under {protocol}:"
            f" it is one of {has}"
        )


def _why_not(name: str, protocol: str) -> str:
    if name in INDEX_ALIASES:
        return f"{name!r} is channel {INDEX_ALIASES[name]!r} of market 'index'"
    if name in _WHOLESALE or (name.startswith("sprd-") and not is_private(name)):
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

    The books of `GATED` need a login too, but are not private.
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
