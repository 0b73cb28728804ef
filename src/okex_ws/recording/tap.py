"""One connection as it is recorded: all that is received and sent, and no secret.

On the connection's thread alone, which it never keeps waiting: whatever it is told is
put into a queue, as it is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from ..base.clock import Clock
from ..base.errors import ConnectionLost, HandshakeFailed, OkexWSError
from ..model.credentials import Credentials
from ..model.venues import Venue
from ..net.stream import Network, public_endpoint
from ..net.transport import NORMAL, Frame, Transport
from ..protocol.v3 import deflate
from .format import Entry

# How a login begins, as both protocols write it; and what is recorded in its place.
_LOGIN = '"op":"login"'
_REDACTED = '{"op":"login","args":"redacted"}'
_MOST_INFLATED = 4 << 20


class Sink(Protocol):
    """Where entries go; none of it waits."""

    def number(self) -> int:
        """The number of the next connection."""
        ...

    def frames(
        self, wall: float, mono: float, number: int, frames: Sequence[Frame]
    ) -> None:
        """Messages of one read came."""
        ...

    def put(self, entry: Entry) -> None:
        """Anything else."""
        ...


class RecordingTap:
    """The recording of one `Connection`, through all of its openings.

    *line* is its number; *facts* is what is known of it: ``venue`` and ``path``.
    """

    def __init__(
        self,
        sink: Sink,
        line: int,
        clock: Clock,
        facts: Mapping[str, Any],
        credentials: Credentials | None,
        tell: Callable[[OkexWSError], object],
    ) -> None:
        # Given what goes wrong with the recording, on any thread.
        self.tell = tell
        self._sink = sink
        self._clock = clock
        self._facts = {"line": line, **facts}
        self._redaction = None if credentials is None else Redaction(credentials)
        # 0 while there is none.
        self._number = 0

    def opened(self, url: str) -> None:
        """A connection is open; *url* is fit for logs."""
        self._number = self._sink.number()
        self._put("open", {"url": url, **self._facts})

    def received(self, frames: Sequence[Frame]) -> None:
        """Messages came, as they are."""
        wall, mono = self._clock.wall(), self._clock.monotonic()
        if self._redaction is not None:
            clean = self._redaction.payload
            frames = [(clean(payload, binary), binary) for payload, binary in frames]
        self._sink.frames(wall, mono, self._number, frames)

    def sent(self, text: str) -> None:
        """A text is sent."""
        if self._redaction is not None:
            text = self._redaction.request(text)
        self._put("out", payload=text.encode())

    def control(self, opcode: int, payload: bytes) -> None:
        """A ping, a pong or a close frame came."""
        if self._redaction is not None:
            payload = self._redaction.payload(payload, False)
        self._put("control", {"opcode": opcode}, payload)

    def close_frame_sent(self, code: int) -> None:
        """A close frame is sent: what still comes nobody reads."""
        payload = code.to_bytes(2, "big")
        self._put("control", {"opcode": 8, "sent": True}, payload)

    def ended(self, url: str, error: OkexWSError | None) -> None:
        """The connection, or an attempt at one, ended; *error* unless we closed it."""
        number, self._number = self._number, 0
        if number:
            self._put("end", self._why(error), number=number)
        elif error is not None:
            facts = {"url": url, **self._facts, **self._why(error)}
            self._put("failed", facts)

    def _why(self, error: OkexWSError | None) -> dict[str, Any]:
        if error is None:
            return {"cause": "", "why": "closed"}
        why = str(error)
        if isinstance(error, (ConnectionLost, HandshakeFailed)):
            why = error.reason
        if self._redaction is not None:
            why = self._redaction.text(why)
        facts: dict[str, Any] = {"cause": type(error).__name__, "why": why}
        for name in ("code", "status", "retry_after"):
            if (value := getattr(error, name, None)) is not None:
                facts[name] = value
        return facts

    def _put(
        self,
        kind: str,
        facts: Mapping[str, Any] | None = None,
        payload: bytes = b"",
        number: int | None = None,
    ) -> None:
        wall, mono = self._clock.wall(), self._clock.monotonic()
        number = self._number if number is None else number
        self._sink.put(Entry(wall, mono, number, kind, payload, False, facts or {}))


def describe(venue: Venue, path: str) -> dict[str, Any]:
    """What a recording says of the site of a connection: what a replay needs of it."""
    return {
        "path": path,
        "venue": {
            "name": venue.name,
            "protocol": venue.protocol,
            "markets": venue.markets,
            "requests_per_hour": venue.requests_per_hour,
            "idle_repeat": venue.idle_repeat,
            "depths_per_connection": venue.depths_per_connection,
            "channels_per_connection": venue.channels_per_connection,
        },
    }


class Redaction:
    """What of one connection is not written: the key, and what was signed with it."""

    def __init__(self, credentials: Credentials) -> None:
        self._secrets: dict[str, bytes] = {}
        self._learn(getattr(credentials, name) for name in credentials.__slots__)

    def _learn(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            for form in _forms(secret):
                self._secrets[form] = form.encode()

    def request(self, text: str) -> str:
        """*text* as it may be written: of a login that it was one."""
        if _LOGIN not in text:
            return self.text(text)
        self._learn(_signed(text))
        return _REDACTED

    def text(self, text: str) -> str:
        """*text* without a secret: the exchange may repeat what it was told."""
        for secret in self._secrets:
            text = text.replace(secret, "...")
        return text

    def payload(self, payload: bytes, binary: bool) -> bytes:
        """A frame's payload without a secret; one of v3 is inflated to see."""
        if not binary:
            return self._clean(payload)
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            said = stream.decompress(payload, _MOST_INFLATED)
        except zlib.error:
            return self._clean(payload)
        if (clean := self._clean(said)) == said:
            return self._clean(payload)
        return deflate(clean)

    def _clean(self, payload: bytes) -> bytes:
        for secret in self._secrets.values():
            payload = payload.replace(secret, b"...")
        return payload


