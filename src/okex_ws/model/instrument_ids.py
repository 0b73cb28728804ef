"""Ids of instruments: their forms, the market that each tells, and its time. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

# The form of an id tells its market (github crypto-crawler, okex), but spot and index
# share one form. A futures or option id has its delivery day as YYMMDD. The id of an
# event contract has its series, a day, a time and what makes it one contract of the
# event: a strike, or the end of the time. The name of a series is at least three words.
# The id of a spread is the ids of its two legs, joined by an underscore; an underscore
# may also be a part of one id, as in 'BTC-USD_UM-SWAP'.
_NAME = r"[A-Z0-9]+-[A-Z0-9_]+"
_FORMS = {
    "swap": re.compile(rf"{_NAME}-SWAP"),
    "option": re.compile(rf"{_NAME}-([0-9]{{6}})-[0-9]+(?:\.[0-9]+)?-[CP]"),
    "futures": re.compile(rf"{_NAME}-([0-9]{{6}})"),
    "events": re.compile(
        r"([A-Z0-9]+(?:-[A-Z0-9]+){2,})-([0-9]{6}-[0-9]{4})((?:-[A-Z0-9.]+)+)"
    ),
    "spot": re.compile(_NAME),
}
# Futures that never end, so to say: they are delivered after five years, and have
# funding rates as swaps have. Their family says so ('BTC-USD_UM_XPERP-310404').
_XPERP = re.compile(r"[A-Z0-9]+-[A-Z0-9_]+_XPERP-[0-9]{6}")
# The characters of an id, which both protocols can read back. 64 are more than twice
# the longest id recorded.
ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Futures and options are delivered at 08:00 UTC of that day.
_DELIVERY_HOUR = 8
# The times in the ids of event contracts (okx/agent-trade-kit of April 2026).
_HONG_KONG = timezone(timedelta(hours=8))


def market_of(instrument_id: str) -> str | None:
    """The market that the form of an id tells, or ``None`` if it is no id.

    An index id has the form of a spot id and counts as ``'spot'``.
    """
    if not ID.fullmatch(instrument_id):
        return None
    return _form(instrument_id) or ("spread" if legs(instrument_id) else None)


def _form(instrument_id: str) -> str | None:
    forms = _FORMS.items()
    return next((name for name, form in forms if form.fullmatch(instrument_id)), None)


def legs(instrument_id: str) -> tuple[str, str] | None:
    """The ids of the two legs of a spread; ``None`` if the id is not a spread's."""
    if _form(instrument_id) is None:
        for mark in re.finditer("(?<=[A-Z0-9])_(?=[A-Z0-9])", instrument_id):
            both = instrument_id[: mark.start()], instrument_id[mark.end() :]
            if all(map(_form, both)):
                return both
    return None


def is_xperp(instrument_id: str) -> bool:
    """Whether an id is that of an X-Perp, a future that has funding rates."""
    return _XPERP.fullmatch(instrument_id) is not None


def event_time(instrument_id: str) -> datetime | None:
    """The moment in the id of an event contract; ``None`` if there is none."""
    match = _FORMS["events"].fullmatch(instrument_id)
    return None if match is None else _parsed(match[2], "%y%m%d-%H%M", _HONG_KONG)


def _parsed(text: str, form: str, zone: timezone) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=zone)
    except ValueError:
        return None


def _fixing(instrument_id: str) -> datetime | None:
    """When an event contract is decided, if its id is of a kind that says so.

    A contract on the price above a strike is decided at the time in its id, one on the
    price going up or down at the second time, which may be of the next day.
    """
    match, begins = _FORMS["events"].fullmatch(instrument_id), event_time(instrument_id)
    if match is None or begins is None:
        return None
    kind = match[1].split("-")[1]
    if kind == "ABOVE":
        return begins.astimezone(timezone.utc)
    day = begins.strftime("%y%m%d")
    ends = _parsed(f"{day}{match[3]}", "%y%m%d-%H%M", _HONG_KONG)
    if kind != "UPDOWN" or ends is None:
        return None
    ends += timedelta(days=ends <= begins)
    return ends.astimezone(timezone.utc)


def delivery(instrument_id: str) -> datetime | None:
    """When a futures or option instrument is delivered, or an event contract decided.

    Of a spread it is when the first of its legs is delivered. ``None`` for any other
    id, for one whose YYMMDD is no date, and for an event contract of a kind whose id
    does not say when.
    """
    if both := legs(instrument_id):
        days = [day for day in map(delivery, both) if day is not None]
        return min(days, default=None)
    for market in ("futures", "option"):
        match = _FORMS[market].fullmatch(instrument_id)
        if match:
            day = _parsed(match[1], "%y%m%d", timezone.utc)
            return None if day is None else day.replace(hour=_DELIVERY_HOUR)
    return _fixing(instrument_id)
