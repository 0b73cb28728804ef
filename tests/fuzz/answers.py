"""Targets for small readers: numbers, handshakes, channels, errors and captures.

Each check states in code what the docstring of the called function promises.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import tempfile
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

from okex_ws.base.errors import ConnectionLost, HandshakeFailed, OkexWSError, Stalled
from okex_ws.channels.convert import iso
from okex_ws.local_exchange.market.capture import RecordedMarket
from okex_ws.model.credentials import Credentials
from okex_ws.model.numbers import decimal, quote, to_float
from okex_ws.model.redaction import make_clean
from okex_ws.net import http_head
from okex_ws.net.transport import Transport
from okex_ws.protocol import v3, v5, values
from okex_ws.protocol.catalogue import argument_of, key_of
from okex_ws.session.login import Login
from tests.fuzz.books import is_number
from tests.fuzz.corpus import Corpus
from tests.fuzz.mutators import deflated, free_tree, leaf, mangled, spoiled, written
from tests.support.loopback_servers import accept_head
from tests.support.scripted_network import ScriptedNetwork, ScriptedStream

_ENDPOINT = "ws://venue.test/ws/v3"

# --- Numbers and times --------------------------------------------------------------

_TIMES = ("2022-02-25T00:00:01.032Z", "1999-12-31T23:59:59.999Z", "1786541241006")


def make_number(rng: Random, corpus: Corpus) -> Any:
    """Mostly a string that is nearly a number or a time."""
    what = rng.randrange(8)
    if what == 0:
        return free_tree(rng, 2)
    if what < 4:
        return spoiled(rng, _TIMES[rng.randrange(3)], None)
    digits = str(rng.randrange(10 ** rng.randrange(1, 20)))
    at = rng.randrange(len(digits) + 1)
    text = digits[:at] + "." + digits[at:] if rng.randrange(2) else digits
    return spoiled(rng, text, leaf(rng)) if rng.randrange(4) else text


def check_number(value: Any) -> str:
    """A reader of numbers takes what is one, exactly, and refuses all else."""
    good = is_number(value)
    assert _or_none(decimal, value) == (Decimal(value) if good else None)
    read = _or_none(to_float, value)
    assert (read is not None) is good
    if good:
        assert read == float(value)
        assert 0 <= read < float("inf")
        assert (read == 0) is (Decimal(value) == 0)
    negative = isinstance(value, str) and value[:1] == "-" and is_number(value[1:])
    number = _or_none(values.signed, value)
    assert (number is not None) is (good or negative)
    if number is not None:
        assert number.as_tuple() == Decimal(value).as_tuple()
    for read_int in (values.whole, values.integer):
        found = _or_none(read_int, value)
        if found is not None:
            assert int(value) == found
            assert abs(found) < 10**20
    epoch, written_ms = _or_none(values.epoch_ms, value), _or_none(values.iso_ms, value)
    assert epoch is None or (str(epoch) == value and iso(epoch))
    assert written_ms is None or iso(written_ms) == value
    assert len(quote(value)) <= 80
    assert quote(value).isprintable()
    return "value" if good or number or epoch or written_ms else "ValueError"


def _or_none(read: Any, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        _is_line(str(error), 300)
        return None


def _is_line(text: str, most: int) -> None:
    assert text.isprintable(), text
    assert len(text) <= most, len(text)


# --- The answer to a handshake ------------------------------------------------------

_ANSWERS = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT"
    b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n<html>",
    b"HTTP/1.1 301 Moved\nLocation: ws://127.0.0.1:1/\nSet-Cookie: a=b;\n domain=c\n\n",
    b"HTTP/1.0 403 \r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie2: x=y; Max-Age=-1\r\nDate: Sunday, 06-Nov-94 "
    b"08:49:37 GMT\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
)
# Stands for the answer that opens a WebSocket, which depends on the request.
_YES = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: <accept>\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    b"Set-Cookie: a=b; domain=venue.test\r\n\r\n\x81\x01a"
)
_WISHES = (
    *("0", "120", "-5", "1.5", "soon", "9" * 400, "Wed, 21 Oct 2015 07:28:00 -0000"),
    *(
        "Wed, 99 Oct 2999 07:28:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "\xb2",
        "1 2",
    ),
    *(
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        f"1 Jan 2030 0:0:{'9' * 30} GMT",
    ),
    *("Fri, 31 Dec 2999 23:59:59 +99999999999999999999", "1 Jan -1 00:00:00 GMT"),
    *("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -9999", "0:0:0"),
)


def make_answer(rng: Random, corpus: Corpus) -> bytes:
    """An HTTP answer, spoiled."""
    what = rng.randrange(8)
    if what == 0:
        return rng.randbytes(rng.randrange(80))
    data = _ANSWERS[rng.randrange(len(_ANSWERS))]
    if what < 4:
        name = (b"Retry-After", b"Date")[rng.randrange(2)]
        wish = _WISHES[rng.randrange(len(_WISHES))].encode()
        wish = mangled(rng, wish, wish) if rng.randrange(2) else wish
        data = b"HTTP/1.1 503 Busy\r\n" + name + b": " + wish + b"\r\n\r\n"
    if not rng.randrange(200):
        return data[:-2] + b"X: y\r\n" * 3000 + b"\r\n"
    return mangled(rng, data, _ANSWERS[rng.randrange(len(_ANSWERS))])


def check_answer(answer: bytes) -> str:
    """A refusal with facts in bounds, or nothing yet."""
    date = http_head.server_date(answer)
    assert date is None or abs(date) < 1e12
    kept = http_head.COOKIES.sub(b"", answer)
    assert len(kept) <= len(answer)
    http_head.retry_after(answer.decode("latin-1"))
    _check_head(answer)
    # A proxy's, of which no text is repeated.
    quiet = http_head.refusal(_ENDPOINT, answer, http_head.TUNNEL, "proxy: ", False)
    if quiet is not None:
        _check_failed(quiet)
        assert quiet.status is None or quiet.reason in _phrases(quiet.status)
    error = http_head.refusal(_ENDPOINT, answer)
    return "nothing yet" if error is None else _check_failed(error)


def _check_head(answer: bytes) -> None:
    """Up to the blank line, and nothing behind it."""
    head, rest = bytearray(), io.BytesIO(answer)

    def recv(size: int) -> bytes:
        if data := rest.read(size):
            return data
        raise ConnectionLost(_ENDPOINT, "the script is over")

    whole = None
    with contextlib.suppress(ConnectionLost):
        whole = http_head.read_head(recv, head)
    assert answer.startswith(head)
    assert len(head) <= http_head.MAX_HANDSHAKE
    ends = [at + len(end) for end in _ENDS if (at := answer.find(end)) >= 0]
    if whole:
        assert len(head) == min(ends)
    elif whole is None:
        assert not ends or min(ends) > http_head.MAX_HANDSHAKE


_ENDS = (b"\r\n\r\n", b"\n\n")


def _phrases(status: int) -> tuple[str, ...]:
    try:
        return (f"proxy: HTTP {status} {HTTPStatus(status).phrase}",)
    except ValueError:
        return (f"proxy: HTTP {status}",)


def _check_failed(error: HandshakeFailed) -> str:
    assert error.endpoint == _ENDPOINT
    assert error.status is None or 0 <= error.status <= 999
    assert error.retry_after is None or 0 <= error.retry_after <= 600
    _check_said(error)
    return "HandshakeFailed"


def _check_said(error: OkexWSError) -> None:
    _is_line(str(error), 300)


def make_handshake(rng: Random, corpus: Corpus) -> bytes:
    """An answer to a real handshake, in which ``<accept>`` stands for the proof."""
    what = rng.randrange(6)
    if what == 0:
        return make_answer(rng, corpus)
    if what == 1:
        return _YES
    other = _ANSWERS[rng.randrange(len(_ANSWERS))]
    return mangled(rng, _YES, other)


class _Answering(ScriptedStream):
    """Answers the request, with the proof in the place of its mark."""

    def send(self, data: bytes) -> int:
        proof = accept_head(data).rpartition(b"Accept: ")[2].strip()
        assert self._answer is not None
        self._answer = self._answer.replace(b"<accept>", proof)
        return super().send(data)


def check_handshake(answer: bytes) -> str:
    """A transport, or one of the three errors that `Transport.open` names."""
    stream = _Answering([], answer)
    try:
        transport = Transport.open(ScriptedNetwork(stream), _ENDPOINT, 0.0, bool)
    except (HandshakeFailed, Stalled, ConnectionLost) as error:
        _check_said(error)
        assert stream.closed
        return type(error).__name__
    assert not stream.closed
    assert transport.server_date is None or abs(transport.server_date) < 1e12
    return "value"


# --- Channels and secrets -----------------------------------------------------------


def make_argument(rng: Random, corpus: Corpus) -> Any:
    """The argument of a subscribe request, as a user may write one."""
    if not rng.randrange(4):
        return free_tree(rng, 2)
    good = (
        {"channel": "books5", "instId": "AB-USDT"},
        {"channel": "orders", "instType": "SWAP", "instFamily": "BTC-USD"},
        "spot/order:BTC-USDT",
        "system/status",
        "tickers",
    )
    return spoiled(rng, good[rng.randrange(5)], good[rng.randrange(5)])


def check_argument(argument: Any) -> str:
    """A channel whose key is its own, or the user's mistake."""
    outcome = "refused"
    for wire in (v3.PROTOCOL, v5.PROTOCOL):
        try:
            name = wire.raw(argument)
        except (ValueError, TypeError) as error:
            _is_line(str(error), 600)
            continue
        outcome = "value"
        assert wire.request("subscribe", [name.key], 1).channels == (name.key,)
        if wire is v5.PROTOCOL:
            assert key_of(argument_of(name.key)) == name.key
    return outcome


