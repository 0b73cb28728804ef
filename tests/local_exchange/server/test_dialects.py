"""Each protocol's own words for what is decided elsewhere."""

from __future__ import annotations

import json

import pytest

from okex_ws.local_exchange.faults.faults import Rejection
from okex_ws.local_exchange.server import listing
from okex_ws.local_exchange.server.dialects import (
    ClientDialect,
    Error,
    RequestedChannel,
    dialect,
)
from okex_ws.local_exchange.server.logins import Flaw, LoginArguments

BOOKS5 = RequestedChannel(
    "books5:BTC-USDT", {"channel": "books5", "instId": "BTC-USDT"}
)
CANDLE = RequestedChannel(
    "candle1m:BTC-USDT", {"channel": "candle1m", "instId": "BTC-USDT"}
)
ACCOUNT = RequestedChannel("account", {"channel": "account"})
ALGO = RequestedChannel(
    "orders-algo:instType=ANY", {"channel": "orders-algo", "instType": "ANY"}
)
DEPTH5, SPOT_ACCOUNT, STATUS = (
    RequestedChannel(name, name)
    for name in ("spot/depth5:BTC-USDT", "spot/account:BTC", "system/status")
)


def at(path: str) -> ClientDialect:
    found = dialect(path)
    assert found
    return found


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/ws/v3", "v3"),
        ("/ws/v3?compress=true", "v3"),
        ("/ws/v5/public", "v5"),
        ("/ws/v5/business?brokerId=9999", "v5"),
        ("/ws/v5/private", "v5"),
        ("/ws/v5", None),
        ("/ws/v5/", None),
        ("/ws/v5/other", None),
        ("/", None),
    ],
)
def test_a_path_has_its_protocol(path: str, protocol: str | None) -> None:
    found = dialect(path)

    assert (found and found.protocol) == protocol


@pytest.mark.parametrize(
    ("field", "code"), [(0, 30001), (1, 30004), (2, 30003), (3, 30002)]
)
def test_a_blank_in_a_login_of_v3_is_named(field: int, code: int) -> None:
    args = ["key", "open", "1538054050", "sign"]
    args[field] = ""
    heard = at("/ws/v3").read(json.dumps({"op": "login", "args": args}))

    assert (heard.op, heard.error[0]) == ("", code)


def test_logins_are_read() -> None:
    login = LoginArguments("key", "open", "1538054050", "sign")
    v3 = at("/ws/v3").read(json.dumps({"op": "login", "args": list(login)}))
    said = dict(zip(("apiKey", "passphrase", "timestamp", "sign"), login, strict=True))
    v5 = at("/ws/v5/private").read(json.dumps({"op": "login", "args": [said]}))

    assert (v3.op, v3.login) == (v5.op, v5.login) == ("login", login)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["key"], "60013"),
        ([{"apiKey": "key"}], "60013"),
        ([{"apiKey": "k", "passphrase": "", "timestamp": "1", "sign": "s"}], "60013"),
        ([{"apiKey": "k", "passphrase": 5, "timestamp": "1", "sign": "s"}], "60013"),
        ([{}, {}], "60031"),
        ([], "60013"),
        ("key", "60012"),
    ],
)
def test_a_malformed_login_of_v5_is_told(args: object, code: str) -> None:
    heard = at("/ws/v5/private").read(json.dumps({"op": "login", "args": args}))

    assert (heard.op, heard.error[0]) == ("", code)


@pytest.mark.parametrize("path", ["/ws/v3", "/ws/v5/public"])
def test_every_flaw_has_a_code(path: str) -> None:
    assert set(at(path).FLAWS) == set(Flaw)


def test_a_frame_is_deflated_or_plain() -> None:
    assert at("/ws/v3").frame("pong") == bytes.fromhex("2bc8cf4b0700")
    assert at("/ws/v5/public").frame("pong") == "pong"
    assert at("/ws/v5/public").frame("a\ud800") == "a?"


def test_a_pong_is_deflated_unless_it_is_to_be_plain() -> None:
    assert at("/ws/v3").pong(plain=False) == bytes.fromhex("2bc8cf4b0700")
    assert at("/ws/v3").pong(plain=True) == "pong"
    assert at("/ws/v5/public").pong(plain=False) == "pong"


@pytest.mark.parametrize(
    ("path", "wanted", "code"),
    [
        ("/ws/v5/public", BOOKS5, None),
        ("/ws/v5/business", BOOKS5, "64002"),
        ("/ws/v5/private", BOOKS5, "60018"),
        ("/ws/v5/public", CANDLE, "64001"),
        ("/ws/v5/business", CANDLE, None),
        ("/ws/v5/private", CANDLE, "64001"),
        ("/ws/v5/public", ACCOUNT, "60018"),
        ("/ws/v5/business", ACCOUNT, "64002"),
        ("/ws/v5/private", ACCOUNT, "60011"),
        ("/ws/v5/business", ALGO, "60011"),
        ("/ws/v5/public", RequestedChannel(DEPTH5.channel, {"channel": "x"}), "60018"),
        ("/ws/v3", DEPTH5, None),
        ("/ws/v3", STATUS, None),
        ("/ws/v3", SPOT_ACCOUNT, 30041),
        ("/ws/v3", BOOKS5, 30040),
    ],
)
def test_a_channel_can_be_had_on_its_own_path(
    path: str, wanted: RequestedChannel, code: int | str | None
) -> None:
    open_to_all = not listing.is_private(wanted.channel)
    refusal = at(path).refusal(wanted, is_known=True, is_allowed=open_to_all)
    unknown = at(path).refusal(wanted, is_known=False, is_allowed=True)

    assert (refusal and refusal[0]) == code
    assert unknown
    assert unknown[0] in (30040, "60018")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/ws/v5/private", ACCOUNT),
        ("/ws/v5/business", ALGO),
        ("/ws/v3", SPOT_ACCOUNT),
    ],
)
def test_after_a_login_private_channels_can_be_had(
    path: str, wanted: RequestedChannel
) -> None:
    assert at(path).refusal(wanted, is_known=True, is_allowed=True) is None


@pytest.mark.parametrize(
    ("path", "named", "error"),
    [
        ("/ws/v3", True, (60014, "no")),
        ("/ws/v5/public", True, (60014, "channel:books5,instId:BTC-USDT no")),
        ("/ws/v5/public", False, (60014, "no")),
    ],
)
def test_a_rejection_names_its_channel_or_not(
    path: str, named: bool, error: Error
) -> None:
    rejection = Rejection(60014, "no", None, named)

    assert at(path).rejection(rejection, BOOKS5) == error


def test_only_v5_has_events_that_nobody_asked_for() -> None:
    event = json.loads(at("/ws/v5/public").event("notice", code="64008") or "")

    assert (event["event"], event["code"]) == ("notice", "64008")
    assert at("/ws/v3").event("notice", code="64008") is None


def test_every_connection_of_v5_has_an_id_of_its_own() -> None:
    dialects = [at("/ws/v5/public") for _ in range(20)]
    ids = {json.loads(each.logged_in(None))["connId"] for each in dialects}

    assert len(ids) > 10
    assert all(len(bytes.fromhex(each)) == 4 for each in ids)
