"""Every channel that OKX documents, and what the library makes of it, as a table.

The list is the exchange's; what is beside each channel comes from the library.
``python -m tests.support.channel_table --write`` writes the table into the page
``channels`` of the guide, where a test compares it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from okex_ws.protocol.catalogue import INDEX_ALIASES, KNOWN, SPREAD_ALIASES
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support.pages import GUIDE

PAGE = GUIDE / "channels.md"
HEADING = "## Every channel of OKX\n"
ITEMS = {
    "depth": "Depth",
    "book": "BookUpdate",
    "trade": "Trade",
    "ticker": "Ticker",
    "candle": "Candle",
    "funding": "FundingRate",
}
ID = {"instId": "BTC-USDT"}
TYPE = {"instType": "SWAP"}
FAMILY = {"instType": "OPTION", "instFamily": "BTC-USD"}
SPREAD = {"sprdId": "BTC-USDT_BTC-USDT-SWAP"}
ALGO = {"instType": "SPOT", "algoId": "1"}
BARS = (
    *("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6H", "12H", "1D", "2D"),
    *("3D", "5D", "1W", "1M", "3M", "6M", "1Y", "6Hutc", "12Hutc", "1Dutc", "2Dutc"),
    *("3Dutc", "5Dutc", "1Wutc", "1Mutc", "3Mutc", "1Yutc"),
)
# Those that the documentation does not list for spreads.
NOT_OF_SPREADS = ("6M", "1Y", "1Yutc")


class Group(NamedTuple):
    """Channels of one kind, and the parameters that they take beside their names."""

    names: tuple[str, ...]
    parameters: Mapping[str, str] = MappingProxyType({})
    # What the table shows in the place of the names, which may be many.
    shown: str = ""

    def arguments(self) -> list[dict[str, str]]:
        """The argument of a subscribe request for each of the channels of v5."""
        return [{"channel": name, **self.parameters} for name in self.names]


def _bars(prefix: str, *more: str) -> Group:
    names = tuple(f"{prefix}{bar}" for bar in (*BARS, *more))
    return Group(names, ID, f"`{prefix}1m`, ... ({len(names)} bars)")


V5_GROUPS = (
    Group(("books5", "bbo-tbt"), ID),
    Group(("books", "books-rpi"), ID),
    Group(("books-l2-tbt",), ID),
    Group(("books50-l2-tbt",), ID),
    Group(("trades",), ID),
    Group(("trades-all",), ID),
    Group(("tickers", "index-tickers"), ID),
    _bars("candle", "1s"),
    _bars("index-candle"),
    _bars("mark-price-candle"),
    Group(("funding-rate",), {"instId": "BTC-USDT-SWAP"}),
    Group(("mark-price", "price-limit", "open-interest"), {"instId": "BTC-USDT-SWAP"}),
    Group(("estimated-price",), {**TYPE, "instId": "BTC-USDT-SWAP"}),
    Group(("option-trades",), {"instType": "OPTION", "instId": "BTC-USD-301227-1-C"}),
    Group(("call-auction-details",), ID),
    Group(("instruments", "liquidation-orders", "adl-warning"), TYPE),
    Group(("opt-summary",), FAMILY),
    Group(("event-contract-markets",), {"instType": "EVENTS"}),
    Group(("status",)),
    Group(("sprd-bbo-tbt", "sprd-books5"), SPREAD),
    Group(("sprd-books-l2-tbt",), SPREAD),
    Group(("sprd-public-trades",), SPREAD),
    Group(("sprd-tickers",), SPREAD),
    Group(
        tuple(f"sprd-candle{bar}" for bar in BARS if bar not in NOT_OF_SPREADS),
        SPREAD,
        "`sprd-candle1m`, ...",
    ),
    Group(tuple(f"sprd-candle{bar}" for bar in NOT_OF_SPREADS), SPREAD),
    Group(("public-struc-block-trades",)),
    Group(("public-block-trades", "block-tickers"), ID),
    Group(("economic-calendar",)),
    Group(("account", "balance_and_position", "account-greeks")),
    Group(("positions", "position-risk", "orders", "liquidation-warning"), TYPE),
    Group(("fills",)),
    Group(("orders-algo", "algo-advance"), TYPE),
    Group(
        (
            *("grid-orders-spot", "grid-orders-contract", "grid-positions"),
            *("grid-sub-orders", "algo-recurring-buy"),
        ),
        ALGO,
        "`grid-orders-spot`, ..., `algo-recurring-buy`",
    ),
    Group(("copytrading-lead-notification",), TYPE),
    Group(("deposit-info", "withdrawal-info")),
    Group(("sprd-orders", "sprd-trades"), SPREAD),
    Group(("rfqs", "quotes", "struc-block-trades")),
)
V3_GROUPS = (
    Group(("depth5",)),
    Group(("depth", "depth_l2_tbt")),
    Group(("trade",)),
    Group(("ticker",)),
    Group(tuple(f"candle{n}s" for n in (60, 604800)), {}, "`candle60s`, ... (12 bars)"),
    Group(("funding_rate",)),
    Group(("price_range", "mark_price", "estimated_price")),
    Group(
        (
            *("futures/instruments", "option/instruments:BTC-USD"),
            *("option/summary:BTC-USD", "system/status"),
        )
    ),
    Group(
        (
            *(
                "spot/account:BTC",
                "spot/margin_account:BTC-USDT",
                "futures/account:BTC",
            ),
            *("swap/account:BTC-USD-SWAP", "option/account:BTC-USD"),
            *("futures/position:BTC-USD-190517", "swap/position:BTC-USD-SWAP"),
            *("option/position:BTC-USD", "spot/order:BTC-USDT"),
            *("futures/order:BTC-USD-190517", "swap/order:BTC-USD-SWAP"),
            *("option/order:BTC-USD", "spot/order_algo:BTC-USDT"),
            *("futures/order_algo:BTC-USD-190517", "swap/order_algo:BTC-USD-SWAP"),
        ),
        {},
        "`account`, `margin_account`, `position`, `order`, `order_algo`",
    ),
)
# What the exchange documents beside these, and why the library has it not.
NOT_GIVEN = (
    (
        "`books-elp`, `books-elp-all`",
        "renamed: `books-rpi`, since July 2026",
    ),
    (
        "`bbo-tbt`, `books-l2-tbt`, `trades` on `public-sbe`",
        "binary messages (SBE): the library reads JSON, which has the same data",
    ),
    (
        "`order`, `batch-orders`, `cancel-order`, `amend-order`, `mass-cancel`",
        "requests, no channels: the library sends no orders",
    ),
    (
        "`channel-conn-count`, `channel-conn-count-error`",
        "notices, no channels: they are logged, or end what they name",
    ),
)


class Given(NamedTuple):
    """What the library makes of a channel: its items, and how a script gets them."""

    path: str
    item: str
    how: str


def given_v5(argument: dict[str, str]) -> Given:
    """What the library makes of the channel of *argument*."""
    name = argument["channel"]
    topic = INDEX_ALIASES.get(name) or SPREAD_ALIASES.get(name)
    by_name = {each.v5: each for each in KNOWN.values()}
    known = by_name.get(name) if topic is None else KNOWN[topic]
    kind = "data" if known is None else known.kind
    key = V5.raw(argument).key if kind == "data" else f"{name}:x"
    where = V5.path(key)
    item = ITEMS.get(kind, kind.capitalize())
    how = "`RawSubscription`" if known is None else "`channels=`"
    tier = V5.tier(key)
    login = f", login{f' and {tier}' if tier else ''}" if where.login else ""
    return Given(f"`{where.name}`{login}", f"`{item}`", how)


def given_v3(name: str) -> Given:
    """What the library makes of the channel *name* of v3."""
    spec = next((each for each in KNOWN.values() if each.v3 == name), None)
    key = f"spot/{name}:BTC-USDT" if spec is not None else V3.raw(name).key
    login = "login" if V3.path(key).login else ""
    kind = "data" if spec is None else spec.kind
    how = "`RawSubscription`" if spec is None else "`channels=`"
    return Given(login, f"`{ITEMS.get(kind, 'Data')}`", how)


def _rows(groups: tuple[Group, ...], protocol: str) -> Iterator[str]:
    for group in groups:
        each: list[Any] = [*group.names] if protocol == "v3" else group.arguments()
        found = {(given_v3 if protocol == "v3" else given_v5)(name) for name in each}
        shown = group.shown or ", ".join(f"`{name}`" for name in group.names)
        shown = shown if "`" in shown else f"`{shown}`"
        # Channels of one group are alike: else the list has to be divided.
        (given,) = found
        beside = ", ".join(f"`{name}`" for name in group.parameters)
        cells = [shown, given.path, given.item, given.how]
        cells += [beside] if protocol == "v5" else []
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def render() -> str:
    """The section of the page: its heading, the tables, and what they say."""
    reasons = [f"| {names} | {why} |" for names, why in NOT_GIVEN]
    return "\n".join(
        [
            HEADING,
            "Nothing that OKX lists is a dead end. What has no type of its own is"
            " decoded JSON, as `Data`, whose `envelope` has",
            "what else a push says: `eventType`, `curPage`, `lastPage`, ... . Of v5, as"
            " of November 2026:",
            "",
            "| channels | path | items | by | parameters |",
            "|---|---|---|---|---|",
            *_rows(V5_GROUPS, "v5"),
            "",
            "A channel that this table does not have, or has on another path than the"
            " exchange has it by now, needs no new version",
            "of the library: a script names the path, for all channels with `path=`, or"
            ' for one as `"path"`. A login goes to a path',
            "only if it is known that the channel needs one there.",
            "",
            "```",
            'RawSubscription([{"channel": "new", "instId": "BTC-USDT"}], feed=feed,'
            ' path="business")',
            'WSSubscription("BTC-USDT", raw_channels=[{"channel": "new", "path":'
            ' "business"}])',
            "```",
            "",
            "Of v3, where each channel but the last two rows is of an instrument:",
            "",
            "| channels | | items | by |",
            "|---|---|---|---|",
            *_rows(V3_GROUPS, "v3"),
            "",
            "What the exchange documents beside these:",
            "",
            "| name | why it is not given |",
            "|---|---|",
            *reasons,
            "",
        ]
    )


def recorded() -> str:
    """The section as the page has it."""
    _, heading, rest = PAGE.read_text("utf-8").partition(HEADING)
    return heading + rest


if __name__ == "__main__":
    assert sys.argv[1:] == ["--write"], "--write"
    before = PAGE.read_text("utf-8").partition(HEADING)[0].rstrip("\n")
    PAGE.write_text(f"{before}\n\n{render()}", "utf-8")
