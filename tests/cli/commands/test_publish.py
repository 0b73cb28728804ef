"""``okex-ws publish``, and what ``watch``, ``record`` and ``doctor`` make of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws.cli import main
from okex_ws.cli.arguments import REDIS_SECRET
from okex_ws.cli.commands import publish
from okex_ws.cli.exits import FAILED, GOOD, STALE, USAGE
from tests.support.cli_running import start
from tests.support.programs import Start, end_of
from tests.support.recorder_taps import until
from tests.support.redis_server import RedisServer

__all__ = ["start"]  # a fixture


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def publishing(redis: RedisServer) -> Iterator[RedisServer]:
    """A server to which another thread publishes for as long as the test lasts."""
    ended = threading.Event()
    to = ["publish", "BTC-USDT", "--local", "--to", redis.url, "--lease", "2"]

    def run() -> None:
        codes.append(main([*to, "--for", "25"]))
        ended.set()

    codes: list[int] = []
    thread = threading.Thread(target=run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish.time, "sleep", lambda wait: ended.wait(min(wait, 0.1)))
        patch.setattr(publish, "progress", lambda text: stop.is_set() and _end())
        stop = threading.Event()
        thread.start()
        until(lambda: redis.call("EXISTS", "{okx}:test:okx:0:leader"))
        yield redis
        stop.set()
        thread.join(20)


def _end() -> None:
    raise KeyboardInterrupt


def test_it_says_what_it_publishes_and_where(
    redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["publish", "BTC-USDT", "ETH-USDT", "--local", "--to", redis.url]
    assert main([*command, "--for", "1.5"]) == GOOD

    out, err = capsys.readouterr()
    assert out == ""
    where = rf"redis://127\.0\.0\.1:{redis.port}/0"
    assert re.search(rf"{where}: 6 channels, 2 of 2 live, \d+ messages, .* s\n$", err)


def test_a_server_that_is_not_there_is_said(
    redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.kill()
    command = ["publish", "BTC-USDT", "--local", "--to", redis.url, "--for", "0.5"]
    assert main(command) in (GOOD, STALE)

    assert "NOT CONNECTED: redis://" in capsys.readouterr().err


@pytest.mark.parametrize("screen", [False, True])
def test_watch_gives_the_prices_of_another_machine(
    publishing: RedisServer, screen: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    # What `publish` publishes by default is what `watch` reads, on a screen too.
    channels = ["--channels", "depth,trade"] if screen else []
    command = ["watch", "BTC-USDT", *channels, "--once", "--via", publishing.url]
    assert main(command) == GOOD

    assert "BTC-USDT" in capsys.readouterr().out


def test_record_writes_what_came_by_redis(
    publishing: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.rec.gz"
    command = ["record", "BTC-USDT", "-o", str(path), "--for", "3"]
    assert main([*command, "--via", publishing.url]) == GOOD

    assert "LIVE" in capsys.readouterr().err
    assert path.stat().st_size > 100


def test_doctor_names_each_link_of_the_way(
    publishing: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--via", publishing.url]) == GOOD

    out = capsys.readouterr().out
    assert "logged in as 'default', database 0" in out
    assert "it may read, and publish too" in out
    assert re.search(r"vouches for \d channels \(books.*lease 2 s", out)
    assert "prices come" in out


def test_doctor_says_that_no_producer_is_there(
    redis: RedisServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okex_ws.cli.diagnosis.relay._PATIENCE", 0.5)
    assert main(["doctor", "--via", redis.url]) == FAILED

    out = capsys.readouterr().out
    assert "no beat of a producer 'test'" in out
    assert "is `okex-ws publish` running" in out


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_password_comes_from_the_environment_or_a_file(
    how: str,
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    redis.call("ACL", "SETUSER", "sub", "on", ">a b/c", "~*", "&*", "+@all")
    url = redis.url.replace("redis://", "redis://sub@")
    more = []
    if how == "variable":
        monkeypatch.setenv(REDIS_SECRET, "a b/c")
    else:
        (tmp_path / "secret").write_text("a b/c\n")
        more = ["--redis-password-file", str(tmp_path / "secret")]
    monkeypatch.setattr("okex_ws.cli.diagnosis.relay._PATIENCE", 0.2)

    main(["doctor", "--via", url, *more])

    assert "logged in as 'sub'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch", "--via", "redis://sub:secret@127.0.0.1"],
        ["publish", "--local", "--to", "redis://pub:secret@127.0.0.1"],
    ],
)
def test_a_password_in_an_argument_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE

    err = capsys.readouterr().err
    assert "other users of this machine see the arguments" in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["watch", "--via", "http://x"], "via is a URL"),
        (["watch", "--via", "redis://x", "--local"], "another place"),
        (["watch", "--via", "redis://x", "--proxy", "http://y"], "another place"),
        (["watch", "--via", "redis://x", "--url", "wss://y"], "another place"),
        (["doctor", "--via", "redis://x/y"], "number of a database"),
        (["publish", "--local", "--to", "redis://x?a=b"], "name= alone"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE

    assert why in capsys.readouterr().err


def test_a_signal_ends_it_as_ctrl_c_does(redis: RedisServer, start: Start) -> None:
    program = start("publish", "--local", "--to", redis.url)
    until(lambda: redis.call("EXISTS", "{okx}:test:okx:0:leader"))

    program.terminate()

    code, err = end_of(program)
    assert code == GOOD, err
    assert redis.call("EXISTS", "{okx}:test:okx:0:leader") == 0
