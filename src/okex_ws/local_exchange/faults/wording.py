"""Other words for a true message: the order of its fields, its name, its numbers. Pure.

A message that is worded otherwise says the same, so the levels, trades and sequence in
it stay true. `Faults` has the wordings in force and their counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ..wire.values import EncodedPush, to_json

# The wordings, which `LocalExchange.reword` explains.
WORDINGS = ("order", "field", "case", "event")

_V5_TIME = re.compile(r'("ts":")([0-9]+)(")')
_V3_TIME = re.compile(r'("timestamp":")([^"]+)Z(")')
_TRADE_ID = re.compile(r'("trade_?[iI]d":")([0-9]+)(")')


def worded(push: EncodedPush, how: str) -> EncodedPush:
    """*push* in other words; *how* is one of `WORDINGS`."""
    return push.reworded(_written(_CHANGES[how](_read(push.text))))


def with_clock(push: EncodedPush, seconds: float) -> EncodedPush:
    """*push* with timestamps of a clock that is *seconds* ahead.

    A trade keeps its time, which is that of the matching engine.
    """
    if not seconds or _TRADE_ID.search(push.text):
        return push

    def later_v5(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) + round(seconds * 1000)}{found[3]}"

    def later_v3(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[2]) + timedelta(seconds=seconds)
        return f"{found[1]}{at.isoformat(timespec='milliseconds')}Z{found[3]}"

    text = _V5_TIME.sub(later_v5, push.text)
    return push.reworded(_V3_TIME.sub(later_v3, text))


def trade_id(push: EncodedPush) -> int | None:
    """The id of the trade in *push*; ``None`` if it has none."""
    found = _TRADE_ID.search(push.text)
    return int(found[2]) if found else None


def with_trade_ids(push: EncodedPush, more: int) -> EncodedPush:
    """*push* with *more* added to the ids of its trades."""

    def renumbered(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) + more}{found[3]}"

    return push.reworded(_TRADE_ID.sub(renumbered, push.text))


# --- The wordings -------------------------------------------------------------------


class _Number(str):
    """A number of the message, with its own characters."""

    __slots__ = ()


def _read(text: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(text, parse_int=_Number, parse_float=_Number)
    return message


def _written(value: Any) -> str:
    """JSON with each number in the characters that it came in."""
    if isinstance(value, dict):
        fields = (f"{to_json(name)}:{_written(each)}" for name, each in value.items())
        return f"{{{','.join(fields)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return str(value) if isinstance(value, _Number) else to_json(value)


def _turned(value: Any) -> Any:
    """*value* with the fields of all its objects in the opposite order."""
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(each) for each in value] if isinstance(value, list) else value


def _with_a_field(message: dict[str, Any]) -> dict[str, Any]:
    """One more field in the channel's name, which under v3 is in the message."""
    if "arg" in message:
        return {**message, "arg": {**message["arg"], "instType": "ANY"}}
    return {"product": "ANY", **message}


def _in_lower_case(message: dict[str, Any]) -> dict[str, Any]:
    """The instrument's id in lower case, where the message names its channel."""
    if "arg" in message:
        arg = message["arg"]
        name = "instId" if "instId" in arg else "sprdId"
        return {**message, "arg": {**arg, name: arg[name].lower()}}
    data = [
        {**each, "instrument_id": each["instrument_id"].lower()}
        for each in message["data"]
    ]
    return {**message, "data": data}


_CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "order": _turned,
    "field": _with_a_field,
    "case": _in_lower_case,
    "event": lambda message: {"event": "update", **message},
}
