"""One connection to a Redis server, over the library's own streams, in RESP3.

RESP3 lets one connection carry subscriptions and commands, so that what Redis says
comes in one order. `hiredis` (the extra ``redis``) parses it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..base.errors import ConnectionLost, HandshakeFailed, Stalled, printable
from ..base.state import CauseCode
from ..model.numbers import Clean
from ..net.stream import Network, Stream
from ..net.tcp import TcpStream
from .address import RedisAddress

# The most bytes of an answer that are held before it is whole: a beat of the topics of
# a feed, or a whole book, has less.
MOST_HELD = 32 << 20
Word = str | bytes
Reply = Any

_MISSING = (
    "publish= and via= need the package hiredis: pip install 'okex-ws[redis]'"
    " (or pip install hiredis)"
)
_ADVICE = {
    "NOAUTH": "the server wants a user and a password in the URL",
    "WRONGPASS": "the server knows no such user, or another password",
    "NOPERM": "the rights (ACL) of this user are too narrow: see `okex-ws help redis`",
    "LOADING": "the server has just been started",
    "MASTERDOWN": "this is a replica; name its master",
    "READONLY": "this is a replica; name its master",
}
_REFUSED_RIGHTS = ("NOAUTH", "WRONGPASS", "NOPERM")


def check_package() -> None:
    """``ImportError``, with what to install, if the extra is missing."""
    try:
        import hiredis  # noqa: F401
    except ImportError as error:
        raise ImportError(_MISSING) from error


class RedisLine:
    """An open connection to a Redis server: commands go out, replies come in order.

    Only the thread that owns *network* calls it. `open` logs in. After that `send`
    queues commands, and `read` gives what has come: replies in the order of their
    commands, an error among them as `RedisRefused`; what `is_published` answers none.
    """

    def __init__(self, stream: Stream, address: RedisAddress) -> None:
        import hiredis

        self.stream = stream
        self._address = address
        self._parser = hiredis.Reader(
            protocolError=_Garbage, replyError=RedisRefused, notEnoughData=_NOTHING
        )
        self._pack: Callable[..., bytes] = hiredis.pack_command
        self._push: type = hiredis.PushNotification
        self.bytes_received = 0
        # How many bytes came of an answer that is not whole yet.
        self._held = 0

    @classmethod
    def open(
        cls,
        network: Network,
        address: RedisAddress,
        deadline: float,
        cancelled: Callable[[], bool],
        what: str,
    ) -> RedisLine:
        """Connect, log in and choose the database, all by *deadline*.

        *what* becomes the client's name in Redis. Errors are those of `Network.open`,
        and `HandshakeFailed` if the server refuses, or is none that can be used.
        """
        stream = network.open(address.endpoint, deadline, cancelled)
        try:
            line = cls(stream, address)
            line._log_in(what)
        except Stalled as late:
            stream.close()
            what, endpoint = "no answer of Redis came", address.endpoint
            raise Stalled(what, late.after, endpoint=endpoint) from late
        except BaseException:
            stream.close()
            raise
        return line

    def _log_in(self, what: str) -> None:
        address = self._address
        hello: list[Word] = ["HELLO", "3"]
        if address.user or address.password:
            hello += ["AUTH", address.user or "default", address.password]
        hello += ["SETNAME", f"okex_ws:{what}:{secrets.token_hex(3)}"]
        self._check(self._ask(hello))
        if address.database:
            self._ask(["SELECT", str(address.database)])

    def _ask(self, command: Sequence[Word]) -> Reply:
        self.stream.send(self._pack(tuple(command)))
        while (reply := self._get()) is _NOTHING:
            self._feed(self.stream.recv(65536))
        if isinstance(reply, RedisRefused):
            raise self._refusal(reply)
        return reply

    def _refusal(self, refused: RedisRefused) -> HandshakeFailed:
        word, advice = refused.word, _ADVICE.get(refused.word, "")
        code = CauseCode.LOGIN if word in _REFUSED_RIGHTS else CauseCode.HANDSHAKE
        if "NOPROTO" in word or "unknown command" in str(refused):
            advice = "Redis 6 or newer is needed"
        reason = f"Redis refused: {self.clean(str(refused))}"
        endpoint = self._address.endpoint
        return HandshakeFailed(endpoint, reason, advice=advice, cause_code=code)

    @property
    def clean(self) -> Clean:
        """Takes the password out of a text of the server."""
        secret = self._address.password

        def clean(text: str) -> str:
            return text.replace(secret, "***") if secret else text

        return clean

    def _check(self, hello: Reply) -> None:
        """Raise unless the server is one whose order of messages is known."""
        facts = hello if isinstance(hello, dict) else {}
        role, mode = _text(facts.get(b"role")), _text(facts.get(b"mode"))
        if mode in ("cluster", "sentinel"):
            what = f"this server is in mode {mode}, which is not proven yet"
        elif role != "master":
            # A replica may answer with what its master has replaced before.
            what = f"this server is a {role or 'server of an unknown role'}"
        else:
            return
        advice = "name a single server, the master"
        endpoint = self._address.endpoint
        raise HandshakeFailed(endpoint, f"Redis: {what}", advice=advice)

    # --- Once it is open ------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """The URL without user and password."""
        return self._address.endpoint

    @property
    def is_full(self) -> bool:
        """Whether the server does not take what was sent: more waits."""
        return isinstance(self.stream, TcpStream) and self.stream.blocked

    @property
    def is_private(self) -> bool:
        """Whether no other machine can read what is sent."""
        local = not isinstance(self.stream, TcpStream) or self.stream.is_local
        return local or self._address.secure

    def send(self, commands: Iterable[Sequence[Word]]) -> None:
        """Queue *commands*, in one write; raise `ConnectionLost` if the line ended."""
        packed = b"".join(self._pack(tuple(command)) for command in commands)
        if packed:
            self.stream.send(packed)

    def read(self) -> list[Reply]:
        """What has come since the last call, in order. Never waits.

        Raises:
            ConnectionLost: the connection has ended, or what came is no RESP3.
        """
        stream = self.stream
        self.bytes_received += stream.fill()
        received = stream.received
        if received:
            self._feed(bytes(received))
            received.clear()
        replies = []
        while (reply := self._get()) is not _NOTHING:
            replies.append(reply)
        return replies

    def is_published(self, reply: Reply) -> bool:
        """Whether *reply* answers no command: a message, or word of a subscription."""
        return type(reply) is self._push

    def _feed(self, data: bytes) -> None:
        # Not what the parser holds: of a list it holds no bytes, but what it has read.
        self._held += len(data)
        if self._held > MOST_HELD:
            raise self.lost(f"an answer of more than {MOST_HELD} bytes")
        self._parser.feed(data)

    def _get(self) -> Reply:
        try:
            reply = self._parser.gets()
        except _Garbage as error:
            raise self.lost(f"no RESP3: {printable(str(error))}") from None
        except (TypeError, ValueError, MemoryError):
            # A map by lists, or a list of more than there is memory for.
            raise self.lost("no RESP3: an answer that cannot be read") from None
        if reply is not _NOTHING:
            self._held = self._parser.len()
        return reply

    def lost(self, reason: str, code: CauseCode | None = None) -> ConnectionLost:
        """The error for a line that is of no use, for *reason*."""
        return ConnectionLost(
            self._address.endpoint, self.clean(reason), cause_code=code
        )

    def refused(self, refused: RedisRefused) -> ConnectionLost:
        """The error for a command that the server refused."""
        code = CauseCode.LOGIN if refused.word in _REFUSED_RIGHTS else None
        error = self.lost(f"Redis refused a command: {refused}", code)
        error.advice = _ADVICE.get(refused.word, "")
        return error


class RedisRefused(Exception):
    """The server's error for one command."""

    @property
    def word(self) -> str:
        """The first word: what kind of error it is."""
        return str(self).partition(" ")[0]


class _Garbage(Exception):
    """What came is no RESP3."""


_NOTHING = object()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
