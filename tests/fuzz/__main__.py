"""The command: `python -m tests.fuzz --seconds N --seed S`, with ``--help`` for more.

It ends with 1 if any input failed, and prints that input so that Python can read it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.corpus import Corpus, corpus
from tests.fuzz.targets import TARGETS, Target, check_memories

# Failures of one target that are told, each of another kind.
_MOST = 20
# A slice has its own seed, so that one input can be made again without the rest.
_SLICE = 2000


class Run:
    """One target's inputs, outcomes and failures."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.inputs = 0
        self.seconds = 0.0
        self.outcomes: Counter[str] = Counter()
        self.failures: dict[str, dict[str, Any]] = {}
        self._seed = seed
        self._slices = 0

    def go_on(self, seeds: Corpus, until: float) -> None:
        """Slices of inputs until the clock says *until*; one at least."""
        began = time.monotonic()
        while True:
            self._slice(seeds, until)
            if time.monotonic() >= until:
                break
        self.seconds += time.monotonic() - began

    def _slice(self, seeds: Corpus, until: float) -> None:
        seed = f"{self._seed} {self.target.name} {self._slices}"
        self._slices += 1
        rng = Random(seed)
        make, check, outcomes = self.target.make, self.target.check, self.outcomes
        for number in range(_SLICE):
            given = make(rng, seeds)
            try:
                outcomes[check(given)] += 1
            except Exception as error:
                self._fail(error, given, f"{seed}, input {number}")
            self.inputs += 1
            if number % 100 == 0 and time.monotonic() >= until:
                return

    def _fail(self, error: Exception, given: Any, where: str) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in {last.name}, line {last.lineno}"
        self.outcomes[f"FAILED: {kind}"] += 1
        before = self.failures.get(kind)
        # The shortest is the best to read.
        text = repr(given)
        if before is None or len(text) < len(before["input"]):
            if before is None and len(self.failures) >= _MOST:
                return
            said = "".join(traceback.format_exception(error))[-3000:]
            self.failures[kind] = {"seed": where, "input": text, "traceback": said}

    def as_json(self) -> dict[str, Any]:
        """What is written down."""
        return {
            "inputs": self.inputs,
            "seconds": round(self.seconds, 1),
            "rate": round(self.inputs / self.seconds) if self.seconds else 0,
            "outcomes": dict(self.outcomes.most_common()),
            "failures": self.failures,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="OUT")
    names = [target.name for target in TARGETS]
    parser.add_argument("--target", action="append", choices=names, metavar="NAME")
    args = parser.parse_args(arguments)
    runs = [
        Run(target, args.seed)
        for target in TARGETS
        if args.target is None or target.name in args.target
    ]
    seeds = corpus()
    # Rounds, so that an early failure of any target is seen early, and every slice
    # meets the caches as the others left them.
    rounds = max(1, round(args.seconds / (5 * len(runs))))
    part = args.seconds / (rounds * len(runs))
    peaks = []
    for _ in range(rounds):
        for run in runs:
            run.go_on(seeds, time.monotonic() + part)
            check_memories()
        peaks.append(_peak_memory())
    found = {
        "seed": args.seed,
        "recorded": seeds.recorded,
        "inputs": sum(run.inputs for run in runs),
        "memories": check_memories(),
        "first_peak_memory_mib": peaks[0],
        "peak_memory_mib": peaks[-1],
        "targets": {run.target.name: run.as_json() for run in runs},
    }
    found["ok"] = not any(run.failures for run in runs)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    _show(found)
    return 0 if found["ok"] else 1


def _peak_memory() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _show(found: dict[str, Any]) -> None:
    print(f"{'target':16} {'inputs':>10} {'a second':>9}  outcomes")
    for name, target in found["targets"].items():
        outcomes = ", ".join(f"{k}: {n:,}" for k, n in target["outcomes"].items())
        print(f"{name:16} {target['inputs']:>10,} {target['rate']:>9,}  {outcomes}")
    print(
        f"\n{found['inputs']:,} inputs with seed {found['seed']}, from"
        f" {found['recorded']} recorded frames; peak {found['peak_memory_mib']} MiB,"
        f" after the first round {found['first_peak_memory_mib']}"
    )
    print("memories: " + ", ".join(f"{k} {n}" for k, n in found["memories"].items()))
    for name, target in found["targets"].items():
        for kind, failure in target["failures"].items():
            print(f"\nFAILED: {name}: {kind} (seed {failure['seed']})", file=sys.stderr)
            print(failure["traceback"], file=sys.stderr)
            print(f"input: {failure['input']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
