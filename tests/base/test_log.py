"""What a log handler raises stays inside the library's log."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws.base.log import LibraryLog, log
from okex_ws.base.threads import mark_library_thread

ERRORS = [ConnectionError("no alert service"), MemoryError(), SystemExit(3)]


class Raising(logging.Handler):
    """A log handler that raises *error* for each record."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.fixture
def attach() -> Iterator[Callable[[logging.Handler], None]]:
    logger = logging.getLogger("okex_ws")
    yield logger.addHandler
    logger.handlers.clear()


def on_a_library_thread(do: Callable[[], object]) -> list[BaseException]:
    raised: list[BaseException] = []

    def run() -> None:
        mark_library_thread()
        try:
            do()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
def test_on_a_thread_of_the_library_nothing_gets_out(
    error: BaseException,
    level: str,
    attach: Callable[[logging.Handler], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    attach(Raising(error))

    assert on_a_library_thread(lambda: getattr(log, level)("%s of %d", "one", 2)) == []


def test_what_a_handler_raises_is_printed_as_logging_prints_it(
    attach: Callable[[logging.Handler], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attach(Raising(ConnectionError("no alert service")))

    log.warning("something")
    assert "no alert service" in capsys.readouterr().err

    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.warning("something")
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr("sys.stderr", None)
    log.warning("something")


def test_on_a_thread_of_the_script_an_order_to_end_passes(
    attach: Callable[[logging.Handler], None],
) -> None:
    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            signal.raise_signal(signal.SIGINT)

    attach(Interrupted())

    with pytest.raises(KeyboardInterrupt):
        log.warning("something")


def test_a_filter_that_raises_stops_nothing() -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ValueError

    logger = logging.getLogger("okex_ws.test_log")
    logger.addFilter(refuse)
    try:
        LibraryLog("okex_ws.test_log").error("something")
    finally:
        logger.removeFilter(refuse)


def test_a_record_names_the_place_that_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")

    log.warning("%s of %d", "one", 2, extra={"event": "trouble"})
    log.log(logging.INFO, "more")

    record: Any = caplog.records[0]
    assert (record.getMessage(), record.event) == ("one of 2", "trouble")
    assert {each.filename for each in caplog.records} == {"test_log.py"}
    assert record.funcName == "test_a_record_names_the_place_that_logged"


def test_a_record_of_another_process_is_logged_if_its_level_is(
    attach: Callable[[logging.Handler], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "okex_ws")
    for level in (logging.INFO, logging.ERROR):
        fields = {"name": "okex_ws", "levelno": level, "msg": str(level)}
        log.handle(logging.makeLogRecord(fields))
    assert [each.msg for each in caplog.records] == [str(logging.ERROR)]

    attach(Raising(SystemExit()))
    record = logging.makeLogRecord({"levelno": logging.ERROR})
    assert on_a_library_thread(lambda: log.handle(record)) == []


def test_what_a_thread_of_a_replay_logs_has_its_own_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    later: list[Callable[[], None]] = []

    def replay() -> None:
        log.date_back(lambda: 1_600_000_000.0)
        log.warning("%d%% were lost", 7)
        log.error("it failed")
        later.append(log.dated(lambda: log.info("told")))

    thread = threading.Thread(target=replay)
    thread.start()
    thread.join()
    later[0]()
    log.dated(lambda: log.info("of today"))()

    when = "at 2020-09-13 12:26:40 UTC, as recorded: "
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.DEBUG, f"{when}7% were lost"),
        (logging.ERROR, f"{when}it failed"),
        (logging.DEBUG, f"{when}told"),
        (logging.INFO, "of today"),
    ]
