"""The layers of the library, and the other rules that hold for every module."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import okex_ws

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "okex_ws"

# Lowest first. A module imports only from groups before its own, or inside its package
# where the whole package is named here.
LAYERS = (
    {
        "errors",
        "timing",
        "messages",
        "wire",
        "numerals",
        "library",
        "lifecycle",
        "credentials",
    },
    {"shared", "ipc", "child", "captures"},
    {"instrument", "pages"},
    {"venues", "book", "trust", "login", "history"},
    {"recording"},
    {"protocols.parsing", "protocols.names"},
    {"protocols.values"},
    {"protocols.common"},
    {
        "protocols",
        "dial",
        "line",
        "allowance",
        "heartbeat",
        "outage",
        "counters",
        "endpoints",
        "http_answer",
    },
    {"receive", "tape", "parts"},
    {"recorder"},
    {"tcp", "proxy", "items", "events", "rest_wire"},
    {"stream", "channel", "backfill", "filler", "bootstrap"},
    {"rest_v3", "rest_v5", "limiter"},
    {"http_pool", "fetching"},
    {"rest"},
    {"transport", "session", "book_channel", "choice", "agreement"},
    {"series", "mirror", "keeper", "taped"},
    {"handler", "conflation", "joining"},
    {"conversation"},
    {"connection"},
    {"callbacks", "backlog", "updates", "telling"},
    {"inboxes", "dispatcher"},
    {"view"},
    {"succession", "relay", "joined"},
    {"route", "tally"},
    {"seating", "holding"},
    {"plan", "isolated"},
    {"isolation"},
    {"options"},
    {"following", "_reader"},
    {"subscription", "raw"},
    {"feed"},
    {"replay"},
    {""},  # okex_ws/__init__.py itself: the public names
    {"local_exchange"},
    {"pytest_plugin"},
    # The command line: what all commands use, what draws, the commands, all of them.
    {"cli.text", "cli.checks", "cli.certificates"},
    {"cli.exits", "cli.logs", "cli.reading", "cli.faults", "cli.story"},
    {"cli.arguments", "cli.lines", "cli.sheet", "cli.played", "cli.picture"},
    {"cli.ladder", "cli.board", "cli.screen", "cli.reach", "cli.probe"},
    {"cli.watch", "cli.doctor", "cli.serve"},
    {"cli.record", "cli.replay", "cli.history", "cli.plot"},
    {"cli"},
    {"__main__"},
)
# What lives around the core is built like a user's program, from the public modules.
AROUND_THE_CORE = {"local_exchange", "pytest_plugin", "cli", "__main__"}
PUBLIC_MODULES = {"", "rest"}
# The only names that it imports from other modules: importer, origin, name. No user
# needs them: `okex-ws doctor` opens a proxy's tunnel step by step, and `nearest` words
# an error message.
TAKEN_FROM_INSIDE = {
    ("cli.faults", "okex_ws.model.venues", "nearest"),
    ("cli.played", "okex_ws.model.venues", "nearest"),
    ("cli.reach", "okex_ws.net.proxy", "Proxy"),
    ("cli.reach", "okex_ws.net.proxy", "authority"),
    ("cli.reach", "okex_ws.net.proxy", "open_tunnel"),
    ("cli.reach", "okex_ws.net.proxy", "proxy_finder"),
    ("local_exchange.others", "okex_ws.model.venues", "delivery"),
}
# What needs an extra, and may import it.
EXTRAS = {
    "websockets": {"local_exchange"},
    "trustme": {"local_exchange", "cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
    "httpx": {"rest", "fetching", "http_pool"},
    "httpcore": {"http_pool"},
}

MAX_MODULE_LINES = 500
# Of its body: the keywords of a constructor and its docstring are as many as they are.
MAX_FUNCTION_LINES = 40


def dotted(path: Path) -> str:
    """The module's name inside the package: ``'protocols.v3'``, ``''`` for the top."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PATHS = {dotted(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in PATHS.items()}


def layer(module: str) -> int | None:
    """The number of the module's group: by its own name, or that of its package."""
    for name in (module, module.partition(".")[0]):
        for number, group in enumerate(LAYERS):
            if name in group:
                return number
    return None


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below *node* but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_run_time(child)


def imports(module: str, tree: ast.Module, package: bool) -> Iterator[tuple[str, str]]:
    """What *tree* imports: absolute module and name (``''`` for a whole module)."""
    here = ["okex_ws", *module.split(".")] if module else ["okex_ws"]
    for node in at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                up = node.level - 1 if package else node.level
                base = here[: len(here) - up]
                origin = ".".join([*base, *filter(None, [origin])])
            yield from ((origin, alias.name) for alias in node.names)


def imports_of(module: str) -> list[tuple[str, str]]:
    """What a module of the library imports at run time."""
    package = PATHS[module].name == "__init__.py"
    return list(imports(module, TREES[module], package))


def own(origin: str, name: str) -> str | None:
    """The module inside the package that an import reaches, ``None`` for others."""
    if origin.partition(".")[0] != "okex_ws":
        return None
    inside = origin.partition(".")[2]
    below = f"{inside}.{name}" if inside else name
    return below if below in PATHS else inside


def reaches_up(module: str, target: str) -> bool:
    """Whether *target* is not in a group before that of *module*."""
    mine, other = layer(module), layer(target)
    assert mine is not None, f"{module} has no layer"
    assert other is not None, f"{target} has no layer"
    if other == mine:
        # Inside these modules may use each other, and a package its parts.
        package = module.partition(".")[0]
        same_package = package == target.partition(".")[0]
        inside = package in {"local_exchange", "replay"} or module == package
        return not (same_package and inside)
    return other > mine


