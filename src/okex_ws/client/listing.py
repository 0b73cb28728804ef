"""`ListingView`: what the exchange's list of instruments says of one instrument."""

from __future__ import annotations

from typing import Any

from ..base.errors import WireError
from ..base.log import log
from ..base.threads import Waiters, in_event_loop, on_library_thread
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.instrument import Instrument
from ..model.items import Data, Item
from ..protocol.common import read_each
from ..protocol.listing import instrument
from ..trust.verdict import NO_LIMITS
from .base import AnyPool

# Seconds in which the exchange has to describe the instrument, after the first use.
PATIENCE = 5.0


class ListingView(View):
    """Follows the channel *key* of all instruments of a market, for one of them.

    The connection's thread calls `add`, a thread of the script `wait`. The view has no
    callbacks, and belongs to no subscription that a script could see; nothing of it is
    delivered. What the exchange said last stays true through a loss of the connection,
    and what it says of a change is merged: a push need not have every field.
    """

    internal = True

    def __init__(self, about: str, market: str, key: str, pool: AnyPool) -> None:
        callbacks = pool.callback_runner.callbacks(key, pool.clock, None, (), None)
        super().__init__(None, key, NO_LIMITS, pool.clock, callbacks)
        self._about, self._market = about, market
        self._said: dict[str, Any] = {}
        # Why the last description that could not be read was left out: told once.
        self._fault = ""
        self._known: Instrument | None = None
        self._news = Waiters(pool.clock)
        self._until = pool.clock.monotonic() + PATIENCE

    def wait(self) -> Instrument | None:
        """The instrument; ``None`` if the exchange has not described it in time."""
        while not self._is_settled():
            left = self._until - self._clock.monotonic()
            if left <= 0 or on_library_thread() or in_event_loop():
                break
            self._news.wait(left, self._is_settled)
        return self._known

    def _is_settled(self) -> bool:
        return self._known is not None or self.ended

    def wake(self) -> None:
        """Let `wait` look again: the exchange may have refused the channel."""
        super().wake()
        self._news.wake()

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Deliver nothing to *queue*: the script did not ask for this channel."""

    def add(self, topic: str, item: Item) -> None:
        """Take what *item*, a push of the channel, says of the instrument."""
        for element in item.elements if isinstance(item, Data) else ():
            if type(element) is dict and element.get("instId") == self._about:
                self._take(element)

    def _take(self, element: dict[str, Any]) -> None:
        said, market = {**self._said, **element}, self._market
        (known,) = read_each([said], lambda each: instrument(each, market))
        if isinstance(known, WireError):
            if str(known) != self._fault:
                log.warning("instrument %s: left out: %s", self._about, known)
            self._fault = str(known)
            return
        self._said, self._known = said, known or self._known
        self._news.wake()
