"""What can go wrong. Nothing here does anything.

    OkexWSError                  everything the world can do to a feed
    ├── ConnectionLost           TCP or TLS ended or never came up (a ConnectionError)
    ├── HandshakeFailed          the peer answered, and the answer was no
    ├── Stalled                  something did not come in time (a TimeoutError)
    ├── WireError                bytes that are not what the exchange documents
    ├── BookError                an order book that failed its proof
    │   ├── ChecksumMismatch
    │   └── SequenceGap
    ├── SubscriptionRejected     the exchange refused a channel
    ├── RequestRejected          the exchange refused a REST request
    ├── BudgetSpent              requests wait: the exchange allows so many an hour
    ├── LoginRejected            the exchange refused a key
    ├── MessagesLost             callbacks were too slow for what each counts
    ├── RecordingFailed          a recording could not be written
    ├── BackfillFailed           the past, or what was missed, could not be had
    └── NotLive                  there is no price that can be trusted now

Misuse of the library is a ``ValueError`` or a ``TypeError`` and never one of these:
the type says whose fault it was. The facts are attributes; the sentence is ``str()``,
in which text of the network is made fit for a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import State


def printable(text: str) -> str:
    """Text of the network, fit for a log and a terminal: one short plain line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200]).strip()


def listed(names: list[str]) -> str:
    """Names for a sentence, which a thousand of them would not make clearer."""
    return ", ".join([*names[:5], f"{len(names) - 5} more"][: len(names)])


def _behind(advice: str) -> str:
    return f"; {advice}" if advice else ""


class OkexWSError(Exception):
    """Anything that the network or the exchange did to a feed.

    *advice* is what the library itself knows of it (`Venue.advice`), or ``''``.
    """

    advice = ""

    def redact(self, clean: Callable[[str], str]) -> None:
        """Have no text in it that *clean* would not leave, whoever wrote it."""
        self.args = tuple(clean(a) if isinstance(a, str) else a for a in self.args)
        for name, value in vars(self).items():
            if isinstance(value, str):
                setattr(self, name, clean(value))


class ConnectionLost(OkexWSError, ConnectionError):
    """A connection ended, or could not be made.

    *endpoint* is the URL without credentials; *code* and *reason* are those of the
    WebSocket close frame, where the peer sent one (RFC 6455, section 7.4). *advice* is
    the library's own sentence about that endpoint (`Venue.advice`), or ``''``.
    """

    def __init__(
        self, endpoint: str, reason: str, code: int | None = None, *, advice: str = ""
    ) -> None:
        super().__init__(endpoint, reason, code)
        self.endpoint = endpoint
        self.reason = reason
        self.code = code
        self.advice = advice

    def __str__(self) -> str:
        close = f" (close code {self.code})" if self.code is not None else ""
        said = printable(self.reason)
        return f"{self.endpoint}: {said}{close}{_behind(self.advice)}"


class HandshakeFailed(OkexWSError):
    """The peer answered the TLS or the WebSocket handshake, but not with a yes.

    *status* is the HTTP status, or ``None`` where the answer was not HTTP (a refused
    certificate, say). *retry_after* is the peer's own wish in seconds, if it sent one;
    *advice* as in `ConnectionLost`.
    """

    def __init__(
        self,
        endpoint: str,
        reason: str,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        advice: str = "",
    ) -> None:
        super().__init__(endpoint, reason, status, retry_after)
        self.endpoint = endpoint
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.advice = advice

    def __str__(self) -> str:
        wait = (
            f", retry after {self.retry_after:g} s"
            if self.retry_after is not None
            else ""
        )
        said = printable(self.reason)
        return f"{self.endpoint}: {said}{wait}{_behind(self.advice)}"


class Stalled(OkexWSError, TimeoutError):
    """*what* did not happen within *after* seconds."""

    def __init__(self, what: str, after: float) -> None:
        super().__init__(what, after)
        self.what = what
        self.after = after

    def __str__(self) -> str:
        return f"{self.what} within {self.after:g} s{_behind(self.advice)}"


class WireError(OkexWSError):
    """A message that is not what the exchange documents.

    *kind* is a short stable name (``'inflate'``, ``'json'``, ``'depth'``, ...) under
    which the message is counted in ``stats().dropped``. *channel* is the wire's name
    of the channel it belongs to, or ``None`` where that cannot be read.
    """

    def __init__(self, kind: str, detail: str, channel: str | None = None) -> None:
        super().__init__(kind, detail, channel)
        self.kind = kind
        self.detail = detail
        self.channel = channel

    def __str__(self) -> str:
        where = f" on {printable(self.channel)}" if self.channel else ""
        return f"unreadable message{where} ({self.kind}): {self.detail}"


