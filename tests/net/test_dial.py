"""Names and addresses, through the network that uses them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from okex_ws.base.errors import ConnectionLost, OkexWSError, Stalled
from okex_ws.net import dial
from okex_ws.net.dial import Address, find_addresses, system_resolve
from okex_ws.net.stream import TcpNetwork
from tests.support.loopback_servers import (
    LIMIT,
    Server,
    black_hole,
    closed_port,
    wait_for_end,
)


def at(*ports: int) -> dial.Resolve:
    """A resolver that finds the loopback at these ports."""
    return lambda host: [Address(socket.AF_INET, ("127.0.0.1", p)) for p in ports]


def never() -> bool:
    return False


@contextlib.contextmanager
def network(resolve: dial.Resolve) -> Iterator[TcpNetwork]:
    net = TcpNetwork(resolve=resolve)
    try:
        yield net
    finally:
        net.close()


def open_and_close(net: TcpNetwork, limit: float = LIMIT) -> None:
    net.open("ws://venue.test/", time.monotonic() + limit, never).close()


def failure(net: TcpNetwork, limit: float = LIMIT) -> OkexWSError:
    """What an attempt ended with, which must be one of the library's own errors."""
    with pytest.raises(OkexWSError) as caught:
        open_and_close(net, limit)
    return caught.value


def test_a_dead_first_address_does_not_cost_the_deadline() -> None:
    with (
        black_hole() as dead,
        Server(wait_for_end) as server,
        network(at(dead, server.port)) as net,
    ):
        open_and_close(net)


def test_a_refused_first_address_moves_on_to_the_next() -> None:
    with Server(wait_for_end) as server, network(at(closed_port(), server.port)) as net:
        open_and_close(net)


def test_an_unreachable_family_moves_on_to_the_next() -> None:
    def resolve(host: str) -> list[Address]:
        return [
            # A family that no socket has, and the documentation's prefix (RFC 3849).
            Address(-7, ("::1", 0)),
            Address(socket.AF_INET, ("127.0.0.1", server.port)),
        ]

    with Server(wait_for_end) as server, network(resolve) as net:
        open_and_close(net)


def test_the_last_failure_is_told_when_every_address_fails() -> None:
    with network(at(closed_port(), closed_port())) as net:
        error = failure(net)
        assert isinstance(error, ConnectionLost)
        assert "refused" in str(error)

    assert isinstance(error.__cause__, OSError)
    assert error.endpoint == "ws://venue.test/"


def test_a_black_hole_ends_at_the_deadline() -> None:
    with black_hole() as dead, network(at(dead)) as net:
        error = failure(net, limit=0.1)
        assert isinstance(error, Stalled)
        assert "no TCP connection" in str(error)


def test_a_wake_up_ends_a_connect_that_is_cancelled() -> None:
    with black_hole() as dead, network(at(dead)) as net:
        cancelled = threading.Event()

        def cancel() -> None:
            cancelled.set()
            net.wake()

        timer = threading.Timer(0.05, cancel)
        timer.start()
        with pytest.raises(ConnectionLost, match="closed while connecting"):
            net.open("ws://venue.test/", time.monotonic() + LIMIT, cancelled.is_set)
        timer.join(LIMIT)


def test_a_wake_up_for_another_reason_is_remembered_for_the_next_wait() -> None:
    with Server(wait_for_end) as server, network(at(server.port)) as net:
        net.wake()
        open_and_close(net)
        # Without a memory this would last until the limit of the test.
        net.wait(None)


def test_an_unknown_name_says_why() -> None:
    def resolve(host: str) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with network(resolve) as net:
        error = failure(net)
        assert isinstance(error, ConnectionLost)
        assert "look-up failed: Name or" in str(error)

    assert isinstance(error.__cause__, socket.gaierror)


def test_a_name_that_cannot_be_one_says_why() -> None:
    def resolve(host: str) -> list[Address]:
        "a..b".encode("idna")
        raise AssertionError("there is no such name")

    with network(resolve) as net:
        error = failure(net)
        assert isinstance(error, ConnectionLost)
        assert "name look-up failed" in str(error)


