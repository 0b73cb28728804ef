"""Best bid and best ask of one instrument, once a second.

    python examples/monitor.py                       BTC-JPY on OKJ
    python examples/monitor.py --local               a market on this machine
    python examples/monitor.py --local --capture PATH/NAME     a recorded one
    python examples/monitor.py ETH-JPY --json | jq .bid

A price is printed only while it can be trusted. When the feed is lost, the line says so
and why, and shows dashes where the prices were. Ctrl-C ends the program.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from decimal import Decimal

from okex_ws import BestBidAsk, Health, OkexWSError, State, WSSubscription

NOTHING = "-"
# The first line waits so long for prices, that most often it has them.
FIRST_WAIT = 1.0
NO_BIDS, NO_ASKS = "no bids", "no asks"
PRICES = ("bid", "bid_size", "ask", "ask_size", "spread")


# --- What there is to show ----------------------------------------------------------


def look(subscription: WSSubscription) -> tuple[BestBidAsk | None, Health]:
    """Prices and health that agree: there are prices if and only if it is LIVE."""
    for _ in range(3):
        best, health = subscription.best_bid_ask(), subscription.health()
        if (best is not None) == (health.state is State.LIVE):
            return best, health
    # It changes faster than it can be looked at. No prices is always true.
    return None, health


def as_json(instrument_id: str, best: BestBidAsk | None, health: Health) -> str:
    """One JSON object; numbers of the exchange are strings, ``null`` is not known."""

    def text(value: Decimal | None) -> str | None:
        return None if value is None else f"{value:f}"

    prices = {name: text(getattr(best, name, None)) for name in PRICES}
    at = None if best is None else best.timestamp.isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "instrument_id": instrument_id,
            "state": str(health.state),
            "cause": health.cause or None,
            **prices,
            "age": round(health.age, 3) if math.isfinite(health.age) else None,
            "epoch": health.epoch,
            "timestamp": at,
        }
    )


# --- The table ----------------------------------------------------------------------


class Column:
    """Numbers whose decimal points stand under each other. It widens, never narrows."""

    def __init__(self, title: str, least: int) -> None:
        self.title = title
        self.whole = least
        self.fraction = 0

    @property
    def width(self) -> int:
        """Characters of every entry."""
        return self.whole + (1 + self.fraction if self.fraction else 0)

    def show(self, value: Decimal | None, missing: str = NOTHING) -> str:
        """*value* in its place, or what is said where there is none."""
        if value is None:
            return self._place(missing, "")
        whole, point, fraction = f"{value:f}".partition(".")
        return self._place(whole, point + fraction)

    def _place(self, whole: str, rest: str) -> str:
        self.whole = max(self.whole, len(whole))
        self.fraction = max(self.fraction, len(rest) - 1)
        return (whole.rjust(self.whole) + rest).ljust(self.width)


class Table:
    """Lines under a header; the header comes again when a column has widened."""

    def __init__(self, instrument_id: str, colour: bool = False) -> None:
        self.name = f"{printable(instrument_id):10}"
        self.colour = colour
        self.bid, self.ask = Column("bid", 7), Column("ask", 7)
        self.bid_size, self.ask_size = Column("size", 4), Column("size", 4)
        self.spread = Column("spread", 6)
        self._header = ""

    def lines(self, now: str, best: BestBidAsk | None, health: Health) -> list[str]:
        """The line of this moment, under a header where one is due."""
        cells = self._prices(best)
        row = f"{now:8}  {self.name}  {self._state(health.state)}  "
        row += "  ".join(cells) + f"  {age(health.age):>7}"
        if health.state is not State.LIVE and health.cause:
            row += f"  {printable(health.cause)}"
        header = self._titles()
        if header == self._header:
            return [row]
        self._header = header
        return [header, row]

    def _prices(self, best: BestBidAsk | None) -> list[str]:
        columns = (self.bid, self.bid_size, self.ask, self.ask_size, self.spread)
        if best is None:
            return [column.show(None) for column in columns]
        return [
            self.bid.show(best.bid, NO_BIDS),
            self.bid_size.show(best.bid_size),
            self.ask.show(best.ask, NO_ASKS),
            self.ask_size.show(best.ask_size),
            self.spread.show(best.spread),
        ]

    def _state(self, state: State) -> str:
        text = f"{state:12}"
        if not self.colour:
            return text
        code = 32 if state is State.LIVE else 31 if state.final else 33
        return f"\x1b[{code}m{text}\x1b[0m"

    def _titles(self) -> str:
        columns = (self.bid, self.bid_size, self.ask, self.ask_size, self.spread)
        titles = [f"{c.title:>{c.whole}}".ljust(c.width) for c in columns]
        name = "instrument".ljust(len(self.name))
        return f"{'time':8}  {name}  {'state':12}  {'  '.join(titles)}  {'age':>7}"


def age(seconds: float) -> str:
    """How long ago the exchange last sent something about this book."""
    return f"{seconds:.1f} s" if math.isfinite(seconds) else NOTHING


def printable(text: str) -> str:
    """*text* with everything escaped that a terminal could take for an order."""
    return text.encode("unicode_escape").decode("ascii")


def wants_colour() -> bool:
    """On a terminal only, and not against the reader's wish (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


