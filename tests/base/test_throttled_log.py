"""What is said of an outage, and how often."""

from __future__ import annotations

import logging

import pytest

from okex_ws.base.errors import ConnectionLost, OkexWSError, Stalled
from okex_ws.base.throttled_log import LogThrottle, OutageLog

URL = "wss://localhost/ws/v3"
REFUSED = ConnectionLost(URL, "refused")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "okex_ws")
    return caplog


def levels(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in said.records]


def test_a_kind_of_thing_is_said_once_a_minute() -> None:
    once = LogThrottle()
    moments = [0.0, 0.1, 59.9, 60.0, 119.9, 120.0]
    assert [once.allows("json", now) for now in moments] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_each_kind_has_its_own_minute() -> None:
    once = LogThrottle()
    assert once.allows("json", 0.0)
    assert once.allows("inflate", 1.0)
    assert not once.allows("json", 2.0)


def test_the_first_thing_ever_may_be_said_on_a_clock_that_just_began() -> None:
    assert LogThrottle().allows("json", 0.0)


def test_a_loss_is_warned_of_at_once_and_then_once_a_minute(
    said: pytest.LogCaptureFixture,
) -> None:
    outage = OutageLog()
    for now in (100.0, 101.0, 159.9, 160.0, 161.0, 220.0):
        outage.log_loss(URL, REFUSED, now)
    assert levels(said) == [
        "WARNING",
        "DEBUG",
        "DEBUG",
        "WARNING",
        "DEBUG",
        "WARNING",
    ]
    texts = [record.getMessage() for record in said.records]
    assert texts[0] == f"{URL}: refused; trying again"
    assert texts[3] == f"4 failures in 60 s, the last one: {URL}: refused"
    assert texts[5] == f"6 failures in 120 s, the last one: {URL}: refused"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (REFUSED, f"{URL}: refused"),
        (Stalled("no pong came", 10), f"{URL}: no pong came within 10 s"),
    ],
)
def test_the_endpoint_is_named_once(
    said: pytest.LogCaptureFixture, error: OkexWSError, text: str
) -> None:
    OutageLog().log_loss(URL, error, 0.0)
    assert said.records[0].getMessage() == f"{text}; trying again"


def test_the_word_of_a_connection_says_how_long_it_took(
    said: pytest.LogCaptureFixture,
) -> None:
    outage = OutageLog()
    assert outage.note(5.0) == ""
    outage.log_loss(URL, REFUSED, 10.0)
    outage.log_loss(URL, REFUSED, 11.0)
    assert outage.note(12.5) == " 2.5 s after the loss"
    # A connection that is lost again at once is no new outage: no warning each time.
    outage.log_loss(URL, REFUSED, 14.0)
    assert levels(said) == ["WARNING", "DEBUG", "DEBUG"]


def test_after_a_healthy_connection_the_next_loss_is_a_new_one(
    said: pytest.LogCaptureFixture,
) -> None:
    outage = OutageLog()
    outage.log_loss(URL, REFUSED, 10.0)
    outage.over()
    assert outage.note(12.0) == ""
    outage.log_loss(URL, REFUSED, 14.0)
    assert levels(said) == ["WARNING", "WARNING"]
