"""The order in which endpoints are tried."""

from __future__ import annotations

import pytest

from okex_ws.base.retry import Endpoints


@pytest.mark.parametrize(
    ("endpoints", "losses", "tried"),
    [
        # f: it failed, or was lost too early; h: it was healthy, and was lost.
        ("A", "fhf", "AAAA"),
        ("AB", "f", "AB"),
        ("AB", "ff", "ABA"),
        ("AB", "ffff", "ABABA"),
        # A good one is tried again first, whichever it is.
        ("AB", "hh", "AAA"),
        ("AB", "fhhh", "ABBBB"),
        # Only its own failure brings the venue's first one back.
        ("AB", "fhf", "ABBA"),
        # A bad one is behind the others until they have failed too.
        ("ABC", "fff", "ABCA"),
        ("ABC", "fhff", "ABBCA"),
        ("ABC", "fhfhhf", "ABBCCCA"),
    ],
)
def test_a_good_endpoint_is_tried_again_first_and_a_bad_one_last(
    endpoints: str, losses: str, tried: str
) -> None:
    order = Endpoints(endpoints)
    seen = [order.present]
    for loss in losses:
        order.lost(loss == "h")
        seen.append(order.present)

    assert "".join(seen) == tried
