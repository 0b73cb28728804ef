"""Both protocols are used through one interface; a type checker sees most of that."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from okex_ws.model.credentials import Credentials
from okex_ws.pool.options import WIRE_PROTOCOLS
from okex_ws.protocol.common import ProtocolBase
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5

BOTH = pytest.mark.parametrize("wire", [V3, V5], ids=["v3", "v5"])
MEMBERS = {name for name in vars(WireProtocol) if not name.startswith("_")} | {"PING"}
METHODS = sorted(MEMBERS - {"PING"})


def parameters(method: Any) -> list[tuple[str, Any]]:
    """The names of a method's parameters and how each may be given, without self."""
    found = inspect.signature(method).parameters.values()
    return [(each.name, each.kind) for each in found if each.name != "self"]


def test_the_interface_has_members() -> None:
    assert {"PING", "channel", "request", "unpack", "read", "depth", "book"} <= MEMBERS


@BOTH
def test_the_ping_of_a_protocol_is_a_text(wire: WireProtocol) -> None:
    assert isinstance(wire.PING, str)


@pytest.mark.parametrize("name", METHODS)
@BOTH
def test_a_method_has_the_parameters_that_the_interface_gives_it(
    wire: WireProtocol, name: str
) -> None:
    """A type checker accepts further parameters that have a default."""
    own = parameters(getattr(wire, name))

    assert own == parameters(getattr(WireProtocol, name))


@BOTH
def test_a_protocol_has_no_public_method_beside_the_interface(wire: Any) -> None:
    public = {name for name in dir(wire) if not name.startswith("_")}
    methods = {name for name in public if inspect.isroutine(getattr(wire, name))}

    # `decode` is `unpack` and `read` in one call, and is offered by the base class.
    assert methods - MEMBERS == {"decode"}
    assert "decode" in vars(ProtocolBase)


@BOTH
def test_a_protocol_keeps_nothing_of_what_it_does(wire: WireProtocol) -> None:
    before = dict(vars(wire))
    channel = wire.channel(wire.topic("depth5"), "spot", "BTC-USDT").key
    acknowledgement = b'{"event": "subscribe", "channel": "spot/depth5:BTC-USDT"}'

    def use() -> tuple[object, ...]:
        return (
            wire.request("subscribe", [channel], 1),
            wire.login(Credentials("key", "secret", "phrase"), 1_700_000_000.0),
            wire.read(wire.unpack(b"pong", False)),
            wire.head(acknowledgement),
        )

    assert use() == use()
    assert vars(wire) == before


def test_a_venue_finds_the_one_instance_of_its_protocol() -> None:
    assert WIRE_PROTOCOLS == {"v3": V3, "v5": V5}
    assert WIRE_PROTOCOLS["v3"] is V3
    assert WIRE_PROTOCOLS["v5"] is V5
