"""`Script`: what each recorded connection received, and when. Read once, then constant.

Nothing here waits or knows a client; `peer.Peer` plays the script.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..base.errors import ConnectionLost, HandshakeFailed, OkexWSError, WireError
from ..base.state import CauseCode
from ..model.venues import VENUES, Venue
from ..protocol.catalogue import KNOWN
from ..protocol.messages import (
    Acknowledged,
    LoggedIn,
    Message,
    Pong,
    Push,
    Refused,
    Unsubscribed,
)
from ..recording.format import Entry
from ..recording.recorded_frames import RecordingDamaged
from .framing import CLOSE, PING, PONG
from .requests import ChannelInfo, Outstanding, Recorded, ReplayDialect

_SNAPSHOTS = ("snapshot", "partial")
# URLs for a capture, which does not say where it was received.
_CAPTURES = {
    "v3": "wss://capture.invalid/ws/v3",
    "v5": "wss://capture.invalid/ws/v5/public",
}


class RecordedFrame(NamedTuple):
    """A recorded frame that the program received; *channels* are those of its data.

    *role* is ``'data'``, ``'answer'`` (to a request), ``'pong'``, ``'login'``,
    ``'lost'`` (no frame: some may be missing here),
    ``'made'`` (data of a keyframe, for a client that has none yet) or ``'word'`` (any
    other frame, which every client gets).
    """

    at: float
    role: str
    payload: bytes
    opcode: int
    channels: tuple[str, ...] = ()


class End(NamedTuple):
    """How a recorded opening of a connection ended.

    *how* is ``'close'`` (with a close frame: *code* and *reason*), ``'reset'`` (then
    *cause_code* is that of the `Cause`),
    ``'own'`` (the recorded program closed it), or ``'silence'``: nothing more came.
    """

    how: str = "silence"
    reason: str = ""
    code: int | None = None
    cause_code: CauseCode = CauseCode.NETWORK


_SILENCE = End()
_OWN = "the program that was recorded closed this connection here"


@dataclass
class RecordedConnection:
    """One recorded opening of a connection, from its handshake to its end.

    *line* is a number that it shares with the openings of the same connection before
    and after it. *failure* is the error of an attempt that failed. It is complete
    before the replay begins, and never changes then.
    """

    number: int
    line: int
    path: str
    opens_at: float
    failure: OkexWSError | None = None
    ends_at: float = math.inf
    end: End = _SILENCE
    recorded: list[RecordedFrame] = field(default_factory=list)
    # Places in `recorded`: of answers, by operation and channel; of data, by channel.
    answers: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    data: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    # Places in `recorded` of whole books, and of answers that refuse.
    snapshots: set[int] = field(default_factory=set)
    refusals: set[int] = field(default_factory=set)
    # Places of answers to unsubscribes, with their channels.
    leaves: dict[int, list[str]] = field(default_factory=dict)
    # Places where messages of any channel may be missing in the recording.
    losses: list[int] = field(default_factory=list)
    # Channels that a keyframe says were acknowledged.
    standing: set[str] = field(default_factory=set)
    pongs: int = 0

    def carries(self, key: str) -> bool:
        """Whether it has data of channel *key*, or acknowledged or refused it."""
        return (
            key in self.data
            or key in self.standing
            or ("subscribe", key) in self.answers
        )

    @property
    def granted(self) -> set[str]:
        """The channels that it acknowledged, or has data of."""
        found = {*self.data, *self.standing}
        for (op, key), places in self.answers.items():
            if op == "subscribe" and not self.refusals.issuperset(places):
                found.add(key)
        return found

    @property
    def last_at(self) -> float:
        """When its last frame came; if none did, when it opened."""
        return self.recorded[-1].at if self.recorded else self.opens_at

    def place(self, now: float) -> int:
        """The place in `recorded` of the first frame after *now*."""
        return bisect.bisect_right(self.recorded, now, key=lambda each: each.at)


class Moment(NamedTuple):
    """A time of a recorded entry, on the recording machine's two clocks."""

    mono: float
    wall: float


