"""Entry points: the parts of a solve, and the whole for one surface at one overtone in one call.

Between two calls a thread waits for the interpreter; the whole is therefore compiled as one.
"""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import inlined, kernel
from hmm_plating.emission.kernels import gradient as gradients
from hmm_plating.emission.kernels import lanczos, surface

prepare_surface, correct_load, unpack, differentiate = (
    kernel(part) for part in (surface.prepare_surface, lanczos.correct_load, surface.unpack, gradients.differentiate)
)
_prepare_surface, _correct_load, _unpack, _differentiate = (
    inlined(part) for part in (surface.prepare_surface, lanczos.correct_load, surface.unpack, gradients.differentiate)
)


@kernel
def solve_surface(
    lattice,
    fraction,
    medium,
    media,
    wave,
    wavenumber,
    flat_load,
    reflection,
    fourier,
    threshold,
    relative,
    absolute,
    most,
    guess,
    field,
    gradient,
):
    """Load of one surface at one overtone in double precision.

    Args:
        lattice to threshold: as of `prepare_surface`; flat_load: of a flat wall per cell of area.
        relative, absolute, most: as of `correct_load`.
        guess: (planes, z, y, x), field to start from, or of length 0.
        field: (planes, z, y, x), receives the solution, or of length 0 if it is not wanted.
        gradient: complex (z, y, x), receives the gradient, for which no row is cropped, or of length 0.

    Returns:
        load per cell of area, applications, estimated error per cell of area, status.
    """
    crop, area = gradient.shape[0] == 0, fraction.shape[0] * fraction.shape[2]
    bottom, box, links, wet, factors, start, residual, first_load, ghosts = _prepare_surface(
        lattice, fraction, medium, media, wave, wavenumber, reflection, fourier, threshold, crop, guess
    )
    reference = flat_load * area + ghosts
    keep = field.shape[0] > 0 or not crop
    correction = np.zeros(residual.shape if keep else (0, 0))
    load, applications, estimate, status = _correct_load(
        lattice,
        box,
        links,
        wet,
        factors,
        reflection,
        fourier,
        residual,
        1.0,
        first_load,
        reference,
        relative,
        absolute,
        most,
        correction,
    )
    if field.shape[0] > 0:
        _unpack(start, correction, 1.0, wet, lattice, box, bottom, field)
    if not crop:
        _differentiate(lattice, box, bottom, fraction, medium, media, threshold, start, correction, 1.0, gradient)
    return (load - ghosts) / area, applications, estimate / area, status
