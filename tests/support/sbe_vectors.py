"""Binary messages that were made up by the layouts, for tests."""

from __future__ import annotations

from struct import pack

CODE, TIME_US, SENT_US = 10459, 1_779_419_555_777_000, 1_779_419_555_777_996


# The frames of three templates byte for byte, so that a wrong layout in this module
# does not agree with the same one in the library.
WRITTEN = {
    "best": (
        "4a00e80301000000db28000000000000e84987665f520600cc4d87665f52060081350d024a000000"
        "2cd80b000000000015030000000000002bd80b000000000000020000000000000300000002000000"
        "fffe"
    ),
    "trade": (
        "3e00ed0301000000db28000000000000e84987665f520600cc4d87665f520600fb350d024a000000"
        "2bd80b00000000000002000000000000ea16b04c02000000010001fffe00"
    ),
    "book": (
        "2a00e90301000000db28000000000000e84987665f520600cc4d87665f520600c800000000000000"
        "9600000000000000fffe140001002cd80b0000000000150300000000000003000000140001002bd8"
        "0b0000000000000200000000000002000000"
    ),
}


def header(length: int, template: int, schema: int = 1, version: int = 0) -> bytes:
    return pack("<HHHH", length, template, schema, version)


def best(*ends: int, more: bytes = b"", version: int = 0) -> bytes:
    """Template 1000: ask 77623.6 x 7.89 of 3, bid 77623.5 x 5.12 of 2."""
    levels = ends or (776236, 789, 776235, 512, 3, 2)
    block = pack("<qqqq", CODE, TIME_US, SENT_US, 317_862_000_001)
    block += pack("<qqqqiibb", *levels, -1, -2) + more
    return header(len(block), 1000, version=version) + block


def trade(
    *,
    price: int = 776235,
    size: int = 512,
    number: int = 9_876_543_210,
    trades: int = 1,
    side: int = 1,
    source: int = 0,
) -> bytes:
    """Template 1005: 5.12 bought at 77623.5."""
    block = pack("<qqqq", CODE, TIME_US, SENT_US, 317_862_000_123)
    block += pack("<qqqhbbbb", price, size, number, trades, side, -1, -2, source)
    return header(len(block), 1005) + block


def group(*levels: tuple[int, int, int], more: bytes = b"") -> bytes:
    entries = b"".join(pack("<qqi", *level) + more for level in levels)
    return pack("<HH", 20 + len(more), len(levels)) + entries


ASKS, BIDS = ((776236, 789, 3),), ((776235, 512, 2),)


def book(
    template: int = 1001,
    seq: int = 200,
    prev_seq: int = 150,
    groups: bytes | None = None,
    more: bytes = b"",
    version: int = 0,
    time_us: int = TIME_US,
    exponents: tuple[int, int] = (-1, -2),
) -> bytes:
    """Templates 1001 and 1002: one level a side, or the exponents alone."""
    block = pack("<qqqqq", CODE, time_us, SENT_US, seq, prev_seq)
    block += pack("<bb", *exponents) + more
    if groups is None:
        groups = group(*ASKS) + group(*BIDS) if template == 1001 else b""
    return header(len(block), template, version=version) + block + groups


def snapshot(time_us: int = TIME_US) -> bytes:
    """Template 1006, as REST answers it."""
    block = pack("<qqqbb", CODE, time_us, 200, -1, -2)
    return header(len(block), 1006) + block + group(*ASKS) + group(*BIDS)


EVERY = {
    "best": best(),
    "trade": trade(),
    "book": book(),
    "exponents": book(1002),
    "snapshot": snapshot(),
}
