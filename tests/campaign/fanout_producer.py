"""A producer in a process of its own, which a fault can stop, kill and start again.

`python -m tests.campaign.fanout_producer ENDPOINT REDIS LEASE ID,ID CHANNEL,CHANNEL
AHEAD` publishes until it is killed, or until its input ends. Its clock is AHEAD
seconds ahead. At SIGUSR1 it replaces its connections by new ones.
"""

from __future__ import annotations

import signal
import sys
import time

from okex_ws import Feed, Reconnect, Timeouts, Venue


class SetClock:
    """The machine's clocks, but that of the day was set *ahead* seconds ahead."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def monotonic(self) -> float:
        """The monotonic clock."""
        return time.monotonic()

    def wall(self) -> float:
        """The time of day, as it was set."""
        return time.time() + self._ahead


def main() -> None:
    """Publish."""
    endpoint, redis, lease, ids, channels, ahead = sys.argv[1:]
    venue = Venue(
        "fanout",
        "v5",
        (endpoint,),
        connections_per_second=1000.0,
        requests_per_hour=1_000_000,
    )
    with Feed(
        venue,
        publish=redis,
        lease=float(lease),
        clock=SetClock(float(ahead)),
        reconnect=Reconnect(first=0.1, cap=0.5, healthy_after=0.5, host_gap=0.0),
        timeouts=Timeouts(connect=1.0, ack=1.0, pong=2.0, goodbye=0.2),
    ) as feed:
        feed.subscribe(ids.split(","), channels=channels.split(","))
        signal.signal(signal.SIGUSR1, lambda *_: feed.rotate())
        sys.stdin.read()


if __name__ == "__main__":
    main()
