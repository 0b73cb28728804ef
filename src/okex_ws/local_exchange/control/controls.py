"""What a script can make the local exchange do: send messages, and go wrong.

Every method may be called from any thread, and takes effect before it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..faults.faults import HandshakeResponse, Rejection
from ..faults.spoiling import BOOK_FAULTS, SEQUENCE_FAULTS
from ..server.clients import ConnectedClient
from ..server.listing import protocol
from ..wire import checks, v5
from ..wire.values import to_json
from .gateway_controls import GatewayControls
from .life_controls import LifeControls


class Controls(GatewayControls, LifeControls):
    """The methods of `LocalExchange` that send messages, and that make faults.

    A channel is named by its key. Under v3 that is the protocol's own name,
    ``'spot/depth5:BTC-USDT'``. Under v5 it is ``'books5:BTC-USDT'``, ``'account'``, or
    with parameters sorted by name ``'orders:instFamily=BTC-USD,instType=SWAP'``.
    """

    # --- Messages of the exchange ---------------------------------------------------

    def push(self, channel: str, element: Any) -> int:
        """Push *element* to the subscribers of *channel*; returns how many got it.

        *channel* is any channel, public or private:
        ``push('orders:instType=ANY', {...})``, ``push('spot/order:BTC-USDT', {...})``.
        An element of ``account`` or of ``spot/account:BTC`` is also what the channel's
        next subscriber gets at once. A callable is given the newest element of the
        channel as JSON has it (``'seqId'`` is an ``int``, prices are ``str``), and
        makes one of it before the market can push another:
        ``push('books5:BTC-USDT', lambda newest: {**newest, 'seqId': 7})``.

        Under v5 a push of a private channel carries the number of the client's account.
        """
        self._check_channel(channel)
        return self._thread.call(lambda: self._push(channel, element))

    def _push(self, channel: str, element: Any) -> int:
        if callable(element):
            newest = self._hub.record.last_pushes(channel, 1)
            if not newest:
                raise ValueError(f"nothing was pushed on {channel!r} yet")
            element = element(json.loads(newest[0].text)["data"][-1])
        if not isinstance(element, (Mapping, list, tuple)):
            raise TypeError(f"element is an object or an array, got {element!r}")
        return self._hub.push(channel, element)

    def notice(
        self,
        code: str = v5.SERVICE_UPGRADE,
        message: str = (
            "The connection will soon be closed for a service upgrade. Please"
            " reconnect."
        ),
    ) -> int:
        """Send every v5 client a notice, as before a restart; returns how many got it.

        The connections stay open: the restart itself is `close_clients`.
        """
        checks.code("code", code)
        checks.text("message", message)

        def word(client: ConnectedClient) -> str | None:
            return client.dialect.event("notice", code=str(code), msg=message)

        return self._send_each(word)

    def channel_conn_count(
        self, channel: str, count: int, *, error: bool = False
    ) -> int:
        """Tell clients of v5 how many connections have a private channel.

        ``channel_conn_count('orders', 2)`` goes to every client with a subscription of
        a channel of that name; returns how many got it. With *error* the event says
        that *count* is one too many, and those subscriptions end.
        """
        checks.text("channel", channel)
        checks.whole("count", count, least=0)
        checks.flag("error", error)
        name = "channel-conn-count-error" if error else "channel-conn-count"

        def word(client: ConnectedClient) -> str | None:
            mine = [key for key in client.channels if key.partition(":")[0] == channel]
            for key in mine if error else ():
                self._hub.clients.forget(client, key)
            if not mine:
                return None
            return client.dialect.event(name, channel=channel, connCount=str(count))

        return self._send_each(word)

    # --- Faults of the connection ---------------------------------------------------

    def drop(self) -> int:
        """Abort every TCP connection without a close frame; returns how many."""
        return self._thread.call(self._hub.clients.drop)

    def close_clients(
        self, code: int = 1001, reason: str = "", *, channel: str | None = None
    ) -> int:
        """Send every client a close frame; returns how many clients there were.

        With *channel*, only clients that have subscribed to it:
        ``close_clients(4009, 'too many', channel='books5:BTC-USDT')``.
        """
        checks.whole("code", code)
        checks.text("reason", reason)
        if not (code in _CLOSE_CODES or 3000 <= code < 5000):
            raise ValueError(f"{code!r} is no close code that can be sent")
        if len(reason.encode()) > 123:
            raise ValueError("the reason of a close frame has 123 bytes at most")
        if channel is not None:
            self._check_channel(channel)
        clients = self._hub.clients
        return self._thread.call(lambda: clients.close_all(code, reason, channel))

    def refuse(self, on: bool = True) -> None:
        """Refuse new connections, as a port does on which no program listens.

        The listening socket is closed, and another socket keeps the port: it is bound
        to it without listening, until *on* is ``False``. Open connections stay.
        """
        checks.flag("on", on)
        self._thread.run(self._hub.refuse() if on else self._hub.listen())

    def slow_handshake(self, seconds: float) -> None:
        """Delay the answer to each handshake by *seconds*; 0 ends it."""
        checks.number("seconds", seconds)
        self._set("handshake_delay", seconds)

    def respond(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        body: str = "<html>no WebSocket here</html>\n",
        times: int | None = None,
    ) -> None:
        """Answer handshakes with an HTTP page: 301, 403, 404, 429, 503, or a plain 200.

        The next *times* handshakes get it, or all until `heal`. A 429 that asks the
        client to wait is ``respond(429, {'Retry-After': '2'})``.
        """
        checks.whole("status", status)
        checks.text("body", body)
        checks.times(times)
        if not 200 <= status <= 599:
            raise ValueError(
                f"status is an HTTP status from 200 to 599, got {status!r}"
            )
        self._set("answer", HandshakeResponse(status, dict(headers or {}), body, times))

    # --- Faults of the data ---------------------------------------------------------

    def silence(self, channel: str | None = None) -> None:
        """Push nothing on *channel*, or on all: ``silence('spot/depth5:BTC-USDT')``.

        Acknowledgements and pongs go on, and so does the market. To a client it looks
        like a market that became quiet.
        """
        if channel is not None:
            self._check_channel(channel)
        self._thread.call(lambda: self._hub.faults.silence(channel))

    def mute(self) -> None:
        """Send nothing at all: no data, no pong, no acknowledgement."""
        self._set("mute", True)

    def resume(self, instrument_id: str | None = None) -> None:
        """End `silence` and `mute`; or let an instrument be traded again.

        Messages withheld meanwhile are lost. With *instrument_id* it ends the
        `suspend`, `rebase` or `settle` of that instrument, and nothing else.
        """
        if instrument_id is None:
            self._thread.call(lambda: self._hub.faults.resume())
        else:
            self._set_state(instrument_id, "live")

    def plain_pong(self, on: bool = True) -> None:
        """Answer v3's ``ping`` in a plain text frame, as some clients have seen it."""
        checks.flag("on", on)
        self._set("plain_pong", on)

    def spoil(self, channel: str, how: str, times: int | None = 1) -> None:
        """Spoil a whole book the next *times* times, or with ``None`` always.

        ``spoil('spot/depth_l2_tbt:BTC-USDT', 'lose')``. *how* is one of `BOOK_FAULTS`.
        These spoil the next update that can have the fault:

        - ``'lose'``: the update is not sent.
        - ``'flip'``: the last digit of a size among the 25 best prices is changed.
        - ``'repeat'``: the update is sent twice.
        - ``'reorder'``: the update is sent after the one that follows it.
        - ``'gap'`` (v5): the sequence numbers of the update, and of all later ones, are
          as if a message before it had been lost. Its levels are right.
        - ``'reset'`` (v5): the ``seqId`` of the update is lower than the one before,
          and the sequence goes on from there. That is no fault, but what v5 does after
          maintenance.
        - ``'second snapshot'``: the whole book, as it is, is sent before the update.
        - ``'negative'``: one size of the update has a minus sign.

        These do not need an update:

        - ``'no snapshot'``: the next subscribe is acknowledged and gets no snapshot.
        - ``'retire'``: every checksum is 0 until `heal`, for any *times* but 0. Under
          v5 the exchange has done that since June 2026.

        Checksum and sequence stay those of the true messages unless the fault is about
        them; so does `book`. Several faults of one book happen one after the other;
        *times* 0 ends a fault. An update without levels is never spoiled. A message
        that no client receives does not count.
        """
        self._check_book(channel)
        checks.text("how", how)
        if how not in BOOK_FAULTS:
            raise ValueError(f"how is one of {BOOK_FAULTS}, got {how!r}")
        if how in SEQUENCE_FAULTS and not self._hub.market.has_sequence(channel):
            raise ValueError(
                f"{how!r} is about the sequence of a book, and {channel!r} has none"
            )
        checks.times(times)
        self._thread.call(lambda: self._hub.spoil(channel, how, times))

    def reject(
        self,
        channel: str,
        code: int | str,
        message: str,
        *,
        times: int | None = None,
        named: bool = True,
    ) -> None:
        """Answer the next *times* subscribes of *channel*, or all, with an error.

        ``reject('spot/depth5:BTC-USDT', 30026, 'too frequent', times=1)``; *times* 0
        ends it. v3's 30026 ("too frequent") and 30043 ("internal error") pass.

        Under v5 the channel stands before the *message* (``channel:books5,...``). If
        *named* is ``False`` it does not: then only the request's id tells which request
        failed.
        """
        self._check_channel(channel)
        if protocol(channel) == "v3":
            checks.whole("code", code)
        else:
            checks.code("code", code)
        checks.text("message", message)
        checks.times(times)
        checks.flag("named", named)
        rejection = Rejection(code, message, times, named)
        self._thread.call(
            lambda: self._hub.faults.rejections.update({channel: rejection})
        )

    def reject_login(
        self, code: int | str, message: str, times: int | None = None
    ) -> None:
        """Answer the next *times* logins, or all, with an error, without checking them.

        ``reject_login(60009, 'Login failed.', times=1)``; *times* 0 ends it.
        """
        checks.code("code", code)
        checks.text("message", message)
        checks.times(times)
        self._set("login", Rejection(code, message, times))

    def ignore_subscribe(self, channel: str, on: bool = True) -> None:
        """Do not answer a subscribe: ``ignore_subscribe('spot/trade:BTC-USDT')``.

        *on* ``False`` ends it for this channel.
        """
        self._check_channel(channel)
        checks.flag("on", on)
        self._thread.call(lambda: self._hub.faults.ignore(channel, on))

    def send_error(self, code: int, message: str) -> int:
        """Send every client an error event of its protocol; returns how many got it."""
        checks.whole("code", code)
        checks.text("message", message)
        return self._send_each(lambda client: client.dialect.error((code, message)))

    def send_event(
        self, event: Mapping[str, Any] | str, *, channel: str | None = None
    ) -> int:
        """Send every client any message, a dict as JSON; returns how many got it.

        Clients of v3 get it deflated, and clients of v5 as plain text. With *channel*,
        only clients that have subscribed to it.
        """
        text = event if isinstance(event, str) else to_json(event)
        if channel is not None:
            self._check_channel(channel)

        def word(client: ConnectedClient) -> str | None:
            return text if channel is None or channel in client.channels else None

        return self._send_each(word)

    def send_raw(self, payload: bytes, *, text: bool = False) -> int:
        """Send every client a frame with exactly this payload; returns how many got it.

        It is a binary frame, or with *text* a text frame, even if the payload is not
        UTF-8. `deflate` makes a payload that the exchange could have sent.
        """
        if not isinstance(payload, (bytes, bytearray)):
            raise TypeError(f"payload is bytes, got {payload!r}")
        clients = self._hub.clients
        send = clients.send_text_bytes if text else clients.send
        return self._thread.call(lambda: send(payload))

    def heal(self) -> None:
        """End every fault. Connections that have ended stay ended.

        An update that ``'reorder'`` held back is sent. A sequence that has jumped goes
        on from where it is.
        """
        self._thread.run(self._hub.heal())

    def _send_each(self, word: Callable[[ConnectedClient], str | None]) -> int:
        return self._thread.call(lambda: self._hub.send_each(word))

    def _set(self, fault: str, value: object) -> None:
        self._thread.call(lambda: setattr(self._hub.faults, fault, value))

    def _check_book(self, channel: str) -> None:
        self._check_channel(channel)
        if not self._hub.catalogue.is_book(channel):
            raise ValueError(
                f"{channel!r} is no incremental book: those are 'books', 'books-l2-tbt'"
                " and 'books50-l2-tbt' under v5, 'depth' and 'depth_l2_tbt' under v3"
            )


# RFC 6455, section 7.4: all other codes are reserved, or never sent.
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))
