"""The package says what it needs, and what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import okex_ws.local_exchange as package


@pytest.mark.parametrize("missing", ["websockets", "trustme"])
def test_without_the_extra_the_import_error_names_it(missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "try:\n    import okex_ws.local_exchange\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert "pip install 'okex-ws[local]'" in done.stdout


def test_the_public_names_are_there() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
