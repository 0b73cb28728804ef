"""OKX v5: frames to messages, and requests to text. Pure.

Every server message is a text frame. A channel is an object in it; `catalogue.key_of`
gives the channel's key.

`V5.decode` and the readers raise `WireError` or nothing, for any bytes of a peer.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..base.errors import WireError
from ..model.credentials import Credentials
from ..model.items import NO_ENVELOPE
from ..model.numbers import NUMBERS, SIGNED, UnreadableValue, decimal, signed
from ..net.frames import Cut
from .catalogue import (
    COMPLETE,
    GATED,
    INDEX_ALIASES,
    KNOWN,
    PRIVATE_BUSINESS,
    SPREAD_ALIASES,
    V5_PRIVATE,
    ChannelSpec,
    argument_of,
    is_private,
    key_of,
)
from .common import (
    TAIL,
    UNREADABLE,
    OtherInstrument,
    ProtocolBase,
    UnreadableMessage,
    load,
    reading,
)
from .json_text import beginning, beside, has_data, to_json
from .listing import INST_TYPES, is_name
from .messages import (
    NO_DEPTH,
    BookData,
    CandleData,
    ChannelName,
    DepthData,
    FundingData,
    Message,
    Pong,
    Push,
    SocketPath,
    Stamp,
    TickerData,
    TradeData,
    Unknown,
    push,
)
from .v5_events import (
    EVENTS,
    about,
    argument_key,
    event,
    instrument_key,
    mentioned,
)
from .values import (
    book,
    candle,
    epoch_ms,
    given,
    integer,
    snapshot,
    ticker,
    trade,
    whole,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_KNOWN = {known.v5: known for known in KNOWN.values() if known.v5 is not None} | {
    name: KNOWN[topic] for name, topic in (INDEX_ALIASES | SPREAD_ALIASES).items()
}
_BUSINESS = re.compile(
    r"(mark-price-|index-)?candle\w+|trades-all|sprd-[\w-]+|public-block-trades"
    r"|public-struc-block-trades|block-tickers"
)
_PATH = re.compile(r"[a-z0-9-]{1,64}")
# The fields of a push that are not in its envelope.
_FIELDS = ("arg", "data", "action")
_WHOLE = {"snapshot": True, "update": False}
_ACTIONS = (None, *_WHOLE)
# Channels of which each push is complete, by v5's names.
_COMPLETE = frozenset(name for name, known in _KNOWN.items() if known.kind in COMPLETE)
_CONFIRM = {"0": False, "1": True}
# Whether a maker's order was one of retail price improvement, by the trade's source. Of
# a source that is not documented yet nothing is said.
_RPI: dict[int | None, bool] = {0: False, 1: True}

_TICKER = (
    *("lastSz", "bidPx", "bidSz", "askPx", "askSz"),
    *("open24h", "high24h", "low24h", "vol24h", "volCcy24h"),
)


class V5(ProtocolBase):
    """The `WireProtocol` of OKX v5, and of OKJ's v5.

    It has no state that changes: any thread may call it, and all share the one instance
    `PROTOCOL`. A channel's key is ``'books5:BTC-USDT'``; `catalogue.key_of` makes it
    from the exchange's object.
    """

    name = "v5"
    # Bytes. The documented limit is 64 KB for "the total length of channels"; beyond it
    # the exchange closes with 1009. The documentation does not say whether the rest of
    # a request counts, so the library uses half.
    max_request = 32_768
    trade_id, trade_count = b'"tradeId":"', b'"count"'
    # How prices are read: as floats to sort by, and exactly. See `reader`.
    _ranks, _price = NUMBERS, staticmethod(decimal)

    # --- Names of channels ----------------------------------------------------------

    def _known_as(self, name: str) -> ChannelSpec | None:
        return _KNOWN.get(name)

    def _key(
        self, name: str, market: str, instrument_id: str, by_type: bool = False
    ) -> str:
        kind = {"instType": INST_TYPES[market]} if by_type else {}
        id_name = "sprdId" if market == "spread" else "instId"
        return key_of({"channel": name, id_name: instrument_id, **kind})

    def _own_name(self, channel: str) -> str:
        return channel.partition(":")[0]

    def _names(self, key: str) -> tuple[str, str]:
        argument = argument_of(key)
        return argument["channel"].casefold(), about(argument).casefold()

    def reader(self, name: ChannelName) -> Self:
        """This protocol; for a spread, as it reads prices of either sign.

        A candle of a spread also has other items.
        """
        if not name.is_spread:
            return self
        spreads = copy.copy(self)
        spreads._ranks, spreads._price = SIGNED, signed
        return spreads

    def _check_path(self, path: object) -> str:
        """*path* itself, if it is one segment of a URL."""
        if path is None:
            return ""
        if not isinstance(path, str):
            raise TypeError(f"path is a name like 'business', got {path!r:.80}")
        if not _PATH.fullmatch(path):
            raise ValueError(
                "path is one segment of small letters, digits and hyphens, like"
                f" 'business', got {path!r:.80}"
            )
        return path

    def raw(self, argument: object, path: object = None) -> ChannelName:
        """The channel that *argument* names in a subscribe request, as decoded data.

        *argument* is a mapping of ``str`` that has ``'channel'`` and perhaps the
        channel's own ``'path'``, or the bare name of a channel. A ``uid``, which the
        exchange adds to its answers, or ``extraParams``, which it leaves out of them
        (github ccxt, pull request 23704), is a ``ValueError``: answers could not be
        assigned to such a channel.
        """
        given = {"channel": argument} if isinstance(argument, str) else argument
        if not isinstance(given, Mapping):
            raise TypeError(f"a channel is a mapping or a name, got {argument!r:.80}")
        for name in ("uid", "extraParams"):
            if name in given:
                raise ValueError(f"{name!r} is not in both request and answer")
        chosen = self._check_path(given.get("path", path))
        given = {name: given[name] for name in given if name != "path"}
        key = key_of(given)
        names = given.keys() - {"channel"}
        known = _KNOWN.get(given["channel"])
        wanted = {"instId", "instType"} if known and known.by_type else {"instId"}
        name = given["channel"]
        return self._raw(key, name, about(given), names == wanted, chosen)

    def listing(self, market: str) -> ChannelName | None:
        """The channel that lists the instruments of *market*; ``None`` if none does."""
        kind = INST_TYPES.get(market)
        if kind is None:
            return None
        return self.raw({"channel": "instruments", "instType": kind})

    def renamed(self, channel: str, new_id: str) -> str:
        """The key of *channel* for its instrument's *new_id*."""
        argument = argument_of(channel)
        id_name = "sprdId" if "sprdId" in argument else "instId"
        return key_of({**argument, id_name: new_id})

    def path(self, channel: str, chosen: str = "") -> SocketPath:
        """The *chosen* socket, else the one of the documentation's lists.

        A login goes to no path of which it is not known that it needs one for
        *channel*.
        """
        name, known = self._own_name(channel), self._known_path(channel)
        if chosen in ("", known.name):
            return known
        login = chosen == "private" or (chosen == "business" and is_private(name))
        return SocketPath(chosen, login)

    def _known_path(self, channel: str) -> SocketPath:
        """The socket by the documentation's lists; else the public one."""
        name = self._own_name(channel)
        if PRIVATE_BUSINESS.fullmatch(name):
            return SocketPath("business", login=True)
        if name in V5_PRIVATE:
            return SocketPath("private", login=True)
        if _BUSINESS.fullmatch(name):
            return SocketPath("business")
        return SocketPath("public", login=name in GATED)

    def tier(self, channel: str) -> str:
        """The fee tier that the fast books and ``fills`` need, else ``''``."""
        return GATED.get(self._own_name(channel), "")

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The venue's endpoint and, behind a slash, the name of the path."""
        return f"{endpoint}/{path.name}"

    # --- Requests -------------------------------------------------------------------

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
        """The keys of the channels that an error's text names."""
        return mentioned(message)

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """The payload of a text frame as it is; `WireError` for a binary frame."""
        if binary:
            raise WireError("frame", "a binary frame, where v5 sends text")
        if type(payload) is Cut:
            raise self._too_large(payload)
        return payload

    def _named(self, said: bytes) -> str:
        return argument_key(beginning(said, 1)["arg"])

    def head(self, said: bytes) -> bytes | None:
        """The text before the data, with empty data.

        ``None`` unless the data is one element and comes last, so that nothing behind
        it names a channel.
        """
        at = said.find(b'"data":[{')
        # The first brace that is closed after it closes the element: the search for one
        # byte costs less than that for any name.
        if at <= 0 or said.find(b"}", at) != len(said) - 3 or said[-2:] != b"]}":
            return None
        return said[:at] + b'"data":[{}]}'

    def stamp(self, said: bytes) -> Stamp | None:
        """The ``seqId`` and the ``ts`` of the one element, which has no braces in it.

        ``seqId`` was absent until 2022.
        """
        element = said.rfind(b"{")
        # Near the end of the bytes: a search from there costs less.
        at = said.rfind(b'"ts":"', -TAIL) + 6
        digits = said[at : at + 13]
        if at < element or not digits.isdigit() or said[at + 13 : at + 14] != b'"':
            return None
        begin = said.rfind(b'"seqId":', -TAIL) + 8
        if begin < element:
            if said.rfind(b'"seqId":', element) > 0:
                return None
            return None, int(digits), said[:at] + said[at + 13 :]
        end = said.find(b",", begin)
        number = said[begin : end if end > 0 else -3]
        if not number.isdigit() or len(number) > 20:
            return None
        return int(number), int(digits), b""

    def _plain(self, message: Any, text: str) -> Push:
        argument, data = message["arg"], message["data"]
        id_name = "instId" if "instId" in argument else "sprdId"
        action, about = message.get("action"), argument[id_name]
        (element,) = data
        channel = argument["channel"]
        key = instrument_key(channel, about, id_name)
        odd = len(argument) != 2 or element.get(id_name, about) != about
        odd = odd or "event" in message or type(data) is not list
        if odd or not (action is None or _may_say(channel, action)):
            raise ValueError
        if self._is_exact and len(message) > 2 + (action is not None):
            raise ValueError  # no second reading finds what else it says
        return push((key, data, text, action, self._is_exact, NO_ENVELOPE))

    def _read(self, text: str) -> tuple[Message, ...]:
        if text == "pong":
            return (Pong(),)
        message = load(text)
        if "event" in message and not _is_data(message):
            return (event(message),)
        if "arg" not in message and "op" in message:
            # The answer to an order. The library sends no orders.
            return (Unknown("op"),)
        return (_push(message, text),)

    def depth(self, element: Any, before: DepthData = NO_DEPTH) -> DepthData:
        """Read a snapshot of levels; ``seqId`` was absent until 2022."""
        try:
            seq = element.get("seqId")
            if type(seq) is not int or seq <= 0:
                seq = _sequence(seq)
            at = epoch_ms(element["ts"])
            return snapshot(element, before, at, seq, self._ranks)
        except UNREADABLE as error:
            raise UnreadableMessage("depth", "{}", error) from error

    def book(self, element: Any, action: str | None, exact: bool = True) -> BookData:
        """Read a message of a whole book.

        Its proof is ``prevSeqId`` and ``seqId``, which were absent until 2022, or the
        ``checksum``, which is 0 at OKX since June 2026 but for spreads, and a real
        checksum at OKJ.
        """
        try:
            seq, prev_seq = element.get("seqId"), element.get("prevSeqId")
            at = element["ts"]
            # Most are digits, which is seen of all three at once.
            said = f"{seq}{prev_seq}{at}"
            plain = said.isdecimal() and said.isascii() and len(said) <= 33
            timed = type(at) is str and len(at) == 13 and at >= "1"
            if plain and timed and seq and prev_seq:
                seq, prev_seq, at = int(seq), int(prev_seq), int(at)
            else:
                seq, prev_seq, at = _sequence(seq), integer(prev_seq), epoch_ms(at)
            return book(element, _WHOLE[action or ""], at, seq, prev_seq, exact)
        except UNREADABLE as error:
            raise UnreadableMessage("book", "{}", error) from error

    @reading("trade")
    def trade(self, element: Any) -> TradeData:
        """Read one trade, or several trades of one taker at one price.

        ``tradeId`` is the last of ``count`` ids: 123 with a count of 3 stands for 121,
        122 and 123. ``source`` exists since August 2025; 1 is a maker with RPI.
        """
        count = whole(element.get("count"))
        price, size, side = element["px"], element["sz"], element["side"]
        number, at = 1 if count is None else count, epoch_ms(element["ts"])
        rpi, read = _RPI.get(whole(element.get("source"))), self._price
        return trade(element["tradeId"], number, price, size, side, at, read, rpi)

    @reading("ticker")
    def ticker(self, element: Any) -> TickerData:
        """Read one ticker, of an index too; a field that is absent is ``None``."""
        last = element["idxPx"] if "idxPx" in element else element["last"]
        at = epoch_ms(element["ts"])
        return ticker(last, map(element.get, _TICKER), at, self._price)

    @reading("candle")
    def candle(self, element: Any) -> CandleData:
        """Read one candle, of 9, 7, 6 or 5 items.

        ``[ts, open, high, low, close, volume, volCcy, volCcyQuote, confirm]``. The
        candles of 2022 had 7 items, without the last two. Those of a mark price or an
        index have 6, without the three volumes; in 2021 they had 5, without *confirm*.
        Those of a spread have 7, without the last two volumes.
        """
        of_spread = self._ranks is SIGNED
        counts = (7,) if of_spread else (5, 6, 7, 9)
        if type(element) is not list:
            raise UnreadableValue("a candle is {}", element)
        if len(element) not in counts:
            known = " or ".join(map(str, counts))
            raise ValueError(f"a candle of {len(element)} items, not {known}")
        confirmed = of_spread or len(element) in (6, 9)
        closed = _CONFIRM[element[-1]] if confirmed else None
        volumes = element[5:-1] if confirmed else element[5:]
        at, prices = epoch_ms(element[0]), element[1:5]
        return candle(at, prices, volumes, closed, self._price)

    @reading("funding")
    def funding(self, element: Any) -> FundingData:
        """Read one funding rate; some of its fields were absent until 2022."""
        return FundingData(
            signed(element["fundingRate"]),
            epoch_ms(element["fundingTime"]),
            given(signed, element.get("nextFundingRate")),
            given(epoch_ms, element.get("nextFundingTime")),
            given(epoch_ms, element.get("ts")),
        )


