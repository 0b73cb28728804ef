"""`History`, the interface of a source of past data, and the checks of ``history=``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from ..model.items import Candle, PastBook, Trade
from ..protocol.messages import ChannelName

# The most items that ``history=`` may ask for: a hundred pages of trades.
MOST = 10_000
# The channel that pushes each trade by itself; ``'trade'`` has aggregated ones.
SINGLE_TRADES = "trades-all"


class History(Protocol):
    """A source of past trades, candles and books; ``okex_ws.rest.Rest`` is one.

    A script may give a feed its own, a database for example. The feed's history worker
    calls it, on a thread of its own, one query at a time; a method may block. Its
    answer must be a run of the exchange's own list: nothing is left out between its
    first item and its last, or the answer has an attribute ``left_out`` as `Rest`'s
    have, and a `Gap` stands there. An `OkexWSError` says what the network or the
    exchange did, and the query is repeated (after a `RequestRejected` only if its HTTP
    status is 429, or 500 and above). A ``ValueError`` says that the data can never be
    had. If the source has a ``close()``, the feed that made the source calls it,
    perhaps while a query is running.
    """

    def trades(
        self,
        instrument_id: str,
        market: str,
        *,
        after_id: str | None = None,
        before_id: str | None = None,
        limit: int = 100,
    ) -> tuple[Trade, ...]:
        """The newest *limit* single trades, oldest first.

        Ids are strictly between *after_id* and *before_id*, compared as numbers.
        """
        ...

    def candles(
        self,
        instrument_id: str,
        market: str,
        channel: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Candle, ...]:
        """The newest *limit* closed candles, oldest first.

        They start strictly between *after* and *before*. *channel* is the library's
        name (``'candle60s'``).
        """
        ...

    def book(self, instrument_id: str, market: str, levels: int = 400) -> PastBook:
        """The book at this moment, with its sequence number if it has one."""
        ...


def is_joinable(name: ChannelName) -> bool:
    """Whether the past of a channel can be joined to its stream.

    That needs a place of its own for each item in the exchange's list of the past.
    """
    return name.kind == "candle" or name.topic == SINGLE_TRADES


def check_history(history: object, names: Mapping[str, ChannelName]) -> None:
    """Check that *history* items of the channels in *names* can be had.

    Raises ``TypeError`` or ``ValueError`` if not. Aggregated trades are allowed with
    ``history=0``: none are fetched then, and what an outage took of them stays a `Gap`.
    """
    if isinstance(history, bool) or not isinstance(history, int):
        raise TypeError(f"history is a whole number or None, got {history!r}")
    if not 0 <= history <= MOST:
        raise ValueError(f"history is 0 to {MOST} items, got {history!r:.80}")
    if not any(map(is_joinable, names.values())):
        raise ValueError(_nothing(names.values()))
    aggregated = [name for name in names.values() if _is_aggregated(name)]
    if history and any(name.is_spread for name in aggregated):
        raise ValueError(_not_of_spreads(f"history={history}"))
    if history and aggregated:
        raise ValueError(_not_exactly(aggregated[0], f"history={history}"))


def _is_aggregated(name: ChannelName) -> bool:
    return name.kind == "trade" and name.topic != SINGLE_TRADES


def _not_exactly(name: ChannelName, asked: str) -> str:
    return (
        f"{asked} cannot be had of channel {name.topic!r}: the exchange puts several"
        " trades together there as it likes, and the past has them one by one, so the"
        f" two cannot be joined exactly. Take {SINGLE_TRADES!r} in its place, or a"
        " subscription of its own without history="
    )


def _not_of_spreads(asked: str) -> str:
    return (
        f"{asked} cannot be had of the trades of a spread: the exchange has only the"
        " newest 500, and their ids do not show whether one is missing between two."
        " Take a subscription of its own for them, without history="
    )


def _nothing(names: Iterable[ChannelName]) -> str:
    for name in names:
        if name.is_spread and name.kind == "trade":
            return _not_of_spreads("history=")
        if _is_aggregated(name):
            return _not_exactly(name, "history=")
    return (
        f"history= is for candles and {SINGLE_TRADES!r}, and neither is among the"
        " channels"
    )
