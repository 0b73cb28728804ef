"""A market maker on paper: it quotes both sides of the mid price while there is one.

    python examples/market_maker.py                BTC-USDT of OKX
    python examples/market_maker.py ETH-USDT       another instrument
    python examples/market_maker.py --local        on an exchange on this machine

The quotes are pulled as soon as the price is not trusted: no pong within LEASE, no push
of this book within MAX_AGE, a lost connection, an unreadable message; and at the end.
The program places no order: replace `Paper` by a class that sends yours.
"""

import argparse
from contextlib import ExitStack, suppress
from decimal import Decimal
from queue import Empty, SimpleQueue

from okex_ws import StateChange, Venue, WSSubscription

HALF_SPREAD = Decimal("0.0005")
LEASE = 2.0  # seconds; 5 across an ocean
MAX_AGE = 3.0  # seconds; only for a market that always moves
PERIOD = 0.1  # seconds between two looks at the price


class Paper:
    """Prints the quotes instead of sending them."""

    def __init__(self) -> None:
        self.standing: tuple[Decimal, Decimal] | None = None

    def quote(self, bid: Decimal, ask: Decimal, size: Decimal) -> None:
        """Move the quotes to *bid* and *ask*, unless they stand there already."""
        if self.standing != (bid, ask):
            self.standing = (bid, ask)
            print(f"quote {size} at {bid} / {ask}", flush=True)

    def pull(self, why: str) -> None:
        """Cancel the quotes that stand."""
        if self.standing:
            self.standing = None
            print(f"pull: {why}", flush=True)


class MarketMaker:
    """Quotes the least size of one instrument with *orders*."""

    def __init__(self, name: str, orders: Paper, venue: str | Venue = "okx") -> None:
        self.orders = orders
        self.changes: SimpleQueue[StateChange] = SimpleQueue()
        self.okx = WSSubscription(
            name,
            venue=venue,
            channels=["depth5"],
            lease=LEASE,
            max_age=MAX_AGE,
            on_state=self.changes.put,
        )

    def run(self) -> None:
        """Quote until the exchange refuses the instrument."""
        try:
            while not self.okx.state.final:
                self.step()
        finally:
            self.orders.pull("the bot ends")
            self.okx.close()

    def step(self) -> None:
        """Wait for PERIOD or for a change of state, then move or pull the quotes."""
        with suppress(Empty):
            self.changes.get(timeout=PERIOD)
        instrument = self.okx.instrument  # its first use waits: read the price after it
        best = self.okx.best_bid_ask()
        if best is None or best.mid is None:
            self.orders.pull(str(self.okx.health().cause or "one side is empty"))
        elif instrument:
            bid = instrument.round_price(best.mid * (1 - HALF_SPREAD), "down")
            ask = instrument.round_price(best.mid * (1 + HALF_SPREAD), "up")
            self.orders.quote(bid, ask, instrument.min_size)


def main() -> None:
    """Run the bot until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A market maker on paper.")
    parser.add_argument("id", nargs="?", default="BTC-USDT")
    parser.add_argument("--local", action="store_true", help="on this machine")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        venue: str | Venue = "okx"
        if options.local:
            from okex_ws.local_exchange import LocalExchange

            exchange = LocalExchange(instruments=[options.id])
            venue = stack.enter_context(exchange).venue_v5
        MarketMaker(options.id, Paper(), venue).run()


if __name__ == "__main__":
    main()
