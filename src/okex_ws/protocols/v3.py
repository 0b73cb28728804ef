"""OKEX v3: bytes to vocabulary and back. Pure, and total over hostile bytes.

Every server message is a binary frame that holds one complete raw deflate stream; a
text frame is taken as it is, since whether v3 ever sent one is not known. Every JSON
number is read as the characters it was written in, so that the books of 2018 and 2019,
whose levels were numbers, keep the exchange's own ``3690.10`` like all later ones.

Whatever a peer sends, `V3.decode` and the three readers raise `WireError` or nothing.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ..errors import WireError
from ..messages import (
    NO_DEPTH,
    DepthData,
    Message,
    Pong,
    Push,
    Refused,
    Subscribed,
    TickerData,
    TradeData,
    Unknown,
    Unsubscribed,
)
from ..venues import nearest
from .values import check_side, decimal, iso_ms, optional, parse, quote, why

# The largest message recorded is 19,003 bytes, a book of 400 and 271 levels.
MAX_INFLATED = 4 * 1024 * 1024
# Characters of an error that are read; the longest that could name a channel has 160.
MAX_MESSAGE = 1000

# What a table is called when its frame comes, and the channel it belongs to. A variant
# of March 2021 wrote "option/trades".
_TABLES = {
    f"{market}/{topic}": f"{market}/{topic}"
    for market in ("spot", "futures", "swap", "option", "index")
    for topic in ("depth5", "trade", "ticker", "depth", "depth_l2_tbt")
} | {"option/trades": "option/trade"}
# Tables that the exchange documents and this module does not read. What is unknown is
# counted by name, so the names are few and never the network's own.
_OTHER_TABLE = re.compile(
    r"(spot|futures|swap|option|index|system)/"
    r"(candle(60|180|300|900|1800|3600|7200|14400|21600|43200|86400|604800)s"
    r"|funding_rate|mark_price|price_range|estimated_price|instruments|summary|status"
    r"|account|margin_account|position|order|order_algo)"
)
# Names of v3 and v5 that a later release brings; so are all candles.
_LATER = frozenset(
    (
        *("depth", "depth_l2_tbt", "books", "books-l2-tbt", "books50-l2-tbt"),
        *("bbo-tbt", "books-rpi", "trades-all", "instruments", "summary", "status"),
        *("funding_rate", "mark_price", "price_range", "estimated_price"),
        *("funding-rate", "mark-price", "price-limit", "estimated-price"),
        *("index-tickers", "open-interest", "opt-summary"),
    )
)
_CANDLE = re.compile(r"(mark-price-|index-)?candle\w+")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# The text of a request, and the channels that it carries.
Request = tuple[str, tuple[str, ...]]


class V3:
    """OKEX v3, and OKJ's v3 of today. Stateless: one instance, `PROTOCOL`, does.

    A channel is the wire's own name everywhere, ``'futures/depth5:BTC-USD-190517'``;
    a topic is its middle part, ``'depth5'``.
    """

    name = "v3"
    PING = "ping"
    # Bytes of a request. The documentation's limit; the server of 2021 enforced 65,536.
    max_request = 4096
    # What a user may write, and v3's own name for it.
    channels: Mapping[str, str] = MappingProxyType(
        {"depth5": "depth5", "trade": "trade", "ticker": "ticker"}
        | {"books5": "depth5", "trades": "trade", "tickers": "ticker"}
    )
    later = _LATER

    def topic(self, name: str) -> str:
        """v3's own name of channel *name*; ``ValueError`` if there is none (yet)."""
        if not isinstance(name, str):
            raise TypeError(f"a channel is a name, got {name!r}")
        if name in self.channels:
            return self.channels[name]
        known = ", ".join(map(repr, self.channels))
        if name in self.later or _CANDLE.fullmatch(name):
            raise ValueError(
                f"channel {name!r} comes with a later release; this one knows {known}"
            )
        hint = nearest(name, self.channels)
        raise ValueError(f"unknown channel {name!r}{hint}; known are {known}")

    def channel(self, topic: str, market: str, instrument_id: str) -> str:
        """The wire's name, which is the channel's key everywhere."""
        if market == "index" and topic != "ticker":
            raise ValueError(f"market 'index' has no {topic!r}, only 'ticker'")
        return f"{market}/{topic}:{instrument_id}"

    def needs_snapshot(self, topic: str) -> bool:
        """Whether the channel pushes at once, and is not live before it has."""
        return topic != "trade"

    def replays_last(self, topic: str) -> bool:
        """Whether a subscribe brings the last push again, however old: 27 of 27 did."""
        return topic == "trade"

    def requests(self, op: str, channels: Sequence[str]) -> list[Request]:
        """Texts that ask *op* of all *channels*, and which channels each carries.

        No text is longer than `max_request`; a name that is, is a ``ValueError``.
        """
        if op not in ("subscribe", "unsubscribe"):
            raise ValueError(f"op is 'subscribe' or 'unsubscribe', got {op!r}")
        batches: list[list[str]] = []
        room = 0
        for channel in channels:
            # Quotes and a comma around each name; ASCII, as json.dumps writes.
            need = len(json.dumps(channel)) + 1
            if need > room:
                batches.append([])
                room = self.max_request - len(_request(op, ())) + 1
            if need > room:
                raise ValueError(f"channel name of {len(channel)} characters")
            batches[-1].append(channel)
            room -= need
        return [(_request(op, batch), tuple(batch)) for batch in batches]

    def mentioned(self, message: str, channels: Iterable[str]) -> str | None:
        """The one of *channels* that an error's text names as a whole word.

        ``None`` if it names none, or several, as the echo of a whole request does.
        """
        named = {name for name in channels if re.search(_word(name), message)}
        return named.pop() if len(named) == 1 else None

    def is_passing(self, code: int | str) -> bool:
        """Whether asking again may help: 30026 too frequent, 30043 internal error."""
        return str(code) in ("30026", "30043")

    def decode(self, payload: bytes, binary: bool) -> tuple[Message, ...]:
        """The messages in one frame; mostly one. Raises `WireError` and nothing else.

        A data frame gives one `Push` an instrument, all with the frame's text. Every
        JSON number in it has become the ``str`` of its own characters.
        """
        if binary:
            payload = _inflate(payload)
        try:
            text = str(payload, "utf-8")
        except UnicodeDecodeError as error:
            raise WireError("utf-8", str(error)) from error
        if text == "pong":
            return (Pong(),)
        message = _load(text.strip(" \t\r\n"))
        table = message.get("table")
        if not isinstance(table, str):
            return (_event(message),)
        return _pushes(table, message, text)

    def depth(self, element: Any, before: DepthData = NO_DEPTH) -> DepthData:
        """Read a snapshot: positive prices and sizes, best first, strictly ordered.

        A level of size zero is unreadable: a snapshot lists what can be traded, and a
        best price without a size would be a lie. A side that is the same as *before*
        is not checked again; in the recordings that is three of four.
        """
        try:
            bids, asks = element["bids"], element["asks"]
            if bids != before.bids:
                check_side(bids, -1.0)
            if asks != before.asks:
                check_side(asks, 1.0)
            return DepthData(bids, asks, iso_ms(element["timestamp"]), None)
        except (TypeError, KeyError, ValueError) as error:
            raise WireError("depth", why(error)) from error

    def trade(self, element: Any) -> TradeData:
        """Read one trade, in any of v3's dialects."""
        try:
            trade_id, price = element["trade_id"], decimal(element["price"])
            size = decimal(element["size"] if "size" in element else element["qty"])
            side = element["side"] if "side" in element else element["trade_side"]
            time_ms = iso_ms(element["timestamp"])
            if side not in ("buy", "sell") or not (price and size):
                raise ValueError(f"{quote(side)} of {size} at {price}")
            if not isinstance(trade_id, str) or not _ID.fullmatch(trade_id):
                raise ValueError(f"trade_id {quote(trade_id)}")
        except (TypeError, KeyError, ValueError) as error:
            raise WireError("trade", why(error)) from error
        return TradeData(trade_id, trade_id, 1, price, size, side, time_ms)

    def ticker(self, element: Any) -> TickerData:
        """Read one ticker: what the exchange left out, or empty, is ``None``.

        The sizes were absent on futures in 2019; spot names its volumes by currency.
        """
        try:
            last, time_ms = decimal(element["last"]), iso_ms(element["timestamp"])
            field, spot = element.get, "base_volume_24h" in element
            return TickerData(
                last,
                optional(field("last_qty")),
                optional(field("best_bid")),
                optional(field("best_bid_size")),
                optional(field("best_ask")),
                optional(field("best_ask_size")),
                optional(field("open_24h")),
                optional(field("high_24h")),
                optional(field("low_24h")),
                optional(field("base_volume_24h" if spot else "volume_24h")),
                optional(field("quote_volume_24h" if spot else "volume_token_24h")),
                time_ms,
            )
        except (TypeError, KeyError, ValueError) as error:
            raise WireError("ticker", why(error)) from error


