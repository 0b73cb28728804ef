"""The benchmark works; how fast anything is is not asserted."""

from __future__ import annotations

from tests.benchmarks.measure import Way, measure, server


def test_ours_and_the_seeds_class_both_see_the_messages_of_the_other_process() -> None:
    with server() as where:
        ours = measure(Way("ours", True, on_message=True, tls=True), where, 0.1)
        seeds = measure(Way("the seed's", False, pace=100), where, 0.1)
    assert ours.rate > 0
    assert seeds.rate > 0
