"""The public surface as text: what a user can name, call, read and type.

`render` writes it, `python -m tests.scenarios.public_surface --write` records it in
``public_surface.txt``. The text is the same on every supported Python. It names no
module but the public ones, so that moving a module inside the package leaves it as it
is.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import difflib
import enum
import gzip
import importlib
import inspect
import json
import re
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import okex_ws

RECORDED = Path(__file__).with_suffix(".txt")
PACKAGE = "okex_ws"

# The public modules and their names. A module without `__all__` lists them here.
MODULES: dict[str, tuple[str, ...] | None] = {
    "okex_ws": None,
    "okex_ws.rest": ("Answer", "LeftOut", "Rest"),
    "okex_ws.research": ("MarketFrame", "batches", "frame"),
    "okex_ws.local_exchange": None,
    "okex_ws.recording": ("FORMAT", "VERSION", "Entry", "RecordingDamaged", "read"),
}
# A longer signature has a line for each parameter, so that a difference is read easily.
WIDTH = 80
# Bases that give a user nothing.
UNSAID = ("object", "Generic", "ABC")
# The special methods that a user's syntax calls.
SPECIAL = frozenset(
    f"__{name}__"
    for name in (
        *("call", "contains", "enter", "exit", "getitem", "iter", "len", "next"),
        *("aenter", "aexit", "aiter", "anext"),
    )
)


def render() -> str:
    """The whole public surface."""
    parts = {name: module(name, names) for name, names in MODULES.items()}
    parts["the recording format"] = recording_format()
    parts["okex_ws.pytest_plugin"] = plugin()
    parts["the log"] = log_records()
    parts["the command line"] = command_line()
    return (
        "\n\n".join(
            "\n".join([f"=== {title} ===", *lines]) for title, lines in parts.items()
        ).rstrip("\n")
        + "\n"
    )


def difference(recorded: str, now: str) -> str:
    """What changed, as a unified diff whose hunks name the class that they are in."""
    before = recorded.splitlines()
    lines = []
    for line in difflib.unified_diff(
        before, now.splitlines(), "recorded", "now", lineterm=""
    ):
        if start := re.match(r"@@ -(\d+)", line):
            above = [each for each in before[: int(start[1]) + 3] if each[:1].strip()]
            line += f" {above[-1]}" if above else ""
        lines.append(line)
    return "\n".join(lines)


# --- Modules and their names --------------------------------------------------------


def module(name: str, names: Iterable[str] | None) -> Iterator[str]:
    """The public *names* of a module, by default those of its `__all__`."""
    found = importlib.import_module(name)
    for each in sorted(found.__all__ if names is None else names):
        yield ""
        yield from member(each, getattr(found, each))


def member(name: str, value: Any) -> Iterator[str]:
    """One name of a module: a class, a function, an alias of a type, or a value."""
    if isinstance(value, types.GenericAlias):
        yield f"{name} = {value!r}"
    elif typing.get_origin(value) is not None:
        arms = " | ".join(each.__name__ for each in typing.get_args(value))
        yield f"{name} = {arms}"
    elif isinstance(value, type):
        yield from class_lines(name, value)
    elif callable(value):
        yield from function(name, value)
    elif isinstance(value, dict):
        yield f"{name}: dict"
        yield from (f"    {key!r}: {shown(each)}" for key, each in value.items())
    elif isinstance(value, tuple):
        yield f"{name}: tuple"
        yield from (f"    {shown(each)}" for each in value)
    elif name == "__version__":
        yield f"{name}: {type(value).__name__}"
    else:
        yield f"{name}: {type(value).__name__} = {shown(value)}"


def shown(value: Any) -> str:
    """The `repr` of *value* without an address, a module or Python's own variations."""
    if value is dataclasses.MISSING:
        return "..."
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, type) or inspect.isroutine(value):
        return str(value.__qualname__)
    if dataclasses.is_dataclass(value):
        # Not `Venue.known`, which is prose.
        said = {each.name: getattr(value, each.name) for each in fields_shown(value)}
        pairs = (f"{name}={shown(said[name])}" for name in said if name != "known")
        return f"{type(value).__name__}({', '.join(pairs)})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def fields_shown(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass's *value* that differ from their defaults."""
    return [
        each
        for each in dataclasses.fields(value)
        if each.repr and getattr(value, each.name) != each.default
    ]


