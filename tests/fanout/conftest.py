"""A Redis server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that is empty; the test is skipped where none is installed."""
    server = RedisServer(tmp_path)
    yield server
    server.kill()
