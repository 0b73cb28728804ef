"""What is counted and logged has stable names, and the docstring of `Stats` has all.

Read from the source, so that a name that is added or taken away is seen here.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import okex_ws
from okex_ws import ConnectionLost, HandshakeFailed, OkexWSError, Stalled, Stats
from okex_ws.base import errors
from okex_ws.base.counts import cause_of

SOURCE = Path(okex_ws.__file__).parent
# A feed counts. What asks for the past raises, the local exchange is another's, and
# binary messages are read by no feed yet.
OTHERS = ("local_exchange/", "rest/", "sbe/")

# What is called with the name that something will be counted under.
NAMING = {
    "WireError",
    "UnreadableMessage",
    "reading",
    "drop",
    "Unasked",
    "skip",
    "_skip",
}
# What has such names as its keys. A key that is no literal is the name of a channel.
COUNTED = {"dropped", "skipped", "counts", "reconnects"}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the library, parsed by the first test that asks."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def core() -> dict[str, ast.Module]:
    """The modules that a feed runs."""
    return {path: tree for path, tree in trees().items() if not path.startswith(OTHERS)}


def constants(tree: ast.Module) -> dict[str, str]:
    """The names of a module that are one text."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def texts(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Every text that *node* can be: a literal, a choice of them, a constant's name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body, known)
        yield from texts(node.orelse, known)
    elif isinstance(node, ast.Name) and node.id in known:
        yield known[node.id]


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    function = node.func
    return getattr(function, "attr", None) or getattr(function, "id", "")


def names(tree: ast.Module) -> Iterator[str]:
    """Every name that something is counted under, as `Stats` shows it."""
    known = constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in NAMING and node.args:
            prefix = "unasked " if called(node) == "Unasked" else ""
            yield from (prefix + text for text in texts(node.args[0], known))
        elif isinstance(node, ast.Subscript):
            if getattr(node.value, "attr", "").lstrip("_") in COUNTED:
                yield from (
                    t.removeprefix("skipped ") for t in texts(node.slice, known)
                )
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            # The names of what a queue counts, by its kind.
            if ast.unparse(node.targets[0]) == "_NAMES":
                yield from (t for each in node.value.values for t in texts(each, known))
        elif isinstance(node, ast.ClassDef) and node.name in vars(errors):
            # The kind of an error is that of its class.
            yield from (
                text
                for line in node.body
                if isinstance(line, ast.Assign)
                and ast.unparse(line.targets[0]) == "kind"
                for text in texts(line.value, known)
            )


FIELDS = [field.name for field in dataclasses.fields(Stats)]
DOCUMENTED = set(re.findall(r"``'([^']+)'``", str(Stats.__doc__)))


@cache
def counted() -> dict[str, str]:
    """Every name that something is counted under, with a module that does it."""
    return {name: path for path, tree in core().items() for name in names(tree)}


# --- The docstring of Stats ---------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_the_statistics_is_documented(field: str) -> None:
    assert re.search(rf"^ +{field}: \S", str(Stats.__doc__), re.MULTILINE)


@pytest.mark.source
def test_every_name_that_is_counted_is_documented() -> None:
    known = DOCUMENTED | set(FIELDS)
    missing = {name: path for name, path in counted().items() if name not in known}

    assert missing == {}


@pytest.mark.source
def test_every_documented_name_is_counted() -> None:
    losses = {cause_of(error) for error in LOSSES}

    assert DOCUMENTED - losses - counted().keys() == set()


LOSSES: tuple[OkexWSError, ...] = (
    ConnectionLost("ws://x", "gone"),
    ConnectionLost("ws://x", "gone", 1001),
    HandshakeFailed("ws://x", "no"),
    HandshakeFailed("ws://x", "no", 503),
    Stalled("no pong came", 10.0),
)


@pytest.mark.parametrize("error", LOSSES, ids=cause_of)
def test_every_cause_of_a_reconnect_is_documented(error: OkexWSError) -> None:
    assert cause_of(error) in DOCUMENTED


