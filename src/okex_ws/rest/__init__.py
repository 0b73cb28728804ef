"""The exchange's REST interface, typed: past trades and candles, books, instruments.

It needs the extra ``history``: ``pip install 'okex-ws[history]'``.
"""

from __future__ import annotations

from .archive_index import ARCHIVED, ArchiveFile
from .client import Rest
from .pages import Answer, LeftOut

__all__ = ["ARCHIVED", "Answer", "ArchiveFile", "LeftOut", "Rest"]
