"""A thread is the library's own if it said so, and no other is."""

from __future__ import annotations

import threading

from okex_ws.base.threads import mark_library_thread, on_library_thread


def test_a_thread_is_the_librarys_once_it_said_so_and_alone() -> None:
    seen = []

    def run() -> None:
        seen.append(on_library_thread())
        mark_library_thread()
        seen.append(on_library_thread())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert seen == [False, True]
    assert not on_library_thread()
