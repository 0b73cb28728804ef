"""A target for frames of both protocols: `decode`, every reader, and `mentioned`.

A frame is unreadable, which is a `WireError`, or gives messages that agree, number for
number, with a second reading of the same text.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from okex_ws.base.errors import WireError
from okex_ws.protocol import v3, v5
from okex_ws.protocol.catalogue import argument_of, key_of
from okex_ws.protocol.common import for_people
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import (
    NO_DEPTH,
    Acknowledged,
    DepthData,
    Notice,
    Push,
    Refused,
    Terminated,
    Unknown,
    Unsubscribed,
)
from tests.fuzz.corpus import Corpus
from tests.fuzz.mutators import (
    free_tree,
    leaf,
    mangled,
    reordered,
    spoiled,
    spoiled_deflate,
    written,
)
from tests.fuzz.promises import (
    Check,
    check_book_data,
    check_candle,
    check_depth,
    check_funding,
    check_ticker,
    check_trade,
)

WIRES: dict[str, WireProtocol] = {"v3": v3.PROTOCOL, "v5": v5.PROTOCOL}
MAX_DETAIL = 300
# With the key of a channel of the longest name and id, each character escaped.
MAX_SENTENCE = 4000
_SENTENCES = (
    "Channel spot/nothing:AB-USDT doesn't exist",
    "channel:ticker,instId:AB-USDT doesn't exist",
    'Illegal request: {"op":"subscribe","args":[{"channel":"tickers","instId":"A-B"}]}',
    "Invalid Channel:[option/trade:EOS-USD-210625-8.00-C, spot/ticker].",
)


_EVENTS = ("subscribe", "error", "login", "notice", "channel-conn-count", "x", None)
_TABLES = ("spot/trade", "spot/depth5", "swap/order", "option/summary", "spot/x", "x")
_CHANNELS = ("books5", "trades", "orders", "candle1m", "no-channel", "a:b")


# --- Inputs -------------------------------------------------------------------------


def _text(rng: Random, corpus: Corpus, protocol: str) -> tuple[bytes, bytes | None]:
    """A spoiled text, and the recorded deflate stream of what it was."""
    seed, other = corpus.pick(rng, protocol), corpus.pick(rng, protocol)
    what = rng.randrange(16)
    if what == 0:
        return seed.text, seed.frame
    if what < 12:
        tree = spoiled(rng, seed.tree, other.tree)
        data = written(tree if rng.randrange(4) else reordered(rng, tree))
        return (data if rng.randrange(10) else mangled(rng, data, other.text)), None
    return mangled(rng, seed.text, other.text), seed.frame


def make_v3(rng: Random, corpus: Corpus) -> tuple[bytes, bool]:
    """A spoiled frame of v3: mostly a spoiled text, deflated."""
    text, frame = _text(rng, corpus, "v3")
    if frame is not None and rng.randrange(2):
        return mangled(rng, frame, frame), True
    if not rng.randrange(3):
        return text, False
    return spoiled_deflate(rng, text, text), True


def make_v5(rng: Random, corpus: Corpus) -> tuple[bytes, bool]:
    """A spoiled frame of v5."""
    return _text(rng, corpus, "v5")[0], not rng.randrange(50)


def make_free(rng: Random, corpus: Corpus) -> tuple[bytes, bool]:
    """Any bytes, or any JSON."""
    what = rng.randrange(4)
    if what == 0:
        return rng.randbytes(rng.randrange(40)), bool(rng.randrange(2))
    data = written(free_message(rng))
    return data if what < 3 else mangled(rng, data, b'{"arg":'), False


def free_message(rng: Random) -> Any:
    """Any JSON, mostly of the outline of a message."""
    what, some = rng.randrange(6), free_tree(rng, 2)
    if what == 0:
        return some
    extra = some if isinstance(some, dict) else {}
    if what < 3:
        event = _EVENTS[rng.randrange(len(_EVENTS))]
        return {"event": event, "code": "60018", "errorCode": leaf(rng), **extra}
    data = [free_tree(rng) for _ in range(rng.randrange(1, 4))]
    if what == 3:
        element = {"instrument_id": "A-B", **(data[0] if type(data[0]) is dict else {})}
        return {"table": _TABLES[rng.randrange(6)], "data": [element], **extra}
    argument = {"channel": _CHANNELS[rng.randrange(6)], "instId": leaf(rng)}
    if not rng.randrange(40):
        argument |= {f"p{at}": "\u20ac" * 256 for at in range(rng.randrange(20))}
        argument["instId"] = "AB-USDT"
    return {"arg": argument, "data": data, **extra}


def make_reading(rng: Random, corpus: Corpus, protocol: str) -> tuple[Any, Any, Any]:
    """An element, the action with it, and what it was; its numbers are texts."""
    seed, other = corpus.pick(rng, protocol), corpus.pick(rng, protocol)
    data = seed.tree.get("data") if isinstance(seed.tree, dict) else None
    element = data[0] if data else free_tree(rng)
    action = seed.tree.get("action") if isinstance(seed.tree, dict) else None
    if not rng.randrange(10):
        action = ("partial", "snapshot", "update", None, "", [], {})[rng.randrange(7)]
    now = as_decoded(spoiled(rng, element, other.tree))
    return now, action, as_decoded(element)


def as_decoded(value: Any) -> Any:
    """*value* as `decode` gives it: a number is the text of it."""
    if isinstance(value, dict):
        return {name: as_decoded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_decoded(each) for each in value]
    return str(value) if type(value) in (int, float) else value


def make_sentence(rng: Random, corpus: Corpus) -> str:
    """The text of an error, which may name channels."""
    parts = [_SENTENCES[rng.randrange(len(_SENTENCES))] for _ in range(2)]
    data = mangled(rng, parts[0].encode(), parts[1].encode())
    if not rng.randrange(5):
        data = (data + b" ") * rng.randrange(1, 40)
    if not rng.randrange(3):
        data += written(free_tree(rng))
    return data.decode("utf-8", "replace")


def _depth(wire: WireProtocol, element: Any, before: DepthData | None = None) -> Any:
    try:
        return wire.depth(element, before or NO_DEPTH)
    except WireError:
        return None


# --- Judgement ----------------------------------------------------------------------


def check_frame(protocol: str, given: tuple[bytes, bool]) -> str:
    """Decode and read a frame; ``'read'`` if an element of it was of a type."""
    payload, binary = given
    wire = WIRES[protocol]
    try:
        messages = wire.decode(payload, binary)
    except WireError as error:
        return check_error(error)
    assert type(messages) is tuple
    assert messages
    outcome = "decoded"
    text = _inflated(payload) if binary else payload
    for message in messages:
        if isinstance(message, Push):
            _check_push(wire, protocol, message, text)
            for element in message.elements:
                given_element = (element, message.action, element)
                if check_reading(protocol, given_element) == "value":
                    outcome = "read"
        else:
            _check_event(wire, protocol, message)
    return outcome


def check_any_frame(given: tuple[bytes, bool]) -> str:
    """Both protocols read it, one after the other."""
    return f"{check_frame('v3', given)}, {check_frame('v5', given)}"


def _inflated(payload: bytes) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    text = stream.decompress(payload)
    # One whole stream, and nothing else.
    assert stream.eof
    assert not stream.unused_data
    return text


def check_error(error: WireError) -> str:
    """One line that a log can bear."""
    told = for_people(error, error.channel, str)
    assert type(told) is WireError, type(told)
    assert str(told) == str(error)
    assert error.kind.isidentifier() or error.kind == "utf-8", error.kind
    assert len(error.detail) <= MAX_DETAIL, len(error.detail)
    assert error.detail.isprintable(), error.detail
    assert str(error).isprintable()
    assert len(str(error)) <= MAX_SENTENCE, len(str(error))
    return "WireError"


def _check_push(wire: WireProtocol, protocol: str, push: Push, text: bytes) -> None:
    assert push.text.encode() == text
    assert type(push.elements) is list
    assert push.action is None or isinstance(push.action, str)
    # A second reader of the same text sees the same data, and all of it can be encoded.
    again = json.loads(push.text, parse_float=str, parse_int=str)["data"]
    if protocol == "v5":
        assert push.elements == again
        assert key_of(argument_of(push.channel)) == push.channel
    else:
        assert all(element in again for element in push.elements)
        assert push.channel.isascii()
        assert push.channel.isprintable()
    json.dumps(push.elements, ensure_ascii=False).encode()
    wire.path(push.channel)


def _check_event(wire: WireProtocol, protocol: str, message: Any) -> None:
    if isinstance(message, Refused):
        # It is cleaned before it is cut: the session does both.
        check_sentence(message.message)
        assert wire.code(message.code).code == str(message.code)
    elif isinstance(message, (Notice, Terminated)):
        assert isinstance(message.message, str)
    elif isinstance(message, Unknown):
        assert message.name in ("event", "table", "op")
    elif isinstance(message, (Acknowledged, Unsubscribed)) and protocol == "v5":
        assert key_of(argument_of(message.channel)) == message.channel


def check_sentence(text: str) -> str:
    """Whatever an error says, what it names can be a key, and is not much."""
    found = 0
    for wire in WIRES.values():
        names = wire.mentioned(text)
        assert type(names) is tuple
        assert len(set(names)) == len(names)
        found += len(names)
        for name in names:
            assert name.isprintable()
            if wire is v5.PROTOCOL:
                assert key_of(argument_of(name)) == name
    return "named" if found else "nothing named"


def check_reading(protocol: str, given: tuple[Any, Any, Any]) -> str:
    """Every reader takes the element, or says `WireError`."""
    element, action, before = given
    wire, outcome = WIRES[protocol], "WireError"
    # What came before spares the depth a check, and never one that it needs.
    assert _depth(wire, element, _depth(wire, before)) == _depth(wire, element)
    reads: tuple[tuple[Callable[[], Any], Check], ...] = (
        (lambda: wire.depth(element, NO_DEPTH), check_depth),
        (lambda: wire.book(element, action), check_book_data),
        (lambda: wire.trade(element), check_trade),
        (lambda: wire.ticker(element), check_ticker),
        (lambda: wire.candle(element), check_candle),
        (lambda: wire.funding(element), check_funding),
    )
    for read, check in reads:
        try:
            value = read()
        except WireError as error:
            check_error(error)
            continue
        outcome = "value"
        check(protocol, value, element)
    return outcome
