"""The list of targets: how each makes inputs, judges them, and what it remembers."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

import okex_ws
from okex_ws.model.numbers import NUMBERS
from tests.fuzz import (
    answers,
    binary,
    books,
    frames,
    framing,
    history,
    identities,
    streams,
)
from tests.fuzz.corpus import Corpus


class Target(NamedTuple):
    """*make* an input, and *check* what becomes of it: the name of an outcome.

    Whatever *check* raises is a failure. An input takes as long as *cost* others.
    """

    name: str
    make: Callable[[Random, Corpus], Any]
    check: Callable[[Any], str]
    cost: int = 1


def _of(protocol: str) -> Iterator[Target]:
    make = frames.make_v3 if protocol == "v3" else frames.make_v5
    read = functools.partial(frames.check_frame, protocol)
    yield Target(f"{protocol} frames", make, read)
    make_element = functools.partial(frames.make_reading, protocol=protocol)
    check_element = functools.partial(frames.check_reading, protocol)
    yield Target(f"{protocol} readers", make_element, check_element)


TARGETS: tuple[Target, ...] = (
    *_of("v3"),
    *_of("v5"),
    Target("order of fields", identities.make_order, identities.check_order),
    Target("names", identities.make_name, identities.check_name, 20),
    Target("free bytes", frames.make_free, frames.check_any_frame),
    Target("sentences", frames.make_sentence, frames.check_sentence),
    Target("books", books.make_book, books.check_book, 3),
    Target("numbers", answers.make_number, answers.check_number),
    Target("binary messages", binary.make_binary, binary.check_binary),
    Target("framing", streams.make_frames, framing.check_framing, 2),
    Target("framing, small", streams.make_frames, framing.check_small_framing, 4),
    Target("http answers", answers.make_answer, answers.check_answer),
    Target("handshakes", answers.make_handshake, answers.check_handshake),
    Target("arguments", answers.make_argument, answers.check_argument),
    Target("secrets", answers.make_secret, answers.check_secret, 8),
    Target("captures", answers.make_capture, answers.check_capture, 3),
    Target("REST bodies", history.make_body, history.check_body),
    Target("recordings", history.make_recording, history.check_recording, 16),
)


def check_memories() -> dict[str, int]:
    """Every cache of the library has a bound and keeps it: how many each holds."""
    assert len(NUMBERS) <= 8192
    assert all(len(text) <= 64 for text in NUMBERS)
    sizes = {"model.numbers.NUMBERS": len(NUMBERS)}
    for module in pkgutil.walk_packages(okex_ws.__path__, "okex_ws."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "cache_info") and value.__module__ == module.name:
                info = value.cache_info()
                # A function of no argument needs no bound.
                bound = 1 if info.maxsize is None else info.maxsize
                assert info.currsize <= bound, (module.name, name, info)
                sizes[f"{module.name.removeprefix('okex_ws.')}.{name}"] = info.currsize
    return sizes
