"""The exchange's side of protocol v3: requests in, texts and frames out. No I/O.

Every message of the server is a binary WebSocket frame that holds one complete
raw-deflate stream (9,008 of 9,008 recorded frames). Every message of the client is a
plain text frame: JSON, or the four bytes ``ping``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from .values import (
    Best,
    Change,
    ChannelEncoder,
    Deal,
    EncodedPush,
    Funding,
    Mark,
    MarketCandle,
    Period,
    Row,
    Summary,
    Topic,
    to_json,
)

KEY_BLANK = 30001
SIGN_BLANK = 30002
TIMESTAMP_BLANK = 30003
PASSPHRASE_BLANK = 30004
INVALID_TIMESTAMP = 30005
INVALID_KEY = 30006
TIMESTAMP_EXPIRED = 30008
INVALID_SIGN = 30013
LOGIN_FAILURE = 30027
UNRECOGNISED = 30039
NO_SUCH_CHANNEL = 30040
NOT_LOGGED_IN = 30041
ALREADY_LOGGED_IN = 30042
# Close codes: the only two of v3 that ccxt's table lists.
NO_DATA_RECEIVED = 4001
BUFFER_FULL = 4002

LOGGED_IN = '{"event":"login","success":true}'

# Trades call their size ``size`` on spot and swap, ``qty`` on futures and option.
SIZE_KEYS = {"spot": "size", "swap": "size", "futures": "qty", "option": "qty"}
# Levels of depth5 as recorded in 2018 and still in 2022: price, size, orders on spot;
# price, size, liquidated orders, orders elsewhere.
LEVEL_FIELDS = {"spot": 3, "swap": 4, "futures": 4, "option": 4}

# The topic of each table. Candles of six hours and more begin at midnight in Hong Kong.
TOPICS: dict[str, Topic] = {
    "depth5": "depth5",
    "depth": "book",
    "depth_l2_tbt": "book tbt",
    "trade": "trade",
    "ticker": "ticker",
    "funding_rate": "funding",
    "mark_price": "mark",
    **{f"candle{n}s": Period(n) for n in (60, 180, 300, 900, 1800, 3600, 7200, 14400)},
    **{f"candle{n}s": Period(n, -8 * 3600) for n in (21600, 43200, 86400)},
    # A week begins on a Monday.
    "candle604800s": Period(604_800, 4 * 86_400 - 8 * 3600),
}
# The markets of those tables that not every market has.
_MARKETS = {"funding_rate": ("swap",), "mark_price": ("futures", "swap")}


class V3Request(NamedTuple):
    """A request of a client.

    *op* is ``'ping'``, ``'subscribe'``, ``'unsubscribe'``, ``'login'``, or ``''`` for a
    message that the exchange does not understand. *args* are the channels, or for a
    login the key, passphrase, timestamp and signature.
    """

    op: str
    args: tuple[str, ...] = ()


def deflate(text: str | bytes) -> bytes:
    """Compress *text* as the exchange does: one raw-deflate stream without a header."""
    # An error repeats the client's text, in which JSON can hide a lone surrogate: that
    # is sent as a question mark, because UTF-8 has no bytes for it.
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def read_request(message: str | bytes) -> V3Request:
    """The request in *message*; never raises, for any text or bytes."""
    if message == "ping":
        return V3Request("ping")
    try:
        request = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return V3Request("")
    op, args = request.get("op"), request.get("args")
    if op not in ("subscribe", "unsubscribe", "login") or not isinstance(args, list):
        return V3Request("")
    if not args or not all(isinstance(each, str) for each in args):
        return V3Request("")
    if op == "login" and len(args) != 4:
        return V3Request("")
    return V3Request(op, tuple(args))


def acknowledgement(op: str, channel: str) -> str:
    """The event that acknowledges a subscribe or unsubscribe (*op*) of one channel."""
    return to_json({"event": op, "channel": channel})


def error(code: int, message: str) -> str:
    """An error event. v3 has no field for the channel that the error is about."""
    return to_json({"event": "error", "message": message, "errorCode": code})


def no_such_channel(channel: str) -> str:
    """The error message for an unknown channel, as it was recorded."""
    return f"Channel {channel} doesn't exist"


def unrecognised(message: str | bytes) -> str:
    """The error message for a request that makes no sense, as it was recorded."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    return f"Unrecognized request: {text}"


