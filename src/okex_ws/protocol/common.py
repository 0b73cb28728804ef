"""What v3 and v5 share: names of channels, batched requests, and reading JSON.

Reading the bytes of a peer raises `WireError` or nothing, however hostile they are.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from ..base.errors import BookError, WireError
from ..model.exchange_codes import ExchangeCode, find_code
from ..model.items import NO_ENVELOPE
from ..model.numbers import Clean, UnreadableValue, why
from ..net.frames import HEAD, MAX_FRAME
from .catalogue import (
    ALIASES,
    BOOKS,
    KNOWN,
    ChannelSpec,
    check_market,
    check_name,
    find,
)
from .json_text import exact, fast, to_json
from .messages import (
    ChannelName,
    Message,
    Push,
    Related,
    Request,
    TradeStamp,
    Unreadable,
)

if TYPE_CHECKING:
    from typing_extensions import Self

# Characters of an error's text that are read. The longest text that could name a
# channel has 160.
MAX_MESSAGE = 1000

# So many bytes at the end of a depth's push have its time, and its sequence number.
TAIL = 160

# What code raises that reads any JSON as if it had the documented shape.
UNREADABLE = (AttributeError, TypeError, LookupError, ValueError)

_ODD = (*UNREADABLE, RecursionError)

P = ParamSpec("P")
T = TypeVar("T")


class UnreadableMessage(WireError):
    """A `WireError` inside the library, which keeps what the peer sent as it came.

    *sentence* has a ``{}`` for each of *values*. *channel* is the key of the channel
    that the peer named. No script gets this error: `for_people` makes the one that it
    gets.
    """

    def __init__(
        self, kind: str, sentence: str, *values: object, channel: str | None = None
    ) -> None:
        self.why = UnreadableValue(sentence, *values)
        super().__init__(kind, str(self.why), channel)


class OtherInstrument(UnreadableMessage):
    """All data of a push is of the instrument *new_id*, not of its channel's own."""

    def __init__(self, new_id: str, channel: str) -> None:
        super().__init__("shape", "data of {}", new_id, channel=channel)
        self.new_id = new_id


def for_people(
    error: WireError | BookError, channel: str | None, clean: Clean
) -> WireError | BookError:
    """The error of *channel* that a script and a log are given in place of *error*.

    It is a new one: each text of the peer is cleaned before the error is built from it,
    and *error*, which may hold a secret, is neither its cause nor its context.
    """
    name = None if channel is None else clean(channel)
    told: WireError | BookError
    if isinstance(error, WireError):
        kept = error.why if isinstance(error, UnreadableMessage) else error.detail
        told = WireError(error.kind, str(_cleaned(kept, clean)), name)
        told.partial = error.partial
    else:
        told = type(error)(*(_cleaned(each, clean) for each in error.args))
        told.channel, told.cause_code = name, error.cause_code
    told.instrument_id, told.topic = clean(error.instrument_id), clean(error.topic)
    return told


def _cleaned(argument: object, clean: Clean) -> object:
    if isinstance(argument, Exception):
        return why(argument, clean)
    return clean(argument) if isinstance(argument, str) else argument


