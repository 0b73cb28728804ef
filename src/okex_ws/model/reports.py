"""Reports on a subscription and its connections: state changes, health, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from ..base.state import Cause, State
from .display import Displayed


@dataclass(frozen=True, slots=True, repr=False)
class StateChange(Displayed):
    """The state of a subscription changed from *old* to *new*, at the time *at*.

    *instrument_id* is the subscription's. *cause*, a `Cause`, says why, and is false if
    *new* is ``LIVE``; *epoch* is as in `Depth`.
    """

    old: State
    new: State
    cause: Cause
    epoch: int
    at: datetime
    instrument_id: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Health(Displayed):
    """The condition of a subscription or a feed: all fields are of the same moment.

    *cause*, a `Cause`, says why it is not ``LIVE``, and is false if it is. *age* is the
    seconds since the depth channel's last push (``inf`` before the first).
    *silence* is the seconds since the last byte on the channel's connection. *lag* and
    *epoch* are as in `Depth`. *failed* maps each channel that failed to its error; the
    exchange refused it, for example.
    """

    state: State
    cause: Cause
    age: float
    silence: float
    lag: float | None
    epoch: int
    failed: Mapping[str, Exception]


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionReport(Displayed):
    """One connection of a feed, and what the exchange's limits still allow it.

    *endpoint* is the URL to which it is connected, or is trying to connect. *open* is
    whether it is connected. *channels* is how many channels it carries for scripts,
    *depths* how many of those are books of 50 or more levels; the exchange advises
    fewer than 30 of them on a connection. *requests_left* is how many requests the
    hourly limit allows at this moment, *requests_wait* the seconds until it allows one.
    *connect_wait* is the seconds until any feed of the process may connect to the host
    again.
    """

    endpoint: str
    open: bool
    channels: int
    depths: int
    requests_left: int
    requests_wait: float
    connect_wait: float


@dataclass(frozen=True, slots=True, repr=False)
class Stats(Displayed):
    """Counts since the start, across reconnects. The names of the counts are stable.

    A mapping holds a name once its count is not 0. An item that several iterators
    (`updates`) or a slow callback skipped is counted for each of them.

    Attributes:
        messages: complete messages received, of any kind, pongs included.
        bytes: bytes received after the handshakes, frame headers included; under TLS
            those inside the encryption.
        reconnects: losses and failed attempts, by cause: ``'ConnectionLost'`` (TCP or
            TLS ended, or never came up), ``'ConnectionLost 1001'`` (with that close
            code), ``'HandshakeFailed'`` (the certificate was refused, or the answer was
            no HTTP), ``'HandshakeFailed 503'`` (with that status), ``'Stalled'`` (no
            pong came, or connecting took too long), ``'reader'`` (the process of an
            isolated feed ended, or could not be started; what it counted in its last
            seconds is missing here).
        resyncs: how often one channel was withdrawn, because a message could not be
            read or a book failed its proof.
        gaps: places where trades, candles or data were missed during a loss of the
            connection, also those that were fetched since (``history=``).
        mismatches: how often two depth channels had the same sequence number and
            different best levels.
        dropped: messages that could not be used, by kind; if there was an error, it is
            the error's *kind*. The whole message was broken: ``'frame'`` (a binary one
            under v5), ``'utf-8'``, ``'inflate'`` (the deflated stream of v3),
            ``'json'``, ``'shape'`` (no message of the protocol), ``'too-large'`` (more
            than the feed's *max_frame* bytes). An element of it could
            not be read: ``'depth'``, ``'book'``, ``'trade'``, ``'ticker'``,
            ``'candle'``, ``'funding'``. A book failed its proof: ``'checksum'``,
            ``'sequence'``, and ``'book'`` for any other fault;
            ``'resynchronising'``: pushes of that book until it is subscribed again. The
            library did not ask for the message: ``'unasked'`` (a push of a channel that
            is not subscribed), ``'unasked pong'`` (or one that came too soon for the
            ping that was open), and answers that belong to no request:
            ``'unasked ack'``, ``'unasked error'``, ``'unasked login'``. The
            library does not know the message: ``'unknown'`` (an event, or an answer to
            an order), ``'unasked unknown'``.
        skipped: items that were not handed over. Under the topic of their channel
            (``depth5``, ``trade``; v3's name if there is one): items that a newer one
            replaced, or that came while the queue was full (a `Gap` tells that).
            Under names of their own: ``'repeat'`` (trades that came before, or before
            the subscription),
            ``'unreadable'`` (trades and candles beside readable ones), ``'old'``
            (candles older than the newest), ``'before the snapshot'`` (updates of a
            whole book whose snapshot has not come), ``'too large'`` (depths that did
            not fit into the shared memory of an isolated feed), ``'on_error'`` (errors
            that newer ones replaced), ``'log'`` (log records that newer ones replaced).
        unread: pushes that were received and never parsed, under the topic of their
            channel: nothing had read them when a newer one came, or the value was
            withdrawn; of trades, 2,000 newer ones have come. Only pushes of depths,
            tickers, funding rates and trades that no callback and no iterator takes.
        callback_errors: exceptions that callbacks raised.
        callback_stalls: callbacks that took a second or more.
        last_pong: when the last pong came; with several connections, the oldest of
            their last pongs.
        ping_round_trip: seconds from the last ping to its pong; with several
            connections, the longest.
    """

    messages: int = 0
    bytes: int = 0
    reconnects: Mapping[str, int] = field(default_factory=dict)
    resyncs: int = 0
    gaps: int = 0
    mismatches: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    callback_errors: int = 0
    callback_stalls: int = 0
    last_pong: datetime | None = None
    ping_round_trip: float | None = None


def add(one: Stats, other: Stats) -> Stats:
    """The sums of the counts of both.

    The time and round trip of the pong are those of *other*, if it has any.
    """
    sums: dict[str, Any] = {}
    for each in fields(Stats):
        mine, its = getattr(one, each.name), getattr(other, each.name)
        if isinstance(mine, int):
            sums[each.name] = mine + its
        elif isinstance(mine, Mapping):
            sums[each.name] = dict(Counter(mine) + Counter(its))
        else:
            sums[each.name] = mine if its is None else its
    return Stats(**sums)


def of_subscription(stats: Stats) -> Stats:
    """*stats* without the counts that belong to whole connections."""
    return replace(stats, **_OF_CONNECTIONS)


def of_connections(stats: Stats) -> Stats:
    """Only the counts in *stats* that belong to whole connections."""
    return Stats(**{name: getattr(stats, name) for name in _OF_CONNECTIONS})


_OF_CONNECTIONS: dict[str, Any] = {
    name: getattr(Stats(), name)
    for name in (
        "messages",
        "bytes",
        "reconnects",
        "dropped",
        "last_pong",
        "ping_round_trip",
    )
}
