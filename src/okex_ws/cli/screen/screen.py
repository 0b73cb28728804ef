"""The live screen: drawn again and again, and gone without a trace at the end.

Needs the extra ``cli``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..logs import held_back
from .sheet import Sheet, sheet_of

# Seconds between two drawings; a change of state is drawn at once.
FRAME = 0.25

Draw = Callable[[Sheet], list[Text]]


def drawn(
    draw: Draw,
    over: Callable[[], bool],
    changed: threading.Event,
    console: Console,
) -> None:
    """Show what *draw* draws until it is *over*; *changed* asks for a drawing.

    The size of the terminal is asked each time, so that it may change. However this
    ends, the terminal is as it was.
    """
    with (
        held_back(),
        Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live,
    ):
        while True:
            changed.clear()
            text = Text("\n").join(draw(sheet_of(console)))
            text.no_wrap, text.overflow = True, "crop"
            live.update(text, refresh=True)
            if over():
                return
            changed.wait(FRAME)
