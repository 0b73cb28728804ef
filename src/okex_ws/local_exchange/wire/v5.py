"""The exchange's side of protocol v5: requests in, events out, keys. No I/O.

Every message is a text frame: JSON, or ``ping`` and ``pong``. A channel is an object
there, and a key here: ``'books5:BTC-USDT'`` for one with ``instId`` alone,
``'account'`` for one without any parameter, else ``'orders:instType=ANY'``, parameters
by name and with commas between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .values import to_json

# Documentation of v5, "Error Code", WebSocket.
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
# And its close codes.
NO_DATA_RECEIVED = 4004
BUFFER_FULL = 4005

PUBLIC, BUSINESS, PRIVATE = "public", "business", "private"

# Where channels live, but those of /public.
_HOMES = {
    **dict.fromkeys(
        ("account", "positions", "balance_and_position", "orders"), PRIVATE
    ),
    **dict.fromkeys(("orders-algo", "trades-all"), BUSINESS),
}
# Of /public, for those who have logged in (and, which is not checked here, pay well).
_GATED = ("books-l2-tbt", "books50-l2-tbt")
_CANDLE = re.compile(r"(mark-price-|index-)?candle\w+")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
# What would make two channels out of one key, or none.
_NO_VALUE = re.compile(r"[,=:\s]")


class Arg(NamedTuple):
    """A channel as a client names it: its key, and the object itself."""

    channel: str
    said: Mapping[str, str]


class V5Request(NamedTuple):
    """What a client asked: *op* is ``'ping'``, ``'subscribe'``, ``'unsubscribe'``.

    Or ``'login'``, whose *args* are the objects as they came. *op* is ``''`` for what
    the exchange does not understand, for the reason *wrong*.
    """

    op: str
    args: tuple[Any, ...] = ()
    id: str | None = None
    wrong: str = INVALID_REQUEST


def read_request(message: str | bytes) -> V5Request:
    """What *message* asks for; never raises, whatever a client sends."""
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
    """The key of a channel.

    Objects that no channel can have share one that there is not: the empty one.
    """
    rest = {name: value for name, value in arg.items() if name != "channel"}
    if any(_NO_VALUE.search(each) for each in (*rest, *arg.values())):
        return ""
    if rest.keys() == {"instId"}:
        return f"{arg['channel']}:{arg['instId']}"
    named = ",".join(f"{name}={rest[name]}" for name in sorted(rest))
    return f"{arg['channel']}:{named}" if named else arg["channel"]


def arg_of(channel: str) -> dict[str, str]:
    """The object of a channel's key."""
    name, _, rest = channel.partition(":")
    arg = {"channel": name}
    if rest and "=" not in rest:
        arg["instId"] = rest
    elif rest:
        arg |= dict(each.partition("=")[::2] for each in rest.split(","))
    return arg


def home(channel: str) -> str:
    """Which of the three paths a channel lives on, be there such a channel or not."""
    name = channel.partition(":")[0]
    if _CANDLE.fullmatch(name):
        return BUSINESS
    return _HOMES.get(name, PUBLIC)


def is_gated(channel: str) -> bool:
    """Whether a channel of the market needs a login (since May 2022)."""
    return channel.partition(":")[0] in _GATED


def is_private(channel: str) -> bool:
    """Whether a channel is about an account, and needs a login therefore."""
    return home(channel) == PRIVATE or channel.partition(":")[0] == "orders-algo"


def words(arg: Mapping[str, str]) -> str:
    """A channel as errors name it: ``channel:books5,instId:BTC-USDT``."""
    return ",".join(f"{name}:{value}" for name, value in arg.items())


def event(name: str, connection_id: str, named: str | None, **fields: object) -> str:
    """An event with its fields, and the id of the request that it answers, if any."""
    head = {} if named is None else {"id": named}
    return to_json({**head, "event": name, **fields, "connId": connection_id})


def no_such_channel(arg: Mapping[str, str]) -> str:
    """What is said of an unknown channel, or of one on the wrong path."""
    return (
        f"Wrong URL or {words(arg)} doesn't exist. Please use the correct URL, channel"
        " and parameters referring to API document."
    )


def unrecognised(message: str | bytes) -> str:
    """What is said of a request that makes no sense."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    return f"Invalid request: {text}"
