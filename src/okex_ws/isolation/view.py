"""What cannot be had of a feed in another process: said where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.clock import Clock
from ..delivery.callbacks import CallbackRunner, Callbacks, OnError, OnMessage, OnState
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
    """The error for *what* is not shared, to be raised."""
    return ValueError(f"{what} {_INSTEAD}")


def check_isolated(
    on_state: object, callbacks: str, ssl_context: object, others: Mapping[str, object]
) -> None:
    """``ValueError`` for a keyword of a feed that cannot be had in another process."""
    if on_state is not None:
        raise refuse("on_state")
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
    """There are no callbacks: what they would be told is told in another process."""

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
    ) -> Callbacks:
        """Those of one more subscription: none, or ``ValueError``."""
        given = {"on_message": on_message, "on_state": on_state, "on_error": on_error}
        for name, callback in given.items():
            if callback:
                raise refuse(name)
        return super().callbacks(label, clock, None, (), None)


class IsolatedView(View):
    """A view of mirrors: what is not in the shared memory is not to be had."""

    # Once it is attached.
    slots: SubscriptionSlots | None = None

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Not to be had."""
        raise refuse("what updates() gives")

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Not to be had."""
        raise refuse("what trades gives")

    @property
    def candles(self) -> tuple[Candle, ...]:
        """Not to be had."""
        raise refuse("what candles gives")

    def latest(self, topic: str) -> Item | None:
        """Of a depth alone."""
        if topic in self.channels and self.channels[topic] not in self._depths:
            raise refuse(f"the newest of {topic!r}")
        return super().latest(topic)
