"""One file of the exchange's archive, fetched: resumed, bounded, and whole or absent.

The file has its name only once all of it is there. What came before is kept beside it
in ``NAME.part``, with the server's word for that version of the file (its ``ETag``) in
``NAME.part.etag``: only the same version is gone on with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from ..base.clock import Clock
from ..base.errors import (
    ConnectionLost,
    HandshakeFailed,
    OkexWSError,
    RequestRejected,
    Stalled,
    WireError,
    printable,
)
from ..base.state import CauseCode
from ..net.http_head import ANOTHER
from ..net.stream import TcpNetwork
from .archive_index import ArchiveFile, is_file_name
from .dialect import HttpResponse, RestRequest, Rule, by_status
from .http_pool import HttpPool

#: Called with the bytes that are there, and with all of them (``None``: not known).
Progress = Callable[[int, "int | None"], object]

# The first bytes of a zip, and of what gzip has packed.
_MAGIC = {".zip": b"PK", ".gz": b"\x1f\x8b"}
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")
_RULE = Rule("archive", 100)
# Uncompressed, so that a limit on received bytes also limits the content.
HEADERS = {"accept-encoding": "identity", "user-agent": "okex-ws"}


class Line(NamedTuple):
    """How one file is fetched: over httpx's *client*.

    *begin* gives the next step so many seconds, *pause* waits, *is_closing* is true
    once the caller is closed.
    """

    client: httpx.Client
    begin: Callable[[float], None]
    pause: Callable[[float], object]
    is_closing: Callable[[], bool]


class Downloads:
    """Fetches files of the archive, each over a connection of its own.

    *origin* is that of the REST interface: only beside one without TLS may a file come
    without TLS. *connect* makes the library's network, or is ``None`` where *transport*
    stands in for it, in tests. Any thread may call `fetch`, and `wake` to end it once
    *is_closing*.
    """

    def __init__(
        self,
        origin: str,
        connect: Callable[[], TcpNetwork] | None,
        transport: httpx.BaseTransport | None,
        clock: Clock,
        pause: Callable[[float], object],
        is_closing: Callable[[], bool],
        limits: tuple[float, int],
    ) -> None:
        self._is_secure = origin.startswith("https:")
        self._connect, self._transport = connect, transport
        self._clock, self._pause, self._is_closing = clock, pause, is_closing
        self._limits = limits
        # Of the calls that are under way.
        self._networks: list[TcpNetwork] = []

    def wake(self) -> None:
        """Have the calls that are under way look whether they are to end."""
        for network in tuple(self._networks):
            network.wake()

    def discard(self) -> None:
        """In a forked child: forget the connections, which are the parent's."""
        for network in self._networks:
            network.discard()
        self._networks = []

    def fetch(
        self,
        file: ArchiveFile,
        folder: str | os.PathLike[str],
        progress: Progress | None,
    ) -> Path:
        """Fetch *file* into *folder*, as `Rest.download` says."""
        parts = urlsplit(file.url)
        if self._is_secure and parts.scheme != "https":
            raise WireError("archive", "a file without TLS", file.name)
        if not is_file_name(file.name):
            raise ValueError(f"no file of the archive has the name {file.name!r:.80}")
        if self._connect is None:
            return self._run(
                file, folder, progress, self._transport, lambda seconds: None
            )
        network = self._connect()
        self._networks.append(network)
        try:
            origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            pool = HttpPool(origin, network, self._clock, self._is_closing)
            return self._run(file, folder, progress, pool, pool.begin)
        finally:
            with suppress(ValueError):
                self._networks.remove(network)
            network.close()

    def _run(
        self,
        file: ArchiveFile,
        folder: str | os.PathLike[str],
        progress: Progress | None,
        transport: httpx.BaseTransport | None,
        begin: Callable[[float], None],
    ) -> Path:
        with httpx.Client(
            transport=transport, trust_env=False, headers=HEADERS
        ) as client:
            line = Line(client, begin, self._pause, self._is_closing)
            return Download(file, folder, line, progress, *self._limits).run()


