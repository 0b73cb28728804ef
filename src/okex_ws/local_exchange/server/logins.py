"""Who may log in: keys that are really checked, under both protocols. No clock.

The signature is computed here and not by the library's own code, which is what a test
of a login is about.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple, Union

from ... import Credentials

# Seconds that a timestamp may be away from the exchange's clock (v5 documentation).
TOLERANCE = 30.0

MADE_UP = Credentials("local-api-key", "local-secret-key", "local-passphrase")
# The first of as many numbers; that of an account stands in its pushes under v5.
_FIRST_UID = 44_705_892_343_619_584


class LoginArguments(NamedTuple):
    """What a client says of itself."""

    api_key: str
    passphrase: str
    timestamp: str
    sign: str


class Flaw(Enum):
    """Why a login is refused."""

    TIMESTAMP = auto()  # it is no number
    EXPIRED = auto()  # it is too far from the exchange's clock
    KEY = auto()  # there is no such key
    PASSPHRASE = auto()  # it is not the key's
    SIGN = auto()  # the secret key makes another one of the timestamp


class Account(NamedTuple):
    """One who may log in; *uid* is the number that the exchange has for them."""

    credentials: Credentials
    uid: str


AnyCredentials = Union[Credentials, Iterable[Credentials], None]


class Accounts:
    """All who may log in: with *credentials*, or with one made-up key."""

    def __init__(self, credentials: AnyCredentials = None) -> None:
        if credentials is None:
            credentials = MADE_UP
        if isinstance(credentials, Credentials):
            credentials = (credentials,)
        wrong = "credentials is a Credentials or a sequence of them"
        # What was given is not repeated: it may hold a secret.
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
        """The account of *login*, or what is wrong with it at *wall*."""
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
        # As bytes: a sign that is not ASCII is a wrong one, and no TypeError.
        if not hmac.compare_digest(sign, login.sign.encode("utf-8", "replace")):
            return Flaw.SIGN
        return account


def _sign(secret_key: str, timestamp: str) -> bytes:
    signed = f"{timestamp}GET/users/self/verify".encode()
    return base64.b64encode(hmac.digest(secret_key.encode(), signed, hashlib.sha256))