class BookError(OkexWSError):
    """An order book that failed its proof, and is not shown until it has a new one.

    *channel* is the wire's name of its channel, *kind* the short stable name under
    which the message is counted in ``stats().dropped``.
    """

    kind = "book"
    channel: str | None = None

    def __str__(self) -> str:
        where = f"book {printable(self.channel)}" if self.channel else "a book"
        return f"{where} failed its proof: {self._why()}"

    def _why(self) -> str:
        return str(self.args[0]) if self.args else "it is not known why"


class ChecksumMismatch(BookError):
    """The CRC32 of the merged book is not the one that the exchange sent."""

    kind = "checksum"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def _why(self) -> str:
        return f"its checksum is {self.actual}, the exchange's is {self.expected}"


class SequenceGap(BookError):
    """An update does not follow the one before it.

    *expected* is the id of the last update, *actual* the one that the update follows;
    either is ``None`` where there was none.
    """

    kind = "sequence"

    def __init__(self, expected: int | None, actual: int | None) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def _why(self) -> str:
        return f"an update follows {self.actual}, the book is at {self.expected}"


class SubscriptionRejected(OkexWSError):
    """The exchange refused a channel with its *code* and *message*."""

    def __init__(self, code: int | str, message: str, channel: str) -> None:
        super().__init__(code, message, channel)
        self.code = code
        self.message = message
        self.channel = channel

    def __str__(self) -> str:
        said = printable(self.message)
        return f"{self.channel} was refused: {said} (error {self.code})"


class RequestRejected(OkexWSError):
    """The exchange, or who stands before it, refused a REST request.

    *code* is the exchange's own: ``'51001'`` (v5), ``30032`` (v3; both are "there is no
    such instrument"); the HTTP *status*, where the answer named none. *path* is what
    was asked for, without parameters. *retry_after* is the peer's own wish in seconds.
    """

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

    def __str__(self) -> str:
        said = printable(self.message) or "no reason was given"
        http = f", HTTP {self.status}" if self.status not in (200, self.code) else ""
        return f"{self.path} was refused: {said} (error {self.code}{http})"


class BudgetSpent(OkexWSError):
    """Requests wait for their turn: the exchange allows only so many an hour."""

    def __init__(self, op: str, channels: int, wait: float) -> None:
        super().__init__(op, channels, wait)
        self.op = op
        self.channels = channels
        self.wait = wait

    def __str__(self) -> str:
        many = f" of {self.channels} channels" if self.channels > 1 else ""
        return f"the hour's requests are spent: {self.op}{many} waits {self.wait:.0f} s"


class LoginRejected(OkexWSError):
    """The exchange refused the credentials with its *code* and *message*."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"login was refused: {printable(self.message)} (error {self.code})"


class MessagesLost(OkexWSError):
    """*count* messages of *channel* in a row came while too many waited for callbacks.

    They are in no `on_message`, and counted in ``stats().skipped``. Reads and
    ``updates()`` have them.
    """

    def __init__(self, instrument_id: str, channel: str, count: int) -> None:
        super().__init__(instrument_id, channel, count)
        self.instrument_id = instrument_id
        self.channel = channel
        self.count = count

    def __str__(self) -> str:
        return (
            f"{self.count} of {self.channel} of {self.instrument_id} not taken in time"
            " (callbacks='thread')"
        )


class RecordingFailed(OkexWSError):
    """The recording in *path* cannot be written at the moment, for this *reason*.

    *lost* is how many entries are missing in it so far. The feed goes on.
    """

    def __init__(self, path: str, reason: str, lost: int) -> None:
        super().__init__(path, reason, lost)
        self.path = path
        self.reason = reason
        self.lost = lost

    def __str__(self) -> str:
        return f"recording {self.path}: {self.reason}; {self.lost} entries lost so far"


class BackfillFailed(OkexWSError):
    """Items of *channel* that were to be fetched are missing (``history=``).

    *why* says what was to be had, and what stood in the way; that is its cause, too,
    if it was an exception. A `Gap` among the items says which ones are missing. Told
    once for each place.
    """

    def __init__(self, instrument_id: str, channel: str, why: str) -> None:
        super().__init__(instrument_id, channel, why)
        self.instrument_id = instrument_id
        self.channel = channel
        self.why = why

    def __str__(self) -> str:
        return f"{self.channel} of {self.instrument_id}: {printable(self.why)}"


class NotLive(OkexWSError):
    """No depth can be trusted at this moment; *state* and *cause* say why."""

    def __init__(self, state: State, cause: str) -> None:
        super().__init__(state, cause)
        self.state = state
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.state}: {self.cause}" if self.cause else str(self.state)
