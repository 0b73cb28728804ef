"""The examples but the monitor: what they print, what they refuse, and how they end."""

from __future__ import annotations

import http.client
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType

import pytest

from okex_ws import (
    VENUES,
    BestBidAsk,
    Depth,
    Feed,
    Health,
    Item,
    Level,
    RawSubscription,
    State,
    StateChange,
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


many, compare, private = map(load, ("many", "compare", "private"))


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
def test_many_prints_prices_of_each_once_it_is_live(
    start: Start,
) -> None:
    ids = ("BTC-USDT", "BTC-USD-SWAP")
    process = start("many", "--local", *ids)
    told: dict[str, list[str]] = {name: [] for name in ids}
    for line in printed(process):
        name, text = line.split(maxsplit=1)
        told[name].append(text)
        if all(len(texts) > 5 for texts in told.values()):
            break

    for texts in told.values():
        live = texts.index("LIVE")
        prices = [text.replace(" / ", " ").split() for text in texts[live + 1 :]]
        assert not any(" / " in text for text in texts[:live])
        assert all(Decimal(row[0]) < Decimal(row[3]) for row in prices)
        assert not any(a == b for a, b in pairwise(texts))
    assert interrupt(process) == (0, "")


@pytest.mark.slow
def test_compare_prints_the_difference_of_two_mids(
    start: Start,
) -> None:
    process = start("compare", "--local")
    rows: list[list[str]] = []
    for line in printed(process):
        _, text = line.split(maxsplit=1)
        if text.startswith("no basis: "):
            assert rows == []
        else:
            rows.append(text.replace(",", "").split())
        if len(rows) == 2:
            break

    for spot, mid, swap, other_mid, _, basis in rows:
        assert (spot, swap) == ("BTC-USDT", "BTC-USDT-SWAP")
        assert Decimal(basis) == Decimal(other_mid) - Decimal(mid)
    assert interrupt(process) == (0, "")


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
        ("many", ["no id"], "is not an instrument id"),
        ("many", ["--local", "no id"], "did you mean 'NO-ID'"),
        ("compare", ["BTC-USDT", "no id"], "is not an instrument id"),
        ("compare", ["no id", "--local"], "is not an instrument id"),
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


# --- many.py ------------------------------------------------------------------------


def depth(bids: tuple[Level, ...], asks: tuple[Level, ...], name: str = "A-B") -> Depth:
    return Depth(name, bids, asks, NOW, NOW, None, None, 1, "depth5")


def change(new: State, cause: str = "", name: str = "A-B") -> StateChange:
    return StateChange(State.SYNCING, new, because(cause), 1, NOW, name)


def test_a_top_that_did_not_change_is_not_told_again() -> None:
    level, other = ("7", "1", "0", "3"), ("9", "2", "0", "1")
    worse = ("6", "1", "0", "3")
    items: list[Item] = [
        depth((level,), (other,)),
        depth((level, worse), (other,)),
        depth((level,), (other,), "C-D"),
        depth((level,), (("9", "2.5"),)),
    ]

    assert list(many.changes(items)) == [
        ("A-B", "7 x 1 / 9 x 2"),
        ("C-D", "7 x 1 / 9 x 2"),
        ("A-B", "7 x 1 / 9 x 2.5"),
    ]


def test_a_price_is_told_again_after_a_state() -> None:
    book = depth((("7", "1"),), ())
    items = [change(State.LIVE), book, change(State.STALE, "late"), book]

    assert [text for _, text in many.changes(items)] == [
        "LIVE",
        "7 x 1 / nothing",
        "STALE late",
        "7 x 1 / nothing",
    ]


def run(example: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of an example in this process."""
    monkeypatch.setattr(sys, "argv", [example.__name__, *arguments])
    code: int = example.main()
    return code


@pytest.mark.parametrize("example", [many, compare])
def test_refused_instruments_are_said_and_end_it(
    example: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LocalExchange() as exchange:
        monkeypatch.setattr(example, "local", lambda *_: exchange.venue_v5)
        code = run(example, monkeypatch, "XXX-YYY", "ZZZ-YYY", "--local")

    last = capsys.readouterr().out.splitlines()[-1]
    assert code == 1
    assert "FAILED" in last
    assert "60018" in last


# --- compare.py ---------------------------------------------------------------------


def best(name: str, bid: str, ask: str | None) -> BestBidAsk:
    size, top = Decimal(1), None if ask is None else Decimal(ask)
    return BestBidAsk(
        name, Decimal(bid), size, top, size, NOW, NOW, None, None, 1, "depth5"
    )


class Read:
    """A feed that answers every read with the same."""

    def __init__(self, *answer: BestBidAsk) -> None:
        self.answer = {one.instrument_id: one for one in answer}

    def best_bid_asks(
        self, ids: Iterable[str], *, max_lag: float
    ) -> dict[str, BestBidAsk]:
        assert max_lag == compare.MAX_LAG
        return self.answer


class Followed:
    """A subscription in one state."""

    def __init__(self, name: str, state: State = State.LIVE, cause: str = "") -> None:
        self.instrument_id, self.state, self.cause = name, state, cause

    def health(self) -> Health:
        return Health(self.state, because(self.cause), 0.0, 0.0, None, 1, {})


def test_the_basis_is_the_second_mid_less_the_first() -> None:
    feed = Read(best("A-B", "100.1", "100.2"), best("C-D", "99", "99.1"))

    assert compare.basis(feed, [Followed("A-B"), Followed("C-D")]) == (
        "A-B 100.15, C-D 99.05, basis -1.10"
    )


def test_a_book_of_one_side_has_no_basis() -> None:
    feed = Read(best("A-B", "100.1", "100.2"), best("C-D", "99", None))

    found = compare.basis(feed, [Followed("A-B"), Followed("C-D")])
    assert found == "no basis: a book has only one side"


def test_who_is_not_live_is_named() -> None:
    pair = [Followed("A-B"), Followed("C-D", State.STALE, "no pong")]

    assert compare.basis(Read(), pair) == "no basis: C-D is STALE: no pong"


def test_prices_that_are_live_but_late_are_not_compared() -> None:
    found = compare.basis(Read(), [Followed("A-B"), Followed("C-D")])

    assert found == "no basis: a price is more than 0.5 s late"


def test_a_lost_connection_takes_the_basis_away() -> None:
    ids = (compare.FIRST, compare.SECOND)
    with LocalExchange(instruments=ids) as exchange, Feed(exchange.venue_v5) as feed:
        pair = [compare.follow(name, feed) for name in ids]
        feed.wait_live(TIMEOUT)
        before = compare.basis(feed, pair)
        changes = feed.updates(timeout=TIMEOUT)
        exchange.refuse()
        exchange.drop()
        next(each for each in changes if isinstance(each, StateChange))
        after = compare.basis(feed, pair)

    assert ", basis " in before
    assert after.startswith("no basis: BTC-USDT is RECONNECTING: ")


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
    ends = [change(State.FAILED, "login was refused"), change(State.CLOSED, "closed")]

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


def test_the_recipe_is_short() -> None:
    assert (EXAMPLES / "metrics.py").read_text("utf-8").count("\n") < 80
