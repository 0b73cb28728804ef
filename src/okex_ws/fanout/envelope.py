"""What travels through Redis: the exchange's own text behind one line, and beats.

A message is a line of words, then the text. A beat is a line of words, then JSON. Both
begin with the schema, so that a reader of another release refuses what it would
misread. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from ..base.errors import printable
from ..base.state import Cause, CauseCode

SCHEMA = "okx1"
_DATA, _BEAT = "data", "beat"
_LONGEST_LINE = 2048
_MOST = 1 << 62


class EnvelopeError(ValueError):
    """A message that no producer of this schema sends."""


class OtherSchema(EnvelopeError):
    """A message of another release of the library."""


class Identity(NamedTuple):
    """Which producer speaks: greater is newer.

    *term* grows with each producer that leads, *session* is new with each of its
    connections to Redis, *instance* with each process.
    """

    term: int
    session: str
    instance: str


class Forwarded(NamedTuple):
    """One message of a topic: the exchange's *text*, ``b''`` if it is withdrawn.

    *version* grows with each message and withdrawal of any topic of the instance, so
    that a topic which is published anew has none of its old versions again. The message
    builds on the one of version *after*, and on none if that is 0. *link* is the number
    of the exchange's connection that it came over.
    """

    identity: Identity
    topic: str
    version: int
    after: int
    link: int
    text: bytes


class Link(NamedTuple):
    """One connection of the producer to the exchange, by its *endpoint*.

    *age* is for how many seconds there has been no newer evidence of it.
    """

    age: float
    endpoint: str


class Vouch(NamedTuple):
    """That a topic is present: its *version*, and the *link* that it comes over.

    *keyed* is whether a key holds its newest text; of a series there is none.
    """

    version: int
    link: int
    keyed: bool


class Beat(NamedTuple):
    """What a producer vouches for, in answer to probe *number*.

    *lease* is the producer's own, in seconds. *lost* says of each topic that it does
    not vouch for why.
    """

    identity: Identity
    number: int
    lease: float
    links: Mapping[int, Link]
    topics: Mapping[str, Vouch]
    lost: Mapping[str, Cause]


def encode(said: Forwarded) -> bytes:
    """The bytes of a message."""
    term, session, instance = said.identity
    words = SCHEMA, _DATA, instance, term, session, said.version, said.after, said.link
    line = " ".join(map(str, (*words, quote(said.topic, safe=":"))))
    return line.encode() + b"\n" + said.text


def encode_beat(beat: Beat) -> bytes:
    """The bytes of a beat."""
    term, session, instance = beat.identity
    words = SCHEMA, _BEAT, instance, term, session, beat.number, repr(beat.lease)
    body = {
        "links": {str(number): list(link) for number, link in beat.links.items()},
        "topics": {name: list(vouch) for name, vouch in beat.topics.items()},
        "lost": {name: _encoded(cause) for name, cause in beat.lost.items()},
    }
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return f"{' '.join(map(str, words))}\n{text}".encode()


def decode(payload: bytes) -> Forwarded | Beat:
    """The message or the beat that *payload* is.

    Raises:
        OtherSchema: it is of another release.
        EnvelopeError: it is no message of a producer.
    """
    line, found, text = payload.partition(b"\n")
    words = line[:_LONGEST_LINE].decode("ascii", "replace").split(" ")
    if not found or len(line) > _LONGEST_LINE or len(words) < 2:
        raise EnvelopeError("no line of a producer")
    schema, kind, *facts = words
    if schema != SCHEMA:
        raise OtherSchema(f"schema {printable(schema)[:20]!r}, not {SCHEMA!r}")
    try:
        if kind == _DATA:
            return _data(facts, text)
        if kind == _BEAT:
            return _beat(facts, text)
    except EnvelopeError:
        raise
    except Exception as error:  # a name, a shape, a number, a depth: all are malformed
        raise EnvelopeError(f"a malformed {kind}: {type(error).__name__}") from error
    raise EnvelopeError(f"an unknown kind {printable(kind)[:20]!r}")


def _data(facts: list[str], text: bytes) -> Forwarded:
    instance, term, session, version, after, link, topic = facts
    who = Identity(_whole(term), session, instance)
    numbers = _whole(version), _whole(after), _whole(link)
    return Forwarded(who, unquote(topic, errors="strict"), *numbers, text)


def _beat(facts: list[str], text: bytes) -> Beat:
    instance, term, session, number, lease = facts
    who = Identity(_whole(term), session, instance)
    body = json.loads(text)
    links = {
        _whole(name): Link(_seconds(age), printable(_text(endpoint)))
        for name, (age, endpoint) in body["links"].items()
    }
    topics = {
        name: Vouch(_whole(version), _whole(link), keyed is True)
        for name, (version, link, keyed) in body["topics"].items()
    }
    lost = {name: _decoded(*facts) for name, facts in body["lost"].items()}
    return Beat(who, _whole(number), _seconds(lease), links, topics, lost)


def _whole(value: object) -> int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise EnvelopeError("no whole number")
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise EnvelopeError("no whole number")
    if isinstance(value, str) and len(value) > 19:
        raise EnvelopeError("a number that is too large")
    number = int(value)
    if not 0 <= number <= _MOST:
        raise EnvelopeError("a number that is too large")
    return number


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise EnvelopeError("no seconds")
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0.0:
        # A negative age would make evidence younger than it is.
        raise EnvelopeError("no seconds")
    return seconds


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise EnvelopeError("no text")
    return value


def _encoded(cause: Cause) -> list[Any]:
    code = "" if cause.code is None else cause.code.value
    return [code, cause.text, cause.endpoint, cause.exchange_code, cause.new_id]


def _decoded(
    code: object, text: object, endpoint: object, exchange_code: object, new_id: object
) -> Cause:
    known = {each.value: each for each in CauseCode}
    number = exchange_code if isinstance(exchange_code, (int, str)) else None
    return Cause(
        known.get(_text(code), CauseCode.WITHHELD),
        printable(_text(text)),
        printable(_text(endpoint)),
        exchange_code=printable(number) if isinstance(number, str) else number,
        new_id=printable(_text(new_id)),
    )


class Names(NamedTuple):
    """The keys and channels of Redis that one feed uses, by its *prefix*."""

    prefix: str

    @property
    def beat(self) -> str:
        """The channel of the beats."""
        return f"{self.prefix}:beat"

    @property
    def probe(self) -> str:
        """The counter that readers raise to ask for a beat."""
        return f"{self.prefix}:probe"

    @property
    def leader(self) -> str:
        """The key that holds the instance of the producer that leads."""
        return f"{self.prefix}:leader"

    @property
    def term(self) -> str:
        """The counter of the terms."""
        return f"{self.prefix}:term"

    def topic(self, name: str) -> str:
        """The channel of a topic's messages, and the key of its newest one."""
        return f"{self.prefix}:t:{name}"

    def topic_of(self, channel: str) -> str | None:
        """The topic whose channel *channel* is."""
        start = f"{self.prefix}:t:"
        return channel[len(start) :] if channel.startswith(start) else None