def annotation(given: Any) -> str:
    """An annotation as its source has it."""
    if given is None:
        return "None"
    text = getattr(given, "__forward_arg__", given)
    return text if isinstance(text, str) else str(getattr(text, "__name__", text))


# --- Functions ----------------------------------------------------------------------


def function(name: str, call: Callable[..., Any], bound: bool = False) -> Iterator[str]:
    """The signature of *call*, and below it the keywords of its ``Unpack[...]``.

    *bound* leaves the first parameter out.
    """
    signature = inspect.signature(call)
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    result = ""
    if signature.return_annotation is not signature.empty and name != "__init__":
        result = f" -> {annotation(signature.return_annotation)}"
    start = "async def" if inspect.iscoroutinefunction(call) else "def"
    texts = list(listed(parameters))
    line = f"{start} {name}({', '.join(texts)}){result}"
    if len(line) <= WIDTH:
        yield line
    else:
        yield from (
            f"{start} {name}(",
            *(f"    {each}" for each in texts),
            f"){result}",
        )
    for each in parameters:
        match = re.fullmatch(r"Unpack\[(\w+)\]", annotation(each.annotation))
        if match:
            yield from (f"    {line}" for line in typed_dict(match[1]))


def listed(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """The parameters as in a ``def``, with ``/`` and ``*`` where they belong."""
    starred = False
    for at, each in enumerate(parameters):
        if each.kind is each.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        stars = {each.VAR_POSITIONAL.name: "*", each.VAR_KEYWORD.name: "**"}
        text = stars.get(each.kind.name, "") + each.name
        if each.annotation is not each.empty:
            text += f": {annotation(each.annotation)}"
        if each.default is not each.empty:
            text += f" = {shown(each.default)}"
        yield text
        following = parameters[at + 1 : at + 2]
        if each.kind is each.POSITIONAL_ONLY and (
            not following or following[0].kind is not each.POSITIONAL_ONLY
        ):
            yield "/"


def typed_dict(name: str) -> Iterator[str]:
    """The keys of the ``TypedDict`` *name*, wherever in the package it is."""
    found = next(
        getattr(each, name)
        for key, each in sorted(sys.modules.items())
        if key.split(".")[0] == PACKAGE and hasattr(each, name)
    )
    for key, given in sorted(inspect.get_annotations(found).items()):
        yield f"keyword {key}: {annotation(given)}"


# --- Classes ------------------------------------------------------------------------


def ours(found: Any) -> bool:
    """Whether the package, not Python or another library, defines *found*."""
    return str(getattr(found, "__module__", "")).split(".")[0] == PACKAGE


def visible_bases(cls: type) -> list[str]:
    """The bases that a user can name, in the place of internal ones theirs."""
    names: list[str] = []
    for base in cls.__bases__:
        public = not ours(base) or base.__name__ in okex_ws.__all__
        names += [base.__name__] if public else visible_bases(base)
    return [each for each in dict.fromkeys(names) if each not in UNSAID]


def class_lines(name: str, cls: type) -> Iterator[str]:
    """A class: its kind and bases, what it is made of, and its methods by name."""
    bases = visible_bases(cls)
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    mine = [each for each in cls.__mro__ if ours(each)]
    if dataclasses.is_dataclass(cls):
        body = dataclass_fields(cls)
    elif issubclass(cls, enum.Enum):
        body = (f"{each.name} = {each.value!r}" for each in cls)
    elif hasattr(cls, "_fields"):
        body = named_tuple_fields(cls)
    else:
        body = constructor(cls, mine)
    yield from (f"    {line}" for line in body)
    fields = {*getattr(cls, "__dataclass_fields__", ()), *getattr(cls, "_fields", ())}
    if issubclass(cls, enum.Enum):
        fields |= set(cls.__members__)
    for each, owner in sorted(attributes(mine).items()):
        if each not in fields:
            yield from (f"    {line}" for line in attribute(each, owner))


def dataclass_fields(cls: Any) -> Iterator[str]:
    """The fields in order, which are the parameters of the constructor."""
    parameters = cls.__dataclass_params__
    flags = [each for each in ("frozen", "order") if getattr(parameters, each)]
    flags += ["slots"] * ("__slots__" in vars(cls)) + ["no =="] * (not parameters.eq)
    yield f"dataclass: {', '.join(flags)}"
    for each in dataclasses.fields(cls):
        text = f"{each.name}: {annotation(each.type)}"
        if each.default_factory is not dataclasses.MISSING:
            text += f" = {shown(each.default_factory)}()"
        elif each.default is not dataclasses.MISSING:
            text += f" = {shown(each.default)}"
        off = [flag for flag in ("init", "repr", "compare") if not getattr(each, flag)]
        marks = [f"not in {flag}" for flag in off] + ["keyword only"] * bool(
            each.kw_only
        )
        yield text + (f"  [{', '.join(marks)}]" if marks else "")


def named_tuple_fields(cls: Any) -> Iterator[str]:
    """The fields of a named tuple in order."""
    types_of = inspect.get_annotations(cls)
    for each in cls._fields:
        default = cls._field_defaults
        text = f" = {shown(default[each])}" if each in default else ""
        yield f"{each}: {annotation(types_of[each])}{text}"


def constructor(cls: type, mine: list[type]) -> Iterator[str]:
    """The constructor that the package wrote, and the attributes that it sets."""
    if any(ours(vars(each).get("__init__")) for each in mine):
        yield from function("__init__", cls.__init__, bound=True)  # type: ignore[misc]
    for each in sorted(set().union(*map(set_by_constructor, mine))):
        yield f"attribute {each}"


def set_by_constructor(cls: type) -> set[str]:
    """The public names ``self.x`` that the ``__init__`` of *cls* itself assigns."""
    call = vars(cls).get("__init__")
    if call is None or not ours(call):
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(call)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
        and not node.attr.startswith("_")
    }


