"""The accounts that may log in, and the check of a login, for v3 and v5. No clock.

The signature is computed here and not by the library's own code, because a test of a
login tests that code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple, Union

from ... import Credentials

# Seconds by which a timestamp may differ from the exchange's clock (v5 documentation).
TOLERANCE = 30.0

MADE_UP = Credentials("local-api-key", "local-secret-key", "local-passphrase")
# The number of the first account; the next one has the next number. Under v5 the pushes
# of an account carry its number.
_FIRST_UID = 44_705_892_343_619_584


class LoginArguments(NamedTuple):
    """The arguments of a client's login."""

    api_key: str
    passphrase: str
    timestamp: str
    sign: str


class Flaw(Enum):
    """Why a login is refused."""

    TIMESTAMP = auto()  # the timestamp is no number
    EXPIRED = auto()  # the timestamp is too far from the exchange's clock
    KEY = auto()  # no account has the key
    PASSPHRASE = auto()  # the passphrase is not the account's
    SIGN = auto()  # the signature is not made with the account's secret key


class Account(NamedTuple):
    """An account that may log in; *uid* is the number that the exchange gave it."""

    credentials: Credentials
    uid: str


AnyCredentials = Union[Credentials, Iterable[Credentials], None]


class Accounts:
    """All accounts that may log in, and the check of a login.

    *credentials* are one key or several, each of its own account; without them there is
    one account, with a made-up key. It never changes, so that any thread may call. A
    wrong argument raises ``TypeError`` or ``ValueError`` that does not repeat it.
    """

    def __init__(self, credentials: AnyCredentials = None) -> None:
        if credentials is None:
            credentials = MADE_UP
        if isinstance(credentials, Credentials):
            credentials = (credentials,)
        wrong = "credentials is a Credentials or a sequence of them"
        # The error does not repeat the argument, which may hold a secret.
        if isinstance(credentials, str) or not isinstance(credentials, Iterable):
            raise TypeError(wrong)
        self.credentials = tuple(credentials)
        if not all(isinstance(each, Credentials) for each in self.credentials):
            raise TypeError(wrong)
        self._accounts = {
            each.api_key: Account(each, str(_FIRST_UID + number))
            for number, each in enumerate(self.credentials)
        }
        if len(self._accounts) != len(self.credentials):
            raise ValueError("two of the credentials have the same api_key")

    def check(self, login: LoginArguments, wall: float) -> Account | Flaw:
        """The account of *login*, or its flaw; *wall* is the time in epoch seconds."""
        try:
            away = abs(float(login.timestamp) - wall)
        except ValueError:
            return Flaw.TIMESTAMP
        if away != away:  # NaN
            return Flaw.TIMESTAMP
        if away > TOLERANCE:
            return Flaw.EXPIRED
        account = self._accounts.get(login.api_key)
        if account is None:
            return Flaw.KEY
        if login.passphrase != account.credentials.passphrase:
            return Flaw.PASSPHRASE
        sign = _sign(account.credentials.secret_key, login.timestamp)
        # Compared as bytes: as text, a sign that is not ASCII would be a TypeError.
        if not hmac.compare_digest(sign, login.sign.encode("utf-8", "replace")):
            return Flaw.SIGN
        return account


def _sign(secret_key: str, timestamp: str) -> bytes:
    signed = f"{timestamp}GET/users/self/verify".encode()
    return base64.b64encode(hmac.digest(secret_key.encode(), signed, hashlib.sha256))
