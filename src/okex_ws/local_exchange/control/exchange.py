"""The local exchange as a script holds it: one object, one daemon thread.

Every method may be called from any thread, and takes effect before it returns.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any

import trustme

from ... import Credentials, Venue
from ...base.checks import all_name_keywords
from ..market.capture import RecordedMarket
from ..market.instruments import INSTRUMENTS, AnyInstrument
from ..market.market import Market, SyntheticMarket
from ..market.truth import Said
from ..server.dialects import BASE_V5, PATH_V3
from ..server.hub import HOST, Hub
from ..server.logins import Accounts, AnyCredentials
from ..server.record import Asked, Pushed, Record
from ..wire import checks, v3
from .controls import Controls
from .rest_controls import RestControls
from .thread import LoopThread


@all_name_keywords()
class LocalExchange(Controls, RestControls):
    """An exchange that speaks v3 and v5 on 127.0.0.1 and misbehaves on request.

    It is a context manager; `start` and `close` do the same without ``with``, and
    ``async with`` and `aclose` in a coroutine. It runs on an event loop of its own. Its
    market starts at the first subscription, and all clients see the same market under
    both protocols.

    Its channels under v3 are ``depth5``, ``depth``, ``depth_l2_tbt``, ``trade``,
    ``ticker``, ``candle60s`` and the like, ``mark_price`` and ``funding_rate``. Under
    v5 they are ``books5``, ``bbo-tbt``, ``books``, ``books-l2-tbt`` and
    ``books50-l2-tbt`` (both after a login), ``books-rpi``, ``trades``, ``trades-all``,
    ``tickers``, ``candle1s`` to ``candle1W``, ``mark-price``, ``funding-rate``,
    ``instruments``, ``event-contract-markets`` (without a push of its own: see `push`)
    and ``status``. Both protocols also have channels of accounts, orders and positions,
    which need a login.

    A whole book begins with a snapshot and goes on by its changes. ``depth`` and
    ``books`` have 400 levels a side and are published every *interval*, and so has
    ``books-rpi``, which has orders of retail price improvement beside them, no checksum
    and no message of its being idle; trades of such orders say so. The other books
    are published at every change, ``books50-l2-tbt`` with 50 levels. Under v3 each
    message has the checksum of the book after it. Under v5 messages are in a sequence
    of ``seqId`` and ``prevSeqId``, and a book without a change for a minute sends a
    message that says so. v5's checksum is 0, as OKX has it since June 2026; with
    *checksums* it is real, as OKJ has it. `book` is what a client should have.

    The same port answers the REST interface (`rest_url`) of both protocols, about the
    same market: trades, candles, books, instruments and the time. The market has a past
    of 1,000 trades and 3,000 bars from before its start. A recorded market has no REST
    interface.

    *seed* decides the synthetic market of *instruments* (ids, (market, id) pairs or
    `Instrument`). A spread among them, like ``'BTC-USDT_BTC-USDT-SWAP'``, has prices
    that cross zero, the channels of v5 alone, and always a real checksum. Each
    instrument has *pace* updates a second; best levels are published every *interval*
    seconds.

    *capture* is the path, without suffix, of a recorded market that is played in place
    of the synthetic one, *speed* times as fast. With *repeat* it is played again and
    again. Without, every client is closed with 1001 at its end, and so is every later
    client. Only the protocol that was recorded has channels then.

    *credentials*, one or several, may log in; without them one made-up key may.
    *clock_offset* is by how many seconds the exchange's own clock is ahead of this
    machine's: in the timestamps of the market, in the check of a login, and in the
    ``Date`` of a handshake.

    *level_fields* is 3 or 4 to give every level of a book so many items; ``None`` is
    each market's own number (three on spot, four elsewhere). *numbers_2018* writes
    numbers as of December 2018 (on futures as bare JSON numbers). Both concern v3
    alone.

    *port* is where it listens; 0 is any free port.

    *tls* ``True`` makes a certificate on the fly, which `ssl_context` trusts; a
    server's ``ssl.SSLContext`` is used as it is. A client is closed with 4001 (v5:
    4004) when neither side has sent anything for *idle_timeout* seconds (the exchange's
    rule is 30 s; ping earlier), and with 4002 (v5: 4005) when more than *buffer_limit*
    bytes wait for it. The last *history* pushes of each channel are kept.

    ``ValueError`` and ``TypeError`` for arguments that cannot be right, ``ValueError``
    also for a damaged capture, ``OSError`` for a capture that cannot be read.
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
        # The exchange
        credentials: AnyCredentials = None,
        clock_offset: float = 0.0,
        # The wire
        checksums: bool = False,
        level_fields: int | None = None,
        numbers_2018: bool = False,
        port: int = 0,
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
        checks.flag("checksums", checksums)
        checks.flag("numbers_2018", numbers_2018)
        checks.number("idle_timeout", idle_timeout, positive=True, endless=True)
        checks.port("port", port)
        checks.whole("buffer_limit", buffer_limit, least=1)
        checks.whole("history", history, least=0)
        checks.offset("clock_offset", clock_offset)
        v3_format = v3.V3Format(level_fields, numbers_2018)
        self._market: Market
        if capture is None:
            self._market = SyntheticMarket(
                seed,
                instruments,
                pace=pace,
                interval=interval,
                v3_format=v3_format,
                checksums=checksums,
            )
        else:
            self._market = RecordedMarket(capture, repeat=repeat, v3_format=v3_format)
        self._ssl_context: ssl.SSLContext | None = None
        self._record = Record(history)
        self._hub = Hub(
            self._market,
            self._record,
            Accounts(credentials),
            port=port,
            tls=self._make_tls(tls),
            speed=speed,
            idle_timeout=idle_timeout,
            buffer_limit=buffer_limit,
            clock_offset=clock_offset,
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

    # --- Start and end --------------------------------------------------------------

    def start(self) -> LocalExchange:
        """Listen, and return this object once clients can connect.

        ``OSError`` if the port cannot be used.
        """
        self._thread.start()
        return self

    def close(self, timeout: float = 5.0) -> bool:
        """Close every client with 1001, end the thread, and return whether it ended.

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

    def aclose(self, timeout: float = 5.0) -> Coroutine[Any, Any, bool]:
        """Close as `close` does; awaited, it waits while the event loop goes on.

        It begins to close at the call, so that a cancellation leaves nothing open.
        """
        self._thread.close(0.0)
        return self._thread.wait_ended(timeout)

    async def __aenter__(self) -> LocalExchange:
        # It takes milliseconds, and a cancellation cannot come between.
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # --- Addresses and settings -----------------------------------------------------

    @property
    def url(self) -> str:
        """Where it speaks v3: ``ws://127.0.0.1:PORT/ws/v3``, or ``wss://``."""
        return self._address(PATH_V3)

    @property
    def url_v5(self) -> str:
        """Where it speaks v5: the base, without ``/public`` and the like."""
        return self._address(BASE_V5)

    @property
    def rest_url(self) -> str:
        """The origin of its REST interface: ``http://127.0.0.1:PORT``, or https."""
        return self._address("").replace("ws", "http", 1)

    @property
    def venue(self) -> Venue:
        """This exchange as a `Venue` of v3, without the limits that slow tests down."""
        return self._venue("v3", self.url)

    @property
    def venue_v5(self) -> Venue:
        """The same exchange as a `Venue` of v5."""
        return self._venue("v5", self.url_v5)

    def _address(self, path: str) -> str:
        if not self._hub.port:
            raise RuntimeError("the local exchange is not started")
        return f"{self._scheme}://{HOST}:{self._hub.port}{path}"

    def _venue(self, protocol: str, url: str) -> Venue:
        return Venue(
            "local",
            protocol,
            (url,),
            connections_per_second=1000.0,
            requests_per_hour=1_000_000,
            known="an okex_ws.local_exchange on this machine",
            rest=self.rest_url if isinstance(self._market, SyntheticMarket) else None,
            rest_share=1000.0,
        )

    @property
    def credentials(self) -> tuple[Credentials, ...]:
        """The credentials that may log in."""
        return self._hub.accounts.credentials

    @property
    def clock_offset(self) -> float:
        """Seconds that its clock is ahead of this machine's; negative is behind."""
        return self._hub.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        checks.offset("clock_offset", seconds)
        self._hub.clock_offset = seconds

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The context that trusts its certificate: pass it on as ``ssl_context=``.

        ``None`` without TLS, and with a server context of your own.
        """
        return self._ssl_context

    @property
    def instruments(self) -> tuple[tuple[str, str], ...]:
        """Every (market, instrument_id)."""
        return self._market.instruments

    @property
    def busiest(self) -> tuple[str, str]:
        """The (market, instrument_id) on which most happens."""
        return self._market.busiest

    @property
    def pace(self) -> float:
        """Updates a second of each synthetic instrument; 0 is a quiet market.

        On a quiet market only the clock brings a push: the end of a candle, a funding
        rate. ``RuntimeError`` for a recorded market.
        """
        return self._synthetic().pace

    @pace.setter
    def pace(self, pace: float) -> None:
        market = self._synthetic()
        self._thread.call(lambda: setattr(market, "pace", pace))

    # --- What it has received and sent ----------------------------------------------

    @property
    def clients(self) -> int:
        """How many WebSockets are open."""
        return self._record.clients

    @property
    def handshakes(self) -> int:
        """How many handshakes clients have asked for, including refused ones."""
        return self._record.handshakes

    @property
    def requests(self) -> tuple[Asked, ...]:
        """The messages of clients, oldest first: (at, text).

        *at* is on the monotonic clock.
        """
        return self._record.requests

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The channels that some client is subscribed to at the moment."""
        return tuple(self._hub.clients.subscribers)

    @property
    def ended(self) -> bool:
        """Whether a recorded market is over."""
        return self._market.ended

    def pushed(self, channel: str) -> tuple[Pushed, ...]:
        """What was really sent on *channel*, oldest first: (at, element).

        ``pushed('spot/depth5:BTC-USDT')``, ``pushed('books5:BTC-USDT')``; empty for a
        channel that no client has subscribed.

        *at* is the monotonic time just before the send. *element* is an element of
        ``data``, with every number as the ``str`` of its characters. A push has one
        entry for each of its elements, of which few pushes have two, for any number of
        clients.
        """
        return self._record.pushed(channel)

    def newest(self, channel: str) -> Pushed | None:
        """The last of `pushed`, or ``None``."""
        return self._record.newest(channel)

    def book(self, channel: str) -> Said:
        """The true state of a whole book as it was last published: (book, seq, at).

        ``book('books:BTC-USDT')``, ``book('spot/depth:BTC-USDT')``: what a client of an
        exchange without faults has after it has read every message. On a running market
        the book soon changes: see `pace`. It is empty before the first message of a
        recording. ``ValueError`` for a channel that is not an incremental book.
        """
        self._check_book(channel)
        return self._thread.call(lambda: self._hub.last_book(channel))

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> bool:
        """Whether *predicate* came true within *timeout* seconds.

        It is called on your thread: ``lambda: exchange.clients == 0``.
        """
        return self._record.wait_for(predicate, timeout)

    def _synthetic(self) -> SyntheticMarket:
        if not isinstance(self._market, SyntheticMarket):
            raise RuntimeError("a recorded market has the pace that was recorded")
        return self._market
