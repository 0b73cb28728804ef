"""A recording as Arrow tables or files, in which an outage is rows and never silence.

These need the extra ``frames``: ``pip install 'okex-ws[frames]'``. The exchange's
archive, `okex_ws.research.archive`, needs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archived_frame import archive_frame
    from .item_frame import to_frame
    from .recording_export import export
    from .recording_frame import MarketFrame, batches, frame

_HOME = {
    "MarketFrame": "recording_frame",
    "archive_frame": "archived_frame",
    "batches": "recording_frame",
    "export": "recording_export",
    "frame": "recording_frame",
    "to_frame": "item_frame",
}
__all__ = [
    "MarketFrame",
    "archive_frame",
    "batches",
    "export",
    "frame",
    "to_frame",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name
        )
    found = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = found
    return found