# --- The program --------------------------------------------------------------------


def ticks(seconds: float | None) -> Iterator[None]:
    """Now and every second from now, for *seconds* or for ever.

    The seconds are counted from the start, so they do not drift; one that passed while
    the machine slept is left out.
    """
    start = time.monotonic()
    tick = 0
    while True:
        yield
        elapsed = time.monotonic() - start
        tick = max(tick, int(elapsed)) + 1
        until = tick if seconds is None else min(tick, seconds)
        time.sleep(max(0.0, until - elapsed))
        if until == seconds:
            return


def watch(subscription: WSSubscription, name: str, options: argparse.Namespace) -> int:
    """Print until the time is up or the feed has failed; returns the exit code."""
    table = Table(name, wants_colour())
    with suppress(TimeoutError, OkexWSError):
        subscription.wait_live(timeout=min(FIRST_WAIT, options.seconds or FIRST_WAIT))
    for _ in ticks(options.seconds):
        best, health = look(subscription)
        if options.json:
            print(as_json(name, best, health), flush=True)
        else:
            now = time.strftime("%H:%M:%S")
            print(*table.lines(now, best, health), sep="\n", flush=True)
        if health.state.final:
            return 1
    return 0


def open_feed(
    options: argparse.Namespace, stack: ExitStack
) -> tuple[WSSubscription, str]:
    """The subscription that the options ask for, closed with *stack*, and its name."""
    if not options.local:
        name, market = options.instrument or "BTC-JPY", options.market or "spot"
        feed = WSSubscription(name, market, venue=options.venue, channels=("depth5",))
        return stack.enter_context(feed), name
    from okex_ws.local_exchange import LocalExchange

    exchange = stack.enter_context(LocalExchange(tls=True, capture=options.capture))
    market, name = exchange.busiest
    if options.instrument:
        name = options.instrument
        served = {instrument: market for market, instrument in exchange.instruments}
        market = served.get(name, market)
    feed = WSSubscription(
        name,
        options.market or market,
        venue=exchange.venue,
        channels=("depth5",),
        ssl_context=exchange.ssl_context,
    )
    return stack.enter_context(feed), name


def duration(text: str) -> float:
    """A positive number of seconds, as an argument."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description="Best bid and ask, once a second.")
    add = result.add_argument
    add("instrument", nargs="?", help="default: BTC-JPY, or the local busiest one")
    add("--market", help="spot, futures, swap, ... (default: spot)")
    add("--venue", default="okj-v3", help="a venue's name (default: %(default)s)")
    add("--local", action="store_true", help="run an exchange on this machine")
    add("--capture", metavar="PATH", help="with a recorded market (implies --local)")
    add("--for", dest="seconds", type=duration, metavar="SECONDS", help="then end")
    add("--json", action="store_true", help="one JSON object a line")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code: 0, 1 for a feed that failed, 2 for bad arguments."""
    command = parser()
    options = command.parse_args(arguments)
    options.local = options.local or options.capture is not None
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    with ExitStack() as stack:
        try:
            subscription, name = open_feed(options, stack)
        except (ImportError, ValueError, TypeError, OSError) as error:
            command.error(printable(str(error)))
        return watch(subscription, name, options)


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 0  # how a monitor is meant to end
    except BrokenPipeError:
        # The reader has seen enough. What is buffered has nowhere to go any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
