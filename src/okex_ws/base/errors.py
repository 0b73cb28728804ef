"""The exceptions of the library: what the network and the exchange can do to a feed.

    OkexWSError                  base class of all that follow
    ├── ConnectionLost           TCP or TLS ended or never came up (a ConnectionError)
    ├── HandshakeFailed          the peer answered a handshake with a refusal
    ├── Stalled                  an answer did not come in time (a TimeoutError)
    ├── WireError                a message that cannot be read
    ├── BookError                an order book failed its proof
    │   ├── ChecksumMismatch
    │   └── SequenceGap
    ├── SubscriptionRejected     the exchange refused a channel
    ├── InstrumentExpired        the instrument was delivered or delisted
    ├── RequestRejected          the exchange refused a REST request
    ├── BudgetSpent              requests wait: an hourly limit is used up
    ├── LoginRejected            the exchange refused a key
    ├── MessagesLost             callbacks were too slow, messages were dropped
    ├── RecordingFailed          a recording could not be written
    ├── BackfillFailed           missed or past items could not be fetched
    └── NotLive                  no price can be trusted at this moment

Misuse of the library raises ``ValueError`` or ``TypeError`` and never one of these, so
that the type says whether the caller or the network was at fault. An exception's
attributes hold the facts, and its *cause* those that a program decides by; its
``str()`` is a sentence, in which text that came from the network is made printable.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .state import Cause, CauseCode, State


def printable(text: str) -> str:
    """*text* from the network as one line that a log or a terminal can show.

    At most 200 characters; each character that is not printable is replaced.
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200]).strip()


def listed(names: list[str]) -> str:
    """The first five of *names* and the number of the others, for a sentence."""
    return ", ".join([*names[:5], f"{len(names) - 5} more"][: len(names)])


class OkexWSError(Exception):
    """The base class of every error that the network or the exchange causes.

    No error that a script is given holds a secret of the feed's credentials: what a
    peer says is cleaned before an error is built from it.

    *cause_code* is the code of its `Cause`. *endpoint* is the URL, without credentials,
    of the connection that failed. *instrument_id* and *topic* name the channel that the
    error is about, as its subscription does. Each of the three is ``''`` if it does not
    apply or is not known. *advice* is a sentence of the library's own that says what to
    do: about the endpoint (`Venue.advice`), or about the exchange's code (page
    ``codes`` of the guide). It is ``''`` if there is nothing to say.
    """

    cause_code = CauseCode.INTERNAL
    endpoint = instrument_id = topic = advice = ""

    def __init__(
        self, *args: object, advice: str = "", cause_code: CauseCode | None = None
    ) -> None:
        super().__init__(*args)
        if advice:
            self.advice = advice
        if cause_code is not None:
            self.cause_code = cause_code

    def __str__(self) -> str:
        text = self._advised()
        return f"{self.endpoint}: {text}" if self.endpoint else text

    def _advised(self) -> str:
        """The sentence with its advice, without the endpoint."""
        return f"{self._text()}; {self.advice}" if self.advice else self._text()

    def _text(self) -> str:
        """The sentence, without the endpoint and the advice."""
        return super().__str__()

    @property
    def _exchange_code(self) -> int | str | None:
        """What the exchange calls it, if it said that."""
        code: int | str | None = getattr(self, "code", None)
        return code

    @property
    def cause(self) -> Cause:
        """Why it happened, for a program."""
        return Cause(
            self.cause_code,
            self._advised(),
            self.endpoint,
            self.instrument_id,
            self.topic,
            self._exchange_code,
        )


class ConnectionLost(OkexWSError, ConnectionError):
    """A connection ended, or could not be made.

    *endpoint* is the URL without credentials. *code* and *reason* are those of the
    peer's WebSocket close frame, if it sent one (RFC 6455, section 7.4); else *code* is
    ``None`` and *reason* says what happened.
    """

    cause_code = CauseCode.NETWORK

    def __init__(
        self,
        endpoint: str,
        reason: str,
        code: int | None = None,
        *,
        advice: str = "",
        cause_code: CauseCode | None = None,
    ) -> None:
        super().__init__(endpoint, reason, code, advice=advice, cause_code=cause_code)
        self.endpoint = endpoint
        self.reason = reason
        self.code = code

    def _text(self) -> str:
        close = f" (close code {self.code})" if self.code is not None else ""
        return f"{printable(self.reason)}{close}"


class HandshakeFailed(OkexWSError):
    """The peer answered, but the TLS, proxy or WebSocket handshake did not succeed.

    *status* is the HTTP status of the answer, or ``None`` if the answer was not HTTP
    (the certificate was refused, for example). *retry_after* is the ``Retry-After`` of
    the answer in seconds, or ``None``.
    """

    cause_code = CauseCode.HANDSHAKE

    def __init__(
        self,
        endpoint: str,
        reason: str,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        advice: str = "",
        cause_code: CauseCode | None = None,
    ) -> None:
        facts = endpoint, reason, status, retry_after
        super().__init__(*facts, advice=advice, cause_code=cause_code)
        self.endpoint = endpoint
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    def _text(self) -> str:
        after = self.retry_after
        wait = "" if after is None else f", retry after {after:g} s"
        return f"{printable(self.reason)}{wait}"

    @property
    def _exchange_code(self) -> int | None:
        return self.status


