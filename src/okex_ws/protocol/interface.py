"""The interface of a protocol module. `V3` and `V5` implement it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ..model.credentials import Credentials
from ..model.exchange_codes import ExchangeCode
from .messages import (
    BookData,
    CandleData,
    ChannelName,
    DepthData,
    FundingData,
    Message,
    Push,
    Related,
    Request,
    SocketPath,
    Stamp,
    TickerData,
    TradeData,
    TradeStamp,
)


class WireProtocol(Protocol):
    """A protocol of the exchange, v3 or v5: text to messages, requests to text.

    It makes the code of connections and channels the same for both. A channel is named
    by its key, which is unique under the protocol; its topic is the library's name of
    the kind of channel (``'depth5'``). Pure and stateless: any thread may call it, and
    calls may overlap. Anything that a peer may send raises `WireError` or nothing. An
    argument of a user that makes no sense raises ``ValueError`` or ``TypeError``.
    """

    PING: str
    # The most bytes of a message, packed or unpacked.
    max_frame: int

    def bounded(self, max_frame: int) -> WireProtocol:
        """This protocol, for messages of at most *max_frame* bytes."""
        ...

    # --- Names of channels ----------------------------------------------------------

    def topic(self, name: str, market: str = "") -> str:
        """The topic of the channel that a user calls *name*, on *market*.

        Of the markets ``'index'`` and ``'spread'`` v5's own names (``'index-tickers'``)
        are known, too.
        """
        ...

    def channel(self, topic: str, market: str, instrument_id: str) -> ChannelName:
        """The channel *topic* of one instrument."""
        ...

    def raw_channel(
        self, argument: object, market: str, instrument_id: str, path: object = None
    ) -> ChannelName:
        """The channel of one instrument that *argument* names, as decoded data.

        *argument* is the venue's name, or a mapping that has it as ``'channel'``, and
        perhaps a ``'path'``. The library's tables need not know it. *path* is as in
        `raw`.
        """
        ...

    def raw(self, argument: object, path: object = None) -> ChannelName:
        """The channel that *argument* names in a subscribe request, as decoded data.

        *argument* is a ``str`` under v3, and a mapping or the bare name of a channel
        under v5. *path* is the path of the channel, unless the mapping has its own
        ``'path'``; ``None`` leaves it to the library's tables. v3 has no paths.
        """
        ...

    def listing(self, market: str) -> ChannelName | None:
        """The channel that tells of the life of the instruments of *market*, if any."""
        ...

    def renamed(self, channel: str, new_id: str) -> str:
        """The key of *channel* for its instrument's *new_id*."""
        ...

    def path(self, channel: str, chosen: str = "") -> SocketPath:
        """Which of the venue's sockets carries *channel*: the *chosen* one, if any."""
        ...

    def url(self, endpoint: str, path: SocketPath) -> str:
        """The URL of a *path* at one of the venue's endpoints."""
        ...

    def is_deep(self, channel: str) -> bool:
        """Whether *channel* counts as one of a connection's depth channels.

        The exchange advises how many of them a connection should carry.
        """
        ...

    def tier(self, channel: str) -> str:
        """The fee tier that the exchange demands for *channel*, or ``''``."""
        ...

    def needs_snapshot(self, topic: str) -> bool:
        """Whether a channel becomes live with its first push.

        Otherwise it is live once the exchange has acknowledged it.
        """
        ...

    def replays_last(self, topic: str, spread: bool = False) -> bool:
        """Whether the first push after a subscribe repeats an earlier push."""
        ...

    def reader(self, name: ChannelName) -> WireProtocol:
        """This protocol, as it reads the elements of the channel *name*.

        The prices of a spread may be 0 or negative.
        """
        ...

    def related(self, name: str, keys: Collection[str]) -> Related:
        """The channels of *keys* to which data may belong that was sent as *name*'s.

        *name* is the channel of a `Push` or of a `WireError`, in any case.
        """
        ...

    # --- Requests -------------------------------------------------------------------

    def request(self, op: str, channels: Sequence[str], number: int) -> Request:
        """One request *op* for the first of *channels*, as many as fit.

        Under v5 the exchange's answers repeat *number*.
        """
        ...

    def login(self, credentials: Credentials, now: float) -> str:
        """The text of a login at *now*, in epoch seconds of the exchange's clock."""
        ...

    # --- Messages of the exchange ---------------------------------------------------

    def mentioned(self, message: str) -> tuple[str, ...]:
        """The keys of the channels that an error's text names."""
        ...

    def code(self, code: int | str | None) -> ExchangeCode:
        """What the *code* of an error, a notice or a close frame means."""
        ...

    def unpack(self, payload: bytes, binary: bool) -> bytes:
        """The text of one frame, as UTF-8.

        Raises:
            WireError: there is no text. Its kind is ``'too-large'`` if the message is
                too large, and its channel the one that the beginning names, if any.
        """
        ...

    def read(self, said: bytes) -> tuple[Message, ...]:
        """The messages in the text of a frame, read fast."""
        ...

    def head(self, said: bytes) -> bytes | None:
        """The push *said* without its data: the same bytes in all pushes of a channel.

        It is made without parsing the JSON; ``None`` if its form is another one. Only
        if `read` reads it as a push of a channel does it stand for that channel.
        """
        ...

    def stamp(self, said: bytes) -> Stamp | None:
        """What tells the order of the depth in *said*, a push that has a `head`.

        It is found without parsing the JSON; ``None`` if it cannot be found.
        """
        ...

    def trade_stamp(self, said: bytes) -> TradeStamp | None:
        """The id and the count of the trade in *said*, a push that has a `head`.

        They are found without parsing the JSON; ``None`` if they cannot be found, or if
        the id is no number.
        """
        ...

    def exactly(self, push: Push) -> Push | None:
        """*push* read again, each number as its characters.

        ``None`` if *push* was read that way before.
        """
        ...

    def depth(self, element: object, before: DepthData) -> DepthData:
        """Read a snapshot of levels; a side that equals *before*'s is not checked."""
        ...

    def book(self, element: object, action: str | None, exact: bool) -> BookData:
        """Read a message of a whole book; *exact* is that of its `Push`."""
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
