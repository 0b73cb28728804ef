"""A recording as a venue: the same classes receive again what was recorded."""

from __future__ import annotations

from .player import Replay

__all__ = ["Replay"]
