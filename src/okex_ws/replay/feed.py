"""`ReplayFeed`: the feed of a replay, which knows what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..base.checks import names_keywords, nearest
from ..client.feed import Feed
from ..client.subscription import SubscriptionOptions, WSSubscription
from ..model.venues import Venue
from .requests import Recorded, describe

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ReplayFeed(Feed):
    """The `Feed` of a replay: its connections are those of the recording.

    It differs from a `Feed` in one thing: `subscribe` takes the channels that were
    recorded of an instrument, unless the script names others. `Replay.feed` makes it,
    *recorded* is `Replay.instruments`; any thread may call it.
    """

    def __init__(
        self, venue: Venue, recorded: Sequence[Recorded], **keywords: Any
    ) -> None:
        super().__init__(venue, **keywords)
        self._recorded = tuple(recorded)

    @names_keywords(SubscriptionOptions)
    def subscribe(
        self,
        instrument_ids: Iterable[str],
        market: str | None = None,
        channels: Iterable[str] | None = None,
        **keywords: Unpack[SubscriptionOptions],
    ) -> tuple[WSSubscription, ...]:
        """Make one `WSSubscription` an instrument, all or none, as `Feed.subscribe`.

        With *channels* ``None`` each has the channels that were recorded of it, and the
        market that was, if *market* is ``None``, too. A channel that was not recorded
        is refused as the exchange would: the subscription becomes ``FAILED``, and its
        error lists the channels that were recorded.

        Raises:
            ValueError: nothing was recorded of an instrument, or something in several
                markets, and *channels* is ``None``; else as `Feed.subscribe`.
        """
        if (
            channels is not None
            or isinstance(instrument_ids, str)
            or not isinstance(instrument_ids, Iterable)
        ):
            named = ("depth5", "trade") if channels is None else channels
            return super().subscribe(instrument_ids, market, named, **keywords)
        found = [self._find(name, market) for name in instrument_ids]
        made: list[WSSubscription] = []
        try:
            for where, name, topics in found:
                made += super().subscribe([name], where, topics, **keywords)
        except BaseException:
            for one in made:
                one.close()
            raise
        return tuple(made)

    def _find(self, name: str, market: str | None) -> Recorded:
        """What was recorded of the instrument; ``ValueError`` if that is not one."""
        found = [
            each
            for each in self._recorded
            if each[1] == name and market in (None, each[0])
        ]
        if len(found) == 1:
            return found[0]
        if found:
            markets = ", ".join(repr(each[0]) for each in found)
            raise ValueError(f"{name!r} was recorded in several markets: {markets}")
        names = [each[1] for each in self._recorded]
        where = "" if market is None else f" in market {market!r:.40}"
        raise ValueError(
            f"{name!r:.80}{where} is not recorded{nearest(str(name), names)};"
            f" recorded are {describe(self._recorded) or 'no instruments'}"
        )
