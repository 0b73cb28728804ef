"""A transport that tells a tape what goes through it. Without one it is not used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..net.stream import Network, public_endpoint
from ..net.transport import NORMAL, Frame, Transport
from .tap import RecordingTap


class RecordingTransport(Transport):
    """A `Transport` whose every message is recorded before anybody reads it."""

    tap: RecordingTap
    # Control frames of the present read: behind the messages of it, as a close frame
    # is, and their time is the same.
    _held: list[Callable[[], None]] | None = None

    def read(self) -> list[Frame]:
        """See `Transport.read`."""
        self._held, frames = [], []
        try:
            frames = super().read()
        finally:
            held, self._held = self._held, None
            if frames:
                self.tap.received(frames)
            for tell in held:
                tell()
        return frames

    def send(self, text: str) -> None:
        """See `Transport.send`."""
        self.tap.sent(text)
        super().send(text)

    def begin_close(self, code: int = NORMAL) -> None:
        """See `Transport.begin_close`."""
        self._tell(partial(self.tap.close_frame_sent, code))
        super().begin_close(code)

    def _control(self, frame: bytes, payload: bytes) -> None:
        self._tell(partial(self.tap.control, frame[0] & 0x0F, payload))
        super()._control(frame, payload)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._held is None:
            tell()
        else:
            self._held.append(tell)


def open_transport(
    network: Network,
    url: str,
    deadline: float,
    cancelled: Callable[[], bool],
    tap: RecordingTap | None,
) -> Transport:
    """`Transport.open`, and recorded if there is a *tape*."""
    if tap is None:
        return Transport.open(network, url, deadline, cancelled)
    transport = RecordingTransport.open(network, url, deadline, cancelled)
    transport.tap = tap
    tap.opened(public_endpoint(url))
    return transport
