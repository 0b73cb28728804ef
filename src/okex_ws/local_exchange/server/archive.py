"""The archive of the local exchange: its index, and made-up files of past days.

The files have the exchange's forms (documentation and archive of 2026): CSV in a zip
for trades, candles and funding rates, rows of JSON in a tar.gz for books. The market of
a past day is made by the seed, the instrument and the day; it is not that of the
channels. A day is there from the second day after it on. No I/O.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from ..market.instruments import SyntheticInstrument
from ..wire.v5_data import INST_TYPES

FILES = "/cdn/"
# Rows of a day of trades, and updates of a book between two snapshots.
TRADES, UPDATES = 500, 20
_LEVELS = {"books": 400, "books-5000": 5000}
# A made-up book is not so deep as the exchange's, so that a day is made in a moment.
_DEPTH = 30
_UTC8 = timezone(timedelta(hours=8))
_DAY_MS = 86_400_000
_MODULES = {
    "1": "trades",
    "2": "candlesticks",
    "3": "fundingrates",
    "4": "books",
    "5": "books-5000",
}
_PATH = re.compile(r"/cdn/okex/([a-z0-9-]+)/([0-9]{8})/([A-Za-z0-9._-]+)")
_RANGE = re.compile(r"bytes=([0-9]{1,12})-")
_HEADERS = {
    "trades": "instrument_name,trade_id,side,price,size,created_time,source",
    "candlesticks": "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,"
    "open_time,confirm",
    "fundingrates": "instrument_name,funding_rate,funding_time",
}


class Refusal(Exception):
    """A request is refused, with the status, code and message of its protocol."""

    def __init__(self, status: int, code: int | str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


class FileResponse(NamedTuple):
    """An HTTP response with bytes."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Archive:
    """The files of past days of *listed* instruments, the same for the same *seed*."""

    def __init__(self, seed: int, listed: Mapping[str, SyntheticInstrument]) -> None:
        self._seed, self._listed = seed, listed

    def index(
        self, params: Mapping[str, str], wall: float, origin: str
    ) -> list[dict[str, Any]]:
        """The ``data`` of the answer to a request of the index.

        *origin* is where the files are served. A request that is wrong raises
        `Refusal`.
        """
        kind, inst_type = _MODULES.get(params.get("module", "")), params.get("instType")
        names = params.get("instIdList" if inst_type == "SPOT" else "instFamilyList")
        if kind is None or not names or params.get("dateAggrType") != "daily":
            raise Refusal(200, "51000", "Parameter module error.")
        zone = timezone.utc if kind in _LEVELS else _UTC8
        try:
            first, last = (
                datetime.fromtimestamp(int(params[name]) / 1000, zone).date()
                for name in ("begin", "end")
            )
        except (KeyError, ValueError, OverflowError, OSError):
            raise Refusal(200, "51000", "Parameter begin error.") from None
        if not timedelta(0) <= last - first < timedelta(days=10):
            raise Refusal(200, "51000", "Parameter end error.")
        newest = datetime.fromtimestamp(wall, timezone.utc).date() - timedelta(days=2)
        days = [last - timedelta(days=n) for n in range((last - first).days + 1)]
        rows = [
            self._row(kind, name, day, zone, origin)
            for day in days
            if day <= newest
            for name in self._names(kind, str(inst_type), names.split(","))
        ]
        groups = [{"groupDetails": rows, "instType": inst_type}] if rows else []
        return [{"dateAggrType": "daily", "details": groups}]

    def _names(self, kind: str, inst_type: str, wanted: list[str]) -> list[str]:
        """Whose files are meant: of an instrument, of a chain, or of all swaps."""
        if kind == "fundingrates":
            return ["allswap"]
        listed = [
            each
            for each in self._listed.values()
            if INST_TYPES.get(each.market) == inst_type
        ]
        if inst_type == "SPOT":
            return [each for each in wanted if each in self._listed]
        families = {"-".join(each.instrument_id.split("-")[:2]) for each in listed}
        found = [each for each in wanted if each in families]
        end = {"SWAP": "SWAP", "OPTION": "optionchain"}.get(inst_type, "futureschain")
        return [f"{each}-{end}" for each in found]

    def _row(
        self, kind: str, name: str, day: date, zone: timezone, origin: str
    ) -> dict[str, str]:
        middle, end = f"-{kind}-", ".zip"
        if kind in _LEVELS:
            middle, end = f"-L2orderbook-{_LEVELS[kind]}lv-", ".tar.gz"
        file = f"{name}{middle}{day}{end}"
        path = f"{FILES}okex/{kind}/{day:%Y%m%d}/{file}"
        size = len(self._packed(kind, day, file) or b"")
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
        return {
            "dateTs": str(int(start.timestamp()) * 1000),
            "filename": file,
            "sizeMB": f"{Decimal(size) / (1 << 20):.2f}",
            "url": f"{origin}{path}",
        }

    def file(self, target: str, wanted: str | None) -> FileResponse:
        """The file at *target*, or what the header ``Range`` *wanted* has of it."""
        match = _PATH.fullmatch(target.partition("?")[0])
        packed = None
        if match is not None:
            with suppress(ValueError):  # no day of a calendar
                day = datetime.strptime(f"{match[2]} +0000", "%Y%m%d %z").date()
                packed = self._packed(match[1], day, match[3])
        if packed is None:
            return FileResponse(404, b"", {})
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{hashlib.sha256(packed).hexdigest()[:32]}"',
        }
        part = _RANGE.fullmatch(wanted or "")
        if part is None:
            return FileResponse(200, packed, headers)
        start = int(part[1])
        if start >= len(packed):
            headers["Content-Range"] = f"bytes */{len(packed)}"
            return FileResponse(416, b"", headers)
        headers["Content-Range"] = f"bytes {start}-{len(packed) - 1}/{len(packed)}"
        return FileResponse(206, packed[start:], headers)

    # --- What is in them ------------------------------------------------------------

    def _packed(self, kind: str, day: date, file: str) -> bytes | None:
        name = file.partition(f"-{kind}-")[0]
        if kind in _LEVELS:
            name = file.partition("-L2orderbook-")[0]
        known = [each for each in self._listed.values() if _has(name, kind, each)]
        return _pack(self._seed, kind, day, file, tuple(known)) if known else None


