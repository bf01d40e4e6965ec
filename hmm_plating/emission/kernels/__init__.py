"""Numba kernels: the recurrence for one surface at one overtone, and the gradient of its load.

Real and imaginary parts are separate planes. What the recurrence combines cell by cell lies in blocks of LANES cells of
one row, (block, planes × LANES), one contiguous stretch each; what streaming reads across cells lies in planes,
(plane, slot), with a ghost slot on either side, a level of ghost rows below and one above. Values that arrive from
crystal, solid cells or the half space are written to the slots they would be pulled from, so that streaming is a plain
shifted read. Loops run over LANES through small buffers with constant offsets, the form that LLVM vectorises; scalars
take the type of the arrays, as a double would turn single precision into double. Everything is serial, in fixed order
and without the interpreter's lock: threads share pairs, never a pair, and the result does not depend on their number.
"""

from hmm_plating.emission.kernels.entry import (
    correct_load,
    differentiate,
    leave_top,
    prepare_surface,
    solve_surface,
    unpack,
)
from hmm_plating.emission.kernels.lanczos import (
    BREAKDOWN,
    CONVERGED,
    CRUDE,
    FAR,
    GAINED,
    LONGER,
    LOST,
    NOT_CONVERGED,
    ROUNDING,
    ROUNDING_SINGLE,
)
from hmm_plating.emission.kernels.layout import stencil
from hmm_plating.emission.kernels.surface import Media

__all__ = [
    "BREAKDOWN",
    "CONVERGED",
    "CRUDE",
    "FAR",
    "GAINED",
    "LONGER",
    "LOST",
    "NOT_CONVERGED",
    "ROUNDING",
    "ROUNDING_SINGLE",
    "Media",
    "correct_load",
    "differentiate",
    "leave_top",
    "prepare_surface",
    "solve_surface",
    "stencil",
    "unpack",
]
