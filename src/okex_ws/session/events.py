"""What the exchange's messages mean for one opening of a connection: plain values.

`Session` returns them, and the connection's loop acts on them: it tells the channel,
logs, or counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from ..base.errors import LoginRejected, OkexWSError, SubscriptionRejected
from ..base.state import Cause, State
from ..trust.heartbeat import Renewed
from .subscription_state import Step, SubscriptionState


class Changed(NamedTuple):
    """The exchange's word moved *subscription*, the very object, by *step*.

    ``Step.ACKNOWLEDGED``: its data may be used. ``Step.LEFT``: the exchange ended it
    without a request, and the session will subscribe it again. ``Step.REFUSED``: it was
    refused for good, for the reason *error*.
    """

    subscription: SubscriptionState[Any]
    step: Step
    error: SubscriptionRejected | None = None


class Held(NamedTuple):
    """What forwards the exchange's data does not vouch for *subscriptions*.

    They are withdrawn at once, and are in *state*, for *cause*, until a `Changed` with
    ``Step.ACKNOWLEDGED``.
    """

    subscriptions: tuple[SubscriptionState[Any], ...]
    state: State
    cause: Cause


class LockedOut(NamedTuple):
    """The exchange refused the key for good.

    The session sends no more requests on this connection.
    """

    error: LoginRejected


class Trouble(NamedTuple):
    """A failure that passes: it is logged and given to *on_error*, and ends nothing.

    *subscription* is the one that it concerns, the very object, or ``None``.
    """

    error: OkexWSError
    subscription: SubscriptionState[Any] | None = None


class Unasked(NamedTuple):
    """A message that answers no request of the session, or that it does not know.

    ``stats().dropped`` counts it under ``'unasked '`` and *kind*. A *sentence* that is
    not empty is logged too.
    """

    kind: str
    sentence: str = ""


Event = Union[Changed, Held, LockedOut, Trouble, Renewed, Unasked]
