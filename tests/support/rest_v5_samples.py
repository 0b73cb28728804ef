"""Elements of answers of v5's REST interface, and any JSON with their fields."""

from __future__ import annotations

from okex_ws.rest.dialect import RestRequest, Rule
from tests.support.rest_bodies import json_of

ASK = RestRequest("/api/v5/market/trades", {}, Rule("trades", 100))
# The examples in the exchange's documentation.
TRADE = {
    "instId": "BTC-USDT",
    "side": "sell",
    "sz": "0.00001",
    "px": "29963.2",
    "tradeId": "242720720",
    "ts": "1654161646974",
}
CANDLE = [
    *("1597026383085", "3.721", "3.743", "3.677", "3.708"),
    *("8422410", "22698348.04828491", "12698348.04828491", "1"),
]
BOOK = {
    "asks": [["41006.8", "0.60038921", "0", "1"]],
    "bids": [["41006.3", "0.30178218", "0", "2"]],
    "ts": "1629966436396",
    "seqId": 3235851742,
}
SWAP = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "uly": "BTC-USDT",
    "instFamily": "BTC-USDT",
    "baseCcy": "",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "optType": "",
    "stk": "",
    "listTime": "1597026383085",
    "expTime": "",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "ctType": "linear",
    "state": "live",
}
OPTION = SWAP | {
    "instType": "OPTION",
    "instId": "BTC-USD-301227-60000-C",
    "uly": "BTC-USD",
    "instFamily": "BTC-USD",
    "settleCcy": "BTC",
    "ctVal": "1",
    "ctMult": "0.01",
    "optType": "C",
    "stk": "60000",
    "expTime": "1924588800000",
    "tickSz": "0.0005",
    "lotSz": "1",
    "minSz": "1",
}

# JSON of any shape whose objects may have these fields.
ANY_JSON = json_of([*TRADE, *BOOK, *SWAP])
