"""The exchange's side of protocol v3: requests in, texts and frames out. No I/O.

Every message of the server is a binary WebSocket frame holding one complete
raw-deflate stream (9,008 of 9,008 recorded frames); every message of the client is a
plain text frame: JSON, or the four bytes ``ping``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

Row = Sequence[str]

NO_SUCH_CHANNEL = 30040
UNRECOGNISED = 30039
# ccxt's table of v3 close codes; the only two it lists.
NO_DATA_RECEIVED = 4001
BUFFER_FULL = 4002

# Trades call their size ``size`` on spot and swap, ``qty`` on futures and option.
SIZE_KEYS = {"spot": "size", "swap": "size", "futures": "qty", "option": "qty"}
# Levels of depth5 as recorded in 2018 and still in 2022: price, size, orders on spot;
# price, size, liquidated orders, orders elsewhere.
LEVEL_FIELDS = {"spot": 3, "swap": 4, "futures": 4, "option": 4}


class Push(NamedTuple):
    """One data message: its channel, its element, its text, its frame if recorded.

    Every number of *element* is a ``str`` with the wire's characters.
    """

    channel: str
    element: dict[str, Any]
    text: str
    frame: bytes | None = None


class Request(NamedTuple):
    """What a client asked: *op* is ``'ping'``, ``'subscribe'``, ``'unsubscribe'``.

    *op* is ``''`` for anything that the exchange does not understand.
    """

    op: str
    channels: tuple[str, ...] = ()


def deflate(text: str | bytes) -> bytes:
    """*text* as the exchange packs it: one raw-deflate stream, without a header."""
    # A client can make us repeat a lone surrogate to it; nothing must break for that.
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def read_request(message: str | bytes) -> Request:
    """What *message* asks for; never raises, whatever a client sends."""
    if message == "ping":
        return Request("ping")
    try:
        request = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return Request("")
    op, channels = request.get("op"), request.get("args")
    if op not in ("subscribe", "unsubscribe") or not isinstance(channels, list):
        return Request("")
    if not channels or not all(isinstance(channel, str) for channel in channels):
        return Request("")
    return Request(op, tuple(channels))


def acknowledgement(op: str, channel: str) -> str:
    """The event for one channel of a subscribe or an unsubscribe."""
    return to_json({"event": op, "channel": channel})


def error(code: int, message: str) -> str:
    """An error event; v3 has no field for the channel that it is about."""
    return to_json({"event": "error", "message": message, "errorCode": code})


def no_such_channel(channel: str) -> str:
    """The error for an unknown channel, in the words that were recorded."""
    return error(NO_SUCH_CHANNEL, f"Channel {channel} doesn't exist")


def unrecognised(message: str | bytes) -> str:
    """The error for a request that makes no sense, in the words that were recorded."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    return error(UNRECOGNISED, f"Unrecognized request: {text}")


def iso(seconds: float) -> str:
    """Epoch seconds in the form of v3: ``2018-12-30T15:34:44.707Z``."""
    stamp = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03}Z"


def to_json(value: object) -> str:
    """JSON as the exchange writes it, without spaces and without escapes of UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Dialect(NamedTuple):
    """How ``depth5`` and trades are written: levels of three or four, and numbers.

    *level_fields* ``None`` is each market's own form. *numbers_2018* writes numbers as
    the recordings of December 2018 have them: the orders of spot and swap as integers,
    and on futures every price and size a bare JSON number.
    """

    level_fields: int | None = None
    numbers_2018: bool = False

    def levels(self, market: str, rows: Iterable[Row]) -> list[list[str]]:
        """Rows of a book (price, size, ..., orders) in the form of *market*."""
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
    ) -> Push:
        """A push of the best levels; the caller gives five of each side at most."""
        element: dict[str, Any] = {
            "asks": self.levels(market, asks),
            "bids": self.levels(market, bids),
            "instrument_id": instrument_id,
            "timestamp": timestamp,
        }
        if not self.numbers_2018:
            return push(f"{market}/depth5", element)
        quoted = 0 if market == "futures" else 2
        sides = ",".join(
            f'"{side}":[{",".join(_bare(row, quoted) for row in element[side])}]'
            for side in ("asks", "bids")
        )
        text = (
            f'{{"table":"{market}/depth5","data":[{{{sides},'
            f'"instrument_id":"{instrument_id}","timestamp":"{timestamp}"}}]}}'
        )
        return Push(f"{market}/depth5:{instrument_id}", element, text)

    def trade(self, market: str, element: Mapping[str, str]) -> Push:
        """A push of one trade, whose *element* is in the wire's order of keys."""
        if not (self.numbers_2018 and market == "futures"):
            return push(f"{market}/trade", element)
        bare = ("price", SIZE_KEYS[market])
        fields = ",".join(
            f'"{key}":{value}' if key in bare else f'"{key}":"{value}"'
            for key, value in element.items()
        )
        text = f'{{"table":"{market}/trade","data":[{{{fields}}}]}}'
        return Push(f"{market}/trade:{element['instrument_id']}", dict(element), text)


OWN_FORM = Dialect()


def _bare(row: Row, quoted: int) -> str:
    """One level whose first *quoted* fields are strings and the rest numbers."""
    fields = [f'"{field}"' for field in row[:quoted]] + list(row[quoted:])
    return f"[{','.join(fields)}]"


def push(table: str, element: Mapping[str, Any], action: str | None = None) -> Push:
    """A push of one element, as all 7,148 recorded data messages are."""
    message: dict[str, Any] = {"table": table}
    if action:
        message["action"] = action
    message["data"] = [element]
    channel = f"{table}:{element['instrument_id']}"
    return Push(channel, dict(element), to_json(message))
