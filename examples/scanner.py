"""The widest spreads of 200 instruments on one feed, and why some have no price.

    python examples/scanner.py                       200 spot instruments of OKX
    python examples/scanner.py BTC-USDT ETH-USDT     your own
    python examples/scanner.py --local               on an exchange on this machine

The list of OKX's instruments comes over REST: pip install 'okex-ws[history]'. Prices
are read at one moment; an instrument that is not live is left out and counted. The
program ends when the exchange has refused every instrument, or with Ctrl-C.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress

from okex_ws import Feed, Venue, WSSubscription

INSTRUMENTS = 200
MADE_UP = [f"COIN{number:03}-USDT" for number in range(INSTRUMENTS)]
WIDEST = 10
PERIOD = 2.0  # seconds between two reports


def listed() -> list[str]:
    """The ids of the first spot instruments that OKX lists and trades."""
    from okex_ws.rest import Rest

    with Rest() as rest:
        spot = [each for each in rest.instruments("spot") if each.state == "live"]
    return [each.instrument_id for each in spot[:INSTRUMENTS]]


def report(feed: Feed, books: Sequence[WSSubscription]) -> Iterator[str]:
    """Yield how many are live, the widest spreads, and why the others are not live."""
    best = feed.best_bid_asks((each.instrument_id for each in books), partial=True)
    yield f"{time.strftime('%H:%M:%S')}  {len(best)} of {len(books)} are live"
    spreads = [
        (10_000 * one.spread / one.mid, one)
        for one in best.values()
        if one.spread is not None and one.mid  # else one side of the book is empty
    ]
    spreads.sort(key=lambda pair: pair[0], reverse=True)
    for width, one in spreads[:WIDEST]:
        yield f"  {one.instrument_id:16} {width:8.2f} bp  {one.bid} / {one.ask}"
    yield from why_not(each for each in books if each.instrument_id not in best)


def why_not(books: Iterable[WSSubscription]) -> Iterator[str]:
    """Yield a line for each cause: how many *books* have it, and what one says."""
    causes = defaultdict(list)
    for book in books:
        cause = book.health().cause  # of this moment: it may be live again
        causes[cause.code or "live again"].append(f"{book.instrument_id}: {cause}")
    for code, told in causes.items():
        yield f"  {len(told)} not live, {code}: {told[0]}"


def main() -> int:
    """Run the program; return the exit code, 1 if all instruments were refused."""
    parser = argparse.ArgumentParser(description="The widest spreads of many books.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: 200 that trade")
    parser.add_argument("--local", action="store_true", help="on this machine")
    options = parser.parse_args()
    with ExitStack() as stack:
        try:
            venue: str | Venue = "okx"
            ids = options.ids or (MADE_UP if options.local else listed())
            if options.local:
                venue = local(ids, stack)
            feed = stack.enter_context(Feed(venue))
            books = feed.subscribe(ids, channels=["depth5"])
        except (ImportError, ValueError) as error:
            parser.error(str(error))
        feed.wait_live(timeout=10, partial=True)
        while True:
            print(*report(feed, books), sep="\n", flush=True)
            if all(book.state.final for book in books):
                return 1
            time.sleep(PERIOD)


def local(ids: Sequence[str], stack: ExitStack) -> Venue:
    """Start an exchange that trades *ids*; *stack* closes it."""
    from okex_ws.local_exchange import LocalExchange

    exchange = LocalExchange(instruments=ids, pace=1)
    return stack.enter_context(exchange).venue_v5


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
