"""Only one file of the tests names private parts of the library: `internals.py`.

When a private part is renamed, that file changes and no test does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.source

TESTS = Path(__file__).parents[1]
HELPERS = Path(__file__).with_name("internals.py")

# The public methods of a named tuple, and what a notebook calls.
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_field_defaults", "_repr_html_"}
# Private parts of other packages, by the file that uses them; `*` is every file.
FOREIGN = {
    # Python documents these under their names.
    ("*", "os._exit"),
    ("*", "sys._current_frames"),
    # Under coverage a thread of CPython 3.11 may not run; conftest.py says why.
    ("conftest.py", "threading._sys"),
    # argparse lists the commands of a parser nowhere else.
    ("cli/test_init.py", "parser()._actions"),
    ("scenarios/public_surface.py", "argparse._SubParsersAction"),
    ("scenarios/public_surface.py", "group._group_actions"),
    ("scenarios/public_surface.py", "parser._actions"),
    ("scenarios/public_surface.py", "parser._mutually_exclusive_groups"),
    # The book of cryptofeed is measured without its connection.
    ("benchmarks/book_peers.py", "self._feed._book"),
}
# Private functions of a module that a test replaces.
PATCHED = {("cli/commands/test_serve.py", "_readable_stdin")}

# A private name in a string, which is a program that a test starts.
IN_A_PROGRAM = re.compile(r"\b(\w+)\._([a-z]\w*)")


@cache
def texts() -> dict[str, str]:
    """Every other file of the tests."""
    return {
        path.relative_to(TESTS).as_posix(): path.read_text("utf-8")
        for path in sorted(TESTS.rglob("*.py"))
        if path not in (HELPERS, Path(__file__))
    }


@cache
def trees() -> dict[str, ast.Module]:
    """The same files, parsed by the first test that asks."""
    return {name: ast.parse(text) for name, text in texts().items()}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def is_own(value: ast.expr) -> bool:
    """Whether *value* is ``self``, ``cls`` or ``super()``: its parts are its own."""
    if isinstance(value, ast.Call):
        value = value.func
        return isinstance(value, ast.Name) and value.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def named_by_string(call: ast.Call) -> Iterator[str]:
    """Yield the private name that a ``setattr`` or ``getattr`` call is given.

    A constant of a module does not count: a test may patch it where it is.
    """
    named = call.func
    called = getattr(named, "attr", "") or getattr(named, "id", "")
    if "attr" not in called:
        return
    for argument in call.args[1:2]:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            name = argument.value
            if is_private(name) and not name.isupper():
                yield name


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the private names that *node* uses."""
    if isinstance(node, ast.Attribute) and is_private(node.attr):
        if not is_own(node.value):
            yield ast.unparse(node)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        if node.module.partition(".")[0] == "okex_ws":
            full = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in full if is_private(name.rpartition(".")[2]))
    elif isinstance(node, ast.Call):
        yield from named_by_string(node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for found in IN_A_PROGRAM.finditer(node.value):
            if found[1] != "self":
                yield found[0]


def reaches(name: str, tree: ast.Module) -> list[str]:
    """The private names of other classes and modules that file *name* must not use."""
    allowed = {what for where, what in FOREIGN if where in (name, "*")}
    allowed |= {what for where, what in PATCHED if where == name}
    found = (each for node in ast.walk(tree) for each in names_in(node))
    return sorted({each for each in found if each not in allowed})


def test_a_test_reaches_for_private_parts_by_the_helpers_alone() -> None:
    assert trees()["support/virtual_world.py"]
    found = {name: reaches(name, tree) for name, tree in trees().items()}

    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("feed._plan.views", ["feed._plan"]),
        ("make()._plan = 1", ["make()._plan"]),
        ("self.feed._plan", ["self.feed._plan"]),
        ("Connection._run = 1", ["Connection._run"]),
        ("from okex_ws.pool.pool import _plans", ["okex_ws.pool.pool._plans"]),
        ("patch.setattr(Slot, '_copy', f)", ["_copy"]),
        ("getattr(feed, '_plan')", ["_plan"]),
        ("run('x = okx._plan')", ["okx._plan"]),
        ("run(f'x = {y}; okx._plan')", ["okx._plan"]),
        ("self._plan, cls._made, super()._give()", []),
        ("found._replace(a=1)._asdict(), it.__dict__", []),
        ("os._exit(0), sys._current_frames()", []),
        ("from okex_ws.isolation.worker import Post", []),
        ("patch.setattr(feed, 'venue', f), get('_plan')", []),
        ("patch.setattr(serve, '_PAGE', 1)", []),
    ],
)
def test_a_reach_is_seen(code: str, found: list[str]) -> None:
    assert reaches("test_x.py", ast.parse(code)) == found


def test_what_is_allowed_is_still_in_use() -> None:
    used = {
        (name, each)
        for name, tree in trees().items()
        for node in ast.walk(tree)
        for each in names_in(node)
    }
    used |= {("*", each) for _, each in used}

    assert used >= FOREIGN | PATCHED


def test_every_helper_is_used() -> None:
    made = {
        node.name
        for node in ast.parse(HELPERS.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    named = {word for text in texts().values() for word in re.findall(r"\w+", text)}

    assert made - named == set()