def _has(name: str, kind: str, each: SyntheticInstrument) -> bool:
    """Whether the file of *name* has the instrument."""
    family = "-".join(each.instrument_id.split("-")[:2])
    if kind == "fundingrates":
        return name == "allswap" and each.market == "swap"
    chains = {"futures": f"{family}-futureschain", "option": f"{family}-optionchain"}
    return name in (each.instrument_id, chains.get(each.market))


@lru_cache(maxsize=64)
def _pack(
    seed: int, kind: str, day: date, file: str, known: tuple[SyntheticInstrument, ...]
) -> bytes:
    """The bytes of a file, always the same."""
    out = io.BytesIO()
    if kind not in _LEVELS:
        lines = [_HEADERS[kind]]
        for each in known:
            lines += _ROWS[kind](each, _random(seed, kind, day, each), _start(day, 8))
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            member = zipfile.ZipInfo(f"{file.removesuffix('.zip')}.csv")
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, "\n".join(lines) + "\n")
        return out.getvalue()
    # Without a time, so that its bytes are always the same.
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for each in known:
            rows = _book(each, _random(seed, kind, day, each), _start(day, 0))
            data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
            of_member = tarfile.TarInfo(file.removesuffix(".tar.gz") + ".data")
            if len(known) > 1:
                of_member.name = f"{each.instrument_id}.data"
            of_member.size = len(data)
            archive.addfile(of_member, io.BytesIO(data))
    return out.getvalue()


