"""The library itself, as a user has it: a `WSSubscription` with its defaults."""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Callable

import okex_ws
from okex_ws import Venue, WSSubscription
from okex_ws.pool.connection import Connection
from tests.benchmarks.contestant import Spec, Threaded
from tests.support.internals import wrap_connection_threads


class Ours(Threaded):
    """``GetDepth()`` alone, or with an ``on_message`` that does next to nothing.

    The defaults follow trades beside the depth; the server has none.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.options = dict(spec.options)
        self.calls = 0

    def start(self) -> None:
        """Subscribe. TLS is verified as by default: by the system's trust store."""
        spec, options = self.spec, self.options
        told = options.pop("on_message", False)
        if profile := options.pop("profile", False):
            self._profile(profile)
        if spec.channel == "books":
            options["channels"] = ["books"]
        venue = Venue("bench", spec.protocol, (spec.url,))
        callback = self._on_message if told or self.note else None
        self._subscription = WSSubscription(
            spec.instrument_id, spec.market, callback, venue=venue, **options
        )
        self.read = self._subscription.GetDepth  # type: ignore[method-assign]

    def _on_message(self, text: str) -> None:
        self.calls += 1
        if self.note is not None:
            self.note()

    def count(self) -> int:
        """As the library counts them."""
        return self._subscription.stats().messages

    def close(self) -> None:
        """End the connection, and its thread."""
        self._subscription.close()

    def _profile(self, lines: int) -> None:
        """Have the hot spots of the connection's thread on stderr at its end."""
        profiler = cProfile.Profile()

        def profiled(run: Callable[[Connection], None], connection: Connection) -> None:
            profiler.runcall(run, connection)
            stats = pstats.Stats(profiler, stream=sys.stderr)
            stats.sort_stats("tottime").print_stats(lines)

        wrap_connection_threads(profiled)


def version() -> str:
    """Of the library."""
    return okex_ws.__version__
