"""``okex-ws help``: the pages of the guide, in a terminal and in a pipe."""

from __future__ import annotations

import re
import sys

import pytest

from okex_ws.cli import main
from okex_ws.cli.exits import GOOD, USAGE
from tests.support.cli_running import Terminal
from tests.support.pages import TOPICS


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["help", *arguments]) == GOOD
    return capsys.readouterr().out


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_in_a_pipe_is_its_markdown(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, topic) == TOPICS[topic]


def test_without_a_topic_it_lists_the_pages_with_their_titles(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line.split(maxsplit=1) for line in told(capsys).splitlines()]

    assert [topic for topic, _ in lines] == [*TOPICS]
    assert all(f"# {title}\n" in TOPICS[topic] for topic, title in lines)


@pytest.mark.parametrize("name", ["Market Making", "market-making.md", "MARKET-MAKING"])
def test_a_topic_may_be_written_as_people_write_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, *name.split()) == TOPICS["market-making"]


def test_the_name_of_a_command_shows_its_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "usage: okex-ws watch" in told(capsys, "watch")


@pytest.mark.parametrize(
    ("name", "meant"), [("thrust", "trust"), ("cause", "causes"), ("docter", "doctor")]
)
def test_a_wrong_topic_is_answered_with_the_nearest(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", name]) == USAGE

    said = capsys.readouterr().err
    assert f"no page is called {name!r}; did you mean {meant!r}?" in said
    assert ", ".join(TOPICS) in said


def test_a_topic_that_is_near_to_none_gets_the_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["help", "../trust", "\x1b[31m"]) == USAGE

    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "asyncio" in said


def test_on_a_terminal_rich_draws_the_page() -> None:
    pytest.importorskip("rich")
    with Terminal("help", "causes", columns=160) as terminal:
        assert terminal.end() == GOOD
        plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.sent)

    assert "\x1b[" in terminal.sent
    assert "closed-by-exchange" in plain
    assert "|---|" not in plain
    assert max(map(len, plain.splitlines())) <= 100


def test_on_a_terminal_without_rich_it_prints_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    assert told(capsys, "trust") == TOPICS["trust"]
