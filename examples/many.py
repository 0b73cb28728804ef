"""Many instruments on one feed: every change of a best bid or ask, and of a state.

    python examples/many.py                             three of OKX
    python examples/many.py BTC-USDT BTC-USDT-SWAP      your own
    python examples/many.py --local                     on an exchange on this machine

All instruments share the connections of the feed. A price is printed only while it can
be trusted: after any state but LIVE there is none until the state is LIVE again. The
program ends when the exchange has refused every instrument, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress

from okex_ws import (
    Depth,
    Feed,
    Item,
    Level,
    StateChange,
    Venue,
    WSSubscription,
)

IDS = ("BTC-USDT", "ETH-USDT", "BTC-USD-SWAP")


def top(side: tuple[Level, ...]) -> str:
    """Price and size of the best level, in the exchange's own characters."""
    return " x ".join(side[0][:2]) if side else "nothing"


def changes(items: Iterable[Item]) -> Iterator[tuple[str, str]]:
    """Yield the id of each instrument that has changed, and its new prices or state."""
    told: dict[str, str] = {}
    for item in items:
        if isinstance(item, Depth):
            now = f"{top(item.bids)} / {top(item.asks)}"
        elif isinstance(item, StateChange):
            now = f"{item.new} {item.cause}".rstrip()
        else:
            continue
        if told.get(item.instrument_id) != now:
            told[item.instrument_id] = now
            yield item.instrument_id, now


def main() -> int:
    """Run the program; return the exit code, 1 if all instruments were refused."""
    parser = argparse.ArgumentParser(description="Every change of many best prices.")
    parser.add_argument(
        "ids", nargs="*", default=IDS, metavar="ID", help=f"default: {' '.join(IDS)}"
    )
    parser.add_argument(
        "--local", action="store_true", help="run an exchange on this machine"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        try:
            venue = local(options.ids, stack) if options.local else "okx"
            feed = stack.enter_context(Feed(venue))
            updates = feed.updates()  # before any subscription: it misses nothing
            for name in options.ids:
                WSSubscription(name, channels=["depth5"], feed=feed)
        except (ImportError, ValueError) as error:
            parser.error(str(error))
        for name, now in changes(updates):
            print(f"{name:15} {now}", flush=True)
            if all(one.state.final for one in feed.subscriptions):
                return 1
    return 0


def local(ids: Iterable[str], stack: ExitStack) -> Venue:
    """Start an exchange that trades *ids*; *stack* closes it."""
    from okex_ws.local_exchange import LocalExchange

    return stack.enter_context(LocalExchange(instruments=ids)).venue_v5


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
