"""What was seen and said is kept to a bound, and read as copies."""

from __future__ import annotations

import threading

from okex_ws.local_exchange.server.record import MAX_REQUESTS, Record
from okex_ws.local_exchange.wire.values import EncodedPush


def test_pushes_are_kept_a_channel_to_a_bound() -> None:
    record = Record(2)
    for number in range(3):
        record.note_push(EncodedPush("a", f'{{"data":[{{"n":{number}}}]}}'))
    times = [push.at for push in record.pushed("a")]

    assert [push.element["n"] for push in record.pushed("a")] == ["1", "2"]
    assert times == sorted(times)
    assert record.newest("a") == record.pushed("a")[-1]
    assert record.pushed("b") == ()
    assert record.newest("b") is None


def test_a_push_of_two_elements_is_two_entries() -> None:
    record = Record(2)
    record.note_push(EncodedPush("a", '{"data":["1","2"]}'))
    first, second = record.pushed("a")

    assert (first.element, second.element) == ("1", "2")
    assert first.at == second.at
    assert record.newest("a") == second


def test_without_a_history_nothing_is_kept() -> None:
    record = Record(0)
    record.note_push(EncodedPush("a", '{"data":["1"]}'))

    assert record.pushed("a") == ()
    assert record.newest("a") is None


def test_requests_are_kept_to_a_bound() -> None:
    record = Record(1)
    for number in range(MAX_REQUESTS + 1):
        record.note_request(str(number))

    assert len(record.requests) == MAX_REQUESTS
    assert record.requests[0].text == "1"


def test_clients_and_handshakes_are_counted() -> None:
    record = Record(1)
    record.count_handshake()
    record.count_clients(+2)
    record.count_clients(-1)

    assert (record.handshakes, record.clients) == (1, 1)


def test_a_reader_can_wait_for_a_change() -> None:
    record = Record(1)
    writer = threading.Timer(0.01, record.count_clients, (1,))
    writer.start()
    try:
        assert record.wait_for(lambda: record.clients == 1, 10.0)
    finally:
        writer.join()


def test_waiting_has_an_end() -> None:
    assert not Record(1).wait_for(lambda: False, 0.05)


def test_what_is_not_recorded_can_be_waited_for_too() -> None:
    seen = threading.Event()
    writer = threading.Timer(0.01, seen.set)
    writer.start()
    try:
        assert Record(1).wait_for(seen.is_set, 10.0)
    finally:
        writer.join()
    Record(1).note_change()
