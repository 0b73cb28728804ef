"""``okex-ws serve``: runs the local exchange for other programs, with faults."""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import select
import shlex
import shutil
import ssl
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import command, count, names
from ..exits import GOOD, refusing
from ..text import clean
from . import faults

if TYPE_CHECKING:
    from ...local_exchange import LocalExchange

# Seconds between two checks whether a recorded market has ended.
_TICK = 0.5
# The most columns of a line of instruments.
_WIDTH = 100

_EXAMPLES = """\
  okex-ws serve                            and in another terminal what it prints:
  okex-ws watch BTC-USDT --url ws://127.0.0.1:PORT/ws/v5
  okex-ws serve --port 9000 --tls          with a certificate, and the CA in a file
  okex-ws serve --fault drop@10 --fault 'silence 5@20'
  okex-ws serve --capture PATH/NAME        a recorded market, once

faults, as --fault NAME@SECONDS or typed while it runs:
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    lines = "\n".join(f"  {line}" for line in faults.usage())
    parser = command(
        commands,
        "serve",
        "an exchange on this machine, with faults on request",
        _EXAMPLES + lines,
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    option("--port", type=port, default=0, help="(default: one that is free)")
    option("--tls", action="store_true", help="wss://, with a certificate of its own")
    option(
        "--ca",
        metavar="FILE",
        type=Path,
        help="where --tls writes the certificate that a client has to trust"
        " (default: in a folder for temporary files)",
    )
    option(
        "--instruments",
        type=names,
        metavar="A,B",
        help="what is traded (default: some of each market)",
    )
    option("--seed", type=int, default=0, help="which market (default: 0)")
    option(
        "--pace",
        type=float,
        default=20.0,
        help="updates a second of each instrument (default: 20)",
    )
    option("--capture", metavar="NAME", help="a recorded market: its path, no suffix")
    option(
        "--fault",
        action="append",
        default=[],
        type=scheduled,
        metavar="NAME@SECONDS",
        help="a fault so many seconds after the start; may be given again",
    )


def port(text: str) -> int:
    """Parse an argument as a port; 0 lets the system choose one."""
    if text != "0" and count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: those end at 65535")
    return int(text)


def scheduled(text: str) -> tuple[float, str]:
    """Parse an argument like ``drop@10`` as (seconds, fault)."""
    fault, at, when = text.rpartition("@")
    try:
        seconds = float(when)
        if not at or not 0 <= seconds < 1e9:
            raise ValueError("it is written NAME@SECONDS, like drop@10")
        faults.check(fault)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return seconds, fault


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or the end of a recorded market; return the exit code."""
    from ...local_exchange import LocalExchange

    market: dict[str, Any] = {"pace": options.pace, "seed": options.seed}
    if options.instruments is not None:
        market["instruments"] = options.instruments
    if options.capture is not None:
        market = {"capture": options.capture}
    with ExitStack() as stack:
        authority = stack.enter_context(_authority(options)) if options.tls else None
        with refusing():
            tls = False if authority is None else _server_context(authority)
            exchange = LocalExchange(port=options.port, tls=tls, **market)
        stack.enter_context(exchange)
        for line in _welcome(exchange, authority and authority[1]):
            print(line, flush=True)
        with suppress(KeyboardInterrupt):  # the usual way to end
            _CommandLoop(exchange, options.fault).work()
    print("closed")
    return GOOD


# --- TLS ----------------------------------------------------------------------------


@contextmanager
def _authority(options: argparse.Namespace) -> Iterator[tuple[Any, Path]]:
    """Make a certificate authority; yield it and the file that a client has to trust.

    At the end the file is deleted, unless the user has named it with ``--ca``.
    """
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory(prefix="okex_ws-") as folder:
        path = options.ca or Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(path)
        yield authority, path


