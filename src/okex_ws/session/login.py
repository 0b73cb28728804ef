"""When to log in on one connection: before anything else, and again after what passes.

A key that the exchange refuses is not offered a second time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..base.retry import doubled

if TYPE_CHECKING:
    from ..model.credentials import Credentials
    from ..protocol.interface import WireProtocol
    from ..protocol.messages import ChannelName


class Login:
    """The login that one connection owes; *text* writes it at a reading of the wall.

    *secrets* are what must not be repeated, whatever the exchange says.
    """

    def __init__(
        self,
        text: Callable[[float], str],
        retry_cap: float,
        secrets: Sequence[str] = (),
    ) -> None:
        # Whether an answer may come, be it late.
        self.asked = False
        self.accepted = False
        self._text = text
        self._secrets = secrets
        self.due = -math.inf
        self._retry_cap = retry_cap
        self._attempts = 0

    def ask(self, wall: float) -> str:
        """The text to be sent now."""
        self.asked = True
        return self._text(wall)

    def retry_later(self, now: float) -> None:
        """No answer came, or one that may be another the next time."""
        self.due = now + doubled(1.0, self._attempts, self._retry_cap)
        self._attempts += 1

    def refuse(self) -> None:
        """The key is refused."""
        self.due, self.asked = math.inf, False

    def accept(self) -> None:
        """The exchange took the key."""
        self.accepted, self.asked = True, False

    def clean(self, message: str) -> str:
        """An error's text without a secret: the exchange may echo a whole request."""
        for secret in self._secrets:
            message = message.replace(secret, "...")
        return message.partition("{")[0]


def check_logins(
    wire: WireProtocol, names: Iterable[ChannelName], credentials: Credentials | None
) -> None:
    """``ValueError`` for a channel that needs a login where there is no key."""
    for name in names:
        if wire.path(name.key).login and credentials is None:
            tier = wire.tier(name.key)
            fee = f" of the fee tier {tier}" if tier else ""
            raise ValueError(
                f"channel {name.key!r} needs a login{fee}:"
                " Feed(..., credentials=Credentials(...))"
            )
