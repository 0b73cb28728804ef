"""The form of a fault of the campaign: a name, where it strikes, and how it is done.

A fault injects, yields a function that says whether it was noticed, and is taken back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.campaign.rig import RECONNECT, TIMEOUTS, Rig

# What the machine may take on top, with every rig in one process.
SLACK = 2.0
# Seconds to come back, at most: the next push; through a running attempt, a wait and
# an attempt; through a pong that does not come, and then the same.
PUSH = 0.5 + SLACK
DIAL = 2 * (TIMEOUTS.connect + RECONNECT.cap) + SLACK
CONNECTION_LOSS = TIMEOUTS.pong + DIAL
# A whole book that breaks again within a minute waits before it is asked for anew; the
# answer may be its silence, and then it waits once more.
BOOK = 2 * TIMEOUTS.retry_cap + 2 * TIMEOUTS.first_push + PUSH

# The layer of what is never mixed with anything.
ALONE = "alone"
# The layer of what replaces a connection by another one.
CHANGE = "change"

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


def in_turn(*steps: Callable[[], object]) -> Noticed:
    """Each of *steps* is asked again and again until it is so, and then the next."""
    left = list(steps)

    def noticed() -> bool:
        while left and left[0]():
            del left[0]
        return not left

    return noticed


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
    return rig.setup.tls


def in_the_clear(rig: Rig) -> bool:
    """For faults that put bytes between frames, which TLS would not let through."""
    return not rig.setup.tls and rig.proxy is not None


def proxied(rig: Rig) -> bool:
    """For faults of the wire itself."""
    return rig.proxy is not None


def with_v3(rig: Rig) -> bool:
    """For faults of what is deflated."""
    return rig.setup.protocol == "v3"


def with_v5(rig: Rig) -> bool:
    """For faults of what only v5 has."""
    return rig.setup.protocol == "v5"


def on_a_feed(rig: Rig) -> bool:
    """For faults of what several share."""
    return rig.feed is not None


def with_books(rig: Rig) -> bool:
    """For faults of a whole book alone."""
    return rig.book_key is not None
