"""The faults that are in force, apart from REST: state and decisions. No I/O.

A fault with a count ends by itself after it has happened that many times. All others
last until a script ends them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, Union


@dataclass(slots=True)
class Rejection:
    """An error that answers the next *times* requests, or all if ``None``.

    *named* is whether the error names the channel under v5; under v3 the *message* is
    sent as it is.
    """

    code: int | str
    message: str
    times: int | None
    named: bool = True


@dataclass(slots=True)
class HandshakeResponse:
    """An HTTP response to the next *times* handshakes, or to all if ``None``."""

    status: int
    headers: Mapping[str, str]
    body: str
    times: int | None


_Counted = TypeVar("_Counted", Rejection, HandshakeResponse)


@dataclass(slots=True)
class Faults:
    """The faults in force, apart from those of REST; a new object has none.

    It only decides: the server asks before it sends, and carries the fault out. Only
    the exchange's event loop uses it.
    """

    handshake_delay: float = 0.0
    answer: HandshakeResponse | None = None
    silent_channels: set[str] = field(default_factory=set)
    silent: bool = False
    mute: bool = False
    plain_pong: bool = False
    ignored: set[str] = field(default_factory=set)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    login: Rejection | None = None
    # The faults of each book, by its channel, and how often each is still to happen;
    # ``None`` is always.
    books: dict[str, dict[str, int | None]] = field(default_factory=dict)
    # The same of the wording of any channel's messages.
    wordings: dict[str, dict[str, int | None]] = field(default_factory=dict)
    # What is added to the trade ids of a channel.
    trade_ids: dict[str, int] = field(default_factory=dict)
    # How often an unsubscribe of a channel is still to be followed by old data.
    stragglers: dict[str, int] = field(default_factory=dict)
    # Seconds from the data of a new subscription to its acknowledgement.
    late_acknowledgement: float = 0.0
    # Seconds that the clock of new clients' gateway is ahead.
    gateway_clock: float = 0.0

    def silences(self, channel: str) -> bool:
        """Whether pushes on *channel* are withheld."""
        return self.mute or self.silent or channel in self.silent_channels

    def silence(self, channel: str | None) -> None:
        """Withhold pushes on *channel*, or on all channels if ``None``."""
        if channel is None:
            self.silent = True
        else:
            self.silent_channels.add(channel)

    def ignore(self, channel: str, on: bool) -> None:
        """Ignore subscribes of *channel*; with *on* ``False`` answer them again."""
        if on:
            self.ignored.add(channel)
        else:
            self.ignored.discard(channel)

    def resume(self) -> None:
        """Push and answer again."""
        self.silent = self.mute = False
        self.silent_channels.clear()

    def rejection(self, channel: str) -> Rejection | None:
        """The error for this subscribe of *channel*, if any; counts it down."""
        return _counted(self.rejections.get(channel))

    def login_rejection(self) -> Rejection | None:
        """The error that answers this login unchecked, if any; counts it down."""
        return _counted(self.login)

    def spoil(self, channel: str, how: str, times: int | None) -> None:
        """Add the fault *how* to a book, after those in force; *times* 0 ends it."""
        _add(self.books, channel, how, times)

    def active_fault(self, channel: str, kinds: Container[str]) -> str | None:
        """The first fault of a book that is one of *kinds*; not counted down."""
        waiting = self.books.get(channel, ())
        return next((how for how in waiting if how in kinds), None)

    def count_down(self, channel: str, how: str) -> None:
        """Count down the fault *how* of a book, which has happened once more."""
        _count_down(self.books, channel, how)

    def reword(self, channel: str, how: str, times: int | None) -> None:
        """Have the next messages of *channel* worded as *how*; *times* 0 ends it."""
        _add(self.wordings, channel, how, times)

    def wording(self, channel: str) -> str | None:
        """How this message of *channel* is worded, if oddly; counts it down."""
        how = next(iter(self.wordings.get(channel, ())), None)
        if how is not None:
            _count_down(self.wordings, channel, how)
        return how

    def straggles(self, channel: str) -> bool:
        """Whether old data follows this unsubscribe of *channel*; counts it down."""
        left = self.stragglers.get(channel, 0)
        self.stragglers[channel] = max(0, left - 1)
        return left > 0

    def http_answer(self) -> HandshakeResponse | None:
        """The HTTP response to this handshake, if any; counts it down."""
        return _counted(self.answer)


_Waiting = dict[str, dict[str, Union[int, None]]]


def _add(waiting: _Waiting, channel: str, how: str, times: int | None) -> None:
    """Add a fault of *channel* after those that wait; *times* 0 ends it."""
    faults = waiting.setdefault(channel, {})
    faults[how] = times
    if times == 0:
        del faults[how]


def _count_down(waiting: _Waiting, channel: str, how: str) -> None:
    times = waiting[channel][how]
    if times is not None:
        _add(waiting, channel, how, times - 1)


def _counted(found: _Counted | None) -> _Counted | None:
    if found is None or found.times == 0:
        return None
    if found.times is not None:
        found.times -= 1
    return found
