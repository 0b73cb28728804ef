"""What an HTTP answer says."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import HandshakeFailed
from okex_ws.net.http_head import (
    COOKIES,
    MAX_HANDSHAKE,
    TUNNEL,
    read_head,
    refusal,
    retry_after,
    server_date,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("601", 600.0),
        ("99999999999999", 600.0),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("Wed, 99 Oct 2999 07:28:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", 600.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 600.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    text: str, seconds: float | None
) -> None:
    assert retry_after(text) == seconds


def test_retry_after_a_minute_from_now_is_a_minute() -> None:
    when = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90))
    seconds = retry_after(when)

    assert seconds is not None
    assert 0 < seconds <= 90


def test_a_refusal_has_the_status_the_reason_and_the_wish() -> None:
    answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\n"
    error = refusal("wss://x/ws", answer)
    assert error is not None
    assert (error.status, error.retry_after) == (429, 7.0)
    assert str(error) == (
        "wss://x/ws: HTTP 429 Too Many Requests, retry after 7 s;"
        " too many connections: wait some minutes, and open fewer"
    )


@pytest.mark.parametrize("answer", [b"", b"HT", b"HTTP/1.1 101 Switching\r\n"])
def test_a_yes_or_no_answer_yet_is_no_refusal(answer: bytes) -> None:
    assert refusal("wss://x/ws", answer) is None


@pytest.mark.parametrize(
    "answer",
    [b"garbage", b"HTTP/1.1 ok\r\n", b"HTTP/1.1 20\n", b"\r\n", b"HTTP/2 200\n"],
)
def test_a_line_that_is_no_status_is_not_http(answer: bytes) -> None:
    error = refusal("wss://x/ws", answer)
    assert error is not None
    assert (error.status, error.reason) == (None, "the answer is not HTTP")


@pytest.mark.parametrize(
    ("status", "refused"), [(199, True), (200, False), (299, False), (300, True)]
)
def test_what_is_a_yes_is_the_askers_to_say(status: int, refused: bool) -> None:
    answer = f"HTTP/1.1 {status} What\r\n".encode()
    assert (refusal("wss://x/ws", answer, TUNNEL) is not None) is refused
    assert refusal("wss://x/ws", answer) is not None


def test_a_refusal_says_on_which_way_and_quotes_only_who_may_be_quoted() -> None:
    answer = b"HTTP/1.1 407 a secret\r\n"
    error = refusal("wss://x/ws", answer, TUNNEL, "proxy http://p: ", quoted=False)
    assert str(error) == (
        "wss://x/ws: proxy http://p: HTTP 407 Proxy Authentication Required"
    )


def test_a_head_is_read_to_its_blank_line_and_no_further() -> None:
    source, answer = io.BytesIO(b"HTTP/1.1 101 Yes\r\n\r\nframe"), bytearray()

    assert read_head(source.read, answer)
    assert answer == b"HTTP/1.1 101 Yes\r\n\r\n"
    assert source.read() == b"frame"


def test_a_head_that_does_not_end_is_given_up_at_a_bound() -> None:
    answer = bytearray()

    assert not read_head(lambda size: b"x", answer)
    assert len(answer) == MAX_HANDSHAKE


@given(st.binary(max_size=80))
def test_any_bytes_are_a_refusal_or_none(answer: bytes) -> None:
    error = refusal("wss://x/ws", answer)
    assert error is None or isinstance(error, HandshakeFailed)


def test_cookies_are_cut_out_of_a_head_and_nothing_else_is() -> None:
    head = (
        b"HTTP/1.1 101 OK\r\nSet-Cookie: a=b; domain=.x\r\n  folded\r\n"
        b"Upgrade: websocket\r\nset-cookie: c=d\r\n\r\n"
    )
    assert COOKIES.sub(b"", head) == (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n")


def head(*lines: str) -> bytes:
    """A yes to a handshake, with these headers."""
    return "\r\n".join(["HTTP/1.1 101 Yes", *lines, "", ""]).encode("latin-1")


# The example of RFC 9110, section 5.6.7, in its three forms, and two of mail.
@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
@pytest.mark.parametrize("name", ["Date", "date", "DATE"])
def test_the_date_of_an_answer_is_read_in_any_form(name: str, date: str) -> None:
    answer = head("Server: x", f"{name}:  {date} ", "Upgrade: websocket")

    assert server_date(answer) == 784111777.0


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Date:",),
        ("Date: soon",),
        ("Date: 784111777",),
        ("Date: Wed, 99 Oct 2999 07:28:00 GMT",),
        ("Date: Wed, 21 Oct 99999 07:28:00 GMT",),
        ("Date: \xff\xfe",),
        ("X-Date: Sun, 06 Nov 1994 08:49:37 GMT",),
        ("X: Date: Sun, 06 Nov 1994 08:49:37 GMT",),
    ],
)
def test_an_answer_without_a_date_that_can_be_read_has_none(
    lines: tuple[str, ...],
) -> None:
    assert server_date(head(*lines)) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_a_date_or_none(text: bytes) -> None:
    date = server_date(b"HTTP/1.1 101 Yes\r\nDate: " + text + b"\r\n\r\n")

    assert date is None or isinstance(date, float)


@given(
    st.integers(-1, 40),
    st.integers(0, 99999),
    st.integers(-1, 30),
    st.sampled_from(["GMT", "", "-2359", "+2359", "+9999", "EST", "Z"]),
)
def test_a_date_at_the_edge_of_time_is_a_date_or_none(
    day: int, year: int, hour: int, zone: str
) -> None:
    text = f"Mon, {day} Jan {year:04} {hour:02}:00:00 {zone}"
    date = server_date(head(f"Date: {text}"))

    assert date is None or isinstance(date, float)
