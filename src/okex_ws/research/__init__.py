"""A recording as Arrow tables or files, in which an outage is rows and never silence.

These need the extra ``frames``: ``pip install 'okex-ws[frames]'``. The exchange's
archive, `okex_ws.research.archive`, needs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recording_export import export
    from .recording_frame import MarketFrame, batches, frame

__all__ = ["MarketFrame", "batches", "export", "frame"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name
        )
    module = "recording_export" if name == "export" else "recording_frame"
    found = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = found
    return found