class ProtocolBase(ABC):
    """The part of a `WireProtocol` that v3 and v5 share; each of them is a subclass.

    It has no state that changes, so any thread may call it and calls may overlap.
    *loads* is a function that parses JSON fast, and may turn numbers into floats. A
    message that it cannot read, or that is not a plain push, is read again exactly.
    """

    name: ClassVar[str]
    PING = "ping"
    # Bytes of a request, at the most.
    max_request: ClassVar[int]
    max_frame = MAX_FRAME
    # How the id of a trade begins in the bytes of a push; and the name of its count, if
    # the protocol has one.
    trade_id: ClassVar[bytes]
    trade_count: ClassVar[bytes | None] = None

    def __init__(self, loads: Callable[[str], Any] = fast) -> None:
        # Reads the JSON of a plain push. If that fails, `_read` reads the text exactly.
        self._loads = loads
        self._is_exact = loads is exact

    def bounded(self, max_frame: int) -> Self:
        """This protocol, for messages of at most *max_frame* bytes."""
        if max_frame == self.max_frame:
            return self
        other = copy.copy(self)
        other.max_frame = max_frame
        return other

    # --- Names of channels ----------------------------------------------------------

    def topic(self, name: str, market: str = "") -> str:
        """The topic of the channel that a user calls *name*, on *market*."""
        return find(name, self.name, market).topic

    def channel(self, topic: str, market: str, instrument_id: str) -> ChannelName:
        """The channel *topic* of one instrument."""
        known = find(topic, self.name)
        check_market(known, self.name, market, instrument_id)
        own = known.of(self.name, market)
        assert own is not None
        key = self._key(own, market, instrument_id, known.by_type)
        return ChannelName(key, known.topic, instrument_id, known.kind, known.levels)

    def reader(self, name: ChannelName) -> Self:
        """This protocol, as it reads the elements of the channel *name*."""
        return self

    def raw_channel(
        self, argument: object, market: str, instrument_id: str, path: object = None
    ) -> ChannelName:
        """The channel of one instrument that *argument* names, as decoded data.

        A channel whose items have a type of their own is a ``ValueError``: the user
        names it in ``channels=``.
        """
        given = argument if isinstance(argument, Mapping) else {"channel": argument}
        if given.keys() - {"channel", "path"}:
            raise ValueError(
                "an entry of raw_channels has a 'channel' and a 'path': RawSubscription"
                f" takes further parameters, as in {given!r:.80}"
            )
        name = check_name(given.get("channel"))
        chosen = self._check_path(given.get("path", path))
        if name in ALIASES or self._known_as(name) is not None:
            known = self._known_as(name) or find(name, self.name)
            self._refuse_typed(known, name, "name it in channels=")
            channel = self.channel(known.topic, market, instrument_id)
            return channel._replace(path=chosen)
        key = self._key(name, market, instrument_id)
        return ChannelName(key, name, instrument_id, "data", 0, chosen)

    @abstractmethod
    def _check_path(self, path: object) -> str:
        """*path*, a script's, if it is one of the protocol's; ``''`` for ``None``."""

    @abstractmethod
    def _known_as(self, name: str) -> ChannelSpec | None:
        """The known channel that the protocol itself calls *name*, or ``None``."""

    def _check_size(self, key: str) -> None:
        """Raise ``ValueError`` if the channel *key* is too long for any request."""
        self.request("unsubscribe", [key], 10**9)

    @staticmethod
    def _refuse_typed(known: ChannelSpec, name: str, instead: str) -> None:
        if known.kind != "data":
            raise ValueError(f"channel {name!r} has a type of its own: {instead}")

    def _raw(
        self, key: str, name: str, instrument_id: str, whole: bool, path: str = ""
    ) -> ChannelName:
        """The raw channel *key*; if `channel` gives the same key, the topics are equal.

        *whole* is whether *key* has exactly the parameters that a channel *name* takes.
        """
        self._check_size(key)
        known = self._known_as(name)
        if known is None:
            return ChannelName(key, key, instrument_id, "data", 0, path)
        self._refuse_typed(known, name, "WSSubscription(..., channels=...) gives it")
        topic = known.topic if whole else key
        return ChannelName(key, topic, instrument_id, "data", 0, path)

    @abstractmethod
    def _key(
        self, name: str, market: str, instrument_id: str, by_type: bool = False
    ) -> str:
        """The key of the channel that the protocol calls *name*, for one instrument."""

    @abstractmethod
    def _own_name(self, channel: str) -> str:
        """The protocol's own name of the channel that has the key *channel*."""

    def listing(self, market: str) -> ChannelName | None:
        """``None``: only v5 has a channel that tells of the life of instruments."""
        return None

    def renamed(self, channel: str, new_id: str) -> str:
        """The key of *channel* for its instrument's *new_id*."""
        return f"{channel.partition(':')[0]}:{new_id}"

    def is_deep(self, channel: str) -> bool:
        """Whether *channel* is a book of 50 levels or more."""
        return self._own_name(channel) in BOOKS

    def tier(self, channel: str) -> str:
        """The fee tier that the exchange demands, or ``''``; v3 never demanded one."""
        return ""

    def needs_snapshot(self, topic: str) -> bool:
        """Whether the channel pushes right after a subscribe, and is live only then."""
        return topic in KNOWN and KNOWN[topic].kind in ("depth", "book", "ticker")

    def replays_last(self, topic: str, spread: bool = False) -> bool:
        """Whether the exchange repeats the last push after a subscribe, however old.

        In the recordings of 2021 and 2022 every channel of trades that pushed at all
        began with a repeat: 27 of 27 under v3, 12 of 12 under v5. No recording has a
        ``trades-all`` or trades of a *spread*, and their documentation names no repeat,
        so none is expected.
        """
        return topic == "trade" and not spread

    def related(self, name: str, keys: Collection[str]) -> Related:
        """The channels of *keys* to which data may belong that was sent as *name*'s.

        *name* is the channel of a `Push` or of a `WireError`. If it is not among
        *keys*, data may belong to a channel with its channel name and its instrument,
        in any case; if there is none, to those with one of the two; else to any.
        """
        if name in keys:
            return Related([name], True)
        channel, instrument = self._names(name)
        either, both = [], []
        for key in keys:
            own_channel, own_instrument = self._names(key)
            same = own_instrument == instrument
            if own_channel == channel and same:
                both.append(key)
            elif own_channel == channel or (same and instrument):
                either.append(key)
        return Related(both or either or list(keys), bool(both))

    @abstractmethod
    def _names(self, key: str) -> tuple[str, str]:
        """The channel name and the instrument's id in *key*, their case folded."""

    # --- Requests -------------------------------------------------------------------

    def request(self, op: str, channels: Sequence[str], number: int) -> Request:
        """One request *op* for the first of *channels*, as many as fit.

        ``ValueError`` if *channels* is empty, or if not even the first channel fits.
        """
        if op not in ("subscribe", "unsubscribe"):
            raise ValueError(f"op is 'subscribe' or 'unsubscribe', got {op!r}")
        # Each channel is counted with a comma, but the last one has none.
        room = self.max_request - len(self._request(op, (), number)) + 1
        carried: list[str] = []
        for channel in channels:
            # json.dumps writes ASCII, so a character is a byte.
            room -= len(to_json(self._argument(channel))) + 1
            if room < 0:
                break
            carried.append(channel)
        if not carried:
            longest = max(map(len, channels), default=0)
            raise ValueError(f"no request can carry a channel of {longest} characters")
        return Request(self._request(op, carried, number), tuple(carried))

    def _request(self, op: str, channels: Iterable[str], number: int) -> str:
        args = [self._argument(channel) for channel in channels]
        return to_json({**self._identity(number), "op": op, "args": args})

    def _identity(self, number: int) -> dict[str, str]:
        return {}

    @abstractmethod
    def _argument(self, channel: str) -> object:
        """The JSON value that names *channel* in a request."""

    # --- Messages of the exchange ---------------------------------------------------

    def decode(self, payload: bytes, binary: bool) -> tuple[Message, ...]:
        """The messages in one frame, read exactly. Raises only `WireError`.

        A data frame gives one `Push` for each channel in it, each with the text of the
        whole frame. Every JSON number in it becomes the ``str`` of its characters.
        """
        return self._read(_decoded(self.unpack(payload, binary)))

    @abstractmethod
    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """The text of a frame as bytes, which should be UTF-8.

        `WireError` if the frame cannot be unpacked, or is too large.
        """

    def _too_large(self, said: bytes) -> WireError:
        """The error for a message that is too large; *said* is the beginning of it."""
        channel = None
        with suppress(WireError, *_ODD):
            channel = self._named(said[:HEAD])
        detail = f"a message of more than {self.max_frame} bytes"
        return WireError("too-large", detail, channel)

    @abstractmethod
    def _named(self, said: bytes) -> str:
        """The key of the one channel that *said*, the beginning of a push, names.

        Otherwise raises one of `UNREADABLE`, or `WireError`.
        """

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The messages that `decode` gives, read fast: a push may hold JSON numbers.

        *said* is what `unpack` gave. A caller that needs the characters of a number
        calls `exactly` for the push.
        """
        text = _decoded(said)
        try:
            # The hot path: a push of one element of one instrument. Any other message,
            # and any that is malformed, is read by `_read`.
            return (self._plain(self._loads(text), text),)
        except _ODD:
            return self._read(text)

    @abstractmethod
    def _plain(self, message: Any, text: str) -> Push:
        """The push that *message* is, if it is plain: one element of one instrument.

        Otherwise raises one of `UNREADABLE`, or `WireError`.
        """

    @abstractmethod
    def _read(self, text: str) -> tuple[Message, ...]:
        """All messages in the text of a frame, of any kind, read exactly."""

    def trade_stamp(self, said: bytes) -> TradeStamp | None:
        """The id and the count of the one trade in *said*, which has no braces in it.

        An escape might hide a second id: ``None`` if there is one.
        """
        element = said.rfind(b"{")
        digits = _digits(said, self.trade_id, element)
        if not digits or len(digits) > 20 or 0x5C in said:  # bytes cost an error inside
            return None
        count, name = 1, self.trade_count
        if name is not None and said.find(name, element) > 0:
            counted = _digits(said, name + b':"', element)
            count = int(counted) if 0 < len(counted) < 8 else 0
        return (str(digits, "ascii"), int(digits), count) if count else None

    def exactly(self, push: Push) -> Push | None:
        """*push* read again, exactly; ``None`` if it was read exactly before."""
        if push.exact:
            return None
        # A plain push is the only message of its frame.
        (again,) = self._read(push.text)
        assert isinstance(again, Push)
        return again

    def code(self, code: int | str | None) -> ExchangeCode:
        """What the *code* of an error, a notice or a close frame means."""
        return find_code(self.name, code)


def reading(kind: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a reader of elements raise only `WireError`, of this *kind*."""

    def decorate(read: Callable[P, T]) -> Callable[P, T]:
        @wraps(read)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(*args, **kwargs)
            except UNREADABLE as error:
                raise UnreadableMessage(kind, "{}", error) from error

        return checked

    return decorate