def attributes(mine: list[type]) -> dict[str, type]:
    """The public attributes, each with the class of the package that has it."""
    found: dict[str, type] = {}
    for cls in reversed(mine):
        for each in [*inspect.get_annotations(cls), *vars(cls)]:
            if not each.startswith("_") or each in SPECIAL:
                found[each] = cls
    return found


def attribute(name: str, owner: type) -> Iterator[str]:
    """One attribute that a class has: a method, a property, or a value."""
    value = vars(owner).get(name, dataclasses.MISSING)
    if isinstance(value, property):
        settable = ", settable" if value.fset else ""
        returned = inspect.get_annotations(value.fget)["return"]  # type: ignore[arg-type]
        yield f"property {name}: {annotation(returned)}{settable}"
    elif isinstance(value, (classmethod, staticmethod)):
        yield f"@{type(value).__name__}"
        if inspect.isbuiltin(value.__func__):
            yield f"def {name} is {value.__func__.__name__}"
        else:
            is_class = isinstance(value, classmethod)
            yield from function(name, value.__func__, bound=is_class)
    elif inspect.isfunction(value):
        yield from function(name, value, bound=True)
    elif not inspect.ismemberdescriptor(value):
        given = inspect.get_annotations(owner).get(name)
        of_type = f": {annotation(given)}" if given is not None else ""
        yield f"value {name}{of_type} = {shown(value)}"


# --- The recording format -----------------------------------------------------------

# One line of each kind, with every field that the format documents.
_AT = {"wall": 1.5, "mono": 2.5, "connection": 1}
_URL = "wss://localhost/ws/v5"
_VENUE = {"name": "okx", "protocol": "v5"}
_OPENED = {"url": _URL, "path": "/public", "line": 1, "venue": _VENUE}
SAMPLE: tuple[dict[str, Any], ...] = (
    {"kind": "open", **_OPENED, "again": True},
    {"kind": "in", "text": "{}"},
    {"kind": "in", "binary": "AAE="},
    {"kind": "in", "bytes": "/w=="},
    {"kind": "out", "text": "ping"},
    {"kind": "control", "opcode": 8, "bytes": "A+g=", "sent": True},
    {"kind": "end", "cause": "ConnectionLost", "why": "gone", "code": 1001},
    {
        "kind": "failed",
        **_OPENED,
        "cause": "HandshakeFailed",
        "why": "no",
        "status": 503,
        "retry_after": 1.0,
    },
    {"kind": "lost", "count": 3, "why": "the disk was full"},
)