def iso(seconds: float) -> str:
    """Epoch seconds as v3 writes a time: ``2018-12-30T15:34:44.707Z``."""
    stamp = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03}Z"


def names(market: str, instrument_id: str) -> Iterable[str]:
    """The keys of all channels about one instrument."""
    for topic in TOPICS:
        if market in _MARKETS.get(topic, SIZE_KEYS):
            yield f"{market}/{topic}:{instrument_id}"


class V3Format(NamedTuple):
    """How books and trades are written under v3.

    *level_fields* is how many items each level has, 3 or 4; ``None`` is each market's
    own number. *numbers_2018* writes numbers as in the recordings of December 2018: the
    orders of spot and swap as integers, and on futures every price and size as a bare
    JSON number.
    """

    level_fields: int | None = None
    numbers_2018: bool = False

    def encoder(
        self, channel: str, instruments: Collection[tuple[str, str]]
    ) -> ChannelEncoder | None:
        """The encoder of *channel*, or ``None`` if there is no such channel.

        *instruments* are the (market, instrument id) pairs that are traded.
        """
        table, _, instrument_id = channel.partition(":")
        market, _, topic = table.partition("/")
        if topic not in TOPICS or (market, instrument_id) not in instruments:
            return None
        if market not in _MARKETS.get(topic, SIZE_KEYS):
            return None

        def to_push(value: Any) -> EncodedPush | None:
            return self._to_push(market, topic, instrument_id, value)

        return ChannelEncoder(channel, TOPICS[topic], instrument_id, market, to_push)

    def _to_push(
        self, market: str, topic: str, instrument_id: str, value: Any
    ) -> EncodedPush | None:
        if isinstance(value, Change):
            # Only v5 has a message for a book that is idle.
            if value.is_idle:
                return None
            return self.book(market, topic, instrument_id, value)
        if isinstance(value, Best):
            asks, bids = value.asks, value.bids
            return self.depth5(market, instrument_id, asks, bids, iso(value.at))
        if isinstance(value, Deal):
            return self.trade(market, trade_element(market, instrument_id, value))
        table, named = f"{market}/{topic}", {"instrument_id": instrument_id}
        if isinstance(value, Summary):
            return push(table, _ticker(market, instrument_id, value))
        if isinstance(value, MarketCandle):
            return push(table, {"candle": candle_row(market, value), **named})
        if isinstance(value, Funding):
            return push(table, _funding(instrument_id, value))
        assert isinstance(value, Mark)
        said = {"mark_price": value.price, "timestamp": iso(value.at)}
        return push(table, named | said)

    def levels(self, market: str, rows: Iterable[Row]) -> list[list[str]]:
        """Rows of a book (price, size, ..., orders) as levels in *market*'s form."""
        fields = self.level_fields or LEVEL_FIELDS[market]
        if fields == 3:
            return [[row[0], row[1], row[-1]] for row in rows]
        return [
            [row[0], row[1], row[2] if len(row) > 3 else "0", row[-1]] for row in rows
        ]

    def depth5(
        self,
        market: str,
        instrument_id: str,
        asks: Iterable[Row],
        bids: Iterable[Row],
        timestamp: str,
    ) -> EncodedPush:
        """A push of the best levels of a book; the caller gives at most five a side."""
        text = (
            f'{{"table":"{market}/depth5","data":[{{{self._sides(market, asks, bids)},'
            f'"instrument_id":"{instrument_id}","timestamp":{to_json(timestamp)}}}]}}'
        )
        return EncodedPush(f"{market}/depth5:{instrument_id}", text)

    def book(
        self, market: str, topic: str, instrument_id: str, book: Change
    ) -> EncodedPush:
        """A push of a whole book or of its changes, with the checksum of the book."""
        action = "partial" if book.is_snapshot else "update"
        text = (
            f'{{"table":"{market}/{topic}","action":"{action}","data":[{{'
            f'"instrument_id":"{instrument_id}",'
            f"{self._sides(market, book.asks, book.bids)},"
            f'"timestamp":"{iso(book.at)}","checksum":{book.checksum()}}}]}}'
        )
        return EncodedPush(f"{market}/{topic}:{instrument_id}", text)

    def _sides(self, market: str, asks: Iterable[Row], bids: Iterable[Row]) -> str:
        sides = {"asks": self.levels(market, asks), "bids": self.levels(market, bids)}
        if not self.numbers_2018:
            return to_json(sides)[1:-1]
        quoted = 0 if market == "futures" else 2
        return ",".join(
            f'"{side}":[{",".join([_bare(row, quoted) for row in rows])}]'
            for side, rows in sides.items()
        )

    def trade(self, market: str, element: Mapping[str, str]) -> EncodedPush:
        """A push of one trade; *element* has its keys in the exchange's order."""
        if not (self.numbers_2018 and market == "futures"):
            return push(f"{market}/trade", element)
        bare = ("price", SIZE_KEYS[market])
        fields = ",".join(
            f'"{key}":{value}' if key in bare else f'"{key}":"{value}"'
            for key, value in element.items()
        )
        text = f'{{"table":"{market}/trade","data":[{{{fields}}}]}}'
        return EncodedPush(f"{market}/trade:{element['instrument_id']}", text)


