"""Draws a run as one picture: a panel for each table, bars with the least and the most.

`matplotlib` draws it; without matplotlib there is a message and no picture. To draw a
JSON file that was kept: `python -m tests.benchmarks.plot FOUND.json OUT.png`.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.roster import CALLED, CEILING, OURS

COLUMNS = 2
# Inches of a panel; the more rows it has, the higher.
WIDTH, ROW, HEAD = 9.0, 0.28, 1.1

Panel = Callable[[Any], None]
Three = Sequence[float]


def draw(path: Path, found: dict[str, Any]) -> bool:
    """Write the picture of *found*, a run's result; False if nothing can draw it."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        return False
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    panels = panels_of(found)
    lines = math.ceil(len(panels) / COLUMNS) or 1
    height = HEAD + ROW * max((size for size, _ in panels), default=1)
    figure, axes = pyplot.subplots(
        lines, COLUMNS, figsize=(COLUMNS * WIDTH, lines * height), squeeze=False
    )
    flat = list(axes.flat)
    for axis, (_, panel) in zip(flat, panels, strict=False):
        panel(axis)
    for axis in flat[len(panels) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
    return True


def panels_of(found: dict[str, Any]) -> list[tuple[int, Panel]]:
    """What draws each table, and how many bars it has."""
    panels: list[tuple[int, Panel]] = []
    for group in found.get("throughput", ()):
        rows = [row for row in group["rows"] if row["name"] != CEILING.name]
        panels.append((len(rows), _throughput(group, rows)))
    for group in found.get("lateness", ()):
        rows = group["rows"]
        panels.append((2 * len(rows), _lateness(group, rows)))
    if found.get("scale"):
        panels.append((8, _scale(found["scale"])))
    return panels


def _throughput(group: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Panel:
    def panel(axis: Any) -> None:
        names = [row["name"] for row in rows]
        _bars(axis, names, [row["rate"] for row in rows])
        axis.set_title(f"{group['stream']}, {group['transport']}: messages a second")

    return panel


def _lateness(group: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Panel:
    # Of the script's reads; of the callback where the script only looks on.
    kind = "read" if any("read_p50" in row for row in rows) else "noted"

    def panel(axis: Any) -> None:
        names, values = [], []
        for row in rows:
            names += [f"{row['name']}: p50", f"{row['name']}: p99"]
            values += [row[f"{kind}_p50"], row[f"{kind}_p99"]]
        _bars(axis, names, values)
        axis.set_xscale("log")
        said = "to a read" if kind == "read" else "to the callback"
        axis.set_title(f"lateness {said}, ms; {group['name']}", fontsize=9)

    return panel


def _bars(axis: Any, names: Sequence[str], values: Sequence[Three]) -> None:
    """Lying bars from the top, whose whiskers are the least and the most."""
    places = range(len(names))
    # What is kept as JSON has null for what is no number.
    values = [[math.nan if v is None else v for v in three] for three in values]
    middles = [three[1] for three in values]
    whiskers = [
        [three[1] - three[0] for three in values],
        [three[2] - three[1] for three in values],
    ]
    mine = (OURS.name, CALLED.name)
    colours = ["tab:blue" if name.startswith(mine) else "silver" for name in names]
    axis.barh(places, middles, xerr=whiskers, color=colours, ecolor="dimgrey")
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)


def _scale(found: Sequence[dict[str, Any]]) -> Panel:
    def panel(axis: Any) -> None:
        for each in found:
            passed = [sample[0] / 60 for sample in each["samples"]]
            resident = [sample[1] for sample in each["samples"]]
            axis.plot(passed, resident, label=f"{each['instruments']:,} instruments")
        axis.set_title("MiB resident, over minutes")
        axis.set_ylim(bottom=0)
        axis.legend()
        axis.grid(alpha=0.3)

    return panel


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    sys.exit(not draw(target, json.loads(source.read_text())))
