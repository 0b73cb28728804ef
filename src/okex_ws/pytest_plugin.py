"""A pytest plugin: two fixtures that run an exchange on this machine for one test.

This bot quotes only while there is a price that can be trusted:

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

And this is its test against a stall. The bot connects to "okx", as it always does:

    # test_bot.py
    from bot import Bot

    def test_a_stall_pulls_the_quotes(okx_is_local):
        with Bot("BTC-USDT") as bot:
            assert bot.quoting.wait(10)
            okx_is_local.silence()  # it answers pings, and pushes no book
            assert bot.pulled.wait(10)

The fixture `local_exchange` is a running `okex_ws.local_exchange.LocalExchange`, whose
methods cause faults: `drop`, `silence`, `mute`, `refuse`, `respond`, `spoil` and more.
A marker on a test, a class or a module gives keywords of the constructor:
``@pytest.mark.local_exchange(tls=True, pace=50)``. If several markers give the same
keyword, the one nearest to the test wins. No proxy of the environment is used to reach
the exchange.

The fixture `okx_is_local` is the same object. While a test uses it, the name of each
venue that the library ships leads to it, over that venue's protocol. ``OKX_API_KEY``,
``OKX_SECRET_KEY`` and ``OKX_PASSPHRASE`` hold a key that the exchange accepts, or are
unset if it accepts none. With ``tls=True``, code that trusts the system's certificates
also trusts the exchange's.

Both fixtures need the extra ``local``: ``pip install 'okex-ws[local]'``. The option
``-p no:okex_ws`` of pytest switches the plugin off.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from . import Venue
    from .local_exchange import LocalExchange
else:
    try:
        import pytest
    except ImportError:  # `help` shows this module all the same
        from types import SimpleNamespace

        pytest = SimpleNamespace(fixture=lambda function: function)

# pytest imports this module in every environment where the library is installed, so a
# fixture imports what it needs itself.


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``local_exchange``, which strict runs of pytest require."""
    config.addinivalue_line(
        "markers",
        "local_exchange(**keywords): how the local_exchange fixture makes its"
        " okex_ws.local_exchange.LocalExchange",
    )


@pytest.fixture
def local_exchange(request: pytest.FixtureRequest) -> Iterator[LocalExchange]:
    """A running `LocalExchange`, made with the keywords of the test's markers."""
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
    """The local exchange, to which the names of all shipped venues lead in the test.

    A `Venue` object that a module took out of ``VENUES`` before the test is unchanged.
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
    """The keywords of a test's markers; of one given twice, the nearest marker's.

    It fails the test if a marker has positional arguments or a keyword that *make* has
    not.
    """
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
    """*venue* with the address and limits of *exchange*.

    Its other facts, such as its markets, stay the same.
    """
    here = exchange.venue if venue.protocol == "v3" else exchange.venue_v5
    return dataclasses.replace(
        venue,
        endpoints=here.endpoints,
        connections_per_second=here.connections_per_second,
        requests_per_hour=here.requests_per_hour,
        rest=here.rest,
        rest_share=here.rest_share,
        retired=None,
        known=here.known,
    )


def _bypass_proxy(patch: pytest.MonkeyPatch) -> None:
    """Make the environment name no proxy for this machine."""
    from urllib.request import getproxies_environment

    spared = getproxies_environment().get("no", "")
    if spared != "*":
        patch.setenv("no_proxy", f"{spared},127.0.0.1".lstrip(","))


def _set_credentials(exchange: LocalExchange, patch: pytest.MonkeyPatch) -> None:
    # If the exchange accepts no key, the variables are removed, so that a test does not
    # send it the key of the person who runs the tests.
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

    # The context also has the system's own certificates.
    trusted = exchange.ssl_context.get_ca_certs(binary_form=True)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(map(ssl.DER_cert_to_PEM_cert, trusted))
    patch.setenv("SSL_CERT_FILE", path)
