"""The examples: what they print, what they refuse, and how they end."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from okex_ws import (
    VENUES,
    BestBidAsk,
    Feed,
    RawSubscription,
    State,
    StateChange,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from tests.support.causes import because
from tests.support.programs import TIMEOUT, Program, Start, end_of, programs

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


monitor, scanner, private, market_maker = map(
    load, ("monitor", "scanner", "private", "market_maker")
)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """An example may set up logging; the next test finds none of it."""
    library = logging.getLogger("okex_ws")
    level = library.level
    yield
    library.setLevel(level)


# --- As programs --------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts an example as a program of its own; none outlives the test."""
    # Whoever runs the tests may have a key, which is none of theirs.
    env = {k: v for k, v in os.environ.items() if not k.startswith("OKX_")}
    env["PYTHONPATH"] = str(EXAMPLES.parent / "src")
    with programs() as run:
        yield lambda name, *more: run(str(EXAMPLES / f"{name}.py"), *more, env=env)


def printed(process: Program) -> Iterator[str]:
    """The lines of a program, as they come."""
    assert process.stdout is not None
    return (line.rstrip("\n") for line in process.stdout)


def interrupt(process: Program) -> tuple[int, str]:
    """As `end_of`, after a Ctrl-C; elsewhere than on POSIX there is none to send."""
    if os.name != "posix":
        pytest.skip("sends SIGINT as a terminal does")
    process.send_signal(signal.SIGINT)
    return end_of(process)


@pytest.mark.slow
def test_the_monitor_prints_prices_until_ctrl_c(start: Start) -> None:
    process = start("monitor", "--local", "BTC-USDT")
    lines = printed(process)
    titles = next(lines)
    row = next(line for line in lines if "  LIVE " in line)
    _, _, state, bid, _, ask, _ = row.split()

    assert titles.split()[1:] == ["instrument", "state", "bid", "size", "ask", "size"]
    assert state == "LIVE"
    assert Decimal(bid) < Decimal(ask)
    assert len(titles) == len(row) < 80
    assert interrupt(process) == (0, "")


@pytest.mark.slow
def test_a_closed_pipe_ends_the_monitor_cleanly(start: Start) -> None:
    process = start("monitor", "--local")
    next(printed(process))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    assert end_of(process) == (0, "")


@pytest.mark.slow
def test_research_turns_an_archive_day_and_a_recording_into_parquet(
    start: Start, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    process = start("research", "--local", "--seconds", "4", "-o", str(out))
    said = list(printed(process))
    code, errors = end_of(process)

    assert (code, errors.count("\n"), "closed the connection" in errors) == (0, 1, True)
    assert re.search(r"400lv.*tar\.gz: \d+ rows, \d+ of them verified, 0 left", said[0])
    (grid,) = (line for line in said if line.startswith("live.1.rec.gz: "))
    ticks, missing = (int(word) for word in re.findall(r" (\d+) ", grid))
    assert ticks > missing > 0
    paths = sorted(out.rglob("*.parquet"))
    rows = {path: parquet.read_metadata(path).num_rows for path in paths}
    assert len(rows) == 3 + 3 * 3
    assert min(rows.values()) > 0


@pytest.mark.slow
def test_the_scanner_prints_the_widest_spreads_of_200(start: Start) -> None:
    process = start("scanner", "--local")
    lines = printed(process)
    next(line for line in lines if line.endswith("  200 of 200 are live"))
    widths = [Decimal(next(lines).split()[1]) for _ in range(scanner.WIDEST)]

    assert widths == sorted(widths, reverse=True)
    assert next(lines).endswith("are live")
    assert interrupt(process) == (0, "")


def test_the_scanner_needs_no_list_where_it_makes_the_instruments_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "okex_ws.rest", None)  # as without its extra
    clock = SimpleNamespace(sleep=end, strftime=lambda form: form)
    monkeypatch.setattr(scanner, "time", clock)
    with pytest.raises(KeyboardInterrupt):
        run(scanner, monkeypatch, "--local")

    assert " of 200 are live" in capsys.readouterr().out


