"""A file of the archive is whole or absent, whatever its server does meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from okex_ws import Venue
from okex_ws.base.errors import (
    ConnectionLost,
    HandshakeFailed,
    OkexWSError,
    RequestRejected,
    Stalled,
    WireError,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.rest import ArchiveFile, Rest
from tests.support.clocks import FakeClock

DAY = date(2026, 9, 1)
NAME = "BTC-USDT-trades-2026-09-01.zip"
URL = f"https://static.example/{NAME}"
FILE = ArchiveFile("trades", DAY, NAME, URL, Decimal("0.20"))
CONTENT = b"PK" + random.Random(1).randbytes(200_000)

Said = Callable[[httpx.Request], httpx.Response]


def whole(request: httpx.Request, content: bytes = CONTENT) -> httpx.Response:
    """What a good server says, also to a request for the rest of a file."""
    tag = f'"{len(content)}"'
    start = int(request.headers.get("range", "bytes=0-")[6:-1])
    if start and request.headers["if-range"] == tag:
        said = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers = {"etag": tag, "content-range": said}
        return httpx.Response(206, headers=headers, content=content[start:])
    return httpx.Response(200, headers={"etag": tag}, content=content)


class Breaking(httpx.SyncByteStream):
    """A body that ends early, or with *error*."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._content, self._error = content, error

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._content), 50_000):
            yield self._content[at : at + 50_000]
        if self._error is not None:
            raise self._error


def cut(at: int, error: Exception | None = None, tag: str | None = None) -> Said:
    """A server whose answer ends after *at* bytes of it."""

    def say(request: httpx.Request) -> httpx.Response:
        good = whole(request)
        headers = dict(good.headers)
        if tag is not None:
            headers["etag"] = tag
        stream = Breaking(good.content[:at], error)
        return httpx.Response(good.status_code, headers=headers, stream=stream)

    return say


class World:
    """A client whose server says one thing after the other."""

    def __init__(self, *says: Said, **options: Any) -> None:
        self.says, self.asked = iter(says), list[httpx.Request]()
        self.waits: list[float] = []
        self.rest = Rest(
            options.pop("venue", "okx"),
            clock=FakeClock(),
            pause=self.waits.append,
            transport=httpx.MockTransport(self.answer),
            **options,
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return next(self.says)(request)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    world, steps = World(whole), list[tuple[int, int | None]]()

    path = world.rest.download(FILE, tmp_path, lambda *step: steps.append(step))

    assert (path.name, path.read_bytes()) == (NAME, CONTENT)
    assert names(tmp_path) == [NAME]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [received for received, _ in steps] == sorted(r for r, _ in steps)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"it")

    assert World().rest.download(FILE, tmp_path).read_bytes() == b"it"


@pytest.mark.parametrize("error", [None, ConnectionLost("there", "gone")])
def test_a_download_that_breaks_is_gone_on_with(
    tmp_path: Path, error: Exception | None
) -> None:
    world = World(cut(100_000, error), cut(50_000, error), whole)

    path = world.rest.download(FILE, tmp_path)

    assert path.read_bytes() == CONTENT
    wanted = [each.headers.get("range") for each in world.asked]
    assert wanted == [None, "bytes=100000-", "bytes=150000-"]
    assert len(world.waits) == 2


def test_what_an_earlier_call_has_left_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        World(cut(100_000), retries=0).rest.download(FILE, tmp_path)
    assert names(tmp_path) == [f"{NAME}.part", f"{NAME}.part.etag"]
    world = World(whole)

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT
    assert world.asked[0].headers["range"] == "bytes=100000-"
    assert names(tmp_path) == [NAME]


def test_another_version_of_the_file_begins_anew(tmp_path: Path) -> None:
    other = b"PK" + bytes(150_000)
    world = World(cut(100_000), lambda request: whole(request, other))

    assert world.rest.download(FILE, tmp_path).read_bytes() == other


@pytest.mark.parametrize("tag", ["", 'W/"weak"', "no quotes", '"' + "x" * 300 + '"'])
def test_without_a_word_for_the_version_it_begins_anew(
    tmp_path: Path, tag: str
) -> None:
    world = World(cut(100_000, tag=tag), whole)

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT
    assert "range" not in world.asked[1].headers


def status(code: int, **headers: str) -> Said:
    return lambda request: httpx.Response(code, headers=headers, content=b"<html>")


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_a_refusal_that_passes_is_waited_for(tmp_path: Path, code: int) -> None:
    world = World(status(code), status(code), whole)

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT
    assert world.waits == [1.0, 2.0]


def test_a_part_that_the_server_does_not_know_begins_anew(tmp_path: Path) -> None:
    world = World(cut(100_000), status(416), whole)

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT
    assert "range" not in world.asked[2].headers


CHUNKED = {"transfer-encoding": "chunked"}


def endless(request: httpx.Request) -> httpx.Response:
    stream = Breaking(b"PK" + bytes(3 << 20), None)
    return httpx.Response(200, headers=CHUNKED, stream=stream)


