"""What is of the wrong kind is a TypeError, what cannot be right a ValueError."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest

from okex_ws.local_exchange.wire import checks

CHANNELS = ("spot/depth5:BTC-USDT", "spot/trade:BTC-USDT", "swap/ticker:BTC-USD-SWAP")

Check = Callable[[object], None]
flag: Check = partial(checks.flag, "x")
text: Check = partial(checks.text, "x")
whole: Check = partial(checks.whole, "x", least=1)
number: Check = partial(checks.number, "x")
code: Check = partial(checks.code, "x")
offset: Check = partial(checks.offset, "x")
positive: Check = partial(checks.number, "x", positive=True, endless=True)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (flag, True),
        (flag, False),
        (text, ""),
        (whole, 1),
        (number, 0),
        (number, 0.5),
        (positive, 0.1),
        (positive, math.inf),
        (checks.times, None),
        (checks.times, 0),
        (code, 60018),
        (code, "60018"),
        (offset, -3600.5),
        (offset, 0),
    ],
)
def test_what_is_right_passes(check: Check, value: object) -> None:
    check(value)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (flag, "yes"),
        (flag, 1),
        (text, None),
        (whole, "404"),
        (whole, True),
        (whole, 1.0),
        (number, "1"),
        (number, False),
        (checks.times, "once"),
        (code, None),
        (code, 1.5),
        (offset, "1"),
        (offset, True),
    ],
)
def test_the_wrong_kind_is_a_type_error(check: Check, value: object) -> None:
    with pytest.raises(TypeError, match=r"got "):
        check(value)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (whole, 0),
        (number, -1),
        (number, math.nan),
        (number, math.inf),
        (positive, 0),
        (positive, math.nan),
        (checks.times, -1),
        (code, -1),
        (code, "often"),
        (code, ""),
        (offset, math.inf),
        (offset, math.nan),
    ],
)
def test_what_cannot_be_right_is_a_value_error(check: Check, value: object) -> None:
    with pytest.raises(ValueError, match=r"got "):
        check(value)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_that_there_is_passes(channel: str) -> None:
    checks.channel(channel, CHANNELS)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("depth5", "spot/depth5:BTC-USDT"),
        ("trade", "spot/trade:BTC-USDT"),
        ("BTC-USD-SWAP", "swap/ticker:BTC-USD-SWAP"),
        ("spot/tickr:BTC-USDT", "spot/trade:BTC-USDT"),
        ("spot/depht5:BTC-USDT", "spot/depth5:BTC-USDT"),
        ("", "spot/depth5:BTC-USDT"),
    ],
)
def test_another_name_is_told_how_the_nearest_channel_is_called(
    given: str, nearest: str
) -> None:
    with pytest.raises(ValueError, match="a channel is") as caught:
        checks.channel(given, CHANNELS)

    assert f"called {given!r}" in str(caught.value)
    assert str(caught.value).endswith(repr(nearest))


@pytest.mark.parametrize("given", [None, 5, ["spot/depth5:BTC-USDT"]])
def test_a_channel_is_a_string(given: object) -> None:
    with pytest.raises(TypeError, match="a channel is 'spot/"):
        checks.channel(given, CHANNELS)
