"""``okex-ws publish``: what one machine reads, for others, through Redis."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from contextlib import ExitStack

from ... import Feed, State, WSSubscription
from ..arguments import (
    VENUE,
    Destination,
    ask_instruments,
    ask_redis,
    ask_where,
    command,
    duration,
    find_destination,
    names,
    redis_url,
)
from ..exits import FAILED, GOOD, STALE, refusing
from ..logs import progress
from ..reading import whole_book
from ..text import clean, seconds

# Seconds between two updates of the progress line.
_TICK = 1.0

_EXAMPLES = """\
  okex-ws publish BTC-USDT ETH-USDT --to redis://127.0.0.1/0?name=desk
  okex-ws publish BTC-USDT --channels depth,trade --to rediss://pub@books:6379/0
  okex-ws publish --local --to redis://127.0.0.1      without an exchange to reach
  okex-ws watch BTC-USDT --via redis://127.0.0.1/0?name=desk   on another machine
  okex-ws help redis                                  what is proven, and the rights"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands, "publish", "publish live prices through Redis", _EXAMPLES
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_instruments(parser)
    option(
        "--channels",
        type=names,
        metavar="A,B",
        help="what to publish (default: depth5,depth,trade, which is what `watch` and"
        " `record` read)",
    )
    option(
        "--for",
        dest="seconds",
        type=duration,
        metavar="S",
        help="end after so many seconds (default: at Ctrl-C)",
    )
    option(
        "--lease",
        type=duration,
        metavar="S",
        help="seconds, 2 to 60; a reader's cannot be shorter (default: 15)",
    )
    group = parser.add_argument_group("to where")
    group.add_argument(
        "--to",
        metavar="URL",
        required=True,
        help="a Redis server: rediss://USER@HOST:6379/0?name=NAME"
        " (needs the extra 'redis')",
    )
    ask_redis(group)
    ask_where(parser)


def run(options: argparse.Namespace) -> int:
    """Publish until the time is up, Ctrl-C, or every subscription has ended.

    Returns the exit code.
    """
    with ExitStack() as stack:
        where = find_destination(options, stack)
        venue = where.venue
        if where.own is not None:
            # Readers name the venue in whose place the local exchange stands.
            venue = dataclasses.replace(venue, name=options.venue or VENUE)
        with refusing():
            feed = stack.enter_context(
                Feed(
                    venue,
                    **where.keywords,
                    lease=options.lease,
                    publish=redis_url(options.to, options),
                    redis_ca=options.redis_ca,
                )
            )
            _subscribe(feed, options, where)
        return _publish(feed, options.seconds)


def _subscribe(feed: Feed, options: argparse.Namespace, where: Destination) -> None:
    for name in dict.fromkeys(options.instruments or [where.instrument]):
        market = options.market
        usual = ("depth5", whole_book(name, market), "trade")
        channels = options.channels or usual
        WSSubscription(name, market, feed=feed, channels=channels)


def _publish(feed: Feed, limit: float | None) -> int:
    """Show the progress until the end; return the exit code."""
    began, cut = time.monotonic(), False
    try:
        while not all(one.state.final for one in feed.subscriptions):
            progress(clean(_said(feed, time.monotonic() - began)))
            left = _TICK
            if limit is not None:
                left = min(_TICK, began + limit - time.monotonic())
                if left <= 0:
                    break
            time.sleep(left)
    except KeyboardInterrupt:
        cut = True  # the usual way to end
    progress("")
    states = {one.state for one in feed.subscriptions}
    print(clean(_said(feed, time.monotonic() - began)), file=sys.stderr)
    if State.FAILED in states:
        return FAILED
    return GOOD if cut or states == {State.LIVE} else STALE


def _said(feed: Feed, took: float) -> str:
    """What is published, and to where; what stands in the way comes first."""
    *lines, redis = feed.connections()
    states = [one.state for one in feed.subscriptions]
    live = f"{states.count(State.LIVE)} of {len(states)} live"
    away = "" if redis.open else "NOT CONNECTED: "
    where = f"{away}{redis.endpoint}"
    count = sum(line.channels for line in lines)
    messages = f"{feed.stats().messages:,} messages, {seconds(took)}"
    return f"{where}: {count} channels, {live}, {messages}"
