"""Faults of the local exchange as words."""

from __future__ import annotations

import inspect

import pytest

from okex_ws import WSSubscription
from okex_ws.cli.commands import faults
from okex_ws.local_exchange import LocalExchange


def test_each_word_is_a_control_of_the_exchange() -> None:
    for name, word in faults.FAULT_COMMANDS.items():
        method = getattr(LocalExchange, name)
        parameters = list(inspect.signature(method).parameters.values())[1:]
        needed = [each for each in parameters if each.default is each.empty]

        assert len(needed) <= word.least <= len(word.kinds) <= len(parameters)
        assert word.usage.split()[0] == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drip", "did you mean 'drop'"),
        ("", "a fault has a name"),
        ("respond", "it is written: respond STATUS"),
        ("respond many", "it is written: respond STATUS"),
        ("drop 5", "it is written: drop"),
        ("silence soon", "'soon' is no number of seconds"),
        ("silence 1 2", "it is written: silence"),
        ("spoil 'books", "No closing quotation"),
    ],
)
def test_what_says_nothing_is_refused_before_anything_happens(
    text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        faults.check(text)


def test_a_word_does_what_it_says() -> None:
    with LocalExchange() as exchange:
        market, name = exchange.busiest
        with WSSubscription(name, market, venue=exchange.venue_v5) as okx:
            okx.wait_live()

            assert faults.perform(exchange, "drop").said == "drop: 1 clients"
            assert faults.perform(exchange, "respond 503").undo is None
            done = faults.perform(exchange, "silence 5")
            assert (done.said, done.seconds) == ("silence 5 seconds", 5.0)
            assert done.undo is not None
            done.undo()
            with pytest.raises(ValueError, match="how is one of"):
                faults.perform(exchange, f"spoil books:{name} badly")
            assert faults.perform(exchange, "heal").said == "heal"
            okx.wait_live()


def test_the_help_has_them_all() -> None:
    lines = "\n".join(faults.usage())

    assert all(name in lines for name in faults.FAULT_COMMANDS)
