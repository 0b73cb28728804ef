"""`Peer`: the exchange's end of one replayed connection. Pure: bytes in, bytes out.

A recorded frame comes at its time, byte for byte, if the client subscribed to it. A
request is answered as it was in the recording. *now* is an argument.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NamedTuple

from ..base.errors import ConnectionLost
from .framing import BINARY, CLOSE, PING, PONG, TEXT, ClientFrameParser, close, frame
from .matching import ConnectionMatcher
from .script import RecordedConnection, RecordedFrame

# Seconds: an answer to an unsubscribe that was recorded so much later belongs to
# another request.
PATIENCE = 10.0
# Seconds: a client that subscribes so shortly after the recorded answer has missed
# nothing. With a clock that runs fast, so much delay is normal.
GRACE = 1.0
# Kinds of channels whose newest push makes the older ones useless.
_VALUES = ("depth", "ticker", "funding")


class _PendingRequest(NamedTuple):
    op: str
    number: str | None
    keys: list[str]


class _Playback:
    """One recorded opening as it is played: the frames that are still to be sent."""

    def __init__(self, connection: RecordedConnection, place: int, own: bool) -> None:
        self.connection = connection
        # Whether pongs and frames of no channel are taken from this connection.
        self.own = own
        self.place = place
        self.wanted: set[str] = set()
        # Those of them of which the client has had nothing to begin with.
        self.hungry: set[str] = set()
        self.pending: dict[int, _PendingRequest] = {}
        self._found: int | None = None

    @property
    def ends_at(self) -> float:
        """When nothing comes of it any more, though the client's connection goes on."""
        over = not self.own and self.wanted
        return self.connection.ends_at if over else math.inf

    def rescan(self) -> None:
        """Look for the next frame anew: other frames are wanted now."""
        self._found = None

    def next(self, awaits_pong: bool) -> int:
        """The place of the next frame to send, past the end if there is none."""
        if self._found is None or self._found < self.place:
            recorded, place = self.connection.recorded, self.place
            while place < len(recorded) and not self._is_wanted(
                place, recorded[place], awaits_pong
            ):
                place += 1
            self._found = place
        return self._found

    def _is_wanted(
        self, place: int, recorded: RecordedFrame, awaits_pong: bool
    ) -> bool:
        if recorded.role == "data":
            return not self.wanted.isdisjoint(recorded.channels)
        if recorded.role == "lost":
            return bool(self.wanted)
        if recorded.role == "made":
            return not self.hungry.isdisjoint(recorded.channels)
        if recorded.role == "answer":
            left = self.connection.leaves.get(place, ())
            return place in self.pending or not self.wanted.isdisjoint(left)
        return self.own and (
            recorded.role == "word" or (recorded.role == "pong" and awaits_pong)
        )


