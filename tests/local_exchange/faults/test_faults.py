"""Which fault is in force, and for how long."""

from __future__ import annotations

from okex_ws.local_exchange.faults.faults import Faults, HandshakeResponse, Rejection


def test_without_a_fault_nothing_is_wrong() -> None:
    faults = Faults()

    assert not faults.silences("a")
    assert faults.rejection("a") is None
    assert faults.http_answer() is None
    assert faults.login_rejection() is None


def test_one_channel_is_silent_or_all_are() -> None:
    faults = Faults()
    faults.silence("a")
    assert (faults.silences("a"), faults.silences("b")) == (True, False)
    faults.silence(None)
    assert faults.silences("b")
    faults.resume()
    assert not faults.silences("a")
    faults.mute = True
    assert faults.silences("a")


def test_what_counts_down_heals_by_itself() -> None:
    answer = HandshakeResponse(503, {}, "", 2)
    slow = Rejection(30026, "slow", 1)
    faults = Faults(answer=answer, rejections={"a": slow}, login=Rejection("1", "", 1))

    assert [faults.rejection("a") for _ in range(2)] == [slow, None]
    assert faults.login_rejection()
    assert faults.login_rejection() is None
    assert [faults.http_answer() for _ in range(3)] == [answer, answer, None]


def test_what_does_not_count_down_lasts() -> None:
    answer = HandshakeResponse(503, {}, "", None)
    faults = Faults(answer=answer, rejections={"a": Rejection(30040, "no", None)})

    assert [faults.http_answer() for _ in range(3)] == [answer] * 3
    assert all(faults.rejection("a") for _ in range(3))


def test_a_channel_is_ignored_until_it_is_not() -> None:
    faults = Faults()
    for channel in ("a", "b"):
        faults.ignore(channel, on=True)
    faults.ignore("a", on=False)
    faults.ignore("c", on=False)

    assert faults.ignored == {"b"}


def test_the_faults_of_a_book_stand_in_line_and_count_down() -> None:
    faults = Faults()
    for how, times in (("lose", 2), ("flip", 1), ("retire", None)):
        faults.spoil("a", how, times)

    assert faults.active_fault("b", ("lose",)) is None
    assert faults.active_fault("a", ("flip", "lose")) == "lose"
    assert faults.active_fault("a", ("flip", "lose")) == "lose"
    for _ in range(2):
        faults.count_down("a", "lose")
    assert faults.active_fault("a", ("flip", "lose")) == "flip"
    faults.spoil("a", "flip", 0)
    assert faults.active_fault("a", ("flip", "lose")) is None
    faults.count_down("a", "retire")
    assert faults.active_fault("a", ("retire",)) == "retire"
