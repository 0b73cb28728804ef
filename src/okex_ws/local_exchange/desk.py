"""Where requests are answered: who may have which channel, and what comes first.

Everything here runs on the exchange's event loop, a whole request at once: nothing of
the market comes between the channels of one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clients import Client
from .logins import Account
from .voices import Heard, Wanted

if TYPE_CHECKING:
    from .hub import Hub


class Desk:
    """Answers the clients of one exchange."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def answer(self, client: Client, message: str | bytes) -> None:
        """Do what *message* asks for, and reply."""
        heard = client.voice.read(message)
        if heard.op == "ping":
            self._send(client, client.voice.pong(self._hub.faults.plain_pong))
        elif heard.op == "login":
            self._log_in(client, heard)
        elif heard.op == "subscribe":
            for wanted in heard.channels:
                self._subscribe(client, wanted, heard.id)
        elif heard.op == "unsubscribe":
            for wanted in heard.channels:
                self._unsubscribe(client, wanted, heard.id)
        else:
            self._reply(client, client.voice.error(heard.error, heard.id))

    def _log_in(self, client: Client, heard: Heard) -> None:
        """Check a login; one that is refused is answered, and nothing more."""
        voice, hub = client.voice, self._hub
        assert heard.login is not None
        if rejection := hub.faults.login_rejection():
            error = rejection.code, rejection.message
        elif client.account is not None:
            error = voice.REPEATED_LOGIN
        else:
            found = hub.accounts.check(heard.login, hub.wall())
            if isinstance(found, Account):
                client.account = found
                self._reply(client, voice.logged_in(heard.id))
                return
            error = voice.FLAWS[found]
        self._reply(client, voice.error(error, heard.id))

    def _subscribe(self, client: Client, wanted: Wanted, named: str | None) -> None:
        voice, hub, channel = client.voice, self._hub, wanted.channel
        if channel in hub.faults.ignored:
            return
        if rejection := hub.faults.rejection(channel):
            error = voice.rejection(rejection, wanted)
            self._reply(client, voice.error(error, named))
            return
        is_known = channel in hub.catalogue
        is_allowed = client.account is not None or not hub.catalogue.needs_login(
            channel
        )
        if refusal := voice.refusal(wanted, is_known, is_allowed):
            self._reply(client, voice.error(refusal, named))
            return
        self._reply(client, voice.acknowledgement("subscribe", wanted, named))
        # A second subscribe is acknowledged and brings no second snapshot (OKJ, 2026).
        if hub.clients.note(client, channel):
            hub.open(channel, client)

    def _unsubscribe(self, client: Client, wanted: Wanted, named: str | None) -> None:
        voice, is_known = client.voice, wanted.channel in self._hub.catalogue
        if refusal := voice.refusal(wanted, is_known, is_allowed=True):
            self._reply(client, voice.error(refusal, named))
            return
        self._hub.clients.forget(client, wanted.channel)
        self._reply(client, voice.acknowledgement("unsubscribe", wanted, named))

    def _reply(self, client: Client, text: str) -> None:
        self._send(client, client.voice.frame(text))

    def _send(self, client: Client, frame: str | bytes) -> None:
        if not self._hub.faults.mute:
            self._hub.clients.send(frame, (client,))
