"""A connection to Redis in the place of one to the exchange: the reader's transport.

The session asks for channels and pings as ever. What it asks becomes commands of Redis,
and what Redis says becomes texts of the exchange and notes (`forwarded`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..base.clock import Clock
from ..base.errors import ConnectionLost
from ..model.numbers import Clean
from ..net.frames import MAX_FRAME, Cut, Frame
from ..net.stream import Network
from ..net.transport import NORMAL, Transport
from ..recording.tap import RecordingTap
from .address import RedisAddress
from .envelope import Link, Names
from .forwarded import ForwardedV3, ForwardedV5, note, requested
from .redis_line import RedisLine, RedisRefused
from .subscriber import Command, Said, Text, TopicReader

_PONG: Frame = (b"pong", False)
# Words with which Redis confirms a subscription.
_BEGUN, _ENDED, _MESSAGE = b"subscribe", b"unsubscribe", b"message"


class RedisTransport(Transport):
    """One opened connection to Redis, for one `Opening`: frames come in, texts go out.

    It has a `TopicReader`, which decides; it only translates. A command's reply is
    known by its place: Redis answers in order. Only the connection's thread calls it.
    """

    def __init__(
        self,
        line: RedisLine,
        subscriber: TopicReader,
        names: Names,
        wire: ForwardedV5 | ForwardedV3,
        clock: Clock,
        max_frame: int,
        tap: RecordingTap | None,
    ) -> None:
        # Not that of the base class, which has a WebSocket.
        self.stream, self.max_frame = line.stream, max_frame
        self._line, self._subscriber, self._names = line, subscriber, names
        self._wire, self._clock, self._tap = wire, clock, tap
        self.bytes_received, self.heard = 0, line.stream.heard
        self.server_date = None
        # The commands that have no answer yet, oldest first.
        self._open: deque[Command] = deque()
        # What is to be read at the next `read`, without a word of Redis.
        self._ready: list[Frame] = []
        self._end: ConnectionLost | None = None
        subscriber.commands.append(("SUBSCRIBE", names.beat))
        self._send()

    @property
    def is_private(self) -> bool:
        """Whether no other machine can read what is sent."""
        return self._line.is_private

    @property
    def links(self) -> dict[int, Link]:
        """The producer's connections to the exchange, as its last beat named them."""
        return self._subscriber.links

    # --- What the session says ------------------------------------------------------

    def send(self, text: str) -> None:
        """Ask for what the session asks for with *text*."""
        if self._tap is not None:
            self._tap.sent(text)
        op, names = requested(text)
        if op == "subscribe":
            self._give(self._subscriber.wanted(names))
        elif op == "unsubscribe":
            self._subscriber.left(names)
        else:
            # The clock is read before the probe is sent: the evidence is younger.
            clock = self._clock
            self._give(self._subscriber.asked(clock.monotonic(), clock.wall()))
        self._send()

    def _give(self, said: list[Said]) -> None:
        self._ready += map(self._frame, said)
        if self._ready:
            self.stream.ready = True

    def _frame(self, said: Said) -> Frame:
        if not isinstance(said, Text):
            return note(said), False
        if len(said.text) > self.max_frame:
            return Cut(said.text[:4096]), False
        return self._wire.framed(said.topic, said.text), False

    def _send(self) -> None:
        commands = self._subscriber.commands
        # A subscription is answered by a word that is no reply.
        self._open += (each for each in commands if not each[0].endswith("SUBSCRIBE"))
        self._line.send(commands)
        commands.clear()

    # --- What Redis says ------------------------------------------------------------

    def read(self) -> list[Frame]:
        """What has come, as frames. Never waits; raises as `Transport.read` does."""
        if self._end is not None:
            raise self._end
        frames, self._ready = self._ready, []
        now = self._clock.monotonic()
        try:
            for reply in self._line.read():
                frames += self._heard(reply, now)
            if self._subscriber.commands:
                self._send()
            if self._subscriber.fault:
                raise self._line.lost(self._subscriber.fault)
        except ConnectionLost as end:
            self._end = end
            if not frames:
                raise
            self.stream.ready = True
        self.bytes_received, self.heard = self._line.bytes_received, self.stream.heard
        if frames and self._tap is not None:
            self._tap.received(frames, self.max_frame)
        return frames

    def _heard(self, reply: Any, now: float) -> list[Frame]:
        if self._line.is_published(reply):
            return self._published(reply, now)
        if isinstance(reply, RedisRefused) and not self._is_full(reply):
            raise self._line.refused(reply)
        if not self._open:
            raise self._line.lost("an answer to nothing")
        word, key, *_ = self._open.popleft()
        if isinstance(reply, RedisRefused):
            self._subscriber.unasked()
            return [_PONG]
        if word == "INCR":
            if type(reply) is not int:
                raise self._line.lost("a counter that is no number")
            self._subscriber.probed(reply)
            return [_PONG]
        topic = self._names.topic_of(key)
        if topic is None or not (reply is None or isinstance(reply, bytes)):
            raise self._line.lost("a key that holds no text")
        return [self._frame(said) for said in self._subscriber.keyed(topic, reply)]

    def _is_full(self, refused: RedisRefused) -> bool:
        """Whether a probe was refused for want of memory: the line is good.

        No beat will answer it, so that the lease runs out.
        """
        return refused.word == "OOM" and bool(self._open) and self._open[0][0] == "INCR"

    def _published(self, reply: list[Any], now: float) -> list[Frame]:
        if len(reply) != 3 or not isinstance(reply[1], bytes):
            return []
        word, channel = reply[0], reply[1].decode("utf-8", "replace")
        if word == _MESSAGE and isinstance(reply[2], bytes):
            said = self._subscriber.came(channel, reply[2], now)
        elif word == _ENDED:
            said = self._subscriber.confirmed_left(channel)
        elif word == _BEGUN:
            self._subscriber.begun(channel)
            return []
        else:
            return []
        return [self._frame(each) for each in said]

    # --- The end --------------------------------------------------------------------

    def begin_close(self, code: int = NORMAL) -> None:
        """Do nothing: Redis needs no goodbye."""

    def finish_close(self, clock: Clock, deadline: float) -> None:
        """Do nothing: there is no answer to wait for."""

    def close(self) -> None:
        """Close TLS and TCP without waiting. A second call does nothing."""
        with suppress(ConnectionLost):
            self.stream.close()


