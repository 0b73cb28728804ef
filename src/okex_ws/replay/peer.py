"""The exchange's end of one replayed connection: the script played to its client.

What was recorded comes at its time, byte for byte, if it was asked for; what is asked
is answered as it was then. Bytes in, bytes out, *now* is an argument.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NamedTuple

from ..errors import ConnectionLost
from .cast import Cast
from .framing import BINARY, CLOSE, PING, PONG, TEXT, Client, close, frame
from .script import Said, Session

# An answer that was recorded so much later is another one's.
PATIENCE = 10.0
# Who asks so little after the recorded answer has missed nothing: clocks that run fast
# are late by that.
GRACE = 1.0
# Of these channels the newest push says all that there is to say.
_VALUES = ("depth", "ticker", "funding")


class _Asked(NamedTuple):
    op: str
    number: str | None
    keys: list[str]


class _Track:
    """One session as it is played: what of it is still to come, and wanted."""

    def __init__(self, session: Session, place: int, own: bool) -> None:
        self.session = session
        # Whether what is for everybody comes from here, and pongs.
        self.own = own
        self.place = place
        self.wanted: set[str] = set()
        self.asked: dict[int, _Asked] = {}
        self._found: int | None = None

    def look_again(self) -> None:
        """Something else is wanted."""
        self._found = None

    def next(self, awaits_pong: bool) -> int:
        """Where the next of it is that is to be said; past its end, if none is."""
        if self._found is None or self._found < self.place:
            said, place = self.session.said, self.place
            while place < len(said) and not self._is_wanted(
                place, said[place], awaits_pong
            ):
                place += 1
            self._found = place
        return self._found

    def _is_wanted(self, place: int, said: Said, awaits_pong: bool) -> bool:
        if said.role == "data":
            return not self.wanted.isdisjoint(said.channels)
        if said.role == "answer":
            return place in self.asked
        return self.own and (
            said.role == "word" or (said.role == "pong" and awaits_pong)
        )


class Peer:
    """Whom one replayed connection talks to; *path* is v5's.

    A ping may be *late* seconds behind the recorded one, and is answered all the same.
    """

    def __init__(
        self, cast: Cast, owner: object, path: str, endpoint: str, late: float = 0.0
    ) -> None:
        self.outbox = bytearray()
        # Raised to the client behind all that was said.
        self.end: ConnectionLost | None = None
        self._cast = cast
        self._owner = owner
        self._path = path
        self._endpoint = endpoint
        self._dialect = cast.script.dialect
        self._client = Client()
        self._session: Session | None = None
        self._tracks: list[_Track] = []
        self._pings = 0
        self._late = late
        # Where the last pong was that it said.
        self._ponged = -1
        self._answered: Counter[tuple[str, str]] = Counter()

    def bind(self, session: Session, now: float) -> None:
        """*session* is the one that it plays."""
        self._session = session
        track = _Track(session, session.place(now - GRACE), own=True)
        self._tracks.insert(0, track)
        if not self._cast.script.has_pongs:
            for _ in range(self._pings):
                self._tell(self._dialect.payload("pong"))
            self._pings = 0

    # --- What comes by itself -------------------------------------------------------

    def due(self) -> float:
        """When `advance` has something to do."""
        found = [self._at(track) for track in self._tracks]
        return min([*found, self._ends_at()], default=math.inf)

    def _ends_at(self) -> float:
        session = self._session
        if session is None or session.end.how == "silence" or self.end is not None:
            return math.inf
        # What the recorded program closed this one is about to close as well.
        return session.ends_at + (GRACE if session.end.how == "own" else 0.0)

    def _at(self, track: _Track) -> float:
        place = track.next(self._pings > 0)
        said = track.session.said
        return said[place].at if place < len(said) and self.end is None else math.inf

    def advance(self, now: float) -> None:
        """Say what is due by *now*."""
        while self._tracks and self.end is None:
            track = min(self._tracks, key=self._at)
            if self._at(track) > min(now, self._ends_at()):
                break
            place = track.next(self._pings > 0)
            track.place = place + 1
            self._say(track, place)
        if now >= self._ends_at():
            self._finish()

    def _say(self, track: _Track, place: int) -> None:
        said = track.session.said[place]
        asked = track.asked.pop(place, None)
        payload = said.payload
        if said.role == "pong":
            self._pings -= 1
            self._ponged = place
            self._look_again()
        elif asked is not None:
            payload = self._dialect.renumbered(payload, asked.number)
            self._grant(track, asked, place)
        self._send(said.opcode, payload)

    def _grant(self, track: _Track, asked: _Asked, place: int) -> None:
        if asked.op == "unsubscribe":
            track.wanted.difference_update(asked.keys)
        elif place not in track.session.refusals:
            track.wanted.update(asked.keys)
        self._look_again()

    def _finish(self) -> None:
        assert self._session is not None
        how, reason, code = self._session.end
        if how == "close":
            self.outbox += close(code, reason)
        self.end = ConnectionLost(self._endpoint, reason)

    def _look_again(self) -> None:
        for track in self._tracks:
            track.look_again()

    def _send(self, opcode: int, payload: bytes) -> None:
        self.outbox += frame(opcode, payload)

    def _tell(self, message: tuple[bytes, bool]) -> None:
        payload, binary = message
        self._send(BINARY if binary else TEXT, payload)

    # --- What is asked --------------------------------------------------------------

    def receive(self, data: bytes, now: float, wall: float) -> None:
        """Bytes of the client."""
        self.outbox += self._client.handshake(data, wall)
        for opcode, payload in self._client.frames():
            if opcode == TEXT:
                self._asked(payload.decode(), now)
            elif opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE and self.end is None:
                self._send(CLOSE, payload)
                self.end = ConnectionLost(self._endpoint, "closed")

    def _asked(self, text: str, now: float) -> None:
        # What is due by now was said before this was asked, or was not wanted.
        self.advance(now)
        for track in self._tracks:
            track.place = max(track.place, track.session.place(now))
        if text == self._dialect.wire.PING:
            self._ping(now)
            return
        request: dict[str, Any] = json.loads(text)
        op, number = request["op"], request.get("id")
        if op == "login":
            self._tell(self._dialect.logged_in(number))
            return
        keys = self._dialect.keys(request["args"])
        if self._session is None:
            session = self._cast.choose(self._owner, self._path, keys, now)
            if session is not None:
                self.bind(session, now)
                self._tracks[0].place = session.place(now)
                self._catch_up(session, now)
        for key in keys:
            self._answer(_Asked(op, number, [key]), key, now)
        self._look_again()

    def _ping(self, now: float) -> None:
        if not self._cast.script.has_pongs:
            self._tell(self._dialect.payload("pong"))
            return
        self._pings += 1
        if self._session is not None:
            self._catch_up(self._session, now)
        self._look_again()

    def _catch_up(self, session: Session, now: float) -> None:
        """The pong that has just gone by answers a ping that is late."""
        if not self._pings:
            return
        for place in range(session.place(now) - 1, self._ponged, -1):
            said = session.said[place]
            if said.at <= now - self._late:
                return
            if said.role == "pong":
                self._ponged = place
                self._pings -= 1
                self._send(said.opcode, said.payload)
                return

    def _answer(self, asked: _Asked, key: str, now: float) -> None:
        track = self._track(key, now)
        if track is None:
            if asked.op == "subscribe" and key not in self._cast.script.keys:
                self._tell(self._dialect.refusal(key, asked.number))
            else:
                self._tell(self._dialect.answer(asked.op, key, asked.number))
            return
        if any(key in other.keys for other in track.asked.values()):
            return  # its answer is on the way
        answers = track.session.answers.get((asked.op, key), [])
        nth = self._answered[asked.op, key]
        self._answered[asked.op, key] += 1
        place = answers[min(nth, len(answers) - 1)] if answers else None
        if place is not None and place >= track.place and nth < len(answers):
            at = track.session.said[place].at
            if asked.op == "subscribe" or at <= now + PATIENCE:
                self._later(track, place, asked)
                return
        self._at_once(track, place, asked, now)

    def _later(self, track: _Track, place: int, asked: _Asked) -> None:
        # One refusal may be that of a whole request.
        same = track.asked.get(place)
        keys = asked.keys if same is None else [*same.keys, *asked.keys]
        track.asked[place] = asked._replace(keys=keys)

    def _at_once(
        self, track: _Track, place: int | None, asked: _Asked, now: float
    ) -> None:
        session, (key,) = track.session, asked.keys
        since = session.opens_at
        if place is None:
            self._tell(self._dialect.answer(asked.op, key, asked.number))
        else:
            said = session.said[place]
            since = said.at
            payload = self._dialect.renumbered(said.payload, asked.number)
            self._send(said.opcode, payload)
        if asked.op == "unsubscribe":
            track.wanted.discard(key)
        elif place not in session.refusals:
            track.wanted.add(key)
            behind = -1 if place is None else place
            for at in self._missed(track, key, behind, now > since + GRACE):
                self._send(session.said[at].opcode, session.said[at].payload)

    def _missed(self, track: _Track, key: str, since: int, late: bool) -> list[int]:
        """What still matters of a channel that was said behind *since*."""
        session = track.session
        past = [at for at in session.data.get(key, ()) if since < at < track.place]
        if not late:
            return past
        kind = self._dialect.about(key).kind
        if kind == "book":
            whole = [n for n, at in enumerate(past) if at in session.snapshots]
            return past[whole[-1] :] if whole else []
        return past[-1:] if kind in _VALUES else []

    def _track(self, key: str, now: float) -> _Track | None:
        """The session that carries a channel, as it is played."""
        for track in self._tracks:
            if track.session.carries(key):
                return track
        other = self._cast.elsewhere(self._path, key, now)
        if other is None:
            return None
        track = _Track(other, other.place(now), own=False)
        self._tracks.append(track)
        return track
