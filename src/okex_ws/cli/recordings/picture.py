"""Draws the chart of a recording as a picture. Needs the extra ``plot``, no display."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ... import State
from ..text import clean, seconds
from .story import ChartData, OutageSpan, Sample, price_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BID, _ASK = "#1a7f4b", "#c0392b"
_STATES = {State.RECONNECTING: "#e67e22", State.RESYNCING: "#8e44ad"}
_OTHER = "#7f8c8d"
# The most causes that are listed below the picture; further ones are only counted.
_NAMED = 8
_LINE = 120

# The samples with their moments, and ``None`` at each moment at which a price ended.
_Steps = list[tuple[datetime, "Sample | None"]]
# Moments, and the prices of bids and asks at each. matplotlib draws moments, but its
# type hints refuse them, and parts of it have no hints: hence ``Any``.
_Lines = tuple[Any, list[float], list[float]]
_dates: Any = dates


def check_form(path: str) -> None:
    """Raise ``ValueError`` if the suffix of *path* names no format of pictures."""
    form = Path(path).suffix.removeprefix(".").lower()
    if form not in FigureCanvasAgg.get_supported_filetypes():
        raise ValueError(f"no picture is a {form!r}: take .png, .svg or .pdf")


def draw(chart: ChartData, path: str) -> None:
    """Write the picture of *chart* to *path*, in the format of its suffix."""
    named = len(chart.named[:_NAMED])
    below = 0.17 * (named + 1) + 0.15 if named else 0.0
    figure = Figure(figsize=(14, 7 + below), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_book(axes, chart)
    _draw_trades(axes, chart)
    _draw_outages(axes, chart)
    _dress(axes, chart)
    if named:
        figure.text(0.01, 0.0, _causes(chart), fontsize=8.5, va="bottom", wrap=False)
        engine: Any = figure.get_layout_engine()
        engine.set(rect=(0, below / (7 + below), 1, 7 / (7 + below)))
    figure.savefig(path)


def _steps(chart: ChartData) -> _Steps:
    ends = [*(each.begins for each in chart.outages), chart.ends]
    every: _Steps = [*((each.at, each) for each in chart.samples)]
    return sorted([*every, *((at, None) for at in ends)], key=lambda pair: pair[0])


def _lines(steps: _Steps, size: float) -> _Lines:
    """Moments, and for each side the price up to which *size* is offered.

    A price holds until the next sample, or until the book can no longer be trusted.
    """
    times: list[datetime] = []
    bids: list[float] = []
    asks: list[float] = []
    for at, sample in steps:
        times.append(at)
        if sample is not None:
            bids.append(price_of(sample.bids, size))
            asks.append(price_of(sample.asks, size))
            continue
        # The last price holds up to this moment, and ends there.
        times.append(at)
        bids += [bids[-1] if bids else math.nan, math.nan]
        asks += [asks[-1] if asks else math.nan, math.nan]
    return times, bids, asks


def _draw_book(axes: Axes, chart: ChartData) -> None:
    steps = _steps(chart)
    top = _lines(steps, 0.0)
    _draw_depth(axes, chart.bands(), steps, top)
    _draw_top(axes, top)


def _draw_depth(axes: Axes, sizes: list[float], steps: _Steps, top: _Lines) -> None:
    """Draw bands from the best price to where a size is reached.

    A wide band means that the book is thin.
    """
    _, *nearer = top
    # Each band begins where the one before ends: bands that overlap would mix colours,
    # and would not look like the legend.
    for size, alpha in zip(sizes, (0.38, 0.2, 0.08), strict=False):
        times, *further = _lines(steps, size)
        label = f"the first {size:g}"
        for near, far, colour in zip(nearer, further, (_BID, _ASK), strict=True):
            axes.fill_between(
                times,
                near,
                far,
                step="post",
                color=colour,
                alpha=alpha,
                linewidth=0,
                label=label if colour == _ASK else None,
            )
        nearer = further


def _draw_top(axes: Axes, top: _Lines) -> None:
    times, bids, asks = top
    for prices, colour, name in ((bids, _BID, "best bid"), (asks, _ASK, "best ask")):
        axes.step(times, prices, where="post", color=colour, linewidth=1.1, label=name)


def _draw_trades(axes: Axes, chart: ChartData) -> None:
    most = max((dot.size for dot in chart.dots), default=1.0) or 1.0
    for side, colour, marker in (("buy", _BID, "^"), ("sell", _ASK, "v")):
        dots = [dot for dot in chart.dots if dot.side == side]
        if dots:
            times: Any = [dot.at for dot in dots]
            axes.scatter(
                times,
                [dot.price for dot in dots],
                # The area of the marker grows with the size of the trade.
                s=[8 + 140 * dot.size / most for dot in dots],
                c=colour,
                marker=marker,
                alpha=0.6,
                linewidths=0.4,
                edgecolors="white",
                label=f"{side}: {len(dots):,}",
                zorder=3,
            )


def _draw_outages(axes: Axes, chart: ChartData) -> None:
    """Shade the spans without a price, with the numbers of the causes below."""
    least = (chart.ends - chart.begins) / 800
    for outage in chart.outages:
        span: Any = outage.begins, max(outage.ends, outage.begins + least)
        colour = _STATES.get(outage.state, _OTHER)
        axes.axvspan(*span, color=colour, alpha=0.25, linewidth=0, zorder=0)
    for number, outage in enumerate(chart.named[:_NAMED], 1):
        middle: Any = outage.begins + max(outage.ends - outage.begins, least) / 2
        axes.annotate(
            str(number),
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=_STATES.get(outage.state, _OTHER),
            fontweight="bold",
        )
    gaps: Any = chart.gaps
    for at in gaps:
        axes.axvline(at, color=_OTHER, linestyle=":", linewidth=1.2, zorder=1)


def _causes(chart: ChartData) -> str:
    """The text below the picture: what the numbers over the bands mean."""
    first, more = chart.named[:_NAMED], len(chart.named[_NAMED:])
    lines = [f"  {number}  {_told(each)}" for number, each in enumerate(first, 1)]
    if more:
        lines[-1] += f"   (and {more} more)"
    if chart.gaps:
        gaps = f"{len(chart.gaps)} gap" + ("s" if len(chart.gaps) > 1 else "")
        lines.append(f"  dotted: {gaps}, where items are missing")
    return "\n".join(lines)


def _told(outage: OutageSpan) -> str:
    took = seconds((outage.ends - outage.begins).total_seconds())
    text = clean(f"{outage.begins:%H:%M:%S}  {outage.state} for {took}: {outage.cause}")
    text = text if len(text) <= _LINE else text[: _LINE - 3] + "..."
    # matplotlib reads a dollar sign as the beginning of a formula.
    return text.replace("$", r"\$")


def _dress(axes: Axes, chart: ChartData) -> None:
    name = chart.instrument_id
    span = f"{chart.begins:%Y-%m-%d %H:%M:%S} to {chart.ends:%Y-%m-%d %H:%M:%S} UTC"
    axes.set_title(f"{name}   {span}", loc="left", fontsize=12, pad=18)
    locator = _dates.AutoDateLocator(tz=timezone.utc)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        _dates.ConciseDateFormatter(locator, tz=timezone.utc)
    )
    prices_form: Any = axes.yaxis.get_major_formatter()
    prices_form.set_useOffset(False)
    margin = (chart.ends - chart.begins) / 200 or timedelta(milliseconds=1)
    limits: tuple[Any, Any] = (chart.begins - margin, chart.ends + margin)
    axes.set_xlim(*limits)
    axes.set_ylabel("price")
    if (prices := chart.prices()) is not None:
        # A deep book would flatten the prices to a line, so its bands are cut off.
        lowest, highest = prices
        near, far = axes.get_ylim()
        high = highest - lowest
        axes.set_ylim(max(near, lowest - high), min(far, highest + high))
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", fontsize=8.5, framealpha=0.85, ncols=2)
