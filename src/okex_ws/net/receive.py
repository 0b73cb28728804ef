"""What a socket has, taken without giving the interpreter away.

Every read of the standard library releases the interpreter's lock, and a thread that
computes takes it: it gives it back after its switch interval, 5 ms, for each read. A
socket that never blocks needs no such courtesy. Where the system's own `recv` cannot be
called so (Windows), the standard library's is.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from typing import Any

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
