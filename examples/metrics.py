"""What a feed counts, for Prometheus: http://127.0.0.1:9464/metrics until Ctrl-C.

    python examples/metrics.py [--local] BTC-USDT ETH-USDT    of OKX, or on this machine

It needs no further package. A program that exports with prometheus_client already (pip
install prometheus-client) calls REGISTRY.register(Collector(feed)) instead.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from wsgiref.simple_server import make_server

from okex_ws import Feed, State, Venue, WSSubscription


class Collector:
    """The health and the counts of *feed* as metrics, read at each scrape."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def read(self) -> Iterator[tuple[str, str, str, Mapping[str, float]]]:
        """Yield each metric's name, type, label and values; ``''`` means no label."""
        books = [s for s in self.feed.subscriptions if isinstance(s, WSSubscription)]
        health = {book.instrument_id: book.health() for book in books}
        live = {name: float(one.state is State.LIVE) for name, one in health.items()}
        yield "okex_ws_live", "gauge", "instrument", live  # 0 is worth an alert
        age = {name: one.age for name, one in health.items()}
        yield "okex_ws_age_seconds", "gauge", "instrument", age
        for field, count in asdict(self.feed.stats()).items():
            if isinstance(count, (int, dict)):
                by_kind = count if isinstance(count, dict) else {"": count}
                yield f"okex_ws_{field}_total", "counter", "kind", by_kind

    def collect(self) -> Iterator[object]:
        """Yield the metrics for prometheus_client, whose registry calls this."""
        from prometheus_client import Metric

        for name, kind, label, values in self.read():
            metric = Metric(name.removesuffix("_total"), "See okex_ws.Stats.", kind)
            for key, value in values.items():
                metric.add_sample(name, {label: key}, value)
            yield metric

    def answer(self, _: object, start: Callable[..., object]) -> Iterator[bytes]:
        """The same metrics without prometheus_client, as a WSGI application."""
        start("200 OK", [("Content-Type", "text/plain; version=0.0.4")])
        for name, kind, label, values in self.read():
            yield f"# TYPE {name} {kind}\n".encode()
            for key, value in values.items():
                yield f'{name}{{{label}="{key}"}} {value}\n'.encode()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="What a feed counts, for Prometheus.")
    parser.add_argument("ids", nargs="*", default=["BTC-USDT"], metavar="ID")
    parser.add_argument("--port", type=int, default=9464, help="default: %(default)s")
    parser.add_argument("--local", action="store_true", help="on this machine")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        venue: str | Venue = "okx"
        if options.local:
            from okex_ws.local_exchange import LocalExchange

            venue = stack.enter_context(LocalExchange(instruments=options.ids)).venue_v5
        feed = stack.enter_context(Feed(venue))
        for name in options.ids:
            WSSubscription(name, feed=feed)
        with make_server("127.0.0.1", options.port, Collector(feed).answer) as server:
            print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    main()
