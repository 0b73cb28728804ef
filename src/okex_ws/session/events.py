"""What the messages of a connection mean to whoever holds it. Values, no behaviour."""

from __future__ import annotations

from typing import NamedTuple, Union

from ..base.errors import LoginRejected, OkexWSError, SubscriptionRejected
from ..trust.heartbeat import Renewed


class Acknowledged(NamedTuple):
    """The exchange acknowledged the channel."""

    channel: str


class Ended(NamedTuple):
    """The exchange ended the channel unasked; it will be asked for again."""

    channel: str


class Rejected(NamedTuple):
    """The channel is refused for good."""

    channel: str
    error: SubscriptionRejected


class LockedOut(NamedTuple):
    """The key is refused for good: nothing will be asked on this connection."""

    error: LoginRejected


class Noted(NamedTuple):
    """The exchange says something about the connection."""

    code: str
    message: str


class Trouble(NamedTuple):
    """Something that passes, worth a line in the log."""

    error: OkexWSError


class Unasked(NamedTuple):
    """A message that answers nothing; counted under *kind*, and said if it says any."""

    kind: str
    sentence: str = ""


Event = Union[
    Acknowledged, Ended, Rejected, LockedOut, Noted, Trouble, Renewed, Unasked
]
