"""REST answers of any shape, documented or not, and all readers of such answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import hypothesis.strategies as st

from okex_ws.base.errors import RequestRejected, WireError
from okex_ws.rest.dialect import RestProtocol


def json_of(names: Iterable[str]) -> st.SearchStrategy[Any]:
    """JSON of any shape; the fields of its objects have these *names* and others."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
        | st.sampled_from(["0", "1", "1.5", "buy", "1597026383085", "BTC-USDT"]),
        lambda inner: (
            st.lists(inner, max_size=10)
            | st.dictionaries(
                st.sampled_from(list(names)) | st.text(max_size=4), inner, max_size=8
            )
        ),
        max_leaves=20,
    )


# The only errors that reading an answer may raise.
READING = (WireError, RequestRejected)


def read_by_all(
    dialect: RestProtocol,
    read: Callable[[], Any],
    errors: tuple[type[Exception], ...] = READING,
) -> None:
    """Give what *read* returns to every reader; only *errors* may be raised."""
    readers: list[Callable[[Any], object]] = [
        dialect.read_time,
        dialect.read_families,
        lambda found: dialect.read_instruments(found, "swap"),
        dialect.read_book,
        lambda found: dialect.read_trades(found, "BTC-USDT"),
        dialect.read_candles,
    ]
    for reader in readers:
        with contextlib.suppress(*errors):
            reader(read())
