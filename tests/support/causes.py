"""Causes for tests of what passes them on."""

from __future__ import annotations

from dataclasses import replace

from okex_ws import Cause, CauseCode, Gap


def because(
    text: str,
    code: CauseCode = CauseCode.INTERNAL,
    instrument_id: str = "",
    channel: str = "",
) -> Cause:
    """The cause that has *text* as its sentence; without one it is none."""
    if not text:
        return Cause()
    return Cause(code, text, "", instrument_id, channel)


def gap_for(
    topic: str,
    after: str | None,
    before: str | None,
    cause: Cause,
    instrument_id: str,
) -> Gap:
    """The gap that a channel reports for *cause*, which then names the channel."""
    cause = replace(cause, instrument_id=instrument_id, channel=topic)
    return Gap(topic, after, before, cause, instrument_id)
