"""The lines of a file of the exchange's archive, whichever way it is packed.

The exchange packs trades, candles and rates as CSV in a zip, and a day of an order book
as one member a contract, ``.data``, in a tar.gz. A file is read as a stream: the memory
that it takes does not grow with its size.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from ..base.errors import OkexWSError

#: The longest line that is read, in bytes: a snapshot of 5,000 levels takes 0.4 MB.
LONGEST_LINE = 4_000_000

Path = str | os.PathLike[str]

_DAMAGE = (EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class ArchiveUnreadable(OkexWSError):
    """The archive file in *path* cannot be read to its end, because of *reason*.

    What was given before is as the file says it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def _text(self) -> str:
        return f"archive {self.path}: {self.reason}"


def lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each line of each file packed in *path*, with the packed file's name.

    Raises:
        ArchiveUnreadable: The file is damaged, cut short, or packed in another way.
        FileNotFoundError: There is no such file.
    """
    name = os.fspath(path)
    unpack = _tar if name.endswith((".tar.gz", ".tgz")) else _zip
    if not name.endswith((".tar.gz", ".tgz", ".zip")):
        raise ArchiveUnreadable(name, "not a .zip or .tar.gz of the exchange's archive")
    try:
        for member, stream in unpack(name):
            while line := stream.readline(LONGEST_LINE):
                yield member, line
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        reason = f"damaged or cut short ({type(error).__name__}); download it again"
        raise ArchiveUnreadable(name, reason) from error


def _tar(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    # Not tarfile's own "r|gz", which checks no CRC and takes a cut for the end.
    with gzip.open(path) as packed:
        with tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    yield member.name, stream
        while packed.read(65536):  # to the end, where gzip compares the CRC
            pass


def _zip(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".csv"):
                with archive.open(name) as stream:
                    yield name, stream


class ArchiveTable:
    """The rows of a CSV file of the archive: trades, candles, funding or borrow rates.

    Iterating gives each row as a ``dict`` of texts, under the names of the exchange's
    present headers (``instrument_name``, ``created_time``, …); a column that the file
    does not have is absent. The files of 2021 and 2022 are in GBK and name a column
    twice, ``trade_id/撮合id``: the English name is taken. Times are the exchange's, in
    milliseconds; there are none of receipt. A day of these files is one of UTC+8.

    A row with another number of fields than the header is left out and counted in
    *bad_rows*.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_rows = 0

    def __iter__(self) -> Iterator[dict[str, str]]:
        self.bad_rows = 0
        member, header = "", [""]
        for name, line in lines(self.path):
            fields = _fields(line)
            if name != member:
                member = name
                header = [field.partition("/")[0].strip() for field in fields]
            elif len(fields) == len(header):
                yield dict(zip(header, fields, strict=True))
            elif line.strip():
                self.bad_rows += 1


def _fields(line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("gbk", "replace")
    try:
        return next(csv.reader(io.StringIO(text)), [])
    except csv.Error:
        return []
