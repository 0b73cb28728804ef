"""The library in a market: a `Feed` with the limits of ``okx``, in each of its ways."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from okex_ws import Depth, Feed, Trade
from okex_ws.model.venues import find_venue
from tests.benchmarks.contestant import Spec, Threaded
from tests.benchmarks.market_reading import PATIENCE, Follower

POLLED, ON_MESSAGE, UPDATES = "polled", "on_message", "updates()"


class OurMarket(Follower, Threaded):
    """``options['way']`` says how the script gets what is new.

    Polled: by ``best_bid_ask()`` alone. `on_message`: the same, and a callback that
    does next to nothing gets each text; messages are those that it got. `updates()`: a
    thread takes each item and keeps the newest depth of each instrument, which is what
    is read; messages are the items. All other options are the feed's.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._options = dict(spec.options)
        del self._options["names"]
        self._way = self._options.pop("way", POLLED)
        self._depths: dict[str, Depth] = {}
        self._taker = threading.Thread(target=self._take)

    def start(self) -> None:
        """Subscribe, and wait until all is live."""
        venue = dataclasses.replace(find_venue("okx"), endpoints=(self.spec.url,))
        self._feed = Feed(venue, **self._options)
        if self._way == UPDATES:
            self._updates = self._feed.updates()
            self._taker.start()
        told = self._on_message if self._way == ON_MESSAGE else None
        made = self._feed.subscribe(
            self.names, "spot", ("depth5", "trade"), on_message=told
        )
        self._subscriptions = dict(zip(self.names, made, strict=True))
        self._feed.wait_live(PATIENCE)

    def _on_message(self, text: str) -> None:
        self.messages += 1

    def _take(self) -> None:
        depths = self._depths
        for item in self._updates:
            if isinstance(item, Depth):
                depths[item.instrument_id] = item
            elif not isinstance(item, Trade):
                continue
            self.messages += 1

    def count(self) -> int:
        """Polled: as the library counts them."""
        if self._way == POLLED:
            return self._feed.stats().messages
        return self.messages

    def read(self) -> Any:
        """Whether anything came."""
        return self.count()

    def look(self, name: str) -> Any:
        """The best levels, if they can be trusted; of `updates()` what it gave last."""
        if self._way == UPDATES:
            depth = self._depths.get(name)
            return depth and (depth.bids[0], depth.asks[0])
        return self._subscriptions[name].best_bid_ask()

    def left(self, name: str) -> dict[str, Any]:
        """Out of what a script gets."""
        subscription = self._subscriptions[name]
        depth: dict[str, Any] = subscription.GetDepth()
        sides = depth["bids"], depth["asks"]
        if self._way == UPDATES:
            sides = self._depths[name].bids, self._depths[name].asks
        levels = [[[float(row[0]), float(row[1])] for row in side] for side in sides]
        trades = [
            [int(each.id), float(each.price), float(each.size)]
            for each in subscription.trades
        ]
        return {"levels": levels, "trades": trades}

    def trouble(self) -> dict[str, Any]:
        """What must be empty: what was dropped, and the losses."""
        stats = self._feed.stats()
        return {
            "connections": len(self._feed.connections()),
            "dropped": dict(stats.dropped),
            "reconnects": dict(stats.reconnects),
            "skipped": dict(stats.skipped),
        }

    def close(self) -> None:
        """End the feed, and so the iterator."""
        self._feed.close()
        if self._way == UPDATES:
            self._taker.join(PATIENCE)
