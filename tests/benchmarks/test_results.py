"""What the benchmarks make of made-up results: medians, ratios, tables, a picture."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import goals, lateness, limit, plot, report, scale, throughput
from tests.benchmarks.__main__ import main
from tests.benchmarks.lateness import (
    FULL,
    SETTINGS,
    Setting,
    backlog,
    latenesses,
    percentiles,
)
from tests.benchmarks.reading import IDLE, LOOP
from tests.benchmarks.roster import (
    ISOLATED,
    LIMIT,
    OURS,
    PEERS,
    PLAIN,
    TLS,
    chosen,
    late,
)
from tests.benchmarks.rounds import Failed, Turn, alternate, ratios, spread
from tests.benchmarks.streams import NAMES, V3_DEPTH5, V5_BOOKS5, stream

pytestmark = pytest.mark.slow

MS = 1_000_000


def turns(count: int) -> list[Turn]:
    """Turns with different names."""
    found = stream(V5_BOOKS5)
    return [Turn(OURS._replace(name=f"{n}"), "", PLAIN, found) for n in range(count)]


# --- Rounds -------------------------------------------------------------------------


def test_everyone_has_a_turn_in_each_round_and_another_one_begins() -> None:
    played: list[str] = []

    def play(turn: Turn) -> dict[str, Any]:
        played.append(turn.name)
        return {"n": len(played)}

    found, failures = alternate(turns(3), 3, play)
    assert played == ["0", "1", "2", "1", "2", "0", "2", "0", "1"]
    assert found["0"] == [{"n": 1}, {"n": 6}, {"n": 8}]
    assert failures == {}


def test_a_failure_leaves_a_hole_in_its_round_and_the_others_go_on() -> None:
    numbers = itertools.count(1)

    def play(turn: Turn) -> dict[str, Any]:
        if next(numbers) == 3:
            raise Failed("no depth")
        return {"cpu": 1.0}

    found, failures = alternate(turns(2), 2, play)
    assert failures == {"1": "no depth"}
    assert found == {"0": [{"cpu": 1.0}] * 2, "1": [{"cpu": 1.0}, None]}


def test_ratios_are_of_the_same_round() -> None:
    above = [{"rate": 10.0}, None, {"rate": 30.0}, {"rate": 1.0}]
    below = [{"rate": 5.0}, {"rate": 1.0}, {"rate": 10.0}, None]
    assert ratios(above, below, "rate") == [2.0, 3.0]


def test_a_spread_is_least_median_and_most() -> None:
    assert spread([5.0, 1.0, 2.0]) == [1.0, 2.0, 5.0]
    assert all(math.isnan(value) for value in spread([]))


def results(*pairs: tuple[float, float]) -> list[dict[str, Any] | None]:
    """Of rate and CPU."""
    looks = (1.0, 0.3, 1.0)
    return [
        {"rate": rate, "cpu": cpu, "orjson": False, "looks": share}
        for (rate, cpu), share in zip(pairs, looks, strict=True)
    ]


THROUGHPUT: dict[str, list[dict[str, Any] | None]] = {
    "okex_ws [json]": results((100.0, 10.0), (110.0, 9.0), (90.0, 11.0)),
    "okex_ws [orjson]": results((200.0, 5.0), (200.0, 5.0), (200.0, 5.0)),
    "(the limit) [json]": results((400.0, 8.0), (400.0, 9.0), (400.0, 5.5)),
    "peer [json]": results((50.0, 20.0), (55.0, 27.0), (90.0, 11.0)),
}


def test_a_ratio_of_throughput_is_ours_over_its() -> None:
    row = throughput.row("peer [json]", THROUGHPUT)
    assert row["rate"] == [50.0, 55.0, 90.0]
    assert row["rate_ratio_json"] == [1.0, 2.0, 2.0]
    assert row["rate_ratio_orjson"] == pytest.approx([200 / 90, 200 / 55, 4.0])
    # Of the CPU it is its over ours, so that more is better for ours there too.
    assert row["cpu_ratio_json"] == [1.0, 2.0, 3.0]
    ours = throughput.row("okex_ws [json]", THROUGHPUT)
    assert ours["over_limit_json"] == [1.0, 1.25, 2.0]


def test_a_parser_that_was_not_used_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    row = throughput.row("okex_ws [orjson]", THROUGHPUT)
    assert row["unused"]
    throughput.show(group_of(THROUGHPUT))
    shown = capsys.readouterr().out
    assert "okex_ws [orjson]: not used" in shown
    assert "2.00 (1.00-2.00)" in shown
    assert "30%" in shown
    assert "a package    " in shown
    assert "broken" in shown


def group_of(found: dict[str, list[dict[str, Any] | None]]) -> dict[str, Any]:
    """A group of throughput."""
    return {
        "stream": V5_BOOKS5,
        "transport": TLS,
        "source": "made up",
        "bytes": 400.0,
        "missing": ["a package"],
        "failures": {"peer [orjson]": "broken"},
        "rows": [throughput.row(name, found) for name in found],
        "rounds": found,
    }


# --- Lateness -----------------------------------------------------------------------


def test_a_message_is_as_late_as_the_first_moment_at_which_it_could_be_had() -> None:
    stamps = [10, 20, 30, 40]
    # The second was never seen: the third replaced it. The last never came.
    assert latenesses(stamps, [12, 36], [1, 3], 100) == [2, 16, 6, 60]
    assert latenesses(stamps, [45], [4], 100) == [35, 25, 15, 5]


def test_a_backlog_is_what_was_not_had_when_the_last_was_sent() -> None:
    stamps = [10, 20, 30, 40]
    assert backlog(stamps, [12, 22, 32, 42], [1, 2, 3, 4]) == 0
    assert backlog(stamps, [12, 45], [1, 4]) == 2
    assert backlog(stamps, [50], [4]) == 3


def test_percentiles_are_in_milliseconds_and_the_worst_is_among_them() -> None:
    found = percentiles("read", [n * MS for n in range(1000, 0, -1)])
    assert found == {
        "read_p50": 501.0,
        "read_p99": 991.0,
        "read_p99.9": 1000.0,
        "read_worst": 1000.0,
    }


def late_result(p50: float, p99: float) -> dict[str, Any]:
    """What one turn of a contestant gave."""
    names = ("read_p99.9", "read_worst", "read_behind", "read_backlog")
    rest = dict.fromkeys((*names, "refused", "reads", "cpu"), 1.0)
    return {"read_p50": p50, "read_p99": p99, **rest}


def late_group() -> dict[str, Any]:
    """A group of lateness."""
    found: dict[str, list[dict[str, Any] | None]] = {
        "okex_ws": [late_result(1.0, 2.0), late_result(2.0, 2.0)],
        "peer": [late_result(3.0, 1.0), None],
    }
    setting = Setting(LOOP, 1000)
    return {
        "setting": setting._asdict(),
        "name": setting.name,
        "missing": [],
        "failures": {},
        "rows": [lateness.row(name, found, "okex_ws") for name in found],
        "rounds": found,
    }


def test_a_ratio_of_lateness_is_its_over_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = late_group()
    peer = group["rows"][1]
    assert peer["read_p50_ratio"] == [3.0, 3.0, 3.0]
    assert peer["read_p99_ratio"] == [0.5, 0.5, 0.5]
    lateness.show(group)
    assert "peer: read" in capsys.readouterr().out


def test_the_settings_that_are_chosen_are_of_all_there_are() -> None:
    assert set(SETTINGS) <= set(FULL)
    assert len({setting.name for setting in FULL}) == len(FULL)


def test_who_is_compared_in_a_setting_follows_the_same_stream() -> None:
    for setting in (Setting(IDLE, 100), Setting(IDLE, 100, stream=V3_DEPTH5)):
        found = lateness.turns_of([OURS, *PEERS], setting)
        assert found[0].entry == OURS
        assert {turn.stream.name for turn in found} == {setting.stream}
        assert all(setting.stream in turn.entry.streams for turn in found)


# --- Scale, JSON, the picture ---------------------------------------------------------


def test_growth_is_the_slope_of_a_straight_line() -> None:
    assert scale.slope([(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]) == pytest.approx(2.0)
    assert scale.slope([(0.0, 5.0), (1.0, 6.0), (2.0, 5.0)]) == pytest.approx(0.0)


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    report.keep(path, {"a": [math.nan, 1.5, (math.inf,)], "b": {"c": 2}})
    assert json.loads(path.read_text()) == {"a": [None, 1.5, [None]], "b": {"c": 2}}


def found_of_all() -> dict[str, Any]:
    """What a run keeps."""
    grown = {"instruments": 10, "samples": [(0.0, 50.0), (60.0, 51.0)]}
    return {
        "throughput": [group_of(THROUGHPUT)],
        "lateness": [late_group()],
        "scale": [grown],
    }


def test_there_is_a_panel_for_each_table() -> None:
    assert [size for size, _ in plot.panels_of(found_of_all())] == [4, 4, 8]
    assert plot.panels_of({}) == []


def test_a_picture_is_drawn_of_what_was_kept(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("not installed: matplotlib")
    kept, path = tmp_path / "found.json", tmp_path / "found.png"
    report.keep(kept, found_of_all())
    # In a process of its own: it keeps its fonts' files open.
    command = [sys.executable, "-m", "tests.benchmarks.plot", str(kept), str(path)]
    subprocess.run(command, check=True, timeout=50)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plot.draw(tmp_path / "found.png", found_of_all())


# --- The goals ------------------------------------------------------------------------


def test_a_goal_is_the_median_of_ours_over_a_peer_of_the_same_parser() -> None:
    found = {**THROUGHPUT, "aiohttp [json]": THROUGHPUT["peer [json]"]}
    lines = {goal.name: goal for goal in goals.goals({"throughput": [group_of(found)]})}
    where = f"{V5_BOOKS5}, {TLS}"
    faster = lines[f"{where}: ours / aiohttp, json"]
    assert (faster.found, faster.wanted, faster.reached) == (2.0, 1.3, True)
    cost = lines[f"{where}: CPU / limit, json"]
    assert (cost.found, cost.reached) == (1.25, True)
    assert not cost._replace(found=1.36).reached
    # Of the worst round: a script that had no turn is not made good by another.
    looks = lines[f"{where}: looks of the script, json"]
    assert (looks.found, looks.reached) == (0.3, False)
    assert not cost._replace(found=math.nan).reached


def test_a_goal_of_lateness_is_the_earliest_peer_over_ours() -> None:
    names = {"okex_ws": "okex_ws [json]", "peer": "peer [json]"}
    group = late_group()
    for row in group["rows"]:
        row["name"] = names[row["name"]]
    isolated = lateness.row("isolated", {"isolated": [late_result(0.1, 0.9)]}, None)
    group["rows"].append({**isolated, "name": f"{ISOLATED.name} [json]"})
    late, fast, never = goals.goals({"lateness": [group]})
    assert (late.found, late.reached) == (0.5, False)
    assert (fast.found, fast.reached) == (0.9, True)
    # The made up one was behind by one, and refused one read.
    assert (never.found, never.reached) == (2.0, False)


def test_a_goal_of_scale_is_of_a_thousand_instruments_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {
        "instruments": 1000,
        "messages a second": 5000.0,
        "CPU, of one core": 0.19,
        "MiB more a minute": 0.3,
        "minutes": 10.0,
    }
    lines = goals.goals({"scale": [{**found, "instruments": 100}, found]})
    assert [goal.reached for goal in lines] == [True, False]
    # Of a short time no growth is told.
    assert len(goals.goals({"scale": [{**found, "minutes": 0.2}]})) == 1
    goals.show(lines)
    assert "NOT REACHED" in capsys.readouterr().out


# --- The command ----------------------------------------------------------------------


def test_only_takes_those_whose_name_has_it_in_it() -> None:
    assert [entry.name for entry in chosen(["limit", "seed"])] == [
        LIMIT.name,
        "the seed's class",
    ]
    assert late(["okex_ws"])[0] == OURS
    assert LIMIT not in late([])


def test_the_command_measures_shows_and_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    options = ["--rounds", "1", "--seconds", "0.1", "--stream", V3_DEPTH5]
    only = ["--only", "seed", "limit", "--transport", PLAIN, "--json", str(path)]
    assert main(["throughput", "limit", *options, *only]) == 0
    found = json.loads(path.read_text())
    (group,) = found["throughput"]
    assert "the seed's class [json]" in {row["name"] for row in group["rows"]}
    assert group["failures"] == {}
    assert found["versions"]["okex_ws"]
    shown = capsys.readouterr().out
    assert "the seed's class [json]" in shown
    assert "json, check" in shown


def test_the_limit_is_told_in_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "json, parse", "cpu": [1.0, 2.0, 3.0]}]
    limit.show({"stream": NAMES[0], "rows": rows})
    assert "2.00" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["speed", "profile limit"])
def test_what_is_not_known_is_refused(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(what.split())
    assert "WHAT is of throughput" in capsys.readouterr().err


def test_a_feed_is_measured_by_its_instruments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = scale.measure([1, 3], 60.0, 1.0)
    assert [each["instruments"] for each in found] == [1, 3]
    assert all(each["messages a second"] > 0 for each in found)
    assert not math.isnan(found[1]["KiB an instrument"])
    scale.show(found)
    assert "CPU us a message" in capsys.readouterr().out
