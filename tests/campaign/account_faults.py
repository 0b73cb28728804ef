"""Faults of private channels under v5: logins that fail, and too many connections.

Each fault strikes a guest with a key of its own; other subscriptions notice nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from okex_ws import Feed, RawSubscription, State
from tests.campaign.catalogue import PUSH, Noticed, fault, in_turn, with_v5
from tests.campaign.rig import Rig

_ORDERS = {"channel": "orders", "instType": "ANY"}


@contextlib.contextmanager
def _account(rig: Rig) -> Iterator[RawSubscription]:
    key = rig.exchange.credentials[0]
    options = {**rig.options(), "credentials": key, "allow_plaintext": True}
    with Feed(rig.venue(), **options) as feed:
        yield RawSubscription([_ORDERS], feed=feed)


@fault("login that is refused once", "guest", PUSH, with_v5)
def passing_login(rig: Rig) -> Iterator[Noticed]:
    """A timestamp that came too late, or too many logins: the next one is good."""
    code = rig.rng.choice((60006, 63999, 60014))
    rig.exchange.reject_login(code, "Not now.", times=1)
    try:
        with _account(rig) as account:
            yield lambda: account.state is State.LIVE and rig.untouched()
    finally:
        rig.exchange.reject_login(code, "", times=0)


def _has_no_account(rig: Rig) -> bool:
    """Else a refusal could meet the rig's own login, for good."""
    return rig.setup.protocol == "v5" and not rig.setup.credentials


@fault("login that is refused for good", "guest", PUSH, _has_no_account)
def fatal_login(rig: Rig) -> Iterator[Noticed]:
    """A wrong key: the private channel fails, once."""
    rig.exchange.reject_login(60005, "Invalid apiKey", times=1)
    try:
        with _account(rig) as account:
            yield (
                lambda: (
                    account.state is State.FAILED
                    and "60005" in str(account.health().cause.text)
                    and rig.untouched()
                )
            )
    finally:
        rig.exchange.reject_login(60005, "", times=0)


@fault("channel-conn-count", "guest", PUSH, with_v5)
def many_connections(rig: Rig) -> Iterator[Noticed]:
    """First it says how many connections there are, and then that they are too many."""

    def told(error: bool) -> bool:
        return rig.exchange.channel_conn_count("orders", 20, error=error) > 0

    with _account(rig) as account:
        yield in_turn(
            lambda: account.state is State.LIVE,
            lambda: told(error=False),
            lambda: account.state is State.LIVE,
            lambda: told(error=True),
            lambda: account.state is State.FAILED,
            lambda: "conn-count" in str(account.health().cause.text),
            rig.untouched,
        )
