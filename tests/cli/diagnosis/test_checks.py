"""A check list."""

from __future__ import annotations

from okex_ws.cli.diagnosis.checks import Check, CheckFailed, Checklist, Finding, Grade


def test_behind_a_failure_nothing_is_tried() -> None:
    told: list[Check] = []
    begun: list[str] = []
    times = iter([1.0, 1.5, 2.0, 2.25])
    found = Checklist(begun.append, told.append, lambda: next(times))

    def fail() -> Finding:
        raise CheckFailed("refused", "ask")

    def never() -> Finding:
        raise AssertionError("tried")

    found.check("one", lambda: Finding("well"))
    found.check("two", fail)
    found.check("three", never)

    assert (
        told
        == found.checks
        == [
            Check("one", "well", Grade.GOOD, "", 0.5),
            Check("two", "refused", Grade.BAD, "ask", 0.25),
            Check("three", "not tried", Grade.NOT_TRIED),
        ]
    )
    assert begun == ["one", "two"]
    assert found.failed == told[1]


def test_a_warning_stops_nothing() -> None:
    found = Checklist(lambda name: None, lambda check: None)
    found.check("one", lambda: Finding("slow", Grade.WARN, "wait"))
    found.check("two", lambda: Finding("well"))

    assert found.failed is None
    assert [each.name for each in found.warned] == ["one"]
    assert [str(each.grade) for each in found.checks] == ["warn", "good"]
