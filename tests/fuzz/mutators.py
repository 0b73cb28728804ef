"""Mutators of inputs: trees of JSON, texts, bytes and deflate streams.

All chance comes from the given `random.Random`. No mutator keeps or shares state, and
none changes a tree in place.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

# A string of the tree that stands for these characters in the text, quotes and all.
_MARK = "\ue0ff"
_MARKED = re.compile(r'"\\ue0ff(\d+)"')
_RAW = (
    *("1e999", "-1", "0", "-0", "1E400", "0.1e-400", "01", "+1", ".5", "1.", "9" * 400),
    *("NaN", "Infinity", "-Infinity", "true", "null", "[]", "{}", '""', "[1,]"),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\x00"'),
    *('"\u2028"', '"\u00e9"', '"\\"', "'x'", '"a" "b"', '{"a":1,"a":2}', "//", '"\\x"'),
    *("3690.10", "12345678901234567.1", "1e-99", "1e100", "[[[[[[[[[[1]]]]]]]]]]"),
)
# Costly to read: once in a while.
_HEAVY = (
    *("9" * 5000, "[" * 1500 + "]" * 1500, "[" * 100_000, '"' + "x" * 100_000 + '"'),
    *('{"a":' * 1500 + "1" + "}" * 1500, "[" + "[]," * 5000 + "[]]"),
    *(
        '"' + "\\ud800" * 3000 + '"',
        "0." + "0" * 5000 + "1",
        '"' + "\u20ac" * 9000 + '"',
    ),
)
_ALL = (*_RAW, *_HEAVY)
_STRINGS = (
    *("", " ", "0", "0.0", "-0", "1", "-1", "+1", "1e5", "1E-99", "1e99", "1e100", "."),
    *("1_0", "1 ", "\uff11", "\u0661", "0x10", "inf", "nan", "-", "e", "9" * 64),
    *("9" * 65, "0." + "0" * 61 + "1", "12345678901234567", "12345678901234568"),
    *("buy", "sell", "BUY", "partial", "update", "snapshot", "pong", "ping", "true"),
    *(
        "2022-02-25T00:00:01.032Z",
        "2022-02-30T00:00:01.032Z",
        "0001-01-01T00:00:00.000Z",
    ),
    *(
        "9999-12-31T23:59:59.999Z",
        "2022-02-25T00:00:60.000Z",
        "2022-02-25 00:00:01.032Z",
    ),
    *("2022-W08-5T00:00:01.032Z", "1786541241006", "0786541241006", "9999999999999"),
    *("-1", "18446744073709551616", "99999999999999999999", "100000000000000000000"),
    *("BTC-USDT", "BTC-USD-SWAP", "BTC-USD-210326-50000-C", "A" * 65, "A" * 257, "a:b"),
    *("books5", "orders", "spot/depth", "futures/account", "system/status", "a,b=c"),
    *("\x00", "\x1b[31m", "\u2028", "\u20ac" * 20, "\U0001f600", "%00", "x" * 400),
    *("subscribe", "error", "login", "notice", "channel-conn-count-error", "60018"),
)
KEYS = (
    *(
        "arg",
        "data",
        "event",
        "channel",
        "instId",
        "action",
        "code",
        "msg",
        "id",
        "uid",
    ),
    *("table", "instrument_id", "timestamp", "bids", "asks", "ts", "checksum", "seqId"),
    *(
        "prevSeqId",
        "price",
        "size",
        "qty",
        "side",
        "trade_side",
        "trade_id",
        "px",
        "sz",
    ),
    *("tradeId", "count", "last", "idxPx", "bidPx", "candle", "funding_rate"),
    *("funding_time", "fundingRate", "fundingTime", "errorCode", "message", "success"),
    *("currency", "underlying", "connCount", "op", "base_volume_24h", "", "\x00"),
)
_BYTES = (
    b"\0",
    b"\xff",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r\n",
)
_TAILS = ("0", ".", "e5", "e99", "e100", "E-99", "-", " ", "\n", "\u0660", "_1", ".0")


# --- Trees --------------------------------------------------------------------------


def spoiled(rng: Random, tree: Any, other: Any) -> Any:
    """*tree* with one to three nodes changed, some for one of *other*."""
    for _ in range(_few(rng)):
        tree = _changed(rng, tree, other)
    return tree


def _few(rng: Random) -> int:
    """Mostly one."""
    return (1, 1, 1, 1, 2, 2, 3)[rng.randrange(7)]


def _changed(rng: Random, value: Any, other: Any) -> Any:
    if value and rng.randrange(8):
        if isinstance(value, dict):
            return _changed_object(rng, value, other)
        if isinstance(value, list):
            return _changed_list(rng, value, other)
    return _replaced(rng, value, other)


def _changed_object(rng: Random, value: dict[str, Any], other: Any) -> Any:
    names = list(value)
    name = names[rng.randrange(len(names))]
    what = rng.randrange(12)
    if what < 8:
        return {**value, name: _changed(rng, value[name], other)}
    if what == 8:
        return {each: value[each] for each in names if each != name}
    if what == 9:
        return {**value, KEYS[rng.randrange(len(KEYS))]: value[name]}
    if what == 10:
        return {**value, name: value[names[rng.randrange(len(names))]]}
    return {**value, KEYS[rng.randrange(len(KEYS))]: leaf(rng)}


def _changed_list(rng: Random, value: list[Any], other: Any) -> Any:
    at = rng.randrange(len(value))
    what = rng.randrange(16)
    if what < 9:
        return [*value[:at], _changed(rng, value[at], other), *value[at + 1 :]]
    if what == 9:
        return value[:at] + value[at + 1 :]
    if what == 10:
        return [*value[: at + 1], *value[at:]]
    if what == 11:
        to = rng.randrange(len(value))
        moved = list(value)
        moved[at], moved[to] = moved[to], moved[at]
        return moved
    if what == 12:
        return [*value[:at], leaf(rng), *value[at:]]
    if what == 13:
        return value[::-1]
    if what == 14:
        return value[:at]
    return [*value[:at], some_node(rng, other), *value[at:]]


def _replaced(rng: Random, value: Any, other: Any) -> Any:
    what = rng.randrange(10)
    if what < 5 and isinstance(value, str):
        return _tweaked(rng, value)
    if what < 7:
        return leaf(rng)
    if what == 7:
        return [value]
    if what == 8:
        return {KEYS[rng.randrange(len(KEYS))]: value}
    return some_node(rng, other)


def _tweaked(rng: Random, text: str) -> str:
    """A string that is still much like it was."""
    at = rng.randrange(len(text) + 1)
    what = rng.randrange(7)
    if what < 2:
        return text[:at] + "0123456789.-eZ"[rng.randrange(14)] + text[at + 1 :]
    if what == 2:
        return text + _TAILS[rng.randrange(len(_TAILS))]
    if what == 3:
        return "-+0. "[rng.randrange(5)] + text
    if what == 4:
        return text[:at] + text[at + 1 :]
    if what == 5:
        return text[:at] + text[:at]
    return text[:at] + "0" * rng.randrange(1, 64) + text[at:]


def leaf(rng: Random) -> Any:
    """A scalar of any kind, or what stands for hostile characters."""
    what = rng.randrange(12)
    if what < 7:
        return _STRINGS[rng.randrange(len(_STRINGS))]
    if what < 10:
        return _MARK + str(rng.randrange(len(_RAW)))
    if what == 10:
        return (None, True, False, [], {}, 0, -1, 1.5)[rng.randrange(8)]
    if rng.randrange(12):
        return str(rng.randrange(10 ** rng.randrange(1, 22)))
    return _MARK + str(len(_RAW) + rng.randrange(len(_HEAVY)))


def some_node(rng: Random, tree: Any) -> Any:
    """Any node of *tree*."""
    while tree and rng.randrange(4):
        if isinstance(tree, dict):
            tree = tree[list(tree)[rng.randrange(len(tree))]]
        elif isinstance(tree, list):
            tree = tree[rng.randrange(len(tree))]
        else:
            break
    return tree


def reordered(rng: Random, tree: Any) -> Any:
    """*tree* with the fields of all its objects in any order."""
    if isinstance(tree, dict):
        names = rng.sample([*tree], len(tree))
        return {name: reordered(rng, tree[name]) for name in names}
    return [reordered(rng, each) for each in tree] if isinstance(tree, list) else tree


def free_tree(rng: Random, depth: int = 4) -> Any:
    """Any JSON, of names that the wire knows."""
    what = rng.randrange(6) if depth else 0
    if what < 3:
        return leaf(rng)
    size = rng.randrange(5)
    if what == 3:
        return [free_tree(rng, depth - 1) for _ in range(size)]
    names = [KEYS[rng.randrange(len(KEYS))] for _ in range(size)]
    return {name: free_tree(rng, depth - 1) for name in names}


def written(tree: Any) -> bytes:
    """The text of *tree*, with the characters that its marks stand for."""
    text = json.dumps(tree, separators=(",", ":"))
    if "\\ue0ff" in text:
        # A mark may have been spoiled too.
        text = _MARKED.sub(lambda mark: _ALL[int(mark[1][-4:]) % len(_ALL)], text)
    return text.encode()


# --- Bytes --------------------------------------------------------------------------


def mangled(rng: Random, data: bytes, other: bytes) -> bytes:
    """*data* with one to three places changed, some for a part of *other*."""
    for _ in range(_few(rng)):
        data = _CUTS[rng.randrange(len(_CUTS))](rng, data, other)
    return data


def _flip(rng: Random, data: bytes, other: bytes) -> bytes:
    if not data:
        return b"\0"
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _insert(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    what = rng.randrange(len(_BYTES) + 2)
    more = _BYTES[what] if what < len(_BYTES) else rng.randbytes(rng.randrange(1, 9))
    return data[:at] + more + data[at + rng.randrange(2) :]


def _delete(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 9) :]


def _repeat(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[: at + rng.randrange(1, 40)] + data[at:]


def _truncate(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _join(rng: Random, data: bytes, other: bytes) -> bytes:
    return data + (b"", b"\n", b",", b"\0")[rng.randrange(4)] + other


_CUTS: tuple[Callable[[Random, bytes, bytes], bytes], ...]
_CUTS = (_flip, _flip, _insert, _insert, _delete, _repeat, _truncate, _splice, _join)


# --- Deflate ------------------------------------------------------------------------


def deflated(data: bytes, level: int = 6, wbits: int = -9) -> bytes:
    """One raw deflate stream, made with little memory for the sake of speed."""
    stream = zlib.compressobj(level, wbits=wbits, memLevel=1)
    return stream.compress(data) + stream.flush()


# What inflates to more than a message may have, to exactly as much, and to no JSON.
BOMBS = (
    deflated(bytes((4 << 20) + 1), 9, -15),
    deflated(b" " * (4 << 20), 9, -15),
    deflated(b'"' + b"a" * (3 << 20) + b'"', 9, -15),
)


def spoiled_deflate(rng: Random, data: bytes, other: bytes) -> bytes:
    """A stream of *data*, often as it should be."""
    if not rng.randrange(2000):
        return BOMBS[rng.randrange(len(BOMBS))]
    frame = deflated(data, rng.randrange(3))
    what = rng.randrange(12)
    if what < 8:
        return frame
    if what == 8:
        return (zlib.compress(data, 1), data, frame + frame)[rng.randrange(3)]
    return mangled(rng, frame, deflated(other, 1))
