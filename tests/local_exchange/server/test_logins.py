"""Logins are checked: key, passphrase, clock, and what was signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from okex_ws import Credentials
from okex_ws.local_exchange.server.logins import (
    MADE_UP,
    Account,
    Accounts,
    Flaw,
    LoginArguments,
)

# The computed example of the wire page.
SECRET, TIMESTAMP = "22582BD0CFF14C41EDBF1AB98506286D", "1538054050"
SIGN = "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="
MINE = Credentials("mine", SECRET, "open")
YOURS = Credentials("yours", "other", "sesame")
RIGHT = LoginArguments("mine", "open", TIMESTAMP, SIGN)
NOW = 1538054050.0


def signed(timestamp: str, who: Credentials = MINE) -> LoginArguments:
    text = f"{timestamp}GET/users/self/verify".encode()
    digest = hmac.digest(who.secret_key.encode(), text, hashlib.sha256)
    sign = base64.b64encode(digest).decode()
    return LoginArguments(who.api_key, who.passphrase, timestamp, sign)


def test_the_published_signature_passes() -> None:
    account = Accounts([YOURS, MINE]).check(RIGHT, NOW)

    assert isinstance(account, Account)
    assert account.credentials is MINE


@pytest.mark.parametrize(
    ("login", "flaw"),
    [
        (RIGHT._replace(api_key="nobody"), Flaw.KEY),
        (RIGHT._replace(api_key="yours"), Flaw.PASSPHRASE),
        (RIGHT._replace(passphrase="shut"), Flaw.PASSPHRASE),
        (RIGHT._replace(sign=SIGN.lower()), Flaw.SIGN),
        (RIGHT._replace(sign="\u00e9\ud800"), Flaw.SIGN),
        (RIGHT._replace(timestamp="1538054051"), Flaw.SIGN),
        (RIGHT._replace(timestamp="soon"), Flaw.TIMESTAMP),
        (RIGHT._replace(timestamp="nan"), Flaw.TIMESTAMP),
        (RIGHT._replace(timestamp="inf"), Flaw.EXPIRED),
        (signed("1538054019.9"), Flaw.EXPIRED),
        (signed("1538054080.1"), Flaw.EXPIRED),
        (signed("1538054050000"), Flaw.EXPIRED),
    ],
)
def test_what_is_wrong_is_told(login: LoginArguments, flaw: Flaw) -> None:
    assert Accounts([MINE, YOURS]).check(login, NOW) is flaw


@pytest.mark.parametrize("timestamp", ["1538054020", "1538054080", "1538054050.121"])
def test_a_clock_may_be_half_a_minute_wrong(timestamp: str) -> None:
    assert isinstance(Accounts(MINE).check(signed(timestamp), NOW), Account)


def test_every_account_has_a_number_of_its_own() -> None:
    accounts = Accounts([MINE, YOURS])
    found = [accounts.check(signed(TIMESTAMP, who), NOW) for who in (MINE, YOURS)]
    numbers = {each.uid for each in found if isinstance(each, Account)}

    assert len(numbers) == 2
    assert all(number.isdigit() for number in numbers)


def test_without_credentials_one_made_up_key_may_log_in() -> None:
    assert Accounts().credentials == (MADE_UP,)
    assert Accounts([]).credentials == ()


@pytest.mark.parametrize("wrong", ["key", 5, [5], [MINE, "key"]])
def test_what_is_no_credentials_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="credentials is"):
        Accounts(wrong)


def test_one_key_for_two_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="same api_key"):
        Accounts([MINE, MINE])
