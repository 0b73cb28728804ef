"""The market's values as the texts of v5's pushes. No I/O.

All prices, sizes, times and counts are strings; ``seqId`` is a JSON integer. The texts
about spreads are those of the documentation of July 2026: levels of three strings, a
real checksum, and numbers of 19 digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import v5
from .values import (
    Best,
    Change,
    ChannelEncoder,
    Deal,
    EncodedPush,
    Funding,
    Mark,
    MarketCandle,
    Period,
    Row,
    Summary,
    Topic,
    to_json,
)

INST_TYPES = {
    "spot": "SPOT",
    "futures": "FUTURES",
    "swap": "SWAP",
    "option": "OPTION",
    "events": "EVENTS",
}
# The futures that have funding rates, as swaps have.
_XPERP = re.compile(r"[A-Z0-9_-]+_XPERP-[0-9]{6}")

_SECONDS = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1H": 3600,
    "2H": 7200,
    "4H": 14_400,
}
_LONG = {"6H": 21_600, "12H": 43_200, "1D": 86_400, "1W": 604_800}
_WEEK_BEGINS = 4 * 86_400  # the epoch was a Thursday


def _long(seconds: int, zone: int) -> Period:
    begins = _WEEK_BEGINS if seconds == _LONG["1W"] else 0
    return Period(seconds, begins - zone)


TOPICS: dict[str, Topic] = {
    "books5": "depth5",
    "bbo-tbt": "bbo",
    "books": "book",
    "books-l2-tbt": "book tbt",
    "books50-l2-tbt": "book50 tbt",
    "books-rpi": "book rpi",
    "trades": "trades",
    "trades-all": "trade",
    "tickers": "ticker",
    "funding-rate": "funding",
    "mark-price": "mark",
    **{f"candle{bar}": Period(seconds) for bar, seconds in _SECONDS.items()},
    # A day begins at midnight in Hong Kong, or with the suffix ``utc`` at midnight UTC.
    **{f"candle{bar}": _long(seconds, 8 * 3600) for bar, seconds in _LONG.items()},
    **{f"candle{bar}utc": _long(seconds, 0) for bar, seconds in _LONG.items()},
}
# The channels of spreads, in the order of their pushes.
SPREAD_TOPICS: dict[str, Topic] = {
    "sprd-bbo-tbt": "bbo",
    "sprd-books-l2-tbt": "book tbt",
    "sprd-books5": "depth5",
    "sprd-public-trades": "trade",
    "sprd-tickers": "ticker",
    **{
        f"sprd-{name}": topic
        for name, topic in TOPICS.items()
        if isinstance(topic, Period) and name != "candle1s"
    },
}
# The ids of a spread's trades are not consecutive: the market's own ids times this.
SPREAD_ID_STEP = 4096


def names(market: str, instrument_id: str) -> Iterable[str]:
    """The keys of all channels about one instrument."""
    if market == "spread":
        yield from (f"{name}:sprdId={instrument_id}" for name in SPREAD_TOPICS)
        return
    for name in TOPICS:
        if name != "funding-rate" or _is_funded(market, instrument_id):
            yield f"{name}:{instrument_id}"


def is_xperp(instrument_id: str) -> bool:
    """Whether an id is that of an X-Perp, a future of five years."""
    return _XPERP.fullmatch(instrument_id) is not None


def _is_funded(market: str, instrument_id: str) -> bool:
    return market == "swap" or (market == "futures" and is_xperp(instrument_id))


def encoder(
    channel: str, markets: Mapping[str, str], checksums: bool = False
) -> ChannelEncoder | None:
    """The encoder of *channel*, or ``None`` if there is no such channel.

    *markets* is the market of each instrument id. With *checksums* a book has its real
    checksum; without, its checksum is 0, as it is since June 2026. The book of a spread
    always has its real one.
    """
    name, _, rest = channel.partition(":")
    of_spread = rest.startswith("sprdId=")
    instrument_id = rest.removeprefix("sprdId=")
    market = markets.get(instrument_id)
    topics = SPREAD_TOPICS if of_spread else TOPICS
    if name not in topics or market is None or of_spread != (market == "spread"):
        return None
    if name == "funding-rate" and not _is_funded(market, instrument_id):
        return None
    head = f'{{"arg":{to_json(v5.arg_of(channel))},"data":['
    words = _WORDS.get(name, spread_candle if of_spread else candle)
    levels = _three if of_spread else _levels

    def to_push(value: Any) -> EncodedPush:
        if isinstance(value, Change):
            checksum = value.checksum() if checksums or of_spread else 0
            proof = None if name == "books-rpi" else checksum
            return _book(channel, value, proof, levels)
        text = f"{head}{words(instrument_id, market, value)}]}}"
        return EncodedPush(channel, text, text)

    return ChannelEncoder(channel, topics[name], instrument_id, market, to_push)


def push(channel: str, elements: Sequence[Any], **arg: str) -> EncodedPush:
    """A push of *elements* on any channel; *arg* is added to the channel's object.

    A push of ``event-contract-markets`` does not name the type of the instruments.
    """
    said = {**v5.arg_of(channel), **arg}
    if said["channel"] == "event-contract-markets":
        del said["instType"]
    message = {"arg": said, "data": elements}
    text = to_json(message)
    return EncodedPush(channel, text, text)


def book(channel: str, action: str | None, element: Mapping[str, Any]) -> EncodedPush:
    """A push of one *element* of a book; ``books5`` has no *action* (``None``)."""
    message: dict[str, Any] = {"arg": v5.arg_of(channel)}
    if action:
        message["action"] = action
    text = to_json({**message, "data": [element]})
    return EncodedPush(channel, text, text)


def _book(
    channel: str,
    change: Change,
    checksum: int | None,
    levels: Callable[[Iterable[Row]], str],
) -> EncodedPush:
    action = "snapshot" if change.is_snapshot else "update"
    proof = "" if checksum is None else f'"checksum":{checksum},'
    text = (
        f'{{"arg":{to_json(v5.arg_of(channel))},"action":"{action}","data":[{{'
        f'"asks":[{levels(change.asks)}],"bids":[{levels(change.bids)}],'
        f'"ts":"{milliseconds(change.at)}",{proof}'
        f'"prevSeqId":{change.prev_seq},"seqId":{change.seq}}}]}}'
    )
    return EncodedPush(channel, text, text)


def milliseconds(seconds: float) -> str:
    """Epoch seconds as v5 writes a time: whole milliseconds, as text."""
    # Rounded to the microsecond first, as ``datetime`` rounds the times of v3, so that
    # both protocols give one moment the same millisecond.
    return str(round(seconds * 1_000_000) // 1000)


def _levels(rows: Iterable[Row]) -> str:
    """Levels of four strings; the third is ``"0"`` where a row has three."""
    return ",".join(
        [
            f'["{row[0]}","{row[1]}","{row[2] if len(row) > 3 else 0}","{row[-1]}"]'
            for row in rows
        ]
    )


def _three(rows: Iterable[Row]) -> str:
    """Levels of three strings, as spreads have them."""
    return ",".join([f'["{row[0]}","{row[1]}","{row[-1]}"]' for row in rows])


def _books5(instrument_id: str, market: str, best: Best) -> str:
    return (
        f'{{"asks":[{_levels(best.asks)}],"bids":[{_levels(best.bids)}],'
        f'"instId":"{instrument_id}","ts":"{milliseconds(best.at)}","seqId":{best.seq}}}'
    )


def _bbo(instrument_id: str, market: str, best: Best) -> str:
    return (
        f'{{"asks":[{_levels(best.asks)}],"bids":[{_levels(best.bids)}],'
        f'"ts":"{milliseconds(best.at)}","seqId":{best.seq}}}'
    )


def trades_all(instrument_id: str, market: str, deal: Deal) -> str:
    """One trade, as ``trades-all`` and the REST interface write it."""
    return (
        f'{{"instId":"{instrument_id}","tradeId":"{deal.id}","px":"{deal.price}",'
        f'"sz":"{deal.size}","side":"{deal.side}","ts":"{milliseconds(deal.at)}",'
        f'"source":"{int(deal.rpi)}"}}'
    )


def _trades(instrument_id: str, market: str, deal: Deal) -> str:
    return (
        f'{{"instId":"{instrument_id}","tradeId":"{deal.id}","px":"{deal.price}",'
        f'"sz":"{deal.size}","side":"{deal.side}","ts":"{milliseconds(deal.at)}",'
        f'"count":"{deal.matches}","source":"{int(deal.rpi)}","seqId":{deal.seq}}}'
    )


def _tickers(instrument_id: str, market: str, summary: Summary) -> str:
    # This market keeps no price of each day's start; the opening price stands in.
    return to_json(
        {
            "instType": INST_TYPES[market],
            "instId": instrument_id,
            "last": summary.last,
            "lastSz": summary.last_size,
            "askPx": summary.ask,
            "askSz": summary.ask_size,
            "bidPx": summary.bid,
            "bidSz": summary.bid_size,
            "open24h": summary.open,
            "high24h": summary.high,
            "low24h": summary.low,
            "sodUtc0": summary.open,
            "sodUtc8": summary.open,
            "volCcy24h": summary.value,
            "vol24h": summary.volume,
            "ts": milliseconds(summary.at),
        }
    )


def candle(instrument_id: str, market: str, candle: MarketCandle) -> str:
    """One candle, as an array."""
    start, *texts, closed = candle
    return to_json([milliseconds(start), *texts, "1" if closed else "0"])


def _spread_best(instrument_id: str, market: str, best: Best) -> str:
    return (
        f'{{"asks":[{_three(best.asks)}],"bids":[{_three(best.bids)}],'
        f'"ts":"{milliseconds(best.at)}","seqId":{best.seq}}}'
    )


def spread_trade(instrument_id: str, market: str, deal: Deal) -> str:
    """One trade of a spread, as the channel and the REST interface write it."""
    return (
        f'{{"sprdId":"{instrument_id}","tradeId":"{deal.id * SPREAD_ID_STEP}",'
        f'"px":"{deal.price}","sz":"{deal.size}","side":"{deal.side}",'
        f'"ts":"{milliseconds(deal.at)}"}}'
    )


def _spread_ticker(instrument_id: str, market: str, summary: Summary) -> str:
    return to_json(
        {
            "sprdId": instrument_id,
            "last": summary.last,
            "lastSz": summary.last_size,
            "askPx": summary.ask,
            "askSz": summary.ask_size,
            "bidPx": summary.bid,
            "bidSz": summary.bid_size,
            "open24h": summary.open,
            "high24h": summary.high,
            "low24h": summary.low,
            "vol24h": summary.volume,
            "ts": milliseconds(summary.at),
        }
    )


def spread_candle(instrument_id: str, market: str, candle: MarketCandle) -> str:
    """One candle of a spread, as an array."""
    start, *texts, _, _, closed = candle
    return to_json([milliseconds(start), *texts, "1" if closed else "0"])


def _funding(instrument_id: str, market: str, funding: Funding) -> str:
    return to_json(
        {
            "instType": INST_TYPES[market],
            "instId": instrument_id,
            "method": "current_period",
            "fundingRate": funding.rate,
            "nextFundingRate": "",
            "fundingTime": milliseconds(funding.time),
            "nextFundingTime": milliseconds(funding.next_time),
            "minFundingRate": "-0.00375",
            "maxFundingRate": "0.00375",
            "settState": "settled",
            "settFundingRate": funding.rate,
            "premium": "0",
            "ts": milliseconds(funding.at),
        }
    )


def _mark(instrument_id: str, market: str, mark: Mark) -> str:
    # v5 gives a spot pair a mark price for margin trading, under the type MARGIN.
    inst_type = "MARGIN" if market == "spot" else INST_TYPES[market]
    return to_json(
        {
            "instType": inst_type,
            "instId": instrument_id,
            "markPx": mark.price,
            "ts": milliseconds(mark.at),
        }
    )


_WORDS: dict[str, Callable[[str, str, Any], str]] = {
    "books5": _books5,
    "bbo-tbt": _bbo,
    "trades": _trades,
    "trades-all": trades_all,
    "tickers": _tickers,
    "funding-rate": _funding,
    "mark-price": _mark,
    "sprd-books5": _spread_best,
    "sprd-bbo-tbt": _spread_best,
    "sprd-public-trades": spread_trade,
    "sprd-tickers": _spread_ticker,
}
