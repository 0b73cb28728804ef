"""One server that all tests of the benchmarks share; it ends after the last of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.benchmarks.rounds import Server, server


@pytest.fixture(scope="package")
def where() -> Iterator[Server]:
    """A server in a process of its own."""
    with server() as running:
        yield running


@pytest.fixture(autouse=True)
def _collected_tests_stay_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a round leave frozen what `tests/conftest.py` froze.

    A round thaws everything at its end. Each collection of the tests that come after it
    in the same process would go through a million objects again.
    """
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
