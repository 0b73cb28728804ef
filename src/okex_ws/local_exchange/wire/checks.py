"""What a script may give the local exchange: one check for each kind. No state.

``TypeError`` for what is of the wrong kind, ``ValueError`` for what cannot be right.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from itertools import islice


def flag(name: str, value: object) -> None:
    """*value* is ``True`` or ``False``, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, got {value!r}")


def text(name: str, value: object) -> None:
    """*value* is a ``str``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a string, got {value!r}")


def whole(name: str, value: object, least: int | None = None) -> None:
    """*value* is an ``int``, and not less than *least*."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} is {least} or more, got {value!r}")


def port(name: str, value: object) -> None:
    """*value* is a port to listen on, or 0 for any."""
    whole(name, value, least=0)
    if isinstance(value, int) and value > 65535:
        raise ValueError(f"{name} is 65535 at the most, got {value!r}")


def number(
    name: str, value: object, *, positive: bool = False, endless: bool = False
) -> None:
    """*value* is zero or more; *positive*: more than that; *endless*: or ``inf``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, got {value!r}")
    enough = value > 0 if positive else value >= 0
    if not enough or (value == math.inf and not endless):
        least = "more than zero" if positive else "zero or more"
        raise ValueError(f"{name} is a number, {least}, got {value!r}")


def offset(name: str, value: object) -> None:
    """*value* is a number of seconds, before or after."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} is a number of seconds, got {value!r}")


def code(name: str, value: object) -> None:
    """*value* is the code of an error: an ``int``, or one as v5 writes it."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"{name} is a number, got {value!r}")
        return
    whole(name, value, least=0)


def times(value: object) -> None:
    """*value* says how often: ``None`` is always."""
    if value is not None:
        whole("times", value, least=0)


def channel(name: object, known: Collection[str]) -> None:
    """*name* is one of the *known* channels, by its key."""
    if isinstance(name, str) and name in known:
        return
    close = _nearest(str(name), list(islice(known, _MOST)))
    kind = ValueError if isinstance(name, str) else TypeError
    raise kind(
        f"no channel of this exchange is called {name!r}: a channel is {close!r}"
    )


def _nearest(name: str, channels: list[str]) -> str:
    """The first of *channels* with *name* in it, or the one that looks most like it."""
    for each in channels:
        if name in each:
            return each
    return difflib.get_close_matches(name, channels, n=1, cutoff=0.0)[0]


# Channels that are looked at for the one that was meant: a look takes its time.
_MOST = 1000