def test_every_module_has_a_layer() -> None:
    assert [module for module in PATHS if layer(module) is None] == []


def test_every_layer_exists() -> None:
    tops = {module.partition(".")[0] for module in PATHS}

    assert set().union(*LAYERS) <= tops | set(PATHS)


@pytest.mark.parametrize("module", PATHS)
def test_a_module_imports_only_from_the_groups_above_its_own(module: str) -> None:
    targets = {own(*imported) for imported in imports_of(module)} - {module}
    inside = {target for target in targets if target is not None}

    assert {target for target in inside if reaches_up(module, target)} == set()


def test_an_import_that_points_up_is_seen() -> None:
    tree = ast.parse(
        "from .protocols import v3\nfrom . import feed\nimport okex_ws.delivery.view"
    )
    found = {own(*imported) for imported in imports("messages", tree, False)}

    assert found == {"protocols.v3", "feed", "view"}
    assert all(reaches_up("messages", str(target)) for target in found)
    assert reaches_up("transport", "session")
    assert not reaches_up("session", "protocols.v3")
    assert not reaches_up("protocols", "protocols.v3")


def test_imports_for_type_checkers_do_not_count() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    from .feed import Feed\nimport json")

    assert list(imports("errors", tree, False)) == [("json", "")]


def test_only_transport_imports_the_pin() -> None:
    users = {
        module
        for module in PATHS
        for origin, _ in imports_of(module)
        if origin.partition(".")[0] == "websocket"
    }

    assert users == {"transport"}


def around_the_core() -> Iterator[tuple[str, str, str]]:
    """Every import of the library by what is built on it: who, from where, what."""
    for module in PATHS:
        if module.partition(".")[0] in AROUND_THE_CORE:
            yield from ((module, *imported) for imported in imports_of(module))
    for path in sorted((ROOT / "examples").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        yield from ((path.name, *imported) for imported in imports("", tree, True))


def test_what_is_built_on_the_core_uses_only_its_public_face() -> None:
    private = set()
    for user, origin, name in around_the_core():
        target = own(origin, name)
        if target is None or target.partition(".")[0] in AROUND_THE_CORE:
            continue
        hidden = name.startswith("_") and name not in okex_ws.__all__
        if target not in PUBLIC_MODULES or hidden:
            private.add((user, origin, name))
        elif origin == "okex_ws" and name and target == "":
            assert name in okex_ws.__all__, (user, name)

    assert private == TAKEN_FROM_INSIDE


def test_the_examples_use_the_top_of_the_package() -> None:
    for user, origin, _ in around_the_core():
        if user.endswith(".py") and origin.startswith("okex_ws"):
            assert origin.partition(".")[2] in {*PUBLIC_MODULES, "local_exchange"}


@pytest.mark.parametrize("module", PATHS)
def test_a_module_has_its_test_file(module: str) -> None:
    path = PATHS[module]
    if path.name == "__init__.py":
        return
    inside = path.relative_to(SOURCE)

    assert (ROOT / "tests" / inside.parent / f"test_{inside.name}").is_file()


@pytest.mark.parametrize("module", PATHS)
def test_a_module_opens_with_its_rule(module: str) -> None:
    assert ast.get_docstring(TREES[module])


@pytest.mark.parametrize("module", PATHS)
def test_a_module_is_short(module: str) -> None:
    lines = PATHS[module].read_text("utf-8").count("\n")

    assert lines <= MAX_MODULE_LINES


@pytest.mark.parametrize("module", PATHS)
def test_functions_are_short(module: str) -> None:
    long = {}
    for node in ast.walk(TREES[module]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            first = node.body[1 if ast.get_docstring(node) else 0 :][:1]
            length = node.end_lineno - first[0].lineno + 1 if first else 0
            if length > MAX_FUNCTION_LINES:
                long[node.name] = length

    assert long == {}


def test_the_public_names_exist() -> None:
    for info in pkgutil.walk_packages(okex_ws.__path__, "okex_ws."):
        module = importlib.import_module(info.name)
        missing = [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]
        assert missing == [], info.name
    assert [name for name in okex_ws.__all__ if not hasattr(okex_ws, name)] == []
    assert sorted(set(okex_ws.__all__)) == sorted(okex_ws.__all__)


def test_the_library_does_not_need_the_extras() -> None:
    for module in PATHS:
        origins = {origin.partition(".")[0] for origin, _ in imports_of(module)}
        for extra in origins & EXTRAS.keys():
            assert module.partition(".")[0] in EXTRAS[extra], (module, extra)


def test_nothing_imports_what_needs_an_extra_but_when_it_is_asked_for() -> None:
    for module in PATHS:
        later = ast.FunctionDef | ast.ClassDef
        at_once = [each for each in TREES[module].body if not isinstance(each, later)]
        is_package = PATHS[module].name == "__init__.py"
        found = imports(module, ast.Module(at_once, []), is_package)
        needy = {own(*each) for each in found} & {"rest", "fetching", "http_pool"}
        assert not needy or module == "rest", module


def test_the_top_level_holds_only_what_it_should() -> None:
    allowed = {"pyproject.toml", "README.md", "src", "tests", "examples"}
    built = {"dist", "build"}
    found = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")}

    assert found - built == allowed
