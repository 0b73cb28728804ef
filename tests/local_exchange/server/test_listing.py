"""The channels of accounts and of the exchange itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okex_ws.local_exchange.market.market import Market, SyntheticMarket
from okex_ws.local_exchange.server import listing
from okex_ws.local_exchange.server.listing import Catalogue


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(SyntheticMarket(0))


class OnlyV3(SyntheticMarket):
    protocols = ("v3",)


@pytest.mark.parametrize(
    ("channel", "exists", "private"),
    [
        ("account", True, True),
        ("account:ccy=BTC", True, True),
        ("account:BTC", False, True),
        ("orders:instType=ANY", True, True),
        ("orders:instFamily=BTC-USD,instType=SWAP", True, True),
        ("orders:instId=BTC-USD-SWAP,instType=SWAP", True, True),
        ("orders", False, True),
        ("orders:instType=PERHAPS", False, True),
        ("orders:instType=ANY,uly=BTC-USD", False, True),
        ("positions:instType=SWAP", True, True),
        ("balance_and_position", True, True),
        ("orders-algo:instType=SPOT", True, True),
        ("status", True, False),
        ("status:instType=SPOT", False, False),
        ("instruments:instType=SPOT", True, False),
        ("instruments:instType=ANY", False, False),
        ("instruments", False, False),
        ("books5:BTC-USDT", True, False),
        ("unheard-of", False, False),
        ("", False, False),
        ("spot/account:BTC", True, True),
        ("spot/order:BTC-USDT", True, True),
        ("futures/order:BTC-USD-190517", True, True),
        ("swap/position:BTC-USD-SWAP", True, True),
        ("option/order:BTC-USD", True, True),
        ("spot/position:BTC-USDT", False, False),
        ("spot/account", False, False),
        ("system/status", True, False),
        ("spot/depth5:BTC-USDT", True, False),
    ],
)
def test_it_knows_which_there_are_and_which_need_a_login(
    catalogue: Catalogue, channel: str, exists: bool, private: bool
) -> None:
    assert (channel in catalogue) is exists
    assert listing.is_private(channel) is private


def test_what_is_named_exists(catalogue: Catalogue) -> None:
    names = list(catalogue)

    assert all(name in catalogue for name in names)
    assert {"account", "spot/account:BTC", "books5:BTC-USDT"} <= set(names)
    assert len(catalogue) == len(names)
    assert 5 not in catalogue


def test_a_market_of_one_protocol_has_no_accounts_of_the_other() -> None:
    market: Market = OnlyV3(0)
    catalogue = Catalogue(market)

    assert "spot/account:BTC" in catalogue
    assert "account" not in catalogue
    assert "account" not in list(catalogue)


def present(catalogue: Catalogue, channel: str) -> Any:
    push = catalogue.present(channel, 1000.0, "7")
    assert push
    return json.loads(push.text)


def test_an_account_is_present_with_its_number(catalogue: Catalogue) -> None:
    message = present(catalogue, "account")

    assert message["arg"] == {"channel": "account", "uid": "7"}
    assert message["data"][0]["totalEq"] == "10000"
    assert {each["ccy"] for each in message["data"][0]["details"]} == {"BTC", "USDT"}


def test_an_account_of_one_currency_is_that_one(catalogue: Catalogue) -> None:
    message = present(catalogue, "account:ccy=BTC")

    assert message["arg"] == {"channel": "account", "ccy": "BTC", "uid": "7"}
    assert [each["ccy"] for each in message["data"][0]["details"]] == ["BTC"]


def test_an_account_of_v3_is_present_too(catalogue: Catalogue) -> None:
    message = present(catalogue, "spot/account:BTC")

    assert message["table"] == "spot/account"
    assert message["data"][0]["currency"] == "BTC"
    assert message["data"][0]["timestamp"] == "1970-01-01T00:16:40.000Z"


def test_what_was_told_of_an_account_is_what_is_present(catalogue: Catalogue) -> None:
    catalogue.set_state("account", {"totalEq": "3"})
    catalogue.set_state("orders:instType=ANY", {"px": "1"})

    assert present(catalogue, "account")["data"] == [{"totalEq": "3"}]
    assert catalogue.present("orders:instType=ANY", 0.0, "7") is None
    assert catalogue.present("status", 0.0, None) is None


@pytest.mark.parametrize(
    ("inst_type", "wanted"),
    [
        ("SPOT", {"instId": "BTC-USDT", "baseCcy": "BTC", "tickSz": "0.1"}),
        ("FUTURES", {"instId": "BTC-USD-190517", "expTime": "1558080000000"}),
        ("SWAP", {"uly": "BTC-USD", "settleCcy": "BTC", "ctType": "inverse"}),
        ("OPTION", {"stk": "60000", "optType": "C", "lotSz": "1"}),
    ],
)
def test_instruments_are_present(
    catalogue: Catalogue, inst_type: str, wanted: dict[str, str]
) -> None:
    message = present(catalogue, f"instruments:instType={inst_type}")
    assert message["arg"] == {"channel": "instruments", "instType": inst_type}
    first = message["data"][0]

    assert wanted.items() <= first.items()
    assert {each["instType"] for each in message["data"]} == {inst_type}
    assert catalogue.present("instruments:instType=MARGIN", 0.0, None) is None


def test_a_push_is_in_the_words_of_its_protocol() -> None:
    v3 = listing.push("spot/order:BTC-USDT", {"price": "1"}, "7")
    status = listing.push("status", {"state": "ongoing"}, "7")

    assert v3.text == '{"table":"spot/order","data":[{"price":"1"}]}'
    assert v3.frame is None
    assert status.text == '{"arg":{"channel":"status"},"data":[{"state":"ongoing"}]}'


def test_a_login_is_needed_for_accounts_and_for_what_is_gated(
    catalogue: Catalogue,
) -> None:
    assert catalogue.needs_login("account")
    assert catalogue.needs_login("books-l2-tbt:BTC-USDT")
    assert not catalogue.needs_login("books:BTC-USDT")
    assert not catalogue.needs_login("spot/depth_l2_tbt:BTC-USDT")


def test_it_knows_which_of_its_channels_are_books(
    catalogue: Catalogue,
) -> None:
    assert catalogue.is_book("books:BTC-USDT")
    assert catalogue.is_book("spot/depth_l2_tbt:BTC-USDT")
    assert not catalogue.is_book("books5:BTC-USDT")
    assert not catalogue.is_book("account")
