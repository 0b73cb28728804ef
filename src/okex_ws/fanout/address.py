"""Where a producer and its readers meet: the URL of a Redis server, read strictly.

The library reads the URL itself, because the reading of other packages lets a URL turn
certificates off.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ..net.proxy import is_this_machine

# The port of Redis (registered with IANA), and the name of a feed without one.
PORT = 6379
NAME = "feed"
_SCHEMES = ("redis", "rediss")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_DATABASES = 16384
_FORM = "redis:// or rediss:// and USER:PASSWORD@HOST:PORT/DATABASE?name=NAME"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis server, how to log in there, and the *name* of one producer's feed.

    *secure* is whether the line is TLS (``rediss``). *user* and *password* are ``''``
    where the server wants none. Neither ``repr`` nor *endpoint* has the password.
    """

    host: str
    port: int
    secure: bool
    database: int
    name: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def endpoint(self) -> str:
        """The URL without user and password, for logs, errors and reports."""
        scheme = "rediss" if self.secure else "redis"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"

    def prefix(self, venue: str) -> str:
        """What every key and channel of this feed begins with, in Redis.

        Channels of Redis do not know databases, so that the number is in the name.
        """
        return f"{{okx}}:{self.name}:{quote(venue, safe='')}:{self.database}"


def parse(url: object, keyword: str) -> RedisAddress:
    """The address that *url* is; *keyword* names the argument in errors.

    Raises:
        TypeError, ValueError: it is no such URL, or would send a password without TLS
            to another machine. The message does not repeat the URL, which may hold a
            password.
    """
    if not isinstance(url, str):
        raise TypeError(f"{keyword} is a URL ({_FORM}), not a {type(url).__name__}")
    if " " in url or not url.isprintable() or "#" in url:
        raise ValueError(f"{keyword} is a URL without spaces and '#': {_FORM}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{keyword} is no URL of the form {_FORM}") from None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        raise ValueError(f"{keyword} is a URL of the form {_FORM}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    secure = parts.scheme == "rediss"
    if password and not secure and not is_this_machine(host):
        raise ValueError(
            f"{keyword}: a password is sent over TLS (rediss://), or to this machine"
        )
    database = _database(parts.path, keyword)
    name = _name(parts.query, keyword)
    return RedisAddress(host, port or PORT, secure, database, name, user, password)


def _database(path: str, keyword: str) -> int:
    text = path.removeprefix("/") or "0"
    if not (text.isascii() and text.isdigit()) or int(text) >= _MOST_DATABASES:
        raise ValueError(f"{keyword}: after the host stands the number of a database")
    return int(text)


def _name(query: str, keyword: str) -> str:
    fields = parse_qsl(query, keep_blank_values=True) if query else []
    if not fields:
        return NAME
    (key, name), *more = fields
    if more or key != "name":
        # What other packages read there would turn off TLS's checks, or name secrets.
        raise ValueError(f"{keyword}: a URL has ?name= alone, and no other field")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{keyword}: name is 1 to 64 letters, digits, '_', '.', '-'")
    return name


def trust(authority: object) -> ssl.SSLContext | None:
    """TLS that trusts the certificates in the file *authority*; ``None`` for none.

    Raises:
        TypeError, ValueError: it is no path, or no file of certificates.
    """
    if authority is None:
        return None
    if not isinstance(authority, str):
        kind = type(authority).__name__
        raise TypeError(f"redis_ca is the path of a file of certificates, not a {kind}")
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # `ssl.SSLError` is one
        why = error.strerror or "it holds no certificate"
        raise ValueError(f"redis_ca: {authority}: {why}") from error
