"""An API key of the exchange and the signature of a login. No repr has a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass, field

from ..base.checks import all_name_keywords

# Both protocols sign this request, with which v3 checked a key over REST.
_SIGNED = "GET/users/self/verify"
_VARIABLES = ("API_KEY", "SECRET_KEY", "PASSPHRASE")


@all_name_keywords()
@dataclass(frozen=True, slots=True)
class Credentials:
    """The three texts of an API key, as the exchange gave them. No repr contains them.

    A key works only at the venue, and in the region, where it was made.

    Raises:
        TypeError: one of them is no ``str``.
        ValueError: one is empty, has spaces around it, or an unprintable character.
    """

    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    passphrase: str = field(repr=False)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            # The messages leave the value out, because it may be a secret.
            if not isinstance(value, str):
                raise TypeError(f"{name} is a string")
            if not value or value != value.strip() or not value.isprintable():
                raise ValueError(
                    f"{name} is empty, or has spaces around it, or a character that no"
                    " key has"
                )

    @classmethod
    def from_env(cls, prefix: str = "OKX_") -> Credentials:
        """Read ``OKX_API_KEY``, ``OKX_SECRET_KEY`` and ``OKX_PASSPHRASE``.

        *prefix* replaces ``OKX_`` in the names of the environment variables.

        Raises:
            ValueError: a variable is not set; the message names those that are missing.
        """
        names = [prefix + name for name in _VARIABLES]
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ValueError(f"not set in the environment: {', '.join(missing)}")
        return cls(*(os.environ[name] for name in names))

    def sign(self, timestamp: str) -> str:
        """The signature of a login at *timestamp*, which is Unix seconds as text.

        It is the Base64 of the HMAC-SHA256 of ``timestamp + 'GET' +
        '/users/self/verify'`` under v3 and v5 alike (official v3 SDKs; v5
        documentation, "Login").
        """
        message = (timestamp + _SIGNED).encode()
        digest = hmac.digest(self.secret_key.encode(), message, hashlib.sha256)
        return base64.b64encode(digest).decode()
