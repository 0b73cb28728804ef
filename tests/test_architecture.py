"""The folders of the library as its architecture, and what holds for every module.

The folders, their order and the modules in each are the table in CONTRIBUTING, and the
words that no name may contain are its glossary: both are read from there.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import okex_ws

pytestmark = pytest.mark.source

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "okex_ws"
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")

# The modules at the top of the package, each with the folder that it is right above:
# the public names are above what makes them, and below what is built on them.
ABOVE = {"": "replay", "pytest_plugin": "local_exchange", "__main__": "cli/commands"}
AROUND_THE_CORE = {"local_exchange", "cli", "pytest_plugin", "__main__"}
PUBLIC_PACKAGES = {"", "rest", "recording", "research", "local_exchange"}
# The only names that it imports from elsewhere: importer, module, name. No user needs
# them: `okex-ws doctor` takes the way of a connection step by step, and `nearest` and
# `all_name_keywords` word an error message.
TAKEN_FROM_INSIDE = {
    ("cli.commands.faults", "okex_ws.base.checks", "nearest"),
    ("cli.commands.guide", "okex_ws.base.checks", "nearest"),
    ("cli.diagnosis.reach", "okex_ws.net", "machine"),
    ("cli.diagnosis.reach", "okex_ws.net.http_head", "advice_on"),
    ("cli.diagnosis.reach", "okex_ws.net.proxy", "Proxy"),
    ("cli.diagnosis.reach", "okex_ws.net.proxy", "UnusableProxy"),
    ("cli.diagnosis.reach", "okex_ws.net.proxy", "authority"),
    ("cli.diagnosis.reach", "okex_ws.net.proxy", "open_tunnel"),
    ("cli.diagnosis.reach", "okex_ws.net.proxy", "proxy_finder"),
    ("cli.diagnosis.relay", "okex_ws.base.clock", "SystemClock"),
    ("cli.diagnosis.relay", "okex_ws.base.errors", "listed"),
    ("cli.diagnosis.relay", "okex_ws.fanout.address", "parse"),
    ("cli.diagnosis.relay", "okex_ws.fanout.address", "trust"),
    ("cli.diagnosis.relay", "okex_ws.fanout.envelope", "Beat"),
    ("cli.diagnosis.relay", "okex_ws.fanout.envelope", "EnvelopeError"),
    ("cli.diagnosis.relay", "okex_ws.fanout.envelope", "Names"),
    ("cli.diagnosis.relay", "okex_ws.fanout.envelope", "decode"),
    ("cli.diagnosis.relay", "okex_ws.fanout.redis_line", "RedisLine"),
    ("cli.diagnosis.relay", "okex_ws.fanout.redis_line", "RedisRefused"),
    ("cli.diagnosis.relay", "okex_ws.fanout.redis_line", "check_package"),
    ("cli.diagnosis.relay", "okex_ws.net.stream", "TcpNetwork"),
    ("cli.recordings.played", "okex_ws.base.checks", "nearest"),
    ("local_exchange.control.exchange", "okex_ws.base.checks", "all_name_keywords"),
    ("local_exchange.market.instruments", "okex_ws.base.checks", "all_name_keywords"),
    ("local_exchange.server.listing", "okex_ws.model.instrument_ids", "delivery"),
}
# The extras, and the folders or modules that may import them.
EXTRAS = {
    "websockets": {"local_exchange"},
    "trustme": {"local_exchange", "cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
    "httpx": {"rest"},
    "httpcore": {"rest"},
    "hiredis": {"fanout"},
    "pyarrow": {"research"},
    "polars": {"research"},
}

FEWEST_MODULES, MOST_MODULES = 3, 11
MAX_MODULE_LINES = 500
# A shorter module with a single importer belongs into that importer.
MIN_MODULE_LINES = 60
# Of a function's body: the parameters and the docstring of a constructor are as many
# as its user needs.
MAX_FUNCTION_LINES = 40


def table(heading: str) -> list[list[str]]:
    """The cells of the table below *heading* in CONTRIBUTING, without its head."""
    section = CONTRIBUTING.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def dotted(path: Path) -> str:
    """The module's name inside the package: ``'protocol.v3'``, ``''`` for the top."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def tree_of(module: str) -> ast.Module:
    """A module of the library as Python parses it: where a test asks for it."""
    return ast.parse(PATHS[module].read_text("utf-8"))


