"""Every sample line of the facts page of 2026, read; and each digit of it changed.

The page lies beside a developer's checkout, as the recordings do: it is read in place,
and its tests are skipped elsewhere. A sample that no reader takes is listed, with why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from okex_ws import VENUES
from okex_ws.base.errors import OkexWSError
from okex_ws.model.book import RPI
from okex_ws.model.exchange_codes import CODES
from okex_ws.protocol.catalogue import key_of
from okex_ws.protocol.listing import instrument
from okex_ws.protocol.messages import NO_DEPTH, ChannelName, Notice, Push, Refused
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.rest.dialect import HttpResponse
from okex_ws.rest.v5 import REST_PROTOCOL as REST_V5

PAGE = Path(__file__).parents[3] / "shared" / "okx-2026.md"
TEXT = PAGE.read_text("utf-8") if PAGE.is_file() else ""
pytestmark = [
    pytest.mark.source,
    pytest.mark.skipif(not TEXT, reason="the facts page is not on this machine"),
]

REQUEST = REST_V5.book("BTC-USDT-SWAP", "swap", 400, RPI)
# What the library does not read, and why.
NOT_READ = {
    "details": "the list of archives: a script reads it by itself",
    "archive": "a line of an archive: a script reads it by itself",
    "SBE": "the binary feed, which the library does not speak",
}
KINDS = {
    "books-rpi": "book",
    "sprd-books-l2-tbt": "book",
    "sprd-books5": "depth",
    "bbo-tbt": "depth",
    "trades": "trade",
    "sprd-public-trades": "trade",
    "funding-rate": "funding",
    "sprd-tickers": "ticker",
}
# Fields that no item has: of what kind, and under which names.
LEFT_OUT = {
    "trade": {"seqId"},
    "funding": {
        *("formulaType", "impactValue", "interestRate", "maxFundingRate", "method"),
        *("minFundingRate", "premium", "prevFundingTime", "settFundingRate"),
        "settState",
    },
    "instrument": {
        *("category", "floatPxLmtPct", "groupId", "initPxLmtPct", "lever"),
        *("maxPxLmtPct", "openType", "rpiMinLevel", "rpiMinPxBand", "instIdCode"),
        *("tradeQuoteCcyList", "upcChg"),
    },
    "depth": {"orders"},
}


class Sample(NamedTuple):
    """One sample line: its *kind*, and its *text*."""

    kind: str
    text: str

    def __repr__(self) -> str:
        line = TEXT.partition(self.text)[0].count("\n") + 1
        return f"{line}:{self.kind}"


def samples() -> Iterator[Sample]:
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        fenced = re.findall(r"^```json\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
        lines = [line for block in fenced for line in block.splitlines()]
        lines += re.findall(r"`(\{\"[^`]*\})`", part)
        for line in lines:
            yield Sample(kind_of(json.loads(line)), line)


def kind_of(message: dict[str, Any]) -> str:
    if "event" in message:
        return "event"
    if "op" in message:
        sbe = any("instIdCode" in each for each in message["args"])
        return "SBE" if sbe else "request"
    if "arg" in message:
        return KINDS.get(message["arg"]["channel"], "data")
    if message.keys() == {"channel"} or message.keys() == {"channel", "instType"}:
        return "argument"
    if "connId" in message:
        return "SBE"
    if "code" in message:
        return "details" if "details" in message["data"][0] else "REST book"
    return "instrument" if "baseCcy" in message else "archive"


def read(kind: str, text: str) -> Any:
    """What the library makes of *text*; an error if it refuses it."""
    if kind == "instrument":
        return instrument(json.loads(text), "spot")
    if kind == "request":
        (argument,) = json.loads(text)["args"]
        return key_of(argument)
    if kind == "argument":
        return key_of(json.loads(text))
    if kind == "REST book":
        data = REST_V5.data(REQUEST, HttpResponse(200, text.encode()))
        return REST_V5.read_book(data, RPI), data
    messages = V5.read(text.encode())
    if kind == "event":
        return messages
    (push,) = messages
    assert isinstance(push, Push)
    if kind == "data":
        push = V5.exactly(push) or push
        return push.channel, push.elements, push.action, push.envelope
    name = ChannelName(push.channel, "", "", kind)
    return element_of(kind, V5.reader(name), V5.exactly(push) or push)


def element_of(kind: str, wire: Any, push: Push) -> Any:
    (element,) = push.elements
    if kind == "book":
        return push.channel, wire.book(element, push.action, push.exact)
    if kind == "depth":
        return push.channel, wire.depth(element, NO_DEPTH)
    reader: Callable[[Any], Any] = getattr(wire, kind)
    return push.channel, reader(element)


SAMPLES = list(samples())
READ = [sample for sample in SAMPLES if sample.kind not in NOT_READ]


def test_every_sample_of_the_page_is_here() -> None:
    found = {kind: sum(each.kind == kind for each in SAMPLES) for kind in NOT_READ}

    assert len(SAMPLES) >= 25
    assert found == {"details": 1, "archive": 2, "SBE": 2}


@pytest.mark.parametrize("sample", READ, ids=repr)
def test_a_sample_is_read(sample: Sample) -> None:
    found = read(sample.kind, sample.text)

    if sample.kind == "event":
        assert not any(type(each).__name__ == "Unknown" for each in found)
    assert found is not None


def digits(sample: Sample) -> Iterator[tuple[str, str, str]]:
    """Each leaf with a digit: its field, and the text with that digit changed."""
    pattern = r'"(\w+)":|"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?)'
    field = ""
    for found in re.finditer(pattern, sample.text):
        if found[1] is not None:
            field = found[1]
            continue
        for place in range(found.start(), found.end()):
            old = sample.text[place]
            if old.isdigit():
                new = "3" if old != "3" else "5"
                changed = sample.text[:place] + new + sample.text[place + 1 :]
                yield field, found[0], changed


@pytest.mark.parametrize("sample", READ, ids=repr)
def test_each_digit_of_a_sample_is_read_or_named_as_left_out(sample: Sample) -> None:
    was, tried = read(sample.kind, sample.text), 0
    left_out = LEFT_OUT.get(sample.kind, set()) | {"connId"}
    for field, value, changed in digits(sample):
        tried += 1
        try:
            now = read(sample.kind, changed)
        except (OkexWSError, ValueError, TypeError):
            continue
        if field in left_out:
            continue
        assert repr(now) != repr(was), f"{field} {value} is not read"
    assert tried > 0 or sample.kind in ("request", "argument", "event")


@pytest.mark.parametrize("field", sorted(set().union(*LEFT_OUT.values())))
def test_what_is_left_out_is_left_out(field: str) -> None:
    """So that the list above hides nothing that is read."""
    for sample in READ:
        if field not in LEFT_OUT.get(sample.kind, set()) or field == "instIdCode":
            continue
        was = read(sample.kind, sample.text)
        for name, _, changed in digits(sample):
            if name == field:
                assert repr(read(sample.kind, changed)) == repr(was), field


# --- Tables -------------------------------------------------------------------------


def test_each_code_of_the_page_has_its_row() -> None:
    rows = re.findall(r"^\| (.+?) \|", TEXT, re.MULTILINE)
    codes = {
        code
        for cell in rows
        if re.fullmatch(r"(\*\*)?[56]\d{4}.*", cell)
        for code in re.findall(r"\b[56]\d{4}\b", cell)
    }
    known = {str(code) for table in CODES.values() for code in table}

    assert len(codes) > 35
    assert codes - known == set()


def test_each_host_of_the_page_is_a_venues() -> None:
    section = TEXT.split("## 8. Regions", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    named = set(
        re.findall(r"`((?:ws|openapi|eea|us|tr)[\w.]*\.okx\.com)`", "".join(rows))
    )
    ours = {
        urlsplit(url).hostname
        for venue in VENUES.values()
        for url in (*venue.endpoints, venue.rest or "")
    }

    assert len(named) >= 9
    assert named - ours == set()


def test_a_refusal_and_a_notice_keep_the_exchanges_code() -> None:
    events = [read("event", each.text) for each in READ if each.kind == "event"]
    codes = [
        each.code
        for messages in events
        for each in messages
        if isinstance(each, (Refused, Notice))
    ]

    assert {"60018", "60005", "64008"} <= {str(code) for code in codes}
