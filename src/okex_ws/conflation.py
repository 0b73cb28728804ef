"""Of the snapshots of one channel that wait in line, only the newest is read.

A thread that was held up finds many of them: whoever wants the price wants the last,
and is late by every one before it that is parsed. So a push waits for what is behind it
if nobody has a use for each push of its channel. Nothing else may overtake it but data
of other channels: a pong says that all before it was taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .channel import Channel
from .line import Line, Phase

# Held texts are read after so many frames at the latest: a tenth of a millisecond.
MOST_HELD = 64
# Channels that are known by the heads of their pushes; a connection has fewer.
_MOST_KNOWN = 4096


class Conflation:
    """The texts that wait on one connection: one a channel, the newest."""

    def __init__(
        self,
        head: Callable[[str], str | None],
        lines: Mapping[str, Line[Channel]],
    ) -> None:
        self._head = head
        self._lines = lines
        # By the head of a push the channel that it is of, and which of these are known.
        self._names: dict[str | None, str] = {}
        self._known: set[str] = set()
        # The newest text of a channel, and how many it stands for beside itself.
        self._held: dict[str, tuple[str, int]] = {}
        self._since = 0

    def hold(self, text: str) -> bool:
        """Keep *text*, in place of the one before it, if it can wait."""
        names, held = self._names, self._held
        if not names or self._since >= MOST_HELD:
            return False
        name = names.get(self._head(text))
        if name is None:
            return False
        if name in held:
            held[name] = text, held[name][1] + 1
        elif self._may_wait(name):
            held[name] = text, 0
        else:
            return False
        self._since += 1
        return True

    def _may_wait(self, name: str) -> bool:
        line = self._lines.get(name)
        if line is not None and line.phase is Phase.FLOWING and line.target.conflates:
            return True
        # Whoever came to want each of them mostly stays.
        self._names = {h: n for h, n in self._names.items() if n != name}
        return False

    @property
    def is_full(self) -> bool:
        """Whether what waits has waited long enough."""
        return self._since >= MOST_HELD

    def learn(self, name: str, text: str) -> None:
        """*text* was a good push of channel *name*: later ones are told by its head."""
        if name in self._known:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._names.clear()
        self._known.add(name)
        head = self._head(text)
        if head is not None and self._lines[name].target.conflates:
            self._names[head] = name

    def supersede(self, name: str) -> None:
        """A newer push of channel *name* is about to be read: none that waits is."""
        if self._held and (waiting := self._held.pop(name, None)) is not None:
            self._count(name, waiting[1] + 1)

    def release(self) -> list[str]:
        """All that waits, oldest first."""
        self._since = 0
        held, self._held = self._held, {}
        for name, (_, passed_over) in held.items():
            self._count(name, passed_over)
        return [text for text, _ in held.values()]

    def _count(self, name: str, passed_over: int) -> None:
        if passed_over and (line := self._lines.get(name)) is not None:
            line.target.counts[f"skipped {line.target.topic}"] += passed_over
