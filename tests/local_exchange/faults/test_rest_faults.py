"""What goes wrong about the REST interface, counted down: state and decisions."""

from __future__ import annotations

from okex_ws.local_exchange.faults.rest_faults import OVERLAP, RestFault, RestFaults


def test_a_fault_is_about_so_many_requests_of_its_path() -> None:
    faults = RestFaults()
    faults.add(RestFault("empty", "candles", 2))
    faults.add(RestFault("cut", "", 1))

    assert [taken and taken.how for taken in map(faults.take, ("/candles",) * 4)] == [
        *("empty", "empty", "cut", None)
    ]
    assert faults.waiting == []


def test_a_path_that_is_not_meant_meets_the_next_fault() -> None:
    faults = RestFaults()
    faults.add(RestFault("empty", "candles", None))
    faults.add(RestFault("cut", "trades", 1))

    taken = faults.take("/trades")
    assert taken is not None
    assert taken.how == "cut"
    assert faults.take("/trades") is None
    assert [faults.take("/candles") is not None for _ in range(5)] == [True] * 5
    faults.heal()
    assert faults.take("/candles") is None


def test_none_at_all_is_no_fault() -> None:
    faults = RestFaults()
    faults.add(RestFault("empty", "", 0))

    assert faults.take("/any") is None


def test_pages_go_wrong_and_are_remembered_right() -> None:
    faults = RestFaults()
    first, second = list(range(100, 80, -1)), list(range(80, 60, -1))

    assert faults.page("x", first, "") == first
    assert faults.page("x", second, "empty") == []
    assert faults.page("x", second, "overlap") == second[-OVERLAP:] + second[:OVERLAP]
    assert faults.page("x", first, "repeat") == second
    assert faults.page("x", second, "reorder") == second[::-1]
    assert faults.page("y", second, "repeat") == second
