"""Answers the requests of clients: who may have which channel, and what is sent first.

Everything here runs on the exchange's event loop. A request is answered as a whole, so
that no push of the market comes between the channels of one request.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..faults.faults import Faults
from .clients import Clients, ConnectedClient
from .dialects import ParsedRequest, RequestedChannel
from .listing import Catalogue
from .logins import Account, Accounts


class Served(Protocol):
    """The exchange whose clients are answered, as the request handler needs it."""

    faults: Faults
    clients: Clients
    accounts: Accounts
    catalogue: Catalogue

    def wall(self) -> float:
        """The exchange's own time of day, in epoch seconds."""
        ...

    def open(self, channel: str, client: ConnectedClient) -> None:
        """Push to *client* what a new subscriber of *channel* gets at once."""
        ...

    def straggle(self, channel: str, client: ConnectedClient) -> None:
        """Send *client* old pushes of *channel* again, if a script asked for that."""
        ...


class WebSocketRequestHandler:
    """Answers the requests of all WebSocket clients of one exchange.

    It decides, by the catalogue, the accounts and the faults, what a client may have;
    the client's dialect writes the reply. Only the exchange's event loop calls
    `answer`, which never waits. A request that is wrong gets an error event, and the
    client stays connected.
    """

    def __init__(self, hub: Served) -> None:
        self._hub = hub

    def answer(self, client: ConnectedClient, message: str | bytes) -> None:
        """Do what *message* asks for, and reply."""
        request = client.dialect.read(message)
        if request.op == "ping":
            self._send(client, client.dialect.pong(self._hub.faults.plain_pong))
        elif request.op == "login":
            self._log_in(client, request)
        elif request.op == "subscribe":
            for wanted in request.channels:
                self._subscribe(client, wanted, request.id)
        elif request.op == "unsubscribe":
            for wanted in request.channels:
                self._unsubscribe(client, wanted, request.id)
        else:
            self._reply(client, client.dialect.error(request.error, request.id))

    def _log_in(self, client: ConnectedClient, request: ParsedRequest) -> None:
        """Check a login and reply; a client that is refused stays connected."""
        dialect, hub = client.dialect, self._hub
        assert request.login is not None
        if rejection := hub.faults.login_rejection():
            error = rejection.code, rejection.message
        elif client.account is not None:
            error = dialect.REPEATED_LOGIN
        else:
            found = hub.accounts.check(request.login, hub.wall())
            if isinstance(found, Account):
                client.account = found
                self._reply(client, dialect.logged_in(request.id))
                return
            error = dialect.FLAWS[found]
        self._reply(client, dialect.error(error, request.id))

    def _subscribe(
        self, client: ConnectedClient, wanted: RequestedChannel, named: str | None
    ) -> None:
        dialect, hub, channel = client.dialect, self._hub, wanted.channel
        if channel in hub.faults.ignored:
            return
        if rejection := hub.faults.rejection(channel):
            error = dialect.rejection(rejection, wanted)
            self._reply(client, dialect.error(error, named))
            return
        is_known = channel in hub.catalogue
        is_allowed = client.account is not None or not hub.catalogue.needs_login(
            channel
        )
        if refusal := dialect.refusal(wanted, is_known, is_allowed):
            self._reply(client, dialect.error(refusal, named))
            return
        acknowledgement = dialect.acknowledgement("subscribe", wanted, named)
        if late := hub.faults.late_acknowledgement:
            loop = asyncio.get_running_loop()
            loop.call_later(late, self._reply, client, acknowledgement)
        else:
            self._reply(client, acknowledgement)
        # A second subscribe is acknowledged and brings no second snapshot (OKJ, 2026).
        if hub.clients.note(client, channel):
            hub.open(channel, client)

    def _unsubscribe(
        self, client: ConnectedClient, wanted: RequestedChannel, named: str | None
    ) -> None:
        dialect, is_known = client.dialect, wanted.channel in self._hub.catalogue
        if refusal := dialect.refusal(wanted, is_known, is_allowed=True):
            self._reply(client, dialect.error(refusal, named))
            return
        self._hub.straggle(wanted.channel, client)
        self._hub.clients.forget(client, wanted.channel)
        if (before := self._hub.catalogue.formerly(wanted.channel)) is not None:
            self._hub.clients.forget(client, before)
        self._reply(client, dialect.acknowledgement("unsubscribe", wanted, named))
        self._hub.straggle(wanted.channel, client)

    def _reply(self, client: ConnectedClient, text: str) -> None:
        self._send(client, client.dialect.frame(text))

    def _send(self, client: ConnectedClient, frame: str | bytes) -> None:
        if not self._hub.faults.mute:
            self._hub.clients.send(frame, (client,))