@pytest.mark.slow
def test_the_market_maker_quotes_and_pulls_at_the_end(start: Start) -> None:
    process = start("market_maker", "--local")
    quote = next(printed(process)).split()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=TIMEOUT)

    assert quote[:3] == ["quote", "0.0001", "at"]
    assert Decimal(quote[3]) < Decimal(quote[5])
    assert rest.splitlines()[-1] == "pull: the bot ends"
    assert (process.returncode, errors) == (0, "")


@pytest.mark.slow
def test_private_prints_the_balance_and_no_secret(
    start: Start,
) -> None:
    process = start("private", "--local")
    lines = []
    for line in printed(process):
        lines.append(line)
        balance = [text for text in lines if text.startswith("account totalEq ")]
        if balance and "LIVE" in lines:
            break

    code, errors = interrupt(process)
    said = "\n".join([*lines, errors])
    assert Decimal(balance[0].split()[-1]) > 0
    assert (code, errors) == (0, "")
    with LocalExchange() as exchange:
        key = exchange.credentials[0]
    assert not any(part in said for part in (key.api_key, key.secret_key))
    assert key.passphrase not in said


@pytest.mark.slow
def test_a_refused_key_is_one_readable_line(start: Start) -> None:
    process = start("private", "--wrong-key")
    lines = list(printed(process))
    code, errors = end_of(process)

    assert code == 1
    assert errors.startswith("login was refused: ")
    assert errors.endswith("(error 60024)\n")
    assert errors.count("\n") == 1
    assert not any("LIVE" in line or "account" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("monitor", ["--for", "nan"], "--for is a number of seconds above 0"),
        ("monitor", ["--for", "soon"], "invalid float value"),
        ("monitor", ["--venue", "nowhere"], "unknown venue 'nowhere'; known are 'okx'"),
        ("monitor", ["BTC-USD-SWAP", "--venue", "okj"], "has no market 'swap'"),
        ("monitor", ["BTC/USDT", "--local"], "did you mean 'BTC-USDT'"),
        ("scanner", ["BTC-USDT", "no id"], "is not an instrument id"),
        ("scanner", ["--local", "no id"], "did you mean 'NO-ID'"),
        ("private", [], "not set in the environment: OKX_API_KEY"),
        ("private", ["--venue", "okex"], "invalid choice"),
    ],
)
def test_bad_arguments_end_it_with_one_sentence(
    name: str, arguments: list[str], said: str, start: Start
) -> None:
    code, errors = end_of(start(name, *arguments))

    assert code == 2
    assert said in errors
    assert "Traceback" not in errors


# --- monitor.py ---------------------------------------------------------------------


def run(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> int | None:
    """The exit code of an example in this process."""
    monkeypatch.setattr(sys, "argv", [example.__name__, *arguments])
    code: int | None = example.main()
    return code


def test_the_monitor_ends_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitor, "PERIOD", TIMEOUT)
    code = run(monitor, monkeypatch, "--local", "--for", "0.2")

    assert code == 0
    rows = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["instrument", "BTC-USDT", "ETH-USDT"]


def test_refused_instruments_end_the_monitor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        monkeypatch.setitem(VENUES, "okx", exchange.venue_v5)
        code = run(monitor, monkeypatch, "XXX-YYY", "--for", str(TIMEOUT))

    said = capsys.readouterr()
    assert code == 1
    assert "  XXX-YYY     FAILED  rejected: " in said.out.splitlines()[-1]
    assert "60018" in said.out
    assert said.err == ""


def test_the_monitor_says_why_there_is_no_price() -> None:
    with LocalExchange() as exchange, Feed(exchange.venue_v5) as feed:
        (book,) = feed.subscribe(["BTC-USDT"], channels=["depth5"])
        book.wait_live(TIMEOUT)
        before = monitor.line(book)
        drop_for_good(exchange)
        assert exchange.wait_for(lambda: book.state is State.RECONNECTING, TIMEOUT)
        after = monitor.line(book)

    assert before.startswith("LIVE ")
    assert after.startswith("RECONNECTING  network: ")
    assert monitor.line(book) == "CLOSED  closed: closed"


def test_the_monitor_shows_a_side_without_orders() -> None:
    depth = SimpleNamespace(bids=(("7900.1", "12", "0", "3"),), asks=())
    book = SimpleNamespace(depth=lambda *, levels: depth)

    assert monitor.line(book).split() == ["LIVE", "7900.1", "12", "no", "asks"]


