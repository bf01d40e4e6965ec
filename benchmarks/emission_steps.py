"""Steps of the emission's operator as benchmarks need them: the recurrence with its history, and ring-in in time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from emission_cases import QUARTZ, WATER
from torch import Tensor

from hmm_plating.compiled import kernel
from hmm_plating.emission import kernels
from hmm_plating.emission.kernels.collision import collide_all, collide_block, collide_d2q9
from hmm_plating.emission.kernels.lanczos import add, advance
from hmm_plating.emission.kernels.layout import LANES, shift_of
from hmm_plating.emission.kernels.streaming import bilinear, fill_ghosts, pull, workspace
from hmm_plating.emission.numba_solver import reflection_planes, transforms
from hmm_plating.emission.problem import SOLID, set_up


class Problem(NamedTuple):
    """One surface at one overtone: `operator` as the kernels take it, then A f = β in blocks, from the guess `start`.

    Attributes:
        operator: lattice, box, links, wet, factors, reflection, fourier.
        start: first guess, with its residual and corrected load; constant: load of f = 0.
        flat: load of the flat surface, from which the excess counts.
    """

    operator: tuple[Any, ...]
    source: np.ndarray
    start: np.ndarray
    residual: np.ndarray
    constant: complex
    load: complex
    flat: complex


def problem(fraction: Tensor, spacing: float, overtone: int = 3, real: type = np.float64) -> Problem:
    """Set up a surface (y, x) or (z, y, x) as `solve` does."""
    cells = fraction.numpy().reshape(-1, *fraction.shape[-2:])
    liquid = set_up(fraction, spacing, [overtone], WATER, QUARTZ, (), None, fraction.ndim)
    stencil = kernels.stencil(liquid.lattice, np.float64)
    depth, _, width = cells.shape
    fourier, reflections = transforms(depth, width), reflection_planes(liquid, depth, width)

    def prepared(guess: np.ndarray) -> tuple[Any, ...]:
        wave, medium = (
            (liquid.waves[0], liquid.wavenumbers[0], reflections[0]),
            liquid.medium.numpy().reshape(cells.shape),
        )
        return kernels.prepare_surface(stencil, cells, medium, liquid.media[0], *wave, fourier, SOLID, guess)

    planes = 2 * len(stencil.weights)
    _, box, links, wet, _, factors, start, residual, load, ghosts = prepared(np.empty((0, *cells.shape)))
    _, _, _, _, _, _, _, source, constant, _ = prepared(np.zeros((planes, *cells.shape)))
    operator = (
        kernels.stencil(liquid.lattice, real),
        box,
        links,
        wet.astype(real),
        factors.astype(real),
        reflections[0].astype(real),
        tuple(part.astype(real) for part in fourier),
    )
    flat = liquid.flat_load[0] * liquid.area + ghosts
    return Problem(operator, *(b.astype(real) for b in (source, start, residual)), constant, load, flat)


@kernel
def recurrence_loads(lattice, box, links, wet, factors, reflection, fourier, v, previous, g, load, history):
    """The recurrence of `correct_load`, without a rule to stop: its load after each application, into `history`.

    history[k] takes k + 1 applications, the residual of the first guess, `v`, counted.
    """
    work, scratch = workspace(lattice, box)
    previous[:] = 0
    norm = collide_all(v, factors, g, lattice, box, scratch)
    first_norm, former_norm, former_scale = abs(norm), norm, 1.0
    eta = pivot = 1.0 + 0.0j
    history[0] = load
    for step in range(1, history.size):
        scale = math.sqrt(first_norm / abs(norm))
        beta = scale / former_scale * norm / former_norm if step > 1 else 0.0j
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, False)
        alpha = 0.0j
        for block in range(box.blocks):
            for i in range(lattice.weights.size):
                alpha += advance(v, previous, g, wet, block, i, lattice, box, scale, beta)
        alpha /= norm
        pivot = (alpha - beta / (former_scale * pivot)) / scale if step > 1 else alpha / scale
        load += eta * eta * norm / pivot / 3
        history[step] = load
        eta = -eta / (scale * pivot)
        former_norm, former_scale, norm = norm, scale, 0.0j
        for block in range(box.blocks):
            add(previous[block], -alpha, v[block])
            norm += collide_block(previous, factors, g, block, lattice, box, scratch)
        v, previous = previous, v


@kernel
def ring_in_loads(lattice, box, links, wet, factors, reflection, fourier, f, source, constant, every, plain, corrected):
    """Iterate f ← S C f + β; the plain and the corrected load at every `every`-th step, into two arrays."""
    work, scratch = workspace(lattice, box)
    g = np.zeros((2 * lattice.weights.size, box.slots), lattice.weights.dtype)
    residual, arriving = np.empty_like(f), np.empty_like(f[0])
    for step in range(plain.size * every):
        collide_all(f, factors, g, lattice, box, scratch)
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, False)
        for block in range(box.blocks):
            pull(g, block, lattice, box, wet[block], arriving)
            for k in range(arriving.size):
                residual[block, k] = arriving[k] + source[block, k] - f[block, k]
                f[block, k] = arriving[k] + source[block, k]
        if step % every == 0:
            # `residual` is that of the field whose collision is `g`
            plain[step // every] = constant + bilinear(source, g, lattice, box) / 3
            corrected[step // every] = plain[step // every] + bilinear(residual, g, lattice, box) / 3


@kernel
def split_steps(lattice, box, links, wet, factors, reflection, fourier, f, g, steps):
    """`steps` steps of ring-in over a flat crystal in two passes: collide all, then stream all."""
    work, scratch = workspace(lattice, box)
    for _ in range(steps):
        collide_all(f, factors, g, lattice, box, scratch)
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, True)
        for block in range(box.blocks):
            pull(g, block, lattice, box, wet[block], f[block])


@kernel
def fused_steps(lattice, box, links, wet, factors, reflection, fourier, g, other, steps):
    """The same in one pass, D2Q9: each block is pulled into a buffer, collides there and leaves for a second array."""
    work, scratch = workspace(lattice, box)
    arriving, left = np.empty(2 * lattice.weights.size * LANES, g.dtype), scratch[8:]
    for _ in range(steps):
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, True)
        for block in range(box.blocks):
            pull(g, block, lattice, box, wet[block], arriving)
            collide_d2q9(arriving, factors[block], left.reshape(-1), lattice)
            start = box.first + block * LANES
            for plane in range(len(left)):
                target, source = other[plane, start : start + LANES], left[plane]
                for x in range(LANES):
                    target[x] = source[x]
        g, other = other, g


@kernel
def stream_steps(lattice, box, g, other, steps):
    """What `fused_steps` reads and writes of the populations and nothing else: no collision, no factors, no ghosts."""
    half = lattice.weights.size
    for _ in range(steps):
        for block in range(box.blocks):
            start = box.first + block * LANES
            for i in range(half):
                upstream = start - shift_of(i, lattice, box)
                for plane in (i, half + i):
                    target, source = other[plane, start : start + LANES], g[plane, upstream : upstream + LANES]
                    for x in range(LANES):
                        target[x] = source[x]
        g, other = other, g
