"""A digest of a rig's replayed recording: every replay must give the same one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from okex_ws import Feed, Item, Replay, Trade, Updates


class ReplayDigest(NamedTuple):
    """What came of a replay: how many items, and the SHA-256 of all that was said."""

    items: int
    reconnects: int
    digest: str


def recording_path(directory: Path, setup: str) -> Path:
    """Where the recording of a *setup* is."""
    return directory / f"{setup.replace(' ', '-')}.rec.gz"


def _subscribe(feed: Feed, replay: Replay) -> None:
    """Follow all that was followed; a name in small letters is a fault's stranger."""
    for market, name, channels in replay.instruments:
        if name == name.upper():
            feed.subscribe([name], market, channels)


def digest_of(path: Path) -> ReplayDigest:
    """Replay all of it: every item, and what every subscription reads at each."""
    said, items = hashlib.sha256(), 0
    with Replay(path, speed=math.inf) as replay:
        feed = replay.feed()
        updates = feed.updates(latest=False, timeout=0.0)
        _subscribe(feed, replay)
        for moment in replay:
            said.update(f"{moment} {feed.health()}\n".encode())
            items += _say(said.update, updates, feed)
        items += _say(said.update, updates, feed)
        stats = feed.stats()
    said.update(str(stats).encode())
    return ReplayDigest(items, sum(stats.reconnects.values()), said.hexdigest())


def trades_of(path: Path) -> list[Trade]:
    """The trades that a replay gives, in order."""
    found: list[Trade] = []
    with Replay(path, speed=math.inf) as replay:
        feed = replay.feed()
        updates = feed.updates(latest=False, timeout=0.0)
        _subscribe(feed, replay)
        for _ in replay:
            found += [item for item in _waiting(updates) if isinstance(item, Trade)]
    return found


def _say(say: Callable[[bytes], object], updates: Updates, feed: Feed) -> int:
    """Take down what has come, and what can be read; how many items there were."""
    items = 0
    for item in _waiting(updates):
        items += 1
        say(f"{item!r}\n".encode())
    if items:
        for one in feed.subscriptions:
            say(f"{one.state} {one.best_bid_ask()}\n".encode())
    return items


def _waiting(updates: Updates) -> Iterator[Item]:
    while True:
        try:
            yield next(updates)
        except (TimeoutError, StopIteration):
            return
