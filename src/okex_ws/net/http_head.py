"""What an HTTP answer to a handshake says: pure, and total over any bytes.

The handshakes are the WebSocket's, whose yes is 101, and a proxy's CONNECT, whose yes
is any 2xx (RFC 9110, section 9.3.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from ..base.errors import HandshakeFailed, printable

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})(?: ([^\r\n]*))?\r?\n")
_NOT_HTTP = "the answer is not HTTP"
COOKIES = re.compile(rb"^set-cookie2?:[^\n]*\n(?:[ \t][^\n]*\n)*", re.I | re.M)
_RETRY_AFTER = re.compile(rb"^retry-after:[ \t]*([^\r\n]+)", re.I | re.M)
_DATE = re.compile(rb"^date:[ \t]*([^\r\n]+)", re.I | re.M)
MAX_RETRY_AFTER = 600.0
MAX_HANDSHAKE = 16 << 10
# What the peer answers if it agrees.
SWITCHING = range(101, 102)
TUNNEL = range(200, 300)


def read_head(recv: Callable[[int], bytes], answer: bytearray) -> bool:
    """Add to *answer* up to its blank line; False if that is too far away.

    Byte by byte: what stands behind the blank line is not the answer's.
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
) -> HandshakeFailed | None:
    """What the peer's *answer* says, unless it says *yes* or nothing yet.

    *via* stands before the reason. Without *quoted* no text of the peer is repeated.
    """
    match = _STATUS_LINE.match(answer)
    if match is None:
        begun = answer.startswith(b"HTTP/"[: len(answer)]) and b"\n" not in answer
        return None if begun else HandshakeFailed(endpoint, f"{via}{_NOT_HTTP}")
    status = int(match[1])
    if status in yes:
        return None
    said = (match[2] or b"").decode("latin-1") if quoted else _phrase(status)
    reason = printable(f"{via}HTTP {status} {said}")
    found = _RETRY_AFTER.search(answer)
    wait = retry_after(found[1].decode("latin-1").strip()) if found else None
    return HandshakeFailed(endpoint, reason, status, wait)


def _phrase(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return known.get(status, "")


def retry_after(text: str) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110, section 10.2.3), 600 at most.

    Both forms are read, seconds and a date; what is neither, or past, is ``None``.
    """
    if re.fullmatch("[0-9]{1,15}", text):
        return min(float(text), MAX_RETRY_AFTER)
    when = _moment(text)
    if when is None:
        return None
    left = (when - datetime.now(timezone.utc)).total_seconds()
    return min(left, MAX_RETRY_AFTER) if left >= 0 else None


def server_date(answer: bytes) -> float | None:
    """Epoch seconds of the ``Date`` header (RFC 9110, section 6.6.1), if it has one."""
    found = _DATE.search(answer)
    when = _moment(found[1].decode("latin-1").strip()) if found else None
    return None if when is None else when.timestamp()


def _moment(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
        return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
