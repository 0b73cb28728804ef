"""``okex-ws watch``: as lines, as JSON, once, and what it comes to."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws import Item, StateChange, Trade, Updates
from okex_ws.cli import main
from okex_ws.cli.commands import watch
from okex_ws.cli.exits import FAILED, GOOD, STALE, USAGE
from okex_ws.cli.screen.navigation import Navigation
from okex_ws.local_exchange import LocalExchange
from tests.support.cli_running import start
from tests.support.programs import Start, end_of

__all__ = ["start"]  # a fixture


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(interval=0.02) as found:
        yield found


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def until(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Item], bool]], None]:
    """Has the watching end behind the first item for which that is true."""

    def end_at(last: Callable[[Item], bool]) -> None:
        def items(updates: Updates, over: Callable[[], bool]) -> Iterator[Item]:
            for item in all_items(updates, over):
                yield item
                if last(item):
                    return

        monkeypatch.setattr(watch, "items", items)

    all_items = watch.items
    return end_at


def is_trade(item: Item) -> bool:
    # The last one is sent again at once, before anything else is there.
    return isinstance(item, Trade) and not item.replayed


def test_each_item_is_a_line(
    exchange: LocalExchange,
    until: Callable[[Callable[[Item], bool]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    until(is_trade)
    assert main(["watch", "BTC-USDT", "--url", exchange.url_v5]) == GOOD

    lines = capsys.readouterr().out.splitlines()
    kinds = [line.split()[2] for line in lines]
    assert {"state", "depth", "trade"} <= set(kinds)
    assert {line.split()[1] for line in lines} == {"BTC-USDT"}
    assert "-> LIVE" in "\n".join(lines)


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_each_item_is_a_json_object(
    protocol: str,
    exchange: LocalExchange,
    until: Callable[[Callable[[Item], bool]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    until(is_trade)
    url = exchange.url if protocol == "v3" else exchange.url_v5
    assert main(["watch", "BTC-USDT", "BTC-USD-SWAP", "--json", "--url", url]) == GOOD

    found = objects(capsys)
    assert {each["instrument_id"] for each in found} == {"BTC-USDT", "BTC-USD-SWAP"}
    trade = found[-1]
    assert trade["type"] == "trade"
    assert float(trade["price"]) > 0


def test_channels_can_be_chosen(
    exchange: LocalExchange,
    until: Callable[[Callable[[Item], bool]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    until(lambda item: type(item).__name__ == "BookUpdate")
    arguments = ["--channels", "depth,ticker", "--url", exchange.url_v5]
    assert main(["watch", "BTC-USDT", *arguments]) == GOOD

    assert re.search(r"snapshot of \d{3} bids, \d{3} asks", capsys.readouterr().out)
    # The feed itself subscribes the list of instruments.
    chosen = {"books:BTC-USDT", "tickers:BTC-USDT", "instruments:instType=SPOT"}
    assert set(exchange.subscribed) <= chosen


def test_once_says_how_each_stands(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["watch", "BTC-USDT", "ETH-USDT", "--once", "--url", exchange.url_v5]
    assert main(command) == GOOD
    assert main([*command, "--json"]) == GOOD

    *lines, first, second = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["BTC-USDT", "LIVE"],
        ["ETH-USDT", "LIVE"],
    ]
    assert [json.loads(each)["state"] for each in (first, second)] == ["LIVE", "LIVE"]


def test_a_price_that_cannot_be_trusted_ends_with_three(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.ignore_subscribe("books5:BTC-USDT")
    command = ["watch", "BTC-USDT", "--once", "--for", "0.3", "--url", exchange.url_v5]
    assert main(command) == STALE

    assert capsys.readouterr().out.split()[:2] == ["BTC-USDT", "SYNCING"]


def test_a_limit_makes_it_stale(
    exchange: LocalExchange,
    until: Callable[[Callable[[Item], bool]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def last(item: Item) -> bool:
        if isinstance(item, StateChange) and item.new == "LIVE":
            exchange.silence()
        return isinstance(item, StateChange) and item.new == "STALE"

    until(last)
    command = ["watch", "BTC-USDT", "--max-age", "0.5", "--url", exchange.url_v5]
    assert main(command) == STALE

    assert "LIVE -> STALE: no push for 0.5 s (max_age)" in capsys.readouterr().out


def test_a_refused_instrument_ends_it_with_one(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["watch", "XXX-YYY", "--url", exchange.url_v5]
    assert main([*command, "--for", "20"]) == FAILED
    assert main([*command, "--once"]) == FAILED

    said = capsys.readouterr()
    assert "60018" in said.out.splitlines()[-1]
    assert "Traceback" not in said.err


def test_an_exchange_that_is_not_there_is_stale_and_told_on_stderr(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.refuse()
    command = ["watch", "BTC-USDT", "--for", "0.3", "--url", exchange.url_v5]
    assert main(command) == STALE

    said = capsys.readouterr()
    assert "Connection refused" in said.err
    assert all(line.split()[2] == "state" for line in said.out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["btc-usdt"], "did you mean 'BTC-USDT'"),
        (["BTC-USDT", "--venue", "okxx"], "did you mean 'okx'"),
        (["BTC-USDT", "--channels", "trads"], "did you mean 'trades'"),
        (["BTC-USDT", "--market", "swap"], "pass market='spot'"),
        (["BTC-USDT", "--lease", "1"], "lease is 2 to 60 seconds, got 1.0"),
        (["BTC-USDT", "--url", "ws://h/ws/v5", "--local"], "another place"),
    ],
)
def test_bad_arguments_are_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == USAGE

    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("argument", ["--for=0", "--for=soon", "--max-age=-1", "--x"])
def test_bad_options_are_refused_by_the_parser(argument: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["watch", argument])

    assert ended.value.code == USAGE


def test_an_index_has_a_ticker_and_no_book(
    exchange: LocalExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["watch", "BTC-USD", "--market", "index", "--once", "--for", "0.3"]

    assert main([*command, "--url", exchange.url_v5]) in (FAILED, STALE)
    assert "BTC-USD " in capsys.readouterr().out


def test_ctrl_c_is_how_it_is_meant_to_end(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def items(*_: object) -> Iterator[Item]:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "items", items)

    assert main(["watch", "BTC-USDT", "--url", exchange.url_v5]) == GOOD


def test_without_rich_there_are_lines_and_a_word_about_the_extra(
    until: Callable[[Callable[[Item], bool]], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    until(is_trade)

    assert main(["watch", "--local"]) == GOOD
    said = capsys.readouterr()
    assert {line.split()[1] for line in said.out.splitlines()} == {"BTC-USDT"}
    assert "books, totals and keys" in said.err
    assert "pip install 'okex-ws[cli]'" in said.err
    assert said.err.count("\n") == 1


def screen_of(
    monkeypatch: pytest.MonkeyPatch,
    ended: bool = True,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[tuple[Navigation, list[str]]]:
    """Has the screen end when all is live; returns its first state and instruments."""
    begun: list[tuple[Navigation, list[str]]] = []

    class Loop:
        def __init__(self, where: str, readers: list[Any], *rest: object) -> None:
            self._subscriptions = [reader.subscription for reader in readers]
            self._names = [one.instrument_id for one in self._subscriptions]

        def run(self, navigation: Navigation) -> bool:
            begun.append((navigation, self._names))
            for one in self._subscriptions:
                one.wait_live()
            meanwhile()
            return ended

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("okex_ws.cli.screen.loop.Loop", Loop)
    return begun


def test_the_screen_begins_with_one_book_or_with_a_table(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = screen_of(monkeypatch)
    where = ["--url", exchange.url_v5]

    assert main(["watch", *where]) == GOOD
    assert main(["watch", "ETH-USDT", "BTC-USDT", "ETH-USDT", *where]) == GOOD
    assert begun == [
        (Navigation(1), ["BTC-USDT"]),
        (Navigation(2, table=True), ["ETH-USDT", "BTC-USDT"]),
    ]


def test_a_local_exchange_has_its_other_instruments_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = screen_of(monkeypatch)

    assert main(["watch", "--local"]) == GOOD
    assert main(["watch", "--local", "--channels", "depth5"]) == GOOD
    (first, names), (second, one) = begun
    assert names[0] == "BTC-USDT"
    assert {"ETH-USDT", "BTC-USD-SWAP"} <= set(names)
    assert "BTC-USD-190517" not in names
    assert (first, second) == (Navigation(len(names)), Navigation(1))
    assert one == ["BTC-USDT"]


@pytest.mark.parametrize(("count", "channel"), [(12, "books"), (13, "books5")])
def test_of_many_instruments_the_screen_wants_small_depths(
    count: int, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"C{n}-USDT" for n in range(count)]
    wanted: list[str] = []
    with LocalExchange(instruments=many) as exchange:
        screen_of(
            monkeypatch,
            ended=False,
            meanwhile=lambda: wanted.extend(exchange.subscribed),
        )
        assert main(["watch", *many, "--url", exchange.url_v5]) == GOOD

    assert {name for name in wanted if "books" in name} == {
        f"{channel}:{name}" for name in many
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT as a terminal does")
def test_ctrl_c_of_the_process_is_quiet(start: Start) -> None:
    process = start("watch", "--local")
    assert process.stdout is not None
    next(line for line in process.stdout if " depth " in line)
    process.send_signal(signal.SIGINT)

    assert end_of(process) == (0, "")


@pytest.mark.slow
def test_a_closed_pipe_is_quiet(start: Start) -> None:
    process = start("watch", "--local", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "state"
    process.stdout.close()
    process.stdout = None

    assert end_of(process) == (0, "")
