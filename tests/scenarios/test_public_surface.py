"""What users have stays as it is, wherever in the package it is written."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import okex_ws
from tests.scenarios.public_surface import (
    MODULES,
    RECORDED,
    difference,
    function,
    member,
    render,
)

HINT = "if this is meant: python -m tests.scenarios.public_surface --write"


def made(source: str) -> dict[str, Any]:
    """The names that *source* defines, as if a module of the package had them."""
    found: dict[str, Any] = {"__name__": "okex_ws"}
    exec(f"from __future__ import annotations\n{source}", found)
    return found


def rendered(source: str) -> str:
    """The lines of the name ``f`` that *source* defines."""
    return "\n".join(member("f", made(source)["f"]))


# --- The surface --------------------------------------------------------------------


def test_the_public_surface_is_the_recorded_one() -> None:
    changed = difference(RECORDED.read_text("utf-8"), render())

    if changed:
        pytest.fail(f"{changed}\n\n{HINT}", pytrace=False)


def test_the_package_shows_its_public_names_alone() -> None:
    assert dir(okex_ws) == sorted(okex_ws.__all__)


def test_what_dir_gives_is_no_way_to_change_the_public_names() -> None:
    okex_ws.__dir__().clear()

    assert okex_ws.__all__


def test_the_record_names_no_module_but_public_ones() -> None:
    named = set(re.findall(r"\bokex_ws\.\w+", RECORDED.read_text("utf-8")))

    assert named == {*MODULES, "okex_ws.pytest_plugin"} - {"okex_ws"}


# --- The renderer -------------------------------------------------------------------


def test_a_removed_parameter_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = made("def close(self) -> bool: ...")["close"]
    monkeypatch.setattr(okex_ws.WSSubscription, "close", fewer)
    changed = difference(RECORDED.read_text("utf-8"), render())

    assert "-    def close(timeout: float | None = 5.0) -> bool\n" in changed
    assert "+    def close() -> bool\n" in changed
    assert re.search(r"^@@ .* @@ class WSSubscription$", changed, re.MULTILINE)


def test_a_changed_default_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    keywords = inspect.unwrap(okex_ws.Feed.__init__).__kwdefaults__
    assert keywords is not None
    monkeypatch.setitem(keywords, "ping_interval", 29.0)
    changed = difference(RECORDED.read_text("utf-8"), render())
    lines = [line for line in changed.splitlines()[2:] if line[0] in "+-"]

    assert lines == [
        "-        ping_interval: float = 30.0",
        "+        ping_interval: float = 29.0",
    ]


def test_nothing_changed_is_no_difference() -> None:
    assert difference("a\nb\n", "a\nb\n") == ""


def test_a_name_that_moved_is_rendered_as_before() -> None:
    source = "class f:\n def g(self, x: Y = 1) -> Z: ..."
    moved = made(source)["f"]
    moved.__module__ = "okex_ws.folder.elsewhere"

    assert "\n".join(member("f", moved)) == rendered(source)
    assert rendered(source) == "class f\n    def g(x: Y = 1) -> Z"


@pytest.mark.parametrize(
    "parameters",
    ["a, /", "a, /, b", "*, a: int", "a, *b, c: str = 'x'", "a, /, b, *, c, **d: int"],
)
def test_how_a_parameter_may_be_given_is_rendered(parameters: str) -> None:
    assert rendered(f"def f({parameters}): ...") == f"def f({parameters})"


def test_a_long_signature_has_a_line_for_each_parameter() -> None:
    names = [f"parameter_{number}" for number in range(9)]

    assert rendered(f"def f({', '.join(names)}) -> None: ...").splitlines() == [
        "def f(",
        *(f"    {name}" for name in names),
        ") -> None",
    ]


def test_a_default_has_no_address() -> None:
    assert rendered("def f(a=object()): ...") == "def f(a = <object object>)"
    assert rendered("def f(a=print, b=int): ...") == "def f(a = print, b = int)"


def test_what_a_class_inherits_from_an_internal_one_is_its_own() -> None:
    source = """
class _Base(ValueError):
    limit: int = 3
    @property
    def g(self) -> int: ...
    @classmethod
    def h(cls, a: int) -> None: ...
class f(_Base):
    def __len__(self) -> int: ...
    def _own(self): ...
"""

    assert rendered(source).splitlines() == [
        "class f(ValueError)",
        "    def __len__() -> int",
        "    property g: int",
        "    @classmethod",
        "    def h(a: int) -> None",
        "    value limit: int = 3",
    ]


def test_the_fields_of_a_dataclass_are_rendered_in_order() -> None:
    source = """
from dataclasses import dataclass, field
@dataclass(frozen=True, slots=True)
class f:
    b: list[int]
    a: str = field(default="x", repr=False)
    c: dict[str, int] = field(default_factory=dict, kw_only=True)
"""

    assert rendered(source).splitlines() == [
        "class f",
        "    dataclass: frozen, slots",
        "    b: list[int]",
        "    a: str = 'x'  [not in repr]",
        "    c: dict[str, int] = dict()  [keyword only]",
    ]


def test_the_keywords_behind_an_unpack_are_rendered() -> None:
    lines = list(function("g", okex_ws.Replay.feed, bound=True))

    assert "    keyword lease: float | None" in lines
