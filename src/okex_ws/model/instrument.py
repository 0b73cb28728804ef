"""What an instrument is: the steps of its prices and sizes, its contract, its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument as the exchange lists it; what a market has not is ``None``.

    Prices are whole *tick*, sizes whole *lot* and no less than *min_size*: in base
    currency on spot, in contracts elsewhere. A contract is worth *contract_value* of
    *contract_currency* (100 USD of ``BTC-USD-SWAP``, 0.01 BTC of ``BTC-USDT-SWAP``) and
    is settled in *settle_currency*. *expiry* is when a future or an option is
    delivered, *strike* and *option_type* (``'C'`` or ``'P'``) are an option's. *state*
    is ``'live'`` while it is traded, else the exchange's word for why it is not; v3
    says nothing of it on most markets.

    From, under v5 (documentation of August 2025) and under v3 (the official SDKs):
    *base*, *quote* ``baseCcy``, ``quoteCcy``, or of ``uly``; ``base_currency``,
    ``quote_currency``; *tick* ``tickSz``; ``tick_size``; *lot* ``lotSz``;
    ``size_increment``, ``trade_increment`` on futures; *min_size* ``minSz``;
    ``min_size``, elsewhere than on spot the *lot*; *contract_value* ``ctVal`` times
    ``ctMult``; ``contract_val``; *contract_currency* ``ctValCcy``;
    ``contract_val_currency``; *settle_currency* ``settleCcy``;
    ``settlement_currency``; *expiry* ``expTime``; v3's is the day in the id; *listed*
    ``listTime``; ``listing``; *strike*, *option_type* ``stk``, ``optType``; ``strike``,
    ``option_type``.
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
