"""The protocols of the exchange, as a reader of a producer hears them.

A forwarded text is read as the exchange's own. What else a reader has to be told
travels as a note: a text that no exchange sends, because it begins with a NUL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..base.errors import WireError
from ..base.state import Cause, CauseCode, State
from ..net.frames import Cut
from ..protocol.messages import (
    Acknowledged,
    Message,
    Push,
    Request,
    SocketPath,
    Stamp,
    TradeStamp,
    Unsubscribed,
    Vouched,
    Withheld,
)
from ..protocol.v3 import V3
from ..protocol.v5 import V5

_NUL = b"\0"
# What separates the topic from the text, where a text may be of several.
_MARK = b"\x01"
_KINDS: dict[str, type[Any]] = {
    each.__name__: each for each in (Acknowledged, Unsubscribed, Vouched, Withheld)
}


def note(message: Message) -> bytes:
    """The text that a forwarding protocol reads as *message*."""
    fields = [_plain(field) for field in message]
    return _NUL + json.dumps([type(message).__name__, *fields]).encode()


def _plain(field: Any) -> Any:
    if isinstance(field, Cause):
        code = None if field.code is None else field.code.value
        return [
            code,
            str(field.text),
            field.endpoint,
            field.exchange_code,
            field.new_id,
        ]
    return list(field) if isinstance(field, tuple) else field


def _cause(
    code: str | None, text: str, endpoint: str, known: Any, new_id: str
) -> Cause:
    named = None if code is None else CauseCode(code)
    return Cause(named, text, endpoint, exchange_code=known, new_id=new_id)


def _noted(said: bytes) -> Message:
    try:
        kind, *fields = json.loads(said[1:])
        if kind == "Withheld":
            names, state, cause = fields
            return Withheld(tuple(names), State(state), _cause(*cause))
        if kind == "Vouched":
            *numbers, cause = fields
            asked, offset, age, lease = map(float, numbers)
            return Vouched(asked, offset, age, lease, _cause(*cause))
        made: Message = _KINDS[kind](*fields)
        return made
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # The text came from no `note`: from a recording, say.
        raise WireError("shape", "a note that nothing here has made") from error


def requested(text: str) -> tuple[str, list[str]]:
    """What a request of a forwarding protocol asks for: the operation, and of what."""
    op, *names = text.split("\n")
    return op, names


class _Forwarded:
    """What the two forwarding protocols share; a `WireProtocol` comes after it.

    All channels are read over one connection to Redis, those of all paths of the
    exchange, and none is private.
    """

    def path(self, channel: str, chosen: str = "") -> SocketPath:
        """One path, unless the script chose one; ``ValueError`` if it is private."""
        path: SocketPath = super().path(channel, chosen)  # type: ignore[misc]
        if path.login:
            raise ValueError(f"channel {channel!r} is private: it is never published")
        return SocketPath(chosen)

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The endpoint itself."""
        return endpoint

    def is_deep(self, channel: str) -> bool:
        """No channel counts: the exchange's advice is for its own connections."""
        return False

    def request(self, op: str, channels: Sequence[str], number: int) -> Request:
        """One request *op* for all of *channels*: `requested` reads it."""
        return Request("\n".join((op, *channels)), tuple(channels))

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The messages in a forwarded text, or the one that a note is."""
        if said[:1] == _NUL:
            return (_noted(said),)
        messages: tuple[Message, ...] = super().read(said)  # type: ignore[misc]
        return messages


class ForwardedV5(_Forwarded, V5):
    """`V5`, as it comes from a producer. A text is of one channel."""

    def framed(self, topic: str, text: bytes) -> bytes:
        """*text*, which came as *topic*'s, for `read`."""
        return text


class ForwardedV3(_Forwarded, V3):
    """`V3`, as it comes from a producer.

    The exchange's text may be of several channels, and is published under each of them.
    """

    def framed(self, topic: str, text: bytes) -> bytes:
        """*text*, which came as *topic*'s, for `read`."""
        return _MARK + topic.encode() + _MARK + text

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The pushes of the topic that the text came as; or the message of a note."""
        if said[:1] != _MARK:
            return super().read(said)
        _, topic, text = said.split(_MARK, 2)
        name = topic.decode()
        return tuple(
            each
            for each in super().read(text)
            if not isinstance(each, Push) or each.channel == name
        )

    def head(self, said: bytes) -> bytes | None:
        """``None``: each text is read as it comes."""
        return None

    def stamp(self, said: bytes) -> Stamp | None:
        """``None``: each text is read as it comes."""
        return None

    def trade_stamp(self, said: bytes) -> TradeStamp | None:
        """``None``: each text is read as it comes."""
        return None

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """*payload* itself: the producer has unpacked it."""
        if type(payload) is Cut:
            return super().unpack(payload, False)
        return payload


_KNOWN: dict[str, ForwardedV5 | ForwardedV3] = {
    "v5": ForwardedV5(),
    "v3": ForwardedV3(),
}


def forwarded(protocol: str) -> ForwardedV5 | ForwardedV3:
    """The forwarding protocol of venues that speak *protocol*."""
    return _KNOWN[protocol]
