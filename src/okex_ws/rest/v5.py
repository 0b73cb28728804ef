"""The REST interface of v5: what it is asked, and how its answers are read. Pure.

Budgets and limits are the documentation's of August 2025; all are by IP address, that
of `instruments` by IP address and market. ``after`` is older than, ``before`` newer
than; *before* alone gives the newest and is not used.
"""

from __future__ import annotations

import functools
import operator
import re
from datetime import datetime
from typing import Any

from ..base.clock import utc
from ..base.errors import WireError
from ..model.instrument import Instrument
from ..model.numbers import decimal, quote
from ..model.venues import delivery
from ..protocol import v5
from ..protocol.messages import CandleData, DepthData, TradeData
from ..protocol.values import epoch_ms, given, optional
from .dialect import (
    HttpResponse,
    RestRequest,
    Rule,
    body_of,
    by_status,
    name,
    read_each,
    refused,
)
from .pages import PageSource

_TYPES = {"spot": "SPOT", "futures": "FUTURES", "swap": "SWAP", "option": "OPTION"}
_TIME = Rule("time", 10)
_UNDERLYING = Rule("underlying", 20)
_BOOK = Rule("books", 40)
_TRADES = Rule("trades", 100)
_OLD_TRADES = Rule("history-trades", 20)
# Those of what is traded; those of a mark price or an index have half of it each.
_CANDLES, _OLD_CANDLES = 40, 20
_CANDLE = re.compile(r"(mark-price-|index-)?candle(\w+)")


