"""Faults of the user's machine: each is named, with what mends it."""

from __future__ import annotations

import datetime
import re
import ssl
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import ConnectionLost, HandshakeFailed, OkexWSError
from okex_ws.base.state import CauseCode
from okex_ws.net import machine
from okex_ws.net.stream import TcpNetwork
from okex_ws.net.transport import Transport
from tests.support.loopback_servers import (
    LIMIT,
    Server,
    authority,
    client_tls,
    server_tls,
    untraced,
    wait_for_end,
)
from tests.support.scripted_network import ScriptedNetwork, ScriptedStream

URL = "wss://exchange.test/ws/v5"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is first on the path, in a process that has not imported it."""
    machine.websocket_client(URL)  # the real one, which is put back afterwards
    for name in [n for n in sys.modules if n.partition(".")[0] in ("websocket", "six")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def fault() -> ConnectionLost:
    """The error of a connection, which never reaches the network."""
    network = ScriptedNetwork(ScriptedStream(()))
    with pytest.raises(ConnectionLost) as caught:
        Transport.open(network, URL, 0.0, lambda: False)
    assert caught.value.cause.code is CauseCode.PACKAGE
    assert caught.value.endpoint == URL
    assert "\n" not in str(caught.value)
    return caught.value


# --- Packages -----------------------------------------------------------------------


def test_a_file_of_the_users_of_that_name_is_named_and_not_run(nowhere: Path) -> None:
    own = nowhere / "websocket.py"
    own.write_text("raise SystemExit('it was run')\n", "utf-8")

    error = fault()

    assert error.reason == f"{own} hides websocket-client"
    assert error.advice == f"rename {own}"
    assert "websocket" not in sys.modules


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("def connect(): ...\n", ""),
        ("1 / 0\n", " and raises ZeroDivisionError('division by zero')"),
        ("raise SystemExit(3)\n", " and raises SystemExit(3)"),
        ("from . import absent_module\n", None),
    ],
)
def test_another_package_of_that_name_is_named(
    nowhere: Path, text: str, more: str | None
) -> None:
    package = nowhere / "websocket"
    package.mkdir()
    (package / "__init__.py").write_text(text, "utf-8")

    error = fault()

    if more is None:
        assert error.reason.startswith("websocket-client is broken: ")
        assert "install --force-reinstall websocket-client==0.46.0" in error.advice
    else:
        assert error.reason == f"{package} hides websocket-client{more}"
        assert error.advice == f"rename {package}"


def test_another_package_that_was_installed_is_to_be_removed(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = nowhere / "site-packages" / "websocket"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", "utf-8")
    about = package.parent / "websocket-0.2.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: websocket\nVersion: 0.2.1\n", "utf-8")
    (about / "top_level.txt").write_text("websocket\n", "utf-8")
    monkeypatch.syspath_prepend(package.parent)

    error = fault()

    assert " -m pip uninstall websocket, then " in error.advice
    assert error.advice.endswith("websocket-client==0.46.0")


def test_a_module_that_a_script_put_there_is_no_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "websocket", types.ModuleType("websocket"))

    assert fault().reason == "a module without a file hides websocket-client"


def test_a_missing_package_is_found_again_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(machine, "find_spec", lambda name: None)
        patch.delitem(sys.modules, "websocket", raising=False)
        error = fault()

    assert error.reason == "websocket-client is not installed"
    assert error.advice.endswith("websocket-client==0.46.0")
    assert machine.websocket_client(URL).WebSocket
    assert "websocket-client " in machine.packages(URL)


def test_two_connections_that_import_it_at_once_both_have_it(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    """The second one finds a module that has no names yet."""
    gate = types.SimpleNamespace(entered=threading.Event(), opened=threading.Event())
    monkeypatch.setitem(sys.modules, "gate_of_a_test", gate)  # type: ignore[arg-type]
    package = nowhere / "websocket"
    package.mkdir()
    package.joinpath("__init__.py").write_text(
        "import gate_of_a_test as gate\n"
        "gate.entered.set()\n"
        f"gate.opened.wait({LIMIT})\n"
        "WebSocket = WebSocketException = create_connection = object\n"
        "__version__ = '0.46.0'\n",
        "utf-8",
    )
    found: list[object] = []

    def find() -> None:
        try:
            found.append(machine.websocket_client(URL))
        except ConnectionLost as error:
            found.append(error)

    threads = [threading.Thread(target=find) for _ in range(2)]
    threads[0].start()
    assert gate.entered.wait(LIMIT)
    threads[1].start()
    threads[1].join(0.05)
    gate.opened.set()
    for thread in threads:
        thread.join(LIMIT)

    assert found == [sys.modules["websocket"]] * 2


def test_a_version_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.websocket_client(URL), "__version__", "0.9.1")

    assert fault().reason == "websocket-client 0.9.1 is too old"


@pytest.mark.parametrize(
    ("name", "reason", "command"),
    [
        ("six", "websocket-client needs six", "install six"),
        ("six.moves", r"six \S+ is too old for Python 3\.\d+", "install --upgrade six"),
    ],
)
def test_a_six_that_is_missing_or_too_old_is_named_with_the_command(
    nowhere: Path, name: str, reason: str, command: str
) -> None:
    # As Python 3.12 answers an import of the modules that an old six makes.
    package = nowhere / "websocket"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n", "utf-8"
    )

    error = fault()

    assert error.advice.endswith(f" -m pip {command}")
    assert re.fullmatch(reason, error.reason)


def test_a_program_without_ctypes_and_without_output_is_live() -> None:
    """As in a small build of Python, under ``pythonw``."""
    program = """
