"""What made a file: the versions of this package and of those that decide its numbers."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("hmm_plating", "torch", "pyro-ppl", "numpy", "numba", "arviz", "xarray")


def versions() -> str:
    """Python and packages with their versions, in one line."""
    return " ".join([f"python {platform.python_version()}", *(f"{package} {version(package)}" for package in PACKAGES)])
