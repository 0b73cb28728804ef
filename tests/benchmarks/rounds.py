"""Rounds: the server, contestants by turns, each in a new process, and their ratios.

Every round gives every contestant one process, and begins with another contestant.
Ratios compare runs of the same round, so that other load on the machine is in both.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.contestant import Spec
from tests.benchmarks.roster import CEILING, LIMIT, TLS, Entry
from tests.benchmarks.streams import Stream

# Seconds that no process may take longer than it was told to.
GRACE = 40.0


class Server:
    """The server's process: its address, and its jobs."""

    def __init__(self, process: subprocess.Popen[str], authority: Path) -> None:
        self._process = process
        facts = json.loads(self._line())
        self._ports = facts["port"], facts["tls_port"]
        authority.write_text(facts["authority"])
        # Every contestant's own default is to trust what these name.
        self.environment = {
            **os.environ,
            "SSL_CERT_FILE": str(authority),
            "WEBSOCKET_CLIENT_CA_BUNDLE": str(authority),
        }

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def url(self, transport: str, protocol: str) -> str:
        """The whole address under v3; up to ``/ws/v5`` under v5."""
        scheme, port = ("ws", self._ports[0])
        if transport == TLS:
            scheme, port = "wss", self._ports[1]
        return f"{scheme}://localhost:{port}/ws/{protocol}"

    def play(self, **job: Any) -> dict[str, Any]:
        """Give it a `server.Job`; without one, ask what it sent."""
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server ended")
        return line


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.server"]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process,
    ):
        yield Server(process, Path(folder) / "authority.pem")
        # Leaving closes its stdin, which ends it.


class Failed(Exception):
    """A contestant's process ended without a result."""


class Turn(NamedTuple):
    """A contestant on a stream, with one parser and over one transport."""

    entry: Entry
    parser: str
    transport: str
    stream: Stream

    @property
    def name(self) -> str:
        """As a row says it."""
        return f"{self.entry.name} [{self.parser}]" if self.parser else self.entry.name

    def spec(self, where: Server, measurement: str, **how: Any) -> Spec:
        """What its process is told."""
        stream, entry = self.stream, self.entry
        options = dict(entry.options)
        if entry is CEILING:
            options["bytes"] = stream.frame_bytes
        elif entry is LIMIT:
            options["stream"] = stream.name
        return Spec(
            entry.maker,
            self.parser,
            stream.protocol,
            stream.market,
            stream.instrument_id,
            entry.channels.get(stream.name, stream.channel),
            where.url(self.transport, stream.protocol),
            options,
            measurement,
            how,
        )


def take(spec: Spec, where: Server, seconds: float) -> dict[str, Any]:
    """One turn in a new process; `Failed` says why there is no result."""
    told = json.dumps(spec._asdict())
    with tempfile.NamedTemporaryFile("r") as result:
        command = [sys.executable, "-m", "tests.benchmarks.contestant"]
        try:
            done = subprocess.run(
                [*command, told, result.name],
                env=where.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=seconds + GRACE,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done in {error.timeout:.0f} s") from error
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["no word"])[-1])
        found: dict[str, Any] = json.load(result)
    return {**found, "said": done.stderr}


def alternate(
    turns: Sequence[Turn], rounds: int, play: Callable[[Turn], dict[str, Any]]
) -> tuple[dict[str, list[dict[str, Any] | None]], dict[str, str]]:
    """The results of *play* for every turn, by name, and why some have none."""
    found: dict[str, list[dict[str, Any] | None]] = {t.name: [] for t in turns}
    failures: dict[str, str] = {}
    for number in range(rounds):
        first = number % len(turns)
        for turn in (*turns[first:], *turns[:first]):
            try:
                found[turn.name].append(play(turn))
            except Failed as failed:
                failures[turn.name] = str(failed)
                found[turn.name].append(None)
    return found, failures


def spread(values: Sequence[float]) -> list[float]:
    """The least, the median and the most; NaN for nothing."""
    if not values:
        return [float("nan")] * 3
    return [min(values), statistics.median(values), max(values)]


def ratios(
    above: Sequence[dict[str, Any] | None],
    below: Sequence[dict[str, Any] | None],
    key: str,
) -> list[float]:
    """The one's *key* over the other's, of the same rounds."""
    pairs = zip(above, below, strict=True)
    return [a[key] / b[key] for a, b in pairs if a and b and b[key]]
