"""Reads a certificate's names and dates from its DER (RFC 5280, section 4.1).

They are only shown to the user; OpenSSL decides whether a certificate is trusted.
`parse` takes any bytes without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION = 0xA0
# The parts of a name that are shown; the first one that exists is taken: its common
# name (2.5.4.3), its unit (2.5.4.11), its organisation (2.5.4.10).
_TOLD = (b"\x55\x04\x03", b"\x55\x04\x0b", b"\x55\x04\x0a")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whom a TLS certificate is for, who issued it, and its first and last moment."""

    subject: str
    issuer: str
    begins: datetime
    expires: datetime


def parse(der: bytes) -> Certificate | None:
    """Read the certificate in *der*; ``None`` if these bytes are no certificate."""
    try:
        (_, whole), *_ = _elements(der)
        (_, signed), *_ = _elements(whole)
        fields = list(_elements(signed))
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        # Serial number, algorithm, issuer, validity, subject, ...
        issuer, validity, subject = (fields[place][1] for place in (2, 3, 4))
        begins, expires = (_moment(*each) for each in list(_elements(validity))[:2])
        return Certificate(_name(subject), _name(issuer), begins, expires)
    except (ValueError, IndexError):
        return None


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of *der*, one after the other, each as its tag and content."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("an element is longer than what it is in")
        yield tag, der[at : at + length]
        at += length


def _name(der: bytes) -> str:
    found: dict[bytes, str] = {}
    for _, group in _elements(der):
        for _, pair in _elements(group):
            (_, oid), (_, value), *_ = _elements(pair)
            found.setdefault(oid, value.decode("utf-8", "replace"))
    return next((found[oid] for oid in _TOLD if oid in found), "no name")


def _moment(tag: int, value: bytes) -> datetime:
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time")
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280, section 4.1.2.5.1: years of two digits begin with 1950.
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
