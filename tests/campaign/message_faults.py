"""Faults of messages: whole frames whose content means nothing, or cannot be right."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from okex_ws import State
from okex_ws.local_exchange import deflate
from tests.campaign.catalogue import BOOK, PUSH, Noticed, fault, with_v3, with_v5
from tests.campaign.rig import Rig
from tests.campaign.setups import GUEST

_BACK = (State.RESYNCING,)

# --- What withdraws every channel ---------------------------------------------------


def _message(
    kind: str,
    counted: str,
    send: Callable[[Rig], object],
    fits: Callable[[Rig], bool] = lambda rig: True,
) -> None:
    """A message that withdraws every channel, until each one's next good push."""

    @fault(kind, "message", BOOK, fits, instant=True)
    def garble(rig: Rig) -> Iterator[Noticed]:
        dropped, told = rig.dropped(counted), rig.told(*_BACK)
        send(rig)
        yield lambda: dropped() and told()


def _push(rig: Rig) -> dict[str, Any]:
    """The newest depth of the first instrument, ready to be spoiled."""
    newest = rig.exchange.newest(rig.depth_key)
    assert newest is not None
    return rig.dialect.push(rig.depth_key, copy.deepcopy(newest[1]))


def _packed(rig: Rig) -> bytes:
    return rig.dialect.spoken(_push(rig))


_BOMB = deflate(b" " * (16 << 20))
_message(
    "truncated deflate",
    "inflate",
    lambda rig: rig.exchange.send_raw(_packed(rig)[:-3]),
    with_v3,
)
_message(
    "trailing deflate",
    "inflate",
    lambda rig: rig.exchange.send_raw(_packed(rig) + b"\x03\x00"),
    with_v3,
)
_message("bomb", "too-large", lambda rig: rig.exchange.send_raw(_BOMB), with_v3)
_message(
    "binary frame", "frame", lambda rig: rig.exchange.send_raw(_packed(rig)), with_v5
)
_message("not UTF-8", "utf-8", lambda rig: rig.say(b'{"table":"\xff\xfe"}'))
_message("not JSON", "json", lambda rig: rig.say(json.dumps(_push(rig))[:-9]))
_message("nested too deep", "json", lambda rig: rig.say("[" * 100_000))


@fault("JSON of the wrong shape", "message", BOOK, instant=True)
def wrong_shape(rig: Rig) -> Iterator[Noticed]:
    """An array, a message without its parts, an event without its channel."""
    dropped, told = rig.dropped("shape"), rig.told(*_BACK)
    shapes: tuple[object, ...] = (
        [1, 2, 3],
        {"event": "subscribe"},
        {"event": {"subscribe": 1}},
        {"data": [{"asks": [], "bids": []}]},
        {"table": ["spot/depth5"], "data": []},
        {"table": "spot/depth5", "data": {"asks": []}},
    )
    rig.exchange.send_event(json.dumps(rig.rng.choice(shapes)))
    yield lambda: dropped() and told()


# --- What withdraws one channel -----------------------------------------------------


def _of_one(
    kind: str,
    counted: str,
    spoil: Callable[[Rig, dict[str, Any]], object],
    fits: Callable[[Rig], bool] = lambda rig: True,
) -> None:
    """One channel's message: the others on the connection go on."""

    @fault(kind, "message", PUSH, fits, instant=True)
    def garble(rig: Rig) -> Iterator[Noticed]:
        dropped, told = rig.dropped(counted), rig.told(*_BACK, of=0)
        push = _push(rig)
        spoil(rig, push)
        # To nobody else: without the channel a connection has to mistrust others.
        rig.exchange.send_event(push, channel=rig.depth_key)
        yield lambda: dropped() and told() and rig.untouched(but=0)


def _wrong_level(rig: Rig, push: dict[str, Any]) -> None:
    push["data"][0]["bids"] = rig.rng.choice(
        ([None], [["60000", True, "1"]], [[{}, "1", "1"]], "60000", [["NaN", "1", "1"]])
    )


def _wrong_time(rig: Rig, push: dict[str, Any]) -> None:
    name = "ts" if "ts" in push["data"][0] else "timestamp"
    wrong = ("yesterday", "", "-1", None, [], "99999999999999999999")
    push["data"][0][name] = rig.rng.choice(wrong)


_of_one("level of the wrong type", "depth", _wrong_level)
_of_one("time that is none", "depth", _wrong_time)
_of_one(
    "data that is no list",
    "shape",
    lambda rig, push: push.update(data=rig.rng.choice(({"bids": 1}, [], "no"))),
    with_v5,
)

# --- What harms nobody --------------------------------------------------------------


def _harmless(
    kind: str, make: Callable[[Rig], dict[str, Any]], counted: str, layer: str
) -> None:
    """A message that may be new to us, and says nothing of what we follow."""

    @fault(kind, layer, PUSH)
    def send(rig: Rig) -> Iterator[Noticed]:
        dropped = rig.dropped(counted)
        rig.exchange.send_event(make(rig))
        yield lambda: dropped() and rig.untouched()


@fault("data of a channel that nobody asked for", "harmless", BOOK)
def unasked_data(rig: Rig) -> Iterator[Noticed]:
    """It may be of what we follow, the first time, and is of nobody since."""
    dropped = rig.dropped("unasked")
    rig.exchange.send_event(_unasked(rig))
    yield lambda: dropped() and (rig.mixed or max(rig.withdrawals()) <= 1)


def _unasked(rig: Rig) -> dict[str, Any]:
    # Under v3 the data says whose it is, under v5 the message does.
    of_guest = {"instrument_id": GUEST[1]}
    return rig.dialect.push(rig.dialect.key("mystery", *GUEST), of_guest)


_harmless(
    "unknown event",
    lambda rig: {"event": "party", "channel": "x"},
    "unknown",
    "harmless",
)
_harmless(
    "acknowledgement that nobody waits for",
    lambda rig: rig.dialect.event("subscribe", rig.dialect.key("mystery", *GUEST)),
    "unasked ack",
    "harmless",
)


@fault("unknown table", "harmless", BOOK, with_v3)
def unknown_table(rig: Rig) -> Iterator[Noticed]:
    """Data of what is not even about a market."""
    dropped = rig.dropped("shape")
    message = {"table": "mystery", "data": [{"instrument_id": GUEST[1]}]}
    rig.exchange.send_event(message)
    yield lambda: dropped() and (rig.mixed or max(rig.withdrawals()) <= 1)


# Not while a fault lasts that a pong would make a lie of.
@fault("pong that nobody asked for", "line", PUSH)
def unasked_pong(rig: Rig) -> Iterator[Noticed]:
    """It may be taken for the one that is due; then that one comes unasked."""
    dropped = rig.dropped("unasked pong")
    rig.exchange.send_event("pong")
    yield lambda: dropped() and rig.untouched()
