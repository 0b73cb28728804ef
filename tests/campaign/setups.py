"""The setups of the rigs: protocol, transport, and the subscriptions of each.

A setup's first subscription has only a book's best levels; faults of one channel strike
that one. A whole book alone, if there is one, is the second.
"""

from __future__ import annotations

from typing import NamedTuple

BTC, ETH, SWAP = ("spot", "BTC-USDT"), ("spot", "ETH-USDT"), ("swap", "BTC-USD-SWAP")
GUEST = ("spot", "GST-USDT")
# Of the thread that signals interrupt.
PASSENGER = ("spot", "SIG-USDT")
_BEST, _WHOLE = ("depth5", "trade"), ("depth", "trade")
_ALL_DEPTHS = ("bbo-tbt", "depth5", "depth", "trade")


class SubscriptionSetup(NamedTuple):
    """A subscription: its instrument as (market, id), and its channels."""

    instrument: tuple[str, str]
    channels: tuple[str, ...]


class Setup(NamedTuple):
    """What a setup consists of.

    *shared* is whether the subscriptions live on one `Feed`; those without a depth are
    not read, but listened to.
    """

    name: str
    follows: tuple[SubscriptionSetup, ...]
    protocol: str = "v3"
    tls: bool = False
    proxied: bool = True
    shared: bool = False
    threaded: bool = False
    checksums: bool = False
    credentials: bool = False

    @property
    def wide(self) -> bool:
        """Whether it is one of tens of subscriptions."""
        return len(self.follows) > 10


_ALONE = (SubscriptionSetup(BTC, _BEST),)
_THREE = tuple(SubscriptionSetup(each, _BEST) for each in (BTC, ETH, SWAP))
_BOOKS_V3 = (
    SubscriptionSetup(BTC, _BEST),
    SubscriptionSetup(ETH, ("depth_l2_tbt", "trade")),
    SubscriptionSetup(SWAP, ("depth5", "depth", "trade")),
)
_BOOKS_V5 = (
    SubscriptionSetup(BTC, _BEST),
    SubscriptionSetup(ETH, _WHOLE),
    SubscriptionSetup(SWAP, _ALL_DEPTHS),
)
_FAST_V5 = (
    SubscriptionSetup(BTC, _BEST),
    SubscriptionSetup(ETH, ("depth_l2_tbt", "trade")),
    SubscriptionSetup(SWAP, ("bbo-tbt", "depth5", "trade")),
)


def _many() -> tuple[SubscriptionSetup, ...]:
    """Over /public and /business; a trade tells its instrument, and not its channel."""
    names = [("spot", f"{letter}{letter}A-USDT") for letter in "ABCDEFGHIJ"]
    best = [SubscriptionSetup(name, _BEST) for name in (BTC, *names[:5])]
    whole = [SubscriptionSetup(ETH, _WHOLE), SubscriptionSetup(SWAP, _ALL_DEPTHS)]
    others = [
        SubscriptionSetup(name, ("trades-all", "candle60s")) for name in names[5:]
    ]
    depths = [SubscriptionSetup(name, ("bbo-tbt", "depth5")) for name in names[5:]]
    bars = [SubscriptionSetup(each.instrument, ("ticker", "candle1s")) for each in best]
    return (best[0], *whole, *best[1:], *depths, *others, *bars)


SETUPS = (
    Setup("v3 plain", _ALONE),
    Setup("v3 TLS", _ALONE, tls=True),
    Setup("v3 feed", _THREE, tls=True, shared=True),
    Setup("v3 direct feed", _THREE, proxied=False, shared=True),
    Setup("v3 books", _BOOKS_V3, shared=True),
    Setup("v3 books TLS", _BOOKS_V3, shared=True, tls=True, threaded=True),
    Setup("v5 plain", _ALONE, "v5"),
    Setup("v5 TLS", _ALONE, "v5", tls=True, threaded=True),
    Setup("v5 books", _BOOKS_V5, "v5", shared=True, checksums=True),
    Setup("v5 books TLS", _BOOKS_V5, "v5", tls=True, shared=True),
    Setup("v5 fast books", _FAST_V5, "v5", tls=True, shared=True, credentials=True),
    Setup("v5 wide", _many(), "v5", tls=True, shared=True),
)
