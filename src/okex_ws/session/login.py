"""When to log in on one opening of a connection: before any other request.

A login that failed for a passing reason is sent again later. A key that the exchange
refused is not sent a second time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ..base.errors import LoginRejected
from ..base.retry import doubled
from ..base.state import CauseCode
from ..model.exchange_codes import TRIES, Advice, ExchangeCode, advised
from ..model.numbers import Clean
from .subscription_state import STEADY

if TYPE_CHECKING:
    from ..model.credentials import Credentials
    from ..protocol.interface import WireProtocol
    from ..protocol.messages import ChannelName


class Login:
    """The state of the login on one opening of a connection: sent, accepted or refused.

    `Session` asks it when a login is `due` and what to send, and tells it the
    exchange's answer. Only the connection's thread calls it. A login that got no
    answer, or an error that may pass, is due again after a back-off of up to
    *retry_cap* seconds; after `refuse` it is never due again.

    *text* is a callable that makes the text of a login from a reading of the wall
    clock. *clean* is one that takes the key's secrets out of a text of the exchange.
    *remedies* are what to do about a refusal, by its code: see `key_remedies`.
    """

    def __init__(
        self,
        text: Callable[[float], str],
        retry_cap: float,
        clean: Clean = str,
        remedies: Mapping[str, str] | None = None,
    ) -> None:
        self._remedies = remedies or {}
        # Whether a login was sent whose answer may still come.
        self.asked = False
        self.accepted = False
        self._text = text
        self.clean = clean
        self.due = -math.inf
        self._retry_cap = retry_cap
        self._attempts = self._losses = self._tries = 0
        self._accepted_at = -math.inf

    def ask(self, wall: float) -> str:
        """The text of the login that is to be sent now."""
        self.asked = True
        return self._text(wall)

    def retry_later(self, now: float) -> None:
        """Send the login again after a back-off, up to *retry_cap* seconds.

        It had no answer, or an error that may not come again.
        """
        self.due = now + doubled(1.0, self._attempts, self._retry_cap)
        self._attempts += 1

    def refusal(
        self, known: ExchangeCode, code: int | str, message: str
    ) -> LoginRejected:
        """The error for a refusal with *code*, which is *known*, and *message*."""
        error = advised(
            LoginRejected(code, message), known, self._remedies.get(known.code, "")
        )
        if error.cause_code is CauseCode.REJECTED:
            error.cause_code = CauseCode.LOGIN
        return error

    def may_retry(self, known: ExchangeCode) -> bool:
        """Whether a refusal by a code that is not known is not the third; counts it."""
        self._tries += known.advice is Advice.TRIES
        return known.advice is Advice.TRIES and self._tries < TRIES

    def refuse(self) -> None:
        """The exchange refused the key: never send it again."""
        self.due, self.asked = math.inf, False

    def accept(self, now: float) -> None:
        """The exchange accepted the key."""
        self.accepted, self.asked, self._accepted_at = True, False, now
        self._tries = 0

    def lose(self, now: float) -> bool:
        """The exchange has lost an accepted login: send it again after a back-off.

        Whether it is the first loss since a login that lasted for `STEADY` seconds.
        """
        if now >= self._accepted_at + STEADY:
            self._losses = 0
        self.accepted = False
        self.due = now + doubled(1.0, self._losses, self._retry_cap)
        self._losses += 1
        return self._losses == 1


def check_logins(
    wire: WireProtocol, names: Iterable[ChannelName], credentials: Credentials | None
) -> None:
    """``ValueError`` if a channel needs a login and there are no credentials."""
    for name in names:
        if wire.path(name.key, name.path).login and credentials is None:
            tier = wire.tier(name.key)
            fee = f" of the fee tier {tier}" if tier else ""
            raise ValueError(
                f"channel {name.key!r} needs a login{fee}:"
                " Feed(..., credentials=Credentials(...))"
            )
