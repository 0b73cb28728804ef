"""A byte stream over a non-blocking socket, with TLS on top of it.

TLS works on buffers in memory and never reads the socket itself. All decrypted bytes
are therefore taken at once; `poll` on the socket could not tell of bytes that are
already inside a TLS object.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from ..base.clock import Clock
from ..base.errors import ConnectionLost, HandshakeFailed
from ..base.state import CauseCode
from ..base.threads import heed_fork
from .dial import Pause, sentence
from .machine import remedy, system_context
from .proxy import is_this_machine

try:
    import ctypes
except ImportError:  # a Python that was built without libffi
    ctypes = None  # type: ignore[assignment]

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
# One `fill` takes at most 256 KiB off the socket, so that a call has bounded work.
_CHUNK = 1 << 16
_CHUNKS = 4
# After a `fill` of at least so many bytes there are usually more, and the next `fill`
# comes without a poll before it.
_STREAMING = 1 << 13
# The most output that waits. A request has about 100 bytes: a peer that leaves 1 MiB
# unread is dead.
MAX_OUTPUT = 1 << 20


class TcpStream:
    """The `stream.Stream` of a real, non-blocking socket; `start_tls` adds TLS.

    Only the thread that owns its `TcpNetwork` uses it. Reading and sending never block;
    in the handshakes the thread waits with *pause*, a `dial.Pause`. When the peer ends
    the stream, or TLS fails, `fill` first gives the bytes that came before, and then
    raises `ConnectionLost`. `send` raises it if the peer takes no data: at most 1 MiB
    of output waits. *endpoint* is the URL for errors. *via* is put before the reason of
    an error: the proxy that is in between, if any.
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
        # Frames may have come with the end of the handshake: the first wait returns at
        # once.
        self.ready = True
        self._socket = sock
        self._monotonic = clock.monotonic
        self._endpoint = endpoint
        self.via = via
        self._pause = pause
        # The kernel and TLS write into this buffer. It is made once and used again.
        self._buffer = memoryview(bytearray(_CHUNK))
        # How `fill` receives: first after a wait, and while bytes keep coming.
        self._receive_first = receive_into(sock, self._buffer)
        self._receive_more = receive(sock, self._buffer)
        self._output = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._from_peer = ssl.MemoryBIO()
        self._to_peer = ssl.MemoryBIO()
        self._end: ConnectionLost | None = None

    @property
    def blocked(self) -> bool:
        """Whether output is queued that the kernel has not taken yet."""
        return bool(self._output)

    @property
    def most_unread(self) -> int:
        """At most so many bytes can have come that `fill` has not moved yet."""
        try:
            # The kernel counts its own overhead, too.
            return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        except OSError:
            return 0

    @property
    def is_local(self) -> bool:
        """Whether the peer is this machine, with no proxy between."""
        try:
            return not self.via and is_this_machine(self._socket.getpeername()[0])
        except OSError:
            return False

    def start_tls(self, context: ssl.SSLContext | None, host: str) -> None:
        """Do the TLS handshake with *context*, or with the system's trust store.

        Raises:
            HandshakeFailed: the certificate was refused, or TLS failed.
            ConnectionLost: the connection ended before, or a file that the environment
                names for TLS cannot be used.
        """
        used = context or system_context(self._endpoint)
        try:
            tls = used.wrap_bio(self._from_peer, self._to_peer, server_hostname=host)
            # Bytes that came behind a proxy's answer are the first ones of TLS.
            while not self._shake_hands(tls):
                self._pause_for("TLS handshake")
                self.fill()
        except ssl.SSLCertVerificationError as error:
            reason = f"{self.via}certificate refused: {error.verify_message}"
            raise HandshakeFailed(
                self._endpoint,
                reason,
                advice=remedy(error, used, given=context is not None),
                cause_code=CauseCode.CERTIFICATE,
            ) from error
        except (ssl.SSLError, ValueError) as error:
            reason = f"{self.via}TLS handshake failed: {_reason(error)}"
            code = CauseCode.TLS
            plain = getattr(error, "reason", "") in _NO_TLS
            advice = _PLAIN if plain else ""
            raise HandshakeFailed(
                self._endpoint, reason, advice=advice, cause_code=code
            ) from error
        # The first bytes behind the handshake may have come with it.
        self._tls, self.ready = tls, True

    def _shake_hands(self, tls: ssl.SSLObject) -> bool:
        self._from_peer.write(self.received)
        self.received.clear()
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            # Also after a failure: TLS sends the peer an alert that names the reason.
            self._queue_ciphertext()
            self.flush()
        return True

    def fill(self) -> int:
        """Move the bytes that are there into `received`; return how many. Never blocks.

        It raises `ConnectionLost` at the end, after all bytes before it were moved.
        """
        # The hot path, so all in one function, as far as there is no trouble.
        # A wait has let other threads have the interpreter's lock. So the standard
        # library's call may release it once more, and costs less: see `find_receive`.
        receive = self._receive_more if self.ready else self._receive_first
        self.ready = False
        received, buffer, tls = self.received, self._buffer, self._tls
        before, size, chunks = len(received), _CHUNK, 0
        try:
            while size == _CHUNK and chunks < _CHUNKS and self._end is None:
                size, chunks = receive(), chunks + 1
                receive = self._receive_more
                if size <= 0:
                    self._nothing_came(size)
                    break
                self.heard = self._monotonic()
                if tls is None:
                    received += buffer[:size]
                else:
                    self._from_peer.write(buffer[:size])
        except OSError as error:
            self._failed(error)
        try:
            # A read takes a whole record, so that no decrypted byte stays inside.
            # Asking for such bytes (`SSLObject.pending`) would release the
            # interpreter's lock once more.
            while tls is not None and self._from_peer.pending:
                # Reads into the buffer, returns the size: typeshed lacks this form.
                size = tls.read(_CHUNK, buffer)  # type: ignore[assignment]
                if not size:
                    self._stop("the peer closed the TLS session", None)
                    break
                received += buffer[:size]
        except OSError as error:
            self._failed(error)
        if tls is not None and (self._to_peer.pending or self._output):
            # Output of TLS itself, such as key updates and alerts.
            self._queue_ciphertext()
            self.flush()
        count = len(received) - before
        if self._end is not None or count >= _STREAMING:
            return self._goes_on(count)
        return count

    def _nothing_came(self, size: int) -> None:
        """The system gave no bytes: the stream has ended, or nothing has come."""
        if size:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._stop("the peer closed the connection", None)

    def _failed(self, error: OSError) -> None:
        """Store the end of the stream, unless *error* says that nothing more came."""
        if isinstance(error, ssl.SSLError):
            if not isinstance(error, ssl.SSLWantReadError):
                self._stop(f"TLS failed: {_reason(error)}", error, CauseCode.TLS)
        elif not isinstance(error, BlockingIOError | InterruptedError):
            self._stop(sentence(error), error)

    def _goes_on(self, count: int) -> int:
        """*count*; the next `fill` comes without a wait before it."""
        if self._end is not None and not count:
            raise self._end
        # A poll would return at once. It would also release the interpreter's lock for
        # less time than another thread needs to wake up and take it. Woken in vain
        # again and again, that thread would never wait for the 5 ms after which it may
        # demand the lock.
        self.ready = True
        return count

    def _queue_ciphertext(self) -> None:
        if self._to_peer.pending:
            self._output += self._to_peer.read()
        if len(self._output) > 2 * MAX_OUTPUT:
            # Only TLS itself queues so much: the peer floods it with key updates.
            self._output.clear()
            self._stop("the peer takes no data any more", None)

    def _stop(
        self,
        reason: str,
        cause: Exception | None,
        code: CauseCode = CauseCode.NETWORK,
    ) -> None:
        """Store the end of the stream, unless there is one. `fill` raises it later."""
        if self._end is None:
            reason = f"{self.via}{reason}"
            self._end = ConnectionLost(self._endpoint, reason, cause_code=code)
            self._end.__cause__ = cause
            self.ready = True

    def _pause_for(self, missing: str) -> None:
        events = _READ | _WRITE if self._output else _READ
        self._pause(missing, {self.fileno(): events})

    def recv(
        self, size: int, missing: str = "answer to the WebSocket handshake"
    ) -> bytes:
        """Wait for 1 to *size* bytes, under the deadline of the handshake.

        *missing* is the answer that is waited for, for the sentence of an error.
        """
        while not self.received and not self.fill():
            self._pause_for(missing)
            self.flush()
        data = bytes(self.received[:size])
        del self.received[:size]
        self.ready = True
        return data

    def send(self, data: bytes) -> int:
        """Queue *data* and flush; return its length.

        Raises:
            ConnectionLost: the stream has ended, or more than 1 MiB would be queued.
        """
        heed_fork()
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
                self._stop(f"TLS failed: {_reason(error)}", error, CauseCode.TLS)
            self._queue_ciphertext()
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send queued output, as much of it as the kernel takes. Never blocks."""
        while self._output:
            try:
                sent = self._socket.send(self._output)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # `fill` finds the end, after the bytes that the peer sent before it.
                self._output.clear()
                return
            del self._output[:sent]

    def close(self) -> None:
        """End TLS and TCP properly, as far as that needs no waiting, and close."""
        if self.fileno() < 0:
            return
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                self._say_goodbye(self._tls)
            self.flush()
            self._socket.shutdown(socket.SHUT_WR)
        self.discard()

    def discard(self) -> None:
        """Close the descriptor and send nothing to the peer."""
        self._socket.close()
        self._stop("the connection is closed", None, CauseCode.CLOSED)

    def fileno(self) -> int:
        """The socket's descriptor, or -1 once it is closed."""
        return self._socket.fileno()

    def _say_goodbye(self, tls: ssl.SSLObject) -> None:
        # `unwrap` asks to wait for the peer's own close, by SSLWantReadError: ignored.
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        self._queue_ciphertext()


