"""A package as if it had never been imported, for tests of what its import says."""

from __future__ import annotations

import sys

import pytest


def forget_import(patch: pytest.MonkeyPatch, package: str) -> None:
    """Have the next import of *package*, and of all modules in it, run them anew."""
    parent, _, name = package.rpartition(".")
    patch.delattr(sys.modules[parent], name, raising=False)
    for loaded in list(sys.modules):
        if loaded == package or loaded.startswith(f"{package}."):
            patch.delitem(sys.modules, loaded)
