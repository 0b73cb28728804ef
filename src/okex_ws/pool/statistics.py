"""The statistics of a feed or of one subscription, put together when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..base.clock import utc
from ..base.counts import Counts
from ..channels.reading import Reading
from ..delivery.view import View
from ..model.reports import Stats
from .connection import Connection

_SKIPPED = "skipped "


def collect_stats(
    connections: Iterable[Connection],
    views: Sequence[View],
    past: Counter[str],
    before: Counts,
    readings: Iterable[Reading] | None = None,
) -> Stats:
    """The counts of *connections* and *views*, with those of objects that are gone.

    *past* has the counts of views and channels that are gone, *before* those of
    connections that have ended. *readings* are those of the *views*, unless they are
    given.
    """
    mine = Counter(past)
    if readings is None:
        readings = {id(r): r for v in views for r in v.readings.values()}.values()
    for view in views:
        mine += view.counts()
    for reading in readings:
        # A copy, because the connection's thread may count at this moment.
        mine += Counter(dict(reading.counts))
    counts, open_bytes, pongs, trips = Counts(), 0, [], []
    counts.absorb(before)
    for connection in connections:
        one, opening = connection.counts, connection.opening
        counts.absorb(one)
        open_bytes += 0 if opening is None else opening.transport.bytes_received
        if one.last_pong is not None and one.round_trip is not None:
            pongs.append(one.last_pong)
            trips.append(one.round_trip)
    return Stats(
        messages=counts.messages,
        bytes=counts.bytes + open_bytes,
        reconnects=dict(counts.reconnects),
        resyncs=mine["resyncs"],
        gaps=mine["gaps"],
        mismatches=mine["mismatches"],
        dropped=dict(counts.dropped),
        skipped={
            kind[len(_SKIPPED) :]: count
            for kind, count in mine.items()
            if kind.startswith(_SKIPPED)
        },
        callback_errors=mine["callback_errors"],
        callback_stalls=mine["callback_stalls"],
        # Of several connections, the oldest pong and the longest round trip.
        last_pong=utc(min(pongs)) if pongs else None,
        ping_round_trip=max(trips) if trips else None,
    )


def add(one: Stats, other: Stats) -> Stats:
    """The sums of the counts of both.

    The time and round trip of the pong are those of *other*, if it has any.
    """
    sums: dict[str, Any] = {}
    for field in fields(Stats):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, int):
            sums[field.name] = mine + its
        elif isinstance(mine, Mapping):
            sums[field.name] = dict(Counter(mine) + Counter(its))
        else:
            sums[field.name] = mine if its is None else its
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