class Script:
    """A recording of one venue: its openings of connections, and all moments in order.

    The whole recording is read by the constructor, so that a replay never waits for a
    file; afterwards any thread may read. If the recording is damaged, all that was
    recorded before is kept, and *damage* is the error, else ``None``. The constructor
    raises `RecordingDamaged` if nothing can be used, and ``ValueError`` if *venue* was
    not recorded or has to be named.
    """

    def __init__(self, entries: Iterable[Entry], path: str, venue: str | None) -> None:
        self.connections: list[RecordedConnection] = []
        self.moments: list[Moment] = []
        self.damage: RecordingDamaged | None = None
        self._wanted = venue
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._open: dict[int, _Reader] = {}
        self._last_in = -math.inf
        try:
            for entry in entries:
                self._take(entry)
        except RecordingDamaged as damage:
            self.damage = damage
        if self._facts:
            self._check_venue()
        if not self.moments:
            raise self.damage or RecordingDamaged(path, 1, "it has no data")
        self.moments.sort()
        try:
            self.dialect = self._dialect()
        except (ValueError, TypeError) as error:
            why = f"its venue is none: {error}"
            raise RecordingDamaged(path, 1, why) from error
        self._settle()

    # --- Reading --------------------------------------------------------------------

    def _take(self, entry: Entry) -> None:
        if entry.kind == "lost":
            for each in self._open.values():
                each.missed(entry)
            return
        if entry.kind in ("open", "failed"):
            if not self._opened(entry):
                return
        elif entry.connection not in self._open:
            if entry.kind != "in" or self._facts:
                return  # of another venue, or of no connection
            self._open_capture(entry)
        reader = self._open[entry.connection]
        # One thread wrote all entries of a connection, so a clock that goes back is
        # damage, and is held at the entry before.
        entry = entry._replace(mono=max(entry.mono, reader.connection.last_at))
        if entry.kind == "in":
            reader.heard(entry)
            self._last_in = max(self._last_in, entry.mono)
        elif entry.kind == "keyframe":
            reader.kept(entry)
            return  # no moment of the exchange's
        elif entry.kind == "control":
            reader.controlled(entry)
        elif entry.kind == "out":
            reader.outstanding.note_sent(entry.payload)
        elif entry.kind in ("end", "failed"):
            _end(reader.connection, entry)
        if entry.facts.get("again"):
            return  # it has the time of its opening, perhaps hours before this part
        if not self.moments or self.moments[-1].mono != entry.mono:
            self.moments.append(Moment(entry.mono, entry.wall))

    def _opened(self, entry: Entry) -> bool:
        facts = entry.facts
        about = facts["venue"]
        name = about["name"]
        if "via" in facts:
            raise ValueError(
                "a feed with via= has recorded this: it can be read (zcat), and not"
                " replayed; record the feed that publishes"
            )
        self._facts.setdefault(name, {**about, "url": facts["url"]})
        if self._wanted not in (None, name):
            return False
        if entry.kind == "open" and entry.connection in self._open:
            return True  # a part of a recording repeats what was open when it began
        connection = RecordedConnection(
            entry.connection, facts["line"], facts["path"], entry.mono
        )
        self.connections.append(connection)
        self._open[entry.connection] = _Reader(
            connection, ReplayDialect(about["protocol"])
        )
        return True

    def _open_capture(self, entry: Entry) -> None:
        is_v5 = b'"arg":' in entry.payload or not (
            entry.binary or b'"channel":"' in entry.payload
        )
        protocol = "v5" if is_v5 else "v3"
        about = {"name": "capture", "protocol": protocol, "url": _CAPTURES[protocol]}
        self._facts["capture"] = about
        path = "public" if is_v5 else ""
        connection = RecordedConnection(entry.connection, 1, path, entry.mono)
        self.connections.append(connection)
        reader = _Reader(connection, ReplayDialect(protocol))
        reader.outstanding.unknown = True
        self._open[entry.connection] = reader

    # --- The venue and its channels -------------------------------------------------

    def _check_venue(self) -> None:
        known = ", ".join(map(repr, self._facts))
        if self._wanted is not None and self._wanted not in self._facts:
            raise ValueError(f"venue {self._wanted!r} is not recorded, only {known}")
        if self._wanted is None and len(self._facts) > 1:
            raise ValueError(f"several venues are recorded, so name one: {known}")

    def _dialect(self) -> ReplayDialect:
        name = self._wanted or next(iter(self._facts))
        facts = dict(self._facts[name])
        url = facts.pop("url")
        dialect = ReplayDialect(facts["protocol"])
        base = url.rpartition("/")[0] if dialect.is_v5 else url
        known = VENUES.get(name)
        if known is not None and "markets" not in facts:
            facts |= {"markets": known.markets, "idle_repeat": known.idle_repeat}
        if "markets" in facts:
            facts["markets"] = tuple(facts["markets"])
        # No recorded venue is retired, and its connections need not wait for a turn.
        self.venue = Venue(
            endpoints=(base,), connections_per_second=1000.0, known="recorded", **facts
        )
        return dialect

    def _settle(self) -> None:
        """Remove the end of a connection that ended only because the recording did."""
        for connection in self.connections:
            if connection.end.how == "own" and connection.ends_at >= self._last_in:
                connection.ends_at, connection.end = math.inf, _SILENCE
        self.has_pongs = any(connection.pongs for connection in self.connections)
        self.keys = {key for each in self.connections for key in each.data}
        self.keys |= {key for each in self.connections for _, key in each.answers}
        self.keys |= {key for each in self.connections for key in each.standing}

    @property
    def begins(self) -> Moment:
        """The first recorded moment."""
        return self.moments[0]

    @property
    def ends(self) -> Moment:
        """The last recorded moment."""
        return self.moments[-1]

    @property
    def channel_infos(self) -> dict[str, ChannelInfo]:
        """What each acknowledged or received channel is about, by its key."""
        found = {key for connection in self.connections for key in connection.granted}
        return {key: self.dialect.channel_info(key) for key in sorted(found)}

    @property
    def instruments(self) -> tuple[Recorded, ...]:
        """Market, id and channels (the library's names) of each instrument."""
        found: dict[tuple[str, str], list[str]] = {}
        for about in self.channel_infos.values():
            if about.market and about.instrument_id and about.topic in KNOWN:
                mine = about.market, about.instrument_id
                found.setdefault(mine, []).append(about.topic)
        return tuple((*mine, tuple(sorted(topics))) for mine, topics in found.items())


