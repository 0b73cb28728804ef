"""The reader's half of the fan-out: what a producer's messages prove, and what is lost.

Pure: no socket, thread or clock. A topic is given to the session only once a beat
vouches for the version that is here, or for an earlier one; from then on each message
that follows is given as it comes. What is not vouched for is withheld at once.

How a beat proves: a reader notes its clock, and then raises a counter in Redis. The
producer reads the counter, *then* takes the age of its evidence. So the evidence is not
older than that age before the moment that the reader noted, however late the beat
comes, and however far the clocks of the two machines are apart.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ..base.errors import listed
from ..base.state import Cause, CauseCode, State
from ..protocol.messages import Acknowledged, Message, Unsubscribed, Vouched, Withheld
from .envelope import (
    Beat,
    EnvelopeError,
    Forwarded,
    Identity,
    Link,
    Names,
    OtherSchema,
    Vouch,
    decode,
)

# A probe that was raised so often since is not the one that a beat answers: the counter
# began anew. Below this number the producer begins it anew itself.
FRESH = 1 << 32
# How many probes wait for their beat at most, and how many messages for their key.
MOST_PROBES = 64
MOST_AHEAD = 2000
_WITHHELD = CauseCode.WITHHELD


class Text(NamedTuple):
    """The exchange's *text* of a topic, to be given to the session."""

    topic: str
    text: bytes


Said = Message | Text
Command = tuple[str, ...]


class _Probe(NamedTuple):
    number: int
    at: float
    offset: float


class _Topic:
    """What a reader has of one topic on one connection to Redis."""

    __slots__ = (
        "ahead",
        "asking",
        "begun",
        "chain",
        "is_open",
        "keyed",
        "said",
        "version",
    )

    def __init__(self) -> None:
        # Whether Redis has confirmed the subscription: a beat that came before may
        # vouch for what was published before, too.
        self.begun = False
        # Whether the session was given it, and nothing was lost since.
        self.is_open = False
        # The last version that is here; the texts up to it, from one that stands alone,
        # while it is not open; and those that may follow what the key will hold.
        self.version = 0
        self.chain: list[Forwarded] = []
        self.ahead: deque[Forwarded] = deque(maxlen=MOST_AHEAD)
        # Whether a key holds its newest text, as the last beat said; whether that was
        # asked for; and why it is withheld, as far as was said.
        self.keyed, self.asking = True, False
        self.said: tuple[State, Cause] | None = None

    def forget(self) -> None:
        """Nothing that came before can be built on."""
        # An older text may be kept now, but a beat vouches for newer ones only.
        self.version, self.is_open = 0, False
        self.chain.clear()
        self.ahead.clear()

    def take(self, said: Forwarded) -> bool:
        """Keep *said* until a beat vouches for it; False if something is missing."""
        if said.version <= self.version:
            return True  # doubled, or overtaken
        if not said.text:
            self.chain.clear()  # withdrawn: what follows stands alone, or is missing
        elif said.after == 0:
            self.chain[:] = [said]
        elif self.chain and said.after == self.chain[-1].version:
            self.chain.append(said)
        else:
            self._wait(said)
            return False
        self.version = said.version
        self.ahead.clear()
        if len(self.chain) > MOST_AHEAD:
            self.chain.clear()
            return False
        return True

    def _wait(self, said: Forwarded) -> None:
        if self.ahead and said.version <= self.ahead[-1].version:
            return
        if self.ahead and said.after != self.ahead[-1].version:
            self.ahead.clear()
        self.ahead.append(said)

    def take_key(self, said: Forwarded) -> None:
        """Build on what its key holds, if that is newer than what is here."""
        ahead, self.ahead = self.ahead, deque(maxlen=MOST_AHEAD)
        if said.version > self.version and said.text:
            self.chain, self.version = [said], said.version
        for each in ahead:
            if each.version > self.version:
                self.take(each)


