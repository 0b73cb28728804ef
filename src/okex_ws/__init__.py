"""The live OKEX/OKX order book in one object, or the word that it is not live."""

from .book import OrderBook, Sweep
from .credentials import Credentials
from .errors import (
    BackfillFailed,
    BookError,
    BudgetSpent,
    ChecksumMismatch,
    ConnectionLost,
    HandshakeFailed,
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
from .feed import Feed
from .history import History
from .instrument import Instrument
from .messages import (
    BestBidAsk,
    BookUpdate,
    Candle,
    ConnectionReport,
    Data,
    Depth,
    FundingRate,
    Gap,
    Health,
    Item,
    Level,
    PastBook,
    State,
    StateChange,
    Stats,
    Ticker,
    Trade,
)
from .raw import RawSubscription
from .recorder import Recorder
from .recording import RecordingDamaged
from .replay import Replay
from .subscription import WSSubscription
from .timing import Clock, Reconnect, SystemClock, Timeouts
from .updates import Updates
from .venues import (
    MARKETS,
    VENUES,
    Venue,
    check_instrument,
    find_venue,
    market_of,
)

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
    # `rest`, `local_exchange` and the other modules are imported by their full names.
    return list(__all__)
