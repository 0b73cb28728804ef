"""What a conversation has to handle is all in one union."""

from __future__ import annotations

from typing import get_args

from okex_ws.session import events


def test_every_event_is_in_the_union() -> None:
    classes = [each for each in vars(events).values() if isinstance(each, type)]
    made_here = {each for each in classes if each.__module__ == events.__name__}

    assert made_here < set(get_args(events.Event))
