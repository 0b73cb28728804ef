"""JSON text to Python: exactly, or fast where ``orjson`` is installed.

The exact reading keeps every number as the characters that it was written in. The fast
one takes nothing that the exact one refuses, and gives the same but for numbers, which
it makes an ``int`` or a ``float``: whoever meets one where it matters has the text read
again, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.scanner import make_scanner
from typing import Any

from ..model.numbers import decimal

# NaN and Infinity, which JSON has not, are refused.
_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=decimal)
_make: Any = make_scanner
_scan: Callable[[str, int], tuple[Any, int]] = _make(_decoder)
# A value, and where it ends.
parse = _decoder.raw_decode


def exact(text: str) -> Any:
    """The one JSON value that *text* is, without white space around it.

    ``ValueError`` or ``RecursionError`` for what is none.
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        value, end = parse(text)  # which says what is wrong
    if end != len(text):
        raise ValueError("more than one value")
    if "\\" in text:
        # A lone surrogate can only come as an escape; it cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _find_fast() -> Callable[[str], Any]:
    try:
        from orjson import loads
    except ImportError:
        return exact
    return loads


fast = _find_fast()
