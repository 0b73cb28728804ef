"""An instrument as the exchange lists it, and what the exchange changes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, Union

from ..base.checks import all_name_keywords
from ..base.errors import OkexWSError
from ..base.state import Cause, CauseCode
from .display import Displayed
from .numbers import EXACT, Number, given_number

How = Literal["down", "up", "nearest"]


@all_name_keywords()
@dataclass(frozen=True, slots=True, repr=False)
class Instrument(Displayed):
    """One instrument as the exchange lists it. A field that it lacks is ``None``.

    Prices are multiples of *tick*, sizes are multiples of *lot* and at least
    *min_size*; sizes are in base currency on spot, in *contract_currency* on spreads,
    and in contracts elsewhere. One contract is worth *contract_value* of
    *contract_currency* (100 USD for ``BTC-USD-SWAP``, 0.01 BTC for ``BTC-USDT-SWAP``)
    and is settled in *settle_currency*. Where the tick depends on the price, *bands*
    has the lowest price of each band and its tick, the lowest band first. The library
    fills in those of event contracts; those of options the exchange lists apart, so
    that the script gives them (``dataclasses.replace``). *expiry* is when a future or
    an option is delivered, or an event contract decided. *strike* and *option_type*
    (``'C'`` or ``'P'``) exist for options only. *state* is ``'live'`` while the
    instrument is traded, else the exchange's word for its state; v3 does not give it on
    most markets. *rule* is the exchange's word for how it trades (``'normal'``,
    ``'pre_market'``, ``'rebase_contract'``, ``'xperp'``), *category* its number of what
    it is about: ``'1'`` is crypto, ``'3'`` stocks, ``'4'`` commodities, ``'5'`` foreign
    exchange, ``'6'`` bonds (v5's changelog, March and April 2026).

    Of an event contract (market ``'events'``) the exchange publishes the side YES
    alone. Its prices are from 0.001 to 0.999, and it pays 1 if the event happens. The
    price of NO is 1 less that of YES: to buy NO at 0.38 is to sell YES at 0.62, and the
    best ask of NO is 1 less the best bid of YES, with the same size in contracts.

    The fields of the exchange that they are read from, under v5 (documentation of
    August 2025) and under v3 (the official SDKs):

    - *base*, *quote*: ``baseCcy``, ``quoteCcy``, else from ``uly``; v3
      ``base_currency``, ``quote_currency``
    - *tick*: ``tickSz``; v3 ``tick_size``
    - *lot*: ``lotSz``; v3 ``size_increment``, on futures ``trade_increment``
    - *min_size*: ``minSz``; v3 ``min_size``, which is on spot only, else *lot*
    - *contract_value*: ``ctVal`` times ``ctMult``; v3 ``contract_val``
    - *contract_currency*: ``ctValCcy``; v3 ``contract_val_currency``
    - *settle_currency*: ``settleCcy``; v3 ``settlement_currency``
    - *expiry*: ``expTime``, else and under v3 the day in the id
    - *listed*: ``listTime``; v3 ``listing``
    - *strike*, *option_type*: ``stk``, ``optType``; v3 ``strike``, ``option_type``
    - *legs*, of spreads only: of each of ``legs`` its id and its side in the spread,
      ``'buy'`` or ``'sell'``
    - *contract_currency* of a spread: ``szCcy``
    - *rule*, *category*: ``ruleType``, ``instCategory``
    """

    instrument_id: str
    market: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_size: Decimal
    contract_value: Decimal | None = None
    contract_currency: str | None = None
    settle_currency: str | None = None
    expiry: datetime | None = None
    listed: datetime | None = None
    state: str | None = None
    strike: Decimal | None = None
    option_type: str | None = None
    bands: tuple[tuple[Decimal, Decimal], ...] = ()
    legs: tuple[tuple[str, str], ...] = ()
    rule: str | None = None
    category: str | None = None

    def tick_at(self, price: Number) -> Decimal:
        """The step of prices at *price*: that of its band, else *tick*.

        A number of this class is a ``Decimal``, a ``str``, or any real number, of which
        a ``float`` counts as its shortest text; ``ValueError`` and ``TypeError`` are
        for what is no number from 0 up; the price of a spread may be negative.
        """
        number = self._number(price)
        ticks = (tick for least, tick in reversed(self.bands) if number >= least)
        return next(ticks, self.tick)

    def round_price(self, price: Number, how: How = "nearest") -> Decimal:
        """*price* as a multiple of the tick there; the middle is rounded up.

        To buy at no more than *price* round ``'down'``, to sell at no less ``'up'``.
        ``ValueError`` for another word than ``'down'``, ``'up'`` and ``'nearest'``.
        """
        return _rounded(self._number(price), self.tick_at(price), how)

    def _number(self, price: Number) -> Decimal:
        return given_number("price", price, signed=self.market == "spread")

    def round_size(self, size: Number, how: How = "down") -> Decimal:
        """*size* as a multiple of *lot*, which is at least *min_size*, or 0.

        It is 0 if the result would be less than *min_size*; ``'up'`` gives *min_size*
        at least, unless *size* is 0.
        """
        number = given_number("size", size)
        rounded = _rounded(number, self.lot, how)
        if rounded >= self.min_size:
            return rounded
        return self.min_size if how == "up" and number else Decimal(0)


ChangeKind = Literal[
    "renamed", "suspended", "delisted", "rebased", "tick-size", "settling", "resumed"
]


@dataclass(frozen=True, slots=True, repr=False)
class InstrumentChange(Displayed):
    """The exchange changed an instrument, or announced that it will.

    *kind* says what is changed from *old* to *new*:

    - ``'renamed'``: the id.
    - ``'suspended'``, ``'settling'``, ``'resumed'``, ``'delisted'``: the state, by the
      exchange's own words (``'live'``, ``'suspend'``, ...); *old* is ``''`` if the
      exchange had not told it.
    - ``'rebased'``: the worth of one contract, as ``Decimal``, or the state while the
      exchange changes it. Prices before and after must not be compared.
    - ``'tick-size'``: the step of prices, as ``Decimal``.

    *effective* is when an announced change takes effect; it is ``None`` for a change
    that is in effect already. *received* is when the message came.
    """

    instrument_id: str
    kind: ChangeKind
    old: Union[str, Decimal, None]
    new: Union[str, Decimal, None]
    effective: Union[datetime, None]
    received: datetime


class InstrumentRenamed(OkexWSError):
    """The exchange renamed *instrument_id* to *new_id*.

    The subscription is ``FAILED``, and the new id is never followed by itself: it may
    stand for another contract. A script that wants it subscribes it.
    """

    cause_code = CauseCode.RENAMED

    def __init__(self, instrument_id: str, new_id: str) -> None:
        super().__init__(instrument_id, new_id)
        self.instrument_id = instrument_id
        self.new_id = new_id

    def _text(self) -> str:
        return f"the exchange renamed it to {self.new_id}: subscribe that"

    @property
    def cause(self) -> Cause:
        """Why it happened, with the new id."""
        return replace(super().cause, new_id=self.new_id)


def _rounded(number: Decimal, step: Decimal, how: How) -> Decimal:
    """The multiple of *step* beside *number*, with the digits of *step*."""
    if how not in ("down", "up", "nearest"):
        raise ValueError(f"how is 'down', 'up' or 'nearest', got {how!r:.80}")
    rest = EXACT.remainder(number, step)
    if rest < 0:
        rest = EXACT.add(rest, step)
    whole = EXACT.subtract(number, rest)
    if rest and (how == "up" or (how == "nearest" and EXACT.add(rest, rest) >= step)):
        whole = EXACT.add(whole, step)
    # As the exchange writes it: no exponent, and no more digits than the step.
    return EXACT.quantize(whole, min(step, Decimal(1), key=_exponent))


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent
