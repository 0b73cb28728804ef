"""OKX v5: bytes to vocabulary and back. Pure, and total over hostile bytes.

Every server message is a text frame. A channel is an object on the wire, and its key is
that of `names.key_of`.

Whatever a peer sends, `V5.decode` and the readers raise `WireError` or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..base.errors import WireError
from ..model.credentials import Credentials
from ..model.numbers import quote
from .catalogue import (
    GATED,
    INDEX_ALIASES,
    KNOWN,
    PRIVATE_BUSINESS,
    V5_PRIVATE,
    ChannelSpec,
    argument_of,
    key_of,
)
from .common import MAX_MESSAGE, ProtocolBase, load, reading, to_json
from .json_text import parse
from .messages import (
    NO_DEPTH,
    BookData,
    CandleData,
    ChannelName,
    DepthData,
    FundingData,
    LoggedIn,
    Message,
    Notice,
    Pong,
    Push,
    Refused,
    SocketPath,
    Subscribed,
    Terminated,
    TickerData,
    TradeData,
    Unknown,
    Unsubscribed,
    push,
)
from .values import (
    book,
    candle,
    epoch_ms,
    given,
    integer,
    signed,
    snapshot,
    ticker,
    trade,
    whole,
    why,
)

_KNOWN = {known.v5: known for known in KNOWN.values() if known.v5 is not None} | {
    name: KNOWN[topic] for name, topic in INDEX_ALIASES.items()
}
_INST_TYPES = {"swap": "SWAP", "futures": "FUTURES", "option": "OPTION"}
_BUSINESS = re.compile(
    r"(mark-price-|index-)?candle\w+|trades-all|sprd-[\w-]+|public-block-trades"
    r"|public-struc-block-trades|block-tickers"
)
# An argument in the sentence of an error, "channel:ticker,instId:BTC-USDT doesn't
# exist". A full stop is no part of it, and one inside an id is.
_SAID = re.compile(
    r"(?<![\w-])channel:([\w-]{1,64})"
    r"((?:,(?!channel:)[A-Za-z0-9]{1,32}:[\w-]{1,64}(?:\.[\w-]{1,64}){0,4})*)"
    r"(?![\w-]|[.:]\w)",
    re.ASCII,
)
_WHOLE = {"snapshot": True, "update": False}
_ACTIONS = (None, *_WHOLE)
_CONFIRM = {"0": False, "1": True}

_TICKER = (
    *("lastSz", "bidPx", "bidSz", "askPx", "askSz"),
    *("open24h", "high24h", "low24h", "vol24h", "volCcy24h"),
)


class V5(ProtocolBase):
    """OKX v5, and OKJ's. Stateless: one instance, `PROTOCOL`, does."""

    name = "v5"
    # The documented limit is 64 KB for "the total length of channels", beyond which the
    # exchange closes with 1009. Whether the rest counts is not said: half of it.
    max_request = 32_768
    # Too frequent, internal errors, bulk logins too frequent, a timestamp that expired.
    transient = frozenset(("60014", "64007", "63999", "60023", "60006"))
    repeated_login = frozenset(("60031", "60010"))

    # --- What things are called -----------------------------------------------------

    def _known_as(self, name: str) -> ChannelSpec | None:
        return _KNOWN.get(name)

    def _key(
        self, name: str, market: str, instrument_id: str, by_type: bool = False
    ) -> str:
        kind = {"instType": _INST_TYPES[market]} if by_type else {}
        return key_of({"channel": name, "instId": instrument_id, **kind})

    def _own_name(self, channel: str) -> str:
        return channel.partition(":")[0]

    def raw(self, argument: object) -> ChannelName:
        """The channel that is the *argument* of a subscribe request, as decoded data.

        A mapping of ``str``, with ``'channel'``, or the bare name of a channel. What
        the exchange adds to its answers (``uid``) or leaves out of them
        (``extraParams``: github ccxt, pull request 23704) could not be told apart
        there, and is a ``ValueError``.
        """
        given = {"channel": argument} if isinstance(argument, str) else argument
        if not isinstance(given, Mapping):
            raise TypeError(f"a channel is a mapping or a name, got {argument!r:.80}")
        for name in ("uid", "extraParams"):
            if name in given:
                raise ValueError(f"{name!r} is not in both request and answer")
        key = key_of(given)
        names = given.keys() - {"channel"}
        known = _KNOWN.get(given["channel"])
        wanted = {"instId", "instType"} if known and known.by_type else {"instId"}
        instrument_id = given.get("instId", "")
        return self._raw(key, given["channel"], instrument_id, names == wanted)

    def path(self, channel: str) -> SocketPath:
        """By the documentation's lists; what they do not name is public."""
        name = self._own_name(channel)
        if PRIVATE_BUSINESS.fullmatch(name):
            return SocketPath("business", login=True)
        if name in V5_PRIVATE:
            return SocketPath("private", login=True)
        if _BUSINESS.fullmatch(name):
            return SocketPath("business")
        return SocketPath("public", login=name in GATED)

    def tier(self, channel: str) -> str:
        """Since 2022-05-05, for the fast books."""
        return GATED.get(self._own_name(channel), "")

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The base of the venue and the name of the path."""
        return f"{endpoint}/{path.name}"

    # --- What is asked --------------------------------------------------------------

    def _argument(self, channel: str) -> object:
        return argument_of(channel)

    def _identity(self, number: int) -> dict[str, str]:
        return {"id": str(number)}

    def login(self, credentials: Credentials, now: float) -> str:
        """The text of a login; the timestamp is in whole seconds."""
        timestamp = str(int(now))
        arguments = {
            "apiKey": credentials.api_key,
            "passphrase": credentials.passphrase,
            "timestamp": timestamp,
            "sign": credentials.sign(timestamp),
        }
        return to_json({"op": "login", "args": [arguments]})

    def mentioned(self, message: str) -> tuple[str, ...]:
        """The channels that an error's text names, in a sentence or by an echo."""
        text = message[:MAX_MESSAGE]
        found: dict[str, None] = {}
        for argument in (*_said(text), *_echoed(text)):
            try:
                found[_key_of(argument)] = None
            except WireError:
                continue
        return tuple(found)

    def announces_end(self, code: str) -> bool:
        """64008 comes about 60 s before a service upgrade (since 2026-06-11)."""
        return code == "64008"

    def ends_login(self, code: int | None) -> bool:
        """4001 is "login failed"."""
        return code == 4001

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """The payload as it is."""
        if binary:
            raise WireError("frame", "a binary frame, where v5 sends text")
        return payload

    def head(self, said: bytes) -> bytes | None:
        """What plain pushes of one channel have in common; see `WireProtocol.head`."""
        at = said.find(b'"data"')
        return said[:at] if at > 0 else None

    def _plain(self, message: Any, text: str) -> Push:
        argument, data = message["arg"], message["data"]
        action, about = message.get("action"), argument["instId"]
        (element,) = data
        key = _instrument_key(argument["channel"], about)
        odd = len(argument) != 2 or element.get("instId", about) != about
        odd = odd or "event" in message or type(data) is not list
        if odd or action not in _ACTIONS:
            raise ValueError
        return push((key, data, text, action, self._is_exact))

    def _read(self, text: str) -> tuple[Message, ...]:
        if text == "pong":
            return (Pong(),)
        message = load(text)
        if "event" in message:
            return (_event(message),)
        if "arg" not in message and "op" in message:
            # An answer to an order, which this library does not send.
            return (Unknown("op"),)
        return (_push(message, text),)

    @reading("depth")
    def depth(self, element: Any, before: DepthData = NO_DEPTH) -> DepthData:
        """Read a snapshot of levels; ``seqId`` was absent until 2022."""
        seq = _sequence(element.get("seqId"))
        return snapshot(element, before, epoch_ms(element["ts"]), seq)

    @reading("book")
    def book(self, element: Any, action: str | None, exact: bool = True) -> BookData:
        """Read a message of a whole book.

        Its proof is ``prevSeqId`` and ``seqId``, which were absent until 2022, or the
        ``checksum``: 0 since June 2026 at OKX, and a real one at OKJ.
        """
        seq, prev_seq = _sequence(element.get("seqId")), element.get("prevSeqId")
        if type(prev_seq) is not int:
            prev_seq = given(integer, prev_seq)
        at = epoch_ms(element["ts"])
        return book(element, _WHOLE[action or ""], at, seq, prev_seq, exact)

    @reading("trade")
    def trade(self, element: Any) -> TradeData:
        """Read one trade, or several that a taker made at one price.

        ``tradeId`` is the last id of ``count``: 123 of 3 are 121, 122 and 123.
        """
        count = given(whole, element.get("count"))
        price, size, side = element["px"], element["sz"], element["side"]
        number = 1 if count is None else count
        return trade(
            element["tradeId"], number, price, size, side, epoch_ms(element["ts"])
        )

    @reading("ticker")
    def ticker(self, element: Any) -> TickerData:
        """Read one ticker, or that of an index: what it has not is ``None``."""
        last = element["idxPx"] if "idxPx" in element else element["last"]
        return ticker(last, map(element.get, _TICKER), epoch_ms(element["ts"]))

    @reading("candle")
    def candle(self, element: Any) -> CandleData:
        """Read one candle: of 9 items, of 7 as in 2022, or of 6 of a mark or an index.

        ``[ts, open, high, low, close, volume, volCcy, volCcyQuote, confirm]``; the six
        are without volumes, the seven without the last two.
        """
        if type(element) is not list or len(element) not in (6, 7, 9):
            raise ValueError(f"a candle is {quote(element)} of 6, 7 or 9 items")
        confirmed = len(element) != 7
        closed = _CONFIRM[element[-1]] if confirmed else None
        volumes = element[5:-1] if confirmed else element[5:]
        return candle(epoch_ms(element[0]), element[1:5], volumes, closed)

    @reading("funding")
    def funding(self, element: Any) -> FundingData:
        """Read one funding rate; some of it was absent until 2022."""
        return FundingData(
            signed(element["fundingRate"]),
            epoch_ms(element["fundingTime"]),
            given(signed, element.get("nextFundingRate")),
            given(epoch_ms, element.get("nextFundingTime")),
            given(epoch_ms, element.get("ts")),
        )


