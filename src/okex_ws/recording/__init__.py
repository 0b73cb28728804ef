"""The recording format, its files, and what writes them.

A recording is a gzip file (``zcat day.rec.gz``), and each of its lines is one JSON
object. The first line is the header: ``format`` (`FORMAT`), ``version``, ``library``
(the version of okex_ws), ``made`` (when the file was begun), ``recording`` (a random
number, the same in all parts of a recording) and ``part`` (0, 1, ... where the
recording was rotated). Every other line is an entry. It has ``wall`` (epoch seconds),
``mono`` (the recording machine's monotonic clock, in seconds), ``connection`` (a
number, or 0 if the entry belongs to no connection) and ``kind``:

- ``open``: a connection was opened. ``url`` is without credentials and query, ``path``
  is v5's (empty under v3), ``line`` is a number that a connection keeps over its
  reconnects, and ``venue`` describes the site. ``again`` is set at the beginning of a
  part, for each connection that was opened in an earlier part.
- ``in``: a message as received. ``text`` is a text frame, ``binary`` a binary frame in
  base64, and ``bytes`` a text frame that is not UTF-8, or very large, in base64. All
  messages that the library read at once have the same times. ``cut`` is set for a
  message that was too large for the feed (``max_frame``): only its beginning is
  recorded. A replay gives that beginning, which cannot be read either.
- ``out``: a ``text`` that was sent. Of a login it says only that it was a login.
- ``control``: a ping, pong or close frame, with its ``opcode`` and its payload in
  base64 (``bytes``). ``sent`` marks the library's own close frame. Messages that come
  after it are recorded, but the library discards them.
- ``end``: why a connection ended: ``cause``, ``why``, the ``code`` of a close frame,
  and ``cause_code``, that of `Cause`. The ``cause`` is empty if the library closed the
  connection.
- ``failed``: an attempt to connect failed. It has the fields of ``open`` and ``end``,
  and the ``status`` and ``retry_after`` of an HTTP answer.
- ``keyframe``: what stood on a connection between two of its messages: ``channel`` was
  acknowledged, and ``text`` is its present book or depth in the form of a push. The
  library made this text; the exchange never sent it, and it begins with
  ``{"made":"okex_ws"``. It is empty where the channel has no depth. ``sha256`` is that
  of the text. A part but the first begins with the keyframes of its connections, and
  they recur. Version 1 had none.
- ``lost``: ``count`` entries are missing here, and ``why``.

Times and texts are unchanged, but no secret is in a recording: each one that the
exchange repeated is replaced by dots.
"""

from __future__ import annotations

from .format import FORMAT, VERSION, Entry, read
from .recorded_frames import RecordingDamaged

__all__ = ["FORMAT", "VERSION", "Entry", "RecordingDamaged", "read"]
