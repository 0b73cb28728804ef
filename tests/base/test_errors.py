"""The tree of errors: whose fault shows in the type, the facts are attributes."""

from __future__ import annotations

import copy
import pickle

import pytest

from okex_ws.base import errors
from okex_ws.base.errors import (
    BackfillFailed,
    BookError,
    BudgetSpent,
    ChecksumMismatch,
    ConnectionLost,
    HandshakeFailed,
    LoginRejected,
    NotLive,
    OkexWSError,
    RequestRejected,
    SequenceGap,
    Stalled,
    SubscriptionRejected,
    WireError,
    printable,
)
from okex_ws.base.state import NO_CAUSE, Cause, State
from tests.support.causes import because

URL = "wss://example.invalid/ws/v3"

# Each error, its facts, and its sentence.
SENTENCES = [
    (
        ConnectionLost(URL, "reset by peer"),
        {"endpoint": URL, "reason": "reset by peer", "code": None},
        f"{URL}: reset by peer",
    ),
    (
        ConnectionLost(URL, "the peer closed", 1001),
        {"endpoint": URL, "reason": "the peer closed", "code": 1001},
        f"{URL}: the peer closed (close code 1001)",
    ),
    (
        ConnectionLost(URL, "refused", advice="port 443 answers"),
        {"code": None, "advice": "port 443 answers"},
        f"{URL}: refused; port 443 answers",
    ),
    (
        ConnectionLost(URL, "gone", 1006, advice="port 443 answers"),
        {"code": 1006, "advice": "port 443 answers"},
        f"{URL}: gone (close code 1006); port 443 answers",
    ),
    (
        HandshakeFailed(URL, "HTTP 403"),
        {"endpoint": URL, "reason": "HTTP 403", "status": None, "retry_after": None},
        f"{URL}: HTTP 403",
    ),
    (
        HandshakeFailed(URL, "HTTP 429", 429, 0.0),
        {"status": 429, "retry_after": 0.0},
        f"{URL}: HTTP 429, retry after 0 s",
    ),
    (
        HandshakeFailed(URL, "HTTP 404", 404, advice="the exchange retired v3"),
        {"status": 404, "retry_after": None, "advice": "the exchange retired v3"},
        f"{URL}: HTTP 404; the exchange retired v3",
    ),
    (
        HandshakeFailed(URL, "HTTP 503", 503, 7.0, advice="the exchange retired v3"),
        {"retry_after": 7.0, "advice": "the exchange retired v3"},
        f"{URL}: HTTP 503, retry after 7 s; the exchange retired v3",
    ),
    (
        BackfillFailed("BTC-USDT", "candle60s", "history: the venue gave 3 of 5"),
        {"instrument_id": "BTC-USDT", "channel": "candle60s"},
        "candle60s of BTC-USDT: history: the venue gave 3 of 5",
    ),
    (
        Stalled("no pong came", 10.0),
        {"what": "no pong came", "after": 10.0},
        "no pong came within 10 s",
    ),
    (
        WireError("json", "not an object"),
        {"kind": "json", "detail": "not an object", "channel": None},
        "unreadable message (json): not an object",
    ),
    (
        WireError("depth", "no bids", "spot/depth5:BTC-USDT"),
        {"channel": "spot/depth5:BTC-USDT"},
        "unreadable message on spot/depth5:BTC-USDT (depth): no bids",
    ),
    (
        ChecksumMismatch(-5, 7),
        {"expected": -5, "actual": 7},
        "a book failed its proof: its checksum is 7, the exchange's is -5",
    ),
    (
        SequenceGap(10, 12),
        {"expected": 10, "actual": 12},
        "a book failed its proof: an update follows 12, the book is at 10",
    ),
    (
        SequenceGap(None, 12),
        {"expected": None, "actual": 12},
        "a book failed its proof: an update follows 12, the book is at None",
    ),
    (
        BookError("a level is str"),
        {"channel": None},
        "a book failed its proof: a level is str",
    ),
    (BookError(), {"channel": None}, "a book failed its proof: it is not known why"),
    (
        SubscriptionRejected(30040, "doesn't exist", "spot/depth5:NO-NO"),
        {"code": 30040, "message": "doesn't exist", "channel": "spot/depth5:NO-NO"},
        "spot/depth5:NO-NO was refused: doesn't exist (error 30040)",
    ),
    (
        RequestRejected("51001", "no such thing", "/api/v5/market/trades"),
        {"code": "51001", "status": 200, "retry_after": None},
        "/api/v5/market/trades was refused: no such thing (error 51001)",
    ),
    (
        RequestRejected(30014, "", "/api/spot/v3/instruments", 429, 2.0),
        {"code": 30014, "status": 429, "retry_after": 2.0},
        "/api/spot/v3/instruments was refused: no reason was given"
        " (error 30014, HTTP 429)",
    ),
    (
        BudgetSpent("subscribe", 3, 12.34),
        {"op": "subscribe", "channels": 3, "wait": 12.34},
        "the hour's requests are spent: subscribe of 3 channels waits 12 s",
    ),
    (
        LoginRejected("60009", "bad sign"),
        {"code": "60009", "message": "bad sign"},
        "login was refused: bad sign (error 60009)",
    ),
    (
        NotLive(State.STALE, because("no pong in time")),
        {"state": State.STALE, "cause": because("no pong in time")},
        "STALE: no pong in time",
    ),
    (NotLive(State.CONNECTING, NO_CAUSE), {"cause": NO_CAUSE}, "CONNECTING"),
]
EACH = pytest.mark.parametrize(("error", "facts", "sentence"), SENTENCES)


