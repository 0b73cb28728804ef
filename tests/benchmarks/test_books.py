"""The benchmark of books works; how fast anything is is not asserted."""

from __future__ import annotations

import importlib.util

import pytest

from tests.benchmarks.book_peers import PEERS, BookPeer, Ours
from tests.benchmarks.books import compare, publishing
from tests.benchmarks.recordings import CHECKSUM, SEQUENCE, Updates, generated

pytestmark = pytest.mark.slow

proofs = pytest.mark.parametrize("proof", [CHECKSUM, SEQUENCE])


@pytest.fixture(scope="module")
def updates() -> Updates:
    return generated(instruments=2, levels=30, updates=60)


@proofs
def test_a_round_of_ours_alone_proves_every_message(
    updates: Updates, proof: str
) -> None:
    found = compare(updates, proof, (), rounds=1)
    (ours,) = found["who"]
    assert (ours["name"], ours["proves"]) == (Ours.name, True)
    assert found["updates"] == 60


@proofs
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
def test_a_round_beside_a_peer_ends_with_the_same_books(
    updates: Updates, proof: str, peer: type[BookPeer]
) -> None:
    for package, module in peer.needs:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"{package} is not installed")
    # It compares the books, and raises.
    found = compare(updates, proof, [peer], rounds=1)
    names = {row["name"] for row in found["who"]} | set(found["left_out"])
    assert names == {Ours.name, peer.name}


def test_publishing_has_a_cost() -> None:
    found = publishing(rounds=1, updates=20)
    assert all(len(taken) == 1 for taken in found["rounds"].values())
