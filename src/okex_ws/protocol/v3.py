"""OKEX v3: frames to messages, and requests to text. Pure.

Every server message is a binary frame that holds one complete raw-deflate stream. A
text frame is read as it is, because it is not known whether v3 ever sent one. Every
JSON number is read as its characters: the books of 2018 and 2019, whose levels were
numbers, keep the exchange's own ``3690.10`` like all later books.

`V3.decode` and the readers raise `WireError` or nothing, for any bytes of a peer.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Any

from ..base.errors import WireError
from ..model.credentials import Credentials
from ..model.instrument_ids import market_of
from ..model.items import NO_ENVELOPE
from ..model.numbers import UnreadableValue, signed
from ..model.venues import V3_MARKETS
from ..net.frames import Cut
from .catalogue import COMPLETE, KNOWN, V3_PRIVATE, ChannelSpec
from .common import (
    MAX_MESSAGE,
    TAIL,
    UNREADABLE,
    ProtocolBase,
    UnreadableMessage,
    group,
    load,
    read_each,
    reading,
)
from .json_text import beginning, beside, has_data, to_json
from .messages import (
    NO_DEPTH,
    Acknowledged,
    BookData,
    CandleData,
    ChannelName,
    DepthData,
    FundingData,
    LoggedIn,
    Message,
    Pong,
    Push,
    Refused,
    SocketPath,
    Stamp,
    TickerData,
    TradeData,
    Unknown,
    Unsubscribed,
    push,
)
from .values import book, candle, given, iso_ms, snapshot, ticker, trade


def deflate(data: bytes) -> bytes:
    """*data* compressed as the exchange does: one raw-deflate stream, no header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


_KNOWN = {known.v3: known for known in KNOWN.values() if known.v3 is not None}
# The documented tables, and what the channels of each are about; `_READ` has the keys.
_ABOUT = (
    dict.fromkeys(
        (
            f"{market}/{topic}"
            for market in V3_MARKETS
            for topic in (*_KNOWN, *V3_PRIVATE)
        ),
        "instrument_id",
    )
    | {"spot/account": "currency", "futures/account": "key"}
    | {
        f"option/{topic}": "underlying"
        for topic in ("summary", "instruments", "position", "account", "order")
    }
    | {"futures/instruments": "", "system/status": ""}
)
# The name of a table in March 2021, and the documented table that it stands for.
_VARIANTS = {"option/trades": "option/trade"}
# Bounds the ids in keys, because keys are cached by the thousand. No channel that a
# user can subscribe has a longer id.
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TABLE = re.compile(rf"({'|'.join(V3_MARKETS)}|system)/[a-z0-9_]{{1,32}}")
_CHANNEL = re.compile(rf"{_TABLE.pattern}(:{_ID.pattern})?")
# A channel in the text of an error. A dot or a colon ends the channel only where no
# word character follows: an option's strike may be 8.00, and "spot/ticker:BTC-USDT"
# does not name the channel "spot/ticker".
_SAID = re.compile(
    r"(?<![\w/:.-])[a-z]{1,16}/[a-z0-9_]{1,32}"
    r"(?::[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,4})?(?![\w-]|[./:]\w)"
)
# The fields of a push that are not in its envelope.
_FIELDS = ("table", "data", "action")
_WHOLE = {"partial": True, "update": False}
_ACTIONS = (None, *_WHOLE)
# Tables of which each push is complete.
_COMPLETE = frozenset(
    f"{market}/{name}"
    for market in V3_MARKETS
    for name, known in _KNOWN.items()
    if known.kind in COMPLETE
)
_EVENTS = ("subscribe", "unsubscribe", "login", "error")
# v3 sends a failed login without a code. 30027 is the documented code for it.
_LOGIN_FAILURE = 30027

_TICKER = (
    *("last_qty", "best_bid", "best_bid_size", "best_ask", "best_ask_size"),
    *("open_24h", "high_24h", "low_24h"),
)
# Spot has other names for the two volumes: by base and by quote currency.
_SPOT_TICKER = (*_TICKER, "base_volume_24h", "quote_volume_24h")
_OTHER_TICKER = (*_TICKER, "volume_24h", "volume_token_24h")


