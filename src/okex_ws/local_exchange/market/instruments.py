"""The instruments of the synthetic market, and how a script names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Union

from ... import VENUES, check_instrument
from ...base.checks import all_name_keywords
from ..wire.v5_data import INST_TYPES


@all_name_keywords()
@dataclass(frozen=True, slots=True)
class SyntheticInstrument:
    """An instrument of the synthetic market; its numbers are decimal text.

    *price* is where it opens, *tick* the step of its prices, *lot* the step of its
    sizes, in base currency on spot and spreads and in contracts elsewhere. The prices
    of a spread go through zero. A *thin* instrument trades rarely, has a handful of
    levels, and at times an empty side. *contract* is the worth of one contract, *state*
    the exchange's word for its state, and *code* the number that it keeps when it is
    renamed (``None``: its place in the list). An event contract (market ``'events'``)
    opens between 0 and 1, and its tick is 0.01: these are good prices in each band of
    the exchange's ticks.

    ``ValueError`` for an event contract with another price or tick.
    """

    market: str
    instrument_id: str
    price: str = "100.00"
    tick: str = "0.01"
    lot: str = "1"
    thin: bool = False
    contract: str = "1"
    state: str = "live"
    code: int | None = None

    @property
    def is_traded(self) -> bool:
        """Whether anything happens on its market."""
        return self.state == "live"

    def __post_init__(self) -> None:
        if self.market != "events":
            return
        if not 0 < Decimal(self.price) < 1 or Decimal(self.tick) != Decimal("0.01"):
            raise ValueError(
                "an event contract has a price between 0 and 1, and 0.01 as its tick;"
                f" got {self.price!r} and {self.tick!r}"
            )


INSTRUMENTS = (
    SyntheticInstrument("spot", "BTC-USDT", "60000.0", "0.1", "0.0001"),
    SyntheticInstrument("spot", "ETH-USDT", "2500.00", "0.01", "0.001"),
    SyntheticInstrument("futures", "BTC-USD-190517", "7900.00", "0.01"),
    SyntheticInstrument("futures", "BTC-USD-301227", "61000.0", "0.1"),
    SyntheticInstrument("swap", "BTC-USD-SWAP", "60000.0", "0.1"),
    SyntheticInstrument(
        "option", "BTC-USD-301227-60000-C", "0.0500", "0.0005", thin=True
    ),
)

AnyInstrument = Union[str, tuple[str, str], SyntheticInstrument]


def as_instrument(given: AnyInstrument) -> SyntheticInstrument:
    """The instrument of an id or a (market, id) pair.

    It is the one of `INSTRUMENTS` if it is listed there.
    """
    if isinstance(given, SyntheticInstrument):
        return given
    try:
        wanted, instrument_id = (None, given) if isinstance(given, str) else given
    except (TypeError, ValueError):
        raise TypeError(
            "an instrument is an id, a (market, id) pair or an Instrument,"
            f" got {given!r}"
        ) from None
    market = check_instrument(instrument_id, wanted, VENUES["okx"])
    if market not in (*INST_TYPES, "spread"):
        raise ValueError(f"nothing is traded on the market {market!r}")
    for known in INSTRUMENTS:
        if (known.market, known.instrument_id) == (market, instrument_id):
            return known
    if market == "spread":  # none is in `INSTRUMENTS`, because v3 has none
        return SyntheticInstrument(market, instrument_id, "0.0", "0.1", "0.001")
    price = "0.50" if market == "events" else "100.00"
    return SyntheticInstrument(market, instrument_id, price)


def as_instruments(given: Iterable[AnyInstrument]) -> list[SyntheticInstrument]:
    """Each of *given* as a `SyntheticInstrument`.

    ``TypeError`` for a single instrument in place of a sequence, ``ValueError`` for
    none.
    """
    if isinstance(given, (str, SyntheticInstrument)) or not isinstance(given, Iterable):
        raise TypeError(f"instruments is a sequence, like [{given!r}]")
    found = [as_instrument(each) for each in given]
    if not found:
        raise ValueError("a market needs at least one instrument")
    return found
