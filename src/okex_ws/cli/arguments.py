"""Arguments that several commands share: instruments, destination, price limits."""

from __future__ import annotations

import argparse
import math
import os
import re
import ssl
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from .. import VENUES, Venue, find_venue
from .exits import MEANING, USAGE, Failure, refusing

if TYPE_CHECKING:
    from ..local_exchange import LocalExchange

VENUE = "okx"
# The variable of the environment that holds what a Redis server asks for.
REDIS_SECRET = "OKEX_WS_REDIS_PASSWORD"  # noqa: S105 - its name, not its value
# The Japanese venues trade against yen, not dollars.
_INSTRUMENTS = {"okj": "BTC-JPY", "okj-v3": "BTC-JPY"}
_INSTRUMENT = "BTC-USDT"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a command connects to: a venue, or the local exchange in the venue's place.

    *own* is the local exchange that ``--local`` started, else ``None``. *via* is the
    URL of a Redis server in the exchange's place, with its password, and *redis_ca* the
    file of certificates that it is checked by.
    """

    venue: Venue
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    own: LocalExchange | None = None
    via: str | None = field(default=None, repr=False)
    redis_ca: str | None = None

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords of a `Feed` that leads there."""
        if self.via is not None:
            return {"via": self.via, "redis_ca": self.redis_ca}
        return {"ssl_context": self.ssl_context, "proxy": self.proxy}

    @property
    def instrument(self) -> str:
        """The instrument that a command uses if its user names none."""
        if self.own is not None:
            return self.own.busiest[1]
        return _INSTRUMENTS.get(self.venue.name, _INSTRUMENT)

    @property
    def others(self) -> list[str]:
        """Further instruments that are at hand: those of a local exchange.

        One that was delivered is left out; the library would say so each time.
        """
        every = () if self.own is None else self.own.instruments
        names = (name for _, name in every if name != self.instrument)
        return [name for name in names if not _delivered(name)]


def _delivered(name: str) -> bool:
    """Whether an instrument was delivered or expired before today, as its id tells."""
    date = re.search(r"-([0-9]{6})\b", name)
    return date is not None and date[1] < f"{datetime.now(timezone.utc):%y%m%d}"


def duration(text: str) -> float:
    """Parse an argument as a number of seconds above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds more than zero"
        )
    return value


def count(text: str) -> int:
    """Parse an argument as a whole number from 1 up."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def names(text: str) -> list[str]:
    """Parse an argument as names that are separated by commas."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} has no name")
    return found


class Command(argparse.ArgumentParser):
    """A parser of a command's arguments that takes names and options in any order.

    argparse does that only in its method `parse_known_intermixed_args`. A wrong
    argument ends the program with exit code 2.
    """

    _mixes = False

    def parse_known_args(
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse names and options in any order.

        argparse's `parse_known_intermixed_args` calls this method again; that inner
        call parses as argparse does by itself.
        """
        if self._mixes:
            return super().parse_known_args(args, namespace)
        self._mixes = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixes = False