PROTOCOL = V5()


def _sequence(value: Any) -> int | None:
    """A ``seqId``: its characters, or the number. 0 may have been -0: read exactly."""
    if type(value) is int and value > 0:
        return value
    return given(whole, value)


# Bounded like every memory of network text; a process follows fewer instruments.
@lru_cache(maxsize=8192)
def _instrument_key(channel: Any, inst_id: Any) -> str:
    return key_of({"channel": channel, "instId": inst_id})


def _key_of(argument: Any) -> str:
    """The key of what a peer sent as a channel."""
    try:
        if len(argument) == 2 and "instId" in argument:
            return _instrument_key(argument["channel"], argument["instId"])
        # Private channels are pushed with the user's id beside what was asked for.
        return key_of({name: argument[name] for name in argument if name != "uid"})
    except (TypeError, LookupError, ValueError) as error:
        raise WireError("shape", f"arg is {quote(argument)}: {why(error)}") from error


def _push(message: dict[str, Any], text: str) -> Push:
    argument = message.get("arg")
    key = _key_of(argument)
    assert argument is not None
    data, action = message.get("data"), message.get("action")
    if type(data) is not list or not (data or PROTOCOL.path(key).login):
        # Nothing is what a private channel has to say of no positions.
        raise WireError("shape", f"data is {quote(data)}", key)
    if action not in _ACTIONS:
        raise WireError("shape", f"action {quote(action)}", key)
    about = argument.get("instId")
    for element in data if about else ():
        if type(element) is dict and element.get("instId", about) != about:
            raise WireError("shape", f"data of {quote(element['instId'])}", key)
    return Push(key, data, text, action)