def _random(
    seed: int, kind: str, day: date, each: SyntheticInstrument
) -> random.Random:
    return random.Random(f"{seed} {kind} {day} {each.instrument_id}")


def _start(day: date, hours: int) -> int:
    """The first millisecond of *day* where clocks are *hours* ahead of UTC."""
    at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    return int((at - timedelta(hours=hours)).timestamp()) * 1000


def _walk(each: SyntheticInstrument, rng: random.Random) -> Iterator[Decimal]:
    """Prices, one tick or a few from the one before, and never below one tick."""
    tick, price = Decimal(each.tick), Decimal(each.price)
    while True:
        yield price
        price = max(tick, price + tick * rng.randint(-3, 3))


def _trades(each: SyntheticInstrument, rng: random.Random, start: int) -> list[str]:
    times = sorted(rng.randrange(_DAY_MS) for _ in range(TRADES))
    prices, first = _walk(each, rng), start // 1000
    lot = Decimal(each.lot)
    return [
        f"{each.instrument_id},{first + n},{rng.choice(('buy', 'sell'))},"
        f"{next(prices)},{lot * rng.randint(1, 50)},{start + at},0"
        for n, at in enumerate(times)
    ]


def _candles(each: SyntheticInstrument, rng: random.Random, start: int) -> list[str]:
    prices, rows = _walk(each, rng), []
    opening = next(prices)
    for minute in range(1440):
        inside = [opening, next(prices), next(prices), next(prices)]
        volume = Decimal(each.lot) * rng.randint(1, 500)
        rows.append(
            f"{each.instrument_id},{opening},{max(inside)},{min(inside)},{inside[-1]},"
            f"{volume},{volume},{volume * inside[-1]},{start + minute * 60_000},1"
        )
        opening = inside[-1]
    return rows


def _rates(each: SyntheticInstrument, rng: random.Random, start: int) -> list[str]:
    return [
        f"{each.instrument_id},{Decimal(rng.randint(-3000, 3000)) / 10_000_000:f},"
        f"{start + hour * 3_600_000}"
        for hour in (0, 8, 16)
    ]


_ROWS = {"trades": _trades, "candlesticks": _candles, "fundingrates": _rates}


def _book(
    each: SyntheticInstrument, rng: random.Random, start: int
) -> Iterator[dict[str, Any]]:
    """A snapshot every 15 minutes, and updates that lead from one to the next."""
    tick, lot = Decimal(each.tick), Decimal(each.lot)
    middle = max(Decimal(each.price), tick * 3 * _DEPTH)
    sides = {
        "asks": {middle + tick * (n + 1): lot * (n + 1) for n in range(_DEPTH)},
        "bids": {middle - tick * n: lot * (n + 1) for n in range(_DEPTH)},
    }
    for window in range(96):
        at = start + window * 900_000
        yield _said(each, "snapshot", at, sides)
        for update in range(UPDATES):
            changes: dict[str, dict[Decimal, Decimal]] = {"asks": {}, "bids": {}}
            for side, levels in sides.items():
                price = rng.choice(sorted(levels))
                size = lot * rng.randint(0 if len(levels) > _DEPTH // 2 else 1, 40)
                changes[side][price] = size
                if size:
                    levels[price] = size
                else:
                    del levels[price]
            yield _said(each, "update", at + (update + 1) * 40_000 + 7, changes)


def _said(
    each: SyntheticInstrument,
    action: str,
    at: int,
    sides: Mapping[str, Mapping[Decimal, Decimal]],
) -> dict[str, Any]:
    """A row: prices best first, each with its size and a number of orders."""
    rows = {
        side: [
            [str(price), str(size), "1" if size else "0"]
            for price, size in sorted(levels.items(), reverse=side == "bids")
        ]
        for side, levels in sides.items()
    }
    return {"instId": each.instrument_id, "action": action, "ts": str(at), **rows}