class ReaderOpener:
    """Opens the transports of one feed that reads from *address*.

    It takes the place of `recording.tap.open_transport`. *lease* is the reader's own,
    or ``None`` for that of the producer. Connections' threads call it.
    """

    def __init__(
        self,
        address: RedisAddress,
        venue: str,
        wire: ForwardedV5 | ForwardedV3,
        clock: Clock,
        lease: float | None,
    ) -> None:
        self._address, self._wire = address, wire
        self._names = Names(address.prefix(venue))
        self._clock, self._lease = clock, lease
        # The transport that is open, or was last: there is one connection.
        self.last: RedisTransport | None = None

    def __call__(
        self,
        network: Network,
        url: str,
        deadline: float,
        cancelled: Callable[[], bool],
        tap: RecordingTap | None,
        max_frame: int = MAX_FRAME,
        clean: Clean = str,
    ) -> RedisTransport:
        """A transport to the server; errors as those of `Transport.open`."""
        address, names = self._address, self._names
        line = RedisLine.open(network, address, deadline, cancelled, address.name)
        subscriber = TopicReader(names, address.name, address.endpoint, self._lease)
        args = line, subscriber, names, self._wire, self._clock, max_frame, tap
        self.last = RedisTransport(*args)
        if tap is not None:
            tap.opened(address.endpoint)
        return self.last
