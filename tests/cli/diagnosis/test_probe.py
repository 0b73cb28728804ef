"""What an endpoint sends once it is reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from okex_ws.cli.arguments import Destination
from okex_ws.cli.diagnosis import probe
from okex_ws.cli.diagnosis.checks import CheckFailed, Grade
from okex_ws.cli.diagnosis.probe import Probe
from okex_ws.local_exchange import LocalExchange

NAME = "BTC-USDT"


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(interval=0.01, pace=200.0) as found:
        yield found


def probing(exchange: LocalExchange, v3: bool = False, name: str = NAME) -> Probe:
    venue = exchange.venue if v3 else exchange.venue_v5
    return Probe(Destination(venue), venue.endpoints[0], name, "spot")


@pytest.mark.parametrize(("v3", "proof"), [(True, "checksum"), (False, "sequence")])
def test_each_step_says_what_it_found(
    v3: bool, proof: str, exchange: LocalExchange
) -> None:
    with closing(probing(exchange, v3)) as one:
        assert one.subscribe().said.startswith("acknowledged ")
        said = one.snapshot().said
        assert re.match(r"BTC-USDT: \d{3} bids, \d{3} asks", said), said
        proven = one.prove()
        assert proven.grade is Grade.GOOD
        assert proven.said.startswith("20 messages in ")
        assert proven.said.endswith(f"each proven by its {proof}")
        assert one.ping().said.endswith(" round trip")
        assert "after their timestamp" in one.clock(0.2).said


def test_a_refused_instrument_is_told_with_the_exchanges_code(
    exchange: LocalExchange,
) -> None:
    wrong = closing(probing(exchange, name="XXX-YYY"))
    with wrong as one, pytest.raises(CheckFailed, match="60018") as bad:
        one.subscribe()

    assert "does XXX-YYY exist there?" in bad.value.advice


def test_a_lost_connection_is_not_tried_again(exchange: LocalExchange) -> None:
    exchange.respond(503)
    with (
        closing(probing(exchange)) as one,
        pytest.raises(CheckFailed, match="HTTP 503"),
    ):
        one.subscribe()

    assert exchange.handshakes == 1


def test_a_book_that_fails_its_proof_is_a_warning(exchange: LocalExchange) -> None:
    with closing(probing(exchange)) as one:
        one.subscribe()
        one.snapshot()
        exchange.spoil(f"books:{NAME}", "lose")
        found = one.prove()

    assert found.grade is Grade.WARN
    assert "failed its proof and was asked for anew" in found.said


def test_a_quiet_market_is_a_warning(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_PATIENCE", 0.5)
    with closing(probing(exchange)) as one:
        one.subscribe()
        one.snapshot()
        exchange.silence()
        found = one.prove()

    assert found.grade is Grade.WARN
    assert "a quiet market" in found.advice


@pytest.mark.parametrize(
    ("ahead", "grade", "said"),
    [
        (0.3, Grade.GOOD, "this machine is within 1 s of the Date header"),
        (-0.9, Grade.GOOD, "this machine is within 1 s of the Date header"),
        (-1.9, Grade.GOOD, "this machine is 2 s behind by the Date header, within 1 s"),
        (5.0, Grade.WARN, "set this machine's clock"),
        (-40.0, Grade.WARN, "a login with this clock would be refused"),
        (None, Grade.GOOD, "does not tell its time"),
    ],
)
def test_clocks_are_compared(
    ahead: float | None, grade: Grade, said: str, exchange: LocalExchange
) -> None:
    found = probing(exchange).clock(ahead)

    assert found.grade is grade
    assert said in f"{found.said} {found.advice}"
