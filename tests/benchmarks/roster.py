"""The roster of contestants by name, and which streams each can follow."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from okex_ws.pool.options import ConnectionOptions
from tests.benchmarks.streams import NAMES, V3_DEPTH5, V5_BOOKS, V5_BOOKS5

TLS, PLAIN = "TLS", "plain"


class Entry(NamedTuple):
    """One contestant, as its table row says it.

    *parsers* are those that it can be run with; ``''`` is its own. *needs* are the
    distributions that have to be installed. *channels* says where it follows another
    channel than the stream's.
    """

    name: str
    maker: tuple[str, str]
    parsers: tuple[str, ...] = ("json", "orjson")
    streams: tuple[str, ...] = NAMES
    transports: tuple[str, ...] = (PLAIN, TLS)
    needs: tuple[str, ...] = ()
    channels: dict[str, str] = {}  # noqa: RUF012 - never changed
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        return [name for name in self.needs if version(name) is None]


def version(distribution: str) -> str | None:
    """Of what is installed, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def has_orjson() -> bool:
    """Whether the second parser can take part."""
    return importlib.util.find_spec("orjson") is not None


OURS = Entry("okex_ws", ("tests.benchmarks.ours", "Ours"))
CALLED = OURS._replace(name="okex_ws, on_message", options={"on_message": True})
CEILING = Entry(
    "(only receives)", ("tests.benchmarks.ceiling", "Ceiling"), parsers=("",)
)
LIMIT = Entry("(the limit)", ("tests.benchmarks.limit", "Limit"))
_LOOPS = "tests.benchmarks.loops"
_LIBRARIES = "tests.benchmarks.libraries"
_V5 = (V5_BOOKS5, V5_BOOKS)
PEERS = (
    Entry(
        "the seed's class",
        ("tests.benchmarks.seed", "Seed"),
        parsers=("json",),
        streams=(V3_DEPTH5,),
        # Over TLS it holds back what came in one record with another frame: the newest
        # depth is not what it shows, so nothing there can be compared.
        transports=(PLAIN,),
    ),
    Entry("websockets", (_LOOPS, "Websockets"), needs=("websockets",)),
    Entry("websockets, sync", (_LOOPS, "WebsocketsSync"), needs=("websockets",)),
    Entry("aiohttp", (_LOOPS, "Aiohttp"), needs=("aiohttp",)),
    Entry("picows", (_LOOPS, "Picows"), needs=("picows",)),
    Entry(
        "picows, uvloop",
        (_LOOPS, "Picows"),
        needs=("picows", "uvloop"),
        options={"uvloop": True},
    ),
    Entry(
        "python-okx",
        (_LIBRARIES, "PythonOkx"),
        streams=_V5,
        transports=(TLS,),
        needs=("python-okx",),
    ),
    Entry(
        "ccxt pro", (_LIBRARIES, "Ccxt"), parsers=("",), streams=_V5, needs=("ccxt",)
    ),
    Entry(
        "cryptofeed",
        (_LIBRARIES, "Cryptofeed"),
        parsers=("",),
        streams=_V5,
        transports=(TLS,),
        needs=("cryptofeed",),
        channels={V5_BOOKS5: "books"},
    ),
)
ISOLATED = OURS._replace(name="okex_ws, isolate=True", options={"isolate": True})
ALL = (CEILING, LIMIT, OURS, CALLED, *PEERS)


def chosen(only: Sequence[str]) -> list[Entry]:
    """The entries whose name has one of *only* in it; all without any."""
    return [e for e in ALL if not only or any(each in e.name for each in only)]


def late(only: Sequence[str]) -> list[Entry]:
    """The same for lateness, of which those that follow nothing have none."""
    entries = [OURS, *([ISOLATED] if can_isolate() else []), *PEERS]
    return [e for e in entries if not only or any(each in e.name for each in only)]


def can_isolate() -> bool:
    """Whether the library has a process of its own to give."""
    return "isolate" in ConnectionOptions.__annotations__