PROTOCOL = V3()


def _request(op: str, channels: Sequence[str]) -> str:
    return json.dumps({"op": op, "args": list(channels)}, separators=(",", ":"))


def _word(channel: str) -> str:
    # A dot or a colon ends a word only where no word character follows: an option's
    # strike may be 8.00, and "spot/ticker" is not named by "spot/ticker:BTC-USDT".
    return rf"(?<![\w/:.-]){re.escape(channel)}(?![\w-]|[./:]\w)"


def _inflate(payload: bytes) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than allowed, so that a full buffer always means too much.
        inflated = stream.decompress(payload, MAX_INFLATED + 1)
    except zlib.error as error:
        raise WireError("inflate", str(error)) from error
    if len(inflated) > MAX_INFLATED:
        raise WireError("inflate", f"more than {MAX_INFLATED} bytes")
    if not stream.eof:
        raise WireError("inflate", f"stream of {len(payload)} bytes ends early")
    if stream.unused_data:
        raise WireError("inflate", f"{len(stream.unused_data)} bytes after the stream")
    return inflated


def _load(text: str) -> dict[str, Any]:
    try:
        message, end = parse(text)
        if end != len(text):
            raise ValueError("more than one value")
        if "\\" in text:
            # A lone surrogate can only come as an escape; it cannot be encoded.
            json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise WireError("json", f"{why(error)} in {quote(text)}") from error
    if type(message) is not dict:
        raise WireError("shape", f"not an object: {quote(text)}")
    return message