class V3(ProtocolBase):
    """The `WireProtocol` of OKEX v3, and of OKJ, whose v3 is alive today.

    It has no state that changes: any thread may call it, and all share the one instance
    `PROTOCOL`. A channel's key is the exchange's own name,
    ``'futures/depth5:BTC-USD-190517'``.
    """

    name = "v3"
    # Bytes; the documented limit. The server of 2021 enforced 65,536.
    max_request = 4096
    trade_id = b'"trade_id":"'

    # --- Names of channels ----------------------------------------------------------

    def _known_as(self, name: str) -> ChannelSpec | None:
        return _KNOWN.get(name)

    def _key(
        self, name: str, market: str, instrument_id: str, by_type: bool = False
    ) -> str:
        return f"{market}/{name}:{instrument_id}"

    def _own_name(self, channel: str) -> str:
        return channel.partition(":")[0].partition("/")[2]

    def _names(self, key: str) -> tuple[str, str]:
        table, _, about = key.casefold().partition(":")
        return table, about

    def _check_path(self, path: object) -> str:
        """Only ``None``: v3 has one socket."""
        if path is not None:
            raise ValueError(f"v3 has one socket, and no path {path!r:.80}")
        return ""

    def raw(self, argument: object, path: object = None) -> ChannelName:
        """The channel that *argument* names in a subscribe request, as decoded data.

        *argument* is the exchange's own name: ``'spot/order:BTC-USDT'`` or
        ``'system/status'``.
        """
        self._check_path(path)
        if not isinstance(argument, str):
            raise TypeError(f"a channel of v3 is a name, got {argument!r:.80}")
        if not _CHANNEL.fullmatch(argument):
            raise ValueError(
                f"{argument!r:.80} is no channel of v3, like 'spot/order:BTC-USDT' or"
                " 'system/status'"
            )
        table, _, about = argument.partition(":")
        by_instrument = _ABOUT.get(table, "instrument_id") == "instrument_id"
        instrument_id = about if by_instrument else ""
        return self._raw(argument, self._own_name(argument), instrument_id, bool(about))

    def path(self, channel: str, chosen: str = "") -> SocketPath:
        """The one socket of v3; private channels get connections that log in."""
        return SocketPath(login=self._own_name(channel) in V3_PRIVATE)

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The endpoint itself: under v3 it is the whole URL."""
        return endpoint

    # --- Requests -------------------------------------------------------------------

    def _argument(self, channel: str) -> object:
        return channel

    def login(self, credentials: Credentials, now: float) -> str:
        """The text of a login: four positional arguments.

        The third one is the time in seconds with three decimals.
        """
        timestamp = f"{now:.3f}"
        arguments = [
            credentials.api_key,
            credentials.passphrase,
            timestamp,
            credentials.sign(timestamp),
        ]
        return to_json({"op": "login", "args": arguments})

    def mentioned(self, message: str) -> tuple[str, ...]:
        """The keys of the channels that an error's text names as whole words."""
        return tuple(dict.fromkeys(_SAID.findall(message[:MAX_MESSAGE])))

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """The content of the one deflate stream that a binary payload is.

        The payload of a text frame is returned as it is. `WireError` if the content has
        more than `max_frame` bytes, or the payload is not exactly one stream.
        """
        is_cut = type(payload) is Cut
        if not binary:
            if is_cut:
                raise self._too_large(payload)
            return payload
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than allowed: a full buffer then always means too much.
            inflated = stream.decompress(payload, self.max_frame + 1)
        except zlib.error as error:
            if is_cut:
                raise self._too_large(b"") from error
            raise UnreadableMessage("inflate", "{}", error) from error
        if is_cut or len(inflated) > self.max_frame:
            raise self._too_large(inflated)
        if not stream.eof or stream.unused_data:
            raise _no_stream(payload, stream)
        return inflated

    def _named(self, said: bytes) -> str:
        begun = beginning(said, 3)
        # A push has one element in all recordings. One with more of them may be of
        # several channels, which its beginning does not name.
        table, (element,) = begun["table"], begun["data"]
        if not _TABLE.fullmatch(table):
            raise ValueError
        return _plain_channel(table, element["instrument_id"])

    def head(self, said: bytes) -> bytes | None:
        """The text before the data, with the instrument as the only data.

        ``None`` unless the data is one element, comes last, and names exactly one
        instrument. Its id stands behind the levels.
        """
        at = said.find(b'"data":[{')
        # The first brace that is closed after it closes the element: the search for one
        # byte costs less than that for any name.
        if at <= 0 or said.find(b"}", at) != len(said) - 3 or said[-2:] != b"]}":
            return None
        name = said.find(b'"instrument_id"', at)
        end = said.find(b'"', said.find(b'"', name + 15) + 1) + 1
        again = said.find(b'"instrument_id"', end)
        if name < 0 or end <= 0 or again > 0 or said.find(b"\\", at) > 0:
            return None
        return said[: at + 9] + said[name:end] + b"}]}"

    def stamp(self, said: bytes) -> Stamp | None:
        """The ``timestamp`` of the one element; v3 has no sequence numbers."""
        at = said.rfind(b'"timestamp":"', -TAIL) + 13
        if at < said.rfind(b"{") or said[at + 24 : at + 25] != b'"':
            return None
        try:
            time_ms = iso_ms(str(said[at : at + 24], "ascii"))
        except ValueError:
            return None
        return None, time_ms, said[:at] + said[at + 24 :]

    def _plain(self, message: Any, text: str) -> Push:
        table, data, action = message["table"], message["data"], message.get("action")
        (element,) = data
        key = _plain_channel(table, element["instrument_id"])
        if type(data) is not list or not (action is None or _may_say(table, action)):
            raise ValueError
        if self._is_exact and len(message) > 2 + (action is not None):
            raise ValueError  # no second reading finds what else it says
        return push((key, data, text, action, self._is_exact, NO_ENVELOPE))

    def _read(self, text: str) -> tuple[Message, ...]:
        if text == "pong":
            return (Pong(),)
        message = load(text)
        table = message.get("table")
        if isinstance(table, str):
            return _pushes(table, message, text)
        if has_data(message) and message.get("event") not in _EVENTS:
            own = _as_sent("", message["data"])
            raise UnreadableMessage("shape", "data of table {}", table, channel=own)
        return (_event(message),)

    @reading("depth")
    def depth(self, element: Any, before: DepthData = NO_DEPTH) -> DepthData:
        """Read a snapshot of levels, as `values.snapshot` does."""
        return snapshot(element, before, iso_ms(element["timestamp"]), None)

    @reading("book")
    def book(self, element: Any, action: str | None, exact: bool = True) -> BookData:
        """Read a message of a whole book; its proof is the ``checksum``."""
        at = iso_ms(element["timestamp"])
        return book(element, _WHOLE[action or ""], at, exact=exact)

    @reading("trade")
    def trade(self, element: Any) -> TradeData:
        """Read one trade; v3 has two names for its size and two for its side."""
        size = element["size"] if "size" in element else element["qty"]
        side = element["side"] if "side" in element else element["trade_side"]
        at = iso_ms(element["timestamp"])
        return trade(element["trade_id"], 1, element["price"], size, side, at)

    @reading("ticker")
    def ticker(self, element: Any) -> TickerData:
        """Read one ticker; a field that is absent or empty is ``None``.

        Futures had no sizes in 2019, and an index has no best bid and ask.
        """
        fields = _SPOT_TICKER if "base_volume_24h" in element else _OTHER_TICKER
        at = iso_ms(element["timestamp"])
        return ticker(element["last"], map(element.get, fields), at)

    @reading("candle")
    def candle(self, element: Any) -> CandleData:
        """Read one candle: ``[time, open, high, low, close, volume]``.

        All markets but spot and index add a seventh item, the volume in currency.
        """
        items = element["candle"]
        if type(items) is not list:
            raise UnreadableValue("a candle is {}", items)
        if len(items) not in (6, 7):
            raise ValueError(f"a candle of {len(items)} items, not 6 or 7")
        return candle(iso_ms(items[0]), items[1:5], items[5:], None)

    @reading("funding")
    def funding(self, element: Any) -> FundingData:
        """Read one funding rate; under v3 it has no timestamp."""
        return FundingData(
            signed(element["funding_rate"]),
            iso_ms(element["funding_time"]),
            given(signed, element.get("estimated_rate")),
            given(iso_ms, element.get("settlement_time")),
            None,
        )