class Stalled(OkexWSError, TimeoutError):
    """*what* did not happen within *after* seconds."""

    cause_code = CauseCode.CONNECT_TIMEOUT

    def __init__(
        self,
        what: str,
        after: float,
        *,
        endpoint: str = "",
        cause_code: CauseCode | None = None,
    ) -> None:
        super().__init__(what, after, cause_code=cause_code)
        self.what = what
        self.after = after
        self.endpoint = endpoint

    def _text(self) -> str:
        return f"{self.what} within {self.after:g} s"


class LiveTimeout(TimeoutError):
    """``wait_live`` has waited *after* seconds; *cause* is what it still waits for.

    *instrument_id* is that of the subscription, *state* its state. The error has as its
    ``__cause__`` the last one that ``on_error`` was given.
    """

    def __init__(
        self, instrument_id: str, state: State, cause: Cause, after: float
    ) -> None:
        super().__init__(instrument_id, str(state))
        self.instrument_id = instrument_id
        self.state = state
        self.cause = cause
        self.after = after

    def __reduce__(self) -> tuple[Any, ...]:
        # An OSError, as this is one, does not keep all of its arguments.
        return type(self), (self.instrument_id, self.state, self.cause, self.after)

    def __str__(self) -> str:
        why = f": {self.cause}" if self.cause else ""
        return f"{self.instrument_id} is {self.state} after {self.after:g} s{why}"


class WireError(OkexWSError):
    """A message could not be read: it is not what the exchange documents.

    *kind* is a short stable name (``'inflate'``, ``'json'``, ``'depth'``, ...) under
    which the message is counted in ``stats().dropped``. *channel* is the exchange's
    name of the channel that the message belongs to, or ``None`` if the message does not
    tell. *partial* is whether the rest of the message was delivered: a `Gap` stands for
    what could not be read.
    """

    cause_code = CauseCode.UNREADABLE
    partial = False

    def __init__(self, kind: str, detail: str, channel: str | None = None) -> None:
        super().__init__(kind, detail, channel)
        self.kind = kind
        self.detail = detail
        self.channel = channel

    def _text(self) -> str:
        where = f" on {printable(self.channel)}" if self.channel else ""
        return f"unreadable message{where} ({self.kind}): {self.detail}"


class BookError(OkexWSError):
    """An order book failed its proof, the exchange's checksum or sequence.

    The library gives no price of that book until a new snapshot has come. *channel* is
    the exchange's name of the book's channel, *kind* the short stable name under which
    the message is counted in ``stats().dropped``.
    """

    cause_code = CauseCode.SEQUENCE
    kind = "book"
    channel: str | None = None

    def _text(self) -> str:
        where = f"book {printable(self.channel)}" if self.channel else "a book"
        return f"{where} failed its proof: {self._why()}"

    def _why(self) -> str:
        return str(self.args[0]) if self.args else "it is not known why"


class ChecksumMismatch(BookError):
    """The CRC32 of the merged book differs from the one that the exchange sent.

    *expected* is the exchange's, *actual* the library's own.
    """

    cause_code = CauseCode.CHECKSUM
    kind = "checksum"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def _why(self) -> str:
        return f"its checksum is {self.actual}, the exchange's is {self.expected}"


class SequenceGap(BookError):
    """An update does not follow the one before it.

    *expected* is the sequence number of the last update that was merged, *actual* the
    number that the new update names as the one before it. Either is ``None`` if the
    exchange sent none.
    """

    kind = "sequence"

    def __init__(self, expected: int | None, actual: int | None) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def _why(self) -> str:
        return f"an update follows {self.actual}, the book is at {self.expected}"


class SubscriptionRejected(OkexWSError):
    """The exchange refused *channel*; *code* and *message* are the exchange's.

    *channel* lists several channels if the exchange did not say which one of a request
    it meant. After a final refusal the error is in ``health().failed``. A refusal that
    may pass, such as too many requests, is only reported, and the library asks again.

    *cause_code* says which: ``BUSY`` may pass; ``REJECTED``, ``TIER`` (the fee tier is
    too low), ``LOGIN`` (there is no key) and ``MALFORMED`` are final. A code that the
    library does not know is ``REJECTED``, and final if it comes three times.
    """

    cause_code = CauseCode.REJECTED

    def __init__(self, code: int | str, message: str, channel: str) -> None:
        super().__init__(code, message, channel)
        self.code = code
        self.message = message
        self.channel = channel

    def _text(self) -> str:
        said = printable(self.message)
        return f"{self.channel} was refused: {said} (error {self.code})"


class InstrumentExpired(OkexWSError):
    """The exchange delivered *instrument_id* on the day of *expiry*: it has no prices.

    *expiry* is ``None`` if the exchange has delisted it.
    """

    cause_code = CauseCode.EXPIRED

    def __init__(self, instrument_id: str, expiry: datetime | None = None) -> None:
        super().__init__(instrument_id, expiry)
        self.instrument_id = instrument_id
        self.expiry = expiry

    def _text(self) -> str:
        if self.expiry is None:
            return "the exchange has delisted it"
        return f"delivered {self.expiry:%Y-%m-%d}: name an instrument"


