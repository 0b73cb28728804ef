"""WebSocket messages over a byte stream, framed by websocket-client.

websocket-client does the handshake and gets control frames and fragments, each as a
whole frame. A message that is one frame is taken straight out of the stream's buffer. A
fault in the framing ends the connection with a `ConnectionLost` whose cause is a
`WireError('frame')`.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from ..base.clock import Clock
from ..base.errors import (
    ConnectionLost,
    HandshakeFailed,
    OkexWSError,
    WireError,
    printable,
)
from ..base.state import CauseCode
from ..model.numbers import Clean
from .frames import HEAD, MAX_FRAME, Fragments, Frame
from .http_head import COOKIES, MAX_HANDSHAKE, read_head, refusal, server_date
from .machine import websocket_client
from .stream import Network, Stream, public_endpoint
from .tcp import TcpStream

# The most frames of one read, which is of 256 KiB at most, that websocket-client has to
# look at: pings, pongs and fragments. A flood of tiny ones must not use up the CPU.
MAX_SLOW_FRAMES = 1024

# The first byte of a frame: FIN, three reserved bits, opcode.
_TEXT = 0x81
_BINARY = 0x82
_CLOSE = 0x88
_FIN = 0x80
_OPCODE = 0x0F
_OPCODES = (0, 1, 2, 8, 9, 10)
_CONTROL = 0x08
_MAX_CONTROL_PAYLOAD = 125
# Close codes that this module sends (RFC 6455, section 7.4).
NORMAL = 1000
_PROTOCOL_ERROR = 1002
_TOO_BIG = 1009

# Why an answer with status 101 is refused (RFC 6455, section 4.1).
_WRONG = "HTTP 101 without the headers of a WebSocket that answer this request"

Opened = TypeVar("Opened", bound="Transport")


class Transport:
    """One opened WebSocket connection: whole messages come in, texts go out.

    It bounds what a peer can make it do. Of a message of more than *max_frame* bytes,
    in one frame or in fragments, `read` gives the head, as `Cut`, and discards the
    rest as it comes. Any fault in the framing ends the connection with a
    `ConnectionLost`. Nothing opens it again: each opening of a connection has a
    transport of its own.

    Only the thread that owns *network* calls it. The thread calls `read` after each
    `Network.wait` on `stream`. To close as the protocol asks, it calls `begin_close`,
    `finish_close` with a deadline, and `close`; `close` alone is always allowed.
    """

    def __init__(
        self,
        network: Network,
        stream: Stream,
        endpoint: str,
        socket: _WebSocket,
        max_frame: int,
        clean: Clean = str,
    ) -> None:
        self.stream = stream
        self.max_frame = max_frame
        self._network = network
        self._endpoint = endpoint
        self._socket = socket
        self._clean = clean
        # The number of bytes since the handshake, frame headers included; and the
        # monotonic time at which the last ones came.
        self.bytes_received = len(stream.received)
        self.heard = stream.heard
        self._needed = 0
        # Bytes of the present frame that are still to come, and to be discarded.
        self._discarding = 0
        self._message: Fragments | None = None
        self._closing = False
        self._end: ConnectionLost | None = None
        # The exchange's clock at the handshake, in epoch seconds, or None.
        self.server_date = socket.server_date

    @classmethod
    def open(
        cls: type[Opened],
        network: Network,
        url: str,
        deadline: float,
        cancelled: Callable[[], bool],
        max_frame: int = MAX_FRAME,
        clean: Clean = str,
    ) -> Opened:
        """Connect and do the WebSocket handshake, all by *deadline*.

        *cancelled* is as in `Network.open`. *clean* takes secrets out of what the peer
        says, before an error is made of it.

        Raises:
            ConnectionLost, HandshakeFailed, Stalled: there is no connection.
        """
        refused, endpoint = None, public_endpoint(url)
        package = websocket_client(endpoint)
        try:
            stream = network.open(url, deadline, cancelled)
        except HandshakeFailed as error:
            refused = error
        if refused is not None:
            # The reason may be a text of the proxy.
            args = clean(refused.reason), refused.status, refused.retry_after
            code = refused.cause_code
            raise HandshakeFailed(
                endpoint, *args, advice=refused.advice, cause_code=code
            ) from refused.__cause__
        try:
            socket = _shake_hands(package, stream, url, endpoint, clean)
        except BaseException:
            stream.close()
            raise
        return cls(network, stream, endpoint, socket, max_frame, clean)

    @property
    def is_private(self) -> bool:
        """Whether no other machine can read what is sent: TLS, or a local peer."""
        local = not isinstance(self.stream, TcpStream) or self.stream.is_local
        return local or self._endpoint.startswith("wss:")

    @property
    def most_unread(self) -> int:
        """At most so many bytes can have come that `read` has not taken yet."""
        stream = self.stream
        return stream.most_unread if isinstance(stream, TcpStream) else 0

    def read(self) -> list[Frame]:
        """Every message that has come whole by now, or is too large. Never waits.

        Raises:
            ConnectionLost: the connection has ended; it has the code and reason of the
                peer's close frame, if there was one. Messages from before the end are
                returned first, and the next call raises. Until then the stream is
                `ready`.
        """
        if self._end is not None:
            raise self._end
        # No call of `list[Frame]`, which raises an error inside, and drops it.
        frames: list[Frame] = []
        stream = self.stream
        self.bytes_received += stream.fill()
        self.heard = stream.heard
        received = stream.received
        # Not before the first frame is whole, so that its bytes are not copied at each
        # read.
        if len(received) < self._needed:
            return frames
        if self._discarding:
            self._discard(received)
        try:
            self._cut(received, frames)
        except ConnectionLost as end:
            self._end = end
            if not frames:
                raise
            self.stream.ready = True
        return frames

    def send(self, text: str) -> None:
        """Queue a text message.

        Raises:
            ConnectionLost: the connection has ended, or the peer takes no data.
        """
        self._socket.send(text)

    def begin_close(self, code: int = NORMAL) -> None:
        """Send the close frame, once. If the connection has ended, `read` raises it."""
        if not self._closing:
            self._closing = True
            with contextlib.suppress(ConnectionLost):
                self._socket.answer()
                self._socket.send_close(code)

    def finish_close(self, clock: Clock, deadline: float) -> None:
        """Drop messages until the peer's close frame, another end, or *deadline*."""
        with contextlib.suppress(ConnectionLost):
            while (left := deadline - clock.monotonic()) > 0:
                self.read()
                self._network.wait(left, self.stream)

    def close(self) -> None:
        """Close TLS and TCP without waiting. A second call does nothing."""
        self.stream.close()

    def discard(self) -> None:
        """Close the descriptor and send nothing to the peer, as a forked child must."""
        self.stream.discard()

    def _cut(self, received: bytearray, frames: list[Frame]) -> None:
        """Take the whole frames that *received* begins with out of it."""
        # The hot path. One copy of the buffer, then one slice a frame.
        data, most = bytes(received), self.max_frame
        size = len(data)
        at = slow = self._needed = 0
        try:
            while size - at >= 2:
                first, length, start = data[at], data[at + 1], at + 2
                if length < 126:
                    end = start + length
                elif length == 126 and size - at >= 4:
                    start = at + 4
                    end = start + (data[at + 2] << 8 | data[at + 3])
                else:
                    start, end = self._bounds(data, at)
                length = end - start
                if length > most:
                    # The head is enough. `_discard` drops the rest.
                    end = min(end, max(size, start + min(HEAD, most)))
                if end > size:
                    self._needed = end - at
                    break
                binary = first == _BINARY
                whole = binary or first == _TEXT
                if whole and self._message is None and length <= most:
                    frames.append((data[start:end], binary))
                else:
                    slow += 1
                    if slow > MAX_SLOW_FRAMES:
                        self._refuse("a flood of pings and fragments", _TOO_BIG)
                    self._slow(first, data[start:end], length, frames)
                at = end
        finally:
            del received[:at]
        if slow:
            self._socket.answer()

    def _discard(self, received: bytearray) -> None:
        """Discard the bytes of a frame that is too large, as many as have come."""
        here = min(self._discarding, len(received))
        del received[:here]
        self._discarding -= here

    def _bounds(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the payload of the longer frame at *at* starts and ends."""
        length = data[at + 1]
        if length >= 0x80:
            self._refuse("the server masked a frame (RFC 6455, section 5.1)")
        start = at + (4 if length == 126 else 10)
        if len(data) < start:
            return start, start
        length = int.from_bytes(data[at + 2 : start], "big")
        if length >> 63:
            # The first bit is always 0 (RFC 6455, section 5.2).
            self._refuse(f"a frame of {length} bytes", _TOO_BIG)
        return start, start + length

    def _slow(self, first: int, payload: bytes, size: int, frames: list[Frame]) -> None:
        """Take a frame that is no whole message: a control frame, or a fragment.

        A frame that is too large is taken as a fragment, too: of its *size* bytes the
        *payload* has those that came.
        """
        if first & _OPCODE not in _OPCODES:
            self._refuse(f"the unknown opcode {first & _OPCODE}")
        if first & _CONTROL:
            self._control(first, payload)
            return
        # websocket-client needs no payload to check the order of the fragments.
        self._library(first, b"")
        if self._message is None:
            self._message = Fragments(
                first & _OPCODE == _BINARY & _OPCODE, self.max_frame
            )
        self._discarding = size - len(payload)
        last = bool(first & _FIN)
        if (frame := self._message.add(payload, size, last)) is not None:
            frames.append(frame)
        if last:
            self._message = None

    def _control(self, first: int, payload: bytes) -> None:
        if len(payload) > _MAX_CONTROL_PAYLOAD or not first & _FIN:
            self._refuse("a control frame that is fragmented or over-long")
        if first == _CLOSE:
            self._closed_by_peer(payload)
        self._library(first, payload)

    def _closed_by_peer(self, payload: bytes) -> NoReturn:
        # Read here, because websocket-client 0.46 refuses the codes 1012 and 1013,
        # restart and overload.
        code = int.from_bytes(payload[:2], "big") if payload else None
        if code is not None and not _is_close_code(code):
            self._refuse(f"an invalid close frame: {payload[:2]!r}")
        self.begin_close(code or NORMAL)
        reason = printable(self._clean(payload[2:].decode("utf-8", "replace")))
        raise ConnectionLost(
            self._endpoint,
            reason or "closed by the peer",
            code,
            cause_code=CauseCode.CLOSED_BY_EXCHANGE,
        )

    def _library(self, first: int, payload: bytes) -> None:
        """Have websocket-client check a frame, and answer it if it is a ping."""
        detail = None
        try:
            self._socket.take(bytes((first, len(payload))) + payload)
        except self._socket.fault as error:
            detail = self._clean(str(error))
        if detail is not None:
            self._refuse(detail)

    def _refuse(self, detail: str, code: int = _PROTOCOL_ERROR) -> NoReturn:
        wire = WireError("frame", detail)
        self.begin_close(code)
        raise ConnectionLost(
            self._endpoint, str(wire), cause_code=wire.cause_code
        ) from wire


def _is_close_code(code: int) -> bool:
    # RFC 6455, section 7.4, and the IANA registry. Other codes are never sent.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


class _WebSocket:
    """websocket-client's framing, fed with one whole frame at a time.

    `_socket_class` makes the class of it and of websocket-client's ``WebSocket``.
    *fault* is the base class of websocket-client's exceptions.
    """

    stream: Stream
    server_date: float | None
    fault: type[Exception]
    recv_data_frame: Callable[[bool], object]
    send: Callable[[str], object]
    send_close: Callable[[int], object]
    _frame: io.BytesIO | None = None
    _answers = b""

    def take(self, frame: bytes) -> None:
        """Check *frame*. `answer` then answers a ping."""
        self._frame = io.BytesIO(frame)
        try:
            self.recv_data_frame(True)
        finally:
            self._frame = None

    def answer(self) -> None:
        """Send the answers to all frames taken since the last call, in one write."""
        answers, self._answers = self._answers, b""
        if answers:
            self.stream.send(answers)

    def _recv(self, size: int) -> bytes:
        data = b"" if self._frame is None else self._frame.read(size)
        if not data:
            # websocket-client would ask again for ever.
            raise self.fault("Frame ends early")
        return data

    def _send(self, data: bytes) -> int:
        if self._frame is None:
            return self.stream.send(data)
        self._answers += data
        return len(data)


@functools.cache
def _socket_class(package: Any) -> type[_WebSocket]:
    fault = {"fault": package.WebSocketException}
    return type("WebSocket", (_WebSocket, package.WebSocket), fault)


class _Handshake:
    """A socket, to websocket-client's handshake, that keeps the peer's answer.

    The reason of a refusal is read from that answer, because websocket-client's
    exceptions tell too little and differ between its versions.
    """

    def __init__(self, stream: Stream, endpoint: str) -> None:
        self.answer = bytearray()
        self.failure: OkexWSError | None = None
        self._head: io.BytesIO | None = None
        self._stream = stream
        self._endpoint = endpoint

    def recv(self, size: int) -> bytes:
        """The head of the answer, and after it the end of the input.

        websocket-client 1.x reads the body of a refusal as well, which may take the
        whole deadline to come.
        """
        if self._head is None:
            try:
                self._read_head()
            except OkexWSError as failure:
                self.failure = failure
                raise
            # Cookies are removed: websocket-client keeps them for the whole process,
            # and two whose domains match a host end every later handshake with it.
            self._head = io.BytesIO(COOKIES.sub(b"", bytes(self.answer)))
        return self._head.read(size)

    def _read_head(self) -> None:
        if not read_head(self._stream.recv, self.answer):
            reason = f"a handshake of more than {MAX_HANDSHAKE} bytes"
            raise HandshakeFailed(self._endpoint, reason)

    def send(self, data: bytes) -> int:
        return self._stream.send(data)

    def fileno(self) -> int:
        return self._stream.fileno()

    def gettimeout(self) -> float | None:
        return None  # the stream has the deadline

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: the stream has the deadline."""

    def shutdown(self, how: int) -> None:
        """Do nothing: the transport closes the stream."""

    def close(self) -> None:
        """Do nothing: the transport closes the stream."""


def _shake_hands(
    package: Any, stream: Stream, url: str, endpoint: str, clean: Clean
) -> _WebSocket:
    face = _Handshake(stream, endpoint)
    parts = urlsplit(url)
    host, failed = parts.netloc.rpartition("@")[2], False
    try:
        socket: _WebSocket = package.create_connection(
            url,
            class_=_socket_class(package),
            socket=face,
            # websocket-client always sends an origin, and 0.46 sends http: for wss:.
            origin=f"{'https' if parts.scheme == 'wss' else 'http'}://{host}",
            # A redirect would be followed on a socket without this TLS and deadline.
            redirect_limit=0,
            # `Transport` joins fragments, within bounds.
            fire_cont_frame=True,
            # The validation is slow pure Python, and decoding validates anyway.
            skip_utf8_validation=True,
        )
    except Exception:
        failed = True
    # Raised behind the clause above: websocket-client's error repeats the peer's text.
    if failed:
        refused = refusal(endpoint, bytes(face.answer), clean=clean)
        raise refused or face.failure or HandshakeFailed(endpoint, _WRONG, 101)
    socket.stream, socket.server_date = stream, server_date(bytes(face.answer))
    return socket
