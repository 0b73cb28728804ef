"""The producer's half of the fan-out: what is written to Redis, in which order, when.

Pure: no socket, thread or clock. What the exchange's connections bring is taken on
their threads by a `Topic`; all else is called on the producer's own thread.

The order is the proof. A reader raises a counter; the producer reads it; then it takes
the age of its evidence; then the version of each topic; then it writes everything up to
these; then it publishes the beat that names them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from ..base.state import Cause
from ..protocol.json_text import to_json
from ..protocol.messages import DepthData
from .envelope import Beat, Forwarded, Identity, Link, Names, Vouch, encode, encode_beat
from .subscriber import FRESH

# A counter that was lost begins anew at a random number between these, far from any
# that a reader may remember.
LEAST_FRESH, MOST_FRESH = 1 << 40, 1 << 61
# A key that is not written for so long goes, in seconds. It is written once a lease.
KEPT = 600.0
# How many messages wait for Redis at most. Depths are replaced by newer ones first.
MOST_WAITING = 50_000

Command = tuple[str | bytes, ...]


class Evidence(NamedTuple):
    """That a topic is present, for *age* seconds, over the connection *link*."""

    link: int
    age: float
    endpoint: str


class Source(Protocol):
    """The value that a topic is about: where the producer's own reads come from."""

    def evidence(self, now: float, wall: float) -> Evidence | Cause:
        """What the producer has that the value is present; or why it has none."""
        ...

    def whole(self, said: Unpublished) -> str | None:
        """The whole book that the update *said* made, as one text of the exchange.

        ``None`` if that cannot be made.
        """
        ...


