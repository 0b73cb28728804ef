"""What a script can make the REST interface of the local exchange do.

Every method may be called from any thread, and takes effect before it returns.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..faults.rest_faults import REST_FAULTS, RestFault
from ..server.hub import Hub
from ..server.record import Asked
from ..wire import checks
from .thread import LoopThread


class RestControls:
    """The part of `LocalExchange` about what is asked by plain HTTP."""

    _hub: Hub
    _thread: LoopThread

    def spoil_rest(
        self, how: str, times: int | None = 1, *, path: str = "", seconds: float = 0.0
    ) -> None:
        """Go wrong about the next *times* requests, or with ``None`` about all.

        ``spoil_rest('empty', path='history-trades')``: about those whose path (or
        query) *path* is part of. *how* is one of `REST_FAULTS`:

        - ``'crowded'``: 429 and the exchange's code for too many requests (50011).
        - ``'busy'``: 503 and its code for that (50013).
        - ``'slow'``: the answer, as of the question, comes *seconds* later.
        - ``'empty'``, ``'repeat'``, ``'overlap'``, ``'reorder'``: a page without
          elements, once more the one before, with the end of that one at its front, or
          backwards.
        - ``'cut'``: the connection ends in the middle of the body.
        - ``'garbage'``: a body that is no JSON.
        - ``'drop'``: the connection is aborted in place of an answer.

        Several faults are met one after the other; `heal` ends them.
        """
        checks.text("how", how)
        if how not in REST_FAULTS:
            raise ValueError(f"how is one of {REST_FAULTS}, got {how!r}")
        checks.times(times)
        checks.text("path", path)
        checks.number("seconds", seconds)
        self._add(RestFault(how, path, times, seconds))

    def respond_rest(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        body: str = "",
        times: int | None = 1,
        path: str = "",
    ) -> None:
        """Answer the next *times* requests so: ``(429, {'Retry-After': '2'})``."""
        checks.whole("status", status)
        checks.text("body", body)
        checks.times(times)
        checks.text("path", path)
        if not 200 <= status <= 599:
            raise ValueError(
                f"status is an HTTP status from 200 to 599, got {status!r}"
            )
        said = (status, dict(headers or {}), body)
        self._add(RestFault("answer", path, times, answer=said))

    @property
    def rest_requests(self) -> tuple[Asked, ...]:
        """What was asked by plain HTTP, oldest first: (at, path and query)."""
        return self._hub.record.rest_requests

    def _add(self, fault: RestFault) -> None:
        self._thread.call(lambda: self._hub.rest_faults.add(fault))
