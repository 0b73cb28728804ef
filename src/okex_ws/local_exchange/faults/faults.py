"""What is wrong with the exchange at the moment: state and decisions. No I/O.

A fault that counts down heals by itself; all others last until they are taken back.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(slots=True)
class Rejection:
    """An error that the next *times* requests get; all, if ``None``.

    *named* says whether it names the channel, under v5; v3 says what it is given.
    """

    code: int | str
    message: str
    times: int | None
    named: bool = True


@dataclass(slots=True)
class HandshakeResponse:
    """An HTTP answer that the next *times* handshakes get; all, if ``None``."""

    status: int
    headers: Mapping[str, str]
    body: str
    times: int | None


_Counted = TypeVar("_Counted", Rejection, HandshakeResponse)


@dataclass(slots=True)
class Faults:
    """The faults in force; a new one has none."""

    handshake_delay: float = 0.0
    answer: HandshakeResponse | None = None
    silent_channels: set[str] = field(default_factory=set)
    silent: bool = False
    mute: bool = False
    plain_pong: bool = False
    ignored: set[str] = field(default_factory=set)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    login: Rejection | None = None
    # Of each book what goes wrong about it, and how often; all the time, if ``None``.
    books: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def silences(self, channel: str) -> bool:
        """Whether nothing is pushed on *channel*."""
        return self.mute or self.silent or channel in self.silent_channels

    def silence(self, channel: str | None) -> None:
        """Push nothing on *channel*, or on any."""
        if channel is None:
            self.silent = True
        else:
            self.silent_channels.add(channel)

    def ignore(self, channel: str, on: bool) -> None:
        """Do not react to a subscribe of *channel*, or do again."""
        if on:
            self.ignored.add(channel)
        else:
            self.ignored.discard(channel)

    def resume(self) -> None:
        """Push and answer again."""
        self.silent = self.mute = False
        self.silent_channels.clear()

    def rejection(self, channel: str) -> Rejection | None:
        """The error that a subscribe of *channel* gets now, counted down."""
        return _counted(self.rejections.get(channel))

    def login_rejection(self) -> Rejection | None:
        """The error that a login gets now in place of a check, counted down."""
        return _counted(self.login)

    def spoil(self, channel: str, how: str, times: int | None) -> None:
        """Have *how* go wrong about a book, after what is in force already."""
        waiting = self.books.setdefault(channel, {})
        waiting[how] = times
        if times == 0:
            del waiting[how]

    def active_fault(self, channel: str, kinds: Container[str]) -> str | None:
        """The first of the faults of a book that is one of *kinds*; not counted."""
        waiting = self.books.get(channel, ())
        return next((how for how in waiting if how in kinds), None)

    def count_down(self, channel: str, how: str) -> None:
        """*how* has gone wrong about a book once more: counted down."""
        waiting = self.books[channel]
        times = waiting[how]
        if times is not None:
            self.spoil(channel, how, times - 1)

    def http_answer(self) -> HandshakeResponse | None:
        """The answer that a handshake gets now in place of a yes, counted down."""
        return _counted(self.answer)


def _counted(found: _Counted | None) -> _Counted | None:
    if found is None or found.times == 0:
        return None
    if found.times is not None:
        found.times -= 1
    return found
