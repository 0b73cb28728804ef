"""`Stretch`: which stretch of a recording a replay plays, and which files it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from ..base.checks import check_number
from ..base.clock import utc
from ..recording.format import Entry, last_part, read
from ..recording.recorded_frames import RecordingDamaged
from .script import Moment, Script

# Entries of a file in which its first keyframe is looked for.
_MOST_SEARCHED = 20_000


class _Limit(NamedTuple):
    """A moment on one clock of the recording: the wall's, or the monotonic one."""

    on_wall: bool
    value: float

    def clock(self, at: Entry | Moment) -> float:
        """The time of *at* on the clock of this limit."""
        return at.wall if self.on_wall else at.mono


class Stretch:
    """The entries of a recording that a replay from *start* to *end* needs.

    Both are an aware ``datetime``, seconds from the beginning of the recording, or
    ``None``. A recording of several files is read from the last one on that has
    keyframes before *start*; no file after *end* is opened. The replay's constructor
    uses it; it holds no entry.

    Raises:
        ValueError, TypeError: *start* or *end* cannot be right.
        OSError: the recording cannot be read.
    """

    def __init__(
        self,
        path: str,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
    ) -> None:
        for name, value in (("start", start), ("end", end)):
            _check(name, value)
        self._path, self._given = path, start
        self._first = first = _first(path)
        self._start = None if first is None else _limit(first, start)
        self._end = None if first is None else _limit(first, end)
        if first is not None and self._end is not None:
            begins = self._end.clock(first)
            if self._start is not None:
                begins += self._start.value - self._start.clock(first)
            if not self._end.value > begins:
                raise ValueError(f"end is after the start; got {_said(end)}")

        self._part = self._find_part()

    def entries(self) -> Iterator[Entry]:
        """The entries in order, to *end*; raises what `read` raises."""
        end = self._end
        for entry in read(self._path, self._part):
            if end is not None and end.clock(entry) > end.value:
                return
            yield entry

    def origin(self, script: Script) -> Entry | Moment:
        """Where the recording begins, if its first file is left out, too."""
        return self._first if self._part and self._first else script.begins

    def _find_part(self) -> int:
        """The file to begin with: its keyframes come before *start*."""
        start = self._start
        if start is not None:
            for part in range(last_part(self._path), 0, -1):
                keyframe = _first_keyframe(self._path, part)
                if keyframe is not None and start.clock(keyframe) <= start.value:
                    return part
        return 0

    def begin(self, script: Script) -> float:
        """*start* on the recording's monotonic clock; *script* is of `entries`."""
        first, last, start = script.begins, script.ends, self._start
        if start is None:
            return first.mono
        zero = self.origin(script)
        if not start.clock(zero) <= start.value <= start.clock(last):
            span = f"{_said(utc(zero.wall))} to {_said(utc(last.wall))}"
            got = _said(self._given)
            raise ValueError(f"start is within the recording, {span}; got {got}")
        if not start.on_wall:
            return start.value
        moments = (each for each in script.moments if each.wall >= start.value)
        moment = next(moments, last)
        return moment.mono - (moment.wall - start.value)


def _limit(first: Entry, moment: datetime | float | None) -> _Limit | None:
    if isinstance(moment, datetime):
        return _Limit(True, moment.timestamp())
    return None if moment is None else _Limit(False, first.mono + moment)


def _first(path: str) -> Entry | None:
    """The first entry of the recording that tells a time of its own."""
    try:
        with closing(read(path)) as every:
            return next((each for each in every if not each.facts.get("again")), None)
    except RecordingDamaged:
        return None  # `Script` tells it


def _first_keyframe(path: str, part: int) -> Entry | None:
    try:
        with closing(read(path, part)) as every:
            some = islice(every, _MOST_SEARCHED)
            return next((each for each in some if each.kind == "keyframe"), None)
    except (OSError, RecordingDamaged):
        return None


def _check(name: str, moment: datetime | float | None) -> None:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{name} is an aware datetime, got {moment!r}")
    elif moment is not None:
        check_number(name, moment)


def _said(moment: object) -> object:
    return moment.isoformat() if isinstance(moment, datetime) else moment
