"""One server that all tests of the benchmarks share; it ends after the last of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmarks.rounds import Server, server


@pytest.fixture(scope="package")
def where() -> Iterator[Server]:
    """A server in a process of its own."""
    with server() as running:
        yield running
