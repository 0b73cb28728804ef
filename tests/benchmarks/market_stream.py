"""The market of the part ``market``: what is pushed of many instruments, and when.

Each instrument has two channels, ``books5`` and ``trades`` of v5. The channels take
turns in one shuffled order, so that in a turn each has one push. The levels of the
depths are those of `streams`; the size of the best ask is the push's number, so that no
two depths of an instrument are equal. Trades have successive ids.

What a subscribe is answered with, as at the exchange, is push 0 of its channel: the
present depth, or the last trade, which is a minute old. All else follows from how many
messages were sent, so that the server need not tell what it sent.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.streams import FIRST_ID, V5_BOOKS5, levels, stream

DEPTH, TRADES = "books5", "trades"
# Seven digits for every push of a channel that a run can come to.
FIRST_SIZE = 10**6
# Trades that are kept of each instrument.
KEPT = 1000
OLD_MS = 60_000
_TRADE = (
    '{"arg":{"channel":"trades","instId":"%s"},"data":[{"instId":"%s","tradeId":"%d",'
    '"px":"%s","sz":"%s","side":"%s","ts":"%d","count":"1","source":"0","seqId":%d}]}'
)


class Market:
    """The pushes of the instruments *names*; the same in every process."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.places = {name: place for place, name in enumerate(names)}
        self._texts, self._elements = [], []
        for text in stream(V5_BOOKS5).texts:
            self._elements.append(json.loads(text)["data"][0])
            self._texts.append(_template(text))
        channels = (DEPTH, TRADES)
        self._order = [(channel, name) for channel in channels for name in names]
        random.Random(15).shuffle(self._order)
        self._turns = {each: turn for turn, each in enumerate(self._order)}

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self._order)

    def message(self, number: int, at: int) -> str:
        """The message *number* of all, from 0, as of *at* in milliseconds."""
        turns, place = divmod(number, len(self._order))
        channel, name = self._order[place]
        return self.push(channel, name, turns + 1, at)

    def push(self, channel: str, name: str, number: int, at: int) -> str:
        """The push *number* of one channel; 0 is what a subscribe is answered with."""
        variant = self._variant(name, number)
        if channel == DEPTH:
            size = FIRST_SIZE + number
            return self._texts[variant] % (name, size, name, at, FIRST_ID + number)
        at -= 0 if number else OLD_MS
        trade_id, *deal = self._trade(name, number)
        return _TRADE % (name, name, trade_id, *deal, at, trade_id)

    def left(self, name: str, sent: int) -> dict[str, Any]:
        """What a contestant has of an instrument once *sent* messages have come.

        Price and size of the levels of the newest depth, bids and asks; id, price and
        size of the newest trades that were pushed, without the old one.
        """
        number = self.pushes(DEPTH, name, sent)
        element = self._elements[self._variant(name, number)]
        asks = [list(row) for row in element["asks"]]
        asks[0][1] = FIRST_SIZE + number
        sides = levels(element["bids"]), levels(asks)
        last = self.pushes(TRADES, name, sent)
        newest = range(max(1, last - KEPT + 1), last + 1)
        trades = [self._trade(name, number) for number in newest]
        return {
            "levels": [[list(level) for level in side] for side in sides],
            "trades": [[i, float(price), float(size)] for i, price, size, _ in trades],
        }

    def pushes(self, channel: str, name: str, sent: int) -> int:
        """How many of the first *sent* messages are of this channel."""
        turns, more = divmod(sent, len(self._order))
        return turns + (self._turns[channel, name] < more)

    def _variant(self, name: str, number: int) -> int:
        return (self.places[name] + number) % len(self._texts)

    def _trade(self, name: str, number: int) -> tuple[int, str, str, str]:
        """Id, price, size and side: the trade took the best level of a depth."""
        element = self._elements[self._variant(name, number)]
        side, taken = ("buy", "asks") if number % 2 else ("sell", "bids")
        price, size, *_ = element[taken][0]
        return FIRST_ID + number, price, size, side


def _template(text: str) -> str:
    """*text* with places for the id, the size of the best ask, the id, time, number."""
    message = json.loads(text)
    (element,) = message["data"]
    message["arg"]["instId"] = element["instId"] = element["ts"] = "%s"
    element["asks"][0][1] = "%s"
    element["seqId"] = "<seq>"
    said = json.dumps(message, separators=(",", ":"))
    return said.replace('"<seq>"', "%d")


def sent_between(stamps: Sequence[int], began: int, ended: int) -> int:
    """How many of the *stamps* of sending, in their order, are of that time."""
    return bisect_left(stamps, ended) - bisect_left(stamps, began)
