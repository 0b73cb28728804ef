"""What a tap records of one connection, and what it must never record."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    Credentials,
    HandshakeFailed,
    OkexWSError,
    Stalled,
    Venue,
)
from okex_ws.net.frames import HEAD, MAX_FRAME, Cut
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.recording.format import Entry, write_line
from okex_ws.recording.tap import Frame, FrameRedaction, RecordingTap, describe
from tests.support.clocks import FakeClock
from tests.support.virtual_world import deflate

KEY = Credentials("key-1234-abcd", 'se"cret/ümlaut', "pass phräse")
URL = "wss://ws.example.test:443/ws/v5/private"


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._last = 0

    def number(self) -> int:
        self._last += 1
        return self._last

    def frames(
        self, wall: float, mono: float, number: int, frames: Sequence[Frame]
    ) -> None:
        self.entries += [
            Entry(wall, mono, number, "in", payload, binary)
            for payload, binary in frames
        ]

    def put(self, entry: Entry) -> None:
        self.entries.append(entry)

    @property
    def text(self) -> str:
        return "".join(map(write_line, self.entries))


def make(
    credentials: Credentials | None = None,
) -> tuple[RecordingTap, Sink, FakeClock]:
    sink, clock = Sink(), FakeClock()
    facts: dict[str, Any] = {"path": "private", "venue": {}}
    return RecordingTap(sink, 5, clock, facts, credentials, print), sink, clock


def test_each_opening_has_a_number_and_all_of_them_one_line() -> None:
    tap, sink, clock = make()
    for _ in range(2):
        tap.opened(URL)
        clock.advance(1.0)
        tap.received([(b"a", False), (b"b", True)])
        tap.sent("ping")
        tap.control(9, b"x")
        tap.ended(URL, ConnectionLost(URL, "reset by peer", 1006))

    kinds = ["open", "in", "in", "out", "control", "end"]
    assert [entry.kind for entry in sink.entries] == kinds * 2
    assert [entry.connection for entry in sink.entries] == [1] * 6 + [2] * 6
    opening, first, second, out, control, end = sink.entries[:6]
    assert opening.facts == {"url": URL, "line": 5, "path": "private", "venue": {}}
    assert (first.payload, first.binary) == (b"a", False)
    assert (second.payload, second.binary) == (b"b", True)
    assert (first.mono, first.wall) == (1001.0, clock.wall() - 1.0)
    assert (out.payload, control.payload, control.facts) == (
        *(b"ping", b"x"),
        {"opcode": 9},
    )
    assert end.facts == {
        "cause": "ConnectionLost",
        "why": "reset by peer",
        "cause_code": "network",
        "code": 1006,
    }


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (Stalled("no pong came", 10.0), {"why": "no pong came within 10 s"}),
        (
            HandshakeFailed(URL, "HTTP 429", 429, 2.0),
            {"why": "HTTP 429", "status": 429, "retry_after": 2.0},
        ),
    ],
)
def test_an_attempt_that_failed_is_told(
    error: OkexWSError, facts: dict[str, Any]
) -> None:
    tap, sink, _ = make()

    tap.ended(URL, error)

    (entry,) = sink.entries
    assert (entry.kind, entry.connection) == ("failed", 0)
    assert facts.items() <= entry.facts.items()
    assert entry.facts["cause"] == type(error).__name__
    assert entry.facts["url"] == URL


def test_an_end_of_our_own_has_no_cause_and_an_attempt_given_up_is_none() -> None:
    tap, sink, _ = make()
    tap.ended(URL, None)
    tap.opened(URL)
    tap.close_frame_sent(1000)
    tap.ended(URL, None)

    assert [entry.kind for entry in sink.entries] == ["open", "control", "end"]
    assert sink.entries[1].facts == {"opcode": 8, "sent": True}
    assert sink.entries[2].facts["cause"] == ""


def forms(secret: str) -> list[str]:
    once = json.dumps(secret)[1:-1]
    return [
        secret,
        once,
        json.dumps(once)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.replace("/", "\\/"),
    ]


@pytest.mark.parametrize("wire", [V3, V5])
@pytest.mark.parametrize("pack", [str.encode, deflate])
def test_no_secret_is_written_however_it_is_repeated(
    wire: Any, pack: Callable[[str], bytes]
) -> None:
    tap, sink, _ = make(KEY)
    login = wire.login(KEY, 1_700_000_000.0)
    args = json.loads(login)["args"]
    said = list(args[0].values()) if isinstance(args[0], dict) else args
    secrets = [*said, KEY.secret_key]
    secrets = [each for each in secrets if not each.replace(".", "").isdigit()]
    assert len(secrets) == 4
    binary = pack is deflate

    tap.opened(URL)
    tap.sent(login)
    tap.received([(pack(form), binary) for one in secrets for form in forms(one)])
    tap.received([(pack(json.dumps({"msg": login})), binary)])
    tap.control(8, KEY.passphrase.encode())
    tap.ended(URL, ConnectionLost(URL, f"no: {KEY.passphrase}"))

    written = sink.text
    for entry in sink.entries:
        if entry.kind == "in":
            written += V3.unpack(entry.payload, entry.binary).decode()
    for secret in secrets:
        for form in forms(secret):
            assert form not in written
    assert '"op":"login"' in sink.entries[1].payload.decode()


def test_what_is_no_secret_stays_as_it_was() -> None:
    redaction = FrameRedaction(KEY)
    text = '{"arg":{"channel":"account"},"data":[{"ts":"1700000000000"}]}'
    redaction.request(V5.login(KEY, 1_700_000_000.0))

    assert redaction.message(text.encode(), False, MAX_FRAME) == text.encode()
    packed = deflate(text)
    assert redaction.message(packed, True, MAX_FRAME) == packed
    assert redaction.message(b"\xff garbage", True, MAX_FRAME) == b"\xff garbage"
    assert redaction.request('{"op":"subscribe"}') == '{"op":"subscribe"}'


def test_the_code_of_a_close_frame_stays_beside_its_cleaned_reason() -> None:
    tap, sink, _ = make(Credentials("key-1234", "secret-1234", "abc"))

    tap.control(8, b"\x13p" + b"abc")
    tap.control(9, b"abc")

    assert [entry.payload for entry in sink.entries] == [b"\x13p...", b"..."]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[:-1],
        lambda packed: packed + b"rest",
        lambda packed: packed[:-8] + b"\xff" * 8,
    ],
)
def test_a_damaged_stream_shows_no_secret_up_to_its_damage(
    spoil: Callable[[bytes], bytes],
) -> None:
    text = "".join(f"{n}:{KEY.api_key}," for n in range(100))
    redaction = FrameRedaction(KEY)

    kept = redaction.message(spoil(deflate(text)), True, MAX_FRAME)

    assert KEY.api_key not in V3.unpack(kept, True).decode()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("place", [0, 2000, 4086])
def test_a_message_that_was_too_large_has_no_secret_and_no_part_of_one(
    place: int, binary: bool
) -> None:
    """A secret may be cut off where the kept beginning of the message ends."""
    head = ("." * place + KEY.passphrase + "." * 5000)[:HEAD].encode()
    payload = Cut(deflate(head.decode()) if binary else head)
    large = deflate("." * place + KEY.passphrase + "." * 90_000)

    for each in (payload, large) if binary else (payload,):
        kept = FrameRedaction(KEY).message(each, binary, 65536)

        assert type(kept) is Cut
        said = zlib.decompress(kept, -15) if binary else bytes(kept)
        assert KEY.passphrase[:5].encode() not in said
        assert len(said) >= 1000


@pytest.mark.parametrize("end", range(200, 230))
def test_a_secret_that_is_cut_off_in_an_escape_is_not_recorded_in_part(
    end: int,
) -> None:
    said = "." * 200 + json.dumps(KEY.passphrase)[1:-1]

    kept = FrameRedaction(KEY).message(Cut(said[:end].encode()), False, 65536)

    assert said.startswith(kept.decode())
    assert KEY.passphrase[:2].encode() not in kept


@pytest.mark.parametrize("flaw", [5000, 20_000])
def test_a_secret_before_the_damage_of_a_stream_is_not_recorded(flaw: int) -> None:
    noise = random.Random(7).randbytes(60_000).hex()
    good = deflate(f"{KEY.passphrase} {noise[:flaw]} {KEY.passphrase}{noise}")
    damaged = good[:flaw] + b"\xff" * 50

    kept = FrameRedaction(KEY).message(damaged, True, MAX_FRAME)

    said = zlib.decompressobj(-15)
    written = b"".join(said.decompress(kept[n : n + 1]) for n in range(len(kept)))
    assert KEY.passphrase.encode() not in written
    assert noise[:8].encode() in written


def test_a_venue_is_described_by_what_a_replay_needs() -> None:
    venue = Venue("mine", "v3", ("ws://127.0.0.1/ws/v3",), idle_repeat=60.0)

    facts = describe(venue, "")

    assert facts["path"] == ""
    assert facts["venue"]["idle_repeat"] == 60.0
    assert facts["venue"]["name"] == "mine"
    assert json.loads(json.dumps(facts))["venue"]["protocol"] == "v3"
