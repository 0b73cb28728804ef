"""Best bid and best ask of one instrument, once a second.

    python examples/monitor.py                       BTC-USDT on OKX
    python examples/monitor.py BTC-JPY --venue okj   a market in Japan
    python examples/monitor.py --local               one on this machine
    python examples/monitor.py --capture PATH/NAME   a recorded one
    python examples/monitor.py --url ws://127.0.0.1:PORT/ws/v5     your own
    python examples/monitor.py ETH-USDT --json | jq .bid

A price is printed only while it can be trusted. When the feed is lost, the line says so
and why, and shows dashes where the prices were. No line is wider than the terminal.
Ctrl-C ends the program.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from decimal import Decimal
from typing import TextIO

from okex_ws import (
    VENUES,
    BestBidAsk,
    Health,
    OkexWSError,
    State,
    Venue,
    WSSubscription,
    find_venue,
)

INSTRUMENT, VENUE = "BTC-USDT", "okx"
ENDED = "the recording is over"
NOTHING = "-"
# The first line waits up to so many seconds for prices, and mostly has them.
FIRST_WAIT = 1.0
NO_BIDS, NO_ASKS = "no bids", "no asks"
PRICES = ("bid", "bid_size", "ask", "ask_size", "spread")


# --- What there is to show ----------------------------------------------------------


def read_prices(subscription: WSSubscription) -> tuple[BestBidAsk | None, Health]:
    """Read prices and health that agree: there are prices if and only if it is LIVE."""
    for _ in range(3):
        best, health = subscription.best_bid_ask(), subscription.health()
        if (best is not None) == (health.state is State.LIVE):
            return best, health
    # Prices and health disagreed three times. To show no prices is always right.
    return None, health


def as_json(instrument_id: str, best: BestBidAsk | None, health: Health) -> str:
    """A reading as a JSON object: exact numbers are strings, unknown is ``null``."""

    def text(value: Decimal | None) -> str | None:
        return None if value is None else f"{value:f}"

    prices = {name: text(getattr(best, name, None)) for name in PRICES}
    at = None if best is None else best.timestamp.isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "instrument_id": instrument_id,
            "state": str(health.state),
            "cause": str(health.cause) or None,
            "code": health.cause.code,
            **prices,
            "age": round(health.age, 3) if math.isfinite(health.age) else None,
            "epoch": health.epoch,
            "timestamp": at,
        }
    )


# --- The table ----------------------------------------------------------------------


class Column:
    """A column of numbers with aligned decimal points; it widens, and never narrows."""

    def __init__(self, title: str, least: int) -> None:
        self.title = title
        self.whole = least
        self.fraction = 0

    @property
    def width(self) -> int:
        """The characters of every entry."""
        return self.whole + (1 + self.fraction if self.fraction else 0)

    def show(self, value: Decimal | None, missing: str = NOTHING) -> str:
        """*value* padded to the column, or *missing* if there is no value."""
        if value is None:
            return self._place(missing, "")
        whole, point, fraction = f"{value:f}".partition(".")
        return self._place(whole, point + fraction)

    def _place(self, whole: str, rest: str) -> str:
        self.whole = max(self.whole, len(whole))
        self.fraction = max(self.fraction, len(rest) - 1)
        return (whole.rjust(self.whole) + rest).ljust(self.width)


class Table:
    """Lines under a header, which is printed again when a column has changed.

    Columns that do not fit are left out, the sizes first. A cause that does not fit
    beside the dashes replaces all of them but the first; a cause still too long is cut.
    """

    def __init__(self, instrument_id: str, colour: bool = False) -> None:
        self.name = f"{printable(instrument_id):10}"
        self.colour = colour
        self.bid, self.ask = Column("bid", 7), Column("ask", 7)
        self.bid_size, self.ask_size = Column("size", 4), Column("size", 4)
        self.spread = Column("spread", 6)
        self._header = ""

    def lines(
        self,
        now: str,
        best: BestBidAsk | None,
        health: Health,
        width: int | None = None,
    ) -> list[str]:
        """The line of this moment, after a header if one is due.

        *width* is the most characters of a line; ``None`` is no limit.
        """
        start = f"{now:8}  {self.name}  {health.state:12}"
        cells = [start, *self._prices(best), f"{age(health.age):>7}"]
        titles = self._titles()
        shown = _columns_that_fit(titles, width)
        header = cut("  ".join(titles[each] for each in shown), width)
        cells = [cells[each] for each in shown]
        if health.state is not State.LIVE and health.cause:
            cells = _with_cause(cells, printable(str(health.cause)), width)
        row = self._paint(cut("  ".join(cells), width), health.state)
        if header == self._header:
            return [row]
        self._header = header
        return [header, row]

    def _titles(self) -> list[str]:
        start = f"{'time':8}  {'instrument':{len(self.name)}}  {'state':12}"
        titles = [f"{c.title:>{c.whole}}".ljust(c.width) for c in self._columns]
        return [start, *titles, f"{'age':>7}"]

    @property
    def _columns(self) -> tuple[Column, ...]:
        return (self.bid, self.bid_size, self.ask, self.ask_size, self.spread)

    def _prices(self, best: BestBidAsk | None) -> list[str]:
        if best is None:
            return [column.show(None) for column in self._columns]
        return [
            self.bid.show(best.bid, NO_BIDS),
            self.bid_size.show(best.bid_size),
            self.ask.show(best.ask, NO_ASKS),
            self.ask_size.show(best.ask_size),
            self.spread.show(best.spread),
        ]

    def _paint(self, row: str, state: State) -> str:
        if not self.colour:
            return row
        code = 32 if state is State.LIVE else 31 if state.final else 33
        at = row.index(self.name) + len(self.name)  # an id may look like a state
        return row[:at] + row[at:].replace(state, f"\x1b[{code}m{state}\x1b[0m", 1)


def fits(cells: list[str], width: int | None) -> bool:
    """Whether the line of *cells* has at most *width* characters."""
    return width is None or len("  ".join(cells)) <= width


def _columns_that_fit(titles: list[str], width: int | None) -> list[int]:
    """The columns to show: a price that does not fit is left out rather than cut."""
    shown = list(range(len(titles)))
    for gone in ((2, 4), (5,), (6,), (3,), (1,)):
        if fits([titles[each] for each in shown], width):
            break
        shown = [each for each in shown if each not in gone]
    return shown


def _with_cause(cells: list[str], cause: str, width: int | None) -> list[str]:
    if fits([*cells, cause], width):
        return [*cells, cause]
    return [cells[0], *(cell.rstrip() for cell in cells[1:2]), cause]


def cut(text: str, width: int | None) -> str:
    """*text* cut to *width* characters, with an ellipsis for what is cut off."""
    if width is None or len(text) <= width:
        return text
    return text[: max(0, width - 3)] + "..."


def age(seconds: float) -> str:
    """How long ago the exchange last sent something about this book."""
    return f"{seconds:.1f} s" if math.isfinite(seconds) else NOTHING


def printable(text: str) -> str:
    """*text* with everything escaped that a terminal could act on."""
    return text.encode("unicode_escape").decode("ascii")


def wants_colour() -> bool:
    """Whether to use colours: only on a terminal without NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def terminal_width(stream: TextIO) -> int | None:
    """The characters of a line of the terminal; ``None`` if *stream* is no terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


class Folded(logging.Formatter):
    """Formats the library's warnings; for a terminal it folds them between words."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """*record* as a line, or as several lines on a terminal."""
        text = super().formatMessage(record)
        width = terminal_width(sys.stderr)
        if width is None:
            return text
        indent = " " * len(f"{record.asctime}  ")
        return textwrap.fill(
            text,
            max(width, 2 * len(indent)),
            subsequent_indent=indent,
            break_on_hyphens=False,
        )


