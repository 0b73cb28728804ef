"""A push that was kept as it came, and is parsed when it is read for the first time."""

from __future__ import annotations

from typing import Any, Protocol

from ..base.errors import WireError
from .common import for_people


class Keeping(Protocol):
    """What keeps pushes unparsed: a channel of which only the newest push counts."""

    def parse(self, kept: Unparsed) -> object:
        """The data in *kept*. Any thread may call.

        `WireError` if there is none; it names the channel if no other is concerned.
        """
        ...

    def doubt(self) -> None:
        """A kept push cannot be read: have the connection's thread look at it.

        Any thread may call it.
        """
        ...


class Unparsed:
    """One push of a *channel*, as bytes: its data is parsed by the first read.

    It stands for the data of a value (`Published.data`). *seq* and *time_ms* were
    sliced out of the bytes *said* at the receipt (``None`` and 0 where a channel has
    none); the data has the same, else it is refused. Any thread may read, and the first
    one parses. Two that read at the same time may both parse, with equal results.

    A reader that cannot parse the push changes nothing but has the connection's thread
    told, which parses it once more (`verify`): a reader may fail for a reason of its
    own, such as its depth of recursion.
    """

    __slots__ = ("_channel", "is_parsed", "result", "said", "seq", "time_ms")

    def __init__(
        self, channel: Keeping, said: bytes, seq: int | None, time_ms: int
    ) -> None:
        self._channel = channel
        self.said = said
        self.seq = seq
        self.time_ms = time_ms
        # The data, once it was parsed; before, the error, as people may be told it.
        self.result: object | None = None
        self.is_parsed = False

    @property
    def is_refused(self) -> bool:
        """Whether a thread has tried to parse it, and could not."""
        return not self.is_parsed and self.result is not None

    @property
    def fault(self) -> WireError | None:
        """Why it cannot be read; ``None`` if it was read, which this does if need be.

        The error has no text of the peer but that for people.
        """
        if self.result is None and self._parse() is not None:
            self._channel.doubt()
        result = self.result
        return result if isinstance(result, WireError) else None

    @property
    def data(self) -> Any:
        """The data. A caller asks for `fault` before: what cannot be read raises it."""
        fault = self.fault
        if fault is not None:
            raise fault.with_traceback(None)
        return self.result

    def verify(self) -> WireError | None:
        """Parse it, unless that was done; again, if a reader could not.

        Returns what is wrong, as it was raised. The connection's thread calls it.
        """
        return None if self.is_parsed else self._parse()

    def _parse(self) -> WireError | None:
        try:
            self.result = self._channel.parse(self)
        except WireError as error:
            fault = error
        else:
            self.is_parsed = True
            return None
        if not self.is_parsed:  # else another thread could read it
            self.result = for_people(fault, fault.channel, str)
        return fault
