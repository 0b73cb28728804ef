"""What a certificate says of itself."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone

import trustme
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.cli.diagnosis.certificates import parse


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def test_a_certificate_says_whose_it_is_and_who_says_so() -> None:
    authority = trustme.CA(organization_name="Some Firewall")
    expires = datetime(2031, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    leaf = authority.issue_cert(
        "ws.okx.com", common_name="ws.okx.com", not_after=expires
    )
    found = parse(der(leaf.cert_chain_pems[0].bytes()))
    root = parse(der(authority.cert_pem.bytes()))

    assert found is not None
    assert root is not None
    assert found.subject == "ws.okx.com"
    assert found.issuer == root.subject
    assert found.expires == expires
    assert found.begins < expires
    assert root.subject == root.issuer
    assert found.subject != found.issuer


@given(st.binary(max_size=200))
def test_any_other_bytes_are_none(data: bytes) -> None:
    assert parse(data) is None


@given(st.data())
def test_a_damaged_one_is_another_one_or_none(data: st.DataObject) -> None:
    whole = bytearray(_SOME)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))

    parse(bytes(whole))
    assert parse(bytes(whole[:cut])) is None or cut == len(whole)


_SOME = der(trustme.CA().cert_pem.bytes())
