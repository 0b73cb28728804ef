"""Whoever holds a connection can be told all that it says."""

from __future__ import annotations

import inspect

import pytest

from okex_ws.pool.connection_channels import ConnectionChannels
from okex_ws.pool.conversation import Handler

SAID = [name for name in vars(Handler) if not name.startswith("_")]


@pytest.mark.parametrize("name", SAID)
def test_the_channels_of_a_connection_hear_what_it_says(name: str) -> None:
    told = inspect.signature(getattr(Handler, name))
    heard = inspect.signature(getattr(ConnectionChannels, name))

    assert list(heard.parameters) == list(told.parameters)


def test_a_connection_says_something() -> None:
    assert {"opened", "lost", "ended"} < set(SAID)
