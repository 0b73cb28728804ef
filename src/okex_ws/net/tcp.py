"""A non-blocking socket, and TLS over it that never touches the socket itself.

Ciphertext goes through memory, so that every frame of a TLS record is there at once:
`select` on a socket says nothing of what TLS has already decrypted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import ssl
from collections.abc import Callable
from typing import Any

from ..base.clock import Clock
from ..base.errors import ConnectionLost, HandshakeFailed
from .dial import Pause, sentence

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
# One `fill` takes at most 256 KiB off the socket: bounded work a call.
_CHUNK = 1 << 16
_CHUNKS = 4
# After a read of so much there is more as a rule: it is taken without asking first.
_STREAMING = 1 << 13
# Output that the peer does not take. Requests are of 100 bytes: 1 MiB is a dead peer.
MAX_OUTPUT = 1 << 20


class TcpStream:
    """The real `stream.Stream`. *pause* waits during the handshake, or raises.

    *via* is what an error says before its reason: which proxy is in between, if any.
    """

    def __init__(
        self,
        sock: socket.socket,
        clock: Clock,
        endpoint: str,
        pause: Pause,
        via: str = "",
    ) -> None:
        self.received = bytearray()
        self.heard = clock.monotonic()
        # Frames may come on the heels of the handshake: the first wait returns.
        self.ready = True
        self._socket = sock
        self._clock = clock
        self._endpoint = endpoint
        self.via = via
        self._pause = pause
        # What the kernel and TLS hand over goes through it: made once.
        self._buffer = memoryview(bytearray(_CHUNK))
        self._output = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._from_peer = ssl.MemoryBIO()
        self._to_peer = ssl.MemoryBIO()
        self._end: ConnectionLost | None = None

    @property
    def blocked(self) -> bool:
        """Whether output is queued that the kernel did not take yet."""
        return bool(self._output)

    def start_tls(self, context: ssl.SSLContext | None, host: str) -> None:
        """Do the TLS handshake; without *context* on the system's trust store."""
        try:
            self._tls = (context or ssl.create_default_context()).wrap_bio(
                self._from_peer, self._to_peer, server_hostname=host
            )
            # What came on the heels of a proxy's answer is the tunnel's.
            self._from_peer.write(self.received)
            self.received.clear()
            while not self._shake_hands(self._tls):
                if self._end is not None:
                    raise self._end
                self._pause_for("TLS handshake")
                self._pull()
        except ssl.SSLCertVerificationError as error:
            reason = f"{self.via}certificate refused: {error.verify_message}"
            raise HandshakeFailed(self._endpoint, reason) from error
        except (ssl.SSLError, ValueError) as error:
            reason = f"{self.via}TLS handshake failed: {_reason(error)}"
            raise HandshakeFailed(self._endpoint, reason) from error

    def _shake_hands(self, tls: ssl.SSLObject) -> bool:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            # After a failure too: the peer is told why, in an alert.
            self._queue_ciphertext()
            self.flush()
        return True

    def fill(self) -> int:
        """See `Stream.fill`."""
        self.ready = False
        before = len(self.received)
        if self._end is None:
            self._pull()
        if self._tls is not None:
            self._decrypt(self._tls)
        count = len(self.received) - before
        if self._end is not None:
            if not count:
                raise self._end
            self.ready = True
        elif count >= _STREAMING:
            # A wait would return at once. It would give the interpreter away for less
            # time than another thread needs to wake up, and call it in vain: so called,
            # that thread never waits the 5 ms after which it may ask for its turn.
            self.ready = True
        return count

    def _pull(self) -> None:
        """Take what the kernel has, up to the bound."""
        for _ in range(_CHUNKS):
            try:
                size = receive(self._socket, self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._stop(sentence(error), error)
                return
            if not size:
                self._stop("the peer closed the connection", None)
                return
            self.heard = self._clock.monotonic()
            if self._tls is None:
                self.received += self._buffer[:size]
            else:
                self._from_peer.write(self._buffer[:size])
            if size < _CHUNK:
                return

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        """Leave nothing decrypted inside the TLS object."""
        try:
            # A read takes a whole record: nothing decrypted stays behind, and asking
            # for it (`pending`) would give the interpreter away once more.
            while self._from_peer.pending:
                # Into a buffer typeshed does not know of: the size that was read.
                size: Any = tls.read(_CHUNK, self._buffer)
                if not size:
                    self._stop("the peer closed the TLS session", None)
                    break
                self.received += self._buffer[:size]
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still on its way
        except ssl.SSLError as error:
            self._stop(f"TLS failed: {_reason(error)}", error)
        # Answers of TLS itself: key updates, alerts.
        self._queue_ciphertext()
        self.flush()

    def _queue_ciphertext(self) -> None:
        if self._to_peer.pending:
            self._output += self._to_peer.read()
        if len(self._output) > 2 * MAX_OUTPUT:
            # Only TLS itself can get here: a flood of requests to change the key.
            self._output.clear()
            self._stop("the peer takes no data any more", None)

    def _stop(self, reason: str, cause: Exception | None) -> None:
        """Remember the first end; `fill` raises it behind the data before it."""
        if self._end is None:
            self._end = ConnectionLost(self._endpoint, f"{self.via}{reason}")
            self._end.__cause__ = cause
            self.ready = True

    def _pause_for(self, missing: str) -> None:
        events = _READ | _WRITE if self._output else _READ
        self._pause(missing, {self.fileno(): events})

    def recv(
        self, size: int, missing: str = "answer to the WebSocket handshake"
    ) -> bytes:
        """See `Stream.recv`; *missing* is what did not come by the deadline."""
        while not self.received and not self.fill():
            self._pause_for(missing)
            self.flush()
        data = bytes(self.received[:size])
        del self.received[:size]
        self.ready = True
        return data

    def send(self, data: bytes) -> int:
        """See `Stream.send`."""
        if self._end is not None:
            raise self._end
        if len(self._output) + len(data) > MAX_OUTPUT:
            reason = f"{self.via}the peer takes no data any more"
            raise ConnectionLost(self._endpoint, reason)
        if self._tls is None:
            self._output += data
        elif data:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                self._stop(f"TLS failed: {_reason(error)}", error)
            self._queue_ciphertext()
        self.flush()
        return len(data)

    def flush(self) -> None:
        """See `Stream.flush`."""
        while self._output:
            try:
                sent = self._socket.send(self._output)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # The end shows when reading, behind what the peer said before it.
                self._output.clear()
                return
            del self._output[:sent]

    def close(self) -> None:
        """See `Stream.close`."""
        if self.fileno() < 0:
            return
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                self._say_goodbye(self._tls)
            self.flush()
            self._socket.shutdown(socket.SHUT_WR)
        self.discard()

    def discard(self) -> None:
        """See `Stream.discard`."""
        self._socket.close()
        self._stop("the connection is closed", None)

    def fileno(self) -> int:
        """See `Stream.fileno`."""
        return self._socket.fileno()

    def _say_goodbye(self, tls: ssl.SSLObject) -> None:
        # Without waiting for the peer's own goodbye, which is what it asks to do.
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        self._queue_ciphertext()


def _reason(error: Exception) -> str:
    """OpenSSL's own word for it, ``WRONG_VERSION_NUMBER``, in small letters."""
    word = error.reason if isinstance(error, ssl.SSLError) else None
    return word.replace("_", " ").lower() if word else str(error)


Receive = Callable[[socket.socket, memoryview], int]


def find_receive() -> Receive:
    """The one that this system has."""
    try:
        # Of this process itself; its functions are called with the lock held.
        system: Any = ctypes.PyDLL(None, use_errno=True).recv
    except (AttributeError, OSError, TypeError):
        return socket.socket.recv_into
    system.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    system.restype = ctypes.c_ssize_t
    array = ctypes.c_char

    def receive(sock: socket.socket, buffer: memoryview) -> int:
        place = ctypes.addressof(array.from_buffer(buffer))
        size: int = system(sock.fileno(), place, len(buffer), 0)
        if size < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return size

    return receive


receive = find_receive()
