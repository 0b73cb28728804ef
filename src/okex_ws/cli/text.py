"""Values as text for people: no control characters, and numbers in full."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal

NOTHING = "-"


def clean(text: str) -> str:
    """Replace each character that is not printable: a terminal could act on it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def number(value: Decimal | str | None) -> str:
    """A number in full, without an exponent; `NOTHING` for ``None``."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else f"{value:f}"


def seconds(value: float | None) -> str:
    """A duration for people: ``0.25 s``, ``12 s``, ``3 min``, ``2 h``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for limit, text in ((1, f"{value:.2f} s"), (9.95, f"{value:.1f} s")):
        if value < limit:
            return text
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"


def milliseconds(value: float | None) -> str:
    """A short duration: ``0.8 ms``, ``12 ms``; from one second on like `seconds`."""
    if value is None or not math.isfinite(value) or value >= 1:
        return seconds(value)
    return f"{value * 1e3:.1f} ms" if value < 0.00995 else f"{value * 1e3:.0f} ms"


def size(count: float) -> str:
    """Bytes for people: ``512 B``, ``1.4 kB``, ``23 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return (
        f"{count:.1f} {unit}"
        if unit != "B" and count < 99.95
        else f"{count:.0f} {unit}"
    )


def moment(at: datetime) -> str:
    """A moment to the millisecond: ``2026-11-26T08:45:00.123Z``."""
    utc = at.astimezone(timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03}Z"


def clock(at: datetime) -> str:
    """The time of day of a moment: ``08:45:00.123``, UTC."""
    return moment(at)[11:-1]


def aligned(numbers: Iterable[str]) -> list[str]:
    """Pad *numbers* to one width, so that their decimal points stand in one column."""
    parts = [text.partition(".") for text in numbers]
    whole = max((len(each[0]) for each in parts), default=0)
    rest = max((len(each[1] + each[2]) for each in parts), default=0)
    return [each[0].rjust(whole) + (each[1] + each[2]).ljust(rest) for each in parts]


def listed(names: Iterable[str], most: int = 5) -> str:
    """Join names for a sentence: the first *most* by name, the others as a count."""
    every = list(names)
    return ", ".join([*every[:most], f"{len(every) - most} more"][: len(every)])
