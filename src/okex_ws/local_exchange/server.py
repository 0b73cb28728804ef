"""The local exchange as a script holds it: one object, one daemon thread.

Every method may be called from any thread, and takes effect before it returns.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import trustme

from ..venues import Venue
from . import checks, v3
from .capture import RecordedMarket
from .faults import Answer, Faults, Rejection
from .hub import HOST, PATH, Hub
from .instruments import INSTRUMENTS, AnyInstrument
from .market import Market, SyntheticMarket
from .record import Asked, Pushed, Record
from .thread import LoopThread


class LocalExchange:
    """An exchange that speaks v3 on 127.0.0.1 and misbehaves on request.

    It is a context manager; `start` and `close` do the same without ``with``. Its
    market starts at the first subscription and is one for all clients.

    *seed* decides the synthetic market of *instruments* (ids, (market, id) pairs or
    `Instrument`): *pace* updates a second each, best levels every *interval* seconds.
    *capture* is the path of a recorded v3 market without its suffix, played in place
    of the synthetic one *speed* times as fast, and with *repeat* again and again;
    without it, at the end every client is closed with 1001, and whoever comes later.

    *level_fields* is 3 or 4 to give every ``depth5`` level that form; ``None`` is each
    market's own (three on spot, four elsewhere). *numbers_2018* writes numbers as of
    December 2018 (on futures bare JSON numbers).

    *tls* ``True`` makes a certificate on the fly, which `ssl_context` trusts; a server
    ``ssl.SSLContext`` is used as it is. A client is closed with 4001 when neither side
    has sent anything for *idle_timeout* seconds (v3's rule is 30 s; ping earlier), and
    with 4002 when more than *buffer_limit* bytes wait for it. *history* pushes of each
    channel are kept.

    ``ValueError`` and ``TypeError`` for arguments that cannot be right, the former for
    a damaged capture too, ``OSError`` for one that cannot be read.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        # The market
        instruments: Iterable[AnyInstrument] = INSTRUMENTS,
        pace: float = 20.0,
        interval: float = 0.1,
        # A recorded market in its place
        capture: str | os.PathLike[str] | None = None,
        speed: float = 1.0,
        repeat: bool = False,
        # The wire
        level_fields: int | None = None,
        numbers_2018: bool = False,
        tls: bool | ssl.SSLContext = False,
        # Limits
        idle_timeout: float = 30.0,
        buffer_limit: int = 1 << 20,
        history: int = 5000,
    ) -> None:
        checks.whole("seed", seed)
        if level_fields not in (None, 3, 4):
            raise ValueError(f"level_fields is 3, 4 or None, got {level_fields!r}")
        checks.number("speed", speed, positive=True)
        checks.flag("repeat", repeat)
        checks.flag("numbers_2018", numbers_2018)
        checks.number("idle_timeout", idle_timeout, positive=True, endless=True)
        checks.whole("buffer_limit", buffer_limit, least=1)
        checks.whole("history", history, least=0)
        dialect = v3.Dialect(level_fields, numbers_2018)
        self._market: Market
        if capture is None:
            self._market = SyntheticMarket(
                seed,
                instruments,
                pace=pace,
                interval=interval,
                dialect=dialect,
                wall=time.time(),
            )
        else:
            self._market = RecordedMarket(capture, repeat=repeat, dialect=dialect)
        self._ssl_context: ssl.SSLContext | None = None
        self._record = Record(history)
        self._hub = Hub(
            self._market,
            self._record,
            tls=self._make_tls(tls),
            speed=speed,
            idle_timeout=idle_timeout,
            buffer_limit=buffer_limit,
        )
        self._scheme = "wss" if tls else "ws"
        self._thread = LoopThread(self._hub.run, "okex_ws:local")

    def _make_tls(self, tls: bool | ssl.SSLContext) -> ssl.SSLContext | None:
        if isinstance(tls, ssl.SSLContext):
            return tls
        checks.flag("tls", tls)
        if not tls:
            return None
        authority = trustme.CA()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST, "localhost").configure_cert(server)
        self._ssl_context = ssl.create_default_context()
        authority.configure_trust(self._ssl_context)
        return server

    def __repr__(self) -> str:
        state = self._thread.state
        where = self.url if state == "running" else state
        return f"<LocalExchange {where}, {self.clients} clients>"

    # --- Its life -------------------------------------------------------------------

    def start(self) -> LocalExchange:
        """Listen on a free port; returns itself, once clients can come."""
        self._thread.start()
        return self

    def close(self, timeout: float = 5.0) -> bool:
        """Close every client with 1001 and end the thread; whether it has ended.

        A client that does not answer within a second is aborted. Idempotent.
        """
        return self._thread.close(timeout)

    def __enter__(self) -> LocalExchange:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- What it is -----------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its address: ``ws://127.0.0.1:PORT/ws/v3``, or ``wss://``."""
        if not self._hub.port:
            raise RuntimeError("the local exchange is not started")
        return f"{self._scheme}://{HOST}:{self._hub.port}{PATH}"

    @property
    def venue(self) -> Venue:
        """Itself as a `Venue`, without limits that only slow a test down."""
        return Venue(
            "local",
            "v3",
            (self.url,),
            connections_per_second=1000.0,
            requests_per_hour=1_000_000,
            known="an okex_ws.local_exchange on this machine",
        )

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What a client has to trust with ``tls=True``: pass it on as ``ssl_context=``.

        ``None`` without TLS, and with a server context of your own.
        """
        return self._ssl_context

    @property
    def instruments(self) -> tuple[tuple[str, str], ...]:
        """Every (market, instrument_id)."""
        return self._market.instruments

    @property
    def busiest(self) -> tuple[str, str]:
        """The (market, instrument_id) where most happens."""
        return self._market.busiest

    @property
    def pace(self) -> float:
        """Updates a second of each synthetic instrument; 0 is a quiet market."""
        return self._synthetic().pace

    @pace.setter
    def pace(self, pace: float) -> None:
        market = self._synthetic()
        self._thread.call(lambda: setattr(market, "pace", pace))

    # --- What it saw and said -------------------------------------------------------

    @property
    def clients(self) -> int:
        """How many WebSockets are open."""
        return self._record.clients

    @property
    def handshakes(self) -> int:
        """How many handshakes were asked for, refused ones among them."""
        return self._record.handshakes

    @property
    def requests(self) -> tuple[Asked, ...]:
        """What clients said, oldest first: (at, text), *at* on the monotonic clock."""
        return self._record.requests

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The channels that some client is subscribed to at the moment."""
        return tuple(self._hub.subscribers)

    @property
    def ended(self) -> bool:
        """Whether a recorded market is over."""
        return self._market.ended

    def pushed(self, channel: str) -> tuple[Pushed, ...]:
        """What was really sent on *channel*, oldest first: (at, element).

        ``pushed('spot/depth5:BTC-USDT')``; nothing for what nobody subscribed.

        *at* is the monotonic time just before the send, *element* the element of
        ``data`` with every number as the ``str`` of its characters. One entry a push,
        however many clients got it.
        """
        return self._record.pushed(channel)

    def newest(self, channel: str) -> Pushed | None:
        """The last of `pushed`, or ``None``."""
        return self._record.newest(channel)

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> bool:
        """Whether *predicate* came true within *timeout* seconds.

        It is called on your thread: ``lambda: exchange.clients == 0``.
        """
        return self._record.wait_for(predicate, timeout)

    # --- Faults of the connection ---------------------------------------------------

    def drop(self) -> int:
        """Abort the TCP of every connection, without a close frame; how many."""
        return self._thread.call(self._hub.drop)

    def close_clients(self, code: int = 1001, reason: str = "") -> int:
        """Send every client a close frame; how many there were."""
        checks.whole("code", code)
        checks.text("reason", reason)
        if not (code in _CLOSE_CODES or 3000 <= code < 5000):
            raise ValueError(f"{code!r} is no close code that can be sent")
        if len(reason.encode()) > 123:
            raise ValueError("the reason of a close frame has 123 bytes at most")
        return self._thread.call(lambda: self._hub.close_clients(code, reason))

    def refuse(self, on: bool = True) -> None:
        """Refuse new connections, as a port where nobody listens.

        The listening socket is closed, and one bound to the same port without
        listening keeps the port for the way back. Open connections stay.
        """
        checks.flag("on", on)
        self._thread.run(self._hub.refuse() if on else self._hub.listen())

    def slow_handshake(self, seconds: float) -> None:
        """Answer handshakes only after *seconds*; 0 ends it."""
        checks.number("seconds", seconds)
        self._set("handshake_delay", seconds)

    def respond(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        body: str = "<html>no WebSocket here</html>\n",
        times: int | None = None,
    ) -> None:
        """Answer handshakes with an HTTP page: 301, 403, 404, 429, 503, or a plain 200.

        The next *times* of them, or all until `heal`. A 429 with a wish is
        ``respond(429, {'Retry-After': '2'})``.
        """
        checks.whole("status", status)
        checks.text("body", body)
        checks.times(times)
        if not 200 <= status <= 599:
            raise ValueError(
                f"status is an HTTP status from 200 to 599, got {status!r}"
            )
        self._set("answer", Answer(status, dict(headers or {}), body, times))

    # --- Faults of the data ---------------------------------------------------------

    def silence(self, channel: str | None = None) -> None:
        """Push nothing on *channel*, or on any: ``silence('spot/depth5:BTC-USDT')``.

        Acknowledgements and pongs go on, and so does the market: to a client it is one
        that became quiet.
        """
        if channel is not None:
            checks.channel(channel, self._market.channels)
        self._thread.call(lambda: self._hub.faults.silence(channel))

    def mute(self) -> None:
        """Send nothing at all: no data, no pong, no acknowledgement."""
        self._set("mute", True)

    def resume(self) -> None:
        """End `silence` and `mute`. What was withheld is lost."""
        self._thread.call(lambda: self._hub.faults.resume())

    def plain_pong(self, on: bool = True) -> None:
        """Answer ``ping`` with a plain text frame, as some clients have seen it."""
        checks.flag("on", on)
        self._set("plain_pong", on)

    def reject(
        self, channel: str, code: int, message: str, *, times: int | None = None
    ) -> None:
        """Answer the next *times* subscribes of *channel*, or all, with an error.

        ``reject('spot/depth5:BTC-USDT', 30026, 'too frequent', times=1)``; *times* 0
        ends it. 30026 ("too frequent") and 30043 ("internal error") pass.
        """
        checks.channel(channel, self._market.channels)
        checks.whole("code", code)
        checks.text("message", message)
        checks.times(times)
        rejection = Rejection(code, message, times)
        self._thread.call(
            lambda: self._hub.faults.rejections.update({channel: rejection})
        )

    def ignore_subscribe(self, channel: str, on: bool = True) -> None:
        """Do not react to a subscribe: ``ignore_subscribe('spot/trade:BTC-USDT')``.

        *on* ``False`` ends it for this channel.
        """
        checks.channel(channel, self._market.channels)
        checks.flag("on", on)
        self._thread.call(lambda: self._hub.faults.ignore(channel, on))

    def send_error(self, code: int, message: str) -> int:
        """Send every client an error event; how many there were."""
        checks.whole("code", code)
        checks.text("message", message)
        return self.send_event(v3.error(code, message))

    def send_event(self, event: Mapping[str, Any] | str) -> int:
        """Send every client any message, a dict as JSON, deflated; how many."""
        text = event if isinstance(event, str) else v3.to_json(event)
        return self.send_raw(v3.deflate(text))

    def send_raw(self, payload: bytes, *, text: bool = False) -> int:
        """Send every client a frame with this very payload; how many there were.

        A binary frame, or a text frame whatever the payload is. `deflate` packs one
        that the exchange could have sent.
        """
        if not isinstance(payload, (bytes, bytearray)):
            raise TypeError(f"payload is bytes, got {payload!r}")
        send = self._hub.send_text_bytes if text else self._hub.send
        return self._thread.call(lambda: send(payload))

    def heal(self) -> None:
        """End every fault. Connections that are gone stay gone."""

        async def heal() -> None:
            self._hub.faults = Faults()
            await self._hub.listen()

        self._thread.run(heal())

    def _set(self, fault: str, value: object) -> None:
        self._thread.call(lambda: setattr(self._hub.faults, fault, value))

    def _synthetic(self) -> SyntheticMarket:
        if not isinstance(self._market, SyntheticMarket):
            raise RuntimeError("a recorded market has the pace that was recorded")
        return self._market


# RFC 6455, section 7.4: the others are reserved, or never sent.
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))
