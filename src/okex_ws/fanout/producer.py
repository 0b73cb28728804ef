"""The producer: its thread, and what it takes from each channel that is published."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..base.clock import Clock
from ..base.errors import ConnectionLost, OkexWSError
from ..base.log import log
from ..base.retry import Reconnect, Timeouts, backoff
from ..base.state import Cause, CauseCode, State
from ..base.throttled_log import LogThrottle, OutageLog
from ..base.worker import LibraryThread
from ..channels.reading import Reading
from ..delivery.callbacks import Callbacks
from ..delivery.view import View
from ..net.stream import Network
from ..protocol.messages import ChannelName, DepthData
from ..trust.lease import Era
from ..trust.reading import take
from ..trust.verdict import LIVE, NO_LIMITS, Published, withdrawn
from .address import RedisAddress
from .envelope import Names
from .publisher import (
    MOST_WAITING,
    Command,
    Evidence,
    Publisher,
    Topic,
    Unpublished,
    whole_text,
)
from .redis_line import RedisLine, RedisRefused

_WITHHELD = CauseCode.WITHHELD
_CHANGING = Cause(_WITHHELD, "its newest text is not taken yet")
# How many bytes are sent in one write; and how many commands wait for the server before
# texts do, among which depths are replaced.
_BATCH, _MOST_UNSENT = 128 << 10, 1000
# What Redis answers to the commands whose answer is looked at.
_ANSWERS: dict[str, tuple[type, ...]] = {"GET": (bytes, type(None)), "INCR": (int,)}
# What the kinds of channels have in Redis: a key for those that are read as a whole.
_KEYED = ("depth", "book", "ticker", "funding")


class NumberedEra(Era):
    """The `Era` of one opening of a producer's connection to the exchange.

    Its *number* is no other one's, so that no evidence of one is taken for another's.
    """

    __slots__ = ("number",)

    def __init__(self, now: float, number: int) -> None:
        super().__init__(now)
        self.number = number


class PublishedView(View):
    """What the producer follows of one channel, beside the script's subscriptions.

    It is a view of no subscription. The thread of the channel's connection calls
    `pushed`, `tell` and `entered`, which give the text a version before anything later
    is handled: so all that a pong vouches for has its version already. The producer's
    thread calls `evidence` and `whole`.
    """

    internal = True

    def __init__(
        self,
        name: ChannelName,
        clock: Clock,
        callbacks: Callbacks,
        endpoint: Callable[[Reading], str],
        lease: float,
        put: Callable[[Unpublished], None],
        versions: Iterator[int],
    ) -> None:
        super().__init__(None, name.instrument_id, NO_LIMITS, clock, callbacks)
        self.name = name
        self._endpoint, self._lease, self._put = endpoint, lease, put
        keyed, book = name.kind in _KEYED, name.kind == "book"
        self.topic = Topic(name.key, self, keyed, book, versions)
        # The value whose text was taken last, as long as it was not withdrawn.
        self._taken: Published | None = None
        self._told_live = False

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Set the one reading; each push of it is wanted, as text."""
        super().carry(readings)
        self.wants_pushes, self.wants_data, self.wants_items = True, False, False

    @property
    def _reading(self) -> Reading:
        return self.readings[self.name.topic]

    # --- On the thread of the channel's connection ----------------------------------

    def pushed(self, reading: Reading, text: str, now: float) -> None:
        """A push was published: it is the topic's next version."""
        current, topic, before = reading.current, self.topic, self._taken
        if before is not None and topic.newest is not None:
            if topic.newest.text is text:
                # One text of several changes: the key is made from the last one.
                topic.newest = topic.newest._replace(state=current)
                self._taken = current
                return
            if before.era is not current.era and not topic.keyed:
                topic.interrupt()  # of a handover only the last text is told
        number = current.era.number if isinstance(current.era, NumberedEra) else 0
        alone = topic.keyed and not (topic.book and _is_update(current))
        said = topic.take(text, number, alone, current)
        self._taken, self._told_live = current, True
        self._put(said)

    def tell(self, now: float) -> None:
        """The state may have changed: if the value was withdrawn, so is the topic."""
        current = self._reading.current
        live = current.state is State.LIVE and not current.is_withdrawn
        if self._told_live and not live:
            self._told_live, self._taken = False, None
            self._put(self.topic.withdraw())
        elif live and not self.topic.keyed:
            self._told_live = True

    def entered(self, reading: Reading) -> None:
        """Another connection serves the channel: a text may be missing in between."""
        if not self.topic.keyed:
            self.topic.interrupt()

    # --- On the producer's thread ---------------------------------------------------

    def evidence(self, now: float, wall: float) -> Evidence | Cause:
        """What vouches for the value, judged as every read judges it."""
        if self.error is not None:
            return self.error.cause
        reading = self.readings.get(self.name.topic)
        if reading is None:
            return _CHANGING  # it is published before it is attached
        taken = take(reading)
        if taken is None:
            return _CHANGING
        # Not its `value`, whose epoch has the lapses of the lease, too: a text outlives
        # those.
        current, lease = taken.current, taken.lease
        verdict = taken.judge(NO_LIMITS, now, wall)
        if current.state is State.LIVE and current.is_withdrawn:
            verdict = withdrawn(current)
        era = current.era
        if verdict is not LIVE or lease is None or not isinstance(era, NumberedEra):
            return verdict.cause
        mine = self._taken
        if self.topic.keyed and (
            mine is None or mine.era is not era or mine.epoch != current.epoch
        ):
            return _CHANGING
        # The lease began at the sending of the last ping that was answered.
        age = max(0.0, now - (lease.until - self._lease))
        return Evidence(era.number, age, self._endpoint(reading))

    def whole(self, said: Unpublished) -> str | None:
        """The book that *said* made, as a snapshot's text."""
        state = said.state
        if not isinstance(state, Published) or not isinstance(state.data, DepthData):
            return None
        return whole_text(said.text, state.data)


