"""What several commands are asked alike."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

import pytest

from okex_ws import VENUES
from okex_ws.cli import arguments
from okex_ws.cli.exits import USAGE, Failure


def options(**given: Any) -> argparse.Namespace:
    usual = {"venue": None, "url": None, "local": False, "proxy": None}
    return argparse.Namespace(**{**usual, **given})


def find_destination(**given: Any) -> arguments.Destination:
    with ExitStack() as stack:
        return arguments.find_destination(options(**given), stack)


def test_the_usual_place_is_todays_exchange() -> None:
    found = find_destination()

    assert found.venue == VENUES["okx"]
    assert found.instrument == "BTC-USDT"
    assert find_destination(venue="okj").instrument == "BTC-JPY"


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("ws://127.0.0.1:1/ws/v5", "v5"),
        ("ws://127.0.0.1:1/ws/v5/public/", "v5"),
        ("ws://127.0.0.1:1/ws/v3", "v3"),
    ],
)
def test_an_url_is_a_place(url: str, protocol: str) -> None:
    assert find_destination(url=url).venue.protocol == protocol


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"venue": "okxx"}, "did you mean 'okx'"),
        ({"venue": "okx", "url": "ws://h/ws/v5"}, "another place"),
        ({"url": "http://h/"}, "ws:// or wss://"),
    ],
)
def test_what_is_no_place_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(Failure, match=said) as failed:
        find_destination(**given)

    assert failed.value.code == USAGE


@pytest.mark.parametrize(("venue", "protocol"), [("okx", "v5"), ("okj-v3", "v3")])
def test_a_local_exchange_speaks_as_the_venue_in_whose_place_it_is(
    venue: str, protocol: str
) -> None:
    with ExitStack() as stack:
        found = arguments.find_destination(options(venue=venue, local=True), stack)

        assert found.venue.protocol == protocol
        assert found.ssl_context is not None
        assert found.instrument == "BTC-USDT"


@pytest.mark.parametrize(
    ("kind", "good", "value"),
    [
        (arguments.duration, "1.5", 1.5),
        (arguments.count, "12", 12),
        (arguments.names, "a, b,", ["a", "b"]),
    ],
)
def test_an_argument_becomes_a_value(kind: Any, good: str, value: object) -> None:
    assert kind(good) == value
    for bad in ("", "-1", "0", "nan", "x"):
        if kind is not arguments.names or not bad:
            with pytest.raises(argparse.ArgumentTypeError):
                kind(bad)
