"""``okex-ws watch``: live prices, as a screen for people or as lines for programs."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from ... import Feed, Item, OkexWSError, State, Updates, WSSubscription
from ..arguments import (
    Destination,
    ask_instruments,
    ask_limits,
    ask_via,
    ask_where,
    command,
    duration,
    find_destination,
    names,
)
from ..exits import FAILED, GOOD, STALE, refusing, say
from ..lines import item_json, item_line, reading_json, reading_line
from ..reading import SubscriptionReader, whole_book
from ..screen.keyboard import Keyboard
from ..screen.navigation import Navigation

# Seconds that ``--once`` waits for prices, unless ``--for`` is given.
_ONCE = 10.0
# Seconds after which the program looks at the clock if no item comes.
_TICK = 0.2
# Up to so many instruments, a screen shows whole books. The exchange advises against
# 30 and more of them on a connection.
_WHOLE_BOOKS = 12

_EXAMPLES = """\
  okex-ws watch                                  BTC-USDT on OKX; ? shows the keys
  okex-ws watch BTC-USDT ETH-USDT BTC-USDT-SWAP  several: a table, and books
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
        help="what to subscribe (default: depth5,trade; on a screen of up to"
        f" {_WHOLE_BOOKS} instruments depth,trade)",
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
    ask_via(parser)


def run(options: argparse.Namespace) -> int:
    """Watch until the time is up, Ctrl-C, or every subscription has ended.

    Returns the exit code.
    """
    lines = options.json or options.once or not sys.stdout.isatty()
    lines = lines or os.environ.get("TERM") == "dumb" or not _can_draw()
    with ExitStack() as stack:
        watched = _Watched(options, find_destination(options, stack), stack, lines)
        try:
            if options.once:
                return watched.once()
            return watched.as_lines() if lines else watched.as_screen()
        except KeyboardInterrupt:
            return GOOD  # the usual way to end


def _can_draw() -> bool:
    """Whether the live screen can be shown; if not, say what it needs."""
    try:
        import rich.console  # noqa: F401
    except ImportError as missing:
        say(
            "lines only: the live screen, with books, totals and keys, needs the extra"
            f" 'cli': pip install 'okex-ws[cli]' ({missing})"
        )
        return False
    return True


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
        self._where = where.venue.name + (" via Redis" if where.via else "")
        self._began = time.monotonic()
        self._keyboard = Keyboard()
        wanted = list(dict.fromkeys(options.instruments))
        # Without a wish the screen begins with a book, and a key leads to others.
        self._table = len(wanted) > 1
        free = not lines and options.market is options.channels is None
        wanted = wanted or [where.instrument, *(where.others if free else ())]
        whole = not lines and len(wanted) <= _WHOLE_BOOKS
        with refusing():
            self._feed = stack.enter_context(
                Feed(
                    where.venue,
                    **where.keywords,
                    lease=options.lease,
                    on_state=lambda _: self._keyboard.wake(),
                )
            )
            # The iterator begins before any subscription, so that it misses no item.
            self._updates = self._feed.updates(timeout=_TICK)
            self._readers = [self._subscribe(name, options, whole) for name in wanted]

    def _subscribe(
        self, name: str, options: argparse.Namespace, whole: bool
    ) -> SubscriptionReader:
        market = options.market
        usual = ("ticker",) if market == "index" else ("depth5", "trade")
        # A book on a screen may have more than five rows.
        deep = whole and market != "index"
        channels = options.channels or (
            (whole_book(name, market), "trade") if deep else usual
        )
        limits = {
            limit: getattr(options, limit)
            for limit in ("max_age", "max_silence", "max_lag")
        }
        one = WSSubscription(name, market, feed=self._feed, channels=channels, **limits)
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
        """Draw until the end or the key q, then print the last readings.

        Returns the exit code.
        """
        from rich.console import Console

        from ..screen.loop import Loop

        try:
            with self._keyboard:
                readers, over = self._readers, self._over
                loop = Loop(self._where, readers, over, self._keyboard, Console())
                ended = loop.run(Navigation(len(readers), table=self._table))
        finally:
            self._say_readings()
        return GOOD if ended else self._code()


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
