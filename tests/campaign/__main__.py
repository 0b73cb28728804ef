"""The command: `python -m tests.campaign --seconds 180 --seed 1 --json FILE`."""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import ssl
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import okex_ws
from tests.campaign.fanout_stand import NAME
from tests.campaign.resources import grown, use_one_arena
from tests.campaign.run import WARM_UP, run
from tests.campaign.setups import SETUPS
from tests.support.redis_server import MISSING


def main() -> int:
    """0 if nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=_WHAT)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--stands", metavar="RE", default="", help="only such stands")
    parser.add_argument("--faults", metavar="RE", default="", help="only such faults")
    parser.add_argument("--tapes", type=Path, metavar="DIR", help="record, and replay")
    args = parser.parse_args()
    use_one_arena()
    setups = [setup for setup in SETUPS if re.search(args.stands, setup.name)]
    fanout = bool(re.search(args.stands, NAME))
    if fanout and shutil.which("redis-server") is None:
        print(f"{NAME}: skipped. {MISSING}")
        fanout = False
    options = args.faults, args.tapes, fanout
    result = run(args.seconds, args.seed, setups, *options)
    assert result.before is not None
    assert result.after is not None
    if args.seconds >= 4 * WARM_UP:
        result.violations += grown(result.before, result.after)
    found = result.as_json()
    found["versions"] = _versions()
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    _show(found)
    return 0 if found["ok"] else 1


_WHAT = (
    "Injects every kind of fault, by a seeded schedule, between subscriptions and a"
    " local exchange, and judges every price that is given meanwhile."
)


def _versions() -> dict[str, str]:
    return {
        "okex_ws": okex_ws.__version__,
        "python": platform.python_version(),
        "websocket-client": version("websocket-client"),
        "websockets": version("websockets"),
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(),
    }


def _show(found: dict[str, Any]) -> None:
    width = max(map(len, found["kinds"]), default=0)
    print(f"{'fault':{width}}  times  mixed  seen  back  longest  bound")
    for kind, counts in found["kinds"].items():
        print(
            f"{kind:{width}}  {counts['injected']:5}  {counts['mixed']:5}"
            f"  {counts['noticed']:4}  {counts['recovered']:4}"
            f"  {counts['longest_recovery']:6.2f}s  {counts['bound']:4.1f}s"
        )
    times = found["recovery_seconds"]
    print(
        f"\n{found['faults']} faults of {len(found['kinds'])} kinds,"
        f" {found['recoveries']} recoveries: median {times['median']:.2f} s,"
        f" p90 {times['p90']:.2f} s, longest {times['longest']:.2f} s"
    )
    print(
        f"{found['reads']:,} reads checked, {found['prices']:,} of them with a price:"
        f" {found['stale']} stale, {found['wrong']} wrong"
    )
    trades, items = found["trades"], found["items"]
    print(
        f"{found['books']:,} of them of whole books, and {items.get('BookUpdate', 0):,}"
        f" changes of books: {found['wrong_books']} wrong"
    )
    print(
        f"{trades.get('handed over', 0):,} trades handed over:"
        f" {trades.get('missed', 0)} missed, {trades.get('doubled', 0)} doubled;"
        f" {trades.get('in gaps', 0):,} in {trades.get('gaps', 0):,} gaps"
    )
    rests = found["rests"]
    print(
        f"the machine stood still {len(rests)} times, for {max(rests, default=0.0):.2f}"
        f" s at the most; {found['disturbed']} faults were not judged for it"
    )
    for name in ("threads", "descriptors", "sockets"):
        print(f"{name}: {found['before'][name]} before, {found['after'][name]} after")
    before, after = found["before"]["memory"], found["after"]["memory"]
    print(f"memory: {before / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB after")
    for violation in found["violations"] + found["late"]:
        print(f"VIOLATION: {violation}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
