"""The good frames that mutators spoil, of both protocols, recorded ones among them.

Recordings are read in place, in ``../shared/captures``. Without recordings, what is
generated here still has a frame of every kind that the library reads.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.fuzz.books import Chain, generated_chains, recorded_chains
from tests.support import v3_frames, v5_frames

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
# Of each kind of frame; of the longest, which are slow, there is one.
_OF_A_KIND = 40
_SHORT = 2500
_NARROW = 30

_V3_EVENTS = (
    '{"event":"subscribe","channel":"spot/depth5:AB-USDT"}',
    '{"event":"unsubscribe","channel":"spot/depth5:AB-USDT"}',
    '{"event":"login","success":true}',
    '{"event":"login","success":"false"}',
    '{"event":"error","message":"Channel spot/nothing:AB-USDT doesn\'t exist",'
    '"errorCode":30040}',
    '{"table":"spot/account","data":[{"currency":"USDT","balance":"1.5"}]}',
    '{"table":"futures/account","data":[{"BTC":{"equity":"1"}},{"currency":"EOS"}]}',
    '{"table":"option/summary","data":[{"instrument_id":"BTC-USD-210326-50000-C",'
    '"underlying":"BTC-USD"}]}',
    '{"table":"futures/instruments","data":[[{"instrument_id":"BTC-USD-210326"}]]}',
    '{"table":"system/status","data":[{"title":"Spot System Upgrade","status":"1"}]}',
    '{"table":"futures/trade","data":[{"side":"sell","trade_id":"1","price":"1.50",'
    '"qty":"2","instrument_id":"AB-USD-210326","timestamp":"2021-04-17T16:50:02.084Z"},'
    '{"side":"buy","trade_id":"2","price":"1.5","qty":"2","instrument_id":'
    '"AB-USD-210625","timestamp":"2021-04-17T16:50:02.084Z"}]}',
    "pong",
)
_V5_EVENTS = (
    '{"event":"subscribe","arg":{"channel":"books5","instId":"AB-USDT"},"id":"1"}',
    '{"event":"unsubscribe","arg":{"channel":"books5","instId":"AB-USDT"}}',
    '{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}',
    '{"id":"1512","event":"error","code":"60012","msg":"Illegal request: {\\"op\\":'
    '\\"subscribe\\",\\"args\\":[{\\"channel\\":\\"tickers\\",\\"instId\\":\\"AB-USDT'
    '\\"}]}","connId":"a4d3ae55"}',
    '{"event":"error","code":"60018","msg":"channel:ticker,instId:AB-USDT doesn\'t '
    'exist"}',
    '{"event":"notice","code":"64008","msg":"The connection will soon be closed"}',
    '{"event":"channel-conn-count","channel":"orders","connCount":"2"}',
    '{"event":"channel-conn-count-error","channel":"orders","connCount":"21"}',
    '{"arg":{"channel":"positions","instType":"ANY","uid":"7"},"data":[]}',
    '{"arg":{"channel":"index-tickers","instId":"AB-USDT"},"data":[{"instId":"AB-USDT"'
    ',"idxPx":"0.1","high24h":"0.5","ts":"1597026383085"}]}',
    '{"id":"1","op":"order","data":[{"sCode":"0"}],"code":"0"}',
    "pong",
)
_V3_FRAMES = ("DEPTH5", "DEPTH", "TRADE", "TICKER", "CANDLE", "FUNDING")


class Seed(NamedTuple):
    """A good frame: its text, the tree of it, and the recorded deflate stream."""

    kind: str
    text: bytes
    tree: Any
    frame: bytes | None = None


class Corpus(NamedTuple):
    """Seeds of each protocol by their kind, and books as they follow each other."""

    v3: tuple[tuple[Seed, ...], ...]
    v5: tuple[tuple[Seed, ...], ...]
    chains: tuple[Chain, ...]
    long_chains: tuple[Chain, ...]
    recorded: int

    def pick(self, rng: Random, protocol: str) -> Seed:
        """Every kind as often as any other."""
        kinds = self.v3 if protocol == "v3" else self.v5
        seeds = kinds[rng.randrange(len(kinds))]
        return seeds[rng.randrange(len(seeds))]

    def chain(self, rng: Random) -> Chain:
        """One book's messages; those of a long one take their time."""
        some = self.chains if rng.randrange(60) else self.long_chains or self.chains
        return some[rng.randrange(len(some))]


@functools.cache
def corpus() -> Corpus:
    """The corpus of this machine."""
    v3, v5 = _Kinds(), _Kinds()
    for name in _V3_FRAMES:
        v3.add(getattr(v3_frames, name), None)
    for text in _V3_EVENTS:
        v3.add(text, None)
    for text in (*v5_frames.FRAMES, *_V5_EVENTS):
        v5.add(text, None)
    chains = list(generated_chains(Random(5)))
    before = v3.count + v5.count
    if CAPTURES.is_dir():
        for path in sorted(CAPTURES.glob("*/*.jsonl")):
            if path.name.startswith(("rest", "checksum")):
                continue
            kinds = v3 if path.name.startswith("v3") else v5
            for text, frame in _lines(path):
                kinds.add(text, frame)
            chains += recorded_chains(path)
    recorded = v3.count + v5.count - before
    short = [chain for chain in chains if _width(chain) <= 2 * _NARROW]
    wide = [chain for chain in chains if _width(chain) > 2 * _NARROW]
    return Corpus(v3.all(), v5.all(), tuple(short), tuple(wide), recorded)


def _width(chain: Chain) -> int:
    first = chain.links[0].element
    return len(first["bids"]) + len(first["asks"])


class _Kinds:
    """Seeds, a bounded number of each kind."""

    def __init__(self) -> None:
        self._of: dict[str, list[Seed]] = {}
        self._long: set[str] = set()
        self.count = 0

    def add(self, text: str, frame: bytes | None) -> None:
        # Its front tells: a table, or an event, or a channel, and the action behind it.
        kind = _kind(text)
        seeds = self._of.setdefault(kind, [])
        if len(seeds) >= _OF_A_KIND or (len(text) > _SHORT and kind in self._long):
            return
        if len(text) > _SHORT:
            self._long.add(kind)
        tree = text if text == "pong" else json.loads(text)
        seeds.append(Seed(kind, text.encode(), tree, frame))
        self.count += 1

    def all(self) -> tuple[tuple[Seed, ...], ...]:
        return tuple(tuple(seeds) for seeds in self._of.values())


def _kind(text: str) -> str:
    for name in ('"table":"', '"event":"', '"channel":"'):
        _, found, rest = text.partition(name)
        if found:
            action = '"snapshot"' in rest[:200] or '"partial"' in rest[:200]
            return f"{name}{rest[: rest.find(chr(34))]}{action}"
    return text[:20]


def _lines(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """The texts of a file, each with its deflate stream where that was recorded."""
    texts = path.read_text("utf-8").splitlines()
    packed = path.with_name(path.name.replace("recv.jsonl", "deflate.b64"))
    if packed == path or not packed.exists():
        yield from ((text, None) for text in texts)
        return
    frames = packed.read_text().splitlines()
    for text, frame in zip(texts, frames, strict=True):
        yield text, base64.b64decode(frame)