class RequestRejected(OkexWSError):
    """The exchange, or a server in front of it, refused a REST request.

    *code* is the exchange's error code, ``'51001'`` under v5 and ``30032`` under v3 for
    an instrument that does not exist; if the answer has no error code, *code* is the
    HTTP *status*. *path* is the path of the request without parameters. *retry_after*
    is the ``Retry-After`` of the answer in seconds, or ``None``. *cause_code* is
    ``BUSY`` if the same request may succeed later, after the client has tried in vain.
    """

    cause_code = CauseCode.REJECTED

    def __init__(
        self,
        code: int | str,
        message: str,
        path: str,
        status: int = 200,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, path, status, retry_after)
        self.code = code
        self.message = message
        self.path = path
        self.status = status
        self.retry_after = retry_after

    def _text(self) -> str:
        said = printable(self.message) or "no reason was given"
        http = f", HTTP {self.status}" if self.status not in (200, self.code) else ""
        return f"{self.path} was refused: {said} (error {self.code}{http})"


class BudgetSpent(OkexWSError):
    """Requests of a connection wait, because the exchange allows only so many an hour.

    *op* is the operation that waits, *channels* how many channels it is for, *wait* how
    many seconds it waits. The library sends the requests after that. The operation
    ``'resynchronising'`` subscribes channels again whose data could not be used. It
    waits earlier: it may use half of the limit, and a twelfth of that half at once.
    """

    cause_code = CauseCode.BUDGET

    def __init__(self, op: str, channels: int, wait: float) -> None:
        super().__init__(op, channels, wait)
        self.op = op
        self.channels = channels
        self.wait = wait

    def _text(self) -> str:
        many = f" of {self.channels} channels" if self.channels > 1 else ""
        return f"the hour's requests are spent: {self.op}{many} waits {self.wait:.0f} s"


class LoginRejected(OkexWSError):
    """The exchange refused the credentials; *code* and *message* are the exchange's.

    *cause_code* is ``REGION`` if the exchange does not know the key at this site: the
    *advice* names the venues of the other regions. It is ``BUSY`` for a refusal that
    may pass, which is only reported.
    """

    cause_code = CauseCode.LOGIN

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def _text(self) -> str:
        return f"login was refused: {printable(self.message)} (error {self.code})"


class MessagesLost(OkexWSError):
    """*count* consecutive messages of *channel* were dropped before their callback.

    They came while the queue of ``callbacks='thread'`` was full, because the callbacks
    were too slow. `on_message` is not called with them, and ``stats().skipped`` counts
    them. Reads and ``updates()`` are not affected.
    """

    cause_code = CauseCode.QUEUE

    def __init__(self, instrument_id: str, channel: str, count: int) -> None:
        super().__init__(instrument_id, channel, count)
        self.instrument_id = instrument_id
        self.channel = self.topic = channel
        self.count = count

    def _text(self) -> str:
        return (
            f"{self.count} of {self.channel} of {self.instrument_id} not taken in time"
            " (callbacks='thread')"
        )


class RecordingFailed(OkexWSError):
    """The recording in *path* cannot be written at the moment, because of *reason*.

    *lost* is how many entries (messages and events of connections) are missing in the
    recording so far. The feed goes on without them.
    """

    def __init__(self, path: str, reason: str, lost: int) -> None:
        super().__init__(path, reason, lost)
        self.path = path
        self.reason = reason
        self.lost = lost

    def _text(self) -> str:
        return f"recording {self.path}: {self.reason}; {self.lost} entries lost so far"


class BackfillFailed(OkexWSError):
    """Items of *channel* could not be fetched over REST (``history=``).

    *why* says which items were wanted and what prevented it; if that was an exception,
    it is the ``__cause__``. A `Gap` among the items says which ones are missing. The
    error is reported once for each place where items are missing.
    """

    cause_code = CauseCode.HISTORY

    def __init__(
        self,
        instrument_id: str,
        channel: str,
        why: str,
        *,
        cause_code: CauseCode | None = None,
    ) -> None:
        super().__init__(instrument_id, channel, why, cause_code=cause_code)
        self.instrument_id = instrument_id
        self.channel = self.topic = channel
        self.why = why

    def _text(self) -> str:
        return f"{self.channel} of {self.instrument_id}: {printable(self.why)}"


class NotLive(OkexWSError):
    """No depth can be trusted at this moment. *state* and *cause* say why."""

    def __init__(self, state: State, cause: Cause) -> None:
        super().__init__(state, cause, cause_code=cause.code)
        self.state = state
        self.instrument_id = cause.instrument_id

    def _text(self) -> str:
        return f"{self.state}: {self.cause}" if self.cause else str(self.state)

    @property
    def cause(self) -> Cause:
        """The cause of *state*."""
        cause: Cause = self.args[1]
        return cause
