"""Runs the screen: reads prices, draws them, waits for keys.

Needs the extra ``cli``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..logs import held_back
from ..reading import Quote, SubscriptionReader
from .keyboard import Keyboard
from .navigation import Navigation
from .pages import Screen
from .sheet import Drawing, sheet_of

# Seconds between two drawings; a key or a change of state is drawn at once.
FRAME = 0.25
# The levels a side that a book is read with: as many as the exchange sends.
_LEVELS = 400


class Loop:
    """Shows the subscriptions of *readers* until `run` returns, on the main thread.

    *where* names the venue. *over* says when there is nothing more to show. The
    terminal is restored at the end, also by an error, and while the program is stopped.
    """

    def __init__(
        self,
        where: str,
        readers: Sequence[SubscriptionReader],
        over: Callable[[], bool],
        keyboard: Keyboard,
        console: Console,
    ) -> None:
        self._readers = readers
        self._over = over
        self._keyboard = keyboard
        self._console = console
        self._screen = Screen(where, len(readers))
        self._held: list[Quote] = []
        self._since = 0.0

    def run(self, navigation: Navigation) -> bool:
        """Draw, beginning with *navigation*; return whether the user ended it."""
        while True:
            with held_back(), self._live() as live:
                navigation = self._draw(live, navigation)
            if not self._keyboard.stopping or navigation.ended:
                return navigation.ended
            self._keyboard.stop()

    def _live(self) -> Live:
        return Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _draw(self, live: Live, navigation: Navigation) -> Navigation:
        """Draw until the screen has to be left; return the state at that moment."""
        while True:
            # The terminal's size is asked for each time, because a user may change it.
            sheet = sheet_of(self._console)
            drawing = self._drawing(navigation)
            readings = self._held or self._read()
            text = Text("\n").join(self._screen.lines(readings, sheet, drawing))
            text.no_wrap, text.overflow = True, "crop"
            live.update(text, refresh=True)
            if self._over():
                return navigation
            for key in self._keyboard.keys(FRAME):
                navigation = navigation.press(key)
            if navigation.ended or self._keyboard.stopping:
                return navigation

    def _drawing(self, navigation: Navigation) -> Drawing:
        """What to draw, and since when prices are held if a key has paused them."""
        now = time.monotonic()
        if not navigation.held:
            self._held = []
        elif not self._held:
            self._held, self._since = self._read(), now
        paused = now - self._since if navigation.held else None
        at, keys = datetime.now(timezone.utc), self._keyboard.readable
        return Drawing(navigation, at, paused, keys)

    def _read(self) -> list[Quote]:
        return [reader.read(_LEVELS) for reader in self._readers]
