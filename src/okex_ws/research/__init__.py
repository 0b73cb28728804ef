"""A recording as an Arrow table, in which an outage is rows and never silence.

It needs the extra ``frames``: ``pip install 'okex-ws[frames]'``.
"""

from __future__ import annotations

from .frame import MarketFrame, batches, frame

__all__ = ["MarketFrame", "batches", "frame"]
