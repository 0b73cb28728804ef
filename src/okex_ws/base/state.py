"""The states of a subscription, and the causes of them: `State` and `Cause`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any


class State(str, Enum):
    """The state of a subscription. Only in `LIVE` does a read give prices.

    - ``CONNECTING``: the connection was never open so far.
    - ``SYNCING``: the connection is open; an acknowledgement of the exchange, the first
      data or the first pong has not come.
    - ``LIVE``: the data are complete, and the connection is known to work.
    - ``STALE``: a pong or an expected push is late, the machine's clock jumped, a limit
      of the script, such as *max_age*, is exceeded, or the exchange has suspended the
      instrument.
    - ``RESYNCING``: a message could not be used, and a new snapshot has not come.
    - ``RECONNECTING``: the connection was lost, or could not be made.
    - ``FAILED``: it will never be live, because the exchange refused it, for example.
    - ``CLOSED``: it was closed.
    """

    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    LIVE = "LIVE"
    STALE = "STALE"
    RESYNCING = "RESYNCING"
    RECONNECTING = "RECONNECTING"
    FAILED = "FAILED"
    CLOSED = "CLOSED"

    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    @property
    def final(self) -> bool:
        """True for `FAILED` and `CLOSED`, after which no other state comes."""
        return self is State.FAILED or self is State.CLOSED


class CauseCode(str, Enum):
    """Why a value cannot be trusted, or something failed: the codes of a `Cause`.

    Nothing is there yet:

    - ``CONNECTING``: no connection was open so far.
    - ``FIRST_PONG``: no pong came yet, so that no lease runs.
    - ``SUBSCRIBING``: the exchange has not acknowledged the channel.
    - ``SNAPSHOT``: the exchange has not sent the first value, or no whole book.
    - ``NO_SUBSCRIPTION``: nothing is subscribed that could have a value.

    A value is too old:

    - ``LEASE``: the pongs stopped, so that the lease of the connection ran out.
    - ``CLOCK_JUMP``: a clock of this machine was set, or the machine slept.
    - ``IDLE``: the push is missing that the exchange repeats of an idle book.
    - ``MAX_AGE``, ``MAX_SILENCE``, ``MAX_LAG``: that limit of the script is exceeded.

    Data could not be used:

    - ``UNREADABLE``: a message cannot be read.
    - ``CHECKSUM``: a whole book has another checksum than the exchange's.
    - ``SEQUENCE``: a push does not follow the one before.

    The line to the exchange:

    - ``DNS``: the name of the host has no address, or its look-up failed.
    - ``NETWORK``: TCP could not connect, or was cut off.
    - ``PROXY``: the proxy cannot be reached, refused, or is of no use (SOCKS).
    - ``TLS``: TLS failed, for another reason than the certificate.
    - ``HANDSHAKE``: the WebSocket handshake was refused, or its answer is none.
    - ``CONNECT_TIMEOUT``: the connection was not open within `Timeouts.connect`.
    - ``PONG``: no pong came within `Timeouts.pong`.
    - ``CLOSED_BY_EXCHANGE``: the exchange sent a close frame.

    The exchange refused:

    - ``REJECTED``: a channel or a request.
    - ``TIER``: a channel, for an account whose fee tier is too low.
    - ``MALFORMED``: a request that it cannot read: a bug of the library, or an
      argument of the script's own.
    - ``BUSY``: a request, for a reason that passes: it can be sent again later.
    - ``LOGIN``: the key; or the library did not send it over a line without TLS; or a
      channel that needs a login.
    - ``REGION``: the key, which is of another region: it works at another venue.
    - ``BUDGET``: nothing yet, but requests wait, as it allows only so many.

    The instrument:

    - ``EXPIRED``: the exchange has delivered or delisted it.
    - ``RENAMED``: the exchange has given it another id, `Cause.new_id`.
    - ``SUSPENDED``: the exchange has suspended its trading.
    - ``REBASED``: the exchange is changing its contract.
    - ``SETTLING``: the exchange is settling it.

    Items are missing in a series:

    - ``QUEUE``: the script did not take them in time.
    - ``OUTAGE``: the channel was not connected, or was subscribed anew.
    - ``HANDOVER``: one connection took over from another one.
    - ``HISTORY``: they were to be fetched, and were not.
    - ``IDS_RESTARTED``: the ids of the trades go back.

    What another machine forwards:

    - ``NOT_PUBLISHED``: no producer publishes the channel, or none was heard yet.
    - ``WITHHELD``: the producer does not vouch for the channel, or a message of it was
      lost on the way.
    - ``LEASE_TOO_SHORT``: the producer's own lease is longer than the reader's.

    This machine:

    - ``CERTIFICATE``: the certificate of the exchange was refused here, or a file that
      the environment names for TLS cannot be used.
    - ``PACKAGE``: a package is missing, too old, or hidden by another module.
    - ``READER``: the process of an isolated feed has ended, or is not read.
    - ``FORKED``: the process was forked, and this is the child.
    - ``CLOSED``: the script closed it.
    - ``INTERNAL``: the library or the system failed.
    """

    CONNECTING = "connecting"
    FIRST_PONG = "first-pong"
    SUBSCRIBING = "subscribing"
    SNAPSHOT = "snapshot"
    NO_SUBSCRIPTION = "no-subscription"

    LEASE = "lease"
    CLOCK_JUMP = "clock-jump"
    IDLE = "idle"
    MAX_AGE = "max-age"
    MAX_SILENCE = "max-silence"
    MAX_LAG = "max-lag"

    UNREADABLE = "unreadable"
    CHECKSUM = "checksum"
    SEQUENCE = "sequence"

    DNS = "dns"
    NETWORK = "network"
    PROXY = "proxy"
    TLS = "tls"
    HANDSHAKE = "handshake"
    CONNECT_TIMEOUT = "connect-timeout"
    PONG = "pong"
    CLOSED_BY_EXCHANGE = "closed-by-exchange"

    REJECTED = "rejected"
    TIER = "tier"
    MALFORMED = "malformed"
    BUSY = "busy"
    LOGIN = "login"
    REGION = "region"
    BUDGET = "budget"

    EXPIRED = "expired"
    RENAMED = "renamed"
    SUSPENDED = "suspended"
    REBASED = "rebased"
    SETTLING = "settling"

    QUEUE = "queue"
    OUTAGE = "outage"
    HANDOVER = "handover"
    HISTORY = "history"
    IDS_RESTARTED = "ids-restarted"

    NOT_PUBLISHED = "not-published"
    WITHHELD = "withheld"
    LEASE_TOO_SHORT = "lease-too-short"

    CERTIFICATE = "certificate"
    PACKAGE = "package"
    READER = "reader"
    FORKED = "forked"
    CLOSED = "closed"
    INTERNAL = "internal"

    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


@dataclass(frozen=True, slots=True, eq=False)
class Cause(str):
    """Why a value cannot be trusted, why items are missing, or why something failed.

    It is a sentence, *text*, with its facts: a ``str``, but equal to another `Cause`
    only if all fields are. It is true if there is a sentence, so that the cause of a
    ``LIVE`` state is false. *code* is for a program, and ``None`` if there is no
    cause. *endpoint* is the URL of the connection that failed, which *text* does not
    repeat. *instrument_id* and *channel* say whose value or items it is about, by the
    names that the subscription has. Each of the three is ``''`` if it does not apply.
    *exchange_code* is the exchange's own number for an error, a close frame or an HTTP
    status, or ``None``. *new_id* is the id that the exchange has given the instrument,
    or ``''``.
    """

    code: CauseCode | None = None
    text: str = ""
    endpoint: str = ""
    instrument_id: str = ""
    channel: str = ""
    exchange_code: int | str | None = None
    new_id: str = ""

    def __new__(
        cls, code: CauseCode | None = None, text: str = "", *_: object, **__: object
    ) -> Cause:
        """The text; the fields are set afterwards."""
        return str.__new__(cls, text)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.code, self.text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Cause):
            return _fields(self) == _fields(other)
        return self.text == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


_fields = attrgetter(
    *("code", "text", "endpoint", "instrument_id", "channel", "exchange_code"),
    "new_id",
)
NO_CAUSE = Cause()
CLOSED = Cause(CauseCode.CLOSED, "closed")
FORKED = Cause(CauseCode.FORKED, "closed in a forked process")