def test_text_from_the_network_cannot_command_the_terminal() -> None:
    assert monitor.printable("\x1b[2J\n\x9b") == r"\x1b[2J\n\x9b"


# --- scanner.py ---------------------------------------------------------------------


def test_refused_instruments_are_counted_and_end_the_scanner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        monkeypatch.setattr(scanner, "local", lambda *_: exchange.venue_v5)
        code = run(scanner, monkeypatch, "XXX-YYY", "ZZZ-YYY", "--local")

    first, second = capsys.readouterr().out.splitlines()
    assert code == 1
    assert first.endswith("  0 of 2 are live")
    assert second.startswith("  2 not live, rejected: XXX-YYY: ")
    assert "60018" in second


def test_the_scanner_says_why_some_are_not_live() -> None:
    ids = ["BTC-USDT", "ETH-USDT", "XXX-YYY"]
    with LocalExchange() as exchange, Feed(exchange.venue_v5) as feed:
        books = feed.subscribe(ids, channels=["depth5"])
        feed.wait_live(TIMEOUT, partial=True)
        one_refused = list(scanner.report(feed, books))
        exchange.refuse()
        exchange.drop()
        assert exchange.wait_for(lambda: books[0].state is State.RECONNECTING)
        assert exchange.wait_for(lambda: books[1].state is State.RECONNECTING)
        all_lost = list(scanner.report(feed, books))

    assert one_refused[0].endswith("  2 of 3 are live")
    assert {line.split()[0] for line in one_refused[1:3]} == {"BTC-USDT", "ETH-USDT"}
    assert one_refused[3].startswith("  1 not live, rejected: XXX-YYY: ")
    assert all_lost[0].endswith("  0 of 3 are live")
    assert [line.partition(":")[0] for line in all_lost[1:]] == [
        "  2 not live, network",
        "  1 not live, rejected",
    ]


def test_a_book_of_one_side_has_no_spread() -> None:
    size, ask = Decimal(1), Decimal(100)
    best = BestBidAsk("A", None, None, ask, size, NOW, NOW, None, None, 1, "depth5")
    feed, book = (SimpleNamespace() for _ in range(2))
    feed.best_bid_asks = lambda ids, *, partial: dict.fromkeys(ids, best)
    book.instrument_id = "A"

    (line,) = scanner.report(feed, [book])
    assert line.endswith("  1 of 1 are live")


# --- market_maker.py ----------------------------------------------------------------


def drop_for_good(exchange: LocalExchange) -> None:
    exchange.refuse()
    exchange.drop()


def send_garbage(exchange: LocalExchange) -> None:
    exchange.silence()
    exchange.send_raw(b"garbage", text=True)


