"""What an HTTP answer to the handshake says: pure, and total over any bytes."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .errors import HandshakeFailed, printable

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})(?: ([^\r\n]*))?\r?\n")
COOKIES = re.compile(rb"^set-cookie2?:[^\n]*\n(?:[ \t][^\n]*\n)*", re.I | re.M)
_RETRY_AFTER = re.compile(rb"^retry-after:[ \t]*([^\r\n]+)", re.I | re.M)
_DATE = re.compile(rb"^date:[ \t]*([^\r\n]+)", re.I | re.M)
MAX_RETRY_AFTER = 600.0


def refusal(endpoint: str, answer: bytes) -> HandshakeFailed | None:
    """What the peer's *answer* says, unless it says 101 or nothing yet."""
    if not answer.startswith(b"HTTP/"[: len(answer)]):
        return HandshakeFailed(endpoint, "the answer is not HTTP")
    match = _STATUS_LINE.match(answer)
    if match is None or match[1] == b"101":
        return None
    status = int(match[1])
    reason = printable(f"HTTP {status} {(match[2] or b'').decode('latin-1')}")
    found = _RETRY_AFTER.search(answer)
    wait = retry_after(found[1].decode("latin-1").strip()) if found else None
    return HandshakeFailed(endpoint, reason, status, wait)


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
