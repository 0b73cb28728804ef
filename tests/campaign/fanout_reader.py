"""A reader in a process of its own, which a fault can stop and let go on.

`python -m tests.campaign.fanout_reader REDIS ID` reads until it is killed. It writes
each price as a line of JSON: when the read began, when it looked at its clock last (the
monotonic clock is the machine's), and what it gave.
"""

from __future__ import annotations

import json
import sys
import time

from okex_ws import Feed, Reconnect, Timeouts, Venue
from tests.campaign.interruptions import StallingClock


def main() -> None:
    """Read."""
    redis, name = sys.argv[1:]
    clock = StallingClock()
    with Feed(
        Venue("fanout", "v5", ("ws://127.0.0.1:1/ws/v5",)),
        via=redis,
        reconnect=Reconnect(first=0.1, cap=0.5, healthy_after=0.5, host_gap=0.0),
        timeouts=Timeouts(connect=1.0, ack=1.0, pong=2.0, goodbye=0.2),
        clock=clock,
    ) as feed:
        (one,) = feed.subscribe([name], channels=["depth5"])
        while True:
            start = time.monotonic()
            if given := one.GetDepth():
                print(json.dumps([start, max(start, clock.last), given]), flush=True)
            time.sleep(0.005)


if __name__ == "__main__":
    main()
