"""An account's private channels: its balance, and what becomes of its orders.

    export OKX_API_KEY=... OKX_SECRET_KEY=... OKX_PASSPHRASE=...
    python examples/private.py                          on OKX
    python examples/private.py --venue okx-eea          where the key was made
    python examples/private.py --local                  a made-up account, made-up key
    python examples/private.py --wrong-key              the same, and it is refused

The key needs only the right to read. The program never shows the key and places no
order. After a lost connection the library logs in again, and the program says that
pushes may be missing. It ends when the exchange refuses the key or the channels, or
with Ctrl-C.
"""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

from okex_ws import (
    VENUES,
    Credentials,
    Data,
    Feed,
    Gap,
    Item,
    OkexWSError,
    RawSubscription,
    StateChange,
    Venue,
)

CHANNELS = ({"channel": "account"}, {"channel": "orders", "instType": "ANY"})
# The fields of a push that are shown, if it has them.
FIELDS = ("totalEq", "instId", "ordId", "side", "px", "sz", "accFillSz", "state")


def lines(items: Iterable[Item]) -> Iterator[str]:
    """Yield the lines for *items*; the error at the end replaces the final state."""
    for item in items:
        if isinstance(item, StateChange) and not item.new.final:
            yield f"{item.new} {item.cause}".rstrip()
        elif isinstance(item, Gap):
            # An order may have been filled meanwhile, and only REST knows.
            yield f"GAP {item.cause}: ask the exchange how your orders stand"
        elif isinstance(item, Data):
            channel = item.channel.partition(":")[0]
            for element in item.elements:
                shown = [f"{key} {element[key]}" for key in FIELDS if element.get(key)]
                yield f"{channel} {', '.join(shown)}"


def main() -> int:
    """Run the program; return the exit code, 1 if the key or a channel was refused."""
    command = argparse.ArgumentParser(description="An account's balance and orders.")
    names = [name for name, venue in VENUES.items() if venue.protocol == "v5"]
    add = command.add_argument
    add("--venue", choices=names, default="okx", help="default: %(default)s")
    add("--local", action="store_true", help="run an exchange on this machine")
    add("--wrong-key", action="store_true", help="--local, and have its key refused")
    options = command.parse_args()
    # The program shows each warning as a state, or as the error at the end.
    logging.getLogger("okex_ws").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        try:
            venue: str | Venue = options.venue
            if options.local or options.wrong_key:
                venue, credentials = local(stack)
            else:
                credentials = Credentials.from_env()
            if options.wrong_key:
                wrong = f"{credentials.passphrase}?"
                credentials = replace(credentials, passphrase=wrong)
            feed = stack.enter_context(Feed(venue, credentials=credentials))
        except (ImportError, ValueError) as error:
            command.error(str(error))
        try:
            for line in lines(RawSubscription(CHANNELS, feed=feed).updates()):
                print(line, flush=True)
        except OkexWSError as error:  # LoginRejected, for one
            print(error, file=sys.stderr)
            return 1
    return 0


def local(stack: ExitStack) -> tuple[Venue, Credentials]:
    """Start an exchange, which *stack* closes; return its venue and a key."""
    from okex_ws.local_exchange import LocalExchange

    exchange = stack.enter_context(LocalExchange())
    return exchange.venue_v5, exchange.credentials[0]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
