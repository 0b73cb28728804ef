"""For pytest: an exchange on this machine, for the length of one test.

A bot that quotes while there is a price that can be trusted, and else does not:

    # bot.py
    from threading import Event
    from okex_ws import State, StateChange, WSSubscription

    class Bot(WSSubscription):
        def __init__(self, name: str) -> None:
            self.quoting, self.pulled = Event(), Event()
            super().__init__(
                name, "spot", venue="okx", max_age=0.5, on_state=self.decide
            )

        def decide(self, change: StateChange) -> None:
            live = change.new is State.LIVE
            (self.pulled if live else self.quoting).clear()
            (self.quoting if live else self.pulled).set()

Its test against a stall. The bot connects to "okx", as it always does:

    # test_bot.py
    from bot import Bot

    def test_a_stall_pulls_the_quotes(okx_is_local):
        with Bot("BTC-USDT") as bot:
            assert bot.quoting.wait(10)
            okx_is_local.silence()  # it answers pings, and pushes no book
            assert bot.pulled.wait(10)

`local_exchange` is a running `okex_ws.local_exchange.LocalExchange`, whose methods are
the faults: `drop`, `silence`, `mute`, `refuse`, `respond`, `spoil` and all the others.
A marker gives the keywords of its constructor, on a test, a class or a module, the
nearest first: ``@pytest.mark.local_exchange(tls=True, pace=50)``. No proxy of the
environment is asked for the way there.

`okx_is_local` is the same object; and meanwhile the name of every shipped venue means
it, over that venue's protocol, ``OKX_API_KEY`` and the like are a key that it knows,
and with ``tls=True`` its certificate is trusted by whoever trusts the system's.

Both need the extra ``local``: ``pip install 'okex-ws[local]'``. ``-p no:okex_ws`` does
without the plugin.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import Venue
    from .local_exchange import LocalExchange

# pytest imports this module for everybody in whose environment the library is. What a
# fixture needs is imported by the fixture.


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "local_exchange(**keywords): how the local_exchange fixture makes its"
        " okex_ws.local_exchange.LocalExchange",
    )


@pytest.fixture
def local_exchange(request: pytest.FixtureRequest) -> Iterator[LocalExchange]:
    """A running `LocalExchange`, made as ``@pytest.mark.local_exchange(...)`` says."""
    try:
        from .local_exchange import LocalExchange
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)  # it says what to install
    exchange = LocalExchange(**_keywords(request.node, LocalExchange))
    with pytest.MonkeyPatch.context() as patch, exchange:
        _bypass_proxy(patch)
        yield exchange
    if not exchange.close():
        pytest.fail("the local exchange did not end", pytrace=False)


@pytest.fixture
def okx_is_local(local_exchange: LocalExchange) -> Iterator[LocalExchange]:
    """The local exchange, in the place of every venue that has a name.

    A `Venue` that a module took out of ``VENUES`` before the test stays what it was.
    """
    from . import VENUES

    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="okex_ws-") as folder,
    ):
        for name, venue in list(VENUES.items()):
            patch.setitem(VENUES, name, _moved(venue, local_exchange))
        _set_credentials(local_exchange, patch)
        _trust_certificate(local_exchange, os.path.join(folder, "trusted.pem"), patch)
        yield local_exchange


def _keywords(node: Any, make: Callable[..., object]) -> dict[str, Any]:
    """What the markers of a test say, the nearest last."""
    given: dict[str, Any] = {}
    for mark in reversed([*node.iter_markers("local_exchange")]):
        if mark.args:
            values = ", ".join(map(repr, mark.args))
            _refuse(f"takes keywords only, got {values}")
        given.update(mark.kwargs)
    known = inspect.signature(make).parameters
    if unknown := [name for name in given if name not in known]:
        _refuse(f"has no {', '.join(map(repr, unknown))}; it has {', '.join(known)}")
    return given


def _refuse(why: str) -> None:
    pytest.fail(f"@pytest.mark.local_exchange {why}", pytrace=False)


def _moved(venue: Venue, exchange: LocalExchange) -> Venue:
    """*venue* at *exchange*: what is known of its books and markets stays true."""
    here = exchange.venue if venue.protocol == "v3" else exchange.venue_v5
    return dataclasses.replace(
        venue,
        endpoints=here.endpoints,
        connections_per_second=here.connections_per_second,
        requests_per_hour=here.requests_per_hour,
        retired=None,
        known=here.known,
    )


def _bypass_proxy(patch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment leads to this machine."""
    from urllib.request import getproxies_environment

    spared = getproxies_environment().get("no", "")
    if spared != "*":
        patch.setenv("no_proxy", f"{spared},127.0.0.1".lstrip(","))


def _set_credentials(exchange: LocalExchange, patch: pytest.MonkeyPatch) -> None:
    # Where nobody may log in, whoever runs the tests keeps his own key to himself.
    key = exchange.credentials[0] if exchange.credentials else None
    for field in ("api_key", "secret_key", "passphrase"):
        patch.delenv(f"OKX_{field.upper()}", raising=False)
        if key is not None:
            patch.setenv(f"OKX_{field.upper()}", getattr(key, field))


def _trust_certificate(
    exchange: LocalExchange, path: str, patch: pytest.MonkeyPatch
) -> None:
    if exchange.ssl_context is None:
        return
    import ssl

    # The system's own are among them.
    trusted = exchange.ssl_context.get_ca_certs(binary_form=True)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(map(ssl.DER_cert_to_PEM_cert, trusted))
    patch.setenv("SSL_CERT_FILE", path)