def _signed(text: str) -> Iterable[str]:
    """What a login says, but for its time."""
    for argument in json.loads(text)["args"]:
        values = argument.values() if isinstance(argument, dict) else (argument,)
        yield from (value for value in values if not _is_number(value))


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).isdigit()


def _forms(secret: str) -> Iterable[str]:
    """*secret*, and as it looks inside JSON, and inside JSON inside JSON."""
    forms = {secret}
    quotes: tuple[Callable[[str], str], ...] = (
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: text.replace("/", "\\/"),
    )
    for _ in range(2):
        forms |= {quote(form) for form in forms for quote in quotes}
    # The longest first: the others may be a part of it.
    return sorted(forms, key=len, reverse=True)


class RecordingTransport(Transport):
    """A `Transport` whose every message is recorded before anybody reads it."""

    tap: RecordingTap
    # Control frames of the present read: behind the messages of it, as a close frame
    # is, and their time is the same.
    _held: list[Callable[[], None]] | None = None

    def read(self) -> list[Frame]:
        """See `Transport.read`."""
        self._held, frames = [], []
        try:
            frames = super().read()
        finally:
            held, self._held = self._held, None
            if frames:
                self.tap.received(frames)
            for tell in held:
                tell()
        return frames

    def send(self, text: str) -> None:
        """See `Transport.send`."""
        self.tap.sent(text)
        super().send(text)

    def begin_close(self, code: int = NORMAL) -> None:
        """See `Transport.begin_close`."""
        self._tell(partial(self.tap.close_frame_sent, code))
        super().begin_close(code)

    def _control(self, frame: bytes, payload: bytes) -> None:
        self._tell(partial(self.tap.control, frame[0] & 0x0F, payload))
        super()._control(frame, payload)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._held is None:
            tell()
        else:
            self._held.append(tell)


def open_transport(
    network: Network,
    url: str,
    deadline: float,
    cancelled: Callable[[], bool],
    tap: RecordingTap | None,
) -> Transport:
    """`Transport.open`, and recorded if there is a *tape*."""
    if tap is None:
        return Transport.open(network, url, deadline, cancelled)
    transport = RecordingTransport.open(network, url, deadline, cancelled)
    transport.tap = tap
    tap.opened(public_endpoint(url))
    return transport