def named(cell: str) -> list[str]:
    """The names in backticks of a cell."""
    return re.findall(r"`([^`]+)`", cell)


PATHS = {dotted(path): path for path in sorted(SOURCE.rglob("*.py"))}
PACKAGES = {name for name, path in PATHS.items() if path.name == "__init__.py"}
MODULES = [name for name in PATHS if name not in PACKAGES]

FOLDERS = {named(row[0])[0].strip("/"): row for row in table("The folders")}
# Lowest first. Folders inside a folder are listed with it, lowest first too.
LAYERS = [*FOLDERS]
REFUSED = [word for row in table("Glossary") for word in named(row[0])]


def folder(module: str) -> str:
    """The listed folder that *module* is in; ``''`` at the top of the package."""
    parts = module.split(".")
    package = parts if module in PACKAGES else parts[:-1]
    return "/".join(package)


def layer(module: str) -> int:
    """Twice the place of its folder, and one more for the top of the package."""
    if module in ABOVE:
        return 2 * LAYERS.index(ABOVE[module]) + 1
    inside = folder(module)
    if module in PACKAGES:
        # A package is above the folders that it gathers.
        gathered = [name for name in LAYERS if f"{name}/".startswith(f"{inside}/")]
        return 2 * max(map(LAYERS.index, gathered))
    return 2 * LAYERS.index(inside)


def imports(module: str, tree: ast.Module, package: bool) -> Iterator[tuple[str, str]]:
    """What *tree* imports: absolute module and name (``''`` for a whole module).

    Imports that only a type checker sees count: they tie two modules all the same.
    """
    here = ["okex_ws", *module.split(".")] if module else ["okex_ws"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                up = node.level - 1 if package else node.level
                base = here[: len(here) - up]
                origin = ".".join([*base, *filter(None, [origin])])
            yield from ((origin, alias.name) for alias in node.names)


@cache
def imports_of(module: str) -> list[tuple[str, str]]:
    """What a module of the library imports."""
    return list(imports(module, tree_of(module), module in PACKAGES))


def own(origin: str, name: str) -> str | None:
    """The module of the library that an import reaches, ``None`` for another one."""
    if origin.partition(".")[0] != "okex_ws":
        return None
    inside = origin.partition(".")[2]
    below = f"{inside}.{name}" if inside else name
    return below if below in PATHS else inside


def targets(module: str) -> set[str]:
    """The modules of the library that *module* imports."""
    found = {own(*imported) for imported in imports_of(module)} - {module, None}
    return {target for target in found if target is not None}


# --- The folders --------------------------------------------------------------------


def test_the_folders_are_those_that_contributing_lists() -> None:
    assert {folder(module) for module in PATHS} - {""} == set(FOLDERS)


def test_the_top_of_the_package_holds_folders_and_what_python_wants_there() -> None:
    files = {p.name for p in SOURCE.iterdir() if p.is_file()}

    assert files == {"__init__.py", "__main__.py", "py.typed", "pytest_plugin.py"}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_says_in_one_sentence_what_it_is(name: str) -> None:
    package = ast.get_docstring(tree_of(name.replace("/", ".")))

    assert package is not None
    assert package.splitlines()[0].replace("`", "") == FOLDERS[name][1].replace("`", "")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_three_to_eleven_modules_all_of_them_listed(name: str) -> None:
    inside = {m.rpartition(".")[2] for m in MODULES if folder(m) == name}
    below = {f for f in FOLDERS if f.rpartition("/")[0] == name}

    assert inside == set(named(FOLDERS[name][2]))
    assert FEWEST_MODULES <= len(inside) + len(below) <= MOST_MODULES


@pytest.mark.parametrize("module", PATHS)
def test_a_module_imports_only_from_its_own_folder_and_lower_ones(module: str) -> None:
    higher = {t for t in targets(module) if layer(t) > layer(module)}

    assert higher == set()


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules of which each reaches each other one."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for target in graph[waiting.pop()] - found:
                found.add(target)
                waiting.append(target)
        return found

    reach = {module: reached(module) for module in graph}
    groups = [
        {other for other in reach[module] if module in reach[other]}
        for module in graph
        if module in reach[module]
    ]
    return [group for at, group in enumerate(groups) if group not in groups[:at]]


def test_no_imports_form_a_circle() -> None:
    assert circles({module: targets(module) for module in PATHS}) == []


def test_a_circle_is_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}

    assert circles(graph) == [{"b", "c"}]


