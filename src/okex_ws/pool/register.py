"""The register of a feed: which channel lives on which connection, and who wants it.

It is one immutable table. A change makes a new table and puts it behind the old one in
one step that either happens or does not, even if another thread or a signal handler on
the same thread interrupts it. So there is no lock that a thread could wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from ..base.errors import OkexWSError
from ..channels.base import Channel
from ..channels.reading import Reading
from ..delivery.view import View
from ..protocol.messages import SocketPath


class Carrier(Protocol):
    """What carries channels: a `Connection`.

    *path* is the venue's path that it leads to, *most* how many channels the exchange
    bears on it, and *error* why it was given up: a channel on it is placed anew.
    """

    path: SocketPath
    most: float
    error: OkexWSError | None

    def submit(self, work: Callable[[], None]) -> None:
        """Run *work* on the connection's thread, in order of submission."""
        ...

    def close(self) -> None:
        """Ask the thread to end; returns at once."""
        ...


class Row(NamedTuple):
    """One channel of the feed.

    *reading* is what subscriptions read, *channel* what writes it, *carrier* the
    connection on which the channel lives, and *users* the views that want it.
    """

    reading: Reading
    channel: Channel
    carrier: Carrier
    users: tuple[View, ...]


class Table:
    """One state of the register. It never changes.

    *rows* are by the channel's key, *carriers* the connections on which channels may be
    placed, *views* those that are not closed. A table that is *closed* stays as it is.
    """

    __slots__ = ("_by_carrier", "_next", "carriers", "closed", "rows", "views")

    def __init__(
        self,
        rows: Mapping[str, Row] | None = None,
        carriers: tuple[Carrier, ...] = (),
        views: tuple[View, ...] = (),
        closed: bool = False,
    ) -> None:
        self.rows: Mapping[str, Row] = {} if rows is None else rows
        self.carriers = carriers
        self.views = views
        self.closed = closed
        self._by_carrier: dict[Carrier, list[Row]] | None = None
        # The table that replaced this one, once there is one.
        self._next: dict[int, Table] = {}

    def but(
        self,
        rows: Mapping[str, Row] | None = None,
        carriers: tuple[Carrier, ...] | None = None,
        views: tuple[View, ...] | None = None,
        closed: bool = False,
    ) -> Table:
        """This table, but for what is given."""
        return Table(
            self.rows if rows is None else rows,
            self.carriers if carriers is None else carriers,
            self.views if views is None else views,
            self.closed or closed,
        )

    def of(self, carrier: Carrier) -> list[Row]:
        """The rows whose channels live on *carrier*."""
        if self._by_carrier is None:
            by_carrier: dict[Carrier, list[Row]] = {}
            for row in self.rows.values():
                by_carrier.setdefault(row.carrier, []).append(row)
            self._by_carrier = by_carrier
        return self._by_carrier.get(carrier, [])

    def of_view(self, view: View) -> list[Row]:
        """The rows of the channels that *view* wants."""
        names = [reading.name for reading in view.readings.values()]
        rows = [self.rows.get(name) for name in names]
        return [row for row in rows if row is not None and view in row.users]

    def with_rows(self, rows: Iterable[Row]) -> Table:
        """This table with *rows* in place of those of the same channels."""
        changed = {row.reading.name: row for row in rows}
        return self.but({**self.rows, **changed})

    def without_user(self, view: View) -> Table:
        """This table with *view* among the users of no channel."""
        return self.with_rows(
            row._replace(users=tuple(user for user in row.users if user is not view))
            for row in self.of_view(view)
        )

    def with_carrier(self, new: Carrier, old: Carrier | None) -> Table:
        """This table with *new* among the carriers, in the place of *old*."""
        if old is None:
            return self.but(carriers=(*self.carriers, new))
        carriers = (new if each is old else each for each in self.carriers)
        return self.but(carriers=tuple(carriers))

    def without_carrier(self, carrier: Carrier) -> Table:
        """This table, where no further channel is placed on *carrier*."""
        carriers = (each for each in self.carriers if each is not carrier)
        return self.but(carriers=tuple(carriers))

    def without_view(self, view: View) -> Table:
        """This table without *view*, which was closed; itself if it is closed."""
        if view not in self.views or self.closed:
            return self
        views = (each for each in self.views if each is not view)
        return self.without_user(view).but(views=tuple(views))


class Register:
    """The present table of a feed, and the changes of it.

    Any thread may read `table` and make a `change`, at any time: in a signal handler
    and in a callback as well. A connection's thread compares the table with what it has
    carried out, and catches up; so a change needs no message, only a wake-up.
    """

    def __init__(self) -> None:
        self._known = Table()

    @property
    def table(self) -> Table:
        """The present table."""
        table = self._known
        while table._next:
            table = table._next[0]
        self._known = table
        return table

    def change(self, change: Callable[[Table], Table]) -> Table:
        """Replace the table by what *change* makes of it, and return the new table.

        *change* has no effect of its own, because it is called again if another change
        came first. If it raises, the table stays.
        """
        while True:
            before = self.table
            after = change(before)
            # One call of the interpreter, which nothing interrupts.
            if after is before or before._next.setdefault(0, after) is after:
                return after

    def forget(self, reading: Reading) -> bool:
        """Remove the row of *reading* if no view wants it; False if one does."""

        def change(table: Table) -> Table:
            return table.but(
                {name: row for name, row in table.rows.items() if row is not gone}
            )

        gone = self.table.rows.get(reading.name)
        if gone is None or gone.reading is not reading:
            return True
        # If the row changes meanwhile, *gone* is in no table any more.
        return not gone.users and reading.name not in self.change(change).rows


def check(table: Table) -> None:
    """Raise ``AssertionError`` unless *table* holds together. For tests.

    Each row is under its channel's key, its reading leads to a channel of that key, and
    its users are views that are not closed and read it.
    """
    for name, row in table.rows.items():
        assert row.reading.name == row.channel.name == name
        assert row.channel.reading is row.reading
        assert len(set(map(id, row.users))) == len(row.users)
        for view in row.users:
            assert view in table.views, f"{name} is wanted by a closed view"
            assert any(each is row.reading for each in view.readings.values())
    assert len(set(map(id, table.carriers))) == len(table.carriers)
    for view in table.views:
        for reading in view.readings.values():
            found = table.rows.get(reading.name)
            # A channel that was refused may have been made anew, for other views.
            served = found and (found.reading is not reading or view in found.users)
            assert served or view.error or reading.error, reading.name
