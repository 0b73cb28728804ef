"""The list of all channels, and those of no instrument: accounts, orders, status.

Which of them exist, and what a new subscriber of one is sent at once. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from ... import market_of
from ...model.instrument_ids import delivery
from ..market.instruments import SyntheticInstrument
from ..market.market import Market
from ..wire import v3, v5, v5_data
from ..wire.v5_data import INST_TYPES, milliseconds
from ..wire.values import EncodedPush, to_json

# The parameters that each channel must have, and those that it may have (v5
# documentation).
_V5 = {
    "account": ((), ("ccy",)),
    "positions": (("instType",), ("instFamily", "instId")),
    "balance_and_position": ((), ()),
    "orders": (("instType",), ("instFamily", "instId")),
    "orders-algo": (("instType",), ("instFamily", "instId")),
    "instruments": (("instType",), ()),
    "event-contract-markets": (("instType",), ()),
    "status": ((), ()),
}
_INST_TYPES = (*INST_TYPES.values(), "MARGIN")
# Channels of the official v3 SDK's example; all but the last need a login.
_V3 = re.compile(
    r"spot/(account|margin_account|order|order_algo):[A-Z0-9-]+"
    r"|(futures|swap)/(position|account|order|order_algo):[A-Z0-9-]+"
    r"|option/(position|account|order):[A-Z0-9-]+"
    r"|system/status"
)
_EXAMPLES = ("account", "orders:instType=ANY", "status", "instruments:instType=SPOT")
_V3_EXAMPLES = ("spot/account:BTC", "spot/order:BTC-USDT", "system/status")

# What every account holds until a script pushes something else.
_HELD = {"USDT": "5000", "BTC": "0.05"}
_TOTAL = "10000"


def protocol(channel: str) -> str:
    """The protocol that names channels in this form: ``'v3'`` or ``'v5'``."""
    return "v3" if "/" in channel.partition(":")[0] else "v5"


def is_private(channel: str) -> bool:
    """Whether a channel is about an account, and therefore needs a login."""
    if protocol(channel) == "v5":
        return v5.is_private(channel)
    return channel != "system/status" and _V3.fullmatch(channel) is not None


def push(channel: str, element: Any, uid: str | None = None) -> EncodedPush:
    """A push of one element on any channel; under v5 private ones carry the *uid*."""
    if protocol(channel) == "v5":
        named = {"uid": uid} if uid and v5.is_private(channel) else {}
        return v5_data.push(channel, [element], **named)
    table = channel.partition(":")[0]
    return EncodedPush(channel, to_json({"table": table, "data": [element]}))


class Catalogue(Collection[str]):
    """Every channel of an exchange: those of its *market*, and those of no instrument.

    Channels of accounts, orders and status are no part of a market, but a client can
    subscribe to them; a script pushes on them. Iterating gives only examples of these,
    which have too many names. Only the exchange's event loop changes it.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        # The newest state of each account channel that a script pushed.
        self._states: dict[str, Any] = {}

    def __contains__(self, channel: object) -> bool:
        if not isinstance(channel, str):
            return False
        return channel in self._market.channels or self._is_other(channel)

    def __iter__(self) -> Iterator[str]:
        yield from self._market.channels
        for name in (*_EXAMPLES, *_V3_EXAMPLES):
            if self._is_other(name):
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_other(self, channel: str) -> bool:
        if protocol(channel) not in self._market.protocols:
            return False
        if protocol(channel) == "v3":
            return _V3.fullmatch(channel) is not None
        name, *named = v5.arg_of(channel).items()
        return name[1] in _V5 and _has_what_it_needs(name[1], dict(named))

    def needs_login(self, channel: str) -> bool:
        """Whether *channel* is only for clients that have logged in."""
        return is_private(channel) or self._market.needs_login(channel)

    def is_book(self, channel: str) -> bool:
        """Whether *channel* publishes a book by its changes."""
        return channel in self._market.channels and self._market.is_book(channel)

    def formerly(self, channel: str) -> str | None:
        """The name that *channel* had before its instrument was renamed, if it was.

        An unsubscribe by the new name ends a subscription by the old one, too.
        """
        head, colon, name = channel.rpartition(":")
        old = self._market.renamed.get(name)
        return None if old is None else f"{head}{colon}{old}"

    def set_state(self, channel: str, element: Any) -> None:
        """Keep *element* as the state of *channel*, if that channel has a state."""
        if _has_state(channel):
            self._states[channel] = element

    def present(self, channel: str, wall: float, uid: str | None) -> EncodedPush | None:
        """The push that a new subscriber of *channel* gets at once, if any.

        *uid* is the number of the subscriber's account.
        """
        if channel in self._market.channels:
            said = self._market.present(channel, wall)
            # Trades of spreads are pushed when they are made alone (v5 documentation).
            return None if channel.startswith("sprd-public-trades:") else said
        if channel.startswith("instruments:"):
            return self._instruments(channel)
        if not _has_state(channel):
            return None
        element = self._states.get(channel) or _balance(channel, wall)
        return push(channel, element, uid)

    def _instruments(self, channel: str) -> EncodedPush | None:
        wanted = v5.arg_of(channel)["instType"]
        found = [
            instrument(each)
            for each in self._market.listed
            if INST_TYPES.get(each.market) == wanted
        ]
        return v5_data.push(channel, found) if found else None


