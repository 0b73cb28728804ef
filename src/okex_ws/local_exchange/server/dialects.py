"""How the exchange speaks to one client: requests in, replies out. No I/O.

A dialect puts decisions that are made elsewhere into the texts of one protocol, for one
connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Union

from ..faults.faults import Rejection
from ..wire import v3, v5
from . import listing
from .logins import Flaw, LoginArguments

# The code and the message of an error.
Error = tuple[Union[int, str], str]


class RequestedChannel(NamedTuple):
    """One channel that a client asks for: its key, and its name as it was given."""

    channel: str
    said: Any


class ParsedRequest(NamedTuple):
    """A request of a client, in a form that both protocols share.

    *op* is ``'ping'``, ``'subscribe'``, ``'unsubscribe'``, ``'login'``, or ``''`` for a
    request that is answered with *error*.
    """

    op: str
    channels: tuple[RequestedChannel, ...] = ()
    id: str | None = None
    login: LoginArguments | None = None
    error: Error = (0, "")


class ClientDialect(Protocol):
    """One protocol on one connection: reads requests, and writes replies.

    It keeps the differences of v3 and v5 out of the request handler, which decides what
    is replied. Only the exchange's event loop calls it. A message that is no request
    gives a `ParsedRequest` with an error; nothing is raised.
    """

    protocol: str
    NO_DATA_RECEIVED: int
    BUFFER_FULL: int
    REPEATED_LOGIN: Error
    FLAWS: ClassVar[Mapping[Flaw, Error]]

    def read(self, message: str | bytes) -> ParsedRequest:
        """The request in *message*; never raises."""
        ...

    def frame(self, text: str) -> str | bytes:
        """*text* as the payload of a text or a binary frame."""
        ...

    def pong(self, plain: bool) -> str | bytes:
        """The payload that answers ``ping``; with *plain* it is always a text frame."""
        ...

    def acknowledgement(
        self, op: str, wanted: RequestedChannel, named: str | None
    ) -> str:
        """The event for one channel of the request whose id is *named*."""
        ...

    def error(self, error: Error, named: str | None = None) -> str:
        """An error event; *named* is the id of the request that it answers."""
        ...

    def logged_in(self, named: str | None) -> str:
        """The event that acknowledges the login whose id is *named*."""
        ...

    def event(self, name: str, **fields: object) -> str | None:
        """An event that no request asked for; ``None`` under v3, which has none."""
        ...

    def refusal(
        self, wanted: RequestedChannel, is_known: bool, is_allowed: bool
    ) -> Error | None:
        """Why *wanted* is refused on this connection; ``None`` if it is not.

        *is_known* is whether the exchange has the channel. *is_allowed* is whether this
        client may have it: the channel needs no login, or the client has logged in.
        """
        ...

    def rejection(self, rejection: Rejection, wanted: RequestedChannel) -> Error:
        """The error for a channel that a script has told the exchange to reject."""
        ...


class _V3Dialect:
    """v3: requests in text frames, replies in deflated frames, codes as numbers."""

    protocol = "v3"
    NO_DATA_RECEIVED = v3.NO_DATA_RECEIVED
    BUFFER_FULL = v3.BUFFER_FULL
    REPEATED_LOGIN: Error = (v3.ALREADY_LOGGED_IN, "Already logged in")
    FLAWS: ClassVar[Mapping[Flaw, Error]] = {
        Flaw.TIMESTAMP: (v3.INVALID_TIMESTAMP, "Invalid timestamp"),
        Flaw.EXPIRED: (v3.TIMESTAMP_EXPIRED, "Timestamp request expired"),
        Flaw.KEY: (v3.INVALID_KEY, "Invalid key"),
        Flaw.PASSPHRASE: (v3.LOGIN_FAILURE, "Login failure"),
        Flaw.SIGN: (v3.INVALID_SIGN, "Invalid sign"),
    }
    # The errors for blank arguments of a login, in the order of its arguments.
    _BLANK: ClassVar[tuple[Error, ...]] = (
        (v3.KEY_BLANK, "Access key cannot be blank"),
        (v3.PASSPHRASE_BLANK, "Passphrase cannot be blank"),
        (v3.TIMESTAMP_BLANK, "Timestamp cannot be blank"),
        (v3.SIGN_BLANK, "Sign cannot be blank"),
    )

    def read(self, message: str | bytes) -> ParsedRequest:
        request = v3.read_request(message)
        if not request.op:
            return ParsedRequest("", error=(v3.UNRECOGNISED, v3.unrecognised(message)))
        if request.op != "login":
            wanted = tuple(RequestedChannel(each, each) for each in request.args)
            return ParsedRequest(request.op, wanted)
        for text, error in zip(request.args, self._BLANK, strict=True):
            if not text:
                return ParsedRequest("", error=error)
        return ParsedRequest("login", login=LoginArguments(*request.args))

    def frame(self, text: str) -> str | bytes:
        return v3.deflate(text)

    def pong(self, plain: bool) -> str | bytes:
        return "pong" if plain else _PONG

    def acknowledgement(
        self, op: str, wanted: RequestedChannel, named: str | None
    ) -> str:
        return v3.acknowledgement(op, wanted.channel)

    def error(self, error: Error, named: str | None = None) -> str:
        return v3.error(int(error[0]), error[1])

    def logged_in(self, named: str | None) -> str:
        return v3.LOGGED_IN

    def event(self, name: str, **fields: object) -> str | None:
        return None

    def refusal(
        self, wanted: RequestedChannel, is_known: bool, is_allowed: bool
    ) -> Error | None:
        channel = wanted.channel
        if listing.protocol(channel) != "v3" or not is_known:
            return v3.NO_SUCH_CHANNEL, v3.no_such_channel(channel)
        if not is_allowed:
            return v3.NOT_LOGGED_IN, f"Channel {channel} needs a login"
        return None

    def rejection(self, rejection: Rejection, wanted: RequestedChannel) -> Error:
        return rejection.code, rejection.message


class _V5Dialect:
    """v5: text frames, codes as texts, and the connection's id in each event."""

    protocol = "v5"
    NO_DATA_RECEIVED = v5.NO_DATA_RECEIVED
    BUFFER_FULL = v5.BUFFER_FULL
    REPEATED_LOGIN: Error = (
        v5.REPEATED_LOGIN,
        "The connection is logged in already, and to one account at most",
    )
    FLAWS: ClassVar[Mapping[Flaw, Error]] = {
        Flaw.TIMESTAMP: (v5.INVALID_TIMESTAMP, "Invalid timestamp"),
        Flaw.EXPIRED: (v5.TIMESTAMP_EXPIRED, "Timestamp request expired"),
        Flaw.KEY: (v5.INVALID_KEY, "Invalid apiKey"),
        Flaw.PASSPHRASE: (v5.WRONG_PASSPHRASE, "Wrong passphrase"),
        Flaw.SIGN: (v5.INVALID_SIGN, "Invalid sign"),
    }

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection_id = secrets.token_hex(4)

    def read(self, message: str | bytes) -> ParsedRequest:
        request = v5.read_request(message)
        named = request.id
        if not request.op:
            error = (request.wrong, v5.unrecognised(message))
            return ParsedRequest("", id=named, error=error)
        if request.op != "login":
            wanted = tuple(
                RequestedChannel(each.channel, each.said) for each in request.args
            )
            return ParsedRequest(request.op, wanted, named)
        if len(request.args) > 1:
            return ParsedRequest("", id=named, error=self.REPEATED_LOGIN)
        login = _login(request.args[0])
        if login is None:
            return ParsedRequest("", id=named, error=(v5.INVALID_ARGS, "Invalid args"))
        return ParsedRequest("login", (), named, login)

    def frame(self, text: str) -> str | bytes:
        # A reply may repeat a client's lone surrogate, which UTF-8 cannot encode.
        return text.encode("utf-8", "replace").decode()

    def pong(self, plain: bool) -> str | bytes:
        return "pong"

    def acknowledgement(
        self, op: str, wanted: RequestedChannel, named: str | None
    ) -> str:
        return v5.event(op, self.connection_id, named, arg=wanted.said)

    def error(self, error: Error, named: str | None = None) -> str:
        code, message = str(error[0]), error[1]
        return v5.event("error", self.connection_id, named, code=code, msg=message)

    def logged_in(self, named: str | None) -> str:
        return v5.event("login", self.connection_id, named, code="0", msg="")

    def event(self, name: str, **fields: object) -> str | None:
        return v5.event(name, self.connection_id, None, **fields)

    def refusal(
        self, wanted: RequestedChannel, is_known: bool, is_allowed: bool
    ) -> Error | None:
        channel, home = wanted.channel, v5.home(wanted.channel)
        if listing.protocol(channel) != "v5" or not is_known:
            return v5.NO_SUCH_CHANNEL, v5.no_such_channel(wanted.said)
        if home != self.path:
            if home == v5.BUSINESS:
                return v5.NOW_ON_BUSINESS, "This channel has moved to '/business'"
            if self.path == v5.BUSINESS:
                return v5.NOT_ON_BUSINESS, "This channel is not on '/business'"
            return v5.NO_SUCH_CHANNEL, v5.no_such_channel(wanted.said)
        if not is_allowed:
            return v5.NOT_LOGGED_IN, "Please log in"
        return None

    def rejection(self, rejection: Rejection, wanted: RequestedChannel) -> Error:
        named = f"{v5.words(wanted.said)} " if rejection.named else ""
        return rejection.code, named + rejection.message


_PONG = v3.deflate("pong")


def _login(said: object) -> LoginArguments | None:
    if not isinstance(said, dict):
        return None
    names = ("apiKey", "passphrase", "timestamp", "sign")
    fields = [each for name in names if isinstance(each := said.get(name), str)]
    return (
        LoginArguments(*fields) if len(fields) == len(names) and all(fields) else None
    )


PATH_V3 = "/ws/v3"
BASE_V5 = "/ws/v5"
_PATHS_V5 = {f"{BASE_V5}/{name}": name for name in (v5.PUBLIC, v5.BUSINESS, v5.PRIVATE)}


def dialect(target: str) -> ClientDialect | None:
    """The dialect of a path, whose query is ignored; ``None`` for an unknown path."""
    path = target.partition("?")[0]
    if path == PATH_V3:
        return _V3Dialect()
    return _V5Dialect(_PATHS_V5[path]) if path in _PATHS_V5 else None
