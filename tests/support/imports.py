"""Forgets that a package was imported, for tests of its import."""

from __future__ import annotations

import sys

import pytest


def forget_import(patch: pytest.MonkeyPatch, package: str) -> None:
    """Have the next import of *package* run it and all of its modules anew."""
    parent, _, name = package.rpartition(".")
    patch.delattr(sys.modules[parent], name, raising=False)
    for loaded in list(sys.modules):
        if loaded == package or loaded.startswith(f"{package}."):
            patch.delitem(sys.modules, loaded)
