"""Faults of the script: its callbacks and its log handlers block or raise.

They do it in the middle of a transition: a loss, a withdrawal, or a failure.
No user's code runs inside of a transition, so the reads of all others stay right, and
the feed goes on.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator

from okex_ws import Feed, State, StateChange, WireError
from tests.campaign.catalogue import CONNECTION_LOSS, Noticed, fault
from tests.campaign.rig import LEASE, Rig
from tests.campaign.script import ACTORS, OWN

Transition = Callable[[Rig, contextlib.ExitStack], object]


def _lose(rig: Rig, stack: contextlib.ExitStack) -> None:
    rig.exchange.drop()


def _withdraw_all(rig: Rig, stack: contextlib.ExitStack) -> None:
    rig.exchange.send_event('{"table":')


def _withdraw_one(rig: Rig, stack: contextlib.ExitStack) -> None:
    """The depth of the first instrument has a level that is none."""
    newest = rig.exchange.newest(rig.depth_key)
    assert newest is not None
    element = {**copy.deepcopy(newest[1]), "bids": [["60000", True, "1"]]}
    rig.exchange.send_event(rig.dialect.push(rig.depth_key, element))


def _change_over(rig: Rig, stack: contextlib.ExitStack) -> None:
    if isinstance(rig.feed, Feed):
        rig.changed_over = time.monotonic()
        rig.feed.rotate()
    else:
        rig.exchange.drop()


def _fail(rig: Rig, stack: contextlib.ExitStack) -> None:
    """A guest asks for what does not exist, and is told so by the same callbacks."""
    guest = rig.guest(
        "NONE-USDT",
        "spot",
        on_state=lambda change: rig.mischiefs.do("on_state", change),
        on_error=lambda error: rig.mischiefs.do("on_error", error),
    )
    stack.callback(guest.close)


_TRANSITIONS: dict[str, Transition] = {
    "a loss": _lose,
    "a withdrawal of all": _withdraw_all,
    "a withdrawal of one": _withdraw_one,
    "a change-over": _change_over,
    "a failure": _fail,
}
# What an actor is told of. A change-over is told to nobody but the log.
_TOLD = {
    "on_message": ("a loss", "a withdrawal of all", "a change-over"),
    "on_state": ("a loss", "a withdrawal of all", "a withdrawal of one", "a failure"),
    "on_error": ("a loss", "a withdrawal of one", "a failure"),
    # A withdrawal of all is logged once a minute only.
    "log handler": ("a loss", "a change-over", "a failure"),
}
# A callback may be told of the end of a transition, too.
_ENDS = (State.LIVE, State.SYNCING)


def _interfere(actor: str, how: str) -> None:
    @fault(f"{actor} that {how} in a transition", "script", CONNECTION_LOSS + LEASE)
    def inject(rig: Rig) -> Iterator[Noticed]:
        name = rig.rng.choice(_TOLD[actor])
        at_the_end = name != "a failure" and rig.rng.random() < 0.3
        seconds = LEASE + rig.rng.uniform(0.3, 0.8)
        error = rig.rng.choice(
            (RuntimeError(OWN), SystemExit(OWN), KeyboardInterrupt(OWN))
        )
        done: list[object] = []

        def mischief(told: object) -> bool:
            if isinstance(told, StateChange) and (told.new in _ENDS) is not at_the_end:
                return False
            if how == "raises":
                done.append(told)
                raise error
            time.sleep(seconds)
            done.append(told)
            return True

        rig.note(f"{actor} {how} in {name}{', at its end' if at_the_end else ''}")
        rig.mischiefs.set(actor, mischief)
        with contextlib.ExitStack() as stack:
            # An error of one channel is told once a minute only, its state each time.
            is_withdrawal = actor == "on_error" and name == "a withdrawal of one"
            is_silent = is_withdrawal and rig.has_told(WireError, 60.0)
            told = rig.told(State.RESYNCING, of=0)
            _TRANSITIONS[name](rig, stack)
            yield lambda: bool(done) or (is_silent and told())


for _actor in ACTORS:
    for _how in ("blocks", "raises"):
        _interfere(_actor, _how)