class TopicReader:
    """What one connection to Redis has of one producer, for one session.

    *lease* is the reader's own, in seconds; ``None`` takes the producer's. *name* and
    *endpoint* say in causes who the producer is and where. Only the connection's thread
    calls it: `wanted` and `left` for the session's requests, `asked` before a probe is
    sent, and `begun`, `probed`, `came` and `keyed` for what Redis says. Each returns
    what is to be said to the session, in order; *commands* collects what is to be sent
    to Redis.
    """

    def __init__(
        self, names: Names, name: str, endpoint: str, lease: float | None
    ) -> None:
        self._names, self._name, self._endpoint = names, name, endpoint
        self._lease = lease
        self.commands: deque[Command] = deque()
        self._topics: dict[str, _Topic] = {}
        self._identity: Identity | None = None
        self._asked: deque[tuple[float, float]] = deque()
        self._probes: deque[_Probe] = deque(maxlen=MOST_PROBES)
        self._last_probe = -1
        # What the last beat vouched for, and the links that it named.
        self._published: tuple[str, ...] = ()
        self.links: dict[int, Link] = {}
        # When a beat of this producer came last, and one of another before it in term.
        self._beat_at, self._patience = -math.inf, 0.0
        # Why this connection to Redis is of no use; the caller ends it then.
        self.fault = ""
        self._ended = Cause(
            CauseCode.LEASE,
            f"no beat of {self._whose} vouches for it in time: the lease ran out",
        )

    @property
    def _whose(self) -> str:
        return f"producer {self._name!r} at {self._endpoint}"

    def _cause(self, code: CauseCode, text: str) -> Cause:
        return Cause(code, text, self._endpoint)

    # --- What the session asks ------------------------------------------------------

    def wanted(self, names: Iterable[str]) -> list[Said]:
        """The session wants these topics: they are withheld until a beat names them."""
        found = []
        for name in names:
            self._topics[name] = _Topic()
            self.commands.append(("SUBSCRIBE", self._names.topic(name)))
            self._ask(name)
            found.append(name)
        return self._not_published(found)

    def _not_published(self, names: list[str]) -> list[Said]:
        if self._identity is None:
            text = f"nothing was heard of {self._whose} yet"
        elif self._published:
            few = listed(sorted(self._published))
            text = f"{self._whose} does not publish it; published are {few}"
        else:
            text = f"{self._whose} publishes nothing"
        cause = self._cause(CauseCode.NOT_PUBLISHED, text)
        return self._withhold(names, State.CONNECTING, cause)

    def left(self, names: Iterable[str]) -> None:
        """The session wants these topics no more."""
        for name in names:
            self._topics.pop(name, None)
            self.commands.append(("UNSUBSCRIBE", self._names.topic(name)))

    def begun(self, channel: str) -> None:
        """Redis has begun a subscription, as it was asked to."""
        one = self._topics.get(self._names.topic_of(channel) or "")
        if one is not None:
            one.begun = True

    def confirmed_left(self, channel: str) -> list[Said]:
        """Redis has ended a subscription, as it was asked to."""
        name = self._names.topic_of(channel)
        return [] if name is None else [Unsubscribed(name)]

    def asked(self, now: float, wall: float) -> list[Said]:
        """A probe is about to be sent."""
        self._asked.append((now, wall - now))
        self.commands.append(("INCR", self._names.probe))
        if not 0.0 < self._patience < now - self._beat_at:
            return []
        # What is open ends by its lease. Of the rest the last word was a producer's
        # that is not heard any more.
        waiting = [name for name, one in self._topics.items() if not one.is_open]
        return self._withhold(waiting, State.RECONNECTING, self._ended)

    def unasked(self) -> None:
        """Redis has refused to raise the counter for the oldest probe."""
        self._asked.popleft()

    def probed(self, number: int) -> None:
        """Redis has raised the counter to *number* for the oldest probe."""
        at, offset = self._asked.popleft()
        if number <= self._last_probe:
            # The counter began anew: no old probe may meet a number of the new one.
            self._probes.clear()
        self._last_probe = number
        self._probes.append(_Probe(number, at, offset))

    # --- What Redis says ------------------------------------------------------------

    def came(self, channel: str, payload: bytes, now: float) -> list[Said]:
        """A message was published on *channel*."""
        try:
            said = decode(payload)
        except OtherSchema as error:
            text = f"{self._whose} is of another release: {error}"
            return self._withhold_all(self._cause(CauseCode.NOT_PUBLISHED, text))
        except EnvelopeError as error:
            return self._doubt(channel, f"what came of {self._whose} is {error}")
        if isinstance(said, Beat):
            return self._beat(said, now) if channel == self._names.beat else []
        if said.topic != self._names.topic_of(channel):
            return self._doubt(channel, f"{self._whose} mixes its topics up")
        return [*self._meet(said.identity, now), *self._message(said)]

    def keyed(self, topic: str, payload: bytes | None) -> list[Said]:
        """What the key of *topic* holds, as was asked."""
        one = self._topics.get(topic)
        if one is None:
            return []
        one.asking = False
        if payload is None:
            return []
        try:
            said = decode(payload)
        except EnvelopeError:
            return []  # no beat is ever met by it
        if not isinstance(said, Forwarded) or said.topic != topic:
            return []
        # Of an older connection of a producer nothing can be vouched for by a new one.
        if said.identity == self._identity and not one.is_open:
            one.take_key(said)
        return []

    def _doubt(self, channel: str, text: str) -> list[Said]:
        name = self._names.topic_of(channel)
        if name is None or name not in self._topics:
            return []
        self._topics[name].forget()
        cause = self._cause(_WITHHELD, text)
        return self._withhold([name], State.RESYNCING, cause)

    def _meet(self, who: Identity, now: float) -> list[Said]:
        """Follow *who*, if it is newer than the one before; that one is then over."""
        known = self._identity
        if known == who:
            return []
        if known is not None and who.term <= known.term:
            if now > self._beat_at + self._patience:
                # The one before is silent, and terms began anew: so does this reader.
                self.fault = f"{self._whose} has begun anew, with no higher term"
            return []
        self._identity, self._beat_at = who, now
        if known is not None:
            self._probes.clear()
        self._published, self.links = (), {}
        for name, one in self._topics.items():
            one.forget()
            self._ask(name)
        if known is None:
            return []
        return self._withhold_all(
            self._cause(_WITHHELD, f"{self._whose} has begun anew")
        )

    def _is_of(self, who: Identity) -> bool:
        return self._identity == who

    def _message(self, said: Forwarded) -> list[Said]:
        one = self._topics.get(said.topic)
        if one is None or not self._is_of(said.identity):
            return []
        if not one.is_open:
            if not one.take(said):
                self._ask(said.topic)
            return []
        if said.version <= one.version:
            return []  # doubled, or overtaken
        if not said.text:
            one.forget()
            text = f"{self._whose} has withdrawn it"
            cause = self._cause(_WITHHELD, text)
            return self._withhold([said.topic], State.RESYNCING, cause)
        if said.after not in (0, one.version):
            return self._lost(said.topic, one, said)
        one.version = said.version
        return [Text(said.topic, said.text)]

    def _lost(self, name: str, one: _Topic, said: Forwarded | None) -> list[Said]:
        """A message was lost on the way: withhold the topic until it is whole again."""
        cause = self._cause(_WITHHELD, f"a message of {self._whose} was lost")
        one.forget()
        told = self._withhold([name], State.RESYNCING, cause)
        if said is None:
            self._ask(name)
        elif one.keyed:
            one.take(said)
            self._ask(name)
        else:
            # The items of a series show by themselves whether one is missing.
            one.is_open, one.version, one.said = True, said.version, None
            return [*told, Acknowledged(name), Text(name, said.text)]
        return told

    def _ask(self, name: str) -> None:
        one = self._topics[name]
        if one.keyed and not one.asking:
            one.asking = True
            self.commands.append(("GET", self._names.topic(name)))

    # --- Beats ----------------------------------------------------------------------

    def _beat(self, beat: Beat, now: float) -> list[Said]:
        said = self._meet(beat.identity, now)
        if not self._is_of(beat.identity):
            return said
        self._beat_at, self._patience = now, beat.lease
        self._published, self.links = tuple(beat.topics), dict(beat.links)
        lease = beat.lease if self._lease is None else self._lease
        if lease < beat.lease:
            whose = f"the {beat.lease:g} s of {self._whose}"
            text = f"a lease of {lease:g} s is less than {whose}"
            cause = self._cause(CauseCode.LEASE_TOO_SHORT, text)
            return [*said, *self._withhold_all(cause)]
        probe = self._answered(beat.number)
        for name, one in self._topics.items():
            said += self._judge(name, one, beat, probe, lease, now)
        if probe is not None and beat.links:
            age = self._oldest(beat)
            said.append(Vouched(probe.at, probe.offset, age, lease, self._ended))
        return said

    def _answered(self, number: int) -> _Probe | None:
        """The newest probe that a beat of *number* answers; it and older ones go."""
        found = None
        waiting = list(self._probes)
        for probe in waiting:
            if 0 <= number - probe.number < FRESH:
                found = probe
        if found is not None:
            later = waiting[waiting.index(found) + 1 :]
            self._probes = deque(later, MOST_PROBES)
        return found

    def _judge(
        self,
        name: str,
        one: _Topic,
        beat: Beat,
        probe: _Probe | None,
        lease: float,
        now: float,
    ) -> list[Said]:
        vouch = beat.topics.get(name)
        if vouch is None:
            one.forget()
            return self._unvouched(name, beat.lost.get(name))
        one.keyed = vouch.keyed
        if one.is_open and one.version < vouch.version:
            return self._lost(name, one, None)
        if probe is None:
            return []
        if not self._is_fresh(vouch.link, beat, probe, lease, now):
            one.forget()
            link = beat.links.get(vouch.link)
            where = "its connection" if link is None else link.endpoint
            text = f"{where}: {self._whose} has no fresh evidence of it"
            cause = self._cause(_WITHHELD, text)
            return self._withhold([name], State.STALE, cause)
        return self._open(name, one, vouch) if one.begun and not one.is_open else []

    def _unvouched(self, name: str, cause: Cause | None) -> list[Said]:
        if cause is None:
            return self._not_published([name])
        text = f"at {self._whose}: {cause.text}"
        where = cause.endpoint or self._endpoint
        said = Cause(
            cause.code,
            text,
            where,
            exchange_code=cause.exchange_code,
            new_id=cause.new_id,
        )
        return self._withhold([name], State.RECONNECTING, said)

    def _open(self, name: str, one: _Topic, vouch: Vouch) -> list[Said]:
        """Give the session what is here, if it is what *vouch* is about, or newer."""
        if not vouch.keyed:
            # A series goes on from here. What came before the beat was given, or is a
            # hole, which its items show.
            texts = [each for each in one.ahead if each.version > vouch.version]
            one.version = max([vouch.version, *(each.version for each in texts)])
        elif one.chain and one.version >= vouch.version:
            texts = one.chain
        else:
            self._ask(name)
            return []
        one.is_open, one.said = True, None
        one.chain, one.ahead = [], deque(maxlen=MOST_AHEAD)
        return [Acknowledged(name), *(Text(name, each.text) for each in texts)]

    def _is_fresh(
        self, number: int, beat: Beat, probe: _Probe, lease: float, now: float
    ) -> bool:
        """Whether the evidence of a link holds, and does not make others grow old.

        One lease holds for all topics of this connection, the shortest. A link that is
        silent is left out before it takes the others with it.
        """
        link = beat.links.get(number)
        if link is None or now >= probe.at - link.age + lease:
            return False
        used = {vouch.link for name in self._topics if (vouch := beat.topics.get(name))}
        ages = (beat.links[each].age for each in used if each in beat.links)
        return link.age <= max(min(ages), lease / 2)

    def _oldest(self, beat: Beat) -> float:
        """The age of the oldest evidence that an open topic stands on."""
        ages = [
            beat.links[vouch.link].age
            for name, one in self._topics.items()
            if one.is_open and (vouch := beat.topics.get(name)) is not None
        ]
        return max(ages, default=min(link.age for link in beat.links.values()))

    # --- Withholding ----------------------------------------------------------------

    def _withhold_all(self, cause: Cause) -> list[Said]:
        for one in self._topics.values():
            one.forget()
        return self._withhold(list(self._topics), State.RECONNECTING, cause)

    def _withhold(self, names: list[str], state: State, cause: Cause) -> list[Said]:
        """Say that *names* are withheld, of those of which it was not said yet."""
        news = []
        for name in names:
            one = self._topics[name]
            if one.said != (state, cause):
                one.said = state, cause
                news.append(name)
        return [Withheld(tuple(news), state, cause)] if news else []
