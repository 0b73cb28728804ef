"""What travels through Redis: written and read back, and total over what does not."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import Cause, CauseCode
from okex_ws.fanout.envelope import (
    SCHEMA,
    Beat,
    EnvelopeError,
    Forwarded,
    Identity,
    Link,
    Names,
    OtherSchema,
    Vouch,
    decode,
    encode,
    encode_beat,
)

WHO = Identity(7, "abc", "def")
DATA = Forwarded(WHO, "books5:BTC-USDT", 12, 11, 3, b'{"arg":{}}')
BEAT = Beat(
    WHO,
    1 << 41,
    15.0,
    {3: Link(1.25, "wss://ws.okx.com:443/ws/v5/public")},
    {"books5:BTC-USDT": Vouch(12, 3, True), "trades:BTC-USDT": Vouch(4, 3, False)},
    {"books:X": Cause(CauseCode.PONG, "no pong came", "wss://x", exchange_code=4004)},
)
WHOLE = st.integers(0, 1 << 61)
WORD = st.text("abcdef0123456789", min_size=1, max_size=12)


@given(
    st.builds(
        Forwarded,
        st.builds(Identity, WHOLE, WORD, WORD),
        st.text(min_size=1, max_size=40).filter(lambda name: name.isprintable()),
        WHOLE,
        WHOLE,
        WHOLE,
        st.binary(max_size=80),
    )
)
def test_a_message_is_read_as_it_was_written(said: Forwarded) -> None:
    assert decode(encode(said)) == said


def test_a_beat_is_read_as_it_was_written() -> None:
    assert decode(encode_beat(BEAT)) == BEAT


def test_the_form_is_the_one_that_the_guide_describes() -> None:
    assert encode(DATA) == (
        b"okx1 data def 7 abc 12 11 3 books5:BTC-USDT\n" + b'{"arg":{}}'
    )
    assert encode_beat(BEAT).startswith(b"okx1 beat def 7 abc 2199023255552 15.0\n{")


@pytest.mark.parametrize("whole", [encode(DATA), encode_beat(BEAT)])
def test_a_changed_byte_is_another_message_or_none(whole: bytes) -> None:
    was = decode(whole)
    for place in range(len(whole)):
        for byte in (0x00, 0x20, 0x2D, 0x39, 0x7B, 0xFF):
            spoilt = bytearray(whole)
            spoilt[place] = byte
            try:
                said = decode(bytes(spoilt))
            except EnvelopeError:
                continue
            # Only white space of JSON, and a digit that says the same, differ unseen.
            assert said != was or bytes(spoilt) == whole or byte in (0x20, 0x30)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(EnvelopeError):
        decode(payload)


@given(st.binary(max_size=60), st.sampled_from([b"data", b"beat"]))
def test_any_bytes_behind_the_schema_are_read_or_refused(
    rest: bytes, kind: bytes
) -> None:
    with suppress(EnvelopeError):
        decode(SCHEMA.encode() + b" " + kind + b" " + rest)


def test_another_release_is_named_as_that() -> None:
    with pytest.raises(OtherSchema, match="okx2"):
        decode(encode(DATA).replace(b"okx1", b"okx2", 1))


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"links":{"3":[-1,"x"]},"topics":{},"lost":{}}',
        '{"links":{"3":[NaN,"x"]},"topics":{},"lost":{}}',
        '{"links":{"3":["x"]},"topics":{},"lost":{}}',
        '{"links":{},"topics":{"a":[-1,3,true]},"lost":{}}',
        '{"links":{},"topics":{"a":[1.5,3,true]},"lost":{}}',
        '{"links":{},"topics":{"a":[true,3,true]},"lost":{}}',
        '{"links":{},"topics":{},"lost":{"a":[1]}}',
        f'{{"links":{{"3":[{10**400},"x"]}},"topics":{{}},"lost":{{}}}}',
        "[" * 100_000,
    ],
)
def test_a_malformed_beat_is_refused(body: str) -> None:
    with pytest.raises(EnvelopeError):
        decode(f"okx1 beat def 7 abc 5 15.0\n{body}".encode())


def test_names_lead_to_their_topics_and_back() -> None:
    names = Names("{okx}:desk:okx:0")

    assert names.topic_of(names.topic("books5:BTC-USDT")) == "books5:BTC-USDT"
    assert names.topic_of(names.beat) is None
    assert names.topic_of("{okx}:desk:okx:1:t:books5:BTC-USDT") is None
    fixed = {names.beat, names.probe, names.leader, names.term}
    assert len(fixed) == 4
    assert all(name.startswith("{okx}:desk:okx:0:") for name in fixed)