def _has_what_it_needs(name: str, named: dict[str, str]) -> bool:
    must, may = _V5[name]
    types = (*_INST_TYPES, *(("ANY",) if v5.is_private(name) else ()))
    if named.get("instType", "ANY") not in types and "instType" in must:
        return False
    return set(must) <= named.keys() <= {*must, *may}


def _has_state(channel: str) -> bool:
    name = channel.partition(":")[0]
    return name in ("account", "spot/account")


def _balance(channel: str, wall: float) -> dict[str, Any]:
    """The state of an account channel: all currencies, or one of them."""
    name, _, rest = channel.partition(":")
    if name == "spot/account":
        held = _HELD.get(rest, "0")
        return {
            "currency": rest,
            "balance": held,
            "available": held,
            "hold": "0",
            "id": "1",
            "timestamp": v3.iso(wall),
        }
    wanted = v5.arg_of(channel).get("ccy")
    now = milliseconds(wall)
    details = [
        {
            "ccy": ccy,
            "cashBal": held,
            "eq": held,
            "availBal": held,
            "availEq": held,
            "frozenBal": "0",
            "uTime": now,
        }
        for ccy, held in _HELD.items()
        if wanted in (None, ccy)
    ]
    return {"uTime": now, "totalEq": _TOTAL, "isoEq": "0", "details": details}


def spread(each: SyntheticInstrument, wall: float) -> dict[str, Any]:
    """A spread as the REST interface of v5 describes it."""
    legs = _legs(each.instrument_id)
    base, quote, *_ = *legs[0].replace("_", "-").split("-"), ""
    due = delivery(each.instrument_id)
    return {
        "sprdId": each.instrument_id,
        "sprdType": "inverse" if quote == "USD" else "linear",
        "state": each.state,
        "baseCcy": base,
        "szCcy": "USD" if quote == "USD" else base,
        "quoteCcy": quote,
        "tickSz": each.tick,
        "minSz": each.lot,
        "lotSz": each.lot,
        "listTime": "1686903000159",
        "expTime": "" if due is None else milliseconds(due.timestamp()),
        "uTime": milliseconds(wall),
        "legs": [
            {"instId": leg, "side": side}
            for leg, side in zip(legs, ("sell", "buy"), strict=True)
        ],
    }


def _legs(spread_id: str) -> tuple[str, str]:
    """The two ids that an underscore joins; of an id of a new form twice itself."""
    marks = (at for at, character in enumerate(spread_id) if character == "_")
    pairs = ((spread_id[:at], spread_id[at + 1 :]) for at in marks)
    none = (None, "spread")
    found = (pair for pair in pairs if all(market_of(leg) not in none for leg in pair))
    return next(found, (spread_id, spread_id))


def instrument(each: SyntheticInstrument, ends: float | None = None) -> dict[str, Any]:
    """An instrument as v5 describes it: of some forty fields, those known here.

    *ends* is when it is delisted, in epoch seconds.
    """
    # Of a form that is new an id may have one part alone.
    first, second, *rest = [*each.instrument_id.split("-"), ""]
    if each.market == "events":
        return _event_contract(each, first, ends)
    # Of contracts that are margined in dollars the family has further words.
    quote = second.partition("_")[0]
    spot, option = each.market == "spot", each.market == "option" and len(rest) > 3
    due = delivery(each.instrument_id)
    expires = ends if due is None or ends is not None else due.timestamp()
    is_inverse = second == "USD"
    return {
        "instType": INST_TYPES[each.market],
        "instId": each.instrument_id,
        "instIdCode": each.code,
        "uly": "" if spot else f"{first}-{quote}",
        "instFamily": "" if spot else f"{first}-{second}",
        "baseCcy": first if spot else "",
        "quoteCcy": second if spot else "",
        "settleCcy": "" if spot else first if is_inverse else quote,
        "ctVal": "" if spot else each.contract,
        "ctMult": "" if spot else "1",
        "ctValCcy": "" if spot else first,
        "ctType": "" if spot or option else "inverse" if is_inverse else "linear",
        "optType": rest[2] if option else "",
        "stk": rest[1] if option else "",
        "expTime": "" if expires is None else milliseconds(expires),
        "tickSz": each.tick,
        "lotSz": each.lot,
        "minSz": each.lot,
        "ruleType": "xperp" if v5_data.is_xperp(each.instrument_id) else "normal",
        "state": each.state,
        "upcChg": [],
    }


def _event_contract(
    each: SyntheticInstrument, coin: str, ends: float | None
) -> dict[str, Any]:
    due = delivery(each.instrument_id)
    expires = ends if due is None or ends is not None else due.timestamp()
    return {
        "instType": INST_TYPES[each.market],
        "instId": each.instrument_id,
        "instIdCode": each.code,
        "seriesId": series_of(each.instrument_id),
        "uly": f"{coin}-USD",
        "expTime": "" if expires is None else milliseconds(expires),
        # The smallest one of all bands of prices.
        "tickSz": "0.001",
        "lotSz": each.lot,
        "minSz": each.lot,
        "state": each.state,
    }


def series_of(instrument_id: str) -> str:
    """The series of an event contract: what comes before the day in its id."""
    return re.split(r"-[0-9]{6}-", instrument_id)[0]
