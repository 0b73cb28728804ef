"""A misspelt keyword of any public class is told with the nearest one."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from okex_ws import (
    Credentials,
    Feed,
    Instrument,
    RawSubscription,
    Reconnect,
    Recorder,
    Replay,
    Timeouts,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import Rest

CLASSES = (
    Credentials,
    Feed,
    Instrument,
    LocalExchange,
    RawSubscription,
    Reconnect,
    Recorder,
    Replay,
    Rest,
    Timeouts,
    Venue,
    WSSubscription,
)
# Methods of a `Recorder` that feeds call, at each read.
FOR_FEEDS = ("frames", "put")


def keywords() -> Iterator[tuple[type, str, str]]:
    """Each keyword of each constructor and public method: class, method, keyword."""
    for cls in CLASSES:
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if name == "__init__" or not (name.startswith("_") or name in FOR_FEEDS):
                for keyword, each in inspect.signature(method).parameters.items():
                    if keyword != "self" and each.kind != each.VAR_KEYWORD:
                        yield cls, name, keyword


def misspell(cls: type, name: str, wrong: str) -> None:
    """Call a method with a keyword that it has not."""
    told = getattr(cls, name)(object.__new__(cls), **{wrong: None})
    asyncio.run(told)  # a coroutine says so when it is awaited


def test_each_keyword_of_each_public_class_is_meant_when_it_is_misspelt() -> None:
    checked = 0
    for cls, name, keyword in keywords():
        wrong = f"{keyword[:-1]}x{keyword[-1]}"
        called = cls.__name__ if name == "__init__" else f"{cls.__name__}.{name}"
        said = f"{called}() got an unexpected keyword argument {wrong!r}; did you mean"
        with pytest.raises(TypeError, match=re.escape(said)):
            misspell(cls, name, wrong)
        checked += 1
    assert checked > 150


def test_what_a_constructor_passes_on_is_known_too() -> None:
    make: Any = WSSubscription
    with pytest.raises(TypeError, match=r"'isolat'; did you mean 'isolate'\?"):
        make("BTC-USDT", isolat=True)
    with Feed() as feed:
        subscribe: Any = feed.subscribe
        with pytest.raises(TypeError, match="'max_silenc'; did you mean 'max_silence'"):
            subscribe(["BTC-USDT"], max_silenc=1.0)
