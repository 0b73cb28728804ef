"""JSON text to Python values: exactly, or fast where ``orjson`` is installed.

`exact` keeps each number as the ``str`` of its characters. `fast` accepts nothing that
`exact` refuses, and gives the same values, except that a number becomes an ``int`` or a
``float``. A caller of `fast` that needs the characters of a number reads the text again
with `exact`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from json.scanner import make_scanner
from typing import Any

from ..model.items import ReadOnly
from ..model.numbers import decimal

# NaN and Infinity are not JSON: `decimal` refuses them.
_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=decimal)
_make: Any = make_scanner
_scan: Callable[[str, int], tuple[Any, int]] = _make(_decoder)
# Gives the value that begins at a position of a text, and the position behind it.
parse = _decoder.raw_decode


def exact(text: str) -> Any:
    """The JSON value that *text* is, which has no white space around it.

    ``ValueError`` or ``RecursionError`` if *text* is not exactly one JSON value.
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        value, end = parse(text)  # raises an error that says what is wrong
    if end != len(text):
        raise ValueError("more than one value")
    if "\\" in text:
        # Only an escape can give a lone surrogate. Encoding it fails, which refuses it.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def echoed(text: str) -> Iterator[Any]:
    """The values in the lists of an echoed request, unless the echo was cut short."""
    start = text.find("{")
    if start < 0:
        return
    try:
        request, _ = parse(text, start)
    except (ValueError, RecursionError):
        return
    for value in request.values():
        yield from value if type(value) is list else ()


def beginning(said: bytes, depth: int) -> Any:
    """The JSON value that *said* is the beginning of, as far as it is known.

    *said* may be cut off anywhere. The value has all that is whole, down to a *depth*
    of 1 (the fields of the outermost object or list) or more; what is deeper is there
    whole, or not at all. ``ValueError`` or ``RecursionError`` if nothing is whole, or
    if *said* is not JSON.
    """
    text, _ = codecs.utf_8_decode(said, "strict", False)
    closing = whole = ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in _CLOSING:
            closing = _CLOSING[mark] + closing
        elif mark in "]}":
            closing = closing[1:]
        elif mark == "," and len(closing) <= depth:
            # Everything before a comma is whole, once what is open is closed.
            whole = text[: token.start()] + closing
    return exact(whole)


# What `beginning` looks at: strings, of which the last may be cut off, and marks.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|$)|[\[\]{},]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


def has_data(message: dict[str, Any]) -> bool:
    """Whether *message* has data that is not empty, of any form."""
    return bool(message.get("data"))


def to_json(value: object) -> str:
    """*value* as compact JSON in ASCII."""
    return json.dumps(value, separators=(",", ":"))


def beside(message: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    """What a data message says beside its *known* fields: see `Data.envelope`."""
    return ReadOnly({n: message[n] for n in message if n not in known})


def _find_fast() -> Callable[[str], Any]:
    try:
        from orjson import loads
    except ImportError:
        return exact
    return loads


fast = _find_fast()