class RestV5:
    """OKX v5, and OKJ's. Stateless: one instance, `REST_PROTOCOL`, does."""

    levels = 400
    # Unavailable, timed out, busy, system error: "Error Code" of the documentation.
    transient = frozenset(("50001", "50004", "50013", "50026"))
    rate_limited = frozenset(("50011", "50061"))

    def data(self, request: RestRequest, answer: HttpResponse) -> Any:
        """The ``data`` of the envelope; a code that is not 0 is a no, at any status."""
        body = body_of(request, answer)
        if type(body) is not dict:
            raise WireError("shape", f"not an object: {quote(body)}", request.path)
        code = body.get("code")
        if code != "0":
            raise refused(request, answer, code, body.get("msg"))
        if answer.status != 200:
            raise by_status(request, answer)
        if type(body.get("data")) is not list:
            raise WireError("shape", f"data is {quote(body.get('data'))}", request.path)
        return body["data"]

    def time(self) -> RestRequest:
        """``{"ts": "..."}``."""
        return RestRequest("/api/v5/public/time", {}, _TIME)

    def read_time(self, data: Any) -> int:
        """Epoch milliseconds."""
        found = read_each("time", data, lambda element: epoch_ms(element["ts"]))
        if len(found) != 1:
            raise WireError("time", f"{len(found)} times")
        return int(found[0])

    # --- What there is --------------------------------------------------------------

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """Options are listed by family alone (50015 without one)."""
        kind = _TYPES[market]
        params = {"instType": kind}
        if family is not None:
            params["instFamily"] = family
        return RestRequest(
            "/api/v5/public/instruments", params, Rule(f"instruments {kind}", 20)
        )

    def families(self, market: str) -> RestRequest | None:
        """Of options."""
        if market != "option":
            return None
        return RestRequest(
            "/api/v5/public/underlying", {"instType": "OPTION"}, _UNDERLYING
        )

    def read_families(self, data: Any) -> list[str]:
        """A list in a list."""
        found = read_each("families", data, list)
        return read_each("families", functools.reduce(operator.iadd, found, []), name)

    def read_instruments(self, data: Any, market: str) -> list[Instrument]:
        """Without those that are not traded yet and have no steps so far."""
        listed = read_each("instrument", data, lambda each: _instrument(each, market))
        return [each for each in listed if each is not None]

    def book(self, instrument_id: str, market: str, levels: int) -> RestRequest:
        """Of a cache that is 50 ms old at most."""
        params = {"instId": instrument_id, "sz": str(levels)}
        return RestRequest("/api/v5/market/books", params, _BOOK)

    def read_book(self, data: Any) -> DepthData:
        """One element."""
        if len(data) != 1:
            raise WireError("book", f"{len(data)} books")
        return v5.PROTOCOL.depth(data[0])

    # --- What was -------------------------------------------------------------------

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """The newest 500 by one request, and the last three months by the hundred."""

        def newest(older_than: int | None, count: int) -> RestRequest:
            many = count if before is None else 500
            params = {"instId": instrument_id, "limit": str(many)}
            return RestRequest("/api/v5/market/trades", params, _TRADES)

        def older(older_than: int | None, count: int) -> RestRequest:
            params = {"instId": instrument_id, "type": "1", "limit": str(count)}
            if older_than is not None:
                params["after"] = str(older_than)
            return RestRequest("/api/v5/market/history-trades", params, _OLD_TRADES)

        history = PageSource(100, older)
        if before is not None and limit < history.size - 1:
            return [history]
        return [PageSource(500, newest, pages=False), history]

    def read_trades(self, data: Any, instrument_id: str) -> list[TradeData]:
        """Each of the instrument that was asked for."""

        def read(element: Any) -> TradeData:
            if element.get("instId", instrument_id) != instrument_id:
                raise ValueError(f"a trade of {quote(element['instId'])}")
            return v5.PROTOCOL.trade(element)

        return read_each("trade", data, read)

    def candles(
        self, instrument_id: str, market: str, own_name: str
    ) -> list[PageSource[RestRequest]]:
        """The last 1,440 by 300, and those before by the hundred.

        Bars of a second are in the second list alone, for three months.
        """
        match = _CANDLE.fullmatch(own_name)
        assert match is not None, own_name
        kind, bar = match[1] or "", match[2]

        def source(which: str, size: int, limit: int) -> PageSource[RestRequest]:
            rule = Rule(which, limit // 2 if kind else limit)

            def request(older_than: int | None, count: int) -> RestRequest:
                params = {"instId": instrument_id, "bar": bar, "limit": str(count)}
                if older_than is not None:
                    params["after"] = str(older_than)
                return RestRequest(f"/api/v5/market/{which}", params, rule)

            return PageSource(size, request)

        last = source(f"{kind}candles", 100 if kind else 300, _CANDLES)
        old = source(f"history-{kind}candles", 100, _OLD_CANDLES)
        return [old] if bar == "1s" else [last, old]

    def seconds_of(self, own_name: str) -> int | None:
        """An answer tells whether a candle is over."""
        return None

    def read_candles(self, data: Any) -> list[CandleData]:
        """As the channels' elements."""
        return read_each("candle", data, v5.PROTOCOL.candle)


REST_PROTOCOL = RestV5()


def _instrument(element: Any, market: str) -> Instrument | None:
    instrument_id, state = name(element["instId"]), given(name, element.get("state"))
    tick, lot, least = (
        given(decimal, element.get(field)) for field in ("tickSz", "lotSz", "minSz")
    )
    if not (tick and lot and least):
        if state == "live":
            raise ValueError(f"{instrument_id} is live and has no steps")
        return None
    pair = (element.get("uly") or element.get("instFamily") or instrument_id).split("-")
    value, many = (optional(element.get(field)) for field in ("ctVal", "ctMult"))
    return Instrument(
        instrument_id,
        market,
        given(name, element.get("baseCcy")) or name(pair[0]),
        given(name, element.get("quoteCcy")) or name(pair[1]),
        tick,
        lot,
        least,
        value * many if value is not None and many is not None else value,
        given(name, element.get("ctValCcy")),
        given(name, element.get("settleCcy")),
        _moment(element.get("expTime")) or delivery(instrument_id),
        _moment(element.get("listTime")),
        state,
        optional(element.get("stk")),
        given(name, element.get("optType")),
    )


def _moment(value: Any) -> datetime | None:
    at = given(epoch_ms, value)
    return None if at is None else utc(at / 1000)
