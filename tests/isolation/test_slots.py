"""What a subscription has in the shared memory, from its start to its end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import OkexWSError
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.view import View
from okex_ws.isolation.shared_memory import Memory
from okex_ws.isolation.slot_reading import EraContent, encode, encode_era
from okex_ws.isolation.slots import Store, SubscriptionSlots
from okex_ws.model.reports import Stats
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Lease
from okex_ws.trust.reading import read, take
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Published, Verdict
from tests.support.causes import because
from tests.support.clocks import FakeClock
from tests.support.internals import lock_of, memory_of

LEVELS = DepthData([["100.1", "1", "0", "1"]], [], 1_600_000_000_123, 7)
NAMES = {t: V5.channel(t, "spot", "BTC-USDT") for t in ("depth5", "trade")}


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(V5, lambda: True, lambda *_: None)
    yield store
    store.close()


def make(store: Store, number: int = 1) -> SubscriptionSlots:
    clock = SystemClock()
    view = View(None, "BTC-USDT", NO_LIMITS, clock, Callbacks("BTC-USDT", clock))
    slots = SubscriptionSlots(view, number, NAMES)
    store.allocate(slots)
    return slots


def open_era(store: Store, number: int, lapses: int = 0) -> None:
    """As the child does: a connection with a lease."""
    era = EraContent(number, False, False, Lease(1e12, 0.0, lapses))
    Memory(store.key).slot(store.era_addresses[0]).put(encode_era(era))


def write(
    store: Store, slots: SubscriptionSlots, epoch: int = 3, lapses: int = 0
) -> None:
    """As the child does: a depth, over a connection with a lease."""
    theirs = Memory(store.key)
    open_era(store, 5, lapses)
    shown = Published(State.LIVE, NO_CAUSE, epoch, None, LEVELS, 1.0, 2.0)
    theirs.slot(slots.addresses["depth5"]).put(encode(shown, True, 0, 5))


def seen(slots: SubscriptionSlots) -> Verdict:
    verdict, _, _ = read(slots.readings["depth5"], NO_LIMITS, FakeClock(5.0, 5.0))
    return verdict


def test_what_the_child_writes_is_shown(store: Store) -> None:
    slots = make(store)
    assert seen(slots).state is State.CONNECTING
    write(store, slots)

    assert seen(slots) is LIVE
    assert {
        topic: assignment.epoch for topic, assignment in slots.assignments().items()
    } == {
        "depth5": 3,
        "trade": 0,
    }


def test_a_place_is_taken_again_and_shows_nothing_of_who_had_it(store: Store) -> None:
    first = make(store)
    addresses = dict(first.addresses)
    write(store, first)
    first.freeze()
    store.clear(first)

    second = make(store)

    assert set(second.addresses.values()) == set(addresses.values())
    assert seen(second).state is State.CONNECTING
    write(store, second, epoch=9)
    assert first.readings["depth5"].current.epoch == 3
    assert seen(first).state is State.RECONNECTING


def test_a_child_that_ended_shows_nothing_and_its_epoch_goes_on(store: Store) -> None:
    slots = make(store)
    write(store, slots)
    held = take(slots.readings["depth5"])
    assert held is not None
    slots.last = Stats(messages=7, resyncs=2)

    store.lose()
    assert seen(slots).state is State.RECONNECTING
    slots.withdraw(because("it ended"))

    shown = slots.readings["depth5"].current
    assert (shown.state, shown.cause) == (
        State.RECONNECTING,
        because("it ended"),
    )
    assert (shown.epoch, shown.received, shown.data) == (3, 1.0, None)
    assert slots.assignments()["depth5"].epoch == 3
    # Of what it counted a subscription's own stays; the connections' is the feed's.
    assert (slots.past, slots.last) == (Stats(resyncs=2), Stats())
    # Whoever holds a price of it is told no, whatever the next child writes.
    write(store, slots)
    open_era(store, 6)
    assert held.judge(NO_LIMITS, 5.0, 5.0).state is State.RECONNECTING


def test_the_epoch_does_not_fall_over_a_new_process(store: Store) -> None:
    """The lapses that only the dead process knew are in it, even if nobody read."""
    slots = make(store)
    write(store, slots)
    open_era(store, 5, lapses=4)
    slots.withdraw(because("it ended"))
    store.lose()

    assert slots.readings["depth5"].epoch == 7
    assert slots.assignments()["depth5"].epoch == 7


def test_a_channel_that_was_refused_stays_so(store: Store) -> None:
    slots = make(store)
    slots.readings["trade"].write(Published(State.FAILED, because("refused"), 0))
    slots.readings["trade"].error = OkexWSError("refused")
    slots.withdraw(because("it ended"))

    assert slots.readings["trade"].current.state is State.FAILED
    assert [*slots.assignments()] == ["depth5"]


def test_without_memory_nothing_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("okex_ws.isolation.shared_memory.reserve", full)
    with pytest.raises(OSError, match="No space left"):
        make(store)


@pytest.mark.skipif(os.name != "posix", reason="a descriptor")
def test_the_memory_is_given_back_with_the_last_reading() -> None:
    store = Store(V5, lambda: True, lambda *_: None)
    store.close()  # nothing was there yet
    slots = make(store := Store(V5, lambda: True, lambda *_: None))
    write(store, slots)
    slots.freeze()
    store.close()

    assert seen(slots).state is State.RECONNECTING  # and the suite sees what is left


def test_in_a_forked_child_nothing_is_read_or_waited_for(store: Store) -> None:
    slots = make(store)
    write(store, slots)
    lock = lock_of(memory_of(store))
    lock.acquire()
    slots.forked()
    store.forked()
    lock.release()

    assert seen(slots).state is State.CLOSED
