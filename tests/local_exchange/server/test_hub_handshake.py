"""HTTP in place of a WebSocket, and the exchange's own time."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers

from okex_ws.local_exchange.server.hub import response as respond
from okex_ws.local_exchange.server.hub import set_date

DATE = "Sun, 30 Dec 2018 15:34:44 GMT"
AT = 1546184084.707


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(404, "Not Found"), (503, "Service Unavailable"), (599, "Unknown")],
)
def test_a_page_has_its_length_and_its_date(status: int, phrase: str) -> None:
    response = respond(status, {"Retry-After": "7"}, "non\u00e9", AT)

    assert (response.status_code, response.reason_phrase) == (status, phrase)
    assert response.headers["Content-Length"] == "5"
    assert response.headers["Date"] == DATE
    assert response.headers["Retry-After"] == "7"


def test_a_page_can_have_a_date_of_its_own() -> None:
    response = respond(503, {"Date": "today"}, "", AT)

    assert response.headers.get_all("Date") == ["today"]


@pytest.mark.parametrize("before", [{}, {"Date": "Mon, 1 Jan 2001 00:00:00 GMT"}])
def test_a_date_takes_the_place_of_another(before: dict[str, str]) -> None:
    headers = Headers(before)
    set_date(headers, AT)

    assert headers.get_all("Date") == [DATE]