class Peer:
    """The exchange's end of one opening of a replayed connection.

    It sends the recorded frames of the channels that the client has subscribed to, each
    at its time, and answers requests as they were answered then. *claimant* is the
    client's network, which *matcher* gives a recorded opening; *path* is that of v5. A
    channel that was never recorded is refused. A client that subscribes late gets the
    last whole book or value. A ping may come *late* seconds after its pong in the
    recording, and is answered all the same. The thread of the client's connection calls
    all methods, and the scheduler of virtual time `due`, while that thread waits. No
    method waits: the client calls `advance` at the time that `due` gives.
    """

    def __init__(
        self,
        matcher: ConnectionMatcher,
        claimant: object,
        path: str,
        endpoint: str,
        late: float = 0.0,
    ) -> None:
        self.outbox = bytearray()
        # Raised to the client after all that was sent before the end.
        self.end: ConnectionLost | None = None
        self._matcher = matcher
        self._claimant = claimant
        self._path = path
        self._endpoint = endpoint
        self._dialect = matcher.script.dialect
        self._client = ClientFrameParser()
        self._connection: RecordedConnection | None = None
        self._playbacks: list[_Playback] = []
        self._pings = 0
        self._late = late
        # The place of the last recorded pong that was sent.
        self._ponged = -1
        # When the recorded exchange last answered an unsubscribe.
        self._left_at = -math.inf
        self._answered: Counter[tuple[str, str]] = Counter()

    def bind(self, connection: RecordedConnection, now: float) -> None:
        """Play *connection* to the client."""
        self._connection = connection
        playback = _Playback(connection, connection.place(now - GRACE), own=True)
        self._playbacks.insert(0, playback)
        if not self._matcher.script.has_pongs:
            self._answer_pings()

    # --- Recorded frames ------------------------------------------------------------

    def due(self) -> float:
        """When `advance` must be called next."""
        found = [self._at(playback) for playback in self._playbacks]
        return min([*found, self._ends_at()], default=math.inf)

    def _ends_at(self) -> float:
        connection = self._connection
        if (
            connection is None
            or connection.end.how == "silence"
            or self.end is not None
        ):
            return math.inf
        # If the recorded program closed the connection, this program is about to do so.
        return connection.ends_at + (GRACE if connection.end.how == "own" else 0.0)

    def _at(self, playback: _Playback) -> float:
        place = playback.next(self._pings > 0)
        recorded = playback.connection.recorded
        if self.end is not None:
            return math.inf
        return recorded[place].at if place < len(recorded) else playback.ends_at

    def advance(self, now: float) -> None:
        """Send what is due by *now*, and end the connection if its end has come."""
        while self._playbacks and self.end is None:
            playback = min(self._playbacks, key=self._at)
            if self._at(playback) > min(now, self._ends_at()):
                break
            place = playback.next(self._pings > 0)
            if place == len(playback.connection.recorded):
                self._leave(playback)
                continue
            playback.place = place + 1
            self._play(playback, place)
        if now >= self._ends_at():
            self._finish()

    def _leave(self, playback: _Playback) -> None:
        """Unsubscribe what another recorded connection carried, which is over.

        Its last values would else stay the client's present ones.
        """
        self._playbacks.remove(playback)
        self._unsubscribe(playback)

    def _unsubscribe(self, playback: _Playback) -> None:
        for key in sorted(playback.wanted):
            self._send_message(self._dialect.answer("unsubscribe", key, None))
        playback.wanted.clear()
        playback.hungry.clear()

    def _play(self, playback: _Playback, place: int) -> None:
        recorded = playback.connection.recorded[place]
        if recorded.role == "lost":
            # A newer value may be missing: the client has to begin anew.
            self._unsubscribe(playback)
            self._left_at = recorded.at
            self._rescan()
            return
        pending = playback.pending.pop(place, None)
        payload = recorded.payload
        self._feed(playback, place)
        if recorded.role == "pong":
            self._pings -= 1
            self._ponged = place
            self._rescan()
        elif recorded.role == "answer" and pending is None:
            # The recorded program left the channel: for this client, too, nothing
            # comes any more, and what came is no present value.
            left = playback.connection.leaves[place]
            self._grant(playback, _PendingRequest("unsubscribe", None, left), place)
        elif pending is not None:
            payload = self._dialect.renumbered(payload, pending.number)
            self._grant(playback, pending, place)
        self._send(recorded.opcode, payload)

    def _feed(self, playback: _Playback, place: int) -> None:
        """Note which channels the client now has something to begin with."""
        if not playback.hungry:
            return
        for key in playback.connection.recorded[place].channels:
            if place in playback.connection.snapshots or self._is_value(key):
                playback.hungry.discard(key)

    def _is_value(self, key: str) -> bool:
        return self._dialect.channel_info(key).kind in _VALUES

    def _grant(self, playback: _Playback, pending: _PendingRequest, place: int) -> None:
        if pending.op == "unsubscribe":
            playback.wanted.difference_update(pending.keys)
            playback.hungry.difference_update(pending.keys)
            self._left_at = playback.connection.recorded[place].at
        elif place not in playback.connection.refusals:
            playback.wanted.update(pending.keys)
        self._rescan()

    def _finish(self) -> None:
        assert self._connection is not None
        how, reason, code, cause_code = self._connection.end
        if how == "close":
            self.outbox += close(code, reason)
        self.end = ConnectionLost(self._endpoint, reason, cause_code=cause_code)

    def _rescan(self) -> None:
        for playback in self._playbacks:
            playback.rescan()

    def _send(self, opcode: int, payload: bytes) -> None:
        self.outbox += frame(opcode, payload)

    def _send_message(self, message: tuple[bytes, bool]) -> None:
        payload, binary = message
        self._send(BINARY if binary else TEXT, payload)

    # --- Requests -------------------------------------------------------------------

    def receive(self, data: bytes, now: float, wall: float) -> None:
        """Take bytes that the client sent, and answer them."""
        self.outbox += self._client.handshake(data, wall)
        for opcode, payload in self._client.frames():
            if opcode == TEXT:
                self._handle_text(payload.decode(), now)
            elif opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE and self.end is None:
                self._send(CLOSE, payload)
                self.end = ConnectionLost(self._endpoint, "closed")

    def _handle_text(self, text: str, now: float) -> None:
        # What is due by now came before this request, or was not wanted.
        self.advance(now)
        for playback in self._playbacks:
            playback.place = max(playback.place, playback.connection.place(now))
        if text == self._dialect.wire.PING:
            self._ping(now)
            return
        request: dict[str, Any] = json.loads(text)
        op, number = request["op"], request.get("id")
        if op == "login":
            self._send_message(self._dialect.logged_in(number))
            return
        keys = self._dialect.keys(request["args"])
        if self._connection is None:
            connection = self._matcher.choose(self._claimant, self._path, keys, now)
            if connection is not None:
                self.bind(connection, now)
                self._playbacks[0].place = connection.place(now)
                self._catch_up(connection, now)
        for key in keys:
            self._answer(_PendingRequest(op, number, [key]), key, now)
        self._rescan()

    def _ping(self, now: float) -> None:
        self._pings += 1
        if not self._matcher.script.has_pongs or now <= self._left_at + GRACE:
            # An exchange that has just answered is there. The client waits for this
            # pong to subscribe again, and the program that was recorded may not have.
            self._answer_pings()
            return
        if self._connection is not None:
            self._catch_up(self._connection, now)
        self._rescan()

    def _answer_pings(self) -> None:
        for _ in range(self._pings):
            self._send_message(self._dialect.payload("pong"))
        self._pings = 0
        self._rescan()

    def _catch_up(self, connection: RecordedConnection, now: float) -> None:
        """Answer a late ping with the recorded pong whose time has just passed."""
        if not self._pings:
            return
        for place in range(connection.place(now) - 1, self._ponged, -1):
            recorded = connection.recorded[place]
            if recorded.at <= now - self._late:
                return
            if recorded.role == "pong":
                self._ponged = place
                self._pings -= 1
                self._send(recorded.opcode, recorded.payload)
                return

    def _answer(self, pending: _PendingRequest, key: str, now: float) -> None:
        playback = self._playback(key, now)
        if playback is None:
            if pending.op == "subscribe" and key not in self._matcher.script.keys:
                listed = self._matcher.script.instruments
                self._send_message(self._dialect.refusal(key, pending.number, listed))
            else:
                self._send_message(
                    self._dialect.answer(pending.op, key, pending.number)
                )
            return
        if any(key in other.keys for other in playback.pending.values()):
            return  # its answer is on the way
        answers = playback.connection.answers.get((pending.op, key), [])
        nth = self._answered[pending.op, key]
        self._answered[pending.op, key] += 1
        place = answers[min(nth, len(answers) - 1)] if answers else None
        if place is not None and place >= playback.place and nth < len(answers):
            at = playback.connection.recorded[place].at
            if pending.op == "subscribe" or at <= now + PATIENCE:
                self._later(playback, place, pending)
                return
        again = pending.op == "subscribe" and 0 < len(answers) <= nth
        if again and playback.connection.ends_at <= now + GRACE:
            # The recorded program may have asked again too, a moment later, and the end
            # came before the answer.
            return
        self._at_once(playback, place, pending, now)

    def _later(self, playback: _Playback, place: int, pending: _PendingRequest) -> None:
        # One recorded refusal may answer a request for several channels.
        same = playback.pending.get(place)
        keys = pending.keys if same is None else [*same.keys, *pending.keys]
        playback.pending[place] = pending._replace(keys=keys)

    def _at_once(
        self,
        playback: _Playback,
        place: int | None,
        pending: _PendingRequest,
        now: float,
    ) -> None:
        connection, (key,) = playback.connection, pending.keys
        since = connection.opens_at
        if place is None:
            self._send_message(self._dialect.answer(pending.op, key, pending.number))
        else:
            recorded = connection.recorded[place]
            since = recorded.at
            payload = self._dialect.renumbered(recorded.payload, pending.number)
            self._send(recorded.opcode, payload)
        if pending.op == "unsubscribe":
            playback.wanted.discard(key)
            playback.hungry.discard(key)
            self._left_at = since
        elif place not in connection.refusals:
            playback.wanted.add(key)
            playback.hungry.add(key)
            behind = -1 if place is None else place
            for at in self._missed(playback, key, behind, now > since + GRACE):
                self._feed(playback, at)
                self._send(
                    connection.recorded[at].opcode, connection.recorded[at].payload
                )

    def _missed(
        self, playback: _Playback, key: str, since: int, late: bool
    ) -> list[int]:
        """The places of pushes of channel *key* after *since* that the client needs.

        A client that is not *late* gets all of them. A *late* one gets the last whole
        book and the changes after it, or the newest value; it gets no past trades. The
        whole book or the value may be that of a keyframe.
        """
        connection = playback.connection
        # What came before the recorded program left the channel is no present value.
        left = connection.answers.get(("unsubscribe", key), ())
        ends = (at for at in (*left, *connection.losses) if at < playback.place)
        since = max([since, *ends])
        every = [
            at for at in connection.data.get(key, ()) if since < at < playback.place
        ]
        past = [at for at in every if connection.recorded[at].role != "made"]
        if not late:
            return past
        kind = self._dialect.channel_info(key).kind
        if kind == "book":
            whole = [at for at in every if at in connection.snapshots]
            return (
                [*whole[-1:], *(at for at in past if at > whole[-1])] if whole else []
            )
        return every[-1:] if kind in _VALUES else []

    def _playback(self, key: str, now: float) -> _Playback | None:
        """The playback of the recorded connection that carries channel *key*."""
        for playback in self._playbacks:
            if playback.connection.carries(key):
                return playback
        other = self._matcher.elsewhere(self._path, key, now)
        if other is None:
            return None
        playback = _Playback(other, other.place(now), own=False)
        self._playbacks.append(playback)
        return playback
