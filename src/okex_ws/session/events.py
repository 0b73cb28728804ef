"""What the exchange's messages mean for one opening of a connection: plain values.

`Session` returns them, and the connection's loop acts on them: it tells the channel,
logs, or counts.
"""

from __future__ import annotations

from typing import NamedTuple, Union

from ..base.errors import LoginRejected, OkexWSError, SubscriptionRejected
from ..trust.heartbeat import Renewed


class Acknowledged(NamedTuple):
    """The exchange acknowledged the subscription of the channel with key *channel*."""

    channel: str


class Ended(NamedTuple):
    """The exchange unsubscribed the channel without a request.

    The session will subscribe it again.
    """

    channel: str


class Rejected(NamedTuple):
    """The exchange refused the channel for good."""

    channel: str
    error: SubscriptionRejected


class LockedOut(NamedTuple):
    """The exchange refused the key for good.

    The session sends no more requests on this connection.
    """

    error: LoginRejected


class Noted(NamedTuple):
    """The exchange sent a notice about the connection, for people.

    *ends* is whether it says that the exchange will close the connection.
    """

    code: str
    message: str
    ends: bool = False


class Trouble(NamedTuple):
    """A failure that passes: it is logged and given to *on_error*, and ends nothing.

    *channel* is the key of the one channel that it concerns, or ``None``.
    """

    error: OkexWSError
    channel: str | None = None


class Unasked(NamedTuple):
    """A message that answers no request of the session, or that it does not know.

    ``stats().dropped`` counts it under ``'unasked '`` and *kind*. A *sentence* that is
    not empty is logged too.
    """

    kind: str
    sentence: str = ""


Event = Union[
    Acknowledged, Ended, Rejected, LockedOut, Noted, Trouble, Renewed, Unasked
]
