"""A target for the read buffer of `Transport`, judged by the `websockets` package.

Both get the same bytes in the same pieces. They must agree on every message, on the
answer to every ping, and on whether, where and with which code the stream ends.
`DIFFERENCES` lists the only exceptions, each with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import CTRL_OPCODES, Close, Opcode
from websockets.frames import Frame as WireFrame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from okex_ws.base.errors import ConnectionLost, WireError, printable
from okex_ws.net import frames, transport
from tests.fuzz.streams import Chunks
from tests.support.scripted_network import ScriptedNetwork, ScriptedStream

URL = "ws://venue.test/ws/v3"
# The bound of a message, one that any stream runs into, and one that none does.
MOST, SMALL, ENORMOUS = 1 << 20, 300, 1 << 60


class Verdict(NamedTuple):
    """What one reader made of a stream.

    *end* is ``'open'``, ``'closed'`` (by the peer, with *code*) or ``'error'`` (told to
    the peer with *code*). *where* is the first byte of the frame that ended it, or of
    the one that is not whole yet. *why* is the reader's own.
    """

    messages: list[tuple[bytes, bool]]
    pongs: list[bytes]
    end: str
    code: int | None
    where: int
    why: str


class Mismatch(AssertionError):
    """Both readers, side by side."""


# --- Ours ---------------------------------------------------------------------------


class _Stream(ScriptedStream):
    """Without a handshake of its own: the pieces come after one that went well."""

    def script(self, chunks: Chunks) -> None:
        self._chunks = list(chunks)


def ours(chunks: Chunks, most: int) -> Verdict:
    """Our reader's; a message may have *most* bytes."""
    stream = _Stream([])
    network = ScriptedNetwork(stream)
    reader = transport.Transport.open(network, URL, 0.0, bool, most)
    stream.script(chunks)
    messages: list[frames.Frame] = []
    while True:
        try:
            messages += reader.read()
        except ConnectionLost as error:
            end = error
            break
        # What is kept is the front of one frame, and never more than it may have.
        assert stream.ready or len(stream.received) < most + 10
    # An end that was told stays the end.
    assert _end(reader) is end or end.reason == "the script is over"
    pongs, told = _told(bytes(stream.sent))
    where = reader.bytes_received - len(stream.received)
    if isinstance(end.__cause__, WireError):
        assert end.code is None
        assert end.__cause__.kind == "frame"
        assert end.__cause__.detail.isprintable()
        assert len(end.__cause__.detail) <= 300
        assert told is not None
        return Verdict(messages, pongs, "error", told, where, str(end))
    if told is not None:
        assert end.reason.isprintable()
        assert len(end.reason) <= 300
        assert told == (end.code or 1000)
        return Verdict(messages, pongs, "closed", end.code, where, end.reason)
    assert end.reason == "the script is over"
    return Verdict(messages, pongs, "open", None, where, end.reason)


def _end(reader: transport.Transport) -> ConnectionLost | None:
    try:
        reader.read()
    except ConnectionLost as end:
        return end
    return None


def _told(sent: bytes) -> tuple[list[bytes], int | None]:
    """The pongs and the close code that an independent server hears."""
    if not sent:
        return [], None
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(sent)
    assert server.parser_exc is None
    pongs, code = [], None
    for event in server.events_received():
        assert isinstance(event, WireFrame)
        assert code is None, "something was said after the close frame"
        if event.opcode is Opcode.PONG:
            pongs.append(bytes(event.data))
        else:
            assert event.opcode is Opcode.CLOSE
            code = Close.parse(bytes(event.data)).code
    return pongs, code


# --- The judge ----------------------------------------------------------------------


