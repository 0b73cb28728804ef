"""A story as a picture: what has to be on it, and that it can always be drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from okex_ws import Gap, Item, State, StateChange
from okex_ws.cli.recordings.story import ChartData
from tests.support.causes import because
from tests.support.cli_samples import AT, depth, trade
from tests.support.internals import draw_book, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOSTILE = "$x^2$ \\frac [red] \x1b[2J <b>&"


# Importing matplotlib takes a second, in each process that collects these tests.


def draw(chart: ChartData, path: str) -> None:
    from okex_ws.cli.recordings import picture

    picture.draw(chart, path)


def new_axes() -> Axes:
    from matplotlib.figure import Figure

    return Figure().add_subplot()


def change(seconds: float, new: State, cause: str = "") -> Item:
    at = AT + timedelta(seconds=seconds)
    return StateChange(State.LIVE, new, because(cause), 1, at, "BTC-USDT")


def pushes(first: int, last: int) -> list[Item]:
    return [
        replace(depth(), received=AT + timedelta(seconds=n)) for n in range(first, last)
    ]


def text_of(path: Path) -> str:
    """The words of an SVG, which matplotlib keeps as comments."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text("utf-8"), re.S))


def test_everything_is_on_it(tmp_path: Path) -> None:
    chart = ChartData("BTC-USDT", AT, AT + timedelta(seconds=100))
    chart.add(
        [
            change(1.0, State.LIVE),
            *pushes(2, 30),
            trade(20),
            trade(25, "sell"),
            change(30.0, State.RECONNECTING, HOSTILE),
            Gap("trade", "1", "5", because("lost"), at=AT + timedelta(seconds=40)),
            change(40.0, State.LIVE),
            *pushes(41, 60),
            *(
                change(60.0 + n, State.LIVE if n % 2 else State.RESYNCING, f"why {n}")
                for n in range(30)
            ),
        ]
    )
    draw(chart, str(tmp_path / "x.svg"))
    draw(chart, str(tmp_path / "x.png"))

    words = text_of(tmp_path / "x.svg")
    for said in ("BTC-USDT", "best bid", "best ask", "buy: 1", "sell: 1"):
        assert said in words
    assert words.count("the first ") == 3
    assert "RECONNECTING for 10 s" in words
    assert "RESYNCING for 1.0 s: why 0" in words
    assert "(and 8 more)" in words
    assert "dotted: 1 gap, where items" in words
    assert "\x1b" not in words
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_bands_have_the_colours_of_the_legend() -> None:
    chart = ChartData("BTC-USDT", AT, AT + timedelta(seconds=9))
    rows = tuple((str(60004 + n), "1") for n in range(16))
    chart.add([change(0.0, State.LIVE), depth(asks=rows, bids=(("60003", "9"),))])
    axes = new_axes()
    draw_book(axes, chart)

    spans = [each.get_datalim(axes.transData).intervaly for each in axes.collections]
    asks = [tuple(span) for span in spans[1::2]]
    # None lies over another, which would make it darker.
    assert [first[1] for first in asks[:-1]] == [second[0] for second in asks[1:]]


def test_a_deep_book_leaves_room_for_its_prices() -> None:
    chart = ChartData("BTC-USDT", AT, AT + timedelta(seconds=9))
    rows = (("60004", "1"), ("90000", "100"))
    chart.add([change(0.0, State.LIVE), depth(asks=rows, bids=(("60000", "9"),))])
    axes = new_axes()
    draw_book(axes, chart)
    assert axes.get_ylim()[1] > 80000

    dress(axes, chart)

    assert axes.get_ylim()[1] == 60008


def test_one_price_can_be_drawn(tmp_path: Path) -> None:
    chart = ChartData("BTC-USDT", AT, AT)
    chart.add([change(0.0, State.LIVE), depth()])

    draw(chart, str(tmp_path / "x.png"))


def test_an_empty_side_can_be_drawn(tmp_path: Path) -> None:
    chart = ChartData("BTC-USDT", AT, AT + timedelta(seconds=9))
    chart.add([change(0.0, State.LIVE), depth(bids=()), depth(asks=())])

    draw(chart, str(tmp_path / "x.png"))
