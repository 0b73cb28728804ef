"""``okex-ws serve``: the local exchange for other programs."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws import WSSubscription
from okex_ws.cli import main
from okex_ws.cli.arguments import venue_at
from okex_ws.cli.commands import serve
from okex_ws.cli.exits import FAILED, GOOD, USAGE
from okex_ws.local_exchange import LocalExchange
from tests.support.cli_running import start
from tests.support.internals import make_serving, replace_serving
from tests.support.programs import Start, end_of

__all__ = ["start"]  # a fixture

Meanwhile = Callable[[LocalExchange], object]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[[Meanwhile], None]:
    """Has the command loop use the exchange, and then end as by Ctrl-C."""

    def do(meanwhile: Meanwhile) -> None:
        def work(exchange: LocalExchange) -> None:
            meanwhile(exchange)
            raise KeyboardInterrupt

        replace_serving(monkeypatch, work)

    return do


def test_what_it_prints_is_how_to_connect(
    served: Callable[[Meanwhile], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def meanwhile(exchange: LocalExchange) -> None:
        said = capsys.readouterr().out
        url = re.search(r"--url (\S+)", said)
        assert url is not None
        with WSSubscription("ETH-USDT", "spot", venue=venue_at(url[1])) as okx:
            okx.wait_live()
        assert exchange.instruments == (("spot", "ETH-USDT"),)
        assert exchange.url in said

    served(meanwhile)
    assert main(["serve", "--instruments", "ETH-USDT", "--seed", "7"]) == GOOD
    assert capsys.readouterr().out == "closed\n"


def test_two_hundred_instruments_are_a_page_and_not_a_line(
    served: Callable[[Meanwhile], None], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"C{n:03}-USDT" for n in range(150)]
    swaps = [f"C{n:03}-USD-SWAP" for n in range(50)]
    served(lambda _: None)
    assert main(["serve", "--instruments", ",".join([*names, *swaps])]) == GOOD

    said = capsys.readouterr().out
    page = said.splitlines()
    assert max(map(len, page)) <= 100
    assert re.findall(r"\bC\d+-[\w-]+", said)[:200] == [*names, *swaps]
    assert "  trades  200 instruments" in page
    assert {"spot", "swap"} <= {line.split()[0] for line in page}


def test_with_tls_it_says_which_certificate_to_trust(
    served: Callable[[Meanwhile], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    found: list[str] = []

    def meanwhile(exchange: LocalExchange) -> None:
        said = capsys.readouterr().out
        named = re.search(r"SSL_CERT_FILE=(\S+) okex-ws watch (\S+) --url (\S+)", said)
        assert named is not None
        found.append(named[1])
        monkeypatch.setenv("SSL_CERT_FILE", named[1])
        with WSSubscription(named[2], "spot", venue=venue_at(named[3])) as okx:
            okx.wait_live()

    served(meanwhile)
    assert main(["serve", "--tls"]) == GOOD
    assert main(["serve", "--tls", "--ca", str(tmp_path / "ca.pem")]) == GOOD

    assert not Path(found[0]).exists()
    assert Path(found[1]).exists()


def test_a_port_can_be_chosen_and_may_be_taken(
    served: Callable[[Meanwhile], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        port = exchange.url.rpartition(":")[2].partition("/")[0]
        assert main(["serve", "--port", port]) == FAILED
    assert "in use" in capsys.readouterr().err

    served(lambda other: other.url == exchange.url or pytest.fail(other.url))
    assert main(["serve", "--port", port]) == GOOD


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--instruments", "btc"], "'btc' is not an instrument id"),
        (["--pace", "-1"], "pace"),
    ],
)
def test_bad_arguments_are_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["drip@1", "drop", "drop@soon", "@1", "drop@-1"])
def test_a_fault_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        serve.scheduled(text)


def test_a_fault_has_a_time_and_may_have_arguments() -> None:
    assert serve.scheduled("drop@10") == (10.0, "drop")
    assert serve.scheduled("silence 5@0.5") == (0.5, "silence 5")


# --- The command loop ---------------------------------------------------------------


class Exchange:
    """A local exchange that notes what it is told, and is over when it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @property
    def ended(self) -> bool:
        return "drop" in self.told

    def drop(self) -> int:
        self.told.append("drop")
        return 1

    def silence(self) -> None:
        self.told.append("silence")

    def resume(self) -> None:
        self.told.append("resume")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written there is what the user types."""
    read, write = os.pipe()
    monkeypatch.setattr(serve, "_readable_stdin", lambda: read)
    yield write
    os.close(read)
    os.close(write)


def command_loop(exchange: Any, *schedule: tuple[float, str]) -> Any:
    return make_serving(exchange, schedule)


def test_what_is_typed_is_done_and_said(
    typed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(typed, b"help\ndrip\nsilence 1\n\nresume\ndr")
    os.write(typed, b"op\n")
    exchange = Exchange()
    command_loop(exchange).work()

    said = capsys.readouterr().out
    assert exchange.told == ["silence", "resume", "drop"]
    assert "abort the TCP of every connection" in said
    assert "no: unknown fault 'drip'; did you mean 'drop'" in said
    assert "drop: 1 clients" in said


@pytest.mark.usefixtures("typed")
def test_what_is_scheduled_is_done_in_its_order() -> None:
    exchange = Exchange()
    command_loop(exchange, (0.05, "drop"), (0.0, "silence 0.01")).work()

    assert exchange.told == ["silence", "resume", "drop"]


def test_when_nobody_types_any_more_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(write)
    monkeypatch.setattr(serve, "_readable_stdin", lambda: read)
    exchange = Exchange()
    command_loop(exchange, (0.05, "drop")).work()
    os.close(read)

    assert exchange.told == ["drop"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT as a terminal does")
def test_as_a_process_it_obeys_and_ends_by_ctrl_c(start: Start) -> None:
    process = start("serve", "--fault", "refuse 5@0", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    next(line for line in process.stdout if "refuse 5 seconds" in line)
    process.stdin.write("heal\n")
    process.stdin.flush()
    next(line for line in process.stdout if line.endswith("  heal\n"))
    process.send_signal(signal.SIGINT)

    assert end_of(process) == (0, "")
