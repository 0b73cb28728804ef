"""Best bid and best ask of instruments once a second, or why there is no price.

    python examples/monitor.py                       BTC-USDT and ETH-USDT of OKX
    python examples/monitor.py BTC-JPY --venue okj   another instrument and venue
    python examples/monitor.py --local               on an exchange on this machine
    python examples/monitor.py --for 10              for ten seconds

A price is printed only while it can be trusted. The program ends after --for, with
Ctrl-C, or when the exchange has refused every instrument.
"""

import argparse
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from okex_ws import VENUES, Feed, NotLive, Venue, WSSubscription

IDS = ["BTC-USDT", "ETH-USDT"]
PERIOD = 1.0  # seconds between two looks at the prices
PRICES = "{:5} {:>11} {:>10} {:>11} {:>10}"


def line(book: WSSubscription) -> str:
    """What there is to say of *book*: its prices, or its state and the cause of it."""
    try:
        depth = book.depth(levels=1)
    except NotLive as no:  # has state and cause of the very moment of the read
        return f"{no.state}  {no.cause.code}: {no.cause}"
    bid, bid_size, *_ = depth.bids[0] if depth.bids else ("no bids", "")
    ask, ask_size, *_ = depth.asks[0] if depth.asks else ("no asks", "")
    return PRICES.format("LIVE", bid, bid_size, ask, ask_size)


def printable(text: str) -> str:
    """*text* with control characters escaped: a cause may quote the network."""
    return text.encode("unicode_escape").decode("ascii")


def watch(books: Sequence[WSSubscription], seconds: float) -> int:
    """Print a line an instrument for *seconds*; return 1 if all were refused."""
    width = max(10, *(len(book.instrument_id) for book in books))
    titles = PRICES.format("state", "bid", "size", "ask", "size")
    print(f"{'time':8}  {'instrument':{width}}  {titles}")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        now = time.strftime("%H:%M:%S")
        for book in books:
            said = printable(f"{book.instrument_id:{width}}  {line(book)}")
            print(f"{now}  {said}", flush=True)
        if all(book.state.final for book in books):
            return 1
        time.sleep(min(PERIOD, left))
    return 0


def main() -> int:
    """Run the program; return the exit code."""
    parser = argparse.ArgumentParser(description="Best bid and ask, once a second.")
    add = parser.add_argument
    add("ids", nargs="*", metavar="ID", help=f"default: {' '.join(IDS)}")
    add("--venue", default="okx", help=f"{', '.join(VENUES)} (default: %(default)s)")
    add("--local", action="store_true", help="an exchange on this machine in its place")
    add("--for", dest="seconds", type=float, default=math.inf, metavar="SECONDS")
    options = parser.parse_args()
    if not options.seconds > 0:
        parser.error("--for is a number of seconds above 0")
    logging.getLogger("okex_ws").setLevel(logging.CRITICAL)  # the lines say it all
    ids = options.ids or IDS
    with ExitStack() as stack:
        try:
            venue = local(ids, stack) if options.local else options.venue
            feed = stack.enter_context(Feed(venue))
            books = feed.subscribe(ids, channels=["depth5"])
        except (ImportError, ValueError) as error:
            parser.error(printable(str(error)))
        feed.wait_live(timeout=min(PERIOD, options.seconds), partial=True)
        return watch(books, options.seconds)


def local(ids: Sequence[str], stack: ExitStack) -> Venue:
    """Start an exchange that trades *ids*; *stack* closes it."""
    from okex_ws.local_exchange import LocalExchange

    return stack.enter_context(LocalExchange(instruments=ids)).venue_v5


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass  # the usual way to end
    except BrokenPipeError:  # the reader has left: what is buffered has no place to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