class Topic:
    """One channel that is published: its version, and the newest text.

    A *keyed* topic has a key in Redis. Of a *book* each text changes the one before,
    and the key is made from the book. *versions* are the numbers of all topics of a
    producer, so that a topic which is published again goes on above what it had before:
    a reader may not have noticed the end. The thread of the exchange's connection calls
    `take`, `withdraw` and `interrupt`; the producer's thread reads the rest.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        keyed: bool,
        book: bool,
        versions: Iterator[int],
    ) -> None:
        self.name, self.source, self.keyed, self.book = name, source, keyed, book
        self._versions = versions
        # The first message builds on this one, because 0 is for those that stand alone.
        self.version = next(versions)
        self.link = 0
        self.newest: Unpublished | None = None
        # The version that the key holds in this session; and when it was written.
        self.written, self.written_at = 0, 0.0

    def take(
        self, text: str, link: int, alone: bool, state: object = None
    ) -> Unpublished:
        """Take the exchange's *text*, which stands *alone* or builds on the one before.

        *state* is what the channel published with it.
        """
        after = 0 if alone else self.version
        said = Unpublished(self, next(self._versions), after, link, text, state)
        self.newest, self.link, self.version = said, link, said.version
        return said

    def withdraw(self) -> Unpublished:
        """The value is withdrawn: nothing that was taken before is present."""
        self.newest = None
        version = next(self._versions)
        said = Unpublished(self, version, self.version, self.link, "")
        self.version = version
        return said

    def interrupt(self) -> None:
        """A text may be missing here: leave a hole that readers see."""
        self.version = next(self._versions)


class Unpublished(NamedTuple):
    """A message that waits for Redis."""

    topic: Topic
    version: int
    after: int
    link: int
    text: str
    state: object = None


class Publisher:
    """What one producer writes to Redis, and what it makes of the answers.

    *names* are those of its feed, *instance* is its own, new with each process. *lease*
    is that of the connections to the exchange. The producer's thread calls `opened`
    with a new session for each connection to Redis, `tick` when it is `due`, `flush`
    whenever texts wait, and each answer's method; what they return is sent at once, in
    one write. One producer leads, and the others are silent until it is gone.
    """

    def __init__(
        self, names: Names, instance: str, lease: float, rng: random.Random
    ) -> None:
        self.names, self._instance, self._lease = names, instance, lease
        self._rng = rng
        self.topics: dict[str, Topic] = {}
        # The next version of any topic. It begins above 0 and never goes back.
        self.versions = itertools.count(1)
        # What was taken and not sent: any thread appends, the producer's takes.
        self.waiting: deque[Unpublished] = deque()
        self._session = ""
        self._term = 0
        self._highest = 0
        self._answered = -1
        self.leads = self.waits_to_lead = False
        self.due = 0.0
        # Since when no topic can be vouched for, while it leads; and whether it has let
        # another one lead since, in vain or not.
        self._mute_since: float | None = None
        self._gave_way_at: float | None = None

    @property
    def period(self) -> float:
        """Seconds between two looks at the counter."""
        return self._lease / 10

    def opened(self, session: str, now: float) -> None:
        """A connection to Redis is open: begin *session*."""
        self._session, self._answered = session, -1
        self.leads = self.waits_to_lead = False
        self._term, self.due, self._mute_since = 0, now, None

    def closed(self) -> None:
        """The connection to Redis has ended."""
        self.leads = False
        self.waiting.clear()

    # --- On any thread --------------------------------------------------------------

    def add(self, topic: Topic) -> None:
        """Publish *topic* from now on; nothing of it was taken yet."""
        self.topics[topic.name] = topic

    def remove(self, topic: Topic) -> None:
        """Publish *topic* no longer: no beat names it any more."""
        if self.is_published(topic):
            del self.topics[topic.name]

    def is_published(self, topic: Topic) -> bool:
        """Whether *topic* is published: asked after it was looked at.

        One that is not is not kept up to date, and another one may have its name.
        """
        return self.topics.get(topic.name) is topic

    # --- Who leads ------------------------------------------------------------------

    def tick(self, now: float) -> list[Command]:
        """Ask who leads, and for the counter."""
        self.due = now + self.period
        return [("GET", self.names.leader), ("GET", self.names.probe)]

    def leader(self, value: bytes | None, now: float) -> list[Command]:
        """The answer: who leads. Lead if there is none; go on if it is this one."""
        milliseconds = str(max(500, round(self._lease * 1000 / 3)))
        mine = self._instance.encode()
        if value is None:
            self.leads = self.waits_to_lead = False
            gave_way = self._gave_way_at
            if gave_way is not None and now < gave_way + self._lease / 3:
                return []
            key = self.names.leader
            return [("SET", key, self._instance, "NX", "PX", milliseconds)]
        self.waits_to_lead = value != mine
        if self.waits_to_lead:
            self.leads = False
            return []
        if self._term == 0:  # it led before, over a connection that was lost
            return [("INCR", self.names.term)]
        return [("PEXPIRE", self.names.leader, milliseconds)]

    def elected(self, won: bool) -> list[Command]:
        """The answer to the attempt to lead: a new term, if it was won."""
        self._term = 0
        return [("INCR", self.names.term)] if won else []

    def termed(self, number: int, now: float) -> list[Command]:
        """The answer: the new term. Write every key, before the first beat."""
        self._term = max(number, self._highest + 1)
        commands: list[Command] = []
        if self._term != number:
            # Redis was emptied: terms go on from the last one that readers know.
            commands.append(("SET", self.names.term, str(self._term)))
        self._highest = self._term
        self.leads, self._answered, self._mute_since = True, -1, None
        for topic in list(self.topics.values()):
            topic.written = 0
        self.waiting.clear()
        # The counter is looked at once more: if it was lost, it begins anew before the
        # first reader's probe is due again.
        written = self._write_keys(now)
        return [*commands, *written, ("GET", self.names.probe)]

    def step_down(self) -> list[Command]:
        """Lead no more, so that another one can: at the end, or when it is mute."""
        led, self.leads, self._term = self.leads, False, 0
        return [("DEL", self.names.leader)] if led else []

    # --- What is written ------------------------------------------------------------

    @property
    def _identity(self) -> Identity:
        return Identity(self._term, self._session, self._instance)

    def _encoded(self, said: Unpublished) -> bytes:
        return encode(
            Forwarded(
                self._identity,
                said.topic.name,
                said.version,
                said.after,
                said.link,
                said.text.encode(),
            )
        )

    def flush(self, now: float) -> list[Command]:
        """Everything that was taken so far, in order; of depths only the newest."""
        taken = []
        while self.waiting:
            taken.append(self.waiting.popleft())
        if not self.leads or not taken:
            return []
        last = {said.topic.name: said for said in taken if not said.topic.book}
        commands: list[Command] = []
        for said in taken:
            topic = said.topic
            if not self.is_published(topic):
                continue
            depth = topic.keyed and not topic.book
            if depth and last[topic.name] is not said:
                continue  # replaced before it was sent
            payload = self._encoded(said)
            if depth and said.text:
                commands.append(self._set(topic, payload, said.version, now))
            commands.append(("PUBLISH", self.names.topic(topic.name), payload))
        return commands

    def _set(self, topic: Topic, payload: bytes, version: int, now: float) -> Command:
        topic.written, topic.written_at = version, now
        kept = str(round(KEPT * 1000))
        return ("SET", self.names.topic(topic.name), payload, "PX", kept)

    def _write_keys(self, now: float) -> list[Command]:
        """The keys that do not hold the newest, or were not written for a lease."""
        commands = []
        for topic in list(self.topics.values()):
            newest = topic.newest
            old = now >= topic.written_at + self._lease
            if not topic.keyed or newest is None:
                continue
            if topic.written == newest.version and not old:
                continue
            text = topic.source.whole(newest) if topic.book else newest.text
            if text is None or not self.is_published(topic):
                continue
            alone = newest._replace(after=0, text=text)
            commands.append(self._set(topic, self._encoded(alone), newest.version, now))
        return commands

    # --- Beats ----------------------------------------------------------------------

    def probed(self, value: bytes | None, now: float, wall: float) -> list[Command]:
        """The answer: the counter. Publish a beat if a reader has asked for one."""
        if not self.leads:
            return []
        number = int(value) if value is not None and value.isdigit() else 0
        if number < FRESH:
            # The counter was lost. No beat answers it, because a reader may remember a
            # number of the one before.
            fresh = self._rng.randrange(LEAST_FRESH, MOST_FRESH)
            self._answered = fresh
            return [("SET", self.names.probe, str(fresh))]
        beat = self._beat(number, now, wall)
        if self._is_mute(beat, now):
            self._gave_way_at = now
            return self.step_down()
        if number == self._answered:
            return []
        self._answered = number
        written = [*self.flush(now), *self._write_keys(now)]
        return [*written, ("PUBLISH", self.names.beat, encode_beat(beat))]

    def _beat(self, number: int, now: float, wall: float) -> Beat:
        topics = list(self.topics.values())
        # The ages first, and then the versions.
        found = [topic.source.evidence(now, wall) for topic in topics]
        links, vouched, lost = dict[int, Link](), dict[str, Vouch](), dict[str, Cause]()
        for topic, evidence in zip(topics, found, strict=True):
            vouch = Vouch(topic.version, 0, topic.keyed)
            if not self.is_published(topic):
                continue
            if isinstance(evidence, Evidence):
                links[evidence.link] = Link(evidence.age, evidence.endpoint)
                vouched[topic.name] = vouch._replace(link=evidence.link)
            else:
                lost[topic.name] = evidence
        return Beat(self._identity, number, self._lease, links, vouched, lost)

    def _is_mute(self, beat: Beat, now: float) -> bool:
        """Whether no connection to the exchange was alive for a third of the lease."""
        if beat.topics or not self.topics:
            self._mute_since = self._gave_way_at = None
            return False
        if self._mute_since is None:
            self._mute_since = now
        late = now >= self._mute_since + self._lease / 3
        # If no other one led in its place, readers hear from it why there is no price.
        return late and self._gave_way_at is None


# What marks a snapshot, by what marks an update: v5's names, and v3's.
_SNAPSHOT = {"update": "snapshot", "snapshot": "snapshot", "partial": "partial"}
_V3_TABLE = "table"


def whole_text(text: str, book: DepthData) -> str | None:
    """The text of the snapshot of *book*, which the message *text* has made.

    The snapshot has the message's own time, sequence number and checksum, which are of
    the state after it. ``None`` if *text* is not a message of one book.
    """
    message: Any = json.loads(text)
    if not isinstance(message, dict):
        return None
    elements, action = message.get("data"), message.get("action")
    if not isinstance(elements, list) or len(elements) != 1 or action not in _SNAPSHOT:
        return None
    (element,) = elements
    is_v3 = _V3_TABLE in message
    message["action"] = "partial" if is_v3 else _SNAPSHOT[action]
    element["asks"] = [list(level) for level in book.asks]
    element["bids"] = [list(level) for level in book.bids]
    if "prevSeqId" in element:
        element["prevSeqId"] = -1  # a snapshot builds on nothing (v5 documentation)
    return to_json(message)
