"""When to log in: at once, again after what passes, and never with a refused key."""

from __future__ import annotations

import math

import pytest

from okex_ws import Credentials
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.login import Login, check_logins
from okex_ws.session.subscription_state import STEADY

CAP = 600.0


def test_the_first_login_is_due_at_once() -> None:
    login = Login(str, CAP)

    assert login.due == -math.inf


def test_each_login_waits_twice_as_long_up_to_the_cap() -> None:
    login = Login(str, CAP)
    waits = []
    for now in range(0, 13_000, 1000):
        login.retry_later(now)
        waits.append(login.due - now)

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-3:] == [CAP, CAP, CAP]


def test_a_refused_key_is_never_due() -> None:
    login = Login(str, CAP)
    login.retry_later(5.0)

    login.refuse()

    assert login.due == math.inf


def test_each_login_is_written_at_its_own_time() -> None:
    login = Login("at {}".format, CAP)

    assert [login.ask(1.5), login.ask(2.5)] == ["at 1.5", "at 2.5"]


def test_an_accepted_login_is_asked_no_more() -> None:
    login = Login(str, CAP)
    login.ask(1.0)
    assert (login.asked, login.accepted) == (True, False)

    login.accept(1.0)

    assert (login.asked, login.accepted) == (False, True)


def test_a_channel_that_needs_a_login_is_refused_where_there_is_no_key() -> None:
    names = [V5.channel(topic, "spot", "BTC-USDT") for topic in ("depth5", "trade")]
    check_logins(V5, names, None)
    fast = V5.channel("depth_l2_tbt", "spot", "BTC-USDT")

    with pytest.raises(ValueError, match="needs a login of the fee tier VIP4"):
        check_logins(V5, [*names, fast], None)
    check_logins(V5, [*names, fast], Credentials("a", "b", "c"))


def test_a_login_that_is_lost_is_due_after_a_back_off_that_a_steady_one_ends() -> None:
    login = Login(str, CAP)
    waits, first = [], []
    for accepted, lost in [(0, 1), (2, 3), (5, 6), (10, 10 + STEADY)]:
        login.accept(accepted)
        first.append(login.lose(lost))
        waits.append(login.due - lost)
        assert not login.accepted

    assert waits == [1, 2, 4, 1]
    assert first == [True, False, False, True]
