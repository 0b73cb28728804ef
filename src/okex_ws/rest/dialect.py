"""What a REST interface is asked and answers, whatever the protocol. Pure.

Total over hostile bodies: reading one raises `WireError`, or `RequestRejected` where it
says no, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from ..base.errors import RequestRejected, WireError
from ..model.instrument import Instrument
from ..model.numbers import quote
from ..protocol.json_text import exact
from ..protocol.messages import CandleData, DepthData, TradeData
from ..protocol.values import why
from .pages import PageSource

# What reading JSON of any shape as if it had the right one may raise.
UNREADABLE = (AttributeError, TypeError, LookupError, ValueError)
# How much of the exchange's own words is kept.
MAX_MESSAGE = 1000
_CODE = re.compile("-?[0-9]{1,9}")
_NAME = re.compile("[A-Za-z0-9_.-]{1,64}")


class Rule(NamedTuple):
    """A documented budget: at most *limit* requests in *period* seconds.

    Requests of one *name* are counted together.
    """

    name: str
    limit: int
    period: float = 2.0


class RestRequest(NamedTuple):
    """One GET: its path, its parameters, and the budget that it is from."""

    path: str
    params: Mapping[str, str]
    rule: Rule


class HttpResponse(NamedTuple):
    """What came for an `RestRequest`: status, body, and ``Retry-After`` in seconds."""

    status: int
    body: bytes
    retry_after: float | None = None


class RestProtocol(Protocol):
    """What a protocol's REST interface is asked, and how its answers are read."""

    # Levels of a book that one request can have.
    levels: int
    # Codes of errors that go away by themselves, and of too many requests.
    transient: frozenset[str]
    rate_limited: frozenset[str]

    def data(self, request: RestRequest, answer: HttpResponse) -> Any:
        """What an answer holds, its numbers as the characters they were written in."""
        ...

    def time(self) -> RestRequest:
        """The exchange's clock."""
        ...

    def read_time(self, data: Any) -> int:
        """Its epoch milliseconds."""
        ...

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """The instruments of a market, or of a family of one."""
        ...

    def families(self, market: str) -> RestRequest | None:
        """What lists the families of a market that is only listed by them."""
        ...

    def read_families(self, data: Any) -> list[str]:
        """Their names."""
        ...

    def read_instruments(self, data: Any, market: str) -> list[Instrument]:
        """Those that can be traded, or say what they are."""
        ...

    def book(self, instrument_id: str, market: str, levels: int) -> RestRequest:
        """The present book."""
        ...

    def read_book(self, data: Any) -> DepthData:
        """Its levels, checked."""
        ...

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """The ways to the trades of an instrument, in order."""
        ...

    def read_trades(self, data: Any, instrument_id: str) -> list[TradeData]:
        """One page of trades."""
        ...

    def candles(
        self, instrument_id: str, market: str, own_name: str
    ) -> list[PageSource[RestRequest]]:
        """The ways to the candles of a channel, by the protocol's *own_name* of it."""
        ...

    def seconds_of(self, own_name: str) -> int | None:
        """How long a candle is, where the answer does not tell whether it is over."""
        ...

    def read_candles(self, data: Any) -> list[CandleData]:
        """One page of candles."""
        ...


def body_of(request: RestRequest, answer: HttpResponse) -> Any:
    """The JSON of an answer; of one that is no JSON its status speaks."""
    try:
        return exact(answer.body.decode().strip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        if answer.status != 200:
            raise by_status(request, answer) from error
        raise WireError("json", why(error)[:200], request.path) from error


def by_status(request: RestRequest, answer: HttpResponse) -> RequestRejected:
    """A no of which only the HTTP status is known."""
    known = {each.value: each.phrase for each in HTTPStatus}
    said = known.get(answer.status, "an unknown HTTP status")
    if 300 <= answer.status < 400:
        said = f"{said}: redirects are not followed"
    status = answer.status
    return RequestRejected(status, said, request.path, status, answer.retry_after)


def refused(
    request: RestRequest,
    answer: HttpResponse,
    code: Any,
    message: Any,
    kind: Callable[[str], int | str] = str,
) -> RequestRejected:
    """The exchange's own no; *kind* is what its codes are."""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        if answer.status != 200:
            return by_status(request, answer)
        raise WireError("shape", f"code {quote(code)}", request.path)
    said = message[:MAX_MESSAGE] if isinstance(message, str) else ""
    status, wish = answer.status, answer.retry_after
    return RequestRejected(kind(code), said, request.path, status, wish)


def name(value: Any) -> str:
    """What names an instrument, a currency or a state."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"not a name: {quote(value)}")
    return value


def read_each(kind: str, elements: Any, read: Callable[[Any], Any]) -> list[Any]:
    """What *read* makes of each of a list's elements; `WireError` of this *kind*."""
    if type(elements) is not list:
        raise WireError("shape", f"not a list: {quote(elements)}")
    try:
        return [read(element) for element in elements]
    except UNREADABLE as error:
        raise WireError(kind, why(error)) from error
