"""The subscription of an isolated feed, and errors for what such a feed cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.clock import Clock
from ..delivery.callbacks import (
    CallbackRunner,
    Callbacks,
    OnError,
    OnItem,
    OnMessage,
    OnState,
)
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.items import Candle, Item, Trade
from .process import check_can_start
from .slots import SubscriptionSlots

_INSTEAD = (
    "stays in the process of an isolated feed, which shares the newest depths alone:"
    " read those (GetDepth(), depth(), best_bid_ask(), state), or leave isolate=True"
)


def refuse(what: str) -> ValueError:
    """Make the error for *what*, which the worker process does not share."""
    return ValueError(f"{what} {_INSTEAD}")


def check_isolated(
    told: Mapping[str, object],
    callbacks: str,
    ssl_context: object,
    others: Mapping[str, object],
) -> None:
    """Raise ``ValueError`` for a keyword that an isolated feed cannot have."""
    for name, callback in told.items():
        if callback is not None:
            raise refuse(name)
    if callbacks != "inline":
        raise refuse(f"callbacks={callbacks!r}")
    if ssl_context is not None:
        raise ValueError(
            "ssl_context cannot cross into the process of an isolated feed: name the"
            " file of a private CA in SSL_CERT_FILE, which is read at each connection"
        )
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"{name} cannot cross into the process of an isolated feed: leave it,"
                " or isolate=True, out"
            )
    check_can_start()


class NoCallbacks(CallbackRunner):
    """Refuses callbacks, because an isolated feed delivers nothing to the script.

    Pushes and state changes stay in the worker process. A callback that is given raises
    ``ValueError``, so that the script does not wait for calls that never come.
    """

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
        on_item: OnItem | None = None,
    ) -> Callbacks:
        """Make the empty `Callbacks` of one subscription.

        ``ValueError`` if a callback is given.
        """
        given = {"on_message": on_message, "on_state": on_state, "on_error": on_error}
        for name, callback in {**given, "on_item": on_item}.items():
            if callback:
                raise refuse(name)
        return super().callbacks(label, clock, None, (), None)


class IsolatedView(View):
    """A subscription of an isolated feed, which reads its channels from shared memory.

    Depths, whole books and states are read by the code of `View`, on any thread.
    Nothing else is shared; a read of anything else raises ``ValueError``.
    """

    # Set when the subscription is attached to the pool.
    slots: SubscriptionSlots | None = None

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Raise ``ValueError``: items for iterators are not shared."""
        raise refuse("what updates() gives")

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Raise ``ValueError``: trades are not shared."""
        raise refuse("what trades gives")

    @property
    def candles(self) -> tuple[Candle, ...]:
        """Raise ``ValueError``: candles are not shared."""
        raise refuse("what candles gives")

    def latest(self, topic: str) -> Item | None:
        """The newest item of a depth channel; ``ValueError`` for any other channel."""
        if topic in self.readings and not self.readings[topic].is_depth:
            raise refuse(f"the newest of {topic!r}")
        return super().latest(topic)
