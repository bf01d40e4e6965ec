"""Entry points: the parts of a solve, and the whole for one surface at one overtone in one call.

Between two calls a thread waits for the interpreter; the whole is therefore compiled as one.
"""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import inlined, kernel
from hmm_plating.emission.kernels import gradient as gradients
from hmm_plating.emission.kernels import lanczos, surface

_PARTS = surface.prepare_surface, lanczos.correct_load, surface.unpack, surface.leave_top, gradients.differentiate
prepare_surface, correct_load, unpack, leave_top, differentiate = (kernel(part) for part in _PARTS)
_prepare_surface, _correct_load, _unpack, _leave_top, _differentiate = (inlined(part) for part in _PARTS)


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
    before,
    guess,
    field,
    gradient,
    rising,
):
    """Load of one surface at one overtone in double precision.

    Args:
        lattice to threshold: as of `prepare_surface`; flat_load: of a flat wall per cell of area.
        relative, absolute, most, before: as of `correct_load`.
        guess: (planes, z, y, x), field to start from, or of length 0.
        field: (planes, z, y, x), receives the solution, or of length 0 if it is not wanted.
        gradient: complex (z, y, x), receives the gradient up to the top of the box, or of length 0.
        rising: complex (lane, z, x), then receives what leaves the box upwards.

    Returns:
        load per cell of area, applications, estimated error per cell of area, status, rows up to the top of the box.
    """
    area = fraction.shape[0] * fraction.shape[2]
    bottom, box, links, wet, held, factors, start, residual, first_load, ghosts = _prepare_surface(
        lattice, fraction, medium, media, wave, wavenumber, reflection, fourier, threshold, guess
    )
    reference = flat_load * area + ghosts
    keep = field.shape[0] > 0 or gradient.shape[0] > 0
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
        before,
        start if keep else np.empty((0, 0)),
    )
    if field.shape[0] > 0:
        _unpack(start, wet, lattice, box, bottom, field)
    if gradient.shape[0] > 0:
        _differentiate(lattice, box, bottom, fraction, medium, media, threshold, start, gradient)
        _leave_top(start, held, factors, lattice, box, rising)
    return (load - ghosts) / area, applications, estimate / area, status, bottom + box.height