def make_secret(rng: Random, corpus: Corpus) -> tuple[list[Any], str]:
    """Three texts of a key, and a sentence that has some of them in it."""
    alphabet = "abcXYZ019"
    texts: list[Any] = [
        "".join(alphabet[rng.randrange(9)] for _ in range(rng.randrange(1, 30)))
        for _ in range(3)
    ]
    parts = [*texts, "Invalid sign", '{"op":"login"}', " ", ""]
    message = "".join(parts[rng.randrange(len(parts))] for _ in range(rng.randrange(6)))
    if not rng.randrange(3):
        texts[rng.randrange(3)] = leaf(rng)
    return texts, message


def check_secret(given: tuple[list[Any], str]) -> str:
    """A key is kept out of its repr, its errors, and what an error's text says."""
    texts, message = given
    try:
        credentials = Credentials(*texts)
    except (ValueError, TypeError) as error:
        _is_hidden([text for text in texts if isinstance(text, str)], str(error))
        return type(error).__name__
    assert repr(credentials) == "Credentials()"
    clean = make_clean(credentials)
    for wire in (v3.PROTOCOL, v5.PROTOCOL):
        write = functools.partial(wire.login, credentials)
        assert Login(write, 1.0, clean).ask(1.5)
    # A shorter one is cut out where it is a whole word.
    secrets = [text for text in texts if text.strip(".") and len(text) >= 6]
    assert not any(secret in clean(message) for secret in secrets)
    return "value"


