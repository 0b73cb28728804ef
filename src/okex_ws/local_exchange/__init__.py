"""An exchange of your own on 127.0.0.1: v3, v5, a market, and faults on request.

Test your bot against it:

    from okex_ws import WSSubscription
    from okex_ws.local_exchange import LocalExchange

    with LocalExchange(seed=7) as exchange:
        market, instrument_id = exchange.busiest
        with WSSubscription(instrument_id, market, venue=exchange.venue_v5) as feed:
            feed.wait_live()
            exchange.drop()         # and see what your bot does

`LocalExchange.venue` is the same exchange under v3. Clients of both protocols see the
same market.

It needs the extra ``local``: ``pip install 'okex-ws[local]'``.
"""

from __future__ import annotations

try:
    import trustme as _trustme  # noqa: F401
    import websockets.asyncio.server as _server  # noqa: F401
except ImportError as _missing:
    raise ImportError(
        "okex_ws.local_exchange needs the extra 'local':"
        f" pip install 'okex-ws[local]' ({_missing})",
        name=_missing.name,
    ) from _missing

from .control.exchange import LocalExchange
from .faults.rest_faults import REST_FAULTS
from .faults.spoiling import BOOK_FAULTS
from .faults.wording import WORDINGS
from .market.instruments import INSTRUMENTS
from .market.instruments import SyntheticInstrument as Instrument
from .market.truth import Said
from .server.record import Asked, Pushed
from .wire.v3 import deflate

__all__ = [
    "BOOK_FAULTS",
    "INSTRUMENTS",
    "REST_FAULTS",
    "WORDINGS",
    "Asked",
    "Instrument",
    "LocalExchange",
    "Pushed",
    "Said",
    "deflate",
]
