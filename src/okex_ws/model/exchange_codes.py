"""Every code of the exchange in one table: what it means, and what the library does.

Under each protocol one range of numbers serves errors of the WebSocket and of REST;
four digits are those of close frames. Sources, by the day on which they were seen: for
v5 the documentation of 2026-07-20 and the changelog of 2026-04-07 to 2026-06-28, with
ccxt 4.5.90 of 2026-10-23 for codes that the documentation has dropped; for v3 the table
of a sister product on the same framework, and ccxt's (both as stored in November 2026).
The texts of 60005 and 60018 were recorded on 2026-09-25.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, TypeVar

from ..base.errors import OkexWSError
from ..base.state import CauseCode
from .venues import SITES, Venue

# How often a request is sent that the exchange refuses with a code that is not known.
TRIES = 3


class Advice(Enum):
    """What the library does after a code: a sentence of the guide, and a cause.

    The cause is that of an error which the code makes; a close frame's has its own.
    """

    AGAIN = "asks again, with a back-off", CauseCode.BUSY
    SLOWER = "asks again, with a back-off; over REST after a pause", CauseCode.BUSY
    RECONNECT = "connects again", CauseCode.BUSY
    TRIES = (
        "asks three times, with a back-off, then gives up",
        CauseCode.REJECTED,
    )
    CHANNEL = "fails the channel", CauseCode.REJECTED
    TIER = "fails the channel: the fee tier is too low", CauseCode.TIER
    MALFORMED = "fails the channel: a bug, or a raw argument", CauseCode.MALFORMED
    LOGIN = (
        "logs in and asks again; without a key it fails the channel",
        CauseCode.LOGIN,
    )
    LOGGED_IN = "goes on: the login before was accepted", CauseCode.LOGIN
    KEY = "fails what needs the key", CauseCode.LOGIN
    REGION = "fails what needs the key, and names other venues", CauseCode.REGION
    LOGIN_ENDED = (
        "fails what needs the key if it was logging in, else connects again",
        CauseCode.LOGIN,
    )
    FEWER_CHANNELS = "connects again, half of the channels elsewhere", CauseCode.BUSY
    SMALLER_REQUESTS = (
        "connects again, half as many channels in a request",
        CauseCode.BUSY,
    )

    def __init__(self, does: str, cause_code: CauseCode) -> None:
        self.does = does
        self.cause_code = cause_code

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later."""
        return self in (Advice.AGAIN, Advice.SLOWER, Advice.RECONNECT)

    @property
    def refuses_key(self) -> bool:
        """Whether no channel can be had with this key."""
        return self in (Advice.KEY, Advice.REGION)


class ExchangeCode(NamedTuple):
    """One code: its *meaning*, and its *advice* for the library.

    *remedy* is what a user can do, as errors say it (`OkexWSError.advice`), or ``''``.
    """

    code: str
    advice: Advice
    meaning: str
    remedy: str = ""


_MALFORMED = "a bug of the library, unless the script wrote the argument itself"
_PATH = "a raw channel may need another path, such as path='business'"
_NO_LOGIN = "it needs a login: Feed(..., credentials=Credentials(...))"


def _rows(advice: Advice, meanings: str, remedy: str = "") -> Iterable[ExchangeCode]:
    """Codes of one *advice*: a code and its meaning in each line of *meanings*."""
    for line in meanings.strip().splitlines():
        code, _, meaning = line.strip().partition(" ")
        yield ExchangeCode(code, advice, meaning, remedy)


