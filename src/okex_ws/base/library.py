"""Which threads are the library's own: those must never be waited for from within."""

from __future__ import annotations

import threading
from collections.abc import Callable

# Has work done on the thread that it belongs to, in order.
Submit = Callable[[Callable[[], None]], None]

_here = threading.local()


def mark_library_thread() -> None:
    """Say that the calling thread is one of the library's."""
    _here.ours = True


def on_library_thread() -> bool:
    """Whether the calling thread is one of the library's."""
    return getattr(_here, "ours", False)
