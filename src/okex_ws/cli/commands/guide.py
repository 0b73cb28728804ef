"""``okex-ws help``: shows a page of the guide, which the package brings along."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.resources import files

from ...base.checks import nearest
from ..arguments import command
from ..exits import GOOD, USAGE, Failure

# Longer lines are hard to read.
_MOST_COLUMNS = 100

_EXAMPLES = """\
  okex-ws help                       the pages
  okex-ws help trust                 what a read gives, and when it gives nothing
  okex-ws help trust > trust.md      the page as Markdown
  okex-ws help watch                 the same as okex-ws watch --help"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(commands, "help", "a page of the guide", _EXAMPLES)
    parser.set_defaults(run=run, commands=commands.choices)
    parser.add_argument(
        "topic", nargs="*", metavar="TOPIC", help="(default: a list of the pages)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the page, the list of the pages, or a command's help; return 0."""
    topic = "-".join(options.topic).lower().removesuffix(".md")
    pages = dict(_pages())
    if not topic:
        _list(pages)
    elif topic in pages:
        _show(pages[topic])
    elif topic in options.commands:
        options.commands[topic].print_help()
    else:
        near = nearest(topic, [*pages, *options.commands])
        raise Failure(
            f"no page is called {topic!r}{near} (there are {', '.join(pages)})", USAGE
        )
    return GOOD


def _pages() -> Iterator[tuple[str, str]]:
    """Yield each page's topic and its Markdown, in the order of the topics."""
    found = files("okex_ws").joinpath("guide").iterdir()
    for path in sorted(found, key=lambda each: each.name):
        if path.name.endswith(".md"):
            yield path.name.removesuffix(".md"), path.read_text("utf-8")


def _list(pages: dict[str, str]) -> None:
    """Print each topic with the title of its page."""
    width = max(map(len, pages))
    for topic, page in pages.items():
        print(f"{topic:{width}}  {page.partition(chr(10))[0].lstrip('# ')}")


def _show(page: str) -> None:
    """Print a page, on a terminal drawn by rich if that is installed."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.markdown import Markdown
        except ImportError:
            pass  # plain Markdown is readable
        else:
            console = Console()
            width = min(console.width, _MOST_COLUMNS)
            console.print(Markdown(page, hyperlinks=False), width=width)
            return
    print(page, end="")
