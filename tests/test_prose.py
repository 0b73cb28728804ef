"""Docstrings and comments are plain technical English: what is refused, and where.

The rule is in CONTRIBUTING, "Prose".
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.source

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "okex_ws"

# Words that name no actor.
REFUSED = re.compile(
    r"\b(nobody|whoever|whatever|somebody|be it|what of|the other one)\b", re.IGNORECASE
)
# A docstring that only points elsewhere.
POINTER = re.compile(r"See (`[^`]+`|[\w.]+)\.?")


def python_files() -> list[Path]:
    """The modules of the library, the examples, and the helpers of the tests."""
    support = [*(ROOT / "tests" / "support").rglob("*.py"), ROOT / "tests/conftest.py"]
    return sorted([*SOURCE.rglob("*.py"), *support, *(ROOT / "examples").glob("*.py")])


def pages() -> list[Path]:
    """The pages for people: the README, CONTRIBUTING and the guide."""
    guide = sorted((SOURCE / "guide").glob("*.md"))
    return [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *guide]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The docstrings of *tree*, each with the number of its first line."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The comments of *source*, each with the number of its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def faults(source: str) -> list[str]:
    """What the rule refuses in the docstrings and comments of *source*."""
    texts = [*docstrings(ast.parse(source)), *comments(source)]
    found = [
        f"{line}: {match[0]}"
        for line, text in texts
        for match in REFUSED.finditer(" ".join(text.split()))
    ]
    pointers = [
        f"{line}: {text}"
        for line, text in docstrings(ast.parse(source))
        if POINTER.fullmatch(text)
    ]
    return found + pointers


@pytest.mark.parametrize(
    "path", python_files(), ids=lambda path: str(path.relative_to(ROOT))
)
def test_docstrings_and_comments_name_their_actors(path: Path) -> None:
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_pages_name_their_actors(path: Path) -> None:
    text = path.read_text("utf-8").partition("## Glossary")
    rest = text[2].partition("\n## ")[2]

    assert REFUSED.findall(" ".join((text[0] + rest).split())) == []


def test_a_refused_word_is_seen_where_it_is_prose() -> None:
    source = '"""Nobody\nreads."""\nx = "nobody"  # be\n# for whoever asks\n'

    assert faults(source) == ["1: Nobody", "4: whoever"]


def test_a_docstring_that_only_points_elsewhere_is_seen() -> None:
    source = 'def f():\n    """See `route.Owner`."""\n'

    assert faults(source) == ["2: See `route.Owner`."]
