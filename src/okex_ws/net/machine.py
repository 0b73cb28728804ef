"""Faults of the user's machine, each with what mends it: packages and certificates.

A fault is found where the library meets it, and is told as what it is: a missing or
foreign package is no refused handshake, and a missing certificate file is no fault of
the exchange.
"""

from __future__ import annotations

import importlib
import os
import re
import ssl
import sys
from datetime import datetime, timezone
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..base.errors import ConnectionLost, printable
from ..base.state import CauseCode

_PIN = "websocket-client==0.46.0"
_OLDEST = (0, 46)
_PIP = f"{Path(sys.executable or 'python').name} -m pip"
_INSTALL = f"{_PIP} install --force-reinstall {_PIN}"
# What the library uses of websocket-client.
_NAMES = ("WebSocket", "WebSocketException", "create_connection", "__version__")

# Codes of OpenSSL's verification (X509_V_ERR): the dates, and the names.
_DATES, _HOST = (9, 10), (62, 64)
# The form of a certificate, which only X509_V_FLAG_X509_STRICT checks: 79 to 94.
_FORM = range(79, 95)
# The files in a folder of certificates that OpenSSL finds.
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def websocket_client(endpoint: str) -> Any:
    """The package websocket-client, whose module is named ``websocket``.

    It is looked for again after a failure, so that a running program finds it once it
    is installed.

    Raises:
        ConnectionLost: with the cause ``PACKAGE``: it is missing, too old or broken, or
            hidden by another module of that name. *endpoint* is the error's.
    """
    try:
        present = _imported()
        if any(not hasattr(present, name) for name in _NAMES):
            raise _foreign(getattr(present, "__file__", None))
        version = str(present.__version__)
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
            raise _Unusable(f"websocket-client {version} is too old", _INSTALL)
    except _Unusable as fault:
        reason, advice = fault.args
        code = CauseCode.PACKAGE
        raise ConnectionLost(
            endpoint, reason, advice=advice, cause_code=code
        ) from fault.__cause__
    return present


class _Unusable(Exception):
    """The reason, and what mends it."""


def _check_place() -> None:
    """Raise if ``websocket`` is no package, before a file of the user's is run."""
    importlib.invalidate_caches()
    spec = find_spec("websocket")
    if spec is None or (spec.origin is None and spec.loader is None):
        raise _Unusable("websocket-client is not installed", _INSTALL)
    if spec.submodule_search_locations is None:
        raise _foreign(spec.origin)


def _imported() -> Any:
    if "websocket" not in sys.modules:
        _check_place()
    try:
        # Not taken out of `sys.modules`: another connection may be importing it, and
        # this statement waits until it has all its names.
        import websocket

        return websocket
    except ImportError as error:
        missing = error.name or ""
        if missing == "six":
            reason, advice = "websocket-client needs six", f"{_PIP} install six"
        elif missing.startswith("six."):
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            reason = f"six {_version('six')} is too old for Python {version}"
            advice = f"{_PIP} install --upgrade six"
        else:
            reason, advice = f"websocket-client is broken: {error}", _INSTALL
        raise _Unusable(reason, advice) from error
    except (Exception, SystemExit) as error:
        spec = find_spec("websocket")
        path = None if spec is None else spec.origin
        raise _foreign(path, f" and raises {error!r}") from error


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", ""))


def _foreign(path: str | None, more: str = "") -> _Unusable:
    """The fault that another module named ``websocket`` is found at *path*."""
    where = (path or "a module without a file").removesuffix(f"{os.sep}__init__.py")
    owners = metadata.packages_distributions().get("websocket", [])
    others = [name for name in owners if name.lower() != "websocket-client"]
    advice = f"rename {printable(where)}"
    if others and Path(where).parent.name in ("site-packages", "dist-packages"):
        advice = f"{_PIP} uninstall {others[0]}, then {_INSTALL}"
    return _Unusable(f"{where} hides websocket-client{more}", advice)


