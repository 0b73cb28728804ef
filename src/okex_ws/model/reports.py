"""What a script is told about a subscription and its connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..base.state import State


@dataclass(frozen=True, slots=True)
class StateChange:
    """The subscription of *instrument_id* went from *old* to *new* at *at*."""

    old: State
    new: State
    cause: str
    epoch: int
    at: datetime
    instrument_id: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """One consistent look at a subscription or a feed.

    *age* is seconds since the depth channel's last push (``inf`` before the first),
    *silence* seconds since any byte on its connection, *lag* as in `Depth`, *failed*
    the channels that the exchange refused, each with its error.
    """

    state: State
    cause: str
    age: float
    silence: float
    lag: float | None
    epoch: int
    failed: Mapping[str, Exception]


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One connection of a feed, and what the exchange's limits leave it.

    *endpoint* is where it is, or tries to be; *channels* how many it carries, *depths*
    how many of those are books of 50 or more levels, which the exchange advises to keep
    below 30. *requests_left* is how many requests may be sent now, out of the venue's
    hour; *requests_wait* seconds until the next one may, *connect_wait* seconds until
    the next attempt at this host may be made, by any feed of the process.
    """

    endpoint: str
    open: bool
    channels: int
    depths: int
    requests_left: int
    requests_wait: float
    connect_wait: float


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the start, over every reconnect; the names in it are stable.

    A count is there once it is not 0. What `updates` and a slow callback passed over is
    counted for each of them.

    Attributes:
        messages: that were received whole, of any kind, pongs too.
        bytes: that were received after the handshakes, frame headers included; under
            TLS what was in it.
        reconnects: losses and failed attempts, by cause: ``'ConnectionLost'`` (TCP or
            TLS ended, or never came up), ``'ConnectionLost 1001'`` (with that close
            code), ``'HandshakeFailed'`` (a certificate that is refused, an answer that
            is no HTTP), ``'HandshakeFailed 503'`` (with that status), ``'Stalled'`` (no
            pong, or nothing in the time there is to connect), ``'reader'`` (the process
            of an isolated feed ended, or could not be started; what it had counted in
            its last seconds is lost).
        resyncs: withdrawals of one channel, for a message that could not be read or a
            book that failed its proof.
        gaps: places where trades, candles or data were missed with the connection, be
            it that they were fetched since (``history=``).
        mismatches: depths of one sequence number whose best levels were not the same.
        dropped: messages that could not be used, by kind, which is that of the error if
            there is one. Broken as such: ``'frame'`` (a binary one under v5),
            ``'utf-8'``, ``'inflate'`` (the deflated stream of v3), ``'json'``,
            ``'shape'`` (no message of the protocol). An element that could not be read:
            ``'depth'``, ``'book'``, ``'trade'``, ``'ticker'``, ``'candle'``,
            ``'funding'``. A book that failed its proof: ``'checksum'``, ``'sequence'``,
            and ``'book'`` for what neither is; ``'resynchronising'``: its pushes until
            it is subscribed anew. Not asked for: ``'unasked'`` (a push of a channel
            that is not subscribed), ``'unasked pong'``, and answers to no request:
            ``'unasked ack'``, ``'unasked error'``, ``'unasked login'``. Not known:
            ``'unknown'`` (an event, or an answer to an order), ``'unasked unknown'``.
        skipped: items that were good and not handed over. By the topic of their channel
            (``depth5``, ``trade``; v3's name where there is one): those that gave way
            to newer ones, or found too many waiting (a `Gap` tells that). And
            ``'repeat'``: trades that are known; ``'old'``: candles before the newest;
            ``'before the snapshot'``: changes of a whole book that is not there yet;
            ``'too large'``: depths that an isolated feed has no room to share;
            ``'on_error'``: errors that gave way to newer ones.
        callback_errors: exceptions out of callbacks.
        callback_stalls: callbacks that took a second or more.
        last_pong: when the last pong came; of several connections the oldest.
        ping_round_trip: seconds that it took; of several connections the longest.
    """

    messages: int = 0
    bytes: int = 0
    reconnects: Mapping[str, int] = field(default_factory=dict)
    resyncs: int = 0
    gaps: int = 0
    mismatches: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    callback_errors: int = 0
    callback_stalls: int = 0
    last_pong: datetime | None = None
    ping_round_trip: float | None = None
