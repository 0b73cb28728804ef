"""The REST requests of v5, and the readers of their answers. Pure.

Budgets and page sizes are those of the documentation of August 2025. Budgets are by IP
address; that of `instruments` is by IP address and market. The parameter ``after`` asks
for items older than a place, ``before`` for newer ones; ``before`` alone gives the
newest items and is not used.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from ..base.errors import WireError
from ..model.book import RPI, check_rpi
from ..model.instrument import Instrument
from ..model.numbers import UnreadableValue, quote
from ..protocol import listing, v5
from ..protocol.messages import CandleData, DepthData, TradeData
from ..protocol.values import epoch_ms
from .dialect import (
    HttpResponse,
    RestRequest,
    Rows,
    Rule,
    body_of,
    by_status,
    read_one,
    read_rows,
    refused,
)
from .pages import PageSource

_TIME = Rule("time", 10)
_UNDERLYING = Rule("underlying", 20)
_SERIES = Rule("event-contract series", 10)
_BOOK = Rule("books", 40)
_RPI_BOOK = Rule("books-rpi", 20)
_TRADES = Rule("trades", 100)
_OLD_TRADES = Rule("history-trades", 20)
# Requests for candles of traded prices in 2 s. Candles of a mark price or of an index
# have half of each.
_CANDLES, _OLD_CANDLES = 40, 20
_CANDLE = re.compile(r"(mark-price-|index-|sprd-)?candle(\w+)")
_HALVED = ("mark-price-", "index-")
_SPREADS = Rule("sprd/spreads", 20)
_SPREAD_BOOK = Rule("sprd/books", 20)
_SPREAD_TRADES = Rule("sprd/public-trades", 20)


class RestV5:
    """The `RestProtocol` of OKX v5, and of OKJ's v5.

    Stateless, so any thread may call it; `REST_PROTOCOL` is the one instance.
    """

    levels = 400
    # The parameter that names an instrument, and what reads the elements.
    _id_name, _reader = "instId", v5.PROTOCOL
    name = "v5"

    def data(self, request: RestRequest, answer: HttpResponse) -> Any:
        """The ``data`` of the envelope.

        A code other than 0 raises `RequestRejected`, at any HTTP status.
        """
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
        """The request for the exchange's time.

        The answer is ``[{"ts": "..."}]``.
        """
        return RestRequest("/api/v5/public/time", {}, _TIME)

    def read_time(self, data: Any) -> int:
        """The exchange's time in epoch milliseconds."""
        if len(data) != 1:
            raise WireError("time", f"{len(data)} times")
        return read_one("time", data[0], lambda element: epoch_ms(element["ts"]))

    # --- Present data ---------------------------------------------------------------

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """The request for the instruments of a market.

        Options are listed only by family; without one the exchange answers error 50015.
        Event contracts are listed only by series.
        """
        kind = listing.INST_TYPES[market]
        params = {"instType": kind}
        if family is not None:
            params["seriesId" if market == "events" else "instFamily"] = family
        return RestRequest(
            "/api/v5/public/instruments", params, Rule(f"instruments {kind}", 20)
        )

    def families(self, market: str) -> RestRequest | None:
        """The request for the underlyings of options, or the series of event contracts.

        ``None`` for any other market.
        """
        if market == "events":
            return RestRequest("/api/v5/public/event-contract/series", {}, _SERIES)
        if market != "option":
            return None
        return RestRequest(
            "/api/v5/public/underlying", {"instType": "OPTION"}, _UNDERLYING
        )

    def read_families(self, data: Any) -> Rows[str]:
        """The names of the underlyings, a list of lists; or of the series, objects."""

        def named(each: Any) -> Any:
            return each.get("seriesId") if type(each) is dict else each

        lists = [each if type(each) is list else [named(each)] for each in data]
        return read_rows("families", list(chain.from_iterable(lists)), listing.name)

    def read_instruments(self, data: Any, market: str) -> Rows[Instrument | None]:
        """The instruments of the answer.

        ``None`` stands for one that is not live and lacks a tick, lot or least size.
        """
        return read_rows(
            "instrument", data, lambda each: listing.instrument(each, market), "instId"
        )

    def book(
        self, instrument_id: str, market: str, levels: int, topic: str = "depth"
    ) -> RestRequest:
        """The request for the book, which the exchange caches for 50 ms at most.

        That with RPI it makes every 200 ms, and the answer waits for it.
        """
        params = {"instId": instrument_id, "sz": str(levels)}
        if topic == RPI:
            return RestRequest("/api/v5/market/books-rpi", params, _RPI_BOOK)
        return RestRequest("/api/v5/market/books", params, _BOOK)

    def read_book(self, data: Any, topic: str = "depth") -> DepthData:
        """The levels of the book, which is the one element of the answer."""
        if len(data) != 1:
            raise WireError("book", f"{len(data)} books")
        depth = self._reader.depth(data[0])
        if topic == RPI:
            read_one("book", [*depth.bids, *depth.asks], check_rpi)
        return depth

    # --- Past data ------------------------------------------------------------------

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """Two sources: the newest 500 trades at once; three months in pages of 100.

        A search back from *before* for fewer than 99 trades uses the second alone.
        """

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

    def read_trades(self, data: Any, instrument_id: str) -> Rows[TradeData]:
        """The trades of one page, each checked to be of *instrument_id*."""

        def read(element: Any) -> TradeData:
            about = element.get(self._id_name, instrument_id)
            if about != instrument_id:
                raise UnreadableValue("a trade of {}", about)
            return self._reader.trade(element)

        return read_rows("trade", data, read, "tradeId")

    def candles(
        self, instrument_id: str, market: str, own_name: str
    ) -> list[PageSource[RestRequest]]:
        """The last 1,440 candles in pages of 300, then older ones in pages of 100.

        Candles of a mark price or an index come in pages of 100 from both sources.
        One-second candles are in the second source alone, for three months.
        """
        match = _CANDLE.fullmatch(own_name)
        assert match is not None, own_name
        kind, bar = match[1] or "", match[2]
        is_halved = kind in _HALVED

        def source(which: str, size: int, limit: int) -> PageSource[RestRequest]:
            rule = Rule(which, limit // 2 if is_halved else limit)

            def request(older_than: int | None, count: int) -> RestRequest:
                params = {self._id_name: instrument_id, "bar": bar, "limit": str(count)}
                if older_than is not None:
                    params["after"] = str(older_than)
                return RestRequest(f"/api/v5/market/{which}", params, rule)

            return PageSource(size, request)

        last = source(f"{kind}candles", 100 if is_halved else 300, _CANDLES)
        older = f"history-{kind}candles"
        if kind == "sprd-":
            older = "sprd-history-candles"
        old = source(older, 100, _OLD_CANDLES)
        return [old] if bar == "1s" else [last, old]

    def seconds_of(self, own_name: str) -> int | None:
        """``None``: the answer says whether a candle is closed."""
        return None

    def read_candles(self, data: Any) -> Rows[CandleData]:
        """The candles of one page; its elements are those of the channels."""
        return read_rows("candle", data, self._reader.candle)


class RestSpreads(RestV5):
    """The `RestProtocol` of spreads under v5 (documentation of July 2026)."""

    _id_name = "sprdId"
    _reader = v5.PROTOCOL.reader(v5.PROTOCOL.channel("ticker", "spread", ""))

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """The request for all spreads."""
        return RestRequest("/api/v5/sprd/spreads", {}, _SPREADS)

    def read_instruments(self, data: Any, market: str) -> Rows[Instrument | None]:
        """The spreads of the answer."""
        return read_rows("instrument", data, listing.spread, "sprdId")

    def book(
        self, instrument_id: str, market: str, levels: int, topic: str = "depth"
    ) -> RestRequest:
        """The request for the book, which has no sequence number."""
        params = {"sprdId": instrument_id, "sz": str(levels)}
        return RestRequest("/api/v5/sprd/books", params, _SPREAD_BOOK)

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """One source: the newest 500 trades at once."""

        def newest(older_than: int | None, count: int) -> RestRequest:
            params = {"sprdId": instrument_id}
            return RestRequest("/api/v5/sprd/public-trades", params, _SPREAD_TRADES)

        return [PageSource(500, newest, pages=False)]


REST_PROTOCOL, REST_SPREADS = RestV5(), RestSpreads()
