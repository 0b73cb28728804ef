"""A program of its own that records, for `test_recorder`: what it does is its second
argument, and where it records its first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from okex_ws import Recorder
from tests.support.recorder_taps import hear, open_tap, until
from tests.support.recordings import readable


def crash(path: str) -> None:
    """Say what is in the file, and go on until killed."""
    tap, n, last = open_tap(Recorder(path)), 0, -1
    pause = threading.Event()
    while True:
        hear(tap, str(n))
        n += 1
        if last < 0 and n % 20 == 0:
            last = _last(path)
            if last >= 0:
                print(last, flush=True)
        pause.wait(0.005)


def _last(path: str) -> int:
    said = [entry for entry in readable(Path(path))[0] if entry.kind == "in"]
    return int(said[-1].payload) if said else -1


def end(path: str) -> None:
    """Just end."""
    tap = open_tap(Recorder(path))
    for n in range(100):
        hear(tap, str(n))


def fork(path: str) -> None:
    """A child that records and closes too."""
    warnings.simplefilter("ignore", DeprecationWarning)
    recorder = Recorder(path)
    tap = open_tap(recorder)
    hear(tap, "before")
    child = os.fork()
    if not child:
        hear(tap, "in the child")
        assert recorder.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    hear(tap, "after")


def fill(path: str) -> None:
    """A whole feed, whose recording may not outgrow 8 KiB."""
    import resource

    from okex_ws import Feed, RecordingFailed
    from okex_ws.local_exchange import LocalExchange

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    told: list[Exception] = []
    with LocalExchange(pace=500.0, interval=0.01) as exchange, Recorder(path) as out:
        market, name = exchange.busiest
        with Feed(exchange.venue_v5, recorder=out) as feed:
            feed.subscribe([name], market, ["depth5", "depth"], on_error=told.append)
            feed.wait_live()
            until(lambda: told and out.lost > 50)
            failures = [each for each in told if isinstance(each, RecordingFailed)]
            print(len(failures), feed.state)


{"crash": crash, "end": end, "fork": fork, "fill": fill}[sys.argv[2]](sys.argv[1])
