"""A Redis server of one's own, on a free port of this machine, with a fresh folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

MISSING = (
    "redis-server is not installed here: apt-get install redis-server (Debian), or"
    " brew install redis"
)


class RedisServer:
    """One `redis-server` process, without a disk; it can be killed and started again.

    *config* are lines of its configuration file. Its port stays the same.
    """

    def __init__(self, folder: Path, *config: str) -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip(MISSING)
        self._program = found
        self.port = _free_port()
        self._folder = folder
        lines = ["bind 127.0.0.1", f"port {self.port}", 'save ""', "appendonly no"]
        self._file = folder / "redis.conf"
        self._file.write_text("\n".join([*lines, f"dir {folder}", *config]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The URL for ``publish=`` and ``via=``."""
        return f"redis://127.0.0.1:{self.port}/0?name=test"

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._program, str(self._file)], stdout=log, stderr=log
            )
        give_up = time.monotonic() + 10.0
        while time.monotonic() < give_up:
            try:
                if self.call("PING") == b"PONG":
                    return
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise AssertionError((self._folder / "redis.log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill the server: what it held is gone."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
        self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    def call(self, *words: str) -> Any:
        """Do one command over a connection of its own; errors are raised."""
        import hiredis

        parser = hiredis.Reader()
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as sock:
            sock.settimeout(5.0)
            sock.sendall(hiredis.pack_command(words))
            while (reply := parser.gets()) is False:
                if not (data := sock.recv(65536)):
                    raise ConnectionError("Redis closed the connection")
                parser.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply


def _free_port() -> int:
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
        # A cluster listens on the port that is 10,000 higher, too.
        if port < 55_000:
            return port
