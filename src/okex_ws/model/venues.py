"""The exchange sites (venues), their limits, and the check of an instrument. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from ..base.checks import all_name_keywords, check_seconds, check_whole, nearest
from .instrument_ids import ID, delivery, event_time, legs, market_of

PROTOCOLS = ("v3", "v5")
# v3 ended in 2022, before the exchange traded spreads or event contracts.
V3_MARKETS = ("spot", "futures", "swap", "option", "index")
MARKETS = ("spot", "futures", "swap", "option", "events", "index", "spread")

# How v5's names of the channels of an index begin.
_OF_INDEX = "index-"
# Hosts that every list of v5 addresses before 2026-10-31 names with port 8443, and that
# still answer on 443 (nautilus_trader, OKX.Net; ccxt 4.5.90). wsaws.okx.com is not one
# of them, because it was withdrawn in 2025.
_OKX_HOSTS = frozenset(
    f"{name}.okx.com"
    for name in ("ws", "wsus", "wseea", "wspap", "wsuspap", "wseeapap")
)
_CLOSED_PORT = 8443


@all_name_keywords()
@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange site: its addresses, its limits, and where these facts come from.

    *name* is the name by which a feed finds it, *protocol* ``'v3'`` or ``'v5'``,
    *markets* those that it trades. For ``'v3'`` an endpoint is the whole URL. For
    ``'v5'`` it is the base that ends in ``/ws/v5``, to which the protocol appends
    ``/public``, ``/business`` or ``/private``. A feed tries the endpoints in order, the
    next one after a failed attempt or an early loss; it tries an endpoint that was
    healthy again first.

    The site allows *connections_per_second* from one IP address and *requests_per_hour*
    on one connection. *idle_repeat* is how often the exchange repeats an idle book, in
    seconds, or ``None`` if it is not known to repeat it. *depths_per_connection* is the
    most books of 50 or 400 levels that the library puts on one connection (v5
    documentation: fewer than 30); *channels_per_connection* is the same for channels
    of any kind: the exchange publishes no number, and ``None`` is no bound. *retired*
    says when a site that no longer exists was last seen, else it is ``None``. *known*
    says where these facts come from.

    *rest* is the origin of the site's REST interface (``'https://www.okx.com'``), or
    ``None`` if it has none. *rest_share* is the part of the documented REST limits that
    this process uses: the limits are by IP address, and 0.5 leaves half of each to
    other processes. *simulated* marks demo trading, which REST requests name in a
    header.

    Raises:
        TypeError, ValueError: an argument cannot describe an exchange site.
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
    depths_per_connection: int = 29
    channels_per_connection: int | None = None
    rest: str | None = None
    rest_share: float = 1.0
    simulated: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"venue {self.name!r} speaks protocol {self.protocol!r}; known are"
                f" {' and '.join(map(repr, PROTOCOLS))}"
            )
        if not self.endpoints or isinstance(self.endpoints, str):
            raise ValueError(f"venue {self.name!r} needs a tuple of endpoint URLs")
        checked = tuple(_checked(each, self.protocol) for each in self.endpoints)
        object.__setattr__(self, "endpoints", checked)
        if self.rest is not None:
            object.__setattr__(self, "rest", _checked_origin(self.rest))
        unknown = [market for market in self.markets if market not in MARKETS]
        if isinstance(self.markets, str) or not self.markets or unknown:
            raise ValueError(
                f"markets is a tuple out of {MARKETS}, not {self.markets!r}"
            )
        if self.protocol == "v3":
            markets = tuple(each for each in self.markets if each in V3_MARKETS)
            object.__setattr__(self, "markets", markets)
        self._check_limits()

    def _check_limits(self) -> None:
        if not (self.connections_per_second > 0 and self.requests_per_hour > 0):
            raise ValueError(f"the limits of venue {self.name!r} must be positive")
        if self.idle_repeat is not None:
            check_seconds("idle_repeat", self.idle_repeat)
        check_whole("depths_per_connection", self.depths_per_connection)
        if self.channels_per_connection is not None:
            check_whole("channels_per_connection", self.channels_per_connection)
        _check_share(self.rest_share)

    @property
    def host_gap(self) -> float:
        """The least seconds between two connection attempts to one host."""
        return 1.0 / self.connections_per_second

    def advice(self, endpoint: str) -> str:
        """What to tell a user whose connection to *endpoint* fails, or ``''``.

        *endpoint* is one of this venue's, with or without a path appended.
        """
        if self.retired is not None:
            alive = [each.name for each in VENUES.values() if each.retired is None]
            return (
                f"the exchange retired {self.protocol} ({self.retired});"
                f" alive are {', '.join(map(repr, alive))}"
            )
        parts = urlsplit(endpoint)
        if parts.port == _CLOSED_PORT and parts.hostname in _OKX_HOSTS:
            return (
                f"OKX stopped accepting WebSocket connections on port {_CLOSED_PORT} on"
                f" 2026-10-31; port 443 of {parts.hostname} answers"
            )
        return ""


def _check_share(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"rest_share is a number, got {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"rest_share is more than 0, got {value!r:.80}")


def _parts(endpoint: str, what: str, schemes: tuple[str, str]) -> SplitResult:
    """The parts of *endpoint*, if it is a URL with one of *schemes*.

    *what* is the subject of the error's sentence.

    Raises:
        TypeError, ValueError: it is no such URL.
    """
    if not isinstance(endpoint, str):
        raise TypeError(f"{what} is a URL, got {endpoint!r}")
    # Checked first: the messages below and urlsplit's own repeat the URL, which may
    # hold a password.
    if "@" in endpoint:
        raise ValueError(f"{what} URL cannot carry credentials, nor any '@'")
    # urlsplit accepts all of these. A fragment is forbidden (RFC 6455, section 3).
    if " " in endpoint or not endpoint.isprintable() or "#" in endpoint:
        raise ValueError(f"{what} is a URL without spaces and '#', got {endpoint!r}")
    parts = urlsplit(endpoint)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(
            f"{what} is a {schemes[0]}:// or {schemes[1]}:// URL, got {endpoint!r}"
        )
    # urlsplit checks the port only when it is read, which raises ValueError.
    if parts.port == 0:
        raise ValueError(f"{what} needs a port from 1 to 65535, got {endpoint!r}")
    return parts


def _checked_origin(url: str) -> str:
    parts = _parts(url, "rest", ("http", "https"))
    if parts.path.strip("/") or "?" in url:
        raise ValueError(f"rest is an origin, without a path, got {url!r}")
    return f"{parts.scheme}://{parts.netloc}"


def _checked(endpoint: str, protocol: str) -> str:
    parts = _parts(endpoint, "an endpoint", ("ws", "wss"))
    if protocol != "v5":
        return endpoint
    # The path that the protocol appends would become a part of a query.
    if "?" in endpoint or not parts.path.removesuffix("/").endswith("/ws/v5"):
        raise ValueError(
            "an endpoint of protocol v5 ends in '/ws/v5', and '/public', '/business' or"
            f" '/private' is appended to it; got {endpoint!r}"
        )
    return endpoint.removesuffix("/")


def _v5(
    name: str,
    host: str,
    rest: str,
    known: str,
    markets: tuple[str, ...] = MARKETS,
    idle_repeat: float | None = 60.0,
    simulated: bool = False,
) -> Venue:
    """A site that speaks v5, on port 443, with the limits of the v5 documentation."""
    return Venue(
        name,
        "v5",
        (f"wss://{host}:443/ws/v5",),
        markets=markets,
        connections_per_second=3.0,
        requests_per_hour=480,
        idle_repeat=idle_repeat,
        known=f"{known}. Limits as documented for v5, not probed",
        rest=f"https://{rest}",
        simulated=simulated,
    )


# In the order in which a user should consider them. REST origins: for OKX its
# documentation of 2026-07-06 and changelog of 2026-05-20; those of OKJ answered under
# both protocols on 2026-09-22 and 23 (probes of a survey). Hosts of OKX: dialled on
# port 443 by ccxt 4.5.90 of 2026-10-23.
VENUES = {
    venue.name: venue
    for venue in (
        _v5(
            "okx",
            "ws.okx.com",
            "openapi.okx.com",
            "live in a capture of 2026-08-26; port 443 is the only one since"
            " 2026-10-31. REST: openapi.okx.com serves this site alone, and equals"
            " www.okx.com since 2026-05-20. A key of another region does not work here",
        ),
        _v5(
            "okx-us",
            "wsus.okx.com",
            "us.okx.com",
            "seen on 2026-10-23; no capture is known. For keys of the site of the US"
            " and Australia (app.okx.com; documentation of 2026-07-06), which work here"
            " only",
        ),
        _v5(
            "okx-eea",
            "wseea.okx.com",
            "eea.okx.com",
            "seen on 2026-10-23; no capture is known. For keys of the EEA site"
            " (my.okx.com), which work here only",
        ),
        _v5(
            "okx-tr",
            "ws.okx.com",
            "tr.okx.com",
            "UNCONFIRMED: one survey of 2026-07-26 names these hosts for the Turkish"
            " site (tr.okx.com), and no documentation or capture does",
        ),
        *(
            _v5(
                f"okx{region}-demo",
                f"ws{region[1:]}pap.okx.com",
                rest,
                f"seen on 2026-10-23. Demo trading of the {site} site: how real its"
                " data is has not been confirmed. A key of another region does not work"
                " here",
                simulated=True,
            )
            for region, rest, site in (
                ("", "www.okx.com", "global"),
                ("-us", "us.okx.com", "US and Australian"),
                ("-eea", "eea.okx.com", "EEA"),
            )
        ),
        _v5(
            "okj",
            "ws.okj.com",
            "api.okj.com",
            "live since 2026-09-16 and probed on 2026-09-22 and 23: spot only, a copy"
            " of v5 whose books still carry a checksum (7,641 of 7,641 right). A quiet"
            " pair sent nothing for 45 s, so that its idle repeat is not proven",
            markets=("spot",),
            idle_repeat=None,
        ),
        Venue(
            "okj-v3",
            "v3",
            ("wss://connect.okj.com:443/ws/v3",),
            markets=("spot",),
            known="live on 2026-09-23: binary raw-deflate frames, spot only; limits as"
            " documented for v3, not probed",
            rest="https://www.okj.com",
        ),
        Venue(
            "okex",
            "v3",
            (
                "wss://real.okex.com:10442/ws/v3",
                "wss://real.okex.com:8443/ws/v3",
            ),
            retired="last seen on 2022-02-25",
            known="the address of the user's seed; the last dated frame is of"
            " 2022-02-25, and the okex.com names were discontinued in October 2022."
            " Limits: ccxws, 1 connection a second and 240 requests an hour",
        ),
    )
}


# The sites themselves, whose instruments the exchange's calendar ends. A local exchange
# that has taken the name of one lists what it was told to list.
SITES = tuple(VENUES.values())


# The domains of retired sites. It is not known who owns them now, or will.
_RETIRED_DOMAINS = {
    ".".join((urlsplit(endpoint).hostname or "").split(".")[-2:]): venue.retired
    for venue in VENUES.values()
    for endpoint in venue.endpoints
    if venue.retired is not None
}


def retired(venue: Venue) -> str | None:
    """Why no secret may be sent to *venue*, or ``None`` if one may.

    A venue is refused if it is retired itself, or if one of its endpoints is under the
    domain of a retired one.
    """
    if venue.retired is not None:
        return venue.retired
    hosts = (
        _ascii_host(urlsplit(endpoint).hostname or "") for endpoint in venue.endpoints
    )
    found = (
        since
        for host in hosts
        for domain, since in _RETIRED_DOMAINS.items()
        if f".{host}".endswith(f".{domain}")
    )
    return next(found, None)


def _ascii_host(host: str) -> str:
    """*host* as it is looked up: in ASCII and small letters, without a dot at the end.

    The look-up maps letters of other scripts and other dots to ASCII (RFC 3490).
    """
    host = unquote(host)
    try:
        host = host.encode("idna").decode()
    except UnicodeError:  # no name that can be looked up
        host = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    return host.lower().rstrip(".")


def find_venue(venue: str | Venue) -> Venue:
    """The venue of that name, or *venue* itself.

    Raises:
        TypeError: *venue* is neither a name nor a `Venue`.
        ValueError: no venue has that name; the message lists the known names.
    """
    if isinstance(venue, Venue):
        return venue
    if not isinstance(venue, str):
        raise TypeError(f"venue is a name or a Venue, got {venue!r}")
    if venue in VENUES:
        return VENUES[venue]
    known = ", ".join(map(repr, VENUES))
    raise ValueError(
        f"unknown venue {venue!r}{nearest(venue, VENUES)}; known are {known}"
    )


def check_instrument(
    instrument_id: str,
    market: str | None,
    venue: Venue,
    channels: Iterable[str] = (),
) -> str:
    """The market of *instrument_id*, which is *market* unless that is ``None``.

    ``None`` is the market that the form of the id tells. Spot and index share a form:
    the market is ``'index'`` if every name of *channels* is one of an index, like
    ``'index-tickers'``. An id of a form that the library does not know, as the exchange
    may invent one, needs *market* and is taken as it is.

    Raises:
        TypeError: *instrument_id* or *market* is no string.
        ValueError: the id is misspelt, or of another market, or of no known form
            without *market*; or the venue lacks that market.
    """
    if not isinstance(instrument_id, str) or not isinstance(market, (str, type(None))):
        raise TypeError("instrument_id and market are strings")
    if market is not None and market not in MARKETS:
        raise ValueError(
            f"unknown market {market!r}{nearest(market, MARKETS)};"
            f" known are {', '.join(map(repr, MARKETS))}"
        )
    form = market_of(instrument_id)
    if form is None:
        market = _check_unknown(instrument_id, market)
    else:
        market = _check_known(instrument_id, market or _told(form, channels), form)
    if market not in venue.markets:
        raise ValueError(
            f"venue {venue.name!r} has no market {market!r}, only"
            f" {', '.join(map(repr, venue.markets))}"
        )
    return market


def _told(form: str, channels: Iterable[str]) -> str:
    """The market that an id of *form* and the names of its channels tell."""
    names = [str(name) for name in channels]
    of_index = bool(names) and all(name.startswith(_OF_INDEX) for name in names)
    return "index" if of_index and form == "spot" else form


def _check_known(instrument_id: str, market: str, form: str) -> str:
    if form != ("spot" if market == "index" else market):
        raise ValueError(
            f"{instrument_id!r} is an id of market {form!r}, not of {market!r}:"
            f" pass market={form!r}"
        )
    for each in legs(instrument_id) or (instrument_id,):
        if market_of(each) in ("futures", "option") and delivery(each) is None:
            raise ValueError(f"{each!r} is delivered on no day: YYMMDD is none")
    if market == "events" and event_time(instrument_id) is None:
        raise ValueError(f"{instrument_id!r} is of no time: YYMMDD-HHMM is none")
    return market


def _check_unknown(instrument_id: str, market: str | None) -> str:
    """*market*, for an id of no known form; raise for what is no id, or misspelt."""
    forms = (
        "a form like 'BTC-USDT', 'BTC-USD-SWAP', 'BTC-USD-190517',"
        " 'BTC-USD-200327-11000-C', 'BTC-ABOVE-DAILY-260224-1600-65000' or"
        " 'BTC-USDT_BTC-USDT-SWAP'"
    )
    if meant := _meant(instrument_id):
        raise ValueError(
            f"{instrument_id!r} is not an instrument id; did you mean {meant!r}?"
        )
    if not ID.fullmatch(instrument_id):
        raise ValueError(f"{instrument_id!r} is not an instrument id: expected {forms}")
    if market is None:
        raise ValueError(
            f"{instrument_id!r} is not an instrument id of a known form: expected"
            f" {forms}, or market=, one of {', '.join(map(repr, MARKETS))}"
        )
    return market


def _meant(misspelt: str) -> str | None:
    """The id that *misspelt* stands for in small letters or another library's form."""
    upper = misspelt.strip().upper()
    # ccxt has 'BTC/USDT', and 'BTC/USDT:USDT' for the swap.
    hyphens = re.sub("[^A-Z0-9.]+", "-", re.sub(":[A-Z]+$", "-SWAP", upper))
    return next(filter(market_of, (upper, hyphens)), None)
