"""One module a wire protocol, all behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..model.credentials import Credentials
from .messages import (
    BookData,
    CandleData,
    ChannelName,
    DepthData,
    FundingData,
    Message,
    Push,
    Request,
    SocketPath,
    TickerData,
    TradeData,
)


class WireProtocol(Protocol):
    """What the library needs to know of a protocol. Pure and stateless.

    Raises `WireError`, and nothing else, for whatever a peer may send; ``ValueError``
    and ``TypeError`` for what a user cannot mean.
    """

    PING: str

    # --- What things are called -----------------------------------------------------

    def topic(self, name: str) -> str:
        """The library's one name of what a user calls *name*."""
        ...

    def channel(self, topic: str, market: str, instrument_id: str) -> ChannelName:
        """The channel of a *topic* (not any name) for one instrument."""
        ...

    def raw_channel(self, name: str, market: str, instrument_id: str) -> ChannelName:
        """The channel that the venue calls *name*, known or not, as decoded data."""
        ...

    def raw(self, argument: object) -> ChannelName:
        """The channel that is the *argument* of a subscribe request, as decoded data.

        A ``str`` under v3, a mapping (or the bare name of a channel) under v5.
        """
        ...

    def path(self, channel: str) -> SocketPath:
        """Where a channel lives."""
        ...

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The URL of a *path* at one of the venue's endpoints."""
        ...

    def is_deep(self, channel: str) -> bool:
        """Whether it counts against a connection's advised number of depth channels."""
        ...

    def tier(self, channel: str) -> str:
        """The fee tier that the exchange asks for, or ``''``."""
        ...

    def needs_snapshot(self, topic: str) -> bool:
        """Whether a channel is live with its first push, or with its ack already."""
        ...

    def replays_last(self, topic: str) -> bool:
        """Whether the first push after a subscribe repeats an old one."""
        ...

    # --- What is asked --------------------------------------------------------------

    def request(self, op: str, channels: Sequence[str], number: int) -> Request:
        """One request *op* for as many of *channels* as fit into it, at least one.

        *number* is what answers are matched by, under v5.
        """
        ...

    def login(self, credentials: Credentials, now: float) -> str:
        """The text of a login at *now*, the exchange's epoch seconds."""
        ...

    # --- What is answered -----------------------------------------------------------

    def mentioned(self, message: str) -> tuple[str, ...]:
        """The channels that an error's text names."""
        ...

    def is_transient(self, code: int | str) -> bool:
        """Whether an error with this code goes away by itself."""
        ...

    def repeats_login(self, code: int | str) -> bool:
        """Whether an error with this code says that one is logged in already."""
        ...

    def announces_end(self, code: str) -> bool:
        """Whether a notice with this code says that the connection will be closed."""
        ...

    def ends_login(self, code: int | None) -> bool:
        """Whether a close frame with this code says that a login was refused."""
        ...

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """What one frame says, as UTF-8."""
        ...

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The messages in what a frame says."""
        ...

    def head(self, said: bytes) -> bytes | None:
        """What the frames of one channel's pushes have in common, and no other's.

        Found without reading them; ``None`` where it cannot be.
        """
        ...

    def exactly(self, push: Push) -> Push | None:
        """*push* with its numbers as the wire's characters; ``None`` if it is so."""
        ...

    def depth(self, element: object, before: DepthData) -> DepthData:
        """Read a snapshot of levels; what is as *before* needs no check."""
        ...

    def book(self, element: object, action: str | None, exact: bool) -> BookData:
        """Read a message of a whole book, of a push that was *exact* or not."""
        ...

    def trade(self, element: object) -> TradeData:
        """Read a trade."""
        ...

    def ticker(self, element: object) -> TickerData:
        """Read a ticker."""
        ...

    def candle(self, element: object) -> CandleData:
        """Read a candle."""
        ...

    def funding(self, element: object) -> FundingData:
        """Read a funding rate."""
        ...