def _is_hidden(texts: list[str], said: str) -> None:
    # A short one may be a word of the sentence.
    assert not any(text in said for text in texts if len(text) >= 12)


# --- Captures -----------------------------------------------------------------------

Capture = tuple[bytes, bytes, "bytes | None"]


def make_capture(rng: Random, corpus: Corpus) -> Capture:
    """The three files of a small capture, of which one may be spoiled."""
    protocol, links = corpus.chain(rng)
    trees = []
    for action, element in links[: rng.randrange(1, 5)]:
        about: dict[str, Any] = {"table": "spot/depth"}
        if protocol == "v5":
            about = {"arg": {"channel": "books", "instId": "AB-USDT"}}
        own = {**element, "instrument_id": "AB-USDT"}
        trees.append({**about, "action": action, "data": [own]})
    seed = corpus.pick(rng, protocol)
    if not rng.randrange(3):
        trees.append(seed.tree)
    what = rng.randrange(8)
    if what < 5:
        at = rng.randrange(len(trees))
        trees[at] = spoiled(rng, trees[at], seed.tree)
    texts = [written(tree).replace(b"\n", b" ") for tree in trees]
    times = b"".join(b"%d.5\n" % (1618678200 + at) for at in range(len(texts)))
    packed = None
    if protocol == "v3":
        packed = b"\n".join(base64.b64encode(deflated(text, 1)) for text in texts)
    lines = b"\n".join(texts)
    if what == 5:
        lines = mangled(rng, lines, times)
    elif what == 6:
        times = mangled(rng, times, b"nan")
    elif what == 7 and packed is not None:
        packed = mangled(rng, packed, times)
    return lines, times, packed


def check_capture(given: Capture) -> str:
    """A market that can be played, or a `ValueError` that says where it is damaged."""
    lines, times, packed = given
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "NAME"
        path.with_suffix(".recv.jsonl").write_bytes(lines)
        path.with_suffix(".recv.times").write_bytes(times)
        if packed is not None:
            path.with_suffix(".deflate.b64").write_bytes(packed)
        try:
            market = RecordedMarket(path)
        except FileNotFoundError:
            assert packed is None
            return "FileNotFoundError"
        except ValueError:
            return "ValueError"
    channels = market.channels
    assert market.busiest in market.instruments
    assert sum(1 for _ in market.advance(float("inf"), 0.0, channels)) > 0
    assert market.ended
    for channel in channels:
        market.present(channel, 0.0)
    return "value"


# Where files cost least.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