def without_size(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=Breaking(CONTENT[:100_000], None))


def elsewhere(request: httpx.Request) -> httpx.Response:
    headers = {"etag": '"200002"', "content-range": "bytes 5-9/200002"}
    return httpx.Response(206, headers=headers, content=b"wrong")


LASTING: list[tuple[Said, type[OkexWSError], str]] = [
    (status(404), RequestRejected, "404"),
    (status(302, location="https://evil.invalid/"), RequestRejected, "not followed"),
    (status(200), HandshakeFailed, "no such file"),
    (status(200, **{"content-length": str(3 << 20)}), WireError, "more than twice"),
    (endless, WireError, "more than twice the 0.20 MB"),
    (without_size, WireError, "a file that has no size"),
    (
        lambda request: httpx.Response(
            200, headers={"content-encoding": "gzip"}, stream=Breaking(CONTENT, None)
        ),
        WireError,
        "packed once more",
    ),
    (elsewhere, WireError, "another part"),
    (cut(9, httpx.RemoteProtocolError("no HTTP")), WireError, "no HTTP"),
]


@pytest.mark.parametrize(("says", "kind", "reason"), LASTING)
def test_what_is_no_file_of_the_archive_is_told_at_once(
    tmp_path: Path, says: Said, kind: type[OkexWSError], reason: str
) -> None:
    world = World(says)

    with pytest.raises(kind, match=reason):
        world.rest.download(FILE, tmp_path)
    assert (len(world.asked), world.waits) == (1, [])
    assert NAME not in names(tmp_path)


class Crumbs(httpx.SyncByteStream):
    """A body whose first bytes come one by one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content[:1]
        yield self._content[1:2]
        yield self._content[2:]


def crumbs(content: bytes) -> Said:
    return lambda request: httpx.Response(200, headers=CHUNKED, stream=Crumbs(content))


def test_the_first_bytes_may_come_one_by_one(tmp_path: Path) -> None:
    world = World(crumbs(CONTENT))

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT


def test_a_wrong_second_byte_that_comes_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(HandshakeFailed, match="no such file"):
        World(crumbs(b"P" + CONTENT)).rest.download(FILE, tmp_path)
    assert NAME not in names(tmp_path)


def broken(error: Exception) -> Said:
    def say(request: httpx.Request) -> httpx.Response:
        raise error

    return say


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("nothing there"), ConnectionLost),
        (httpx.ReadTimeout("slow"), Stalled),
    ],
)
def test_so_many_failures_in_a_row_are_the_end(
    tmp_path: Path, error: Exception, kind: type[OkexWSError]
) -> None:
    world = World(*(broken(error) for _ in range(9)), retries=2)

    with pytest.raises(kind):
        world.rest.download(FILE, tmp_path)
    assert len(world.asked) == 3


def test_bytes_that_come_make_up_for_failures(tmp_path: Path) -> None:
    bits = [cut(1000) for _ in range(9)]
    world = World(*bits, whole, retries=1)

    assert world.rest.download(FILE, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (replace(FILE, name=f"../{NAME}"), ValueError),
        (replace(FILE, url=f"http://static.example/{NAME}"), WireError),
    ],
)
def test_a_file_of_a_wrong_name_or_without_tls_is_not_asked_for(
    tmp_path: Path, file: ArchiveFile, error: type[Exception]
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()

    with pytest.raises(error):
        World().rest.download(file, folder)
    assert names(tmp_path) == ["inside"]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        World(whole).rest.download(FILE, tmp_path / "none")


def test_who_closes_the_client_ends_a_download(tmp_path: Path) -> None:
    world = World(whole, cut(100))

    def close(received: int, size: int | None) -> None:
        world.rest.close()

    with pytest.raises(ConnectionLost, match="the client was closed"):
        world.rest.download(FILE, tmp_path, close)
    assert len(world.asked) == 1
    assert NAME not in names(tmp_path)


def test_over_real_sockets_a_cut_file_is_gone_on_with(tmp_path: Path) -> None:
    day = date.today() - timedelta(days=9)
    with LocalExchange() as exchange, Rest(exchange.venue_v5) as rest:
        first, second = rest.archive("BTC-USDT", "trades", day)
        exchange.spoil_rest("cut", path=first.name)

        path = rest.download(first, tmp_path)

        again = rest.download(first, tmp_path / "..")
        assert path.read_bytes() == again.read_bytes()
        again.unlink()
        assert (first.day, second.day) == (day, day + timedelta(days=1))
        asked = [each for each in exchange.rest_requests if first.name in each.text]
        assert len(asked) == 3


def test_v3_has_no_archive() -> None:
    venue = Venue("old", "v3", ("wss://old.invalid",), rest="https://old.invalid")
    with pytest.raises(ValueError, match="has no archive"):
        World(venue=venue).rest.archive("BTC-USDT", "books", DAY)
