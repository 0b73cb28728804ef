"""Placement: which channel of the exchange lives on which connection. It is a decision.

It makes a new table of the register from the present one, and changes nothing itself,
except that it makes connections where no connection has room.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

from ..channels.base import Channel
from ..channels.depth import DepthChannel
from ..channels.reading import Reading
from ..channels.series import KINDS
from ..delivery.view import View
from ..model.book import RPI
from ..model.venues import Venue
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName, SocketPath
from .register import Carrier, Row, Table

# Seconds by which the repetition of an idle book may be later than documented ("about
# every 60 s"): as long as a lease lasts unless a script chooses.
REPEAT_GRACE = 15.0


class Placement:
    """Decides on which connection each channel lives.

    The exchange limits the channels of a connection, and has several paths.
    *make_carrier* is a callable that makes a connection for a path, not started yet. It
    is called when no connection on a channel's path has room for one more, by the
    limits of the venue, or by the limit that the exchange showed by closing a
    connection (`limit`). A channel stays on its connection until it is left; only a
    handover or such a limit moves channels. A connection stays open if its last channel
    leaves. Any thread calls, at any time.
    """

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        make_carrier: Callable[[SocketPath, str], Carrier],
    ) -> None:
        self._venue = venue
        self._wire = wire
        self._make_carrier = make_carrier

    def place(
        self,
        table: Table,
        view: View,
        names: Mapping[str, ChannelName],
        made: list[Carrier],
        rides: bool = False,
    ) -> Table:
        """*table* with *view* among the users of the channels *names*.

        A channel that was refused, or whose connection was given up, is made again. Of
        the carriers of the new table, those that are new are added to *made* as soon as
        they are made. A channel that *rides* is also placed on a connection that logs
        in, although it needs no login. ``ValueError`` if a channel is in use on another
        path than the one that its name chooses.
        """
        rows = dict(table.rows)
        carriers = list(table.carriers)
        load, deep = self._load(table)
        for name in names.values():
            row, path = rows.get(name.key), self._wire.path(name.key, name.path)
            if row is not None and name.path not in ("", row.carrier.path.name):
                row = self._leave(row, name)
            if row is None or row.reading.error or row.carrier.error:
                carrier = self._room(carriers, path, name.key, load, deep, rides)
                made += [carrier] if carrier not in (*table.carriers, *made) else []
                channel = self.make_channel(name)
                row = Row(channel.reading, channel, carrier, ())
                load[carrier] += 1
                deep[carrier] += self._wire.is_deep(name.key)
            users = tuple(dict.fromkeys((*row.users, view)))
            rows[name.key] = row._replace(users=users)
        return table.but(rows, tuple(carriers), (*table.views, view))

    @staticmethod
    def _leave(row: Row, name: ChannelName) -> None:
        """Take nothing of *row*, which is on another path than *name* chooses."""
        if row.users and not row.reading.error and not row.carrier.error:
            raise ValueError(
                f"channel {name.key!r} is in use on path {row.carrier.path.name!r}, and"
                f" cannot be on path {name.path!r} too"
            )

    def _load(self, table: Table) -> tuple[Counter[Carrier], Counter[Carrier]]:
        """How many channels each connection has, and how many are deep books."""
        rows = table.rows.values()
        load = Counter(row.carrier for row in rows)
        is_deep = self._wire.is_deep
        deep = Counter(row.carrier for row in rows if is_deep(row.reading.name))
        return load, deep

    def _room(
        self,
        carriers: list[Carrier],
        path: SocketPath,
        key: str,
        load: Counter[Carrier],
        deep: Counter[Carrier],
        rides: bool = False,
    ) -> Carrier:
        """A connection that has room for one more channel, made if there is none."""
        is_deep = self._wire.is_deep(key)
        most = self._venue.channels_per_connection or math.inf
        for carrier in carriers:
            fits = carrier.path == path or (rides and carrier.path.name == path.name)
            if not fits or carrier.error is not None:
                continue
            if load[carrier] >= min(most, carrier.most):
                continue
            if not is_deep or deep[carrier] < self._venue.depths_per_connection:
                return carrier
        known = [carrier.most for carrier in carriers if carrier.path == path]
        carrier = self._make_carrier(path, key)
        carrier.most = min(known, default=math.inf)
        carriers.append(carrier)
        return carrier

    def surplus(
        self, table: Table, carrier: Carrier, made: list[Carrier]
    ) -> dict[Carrier, list[str]]:
        """Where the channels go that are too many on *carrier*, by connection.

        Those connections that are new are added to *made* as soon as they are made.
        """
        load, deep = self._load(table)
        names = [row.reading.name for row in table.of(carrier)]
        others = [each for each in table.carriers if each is not carrier]
        for other in others:
            if other.path == carrier.path:
                other.most = min(other.most, carrier.most)
        if not any(other.path == carrier.path for other in others):
            made.append(self._make_like(carrier, names[0]))
            others += made
        found: dict[Carrier, list[str]] = {}
        for name in names[int(carrier.most) :]:
            to = self._room(others, carrier.path, name, load, deep)
            made += [to] if to not in (*table.carriers, *made) else []
            found.setdefault(to, []).append(name)
            load[to] += 1
            deep[to] += self._wire.is_deep(name)
        return found

    def _make_like(self, carrier: Carrier, key: str) -> Carrier:
        made = self._make_carrier(carrier.path, key)
        made.most = carrier.most
        return made

    def make_channel(
        self, name: ChannelName, reading: Reading | None = None
    ) -> Channel:
        """A channel of that name; with a *reading* a silent second channel of it."""
        channel = KINDS[name.kind](self._wire, name, reading)
        # It is not documented that the exchange repeats an idle book with RPI.
        repeats = isinstance(channel, DepthChannel) and name.topic != RPI
        if repeats and self._venue.idle_repeat is not None:
            channel.repeats_within = self._venue.idle_repeat + REPEAT_GRACE
        return channel
