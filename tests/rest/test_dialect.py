"""What every answer is read by: JSON or a status, a code, elements, and one error."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import given

from okex_ws.base.errors import HandshakeFailed, RequestRejected, WireError
from okex_ws.base.state import CauseCode
from okex_ws.protocol.listing import name
from okex_ws.rest.dialect import (
    HttpResponse,
    RestRequest,
    Rule,
    body_of,
    read_one,
    read_rows,
    refused,
)

ASK = RestRequest("/api/v5/market/trades", {"instId": "BTC-USDT"}, Rule("trades", 100))


def test_a_body_keeps_its_numbers_as_they_were_written() -> None:
    answer = HttpResponse(
        200, b' {"seqId":123456789012345678901,"px":"1.10","n":3690.10}\n'
    )

    assert body_of(ASK, answer) == {
        "seqId": "123456789012345678901",
        "px": "1.10",
        "n": "3690.10",
    }


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"\xff\xfe", b"[1,2", b'{"a":NaN}', b"[" * 100_000]
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        body_of(ASK, HttpResponse(200, body))

    assert caught.value.kind == "json"
    assert caught.value.channel == ASK.path


def test_an_empty_answer_is_told_as_that_and_a_mark_before_json_is_none() -> None:
    with pytest.raises(WireError, match="an empty answer"):
        body_of(ASK, HttpResponse(200, b""))
    assert body_of(ASK, HttpResponse(200, b"\xef\xbb\xbf[1]")) == ["1"]


@pytest.mark.parametrize(
    "page", [b"<html>", b"\xef\xbb\xbf <!DOCTYPE html><title>Log in</title>"]
)
def test_a_web_page_in_place_of_an_answer_is_told_as_that(page: bytes) -> None:
    with pytest.raises(HandshakeFailed) as caught:
        body_of(ASK, HttpResponse(200, page))

    cause = caught.value.cause
    assert (cause.code, cause.exchange_code) == (CauseCode.HANDSHAKE, 200)
    assert f"a web page, not JSON, is the answer to {ASK.path}" in str(cause)
    assert "open any page in a browser" in str(cause)


PAGE = ": a web page says so, which is not the exchange's own answer"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, f"Forbidden{PAGE}; the exchange does not serve this address"),
        (503, f"Service Unavailable{PAGE}"),
        (302, "Found: redirects are not followed; a web server answers"),
        (499, f"an unknown HTTP status{PAGE}"),
    ],
)
def test_of_a_page_of_html_the_status_speaks(status: int, said: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        body_of(ASK, HttpResponse(status, b"<html>", 7.0))

    assert (caught.value.code, caught.value.status) == (status, status)
    assert caught.value.retry_after == 7.0
    assert str(caught.value).startswith(f"{ASK.path} was refused: {said}")
    assert str(caught.value).endswith(f" (error {status})")


def test_a_refusal_has_the_exchanges_code_and_words() -> None:
    no = refused(ASK, HttpResponse(200, b""), "51001", "does not exist\x1b[31m")

    assert no.code == "51001"
    assert "\x1b" not in str(no)
    assert str(no).endswith("(error 51001)")
    assert refused(ASK, HttpResponse(400, b""), "30032", None, int).code == 30032
    said = str(refused(ASK, HttpResponse(429, b""), "50011", None))
    assert said.endswith("no reason was given (error 50011, HTTP 429)")


@pytest.mark.parametrize("code", [None, {}, "x", "1" * 10, "٣"])
def test_a_code_that_is_none_leaves_the_status_or_is_unreadable(code: object) -> None:
    assert refused(ASK, HttpResponse(500, b""), code, "").code == 500
    with pytest.raises(WireError):
        refused(ASK, HttpResponse(200, b""), code, "")


def test_elements_are_read_one_by_one() -> None:
    assert read_rows("n", ["1", "2"], int) == [1, 2]
    with pytest.raises(WireError, match="not a list"):
        read_rows("n", {"a": 1}, int)
    with pytest.raises(WireError) as caught:
        read_one("trade", {}, lambda element: element["px"])
    assert caught.value.kind == "trade"


def test_an_element_that_cannot_be_read_costs_itself_alone() -> None:
    rows = [{"px": "1"}, {"px": "x", "id": "7\n"}, None, {"px": "2"}]

    first, bad, none, last = read_rows("n", rows, lambda e: int(e["px"]), "id")

    assert (first, last) == (1, 2)
    assert type(bad) is type(none) is WireError
    assert bad.kind == "n"
    assert bad.detail.startswith("'7\\n': ")


@pytest.mark.parametrize("value", [None, 1, "", "a b", "a" * 65, "a/b", "\n"])
def test_what_names_nothing_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a name"):
        name(value)


@given(st.binary(max_size=40), st.integers(100, 599))
def test_a_body_of_any_bytes_is_json_or_one_of_three_errors(
    body: bytes, status: int
) -> None:
    with contextlib.suppress(WireError, RequestRejected, HandshakeFailed):
        body_of(ASK, HttpResponse(status, body))
