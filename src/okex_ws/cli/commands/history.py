"""``okex-ws history``: past trades and candles, the book and instruments, over REST."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import MARKETS, Candle, OkexWSError, Trade, check_instrument
from ..arguments import Destination, ask_where, command, count, find_destination
from ..exits import FAILED, GOOD, USAGE, Failure, refusing, say
from ..lines import plain
from ..logs import progress
from ..text import NOTHING, clean

if TYPE_CHECKING:
    from ...rest import Rest

# Items that are asked for at a time; then the progress line is updated.
_PAGE = 500
# The letters of seconds, minutes, hours, days, weeks, months and years.
_UNITS = "smHDWMY"
_BAR = re.compile(f"[0-9]+[{_UNITS}](utc)?")

Row = dict[str, Any]

# What the archive has: `okex_ws.rest.ARCHIVED` (a test compares them).
OF_PAST_DAYS = ("trades", "candles", "funding", "books", "books-5000")
_TRADE = ("timestamp", "id", "side", "price", "size")
_CANDLE = ("start", "open", "high", "low", "close", "volume")
_BOOK = ("side", "price", "size")
_INSTRUMENT = (
    *("instrument_id", "market", "tick", "lot", "min_size", "contract_value"),
    *("contract_currency", "expiry", "state"),
)

_EXAMPLES = """\
  okex-ws history BTC-USDT trades                     the last 100
  okex-ws history BTC-USDT candles --bar 1H --limit 720 --csv > month.csv
  okex-ws history BTC-USDT book --limit 10
  okex-ws history BTC-USD-SWAP instruments            tick, lot, contract, ...
  okex-ws history swap instruments --json             of a whole market
  okex-ws history BTC-USDT books --day 2026-09-01 -o days     a past day, as files"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands, "history", "past trades and candles, the book, instruments", _EXAMPLES
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    option(
        "instrument",
        metavar="INSTRUMENT",
        help="the exchange's id; for instruments also a market: " + ", ".join(MARKETS),
    )
    option(
        "what",
        choices=(*_QUERIES, *(each for each in OF_PAST_DAYS if each not in _QUERIES)),
        help="what is wanted of it; funding and books are of a past day (--day)",
    )
    option(
        "--day",
        type=_day,
        metavar="DATE",
        help="fetch the files of that day of UTC from the exchange's archive",
    )
    option("-o", "--out", metavar="FOLDER", help="where to (default: here)")
    option("--market", help="spot, futures, ... (default: what the id tells)")
    option("--bar", default="1m", help="of candles: 1m, 5m, 1H, 1D, ... (default: 1m)")
    option(
        "--limit",
        type=count,
        default=100,
        metavar="N",
        help="how many, of a book levels a side (default: 100)",
    )
    option("--rest", metavar="URL", help="its origin, http(s)://HOST, beside --url")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="with a header")
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    ask_where(parser)


def run(options: argparse.Namespace) -> int:
    """Ask over REST and print the answer, oldest item first; return the exit code."""
    _check(options)
    with ExitStack() as stack:
        where = find_destination(options, stack)
        try:
            from ...rest import Rest
        except ImportError as missing:
            raise Failure(str(missing), FAILED) from missing
        with refusing():
            venue = where.venue
            if options.rest is not None:
                venue = replace(venue, rest=options.rest)
            elif options.url is not None and venue.rest is None:
                raise Failure("where to ask, --url does not tell: add --rest", USAGE)
            rest = stack.enter_context(
                Rest(venue, proxy=where.proxy, ssl_context=where.ssl_context)
            )
            if options.day is not None:
                return _fetch(rest, _market(options, where), options)
            columns, ask = _QUERIES[options.what]
            found = ask(rest, _market(options, where), options)
        progress("")
        _print(found, columns, options)
    return GOOD


def _market(options: argparse.Namespace, where: Destination) -> str:
    """The market of the instrument, or the one that INSTRUMENT names.

    Only a list of instruments can be asked for by its market.
    """
    if options.what == "instruments" and options.instrument in MARKETS:
        return str(options.instrument)
    return check_instrument(options.instrument, options.market, where.venue)


