"""Checks of the way by Redis: the server, its rights, and the producer behind it."""

from __future__ import annotations

import time
from typing import Any

from ... import OkexWSError
from ...base.clock import SystemClock
from ...base.errors import listed
from ...fanout.address import parse, trust
from ...fanout.envelope import Beat, EnvelopeError, Names, decode
from ...fanout.redis_line import RedisLine, RedisRefused, check_package
from ...net.stream import TcpNetwork
from ..arguments import Destination
from ..text import seconds
from .checks import CheckFailed, Finding, Grade

# How many seconds a producer has for its beat; it has one each tenth of its lease.
_PATIENCE = 8.0
# Evidence that is older than this part of the producer's lease is worth a word.
_OLD = 0.7


class RedisWay:
    """The way to a producer: each step returns a `Finding`, or raises `CheckFailed`.

    Each needs the one before it. The main thread calls the steps, which wait for at
    most *timeout* seconds each, and calls `close` at the end.
    """

    def __init__(self, where: Destination, timeout: float) -> None:
        self._address = parse(where.via, "--via")
        self._names = Names(self._address.prefix(where.venue.name))
        self._timeout = timeout
        self._network = TcpNetwork(
            SystemClock(), ssl_context=trust(where.redis_ca), proxy=""
        )
        self._line: RedisLine | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the server, without user and password."""
        return self._address.endpoint

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.stream.close()
            self._line = None
        self._network.close()

    # --- The steps ------------------------------------------------------------------

    def find_package(self) -> Finding:
        """Look for the package that parses what Redis says."""
        try:
            check_package()
        except ImportError as error:
            raise CheckFailed(str(error)) from error
        return Finding("hiredis is installed")

    def connect(self) -> Finding:
        """Connect and log in."""
        deadline = time.monotonic() + self._timeout
        args = self._network, self._address, deadline, lambda: False, "doctor"
        try:
            self._line = RedisLine.open(*args)
        except OkexWSError as error:
            cause = error.cause
            raise CheckFailed(str(cause.text), error.advice) from error
        user = self._address.user or "default"
        return Finding(f"logged in as {user!r}, database {self._address.database}")

    def try_rights(self) -> Finding:
        """Try each command of a reader, and one that a reader should not have."""
        probe, topic = self._names.probe, self._names.topic("rights")
        needed = {
            "GET": ("GET", topic),
            "INCR": ("INCR", probe),
            "SUBSCRIBE": ("SUBSCRIBE", self._names.beat),
        }
        missing = [name for name, words in needed.items() if self._is_refused(words)]
        if missing:
            what = ", ".join(missing)
            advice = "see `okex-ws help redis` for a reader's rights"
            raise CheckFailed(f"this user may not {what}", advice)
        if not self._is_refused(("PUBLISH", topic, "")):
            advice = "anyone with this login can forge prices: see `okex-ws help redis`"
            said = "it may read, and publish too"
            return Finding(said, Grade.WARN, advice)
        return Finding("it may read, and cannot publish")

    def _is_refused(self, words: tuple[str, ...]) -> bool:
        assert self._line is not None
        self._line.send([words])
        (reply,) = self._take(1)
        return isinstance(reply, RedisRefused)

    def _take(self, least: int, patience: float | None = None) -> list[Any]:
        """What has come: *least* replies, or as many as the time allows."""
        assert self._line is not None
        give_up = time.monotonic() + (self._timeout if patience is None else patience)
        found: list[Any] = []
        try:
            while len(found) < least:
                left = give_up - time.monotonic()
                if left <= 0:
                    break
                self._network.wait(left, self._line.stream)
                found += self._line.read()
        except OkexWSError as error:
            raise CheckFailed(str(error.cause.text)) from error
        if not found and patience is None:
            raise CheckFailed("Redis does not answer")
        return found

    def find_producer(self) -> Finding:
        """Ask for a beat, and report what the producer vouches for."""
        assert self._line is not None
        give_up = time.monotonic() + _PATIENCE
        while (left := give_up - time.monotonic()) > 0:
            self._line.send([("INCR", self._names.probe)])
            for reply in self._take(2, min(1.0, left)):
                if (beat := self._beat_in(reply)) is not None:
                    return self.described(beat)
        name = self._address.name
        said = f"no beat of a producer {name!r} in {seconds(_PATIENCE)}"
        advice = "is `okex-ws publish` running, with this name, venue and database?"
        raise CheckFailed(said, advice)

    def _beat_in(self, reply: Any) -> Beat | None:
        assert self._line is not None
        if not self._line.is_published(reply) or reply[0] != b"message":
            return None
        try:
            said = decode(reply[2])
        except EnvelopeError as error:
            raise CheckFailed(f"what the producer says is {error}") from error
        return said if isinstance(said, Beat) else None

    def described(self, beat: Beat) -> Finding:
        """What *beat* vouches for, and what it does not."""
        vouched = sorted(beat.topics)
        ages = [link.age for link in beat.links.values()]
        said = f"it vouches for {len(vouched)} channels ({listed(vouched)})"
        if not vouched:
            raise CheckFailed("it vouches for no channel", _why(beat))
        said += f", lease {beat.lease:g} s, oldest evidence {seconds(max(ages))}"
        if beat.lost:
            advice = f"not for {listed(sorted(beat.lost))}: {_why(beat)}"
            return Finding(said, Grade.WARN, advice)
        if max(ages) > beat.lease * _OLD:
            return Finding(said, Grade.WARN, "its line to the exchange is slow")
        return Finding(said)


def _why(beat: Beat) -> str:
    causes = {f"{cause.endpoint} {cause.text}".strip() for cause in beat.lost.values()}
    return "; ".join(sorted(causes)[:3]) or "nothing is subscribed there"
