"""Messages are whole, in order and themselves, or it is said that they are not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base import errors
from okex_ws.base.state import State
from okex_ws.isolation import process
from okex_ws.isolation.process import GarbageError, Unpacker, pack
from tests.support.causes import because
from tests.support.internals import message_head

MESSAGES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(st.lists(MESSAGES), st.lists(st.integers(1, 50)))
def test_messages_come_out_as_they_went_in(
    messages: list[object], cuts: list[int]
) -> None:
    data, unpacker, out = b"".join(map(pack, messages)), Unpacker(), []
    for size in [*cuts, len(data)]:
        out += unpacker.feed(data[:size])
        data = data[size:]

    assert out == messages


@given(st.data())
def test_nothing_comes_of_a_message_with_one_changed_bit(data: st.DataObject) -> None:
    packed = bytearray(pack(("log", {"msg": "hello"})))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= 1 << data.draw(st.integers(0, 7))
    out = []

    # A length that is another one waits for more, or eats into what follows.
    with contextlib.suppress(GarbageError):
        out += Unpacker().feed(bytes(packed) + pack("next") * 300)

    assert out == []


@pytest.mark.parametrize("data", [b"Traceback (most recent", b"\0" * 12])
def test_words_that_are_no_message_are_refused_at_once(data: bytes) -> None:
    with pytest.raises(GarbageError, match="no message begins with"):
        list(Unpacker().feed(data))


def test_a_message_without_an_end_is_not_waited_for() -> None:
    head = message_head(process.MAX_MESSAGE + 1)
    with pytest.raises(GarbageError):
        list(Unpacker().feed(head))


@pytest.mark.parametrize(
    "error",
    [
        errors.OkexWSError("the reading process ended"),
        errors.ConnectionLost("wss://x", "gone", 1001, advice="443 answers"),
        errors.HandshakeFailed("wss://x", "no", 503, 7.0, advice="gone"),
        errors.Stalled("no pong came", 10.0),
        errors.WireError("json", "not an object", "books5:BTC-USDT"),
        errors.ChecksumMismatch(1, -2),
        errors.SequenceGap(None, 7),
        errors.SubscriptionRejected("60018", "doesn't exist", "books5:X"),
        errors.BudgetSpent("subscribe", 3, 7.5),
        errors.LoginRejected(60009, "failed"),
        errors.MessagesLost("BTC-USDT", "trade", 3),
        errors.NotLive(State.STALE, because("the lease ended")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_facts_on_the_way(error: errors.OkexWSError) -> None:
    if isinstance(error, errors.BookError):
        error.channel = "books:BTC-USDT"
    (same,) = Unpacker().feed(pack(error))

    assert type(same) is type(error)
    assert (str(same), same.args, vars(same)) == (str(error), error.args, vars(error))
