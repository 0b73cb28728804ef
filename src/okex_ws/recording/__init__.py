"""The recording format, its files, and what writes them.

A recording is gzip (``zcat day.rec.gz``), and each line of it is one JSON object. The
first one is the header: ``format`` (`FORMAT`), ``version``, ``library``, ``made``,
``recording`` (a number drawn for it) and ``part`` (0, 1, ... where it was rotated). All
others have ``wall`` (epoch seconds), ``mono`` (the monotonic clock of that machine, in
seconds), ``connection`` (a number, 0 for what is of none) and ``kind``:

- ``open``: a connection is open. ``url`` without credentials and query, ``path``
  (v5's), ``line`` (which reconnects share), ``venue``; ``again`` at the beginning of a
  part whose connections were opened before it.
- ``in``: a message, as received. ``text``; ``binary`` is a binary frame in base64, and
  ``bytes`` a text frame that is no UTF-8. Of several of one read the time is the same.
- ``out``: a ``text`` that was sent; of a login nothing but that it was one.
- ``control``: a ping, pong or close frame, its ``opcode`` and payload (``bytes``); a
  close frame of our own is ``sent``, and behind it nobody was told what came.
- ``end``: why a connection ended: ``cause``, ``why`` and, of a close frame, ``code``.
  The ``cause`` is empty where the library closed it.
- ``failed``: an attempt at one failed; as ``open`` and ``end``, and ``status`` and
  ``retry_after`` of an HTTP answer.
- ``lost``: so many entries (``count``) are missing here, and ``why``.

Times and texts are what they were; nothing that is secret is in it.
"""

from __future__ import annotations

from .format import FORMAT, VERSION, Entry, RecordingDamaged, read

__all__ = ["FORMAT", "VERSION", "Entry", "RecordingDamaged", "read"]
