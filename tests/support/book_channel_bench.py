"""A whole book's channel on an open connection, beside the book of the exchange."""

from __future__ import annotations

import json
from typing import Any

from okex_ws import State
from okex_ws.channels.book import BookChannel
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era
from tests.support.followed_channels import Follower
from tests.support.virtual_world import Ladder, World

WIRES: dict[str, Any] = {"v3": V3, "v5": V5}
BTC, ETH = "BTC-USDT", "ETH-USDT"


class BookChannelBench:
    """A book's channel on an open connection, and the exchange's own book."""

    def __init__(self, protocol: str) -> None:
        self.wire = WIRES[protocol]
        self.world = World(protocol)
        self.ladder = Ladder(self.world)
        self.channel: Any = BookChannel(
            self.wire, self.wire.channel("depth", "spot", BTC)
        )
        self.follower, self.link = Follower(), Era(0.0)
        self.channel.followers = (self.follower,)
        self.channel.opened(self.link, 0.0)
        self.channel.subscribed(self.link, 0.0)
        self.follower.take()

    def read(self, *messages: dict[str, Any]) -> Push:
        """Messages of the exchange as one push, with the text of the first."""
        pushes: list[Any] = []
        for message in messages:
            pushes += self.wire.decode(json.dumps(message).encode(), False)
        elements = [element for push in pushes for element in push.elements]
        first: Push = pushes[0]
        return first._replace(elements=elements)

    def push(
        self, *messages: dict[str, Any], first: bool = False, late: float = 0.0
    ) -> bool:
        """Bring *messages* in one push, *late* seconds later; whether it was used."""
        clock, push = self.world.clock, self.read(*messages)
        wall = clock.wall() + late
        used: bool = self.channel.push(push, first, self.link, clock.now, wall)
        return used

    def pass_time(self, seconds: float = 1.0) -> None:
        """Advance the virtual clock."""
        self.world.clock.now += seconds

    def begin(self) -> None:
        """Bring the first snapshot."""
        assert self.push(self.ladder.snapshot(), first=True)
        self.follower.take()

    @property
    def state(self) -> tuple[State, int]:
        """The state and the epoch that are shown."""
        return self.channel.current.state, self.channel.current.epoch

    @property
    def book(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """Prices and sizes that are shown."""
        depth = self.channel.current.depth
        return [row[:2] for row in depth.bids], [row[:2] for row in depth.asks]

    def agrees(self) -> bool:
        """Whether the book that is shown is the book of the exchange."""
        return self.book == (self.ladder.bids, self.ladder.asks)