# --- Past days ----------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no day, like 2026-09-01"
        ) from None


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be together with a past day, or without one."""
    if options.day is None:
        if options.what not in _QUERIES:
            raise Failure(f"{options.what} are of a past day: add --day DATE", USAGE)
        if options.out is not None:
            raise Failure("-o is where a past day goes: add --day DATE", USAGE)
    elif options.what not in OF_PAST_DAYS:
        raise Failure(f"--day has {', '.join(OF_PAST_DAYS)}, not {options.what}", USAGE)
    elif options.json or options.csv:
        raise Failure("--day fetches the exchange's files as they are", USAGE)


def _fetch(rest: Rest, market: str, options: argparse.Namespace) -> int:
    """Fetch the files of a past day, and print the path of each."""
    folder = Path(options.out or ".")
    files = rest.archive(options.instrument, options.what, options.day, market)
    if not files:
        raise Failure(
            f"the archive has no {options.what} of {options.instrument} of"
            f" {options.day} (it has a day two or three days later)"
        )
    say("by the exchange's terms: for non-commercial use, and not to be passed on")
    for file in files:

        def tell(received: int, size: int | None, name: str = file.name) -> None:
            of = "" if size is None else f" of {size / (1 << 20):,.1f}"
            progress(f"{name}: {received / (1 << 20):,.1f}{of} MB")

        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = rest.download(file, folder, tell)
        except OSError as error:
            if isinstance(error, OkexWSError):
                raise
            raise Failure(f"{file.name} cannot be written: {error}") from error
        progress("")
        print(path)
    return GOOD


# --- What is asked for --------------------------------------------------------------


def _trades(rest: Rest, kind: str, options: argparse.Namespace) -> list[Row]:
    def page(before: Trade | None, limit: int) -> Sequence[Trade]:
        oldest = None if before is None else before.id
        return rest.trades(options.instrument, kind, before_id=oldest, limit=limit)

    return [_row(each) for each in _backwards(page, options.limit)]


def _candles(rest: Rest, kind: str, options: argparse.Namespace) -> list[Row]:
    channel = f"candle{options.bar}"
    if not _BAR.fullmatch(options.bar):
        raise Failure(
            f"{options.bar!r} is no bar, like 1m, 5m, 1H, 1D, 1W or 1M"
            f"{_meant(options.bar)}",
            USAGE,
        )

    def page(before: Candle | None, limit: int) -> Sequence[Candle]:
        oldest = None if before is None else before.start
        return rest.candles(
            options.instrument, kind, channel, before=oldest, limit=limit
        )

    return [_row(each) for each in _backwards(page, options.limit)]


def _meant(bar: str) -> str:
    """``"; did you mean '1H'?"`` for a *bar* like ``1h`` or ``1 hour``, or ``''``."""
    found = re.match("([0-9]+) ?([a-z]+)", bar, re.IGNORECASE)
    if found is None:
        return ""
    number, word = found.groups()
    first = "M" if word.lower().startswith("mo") else word[0].lower()
    unit = first if first in _UNITS else first.upper()
    return f"; did you mean '{number}{unit}'?" if unit in _UNITS else ""


def _book(rest: Rest, kind: str, options: argparse.Namespace) -> list[Row]:
    found = rest.book(options.instrument, kind, options.limit)
    # In the order of a price ladder: the worst ask on top.
    sides = (("ask", tuple(reversed(found.asks))), ("bid", found.bids))
    return [
        {"side": side, "price": row[0], "size": row[1]}
        for side, rows in sides
        for row in rows
    ]


def _instruments(rest: Rest, kind: str, options: argparse.Namespace) -> list[Row]:
    name, listed = options.instrument, rest.instruments(kind)
    found = [_row(each) for each in listed if name in (kind, each.instrument_id)]
    if not found and name != kind:
        raise Failure(f"{name!r} is not listed by venue {rest.venue.name!r}")
    return found


_QUERIES: dict[str, tuple[Sequence[str], Callable[[Rest, str, Any], list[Row]]]] = {
    "trades": (_TRADE, _trades),
    "candles": (_CANDLE, _candles),
    "book": (_BOOK, _book),
    "instruments": (_INSTRUMENT, _instruments),
}


def _backwards(page: Callable[[Any, int], Sequence[Any]], limit: int) -> list[Any]:
    """The newest *limit* items, oldest first, fetched page by page into the past.

    *page* is given the oldest item so far, and how many older items to fetch.
    """
    found: list[Any] = []
    while len(found) < limit:
        wanted = min(_PAGE, limit - len(found))
        older = page(found[0] if found else None, wanted)
        found = [*older, *found]
        progress(f"{len(found):,} of {limit:,}")
        if len(older) < wanted:
            progress("")
            say(f"there are no more: {len(found):,} of {limit:,}")
            break
    return found


def _row(value: Any) -> Row:
    return {name: getattr(value, name) for name in value.__slots__}


# --- How it is printed --------------------------------------------------------------


def _print(
    rows: Sequence[Row], columns: Sequence[str], options: argparse.Namespace
) -> None:
    if options.json:
        for row in rows:
            print(json.dumps({name: plain(value) for name, value in row.items()}))
        return
    told = [[_cell(row[name]) for name in columns] for row in rows]
    if options.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(told)
        return
    for line in _table([list(columns), *told]):
        print(line)


def _cell(value: Any) -> str:
    told = plain(value)
    return "" if told is None else clean(str(told))


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns; empty cells show `NOTHING`."""
    shown = [[cell or NOTHING for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells)
