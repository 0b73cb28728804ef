"""The REST interface of the local exchange: requests of v3 and v5, and the responses.

A response is about the same market as the channels: the same trades with the same ids,
the same bars, the book as it was last published. No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from ..faults.rest_faults import RestFault, RestFaults
from ..market.instrument_market import InstrumentMarket
from ..market.instruments import SyntheticInstrument
from ..market.market import SyntheticMarket
from ..wire import v3, v5_data
from ..wire.v5_data import INST_TYPES, milliseconds
from ..wire.values import Deal, EncodedPush, Period, to_json
from .archive import FILES, Archive, Refusal
from .listing import instrument, series_of, spread

# Where REST is, and where the files of the archive are.
PREFIXES = ("/api/", FILES)
# v5: the most elements in one request (documentation of August 2025), and how many bars
# ``candles`` has, which is the shorter one of the two lists of bars.
MOST = {
    "trades": 500,
    "history-trades": 100,
    "candles": 300,
    "history-candles": 100,
    "books": 400,
    "books-rpi": 400,
}
_BOOKS = ("books", "books-rpi")
RECENT_BARS = 1440
# The same of spreads (documentation of July 2026). Their trades come without a limit.
_OF_SPREADS = {
    "/api/v5/sprd/books": ("books", 400),
    "/api/v5/sprd/public-trades": ("trades", 500),
    "/api/v5/market/sprd-candles": ("candles", 300),
    "/api/v5/market/sprd-history-candles": ("history-candles", 100),
}
# v3 (OKEx.Net): the most trades in one request, and altogether; the same of bars; and
# the most levels of a book.
TRADES_V3 = {"spot": (60, 60), "futures": (100, 300), "swap": (100, 300)}
BARS_V3 = {"spot": (200, 2000), "futures": (300, 1440), "swap": (200, 1440)}
BOOK_V3 = 200

_ABOUT_V3 = re.compile(
    r"/api/(spot|futures|swap|option)/v3/instruments(?:/([^/]+)(?:/([a-z]+))?)?"
)
_WHOLE = re.compile("[0-9]{1,19}")


class RestResponse(NamedTuple):
    """An HTTP response; *length* is its ``Content-Length``, if that is to be wrong."""

    status: int
    body: str | bytes
    headers: Mapping[str, str] = {}
    length: int | None = None


class RestRequestHandler:
    """Answers the REST requests for one synthetic *market*, under v3 and v5.

    *book* is a callable that gives the snapshot that a late subscriber of a channel
    gets, at a time of day; so REST and WebSocket have one book. Only the exchange's
    event loop calls `answer`. A wrong request gets the error of its protocol.
    """

    def __init__(
        self, market: SyntheticMarket, book: Callable[[str, float], EncodedPush | None]
    ) -> None:
        self._market, self._book = market, book

    def answer(
        self,
        target: str,
        wall: float,
        faults: RestFaults,
        fault: RestFault | None,
        origin: str = "",
        wanted: str | None = None,
    ) -> RestResponse:
        """The response to a GET of *target*, spoiled by *fault* if there is one.

        *origin* is where files of the archive are served, and *wanted* the header
        ``Range``.
        """
        path, _, query = target.partition("?")
        how = fault.how if fault is not None else ""
        is_v5 = path.startswith("/api/v5/")
        if fault is not None and fault.answer is not None:
            status, headers, body = fault.answer
            return RestResponse(status, body, headers)
        if how in _SAID:
            status, code, message = _SAID[how]
            return RestResponse(status, _error(is_v5, code, message))
        if path.startswith(FILES):
            file = self._archive().file(path, wanted)
            if how == "cut":
                half, length = file.body[: len(file.body) // 2], len(file.body)
                return RestResponse(file.status, half, file.headers, length)
            return RestResponse(file.status, file.body, file.headers)
        params = dict(parse_qsl(query))
        try:
            if path == "/api/v5/public/market-data-history":
                page: Any = self._archive().index(params, wall, origin)
            else:
                page = (self._v5 if is_v5 else self._v3)(path, params, wall)
        except Refusal as no:
            return RestResponse(no.status, _error(is_v5, no.code, no.message))
        if isinstance(page, list):
            about = params.get("instId") or params.get("sprdId")
            page = faults.page(f"{path} {about}", page, how)
        body = to_json({"code": "0", "msg": "", "data": page} if is_v5 else page)
        if how == "garbage":
            return RestResponse(200, f"<html>{body[:40]}</html>")
        if how == "cut":
            return RestResponse(200, body[: len(body) // 2], length=len(body.encode()))
        return RestResponse(200, body)

    def _archive(self) -> Archive:
        listed = {each.instrument_id: each for each in self._market.listed}
        return Archive(self._market.seed, listed)

    # --- v5 -------------------------------------------------------------------------

    def _v5(self, path: str, params: dict[str, str], wall: float) -> list[Any]:
        if path == "/api/v5/public/time":
            return [{"ts": milliseconds(wall)}]
        if path == "/api/v5/public/underlying":
            return [self._families()]
        if path == "/api/v5/public/event-contract/series":
            listed = (each for each in self._market.listed if each.market == "events")
            series = sorted({series_of(each.instrument_id) for each in listed})
            return [{"seriesId": each} for each in series]
        if path == "/api/v5/public/instruments":
            return self._instruments(params)
        if path == "/api/v5/sprd/spreads":
            return self._spreads(params, wall)
        of_spreads = path in _OF_SPREADS
        what = path.removeprefix("/api/v5/market/")
        what, most = _OF_SPREADS.get(path) or (what, MOST.get(what, 0))
        if not most:
            raise Refusal(404, 404, "Not Found")
        instrument_id = params.get("sprdId" if of_spreads else "instId", "")
        markets = {each.instrument_id: each.market for each in self._market.listed}
        market = markets.get(instrument_id)
        if market is None or (market == "spread") != of_spreads:
            raise Refusal(200, "51001", "Instrument ID does not exist.")
        instrument_market = self._market.instrument_market(market, instrument_id, wall)
        assert instrument_market is not None
        if what in _BOOKS:
            channel = f"{what}:{instrument_id}"
            if of_spreads:
                channel = f"sprd-books-l2-tbt:sprdId={instrument_id}"
            return [self._book_v5(channel, params, wall, 5 if of_spreads else 1)]
        if what.endswith("trades"):
            paged = what.startswith("history")
            count = most if of_spreads else _count(params, "limit", most)
            return _trades_v5(
                instrument_market, _place(params, "after") if paged else None, count
            )
        count = _count(params, "limit", most)
        return _candles_v5(instrument_market, what, params, count, wall)

    def _families(self) -> list[str]:
        options = [each for each in self._market.listed if each.market == "option"]
        return sorted({_family(each) for each in options})

    def _instruments(self, params: dict[str, str]) -> list[Any]:
        kind, family = params.get("instType"), params.get("instFamily")
        family = params.get("seriesId") if kind == "EVENTS" else family
        if not kind:
            raise Refusal(400, "50014", "Parameter instType can not be empty.")
        if kind == "OPTION" and not family:
            raise Refusal(
                400, "50015", "Either parameter uly or instFamily is required"
            )
        if kind == "EVENTS" and not family:
            raise Refusal(400, "50014", "Parameter seriesId can not be empty.")
        return [
            instrument(each)
            for each in self._market.listed
            if INST_TYPES.get(each.market) == kind and family in (None, _family(each))
        ]

    def _spreads(self, params: dict[str, str], wall: float) -> list[Any]:
        found = [
            spread(each, wall)
            for each in self._market.listed
            if each.market == "spread"
        ]
        wanted = ("sprdId", "baseCcy", "state")
        return [
            each
            for each in found
            if all(each[name] == params.get(name, each[name]) for name in wanted)
        ]

    def _book_v5(
        self, channel: str, params: dict[str, str], wall: float, levels: int
    ) -> dict[str, Any]:
        size = _count(params, "sz", MOST["books"], levels)
        push = self._book(channel, wall)
        assert push is not None
        said = push.element
        numbers = {} if channel.startswith("sprd-") else {"seqId": int(said["seqId"])}
        return {
            "asks": said["asks"][:size],
            "bids": said["bids"][:size],
            "ts": said["ts"],
            **numbers,
        }

    # --- v3 -------------------------------------------------------------------------

    def _v3(self, path: str, params: dict[str, str], wall: float) -> Any:
        if path == "/api/general/v3/time":
            return {"iso": v3.iso(wall), "epoch": f"{wall:.3f}"}
        if path == "/api/option/v3/underlying":
            return self._families()
        match = _ABOUT_V3.fullmatch(path)
        if match is None:
            raise Refusal(404, 30000, "bad URL path")
        market, about, what = match[1], unquote(match[2] or ""), match[3]
        if what is None:
            return [
                _instrument_v3(each)
                for each in self._market.listed
                if each.market == market and about in ("", _family(each))
            ]
        instrument_market = self._market.instrument_market(market, about, wall)
        if instrument_market is None:
            raise Refusal(400, 30032, "The currency pair does not exist")
        if what == ("depth" if market == "swap" else "book"):
            return self._book_v3(market, about, params, wall)
        if what == "trades":
            return _trades_v3(instrument_market, params)
        if what == "candles":
            return _candles_v3(instrument_market, params, wall)
        raise Refusal(404, 30000, "bad URL path")

    def _book_v3(
        self, market: str, instrument_id: str, params: dict[str, str], wall: float
    ) -> dict[str, Any]:
        size = _count(params, "size", BOOK_V3, BOOK_V3)
        push = self._book(f"{market}/depth:{instrument_id}", wall)
        assert push is not None
        said = push.element
        at = "time" if market in ("swap", "option") else "timestamp"
        sides = {side: said[side][:size] for side in ("asks", "bids")}
        return {**sides, at: said["timestamp"]}


_SAID: dict[str, tuple[int, int | str, str]] = {
    "crowded": (429, "50011", "Too Many Requests"),
    "busy": (503, "50013", "Systems are busy. Please try again later."),
}
_NUMBERS_V3 = {"50011": 30014, "50013": 30030}


def _error(is_v5: bool, code: int | str, message: str) -> str:
    if is_v5:
        return to_json({"code": code, "msg": message, "data": []})
    return to_json({"code": _NUMBERS_V3.get(str(code), code), "message": message})


def _count(params: dict[str, str], name: str, most: int, default: int = 100) -> int:
    said = params.get(name, str(min(default, most)))
    if not _WHOLE.fullmatch(said) or not 1 <= int(said) <= most:
        raise Refusal(200, "51000", f"Parameter {name} error.")
    return int(said)


def _place(params: dict[str, str], name: str) -> int | None:
    said = params.get(name)
    if said is None:
        return None
    if not _WHOLE.fullmatch(said):
        raise Refusal(200, "51000", f"Parameter {name} error.")
    return int(said)


def _family(each: SyntheticInstrument) -> str:
    if each.market == "events":
        return series_of(each.instrument_id)
    return "-".join(each.instrument_id.split("-")[:2])


def _trades_v5(
    instrument_market: InstrumentMarket, after: int | None, count: int
) -> list[Any]:
    where = instrument_market.instrument_id, instrument_market.market
    text = v5_data.spread_trade if where[1] == "spread" else v5_data.trades_all
    deals = instrument_market.trades_before(after, count)
    return [json.loads(text(*where, deal)) for deal in deals]


def _candles_v5(
    instrument_market: InstrumentMarket,
    what: str,
    params: dict[str, str],
    count: int,
    wall: float,
) -> list[Any]:
    bar = params.get("bar", "1m")
    period = v5_data.TOPICS.get(f"candle{bar}")
    if not isinstance(period, Period) or (what == "candles" and bar == "1s"):
        raise Refusal(200, "51000", "Parameter bar error.")
    after, before = _place(params, "after"), _place(params, "before")
    bars = instrument_market.candles(period, wall)
    if what == "candles":
        bars = bars[:RECENT_BARS]
    older = [each for each in bars if after is None or each.start * 1000 < after]
    newer = [each for each in older if before is None or each.start * 1000 > before]
    where = instrument_market.instrument_id, instrument_market.market
    text = v5_data.spread_candle if where[1] == "spread" else v5_data.candle
    return [json.loads(text(*where, each)) for each in newer[:count]]


def _instrument_v3(each: SyntheticInstrument) -> dict[str, Any]:
    said = instrument(each)
    family = _family(each)
    base, quote = family.split("-")
    element = {
        "instrument_id": each.instrument_id,
        "base_currency": base,
        "quote_currency": quote,
        "tick_size": each.tick,
    }
    if each.market == "spot":
        return {**element, "size_increment": each.lot, "min_size": each.lot}
    step = "trade_increment" if each.market == "futures" else "size_increment"
    return {
        **element,
        "underlying": family,
        step: each.lot,
        "contract_val": said["ctVal"],
        "contract_val_currency": said["ctValCcy"],
        "settlement_currency": said["settleCcy"],
        "is_inverse": str(said["ctType"] == "inverse").lower(),
    }


def _trades_v3(
    instrument_market: InstrumentMarket, params: dict[str, str]
) -> list[Any]:
    most, kept = TRADES_V3.get(instrument_market.market, (100, 300))
    count = _count(params, "limit", most, most)
    after = _place(params, "after") if instrument_market.market != "spot" else None
    last: list[Deal] = instrument_market.trades_before(None, kept)
    older = [deal for deal in last if after is None or deal.id < after]
    return [_trade_v3(instrument_market, deal) for deal in older[:count]]


def _trade_v3(instrument_market: InstrumentMarket, deal: Deal) -> dict[str, str]:
    said = v3.trade_element(
        instrument_market.market, instrument_market.instrument_id, deal
    )
    del said["instrument_id"]
    return (
        {"time": said["timestamp"], **said}
        if instrument_market.market == "spot"
        else said
    )


def _candles_v3(
    instrument_market: InstrumentMarket, params: dict[str, str], wall: float
) -> list[Any]:
    period = v3.TOPICS.get(f"candle{params.get('granularity', '60')}s")
    if not isinstance(period, Period):
        raise Refusal(400, 30024, "invalid granularity")
    most, kept = BARS_V3.get(instrument_market.market, (200, 1440))
    begin, end = _moment(params.get("start")), _moment(params.get("end"))
    return [
        v3.candle_row(instrument_market.market, each)
        for each in instrument_market.candles(period, wall)[:kept]
        if (begin is None or each.start >= begin) and (end is None or each.start <= end)
    ][:most]


def _moment(said: str | None) -> float | None:
    if said is None:
        return None
    try:
        # ``fromisoformat`` of Python 3.10 does not accept the Z of UTC.
        return datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise Refusal(400, 30024, f"invalid time {said}") from None
