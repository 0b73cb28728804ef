"""A key signs as the exchange documents, and none of its texts shows anywhere else."""

from __future__ import annotations

import dataclasses
import logging
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws.model.credentials import Credentials

FIELDS = ("api_key", "secret_key", "passphrase")
TEXTS = ("key-3f1b", "secret-9c42", "phrase-7d05")
VARIABLES = ("API_KEY", "SECRET_KEY", "PASSPHRASE")
MINE = Credentials(*TEXTS)
EACH = pytest.mark.parametrize("name", FIELDS)


def assert_silent(text: str) -> None:
    assert not [secret for secret in TEXTS if secret in text]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the variables of one prefix, and no others."""

    def set_all(prefix: str, *values: str) -> None:
        for other in {prefix, "OKX_"}:
            for name in VARIABLES:
                monkeypatch.delenv(other + name, raising=False)
        for name, value in zip(VARIABLES, values, strict=True):
            monkeypatch.setenv(prefix + name, value)

    return set_all


# --- Signing ------------------------------------------------------------------------

# Computed outside the library, from the documented rule.
SECRET, AT = "22582BD0CFF14C41EDBF1AB98506286D", "1538054050"
SIGNATURE = "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="


def test_a_login_is_signed_as_documented() -> None:
    assert Credentials("k", SECRET, "p").sign(AT) == SIGNATURE


@pytest.mark.parametrize(
    ("secret", "timestamp"),
    [(SECRET[:-1] + "E", AT), (SECRET, "1538054051"), (SECRET, AT + ".0")],
)
def test_another_digit_is_another_signature(secret: str, timestamp: str) -> None:
    assert Credentials("k", secret, "p").sign(timestamp) != SIGNATURE


def test_only_the_secret_key_signs() -> None:
    assert Credentials("other", SECRET, "other").sign(AT) == SIGNATURE


def test_a_text_beyond_ascii_can_sign() -> None:
    assert len(Credentials("k", "schl\u00fcssel", "p").sign(AT)) == 44


# --- Silence ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        repr,
        str,
        ascii,
        format,
        pprint.pformat,
        lambda mine: f"{mine} {mine!r} {mine!s:>80}",
        lambda mine: "%r %s" % (mine, mine),  # noqa: UP031
        lambda mine: repr([mine, {"key": mine}]),
        lambda mine: repr(ValueError(mine)),
    ],
)
def test_whoever_prints_a_key_prints_no_secret(
    write: Callable[[Credentials], str],
) -> None:
    written = write(MINE)

    assert "Credentials" in written
    assert_silent(written)


def test_a_key_that_is_logged_is_no_secret_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("okex_ws").warning("%r %s %s", MINE, MINE, (MINE,))

    assert "Credentials" in caplog.text
    assert_silent(caplog.text)


@EACH
def test_a_key_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError) as caught:
        setattr(MINE, name, "phrase-7d05")
    assert_silent(str(caught.value))


def test_a_key_has_no_place_for_anything_else() -> None:
    assert not hasattr(MINE, "__dict__")


# --- What is none -------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("wrong", [None, 5, b"key-3f1b", ["secret-9c42"], MINE])
def test_what_is_no_text_is_a_type_error_without_it(name: str, wrong: Any) -> None:
    right: dict[str, Any] = dict(zip(FIELDS, TEXTS, strict=True))

    with pytest.raises(TypeError) as caught:
        Credentials(**right | {name: wrong})

    assert str(caught.value) == f"{name} is a string"


@EACH
@pytest.mark.parametrize(
    "frame",
    ["", " ", " {}", "{} ", "{}\n", "\t{}", "{0}\n{0}", "{}\0{}", "{}\x1b", "{}\udcff"],
)
def test_what_cannot_be_sent_is_a_value_error_without_it(name: str, frame: str) -> None:
    right = dict(zip(FIELDS, TEXTS, strict=True))
    wrong = frame.format(right[name], right[name])

    with pytest.raises(ValueError, match=f"^{name} is empty, or ") as caught:
        Credentials(**right | {name: wrong})

    assert_silent(str(caught.value))


def test_spaces_and_signs_inside_a_passphrase_are_its_own() -> None:
    text = 'two words, "quoted" \u00e4 %s {0}'

    assert Credentials("k", "s", text).passphrase == text


@pytest.mark.parametrize("wrong", [" phrase-7d05", b"phrase-7d05"])
def test_the_traceback_of_a_wrong_key_shows_none_of_it(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Credentials(TEXTS[0], TEXTS[1], wrong)

    assert_silent("".join(traceback.format_exception(caught.value)))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (TEXTS[:2], {}),
        ((*TEXTS, "phrase-7d05"), {}),
        (TEXTS[:2], {"password": "phrase-7d05"}),
        (TEXTS, {"api_key": "key-3f1b"}),
    ],
)
def test_a_wrong_number_of_texts_is_a_type_error_without_them(
    arguments: tuple[str, ...], keywords: dict[str, str]
) -> None:
    with pytest.raises(TypeError) as caught:
        Credentials(*arguments, **keywords)
    assert_silent(str(caught.value))


# --- From the environment -----------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("OKX_",)])
def test_a_key_comes_from_three_variables(
    environment: Callable[..., None], arguments: tuple[str, ...]
) -> None:
    environment("OKX_", *TEXTS)

    assert Credentials.from_env(*arguments) == MINE


def test_another_prefix_is_another_key(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment("OKX_", *TEXTS)
    for name in VARIABLES:
        monkeypatch.setenv(f"DEMO_{name}", f"demo {name}")

    demo = Credentials.from_env(prefix="DEMO_")

    assert demo == Credentials(*(f"demo {name}" for name in VARIABLES))
    assert Credentials.from_env() == MINE


@pytest.mark.parametrize("prefix", ["OKX_", "DEMO_"])
@pytest.mark.parametrize("missing", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("unset", [True, False])
def test_variables_that_are_missing_or_empty_are_named(
    environment: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    missing: tuple[int, ...],
    unset: bool,
) -> None:
    environment(prefix, *TEXTS)
    names = [prefix + VARIABLES[index] for index in missing]
    for name in names:
        if unset:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, "")

    with pytest.raises(ValueError, match="not set in the environment") as caught:
        Credentials.from_env(prefix)

    assert str(caught.value).endswith(f": {', '.join(names)}")


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("frame", [" {}", "{} ", "{}\r", " "])
def test_a_variable_that_cannot_be_a_key_is_not_shown(
    environment: Callable[..., None], index: int, frame: str
) -> None:
    values = list(TEXTS)
    values[index] = frame.format(values[index])
    environment("OKX_", *values)

    with pytest.raises(ValueError, match="spaces around it") as caught:
        Credentials.from_env()

    assert_silent(str(caught.value))
