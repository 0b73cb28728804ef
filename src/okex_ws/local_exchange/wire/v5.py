"""The exchange's side of protocol v5: requests in, events out, channel keys. No I/O.

Every message is a text frame: JSON, or ``ping`` and ``pong``. The protocol names a
channel by an object, and the local exchange by a key: ``'books5:BTC-USDT'`` if the
object has ``instId`` alone, ``'account'`` if it has no parameter, else
``'orders:instType=ANY'``, with the parameters sorted by name and separated by commas. A
spread has ``sprdId`` in the place of ``instId``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .values import to_json

# Error codes: documentation of v5, "Error Code", WebSocket.
INVALID_TIMESTAMP = "60004"
INVALID_KEY = "60005"
TIMESTAMP_EXPIRED = "60006"
INVALID_SIGN = "60007"
NOT_LOGGED_IN = "60011"
INVALID_REQUEST = "60012"
INVALID_ARGS = "60013"
NO_SUCH_CHANNEL = "60018"
WRONG_PASSPHRASE = "60024"  # noqa: S105
REPEATED_LOGIN = "60031"
NOW_ON_BUSINESS = "64001"
NOT_ON_BUSINESS = "64002"
SERVICE_UPGRADE = "64008"
# Close codes: the same documentation.
NO_DATA_RECEIVED = 4004
BUFFER_FULL = 4005

PUBLIC, BUSINESS, PRIVATE = "public", "business", "private"

# The path of each channel that is not on /public. `_BUSINESS` matches more.
_HOMES = {
    **dict.fromkeys(
        ("account", "positions", "balance_and_position", "orders"), PRIVATE
    ),
    **dict.fromkeys(("orders-algo", "trades-all"), BUSINESS),
}
# Channels of /public that need a login. The exchange also requires a VIP fee tier,
# which is not checked here.
_GATED = ("books-l2-tbt", "books50-l2-tbt")
_BUSINESS = re.compile(r"(mark-price-|index-)?candle\w+|sprd-[\w-]+")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
# The separators of a key: a value that contains one would make the key ambiguous.
_NO_VALUE = re.compile(r"[,=:\s]")


class Arg(NamedTuple):
    """A channel that a client names: its key, and *said*, the object that came."""

    channel: str
    said: Mapping[str, str]


class V5Request(NamedTuple):
    """A request of a client.

    *op* is ``'ping'``, ``'subscribe'`` or ``'unsubscribe'`` (*args* are `Arg`),
    ``'login'`` (*args* are the objects as they came), or ``''`` for a message that the
    exchange does not understand, with the error code *wrong*. *id* is the request's own
    id, if the client gave one.
    """

    op: str
    args: tuple[Any, ...] = ()
    id: str | None = None
    wrong: str = INVALID_REQUEST


def read_request(message: str | bytes) -> V5Request:
    """The request in *message*; never raises, for any text or bytes."""
    if message == "ping":
        return V5Request("ping")
    try:
        request = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return V5Request("")
    named = request.get("id")
    if named is not None and not (isinstance(named, str) and _ID.fullmatch(named)):
        return V5Request("")
    op, args = request.get("op"), request.get("args")
    if op not in ("subscribe", "unsubscribe", "login") or not isinstance(args, list):
        return V5Request("", (), named)
    read = args if op == "login" else [_arg(each) for each in args]
    if not read or None in read:
        return V5Request("", (), named, INVALID_ARGS)
    return V5Request(op, tuple(read), named)


def _arg(said: object) -> Arg | None:
    if not isinstance(said, dict) or "channel" not in said:
        return None
    if not all(isinstance(value, str) and value for value in said.values()):
        return None
    return Arg(key(said), said)


def key(arg: Mapping[str, str]) -> str:
    """The key of the channel that *arg* names.

    An object with a separator of keys in its names or values gets the empty key, which
    no channel has.
    """
    rest = {name: value for name, value in arg.items() if name != "channel"}
    if any(_NO_VALUE.search(each) for each in (*rest, *arg.values())):
        return ""
    if rest.keys() == {"instId"}:
        return f"{arg['channel']}:{arg['instId']}"
    named = ",".join(f"{name}={rest[name]}" for name in sorted(rest))
    return f"{arg['channel']}:{named}" if named else arg["channel"]


def arg_of(channel: str) -> dict[str, str]:
    """The object that names the channel of this key."""
    name, _, rest = channel.partition(":")
    arg = {"channel": name}
    if rest and "=" not in rest:
        arg["instId"] = rest
    elif rest:
        arg |= dict(each.partition("=")[::2] for each in rest.split(","))
    return arg


def home(channel: str) -> str:
    """The path of a channel: ``'public'``, ``'business'`` or ``'private'``.

    An unknown name counts as ``'public'``, unless it has the form of a candle's or a
    spread's.
    """
    name = channel.partition(":")[0]
    if _BUSINESS.fullmatch(name):
        return BUSINESS
    return _HOMES.get(name, PUBLIC)


def is_gated(channel: str) -> bool:
    """Whether a market's channel needs a login, as two books do since May 2022."""
    return channel.partition(":")[0] in _GATED


def is_private(channel: str) -> bool:
    """Whether a channel is about an account, and therefore needs a login."""
    return home(channel) == PRIVATE or channel.partition(":")[0] == "orders-algo"


def words(arg: Mapping[str, str]) -> str:
    """A channel as error messages name it: ``channel:books5,instId:BTC-USDT``."""
    return ",".join(f"{name}:{value}" for name, value in arg.items())


def event(name: str, connection_id: str, named: str | None, **fields: object) -> str:
    """An event with its *fields*; *named* is the id of the request that it answers."""
    head = {} if named is None else {"id": named}
    return to_json({**head, "event": name, **fields, "connId": connection_id})


def no_such_channel(arg: Mapping[str, str]) -> str:
    """The error message for an unknown channel, or for a channel of another path."""
    return (
        f"Wrong URL or {words(arg)} doesn't exist. Please use the correct URL, channel"
        " and parameters referring to API document."
    )


def unrecognised(message: str | bytes) -> str:
    """The error message for a request that the exchange does not understand."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    return f"Invalid request: {text}"
