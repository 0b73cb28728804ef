"""Two instruments at one moment: how far the second's price is above the first's.

    python examples/compare.py                           BTC-USDT and its swap, on OKX
    python examples/compare.py ETH-USDT ETH-USDT-SWAP    your own
    python examples/compare.py --local                   on an exchange on this machine

Once a second it prints the basis, which is the second mid price minus the first, or why
there is none. The difference of a fresh price and a late one would be worse than none:
both must be trusted at the same moment, and neither may be later than MAX_LAG. The
program ends when the exchange has refused one of them, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from okex_ws import Feed, State, Venue, WSSubscription, market_of

FIRST, SECOND = "BTC-USDT", "BTC-USDT-SWAP"
# Seconds that a push may be later than the fastest push of the last ten minutes.
MAX_LAG = 0.5


def follow(name: str, feed: Feed) -> WSSubscription:
    """Subscribe to the book of *name*, on the market that its id tells."""
    return WSSubscription(name, channels=["depth5"], feed=feed)


def basis(feed: Feed, pair: Sequence[WSSubscription]) -> str:
    """The second mid price minus the first, or why there is none."""
    first, second = (one.instrument_id for one in pair)
    best = feed.best_bid_asks((first, second), max_lag=MAX_LAG)
    if not best:
        return f"no basis: {why_not(pair)}"
    low, high = best[first].mid, best[second].mid
    if low is None or high is None:
        return "no basis: a book has only one side"
    return f"{first} {low:f}, {second} {high:f}, basis {high - low:+f}"


def why_not(pair: Sequence[WSSubscription]) -> str:
    """Why the two cannot be compared."""
    for one in pair:
        health = one.health()
        if health.state is not State.LIVE:
            return f"{one.instrument_id} is {health.state}: {health.cause}"
    # MAX_LAG is a limit of each read, so the state does not depend on it.
    return f"a price is more than {MAX_LAG} s late"


def main() -> int:
    """Run the program; return the exit code, 1 if an instrument was refused."""
    parser = argparse.ArgumentParser(description="The basis of two instruments.")
    parser.add_argument("first", nargs="?", default=FIRST, help="default: %(default)s")
    parser.add_argument(
        "second", nargs="?", default=SECOND, help="default: %(default)s"
    )
    parser.add_argument(
        "--local", action="store_true", help="run an exchange on this machine"
    )
    options = parser.parse_args()
    ids = (options.first, options.second)
    with ExitStack() as stack:
        try:
            venue = local(ids, stack) if options.local else "okx"
            feed = stack.enter_context(Feed(venue))
            pair = [follow(name, feed) for name in ids]
        except (ImportError, ValueError) as error:
            parser.error(str(error))
        while True:
            print(time.strftime("%H:%M:%S"), basis(feed, pair), flush=True)
            if any(one.state.final for one in pair):
                return 1
            time.sleep(1)


def local(ids: Sequence[str], stack: ExitStack) -> Venue:
    """Start an exchange where *ids* open at one price; *stack* closes it."""
    from okex_ws.local_exchange import Instrument, LocalExchange

    traded = [Instrument(market_of(n) or "spot", n, "60000.0", "0.1") for n in ids]
    return stack.enter_context(LocalExchange(instruments=traded)).venue_v5


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
