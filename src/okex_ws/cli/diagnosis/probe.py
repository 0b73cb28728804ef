"""Checks of what an endpoint sends, made with a subscription of the library itself."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time

from ... import (
    BookUpdate,
    ConnectionLost,
    Feed,
    HandshakeFailed,
    OkexWSError,
    Stalled,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from ..arguments import Destination
from ..reading import whole_book
from ..text import milliseconds, seconds
from .checks import CheckFailed, Finding, Grade

# Messages of a whole book that are checked; a quiet market sends fewer in the time.
MESSAGES = 20
_PATIENCE = 15.0
_SLOW_PING = 1.0
# A login is refused when the clocks are 30 s apart (v5 documentation, "Login").
_CLOCKS_APART, _LOGIN_LIMIT = 2.0, 30.0
_TICK = 0.2
_PROOFS = {"v3": "checksum", "v5": "sequence"}


class Probe:
    """Checks what one endpoint of a venue sends, by subscriptions of one instrument.

    It shows whether the library gets prices there, and why not. Each step returns a
    `Finding`, or raises `CheckFailed`; each needs the one before it. The main thread
    calls the steps, which wait for seconds, and calls `close` at the end. The library
    retries for ever, so the first error that ends a check closes the feed.
    """

    def __init__(
        self, where: Destination, endpoint: str, instrument_id: str, market: str
    ) -> None:
        self._venue = where.venue
        if where.via is None:
            self._venue = dataclasses.replace(where.venue, endpoints=(endpoint,))
        self._name, self._market = instrument_id, market
        self._keywords = where.keywords
        self._feed: Feed | None = None
        self._error: Exception | None = None
        self._connected_at = 0.0
        self._book: WSSubscription | None = None
        # The smallest delay of a push behind its own timestamp, in seconds.
        self._delay = math.inf

    def close(self) -> None:
        """Close the feed and its connection."""
        if self._feed is not None:
            self._feed.close()

    # --- The steps ------------------------------------------------------------------

    def subscribe(self) -> Finding:
        """Subscribe to trades; report how long the acknowledgement took."""
        # The exchange limits connections a second, and `Reach` has opened one just now.
        time.sleep(self._venue.host_gap)
        self._feed = Feed(self._venue, **self._keywords)
        self._live("trade")
        took = time.monotonic() - self._connected_at
        return Finding(f"acknowledged {milliseconds(took)} after the connection")

    def snapshot(self) -> Finding:
        """Subscribe to the whole book; report how many levels its snapshot has."""
        self._book = self._live(whole_book(self._name, self._market))
        # A live subscription has a book, unless it was withdrawn since.
        book = self._book.book
        rows = f"{len(book.bids)} bids, {len(book.asks)} asks" if book else "gone again"
        return Finding(f"{self._name}: {rows}")

    def prove(self) -> Finding:
        """Take `MESSAGES` messages of the book, each proven to follow the last."""
        assert self._book is not None
        proof = _PROOFS[self._venue.protocol]
        began, count = time.monotonic(), 0
        updates = self._book.updates(latest=False, timeout=_TICK)
        while count < MESSAGES and time.monotonic() - began < _PATIENCE:
            try:
                item = next(updates)
            except TimeoutError:
                continue
            except (StopIteration, OkexWSError) as error:
                raise self._bad(error) from error
            if isinstance(item, BookUpdate):
                count += 1
                delay = (item.received - item.timestamp).total_seconds()
                self._delay = min(delay, self._delay)
        resyncs = self._book.stats().resyncs
        took = seconds(time.monotonic() - began)
        said = f"{count} messages in {took}, each proven by its {proof}"
        if resyncs:
            broken = f"{resyncs} times the book failed its proof and was asked for anew"
            return Finding(f"{said}; {broken}", Grade.WARN, "messages are lost there")
        if count < MESSAGES:
            return Finding(said, Grade.WARN, "a quiet market, or a slow exchange")
        return Finding(said)

    def ping(self) -> Finding:
        """Report how long the exchange takes to answer a ping."""
        assert self._feed is not None
        found = None
        for _ in itertools.repeat(None, int(_PATIENCE / _TICK)):
            found = self._feed.stats().ping_round_trip
            if found is not None:
                break
            time.sleep(_TICK)
        if found is None:
            raise CheckFailed(
                "no pong", "the exchange does not answer: data may be stuck"
            )
        said = f"{milliseconds(found)} round trip"
        if found > _SLOW_PING:
            return Finding(said, Grade.WARN, "the line is slow, or there is a backlog")
        return Finding(said)

    def clock(self, ahead: float | None) -> Finding:
        """Report how far this machine's clock is from the exchange's.

        *ahead* is how many seconds it is ahead by the handshake's ``Date``. The header
        has whole seconds, so *ahead* may be wrong by half a second and the way here.
        """
        words = []
        if ahead is not None and abs(ahead) <= 1.0:
            words.append("this machine is within 1 s of the Date header")
        elif ahead is not None:
            side = "ahead" if ahead >= 0 else "behind"
            words.append(
                f"this machine is {abs(ahead):.0f} s {side} by the Date header, within"
                " 1 s"
            )
        late = 0.0
        if math.isfinite(self._delay):
            late = self._delay
            words.append(f"books come {late * 1e3:.0f} ms after their timestamp")
        said = "; ".join(words) or "the exchange does not tell its time"
        apart = max(abs(ahead or 0.0) - 0.5, abs(late))
        if apart <= _CLOCKS_APART:
            return Finding(said)
        advice = "set this machine's clock (NTP)"
        if apart > _LOGIN_LIMIT:
            advice += ": a login with this clock would be refused"
        return Finding(said, Grade.WARN, advice)

    # --- How ------------------------------------------------------------------------

    def _live(self, channel: str) -> WSSubscription:
        """Subscribe to *channel*; return the subscription once it is live."""
        assert self._feed is not None
        one = WSSubscription(
            self._name,
            self._market,
            feed=self._feed,
            channels=[channel],
            on_error=self._note_error,
            on_state=self._note_state,
        )
        try:
            one.wait_live(_PATIENCE)
        except (OkexWSError, TimeoutError) as error:
            raise self._bad(error) from error
        return one

    def _note_state(self, change: StateChange) -> None:
        if change.new is State.SYNCING and not self._connected_at:
            self._connected_at = time.monotonic()

    def _note_error(self, error: Exception) -> None:
        """Keep the first error that ends the check, and close the feed.

        The library itself would try again for ever.
        """
        fatal = (ConnectionLost, HandshakeFailed, Stalled, SubscriptionRejected)
        if self._error is None and isinstance(error, fatal) and self._feed is not None:
            self._error = error
            self._feed.close()

    def _bad(self, error: BaseException) -> CheckFailed:
        why = self._error or error
        if isinstance(why, SubscriptionRejected):
            advice = f"does {self._name} exist there? see --instrument"
        else:
            advice = "it was reached just now: try again, and look for what is between"
        return CheckFailed(str(why), advice)