def _event(message: dict[str, Any]) -> Message:
    event, number = message["event"], message.get("id")
    if number is not None and not isinstance(number, str):
        raise WireError("shape", f"id {quote(number)}")
    if event == "subscribe":
        return Subscribed(_key_of(message.get("arg")), number)
    if event == "unsubscribe":
        return Unsubscribed(_key_of(message.get("arg")), number)
    if event == "login" and message.get("code") == "0":
        return LoggedIn()
    if event in ("error", "login", "notice"):
        return _told(event, message, number)
    if event in ("channel-conn-count", "channel-conn-count-error"):
        return _counted(event, message)
    if not isinstance(event, str):
        raise WireError("shape", f"event {quote(event)}")
    return Unknown("event")


def _told(event: str, message: dict[str, Any], number: str | None) -> Message:
    code, text = message.get("code"), message.get("msg", "")
    if not isinstance(code, str) or not re.fullmatch("[0-9]{1,9}", code):
        raise WireError("shape", f"code {quote(code)} of {event}")
    if not isinstance(text, str):
        raise WireError("shape", f"msg of {event} is {quote(text)}")
    text = text[:MAX_MESSAGE]
    return Notice(code, text) if event == "notice" else Refused(code, text, number)


def _counted(event: str, message: dict[str, Any]) -> Message:
    kind, count = message.get("channel"), message.get("connCount")
    if not isinstance(kind, str) or not isinstance(count, str):
        raise WireError("shape", f"{event} of {quote(kind)}: {quote(count)}")
    text = f"{count[:20]} connections have {kind[:64]!r}"
    return Terminated(kind, text) if event.endswith("error") else Notice(event, text)


def _said(text: str) -> Iterator[dict[str, str]]:
    """The arguments in a sentence."""
    for channel, rest in _SAID.findall(text):
        pairs = (part.partition(":") for part in rest.split(",") if part)
        yield {**{name: value for name, _, value in pairs}, "channel": channel}


def _echoed(text: str) -> Iterator[Any]:
    """The arguments in the echo of a request, unless it was cut short."""
    start = text.find("{")
    if start < 0:
        return
    try:
        request, _ = parse(text, start)
    except (ValueError, RecursionError):
        return
    for value in request.values():
        yield from value if type(value) is list else ()
