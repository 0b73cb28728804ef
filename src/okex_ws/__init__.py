"""The live OKEX/OKX order book in one object, which says when it is not live."""

from .base.clock import Clock, SystemClock
from .base.errors import (
    BackfillFailed,
    BookError,
    BudgetSpent,
    ChecksumMismatch,
    ConnectionLost,
    HandshakeFailed,
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
from .model.instrument import Instrument
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
    Ticker,
    Trade,
)
from .model.reports import ConnectionReport, Health, StateChange, Stats
from .model.venues import (
    MARKETS,
    VENUES,
    Venue,
    check_instrument,
    find_venue,
    market_of,
)
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


def __dir__() -> list[str]:
    # `dir` shows the public names alone. Submodules such as `okex_ws.rest` and
    # `okex_ws.local_exchange` are imported by their full names.
    return list(__all__)
