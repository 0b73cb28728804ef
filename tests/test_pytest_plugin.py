"""The pytest plugin, as a user's own suite meets it: runs of pytest inside the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

# Here, so that no run inside a test is the first to import it: pytester forgets those.
import okex_ws.local_exchange
from okex_ws import VENUES, pytest_plugin

for _each in okex_ws.__all__:  # so, too, what a public name loads when it is used
    getattr(okex_ws, _each)


pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[1] / "examples"
NAME, MODULE = "okex_ws", "okex_ws.pytest_plugin"
INSTALLED = any(point.value == MODULE for point in entry_points(group="pytest11"))
# Strict as a careful user is.
OPTIONS = ("--strict-markers", "-W", "error")
if not INSTALLED:  # an environment that is older than the plugin
    OPTIONS += ("-p", MODULE, "-W", "ignore::pytest.PytestAssertRewriteWarning")

# The programs of the docstring, by the name of the file in their first line.
PROGRAMS = {
    found[1]: textwrap.dedent(found[0])
    for found in re.finditer(
        r"^ {4}# (\w+\.py)\n(?:(?: {4}.*)?\n)*",
        str(pytest_plugin.__doc__),
        re.MULTILINE,
    )
}


def run(
    pytester: pytest.Pytester, tests: str, *options: str, apart: bool = False
) -> pytest.RunResult:
    """Run *tests*; *apart* from this process, where they could leave it other."""
    pytester.makepyfile(tests)
    how = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
    return how(*OPTIONS, *options)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("okex_ws")]


# --- What the docstring shows -------------------------------------------------------


def test_the_bot_of_the_docstring_passes_its_test(pytester: pytest.Pytester) -> None:
    for name, text in PROGRAMS.items():
        pytester.path.joinpath(name).write_text(text, "utf-8")

    result = pytester.runpytest_subprocess(*OPTIONS)

    assert set(PROGRAMS) == {"bot.py", "test_bot.py"}
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_bot_of_the_examples_passes_its_tests(pytester: pytest.Pytester) -> None:
    for name in ("bot.py", "test_bot.py"):
        shutil.copy(EXAMPLES / name, pytester.path)

    pytester.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=5)


def test_no_fault_of_the_machine_ends_the_tests_of_another_project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin is imported in each run, and what it needs only by its fixtures."""
    broken = pytester.mkdir("broken")
    for name in ("websocket", "websockets", "six", "httpx", "trustme", "ctypes"):
        broken.joinpath(f"{name}.py").write_text("raise SystemExit(1)", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    monkeypatch.setenv("MPLBACKEND", "module://absent")
    for name in ("SSL_CERT_FILE", "SSLKEYLOGFILE"):
        monkeypatch.setenv(name, "/absent/file")
    monkeypatch.setenv("all_proxy", "socks5://proxy.invalid")

    run(pytester, "def test_own(): pass", apart=True).assert_outcomes(passed=1)


def test_the_test_of_the_docstring_has_five_lines() -> None:
    _, _, test = PROGRAMS["test_bot.py"].strip().partition("\n\n")

    assert test.count("\n") == 4


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("okx_is_local.silence()", "okx_is_local.plain_pong()"),  # no stall
        ("max_age=0.5, ", ""),  # a bot that takes any age
    ],
)
def test_the_test_of_the_docstring_fails_where_it_should(
    change: str, to: str, pytester: pytest.Pytester
) -> None:
    for name, text in PROGRAMS.items():
        shorter = text.replace(change, to).replace("pulled.wait(10)", "pulled.wait(1)")
        # A busy machine would be a stall, too.
        patient = shorter.replace("max_age=0.5", "max_age=20")
        pytester.path.joinpath(name).write_text(patient, "utf-8")

    result = pytester.runpytest_inprocess(*OPTIONS)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*assert bot.pulled.wait(1)"])
    assert threads() == []


# --- Its start ----------------------------------------------------------------------


def test_pytest_finds_it_by_its_entry_point() -> None:
    found = {
        (point.name, point.value)
        for point in distribution("okex-ws").entry_points
        if point.group == "pytest11"
    }

    assert found == {(NAME, MODULE)}, "pip install -e '.[test]' again: it has changed"


