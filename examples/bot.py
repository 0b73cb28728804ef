"""A stop-loss bot, and in test_bot.py its tests against a local exchange.

    python examples/bot.py BTC-USDT 58000          sell when the best bid is below
    python -m pytest examples/test_bot.py          needs the extra `local`, and pytest

The bot acts on a trusted price alone. Without one it raises the alarm at once, because
a stop that nothing watches protects nothing. It places no order: `sell` and `alarm` are
yours.
"""

import argparse
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal

from okex_ws import Cause, Depth, State, StateChange, WSSubscription


class StopLoss:
    """Calls *sell* once when the best bid of *name* is at *stop* or below.

    It calls *alarm* with the cause whenever there is no longer a price.
    """

    def __init__(
        self,
        name: str,
        stop: Decimal,
        sell: Callable[[Decimal], object],
        alarm: Callable[[Cause], object],
    ) -> None:
        self.stop, self.sell, self.alarm = stop, sell, alarm
        self.okx = WSSubscription(name, channels=["depth5"], lease=2.0)

    def run(self) -> None:
        """Watch until the stop is reached, or until `close` is called.

        ``LiveTimeout`` if there is no first price within 30 seconds.
        """
        items = self.okx.updates()
        self.okx.wait_live(timeout=30)
        for item in items:
            if isinstance(item, StateChange) and item.old is State.LIVE:
                self.alarm(item.cause)
            elif isinstance(item, Depth) and item.bids:
                bid = Decimal(item.bids[0][0])
                if bid <= self.stop:
                    self.sell(bid)
                    return

    def close(self) -> None:
        """End `run`, on any thread."""
        self.okx.close()


def main() -> None:
    """Run the bot until it has sold, or until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A stop-loss bot.")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("stop", type=Decimal, metavar="PRICE")
    options = parser.parse_args()

    def sell(bid: Decimal) -> None:
        print(f"sell: the best bid is {bid}")

    def alarm(cause: Cause) -> None:
        print(f"ALARM, nothing watches the stop: {cause}", flush=True)

    bot = StopLoss(options.id, options.stop, sell, alarm)
    with suppress(KeyboardInterrupt), closing(bot):
        bot.run()


if __name__ == "__main__":
    main()