def _event(message: dict[str, Any]) -> Message:
    event, channel = message.get("event"), message.get("channel")
    if event in ("subscribe", "unsubscribe") and isinstance(channel, str):
        return Subscribed(channel) if event == "subscribe" else Unsubscribed(channel)
    code, text = message.get("errorCode"), message.get("message", "")
    if event == "error" and isinstance(code, str) and isinstance(text, str):
        if re.fullmatch("[0-9]{1,9}", code):
            return Refused(int(code), text[:MAX_MESSAGE])
    elif isinstance(event, str) and event not in ("subscribe", "unsubscribe", "error"):
        return Unknown("login" if event == "login" else "event")
    raise WireError("shape", f"event {quote(event)} of channel {quote(channel)}")


def _pushes(table: str, message: dict[str, Any], text: str) -> tuple[Message, ...]:
    name = _TABLES.get(table)
    if name is None:
        documented = _OTHER_TABLE.fullmatch(table) is not None
        return (Unknown(f"table {table}" if documented else "table"),)
    data, action = message.get("data"), message.get("action")
    if type(data) is not list or not data:
        raise WireError("shape", f"data of {table} is {quote(data)}")
    try:
        keys = [_channel(name, element["instrument_id"]) for element in data]
    except (TypeError, KeyError) as error:
        raise WireError("shape", f"no instrument_id in {table}") from error
    if action is not None and action not in ("partial", "update"):
        channel = keys[0] if len(keys) == 1 else None
        raise WireError("shape", f"action {quote(action)}", channel)
    if len(keys) == 1:
        return (Push(keys[0], data, text, action),)
    groups: dict[str, list[Any]] = {key: [] for key in keys}
    for key, element in zip(keys, data, strict=True):
        groups[key].append(element)
    return tuple(Push(key, group, text, action) for key, group in groups.items())


# Bounded like every memory of network text; a process follows fewer instruments.
@lru_cache(maxsize=4096)
def _channel(name: str, instrument_id: Any) -> str:
    if not isinstance(instrument_id, str) or not _ID.fullmatch(instrument_id):
        raise WireError("shape", f"instrument_id {quote(instrument_id)} in {name}")
    return f"{name}:{instrument_id}"
