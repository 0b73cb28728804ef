"""A drawing as rich sends it to a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text


def plain(lines: Sequence[Text]) -> list[str]:
    """The characters of each line, without colours."""
    return [line.plain for line in lines]


def sent(lines: Sequence[Text], width: int) -> str:
    """What a terminal of *width* columns is sent, with colours."""
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=width
    )
    console.print(Text("\n").join(lines), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
