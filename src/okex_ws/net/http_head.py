"""The head of an HTTP answer to a handshake: reading it, and why it is a refusal.

The WebSocket handshake is accepted with status 101, a proxy's CONNECT with any 2xx (RFC
9110, section 9.3.6). Any bytes are accepted as input; apart from `read_head` the
functions do no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from ..base.errors import HandshakeFailed, printable
from ..model.numbers import Clean

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})(?: ([^\r\n]*))?\r?\n")
_NOT_HTTP = "the answer is not HTTP"
COOKIES = re.compile(rb"^set-cookie2?:[^\n]*\n(?:[ \t][^\n]*\n)*", re.I | re.M)
_RETRY_AFTER = re.compile(rb"^retry-after:[ \t]*([^\r\n]+)", re.I | re.M)
_DATE = re.compile(rb"^date:[ \t]*([^\r\n]+)", re.I | re.M)
MAX_RETRY_AFTER = 600.0
MAX_HANDSHAKE = 16 << 10
# What to do about an answer that is no WebSocket, by its status; of any other 2xx and
# 3xx what `ANOTHER` says.
STATUS_ADVICE = {
    401: "something in front of the exchange wants a login",
    403: "the exchange does not serve this address: a region, or an IP that is banned",
    404: "no WebSocket is at this path: look at the URL",
    407: "a proxy in between wants a user and a password: name it in proxy=",
    429: "too many connections: wait some minutes, and open fewer",
    451: "the exchange does not serve this region",
    511: "the network wants a login: open any page in a browser",
}
ANOTHER = (
    "a web server answers in the exchange's place, as the login page of a network does:"
    " open any page in a browser, and look at the URL and at the proxy"
)
# The status codes with which the peer accepts a WebSocket handshake and a CONNECT.
SWITCHING = range(101, 102)
TUNNEL = range(200, 300)


def read_head(recv: Callable[[int], bytes], answer: bytearray) -> bool:
    """Read the head of an HTTP answer, up to its blank line, into *answer*.

    Returns False if there is no blank line within `MAX_HANDSHAKE` bytes. It reads byte
    by byte, because the bytes behind the blank line belong to the next protocol.
    """
    while not answer.endswith((b"\r\n\r\n", b"\n\n")):
        if len(answer) >= MAX_HANDSHAKE:
            return False
        answer += recv(1)
    return True


def refusal(
    endpoint: str,
    answer: bytes,
    yes: range = SWITCHING,
    via: str = "",
    quoted: bool = True,
    clean: Clean = str,
) -> HandshakeFailed | None:
    """The error for an *answer* that refuses the handshake, else ``None``.

    It is ``None`` if the status is in *yes*, or if the status line has not come whole.
    *via* is put before the reason. Unless *quoted* is true, the error repeats no text
    of the peer. *clean* takes secrets out of that text.
    """
    match = _STATUS_LINE.match(answer)
    if match is None:
        begun = answer.startswith(b"HTTP/"[: len(answer)]) and b"\n" not in answer
        return None if begun else HandshakeFailed(endpoint, f"{via}{_NOT_HTTP}")
    status = int(match[1])
    if status in yes:
        return None
    said = clean(_text_of(match[2] or b"")) if quoted else _phrase(status)
    reason = printable(f"{via}HTTP {status} {said}")
    found = _RETRY_AFTER.search(answer)
    wait = retry_after(found[1].decode("latin-1").strip()) if found else None
    if via:
        return HandshakeFailed(endpoint, reason, status, wait)
    return HandshakeFailed(endpoint, reason, status, wait, advice=advice_on(status))


def advice_on(status: int) -> str:
    """What to do about an HTTP answer that is not the exchange's, or ``''``."""
    if 200 <= status < 400:
        return ANOTHER
    return STATUS_ADVICE.get(status, "")


def _text_of(said: bytes) -> str:
    """The text of a peer that may have any encoding: UTF-8, else Latin-1."""
    try:
        return said.decode()
    except UnicodeDecodeError:
        return said.decode("latin-1")


def _phrase(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return known.get(status, "")


def retry_after(text: str) -> float | None:
    """The seconds of a ``Retry-After`` header (RFC 9110, section 10.2.3), at most 600.

    The header holds seconds or a date. A text that is neither, and a date in the past,
    give ``None``.
    """
    if re.fullmatch("[0-9]{1,15}", text):
        return min(float(text), MAX_RETRY_AFTER)
    when = _moment(text)
    if when is None:
        return None
    left = (when - datetime.now(timezone.utc)).total_seconds()
    return min(left, MAX_RETRY_AFTER) if left >= 0 else None


def server_date(answer: bytes) -> float | None:
    """Epoch seconds of the ``Date`` header (RFC 9110, section 6.6.1), or ``None``."""
    found = _DATE.search(answer)
    when = _moment(found[1].decode("latin-1").strip()) if found else None
    return None if when is None else when.timestamp()


def _moment(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
        return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