class Download:
    """Fetches one file of the archive into a folder, in as many attempts as it takes.

    *timeout* is how long the server may say nothing. After *retries* attempts in a row
    that brought no byte the last error is raised.
    """

    def __init__(
        self,
        file: ArchiveFile,
        folder: str | os.PathLike[str],
        line: Line,
        progress: Progress | None,
        timeout: float,
        retries: int,
    ) -> None:
        self._file, self._line = file, line
        self._target = Path(folder) / file.name
        self._part = Path(folder) / f"{file.name}.part"
        self._etag = Path(folder) / f"{file.name}.part.etag"
        self._progress = progress or (lambda received, size: None)
        self._timeout, self._retries = timeout, retries
        # Twice what the index says: it rounds, and a file may have grown since.
        self._most = int(file.megabytes * 2 * (1 << 20)) + (1 << 20)

    def run(self) -> Path:
        """Fetch what is missing of the file; its path. Nothing is sent if it is there.

        Raises what `Rest.download` raises.
        """
        if self._target.exists():
            return self._target
        tries = 0
        while True:
            before = self._size()
            try:
                self._attempt()
                break
            except (ConnectionLost, Stalled, RequestRejected) as error:
                tries = 1 if self._size() > before else tries + 1
                ended = self._line.is_closing() or not _passes(error)
                if ended or tries > self._retries:
                    raise
            self._check_open()
            self._line.pause(min(8.0, 0.5 * 2**tries))
            self._check_open()
        os.replace(self._part, self._target)
        self._etag.unlink(missing_ok=True)
        return self._target

    def _check_open(self) -> None:
        if self._line.is_closing():
            why, code = "the client was closed", CauseCode.CLOSED
            raise ConnectionLost(self._file.url, why, cause_code=code)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _attempt(self) -> None:
        """Ask for what is missing, and write it."""
        etag = self._etag.read_text("ascii") if self._etag.exists() else ""
        have = self._size() if etag else 0
        headers = {"range": f"bytes={have}-", "if-range": etag} if have else {}
        self._line.begin(self._timeout)
        asked = self._line.client.build_request("GET", self._file.url, headers=headers)
        try:
            response = self._line.client.send(asked, stream=True)
            try:
                self._take(response, have)
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise Stalled(
                "no answer", self._timeout, endpoint=self._file.url
            ) from error
        except httpx.ProtocolError as error:
            raise WireError("http", printable(str(error)), self._file.name) from error
        except httpx.HTTPError as error:
            reason = printable(str(error)) or type(error).__name__
            raise ConnectionLost(self._file.url, reason) from error

    def _take(self, response: httpx.Response, have: int) -> None:
        if response.status_code == 416:
            # What is here is no part of what the server has now.
            self._etag.unlink(missing_ok=True)
            raise ConnectionLost(self._file.url, "the file has changed meanwhile")
        if response.status_code not in (200, 206):
            request = RestRequest(urlsplit(self._file.url).path, {}, _RULE)
            raise by_status(request, HttpResponse(response.status_code, b""))
        if response.headers.get("content-encoding", "identity") != "identity":
            raise WireError("http", "a file that is packed once more", self._file.name)
        size = self._check_head(response, have)
        if response.status_code == 200:
            have = 0
            self._etag.write_text(_etag(response), "ascii")
        with open(self._part, "ab" if have else "wb") as out:
            for chunk in response.iter_bytes():
                self._check_magic(have, chunk)
                have += len(chunk)
                if have > self._most:
                    raise self._too_large()
                out.write(chunk)
                self._progress(have, size)
                self._check_open()
                self._line.begin(self._timeout)
        if size is not None and have != size:
            reason = f"{have} bytes of {size} came"
            raise ConnectionLost(self._file.url, reason)

    def _check_head(self, response: httpx.Response, have: int) -> int | None:
        """How many bytes the whole file has, as the response says."""
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if found is None or int(found[1]) != have:
                raise WireError("http", "another part than asked for", self._file.name)
            size: int | None = int(found[2])
        else:
            said = response.headers.get("content-length", "")
            size = int(said) if said.isascii() and said.isdecimal() else None
            coding = response.headers.get("transfer-encoding", "").lower()
            if size is None and coding != "chunked":
                # Where the connection ends would be taken for the end of the file.
                raise WireError("http", "a file that has no size", self._file.name)
        if size is not None and size > self._most:
            raise self._too_large()
        return size

    def _too_large(self) -> WireError:
        said = f"more than twice the {self._file.megabytes} MB of the index"
        return WireError("http", said, self._file.name)

    def _check_magic(self, at: int, chunk: bytes) -> None:
        """Raise if *chunk*, *at* so many bytes, is in no file of this kind.

        The network may cut a file anywhere, so the first chunk may be one byte.
        """
        magic = _MAGIC[self._target.suffix][at:]
        if not (chunk.startswith(magic) or magic.startswith(chunk)):
            reason = f"what came as {self._file.name} is no such file"
            raise HandshakeFailed(self._file.url, reason, 200, advice=ANOTHER)


def _etag(response: httpx.Response) -> str:
    """The server's strong word for this version of the file, or ``''``."""
    said: str = response.headers.get("etag", "")
    is_strong = said.startswith('"') and said.isascii() and len(said) < 200
    return said if is_strong and said.isprintable() else ""


def _passes(error: OkexWSError) -> bool:
    """Whether another attempt may succeed.

    403 is the archive's refusal of too many requests (tried in autumn 2026).
    """
    if not isinstance(error, RequestRejected):
        return True
    return error.status in (403, 429) or error.status >= 500
