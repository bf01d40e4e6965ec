"""Top boundary: the exact response of the discrete half space of liquid above the box, per lateral Fourier mode.

Scattering of a slab is found by doubling (Redheffer star product; van de Hulst 1963), which converges quadratically in
the number of doublings because every lateral mode decays with height.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hmm_plating.emission.lattice import (
    DOWNWARD,
    LEVEL,
    UPWARD,
    VELOCITIES,
    WEIGHTS,
    Relaxation,
    collision_matrix,
)

_DOUBLINGS = 60  # the mean pressure decays only as 1/height; 2^60 rows bring it to round-off


@lru_cache(maxsize=256)
def reflection(relaxation: Relaxation, width: int) -> np.ndarray:
    """Reflection R(q): populations that fall into the top row from those that leave it upwards.

    Args:
        relaxation: collision of the liquid.
        width: number of cells of the lateral period.

    Returns:
        complex (width, 3, 3): mode as in numpy.fft, DOWNWARD arriving, UPWARD leaving (post-collision).
        W⁻¹R is symmetric under q → −q (reciprocity), so the whole operator stays complex symmetric.
    """
    collision = collision_matrix(relaxation)
    mode = 2 * np.pi * np.fft.fftfreq(width)
    phase = np.exp(-1j * mode[:, None] * VELOCITIES[:, 0])
    identity = np.eye(3)

    # one row: level populations eliminated, so that it maps arriving (up, down) to leaving (up, down)
    vertical = np.concatenate([UPWARD, DOWNWARD])
    level = np.linalg.solve(
        identity - phase[:, LEVEL, None] * collision[np.ix_(LEVEL, LEVEL)],
        phase[:, LEVEL, None] * collision[np.ix_(LEVEL, vertical)],
    )
    row = collision[np.ix_(vertical, vertical)] + collision[np.ix_(vertical, LEVEL)] @ level
    row = phase[:, vertical, None] * row
    up_transmission, down_reflection = row[:, :3, :3], row[:, :3, 3:]
    up_reflection, down_transmission = row[:, 3:, :3], row[:, 3:, 3:]
    for _ in range(_DOUBLINGS):
        between = np.linalg.inv(identity - down_reflection @ up_reflection)
        up_between = between @ up_transmission
        down_between = between @ down_reflection @ down_transmission
        up_reflection, down_reflection, up_transmission, down_transmission = (
            up_reflection + down_transmission @ up_reflection @ up_between,
            down_reflection + up_transmission @ down_between,
            up_transmission @ up_between,
            down_transmission @ (down_transmission + up_reflection @ down_between),
        )
    response = up_reflection * phase[:, None, UPWARD]
    # No net flow crosses the boundary, so the mean pressure is free; letting its mode leave fixes it without a load.
    weights = WEIGHTS[UPWARD]
    response[0] -= np.outer(weights, np.ones(3)) / weights.sum()
    response.setflags(write=False)
    return response