def test_it_imports_nothing_that_its_fixtures_alone_need() -> None:
    program = (
        "import sys, pytest, dataclasses; before = set(sys.modules)\n"
        f"import {MODULE}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.split() == ["okex_ws", MODULE]


def test_help_shows_it_where_pytest_is_not_installed() -> None:
    program = (
        "import sys, pydoc; sys.modules['pytest'] = None\n"
        f"print(pydoc.plain(pydoc.render_doc({MODULE!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert "okx_is_local(local_exchange" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_it_is_left_alone_by_a_suite_that_does_not_use_it(
    pytester: pytest.Pytester,
) -> None:
    tests = """
        import sys

        def test_a_user_of_something_else():
            assert "okex_ws.local_exchange" not in sys.modules
    """

    run(pytester, tests, apart=True).assert_outcomes(passed=1)


def test_its_marker_is_listed(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*OPTIONS, "--markers")

    result.stdout.fnmatch_lines(["@pytest.mark.local_exchange(?*keywords): ?*"])


def test_without_the_extra_a_fixture_says_what_to_install(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest("import sys; sys.modules['trustme'] = None")
    tests = "def test_a(local_exchange): pass\ndef test_b(okx_is_local): pass"

    result = run(pytester, tests, apart=True)

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*: pip install 'okex-ws[[]local]' *"])
    result.stdout.no_fnmatch_line("*Traceback*")


# --- The marker ---------------------------------------------------------------------


def test_a_marker_gives_the_keywords_and_the_nearest_goes_first(
    pytester: pytest.Pytester,
) -> None:
    tests = """
        import pytest

        pytestmark = pytest.mark.local_exchange(pace=3, clock_offset=7)

        def test_of_the_module(local_exchange):
            assert (local_exchange.pace, local_exchange.clock_offset) == (3, 7)
            assert local_exchange.url.startswith("ws://127.0.0.1:")

        @pytest.mark.local_exchange(pace=5, tls=True)
        class TestClass:
            def test_of_the_class(self, local_exchange):
                assert (local_exchange.pace, local_exchange.clock_offset) == (5, 7)
                assert local_exchange.url.startswith("wss://127.0.0.1:")

            @pytest.mark.local_exchange(pace=9)
            def test_of_its_own(self, local_exchange, okx_is_local):
                assert (local_exchange.pace, local_exchange.clock_offset) == (9, 7)
                assert local_exchange.url.startswith("wss://127.0.0.1:")
                assert okx_is_local is local_exchange
    """

    run(pytester, tests).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("paces=3, tsl=True", "has no 'paces', 'tsl'; it has seed, instruments, *"),
        ("7, tls=True", "takes keywords only, got 7"),
        ("pace=-1", "ValueError: *pace*"),
    ],
)
def test_a_marker_that_cannot_be_right_is_an_error_that_says_so(
    marker: str, said: str, pytester: pytest.Pytester
) -> None:
    tests = f"""
        import pytest

        @pytest.mark.local_exchange({marker})
        def test_that_is_not_begun(local_exchange):
            pass
    """

    result = run(pytester, tests)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{said}"])
    assert threads() == []


# --- The names ----------------------------------------------------------------------


def test_every_shipped_name_is_the_local_exchange_and_then_as_before(
    pytester: pytest.Pytester,
) -> None:
    tests = """
        import pytest
        from okex_ws import VENUES, Feed

        @pytest.mark.parametrize("name", VENUES)
        def test_meanwhile(name, okx_is_local, caplog):
            before = okx_is_local.clients
            with Feed(name) as feed:
                feed.subscribe(["BTC-USDT"], "spot")
                feed.wait_live(20)
                assert feed.venue.name == name
                assert okx_is_local.clients == before + 1
            assert not caplog.records  # none is retired any more

        def test_afterwards():
            assert not any("127." in str(v.endpoints) for v in VENUES.values())
    """
    shipped = dict(VENUES)

    run(pytester, tests).assert_outcomes(passed=len(VENUES) + 1)

    assert shipped == VENUES


def test_a_venue_keeps_what_is_known_of_its_markets(pytester: pytest.Pytester) -> None:
    tests = """
        from okex_ws import VENUES

        KEPT = ("name", "protocol", "markets", "idle_repeat", "depths_per_connection")
        shipped = {n: [getattr(v, k) for k in KEPT] for n, v in VENUES.items()}

        def test_what_stays(okx_is_local):
            moved = {n: [getattr(v, k) for k in KEPT] for n, v in VENUES.items()}
            assert moved == shipped
            assert VENUES["okx"].endpoints == (okx_is_local.url_v5,)
            assert VENUES["okj-v3"].endpoints == (okx_is_local.url,)
    """

    run(pytester, tests).assert_outcomes(passed=1)


def test_the_past_is_asked_of_the_local_exchange_too(
    pytester: pytest.Pytester,
) -> None:
    pytest.importorskip("httpx")
    tests = """
        from okex_ws.rest import Rest

        def test_the_past(okx_is_local):
            with Rest("okx") as rest:
                assert len(rest.trades("BTC-USDT", limit=3)) == 3
            assert okx_is_local.rest_requests
    """

    run(pytester, tests).assert_outcomes(passed=1)


def test_its_certificate_is_trusted_by_who_trusts_the_system(
    pytester: pytest.Pytester,
) -> None:
    tests = """
        import os, ssl
        import pytest
        from okex_ws import WSSubscription

        before = len(ssl.create_default_context().get_ca_certs())

        @pytest.mark.local_exchange(tls=True)
        def test_a_bot_that_knows_nothing_of_it(okx_is_local):
            trusted = len(ssl.create_default_context().get_ca_certs())
            assert trusted == before + 1
            with WSSubscription("BTC-USDT", "spot", venue="okx") as okx:
                okx.wait_live(20)
            os.environ["LEFT"] = os.environ["SSL_CERT_FILE"]

        def test_afterwards():
            assert not os.path.exists(os.environ.pop("LEFT"))
            assert len(ssl.create_default_context().get_ca_certs()) == before
    """

    run(pytester, tests).assert_outcomes(passed=2)


def test_a_server_context_of_the_users_own_is_his_own_to_trust(
    pytester: pytest.Pytester,
) -> None:
    tests = """
        import os, ssl
        import pytest

        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        before = os.environ.get("SSL_CERT_FILE")

        @pytest.mark.local_exchange(tls=server)
        def test_that_the_file_is_as_before(okx_is_local):
            assert okx_is_local.url.startswith("wss:")
            assert os.environ.get("SSL_CERT_FILE") == before
    """

    run(pytester, tests).assert_outcomes(passed=1)


def test_the_environment_has_a_key_that_it_knows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKX_API_KEY", "the-user's-own")
    tests = """
        import os
        import pytest
        from okex_ws import Credentials, Data, Feed, RawSubscription

        def test_a_bot_that_logs_in(okx_is_local):
            with Feed("okx", credentials=Credentials.from_env()) as feed:
                account = RawSubscription([{"channel": "account"}], feed=feed)
                items = account.updates(timeout=20)
                assert any(isinstance(item, Data) for item in items)

        @pytest.mark.local_exchange(credentials=())
        def test_an_exchange_that_knows_nobody(okx_is_local):
            assert not any(name.startswith("OKX_") for name in os.environ)
    """

    run(pytester, tests).assert_outcomes(passed=2)

    assert os.environ["OKX_API_KEY"] == "the-user's-own"


@pytest.mark.parametrize("spared", ["", "example.com", "*"])
def test_no_proxy_of_the_environment_stands_before_it(
    spared: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv("no_proxy", spared)
    tests = """
        import urllib.request
        from okex_ws import WSSubscription

        def test_a_bot(okx_is_local):
            with WSSubscription("BTC-USDT", "spot", venue="okx") as okx:
                okx.wait_live(20)

        def test_its_venue(local_exchange):
            venue = local_exchange.venue
            with WSSubscription("BTC-USDT", "spot", venue=venue) as okx:
                okx.wait_live(20)
            assert urllib.request.proxy_bypass("example.com") is SPARED
    """

    run(pytester, tests.replace("SPARED", str(bool(spared)))).assert_outcomes(passed=2)

    assert os.environ["no_proxy"] == spared


# --- The end ------------------------------------------------------------------------


def test_nothing_is_left_however_a_test_ends(pytester: pytest.Pytester) -> None:
    tests = """
        import socket, threading
        import pytest
        from okex_ws import VENUES, WSSubscription

        ports = []

        def test_passes(okx_is_local):
            ports.append(int(okx_is_local.url.split(":")[2].split("/")[0]))

        @pytest.mark.local_exchange(tls=True)
        def test_fails_with_a_client_on_the_line(okx_is_local, request):
            ports.append(int(okx_is_local.url.split(":")[2].split("/")[0]))
            okx = WSSubscription("BTC-USDT", "spot", venue="okx")
            request.addfinalizer(okx.close)
            okx.wait_live(20)
            okx_is_local.mute()
            assert 0

        @pytest.fixture
        def broken(local_exchange):
            raise OSError

        def test_is_not_begun(broken):
            pass

        def test_closes_it_itself(local_exchange):
            assert local_exchange.close()

        def test_afterwards():
            for port in ports:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), 5)
            names = [thread.name for thread in threading.enumerate()]
            assert not any(name.startswith("okex_ws") for name in names)
            assert len(ports) == 2
    """

    run(pytester, tests).assert_outcomes(passed=3, failed=1, errors=1)

    assert threads() == []


def test_an_exchange_that_does_not_end_is_told(pytester: pytest.Pytester) -> None:
    tests = """
        def test_a(local_exchange):
            close = local_exchange.close
            local_exchange.close = lambda: close() and False
    """

    result = run(pytester, tests)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the local exchange did not end"])
