"""How what is open ends: at the end of its ``with``, and in a forked child."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T", bound="Closing")


class Closing(ABC):
    """What a ``with`` closes, however it is left."""

    @abstractmethod
    def close(self) -> object:
        """End it; any number of times."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ForkAware(Protocol):
    """What has to be told that it is in a forked child."""

    def forked(self) -> None:
        """In a forked child: no thread of the parent's is here, and each lock may be
        held for ever.
        """
        ...


def register_for_fork(objects: Iterable[ForkAware]) -> None:
    """Have each of *objects*, as they are at a fork, told of it in the child."""

    def forked() -> None:
        for each in list(objects):
            each.forked()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)


# Has work done on the thread that it belongs to, in order.
Submit = Callable[[Callable[[], None]], None]


_here = threading.local()


def mark_library_thread() -> None:
    """Say that the calling thread is one of the library's."""
    _here.ours = True


def on_library_thread() -> bool:
    """Whether the calling thread is one of the library's."""
    return getattr(_here, "ours", False)
