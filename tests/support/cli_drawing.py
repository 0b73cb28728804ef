"""A drawing as the terminal gets it: by rich, on so many columns."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text


def plain(lines: Sequence[Text]) -> list[str]:
    """The characters of each line."""
    return [line.plain for line in lines]


def sent(lines: Sequence[Text], width: int) -> str:
    """What the terminal is sent, colours and all."""
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=width
    )
    console.print(Text("\n").join(lines), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
