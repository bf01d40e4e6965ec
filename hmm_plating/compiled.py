"""How kernels are compiled: the entry points are cached, and the functions they call are inlined into them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_SOURCES = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*/kernels/*.py")))
).hexdigest()


def kernel(function: Callable) -> Any:
    """Compile an entry point, kept on disk until any kernel of the package changes."""
    dispatcher: Any = njit(fastmath=True, error_model="numpy", nogil=True, cache=True)(function)
    # Numba watches the file of the function alone, not those of the functions that are inlined into it.
    if hasattr(dispatcher, "_cache"):  # not where compilation is switched off
        index = dispatcher._cache._cache_file
        index._source_stamp = (index._source_stamp, _SOURCES)
    return dispatcher


# One copy of the machine code: a called copy is optimised apart from a cached one and rounds otherwise.
inlined = njit(fastmath=True, error_model="numpy", nogil=True, forceinline=True)

# Too large to be inlined wherever it is called; without fast arithmetic, whose rounding depends on how it is optimised.
called = njit(error_model="numpy", nogil=True)
