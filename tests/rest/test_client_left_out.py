"""One row that cannot be read costs only itself: the answer has the others, and why."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from okex_ws import Venue, WireError
from okex_ws.rest import Answer, Rest
from tests.support.rest_v5_samples import SWAP

START = 1_597_026_360_000
TRADE = {"instId": "BTC-USDT", "px": "1", "sz": "1", "side": "buy", "ts": str(START)}


def rest(answer: Callable[[httpx.Request], Any]) -> Rest:
    """A client of an exchange that gives the rows *answer*."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"code": "0", "data": answer(request)})

    venue = Venue("x", "v5", ("wss://x.test/ws/v5",), rest="https://x.test")
    return Rest(venue, transport=httpx.MockTransport(respond), retries=0)


def listed(rows: list[Any], size: int = 100) -> Callable[[httpx.Request], list[Any]]:
    """An exchange that pages through *rows*, newest first, whose places count down."""

    def answer(request: httpx.Request) -> list[Any]:
        params = request.url.params
        after, limit = params.get("after"), int(params["limit"])
        older = [row for place, row in rows if after is None or place < int(after)]
        return older[: min(limit, size)]

    return answer


def trades(*bad: int) -> list[Any]:
    """The trades 1 to 1,000, newest first; those of *bad* have no side."""
    return [
        (number, {**TRADE, "tradeId": str(number), "side": ""})
        if number in bad
        else (number, {**TRADE, "tradeId": str(number)})
        for number in range(1000, 0, -1)
    ]


def bar(minute: int, *rest: str) -> list[str]:
    return [str(START + 60_000 * minute), "10", "12", "9", "11", *rest]


def whose(answer: Answer[Any]) -> list[tuple[int, bool]]:
    """Where something was left out, and whether each is told with its reason."""
    return [(place, isinstance(error, WireError)) for place, error in answer.left_out]


def test_nine_hundred_instruments_are_given_beside_bad_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [{**SWAP, "instId": f"A{number}-USDT-SWAP"} for number in range(900)]
    rows[7:7] = [{**SWAP, "instId": ""}, {**SWAP, "baseCcy": "X Y"}, "no row", None]

    with rest(lambda request: rows) as client, caplog.at_level(logging.WARNING):
        found = client.instruments("swap")

    assert [each.instrument_id for each in found][6:8] == [
        "A6-USDT-SWAP",
        "A7-USDT-SWAP",
    ]
    assert len(found) == 900
    assert whose(found) == [(7, True)] * 4
    assert "not a name: 'X Y'" in str(found.left_out[1].error)
    assert SWAP["instId"] in str(found.left_out[1].error)
    (record,) = caplog.records
    assert "instruments of swap: 4 of 904 left out" in record.getMessage()


def test_a_family_with_a_bad_row_costs_no_other_family() -> None:
    option = {**SWAP, "stk": "1", "optType": "C"}

    def answer(request: httpx.Request) -> Any:
        if request.url.path.endswith("underlying"):
            return [["A-USD", "B USD", "C-USD"]]
        family = request.url.params["instFamily"]
        return [
            {**option, "instId": f"{family}-210924-1-C" if family[0] == "A" else ""}
        ]

    with rest(answer) as client:
        found = client.instruments("option")

    assert [each.instrument_id for each in found] == ["A-USD-210924-1-C"]
    assert whose(found) == [(1, True)] * 2


def test_an_answer_of_which_nothing_can_be_read_is_an_error() -> None:
    with rest(lambda request: [{}, {}]) as client:
        with pytest.raises(WireError, match="instId"):
            client.instruments("swap")
        with pytest.raises(WireError):
            client.trades("BTC-USDT", limit=5)
        with pytest.raises(WireError):
            client.candles("BTC-USDT", None, "candle1m", limit=5)


def test_an_empty_answer_leaves_nothing_out() -> None:
    with rest(lambda request: []) as client:
        assert client.instruments("swap") == ()
        assert client.trades("BTC-USDT").left_out == ()


@pytest.mark.parametrize("bad", [(), (1000,), (750,), (701, 700, 699), (901, 602, 599)])
def test_bad_trades_are_left_out_once_in_their_places(bad: tuple[int, ...]) -> None:
    # Pages of every length, so that a bad row is the last and the first of one.
    for size in (7, 100, 101, 500):
        with rest(listed(trades(*bad), size)) as client:
            found = client.trades("BTC-USDT", limit=400)

        given = [int(each.id) for each in found]
        good = [n for n in range(1, 1001) if n not in bad]
        assert given == good[-400:], size
        lost = sorted(n for n in bad if n > given[0])
        assert [place for place, _ in found.left_out] == [
            sum(each < n for each in given) for n in lost
        ]
        said = [str(error) for _, error in found.left_out]
        assert all(f"'{n}'" in text for n, text in zip(lost, said, strict=True))


def test_bounds_leave_out_what_is_beyond_them() -> None:
    with rest(listed(trades(900, 650, 600, 550, 400))) as client:
        found = client.trades("BTC-USDT", after_id="580", before_id="620", limit=1000)

    assert [int(each.id) for each in found] == [*range(581, 600), *range(601, 620)]
    assert whose(found) == [(19, True)]


@pytest.mark.parametrize("fields", [(), ("1", "1"), ("1",), ("1", "1", "1", "1")])
def test_candles_have_five_to_nine_fields(fields: tuple[str, ...]) -> None:
    rows = [(int(row[0]), row) for row in (bar(n, *fields) for n in (4, 3, 2, 1))]
    with rest(listed(rows)) as client:
        found = client.candles("BTC-USDT", None, "candle1m", limit=10)

    minutes = [(each.start.minute - 26) for each in found]
    # Of bars that do not say it the newest one counts as open.
    assert minutes == ([1, 2, 3] if len(fields) in (0, 2) else [1, 2, 3, 4])
    assert found.left_out == ()
    assert all(each.closed for each in found)


@pytest.mark.parametrize(
    "bad",
    [
        bar(3, "1", "1", "1"),
        bar(3, *["1"] * 5),
        bar(3, "-1", "1", "1", "1"),
        [*bar(3)[:1], "13", "12", "9", "11", "1", "1", "1", "1"],
        [*bar(3)[:1], "", "", "", "", "", "", "", "1"],
    ],
)
def test_a_bad_candle_costs_itself_alone(bad: list[str]) -> None:
    whole = ("1", "1", "1", "1")
    rows = [(int(row[0]), row) for row in (bar(4, *whole), bad, bar(2, *whole))]
    with rest(listed(rows)) as client:
        found = client.candles("BTC-USDT", None, "candle1m", limit=10)

    assert [each.start.minute - 26 for each in found] == [2, 4]
    assert whose(found) == [(1, True)]


def test_a_book_loses_no_row() -> None:
    book = {"asks": [["2", "1", "0", "1"], ["3", "x", "0", "1"]], "bids": []}
    client = rest(lambda request: [{**book, "ts": str(START)}])
    with client, pytest.raises(WireError):
        client.book("BTC-USDT")


def test_an_answer_is_a_tuple_that_can_be_copied_and_pickled() -> None:
    with rest(lambda request: [SWAP, {**SWAP, "instId": ""}]) as client:
        found = client.instruments("swap")

    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert other == found == tuple(found)
        assert [str(each.error) for each in other.left_out] == [
            str(each.error) for each in found.left_out
        ]
    assert json.dumps([each.instrument_id for each in found])