def _is_update(current: Published) -> bool:
    data = current.data
    change = data.change if isinstance(data, DepthData) else None
    return change is not None and not change.whole


class Producer:
    """The connection of a publishing feed to Redis, and the thread that has it.

    *connect* makes its network. The thread connects, for ever, at a bounded rate, with
    a new session each time; what it cannot write is counted and told, and delays no
    connection to the exchange. Any thread calls `add`, `remove` and `close`.
    """

    def __init__(
        self,
        address: RedisAddress,
        venue: str,
        lease: float,
        clock: Clock,
        network: Callable[[], Network],
        rng: random.Random,
        tell: Callable[[OkexWSError], None],
        timeouts: Timeouts,
        reconnect: Reconnect,
    ) -> None:
        self._address, self._clock, self._tell = address, clock, tell
        self._timeouts, self._reconnect, self._rng = timeouts, reconnect, rng
        names = Names(address.prefix(venue))
        self.publisher = Publisher(names, secrets.token_hex(6), lease, rng)
        self._network = network()
        self._closing = False
        # Whether the thread waits, so that a text has to wake it.
        self._sleeps = False
        # What each command that has no answer yet was, oldest first.
        self._open: deque[Command] = deque()
        # What the server has not taken yet.
        self._unsent: deque[Command] = deque()
        self._waits = backoff(reconnect.first, reconnect.cap, rng)
        self._outage_log, self._throttle = OutageLog(), LogThrottle()
        self.is_open = False
        # What was logged of its place among producers.
        self._place = ""
        # How many texts found no room, and how many commands Redis refused.
        self.dropped = 0
        self.refused = 0
        self.thread = LibraryThread(
            f"okex_ws:{venue}:publisher", self._turn, self._network.close
        )

    # --- On any thread --------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """The URL of the server, without user and password."""
        return self._address.endpoint

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def add(self, topic: Topic) -> None:
        """Publish *topic* from now on."""
        self.publisher.add(topic)

    def remove(self, topic: Topic) -> None:
        """Publish *topic* no longer: no beat names it any more."""
        self.publisher.remove(topic)

    def put(self, said: Unpublished) -> None:
        """Take a message; never waits. One that finds no room leaves a hole."""
        waiting = self.publisher.waiting
        if len(waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        waiting.append(said)
        if self._sleeps:
            self._sleeps = False
            self._network.wake()

    def close(self) -> None:
        """Let the thread end; returns at once."""
        self._closing = True
        self._network.wake()
        self.thread.end_unstarted()

    def forked(self) -> None:
        """In a forked child: the connection is the parent's."""
        self._closing = True
        self.thread.forked()
        self._network.discard()

    # --- The thread -----------------------------------------------------------------

    def _is_closing(self) -> bool:
        return self._closing

    def _turn(self) -> bool:
        if self._closing:
            return False
        began = self._clock.monotonic()
        try:
            deadline = began + self._timeouts.connect
            line = RedisLine.open(
                self._network,
                self._address,
                deadline,
                self._is_closing,
                self._address.name,
            )
            self.is_open = True
            try:
                self._publish(line)
            finally:
                self.is_open = False
                self.publisher.closed()
                line.stream.close()
        except OkexWSError as error:
            self._lost(error, began)
        except Exception as bug:
            log.exception("internal error on the line to %s", self.endpoint)
            reason = f"internal error: {type(bug).__name__}"
            internal = CauseCode.INTERNAL
            lost = ConnectionLost(self.endpoint, reason, cause_code=internal)
            self._lost(lost, began)
        return not self._closing

    def _lost(self, error: OkexWSError, began: float) -> None:
        if self._closing:
            return
        error.endpoint = error.endpoint or self._address.endpoint
        now = self._clock.monotonic()
        self._outage_log.log_loss(self._address.endpoint, error, now)
        self._tell(error)
        if now - began >= self._reconnect.healthy_after:
            first, cap = self._reconnect.first, self._reconnect.cap
            self._waits = backoff(first, cap, self._rng)
        until = now + next(self._waits)
        while not self._closing and (left := until - self._clock.monotonic()) > 0:
            self._network.wait(left)

    def _publish(self, line: RedisLine) -> None:
        publisher, clock = self.publisher, self._clock
        now = clock.monotonic()
        self._open.clear()
        self._unsent.clear()
        publisher.opened(secrets.token_hex(6), now)
        asked_at = now
        self._place = ""
        while not self._closing:
            now = clock.monotonic()
            if not self._open:
                asked_at = now
            elif now >= asked_at + self._timeouts.pong:
                raise line.lost("Redis does not answer", CauseCode.PONG)
            if now >= publisher.due:
                self._unsent += publisher.tick(now)
            if len(self._unsent) < _MOST_UNSENT:
                self._unsent += publisher.flush(now)
            self._send(line)
            self._sleeps = not publisher.waiting or bool(self._unsent)
            if self._sleeps:
                due = min(publisher.due, asked_at + self._timeouts.pong)
                self._network.wait(max(0.0, due - now), line.stream)
            self._sleeps = False
            for reply in line.read():
                asked_at = clock.monotonic()
                self._unsent += self._answered(reply, line)
            self._say_place(line.endpoint, now)
        with suppress(ConnectionLost):
            self._unsent += publisher.step_down()
            self._send(line)

    def _say_place(self, endpoint: str, now: float) -> None:
        """Log whether it leads, once it is known: only then is an outage over."""
        publisher = self.publisher
        place = (
            "standing by, another one publishes to" if publisher.waits_to_lead else ""
        )
        place = "publishing to" if publisher.leads else place
        if place not in ("", self._place):
            self._place = place
            log.info("%s %s%s", place, endpoint, self._outage_log.note(now))
            self._outage_log.over()

    def _send(self, line: RedisLine) -> None:
        """Send what waits, in order, as far as the server takes it."""
        while self._unsent and not line.is_full:
            batch, size = list[Command](), 0
            while self._unsent and size < _BATCH:
                batch.append(command := self._unsent.popleft())
                size += sum(map(len, command))
            self._open += batch
            line.send(batch)

    def _answered(self, reply: Any, line: RedisLine) -> list[Command]:
        if not self._open or line.is_published(reply):
            raise line.lost("an answer to nothing")
        word, key, *_ = command = self._open.popleft()
        publisher, clock = self.publisher, self._clock
        now = clock.monotonic()
        if isinstance(reply, RedisRefused):
            return self._was_refused(reply, command, line)
        names = publisher.names
        kinds = _ANSWERS.get(str(word))
        if kinds is not None and not isinstance(reply, kinds):
            raise line.lost(f"an answer to {word!s} that no Redis gives")
        if word == "GET" and key == names.leader:
            return publisher.leader(reply, now)
        if word == "GET":
            return publisher.probed(reply, now, clock.wall())
        if word == "SET" and key == names.leader:
            return publisher.elected(reply is not None)
        if word == "INCR":
            return publisher.termed(reply, now)
        return []

    def _was_refused(
        self, refused: RedisRefused, command: Command, line: RedisLine
    ) -> list[Command]:
        """Go on if a value was refused for want of memory; else the line is no good."""
        word, key, *_ = command
        topic = self.publisher.names.topic_of(str(key))
        if word != "SET" or topic is None or refused.word != "OOM":
            raise line.refused(refused)
        self.refused += 1
        if (known := self.publisher.topics.get(topic)) is not None:
            known.written = 0
        if self._throttle.allows("OOM", self._clock.monotonic()):
            error = line.refused(refused)
            error.advice = "readers that begin now get no price"
            log.warning("%s", error)
            self._tell(error)
        return []