class Judge(ClientProtocol):
    """The `websockets` package, counting, and with the limits that only we have."""

    def __init__(self, most: int) -> None:
        super().__init__(
            parse_uri(URL), state=State.OPEN, max_size=(None, (1 << 63) - 1)
        )
        self.taken = self.whole = self.slow = 0
        # Bytes by which the last frame is longer than what is given to the judge.
        self.longer = 0
        self._most = most
        self.messages: list[tuple[bytes, bool]] = []
        self.pongs: list[bytes] = []
        self._parts: list[bytes] = []
        self._binary = False
        read = self.reader.read_exact

        def counted(n: int) -> Generator[None, None, bytearray]:
            data = yield from read(n)
            self.taken += n
            return data

        self.reader.read_exact = counted  # type: ignore[method-assign]

    def recv_frame(self, frame: WireFrame) -> None:
        whole = frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        if not whole or self._parts or len(frame.data) + self.longer > self._most:
            self.slow += 1
            if self.slow > transport.MAX_SLOW_FRAMES:
                raise PayloadTooBig(self.slow, transport.MAX_SLOW_FRAMES)
        super().recv_frame(frame)
        if frame.opcode is Opcode.PING:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode not in CTRL_OPCODES:
            self._join(frame)
        if frame.opcode is not Opcode.CLOSE:
            self.whole = self.taken

    def _join(self, frame: WireFrame) -> None:
        """Add a fragment; of a message that is too large, its head is the message."""
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
        was_cut = sum(map(len, self._parts)) > self._most
        self._parts.append(bytes(frame.data))
        whole = b"".join(self._parts)
        is_cut = len(whole) + self.longer > self._most
        if is_cut and not was_cut:
            self.messages.append((whole[: frames.HEAD], self._binary))
        elif frame.fin and not is_cut:
            self.messages.append((whole, self._binary))
        if frame.fin:
            self._parts = []

    def verdict(self) -> Verdict:
        end, code, why = "open", None, ""
        if self.parser_exc is not None:
            assert self.close_sent is not None
            end, code, why = "error", int(self.close_sent.code), str(self.parser_exc)
        elif self.close_rcvd is not None:
            # 1005 stands for none: it is never on the wire.
            received = int(self.close_rcvd.code)
            end, code = "closed", None if received == 1005 else received
            why = self.close_rcvd.reason
        return Verdict(self.messages, self.pongs, end, code, self.whole, why)


def judged(chunks: Chunks, most: int) -> Verdict:
    """The judge's."""
    judge = Judge(most)
    for chunk in chunks:
        judge.slow = 0
        judge.receive_data(chunk)
    verdict, data = judge.verdict(), b"".join(chunks)
    rest = data[verdict.where :]
    if verdict.end != "open" or len(rest) < 2:
        return verdict
    start = {126: 4, 127: 10}.get(rest[1], 2)
    _, size = _header(rest, 0)
    head = min(frames.HEAD, most)
    if size - start <= most or len(rest) < start + head:
        return verdict
    # A frame that is too large is taken once its head has come: as if it ended here.
    judge = Judge(most)
    judge.receive_data(data[: verdict.where])
    judge.longer, payload = size - len(rest), rest[start:]
    judge.receive_data(rest[:1] + b"\x7f" + len(payload).to_bytes(8, "big") + payload)
    verdict = judge.verdict()
    return verdict._replace(where=len(data)) if verdict.end == "open" else verdict