def command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    rule: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a parser for the command *name*.

    *rule* is its one line in the list of commands; its own help ends with *examples*.
    """
    return commands.add_parser(
        name,
        help=rule,
        description=rule[0].upper() + rule[1:] + ".",
        epilog=f"examples:\n{examples}\n\n{MEANING}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def ask_instruments(parser: argparse.ArgumentParser) -> None:
    """Add the argument INSTRUMENT, which may be repeated, and ``--market``."""
    parser.add_argument(
        "instruments",
        nargs="*",
        metavar="INSTRUMENT",
        help="the exchange's ids (default: BTC-USDT; in Japan BTC-JPY)",
    )
    parser.add_argument(
        "--market", help="spot, futures, ... (default: what each id tells)"
    )


def ask_where(parser: argparse.ArgumentParser, local: bool = True) -> None:
    """Add ``--venue``, ``--url``, ``--proxy`` and, with *local*, ``--local``."""
    group = parser.add_argument_group("where")
    add = group.add_argument
    add("--venue", help=f"{', '.join(VENUES)} (default: {VENUE})")
    add("--url", help="an endpoint of your own, ws:// or wss://, .../ws/v5 or v3")
    if local:
        add(
            "--local",
            action="store_true",
            help="an exchange on this machine in the venue's place, started for this"
            " (needs the extra 'local')",
        )
    add(
        "--proxy",
        metavar="URL",
        help="an HTTP proxy, '' for none (default: what the environment names)",
    )


def ask_via(parser: argparse.ArgumentParser) -> None:
    """Add ``--via``, and what a Redis server is reached with."""
    group = parser.add_argument_group("by way of another machine")
    group.add_argument(
        "--via",
        metavar="URL",
        help="a Redis server where `okex-ws publish` writes, in the exchange's place:"
        " rediss://USER@HOST:6379/0?name=NAME (needs the extra 'redis')",
    )
    ask_redis(group)


def ask_redis(group: argparse._ArgumentGroup) -> None:
    """Add what a Redis server is reached with."""
    group.add_argument(
        "--redis-ca",
        metavar="FILE",
        help="the certificates that rediss:// trusts (default: the system's)",
    )
    group.add_argument(
        "--redis-password-file",
        metavar="FILE",
        help=f"its first line is the password (default: ${REDIS_SECRET}, if set)",
    )


def redis_url(url: str, options: argparse.Namespace) -> str:
    """*url* with the password of the environment, or of a file.

    An argument would show the password to every user of the machine.
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise Failure(
            "other users of this machine see the arguments of a program: put the"
            f" password into ${REDIS_SECRET}, or a file (--redis-password-file)",
            USAGE,
        )
    password = os.environ.get(REDIS_SECRET, "")
    if options.redis_password_file is not None:
        with open(options.redis_password_file, encoding="utf-8") as lines:
            password = lines.readline().rstrip("\n")
    if not password:
        return url
    netloc = f"{user}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))


def ask_limits(parser: argparse.ArgumentParser) -> None:
    """Add ``--lease``, ``--max-age``, ``--max-silence`` and ``--max-lag``."""
    group = parser.add_argument_group("when a price is too old (it is STALE then)")
    group.add_argument(
        "--lease",
        type=duration,
        metavar="S",
        help="seconds, 2 to 60, since the sending of the last ping that was answered"
        " (default: 15; with --via what the producer has)",
    )
    for name, meaning in (
        ("age", "since the exchange pushed this book: a quiet market is old and right"),
        ("silence", "since anything came over the connection"),
        ("lag", "that a push came later than the best of ten minutes"),
    ):
        group.add_argument(
            f"--max-{name}", type=duration, metavar="S", help=f"seconds {meaning}"
        )


def find_destination(options: argparse.Namespace, stack: ExitStack) -> Destination:
    """Return where *options* lead; *stack* closes a local exchange that it starts."""
    local, via = getattr(options, "local", False), getattr(options, "via", None)
    if options.url is not None and (local or via or options.venue is not None):
        raise Failure("--url is another place than --venue, --local and --via", USAGE)
    with refusing():
        if options.url is not None:
            return Destination(venue_at(options.url), proxy=options.proxy)
        venue = find_venue(VENUE if options.venue is None else options.venue)
    if via is not None:
        if local or options.proxy is not None:
            raise Failure("--via is another place than --local and --proxy", USAGE)
        return Destination(
            venue, via=redis_url(via, options), redis_ca=options.redis_ca
        )
    if not local:
        return Destination(venue, proxy=options.proxy)
    from ..local_exchange import LocalExchange

    own = stack.enter_context(LocalExchange(tls=True))
    here = own.venue if venue.protocol == "v3" else own.venue_v5
    return Destination(here, own.ssl_context, options.proxy, own)


def venue_at(url: str) -> Venue:
    """Return a venue whose endpoint is *url*: v5 if its path says so, else v3."""
    if "/ws/v5" in url:
        return Venue("url", "v5", (url.rstrip("/").removesuffix("/public"),))
    return Venue("url", "v3", (url,))
