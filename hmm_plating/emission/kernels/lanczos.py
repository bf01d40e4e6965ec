"""The complex symmetric Lanczos recurrence in the form of the load, and the load that it converges to.

With ⟨u, v⟩ = uᵀ G v, in which A = I − SC is self-adjoint, the vectors v₁ = r₀, v_{k+1} = s_k (A v_k − α_k v_k) − β_k v_{k−1}
are orthogonal and the load is Z₀ + ⅓ ⟨v₁, v₁⟩ (T⁻¹)₁₁ with T their tridiagonal matrix: three vectors and two passes
over the cells per step. It is COCG (van der Vorst and Melissen, IEEE Trans. Magn. 26 (1990) 706), whose residuals
are η_k v_k and whose directions, needed for the field alone, are p_k = η_k v_k + ρ_k/ρ_{k−1} p_{k−1}.
"""

from __future__ import annotations

import math

import numpy as np

from hmm_plating.emission.kernels.collision import collide_all, planes_of
from hmm_plating.emission.kernels.compiled import inlined
from hmm_plating.emission.kernels.layout import LANES, box_of, find_links, place_of, shift_of
from hmm_plating.emission.kernels.streaming import bilinear, fill_ghosts, pull

CONVERGED, NOT_CONVERGED = 0, 1


@inlined
def advance(v, previous, g, wet, lattice, box, scale, beta):
    """previous = scale (v − S F) − β previous with flat F = C v and filled ghosts; returns ⟨v, previous⟩."""
    real, half = v.dtype.type, lattice.weights.size
    s, br, bi = real(scale), real(beta.real), real(beta.imag)
    re = im = 0.0
    for block in range(box.blocks):
        here, liquid = box.first + block * LANES, wet[block]
        for i in range(half):
            back, up = lattice.opposite[i], here - shift_of(i, lattice, box)
            left_r, left_i = g[i, up : up + LANES], g[half + i, up : up + LANES]
            back_r, back_i = g[back, here : here + LANES], g[half + back, here : here + LANES]
            own_r, own_i = planes_of(v[block], i, half)
            old_r, old_i = planes_of(previous[block], i, half)
            sr = si = real(0)
            for x in range(LANES):
                a = s * (own_r[x] - liquid[x] * left_r[x]) - br * old_r[x] + bi * old_i[x]
                b = s * (own_i[x] - liquid[x] * left_i[x]) - br * old_i[x] - bi * old_r[x]
                old_r[x] = a
                old_i[x] = b
                sr += a * back_r[x] - b * back_i[x]
                si += a * back_i[x] + b * back_r[x]
            re += lattice.inverse_weights[i] * sr
            im += lattice.inverse_weights[i] * si
    return complex(re, im)


