"""Made-up readings for the command line to show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from okex_ws import Depth, Health, State, Trade
from okex_ws.cli.reading import Quote
from tests.support.causes import because

AT = datetime(2026, 11, 26, 8, 45, 0, 123456, tzinfo=timezone.utc)
# Control sequences for a terminal, and markup for rich.
HOSTILE = "60018: \x1b[2J\x1b]0;title\x07 [red]\u202egnp.[/]\r\n08:45:00 LIVE 1"


def depth(
    bids: Iterable[tuple[str, str]] = (("60003.1", "0.5"), ("60003", "1.25")),
    asks: Iterable[tuple[str, str]] = (("60003.2", "2"), ("60004.15", "0.001")),
) -> Depth:
    return Depth("BTC-USDT", tuple(bids), tuple(asks), AT, AT, 0.01, 7, 1, "depth5")


def health(state: State = State.LIVE, cause: str = "", age: float = 0.25) -> Health:
    return Health(state, because(cause), age, age, 0.012, 1, {})


def trade(number: int = 1, side: str = "buy", price: str = "60003.2") -> Trade:
    at = AT + timedelta(seconds=number)
    size = Decimal("0.01") * number
    return Trade(
        "BTC-USDT", str(number), str(number), 1, Decimal(price), size, side, at, at, 1
    )


def live(name: str = "BTC-USDT", shown: Depth | None = None) -> Quote:
    found = depth() if shown is None else shown
    trades = (trade(1), trade(2, "sell"))
    return Quote(name, "spot", health(), found, trades=trades, last=found)


def lost(
    name: str = "BTC-USDT",
    cause: str = "the peer closed (close code 1006)",
    state: State = State.RECONNECTING,
) -> Quote:
    found = health(state, cause, 12.0)
    return Quote(name, "spot", found, trades=(trade(1),), last=depth())