# --- The program --------------------------------------------------------------------


def ticks(seconds: float | None) -> Iterator[None]:
    """Yield now and every second from now, for *seconds* or for ever.

    The seconds are counted from the start, so they do not drift. Seconds that passed
    while the machine slept are left out.
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


def never() -> bool:
    """Return false: a market that is not recorded has no end."""
    return False


def watch(
    subscription: WSSubscription,
    name: str,
    options: argparse.Namespace,
    ended: Callable[[], bool] = never,
) -> int:
    """Print lines until the time is up, the feed has failed or the market has *ended*.

    Returns the exit code.
    """
    table = Table(name, wants_colour())
    with suppress(TimeoutError, OkexWSError):
        subscription.wait_live(timeout=min(FIRST_WAIT, options.seconds or FIRST_WAIT))
    for _ in ticks(options.seconds):
        if ended():
            print(ENDED, file=sys.stderr if options.json else sys.stdout)
            return 0
        best, health = read_prices(subscription)
        if options.json:
            print(as_json(name, best, health), flush=True)
        else:
            now = time.strftime("%H:%M:%S")
            lines = table.lines(now, best, health, terminal_width(sys.stdout))
            print(*lines, sep="\n", flush=True)
        if health.state.final:
            return 1
    return 0


def venue_at(url: str) -> Venue:
    """Return a venue whose endpoint is *url*: v5 if its path says so, else v3."""
    if "/ws/v5" in url:
        return Venue("url", "v5", (url.rstrip("/").removesuffix("/public"),))
    return Venue("url", "v3", (url,))


def recorded_over_v3(path: str | None) -> bool:
    """Whether *path* is a recording of v3: only those have a file of frames."""
    return path is not None and os.path.exists(f"{path}.deflate.b64")


def open_feed(
    options: argparse.Namespace, stack: ExitStack
) -> tuple[WSSubscription, str, Callable[[], bool]]:
    """Open the subscription that the options ask for; *stack* closes it.

    Returns it, its instrument's id, and a function that tells when the market is over.
    """
    name, trust, ended = options.instrument or INSTRUMENT, None, never
    if options.url is not None:
        venue = venue_at(options.url)
    else:
        venue = find_venue(VENUE if options.venue is None else options.venue)
    if options.local:
        from okex_ws.local_exchange import LocalExchange

        exchange = stack.enter_context(LocalExchange(tls=True, capture=options.capture))
        name = options.instrument or exchange.busiest[1]
        v3 = recorded_over_v3(options.capture) or venue.protocol == "v3"
        venue = exchange.venue if v3 else exchange.venue_v5
        trust = exchange.ssl_context

        def ended() -> bool:
            return exchange.ended

    feed = WSSubscription(
        name, options.market, venue=venue, channels=("depth5",), ssl_context=trust
    )
    return stack.enter_context(feed), name, ended


def duration(text: str) -> float:
    """Parse an argument as a number of seconds above zero."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    result = argparse.ArgumentParser(description="Best bid and ask, once a second.")
    add = result.add_argument
    add(
        "instrument",
        nargs="?",
        help=f"default: {INSTRUMENT}; with --local the one where most happens",
    )
    add("--market", help="spot, futures, ... (default: what the instrument's id tells)")
    add("--venue", help=f"{', '.join(VENUES)} (default: {VENUE})")
    add("--url", help="an endpoint of your own, ws:// or wss://, .../ws/v5 or v3")
    add(
        "--local",
        action="store_true",
        help="run an exchange on this machine in the venue's place, over the venue's"
        " protocol: v5, or v3 with --venue okj-v3",
    )
    add(
        "--capture",
        metavar="PATH",
        help="with a recorded market, until it is over (implies --local, and the"
        " protocol of the recording)",
    )
    add(
        "--for",
        dest="seconds",
        type=duration,
        metavar="SECONDS",
        help="then end (default: until Ctrl-C)",
    )
    add("--json", action="store_true", help="one JSON object a line (default: a table)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code: 0, or 1 for a feed that failed.

    Bad arguments end it with the exit code 2.
    """
    command = parser()
    options = command.parse_args(arguments)
    options.local = options.local or options.capture is not None
    if options.url is not None and (options.local or options.venue is not None):
        command.error("--url is another place than --venue and --local: give one")
    if options.capture is not None and options.venue is not None:
        command.error("--capture is played as it was recorded, without --venue")
    handler = logging.StreamHandler()
    handler.setFormatter(Folded("%(asctime)s  %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler])
    with ExitStack() as stack:
        try:
            subscription, name, ended = open_feed(options, stack)
        except (ImportError, ValueError, TypeError, OSError) as error:
            command.error(printable(str(error)))
        return watch(subscription, name, options, ended)


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 0  # the usual way to end
    except BrokenPipeError:
        # The reader of the pipe has left, as ``head`` does: discard what is buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
