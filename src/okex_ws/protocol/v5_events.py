"""What OKX v5 says beside data: events, and the channels that its texts name. Pure.

An event answers a request, or tells of a connection. `UnreadableMessage` for one that
is not as documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..base.errors import WireError
from .catalogue import escape, key_of
from .common import MAX_MESSAGE, UnreadableMessage
from .json_text import echoed
from .messages import (
    Acknowledged,
    LoggedIn,
    Message,
    Notice,
    Refused,
    Terminated,
    Unknown,
    Unsubscribed,
)

# A channel in the text of an error, "channel:ticker,instId:BTC-USDT doesn't exist". A
# dot inside an id belongs to the channel; a full stop behind it does not.
_SAID = re.compile(
    r"(?<![\w-])channel:([\w-]{1,64})"
    r"((?:,(?!channel:)[A-Za-z0-9]{1,32}:[\w-]{1,64}(?:\.[\w-]{1,64}){0,4})*)"
    r"(?![\w-]|[.:]\w)",
    re.ASCII,
)
EVENTS = (
    *("subscribe", "unsubscribe", "login", "error", "notice"),
    *("channel-conn-count", "channel-conn-count-error"),
)


# Bounded, like every cache of a peer's text; a process subscribes fewer instruments.
@lru_cache(maxsize=8192)
def instrument_key(channel: Any, inst_id: Any, id_name: str = "instId") -> str:
    """The key of *channel* of one instrument; a spread's *id_name* is ``'sprdId'``."""
    return key_of({"channel": channel, id_name: inst_id})


def about(argument: Mapping[str, str]) -> str:
    """The id of the instrument or spread that *argument* names, or ``''``."""
    return argument.get("instId") or argument.get("sprdId", "")


def argument_key(argument: Any) -> str:
    """The key of the channel that a peer's *argument* names, else `WireError`."""
    try:
        if len(argument) == 2 and "instId" in argument:
            return instrument_key(argument["channel"], argument["instId"])
        # The exchange adds the user's id to the channel in pushes of private channels.
        return key_of({name: argument[name] for name in argument if name != "uid"})
    except (TypeError, LookupError, ValueError) as error:
        own = _as_sent(argument)
        raise UnreadableMessage(
            "shape", "arg is {}: {}", argument, error, channel=own
        ) from error


def _as_sent(argument: Any) -> str | None:
    """What *argument*, which is no channel's, has of a key; ``None`` if nothing."""
    if type(argument) is not dict:
        return None
    names = map(argument.get, ("channel", "instId"))
    channel, instrument = (n[:64] if isinstance(n, str) else "" for n in names)
    key = f"{escape(channel)}:{escape(instrument)}"
    return None if key == ":" else key.removesuffix(":")


def mentioned(message: str) -> tuple[str, ...]:
    """The keys of the channels that an error's text names.

    The text may be a sentence, or contain an echo of the request.
    """
    text = message[:MAX_MESSAGE]
    found: dict[str, None] = {}
    for argument in (*_said(text), *echoed(text)):
        try:
            found[argument_key(argument)] = None
        except WireError:
            continue
    return tuple(found)


def event(message: dict[str, Any]) -> Message:
    """What the event *message* says."""
    name, number = message["event"], message.get("id")
    if number is not None and not isinstance(number, str):
        raise UnreadableMessage("shape", "id {}", number)
    if name == "subscribe":
        return Acknowledged(argument_key(message.get("arg")), number)
    if name == "unsubscribe":
        return Unsubscribed(argument_key(message.get("arg")), number)
    if name == "login" and message.get("code") == "0":
        return LoggedIn()
    if name in ("error", "login", "notice"):
        return _told(name, message, number)
    if name in ("channel-conn-count", "channel-conn-count-error"):
        return _counted(name, message)
    if not isinstance(name, str):
        raise UnreadableMessage("shape", "event {}", name)
    return Unknown("event")


def _told(event: str, message: dict[str, Any], number: str | None) -> Message:
    code, text = message.get("code"), message.get("msg", "")
    if not isinstance(code, str) or not re.fullmatch("[0-9]{1,9}", code):
        raise UnreadableMessage("shape", f"code {{}} of {event}", code)
    if not isinstance(text, str):
        raise UnreadableMessage("shape", f"msg of {event} is {{}}", text)
    return Notice(code, text) if event == "notice" else Refused(code, text, number)


def _counted(event: str, message: dict[str, Any]) -> Message:
    kind, count = message.get("channel"), message.get("connCount")
    if not isinstance(kind, str) or not isinstance(count, str):
        raise UnreadableMessage("shape", f"{event} of {{}}: {{}}", kind, count)
    text = f"{count} connections have {kind!r}"
    return Terminated(kind, text) if event.endswith("error") else Notice(event, text)


def _said(text: str) -> Iterator[dict[str, str]]:
    """The objects of the channels that a sentence names."""
    for channel, rest in _SAID.findall(text):
        pairs = (part.partition(":") for part in rest.split(",") if part)
        yield {**{name: value for name, _, value in pairs}, "channel": channel}
