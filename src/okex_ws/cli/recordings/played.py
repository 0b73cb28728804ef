"""Plays a recording for a command: opens it, picks instruments, yields their items."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone

from ... import Item, RecordingDamaged, Replay, State, StateChange, Updates
from ...base.checks import nearest
from ..exits import USAGE, Failure, refusing
from ..logs import unsaid
from ..text import listed

# Market, id and channels of an instrument, as `Replay.instruments` has them.
Recorded = tuple[str, str, tuple[str, ...]]


def ask_recording(parser: argparse.ArgumentParser) -> None:
    """Add the argument RECORDING, ``--start``, ``--end`` and ``--venue``."""
    option = parser.add_argument
    option("recording", metavar="RECORDING", help="its first file, or one part of it")
    option(
        "--start",
        type=moment,
        metavar="T",
        help="where to begin: seconds, or a moment like 2026-11-26T08:45:00 (UTC)",
    )
    option(
        "--end",
        type=moment,
        metavar="T",
        help="where to end, likewise; files after that are not read",
    )
    option("--venue", metavar="NAME", help="which one, if several were recorded")


def moment(text: str) -> datetime | float:
    """Parse an argument as seconds, or as a UTC moment like ``2026-11-26T08:45:00``."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if 0 <= seconds < math.inf:
            return seconds
        raise argparse.ArgumentTypeError(f"{text!r} is before the beginning")
    try:
        # Python 3.10 does not read the Z of UTC.
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither seconds nor a moment like 2026-11-26T08:45:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def open_recording(
    path: str,
    start: datetime | float | None,
    venue: str | None,
    end: datetime | float | None = None,
) -> Replay:
    """Open the recording in *path*; in virtual time, so that no item is lost."""
    with refusing():
        return Replay(path, speed=math.inf, start=start, end=end, venue=venue)


def chosen(replay: Replay, wanted: Sequence[str]) -> list[Recorded]:
    """The instruments named in *wanted*, with the recorded channels of each."""
    found = {each[1]: each for each in replay.instruments}
    for name in wanted:
        if name not in found:
            raise Failure(
                f"{name!r} is not recorded{nearest(name, found)}; recorded are"
                f" {listed(found)}",
                USAGE,
            )
    return [found[name] for name in dict.fromkeys(wanted)]


def played(
    replay: Replay,
    instruments: Sequence[Recorded],
    channels: Sequence[str] | None,
    speed: float = math.inf,
) -> Iterator[Item]:
    """Yield every item of *instruments*, *speed* times as fast as it came.

    The state CLOSED at the end of the recording is left out.

    Raises:
        RecordingDamaged: after all items that come before the damage.
    """
    with unsaid():
        with refusing():
            feed = replay.feed()
            updates = feed.updates(latest=False, timeout=0.0, repeated=True)
            for market, name, recorded in instruments:
                feed.subscribe([name], market, channels or recorded)
        damage = None
        try:
            for _ in _paced(replay, speed):
                yield from _waiting(updates)
        except RecordingDamaged as error:
            damage = error
        yield from _waiting(updates)
        if damage is not None:
            raise damage


def _paced(replay: Iterable[datetime], speed: float) -> Iterator[datetime]:
    """Yield the moments of *replay*, *speed* times as fast as they came."""
    began, first = time.monotonic(), None
    for moment in replay:
        first = first or moment
        left = (moment - first).total_seconds() / speed - (time.monotonic() - began)
        if left > 0:
            time.sleep(left)
        yield moment


def _waiting(updates: Updates) -> Iterator[Item]:
    """Yield the items that wait, without the state CLOSED at the recording's end."""
    while True:
        try:
            item = next(updates)
        except (TimeoutError, StopIteration):
            return
        if not (isinstance(item, StateChange) and item.new is State.CLOSED):
            yield item
