"""Top boundary: the exact response of the discrete half space of liquid above the box, per lateral Fourier mode.

Scattering of a slab is found by doubling (Redheffer star product; van de Hulst 1963), which converges quadratically in
the number of doublings because every lateral mode decays with height.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hmm_plating.emission.lattice import Lattice, Relaxation, collision_matrix

_DOUBLINGS = 60  # the mean pressure decays only as 1/height; 2^60 rows bring it to round-off
_OPAQUE = 1e-20  # a slab that transmits less reflects as the half space


@lru_cache(maxsize=64)
def reflection(lattice: Lattice, relaxation: Relaxation, period: tuple[int, ...]) -> np.ndarray:
    """Reflection R(q): populations that fall into the top row from those that leave it upwards.

    Args:
        lattice, relaxation: collision of the liquid.
        period: cells of the lateral period, (x,) or (z, x).

    Returns:
        complex (*period, lane, lane): modes as in numpy.fft, `downward` arriving, `upward` leaving (post-collision).
        W⁻¹R is symmetric under q → −q (reciprocity), so the whole operator stays complex symmetric.
    """
    collision, phase = collision_matrix(lattice, relaxation), _phases(lattice, period)
    upward, level = lattice.upward, lattice.level
    lanes = len(upward)
    identity = np.eye(lanes)

    # one row: level populations eliminated, so that it maps arriving (up, down) to leaving (up, down)
    vertical = np.concatenate([upward, lattice.downward])
    held = np.linalg.solve(
        np.eye(len(level)) - phase[:, level, None] * collision[np.ix_(level, level)],
        phase[:, level, None] * collision[np.ix_(level, vertical)],
    )
    row = collision[np.ix_(vertical, vertical)] + collision[np.ix_(vertical, level)] @ held
    row = phase[:, vertical, None] * row
    up_transmission, down_reflection = row[:, :lanes, :lanes], row[:, :lanes, lanes:]
    up_reflection, down_transmission = row[:, lanes:, :lanes], row[:, lanes:, lanes:]
    response, pending = up_reflection.copy(), np.arange(len(phase))
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
        response[pending] = up_reflection
        open_ = np.abs(up_transmission).max(axis=(1, 2)) > _OPAQUE
        pending = pending[open_]
        up_reflection, down_reflection, up_transmission, down_transmission = (
            part[open_] for part in (up_reflection, down_reflection, up_transmission, down_transmission)
        )
    response *= phase[:, None, upward]
    # No net flow crosses the boundary, so the mean pressure is free; letting its mode leave fixes it without a load.
    weights = lattice.weights[upward]
    response[0] -= np.outer(weights, np.ones(lanes)) / weights.sum()
    response.setflags(write=False)
    return response.reshape(*period, lanes, lanes)


@lru_cache(maxsize=64)
def continuation(lattice: Lattice, relaxation: Relaxation, period: tuple[int, ...]) -> np.ndarray:
    """Populations that arrive in a row of the half space from those that leave the row below it upwards.

    Returns:
        complex (*period, population, lane): all populations arriving, `upward` leaving; arguments as of `reflection`.
    """
    collision, phase = collision_matrix(lattice, relaxation), _phases(lattice, period)
    upward, level, count = lattice.upward, lattice.level, len(lattice.weights)
    streaming, entering = (
        np.zeros((len(phase), count, count), complex),
        np.zeros((len(phase), count, len(upward)), complex),
    )
    streaming[:, level, level] = phase[:, level]
    response = reflection(lattice, relaxation, period).reshape(len(phase), len(upward), len(upward))
    streaming[:, lattice.downward[:, None], upward] = response
    entering[:, upward, np.arange(len(upward))] = phase[:, upward]
    arriving = np.linalg.solve(np.eye(count) - streaming @ collision, entering)
    arriving.setflags(write=False)
    return arriving.reshape(*period, count, len(upward))


def _phases(lattice: Lattice, period: tuple[int, ...]) -> np.ndarray:
    """Factor by which each mode of each population changes as it streams, complex (mode, population)."""
    modes = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(cells) for cells in period), indexing="ij")
    lateral = lattice.velocities[:, [2, 0][-len(period) :]]
    return np.exp(-1j * sum(np.multiply.outer(q.reshape(-1), c) for q, c in zip(modes, lateral.T, strict=True)))
