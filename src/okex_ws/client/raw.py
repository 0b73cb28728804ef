"""`RawSubscription`: any channel of the venue, a private one too, as decoded data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Union

from ..base.checks import all_name_keywords
from ..delivery.callbacks import (
    OnError,
    OnItem,
    OnMessage,
    OnState,
    check_callables,
)
from ..model.items import Data
from ..trust.verdict import NO_LIMITS
from .base import BaseSubscription, SharedConnections, check_paths, find_pool

Argument = Union[str, Mapping[str, str]]


@all_name_keywords()
class RawSubscription(BaseSubscription):
    """Channels that are not about one instrument; each push becomes a `Data`.

        RawSubscription([{"channel": "orders", "instType": "ANY"}], feed=feed)  # v5
        RawSubscription(["spot/order:BTC-USDT"], feed=feed)  # v3

    A private channel needs a feed with *credentials*. After each reconnect a `Gap` says
    that pushes may be missing: ask the exchange over REST what became of your orders.

    The library's tables say on which of v5's paths a channel is: ``public``,
    ``business`` or ``private``. A script may say it of a channel that they do not have,
    or have wrong. A login goes to a path only if it is known that the channel needs one
    there: on ``private``, and of the known private channels on ``business``.

        RawSubscription([{"channel": "new", "path": "business"}, "status"], feed=feed)

    Args:
        args: the channels, as arguments of a subscribe request that the venue
            documents: mappings (or the bare name of a channel) under v5, strings under
            v3. A mapping may have its own ``'path'``, which is not sent.
        path: the path of each of *args* that has none of its own: one segment of small
            letters, digits and hyphens. ``None`` leaves it to the library's tables.
        feed: the `Feed` whose connections carry the channels.
        on_message: called with the venue's own JSON text of every push, in order, on a
            thread of the library.
        on_item, on_state, on_error: as for `WSSubscription`.

    Raises:
        ValueError, TypeError: *args* has no channel, something that cannot be a
            channel, a channel for which `WSSubscription` has a type, or a private
            channel without credentials; a channel is in use on another path; or *feed*
            has *isolate*.
    """

    def __init__(
        self,
        args: Iterable[Argument],
        *,
        feed: SharedConnections,
        path: str | None = None,
        on_message: OnMessage | None = None,
        on_item: OnItem | None = None,
        on_state: OnState | None = None,
        on_error: OnError | None = None,
    ) -> None:
        check_callables(
            on_message=on_message, on_item=on_item, on_state=on_state, on_error=on_error
        )
        if isinstance(args, (str, Mapping)) or not isinstance(args, Iterable):
            raise TypeError(f"args is a sequence of channels, like [{args!r}]")
        pool = find_pool(feed)
        if pool.isolated:
            raise ValueError(
                "a feed with isolate=True shares the newest depth alone: give a"
                " RawSubscription a Feed without it"
            )
        found = [pool.wire.raw(argument, path) for argument in args]
        if not found:
            raise ValueError("args is empty: name at least one channel")
        check_paths(found)
        names = {name.key: name for name in found}
        label = ", ".join(names)
        on = (on_message, on_item, on_state, on_error)
        super().__init__(pool, False, label, NO_LIMITS, *on)
        self._begin(names)

    @property
    def channels(self) -> tuple[str, ...]:
        """The keys of the channels, as errors and ``health().failed`` name them."""
        return tuple(self._view.readings)

    @property
    def data(self) -> tuple[Data, ...]:
        """The newest pushes, newest last, at most 1,000 of each channel."""
        readings = self._view.readings.values()
        kept = [each.items for each in readings if each.kind == "data"]
        return tuple(sorted(sum(kept, ()), key=lambda item: item.received))

    def latest(self, argument: Argument | None = None) -> Data | None:
        """The newest push of a channel; ``None`` if none came or it is not trusted.

        Raises:
            ValueError: *argument* is not subscribed here, or is left out though there
                are several channels.
        """
        key = self._only() if argument is None else self._pool.wire.raw(argument).key
        item = self._view.latest(key)
        assert item is None or isinstance(item, Data)
        return item

    def _only(self) -> str:
        if len(self.channels) > 1:
            raise ValueError(f"which of {', '.join(self.channels)}?")
        return self.channels[0]

    def __repr__(self) -> str:
        return f"<RawSubscription {self._view.instrument_id} {self.state}>"
