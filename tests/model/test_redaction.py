"""Secrets are cut out of what a peer says, however it writes them."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from random import Random
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import Credentials
from okex_ws.model.redaction import Redaction, make_clean

KEY = Credentials("11aa22bb-KEY-33cc", 'se"cret/KEY+0=', "Päss\\w{0}rd\U0001f511!")
REDACTION = Redaction(KEY)
SECRETS = (KEY.api_key, KEY.secret_key, KEY.passphrase)


def escaped(text: str, rng: Random) -> str:
    """*text* inside JSON, with any of its characters as ``\\u0041``."""

    def unit(character: str) -> str:
        packed = character.encode("utf-16-be").hex()
        return "".join(rf"\u{packed[i : i + 4]}" for i in range(0, len(packed), 4))

    plain = (json.dumps(each, ensure_ascii=False)[1:-1] for each in text)
    pairs = zip(text, plain, strict=True)
    return "".join(unit(a) if rng.random() < 0.5 else b for a, b in pairs)


WRITERS: list[Callable[[str, Random], str]] = [
    lambda text, rng: text,
    lambda text, rng: text.upper() if text.isascii() else text,
    lambda text, rng: json.dumps(text),
    lambda text, rng: json.dumps(json.dumps(text)),
    lambda text, rng: json.dumps(json.dumps(json.dumps(text))),
    lambda text, rng: text.replace("/", "\\/"),
    escaped,
    lambda text, rng: escaped(escaped(text, rng), rng),
    lambda text, rng: quote(text),
    lambda text, rng: quote(json.dumps(text), safe=""),
    lambda text, rng: html.escape(text),
    lambda text, rng: "".join(f"&#{ord(each)};" for each in text),
]


def readings(text: str) -> list[str]:
    """*text*, and what decoders of JSON, URLs and HTML make of it."""
    found = [text]
    for _ in range(4):
        for decode in (_of_json, unquote, html.unescape):
            found.append(decode(found[-1]))
    return [each.lower() for each in found]


def _of_json(text: str) -> str:
    try:
        return str(json.loads(text if text[:1] == '"' else f'"{text}"'))
    except ValueError:
        return text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("around", ["{}", "wrong: {}, sorry", "x{}x"])
def test_a_secret_is_found_in_any_writing(
    secret: str, write: Callable[[str, Random], str], around: str
) -> None:
    for seed in range(20):
        said = around.replace("{}", write(secret, Random(seed)))
        for cleaned in (REDACTION.text(said), REDACTION.sentence(said)):
            assert not any(secret.lower() in each for each in readings(cleaned))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Invalid sign", "Invalid sign"),
        (
            f"Invalid key: {KEY.api_key}, or {KEY.secret_key}",
            "Invalid key: ..., or ...",
        ),
        ('Invalid request: {"op":"x"}', "Invalid request: "),
        (f"{KEY.passphrase} is wrong", "... is wrong"),
        (f"sign {KEY.sign('1700000000')} is wrong", "sign ... is wrong"),
        ("100 % of \\ & more", "100 % of \\ & more"),
        ("x" * 10_001, "..."),
    ],
)
def test_a_sentence_keeps_what_is_no_secret(said: str, kept: str) -> None:
    assert REDACTION.sentence(said) == kept


def test_a_short_secret_is_cut_out_where_it_is_a_word() -> None:
    redaction = Redaction(Credentials("KEY", "ab-cd", "1"))

    said = "BTC-USD-190517: 11 keys, KEY, monkey, 1, ab-cd! and cab-cde"
    kept = "BTC-USD-190517: 11 keys, ..., monkey, ..., ...! and cab-cde"
    assert redaction.sentence(said) == kept
    assert redaction.sentence(r"passphrase \n1 is wrong") == "..."


@given(st.text(st.characters() | st.sampled_from("\\%&u0061;#{"), max_size=60))
def test_any_text_is_cleaned_and_what_holds_no_secret_stays(said: str) -> None:
    cleaned = REDACTION.text(said)

    assert cleaned in (said, "...")
    assert REDACTION.text(f"{said}{KEY.api_key}{said}").count(KEY.api_key) == 0


def test_escapes_without_end_are_left_out_and_take_no_time() -> None:
    assert REDACTION.text("\\" * 200_000) == "..."


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("write", WRITERS)
def test_the_beginning_of_a_text_has_no_part_of_a_secret(
    write: Callable[[str, Random], str], secret: str
) -> None:
    said, before = write(secret, Random(3)), "so it begins. " * 8

    for end in range(len(said) + 1):
        kept = REDACTION.beginning(before + said[:end])
        assert kept
        assert (before + "...").startswith(kept)
    kept = REDACTION.beginning(before + said + before)
    assert secret[:2].lower() not in kept.lower()


def test_without_a_key_nothing_is_cleaned() -> None:
    assert make_clean(None)('any {"text"}') == 'any {"text"}'
    assert make_clean(KEY)(f"{KEY.api_key} {{") == "... "
