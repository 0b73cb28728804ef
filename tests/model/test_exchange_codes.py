"""The table of the exchange's codes: what each means, and what an error says of it."""

from __future__ import annotations

import pytest

from okex_ws import VENUES, CauseCode, SubscriptionRejected, Venue
from okex_ws.model.exchange_codes import (
    CODES,
    Advice,
    ExchangeCode,
    advised,
    find_code,
    key_remedies,
)

ROWS = [(protocol, row) for protocol in CODES for row in CODES[protocol].values()]


def advice(protocol: str, *codes: object) -> set[Advice]:
    return {find_code(protocol, code).advice for code in codes}


@pytest.mark.parametrize(("protocol", "row"), ROWS)
def test_a_code_has_digits_a_meaning_and_an_advice(
    protocol: str, row: ExchangeCode
) -> None:
    assert row.code.isdigit()
    assert len(row.code) in (4, 5)
    assert row.meaning
    assert row.advice.does
    assert CODES[protocol][row.code] is row


def test_each_advice_has_a_sentence_of_its_own() -> None:
    assert len({each.does for each in Advice}) == len(Advice)


def test_a_code_is_found_as_a_number_and_as_text() -> None:
    assert find_code("v5", 60018) == find_code("v5", "60018")
    assert find_code("v3", 30040).advice is Advice.CHANNEL


@pytest.mark.parametrize("code", ["", "030042", "69999", 0, None, 1000, "60018 "])
@pytest.mark.parametrize("protocol", CODES)
def test_an_unknown_code_is_tried_three_times(protocol: str, code: object) -> None:
    assert find_code(protocol, code).advice is Advice.TRIES


def test_what_passes_and_what_does_not() -> None:
    passing = ("60014", "64007", "63999", "60023", "60006", "50001", "50011", "50013")
    final = ("60018", "60012", "60009", "60011", "64003", "60032", "51000", "51001")

    assert all(each.passes for each in advice("v5", *passing, "64008"))
    assert not any(each.passes for each in advice("v5", *final, "60004", "30026"))
    assert all(each.passes for each in advice("v3", 30026, 30043, 30008, 30014))
    assert not any(each.passes for each in advice("v3", 30040, 30013, 30005, "60014"))


def test_one_code_of_each_protocol_asks_for_a_login_and_some_repeat_one() -> None:
    logins = {
        p: [r.code for r in CODES[p].values() if r.advice is Advice.LOGIN]
        for p in CODES
    }

    assert logins == {"v3": ["30041"], "v5": ["60011"]}
    assert advice("v5", "60031", "60010") == {Advice.LOGGED_IN}
    assert advice("v3", 30042) == {Advice.LOGGED_IN}


def test_a_tier_that_is_too_low_has_codes_that_are_retired() -> None:
    assert advice("v5", 64003, 60034, 60029, 60030) == {Advice.TIER}
    assert "retired" in find_code("v5", 60029).meaning


def test_close_frames_of_v3_are_not_those_of_v5() -> None:
    assert advice("v5", 4001) == {Advice.LOGIN_ENDED}
    assert advice("v5", 4003, 4008, 4009) == {Advice.FEWER_CHANNELS}
    assert advice("v5", 4007) == {Advice.KEY}
    assert advice("v3", 4001, 4002) == {Advice.RECONNECT}
    assert advice("v3", 4008, 4009) == {Advice.TRIES}
    assert advice("v3", 1009) == advice("v5", 1009) == {Advice.SMALLER_REQUESTS}


def test_an_error_is_given_the_cause_and_what_to_do() -> None:
    error = advised(SubscriptionRejected("64004", "no", "x"), find_code("v5", 64004))

    assert error.cause_code is CauseCode.REJECTED
    assert error.advice.startswith("close books-l2-tbt")
    assert str(error).endswith(f"; {error.advice}")
    assert advised(error, find_code("v5", 64003), "pay").advice == "pay"
    assert error.cause.code is CauseCode.TIER


def test_a_key_is_told_the_venues_of_other_regions_that_are_like_this_one() -> None:
    here = key_remedies(VENUES["okx"])
    demo = key_remedies(VENUES["okx-us-demo"])
    mine = key_remedies(Venue("mine", "v5", ("wss://localhost/ws/v5",)))

    assert here["60032"] == here["60005"]
    assert here["60032"].endswith(
        " 'okx-us' (US and Australia), 'okx-eea' (EEA), 'okx-tr' (Turkey)"
    )
    assert demo["60032"].endswith(" 'okx-demo' (global), 'okx-eea-demo' (EEA)")
    assert "'okx' (global)" in mine["60032"]
    # What is no site of OKX knows its own keys.
    assert "60005" not in mine
