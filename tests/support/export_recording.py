"""A recording of the local exchange, with an outage in it, for tests of exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from okex_ws import BookUpdate, Depth, Feed, Gap, Item, Recorder, Replay, Trade
from okex_ws.local_exchange import LocalExchange
from okex_ws.recording.format import Entry
from tests.support.recordings import depth, heard, session

IDS = ("BTC-USDT", "ETH-USDT")


def lossy(bid: str = "128.1") -> list[Entry]:
    """Pushes to second 28, the last of them *bid*, and pongs to 15.1 and at 60."""
    pushes = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 28)]
    pushes.append(heard(28.0, depth(28.0, bid)))
    entries = [
        each
        for each in session(*pushes, end=60.0)
        if each.payload != b"pong" or each.mono < 16.0
    ]
    return [*entries, heard(60.0, "pong")]


def record_an_outage(path: Path, channels: Sequence[str] = ("depth", "trade")) -> Path:
    """Record some changes and trades of `IDS`, a lost connection, and some more."""
    with (
        LocalExchange(pace=200.0) as exchange,
        Recorder(path) as recorder,
        Feed(exchange.venue_v5, recorder=recorder) as feed,
    ):
        updates = feed.updates(latest=False, timeout=20.0)
        feed.subscribe(IDS, channels=channels)
        for _ in range(2):
            missing = {(name, kind) for name in IDS for kind in (Trade, BookUpdate)}
            if "depth" not in channels:
                missing = {(name, Trade) for name in IDS}
            seen = 0
            while missing or seen < 60:
                item = next(updates)
                if isinstance(item, (Trade, BookUpdate, Depth)):
                    missing.discard((item.instrument_id, type(item)))
                    seen += 1
            exchange.drop()
            gaps = set(IDS)
            while gaps:
                item = next(updates)
                if isinstance(item, Gap):
                    gaps.discard(item.instrument_id)
    return path


def played(path: Path, name: str, channel: str) -> list[Item]:
    """The items of one channel, as a script of its own gets them."""
    found: list[Item] = []
    with Replay(path, speed="max") as replay:
        replay.feed().subscribe([name], None, [channel], on_item=found.append)
        replay.run()
    return found