_V5 = (
    *_rows(
        Advice.AGAIN,
        """
        50001 service unavailable for the moment, try again later
        50004 the exchange's own time-out
        50013 systems are busy
        50026 system error
        50102 timestamp expired
        60006 timestamp expired
        63999 login failed for an internal reason
        64007 internal error
        """,
    ),
    *_rows(
        Advice.SLOWER,
        """
        50011 too many requests, with HTTP status 429 or 200
        50061 too many orders of a sub-account
        60014 too many requests
        60023 too many logins
        """,
    ),
    *_rows(
        Advice.RECONNECT,
        """
        60015 closed: no data for 30 s (retired; a close frame 4004 now)
        60016 closed: the client reads too slowly (retired; a close frame 4005 now)
        64008 the connection will be closed for an upgrade, in about 60 s
        """,
    ),
    *_rows(Advice.TRIES, "60004 invalid timestamp", "set this machine's clock"),
    *_rows(
        Advice.CHANNEL,
        """
        51000 a parameter is wrong
        51001 the instrument does not exist
        60017 invalid path of the URL (retired)
        60020 too many subscriptions of one key (retired; a close frame 4003 now)
        60025 too many subscriptions of one token (retired)
        60033 a parameter is wrong (since 2026)
        """,
    ),
    *_rows(
        Advice.CHANNEL,
        """
        60008 this path does not have the channel
        60028 this path does not have the operation
        64001 the channel has moved to the path /business
        64002 the channel is not on the path /business
        """,
        _PATH,
    ),
    *_rows(
        Advice.CHANNEL,
        "60018 wrong URL, or the channel or the instrument does not exist",
        f"Rest().instruments() lists the ids; {_PATH}",
    ),
    *_rows(Advice.CHANNEL, "64000 uly was retired", "name instFamily in place of uly"),
    *_rows(
        Advice.CHANNEL,
        "64004 not beside books-l2-tbt of the same instrument",
        "close books-l2-tbt (depth_l2_tbt) of this instrument first",
    ),
    *_rows(
        Advice.TIER,
        """
        60029 the fee tier is too low (retired on 2026-04-07)
        60030 the fee tier is too low for books50-l2-tbt (retired on 2026-04-07)
        60034 the fee tier is too low, with HTTP status 401 (since 2026-06-28)
        64003 the fee tier is too low
        """,
    ),
    *_rows(
        Advice.MALFORMED,
        """
        60012 invalid request
        60013 invalid arguments
        60019 invalid operation
        60026 logins by key and by token are mixed
        60027 a parameter is empty
        """,
        _MALFORMED,
    ),
    *_rows(Advice.LOGIN, "60011 please log in", _NO_LOGIN),
    *_rows(
        Advice.LOGGED_IN,
        """
        60010 logged in already (retired)
        60031 logged in already, or to several accounts
        """,
    ),
    *_rows(
        Advice.KEY,
        """
        60001 the key is empty (retired)
        60002 the signature is empty (retired)
        60003 the passphrase is empty (retired)
        60005 invalid key
        60007 invalid signature
        60009 login failed
        60021 a login of several accounts is not possible
        60022 a login of several accounts succeeded in part
        60024 wrong passphrase
        """,
    ),
    *_rows(Advice.REGION, "60032 the key does not exist here"),
    *_rows(Advice.LOGIN_ENDED, "4001 login failed"),
    *_rows(
        Advice.RECONNECT,
        """
        4002 invalid request
        4004 no data for 30 s
        4005 the client reads too slowly
        4006 abnormal end
        """,
    ),
    *_rows(
        Advice.FEWER_CHANNELS,
        """
        4003 more than 100 subscriptions of one key
        4008 too many channels
        4009 too many channels on this connection
        """,
    ),
    *_rows(Advice.KEY, "4007 the key was changed or deleted"),
    *_rows(Advice.SMALLER_REQUESTS, "1009 a request is too long"),
)
_V3 = (
    *_rows(
        Advice.AGAIN,
        """
        30008 timestamp expired
        30009 system error
        30019 the API is offline
        30030 the endpoint failed
        30037 the endpoint is offline
        30038 an upgrade
        30043 internal error
        30044 time-out
        """,
    ),
    *_rows(
        Advice.SLOWER,
        """
        30014 too many requests
        30026 too many requests
        """,
    ),
    *_rows(
        Advice.TRIES,
        """
        30003 the timestamp is empty
        30005 invalid timestamp
        """,
        "set this machine's clock",
    ),
    *_rows(
        Advice.CHANNEL,
        """
        30000 wrong path of the URL
        30023 a parameter is empty
        30024 a parameter is wrong
        30025 a parameter of a wrong kind
        30032 the instrument does not exist
        30034 the exchange's id does not exist
        30035 the instrument is not supported
        30036 no data
        30040 the channel does not exist
        """,
    ),
    *_rows(
        Advice.MALFORMED,
        """
        30007 wrong content type
        30010 the request is not valid
        30020 the body is empty
        30021 the JSON is not valid
        30039 the request is not recognised
        """,
        _MALFORMED,
    ),
    *_rows(Advice.LOGIN, "30041 not logged in", _NO_LOGIN),
    *_rows(Advice.LOGGED_IN, "30042 logged in already"),
    *_rows(
        Advice.KEY,
        """
        30001 the key is empty
        30002 the signature is empty
        30004 the passphrase is empty
        30006 invalid key
        30011 an IP address that the key does not allow
        30012 not authorised
        30013 invalid signature
        30015 wrong passphrase
        30016 a key of v1
        30017 wrong id of the broker
        30018 wrong domain
        30022 the account is frozen
        30027 login failed
        30028 not allowed
        30029 the account is suspended
        30031 the token does not exist
        30033 wrong domain
        """,
    ),
    *_rows(
        Advice.RECONNECT,
        """
        4001 no data for 30 s
        4002 the client reads too slowly
        """,
    ),
    *_rows(Advice.SMALLER_REQUESTS, "1009 a request is too long"),
)
# The tables of both protocols, by code.
CODES = {
    "v3": {row.code: row for row in _V3},
    "v5": {row.code: row for row in _V5},
}


def find_code(protocol: str, code: object) -> ExchangeCode:
    """The row of *code* under *protocol*; one that is unknown is tried three times."""
    found = CODES[protocol].get(str(code))
    return found or ExchangeCode(str(code), Advice.TRIES, "a code that is not known")


Told = TypeVar("Told", bound=OkexWSError)


def advised(error: Told, known: ExchangeCode, remedy: str = "") -> Told:
    """*error* with the cause of a *known* code, and what to do about it.

    *remedy* comes before the table's own.
    """
    error.cause_code = known.advice.cause_code
    error.advice = remedy or known.remedy
    return error


# Which site a key belongs to, as people call it. The documentation of 2026-07-06 and
# the changelog of 2026-05-20; Australia is on the site of the US.
_REGIONS = {
    "okx": "global",
    "okx-us": "US and Australia",
    "okx-eea": "EEA",
    "okx-tr": "Turkey",
    "okx-demo": "global",
    "okx-us-demo": "US and Australia",
    "okx-eea-demo": "EEA",
}


def key_remedies(venue: Venue) -> dict[str, str]:
    """What to do about a key that *venue* refuses, by the code: the other regions.

    A key works in its own region alone: elsewhere the exchange answers 60032
    (documentation of 2026-07-20). An invalid key (60005) may be of another one.
    """
    names = [
        f"{site.name!r} ({_REGIONS[site.name]})"
        for site in SITES
        if site.name in _REGIONS
        and site.name != venue.name
        and site.simulated == venue.simulated
    ]
    said = f"a key works in its own region only; other venues are {', '.join(names)}"
    return {"60032": said} | ({"60005": said} if venue.name in _REGIONS else {})
