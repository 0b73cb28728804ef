"""What a script can make of an instrument of the local exchange: suspend it, rename it.

Clients of v5 are told on the channel ``instruments``. v3 has no such channel: its
pushes stop, or come with another id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from ... import VENUES, check_instrument
from ..market.instruments import SyntheticInstrument
from ..market.market import SyntheticMarket
from ..server.hub import Hub
from ..wire import checks
from .thread import LoopThread

Change = Callable[[SyntheticMarket, SyntheticInstrument], None]


class LifeControls:
    """The methods of `LocalExchange` that change an instrument of a synthetic market.

    They raise ``ValueError`` for an instrument that is not listed, ``TypeError`` for
    what is no id, and ``RuntimeError`` for a recorded market. `resume` with an id has
    an instrument traded again.
    """

    _hub: Hub
    _thread: LoopThread

    def suspend(self, instrument_id: str) -> None:
        """Suspend trading: nothing happens on its market. `resume` ends it."""
        self._set_state(instrument_id, "suspend")

    def settle(self, instrument_id: str) -> None:
        """Begin to settle it, as event contracts are: nothing happens on its market.

        `resume` or `delist` ends it.
        """
        self._set_state(instrument_id, "settling")

    def rebase(self, instrument_id: str, contract: str) -> None:
        """Begin to change the worth of one contract to *contract*, a decimal number.

        Nothing happens on its market until `resume`. The prices stay as they are.
        """
        checks.text("contract", contract)
        try:
            if not Decimal(contract) > 0:
                raise InvalidOperation
        except InvalidOperation:
            raise ValueError(
                f"contract is a number more than zero, like '0.1', got {contract!r}"
            ) from None
        self._set_state(instrument_id, "rebase", contract)

    def delist(self, instrument_id: str) -> None:
        """End it: its channels are silent, and do not exist for new requests."""
        self._set_state(instrument_id, "expired")

    def rename(self, instrument_id: str, new_id: str) -> None:
        """Give it the id *new_id*, of the same market; its book and trades go on.

        The old id is told to have expired, and then the new one to be live, with the
        same ``instIdCode``. Requests for the old id are refused from now on. What was
        subscribed by the old id goes on as OKX was seen to do in 2026: trades come with
        the new id in them, books as before, all else is silent. An unsubscribe by the
        new id ends it. Under v3 trades come with the new id, and all else is silent.
        """
        checks.text("new_id", new_id)

        def rename(market: SyntheticMarket, before: SyntheticInstrument) -> None:
            check_instrument(new_id, before.market, VENUES["okx"])
            if any(each.instrument_id == new_id for each in market.listed):
                raise ValueError(f"{new_id!r} is another instrument of this exchange")
            after = replace(before, instrument_id=new_id, state="live")
            market.change(before, after)
            self._hub.list(replace(before, state="expired"))
            self._hub.list(after)

        self._change(instrument_id, rename)

    def _set_state(
        self, instrument_id: str, state: str, contract: str | None = None
    ) -> None:
        def change(market: SyntheticMarket, before: SyntheticInstrument) -> None:
            worth = before.contract if contract is None else contract
            after = replace(before, state=state, contract=worth)
            market.change(before, after)
            self._hub.list(after, self._hub.wall() if state == "expired" else None)

        self._change(instrument_id, change)

    def _change(self, instrument_id: str, change: Change) -> None:
        checks.text("instrument_id", instrument_id)
        market = self._hub.market
        if not isinstance(market, SyntheticMarket):
            raise RuntimeError("the instruments of a recorded market stay as they are")
        self._thread.call(lambda: change(market, market.find(instrument_id)))
