"""Which recorded request an answer belongs to, and answers that a recording lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..model.instrument_ids import market_of
from ..pool.options import WIRE_PROTOCOLS
from ..protocol.catalogue import (
    INDEX_ALIASES,
    KNOWN,
    SPREAD_ALIASES,
    ChannelSpec,
    argument_of,
    key_of,
)
from ..protocol.messages import Refused
from ..protocol.v3 import deflate


class _RecordedRequest(NamedTuple):
    op: str
    number: str | None
    keys: list[str]


class Outstanding:
    """The requests of one recorded opening that are not answered yet.

    While a recording is read, it finds the request that an answer belongs to, so that
    the replay can give the answer to the client that makes the same request. An answer
    to no request is told apart by its empty list of channels. One thread uses it.
    """

    def __init__(self, dialect: ReplayDialect) -> None:
        # Whether requests were not recorded: then each acknowledgement is an answer.
        self.unknown = False
        self._dialect = dialect
        self._requests: list[_RecordedRequest] = []
        self._logging_in = False

    def note_sent(self, payload: bytes) -> None:
        """Note a text that the recorded program sent."""
        try:
            said: dict[str, Any] = json.loads(payload)
            op, number = said["op"], said.get("id")
            if op == "login":
                self._logging_in = True
                return
            keys = self._dialect.keys(said["args"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return  # a ping, or text that is not a request
        self._requests.append(_RecordedRequest(op, number, keys))

    def acknowledged(self, op: str, key: str) -> list[str]:
        """The channel, if a request *op* for it is unanswered; else no channel."""
        for request in self._requests:
            if request.op == op and key in request.keys:
                self._answer(request, [key])
                return [key]
        return [key] if self.unknown else []

    def refused(self, message: Refused) -> tuple[str, list[str]]:
        """The operation and channels that an error answers, found as `Session` does.

        There are no channels if the error answers no request.
        """
        named = self._dialect.wire.mentioned(message.message)
        for request in self._requests:
            mine = [key for key in named if key in request.keys]
            by_number = message.id is not None and message.id == request.number
            if by_number or (message.id is None and (mine or not named)):
                keys = mine or list(request.keys)
                self._answer(request, keys)
                return request.op, keys
        return "subscribe", []

    def _answer(self, request: _RecordedRequest, keys: list[str]) -> None:
        for key in keys:
            request.keys.remove(key)
        if not request.keys:
            self._requests.remove(request)

    def logged_in(self) -> None:
        """Note that a login was accepted."""
        self._logging_in = False

    def refuses_login(self) -> bool:
        """Whether an error answers a login, which then waits no longer."""
        asked, self._logging_in = self._logging_in, False
        return asked


_V3 = {known.v3: known for known in KNOWN.values() if known.v3 is not None}


_V5 = {known.v5: known for known in KNOWN.values() if known.v5 is not None} | {
    name: KNOWN[topic] for name, topic in SPREAD_ALIASES.items()
}


_OF_INDEX = {name: KNOWN[topic] for name, topic in INDEX_ALIASES.items()}


_ID = re.compile(rb'("id"\s*:\s*)"[^"]*"')


class ChannelInfo(NamedTuple):
    """What a channel is about; *topic* and *kind* are as in `ChannelName`.

    *market* and *instrument_id* are ``''`` for a channel that is not about one.
    """

    market: str
    instrument_id: str
    topic: str
    kind: str


# Market, id and channels of an instrument, as `Replay.instruments` has them.
Recorded = tuple[str, str, tuple[str, ...]]
_MOST_LISTED = 10


def describe(recorded: Iterable[Recorded]) -> str:
    """The instruments of a recording with their channels, in one sentence.

    Beyond ten instruments it says how many more there are.
    """
    every = [f"{name} ({market}): {', '.join(t)}" for market, name, t in recorded]
    more = len(every) - _MOST_LISTED
    shown = "; ".join(every[:_MOST_LISTED])
    return f"{shown}; and {more} more" if more > 0 else shown


class ReplayDialect:
    """Makes the exchange's answers that a recording has no text for, in its protocol.

    A client may ask for what was not asked for when the recording was made. It also
    reads the names of channels. It never changes, so that any thread may call.
    """

    def __init__(self, protocol: str) -> None:
        self.is_v5 = protocol == "v5"
        self.wire = WIRE_PROTOCOLS[protocol]

    def channel_info(self, key: str) -> ChannelInfo:
        """What the channel with this *key* is about."""
        if self.is_v5:
            argument = argument_of(key)
            name, spread = argument["channel"], argument.get("sprdId", "")
            about = spread or argument.get("instId", "")
            market = "index" if name in _OF_INDEX else market_of(about) or ""
            market = "spread" if spread else market
            return self._channel_info(
                _V5.get(name) or _OF_INDEX.get(name), market, about, name
            )
        table, _, about = key.partition(":")
        market, _, name = table.partition("/")
        return self._channel_info(_V3.get(name), market, about, name)

    @staticmethod
    def _channel_info(
        known: ChannelSpec | None, market: str, about: str, name: str
    ) -> ChannelInfo:
        topic, kind = (name, "data") if known is None else (known.topic, known.kind)
        return ChannelInfo(market, about, topic, kind)

    def keys(self, arguments: Sequence[Any]) -> list[str]:
        """The channel keys of the arguments of a request."""
        return [key_of(each) if self.is_v5 else each for each in arguments]

    def payload(self, text: str) -> tuple[bytes, bool]:
        """The payload of a frame with this *text*, and whether the frame is binary."""
        if self.is_v5:
            return text.encode(), False
        return deflate(text.encode()), True

    def answer(self, op: str, key: str, number: str | None) -> tuple[bytes, bool]:
        """The acknowledgement of a request *op* of channel *key*."""
        said: dict[str, Any]
        if self.is_v5:
            said = {"event": op, "arg": argument_of(key), "connId": "replay"}
        else:
            said = {"event": op, "channel": key}
        return self._event(said, number)

    def refusal(
        self, key: str, number: str | None, recorded: Iterable[Recorded] = ()
    ) -> tuple[bytes, bool]:
        """The answer to a subscribe for a channel that is not in the recording.

        It lists the channels of its instrument that are, of those *recorded*, or, if
        there are none, all instruments.
        """
        about, every = self.channel_info(key), list(recorded)
        mine = [e for e in every if e[:2] == (about.market, about.instrument_id)]
        listed = describe(mine or every) or "no instrument"
        said: dict[str, Any]
        if self.is_v5:
            named = ",".join(f"{n}:{value}" for n, value in argument_of(key).items())
            said = {
                "event": "error",
                "code": "60018",
                "msg": f"{named} doesn't exist in the recording, which has {listed}.",
                "connId": "replay",
            }
        else:
            text = f"Channel {key} doesn't exist in the recording, which has {listed}"
            said = {"event": "error", "message": text, "errorCode": 30040}
        return self._event(said, number)

    def logged_in(self, number: str | None) -> tuple[bytes, bool]:
        """The answer to a login."""
        said: dict[str, Any]
        if self.is_v5:
            said = {"event": "login", "code": "0", "msg": "", "connId": "replay"}
        else:
            said = {"event": "login", "success": True}
        return self._event(said, number)

    def _event(self, said: dict[str, Any], number: str | None) -> tuple[bytes, bool]:
        if self.is_v5 and number is not None:
            said = {"id": number, **said}
        return self.payload(json.dumps(said, separators=(",", ":")))

    def renumbered(self, payload: bytes, number: str | None) -> bytes:
        """A recorded answer with the id of the request *number* (under v5)."""
        if not self.is_v5 or number is None:
            return payload
        own = b'\\g<1>"' + number.encode() + b'"'
        return _ID.sub(own, payload, count=1)
