"""Elements of answers of v3's REST interface, in the shapes of its SDKs."""

from __future__ import annotations

from okex_ws.rest.dialect import RestRequest, Rule

ASK = RestRequest("/api/spot/v3/instruments", {}, Rule("spot/instruments", 20))
SPOT_TRADE = {
    "time": "2021-04-17T16:50:02.084Z",
    "timestamp": "2021-04-17T16:50:02.084Z",
    "trade_id": "3175832",
    "price": "0.01529",
    "size": "100.71",
    "side": "buy",
}
FUTURES_TRADE = {
    "trade_id": "5430565",
    "side": "buy",
    "price": "60059.7",
    "qty": "20",
    "timestamp": "2021-03-22T01:32:18.087Z",
}
ROW = ["2019-04-16T10:49:00.000Z", "162.03", "162.04", "161.96", "161.98", "336.452694"]
BOOK = {
    "asks": [["3993.2", "0.41600068", "1"]],
    "bids": [["3993", "0.15149658", "2"]],
    "timestamp": "2019-03-20T03:55:37.888Z",
}
SPOT = {
    "base_currency": "DASH",
    "instrument_id": "DASH-BTC",
    "min_size": "0.001",
    "quote_currency": "BTC",
    "size_increment": "0.000001",
    "category": "1",
    "tick_size": "0.00000001",
}
SWAP = {
    "instrument_id": "BTC-USD-SWAP",
    "underlying_index": "BTC",
    "quote_currency": "USD",
    "coin": "BTC",
    "contract_val": "100",
    "listing": "2018-08-28T02:43:23.000Z",
    "delivery": "2019-12-09T08:00:00.000Z",
    "size_increment": "1",
    "tick_size": "0.1",
    "base_currency": "BTC",
    "underlying": "BTC-USD",
    "settlement_currency": "BTC",
    "is_inverse": True,
    "contract_val_currency": "USD",
}
FUTURE = {
    "instrument_id": "BTC-USD-190517",
    "underlying_index": "BTC",
    "quote_currency": "USD",
    "tick_size": "0.01",
    "contract_val": "100",
    "listing": "2019-05-03",
    "delivery": "2019-05-17",
    "trade_increment": "1",
}
