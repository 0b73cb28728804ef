"""The live OKEX/OKX order book in one object, which says when it is not live."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base.clock import Clock, SystemClock
    from .base.errors import (
        BackfillFailed,
        BookError,
        BudgetSpent,
        ChecksumMismatch,
        ConnectionLost,
        HandshakeFailed,
        InstrumentExpired,
        LiveTimeout,
        LoginRejected,
        MessagesLost,
        NotLive,
        OkexWSError,
        RecordingFailed,
        RequestRejected,
        SequenceGap,
        Stalled,
        SubscriptionRejected,
        WireError,
    )
    from .base.retry import Reconnect, Timeouts
    from .base.state import Cause, CauseCode, State
    from .client.feed import Feed
    from .client.raw import RawSubscription
    from .client.subscription import WSSubscription
    from .delivery.updates import Updates
    from .history.source import History
    from .model.book import Level, OrderBook, Sweep
    from .model.credentials import Credentials
    from .model.instrument import Instrument, InstrumentChange, InstrumentRenamed
    from .model.instrument_ids import market_of
    from .model.items import (
        BestBidAsk,
        BookUpdate,
        Candle,
        Data,
        Depth,
        FundingRate,
        Gap,
        Item,
        PastBook,
        Tick,
        Ticker,
        Trade,
    )
    from .model.reports import ConnectionReport, Health, StateChange, Stats
    from .model.venues import MARKETS, VENUES, Venue, check_instrument, find_venue
    from .recording.recorded_frames import RecordingDamaged
    from .recording.recorder import Recorder
    from .replay import Replay

__version__ = "0.1.0"

__all__ = [
    "MARKETS",
    "VENUES",
    "BackfillFailed",
    "BestBidAsk",
    "BookError",
    "BookUpdate",
    "BudgetSpent",
    "Candle",
    "Cause",
    "CauseCode",
    "ChecksumMismatch",
    "Clock",
    "ConnectionLost",
    "ConnectionReport",
    "Credentials",
    "Data",
    "Depth",
    "Feed",
    "FundingRate",
    "Gap",
    "HandshakeFailed",
    "Health",
    "History",
    "Instrument",
    "InstrumentChange",
    "InstrumentExpired",
    "InstrumentRenamed",
    "Item",
    "Level",
    "LiveTimeout",
    "LoginRejected",
    "MessagesLost",
    "NotLive",
    "OkexWSError",
    "OrderBook",
    "PastBook",
    "RawSubscription",
    "Reconnect",
    "Recorder",
    "RecordingDamaged",
    "RecordingFailed",
    "Replay",
    "RequestRejected",
    "SequenceGap",
    "Stalled",
    "State",
    "StateChange",
    "Stats",
    "SubscriptionRejected",
    "Sweep",
    "SystemClock",
    "Tick",
    "Ticker",
    "Timeouts",
    "Trade",
    "Updates",
    "Venue",
    "WSSubscription",
    "WireError",
    "__version__",
    "check_instrument",
    "find_venue",
    "market_of",
]

# The modules that the public names are from. Each is imported when one of its names is
# first used (PEP 562), so that the pytest plugin, which every run of pytest imports,
# costs nothing.
_MODULES = {
    "base.clock": "Clock SystemClock",
    "base.errors": (
        "BackfillFailed BookError BudgetSpent ChecksumMismatch ConnectionLost "
        "HandshakeFailed InstrumentExpired LiveTimeout LoginRejected MessagesLost "
        "NotLive OkexWSError RecordingFailed RequestRejected SequenceGap Stalled "
        "SubscriptionRejected WireError"
    ),
    "base.retry": "Reconnect Timeouts",
    "base.state": "Cause CauseCode State",
    "client.feed": "Feed",
    "client.raw": "RawSubscription",
    "client.subscription": "WSSubscription",
    "delivery.updates": "Updates",
    "history.source": "History",
    "model.book": "Level OrderBook Sweep",
    "model.credentials": "Credentials",
    "model.instrument": "Instrument InstrumentChange InstrumentRenamed",
    "model.items": (
        "BestBidAsk BookUpdate Candle Data Depth FundingRate Gap Item PastBook "
        "Tick Ticker Trade"
    ),
    "model.reports": "ConnectionReport Health StateChange Stats",
    "model.instrument_ids": "market_of",
    "model.venues": "MARKETS VENUES Venue check_instrument find_venue",
    "recording.recorded_frames": "RecordingDamaged",
    "recording.recorder": "Recorder",
    "replay": "Replay",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "recording":  # the only public package that needs no extra
        return import_module(".recording", __name__)
    if name not in _HOME:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name
        )
    found = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    # `dir` shows the public names alone. Submodules such as `okex_ws.rest` and
    # `okex_ws.local_exchange` are imported by their full names.
    return list(__all__)
