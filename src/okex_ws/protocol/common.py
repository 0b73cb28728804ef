"""What v3 and v5 have in common: names, batches of a request, JSON that is bounded.

Total over hostile bytes: what comes from a peer raises `WireError` or nothing.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

from ..base.errors import WireError
from ..model.numbers import quote
from .catalogue import (
    ALIASES,
    BOOKS,
    KNOWN,
    ChannelSpec,
    check_market,
    check_name,
    find,
)
from .json_text import exact, fast
from .messages import ChannelName, Message, Push, Request
from .values import why

# Characters of an error that are read; the longest that could name a channel has 160.
MAX_MESSAGE = 1000

# What reading JSON of any shape as if it had the right one may raise.
UNREADABLE = (AttributeError, TypeError, LookupError, ValueError)

_ODD = (*UNREADABLE, RecursionError)

P = ParamSpec("P")
T = TypeVar("T")


class ProtocolBase(ABC):
    """The half of a `WireProtocol` that does not depend on the protocol."""

    name: ClassVar[str]
    PING = "ping"
    # Bytes of a request.
    max_request: ClassVar[int]
    # Codes of errors that go away by themselves.
    transient: ClassVar[frozenset[str]]
    # Codes that say that one is logged in already.
    repeated_login: ClassVar[frozenset[str]]

    def __init__(self, loads: Callable[[str], Any] = fast) -> None:
        # What reads a plain push: one that fails is read again, exactly.
        self._loads = loads
        self._is_exact = loads is exact

    # --- What things are called -----------------------------------------------------

    def topic(self, name: str) -> str:
        """The library's one name of what a user calls *name*."""
        return find(name, self.name).topic

    def channel(self, topic: str, market: str, instrument_id: str) -> ChannelName:
        """The channel of a *topic* for one instrument."""
        known = find(topic, self.name)
        check_market(known, self.name, market)
        own = known.of(self.name, market)
        assert own is not None
        key = self._key(own, market, instrument_id, known.by_type)
        return ChannelName(key, known.topic, instrument_id, known.kind, known.levels)

    def raw_channel(self, name: str, market: str, instrument_id: str) -> ChannelName:
        """The channel that the venue calls *name*, known or not, as decoded data.

        What has a type of its own is a ``ValueError``: it is given in ``channels=``.
        """
        check_name(name)
        if name in ALIASES or self._known_as(name) is not None:
            known = self._known_as(name) or find(name, self.name)
            self._refuse_typed(known, name, "name it in channels=")
            return self.channel(known.topic, market, instrument_id)
        return ChannelName(
            self._key(name, market, instrument_id), name, instrument_id, "data"
        )

    @abstractmethod
    def _known_as(self, name: str) -> ChannelSpec | None:
        """What the protocol itself calls *name*, if that is known."""

    def _check_size(self, key: str) -> None:
        """``ValueError`` for a channel that no request could carry."""
        self.request("unsubscribe", [key], 10**9)

    @staticmethod
    def _refuse_typed(known: ChannelSpec, name: str, instead: str) -> None:
        if known.kind != "data":
            raise ValueError(f"channel {name!r} has a type of its own: {instead}")

    def _raw(self, key: str, name: str, instrument_id: str, whole: bool) -> ChannelName:
        """The name of a raw *key*: that of `channel`, where one has the same key.

        *whole* is whether what a channel of *name* wants was given, and nothing else.
        """
        self._check_size(key)
        known = self._known_as(name)
        if known is None:
            return ChannelName(key, key, instrument_id, "data")
        self._refuse_typed(known, name, "WSSubscription(..., channels=...) gives it")
        return ChannelName(key, known.topic if whole else key, instrument_id, "data")

    @abstractmethod
    def _key(
        self, name: str, market: str, instrument_id: str, by_type: bool = False
    ) -> str:
        """The key of the protocol's own *name* for one instrument."""

    @abstractmethod
    def _own_name(self, channel: str) -> str:
        """The protocol's own name in a key."""

    def is_deep(self, channel: str) -> bool:
        """Whether it is a book of 50 levels or more."""
        return self._own_name(channel) in BOOKS

    def tier(self, channel: str) -> str:
        """The fee tier that the exchange asks for, or ``''``; v3 never did."""
        return ""

    def needs_snapshot(self, topic: str) -> bool:
        """Whether the channel pushes at once, and is not live before it has."""
        return topic in KNOWN and KNOWN[topic].kind in ("depth", "book", "ticker")

    def replays_last(self, topic: str) -> bool:
        """Whether a subscribe brings the last push again, however old.

        In the recordings of 2021 and 2022 every channel of trades that pushed at all
        did so first: 27 of 27 under v3, 12 of 12 under v5. No recording has a
        ``trades-all``, and its documentation names no repeat: none is expected.
        """
        return topic == "trade"

    # --- What is asked --------------------------------------------------------------

    def request(self, op: str, channels: Sequence[str], number: int) -> Request:
        """One request *op* for as many of *channels* as fit, at least one.

        ``ValueError`` for none, and for a channel that is longer than a request.
        """
        if op not in ("subscribe", "unsubscribe"):
            raise ValueError(f"op is 'subscribe' or 'unsubscribe', got {op!r}")
        # One comma less than there are channels.
        room = self.max_request - len(self._request(op, (), number)) + 1
        carried: list[str] = []
        for channel in channels:
            # ASCII, as json.dumps writes: a character is a byte.
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
        """What stands for *channel* in a request."""

    # --- What is answered -----------------------------------------------------------

    def decode(self, payload: bytes, binary: bool) -> tuple[Message, ...]:
        """The messages in one frame, read exactly. `WireError` and nothing else.

        A data frame gives one `Push` a channel, all with the frame's text. Every JSON
        number in it has become the ``str`` of its own characters.
        """
        return self._read(_decoded(self.unpack(payload, binary)))

    @abstractmethod
    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """What a frame says, UTF-8 as it should be; `WireError` if nothing."""

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The messages of `decode`, fast: numbers in a push may be numbers.

        *said* is what `unpack` gave. Whoever meets a number where it matters asks for
        the push `exactly`.
        """
        text = _decoded(said)
        try:
            # The hot path: one element of one instrument. What is not as plain as
            # that, or not right, goes the long way.
            return (self._plain(self._loads(text), text),)
        except _ODD:
            return self._read(text)

    @abstractmethod
    def _plain(self, message: Any, text: str) -> Push:
        """The push that a *message* is, if it is a plain one; any of `UNREADABLE`."""

    @abstractmethod
    def _read(self, text: str) -> tuple[Message, ...]:
        """The messages in a frame, whatever they are; read exactly."""

    def exactly(self, push: Push) -> Push | None:
        """*push* read again, exactly; ``None`` if it was."""
        if push.exact:
            return None
        # A plain push is the only one of its frame.
        (again,) = self._read(push.text)
        assert isinstance(again, Push)
        return again

    def is_transient(self, code: int | str) -> bool:
        """Whether asking again may help."""
        return str(code) in self.transient

    def repeats_login(self, code: int | str) -> bool:
        """Whether one is logged in already."""
        return str(code) in self.repeated_login


def reading(kind: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a reader of elements raise `WireError`, of this *kind*, and nothing else."""

    def decorate(read: Callable[P, T]) -> Callable[P, T]:
        @wraps(read)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(*args, **kwargs)
            except UNREADABLE as error:
                raise WireError(kind, why(error)) from error

        return checked

    return decorate


def _decoded(said: bytes) -> str:
    try:
        return str(said, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("utf-8", str(error)) from error


def to_json(value: object) -> str:
    """Compact ASCII."""
    return json.dumps(value, separators=(",", ":"))


def load(text: str) -> dict[str, Any]:
    """The one JSON object that *text* is; its numbers stay the wire's characters."""
    try:
        message = exact(text.strip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise WireError("json", f"{why(error)} in {quote(text.strip())}") from error
    if type(message) is not dict:
        raise WireError("shape", f"not an object: {quote(text)}")
    return message


def group(
    keys: Sequence[str], data: list[Any], text: str, action: str | None
) -> tuple[Push, ...]:
    """One push a channel, all with the text of their frame."""
    if len(keys) == 1:
        return (Push(keys[0], data, text, action),)
    groups: dict[str, list[Any]] = {key: [] for key in keys}
    for key, element in zip(keys, data, strict=True):
        groups[key].append(element)
    return tuple(Push(key, found, text, action) for key, found in groups.items())
