"""Where to connect, and what an instrument is called there: dated facts, no I/O."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlsplit

MARKETS = ("spot", "futures", "swap", "option", "index")

# The id alone tells the market (github crypto-crawler, okex): an id of spot and of an
# index look the same. A futures or option id carries its delivery day as YYMMDD.
_NAME = r"[A-Z0-9]+-[A-Z0-9_]+"
_FORMS = {
    "swap": re.compile(rf"{_NAME}-SWAP"),
    "option": re.compile(rf"{_NAME}-([0-9]{{6}})-[0-9]+(?:\.[0-9]+)?-[CP]"),
    "futures": re.compile(rf"{_NAME}-([0-9]{{6}})"),
    "spot": re.compile(_NAME),
}
# More than twice the longest id recorded.
_LONGEST_ID = 64
# Futures and options are delivered at 08:00 UTC of that day.
_DELIVERY_HOUR = 8


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange site: where it listens and what is known of it.

    For protocol ``'v3'`` an endpoint is the whole URL. Endpoints are tried in order,
    the next one after each failure. *connections_per_second* and *requests_per_hour*
    are the site's limits. *idle_repeat* is after how many seconds an idle book repeats
    itself, or ``None`` where it does not. *retired* says since when, if it is gone;
    *known* is where this knowledge comes from.
    """

    name: str
    protocol: str
    endpoints: tuple[str, ...]
    markets: tuple[str, ...] = MARKETS
    connections_per_second: float = 1.0
    requests_per_hour: int = 240
    idle_repeat: float | None = None
    retired: str | None = None
    known: str = ""

    def __post_init__(self) -> None:
        if self.protocol != "v3":
            raise ValueError(
                f"venue {self.name!r} speaks protocol {self.protocol!r}; this release"
                " speaks 'v3', and v5 comes with a later one"
            )
        if not self.endpoints or isinstance(self.endpoints, str):
            raise ValueError(f"venue {self.name!r} needs a tuple of endpoint URLs")
        object.__setattr__(self, "endpoints", tuple(self.endpoints))
        for endpoint in self.endpoints:
            _check_endpoint(endpoint)
        unknown = [market for market in self.markets if market not in MARKETS]
        if isinstance(self.markets, str) or not self.markets or unknown:
            raise ValueError(
                f"markets is a tuple out of {MARKETS}, not {self.markets!r}"
            )
        if not (self.connections_per_second > 0 and self.requests_per_hour > 0):
            raise ValueError(f"the limits of venue {self.name!r} must be positive")

    @property
    def host_gap(self) -> float:
        """Least seconds between two connection attempts to one host."""
        return 1.0 / self.connections_per_second


def _check_endpoint(endpoint: str) -> None:
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a URL, got {endpoint!r}")
    parts = urlsplit(endpoint)
    # First of all, since every other refusal repeats the URL.
    if "@" in parts.netloc:
        raise ValueError("an endpoint URL cannot carry credentials")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"an endpoint is a ws:// or wss:// URL, got {endpoint!r}")
    # Reading the port is what makes urlsplit check it.
    if parts.port == 0:
        raise ValueError(f"an endpoint needs a port from 1 to 65535, got {endpoint!r}")


VENUES = {
    venue.name: venue
    for venue in (
        Venue(
            "okex",
            "v3",
            (
                "wss://real.okex.com:10442/ws/v3",
                "wss://real.okex.com:8443/ws/v3",
            ),
            retired="after 2022-02-25",
            known="the address of the user's seed; the last dated frame is of"
            " 2022-02-25, and the okex.com names were discontinued in October 2022."
            " Limits: ccxws, 1 connection a second and 240 requests an hour",
        ),
        Venue(
            "okj-v3",
            "v3",
            ("wss://connect.okj.com:443/ws/v3",),
            markets=("spot",),
            known="live on 2026-09-23: binary raw-deflate frames, spot only; limits as"
            " documented for v3, not probed",
        ),
    )
}

# Named in the design, spoken by protocol v5.
LATER_VENUES = ("okx", "okx-us", "okx-eea", "okx-demo", "okj")


def find_venue(venue: str | Venue) -> Venue:
    """The venue of that name, or *venue* itself; a ``ValueError`` names those known."""
    if isinstance(venue, Venue):
        return venue
    if not isinstance(venue, str):
        raise TypeError(f"venue is a name or a Venue, got {venue!r}")
    if venue in VENUES:
        return VENUES[venue]
    known = ", ".join(map(repr, VENUES))
    if venue in LATER_VENUES:
        raise ValueError(
            f"venue {venue!r} speaks protocol v5, which comes with a later release;"
            f" this one knows {known}"
        )
    raise ValueError(
        f"unknown venue {venue!r}{nearest(venue, VENUES)}; known are {known}"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of *known*, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_instrument(instrument_id: str, market: str, venue: Venue) -> None:
    """Raise ``ValueError`` unless *instrument_id* can exist on *market* of *venue*."""
    if not isinstance(instrument_id, str) or not isinstance(market, str):
        raise TypeError("instrument_id and market are strings")
    if market not in MARKETS:
        raise ValueError(
            f"unknown market {market!r}{nearest(market, MARKETS)};"
            f" known are {', '.join(map(repr, MARKETS))}"
        )
    form = market_of(instrument_id)
    if form is None:
        raise ValueError(
            f"{instrument_id!r} is not an instrument id{_upper_case(instrument_id)}:"
            " expected a form like 'BTC-USDT', 'BTC-USD-SWAP', 'BTC-USD-190517' or"
            " 'BTC-USD-200327-11000-C'"
        )
    if form != ("spot" if market == "index" else market):
        raise ValueError(
            f"{instrument_id!r} is an id of market {form!r}, not of {market!r}:"
            f" pass market={form!r}"
        )
    if market in ("futures", "option") and delivery(instrument_id) is None:
        raise ValueError(f"{instrument_id!r} is delivered on no day: YYMMDD is none")
    if market not in venue.markets:
        raise ValueError(
            f"venue {venue.name!r} has no market {market!r}, only"
            f" {', '.join(map(repr, venue.markets))}"
        )


def _upper_case(name: str) -> str:
    upper = name.upper()
    return f"; did you mean {upper!r}?" if upper != name and market_of(upper) else ""


def market_of(instrument_id: str) -> str | None:
    """The market that the form of an id tells, or ``None`` for no id at all."""
    for market, form in _FORMS.items():
        if len(instrument_id) <= _LONGEST_ID and form.fullmatch(instrument_id):
            return market
    return None


def delivery(instrument_id: str) -> datetime | None:
    """When a futures or option instrument is delivered, or ``None`` for all others."""
    for market in ("futures", "option"):
        match = _FORMS[market].fullmatch(instrument_id)
        if match:
            try:
                day = datetime.strptime(match[1], "%y%m%d")
            except ValueError:
                return None
            return day.replace(hour=_DELIVERY_HOUR, tzinfo=timezone.utc)
    return None