def test_a_name_without_an_address_says_so() -> None:
    with network(lambda host: []) as net:
        error = failure(net)
        assert isinstance(error, ConnectionLost)
        assert "the name has no address" in str(error)


class SlowNames:
    """A resolver that answers when it is told to."""

    def __init__(self, *ports: int) -> None:
        self.asked = 0
        self.answer = threading.Event()
        self._ports = ports

    def __call__(self, host: str) -> list[Address]:
        self.asked += 1
        assert self.answer.wait(LIMIT)
        return [Address(socket.AF_INET, ("127.0.0.1", port)) for port in self._ports]


def wait_for_resolvers() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("okex_ws:resolve"):
            thread.join(LIMIT)


def test_a_look_up_that_hangs_ends_at_the_deadline() -> None:
    names = SlowNames()
    with network(names) as net:
        error = failure(net, limit=0.05)
        assert isinstance(error, Stalled)
        assert "no answer to the name look-up" in str(error)
    # The abandoned one comes back to a network that is closed, and says nothing.
    names.answer.set()
    wait_for_resolvers()


def test_a_wake_up_ends_a_look_up_that_is_cancelled() -> None:
    names = SlowNames()
    with network(names) as net:
        net.wake()
        answers = iter([False, True])
        with pytest.raises(ConnectionLost, match="closed while connecting"):
            net.open(
                "ws://venue.test/", time.monotonic() + LIMIT, lambda: next(answers)
            )
    names.answer.set()
    wait_for_resolvers()


def test_one_look_up_of_a_host_is_pending_in_the_whole_process() -> None:
    with Server(wait_for_end) as server:
        names = SlowNames(server.port)
        with network(names) as one, network(names) as other:
            for net in (one, other, one):
                with pytest.raises(Stalled):
                    open_and_close(net, limit=0.02)
            assert names.asked == 1
            opened: list[TcpNetwork] = []

            def share(net: TcpNetwork) -> None:
                open_and_close(net)
                opened.append(net)

            threads = [
                threading.Thread(target=share, args=(net,)) for net in (one, other)
            ]
            for thread in threads:
                thread.start()
            names.answer.set()
            for thread in threads:
                thread.join(LIMIT)
        wait_for_resolvers()

        # Both share the one answer, unless a thread came after it and asked anew.
        assert len(opened) == 2
        assert names.asked <= 3


def test_no_thread_for_a_look_up_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with network(at(1)) as net:
        monkeypatch.setattr(threading.Thread, "start", start)
        error = failure(net)
        assert isinstance(error, ConnectionLost)
        assert "can't start new thread" in str(error)


def test_a_literal_address_needs_no_look_up() -> None:
    def resolve(host: str) -> list[Address]:
        raise AssertionError("a literal address was looked up")

    with Server(wait_for_end) as server, network(resolve) as net:
        url = f"ws://127.0.0.1:{server.port}/"
        net.open(url, time.monotonic() + LIMIT, never).close()


def test_the_system_knows_the_loopback() -> None:
    assert ("127.0.0.1", 0) in [sockaddr for _, sockaddr in system_resolve("127.0.0.1")]


def test_the_families_are_tried_in_turn() -> None:
    six = [Address(socket.AF_INET6, (f"::{n}", 0, 0, 0)) for n in (1, 2, 3)]
    four = [Address(socket.AF_INET, ("127.0.0.1", 0))]

    def pause(
        missing: str,
        descriptors: dict[int, int] | None = None,
        until: float | None = None,
    ) -> set[int]:
        assert woken.wait(LIMIT)
        return set()

    woken = threading.Event()
    found = find_addresses("venue.test", lambda host: six + four, woken.set, pause)

    assert found == [six[0], four[0], six[1], six[2]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_asks_for_itself() -> None:
    # The parent's look-up hangs; its thread is not in the child, who must not wait.
    with Server(wait_for_end) as server:
        names = SlowNames(server.port)
        with network(names) as net:
            with pytest.raises(Stalled):
                open_and_close(net, limit=0.02)
            child = os.fork()
            if not child:
                names.answer.set()
                try:
                    open_and_close(TcpNetwork(resolve=names))
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        names.answer.set()
        wait_for_resolvers()
