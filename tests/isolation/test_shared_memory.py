"""One writer, any readers, nobody waits: whatever the writer does, or is stopped at."""

from __future__ import annotations

import errno
import marshal
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.isolation import shared_memory
from okex_ws.isolation.shared_memory import (
    Memory,
    Slot,
    SlotAddress,
    TornError,
    reserve,
)
from tests.support.internals import (
    bytes_in,
    chunk_sizes,
    flip_bits,
    lock_of,
    set_version,
    slot_that_tells,
    version_of,
)
from tests.support.loopback_servers import untraced

LIMIT = 30.0

posix = pytest.mark.skipif(os.name != "posix", reason="a descriptor is inherited")


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    memory.close()


def both(memory: Memory, capacity: int = 256) -> tuple[Slot, Slot]:
    """A slot of a writer and of a reader, which share nothing but the memory."""
    address = memory.allocate(capacity)
    return memory.slot(address), memory.slot(address, bytes)


# --- One value ------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=6))
def test_a_reader_has_what_was_written_last(payloads: list[bytes]) -> None:
    memory = Memory()
    try:
        ours, theirs = both(memory, 9000)
        for payload in payloads:
            ours.put(payload)
            assert theirs.get() == payload
            assert theirs.get() is theirs.get()  # it is made once
    finally:
        memory.close()


def test_a_value_is_what_its_payload_is_decoded_to(memory: Memory) -> None:
    address = memory.allocate(100)
    memory.slot(address).put(marshal.dumps(("a", 1.5, None)))

    assert memory.slot(address).get() == ("a", 1.5, None)


def test_what_has_no_room_is_refused_and_the_value_stays(memory: Memory) -> None:
    ours, theirs = both(memory, 10)
    ours.put(b"0123456789")

    with pytest.raises(ValueError, match="11 bytes, where there is room for 10"):
        ours.put(b"0123456789x")

    assert theirs.get() == b"0123456789"


def test_the_pulse_is_apart_from_the_value(memory: Memory) -> None:
    ours, theirs = both(memory)
    ours.put(b"x")
    seen = theirs.get()
    ours.beat(-1.25)

    assert (theirs.pulse, theirs.get() is seen) == (-1.25, True)


@posix
def test_another_process_opens_it_by_its_key(memory: Memory) -> None:
    address = memory.allocate(100)
    other = Memory(memory.key)
    memory.slot(address).put(b"here")

    assert other.slot(address, bytes).get() == b"here"
    # It is not closed by who did not make it: the two keys are one descriptor.
    del other
    memory.slot(address).put(b"still here")


# --- What is torn ---------------------------------------------------------------------


@pytest.mark.parametrize("where", ["length", "checksum", "payload"])
def test_a_value_that_is_not_whole_is_not_given(
    memory: Memory, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "TRIES", 3)
    ours, theirs = both(memory)
    ours.put(b"first")
    ours.put(b"second")  # an even version: its buffer is the first of the two
    flip_bits(ours, {"length": 0, "checksum": 4, "payload": 8}[where], 0x55)

    with pytest.raises(TornError, match="version 2"):
        theirs.get()

    ours.put(b"third")
    assert theirs.get() == b"third"


def test_a_version_that_is_seen_before_its_value_is_waited_for(memory: Memory) -> None:
    """As on a machine whose processors see stores in another order."""
    ours, theirs = both(memory)
    ours.put(b"first")
    seen: list[int] = []

    def copies(version: int) -> None:
        seen.append(version)
        if len(seen) == 3:
            set_version(ours, version_of(ours) - 1)
            ours.put(b"second")

    late = slot_that_tells(memory, theirs, copies)
    set_version(ours, version_of(ours) + 1)

    assert late.get() == b"second"
    assert seen == [2, 2, 2]


def test_an_empty_slot_has_no_value(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "TRIES", 3)
    _, theirs = both(memory)
    set_version(theirs, 1)

    with pytest.raises(TornError):
        theirs.get()


WRITER = """
import os, select, signal, sys, time, zlib
from okex_ws.isolation import shared_memory
from okex_ws.isolation.shared_memory import Memory, SlotAddress

slot = Memory(int(sys.argv[1])).slot(SlotAddress(*map(int, sys.argv[2].split(","))))
"""


