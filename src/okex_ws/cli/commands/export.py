"""``okex-ws export``: writes a recording as files of other tools."""

from __future__ import annotations

import argparse
from datetime import datetime

from ..arguments import command, count, names
from ..exits import FAILED, GOOD, Failure, refusing
from ..logs import progress
from ..recordings.played import ask_recording

FORMS = ("parquet", "csv", "tardis")
TABLES = ("bbo", "trades", "states")

_EXAMPLES = """\
  okex-ws export day.rec.gz -o day                    Parquet, for pandas or polars
  okex-ws export day.rec.gz -o day --tables depth --levels 10 --form csv
  okex-ws export day.rec.gz -o day --form tardis      for readers of Tardis's CSV"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command(
        commands, "export", "write a recording as Parquet or CSV", _EXAMPLES
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    ask_recording(parser)
    option(
        "instruments",
        nargs="*",
        default=[],
        metavar="INSTRUMENT",
        help="which (default: all that were recorded)",
    )
    option("-o", "--out", metavar="FOLDER", required=True, help="where to")
    option("--form", choices=FORMS, default="parquet", help="(default: parquet)")
    option(
        "--tables",
        type=names,
        default=TABLES,
        metavar="A,B",
        help="bbo, depth, trades, states (default: all but depth)",
    )
    option("--levels", type=count, default=5, metavar="N", help="of depth (default: 5)")
    option("--exact", action="store_true", help="numbers as decimals, not as floats")


def run(options: argparse.Namespace) -> int:
    """Write the files, and print the path of each; return the exit code."""
    try:
        from ...research import export
    except ImportError as missing:
        raise Failure(str(missing), FAILED) from missing

    def tell(at: datetime, part: float) -> None:
        progress(f"{part:4.0%}  {at:%Y-%m-%d %H:%M:%S}")

    with refusing():
        paths = export(
            options.recording,
            options.out,
            form=options.form,
            tables=options.tables,
            instruments=options.instruments or None,
            levels=options.levels,
            exact=options.exact,
            start=options.start,
            end=options.end,
            venue=options.venue,
            progress=tell,
        )
    progress("")
    for path in paths:
        print(path)
    return GOOD