def read_each(
    elements: Iterable[Any], read: Callable[[Any], T], kind: str = "shape"
) -> list[T | WireError]:
    """What *read* makes of each of *elements*: one element costs only itself.

    In the place of one that cannot be read is the `WireError` that says why (of this
    *kind*, unless *read* raises one), which the caller counts and tells. The rows of a
    book or depth are no such list: without one of them the whole is wrong.
    """
    found: list[T | WireError] = []
    for element in elements:
        try:
            found.append(read(element))
        except WireError as error:
            found.append(error)
        except UNREADABLE as error:
            found.append(UnreadableMessage(kind, "{}", error))
    return found


def _decoded(said: bytes) -> str:
    try:
        return str(said, "utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableMessage("utf-8", "{}", error) from error


def _digits(said: bytes, begins: bytes, start: int) -> bytes:
    """The text of digits that follows the last *begins* after *start*, else none."""
    at = said.rfind(begins, start)
    if at < 0:
        return b""
    at += len(begins)
    digits = said[at : said.find(b'"', at)]
    return digits if digits.isdigit() else b""


def load(text: str) -> dict[str, Any]:
    """The JSON object in *text*; each number is the ``str`` of its characters.

    `WireError` if *text* is not exactly one object.
    """
    try:
        message = exact(text.strip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise UnreadableMessage("json", "{} in {}", error, text.strip()) from error
    if type(message) is not dict:
        raise UnreadableMessage("shape", "not an object: {}", text)
    return message


def group(
    keys: Sequence[str | WireError],
    data: list[Any],
    text: str,
    action: str | None,
    envelope: Mapping[str, Any] = NO_ENVELOPE,
) -> tuple[Message, ...]:
    """One push for each channel, each with the *text* of the whole frame.

    An element that names no channel has a `WireError` among the *keys*: it becomes an
    `Unreadable` between the pushes of what stands before it and behind it, since it may
    be newer than the former. So there may be several pushes of one channel, of which
    the first has the text. If no element names a channel, the first error is raised.
    """
    told: list[Message] = []
    groups: dict[str, list[Any]] = {}
    texts = dict.fromkeys((key for key in keys if isinstance(key, str)), text)
    if not texts:
        raise next(key for key in keys if isinstance(key, WireError))

    def close() -> None:
        for key, found in groups.items():
            told.append(Push(key, found, texts[key], action, True, envelope))
            texts[key] = ""
        groups.clear()

    for key, element in zip(keys, data, strict=True):
        if isinstance(key, str):
            groups.setdefault(key, []).append(element)
        else:
            key.partial = True
            close()
            told.append(Unreadable(key))
    close()
    return tuple(told)