@EACH
def test_an_error_is_a_sentence_over_its_facts(
    error: OkexWSError, facts: dict[str, object], sentence: str
) -> None:
    assert str(error) == sentence
    assert {name: getattr(error, name) for name in facts} == facts


@EACH
def test_an_error_survives_a_copy_and_a_process_border(
    error: OkexWSError, facts: dict[str, object], sentence: str
) -> None:
    for duplicate in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(duplicate) is type(error)
        assert str(duplicate) == sentence
        assert duplicate.args == error.args
        assert vars(duplicate) == vars(error)


def test_every_error_of_the_world_is_in_one_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, Exception)]
    assert {type(error) for error, _, _ in SENTENCES} < set(kinds)
    # A wait that ended too early is no fault of the network or the exchange.
    assert [k for k in kinds if not issubclass(k, OkexWSError)] == [errors.LiveTimeout]
    assert not any(issubclass(kind, (ValueError, TypeError)) for kind in kinds)


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (ConnectionLost, ConnectionError),
        (Stalled, TimeoutError),
        (ChecksumMismatch, BookError),
        (SequenceGap, BookError),
    ],
)
def test_an_error_is_also_what_python_or_the_book_calls_it(
    kind: type[OkexWSError], parent: type[Exception]
) -> None:
    assert issubclass(kind, parent)


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (BookError("a level is str"), "book", "a level is str"),
        (
            ChecksumMismatch(-5, 7),
            *("checksum", "its checksum is 7, the exchange's is -5"),
        ),
        (SequenceGap(10, 12), "sequence", "an update follows 12, the book is at 10"),
    ],
)
def test_a_failed_proof_is_counted_by_its_kind_and_names_its_book(
    error: BookError, kind: str, why: str
) -> None:
    assert error.kind == kind
    error.channel = "books:BTC-USDT"
    for duplicate in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(duplicate) == f"book books:BTC-USDT failed its proof: {why}"
    assert type(error)(*error.args).channel is None


def test_text_from_the_network_is_fit_for_a_terminal() -> None:
    assert printable("a\x1b[2J\nb\u202e") == "a\ufffd[2J\ufffdb\ufffd"
    assert len(printable("x" * 10000)) == 200


def test_what_an_exchange_says_is_one_line_of_a_log() -> None:
    error = SubscriptionRejected(30040, "no\n\x1b[2Jsuch", "spot/depth5:X")
    assert str(error) == (
        "spot/depth5:X was refused: no\ufffd\ufffd[2Jsuch (error 30040)"
    )
    assert error.message == "no\n\x1b[2Jsuch"


@pytest.mark.parametrize("kind", [ConnectionLost, HandshakeFailed])
def test_advice_is_the_librarys_own_and_not_cut(
    kind: type[ConnectionLost] | type[HandshakeFailed],
) -> None:
    advice = "alive are " + ", ".join(f"'venue-{n}'" for n in range(40))
    error = kind(URL, "no\n" + "x" * 1000, advice=advice)

    assert len(advice) > 200
    assert str(error) == f"{URL}: no\ufffd{'x' * 197}; {advice}"


@pytest.mark.parametrize("kind", [ConnectionLost, HandshakeFailed])
def test_advice_is_no_fact_of_the_network(
    kind: type[ConnectionLost] | type[HandshakeFailed],
) -> None:
    assert kind(URL, "gone").advice == ""
    assert kind(URL, "gone", 1, advice="x").args == kind(URL, "gone", 1).args


def test_the_causes_of_what_the_exchange_refused_and_of_what_was_lost() -> None:
    refused = errors.RequestRejected("50001", "busy", "/api/v5/market/trades")
    lost = errors.MessagesLost("BTC-USDT", "trade", 3)
    failed = errors.RecordingFailed("a.okxr", "disk full", 2)

    assert refused.cause.exchange_code == "50001"
    assert lost.cause.channel == "trade"
    assert "3 of trade of BTC-USDT" in lost.cause
    assert "disk full; 2 entries" in failed.cause


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (because("no pong"), "BTC-USDT is STALE after 2.5 s: no pong"),
        (NO_CAUSE, "BTC-USDT is STALE after 2.5 s"),
    ],
)
def test_a_wait_that_ended_too_early_says_why_and_crosses_a_border(
    cause: Cause, sentence: str
) -> None:
    error = errors.LiveTimeout("BTC-USDT", State.STALE, cause, 2.5)

    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(one, TimeoutError)
        assert (one.instrument_id, one.state, one.cause) == (
            "BTC-USDT",
            State.STALE,
            cause,
        )
        assert str(one) == sentence
