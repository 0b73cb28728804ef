"""Items and readings as lines: text for people, or one JSON object each.

A line depends only on the item or reading that it shows, so equal items give equal
bytes. In JSON the exchange's numbers are strings, and ``null`` means unknown.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from .. import (
    BookUpdate,
    Candle,
    Cause,
    Data,
    Depth,
    FundingRate,
    Gap,
    InstrumentChange,
    Item,
    StateChange,
    Ticker,
    Trade,
)
from .reading import Quote, Top, top
from .text import NOTHING, clean, moment, number, seconds

# The name of each type of item in a line.
KINDS: dict[type, str] = {
    Depth: "depth",
    BookUpdate: "book",
    Trade: "trade",
    Ticker: "ticker",
    Candle: "candle",
    FundingRate: "funding",
    Data: "data",
    InstrumentChange: "change",
    StateChange: "state",
    Gap: "gap",
}
# A field that JSON lines leave out: the changes of a `BookUpdate` are there already.
_LEFT_OUT = "book"


# --- One JSON object ----------------------------------------------------------------


def item_json(item: Item) -> str:
    """*item* as one JSON object: its ``type`` and its fields.

    A `Cause` has two fields, its sentence and its ``code``.
    """
    fields = {
        field.name: plain(getattr(item, field.name))
        for field in dataclasses.fields(item)
        if field.name != _LEFT_OUT
    }
    if isinstance(item, (StateChange, Gap)):
        fields["code"] = plain(item.cause.code)
    return json.dumps({"type": KINDS[type(item)], **fields})


def reading_json(reading: Quote) -> str:
    """*reading* as one JSON object: its prices, its health and the exchange's time."""
    health, best = reading.health, top(reading.depth or reading.ticker)
    fields = {
        "type": "reading",
        "instrument_id": reading.instrument_id,
        "market": reading.market,
        "state": str(health.state),
        "cause": health.cause or None,
        "code": health.cause.code,
        "bid": best.bid,
        "bid_size": best.bid_size,
        "ask": best.ask,
        "ask_size": best.ask_size,
        "spread": best.spread,
        "age": health.age,
        "lag": health.lag,
        "epoch": health.epoch,
        "timestamp": reading.since,
    }
    return json.dumps({name: plain(value) for name, value in fields.items()})


def plain(value: Any) -> Any:
    """Convert *value* for JSON: exact numbers and moments become strings.

    A float that is not finite becomes ``None``.
    """
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    # A `State` is a subclass of `str`; JSON gets a plain string.
    return str(value) if isinstance(value, (str, Cause)) else value


# --- A line for people --------------------------------------------------------------


def item_line(item: Item, width: int = 14) -> str:
    """*item* as a line that begins with its time; ids are padded to *width* columns."""
    at = item.at if isinstance(item, (StateChange, Gap)) else item.received
    name, said = item.instrument_id or NOTHING, _WORDS[type(item)](item)
    when = NOTHING if at is None else moment(at)
    start = f"{when:24}  {name:{width}}  {KINDS[type(item)]:7}"
    return clean(f"{start}  {said}".rstrip())


def reading_line(reading: Quote) -> str:
    """*reading* as a line: prices if it is live, else the cause why it is not."""
    health = reading.health
    start = f"{reading.instrument_id:14}  {health.state:12}"
    if not reading.live:
        return clean(f"{start}  {health.cause}".rstrip())
    prices = _best(top(reading.depth or reading.ticker))
    return clean(f"{start}  {prices}, age {seconds(health.age)}")


def _best(best: Top) -> str:
    def side(price: Decimal | None, size: Decimal | None, empty: str) -> str:
        if price is None:
            return empty
        return number(price) if size is None else f"{number(price)} x {number(size)}"

    bid = side(best.bid, best.bid_size, "no bids")
    ask = side(best.ask, best.ask_size, "no asks")
    spread = "" if best.spread is None else f", spread {number(best.spread)}"
    return f"{bid} / {ask}{spread}"


def _depth(item: Depth) -> str:
    return _best(top(item))


def _book(item: BookUpdate) -> str:
    rows = zip(item.book.best, ("no bids", "no asks"), strict=True)
    best = (empty if row is None else f"{row[0]} x {row[1]}" for row, empty in rows)
    changed = f"{len(item.bids)} bids, {len(item.asks)} asks"
    return f"{' / '.join(best)}, {item.action} of {changed}"


def _trade(item: Trade) -> str:
    several = f" ({item.count} trades)" if item.count > 1 else ""
    marks = [name for name in ("replayed", "backfilled") if getattr(item, name)]
    marked = f" [{', '.join(marks)}]" if marks else ""
    price, size = number(item.price), number(item.size)
    return f"{item.side:4} {size} at {price}{several}{marked}"


def _ticker(item: Ticker) -> str:
    return f"last {number(item.last)}, {_best(top(item))}"


def _candle(item: Candle) -> str:
    prices = " ".join(map(number, (item.open, item.high, item.low, item.close)))
    closed = {True: ", closed", False: ", open", None: ""}[item.closed]
    filled = " [backfilled]" if item.backfilled else ""
    volume = number(item.volume)
    return (
        f"{item.channel} {moment(item.start)} {prices} volume {volume}{closed}{filled}"
    )


def _funding(item: FundingRate) -> str:
    return f"{number(item.rate)} at {moment(item.funding_time)}"


def _data(item: Data) -> str:
    beside = f" beside {json.dumps(plain(item.envelope))}" if item.envelope else ""
    return f"{item.channel} {json.dumps(plain(item.elements))}{beside}"


def _change(item: InstrumentChange) -> str:
    old, new = (
        number(each) if isinstance(each, Decimal) else each or "?"
        for each in (item.old, item.new)
    )
    when = "" if item.effective is None else f" from {moment(item.effective)}"
    return f"{item.kind}: {old} -> {new}{when}"


def _state(item: StateChange) -> str:
    return f"{item.old} -> {item.new}" + (f": {item.cause}" if item.cause else "")


def _gap(item: Gap) -> str:
    between = f"after {item.after or '?'} before {item.before or '?'}"
    return f"{item.channel} {between}: {item.cause}"


_WORDS: dict[type, Callable[[Any], str]] = {
    Depth: _depth,
    BookUpdate: _book,
    Trade: _trade,
    Ticker: _ticker,
    Candle: _candle,
    FundingRate: _funding,
    Data: _data,
    InstrumentChange: _change,
    StateChange: _state,
    Gap: _gap,
}
