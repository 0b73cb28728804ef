"""How v5 describes instruments: in its channel `instruments`, and over REST. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ..base.clock import utc
from ..base.state import CauseCode
from ..model.instrument import ChangeKind, Instrument
from ..model.instrument_ids import delivery
from ..model.numbers import UnreadableValue, decimal
from .values import epoch_ms, given, optional

# The type of an instrument, by its market.
INST_TYPES = {
    "spot": "SPOT",
    "futures": "FUTURES",
    "swap": "SWAP",
    "option": "OPTION",
    "events": "EVENTS",
}
# The lowest price of each band of event contracts, and the tick there (REST
# ``instrument-tick-bands``, July 2026). Their ``tickSz`` is the smallest one.
_EVENT_BANDS = tuple(
    (Decimal(least), Decimal(tick))
    for least, tick in (("0.001", "0.001"), ("0.04", "0.01"), ("0.96", "0.001"))
)
_NAME = re.compile("[A-Za-z0-9_.-]{1,64}")


def name(value: Any) -> str:
    """*value*, if it can be the name of an instrument, a currency or a state."""
    if not is_name(value):
        raise UnreadableValue("not a name: {}", value)
    text: str = value
    return text


def is_name(value: Any) -> bool:
    """Whether *value* can be the name of an instrument, a currency or a state."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def instrument(element: Mapping[str, Any], market: str) -> Instrument | None:
    """The instrument of *market* that *element* describes.

    ``None`` if it is not live and has no tick, lot or least size yet. ``ValueError``,
    or another error of reading, if *element* is not what the exchange documents.
    """
    instrument_id, state = name(element["instId"]), given(name, element.get("state"))
    tick, lot, least = (
        given(decimal, element.get(field)) for field in ("tickSz", "lotSz", "minSz")
    )
    if not (tick and lot and least):
        if state == "live":
            raise ValueError(f"{instrument_id} is live and has no steps")
        return None
    pair: str = element.get("uly") or element.get("instFamily") or instrument_id
    base, quote, *more = [*pair.split("-"), ""]
    # A family of contracts margined in USD is 'BTC-USD_UM' or 'BTC-USD_UM_XPERP'; a
    # series of events has the name of no quote currency.
    quote = "" if market == "events" and any(more) else quote.partition("_")[0]
    value, many = (optional(element.get(field)) for field in ("ctVal", "ctMult"))
    return Instrument(
        instrument_id,
        market,
        given(name, element.get("baseCcy")) or name(base),
        given(name, element.get("quoteCcy")) or given(name, quote) or "",
        tick,
        lot,
        least,
        value * many if value is not None and many is not None else value,
        given(name, element.get("ctValCcy")),
        given(name, element.get("settleCcy")),
        _moment(element.get("expTime")) or delivery(instrument_id),
        _moment(element.get("listTime")),
        state,
        optional(element.get("stk")),
        given(name, element.get("optType")),
        _EVENT_BANDS if market == "events" else (),
        rule=given(name, element.get("ruleType")),
        category=given(name, element.get("instCategory")),
    )


def spread(element: Mapping[str, Any]) -> Instrument:
    """The spread that *element* describes; an error of reading as in `instrument`."""
    spread_id, size_currency = name(element["sprdId"]), name(element["szCcy"])
    legs = element["legs"]
    if type(legs) is not list or len(legs) != 2:
        raise UnreadableValue("legs are {}", legs)
    tick, lot, least = (decimal(element[each]) for each in ("tickSz", "lotSz", "minSz"))
    if not (tick and lot and least):
        raise ValueError(f"{spread_id} has no steps")
    return Instrument(
        spread_id,
        "spread",
        name(element["baseCcy"]),
        name(element["quoteCcy"]),
        tick,
        lot,
        least,
        contract_value=Decimal(1),
        contract_currency=size_currency,
        expiry=_moment(element.get("expTime")) or delivery(spread_id),
        listed=_moment(element.get("listTime")),
        state=given(name, element.get("state")),
        legs=tuple((name(leg["instId"]), _side(leg["side"])) for leg in legs),
    )


def _side(value: Any) -> str:
    if value not in ("buy", "sell"):
        raise UnreadableValue("side {} of a leg", value)
    return str(value)


def _moment(value: Any) -> datetime | None:
    at = given(epoch_ms, value)
    return None if at is None else utc(at / 1000)


# --- The life of an instrument --------------------------------------------------------

LIVE, EXPIRED = "live", "expired"
# The states in which nothing is traded: what a script is told, and why it has no price.
# In any other state, of which the exchange may add some, nothing is withdrawn.
HALTS: dict[str, tuple[ChangeKind, CauseCode, str]] = {
    "suspend": ("suspended", CauseCode.SUSPENDED, "the exchange suspended its trading"),
    "settling": ("settling", CauseCode.SETTLING, "the exchange is settling it"),
    "rebase": ("rebased", CauseCode.REBASED, "the exchange is changing its contract"),
    EXPIRED: ("delisted", CauseCode.EXPIRED, "the exchange says that it has expired"),
}
# The fields of an element that say something of its life, or of its steps.
FIELDS = (
    *("instId", "instIdCode", "state", "tickSz", "lotSz", "minSz", "ctVal", "ctMult"),
    *("ctValCcy", "settleCcy", "baseCcy", "quoteCcy", "uly", "instFamily", "expTime"),
    *("listTime", "stk", "optType", "upcChg", "ruleType", "instCategory"),
)


class Listed(NamedTuple):
    """What the exchange says of one instrument, as far as it concerns its life.

    *state* is the exchange's own word, or ``''``. *code* is a number that it keeps when
    it gets another id. *tick* is the step of prices, *contract* the worth of one
    contract. *announced* are the ticks that it will have, each with its moment.
    """

    state: str
    code: str
    tick: Decimal | None
    contract: Decimal | None
    announced: tuple[tuple[Decimal, datetime], ...]
    expiry: datetime | None


def listed(element: Mapping[str, Any]) -> Listed:
    """What *element* says; ``ValueError`` or the like if it is not as documented."""
    value, many = (optional(element.get(field)) for field in ("ctVal", "ctMult"))
    return Listed(
        given(name, element.get("state")) or "",
        code_of(element),
        optional(element.get("tickSz")) or None,
        value * many if value is not None and many is not None else value,
        tuple(_announced(element.get("upcChg") or ())),
        _moment(element.get("expTime")),
    )


def code_of(element: Mapping[str, Any]) -> str:
    """The number in ``instIdCode``; ``''`` before the exchange has made one."""
    code = str(element.get("instIdCode"))
    return code if code.isdecimal() else ""


def _announced(changes: Any) -> Iterator[tuple[Decimal, datetime]]:
    for change in changes:
        at = _moment(change.get("effTime"))
        if change.get("param") == "tickSz" and at is not None:
            yield decimal(change["newValue"]), at