@pytest.fixture
def maker() -> Iterator[tuple[Any, LocalExchange]]:
    """A market maker, its bot on no thread yet, and the exchange that it trades on."""
    with LocalExchange() as exchange:
        paper = market_maker.Paper()
        bot = market_maker.MarketMaker("BTC-USDT", paper, exchange.venue_v5)
        with bot.okx:
            yield bot, exchange


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("lease", LocalExchange.mute),
        ("max-age", LocalExchange.silence),
        ("network", drop_for_good),
        ("unreadable", send_garbage),
    ],
)
def test_no_quote_stands_while_there_is_no_price(
    code: str,
    fault: Callable[[LocalExchange], object],
    maker: tuple[Any, LocalExchange],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bot, exchange = maker
    # So only a change of state wakes it.
    monkeypatch.setattr(market_maker, "PERIOD", None)
    thread = threading.Thread(target=bot.run, daemon=True)
    thread.start()
    assert exchange.wait_for(lambda: bot.orders.standing, TIMEOUT)
    fault(exchange)
    assert exchange.wait_for(lambda: not bot.orders.standing, TIMEOUT)
    assert bot.okx.best_bid_ask() is None
    assert bot.okx.health().cause.code == code
    bot.okx.close()
    thread.join(TIMEOUT)

    assert not thread.is_alive()
    assert bot.orders.standing is None


def test_the_market_maker_quotes_again_once_there_is_a_price(
    maker: tuple[Any, LocalExchange],
) -> None:
    bot, exchange = maker
    bot.okx.wait_live(TIMEOUT)
    bot.step()
    drop_for_good(exchange)
    assert exchange.wait_for(lambda: bot.okx.state is State.RECONNECTING, TIMEOUT)
    bot.step()
    assert bot.orders.standing is None
    exchange.heal()
    bot.okx.wait_live(TIMEOUT)
    bot.step()
    assert bot.orders.standing


def test_quotes_are_multiples_of_the_tick_around_the_mid(
    maker: tuple[Any, LocalExchange],
) -> None:
    bot, exchange = maker
    exchange.pace = 0
    bot.okx.wait_live(TIMEOUT)
    bot.step()
    mid = bot.okx.best_bid_ask().mid
    bid, ask = bot.orders.standing

    assert bid < mid < ask
    assert bid % Decimal("0.1") == ask % Decimal("0.1") == 0
    for side in (bid, ask):
        off = abs(side - mid) - mid * market_maker.HALF_SPREAD
        assert 0 <= off < Decimal("0.1")


def test_an_error_pulls_the_quotes(
    maker: tuple[Any, LocalExchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, _ = maker
    bot.okx.wait_live(TIMEOUT)
    bot.step()
    assert bot.orders.standing
    monkeypatch.setattr(bot, "step", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        bot.run()
    assert bot.orders.standing is None


# --- service.py ---------------------------------------------------------------------


def service_of(okx: WSSubscription) -> tuple[Any, Any]:
    """The test server of the service, and the module of aiohttp's clients."""
    aiohttp = pytest.importorskip(
        "aiohttp", reason="pip install aiohttp: the service needs it, the library not"
    )
    from aiohttp.test_utils import TestServer

    return TestServer(load("service").Service(okx).application()), aiohttp


def on_a_service(
    work: Callable[
        [Any, Any, WSSubscription, LocalExchange], Coroutine[Any, Any, None]
    ],
) -> None:
    """Run *work* with a client, the service's server, its subscription and exchange."""

    async def main(exchange: LocalExchange) -> None:
        okx = WSSubscription("BTC-USDT", venue=exchange.venue_v5, channels=["depth5"])
        async with okx:
            server, aiohttp = service_of(okx)
            async with server, aiohttp.ClientSession(server.make_url("/")) as client:
                await okx.await_live(TIMEOUT)
                await work(client, server, okx, exchange)

    with LocalExchange() as exchange:
        asyncio.run(asyncio.wait_for(main(exchange), TIMEOUT))


async def events(response: Any) -> AsyncIterator[dict[str, str]]:
    """What the service's stream sends, decoded."""
    async for line in response.content:
        if text := line.decode().strip():
            yield json.loads(text.removeprefix("data: "))


def test_the_service_answers_with_the_price_or_the_cause() -> None:
    async def work(
        client: Any, _: Any, okx: WSSubscription, exchange: LocalExchange
    ) -> None:
        async with client.get("price") as answer:
            price = await answer.json()
            assert answer.status == 200
        assert Decimal(price["bid"]) < Decimal(price["ask"])
        items = okx.updates(timeout=TIMEOUT)
        drop_for_good(exchange)
        while okx.state is not State.RECONNECTING:
            await anext(items)
        async with client.get("price") as answer:
            refusal = await answer.json()
            assert answer.status == 503
        assert refusal["code"] == "network"
        assert refusal["cause"] == str(okx.health().cause)

    on_a_service(work)


def test_the_service_streams_to_three_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(
        client: Any, _: Any, __: WSSubscription, exchange: LocalExchange
    ) -> None:
        async with AsyncExitStack() as stack:
            opened = [client.get("stream") for _ in range(3)]
            streams = [events(await stack.enter_async_context(o)) for o in opened]
            for stream in streams:
                assert "bid" in await anext(stream)
            exchange.drop()
            for stream in streams:
                told = await anext(stream)
                while "code" not in told:
                    told = await anext(stream)
                assert told["code"] == "network"
                while "code" in told:  # no price until there is one again
                    told = await anext(stream)
                assert Decimal(told["bid"]) < Decimal(told["ask"])
        # All three have left in the middle of their streams.
        async with client.get("price") as answer:
            assert answer.status == 200

    on_a_service(work)
    assert [each for each in caplog.records if each.name.startswith("aiohttp")] == []


def test_a_client_that_comes_in_an_outage_is_told_the_cause_at_once() -> None:
    async def work(
        client: Any, _: Any, okx: WSSubscription, exchange: LocalExchange
    ) -> None:
        items = okx.updates(timeout=TIMEOUT)
        exchange.silence()
        exchange.send_raw(b"garbage", text=True)
        while okx.state is not State.RESYNCING:
            await anext(items)
        async with client.get("stream") as response:
            told = events(response)
            assert (await anext(told))["code"] == "unreadable"
            exchange.resume()
            assert "bid" in await anext(told)

    on_a_service(work)


def test_the_end_of_the_service_ends_its_streams() -> None:
    async def work(client: Any, server: Any, okx: WSSubscription, _: Any) -> None:
        async with client.get("stream") as response:
            told = events(response)
            assert "bid" in await anext(told)
            await server.close()
            last = [event async for event in told][-1]
        assert last["code"] == "closed"
        assert okx.state is State.CLOSED

    on_a_service(work)


@pytest.mark.slow
def test_the_service_is_served_on_this_machine(start: Start) -> None:
    pytest.importorskip("aiohttp", reason="pip install aiohttp")
    process = start("service", "--local", "--port", "0")
    first = next(printed(process))

    assert "http://127.0.0.1:" in first
    assert interrupt(process) == (0, "")


# --- private.py ---------------------------------------------------------------------


def test_after_a_loss_it_says_that_pushes_may_be_missing() -> None:
    with LocalExchange() as exchange:
        key = exchange.credentials[0]
        with Feed(exchange.venue_v5, credentials=key) as feed:
            account = RawSubscription(private.CHANNELS, feed=feed)
            lines = private.lines(account.updates(timeout=TIMEOUT))
            before = next(line for line in lines if line.startswith("account "))
            exchange.drop()
            told = list(takewhile(lambda line: not line.startswith("account "), lines))

    assert before.startswith("account totalEq ")
    assert any(line.startswith("RECONNECTING ") for line in told)
    assert any(line.startswith("GAP ") and "how your orders" in line for line in told)


def test_an_order_is_one_line_of_what_matters() -> None:
    order = {
        "instId": "BTC-USDT",
        "ordId": "312",
        "px": "",
        "state": "live",
        "uid": "9",
    }
    with LocalExchange() as exchange:
        key = exchange.credentials[0]
        with Feed(exchange.venue_v5, credentials=key) as feed:
            account = RawSubscription(private.CHANNELS, feed=feed)
            lines = private.lines(account.updates(timeout=TIMEOUT))
            account.wait_live(TIMEOUT)
            exchange.push("orders:instType=ANY", order)
            told = next(line for line in lines if line.startswith("orders "))

    assert told == "orders instId BTC-USDT, ordId 312, state live"


def test_an_end_is_left_to_the_error_that_follows() -> None:
    ends = [
        StateChange(State.LIVE, new, because("refused"), 1, NOW, "A-B")
        for new in (State.FAILED, State.CLOSED)
    ]

    assert list(private.lines(ends)) == []


def test_a_key_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        monkeypatch.setitem(VENUES, "okx", exchange.venue_v5)
        for name in ("API_KEY", "SECRET_KEY", "PASSPHRASE"):
            monkeypatch.setenv(f"OKX_{name}", "of-nobody")
        code = run(private, monkeypatch)

    said = capsys.readouterr()
    assert code == 1
    assert said.err == "login was refused: Invalid apiKey (error 60005)\n"
    assert "of-nobody" not in said.out + said.err


# --- bot.py, whose tests are examples/test_bot.py ------------------------------------


def test_the_bot_says_that_it_sells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalExchange() as exchange:
        monkeypatch.setitem(VENUES, "okx", exchange.venue_v5)
        run(load("bot"), monkeypatch, "BTC-USDT", "70000")

    assert capsys.readouterr().out.startswith("sell: the best bid is ")


# --- metrics.py ---------------------------------------------------------------------

metrics = load("metrics")


def scraped(text: str) -> dict[str, float]:
    """The samples of a page by name and label, read as its format is documented."""
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"]
    assert len({row[0] for row in rows}) == len(rows)
    return {name.replace('{kind=""}', ""): float(value) for name, value in rows}


def answered(feed: Feed) -> dict[str, float]:
    """What the WSGI application of *feed* says."""
    said: list[object] = []
    body = metrics.Collector(feed).answer({}, lambda *head: said.append(head))
    found = scraped(b"".join(body).decode())
    assert said == [("200 OK", [("Content-Type", "text/plain; version=0.0.4")])]
    return found


def losses(feed: Feed) -> int:
    return feed.stats().reconnects.get("ConnectionLost", 0)


@pytest.fixture
def counting() -> Iterator[tuple[LocalExchange, Feed]]:
    """A feed of two books and an account, which has lost both connections once."""
    with LocalExchange() as exchange:
        key = exchange.credentials[0]
        with Feed(exchange.venue_v5, credentials=key) as feed:
            feed.subscribe(["BTC-USDT", "ETH-USDT"], "spot")
            RawSubscription(private.CHANNELS, feed=feed)
            feed.wait_live(TIMEOUT)
            exchange.drop()
            assert exchange.wait_for(lambda: losses(feed) == 2, TIMEOUT)
            feed.wait_live(TIMEOUT)
            yield exchange, feed


def test_a_scrape_tells_what_the_feed_tells_at_that_moment(
    counting: tuple[LocalExchange, Feed],
) -> None:
    exchange, feed = counting
    live = answered(feed)
    exchange.refuse()
    exchange.drop()
    assert exchange.wait_for(
        lambda: all(one.state is State.RECONNECTING for one in feed.subscriptions),
        TIMEOUT,
    )
    before, lost, after = feed.stats(), answered(feed), feed.stats()

    for name in ("BTC-USDT", "ETH-USDT"):
        assert live[f'okex_ws_live{{instrument="{name}"}}'] == 1
        assert lost[f'okex_ws_live{{instrument="{name}"}}'] == 0
        assert live[f'okex_ws_age_seconds{{instrument="{name}"}}'] < TIMEOUT
    assert live['okex_ws_reconnects_total{kind="ConnectionLost"}'] == 2
    assert 0 < before.messages <= lost["okex_ws_messages_total"] <= after.messages
    assert lost["okex_ws_gaps_total"] >= before.gaps > 0
    assert lost["okex_ws_callback_errors_total"] == 0


def test_the_registry_of_prometheus_client_has_the_same(
    counting: tuple[LocalExchange, Feed],
) -> None:
    client = pytest.importorskip(
        "prometheus_client", reason="pip install prometheus-client: no extra has it"
    )
    _, feed = counting
    registry = client.CollectorRegistry()
    registry.register(metrics.Collector(feed))
    # What is closed keeps its counts, and only grows older.
    feed.close()
    text = client.generate_latest(registry).decode()
    theirs, ours = scraped(text), answered(feed)

    assert theirs.keys() == ours.keys()
    assert {n for n in ours if theirs[n] != ours[n]} <= {
        f'okex_ws_age_seconds{{instrument="{name}-USDT"}}' for name in ("BTC", "ETH")
    }
    assert "# TYPE okex_ws_messages_total counter\n" in text
    assert theirs["okex_ws_messages_total"] == feed.stats().messages


@pytest.mark.slow
def test_metrics_are_served_on_this_machine(start: Start) -> None:
    process = start("metrics", "--local", "--port", "0")
    url = next(printed(process))
    address, _, path = url.removeprefix("http://").partition("/")
    pages = []
    for _ in range(2):
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        pages.append(scraped(answer.read().decode()))
        connection.close()

    assert address.startswith("127.0.0.1:")
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4"
    assert all('okex_ws_live{instrument="BTC-USDT"}' in page for page in pages)
    code, errors = interrupt(process)
    assert code == 0
    assert [line.split('"')[1] for line in errors.splitlines()] == [
        "GET /metrics HTTP/1.1"
    ] * 2


@pytest.mark.source
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_each_example_is_short(path: Path) -> None:
    assert path.read_text("utf-8").count("\n") < 100
