"""``okex-ws record``: writes what the exchange sends into a file, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone

from ... import Feed, Recorder, State, WSSubscription
from ..arguments import (
    Destination,
    ask_instruments,
    ask_via,
    ask_where,
    command,
    count,
    duration,
    find_destination,
    names,
)
from ..exits import FAILED, GOOD, Failure, refusing
from ..logs import progress
from ..reading import whole_book
from ..text import clean, seconds, size

# Seconds between two updates of the progress line.
_TICK = 1.0
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

_EXAMPLES = """\
  okex-ws record BTC-USDT -o day.rec.gz           until Ctrl-C
  okex-ws record BTC-USDT ETH-USDT --for 3600     an hour of two markets
  okex-ws record BTC-USDT --max-seconds 86400 --max-bytes 500M   a file a day
  okex-ws record --local -o try.rec.gz --for 10   without any exchange to reach
  zcat day.rec.gz | head                          what is in it"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands, "record", "write what the exchange sends into a file", _EXAMPLES
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_instruments(parser)
    option(
        "-o",
        dest="file",
        metavar="FILE",
        help="never overwritten (default: the venue and the moment)",
    )
    option(
        "--channels",
        type=names,
        metavar="A,B",
        help="what to subscribe (default: the whole book and the trades)",
    )
    option(
        "--for",
        dest="seconds",
        type=duration,
        metavar="S",
        help="end after so many seconds (default: at Ctrl-C)",
    )
    option(
        "--max-bytes",
        type=amount,
        metavar="N",
        help="go on in another file after so many; 500M is 500,000,000",
    )
    option("--max-seconds", type=duration, metavar="S", help="or after so many seconds")
    ask_where(parser)
    ask_via(parser)


def amount(text: str) -> int:
    """Parse an argument as a number of bytes: ``1000``, ``20k``, ``500M``, ``2G``."""
    match = re.fullmatch("([0-9]+)([kMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, like 500M")
    return count(match[1]) * _UNITS[match[2]]


def run(options: argparse.Namespace) -> int:
    """Record until the time is up, Ctrl-C, or every subscription has ended.

    Returns the exit code.
    """
    with ExitStack() as stack:
        where = find_destination(options, stack)
        now = datetime.now(timezone.utc)
        path = options.file or f"{where.venue.name}-{now:%Y%m%d-%H%M%S}.rec.gz"
        with refusing():
            recorder = Recorder(
                path, max_bytes=options.max_bytes, max_seconds=options.max_seconds
            )
        stack.callback(recorder.close, None)
        feed = stack.enter_context(
            Feed(
                where.venue,
                **where.keywords,
                recorder=recorder,
            )
        )
        try:
            _subscribe(feed, options, where)
        except Failure:
            recorder.close(None)
            os.unlink(path)  # it is empty, and this command has made it
            raise
        return _record(feed, recorder, options.seconds)


def _subscribe(feed: Feed, options: argparse.Namespace, where: Destination) -> None:
    with refusing():
        for name in dict.fromkeys(options.instruments or [where.instrument]):
            kind = options.market
            channels = options.channels or [whole_book(name, kind), "trade"]
            WSSubscription(name, kind, feed=feed, channels=channels)


def _record(feed: Feed, recorder: Recorder, limit: float | None) -> int:
    """Show the progress until the recording ends; return the exit code."""
    began = time.monotonic()

    def said(how: str) -> str:
        return _said(feed, recorder, time.monotonic() - began, how)

    try:
        for _ in _ticks(feed, limit):
            progress(said(_how(feed)))
    except KeyboardInterrupt:
        pass  # the usual way to end a recording
    progress("")
    failed = any(one.state is State.FAILED for one in feed.subscriptions)
    how = _how(feed)
    feed.close()
    recorder.close(None)
    print(clean(said(how)), file=sys.stderr)
    return FAILED if failed or recorder.lost or not feed.stats().messages else GOOD


def _ticks(feed: Feed, limit: float | None) -> Iterator[None]:
    """Yield each second until *limit* seconds are over or no subscription is left."""
    began = time.monotonic()
    while not all(one.state.final for one in feed.subscriptions):
        yield
        left = _TICK
        if limit is not None:
            left = min(_TICK, began + limit - time.monotonic())
            if left <= 0:
                return
        time.sleep(left)


def _how(feed: Feed) -> str:
    """The state of one instrument, or how many of several are live."""
    states = [one.state for one in feed.subscriptions]
    if len(states) == 1:
        return str(states[0])
    return f"{states.count(State.LIVE)} of {len(states)} live"


def _said(feed: Feed, recorder: Recorder, took: float, how: str) -> str:
    stats = feed.stats()
    lost = f", {recorder.lost} lost" if recorder.lost else ""
    reconnects = sum(stats.reconnects.values())
    # Each lost connection counts once, and so does each attempt to connect that failed.
    attempts = f"{reconnects} attempt" + ("s" if reconnects > 1 else "")
    again = f", {attempts} to reconnect" if reconnects else ""
    counts = f"{stats.messages:,} messages, {size(stats.bytes)}, {seconds(took)}"
    name = os.path.basename(recorder.path)
    return f"{name}: {counts}{again}{lost}, {how}"
