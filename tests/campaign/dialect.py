"""What the exchange would send under one protocol: channels and messages.

The topics have the library's own names, which are v3's where v3 has the thing.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from okex_ws.local_exchange import deflate

_V5 = {
    "depth5": "books5",
    "depth": "books",
    "depth_l2_tbt": "books-l2-tbt",
    "trade": "trades",
    "ticker": "tickers",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class WireDialect(NamedTuple):
    """One protocol, ``'v3'`` or ``'v5'``."""

    protocol: str

    def key(self, topic: str, market: str, instrument_id: str) -> str:
        """A channel as the local exchange, and the library's errors, call it."""
        if self.protocol == "v3":
            return f"{market}/{topic}:{instrument_id}"
        return f"{_V5.get(topic, topic)}:{instrument_id}"

    def push(self, key: str, *elements: Any) -> dict[str, Any]:
        """A data message of a channel."""
        name, _, instrument_id = key.partition(":")
        if self.protocol == "v3":
            return {"table": name, "data": [*elements]}
        arg = {"channel": name, "instId": instrument_id}
        return {"arg": arg, "data": [*elements]}

    def event(self, name: str, key: str) -> dict[str, Any]:
        """An event about a channel."""
        if self.protocol == "v3":
            return {"event": name, "channel": key}
        channel, _, instrument_id = key.partition(":")
        return {"event": name, "arg": {"channel": channel, "instId": instrument_id}}

    def error(self, code: int, message: str) -> dict[str, Any]:
        """An error event; under v5 with an id that no request had."""
        if self.protocol == "v3":
            return {"event": "error", "errorCode": code, "message": message}
        return {"event": "error", "id": "9999", "code": str(code), "msg": message}

    def payload(self, text: str | bytes) -> bytes:
        """What a frame holds that says *text*, be it text or not."""
        data = text.encode() if isinstance(text, str) else text
        return deflate(data) if self.protocol == "v3" else data

    def spoken(self, message: object) -> bytes:
        """What a frame holds that says *message*, of JSON."""
        return self.payload(json.dumps(message))


def said_at(element: dict[str, Any]) -> datetime:
    """The exchange's timestamp of an element, of either protocol."""
    if "ts" in element:
        return _EPOCH + timedelta(milliseconds=int(element["ts"]))
    return datetime.fromisoformat(element["timestamp"].replace("Z", "+00:00"))
