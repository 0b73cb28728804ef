"""Small captures in both protocols, written for a test."""

from __future__ import annotations

import base64
from pathlib import Path

from okex_ws.local_exchange import deflate

# The complete recorded sequence of one option: the whole book, an insert, a delete.
ETH = "ETH-USD-210430-2440-P"
BOOK, DEPTH5, TRADE = (f"option/{t}:{ETH}" for t in ("depth_l2_tbt", "depth5", "trade"))
BOOK_V5, BOOKS5, TRADES = (f"{t}:{ETH}" for t in ("books-l2-tbt", "books5", "trades"))
_ASKS = '[["0.063","1005","0","2"],["0.0635","451","0","1"]]'
_BIDS = '[["0.0565","500","0","1"],["0.056","505","0","1"],["0.055","451","0","1"]]'
_CHANGES = '[["0.0555","451","0","1"],["0.055","0","0","0"]]'

PARTIAL = (
    '{"table":"option/depth_l2_tbt","action":"partial","data":[{"instrument_id":"'
    f'{ETH}","asks":{_ASKS},"bids":{_BIDS},'
    '"timestamp":"2021-04-17T16:49:59.279Z","checksum":1815367951}]}'
)
UPDATE = (
    '{"table":"option/depth_l2_tbt","action":"update","data":[{"instrument_id":"'
    f'{ETH}","asks":[],"bids":{_CHANGES},'
    '"timestamp":"2021-04-17T16:50:02.482Z","checksum":338594214}]}'
)
LAST_TRADE = (
    '{"table":"option/trade","data":[{"side":"buy","trade_id":"1","price":"0.06",'
    f'"qty":"1","instrument_id":"{ETH}","timestamp":"2021-04-17T16:50:00.000Z"}}]}}'
)
EVENT = f'{{"event":"subscribe","channel":"option/trade:{ETH}"}}'
TEXTS = [EVENT, PARTIAL, LAST_TRADE, UPDATE]


def _v5(channel: str, element: str, action: str = "") -> str:
    arg = f'{{"channel":"{channel}","instId":"{ETH}"}}'
    return f'{{"arg":{arg},{action}"data":[{{{element}}}]}}'


SNAPSHOT_V5 = _v5(
    "books-l2-tbt",
    f'"asks":{_ASKS},"bids":{_BIDS},"ts":"1618678199279","checksum":1815367951',
    '"action":"snapshot",',
)
UPDATE_V5 = _v5(
    "books-l2-tbt",
    f'"asks":[],"bids":{_CHANGES},"ts":"1618678202482","checksum":338594214',
    '"action":"update",',
)
LAST_TRADE_V5 = _v5(
    "trades",
    f'"instId":"{ETH}","tradeId":"1","px":"0.06","sz":"1","side":"buy",'
    '"ts":"1618678200000"',
)
EVENT_V5 = f'{{"event":"subscribe","arg":{{"channel":"trades","instId":"{ETH}"}}}}'
TEXTS_V5 = [EVENT_V5, SNAPSHOT_V5, LAST_TRADE_V5, UPDATE_V5]


def write(
    path: Path,
    texts: list[str],
    *,
    frames: list[bytes] | None = None,
    times: list[str] | None = None,
    v5: bool = False,
) -> Path:
    """Write a capture of *texts*.

    *frames* and *times* replace the content of its other files, where these should
    differ.
    """
    times = [f"{1000 + i}.5" for i in range(len(texts))] if times is None else times
    files = {"recv.jsonl": texts, "recv.times": times}
    Path(f"{path}.deflate.b64").unlink(missing_ok=True)
    if not v5:
        frames = [deflate(text) for text in texts] if frames is None else frames
        files["deflate.b64"] = [base64.b64encode(frame).decode() for frame in frames]
    for suffix, lines in files.items():
        Path(f"{path}.{suffix}").write_text("".join(f"{x}\n" for x in lines))
    return path