PROTOCOL = V3()


def _no_stream(payload: bytes, stream: Any) -> WireError:
    """The error for a payload that is not exactly one stream."""
    if not stream.eof:
        return WireError("inflate", f"stream of {len(payload)} bytes ends early")
    return WireError("inflate", f"{len(stream.unused_data)} bytes after the stream")


def _event(message: dict[str, Any]) -> Message:
    event, channel = message.get("event"), message.get("channel")
    if event in ("subscribe", "unsubscribe") and isinstance(channel, str):
        return Acknowledged(channel) if event == "subscribe" else Unsubscribed(channel)
    code, text = message.get("errorCode"), message.get("message", "")
    if event == "error" and isinstance(code, str) and isinstance(text, str):
        if re.fullmatch("[0-9]{1,9}", code):
            return Refused(int(code), text)
    elif event == "login":
        # Recordings have a boolean, the documentation has a string.
        success = message.get("success") in (True, "true")
        return LoggedIn() if success else Refused(_LOGIN_FAILURE, "login failure")
    elif isinstance(event, str) and event not in ("subscribe", "unsubscribe", "error"):
        return Unknown("event")
    raise UnreadableMessage("shape", "event {} of channel {}", event, channel)


def _may_say(table: str, action: Any) -> bool:
    """Whether a push of *table* may have *action*, or none.

    The documentation has actions for books only. A push that changes the one before is
    refused where each push should be complete.
    """
    return action in _ACTIONS and not (action == "update" and table in _COMPLETE)


