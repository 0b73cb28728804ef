"""A recording as a venue: what was heard once is heard again, by the same classes."""

from __future__ import annotations

from .player import Replay

__all__ = ["Replay"]
