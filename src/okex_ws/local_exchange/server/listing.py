"""The channels that are not about one instrument: accounts and orders, the exchange.

Which there are, and what a new subscriber of one is sent at once. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from ...model.venues import delivery
from ..market.instruments import SyntheticInstrument
from ..market.market import Market
from ..wire import v3, v5, v5_data
from ..wire.v5_data import INST_TYPES, milliseconds
from ..wire.values import EncodedPush, to_json

# Of each the parameters that it must have, and may have (v5 documentation).
_V5 = {
    "account": ((), ("ccy",)),
    "positions": (("instType",), ("instFamily", "instId")),
    "balance_and_position": ((), ()),
    "orders": (("instType",), ("instFamily", "instId")),
    "orders-algo": (("instType",), ("instFamily", "instId")),
    "instruments": (("instType",), ()),
    "status": ((), ()),
}
_INST_TYPES = (*INST_TYPES.values(), "MARGIN")
# Topics of the official v3 SDK's example; all but the last need a login.
_V3 = re.compile(
    r"spot/(account|margin_account|order|order_algo):[A-Z0-9-]+"
    r"|(futures|swap)/(position|account|order|order_algo):[A-Z0-9-]+"
    r"|option/(position|account|order):[A-Z0-9-]+"
    r"|system/status"
)
_EXAMPLES = ("account", "orders:instType=ANY", "status", "instruments:instType=SPOT")
_V3_EXAMPLES = ("spot/account:BTC", "spot/order:BTC-USDT", "system/status")

# What everyone has until a script says otherwise.
_HELD = {"USDT": "5000", "BTC": "0.05"}
_TOTAL = "10000"


def protocol(channel: str) -> str:
    """Which protocol has channels that are called so."""
    return "v3" if "/" in channel.partition(":")[0] else "v5"


def is_private(channel: str) -> bool:
    """Whether a channel is about an account, and needs a login therefore."""
    if protocol(channel) == "v5":
        return v5.is_private(channel)
    return channel != "system/status" and _V3.fullmatch(channel) is not None


def push(channel: str, element: Any, uid: str | None = None) -> EncodedPush:
    """One element of any channel, private ones under v5 with the account's number."""
    if protocol(channel) == "v5":
        named = {"uid": uid} if uid and v5.is_private(channel) else {}
        return v5_data.push(channel, [element], **named)
    table = channel.partition(":")[0]
    return EncodedPush(channel, to_json({"table": table, "data": [element]}))


class Catalogue(Collection[str]):
    """Every channel of an exchange: those of its *market*, and all others."""

    def __init__(self, market: Market) -> None:
        self._market = market
        # The newest state of accounts, as a script said it.
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
        """Whether *channel* is only for those who have logged in."""
        return is_private(channel) or self._market.needs_login(channel)

    def is_book(self, channel: str) -> bool:
        """Whether *channel* says a book by its changes."""
        return channel in self._market.channels and self._market.is_book(channel)

    def set_state(self, channel: str, element: Any) -> None:
        """*element* is now the state of *channel*, if that has one."""
        if _has_state(channel):
            self._states[channel] = element

    def present(self, channel: str, wall: float, uid: str | None) -> EncodedPush | None:
        """What a new subscriber of *channel* is sent at once, if anything."""
        if channel in self._market.channels:
            return self._market.present(channel, wall)
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
            if INST_TYPES[each.market] == wanted
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
    """What an account holds: all of it, or of one currency."""
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


def instrument(each: SyntheticInstrument) -> dict[str, str]:
    """What v5 says of an instrument: of its some forty fields those known here."""
    first, second, *rest = each.instrument_id.split("-")
    spot, option = each.market == "spot", each.market == "option"
    due = delivery(each.instrument_id)
    is_inverse = second == "USD"
    return {
        "instType": INST_TYPES[each.market],
        "instId": each.instrument_id,
        "uly": "" if spot else f"{first}-{second}",
        "instFamily": "" if spot else f"{first}-{second}",
        "baseCcy": first if spot else "",
        "quoteCcy": second if spot else "",
        "settleCcy": "" if spot else first if is_inverse else second,
        "ctVal": "" if spot else "1",
        "ctMult": "" if spot else "1",
        "ctValCcy": "" if spot else first,
        "ctType": "" if spot or option else "inverse" if is_inverse else "linear",
        "optType": rest[-1] if option else "",
        "stk": rest[1] if option else "",
        "expTime": "" if due is None else milliseconds(due.timestamp()),
        "tickSz": each.tick,
        "lotSz": each.lot,
        "minSz": each.lot,
        "state": "live",
    }
