"""A synthetic market: made by a seed, moved on by its caller alone. No clock, no I/O.

The same seed and the same calls give the same market. Each instrument is a real order
book on a grid of ticks: orders are placed and cancelled, a taker takes what rests on
the opposite side, best price first, and the book never crosses. An instrument starts
when a client first asks for it, and then goes on for good.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import replace
from typing import Any, Protocol

from ..wire import checks, v3, v5, v5_data
from ..wire.v3 import DEFAULT_FORMAT, V3Format
from ..wire.values import ChannelEncoder, EncodedPush, Topic
from .instrument_market import BOOKS, InstrumentMarket, TopicValue
from .instruments import INSTRUMENTS, AnyInstrument, SyntheticInstrument, as_instruments

# Countdowns are sums of floats: one that is this near to its end, in seconds, is due.
_EPSILON = 1e-9
# At most this many instruments of a market have their turn at once, so that the pushes
# of a large market come without bursts.
_AT_ONCE = 8


class Market(Protocol):
    """What the local exchange runs: a synthetic market or a recorded one."""

    instruments: tuple[tuple[str, str], ...]
    busiest: tuple[str, str]
    protocols: tuple[str, ...]
    # The properties of the instruments; empty if they are not known.
    listed: tuple[SyntheticInstrument, ...]

    @property
    def renamed(self) -> Mapping[str, str]:
        """The old id of each instrument that was renamed, by the new one."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the market is over, so that nothing more will happen."""
        ...

    @property
    def channels(self) -> Collection[str]:
        """The keys of all channels of the market."""
        ...

    def is_book(self, channel: str) -> bool:
        """Whether *channel*, which has to exist, publishes a book by its changes."""
        ...

    def has_sequence(self, channel: str) -> bool:
        """Whether *channel* is a book whose messages have a ``seqId``."""
        ...

    def needs_login(self, channel: str) -> bool:
        """Whether *channel* is only for clients that have logged in."""
        ...

    def present(self, channel: str, wall: float) -> EncodedPush | None:
        """The push that a new subscriber of *channel* gets at once, if any."""
        ...

    def due(self) -> float:
        """Seconds of the market's own time until something can happen next."""
        ...

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> Iterable[EncodedPush]:
        """Move on by *seconds*; yield the pushes of that time on the *wanted* channels.

        The caller has called `present` for each of these channels before. *wall* is the
        time of day for timestamps, in epoch seconds. The market moves while its pushes
        are taken: at each push, `present` gives what was published on that channel so
        far.
        """
        ...


class _ActiveInstrument:
    """An instrument that a client has asked for, and the encoders of its channels.

    An encoder makes pushes of what happens on the instrument, in one protocol's texts.
    """

    def __init__(self, instrument_market: InstrumentMarket) -> None:
        self.instrument_market = instrument_market
        self.encoders: dict[Topic, list[ChannelEncoder]] = {}
        # Whether nothing happens: the instrument is suspended, say.
        self.is_halted = False

    def pushes(
        self, said: Iterable[TopicValue], wanted: Container[str]
    ) -> Iterator[EncodedPush]:
        for topic, value in said:
            for encoder in self.encoders.get(topic, ()):
                if encoder.channel in wanted and (push := encoder.to_push(value)):
                    yield push

    def rename(self, old: str, new: str) -> None:
        """Go on under the id *new*, with what is left of the channels of *old*."""
        for topic, encoders in self.encoders.items():
            v3 = [each for each in encoders if "/" in each.channel]
            v5 = [each for each in encoders if "/" not in each.channel]
            if topic == "trade":
                self.encoders[topic] = [_renamed(each, old, new) for each in v3]
            elif topic == "trades":
                self.encoders[topic] = [_renamed(each, old, new) for each in v5]
            else:
                self.encoders[topic] = v5 if topic in ("depth5", "bbo", *BOOKS) else []


def _traded(found: Iterable[_ActiveInstrument]) -> list[_ActiveInstrument]:
    return [each for each in found if not each.is_halted]


