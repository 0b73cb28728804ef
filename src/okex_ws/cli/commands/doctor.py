"""``okex-ws doctor``: why there is no price, and what to do, endpoint by endpoint."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from contextlib import ExitStack

from ... import check_instrument
from ..arguments import (
    Destination,
    ask_via,
    ask_where,
    command,
    duration,
    find_destination,
)
from ..diagnosis.checks import Check, Checklist, Grade
from ..diagnosis.probe import Probe
from ..diagnosis.reach import Reach
from ..diagnosis.relay import RedisWay
from ..exits import FAILED, GOOD, USAGE, Failure, refusing
from ..text import clean, milliseconds

_EXAMPLES = """\
  okex-ws doctor                            OKX
  okex-ws doctor --venue okj --instrument BTC-JPY
  okex-ws doctor --url wss://127.0.0.1:9000/ws/v5
  okex-ws doctor --via rediss://sub@books:6379/0?name=desk --instrument BTC-USDT
  okex-ws doctor --local                    what it looks like if all is well
  okex-ws doctor --json | jq 'select(.grade == "bad")'"""

_COLOURS = {Grade.GOOD: 32, Grade.WARN: 33, Grade.BAD: 31, Grade.NOT_TRIED: 2}
_WORDS = {Grade.NOT_TRIED: "-", Grade.BAD: "BAD"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands,
        "doctor",
        "why there is no price: a check list for each endpoint of a venue",
        _EXAMPLES,
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    option("--instrument", metavar="ID", help="(default: BTC-USDT; in Japan BTC-JPY)")
    option("--market", help="spot, futures, ... (default: what the id tells)")
    option("--json", action="store_true", help="one JSON object a line")
    option(
        "--timeout",
        type=duration,
        default=10.0,
        metavar="S",
        help="seconds for each step of the connection (default: 10)",
    )
    ask_where(parser)
    ask_via(parser)


def run(options: argparse.Namespace) -> int:
    """Check every endpoint of the venue; return the exit code: good if one is good."""
    with ExitStack() as stack:
        where = find_destination(options, stack)
        name = options.instrument or where.instrument
        with refusing():
            kind = check_instrument(name, options.market, where.venue)
        if kind == "index":
            raise Failure("an index has no book: name what is traded", USAGE)
        report = _JsonReport() if options.json else _TextReport()
        failed = []
        if where.via is not None:
            return _examine_way(where, (name, kind), options.timeout, report)
        for endpoint in where.venue.endpoints:
            report.begin_endpoint(where.venue.name, endpoint)
            found = _examine(where, endpoint, (name, kind), options.timeout, report)
            report.verdict(*verdict(where, endpoint, found))
            failed.append(found.failed is not None)
    return FAILED if all(failed) else GOOD


def _examine(
    where: Destination,
    endpoint: str,
    instrument: tuple[str, str],
    timeout: float,
    report: _TextReport,
) -> Checklist:
    """Run the checks of one endpoint, each after the checks that it depends on."""
    found = Checklist(report.begin, report.tell)
    reach = Reach(where, endpoint, timeout)
    probe = Probe(where, endpoint, *instrument)
    try:
        found.check("packages", reach.find_packages)
        found.check("proxy", reach.find_proxy)
        found.check("DNS", reach.look_up)
        found.check("TCP", reach.connect)
        if reach.proxied:
            found.check("tunnel", reach.tunnel)
        if reach.secure:
            found.check("TLS", reach.start_tls)
        found.check("handshake", reach.handshake)
        reach.close()
        found.check("subscribe", probe.subscribe)
        found.check("snapshot", probe.snapshot)
        found.check("sequence", probe.prove)
        found.check("ping", probe.ping)
        found.check("clock", lambda: probe.clock(reach.ahead))
    finally:
        reach.close()
        probe.close()
    return found


def _examine_way(
    where: Destination,
    instrument: tuple[str, str],
    timeout: float,
    report: _TextReport,
) -> int:
    """Check each link of the way by Redis; return the exit code."""
    with refusing():
        relay = RedisWay(where, timeout)
    report.begin_endpoint(where.venue.name, relay.endpoint)
    found = Checklist(report.begin, report.tell)
    probe = Probe(where, relay.endpoint, *instrument)
    try:
        found.check("packages", relay.find_package)
        found.check("Redis", relay.connect)
        found.check("rights", relay.try_rights)
        found.check("producer", relay.find_producer)
        relay.close()
        found.check("subscribe", probe.subscribe)
        found.check("snapshot", probe.snapshot)
        found.check("sequence", probe.prove)
    finally:
        relay.close()
        probe.close()
    grade, sentence = verdict(where, relay.endpoint, found)
    report.verdict(grade, sentence)
    return FAILED if grade is Grade.BAD else GOOD


def verdict(where: Destination, endpoint: str, found: Checklist) -> tuple[Grade, str]:
    """The result for one endpoint: its grade, and a sentence that says what to do."""
    bad = found.failed
    if bad is not None:
        # A known fact about the endpoint explains more than the check that failed.
        advice = where.venue.advice(endpoint) or bad.advice
        behind = f"; {advice}" if advice else ""
        return Grade.BAD, f"no prices, for {bad.name} failed: {bad.said}{behind}"
    if found.warned:
        words = "; ".join(f"{each.name}: {each.advice}" for each in found.warned)
        return Grade.WARN, f"prices come; but {words}"
    return Grade.GOOD, "all is well: prices come, and prove themselves"


class _TextReport:
    """Prints the check list for people: a line for each check, with its advice.

    The check list calls it in this order: an endpoint, its checks, the verdict.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._colour = self._terminal and not os.environ.get("NO_COLOR")

    def begin_endpoint(self, venue: str, endpoint: str) -> None:
        print(clean(f"{venue}  {endpoint}"), flush=True)

    def begin(self, name: str) -> None:
        """Show that the check *name* is running; only a terminal can take that back."""
        if self._terminal:
            print(f"  ....  {name}", end="\r", flush=True)

    def tell(self, check: Check) -> None:
        took = "" if check.seconds is None else milliseconds(check.seconds)
        start = f"  {'':4}  {check.name:9}  {took:>7}  "
        advice = f" ({check.advice})" if check.advice else ""
        lines = self._folded(clean(f"{check.said}{advice}"), len(start))
        print(self._graded(check.grade, f"{start}{lines}"), flush=True)

    def verdict(self, grade: Grade, sentence: str) -> None:
        lines = self._folded(clean(sentence), 8)
        print(self._graded(grade, f"  {'':4}  {lines}") + "\n", flush=True)

    def _folded(self, text: str, indent: int) -> str:
        """Fold *text* between words to the width of the terminal.

        The first line follows a prefix of *indent* columns; each other line is
        indented.
        """
        if not self._terminal:
            return text
        width = max(shutil.get_terminal_size().columns, indent + 20)
        pad = " " * indent
        return textwrap.fill(
            text,
            width,
            initial_indent=pad,
            subsequent_indent=pad,
            break_on_hyphens=False,
        )[indent:]

    def _graded(self, grade: Grade, text: str) -> str:
        word = f"{_WORDS.get(grade, str(grade)):4}"
        if self._colour:
            word = f"\x1b[{_COLOURS[grade]}m{word}\x1b[0m"
        return f"  {word}{text[6:]}"


class _JsonReport(_TextReport):
    """Prints the check list for programs: one JSON object for each check."""

    def __init__(self) -> None:
        self._where = {"venue": "", "endpoint": ""}

    def begin_endpoint(self, venue: str, endpoint: str) -> None:
        self._where = {"venue": venue, "endpoint": endpoint}

    def begin(self, name: str) -> None:
        pass

    def tell(self, check: Check) -> None:
        took = None if check.seconds is None else round(check.seconds, 6)
        self._print(
            "check",
            name=check.name,
            grade=str(check.grade),
            said=check.said,
            advice=check.advice or None,
            seconds=took,
        )

    def verdict(self, grade: Grade, sentence: str) -> None:
        self._print("verdict", grade=str(grade), said=sentence)

    def _print(self, kind: str, **fields: object) -> None:
        print(json.dumps({"type": kind, **self._where, **fields}), flush=True)
