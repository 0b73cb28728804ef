"""What the exchange's archive of past days has: the request, and its answer. Pure.

Sources: the documentation of 2026-07-23 and the changelog of 2026-08-06, and the
archive as it was from August to October 2026. A day of books is one of UTC; a day of
trades, candles and funding rates is one of UTC+8, so a day of UTC lies in two files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..model.numbers import UnreadableValue, decimal
from ..protocol.listing import INST_TYPES
from ..protocol.values import epoch_ms
from .dialect import RestRequest, Rows, Rule, read_one, read_rows

_RULE = Rule("market-data-history", 5)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.(zip|tar\.gz|csv\.gz)")
# A day of a book of 400 levels has 380 MB at most.
_MOST_MEGABYTES = 100_000


class _Kind(NamedTuple):
    """The exchange's number of a kind of file, its zone, and the first day of it."""

    module: int
    zone: timezone
    since: date


_UTC8 = timezone(timedelta(hours=8))
_KINDS = {
    "trades": _Kind(1, _UTC8, date(2021, 9, 1)),
    "candles": _Kind(2, _UTC8, date(2019, 12, 1)),
    "funding": _Kind(3, _UTC8, date(2021, 9, 1)),
    "books": _Kind(4, timezone.utc, date(2023, 4, 1)),
    "books-5000": _Kind(5, timezone.utc, date(2025, 11, 1)),
}
#: What the archive has, as `Rest.archive` names it.
ARCHIVED = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the exchange's archive, as its index names it.

    *kind* is one of `ARCHIVED`. *day* is the file's own day: of UTC for books, of UTC+8
    for anything else. *megabytes* is the size that the index says, rounded.
    """

    kind: str
    day: date
    name: str
    url: str
    megabytes: Decimal


def request_of(kind: str, instrument_id: str, market: str, day: date) -> RestRequest:
    """The request for the files that have the UTC *day* of an instrument.

    Raises:
        ValueError: there is no such file: *kind* is none of `ARCHIVED`, or the market
            or the day is one that the archive does not have.
    """
    if kind not in _KINDS:
        raise ValueError(f"the archive has {', '.join(ARCHIVED)}, not {kind!r:.80}")
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError(f"day is a date, got {day!r:.80}")
    module, zone, since = _KINDS[kind]
    if day < since:
        raise ValueError(f"the archive has {kind} since {since}, not of {day}")
    kinds = {name: INST_TYPES[name] for name in ("spot", "futures", "swap", "option")}
    if market not in kinds or (kind == "funding" and market != "swap"):
        raise ValueError(f"the archive has no {kind} of the market {market!r:.80}")
    names = "instIdList" if market == "spot" else "instFamilyList"
    whose = instrument_id
    if kind == "funding":
        whose = "ANY"  # a day of rates is one file for all swaps
    elif market != "spot":
        whose = "-".join(instrument_id.split("-")[:2])
    first, last = (_midnight(each, zone) for each in _days(day, zone))
    params = {
        "module": str(module),
        "instType": kinds[market],
        names: whose,
        "dateAggrType": "daily",
        "begin": str(first),
        "end": str(last),
    }
    return RestRequest("/api/v5/public/market-data-history", params, _RULE)


def _days(day: date, zone: timezone) -> tuple[date, date]:
    """The first and the last day of *zone* that have some of the UTC *day*."""
    return (day, day) if zone == timezone.utc else (day, day + timedelta(days=1))


def _midnight(day: date, zone: timezone) -> int:
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(start.timestamp()) * 1000


def read_files(
    data: Any, kind: str, instrument_id: str, day: date
) -> Rows[ArchiveFile]:
    """The files of an answer that have the UTC *day* of the instrument, oldest first.

    A file that the answer names beside them, such as one of another contract, is not
    among them.
    """
    zone = _KINDS[kind].zone

    def read(row: Any) -> ArchiveFile:
        name, url = row["filename"], row["url"]
        if not is_file_name(name):
            raise UnreadableValue("a file named {}", name)
        if not isinstance(url, str) or not _is_url(url):
            raise UnreadableValue("a URL {}", url)
        size = decimal(row["sizeMB"])
        if not 0 <= size <= _MOST_MEGABYTES:
            raise UnreadableValue("a file of {} MB", row["sizeMB"])
        at = epoch_ms(row["dateTs"] if "dateTs" in row else row["dataTs"]) / 1000
        own = datetime.fromtimestamp(at, zone).date()
        return ArchiveFile(kind, own, name, url, size)

    rows = read_one("archive", data, _rows)
    found = read_rows("archive", rows, read, "filename")
    wanted = _days(day, zone)
    return sorted(
        (
            each
            for each in found
            if not isinstance(each, ArchiveFile)
            or (each.day in wanted and _is_about(each.name, kind, instrument_id))
        ),
        key=lambda each: each.day if isinstance(each, ArchiveFile) else date.min,
    )


def _rows(data: Any) -> list[Any]:
    return [
        row
        for element in data
        for group in element["details"]
        for row in group["groupDetails"]
    ]


def _is_about(name: str, kind: str, instrument_id: str) -> bool:
    """Whether the file *name* has the instrument: its own, or one of its chain."""
    family = "-".join(instrument_id.split("-")[:2])
    starts = (instrument_id, f"{family}-futureschain", f"{family}-optionchain", "all")
    return any(name.startswith(f"{start}-") for start in starts[:3]) or (
        kind == "funding" and name.startswith("allswap-")
    )


def is_file_name(name: object) -> bool:
    """Whether *name* is one that the archive gives its files, without a path."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _is_url(text: str) -> bool:
    if not (text.isascii() and text.isprintable() and len(text) <= 1000):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
