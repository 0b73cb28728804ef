"""`import okex_ws` loads what is used, and has all names that it says it has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import okex_ws


def run(program: str) -> str:
    """What *program* prints, in an interpreter that has imported nothing."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


LOADED = "print(*sorted(name for name in sys.modules if 'okex_ws.' in name))"


def test_importing_it_loads_nothing() -> None:
    assert run(f"import sys, okex_ws; {LOADED}").split() == []


def test_a_name_loads_its_own_module() -> None:
    loaded = run(f"import sys; from okex_ws import State; {LOADED}").split()

    assert loaded == ["okex_ws.base", "okex_ws.base.state"]


def test_a_star_brings_every_name() -> None:
    program = (
        "from okex_ws import *; import okex_ws; print(set(okex_ws.__all__) - {*dir()})"
    )

    assert run(program).split() == ["set()"]


def test_the_package_of_recordings_is_at_hand_as_before() -> None:
    assert run("import okex_ws; print(okex_ws.recording.read.__name__)") == "read\n"


def test_what_a_type_checker_is_told_is_what_is_loaded() -> None:
    tree = ast.parse(Path(okex_ws.__file__).read_text(encoding="utf-8"))
    told = {
        f"{each.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    loaded = ast.literal_eval(
        next(
            ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and "_MODULES" in ast.unparse(node.targets)
        )
    )

    assert told == {
        f"{m}.{name}" for m, names in loaded.items() for name in names.split()
    }
    assert {each.rpartition(".")[2] for each in told} | {"__version__"} == {
        *okex_ws.__all__
    }
    assert dir(okex_ws) == sorted(okex_ws.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'okex_ws' has no attribute 'Fed'"):
        _ = okex_ws.Fed  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="Fed"):
        from okex_ws import Fed  # type: ignore[attr-defined]  # noqa: F401
    assert not hasattr(okex_ws, "local_exchanges")
