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
    """The methods of `LocalExchange` about its REST interface.

    Any thread may call; the exchange's event loop carries out the change before a
    method returns. ``RuntimeError`` if the exchange does not run.
    """

    _hub: Hub
    _thread: LoopThread

    def spoil_rest(
        self, how: str, times: int | None = 1, *, path: str = "", seconds: float = 0.0
    ) -> None:
        """Spoil the responses to the next *times* requests, or to all with ``None``.

        ``spoil_rest('empty', path='history-trades')``: to requests whose path or query
        contains *path*. *how* is one of `REST_FAULTS`:

        - ``'crowded'``: status 429 and the exchange's code for too many requests
          (50011).
        - ``'busy'``: status 503 and the exchange's code for a busy system (50013).
        - ``'slow'``: the response comes *seconds* later, with the data as of the
          request.
        - ``'empty'``: a page without elements.
        - ``'repeat'``: the page before, once more.
        - ``'overlap'``: a page that begins with the end of the page before.
        - ``'reorder'``: a page in reverse order.
        - ``'cut'``: the connection ends in the middle of the body.
        - ``'garbage'``: a body that is not JSON.
        - ``'drop'``: the connection is aborted without a response.

        Several faults apply one after the other. `heal` ends them all.
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
        """Answer the next *times* requests, or all with ``None``, with this response.

        ``respond_rest(429, {'Retry-After': '2'})``. *path* is as in `spoil_rest`.
        """
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
        """The requests by plain HTTP, oldest first: (at, path and query).

        *at* is on the monotonic clock.
        """
        return self._hub.record.rest_requests

    def _add(self, fault: RestFault) -> None:
        self._thread.call(lambda: self._hub.rest_faults.add(fault))