def packages(endpoint: str) -> str:
    """What is installed of what a connection needs, for people.

    It raises what `websocket_client` raises.
    """
    found = websocket_client(endpoint)
    return (
        f"websocket-client {found.__version__} in {Path(found.__file__).parent},"
        f" six {_version('six') or '(none)'}, Python {sys.version.split()[0]},"
        f" {ssl.OPENSSL_VERSION}"
    )


# --- Certificates -------------------------------------------------------------------


def system_context(endpoint: str) -> ssl.SSLContext:
    """A context that trusts what the system trusts, read anew.

    Raises:
        ConnectionLost: with the cause ``CERTIFICATE``: a file that the environment
            names prevents it. *endpoint* is the error's.
    """
    try:
        return ssl.create_default_context()
    except OSError as error:
        path, why = os.environ.get("SSLKEYLOGFILE"), error.strerror or str(error)
        reason = f"TLS cannot begin: {why}"
        advice = "look at OPENSSL_CONF and at this Python's OpenSSL"
        # No other file is opened whose absence is an error.
        if path and not isinstance(error, ssl.SSLError):
            reason = f"SSLKEYLOGFILE={path} cannot be written: {why}"
            advice = "unset SSLKEYLOGFILE, or name a file that can be written"
        code = CauseCode.CERTIFICATE
        raise ConnectionLost(
            endpoint, reason, advice=advice, cause_code=code
        ) from error


def trust_store() -> str:
    """Which certificates of this machine are trusted, for people."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if (path := os.environ.get(name)) is not None:
            return printable(f"{name}={path}")
    paths = ssl.get_default_verify_paths()
    return f"the system's CAs ({paths.cafile or paths.capath or 'none found'})"


def store_fault() -> str:
    """What is wrong with the certificates that this machine trusts, or ``''``."""
    file = os.environ.get("SSL_CERT_FILE")
    if file is not None and (why := _fault_of_file(file)):
        return printable(f"SSL_CERT_FILE={file} {why}")
    folders = os.environ.get("SSL_CERT_DIR")
    if folders is not None and file is None and not _hashed(folders):
        return printable(f"SSL_CERT_DIR={folders} has no certificates named by hash")
    paths = ssl.get_default_verify_paths()
    if file is None and folders is None and os.name != "nt":
        there = paths.cafile or (paths.capath and _hashed(paths.capath))
        return "" if there else "this machine has no CA certificates"
    return ""


def _fault_of_file(path: str) -> str:
    if not path:
        return "is empty"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "holds no certificate (PEM)"
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        return "is not there" if absent else f"cannot be read: {error.strerror}"
    return ""


def _hashed(folders: str) -> bool:
    for folder in folders.split(os.pathsep):
        try:
            if any(_HASHED.fullmatch(name) for name in os.listdir(folder or ".")):
                return True
        except OSError:
            continue
    return False


def remedy(
    error: ssl.SSLCertVerificationError,
    context: ssl.SSLContext,
    given: bool,
    issuer: str = "its issuer",
) -> str:
    """What to do about a certificate that *context* refused.

    *given* is whether the script gave the context. *issuer* is what the issuer is
    called in the sentence.
    """
    code = error.verify_code
    if code in _DATES:
        now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
        return f"is this machine's clock right ({now})? else the exchange must act"
    if code in _HOST:
        return "something else answers in the exchange's place, or the URL is wrong"
    if code in _FORM and context.verify_flags & ssl.VERIFY_X509_STRICT:
        return (
            "VERIFY_X509_STRICT, which Python 3.13 sets, refuses its form: have it"
            " issued anew, or pass an ssl_context without that flag:"
            " context.verify_flags &= ~ssl.VERIFY_X509_STRICT"
        )
    if given:
        return f"{issuer} is not known to the ssl_context that the script gave"
    if fault := store_fault():
        mended = "unset it" if fault.startswith("SSL_") else "install ca-certificates"
        return f"{fault}: {mended}, or name a file of CA certificates in SSL_CERT_FILE"
    return (
        f"{issuer} is not known to {trust_store()}: if it is right that it stands"
        " between you and the exchange, name its CA file in SSL_CERT_FILE"
    )
