"""What the REST modules of v3 and v5 implement and share: requests and answers. Pure.

Reading a hostile answer raises `WireError`, or `RequestRejected` if it is a refusal,
and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeVar, Union

from ..base.errors import HandshakeFailed, RequestRejected, WireError
from ..model.instrument import Instrument
from ..model.numbers import quote, why
from ..net.http_head import ANOTHER, advice_on
from ..protocol.common import for_people, read_each
from ..protocol.json_text import exact
from ..protocol.messages import CandleData, DepthData, TradeData
from .pages import PageSource

T = TypeVar("T")
# Rows of an answer as they were read, each of which may be unreadable.
Rows = list[Union[T, WireError]]
# Characters of the exchange's own message that an error keeps.
MAX_MESSAGE = 1000
_CODE = re.compile("-?[0-9]{1,9}")


class Rule(NamedTuple):
    """A documented request budget: at most *limit* requests in *period* seconds.

    Requests of rules with the same *name* count against one budget, for each host.
    """

    name: str
    limit: int
    period: float = 2.0


class RestRequest(NamedTuple):
    """One GET request: path, parameters, and the budget that it counts against."""

    path: str
    params: Mapping[str, str]
    rule: Rule


class HttpResponse(NamedTuple):
    """The answer to a `RestRequest`: status, body, and ``Retry-After`` in seconds."""

    status: int
    body: bytes
    retry_after: float | None = None


class RestProtocol(Protocol):
    """The REST interface of one protocol: its requests, and readers of the answers.

    It makes the code of `Rest` the same for v3 and v5. Pure and stateless: `Rest` sends
    the requests and passes the answers to the readers, and any thread may call it. A
    reader raises `WireError` for an answer that is not what the exchange documents; for
    one row of a list the error is in the row's place.
    """

    # The most levels a side that one request for a book can have.
    levels: int
    # Under which the codes of errors are in the table.
    name: str

    def data(self, request: RestRequest, answer: HttpResponse) -> Any:
        """The content of an answer, each JSON number as the ``str`` of its characters.

        A refusal raises `RequestRejected`.
        """
        ...

    def time(self) -> RestRequest:
        """The request for the exchange's time."""
        ...

    def read_time(self, data: Any) -> int:
        """The exchange's time in epoch milliseconds."""
        ...

    def instruments(self, market: str, family: str | None) -> RestRequest:
        """The request for the instruments of a market, or of one *family* of it."""
        ...

    def families(self, market: str) -> RestRequest | None:
        """The request for the families of a *market*; ``None`` if it has none.

        The families of event contracts are their series.
        """
        ...

    def read_families(self, data: Any) -> Rows[str]:
        """The names of the families."""
        ...

    def read_instruments(self, data: Any, market: str) -> Rows[Instrument | None]:
        """The instruments of an answer.

        ``None`` stands for one that is not traded yet and has no tick or lot size yet.
        """
        ...

    def book(
        self, instrument_id: str, market: str, levels: int, topic: str = "depth"
    ) -> RestRequest:
        """The request for the present book of channel *topic*, *levels* a side."""
        ...

    def read_book(self, data: Any, topic: str = "depth") -> DepthData:
        """The levels of a book of channel *topic*, checked."""
        ...

    def trades(
        self, instrument_id: str, market: str, before: int | None, limit: int
    ) -> list[PageSource[RestRequest]]:
        """The page sources for an instrument's trades, in the order to ask them."""
        ...

    def read_trades(self, data: Any, instrument_id: str) -> Rows[TradeData]:
        """The trades of one page, in the order of the answer."""
        ...

    def candles(
        self, instrument_id: str, market: str, own_name: str
    ) -> list[PageSource[RestRequest]]:
        """The page sources for the candles of a channel, in the order to ask them.

        *own_name* is the protocol's own name of the channel.
        """
        ...

    def seconds_of(self, own_name: str) -> int | None:
        """Length of a candle in seconds; ``None`` if answers say which are closed."""
        ...

    def read_candles(self, data: Any) -> Rows[CandleData]:
        """The candles of one page, in the order of the answer."""
        ...


def body_of(request: RestRequest, answer: HttpResponse) -> Any:
    """The JSON of an answer.

    A body that is not JSON raises `RequestRejected` if the HTTP status is not 200, else
    `WireError`; if it is a page for people, `HandshakeFailed`.
    """
    try:
        return exact(answer.body.decode("utf-8-sig").strip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        if answer.status != 200:
            raise by_status(request, answer) from error
        if _is_page(answer):
            reason = f"a web page, not JSON, is the answer to {request.path}"
            raise HandshakeFailed("", reason, 200, advice=ANOTHER) from error
        said = why(error)[:200] if answer.body.strip() else "an empty answer"
        raise WireError("json", said, request.path) from error


def _is_page(answer: HttpResponse) -> bool:
    return answer.body[:500].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def by_status(request: RestRequest, answer: HttpResponse) -> RequestRejected:
    """The error for a refusal of which only the HTTP status is known."""
    known = {each.value: each.phrase for each in HTTPStatus}
    said = known.get(answer.status, "an unknown HTTP status")
    if 300 <= answer.status < 400:
        said = f"{said}: redirects are not followed; {ANOTHER}"
    elif _is_page(answer):
        page = "a web page says so, which is not the exchange's own answer"
        said = "; ".join(filter(None, (f"{said}: {page}", advice_on(answer.status))))
    status = answer.status
    return RequestRejected(status, said, request.path, status, answer.retry_after)


def refused(
    request: RestRequest,
    answer: HttpResponse,
    code: Any,
    message: Any,
    kind: Callable[[str], int | str] = str,
) -> RequestRejected:
    """The error for a refusal by the exchange; *kind* converts *code* for it.

    An answer without a readable code is judged by its HTTP status: at status 200 it
    raises `WireError`.
    """
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        if answer.status != 200:
            return by_status(request, answer)
        raise WireError("shape", f"code {quote(code)}", request.path)
    said = message[:MAX_MESSAGE] if isinstance(message, str) else ""
    status, wish = answer.status, answer.retry_after
    return RequestRejected(kind(code), said, request.path, status, wish)


def read_rows(
    kind: str, rows: Any, read: Callable[[Any], T], *names: str
) -> list[T | WireError]:
    """What *read* makes of each row of an answer: see `read_each`.

    The error of a row says the first of its fields *names* that it has. `WireError` if
    *rows* is not a list.
    """
    if type(rows) is not list:
        raise WireError("shape", f"not a list: {quote(rows)}")
    found = read_each(rows, read, kind)
    for place, each in enumerate(found):
        if isinstance(each, WireError):
            said = (rows[place].get(n) for n in names if type(rows[place]) is dict)
            whose = f"{quote(name)}: " if (name := next(filter(None, said), "")) else ""
            told = for_people(each, None, str)
            assert isinstance(told, WireError)
            found[place] = WireError(told.kind, f"{whose}{told.detail}")
    return found


def read_one(kind: str, data: Any, read: Callable[[Any], T]) -> T:
    """What *read* makes of *data*; `WireError` of this *kind* if it fails."""
    (found,) = read_rows(kind, [data], read)
    if isinstance(found, WireError):
        raise found
    return found
