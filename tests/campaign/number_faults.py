"""Faults of numbers: a sequence or a time that is absurd, and ids of trades.

One absurd number does not win for ever. Where two trades do not follow on each other by
their content, there is a `Gap`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

from okex_ws import State
from tests.campaign.catalogue import (
    ALONE,
    BOOK,
    DIAL,
    PUSH,
    Noticed,
    fault,
    in_turn,
    with_v5,
)
from tests.campaign.gateway_faults import (
    delivered_since,
    pushed_since,
    trade_key,
    unsubscribed,
    with_times,
)
from tests.campaign.rig import LEASE, Rig

_ABSURD = 10**15
_HOUR = 3600.0


def _push(rig: Rig, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Push on *key* what was pushed last, changed, before the market goes on."""

    def make(newest: dict[str, Any]) -> Any:
        element = copy.deepcopy(newest)
        if "seqId" in element:
            # The record has texts where the exchange has numbers.
            element["seqId"] = int(element["seqId"])
        return change(element)

    rig.exchange.push(key, make)


# --- Depths -------------------------------------------------------------------------


@fault("sequence that goes back", "numbers", BOOK, with_v5)
def sequence_back(rig: Rig) -> Iterator[Noticed]:
    """One push has an absurdly high number, and then the sequence goes on below it."""
    key, told = rig.depth_key, rig.told(State.RESYNCING, State.SYNCING, of=0)
    straggle = rig.rng.choice((0, 2))
    rig.exchange.straggle(key, straggle)
    _push(rig, key, lambda newest: {**newest, "seqId": _ABSURD})
    try:
        yield lambda: told() and unsubscribed(rig, key) > 0 and rig.untouched(but=0)
    finally:
        rig.exchange.straggle(key, 0)


@fault("time that is an hour ahead", "numbers", PUSH)
def time_ahead(rig: Rig) -> Iterator[Noticed]:
    """Of one push alone: the next one is the newest."""
    key = rig.depth_key
    _push(rig, key, lambda newest: with_times(newest, _HOUR))
    pushes, delivered = pushed_since(rig, key), delivered_since(rig)
    yield lambda: pushes() > 8 and delivered() and rig.untouched()


def _has_several(rig: Rig) -> bool:
    """Whether a subscription has the best bid and ask, and other depths beside it."""
    return any("bbo-tbt" in follow.channels for follow in rig.setup.follows)


# Alone, since for a while a channel that is right has nothing to say.
@fault("absurd number on one of several depths", ALONE, PUSH, _has_several)
def absurd_of_several(rig: Rig) -> Iterator[Noticed]:
    """Then it is silent, and the others move on: it is chosen for a second at most."""
    follow = rig.rng.choice(
        [each for each in rig.setup.follows if "bbo-tbt" in each.channels]
    )
    key = rig.key(follow, "bbo-tbt")
    if rig.rng.random() < 0.5:
        _push(rig, key, lambda newest: with_times(newest, _HOUR))
    else:
        _push(rig, key, lambda newest: {**newest, "seqId": _ABSURD})
    rig.exchange.silence(key)
    over = time.monotonic() + 2.0 + LEASE
    try:
        yield lambda: time.monotonic() > over
    finally:
        rig.exchange.resume()


# --- Trades -------------------------------------------------------------------------


def _handed_over(rig: Rig, key: str) -> Callable[[], bool]:
    """Whether trades that were pushed since now are handed over."""
    since = time.monotonic()

    def handed_over() -> bool:
        ids = {
            element.get("tradeId") or element["trade_id"]
            for at, element in rig.exchange.pushed(key)
            if at > since
        }
        last = rig.traders[0].latest("trade")
        return len(ids) >= 3 and last is not None and getattr(last, "id", "") in ids

    return handed_over


@fault("trade ids that begin anew", "trades", PUSH + 1.0)
def ids_anew(rig: Rig) -> Iterator[Noticed]:
    """On a connection that goes on: below all that were, or above."""
    key = trade_key(rig)
    rig.exchange.number_trades(key, rig.rng.choice((1000, 5000, 10**7, 10**9)))
    yield _handed_over(rig, key)


@fault("reconnect to trade ids that begin anew", "trades", DIAL)
def ids_anew_after_a_loss(rig: Rig) -> Iterator[Noticed]:
    """What is known by its id alone would be taken for a repeat."""
    key = trade_key(rig)
    rig.exchange.number_trades(key, rig.rng.choice((1000, 5000, 10**7)))
    rig.exchange.drop()
    yield in_turn(rig.told(State.RECONNECTING), _handed_over(rig, key))


@fault("trade that repeats an id", "trades", PUSH + 1.0)
def repeated_id(rig: Rig) -> Iterator[Noticed]:
    """With other content it is another trade; with the same it is none."""
    key = trade_key(rig)
    # Lost with its connection, it would be missing: the exchange repeats the real one.
    is_other = rig.rng.random() < 0.7 and not rig.mixed

    def again(newest: dict[str, Any]) -> dict[str, Any]:
        price = "px" if "px" in newest else "price"
        other = {**newest, price: f"1{newest[price]}"}
        return with_times(other, 0.0) if is_other else newest

    handed_over = _handed_over(rig, key)
    _push(rig, key, again)
    yield handed_over
