"""Who is connected, what they subscribed, and who can still be sent to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from websockets.protocol import State as WebSocketState

from okex_ws.local_exchange.server.clients import Clients, ConnectedClient
from okex_ws.local_exchange.server.dialects import ClientDialect, dialect


def voiced() -> ClientDialect:
    found = dialect("/ws/v3")
    assert found
    return found


class Transport:
    """One of asyncio; *tcp* is the one below that it writes to and does not look at."""

    def __init__(self, closing: bool = False, **below: object) -> None:
        self.closing = closing
        if below:
            self._ssl_protocol = SimpleNamespace(_transport=below["tcp"])

    def is_closing(self) -> bool:
        return self.closing


@pytest.mark.parametrize(
    ("transport", "is_open"),
    [
        (Transport(), True),
        (Transport(closing=True), False),
        (Transport(tcp=Transport()), True),
        (Transport(tcp=Transport(closing=True)), False),
        (Transport(tcp=None), False),
        (Transport(closing=True, tcp=Transport()), False),
    ],
)
def test_a_connection_whose_tcp_has_ended_is_not_open(
    transport: Transport, is_open: bool
) -> None:
    protocol = SimpleNamespace(state=WebSocketState.OPEN)
    connection: Any = SimpleNamespace(protocol=protocol, transport=transport)

    assert ConnectedClient(connection, voiced(), 0.0).is_open is is_open


def client() -> ConnectedClient:
    connection: Any = SimpleNamespace()
    return ConnectedClient(connection, voiced(), 0.0)


def test_a_subscription_is_noted_once() -> None:
    clients, one, two = Clients(1), client(), client()

    assert [clients.note(each, "a") for each in (one, one, two)] == [True, False, True]
    assert clients.subscribers == {"a": {one: None, two: None}}


def test_what_nobody_subscribes_any_more_is_forgotten() -> None:
    clients, one, two = Clients(1), client(), client()
    for each in (one, two):
        clients.add(each)
        clients.note(each, "a")
    clients.note(one, "b")
    clients.forget(two, "b")
    clients.remove(one)

    assert clients.subscribers == {"a": {two: None}}
    assert list(clients) == [two]
    clients.forget(two, "a")
    assert clients.subscribers == {}