@pytest.mark.source
def test_nothing_else_ends_a_connection() -> None:
    """Every error that is raised below a script, but what a message can be wrong with.

    A message that cannot be used ends nothing: `Opening` catches those two.
    """
    of_a_script = ("client/", "delivery/")
    raised = {
        called(node.exc)
        for path, tree in core().items()
        if not path.startswith(of_a_script)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    world = {
        name
        for name in raised
        if isinstance(kind := getattr(errors, name, None), type)
        and issubclass(kind, OkexWSError)
        and not issubclass(kind, (errors.WireError, errors.BookError))
    }

    assert world == {type(error).__name__ for error in LOSSES}


def test_the_walk_sees_each_way_in_which_a_name_is_given() -> None:
    tree = ast.parse(
        "ONE = 'one'\n"
        "class BookError:\n    kind = 'two'\n"
        "WireError('three', text)\n"
        "@reading('four')\ndef f(): self._channels.drop('five', text)\n"
        "self._skip(ONE)\n"
        "x = Unasked('six')\n"
        "self._counts.dropped['seven' if x else 'eight'] += 1\n"
        "self.counts['skipped nine'] += 1\n"
        "elsewhere['ten'] += 1\n"
        "TWELVE = 'twelve'\n_NAMES = {Kind.ERROR: TWELVE}\n"
        "UnreadableMessage('eleven', text)\n"
    )

    assert set(names(tree)) == {
        *("one", "two", "three", "four", "five"),
        *("unasked six", "seven", "eight", "nine", "eleven", "twelve"),
    }


# --- The log ------------------------------------------------------------------------

LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


class Logged(NamedTuple):
    """One call that logs: where, at which level, what, and with how many values."""

    path: str
    level: str
    format: ast.expr | None
    values: int


def sentences(tree: ast.Module) -> dict[str, ast.expr]:
    """What is assigned to a name in *tree*; of a tuple, each to its own."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            pairs = [(target, value)]
            whole = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            if whole and len(target.elts) == len(value.elts):
                pairs = list(zip(target.elts, value.elts, strict=True))
            found |= {ast.unparse(name): given for name, given in pairs}
    return found


def logged(path: str, tree: ast.Module) -> Iterator[Logged]:
    """Every call of a logger in a module, whatever the module calls it."""
    loggers = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "Logger(" in ast.unparse(node.value)
        for target in node.targets
    }
    # The library's own, which never raises.
    loggers |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        if (node.module or "").rpartition(".")[2] == "log"
        for alias in node.names
    }
    known = sentences(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        level, who = node.func.attr, ast.unparse(node.func.value)
        direct = "getLogger" in who or who == "logging"
        if level in LEVELS and (who in loggers or direct):
            arguments = node.args[1 if level == "log" else 0 :]
            first = arguments[0] if arguments else None
            if isinstance(first, ast.Name):
                first = known.get(first.id, first)
            yield Logged(path, level, first, len(arguments) - 1)


# `LibraryLog` passes on what it is given.
LIBRARY_LOG = "base/log.py"


def is_constant_and_filled(one: Logged) -> bool:
    """Whether its format is a literal that has a field for each of its values."""
    if not isinstance(one.format, ast.Constant) or type(one.format.value) is not str:
        return False
    fields = re.findall(r"%[-#0 +]*\d*(?:\.\d+)?([a-z%])", one.format.value)
    return len([kind for kind in fields if kind != "%"]) == one.values


@pytest.mark.source
def test_a_record_has_a_constant_format_and_its_facts_are_values() -> None:
    records = [
        one
        for path, tree in trees().items()
        if path != LIBRARY_LOG
        for one in logged(path, tree)
    ]

    assert len({one.path for one in records}) > 10
    assert [one for one in records if not is_constant_and_filled(one)] == []


@pytest.mark.source
def test_every_record_is_of_one_logger() -> None:
    named = {
        (path.partition("/")[0], ast.unparse(node.args[0]))
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and called(node) in ("getLogger", "Logger", "getChild", "LibraryLog")
        and not (path == LIBRARY_LOG and called(node) == "getLogger")
    }

    # The local exchange is a program of its own; the command line shows the records.
    assert {name for _, name in named} == {"'okex_ws'", "'okex_ws.local_exchange'"}
    assert [folder for folder, name in named if name != "'okex_ws'"] == [
        "local_exchange"
    ]


@pytest.mark.source
def test_nothing_is_logged_past_that_logger() -> None:
    assert not [
        f"{path}: {ast.unparse(node)}"
        for path, tree in core().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {f"logging.{level}" for level in LEVELS}
    ]


def test_a_format_that_is_made_when_it_is_logged_is_seen() -> None:
    tree = ast.parse(
        "log = logging.getLogger('okex_ws')\n"
        "log.info(f'{x} is up')\n"
        "log.log(level, 'a' + b, 1)\n"
        "logging.getLogger('x').warning('%s', 1)\n"
        "log.error('plain')\n"
        "from ..base.log import log as other\n"
        "other.info('imported')\n"
        "text, x = 'named', 1\nother.info(text)\nother.info(x)\n"
    )
    formats = [
        one.format.value if isinstance(one.format, ast.Constant) else None
        for one in logged("here", tree)
    ]

    assert sorted(map(str, formats)) == [
        "%s",
        "1",
        "None",
        "None",
        "imported",
        "named",
        "plain",
    ]
