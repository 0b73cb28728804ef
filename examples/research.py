"""A day of the archive and a recording, both as checked Parquet, and what they say.

    python examples/research.py             a day of BTC-USDT, and two minutes live
    python examples/research.py --local     on an exchange on this machine

pip install 'okex-ws[history,frames]'. The archive's files are fetched once; by the
exchange's terms they are for non-commercial use, and not to be passed on. The recording
is in two parts; the second one is read alone, with what went wrong in it.
"""

import argparse
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from okex_ws import Feed, Recorder, Venue, find_venue
from okex_ws.research import archive_frame, export, frame
from okex_ws.rest import Rest

IDS = ["BTC-USDT", "ETH-USDT", "SOL-USDT"]


def archived(venue: Venue, folder: Path, day: date) -> None:
    """Fetch a day of books and trades of the first id; write them as Parquet."""
    with Rest(venue) as rest:
        for kind in ("books", "trades"):
            for file in rest.archive(IDS[0], kind, day):
                path = rest.download(file, folder)
                found = archive_frame(path)
                pq.write_table(found.table, folder / f"{kind}-{file.day}.parquet")
                print(f"{file.name}: {found.table.num_rows:,} rows", end="")
                if kind == "books":
                    good = pc.sum(found.table["verified"]).as_py() or 0
                    print(f", {good:,} of them verified", end="")
                print(f", {found.left_out} left out")


def recorded(venue: Venue, folder: Path, seconds: float, disturb: object) -> Path:
    """Record in two parts of half the time each; return the path of the second."""
    path = folder / "live.rec.gz"
    with (
        Recorder(path, max_seconds=seconds / 2) as recorder,
        Feed(venue, recorder=recorder) as feed,
    ):
        feed.subscribe(IDS, channels=["depth", "trade"])
        feed.wait_live(timeout=30)
        time.sleep(seconds * 0.7)
        if callable(disturb):
            disturb()
        time.sleep(seconds * 0.3)
    return folder / "live.1.rec.gz"


def told(part: Path, folder: Path) -> None:
    """What the part says by itself: a grid of 100 ms, an average price, Parquet."""
    grid = frame(part, IDS[0], every=0.1).table
    prices = pc.count(grid["bid"]).as_py()
    print(
        f"{part.name}: {grid.num_rows} ticks, {grid.num_rows - prices} without a price"
    )
    causes = pc.unique(grid["cause_code"].drop_null()).to_pylist()
    print(f"  why: {', '.join(causes)}")
    trades = frame(part, IDS[0], kind="trades").table
    trades = trades.filter(pc.equal(trades["row"], "item"))
    if trades.num_rows:
        worth = pc.sum(pc.multiply(trades["price"], trades["size"])).as_py()
        average = worth / pc.sum(trades["size"]).as_py()
        print(f"  average price of {trades.num_rows} trades: {average:.2f}")
    for path in export(part, folder / "live"):
        print(f"  {path.relative_to(folder)}: {pq.read_metadata(path).num_rows} rows")


def main() -> None:
    """Do it, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("research"))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        venue, disturb = find_venue("okx"), None
        if options.local:
            from okex_ws.local_exchange import LocalExchange

            exchange = stack.enter_context(LocalExchange(instruments=IDS))
            venue, disturb = exchange.venue_v5, exchange.drop
        archived(venue, options.out, date.today() - timedelta(days=5))
        part = recorded(venue, options.out, options.seconds, disturb)
    told(part, options.out)


if __name__ == "__main__":
    main()