def recording_format() -> Iterator[str]:
    """The words in the documentation of the format, and what `read` makes of each."""
    found = importlib.import_module("okex_ws.recording")
    document = found.__doc__ or ""
    yield f"documented: {' '.join(sorted(set(re.findall('``([a-z_]+)``', document))))}"
    header = {
        "format": found.FORMAT,
        "version": found.VERSION,
        "library": "0",
        "made": "2026-01-01T00:00:00Z",
        "recording": "a",
        "part": 0,
    }
    lines = [header, *({**_AT, **each} for each in SAMPLE)]
    with tempfile.TemporaryDirectory(prefix="okex_ws-") as folder:
        path = Path(folder, "sample.rec.gz")
        text = "".join(json.dumps(each) + "\n" for each in lines)
        path.write_bytes(gzip.compress(text.encode()))
        yield from (shown(entry) for entry in found.read(path))


# --- pytest, the log ----------------------------------------------------------------


def plugin() -> Iterator[str]:
    """The fixtures, the hooks and the markers, and the names that are installed."""
    for group in ("pytest11", "console_scripts"):
        names = {e.name for e in entry_points(group=group) if ours_by_name(e.value)}
        yield f"installed as {group}: {', '.join(sorted(names))}"
    found = importlib.import_module("okex_ws.pytest_plugin")
    for node in ast.parse(inspect.getsource(found)).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        wrapped = [ast.unparse(each) for each in node.decorator_list]
        if wrapped or node.name.startswith("pytest_"):
            start = "".join(f"@{each} " for each in wrapped)
            yield f"{start}{node.name}({ast.unparse(node.args)})"

    class Config:
        added: typing.ClassVar[list[str]] = []

        def addinivalue_line(self, name: str, line: str) -> None:
            self.added.append(f"{name}: {line.partition(':')[0]}")

    found.pytest_configure(config := Config())
    yield from config.added


def ours_by_name(target: str) -> bool:
    """Whether an entry point leads into the package."""
    return re.split(r"[.:]", target)[0] == PACKAGE


def log_records() -> Iterator[str]:
    """The names of the loggers, and the extra fields of their records by level."""
    loggers, extras = set(), set()
    for path in Path(okex_ws.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            ):
                continue
            if path.match("base/log.py"):
                continue  # it passes on what the other modules log
            if node.func.attr in ("getLogger", "Logger") and node.args:
                loggers.add(ast.unparse(node.args[0]))
            extras |= {
                f"{ast.unparse(each.value)} ({node.func.attr})"
                for each in node.keywords
                if each.arg == "extra"
            }
    yield from (f"logger {each}" for each in sorted(loggers))
    yield from (f"extra {each}" for each in sorted(extras))


# --- The command line ---------------------------------------------------------------


def command_line() -> Iterator[str]:
    """Every command with its options and arguments."""
    cli = importlib.import_module("okex_ws.cli")
    parser = cli.parser()
    codes = re.findall(r"\b\d+\b", parser.epilog.partition("exit codes")[2])
    yield f"exit codes: {', '.join(codes)}"
    yield from parser_lines(parser)


def parser_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The actions of *parser* in order, then its commands."""
    yield f"{parser.prog}:"
    commands: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands.update(action.choices)
        yield f"    {action_line(action)}"
    for group in parser._mutually_exclusive_groups:
        names = ", ".join(
            "/".join(each.option_strings) for each in group._group_actions
        )
        yield f"    one of {names}{' (required)' if group.required else ''}"
    for each in commands.values():
        yield ""
        yield from parser_lines(each)


def action_line(action: argparse.Action) -> str:
    """The names of an option or argument, and whatever of it is not argparse's own."""
    text = ", ".join(action.option_strings) or f"<{action.metavar or action.dest}>"
    if action.option_strings and action.nargs != 0:
        text += f" {action.metavar or action.dest.upper()}"
    converter = getattr(action.type, "__name__", None)
    for name, value, usual in (
        ("nargs", action.nargs, (None, 0)),
        ("type", converter, (None,)),
        ("const", action.const, (None, True)),
        ("default", action.default, (None, False, argparse.SUPPRESS)),
        ("choices", action.choices and list(action.choices), (None,)),
        ("required", action.required, (not action.option_strings,)),
    ):
        if not any(value is each for each in usual):
            text += f"  {name}={value!r}"
    return text


def main() -> None:
    """Print the surface, or with ``--write`` record it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", action="store_true", help=f"rewrite {RECORDED.name}")
    if parser.parse_args().write:
        RECORDED.write_text(render(), "utf-8")
    else:
        print(render(), end="")


if __name__ == "__main__":
    main()