def _renamed(encoder: ChannelEncoder, old: str, new: str) -> ChannelEncoder:
    """*encoder*, whose data has the id *new*, under the channel's own name."""

    def to_push(value: Any) -> EncodedPush | None:
        push = encoder.to_push(value)
        if push is None:
            return None
        head, data, rest = push.text.partition('"data":[')
        for name in ("instId", "instrument_id"):
            rest = rest.replace(f'"{name}":"{old}"', f'"{name}":"{new}"')
        return push.reworded(f"{head}{data}{rest}")

    return encoder._replace(to_push=to_push)


class _RoundRobin:
    """Gives every active instrument one turn in each *period*, a few at a time."""

    def __init__(
        self, instruments_in_turn: list[_ActiveInstrument], period: float, turns: int
    ) -> None:
        self._active_instruments = instruments_in_turn
        self._turns, self._turn = turns, 0
        self.set(period)

    def set(self, period: float) -> None:
        """Restart the countdown, with another *period* in seconds."""
        self._gap = self.left = period / self._turns

    def take(self) -> list[_ActiveInstrument]:
        """The instruments whose turn it is now; none before the countdown ends."""
        if self.left > _EPSILON:
            return []
        self.left = self._gap
        self._turn = (self._turn + 1) % self._turns
        return self._active_instruments[self._turn :: self._turns]


