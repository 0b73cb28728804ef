"""Targets for readers of the past: answers of the REST interface, and recordings."""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from okex_ws import RecordingDamaged, Replay
from okex_ws.rest import v3, v5
from okex_ws.rest.dialect import HttpResponse
from tests.fuzz.answers import MEMORY
from tests.fuzz.corpus import Corpus
from tests.fuzz.mutators import mangled, spoiled, written
from tests.support import rest_v3_samples, rest_v5_samples
from tests.support.internal_errors import bugs_told
from tests.support.recordings import at, depth, heard, lines, session
from tests.support.rest_bodies import READING

# --- Answers of the REST interface --------------------------------------------------


class Body(NamedTuple):
    """An answer to one of the questions, which is read by this reader."""

    protocol: str
    reader: str
    answer: HttpResponse


_ROWS: dict[str, dict[str, list[Any]]] = {
    "v5": {
        "read_trades": [rest_v5_samples.TRADE],
        "read_candles": [rest_v5_samples.CANDLE],
        "read_book": [rest_v5_samples.BOOK],
        "read_instruments": [rest_v5_samples.SWAP, rest_v5_samples.OPTION],
        "read_families": [["BTC-USD", "ETH-USD"]],
        "read_time": [{"ts": "1597026383085"}],
    },
    "v3": {
        "read_trades": [rest_v3_samples.SPOT_TRADE, rest_v3_samples.FUTURES_TRADE],
        "read_candles": [rest_v3_samples.ROW],
        "read_book": [rest_v3_samples.BOOK],
        "read_instruments": [
            rest_v3_samples.SPOT,
            rest_v3_samples.SWAP,
            rest_v3_samples.FUTURE,
        ],
        "read_time": [{"iso": "2019-03-20T03:55:37.888Z", "epoch": "1553054137.888"}],
    },
}
_MODULES: dict[str, tuple[Any, Any]] = {
    "v3": (v3, rest_v3_samples),
    "v5": (v5, rest_v5_samples),
}
# Those whose answer of v3 is no list.
_SINGLE = ("read_book", "read_time")


def make_body(rng: Random, corpus: Corpus) -> Body:
    """An answer as the exchange gives it, spoiled once or twice."""
    protocol = rng.choice(list(_ROWS))
    reader = rng.choice(list(_ROWS[protocol]))
    rows = _ROWS[protocol][reader]
    other = rng.choice([row for each in _ROWS[protocol].values() for row in each])
    tree: Any = [rng.choice(rows) for _ in range(rng.randrange(1, 4))]
    if protocol == "v3" and reader in _SINGLE:
        tree = tree[0]
    if rng.randrange(4):
        tree = spoiled(rng, tree, other)
    if protocol == "v5":
        tree = {"code": "0", "msg": "", "data": tree}
    if not rng.randrange(8):
        tree = spoiled(rng, tree, other)
    body = written(tree)
    if not rng.randrange(8):
        body = mangled(rng, body, written(other))
    return Body(
        protocol, reader, HttpResponse(rng.choice((200, 200, 200, 400, 503)), body)
    )


def check_body(given: Body) -> str:
    """A value, or an error that says whose fault it was."""
    protocol, reader, answer = given
    module, samples = _MODULES[protocol]
    try:
        data = module.REST_PROTOCOL.data(samples.ASK, answer)
        more = {"read_trades": ("BTC-USDT",), "read_instruments": ("swap",)}
        getattr(module.REST_PROTOCOL, reader)(data, *more.get(reader, ()))
    except READING as error:
        said = error
    else:
        return "value"
    assert len(str(said)) < 2000
    return type(said).__name__


# --- Recordings ---------------------------------------------------------------------


def make_recording(rng: Random, corpus: Corpus) -> bytes:
    """A file of a few seconds with a lost connection, spoiled in a line or a byte."""
    pushes = [heard(float(n), depth(float(n))) for n in range(1, 6)]
    again = [
        each._replace(mono=each.mono + 10, connection=2) for each in session(end=3)
    ]
    ended = at(7.0, "end", cause="ConnectionLost", why="reset")
    whole = lines([*session(*pushes, end=6), ended, *again]).splitlines()
    what = rng.randrange(8)
    if what < 5:
        n = rng.randrange(len(whole))
        other = json.loads(rng.choice(whole))
        whole[n] = written(spoiled(rng, json.loads(whole[n]), other))
    elif what == 5:
        n, other = rng.randrange(len(whole)), rng.choice(whole)
        whole[n] = mangled(rng, whole[n], other)
    elif what == 6:
        n, m = rng.randrange(1, len(whole)), rng.randrange(1, len(whole))
        whole[n], whole[m] = whole[m], whole[n]
    packed = gzip.compress(b"\n".join(whole) + b"\n", mtime=0)
    return mangled(rng, packed, b"\x1f\x8b") if what == 7 else packed


def check_recording(given: bytes) -> str:
    """It is played to its end or to its damage, and nothing else comes of it."""
    bugs: list[str] = []
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, bugs_told(bugs.append):
        path = Path(folder) / "day.rec.gz"
        path.write_bytes(given)
        outcome = _play(path)
    assert bugs == []
    return outcome


def _play(path: Path) -> str:
    try:
        replay = Replay(path, speed=math.inf)
    except RecordingDamaged:
        return "damaged at once"
    except ValueError as error:
        said = str(error)
    else:
        return _run(replay)
    assert "several venues are recorded" in said
    return "several venues"


def _run(replay: Replay) -> str:
    with replay:
        feed = replay.feed()
        for market, name, channels in replay.instruments:
            feed.subscribe([name], market, channels)
        try:
            replay.run()
        except RecordingDamaged:
            return "damaged"
    return "played"
