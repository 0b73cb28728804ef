"""The pools of feeds that publish to Redis, or that read from there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from ..base.clock import SystemClock
from ..base.errors import OkexWSError
from ..base.retry import Reconnect, Timeouts
from ..base.threads import locked
from ..base.worker import LibraryThread
from ..channels.reading import Reading
from ..delivery.view import View
from ..model.reports import ConnectionReport
from ..net.stream import TcpNetwork
from ..pool.connection import Connection
from ..pool.options import Forwarding, PoolOptions
from ..pool.pool import Pool
from ..protocol.messages import ChannelName
from .address import parse, trust
from .forwarded import forwarded
from .producer import NumberedEra, Producer, PublishedView
from .redis_line import check_package
from .transport import ReaderOpener

# No limit of the exchange holds between a reader and Redis.
_UNLIMITED: dict[str, Any] = {
    "connections_per_second": 10.0,
    "requests_per_hour": 1_000_000,
    "idle_repeat": None,
    "channels_per_connection": None,
    "depths_per_connection": 1_000_000,
    # A past comes from a `History` that the script gives, or from nowhere.
    "rest": None,
}
# What a reader cannot have: it speaks to no exchange.
_REFUSED = ("credentials", "proxy", "ssl_context")
_HERE = "it reads from Redis, and has no connection to the exchange"


def make_publishing_pool(
    options: PoolOptions, url: object, authority: object
) -> PublishingPool:
    """The pool of a feed that publishes to *url*; errors are those of `Feed`."""
    address = parse(url, "publish")
    context = trust(authority)
    check_package()
    clock = options.clock or SystemClock()
    options = replace(options, clock=clock)

    def network() -> TcpNetwork:
        return TcpNetwork(clock, ssl_context=context, proxy="")

    pool = options.make_pool(PublishingPool)
    assert isinstance(pool, PublishingPool)
    settings = pool.settings
    pool.producer = Producer(
        address,
        options.venue.name,
        options.lease,
        clock,
        network,
        settings.rng,
        pool.tell,
        options.timeouts or Timeouts(),
        options.reconnect or Reconnect(),
    )
    return pool


def make_reading_pool(
    options: PoolOptions, url: object, authority: object, lease: float | None
) -> ReadingPool:
    """The pool of a feed that reads from *url*; errors are those of `Feed`.

    *lease* is that of the script, ``None`` for the producer's.
    """
    for name in _REFUSED:
        if getattr(options, name) is not None:
            raise ValueError(f"a feed with via= takes no {name}=: {_HERE}")
    address = parse(url, "via")
    context = trust(authority)
    check_package()
    clock, venue = options.clock or SystemClock(), options.venue
    wire = forwarded(venue.protocol)
    opener = ReaderOpener(address, venue.name, wire, clock, lease)

    def network() -> TcpNetwork:
        return TcpNetwork(clock, ssl_context=context, proxy="")

    there = replace(venue, **_UNLIMITED)
    # A venue's own check wants addresses of an exchange.
    object.__setattr__(there, "endpoints", (address.endpoint,))
    options = replace(
        options,
        venue=there,
        clock=clock,
        network=options.network or network,
        forwarded=Forwarding(wire, opener),
    )
    pool = options.make_pool(ReadingPool)
    assert isinstance(pool, ReadingPool)
    pool.venue, pool.opener = venue, opener
    return pool


class PublishingPool(Pool):
    """A `Pool` that publishes each public channel which a script has subscribed.

    Each channel has one `PublishedView` beside the script's, as long as one of those
    uses it.
    """

    producer: Producer

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        numbers = itertools.count(1)
        era = lambda now: NumberedEra(now, next(numbers))  # noqa: E731
        self._settings = self._settings._replace(era=era)
        self._published: dict[str, PublishedView] = {}

    def tell(self, error: OkexWSError) -> None:
        """An error of the line to Redis: it is the feed's own, or that of all views."""
        if self.told is not None:
            self.told.error(error)
            self.told.drain()
            return
        for view in self.views:
            view.trouble(error)
            view.callbacks.drain()

    @property
    def settings(self) -> Any:
        """What its connections are made with."""
        return self._settings

    def attach(
        self,
        view: View,
        names: Mapping[str, ChannelName],
        listing: ChannelName | None = None,
    ) -> None:
        """Attach *view*, and publish each of its channels that is public."""
        if isinstance(view, PublishedView):
            super().attach(view, names, listing)
            return
        self.producer.start()
        super().attach(view, names, listing)
        try:
            for name in names.values():
                if not self.wire.path(name.key, name.path).login:
                    self._publish(name)
        except BaseException:
            self.detach(view)
            raise

    def _publish(self, name: ChannelName) -> None:
        producer = self.producer

        def enter() -> tuple[PublishedView | None, PublishedView | None]:
            known = self._published.get(name.key)
            if known is not None and not known.ended:
                return None, None
            made = self._make_published(name)
            # Before its first push, which is then above all that was sent under its
            # name.
            producer.add(made.topic)
            self._published[name.key] = made
            return known, made

        failed, made = locked(self._lock, enter)
        if failed is not None:
            super().detach(failed)
        if made is not None:
            super().attach(made, {name.topic: name})
            if self._published.get(name.key) is not made:
                super().detach(made)  # it was let go of meanwhile

    def _make_published(self, name: ChannelName) -> PublishedView:
        return PublishedView(
            name,
            self.clock,
            self.callback_runner.callbacks(name.key, self.clock, None, (), None),
            self._endpoint_of,
            self._settings.ping.lease,
            self.producer.put,
            self.producer.publisher.versions,
        )

    def detach(self, view: View) -> None:
        """Detach *view*, and publish no longer what no view of a script uses."""
        super().detach(view)
        self._unpublish(view)

    def release(self, view: View) -> None:
        """*view* has failed: publish no longer what no other one uses."""
        super().release(view)
        self._unpublish(view)

    def _unpublish(self, view: View) -> None:
        """Let go of the channels of *view* that only the producer still follows."""
        if self.closed or isinstance(view, PublishedView):
            return

        def leave() -> list[PublishedView]:
            rows, gone = self._register.table.rows, []
            for reading in view.readings.values():
                known, row = self._published.get(reading.name), rows.get(reading.name)
                users = () if row is None else row.users
                if known is not None and all(
                    isinstance(user, PublishedView) for user in users
                ):
                    # Before another one can have its name.
                    self.producer.remove(known.topic)
                    del self._published[reading.name]
                    gone.append(known)
            return gone

        for each in locked(self._lock, leave):
            super().detach(each)

    def _endpoint_of(self, reading: Reading) -> str:
        row = self._register.table.rows.get(reading.name)
        carrier = None if row is None else row.carrier
        return carrier.report(0, 0).endpoint if isinstance(carrier, Connection) else ""

    def reports(self) -> tuple[ConnectionReport, ...]:
        """A report on each connection to the exchange, and then on that to Redis."""
        producer = self.producer
        own = ConnectionReport(
            producer.endpoint,
            producer.is_open,
            len(producer.publisher.topics),
            0,
            0,
            0.0,
            0.0,
        )
        return (*super().reports(), own)

    def _end_threads(self) -> None:
        super()._end_threads()
        self.producer.close()

    @property
    def threads(self) -> tuple[LibraryThread, ...]:
        """The threads that end some time after `close`."""
        return (*super().threads, self.producer.thread)

    def forked(self) -> None:
        """In a forked child: close, without sending anything or taking a lock."""
        super().forked()
        self.producer.forked()


class ReadingPool(Pool):
    """A `Pool` whose one connection leads to Redis, where a producer publishes."""

    opener: ReaderOpener

    def rotate(self) -> NoReturn:
        """Raise ``ValueError``: there is nothing that could be replaced."""
        raise ValueError(f"a feed with via= cannot rotate: {_HERE}")

    def reports(self) -> tuple[ConnectionReport, ...]:
        """A report of the line to Redis, and of each of the producer's connections."""
        own = super().reports()
        last = self.opener.last
        links = {} if last is None or not any(one.open for one in own) else last.links
        far = (
            ConnectionReport(link.endpoint, True, 0, 0, 0, 0.0, 0.0)
            for link in links.values()
        )
        return (*own, *far)
