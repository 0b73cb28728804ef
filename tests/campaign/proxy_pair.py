"""Two proxies before one exchange; new connections go through one of them.

So a fault can end the connections from before a moment, and spare those since.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.faulty_proxy import Proxy


class ProxyPair:
    """Two proxies to *target_port*; every fault strikes both."""

    def __init__(self, target_port: int) -> None:
        self._both = [Proxy(target_port)]
        try:
            self._both.append(Proxy(target_port))
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """Where who comes is to come to."""
        return self._both[0].port

    @property
    def passed(self) -> int:
        """Bytes that were handed to clients."""
        return sum(proxy.passed for proxy in self._both)

    def turn(self) -> Proxy:
        """Have who comes take the other one; the one that was taken until now."""
        self._both.reverse()
        return self._both[1]

    def heal(self) -> None:
        """See `Proxy`, as of all these."""
        for proxy in self._both:
            proxy.heal()

    def stall(self) -> None:
        """Move nothing, either way."""
        for proxy in self._both:
            proxy.stall()

    def throttle(self, bytes_per_second: float) -> None:
        """Let only so many bytes a second through."""
        for proxy in self._both:
            proxy.throttle(bytes_per_second)

    def cut(self, sizes: Iterable[int]) -> None:
        """Hand out segments of these sizes."""
        sizes = [*sizes]
        for proxy in self._both:
            proxy.cut(sizes)

    def inject(self, garbage: bytes) -> None:
        """Send *garbage* to every client."""
        for proxy in self._both:
            proxy.inject(garbage)

    def reset(self) -> None:
        """End every connection with a RST."""
        for proxy in self._both:
            proxy.reset()

    def close(self) -> None:
        """Close both."""
        for proxy in self._both:
            proxy.close()