class _Reader:
    """Adds the entries that a recording has of one opening to its `RecordedConnection`.

    An entry is one recorded event: a message, a frame, or an end.
    """

    def __init__(self, connection: RecordedConnection, dialect: ReplayDialect) -> None:
        self.connection = connection
        self.outstanding = Outstanding(dialect)
        self._dialect, self._wire = dialect, dialect.wire
        # Set by a close frame, sent or received: later messages were not used.
        self._parting = False

    def heard(self, entry: Entry) -> None:
        """Add a message that came."""
        if self._parting:
            return
        connection = self.connection
        place = len(connection.recorded)
        role = "word"
        channels: tuple[str, ...] = ()
        for message in self._messages(entry):
            if isinstance(message, Push):
                role, channels = "data", (*channels, message.channel)
                connection.data[message.channel].append(place)
                if message.action in _SNAPSHOTS:
                    connection.snapshots.add(place)
            else:
                role = self._answer(message, place)
        opcode = 2 if entry.binary else 1
        connection.recorded.append(
            RecordedFrame(entry.mono, role, entry.payload, opcode, channels)
        )

    def missed(self, entry: Entry) -> None:
        """Messages of any connection may be missing here: the recorder lost them."""
        connection = self.connection
        if connection.ends_at == math.inf:
            connection.losses.append(len(connection.recorded))
            at = max(entry.mono, connection.last_at)
            connection.recorded.append(RecordedFrame(at, "lost", b"", 0))

    def kept(self, entry: Entry) -> None:
        """Add a keyframe: a channel that stood then, and its depth if it had one."""
        connection, channel = self.connection, entry.facts["channel"]
        if self._parting:
            return
        connection.standing.add(channel)
        payload, binary = self._dialect.payload(entry.payload.decode())
        made = self._messages(entry._replace(payload=payload, binary=binary))
        match made:
            case (Push(channel=of, action=action),) if of == channel:
                place = len(connection.recorded)
                connection.data[channel].append(place)
                if action in _SNAPSHOTS:
                    connection.snapshots.add(place)
                opcode = 2 if binary else 1
                frame = RecordedFrame(entry.mono, "made", payload, opcode, (channel,))
                connection.recorded.append(frame)

    def _messages(self, entry: Entry) -> tuple[Message, ...]:
        try:
            return self._wire.read(self._wire.unpack(entry.payload, entry.binary))
        except WireError:
            return ()

    def _answer(self, message: Message, place: int) -> str:
        answers, outstanding = self.connection.answers, self.outstanding
        if isinstance(message, Pong):
            self.connection.pongs += 1
            return "pong"
        if isinstance(message, LoggedIn):
            outstanding.logged_in()
            return "login"
        if isinstance(message, Refused):
            if outstanding.refuses_login():
                return "login"
            op, keys = outstanding.refused(message)
            self.connection.refusals.add(place)
        elif isinstance(message, (Acknowledged, Unsubscribed)):
            op = "subscribe" if isinstance(message, Acknowledged) else "unsubscribe"
            keys = outstanding.acknowledged(op, message.channel)
        else:
            return "word"
        for key in keys:
            answers[op, key].append(place)
        if op == "unsubscribe" and not isinstance(message, Refused):
            self.connection.leaves[place] = keys
        return "answer" if keys else "word"

    def controlled(self, entry: Entry) -> None:
        """Add a ping or pong frame that came; a close frame only stops the reading."""
        opcode = entry.facts.get("opcode")
        self._parting |= opcode == CLOSE
        if opcode in (PING, PONG):
            recorded = RecordedFrame(entry.mono, "word", entry.payload, opcode)
            self.connection.recorded.append(recorded)


def _end(connection: RecordedConnection, entry: Entry) -> None:
    facts = entry.facts
    cause, why, code = facts.get("cause"), str(facts.get("why")), facts.get("code")
    connection.ends_at = entry.mono
    if entry.kind == "failed":
        if cause == "HandshakeFailed":
            status, wish = facts.get("status"), facts.get("retry_after")
            connection.failure = HandshakeFailed(facts["url"], why, status, wish)
        else:
            connection.failure = ConnectionLost(facts["url"], why)
        code = _cause_code(facts, connection.failure.cause_code)
        connection.failure.cause_code = code
    elif not cause:
        connection.end = End("own", _OWN)
    elif cause == "ConnectionLost":
        how, reset = "reset" if code is None else "close", CauseCode.NETWORK
        connection.end = End(how, why, code, _cause_code(facts, reset))


def _cause_code(facts: Mapping[str, Any], default: CauseCode) -> CauseCode:
    """What the recording says; *default* if it is older than that, or newer."""
    try:
        return CauseCode(facts.get("cause_code"))
    except ValueError:
        return default
