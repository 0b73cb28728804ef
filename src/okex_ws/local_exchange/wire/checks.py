"""Checks of the arguments that a script gives the local exchange, one for each kind.

Each check raises ``TypeError`` for a value of the wrong kind, and ``ValueError`` for a
value that cannot be right. No state.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from itertools import islice


def flag(name: str, value: object) -> None:
    """Raise unless *value* is ``True`` or ``False``; 0 and 1 are refused too."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, got {value!r}")


def text(name: str, value: object) -> None:
    """Raise unless *value* is a ``str``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a string, got {value!r}")


def whole(name: str, value: object, least: int | None = None) -> None:
    """Raise unless *value* is an ``int`` (no ``bool``), and *least* or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} is {least} or more, got {value!r}")


def port(name: str, value: object) -> None:
    """Raise unless *value* is a port to listen on, or 0 for any free port."""
    whole(name, value, least=0)
    if isinstance(value, int) and value > 65535:
        raise ValueError(f"{name} is 65535 at the most, got {value!r}")


def number(
    name: str, value: object, *, positive: bool = False, endless: bool = False
) -> None:
    """Raise unless *value* is a number, zero or more.

    With *positive*, zero is refused; with *endless*, ``inf`` is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, got {value!r}")
    enough = value > 0 if positive else value >= 0
    if not enough or (value == math.inf and not endless):
        least = "more than zero" if positive else "zero or more"
        raise ValueError(f"{name} is a number, {least}, got {value!r}")


def offset(name: str, value: object) -> None:
    """Raise unless *value* is a finite number of seconds; it may be negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} is a number of seconds, got {value!r}")


def code(name: str, value: object) -> None:
    """Raise unless *value* is an error code: an ``int``, or a ``str`` of digits."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"{name} is a number, got {value!r}")
        return
    whole(name, value, least=0)


def times(value: object) -> None:
    """Raise unless *value* is a count, zero or more, or ``None`` for always."""
    if value is not None:
        whole("times", value, least=0)


def channel(name: object, known: Collection[str]) -> None:
    """Raise unless *name* is the key of one of the *known* channels.

    The error names the known channel that is most like *name*.
    """
    if isinstance(name, str) and name in known:
        return
    close = _nearest(str(name), list(islice(known, _MOST)))
    kind = ValueError if isinstance(name, str) else TypeError
    raise kind(
        f"no channel of this exchange is called {name!r}: a channel is {close!r}"
    )


def _nearest(name: str, channels: list[str]) -> str:
    """The first of *channels* that contains *name*, else the one spelt most like it."""
    for each in channels:
        if name in each:
            return each
    return difflib.get_close_matches(name, channels, n=1, cutoff=0.0)[0]


# A wrong name is compared with this many channels at most: each comparison takes time.
_MOST = 1000
