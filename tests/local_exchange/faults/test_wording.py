"""A true message in other words: what it says stays the same."""

from __future__ import annotations

import json

import pytest

from okex_ws.local_exchange.faults.wording import (
    WORDINGS,
    trade_id,
    with_clock,
    with_trade_ids,
    worded,
)
from okex_ws.local_exchange.wire.values import EncodedPush

V5 = (
    '{"arg":{"channel":"books5","instId":"A-B"},'
    '"data":[{"ts":"1700","seqId":12345678}]}'
)
V3 = (
    '{"table":"spot/trade","data":[{"trade_id":"7","price":1.50,"instrument_id":"A-B",'
    '"timestamp":"2022-02-25T00:00:01.032Z"}]}'
)
PUSHES = {"v5": EncodedPush("books5:A-B", V5, V5), "v3": EncodedPush("a", V3)}


@pytest.mark.parametrize("protocol", PUSHES)
@pytest.mark.parametrize("how", WORDINGS)
def test_each_wording_is_another_text_of_the_same_data(protocol: str, how: str) -> None:
    push = PUSHES[protocol]
    said = worded(push, how)

    assert said.text != push.text
    assert (said.frame is None) is (protocol == "v3")
    (before,), (now,) = push.elements, said.elements
    assert {**now, "instrument_id": ""} == {**before, "instrument_id": ""}


def test_the_order_is_turned_at_every_depth_and_numbers_keep_their_digits() -> None:
    assert worded(PUSHES["v5"], "order").text == (
        '{"data":[{"seqId":12345678,"ts":"1700"}],'
        '"arg":{"instId":"A-B","channel":"books5"}}'
    )
    assert '"price":1.50' in worded(PUSHES["v3"], "order").text


def test_a_name_is_another_one() -> None:
    field, case, event = (
        json.loads(worded(PUSHES["v5"], how).text) for how in ("field", "case", "event")
    )

    assert field["arg"] == {"channel": "books5", "instId": "A-B", "instType": "ANY"}
    assert case["arg"] == {"channel": "books5", "instId": "a-b"}
    assert event["event"] == "update"
    element = json.loads(worded(PUSHES["v3"], "case").text)["data"][0]
    assert element["instrument_id"] == "a-b"


def test_a_clock_that_is_off_changes_the_time_alone() -> None:
    assert with_clock(PUSHES["v5"], -1.5).text == V5.replace('"1700"', '"200"')
    depth = EncodedPush("b", V3.replace('"trade_id":"7",', ""))
    later = with_clock(depth, 3600.0).text
    assert later == depth.text.replace("T00:00:01.032", "T01:00:01.032")
    assert with_clock(depth, 0.0) is depth


def test_a_trade_keeps_the_time_of_the_matching_engine() -> None:
    assert with_clock(PUSHES["v3"], 3600.0) is PUSHES["v3"]


def test_trades_are_numbered_anew() -> None:
    assert trade_id(PUSHES["v5"]) is None
    assert trade_id(PUSHES["v3"]) == 7
    assert trade_id(with_trade_ids(PUSHES["v3"], 1000)) == 1007
