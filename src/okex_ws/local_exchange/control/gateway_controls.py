"""What a script can make the gateway of the local exchange do to true messages.

The gateway is what stands between the market and a client. It may word a message in its
own way, stamp it by its own clock, number trades anew, or send things out of order.
"""

from __future__ import annotations

from ..faults.wording import WORDINGS
from ..server.hub import Hub
from ..wire import checks
from .thread import LoopThread


class GatewayControls:
    """The methods of `LocalExchange` that change how true messages are sent.

    What a message says stays true, and `pushed` has it as the market published it,
    apart from the clock of a client's gateway.
    """

    _hub: Hub
    _thread: LoopThread

    def reword(self, channel: str, how: str, times: int | None = 1) -> None:
        """Word the next *times* messages of *channel*, or with ``None`` all, otherwise.

        ``reword('books5:BTC-USDT', 'order', None)``. *how* is one of `WORDINGS`:

        - ``'order'``: the fields of all objects come in the opposite order.
        - ``'field'``: the name of the channel has one more field: v5's ``arg`` an
          ``instType``, v3's message a ``product``.
        - ``'case'``: the instrument's id is in lower case.
        - ``'event'``: the message has an ``event`` beside its data.

        *times* 0 ends it.
        """
        self._check_channel(channel)
        checks.text("how", how)
        if how not in WORDINGS:
            raise ValueError(f"how is one of {WORDINGS}, got {how!r}")
        checks.times(times)
        self._thread.call(lambda: self._hub.faults.reword(channel, how, times))

    def gateway_clock(self, seconds: float, *, connected: bool = True) -> None:
        """Stamp what clients get by a clock that is *seconds* ahead; 0 ends it.

        It concerns every client that connects from now on, and with *connected* those
        that are connected. Sequence and order stay; `pushed` has the market's own time.
        A negative number is a clock that is behind.
        """
        checks.offset("seconds", seconds)
        checks.flag("connected", connected)
        self._thread.call(lambda: self._hub.set_gateway_clock(seconds, connected))

    def number_trades(self, channel: str, first: int) -> None:
        """Number the trades of *channel* anew: the next one has an id after *first*.

        ``number_trades('trades:BTC-USDT', 1000)``. It lasts until `heal`.
        """
        self._check_channel(channel)
        checks.whole("first", first, least=1)
        self._thread.call(lambda: self._hub.number_trades(channel, first))

    def acknowledge_late(self, seconds: float) -> None:
        """Send what a new subscription gets at once, and acknowledge *seconds* later.

        0 ends it.
        """
        checks.number("seconds", seconds)
        self._thread.call(
            lambda: setattr(self._hub.faults, "late_acknowledgement", seconds)
        )

    def straggle(self, channel: str, times: int = 1) -> None:
        """Send old messages once more around the next unsubscribe of *channel*.

        The last three come before the acknowledgement if *times* is 1, and after it as
        well if it is 2; higher numbers are for later unsubscribes. 0 ends it.
        """
        self._check_channel(channel)
        checks.whole("times", times, least=0)
        self._thread.call(lambda: self._hub.faults.stragglers.update({channel: times}))

    def log_out(self) -> int:
        """Forget every client's login without a word; returns how many had one.

        Subscriptions go on. The next subscribe of a private channel is refused until
        the client has logged in again (30041, v5: 60011).
        """
        return self._thread.call(self._hub.log_out)

    def _check_channel(self, channel: object) -> None:
        checks.channel(channel, self._hub.catalogue)
