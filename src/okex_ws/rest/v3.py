"""The REST requests of v3, and the readers of their answers. Pure.

The interface is alive at OKJ, for spot. Budgets are those of the official SDKs and of
OKEx.Net: 20 requests in 2 s for each kind of request, by IP address. The exchange keeps
the newest 60 trades on spot and 300 elsewhere, and the newest 2,000 candles on spot and
1,440 elsewhere.
"""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from typing import Any

from ..base.clock import utc
from ..base.errors import WireError
from ..model.instrument import Instrument
from ..model.instrument_ids import delivery
from ..model.numbers import decimal, quote
from ..protocol import v3
from ..protocol.listing import name
from ..protocol.messages import CandleData, DepthData, TradeData
from ..protocol.values import given, iso_ms, optional
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

_LIMIT = 20
# The most items of one request, by market.
_TRADES = {"spot": 60, "futures": 100, "swap": 100, "option": 100}
_CANDLES = {"spot": 200, "futures": 300, "swap": 200, "option": 200}
_PRICES = ("open", "high", "low", "close")


class RestV3:
    """The `RestProtocol` of OKEX v3, and of OKJ's v3 of today.

    Stateless, so any thread may call it; `REST_PROTOCOL` is the one instance.
    """

    levels = 200
    name = "v3"

    def data(self, request: RestRequest, answer: HttpResponse) -> Any:
        """The body; a body with an error code raises `RequestRejected`."""
        body = body_of(request, answer)
        if type(body) is dict:
            code = body.get("error_code") or body.get("code")
            if code not in (None, "", "0"):
                said = body.get("error_message") or body.get("message")
                raise refused(request, answer, code, said, int)
        if answer.status != 200:
            raise by_status(request, answer)
        return body

    def time(self) -> RestRequest:
        """The request for the exchange's time.

        The answer is ``{"iso": "...", "epoch": "..."}``.
        """
        return RestRequest("/api/general/v3/time", {}, Rule("time", _LIMIT))

    def read_time(self, data: Any) -> int:
        """The exchange's time in epoch milliseconds, from ``iso``."""
        return read_one("time", data, lambda each: iso_ms(each["iso"]))

    # --- Present data ---------------------------------------------------------------

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """The request for the instruments of a market (options: of an underlying)."""
        below = f"/{family}" if family is not None else ""
        rule = Rule(f"{market}/instruments", _LIMIT)
        return RestRequest(f"/api/{market}/v3/instruments{below}", {}, rule)

    def families(self, market: str) -> RestRequest | None:
        """The request for the underlyings of options; ``None`` for any other market."""
        if market != "option":
            return None
        return RestRequest(
            "/api/option/v3/underlying", {}, Rule("option/underlying", _LIMIT)
        )

    def read_families(self, data: Any) -> Rows[str]:
        """The names of the underlyings; the answer is a list of them."""
        return read_rows("families", data, name)

    def read_instruments(self, data: Any, market: str) -> Rows[Instrument | None]:
        """All instruments of the answer."""
        return read_rows(
            "instrument", data, lambda each: _instrument(each, market), "instrument_id"
        )

    def book(
        self, instrument_id: str, market: str, levels: int, topic: str = "depth"
    ) -> RestRequest:
        """The request for the book, which is called ``depth`` on swap."""
        what = "depth" if market == "swap" else "book"
        return _about(instrument_id, market, what, {"size": str(levels)})

    def read_book(self, data: Any, topic: str = "depth") -> DepthData:
        """The levels of a book; its timestamp is called ``time`` on swap and option."""
        if type(data) is not dict:
            raise WireError("book", f"not an object: {quote(data)}")
        at = data.get("timestamp", data.get("time"))
        return v3.PROTOCOL.depth({**data, "timestamp": at})

    # --- Past data ------------------------------------------------------------------

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """One source: on spot only the newest 60 trades, elsewhere pages of 100."""
        size, pages = _TRADES[market], market != "spot"

        def request(older_than: int | None, count: int) -> RestRequest:
            params = {"limit": str(count if pages or before is None else size)}
            if pages and older_than is not None:
                params["after"] = str(older_than)
            return _about(instrument_id, market, "trades", params)

        return [PageSource(size, request, pages)]

    def read_trades(self, data: Any, instrument_id: str) -> Rows[TradeData]:
        """The trades of one page; its elements do not name the instrument."""
        return read_rows("trade", data, v3.PROTOCOL.trade, "trade_id")

    def candles(
        self, instrument_id: str, market: str, own_name: str
    ) -> list[PageSource[RestRequest]]:
        """One source: each request is for a window of time, one page long at most."""
        seconds = self.seconds_of(own_name)

        def request(older_than: int | None, count: int) -> RestRequest:
            assert older_than is not None
            end = older_than / 1000
            window = {"start": _iso(end - count * seconds), "end": _iso(end + 1)}
            params = {"granularity": str(seconds), **window}
            return _about(instrument_id, market, "candles", params)

        return [PageSource(_CANDLES[market], request)]

    def seconds_of(self, own_name: str) -> int:
        """60 for ``candle60s``: an answer does not say whether a candle is closed."""
        return int(own_name.removeprefix("candle").removesuffix("s"))

    def read_candles(self, data: Any) -> Rows[CandleData]:
        """The candles of one page: rows as in channels, or objects (spot in 2018)."""
        return read_rows("candle", data, _candle)


REST_PROTOCOL = RestV3()


def _about(
    instrument_id: str, market: str, what: str, params: dict[str, str]
) -> RestRequest:
    rule = Rule(f"{market}/{what}", _LIMIT)
    return RestRequest(
        f"/api/{market}/v3/instruments/{instrument_id}/{what}", params, rule
    )


def _iso(seconds: float) -> str:
    return f"{utc(seconds):%Y-%m-%dT%H:%M:%S}.000Z"


def _candle(row: Any) -> CandleData:
    if type(row) is dict:
        row = [row["time"], *(row[price] for price in _PRICES), row["volume"]]
    return v3.PROTOCOL.candle({"candle": row})


def _instrument(element: Any, market: str) -> Instrument:
    instrument_id = name(element["instrument_id"])
    pair = (element.get("underlying") or instrument_id).split("-")
    step = element.get("size_increment") or element["trade_increment"]
    tick, lot = decimal(element["tick_size"]), decimal(step)
    if not (tick and lot):
        raise ValueError(f"{instrument_id} has no steps")
    return Instrument(
        instrument_id,
        market,
        given(name, element.get("base_currency")) or name(pair[0]),
        given(name, element.get("quote_currency")) or name(pair[1]),
        tick,
        lot,
        optional(element.get("min_size")) or lot,
        optional(element.get("contract_val")),
        given(name, element.get("contract_val_currency")),
        given(name, element.get("settlement_currency")),
        delivery(instrument_id),
        given(_listed, element.get("listing")),
        given(name, element.get("state")),
        optional(element.get("strike")),
        given(name, element.get("option_type")),
    )


def _listed(value: Any) -> datetime:
    """The time of a listing; in 2019 the exchange sent only a date."""
    if isinstance(value, str) and len(value) == 10:
        return datetime.combine(date.fromisoformat(value), time(), timezone.utc)
    return utc(iso_ms(value) / 1000)
