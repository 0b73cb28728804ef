"""An instrument as the exchange lists it: price and size steps, contract, expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument as the exchange lists it. A field that it lacks is ``None``.

    Prices are multiples of *tick*, sizes are multiples of *lot* and at least
    *min_size*; sizes are in base currency on spot and in contracts elsewhere. One
    contract is worth *contract_value* of *contract_currency* (100 USD for
    ``BTC-USD-SWAP``, 0.01 BTC for ``BTC-USDT-SWAP``) and is settled in
    *settle_currency*. *expiry* is when a future or an option is delivered. *strike* and
    *option_type* (``'C'`` or ``'P'``) exist for options only. *state* is ``'live'``
    while the instrument is traded, else the exchange's word for its state; v3 does not
    give it on most markets.

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