# --- Where they may differ ----------------------------------------------------------


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Opcode, and bytes of the whole frame, of the header at *at*."""
    length, start = data[at + 1] & 0x7F, 2
    if length > 125:
        start = 4 if length == 126 else 10
        length = int.from_bytes(data[at + 2 : at + start], "big")
    return data[at] & 0x0F, start + length


def _waits_for_the_rest(mine: Verdict, judge: Verdict, data: bytes) -> bool:
    if mine.end != "open" or judge.why != "invalid opcode":
        return False
    opcode, size = _header(data, judge.where)
    return opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) and (
        len(data) < judge.where + max(size, 2)
    )


def _is_wrong_twice(mine: Verdict, judge: Verdict, data: bytes) -> bool:
    if (mine.end, mine.code, judge.end) == ("error", 1009, "error"):
        return "flood" in mine.why or judge.why == "invalid opcode"
    invalid = "an invalid close frame" in mine.why
    return invalid and (mine.code, judge.code) == (1002, 1007)


def _closes_with_bad_utf_8(mine: Verdict, judge: Verdict, data: bytes) -> bool:
    if (judge.end, judge.code) != ("error", 1007):
        return False
    code, reason = _close_at(data, judge.where)
    bad = "\ufffd" in reason.decode("utf-8", "replace")
    return bad and (mine.end, mine.code) == ("closed", code)


def _closes_amid_fragments(mine: Verdict, judge: Verdict, data: bytes) -> bool:
    if judge.why != "incomplete fragmented message":
        return False
    return (mine.end, mine.code) == ("closed", _close_at(data, judge.where)[0])


def _close_at(data: bytes, at: int) -> tuple[int | None, bytes]:
    """The code and the reason of the close frame at *at*."""
    opcode, size = _header(data, at)
    assert opcode == Opcode.CLOSE
    start = {126: 4, 127: 10}.get(data[at + 1], 2)
    payload = data[at + start : at + size]
    return int.from_bytes(payload[:2], "big") if payload else None, payload[2:]


DIFFERENCES: dict[str, Callable[[Verdict, Verdict, bytes], bool]] = {
    # An opcode is looked at with its whole frame, as everything odd is. Nothing of such
    # a frame is used before, and its length is bounded.
    "an unknown opcode is refused once its frame is whole": _waits_for_the_rest,
    # We look at the length first, the judge at the opcode; we at the code of a close
    # frame, the judge at its UTF-8. Both refuse it there.
    "a frame that is wrong twice is told by another code": _is_wrong_twice,
    # The peer leaves either way: its code is of use, and its text is made printable.
    "a close reason need not be UTF-8": _closes_with_bad_utf_8,
    # So it is for one that leaves in the middle of a message, which is never shown.
    "a close frame may come between fragments": _closes_amid_fragments,
}
# And by construction of the judge: of a message of more bytes than ours may have, only
# the head is a message; more slow frames in one read than MAX_SLOW_FRAMES are refused;
# no close code is 1005 at the judge; the payload of a text message is the protocol's to
# decode, with either.


def compare(chunks: Chunks, most: int = MOST) -> str:
    """The end that both see, or the name of the difference that is allowed."""
    mine, judge = ours(chunks, most), judged(chunks, most)
    if mine._replace(why="") == judge._replace(why=""):
        if mine.end == "closed":
            assert mine.why == (printable(judge.why) or "closed by the peer")
        return mine.end if mine.code is None else f"{mine.end} {_group(mine.code)}"
    same = mine.messages, mine.pongs, mine.where
    if same == (judge.messages, judge.pongs, judge.where):
        for name, allows in DIFFERENCES.items():
            if allows(mine, judge, b"".join(chunks)):
                return name
    raise Mismatch(f"\nours:  {mine!r:.1500}\njudge: {judge!r:.1500}")


def _group(code: int) -> str:
    return str(code) if code in (1002, 1009) else "with a code"


def check_framing(chunks: Chunks) -> str:
    """With a bound that few streams run into."""
    return compare(chunks)


@contextmanager
def small_heads() -> Iterator[None]:
    """A head, for as long as it takes, that is shorter than a small message."""
    with (
        mock.patch.object(frames, "HEAD", 130),
        mock.patch.object(transport, "HEAD", 130),
    ):
        yield


def check_small_framing(chunks: Chunks) -> str:
    """With limits that a short stream runs into: of messages, and of slow frames."""
    with mock.patch.object(transport, "MAX_SLOW_FRAMES", 5):
        if (end := compare(chunks, ENORMOUS)) == "error 1009":
            return end
    with small_heads():
        return compare(chunks, SMALL)
