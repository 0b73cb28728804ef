"""What the exchange answers to a handshake, in HTTP. No I/O."""

from __future__ import annotations

import email.utils
import http
from collections.abc import Mapping

from websockets.datastructures import Headers
from websockets.http11 import Response

_STATUSES = frozenset(map(int, http.HTTPStatus))


def response(
    status: int, headers: Mapping[str, str], body: str, wall: float
) -> Response:
    """A page, and no WebSocket."""
    phrase = http.HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
    data = body.encode()
    own = Headers(
        {
            "Date": email.utils.formatdate(wall, usegmt=True),
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(data)),
            "Connection": "close",
            **headers,
        }
    )
    return Response(status, phrase, own, data)


def set_date(headers: Headers, wall: float) -> None:
    """Put the exchange's own time in the place of this machine's."""
    if "Date" in headers:
        del headers["Date"]
    headers["Date"] = email.utils.formatdate(wall, usegmt=True)
