"""A program that records, as a process of its own, for `test_recorder`.

Its first argument is the path of the recording, its second what the program does.
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
    """Record until killed; once the file has a message, print the newest one."""
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
    """Record a hundred messages, and end without closing the recorder."""
    tap = open_tap(Recorder(path))
    for n in range(100):
        hear(tap, str(n))


def fork(path: str) -> None:
    """Record before and after a fork; the child records and closes the recorder too."""
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
    """Record a feed into a file that may not outgrow 8 KiB; count its failures."""
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