def write(memory: Memory, address: SlotAddress, program: str) -> subprocess.Popen[str]:
    """Another process, which has the slot at *address* as ``slot``."""
    assert isinstance(memory.key, int)
    return subprocess.Popen(
        [
            *(sys.executable, "-c", WRITER + textwrap.dedent(program)),
            *(str(memory.key), ",".join(map(str, address))),
        ],
        pass_fds=(memory.key,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=untraced(),
    )


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_writer_that_stops_half_way_holds_up_nobody(
    memory: Memory, how: signal.Signals
) -> None:
    """At the very moment when its buffer is written, and its checksum is not."""
    address = memory.allocate(100)
    theirs = memory.slot(address, bytes)
    program = f"""
    slot.put(b"whole")
    checksum = zlib.crc32
    def stop(payload, version):
        os.kill(os.getpid(), {int(how)})
        return checksum(payload, version)
    zlib.crc32 = stop
    slot.put(b"never")
    """
    process = write(memory, address, program)
    options = os.WEXITED | os.WSTOPPED | os.WNOWAIT
    assert os.waitid(os.P_PID, process.pid, options) is not None

    assert theirs.get() == b"whole"
    assert bytes_in(theirs, 8, 5) == b"never"  # it is half there

    process.kill()
    process.communicate(timeout=LIMIT)
    # Whoever writes next is seen, too.
    memory.slot(address).put(b"after")
    assert theirs.get() == b"after"


@posix
def test_no_value_is_ever_torn_however_fast_it_changes(memory: Memory) -> None:
    """Values of all lengths, each of one letter and its number."""
    address = memory.allocate(20_000)
    memory.slot(address).put(b"%20d" % 0)
    theirs = memory.slot(address, bytes)
    program = """
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        number += 1
        slot.put(b"%20d" % number + bytes([number % 251]) * (number * 7919 % 19_000))
    print(number)
    """
    process = write(memory, address, program)
    newest, distinct = 0, 0
    give_up = time.monotonic() + LIMIT
    while distinct <= 1000 and time.monotonic() < give_up:
        value = theirs.get()
        number = int(value[:20])
        assert value[20:] == bytes([number % 251]) * (number * 7919 % 19_000)
        assert number >= newest
        distinct += number > newest
        newest = number

    # It ends when its stdin does.
    written = int(process.communicate(timeout=LIMIT)[0])
    assert int(theirs.get()[:20]) == written
    assert distinct > 1000


@posix
def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_value(
    memory: Memory,
) -> None:
    address = memory.allocate(20_000)
    memory.slot(address).put(b"%20d" % 0)
    theirs = memory.slot(address, bytes)
    program = """
    number = 0
    print("ready", flush=True)
    while True:
        number += 1
        slot.put(b"%20d" % number + bytes([number % 251]) * 19_000)
    """
    for _ in range(5):
        process = write(memory, address, program)
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate(timeout=LIMIT)
        value = theirs.get()
        assert value[20:] == bytes([int(value[:20]) % 251]) * (len(value) - 20)


# --- The memory -----------------------------------------------------------------------


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_no_two_places_overlap(capacities: list[int]) -> None:
    memory = Memory()
    try:
        slots = []
        for number, capacity in enumerate(capacities):
            slots.append(both(memory, capacity))
            slots[-1][0].put(bytes([number]) * capacity)
            slots[-1][0].put(bytes([number + 100]) * capacity)
        for number, (_, theirs) in enumerate(slots):
            assert theirs.get() == bytes([number + 100]) * capacities[number]
    finally:
        memory.close()


def test_it_grows_and_the_other_side_with_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "FIRST_CHUNK", 1 << 16)
    other = Memory(memory.key)
    addresses = [memory.allocate(10_000) for _ in range(40)]
    # The newest first: all chunks before it are there as well.
    for number, address in reversed([*enumerate(addresses)]):
        memory.slot(address).put(b"%d" % number)
        assert other.slot(address, bytes).get() == b"%d" % number

    assert {address.chunk for address in addresses} == {0, 1, 2, 3}
    assert chunk_sizes(memory) == [1 << n for n in range(16, 20)]


def test_a_place_that_was_given_back_is_taken_again(memory: Memory) -> None:
    first, second = memory.allocate(100), memory.allocate(200)
    memory.free(second)
    memory.free(first)

    assert (memory.allocate(100), memory.allocate(200)) == (first, second)
    assert memory.allocate(100) not in (first, second)


@posix
def test_without_memory_there_is_an_error_and_no_signal(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    memory.allocate(100)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        memory.allocate(100)
    monkeypatch.undo()
    memory.allocate(100)


@posix
def test_a_file_that_may_not_grow_is_an_error(memory: Memory) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="large"):
            memory.allocate(100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    memory.allocate(100)


def without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)


def memfd_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", forbidden, raising=False)


def cannot_allocate(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(file: int, start: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)


def without_allocate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)


@posix
@pytest.mark.parametrize(
    "lacks", [without_memfd, memfd_is_forbidden, cannot_allocate, without_allocate]
)
def test_systems_that_lack_something_have_it_another_way(
    lacks: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks(monkeypatch)
    memory = Memory()
    ours, theirs = both(memory, 3_000_000)
    ours.put(b"x" * 3_000_000)

    assert theirs.get() == b"x" * 3_000_000
    assert os.fstat(memory.key).st_blocks * 512 > 6_000_000  # type: ignore[arg-type]
    memory.close()


@posix
def test_reserved_pages_are_there(memory: Memory) -> None:
    assert isinstance(memory.key, int)
    os.ftruncate(memory.key, 1 << 24)
    reserve(memory.key, 4096, 1 << 20)

    assert (1 << 20) <= os.fstat(memory.key).st_blocks * 512 < (1 << 21)


@posix
def test_the_memory_goes_with_its_last_slot() -> None:
    memory = Memory()
    ours, theirs = both(memory)
    memory.close()
    memory.close()
    ours.put(b"x")

    assert theirs.get() == b"x"
    del ours, theirs  # the fixture of all tests sees a descriptor that is left


@posix
def test_in_a_forked_child_nothing_is_waited_for(memory: Memory) -> None:
    memory.allocate(10)
    lock = lock_of(memory)
    lock.acquire()  # by a thread that is not there
    child = os.fork()
    if child == 0:
        memory.forked()
        with lock_of(memory):
            os._exit(7)
    deadline = time.monotonic() + LIMIT
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lock.release()

    assert os.waitstatus_to_exitcode(ended[1]) == 7
