"""A price over HTTP: 200 with the price or 503 with the cause, and a stream of both.

    pip install aiohttp                            this example alone needs it
    python examples/service.py                     BTC-USDT of OKX, on port 8080
    python examples/service.py ETH-USDT --port 80  your own
    python examples/service.py --local             on an exchange on this machine

    curl -i http://127.0.0.1:8080/price            once
    curl -N http://127.0.0.1:8080/stream           each change, as server-sent events

All clients share one subscription, on one event loop. Ctrl-C ends the program.
"""

import argparse
import json
from contextlib import ExitStack

from aiohttp import web

from okex_ws import Cause, Depth, NotLive, State, StateChange, Venue, WSSubscription


def price(depth: Depth) -> dict[str, str | None]:
    """The best prices, in the exchange's own characters; ``None`` for an empty side."""
    bid, ask = (side[0][0] if side else None for side in (depth.bids, depth.asks))
    return {"bid": bid, "ask": ask}


def no_price(cause: Cause) -> dict[str, str | None]:
    """What a client is told in place of a price."""
    return {"code": cause.code, "cause": str(cause)}


def event(said: dict[str, str | None]) -> bytes:
    """*said* as a server-sent event."""
    return f"data: {json.dumps(said)}\n\n".encode()


class Service:
    """Serves what *okx* knows to any number of clients."""

    def __init__(self, okx: WSSubscription) -> None:
        self.okx = okx

    async def price(self, _: web.Request) -> web.Response:
        """Answer with the price of this moment; a read never waits."""
        try:
            return web.json_response(price(self.okx.depth()))
        except NotLive as error:
            return web.json_response(no_price(error.cause), status=503)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send a client each news; one that reads slowly gets the newest price."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        items = self.okx.updates()  # it begins with the present price, if there is one
        if cause := self.okx.health().cause:
            await response.write(event(no_price(cause)))
        async for item in items:
            if isinstance(item, Depth):
                await response.write(event(price(item)))
            elif isinstance(item, StateChange) and item.new is not State.LIVE:
                await response.write(event(no_price(item.cause)))
        return response

    async def close(self, _: web.Application) -> None:
        """Close the subscription, which ends the streams too."""
        await self.okx.aclose()

    def application(self) -> web.Application:
        """The routes, for ``web.run_app``."""
        app = web.Application()
        app.add_routes([web.get("/price", self.price), web.get("/stream", self.stream)])
        app.on_shutdown.append(self.close)
        return app


def main() -> None:
    """Serve on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A price service.")
    parser.add_argument("id", nargs="?", default="BTC-USDT", help="default: BTC-USDT")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080")
    parser.add_argument("--local", action="store_true", help="on this machine")
    options = parser.parse_args()
    with ExitStack() as stack:
        venue: str | Venue = "okx"
        if options.local:
            from okex_ws.local_exchange import LocalExchange

            exchange = LocalExchange(instruments=[options.id])
            venue = stack.enter_context(exchange).venue_v5
        okx = WSSubscription(options.id, venue=venue, channels=["depth5"])
        app = Service(stack.enter_context(okx)).application()
        web.run_app(app, host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
