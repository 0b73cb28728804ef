"""What is unclosed as the process ends is told to who asks Python to warn of it."""

from __future__ import annotations

import subprocess
import sys

from okex_ws.local_exchange import LocalExchange

PROGRAM = """
import sys
from okex_ws import Feed, RawSubscription, Venue, WSSubscription

venue = Venue("local", "v5", (sys.argv[1],))

def left_open():
    WSSubscription("BTC-USDT", venue=venue)  # no reference is kept

left_open()
feed = Feed(venue)
feed.subscribe(["ETH-USDT"])
RawSubscription(["status"], feed=feed)
with WSSubscription("BTC-USD-SWAP", venue=venue):
    pass
with Feed(venue) as closed:
    closed.subscribe(["BTC-USD-301227"])
WSSubscription()  # it has failed: nothing of it is open
"""


def ended(*options: str) -> str:
    """What is on stderr after the program ended."""
    with LocalExchange() as exchange:
        done = subprocess.run(
            [sys.executable, *options, "-c", PROGRAM, exchange.venue_v5.endpoints[0]],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return done.stderr


def test_each_unclosed_subscription_is_a_resource_warning() -> None:
    said = ended("-W", "always::ResourceWarning")

    for name in ("WSSubscription BTC-USDT", "WSSubscription ETH-USDT"):
        assert f"ResourceWarning: unclosed <{name} spot " in said
    assert "ResourceWarning: unclosed <RawSubscription status " in said
    assert said.count("ResourceWarning: unclosed") == 3


def test_python_tells_nothing_of_it_by_default() -> None:
    assert "ResourceWarning" not in ended()