class SyntheticMarket:
    """Several instruments, each with *pace* updates a second, made by a *seed*.

    The same seed and calls give the same market. The best levels are published every
    *interval* seconds if they changed. ``pace = 0`` is a quiet market: nothing is
    traded, and only the clock brings a push (the end of a bar, a funding rate, the
    message that a book is idle). *pace* may be set at any time. With *checksums* the
    books of v5 have a checksum. It has no clock: the exchange's event loop moves it on,
    by `advance`.
    """

    ended = False
    protocols: tuple[str, ...] = ("v3", "v5")

    def __init__(
        self,
        seed: int = 0,
        instruments: Iterable[AnyInstrument] = INSTRUMENTS,
        *,
        pace: float = 20.0,
        interval: float = 0.1,
        v3_format: V3Format = DEFAULT_FORMAT,
        checksums: bool = False,
    ) -> None:
        checks.number("interval", interval, positive=True)
        checks.flag("checksums", checksums)
        self.seed = seed
        self._v3_format = v3_format
        self._checksums = checksums
        self._elapsed = 0.0
        self.renamed: dict[str, str] = {}
        self._list(
            each if each.code is not None else replace(each, code=code)
            for code, each in enumerate(as_instruments(instruments), 1)
        )
        self.busiest = self.instruments[0]
        self._encoders: dict[str, ChannelEncoder] = {}
        self._by_instrument: dict[tuple[str, str], _ActiveInstrument] = {}
        self._active_instruments: list[_ActiveInstrument] = []
        turns = -(-len(self.listed) // _AT_ONCE)
        self._samples = _RoundRobin(self._active_instruments, interval, turns)
        self._steps = _RoundRobin(self._active_instruments, float("inf"), turns)
        self.pace = pace

    @property
    def pace(self) -> float:
        """Updates a second of each instrument."""
        return self._pace

    @pace.setter
    def pace(self, pace: float) -> None:
        checks.number("pace", pace)
        self._pace = pace
        self._steps.set(1.0 / pace if pace else float("inf"))

    # --- The life of its instruments --------------------------------------------------

    def _list(self, listed: Iterable[SyntheticInstrument]) -> None:
        self.listed = tuple(listed)
        self._known = {(each.market, each.instrument_id): each for each in self.listed}
        self._markets = {each.instrument_id: each.market for each in self.listed}
        self.instruments = tuple(self._known)
        self.channels = _Names(self.instruments, lambda name: bool(self._encoder(name)))

    def find(self, instrument_id: str) -> SyntheticInstrument:
        """The instrument of that id; ``ValueError`` if it is not listed."""
        for each in self.listed:
            if each.instrument_id == instrument_id:
                return each
        known = ", ".join(each.instrument_id for each in self.listed[:5])
        raise ValueError(f"no instrument is called {instrument_id!r}, but {known}, ...")

    def change(self, before: SyntheticInstrument, after: SyntheticInstrument) -> None:
        """List *after* in the place of *before*; one that has expired is not listed.

        Nothing happens on its market while its state is not ``'live'``. After another
        id, trades come on the channels of the old id with the new one in them, under v5
        books come as before, and all other channels are silent.
        """
        places = [after if each is before else each for each in self.listed]
        self._list(each for each in places if each.state != "expired")
        old = before.market, before.instrument_id
        active = self._by_instrument.get(old)
        if active is not None:
            active.is_halted = not after.is_traded
        if after.instrument_id == before.instrument_id:
            return
        self.renamed[after.instrument_id] = before.instrument_id
        if self.busiest == old:
            self.busiest = after.market, after.instrument_id
        if active is not None:
            self._by_instrument[after.market, after.instrument_id] = active
            active.rename(before.instrument_id, after.instrument_id)

    def is_book(self, channel: str) -> bool:
        """Whether *channel* publishes a book by its changes."""
        encoder = self._encoder(channel)
        return encoder is not None and encoder.topic in BOOKS

    def has_sequence(self, channel: str) -> bool:
        """Whether *channel* is a book of v5, whose messages have a ``seqId``."""
        return self.is_book(channel) and "/" not in channel

    def needs_login(self, channel: str) -> bool:
        """Whether *channel* is one of v5's tick-by-tick books."""
        return v5.is_gated(channel)

    def present(self, channel: str, wall: float) -> EncodedPush | None:
        """A push of what was last published on *channel*; all clients get the same."""
        encoder = self._encoders.get(channel) or self._open(channel, wall)
        instrument_market = self._by_instrument[
            encoder.market, encoder.instrument_id
        ].instrument_market
        return encoder.to_push(instrument_market.present(encoder.topic, wall))

    def _open(self, channel: str, wall: float) -> ChannelEncoder:
        encoder = self._encoder(channel)
        assert encoder is not None, channel
        active = self._activate((encoder.market, encoder.instrument_id), wall)
        active.encoders.setdefault(encoder.topic, []).append(encoder)
        self._encoders[channel] = encoder
        return encoder

    def instrument_market(
        self, market: str, instrument_id: str, wall: float
    ) -> InstrumentMarket | None:
        """The market of one instrument; ``None`` if it is not traded here."""
        where = market, instrument_id
        return (
            self._activate(where, wall).instrument_market
            if where in self._known
            else None
        )

    def _activate(self, where: tuple[str, str], wall: float) -> _ActiveInstrument:
        if where not in self._by_instrument:
            instrument_market = InstrumentMarket(self._known[where], self.seed, wall)
            self._by_instrument[where] = _ActiveInstrument(instrument_market)
            self._active_instruments.append(self._by_instrument[where])
        return self._by_instrument[where]

    def _encoder(self, channel: str) -> ChannelEncoder | None:
        return self._v3_format.encoder(channel, self._known) or v5_data.encoder(
            channel, self._markets, self._checksums
        )

    def due(self) -> float:
        """Seconds until the next update, or the next check of the best levels."""
        return min(self._steps.left, self._samples.left)

    def advance(
        self, seconds: float, wall: float, wanted: Container[str]
    ) -> Iterator[EncodedPush]:
        """Move on by *seconds*; yield that time's pushes on the *wanted* channels."""
        while (wait := self.due()) <= seconds + _EPSILON:
            seconds -= wait
            self._pass(wait)
            for active in _traded(self._steps.take()):
                yield from active.pushes(
                    active.instrument_market.step(wall, active.encoders), wanted
                )
            for active in _traded(self._samples.take()):
                yield from active.pushes(
                    active.instrument_market.sample(wall, active.encoders), wanted
                )
                idle = active.instrument_market.idle(self._elapsed, wall)
                yield from active.pushes(idle, wanted)
        self._pass(max(0.0, seconds))

    def _pass(self, seconds: float) -> None:
        self._elapsed += seconds
        self._steps.left -= seconds
        self._samples.left -= seconds


class _Names(Collection[str]):
    """The keys of all channels of all instruments, under both protocols.

    They are not stored: each is made, or checked, when it is asked for.
    """

    def __init__(
        self, instruments: Collection[tuple[str, str]], known: Callable[[str], bool]
    ) -> None:
        self._instruments = instruments
        self._known = known

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._known(name)

    def __iter__(self) -> Iterator[str]:
        for market, instrument_id in self._instruments:
            yield from v3.names(market, instrument_id)
            yield from v5_data.names(market, instrument_id)

    def __len__(self) -> int:
        return sum(1 for _ in self)