# OpenSSL's names of what it is told by a peer that speaks something else than TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_PLAIN = (
    "what answers there does not speak TLS, as a plain web server or a proxy: look at"
    " the URL, its port, and at the proxy"
)


def _reason(error: Exception) -> str:
    """OpenSSL's name of an error, ``WRONG_VERSION_NUMBER``, as lower-case words."""
    word = error.reason if isinstance(error, ssl.SSLError) else None
    return word.replace("_", " ").lower() if word else str(error)


# Makes, of a socket and a buffer, what receives from the one into the other: it returns
# the number of bytes. If that is negative, ctypes has the number of the system's error;
# or the error is raised.
Receive = Callable[[socket.socket, memoryview], Callable[[], int]]


def receive_into(sock: socket.socket, buffer: memoryview) -> Callable[[], int]:
    """The standard library's way."""
    return partial(sock.recv_into, buffer)


def find_receive() -> Receive:
    """How a stream receives.

    While bytes keep coming, no wait lets another thread have the interpreter's lock,
    and to release it for a moment would wake that thread in vain. So it is the system's
    `recv`, called by ctypes without releasing the lock. Where ctypes is missing or
    cannot call it, it is the socket's own `recv_into`.
    """
    try:
        # `recv` of this process itself. PyDLL keeps the interpreter's lock in a call.
        system: Any = ctypes.PyDLL(None, use_errno=True).recv
    except (AttributeError, OSError, TypeError):
        return receive_into
    system.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    system.restype = ctypes.c_ssize_t

    def receive(sock: socket.socket, buffer: memoryview) -> Callable[[], int]:
        # Converted once. A stream calls this no more once it has closed its socket,
        # whose number another file may get.
        room = len(buffer)
        place = (ctypes.c_char * room).from_buffer(buffer)
        number, size, flags = ctypes.c_int(sock.fileno()), ctypes.c_size_t(room), 0
        return partial(system, number, place, size, ctypes.c_int(flags))

    return receive


receive = find_receive()
