"""``okex-ws replay``: prints a recording as ``watch`` would have printed it live."""

from __future__ import annotations

import argparse
import json
import math
from functools import partial

from ... import Replay, State, StateChange
from ..arguments import command, names
from ..exits import FAILED, GOOD, say
from ..lines import item_json, item_line
from ..recordings.played import ask_recording, chosen, open_recording, played
from ..text import clean, seconds
from ..text import moment as said_moment

_EXAMPLES = """\
  okex-ws replay day.rec.gz                          what is in it
  okex-ws replay day.rec.gz BTC-USDT                 as fast as it came
  okex-ws replay day.rec.gz BTC-USDT --speed 10 --start 3600
  okex-ws replay day.rec.gz --all --speed max --json | jq .
  okex-ws replay NAME.recv.jsonl --all --speed max   a capture

Each time it gives the same bytes, at any speed."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands, "replay", "tell a recording again, or what is in it", _EXAMPLES
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_recording(parser)
    option(
        "instruments",
        nargs="*",
        default=[],  # without a default argparse requires one
        metavar="INSTRUMENT",
        help="what is told of it (default: nothing but what there is)",
    )
    option("--all", action="store_true", help="tell all that was recorded")
    option(
        "--channels",
        type=names,
        metavar="A,B",
        help="what is subscribed (default: all that was recorded of each)",
    )
    option(
        "--speed",
        type=speed,
        default=1.0,
        metavar="N",
        help="so many times as fast, or max (default: 1)",
    )
    option("--json", action="store_true", help="one JSON object a line")


def speed(text: str) -> float:
    """Parse an argument as a speed: a number above zero, or ``max``."""
    try:
        value = math.inf if text == "max" else float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'max'")
    return value


def run(options: argparse.Namespace) -> int:
    """Print the recorded items, or what there is to print; return the exit code.

    The code says failed if a channel was refused.
    """
    told = bool(options.instruments or options.all)
    stretch = options.start, options.venue, options.end
    with open_recording(options.recording, *stretch) as recording:
        if not recording.instruments:
            say(f"no channel of an instrument is recorded in {options.recording}")
        if not told:
            _tell_contents(recording, options.json)
            recording.run()  # without a subscription; it reports damage
            return GOOD
        wanted = options.instruments or [each[1] for each in recording.instruments]
        width = max([14, *map(len, wanted)])
        line = item_json if options.json else partial(item_line, width=width)
        code = GOOD
        recorded = chosen(recording, wanted)
        for item in played(recording, recorded, options.channels, options.speed):
            print(line(item), flush=options.speed < math.inf)
            if isinstance(item, StateChange) and item.new is State.FAILED:
                code = FAILED
        return code


def _tell_contents(recording: Replay, as_json: bool) -> None:
    begins, ends = said_moment(recording.begins), said_moment(recording.ends)
    took = (recording.ends - recording.begins).total_seconds()
    if as_json:
        for market, name, channels in recording.instruments:
            about = {"venue": recording.venue.name, "begins": begins, "ends": ends}
            own = {"instrument_id": name, "market": market, "channels": channels}
            print(json.dumps({"type": "recorded", **about, **own}))
        return
    print(
        clean(f"{recording.venue.name} ({recording.venue.protocol})  {seconds(took)}")
    )
    print(f"{begins} to {ends}")
    width = max([14, *(len(each[1]) for each in recording.instruments)])
    for market, name, channels in recording.instruments:
        print(clean(f"  {name:{width}}  {market:8}  {', '.join(channels)}"))
