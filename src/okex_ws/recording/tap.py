"""The recording tap of a connection: records all traffic, and no secret.

A tap is called on the connection's thread, which it never keeps waiting: it removes
secrets and puts an entry into the recorder's queue.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from ..base.clock import Clock
from ..base.errors import ConnectionLost, HandshakeFailed, OkexWSError
from ..model.credentials import Credentials
from ..model.numbers import Clean
from ..model.redaction import Redaction
from ..model.venues import Venue
from ..net.frames import HEAD, MAX_FRAME, Cut, Frame
from ..net.stream import Network, public_endpoint
from ..net.transport import NORMAL, Transport
from ..protocol.messages import DepthData
from ..protocol.v3 import deflate
from .format import Entry
from .keyframes import digest_of, made_push

# What marks a login, as v3 and v5 write it, and the text that is recorded instead.
_LOGIN = '"op":"login"'
_REDACTED = '{"op":"login","args":"redacted"}'
_CLOSE = 8


class Sink(Protocol):
    """The queue that taps put their entries into: that of a `Recorder`.

    Each connection's thread calls it, and calls may overlap. No method waits for the
    disk or raises: an entry that finds no room is dropped and counted.
    """

    def number(self) -> int:
        """The number of the next opening of a connection."""
        ...

    def frames(
        self, wall: float, mono: float, number: int, frames: Sequence[Frame]
    ) -> None:
        """Take the messages of one read, which share their times."""
        ...

    def put(self, entry: Entry) -> None:
        """Take any other entry."""
        ...


class RecordingTap:
    """Records the traffic of one `Connection`, through all its reconnects.

    What is recorded: each message as received, each text as sent, the pings, pongs and
    close frames, and each opening, loss and failed attempt to connect, with the times
    of both clocks. Each becomes an `Entry` in the queue of *sink*, the recorder, whose
    own thread writes it to the file. Secrets are removed before, so that none is in the
    queue.

    Only the connection's thread calls the methods, and none waits for the disk. If the
    queue is full, the recorder drops the entry and counts it. *tell* is a callable that
    takes an error: the recorder calls it, on any thread, if it cannot write. *ask* is
    one by which it has the connection's thread call `keyframe` for each channel.

    *line* is a number that all openings of the connection share, by which a replay puts
    them together. *facts* is what `describe` says of the connection: ``venue`` and
    ``path``. *credentials* are those whose secrets are removed, or ``None``.
    """

    def __init__(
        self,
        sink: Sink,
        line: int,
        clock: Clock,
        facts: Mapping[str, Any],
        credentials: Credentials | None,
        tell: Callable[[OkexWSError], object],
        ask: Callable[[], object] = lambda: None,
    ) -> None:
        # The recorder calls it, on any thread, if the recording cannot be written.
        self.tell = tell
        # The recorder calls it, on its thread, when it wants keyframes.
        self.ask = ask
        self._sink = sink
        self._clock = clock
        self._facts = {"line": line, **facts}
        self._redaction = None if credentials is None else FrameRedaction(credentials)
        # The number of the present opening; 0 while the connection is not open.
        self._number = 0

    def opened(self, url: str) -> None:
        """Record that the connection was opened; *url* holds no secret."""
        self._number = self._sink.number()
        self._put("open", {"url": url, **self._facts})

    def received(self, frames: Sequence[Frame], max_frame: int = MAX_FRAME) -> None:
        """Record the messages of one read; *max_frame* is that of the transport."""
        wall, mono = self._clock.wall(), self._clock.monotonic()
        if self._redaction is not None:
            clean = self._redaction.message
            frames = [(clean(*frame, max_frame), frame[1]) for frame in frames]
        self._sink.frames(wall, mono, self._number, frames)

    def sent(self, text: str) -> None:
        """Record a text that is about to be sent."""
        if self._redaction is not None:
            text = self._redaction.request(text)
        self._put("out", payload=text.encode())

    def control(self, opcode: int, payload: bytes) -> None:
        """Record a ping, pong or close frame that came."""
        if self._redaction is not None:
            payload = self._redaction.control(opcode, payload)
        self._put("control", {"opcode": opcode}, payload)

    def keyframe(self, channel: str, depth: DepthData | None, whole: bool) -> None:
        """Record that *channel* is acknowledged, and its present *depth*, if any.

        All messages that were recorded of this connection have been handled, and none
        comes before the last keyframe. *whole* is as in `made_push`.
        """
        if not self._number:
            return
        made, protocol = "", self._facts["venue"]["protocol"]
        if depth is not None:
            made = made_push(protocol, channel, depth, whole)
        facts = {"channel": channel, "sha256": digest_of(made.encode())}
        self._put("keyframe", facts, made.encode())

    def close_frame_sent(self, code: int) -> None:
        """Record the library's own close frame. Messages after it are discarded."""
        payload = code.to_bytes(2, "big")
        self._put("control", {"opcode": 8, "sent": True}, payload)

    def ended(self, url: str, error: OkexWSError | None) -> None:
        """Record that the connection, or an attempt to connect, ended.

        *error* is ``None`` if the library closed the connection.
        """
        number, self._number = self._number, 0
        if number:
            self._put("end", self._why(error), number=number)
        elif error is not None:
            facts = {"url": url, **self._facts, **self._why(error)}
            self._put("failed", facts)

    def _why(self, error: OkexWSError | None) -> dict[str, Any]:
        if error is None:
            return {"cause": "", "why": "closed"}
        why = error.cause.text
        if isinstance(error, (ConnectionLost, HandshakeFailed)):
            why = error.reason
        if self._redaction is not None:
            why = self._redaction.text(why)
        facts: dict[str, Any] = {"cause": type(error).__name__, "why": why}
        facts["cause_code"] = error.cause_code.value
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
    """The facts of *venue* and *path* that a replay of the recording needs."""
    # What was forwarded is no conversation with an exchange: see `replay.script`.
    via = {} if venue.endpoints[0].startswith("ws") else {"via": "redis"}
    return {
        **via,
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


class FrameRedaction(Redaction):
    """Cuts the secrets of one connection's key out of all that is recorded.

    The exchange may repeat them in an error, so received messages are searched as well.
    The connection's thread calls it.
    """

    def request(self, text: str) -> str:
        """*text* without a secret; a login is replaced as a whole."""
        return _REDACTED if _LOGIN in text else self.text(text)

    def message(self, payload: bytes, binary: bool, max_frame: int) -> bytes:
        """The *payload* of a message without a secret.

        A binary payload of v3 is inflated to look for secrets. If it has one, the
        cleaned text is compressed again; otherwise the payload stays as received. Of a
        message that is larger than *max_frame*, the beginning is returned as `Cut`: so
        much of it as can have no part of a secret.
        """
        said = _inflated(payload, max_frame) if binary else payload
        if isinstance(payload, Cut) or len(said) > max_frame:
            head = _decoded(said[:HEAD])
            clean = _encoded(self.beginning(head))
            return Cut(deflate(clean) if binary else clean)
        clean = self._cleaned(said)
        if binary:
            return self._cleaned(payload) if clean == said else deflate(clean)
        return clean

    def control(self, opcode: int, payload: bytes) -> bytes:
        """The payload of a control frame; the code of a close frame is kept."""
        start = 2 if opcode == _CLOSE else 0
        return payload[:start] + self._cleaned(payload[start:])

    def _cleaned(self, payload: bytes) -> bytes:
        return _encoded(self.text(_decoded(payload)))


# What is not UTF-8 stays as it is.
def _decoded(said: bytes) -> str:
    return said.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _inflated(payload: bytes, most: int) -> bytes:
    """The content of a deflate stream, up to its damage, or one byte more than *most*.

    Where a piece is damaged, it is read again in smaller pieces.
    """
    stream, said, at = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), 0
    for step in (max(1, len(payload)), 4096, 1):
        before = stream
        with suppress(zlib.error):
            while at < len(payload) and len(said) <= most:
                before = stream.copy()
                piece = payload[at : at + step]
                said += stream.decompress(piece, most + 1 - len(said))
                at += step
            break
        stream = before
    return bytes(said)


