"""Faults of what the exchange allows: too much at once, a login that is gone.

Each strikes guests on a feed of their own; other subscriptions notice nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

from okex_ws import Feed, RawSubscription, State, StateChange, WSSubscription
from tests.campaign.catalogue import (
    ALONE,
    CONNECTION_LOSS,
    DIAL,
    PUSH,
    Noticed,
    fault,
    in_turn,
    with_v5,
)
from tests.campaign.rig import LEASE, Rig
from tests.campaign.setups import GUEST

_MARKET, _ID = GUEST
_MARKETS = ("SPOT", "SWAP", "FUTURES")


@contextlib.contextmanager
def _own_feed(rig: Rig, *, account: bool = False) -> Iterator[Feed]:
    options = rig.options()
    if account:
        options |= {"credentials": rig.exchange.credentials[0], "allow_plaintext": True}
    with Feed(rig.venue(), **options) as feed:
        yield feed


def _orders(of: str) -> dict[str, str]:
    return {"channel": "orders", "instType": of}


# --- A handover ---------------------------------------------------------------------


@fault("handover that is refused a channel", "guest", DIAL)
def refused_in_a_handover(rig: Rig) -> Iterator[Noticed]:
    """The new connection alone is refused: the old one serves on, and fails nobody."""
    key = rig.dialect.key("depth5", _MARKET, _ID)
    code = {"v3": 30040, "v5": rig.rng.choice((60012, 60018, 60029))}
    changes: list[StateChange] = []

    def is_told_of(new: State) -> bool:
        return any(change.new is new for change in changes)

    with _own_feed(rig) as feed:
        guest = WSSubscription(_ID, _MARKET, feed=feed, on_state=changes.append)

        def rotate() -> bool:
            rig.exchange.reject(key, code[rig.setup.protocol], "Not now.", times=1)
            feed.rotate()
            return True

        def is_refused() -> bool:
            asked = _subscribes(rig, key)
            return asked >= 2 and not is_told_of(State.FAILED)

        until: list[float] = []
        try:
            yield in_turn(
                lambda: guest.state is State.LIVE,
                rotate,
                is_refused,
                lambda: until.append(time.monotonic() + 1.0) or True,
                lambda: time.monotonic() > until[0],
                lambda: guest.state is State.LIVE and not is_told_of(State.FAILED),
                rig.untouched,
            )
        finally:
            rig.exchange.reject(key, code[rig.setup.protocol], "", times=0)


def _subscribes(rig: Rig, key: str) -> int:
    """How often *key* was subscribed since the mark."""
    name, _, instrument_id = key.partition(":")
    return sum(
        '"subscribe"' in str(text) and name in str(text) and instrument_id in str(text)
        for at, text in rig.exchange.requests
        if at > rig.marked_at
    )


# --- Too many -----------------------------------------------------------------------


@fault("close for too many channels", "guest", CONNECTION_LOSS, with_v5)
def too_many_channels(rig: Rig) -> Iterator[Noticed]:
    """Again and again: fewer channels a connection, and all come back."""
    code, times = rig.rng.choice((4003, 4008, 4009)), rig.rng.choice((1, 2, 3))
    channels = ("depth5", "trade", "ticker", "mark_price")
    key = rig.dialect.key("depth5", _MARKET, _ID)

    with _own_feed(rig) as feed:
        guest = WSSubscription(_ID, _MARKET, feed=feed, channels=channels)

        def close() -> bool:
            return rig.exchange.close_clients(code, "too many", channel=key) > 0

        def is_back() -> bool:
            health = guest.health()
            return health.state is State.LIVE and not health.failed

        once = (is_back, close, lambda: guest.state is not State.LIVE)
        yield in_turn(*once * times, is_back, rig.untouched)


# Alone: all private channels of that name on the exchange end.
@fault("channel-conn-count of a whole kind", ALONE, PUSH + LEASE, with_v5)
def whole_kind(rig: Rig) -> Iterator[Noticed]:
    """Several subscriptions fail at once, whoever is told first, and blocks then."""
    wrong: list[str] = []
    guests: list[RawSubscription] = []
    seconds = rig.rng.choice((0.0, LEASE + 0.5))

    def told(change: StateChange) -> None:
        if change.new is State.FAILED:
            states = [guest.state for guest in guests]
            wrong.extend(
                f"{change.instrument_id} failed before others: {states}"
                for state in states
                if state is State.LIVE
            )
            time.sleep(seconds)

    with _own_feed(rig, account=True) as feed:
        guests += [
            RawSubscription([_orders(of)], feed=feed, on_state=told) for of in _MARKETS
        ]

        def is_over() -> bool:
            states = [guest.state for guest in guests]
            if State.FAILED in states[:-1]:
                # What is read after one that failed cannot be live.
                at = states.index(State.FAILED)
                wrong.extend(f"{states}" for s in states[at:] if s is State.LIVE)
            return states == [State.FAILED] * 3

        yield in_turn(
            lambda: all(guest.state is State.LIVE for guest in guests),
            lambda: rig.exchange.channel_conn_count("orders", 31, error=True) >= 1,
            is_over,
            lambda: not wrong,
        )
    if wrong:
        rig.judges[0].found.wrong.append(f"of one kind: {wrong[0]}")


# --- A login ------------------------------------------------------------------------


def _has_no_account(rig: Rig) -> bool:
    """Else the rig's own login would be gone as well."""
    return rig.setup.protocol == "v5" and not rig.setup.credentials


@fault("login that is gone", "guest", DIAL, _has_no_account)
def lost_login(rig: Rig) -> Iterator[Noticed]:
    """A private channel is refused after an accepted login, and then is not."""
    with _own_feed(rig, account=True) as feed:
        guests = [RawSubscription([_orders("SPOT")], feed=feed)]

        def forget() -> bool:
            # The login of another guest may be there as well.
            if not rig.exchange.log_out():
                return False
            guests.append(RawSubscription([_orders("SWAP")], feed=feed))
            return True

        yield in_turn(
            lambda: guests[0].state is State.LIVE,
            forget,
            lambda: all(guest.state is State.LIVE for guest in guests),
            rig.untouched,
        )


# --- Frames -------------------------------------------------------------------------

# More than a feed takes, unless it is told otherwise.
_LARGE = (8 << 20) + (1 << 19)


@fault("frame that is too large", "message", CONNECTION_LOSS)
def large_frame(rig: Rig) -> Iterator[Noticed]:
    """It is skipped, counted, and withdraws what it may have said."""
    told = rig.told(State.RESYNCING, State.RECONNECTING, State.STALE, of=0)
    newest = rig.exchange.newest(rig.depth_key)
    assert newest is not None
    if rig.setup.protocol == "v3":
        rig.exchange.send_raw(rig.rng.randbytes(_LARGE))
    else:
        push = rig.dialect.push(rig.depth_key, newest[1])
        text = json.dumps({**push, "padding": "x" * _LARGE})
        rig.exchange.send_raw(text.encode(), text=True)
    yield told