PROTOCOL = V5()


def _sequence(value: Any) -> int | None:
    """A ``seqId`` from its characters, or from a positive number of a fast reading.

    Any other number is an error, so that the push is read again, exactly: what `fast`
    reads as 0 may have been -0.
    """
    if type(value) is int and value > 0:
        return value
    return whole(value)


def _is_data(message: dict[str, Any]) -> bool:
    """Whether a message that has an event is a push with one field more."""
    unknown = message["event"] not in EVENTS
    return has_data(message) and ("arg" in message or unknown)


def _may_say(channel: Any, action: Any) -> bool:
    """Whether a push of *channel* may have *action*, or none.

    The documentation has actions for books only. A push that changes the one before is
    refused where each push should be complete.
    """
    return action in _ACTIONS and not (action == "update" and channel in _COMPLETE)


def _push(message: dict[str, Any], text: str) -> Push:
    argument = message.get("arg")
    key = argument_key(argument)
    assert argument is not None
    data, action = message.get("data"), message.get("action")
    if type(data) is not list or not (data or argument["channel"] not in _KNOWN):
        # A private channel pushes empty data if the user has, say, no positions.
        raise UnreadableMessage("shape", "data is {}", data, channel=key)
    if not _may_say(argument["channel"], action):
        raise UnreadableMessage("shape", "action {}", action, channel=key)
    if message.get("event") in EVENTS:
        told = message["event"]
        raise UnreadableMessage("shape", "data of event {}", told, channel=key)
    id_name = "instId" if "instId" in argument else "sprdId"
    if about := argument.get(id_name):
        _check_instrument(id_name, about, data, key)
    return Push(key, data, text, action, True, beside(message, *_FIELDS))


def _check_instrument(id_name: str, about: str, data: list[Any], key: str) -> None:
    """Raise if an element of *data* names another instrument than *about*.

    If all of them name one other, the exchange has renamed *about*; an id in other
    case is none.
    """
    named = [e.get(id_name, about) if type(e) is dict else about for e in data]
    others = [each for each in named if each != about]
    if not others:
        return
    other = others[0]
    all_of_other = named == [other] * len(data) and is_name(other)
    if all_of_other and other.casefold() != about.casefold():
        raise OtherInstrument(other, key)
    raise UnreadableMessage("shape", "data of {}", other, channel=key)
