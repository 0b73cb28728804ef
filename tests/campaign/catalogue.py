"""What a fault is to the campaign: a name, where it strikes, and how it is done.

A fault injects, yields how to tell that it was noticed, and takes itself back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.campaign.rig import RECONNECT, TIMEOUTS, Rig

# What the machine may take on top, with every stand in one process.
SLACK = 1.0
# Seconds to come back, at most: the next push; through a running attempt, a wait and
# an attempt; through a pong that does not come, and then the same.
PUSH = 0.5 + SLACK
DIAL = 2 * (TIMEOUTS.connect + RECONNECT.cap) + SLACK
LINE = TIMEOUTS.pong + DIAL

Noticed = Callable[[], bool]
Injection = Callable[[Rig], Iterator[Noticed]]


class Fault(NamedTuple):
    """A kind of fault.

    Those of two *layer*s can be mixed. *bound* is for the seconds from the healing to a
    fresh price; from the injection, if the fault is over as soon as it is *instant*.
    """

    kind: str
    layer: str
    fits: Callable[[Rig], bool]
    bound: float
    instant: bool
    inject: Callable[[Rig], contextlib.AbstractContextManager[Noticed]]


CATALOGUE: dict[str, Fault] = {}


def fault(
    kind: str,
    layer: str,
    bound: float,
    fits: Callable[[Rig], bool] = lambda rig: True,
    *,
    instant: bool = False,
) -> Callable[[Injection], Injection]:
    """List the decorated injection under *kind*."""

    def list_it(inject: Injection) -> Injection:
        injected = contextlib.contextmanager(inject)
        CATALOGUE[kind] = Fault(kind, layer, fits, bound, instant, injected)
        return inject

    return list_it


def over_tls(rig: Rig) -> bool:
    """For faults of certificates."""
    return rig.tls


def in_the_clear(rig: Rig) -> bool:
    """For faults that put bytes between frames, which TLS would not let through."""
    return not rig.tls and rig.proxy is not None


def proxied(rig: Rig) -> bool:
    """For faults of the wire itself."""
    return rig.proxy is not None
