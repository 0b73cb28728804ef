"""The URL of a Redis server: read strictly, and without a secret in any text."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from okex_ws.fanout.address import NAME, PORT, RedisAddress, parse, trust

SECRET = "s3cret-word"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://books", RedisAddress("books", PORT, False, 0, NAME)),
        ("redis://books:7000/3", RedisAddress("books", 7000, False, 3, NAME)),
        ("rediss://books/?name=desk", RedisAddress("books", PORT, True, 0, "desk")),
        (
            "rediss://pub:a%40b@books:1/0",
            RedisAddress("books", 1, True, 0, NAME, "pub", "a@b"),
        ),
        ("redis://[::1]:7/0", RedisAddress("::1", 7, False, 0, NAME)),
        (
            f"redis://:{SECRET}@127.0.0.1",
            RedisAddress("127.0.0.1", PORT, False, 0, NAME, "", SECRET),
        ),
    ],
)
def test_a_url_is_read_whole(url: str, expected: RedisAddress) -> None:
    assert parse(url, "via") == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://books", "of the form"),
        ("redis://", "of the form"),
        ("redis://books:0", "of the form"),
        ("redis://books:99999", "of the form"),
        ("redis://books/desk", "number of a database"),
        ("redis://books/-1", "number of a database"),
        ("redis://books/16384", "number of a database"),
        ("redis://books#0", "without spaces"),
        ("redis://books /0", "without spaces"),
        ("rediss://books/0?ssl_cert_reqs=none", r"\?name= alone"),
        ("rediss://books/0?name=a&ssl_check_hostname=false", r"\?name= alone"),
        ("redis://books/0?name=a&name=b", r"\?name= alone"),
        ("redis://books/0?name=", "1 to 64 letters"),
        ("redis://books/0?name=a%20b", "1 to 64 letters"),
        (f"redis://pub:{SECRET}@books/0", "over TLS"),
    ],
)
def test_what_is_no_such_url_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse(url, "via")

    assert str(caught.value).startswith("via")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", [None, 7, b"redis://books"])
def test_what_is_no_text_is_a_type_error(url: object) -> None:
    with pytest.raises(TypeError, match="publish is a URL"):
        parse(url, "publish")


def test_neither_repr_nor_endpoint_has_a_password() -> None:
    address = parse(f"rediss://pub:{SECRET}@books/2?name=desk", "publish")

    assert SECRET not in repr(address)
    assert address.endpoint == f"rediss://books:{PORT}/2"
    assert RedisAddress("::1", 7, False, 0, NAME).endpoint == "redis://[::1]:7/0"


def test_database_name_and_venue_are_all_in_the_prefix() -> None:
    prefixes = {
        parse(url, "via").prefix(venue)
        for url in (
            "redis://a/0?name=x",
            "redis://a/1?name=x",
            "redis://a/0?name=y",
        )
        for venue in ("okx", "okx us:0")
    }

    assert len(prefixes) == 6
    assert "{okx}:x:okx:0" in prefixes
    assert "{okx}:x:okx%20us%3A0:0" in prefixes


def test_an_authority_of_ones_own_is_trusted_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))

    context = trust(str(file))

    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert trust(None) is None


def test_an_authority_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(TypeError, match="redis_ca is the path"):
        trust(7)
    with pytest.raises(ValueError, match="No such file"):
        trust(str(tmp_path / "absent.pem"))
    with pytest.raises(ValueError, match="redis_ca"):
        trust(str(tmp_path / "empty.pem"))
