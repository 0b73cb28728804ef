"""Where the past comes from: what a source is asked, and who may ask for how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from ..model.items import Candle, PastBook, Trade
from ..protocol.messages import ChannelName

# The most that `history=` may ask for: a hundred pages of trades.
MOST = 10_000
# The channel of which each trade is told by itself.
SINGLE_TRADES = "trades-all"


class History(Protocol):
    """Where the past comes from; ``okex_ws.rest.Rest`` is one.

    Called on a thread of its own, one question at a time; may block. What it gives is a
    run of the exchange's own list, of which nothing is left out between the first and
    the last. An `OkexWSError` is what the world did, and is asked again; a
    ``ValueError`` says what can never be had. One that has a ``close()`` is closed by
    the feed that made it, perhaps while it is being asked.
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
        """Single trades, oldest first, with ids strictly between: the newest *limit*.

        Ids compare as numbers.
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
        """Closed candles of a topic, oldest first: the newest *limit*.

        *channel* is the library's name (``'candle60s'``). Their starts are strictly
        between *after* and *before*.
        """
        ...

    def book(self, instrument_id: str, market: str, levels: int = 400) -> PastBook:
        """The book as it is now, with its sequence number where there is one."""
        ...


def is_joinable(name: ChannelName) -> bool:
    """Whether a channel can be joined to its past: every item has its place there."""
    return name.kind == "candle" or name.topic == SINGLE_TRADES


def check_history(history: object, names: Mapping[str, ChannelName]) -> None:
    """``TypeError`` or ``ValueError`` for a *history* that these channels cannot have.

    With ``history=0`` no trades are asked for, and an outage of aggregated ones stays
    the `Gap` that it always was.
    """
    if isinstance(history, bool) or not isinstance(history, int):
        raise TypeError(f"history is a whole number or None, got {history!r}")
    if not 0 <= history <= MOST:
        raise ValueError(f"history is 0 to {MOST} items, got {history!r:.80}")
    if not any(map(is_joinable, names.values())):
        raise ValueError(_nothing(names.values()))
    aggregated = [name for name in names.values() if _is_aggregated(name)]
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


def _nothing(names: Iterable[ChannelName]) -> str:
    for name in names:
        if _is_aggregated(name):
            return _not_exactly(name, "history=")
    return (
        f"history= is for candles and {SINGLE_TRADES!r}, and neither is among the"
        " channels"
    )
