"""Which request an answer is the answer to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okex_ws.protocol.messages import Refused
from okex_ws.replay.requests import Outstanding, ReplayDialect

A, B, C = (f"books5:{name}-USDT" for name in "ABC")


def asking(*keys: str, number: str = "1", op: str = "subscribe") -> bytes:
    args: list[dict[str, Any]] = [
        {"channel": "books5", "instId": key.partition(":")[2]} for key in keys
    ]
    return json.dumps({"id": number, "op": op, "args": args}).encode()


@pytest.fixture
def outstanding() -> Outstanding:
    return Outstanding(ReplayDialect("v5"))


def test_an_acknowledgement_is_that_of_what_was_asked_once(
    outstanding: Outstanding,
) -> None:
    outstanding.note_sent(b"ping")
    outstanding.note_sent(asking(A, B))

    assert outstanding.acknowledged("unsubscribe", A) == []
    assert outstanding.acknowledged("subscribe", A) == [A]
    assert outstanding.acknowledged("subscribe", A) == []
    assert outstanding.acknowledged("subscribe", B) == [B]


def test_where_nobody_knows_what_was_asked_each_is_an_answer(
    outstanding: Outstanding,
) -> None:
    outstanding.unknown = True

    assert outstanding.acknowledged("subscribe", C) == [C]


def test_an_error_means_whom_it_names_else_the_request_of_its_number(
    outstanding: Outstanding,
) -> None:
    outstanding.note_sent(asking(A, B, number="1"))
    outstanding.note_sent(asking(C, number="2", op="unsubscribe"))
    named = "channel:books5,instId:B-USDT doesn't exist"

    assert outstanding.refused(Refused("60018", "no", "9")) == ("subscribe", [])
    assert outstanding.refused(Refused("60018", named, "1")) == ("subscribe", [B])
    assert outstanding.refused(Refused("60018", "no", "2")) == ("unsubscribe", [C])
    assert outstanding.refused(Refused("60018", "no", "1")) == ("subscribe", [A])
    assert outstanding.refused(Refused("60018", "no", None)) == ("subscribe", [])


def test_without_a_number_it_means_what_was_asked_first(
    outstanding: Outstanding,
) -> None:
    outstanding.note_sent(asking(A))
    outstanding.note_sent(asking(B))

    assert outstanding.refused(Refused(30040, "no")) == ("subscribe", [A])


def test_a_login_is_answered_once(outstanding: Outstanding) -> None:
    outstanding.note_sent(b'{"op":"login","args":"redacted"}')

    assert outstanding.refuses_login()
    assert not outstanding.refuses_login()
    outstanding.note_sent(b'{"op":"login","args":"redacted"}')
    outstanding.logged_in()
    assert not outstanding.refuses_login()