import sys
sys.modules["_ctypes"] = None
sys.stdout = sys.stderr = None
from okex_ws import WSSubscription
from okex_ws.local_exchange import LocalExchange
with LocalExchange() as exchange:
    with WSSubscription("BTC-USDT", venue=exchange.venue_v5) as okx:
        okx.wait_live(20)
        exchange.drop()
        while not okx.stats().reconnects:
            okx.GetDepth()
        okx.wait_live(20)
        sys.exit(7 if okx.GetDepth() else 8)
"""
    ended = subprocess.run([sys.executable, "-c", program], env=untraced(), timeout=50)

    assert ended.returncode == 7


# --- Certificates -------------------------------------------------------------------


def refused(context: ssl.SSLContext | None, served: ssl.SSLContext) -> OkexWSError:
    """The error of a TLS connection to a server with the context *served*."""
    network = TcpNetwork(ssl_context=context)
    with Server(wait_for_end, served) as server:
        deadline = SystemClock().monotonic() + LIMIT
        url = f"wss://localhost:{server.port}/ws"
        try:
            with pytest.raises(OkexWSError) as caught:
                network.open(url, deadline, lambda: False)
        finally:
            network.close()
    assert caught.value.cause.code is CauseCode.CERTIFICATE
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("content", [None, "", "no certificate", "folder"])
def test_a_certificate_file_that_is_of_no_use_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content, "utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    why = "is not there" if content is None else "holds no certificate (PEM)"
    if content == "folder":
        why = "cannot be read: Is a directory"

    error = refused(None, server_tls())

    assert isinstance(error, HandshakeFailed)
    assert error.advice.startswith(f"SSL_CERT_FILE={path} ")
    assert why in error.advice or content == "folder"


def test_an_empty_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")

    assert refused(None, server_tls()).advice.startswith("SSL_CERT_FILE= is empty")


def test_a_folder_of_certificates_without_any_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    (tmp_path / "ca.pem").write_text("a name that OpenSSL does not look for", "utf-8")

    assert f"SSL_CERT_DIR={tmp_path} has no certificates" in machine.store_fault()
    (tmp_path / "0123abcd.0").touch()
    assert machine.store_fault() == ""
    assert machine.trust_store() == f"SSL_CERT_DIR={tmp_path}"


def test_a_machine_without_certificates_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    paths = types.SimpleNamespace(cafile=None, capath="/nonexistent")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)

    assert machine.store_fault() == "this machine has no CA certificates"


def test_a_good_store_leaves_the_question_who_stands_between(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    authority("another").cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    advice = refused(None, server_tls()).advice

    assert f"its issuer is not known to SSL_CERT_FILE={path}" in advice


def test_a_log_of_keys_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "absent" / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))

    error = refused(None, server_tls())

    assert isinstance(error, ConnectionLost)
    assert error.reason == (
        f"SSLKEYLOGFILE={path} cannot be written: No such file or directory"
    )
    assert error.advice.startswith("unset SSLKEYLOGFILE")


def test_an_openssl_that_cannot_begin_is_no_internal_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> ssl.SSLContext:
        raise ssl.SSLError(1, "unsupported")

    monkeypatch.setattr(ssl, "create_default_context", broken)

    assert refused(None, server_tls()).cause.text.startswith("TLS cannot begin: ")


def corporate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server and a client; the certificate lacks what is strict."""
    key, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.timezone.utc)

    def made(name: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        corp, named = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)])
            for each in ("Corp", name)
        )
        return (
            x509.CertificateBuilder(issuer_name=corp, subject_name=named)
            .public_key(public)
            .serial_number(7)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=9))
        )

    # RFC 5280 wants an authority key identifier in the server's, and more in the CA's.
    alone = x509.BasicConstraints(ca=True, path_length=None)
    ca = made("Corp", key.public_key()).add_extension(alone, False)
    host = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    leaf = made("localhost", own.public_key()).add_extension(host, False)
    root, made_for_us = ca.sign(key, hashes.SHA256()), leaf.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    path = tmp_path / "corp.pem"
    secret = own.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made_for_us.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=root.public_bytes(pem).decode())
    return server, client


def test_a_corporate_certificate_that_a_new_python_refuses_is_told_as_that(
    tmp_path: Path,
) -> None:
    server, client = corporate(tmp_path)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13 sets it

    error = refused(client, server)

    assert "VERIFY_X509_STRICT, which Python 3.13 sets" in error.advice
    assert "context.verify_flags &= ~ssl.VERIFY_X509_STRICT" in error.advice


def test_what_the_scripts_own_context_does_not_know_is_its_own_affair() -> None:
    error = refused(client_tls("another"), server_tls())

    assert "not known to the ssl_context that the script gave" in error.advice
