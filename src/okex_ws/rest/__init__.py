"""The exchange's REST interface, typed: past trades and candles, books, instruments.

It needs the extra ``history``: ``pip install 'okex-ws[history]'``.
"""

from __future__ import annotations

from .client import Rest
from .pages import Answer, LeftOut

__all__ = ["Answer", "LeftOut", "Rest"]