def _server_context(authority: tuple[Any, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority[0].issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


# --- What it says -------------------------------------------------------------------


def _welcome(exchange: LocalExchange, trusted: Path | None) -> list[str]:
    """The lines that tell what *exchange* trades, and how to connect to it."""
    market, name = exchange.busiest
    environment = f"SSL_CERT_FILE={shlex.quote(str(trusted))} " if trusted else ""
    lines = [
        "an exchange is listening on this machine; Ctrl-C ends it",
        *_traded(exchange),
        f"  v5      {exchange.url_v5}",
        f"  v3      {exchange.url}",
    ]
    rest = exchange.venue_v5.rest
    if rest:
        lines.append(f"  REST    {rest}")
    if trusted:
        lines.append(f"  trust   {trusted}")
    return [
        *lines,
        "connect",
        f"  {environment}okex-ws watch {name} --url {exchange.url_v5}",
        f'  WSSubscription("{name}", "{market}",'
        f' venue=Venue("local", "v5", ("{exchange.url_v5}",)))',
        "type a fault, or 'help'",
    ]


def _traded(exchange: LocalExchange) -> list[str]:
    """Lines with all instruments, those of each market together."""
    markets: dict[str, list[str]] = {}
    for market, name in exchange.instruments:
        markets.setdefault(market, []).append(name)
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    lines = [f"  trades  {len(exchange.instruments)} instruments"]
    for market, found in markets.items():
        lines += textwrap.wrap(
            " ".join(found),
            width,
            initial_indent=f"  {market:7} ",
            subsequent_indent=" " * 10,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


# --- What it does -------------------------------------------------------------------


class _CommandLoop:
    """Runs scheduled faults and commands from stdin, until the recorded market is over.

    *schedule* has pairs of seconds from now and a command. It runs on the main thread.
    A command that is wrong prints why, and the loop goes on.
    """

    def __init__(
        self, exchange: LocalExchange, schedule: list[tuple[float, str]]
    ) -> None:
        self._exchange = exchange
        self._numbers = itertools.count()
        self._schedule: list[tuple[float, int, Callable[[], object]]] = []
        self._typed: int | None = _readable_stdin()
        self._begun = b""
        now = time.monotonic()
        for seconds, fault in schedule:
            self._at(now + seconds, partial(self._obey, fault))

    def _at(self, when: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._schedule, (when, next(self._numbers), do))

    def work(self) -> None:
        """Run until the recorded market is over; a made-up market has no end."""
        while not self._exchange.ended:
            now = time.monotonic()
            while self._schedule and self._schedule[0][0] <= now:
                heapq.heappop(self._schedule)[2]()
            due = self._schedule[0][0] - now if self._schedule else _TICK
            self._read(min(max(due, 0.0), _TICK))
        print("the recording is over", flush=True)

    def _read(self, timeout: float) -> None:
        """Wait at most *timeout* seconds; run the lines that were typed meanwhile."""
        if self._typed is None or not _in_foreground(self._typed):
            time.sleep(timeout)
            return
        if not select.select([self._typed], [], [], timeout)[0]:
            return
        data = os.read(self._typed, 4096)
        if not data:
            self._typed = None  # stdin has ended
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            self._obey(line.decode("utf-8", "replace").strip())

    def _obey(self, text: str) -> None:
        """Run the command *text*, and print that it was done or why it was not."""
        if not text:
            return
        if text in ("help", "?"):
            print(*(f"  {line}" for line in faults.usage()), sep="\n", flush=True)
            return
        try:
            done = faults.perform(self._exchange, text)
        except (ValueError, TypeError, RuntimeError) as error:
            print(clean(f"  no: {error}"), flush=True)
            return
        print(clean(f"  {time.strftime('%H:%M:%S')}  {done.said}"), flush=True)
        if done.undo is not None:
            self._at(time.monotonic() + done.seconds, lambda: self._end(text, done))

    def _end(self, text: str, done: faults.FaultResult) -> None:
        assert done.undo is not None
        done.undo()
        print(clean(f"  {time.strftime('%H:%M:%S')}  {text}: over"), flush=True)


def _readable_stdin() -> int | None:
    """The descriptor of stdin if `select` may wait for it, else ``None``."""
    if os.name == "nt" or sys.stdin is None:
        return None
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError):
        return None


def _in_foreground(descriptor: int) -> bool:
    """Whether this process may read the terminal without being stopped.

    The system stops a process in the background that reads its terminal.
    """
    if not os.isatty(descriptor):
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
