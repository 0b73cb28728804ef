"""The tests of the stop-loss bot, which finds a local exchange as "okx".

The fixture `okx_is_local` leads every venue's name to an exchange on this machine. The
library's pytest plugin has it: pip install 'okex-ws[local]' pytest
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from queue import SimpleQueue
from threading import Thread

import pytest

from bot import StopLoss
from okex_ws import Cause
from okex_ws.local_exchange import LocalExchange

# Nothing moves but what a test pushes; the price opens at 60,000.
pytestmark = pytest.mark.local_exchange(pace=0)
STOP = Decimal(58000)


class Desk:
    """A bot that runs on a thread, and what it asked for."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.exchange = exchange
        self.sold: SimpleQueue[Decimal] = SimpleQueue()
        self.alarms: SimpleQueue[Cause] = SimpleQueue()
        self.bot = StopLoss("BTC-USDT", STOP, self.sold.put, self.alarms.put)
        self.thread = Thread(target=self.bot.run)
        self.thread.start()
        self.bot.okx.wait_live(timeout=10)

    def move(self, bid: str) -> None:
        """Push the newest book with *bid* as its only bid."""
        bids = [[bid, "1", "0", "1"]]
        self.exchange.push("books5:BTC-USDT", lambda newest: {**newest, "bids": bids})


@pytest.fixture
def desk(okx_is_local: LocalExchange) -> Iterator[Desk]:
    desk = Desk(okx_is_local)
    yield desk
    desk.bot.close()
    desk.thread.join(10)


def test_it_sells_once_when_the_price_is_at_the_stop(desk: Desk) -> None:
    desk.move("58000.1")
    assert desk.exchange.wait_for(lambda: desk.bot.okx.depth().bids[0][0] == "58000.1")
    desk.move("58000.0")
    assert desk.sold.get(timeout=10) == STOP
    desk.thread.join(10)
    assert desk.alarms.empty()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (LocalExchange.drop, "network"),
        (LocalExchange.mute, "lease"),
        (lambda exchange: exchange.send_raw(b"garbage", text=True), "unreadable"),
    ],
)
def test_it_raises_the_alarm_without_a_price_and_does_not_sell(
    desk: Desk, fault: Callable[[LocalExchange], object], code: str
) -> None:
    fault(desk.exchange)
    assert desk.alarms.get(timeout=10).code == code
    assert desk.sold.empty()


def test_it_goes_on_after_an_outage(desk: Desk) -> None:
    desk.exchange.drop()
    assert desk.alarms.get(timeout=10)
    desk.bot.okx.wait_live(timeout=10)
    desk.move("57000.0")
    assert desk.sold.get(timeout=10) == 57000
