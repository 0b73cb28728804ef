"""Keeps a run as JSON, and writes its numbers as text for the tables."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.benchmarks.ours import version as own_version
from tests.benchmarks.roster import version

PACKAGES = (
    "websocket-client",
    "websockets",
    "aiohttp",
    "picows",
    "uvloop",
    "python-okx",
    "ccxt",
    "cryptofeed",
    "orjson",
    "numpy",
)


def about() -> dict[str, Any]:
    """When, where, and with what."""
    versions = {"okex_ws": own_version()}
    for package in PACKAGES:
        versions[package] = version(package) or "not installed"
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def introduce(found: dict[str, Any]) -> None:
    """The head of all tables."""
    versions = ", ".join(f"{n} {v}" for n, v in found["versions"].items())
    print(f"Python {found['python']}, {found['processor']} x {found['cores']}")
    print(versions)


def keep(path: Path, found: dict[str, Any]) -> None:
    """Write *found*; what is not a number in it becomes null."""
    path.write_text(json.dumps(_finite(found), indent=1) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def median(three: Sequence[float], digits: int) -> str:
    """The middle of least, median and most."""
    return "-" if math.isnan(three[1]) else f"{three[1]:,.{digits}f}"


def from_to(three: Sequence[float], digits: int) -> str:
    """The two others."""
    return f"{three[0]:.{digits}f}-{three[2]:.{digits}f}"


def grouped(three: Sequence[float]) -> str:
    """The two others, of large numbers."""
    return f"{three[0]:,.0f}-{three[2]:,.0f}"


def show_absent(found: dict[str, Any]) -> None:
    """Who has no row, or not one of every round, and why."""
    for name in found["missing"]:
        print(f"{name:40}not installed")
    for name, why in found["failures"].items():
        print(f"{name:40}failed in a round: {why:.300}")
