"""How kernels are compiled: the entry points are cached, and the functions they call are inlined into them."""

from numba import njit

kernel = njit(fastmath=True, error_model="numpy", nogil=True, cache=True)
# One copy of the machine code: a called copy is optimised apart from a cached one and rounds otherwise.
inlined = njit(fastmath=True, error_model="numpy", nogil=True, forceinline=True)