def test_an_import_that_points_up_is_seen() -> None:
    tree = ast.parse(
        "from ..protocol import v3\nfrom ..client import feed\n"
        "if TYPE_CHECKING:\n    import okex_ws.delivery.view"
    )
    found = {own(*imported) for imported in imports("model.items", tree, False)}

    assert found == {"protocol.v3", "client.feed", "delivery.view"}
    assert all(layer(str(target)) > layer("model.items") for target in found)
    assert layer("session.session") > layer("protocol.v3")
    assert layer("") > layer("client.feed")
    assert layer("cli.arguments") > layer("")


# --- Who imports what ---------------------------------------------------------------


def test_one_module_imports_the_pin() -> None:
    users = {
        module
        for module in PATHS
        for origin, _ in imports_of(module)
        if origin.partition(".")[0] == "websocket"
    }

    assert users == {"net.machine"}


def around_the_core() -> Iterator[tuple[str, str, str]]:
    """Every import of the library by what is built on it: importer, module, name."""
    for module in PATHS:
        if module.partition(".")[0] in AROUND_THE_CORE:
            yield from ((module, *imported) for imported in imports_of(module))
    for path in sorted((ROOT / "examples").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        yield from ((path.name, *imported) for imported in imports("", tree, True))


def test_what_is_built_on_the_core_uses_only_its_public_names() -> None:
    private = set()
    for user, origin, name in around_the_core():
        target = own(origin, name)
        if target is None or (
            user in PATHS and target.partition(".")[0] in AROUND_THE_CORE
        ):
            continue
        hidden = target == "" and name and name not in okex_ws.__all__
        if target not in PUBLIC_PACKAGES or hidden:
            private.add((user, origin, name))

    assert private == TAKEN_FROM_INSIDE


def test_the_library_does_not_need_the_extras() -> None:
    for module in PATHS:
        origins = {origin.partition(".")[0] for origin, _ in imports_of(module)}
        for extra in origins & EXTRAS.keys():
            assert module.partition(".")[0] in EXTRAS[extra], (module, extra)


def test_rest_is_imported_only_where_it_is_asked_for() -> None:
    for module in PATHS:
        later = ast.FunctionDef | ast.ClassDef
        at_once = [
            each
            for each in tree_of(module).body
            if not isinstance(each, later)
            and not (isinstance(each, ast.If) and "TYPE_CHECKING" in ast.unparse(each))
        ]
        found = imports(module, ast.Module(at_once, []), module in PACKAGES)
        needy = {str(own(*each)).partition(".")[0] for each in found} & {"rest"}
        assert not needy or module.partition(".")[0] == "rest", module


# --- Names --------------------------------------------------------------------------


def classes() -> Iterator[tuple[str, str]]:
    """Every class of the library: its module and its name."""
    for module in PATHS:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                yield module, node.name


def test_no_class_name_is_defined_twice() -> None:
    counts = Counter(name for _, name in classes())

    assert {name: n for name, n in counts.items() if n > 1} == {}


def words(name: str) -> set[str]:
    """The words of an identifier, in lower case: of ``_NoSuchLine``, of ``no_line``."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def names_defined(tree: ast.Module) -> Iterator[str]:
    """The classes, functions, parameters and attributes that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize("module", PATHS)
def test_no_name_has_a_word_that_the_glossary_refuses(module: str) -> None:
    names = {*names_defined(tree_of(module)), *module.split(".")}
    refused = set(REFUSED)

    assert {name for name in names if words(name) & refused} == set()


def test_a_refused_word_inside_a_name_is_seen() -> None:
    tree = ast.parse("class _NewPlan:\n    def f(self, heir): self.old_route = heir")
    found = {word for name in names_defined(tree) for word in words(name)}

    assert {"plan", "heir", "route"} <= found


def test_the_public_names_exist() -> None:
    for info in pkgutil.walk_packages(okex_ws.__path__, "okex_ws."):
        module = importlib.import_module(info.name)
        missing = [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]
        assert missing == [], info.name
    assert [name for name in okex_ws.__all__ if not hasattr(okex_ws, name)] == []
    assert sorted(set(okex_ws.__all__)) == sorted(okex_ws.__all__)


# --- Modules and functions ----------------------------------------------------------


@pytest.mark.parametrize("module", PATHS)
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


def lines(module: str) -> int:
    """The length of a module's file."""
    return PATHS[module].read_text("utf-8").count("\n")


@pytest.mark.parametrize("module", PATHS)
def test_a_module_is_short(module: str) -> None:
    assert lines(module) <= MAX_MODULE_LINES


def test_no_small_module_has_a_single_importer() -> None:
    importers = Counter(target for module in PATHS for target in targets(module))

    small = {m for m in MODULES if lines(m) < MIN_MODULE_LINES}
    assert {m for m in small if importers[m] == 1} == set()


@pytest.mark.parametrize("module", PATHS)
def test_functions_are_short(module: str) -> None:
    long = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            first = node.body[1 if ast.get_docstring(node) else 0 :][:1]
            length = node.end_lineno - first[0].lineno + 1 if first else 0
            if length > MAX_FUNCTION_LINES:
                long[node.name] = length

    assert long == {}


# --- The tests and the checkout -----------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file(module: str) -> None:
    inside = PATHS[module].relative_to(SOURCE)

    assert (ROOT / "tests" / inside.parent / f"test_{inside.name}").is_file()


def mirrored() -> Iterator[Path]:
    """The test files below the folders of tests that are named as the library's."""
    for top in {name.partition("/")[0] for name in FOLDERS}:
        yield from sorted((ROOT / "tests" / top).rglob("test_*.py"))


def test_a_test_file_is_named_after_its_module() -> None:
    """``test_tcp.py``, or ``test_tcp_receive.py`` for one of its subjects."""
    strays = []
    for path in mirrored():
        inside = ".".join(path.relative_to(ROOT / "tests").parent.parts)
        name = path.stem.removeprefix("test_")
        siblings = [
            m.rpartition(".")[2] for m in MODULES if m.rpartition(".")[0] == inside
        ]
        if name != "init" and not any(
            name == module or name.startswith(f"{module}_") for module in siblings
        ):
            strays.append(str(path.relative_to(ROOT)))

    assert strays == []


def test_no_test_imports_from_a_test_file() -> None:
    """What two test files share is a module of ``tests/support``."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for origin, name in imports("", ast.parse(path.read_text("utf-8")), True):
            parts = [*origin.split("."), name]
            if parts[0] in ("okex_ws", "tests"):
                assert not [part for part in parts if part.startswith("test_")], path


def test_the_top_level_holds_only_what_it_should() -> None:
    allowed = {"pyproject.toml", "README.md", "src", "tests", "examples"}
    built = {"dist", "build"}
    found = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")}

    assert found - built == allowed
