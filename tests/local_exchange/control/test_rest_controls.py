"""What a script can make the REST interface do, checked at once."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from okex_ws.local_exchange import LocalExchange


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(seed=3) as running:
        yield running


def status(exchange: LocalExchange) -> int:
    return httpx.get(
        f"{exchange.rest_url}/api/v5/public/time", trust_env=False
    ).status_code


@pytest.mark.parametrize(
    ("keywords", "kind"),
    [
        ({"how": "rudely"}, ValueError),
        ({"how": 1}, TypeError),
        ({"how": "cut", "times": -1}, ValueError),
        ({"how": "cut", "path": None}, TypeError),
        ({"how": "slow", "seconds": -1.0}, ValueError),
    ],
)
def test_what_cannot_be_is_refused(
    exchange: LocalExchange, keywords: dict[str, object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        exchange.spoil_rest(**keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [((99,), ValueError), (("200",), TypeError), ((600,), ValueError)],
)
def test_an_answer_has_a_status(
    exchange: LocalExchange, answer: tuple[int], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        exchange.respond_rest(*answer)


@pytest.mark.once
def test_faults_end_by_themselves_or_are_healed(exchange: LocalExchange) -> None:
    exchange.respond_rest(503, times=2)
    assert [status(exchange) for _ in range(3)] == [503, 503, 200]
    exchange.respond_rest(403, times=None, path="time")
    assert [status(exchange) for _ in range(3)] == [403] * 3
    exchange.heal()
    assert status(exchange) == 200