def _as_sent(table: str, data: Any) -> str | None:
    """What data of no known form has of a key; ``None`` if nothing."""
    element = data[0] if type(data) is list else data
    named = element.get("instrument_id") if type(element) is dict else None
    instrument = named[:64] if isinstance(named, str) else ""
    key = f"{table[:64]}:{instrument}"
    return None if key == ":" else key.removesuffix(":")


def _pushes(table: str, message: dict[str, Any], text: str) -> tuple[Message, ...]:
    name = _VARIANTS.get(table, table)
    about = _ABOUT.get(name)
    if about is None:
        return _undocumented(table, message, text)
    data, action = message.get("data"), message.get("action")
    if type(data) is not list or not data:
        raise UnreadableMessage("shape", f"data of {table} is {{}}", data)
    keys = _keys(name, about, data)
    if not _may_say(name, action):
        channel = keys[0] if len(keys) == 1 and isinstance(keys[0], str) else None
        raise UnreadableMessage("shape", "action {}", action, channel=channel)
    return group(keys, data, text, action, beside(message, *_FIELDS))


def _undocumented(
    table: str, message: dict[str, Any], text: str
) -> tuple[Message, ...]:
    """The pushes of an undocumented table, which ``raw_channels=`` may have subscribed.

    Only the form of its message can be checked. A message without data is `Unknown`,
    under a name of the library: text of a peer never becomes the name of a count.
    """
    if not has_data(message):
        return (Unknown("table"),)
    data, action = message["data"], message.get("action")
    if not _TABLE.fullmatch(table) or type(data) is not list:
        own = _as_sent(table, data)
        raise UnreadableMessage("shape", "data of table {}", table, channel=own)
    said = action if isinstance(action, str) else None
    keys = _keys(table, "instrument_id", data)
    return group(keys, data, text, said, beside(message, *_FIELDS))


def _keys(name: str, about: str, data: list[Any]) -> list[str | WireError]:
    """The key of the channel of each element of table *name*, or why it has none."""

    def read(element: Any) -> str:
        try:
            return _key_of(name, about, element)
        except (WireError, *UNREADABLE) as error:
            what = f"no {about} in {name}"
            raise UnreadableMessage("shape", what, channel=name) from error

    return read_each(data, read)


def _key_of(name: str, about: str, element: Any) -> str:
    """The key of the channel that an element of table *name* belongs to."""
    if about == "instrument_id":
        return _channel(name, element["instrument_id"])
    return _channel(name, _READ[about](element)) if about else name


def _account(element: Any) -> Any:
    """The currency or the underlying that an account element is about.

    The element is ``{"BTC": {...}}``, or flat with a field ``underlying`` or
    ``currency``.
    """
    flat = element.get("underlying") or element.get("currency")
    (own,) = (flat,) if flat else element
    return own


def _underlying(element: Any) -> Any:
    """The underlying that an element is about: a field, or the start of an option's id.

    An element of ``option/instruments`` is a list; its first instrument is read.
    """
    first = element[0] if type(element) is list else element
    if first.get("underlying"):
        return first["underlying"]
    if market_of(first["instrument_id"]) != "option":
        raise UnreadableValue("no option: {}", first["instrument_id"])
    return "-".join(first["instrument_id"].split("-")[:2])


_READ = {
    "currency": lambda element: element["currency"],
    "key": _account,
    "underlying": _underlying,
}


# Bounded, like every cache of a peer's text; a process subscribes fewer instruments.
@lru_cache(maxsize=4096)
def _plain_channel(table: Any, instrument_id: Any) -> str:
    """The key of a channel of one instrument; an error for tables of another kind."""
    name = _VARIANTS.get(table, table)
    if _ABOUT.get(name) != "instrument_id":
        raise ValueError
    return _channel(name, instrument_id)


@lru_cache(maxsize=4096)
def _channel(name: str, about: Any) -> str:
    if not isinstance(about, str) or not _ID.fullmatch(about):
        raise UnreadableMessage("shape", "{} of {}", name, about)
    return f"{name}:{about}"
