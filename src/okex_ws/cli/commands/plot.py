"""``okex-ws plot``: draws a recording as a picture."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from ... import Item, RecordingDamaged, Replay
from ..arguments import command
from ..exits import FAILED, GOOD, Failure, refusing, say
from ..logs import progress
from ..recordings.played import Recorded, ask_recording, chosen, open_recording, played
from ..recordings.story import ChartData

# Items between two updates of the progress line.
_EVERY = 2000
_DEPTHS = ("depth", "depth_l2_tbt", "books50-l2-tbt", "books-rpi", "depth5", "bbo-tbt")

_EXAMPLES = """\
  okex-ws plot day.rec.gz                       to day.png
  okex-ws plot day.rec.gz BTC-USDT -o btc.svg
  okex-ws plot day.rec.gz --start 3600

It shows best bid and ask, trades by side and size, the depth as bands around them, and
shaded where there was no price that could be trusted, with the cause."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(commands, "plot", "a picture of a recording", _EXAMPLES)
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_recording(parser)
    option(
        "instrument",
        nargs="?",
        metavar="INSTRUMENT",
        help="(default: the first one with a book)",
    )
    option(
        "-o",
        dest="file",
        metavar="FILE",
        help="a .png, .svg or .pdf (default: the recording's name, with .png)",
    )


def run(options: argparse.Namespace) -> int:
    """Draw the recording; return the exit code.

    A damaged recording is drawn up to the damage, and the exit code says failed.
    """
    # A picture needs no backend. That of a notebook, which the shell of a notebook has
    # in its environment, may be missing here, and matplotlib would refuse the import.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        from ..recordings.picture import check_form, draw
    except ImportError as missing:
        raise Failure(
            f"a picture needs the extra 'plot': pip install 'okex-ws[plot]' ({missing})"
        ) from missing
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    path = _with_suffix(options.file or f"{_stem(options.recording)}.png")
    with refusing():
        check_form(path)
    code = GOOD
    stretch = options.start, options.venue, options.end
    with open_recording(options.recording, *stretch) as recording:
        recorded = _chosen(recording, options.instrument)
        begins = _begins(recording, options.start)
        chart = ChartData(recorded[1], begins, recording.ends)
        try:
            chart.add(_progressing(played(recording, [recorded], None), chart))
        except RecordingDamaged as damage:
            say(str(damage))
            code = FAILED
        progress("")
    if not (chart.samples or chart.dots):
        raise Failure(f"there is no price of {recorded[1]} in it that can be trusted")
    there = os.path.exists(path)
    try:
        draw(chart, path)
    except OSError as error:
        if not there:
            with suppress(OSError):
                os.unlink(path)  # part of a picture is of no use
        raise OSError(error.errno, error.strerror, path) from error
    print(path)
    return code


def _with_suffix(path: str) -> str:
    """*path*, with ``.png`` added if it has no suffix."""
    return path if Path(path).suffix.strip(".") else f"{path.rstrip('.')}.png"


def _stem(path: str) -> str:
    """The file name of a recording, without its folder, ``.rec.gz`` and ``.gz``."""
    name = os.path.basename(path)
    for suffix in (".rec.gz", ".gz"):
        name = name.removesuffix(suffix)
    return name


def _chosen(recording: Replay, wanted: str | None) -> Recorded:
    if wanted is not None:
        return chosen(recording, [wanted])[0]
    for each in recording.instruments:
        if set(each[2]) & set(_DEPTHS):
            return each
    raise Failure("no instrument with a book is recorded")


def _begins(recording: Replay, start: datetime | float | None) -> datetime:
    if start is None:
        return recording.begins
    if isinstance(start, datetime):
        return start
    return recording.begins + timedelta(seconds=start)


def _progressing(items: Iterable[Item], chart: ChartData) -> Iterator[Item]:
    """Pass *items* on, and show as progress how much of the time they have covered."""
    span = (chart.ends - chart.begins).total_seconds() or 1.0
    for number, item in enumerate(items):
        at = getattr(item, "received", None)
        if number % _EVERY == 0 and at is not None:
            done = (at - chart.begins).total_seconds() / span
            progress(f"{chart.instrument_id}: {100 * min(done, 1.0):.0f} %")
        yield item