DEFAULT_FORMAT = V3Format()


def _bare(row: Row, quoted: int) -> str:
    """One level: its first *quoted* fields are strings, the rest JSON numbers."""
    fields = [f'"{field}"' for field in row[:quoted]] + list(row[quoted:])
    return f"[{','.join(fields)}]"


def trade_element(market: str, instrument_id: str, deal: Deal) -> dict[str, str]:
    """One trade as an element of ``data``."""
    return {
        "side": deal.side,
        "trade_id": str(deal.id),
        "price": deal.price,
        SIZE_KEYS[market]: deal.size,
        "instrument_id": instrument_id,
        "timestamp": iso(deal.at),
    }


def _ticker(market: str, instrument_id: str, summary: Summary) -> dict[str, str]:
    volume, value = (
        ("base_volume_24h", "quote_volume_24h")
        if market == "spot"
        else ("volume_24h", "volume_token_24h")
    )
    ticker = {
        "last": summary.last,
        "open_24h": summary.open,
        "high_24h": summary.high,
        "low_24h": summary.low,
        volume: summary.volume,
        value: summary.value,
        "instrument_id": instrument_id,
        "timestamp": iso(summary.at),
        "last_qty": summary.last_size,
    }
    # No recorded ticker has an empty side. The fields of an empty side are left out.
    if summary.ask:
        ticker |= {"best_ask": summary.ask, "best_ask_size": summary.ask_size}
    if summary.bid:
        ticker |= {"best_bid": summary.bid, "best_bid_size": summary.bid_size}
    return ticker


def candle_row(market: str, candle: MarketCandle) -> list[str]:
    """One candle: six items on spot; elsewhere a seventh, the volume in coins."""
    items = [iso(candle.start), *candle[1:6], candle.volume_ccy]
    return items[:6] if market == "spot" else items


def _funding(instrument_id: str, funding: Funding) -> dict[str, str]:
    """A funding rate, which has no timestamp of its own under v3."""
    return {
        "estimated_rate": funding.next_rate,
        "funding_rate": funding.rate,
        "funding_time": iso(funding.time),
        "instrument_id": instrument_id,
        "interest_rate": "0",
        "settlement_time": iso(funding.next_time),
    }


def push(
    table: str, element: Mapping[str, Any], action: str | None = None
) -> EncodedPush:
    """A push of one element; each of the 7,148 recorded data messages has one."""
    message: dict[str, Any] = {"table": table}
    if action:
        message["action"] = action
    message["data"] = [element]
    return EncodedPush(f"{table}:{element['instrument_id']}", to_json(message))
