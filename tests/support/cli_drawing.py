"""A drawing as rich sends it to a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from okex_ws.cli.screen.navigation import Navigation
from okex_ws.cli.screen.sheet import Drawing
from tests.support.cli_samples import AT


def drawing(*keys: str, count: int = 1, paused: float | None = None) -> Drawing:
    """What is drawn of *count* instruments after *keys*."""
    navigation = Navigation(count, table=count > 1)
    for key in keys:
        navigation = navigation.press(key)
    return Drawing(navigation, AT, paused)


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
