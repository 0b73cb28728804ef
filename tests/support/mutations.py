"""The mutation beside every replay: one character of a frame is changed, and it shows.

A replay proves nothing if a changed frame would pass too.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Collection, Iterator
from typing import Any

from okex_ws.base.errors import WireError
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import Push

# How many of a frame's characters are changed, one at a time.
TRIES = 8

Place = tuple["str | int", ...]


def assert_changes_show(
    wire: WireProtocol,
    text: str,
    typed: Callable[[Push], list[Any]],
    unread: Collection[str] = (),
) -> int:
    """Assert that each change of *text* gives an error or another value.

    *unread* are the fields that no reader uses; these are not changed. Returns how many
    changes were made.
    """
    message = json.loads(text)
    truth = _meaning(wire, message, typed)
    places = [p for p in _leaves(message["data"]) if not set(p) & set(unread)]
    rng = random.Random(text)
    chosen = rng.sample(places, min(TRIES, len(places)))
    for place in chosen:
        changed = copy.deepcopy(message)
        _change(changed["data"], place, rng)
        try:
            found = _meaning(wire, changed, typed)
        except WireError:
            continue
        assert found != truth, (place, text)
    return len(chosen)


def _meaning(
    wire: WireProtocol, message: Any, typed: Callable[[Push], list[Any]]
) -> Any:
    pushes = wire.decode(json.dumps(message).encode(), False)
    return [(p.channel, typed(p)) for p in pushes if isinstance(p, Push)]


def _leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inside:
        if isinstance(each, (dict, list)):
            yield from _leaves(each, (*place, key))
        else:
            yield (*place, key)


def _change(value: Any, place: Place, rng: random.Random) -> None:
    *way, last = place
    for key in way:
        value = value[key]
    leaf = value[last]
    if not isinstance(leaf, str):
        value[last] = leaf + 1
        return
    others = "0123456789" if leaf[-1:].isdigit() else "bcdx"
    value[last] = leaf[:-1] + rng.choice([c for c in others if c != leaf[-1:]])
