"""``okex-ws watch``: live prices, as a screen for people or as lines for programs."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ... import Feed, Item, OkexWSError, State, Updates, WSSubscription
from ..arguments import (
    Destination,
    ask_instruments,
    ask_limits,
    ask_where,
    command,
    duration,
    find_destination,
    market,
    names,
)
from ..exits import FAILED, GOOD, STALE, Failure, refusing
from ..lines import item_json, item_line, reading_json, reading_line
from ..reading import SubscriptionReader

if TYPE_CHECKING:
    from rich.text import Text

    from ..screen.sheet import Sheet

# Seconds that ``--once`` waits for prices, unless ``--for`` is given.
_ONCE = 10.0
# Seconds after which the program looks at the clock if no item comes.
_TICK = 0.2

_EXAMPLES = """\
  okex-ws watch                                  BTC-USDT on OKX, as a ladder
  okex-ws watch BTC-USDT ETH-USDT BTC-USDT-SWAP  several, as a table
  okex-ws watch BTC-JPY --venue okj-v3           a market in Japan
  okex-ws watch --local                          without any exchange to reach
  okex-ws watch BTC-USDT --json | jq .           each push as one JSON object
  okex-ws watch BTC-USDT --once --max-age 5      one line; exit code 3 if it is stale"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(commands, "watch", "live prices of instruments", _EXAMPLES)
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_instruments(parser)
    option(
        "--channels",
        type=names,
        metavar="A,B",
        help="what to subscribe (default: depth5,trade; for the ladder depth,trade)",
    )
    option("--json", action="store_true", help="one JSON object a line")
    option("--once", action="store_true", help="say how each stands, and end")
    option(
        "--for",
        dest="seconds",
        type=duration,
        metavar="S",
        help="end after so many seconds (default: at Ctrl-C; --once: at the latest"
        f" after {_ONCE:g})",
    )
    ask_limits(parser)
    ask_where(parser)


def run(options: argparse.Namespace) -> int:
    """Watch until the time is up, Ctrl-C, or every subscription has ended.

    Returns the exit code.
    """
    lines = options.json or options.once or not sys.stdout.isatty()
    lines = lines or os.environ.get("TERM") == "dumb"
    with ExitStack() as stack:
        watched = _Watched(options, find_destination(options, stack), stack, lines)
        try:
            if options.once:
                return watched.once()
            return watched.as_lines() if lines else watched.as_screen()
        except KeyboardInterrupt:
            return GOOD  # the usual way to end


class _Watched:
    """The subscriptions of one run of ``watch``, and three ways to show them.

    `once`, `as_lines` and `as_screen` run on the main thread and return the exit code:
    good if all subscriptions are live, failed if one has failed, else stale.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        where: Destination,
        stack: ExitStack,
        lines: bool,
    ) -> None:
        self._json = options.json
        self._seconds: float | None = options.seconds
        self._where = where.venue.name
        self._began = time.monotonic()
        self._changed = threading.Event()
        wanted = list(dict.fromkeys(options.instruments or [where.instrument]))
        ladder = len(wanted) == 1 and not lines
        with refusing():
            self._feed = stack.enter_context(
                Feed(
                    where.venue,
                    ssl_context=where.ssl_context,
                    proxy=where.proxy,
                    lease=options.lease,
                    on_state=lambda _: self._changed.set(),
                )
            )
            # The iterator begins before any subscription, so that it misses no item.
            self._updates = self._feed.updates(timeout=_TICK)
            self._readers = [self._subscribe(name, options, ladder) for name in wanted]

    def _subscribe(
        self, name: str, options: argparse.Namespace, ladder: bool
    ) -> SubscriptionReader:
        where = market(name, options.market)
        usual = ("ticker",) if where == "index" else ("depth5", "trade")
        # A ladder may have more than five rows, so it needs the whole book.
        channels = options.channels or (("depth", "trade") if ladder else usual)
        limits = {
            limit: getattr(options, limit)
            for limit in ("max_age", "max_silence", "max_lag")
        }
        one = WSSubscription(name, where, feed=self._feed, channels=channels, **limits)
        return SubscriptionReader(one, channels)

    @property
    def _subscriptions(self) -> list[WSSubscription]:
        return [reader.subscription for reader in self._readers]

    def _over(self) -> bool:
        """Whether the time is up, or every subscription has ended."""
        if self._seconds is not None and self._left() <= 0:
            return True
        return all(one.state.final for one in self._subscriptions)

    def _left(self) -> float:
        return self._began + (self._seconds or 0.0) - time.monotonic()

    def _code(self) -> int:
        """The exit code for the present states of the subscriptions."""
        states = {one.state for one in self._subscriptions}
        if State.FAILED in states:
            return FAILED
        return GOOD if states == {State.LIVE} else STALE

    # --- Once -----------------------------------------------------------------------

    def once(self) -> int:
        """Print a reading of each subscription, once all are live or the time is up."""
        self._seconds = self._seconds or _ONCE
        for one in self._subscriptions:
            # If it failed, its reading says how.
            with suppress(TimeoutError, OkexWSError):
                one.wait_live(max(self._left(), 0.0))
        code = self._code()
        self._say_readings()
        return code

    def _say_readings(self) -> None:
        say = reading_json if self._json else reading_line
        for reader in self._readers:
            print(say(reader.read()), flush=True)

    # --- As lines -------------------------------------------------------------------

    def as_lines(self) -> int:
        """Print every item as a line until the end; return the exit code."""
        say = item_json if self._json else item_line
        for item in items(self._updates, self._over):
            print(say(item), flush=True)
        return self._code()

    # --- As a screen ----------------------------------------------------------------

    def as_screen(self) -> int:
        """Draw a ladder or a table until the end, then print the last readings.

        Returns the exit code.
        """
        try:
            from rich.console import Console

            from ..screen.sheet import drawn
        except ImportError as missing:
            raise Failure(
                "the live screen needs the extra 'cli': pip install 'okex-ws[cli]'"
                f" ({missing}); --json and a pipe do without"
            ) from missing
        try:
            drawn(self._drawing(), self._over, self._changed, Console())
        finally:
            self._say_readings()
        return self._code()

    def _drawing(self) -> Callable[[Sheet], list[Text]]:
        from ..screen.board import Board
        from ..screen.ladder import Ladder

        readers = self._readers
        if len(readers) > 1:
            board = Board(self._where)
            return lambda sheet: board.lines(
                [reader.read() for reader in readers], sheet, utc_now()
            )
        ladder = Ladder(self._where)
        return lambda sheet: ladder.lines(
            readers[0].read(ladder.levels(sheet)), sheet, utc_now()
        )


def items(updates: Updates, over: Callable[[], bool]) -> Iterator[Item]:
    """Yield the items of *updates* until *over* returns true; silence ends nothing."""
    while not over():
        try:
            item = next(updates)
        except TimeoutError:
            continue
        except StopIteration:
            return
        yield item


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(timezone.utc)
