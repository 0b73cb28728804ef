"""What a channel is about, and what the exchange would say that is not recorded."""

from __future__ import annotations

import json

import pytest

from okex_ws.pool.options import WIRE_PROTOCOLS
from okex_ws.protocol.messages import Acknowledged, LoggedIn, Refused, Unsubscribed
from okex_ws.replay.requests import ChannelInfo, ReplayDialect

KEYS = {"v3": "spot/depth5:BTC-USDT", "v5": "books5:BTC-USDT"}


@pytest.mark.parametrize(
    ("protocol", "key", "about"),
    [
        ("v3", KEYS["v3"], ChannelInfo("spot", "BTC-USDT", "depth5", "depth")),
        ("v3", "swap/depth_l2_tbt:BTC-USD-SWAP", ("swap", "BTC-USD-SWAP", "", "book")),
        (
            "v3",
            "index/ticker:BTC-USD",
            ChannelInfo("index", "BTC-USD", "ticker", "ticker"),
        ),
        ("v3", "spot/other:BTC-USDT", ChannelInfo("spot", "BTC-USDT", "other", "data")),
        ("v5", KEYS["v5"], ChannelInfo("spot", "BTC-USDT", "depth5", "depth")),
        (
            "v5",
            "books:BTC-USD-SWAP",
            ChannelInfo("swap", "BTC-USD-SWAP", "depth", "book"),
        ),
        ("v5", "index-tickers:BTC-USD", ("index", "BTC-USD", "ticker", "ticker")),
        ("v5", "candle1m:BTC-USDT", ("spot", "BTC-USDT", "candle60s", "candle")),
        ("v5", "account", ChannelInfo("", "", "account", "data")),
        ("v5", "orders:instType=ANY", ChannelInfo("", "", "orders", "data")),
    ],
)
def test_a_key_tells_what_the_library_calls_it(
    protocol: str, key: str, about: tuple[str, ...]
) -> None:
    found = ReplayDialect(protocol).channel_info(key)

    assert (found.market, found.instrument_id, found.kind) == (*about[:2], about[3])
    assert about[2] in ("", found.topic)


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_what_is_made_up_is_read_as_the_exchanges(protocol: str) -> None:
    dialect, wire, key = (
        ReplayDialect(protocol),
        WIRE_PROTOCOLS[protocol],
        KEYS[protocol],
    )
    number = "7" if protocol == "v5" else None

    def read(message: tuple[bytes, bool]) -> object:
        (found,) = wire.read(wire.unpack(*message))
        return found

    assert read(dialect.answer("subscribe", key, "7")) == Acknowledged(key, number)
    assert read(dialect.answer("unsubscribe", key, "7")) == Unsubscribed(key, number)
    assert read(dialect.logged_in("7")) == LoggedIn()
    refused = read(dialect.refusal(key, "7"))
    assert isinstance(refused, Refused)
    assert refused.id == number
    assert wire.mentioned(refused.message) == (key,)
    assert not wire.code(refused.code).advice.passes


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_the_arguments_of_a_request_are_its_channels(protocol: str) -> None:
    request = WIRE_PROTOCOLS[protocol].request("subscribe", [KEYS[protocol]], 1)

    found = ReplayDialect(protocol).keys(json.loads(request.text)["args"])

    assert found == [KEYS[protocol]]


def test_a_recorded_answer_has_the_present_number_and_nothing_else_is_changed() -> None:
    recorded = b'{"id" : "3","event":"error","msg":"no \\"id\\":\\"3\\""}'

    renumbered = ReplayDialect("v5").renumbered(recorded, "12")

    assert renumbered == b'{"id" : "12","event":"error","msg":"no \\"id\\":\\"3\\""}'
    assert ReplayDialect("v5").renumbered(recorded, None) == recorded
    assert ReplayDialect("v3").renumbered(recorded, "12") == recorded
    assert ReplayDialect("v5").renumbered(b'{"event":"subscribe"}', "1") == (
        b'{"event":"subscribe"}'
    )