class RecordingTransport(Transport):
    """A `Transport` that passes all its traffic to the recording *tap*.

    A message is recorded before `read` returns it, so that the recording has it even if
    handling it fails. Only the thread that owns the transport calls it.
    """

    tap: RecordingTap
    # What to record of the control frames of the present `read`: after its messages,
    # because a close frame comes after them. ``None`` outside of `read`.
    _held: list[Callable[[], None]] | None = None

    def read(self) -> list[Frame]:
        """The messages that have come, as `Transport.read` gives them, recorded."""
        self._held, frames = [], []
        try:
            frames = super().read()
        finally:
            held, self._held = self._held, None
            if frames:
                self.tap.received(frames, self.max_frame)
            for tell in held:
                tell()
        return frames

    def send(self, text: str) -> None:
        """Record *text*, then send it."""
        self.tap.sent(text)
        super().send(text)

    def begin_close(self, code: int = NORMAL) -> None:
        """Record the close frame, then send it."""
        self._tell(partial(self.tap.close_frame_sent, code))
        super().begin_close(code)

    def _control(self, first: int, payload: bytes) -> None:
        self._tell(partial(self.tap.control, first & 0x0F, payload))
        super()._control(first, payload)

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
    max_frame: int,
    clean: Clean = str,
) -> Transport:
    """A transport as `Transport.open` gives it; *tap*, if any, records it."""
    if tap is None:
        return Transport.open(network, url, deadline, cancelled, max_frame, clean)
    transport = RecordingTransport.open(
        network, url, deadline, cancelled, max_frame, clean
    )
    transport.tap = tap
    tap.opened(public_endpoint(url))
    return transport