@inlined
def add(target, alpha, other):
    """target += α other, in blocks."""
    ar, ai = target.dtype.type(alpha.real), target.dtype.type(alpha.imag)
    count = np.uintp(target.shape[1] // 2)
    for block in range(target.shape[0]):
        to, of = target[block], other[block]
        for k in range(count):
            to[k] += ar * of[k] - ai * of[count + k]
        for k in range(count):
            to[count + k] += ar * of[count + k] + ai * of[k]


@inlined
def redirect(p, beta, eta, v):
    """p = η v + β p, in blocks."""
    real = p.dtype.type
    br, bi, er, ei = real(beta.real), real(beta.imag), real(eta.real), real(eta.imag)
    count = np.uintp(p.shape[1] // 2)
    for block in range(p.shape[0]):
        to, of = p[block], v[block]
        for k in range(count):
            pr, pi = to[k], to[count + k]
            to[k] = er * of[k] - ei * of[count + k] + br * pr - bi * pi
            to[count + k] = er * of[count + k] + ei * of[k] + br * pi + bi * pr


@inlined
def motion(lattice, held, links, wet, g, source, box, reflection_r, reflection_i, fourier, work):
    """Blocks of the source β, the motion of crystal and metal; returns the constant of the load.

    `held` has B in blocks (2 LANES); `g` is overwritten.
    """
    half, real = lattice.weights.size, lattice.weights.dtype.type
    for block in range(box.blocks):
        for i in range(half):
            push, start = real(6) * lattice.weights[i] * real(lattice.cx[i]), box.first + block * LANES
            for x in range(LANES):
                g[i, start + x] = push * held[block, x]
                g[half + i, start + x] = push * held[block, LANES + x]
    fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, True)
    load = 0.0j
    for block in range(box.blocks):
        pull(g, block, lattice, box, wet[block], source[block])
        for x in range(LANES):
            arriving = 0.0j
            for i in range(half):
                arriving += lattice.cx[i] * complex(source[block, i * LANES + x], source[block, (half + i) * LANES + x])
            load += 2.0 * complex(held[block, x], held[block, LANES + x]) * (1.0 - arriving)
    for link in range(links.shape[0]):
        i, index = links[link, 0], links[link, 2] - box.first
        block, lane = index // LANES, index % LANES
        load += lattice.weights[i] * lattice.cx[i] ** 2 * (
            6.0 - 12.0 * complex(held[block, lane], held[block, LANES + lane])
        )
    return load


@inlined
def solve_pair(
    lattice,
    saturation,
    solid,
    factors,
    reflection,
    fourier,
    excess_reference,
    relative,
    absolute,
    most,
    guessed,
    keep,
    field,
):
    """Load of one surface at one overtone; `field` (planes, z, y, x) holds the initial guess.

    Args:
        lattice: Stencil.
        saturation: B, complex (z, y, x); solid: bool (z, y, x), no solid cell in the top row.
        factors: blocks of K/2, O/2 and M as in `collision`.
        reflection: half space, complex (z, x, lane, lane).
        fourier: as in `fill_ghosts`.
        excess_reference: load from which the excess is counted for the relative tolerance.
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units.
        most: upper limit of operator applications.
        guessed: whether `field` differs from 0; keep: whether it receives the solution, which the load does not need.

    Returns:
        load (lattice units, summed over the area), applications, estimated error of the load, status.
    """
    box = box_of(solid, lattice)
    depth, height, width = box.depth, box.height, box.width
    half, lanes, real = lattice.weights.size, lattice.upward.size, field.dtype
    floor = 1e-14 if field.itemsize == 8 else 1e-6  # of the load, what rounding leaves
    planes, count = 2 * half, box.blocks
    links = find_links(solid, lattice, box)
    work = (
        np.empty((lanes, depth, width), real),
        np.empty((lanes, depth, width), real),
        np.empty((lanes, depth, width), real),
        np.empty((lanes, depth, width), real),
    )
    reflection_r, reflection_i = np.empty((lanes, lanes, depth, width), real), np.empty((lanes, lanes, depth, width), real)
    for z in range(depth):
        for q in range(width):
            for i in range(lanes):
                for j in range(lanes):
                    reflection_r[i, j, z, q] = reflection[z, q, i, j].real / (depth * width)
                    reflection_i[i, j, z, q] = reflection[z, q, i, j].imag / (depth * width)
    scratch = np.empty((8 + planes, LANES), real)
    held = np.zeros((count, 2 * LANES), real)
    wet = np.zeros((count, LANES), real)
    v, previous = np.zeros((count, planes * LANES), real), np.zeros((count, planes * LANES), real)
    g = np.zeros((planes, box.slots), real)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not solid[z, y, x]:
                    block, lane = place_of(z, y, x, box)
                    wet[block, lane] = 1
                    held[block, lane] = saturation[z, y, x].real
                    held[block, LANES + lane] = saturation[z, y, x].imag

    load = motion(lattice, held, links, wet, g, previous, box, reflection_r, reflection_i, fourier, work)
    f = p = v[:0]
    if keep or guessed:
        f = np.zeros(v.shape, real)
    if keep:
        p = np.zeros(v.shape, real)
    if guessed:
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    if not solid[z, y, x]:
                        block, lane = place_of(z, y, x, box)
                        for plane in range(planes):
                            f[block, plane * LANES + lane] = field[plane, z, y, x]
        collide_all(f, factors, g, lattice, box, scratch)
        load += bilinear(previous, g, lattice, box) / 3
        # r₀ = β − A f, and the correction ⟨f, r₀⟩ of the guess
        add(v, 1.0 + 0.0j, previous)
        fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, False)
        add(previous, -1.0 + 0.0j, previous)
        advance(f, previous, g, wet, lattice, box, 1.0, 0.0j)
        add(v, -1.0 + 0.0j, previous)
        load += bilinear(v, g, lattice, box) / 3
        add(previous, -1.0 + 0.0j, previous)
    else:
        v, previous = previous, v

    history = np.empty(most + 1, np.complex128)
    history[0] = load
    norm = collide_all(v, factors, g, lattice, box, scratch)
    first_norm, former_norm, former_scale, former_rho = abs(norm), 1.0 + 0.0j, 1.0, 1.0 + 0.0j
    eta = pivot = 1.0 + 0.0j
    status, applications, estimate = NOT_CONVERGED, 1, np.inf
    for step in range(1, most + 1):
        if norm == 0:
            status, estimate = CONVERGED, 0.0
            break
        scale = math.sqrt(first_norm / abs(norm))  # keeps single precision from under- and overflow
        beta = scale / former_scale * norm / former_norm if step > 1 else 0.0j
        fill_ghosts(g, lattice, links, box, reflection_r, reflection_i, fourier, work, False)
        alpha = advance(v, previous, g, wet, lattice, box, scale, beta) / norm
        applications += 1
        pivot = (alpha - beta / (former_scale * pivot)) / scale if step > 1 else alpha / scale
        if pivot == 0:
            break
        rho = eta * eta * norm
        load += rho / pivot / 3
        if keep:
            redirect(p, rho / former_rho if step > 1 else 0.0j, eta, v)
            add(f, 1 / pivot, p)
        history[step] = load
        window = 8 + step // 4
        if step >= window:
            estimate = 0.0
            for past in range(step - window, step):
                estimate = max(estimate, abs(history[past] - load))
            if estimate <= max(absolute, relative * abs(load - excess_reference), floor * abs(load)):
                status = CONVERGED
                break
        eta = -eta / (scale * pivot)
        add(previous, -alpha, v)
        v, previous = previous, v
        former_norm, former_scale, former_rho = norm, scale, rho
        norm = collide_all(v, factors, g, lattice, box, scratch)

    for z in range(depth if keep else 0):
        for y in range(height):
            for x in range(width):
                block, lane = place_of(z, y, x, box)
                for i in range(half):
                    # solid cells move with the crystal
                    rigid = 3.0 * lattice.weights[i] * lattice.cx[i]
                    field[i, z, y, x] = rigid if solid[z, y, x] else f[block, i * LANES + lane]
                    field[half + i, z, y, x] = 0.0 if solid[z, y, x] else f[block, (half + i) * LANES + lane]
    return load, applications, estimate, status
