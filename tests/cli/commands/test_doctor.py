"""``okex-ws doctor``: the list, the verdict, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from okex_ws import VENUES, Venue
from okex_ws.cli import main
from okex_ws.cli.arguments import Destination
from okex_ws.cli.commands import doctor
from okex_ws.cli.diagnosis.checks import CheckFailed, Checklist, Finding
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from okex_ws.local_exchange import LocalExchange


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(interval=0.01, pace=200.0) as found:
        yield found


def examined(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, the checks, and the verdict."""
    code = main(["doctor", "--json", *arguments])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, found[:-1], found[-1]["said"]


def test_all_is_well(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, verdict = examined(capsys, "--url", exchange.url_v5)

    names = [
        "packages",
        "proxy",
        "DNS",
        "TCP",
        "handshake",
        "subscribe",
        "snapshot",
        "sequence",
        "ping",
        "clock",
    ]
    assert code == GOOD
    assert [each["name"] for each in found] == names
    assert {each["grade"] for each in found} == {"good"}
    assert all(each["seconds"] >= 0 for each in found)
    assert verdict == "all is well: prices come, and prove themselves"


def test_with_tls_there_is_one_check_more(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.close()
    code, found, _ = examined(capsys, "--local")

    assert code == GOOD
    (tls,) = (each for each in found if each["name"] == "TLS")
    assert "trusted by the local exchange's own CA" in tls["said"]


def test_behind_a_failure_nothing_is_tried(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.respond(403)
    code, found, verdict = examined(capsys, "--url", exchange.url_v5)

    grades = [each["grade"] for each in found]
    assert code == FAILED
    assert grades == ["good"] * 4 + ["bad"] + ["not tried"] * 5
    assert verdict.startswith("no prices, for handshake failed: HTTP 403")
    assert "region" in verdict


def test_a_wrong_clock_is_a_warning(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.clock_offset = 60.0
    code, found, verdict = examined(capsys, "--url", exchange.url_v5)

    assert code == GOOD
    assert found[-1]["grade"] == "warn"
    assert "a login with this clock would be refused" in verdict


def test_one_good_endpoint_is_enough(
    exchange: LocalExchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = "ws://127.0.0.1:1/ws/v5"
    both = replace(exchange.venue_v5, name="okx", endpoints=(dead, exchange.url_v5))
    monkeypatch.setitem(VENUES, "okx", both)
    code, found, verdict = examined(capsys)

    assert code == GOOD
    assert {each["endpoint"] for each in found} == set(both.endpoints)
    assert verdict.startswith("all is well")


@pytest.mark.parametrize(
    ("venue", "said"),
    [
        (VENUES["okex"], "alive are 'okx'"),
        (
            Venue("url", "v5", ("wss://ws.okx.com:8443/ws/v5",)),
            "port 443 of ws.okx.com answers",
        ),
    ],
)
def test_what_is_known_of_an_endpoint_is_the_advice(venue: Venue, said: str) -> None:
    found = Checklist(lambda name: None, lambda check: None)

    def fail() -> Finding:
        raise CheckFailed("no answer in time", "look around")

    found.check("TCP", fail)
    where = Destination(venue)
    grade, sentence = doctor.verdict(where, venue.endpoints[0], found)

    assert grade == "bad"
    assert said in sentence
    assert "look around" not in sentence


def test_for_people_it_is_a_list_and_a_sentence(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.respond(429)
    assert main(["doctor", "--url", exchange.url_v5]) == FAILED

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"url  {exchange.url_v5}"
    assert [line.split()[0] for line in lines[1:11]] == ["good"] * 4 + ["BAD"] + [
        "-"
    ] * 5
    assert lines[11].split()[0] == "BAD"
    assert "open fewer" in lines[11]


def test_on_a_terminal_it_is_folded_and_coloured(
    exchange: LocalExchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.delenv("NO_COLOR", raising=False)
    exchange.respond(403)
    assert main(["doctor", "--url", exchange.url_v5]) == FAILED

    said = capsys.readouterr().out
    plain = said
    for code in ("31", "32", "33", "2"):
        plain = plain.replace(f"\x1b[{code}m", "")
    rows = [row.rpartition("\r")[2] for row in plain.replace("\x1b[0m", "").split("\n")]
    assert "\x1b[31mBAD " in said
    assert max(map(len, rows)) <= 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--venue", "okxx"], "did you mean 'okx'"),
        (["--instrument", "btc-usdt"], "did you mean 'BTC-USDT'"),
        (["--instrument", "BTC-USD", "--market", "index"], "has no book"),
        (["--venue", "okj", "--instrument", "BTC-USD-SWAP"], "has no market 'swap'"),
    ],
)
def test_bad_arguments_are_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == USAGE
    assert said in capsys.readouterr().err
