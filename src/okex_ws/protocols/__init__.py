"""One module a wire protocol, all behind one interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..messages import DepthData, Message, TickerData, TradeData


class Wire(Protocol):
    """What the library needs to know of a protocol. Pure; a channel is the wire's name.

    Raises `WireError`, and nothing else, for whatever a peer may send.
    """

    PING: str

    def topic(self, name: str) -> str:
        """The one name of what a user calls *name*; ``ValueError`` if unknown."""
        ...

    def channel(self, topic: str, market: str, instrument_id: str) -> str:
        """The wire's name of a channel."""
        ...

    def needs_snapshot(self, topic: str) -> bool:
        """Whether a channel is live with its first push, or with its ack already."""
        ...

    def replays_last(self, topic: str) -> bool:
        """Whether the first push after a subscribe repeats an old one."""
        ...

    def requests(
        self, op: str, channels: Sequence[str]
    ) -> list[tuple[str, tuple[str, ...]]]:
        """Texts of requests for *channels*, with the channels that each carries."""
        ...

    def mentioned(self, message: str, channels: Iterable[str]) -> str | None:
        """The one of *channels* that an error's text names."""
        ...

    def is_passing(self, code: int | str) -> bool:
        """Whether an error with this code goes away by itself."""
        ...

    def decode(self, payload: bytes, binary: bool) -> tuple[Message, ...]:
        """The messages of one frame."""
        ...

    def depth(self, element: object, before: DepthData) -> DepthData:
        """Read a snapshot of levels; what is as *before* needs no check."""
        ...

    def trade(self, element: object) -> TradeData:
        """Read a trade."""
        ...

    def ticker(self, element: object) -> TickerData:
        """Read a ticker."""
        ...
