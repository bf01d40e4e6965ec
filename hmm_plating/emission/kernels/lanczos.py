"""The complex symmetric Lanczos recurrence in the form of the load, and the load that it converges to.

In the form ⟨u, v⟩ = uᵀ G v, in which A = I − SC is self-adjoint, the vectors v₁ = r₀ and
v_{k+1} = s_k A v_k − α_k v_k − β_k v_{k−1} are orthogonal. With T their tridiagonal matrix the load is
Z₀ + ⅓ ⟨v₁, v₁⟩ (T⁻¹)₁₁: three vectors and two passes over the cells per step. It is COCG (van der Vorst and Melissen,
IEEE Trans. Magn. 26 (1990) 706), whose residuals are η_k v_k and whose directions, needed for the field alone, are
p_k = η_k v_k + ρ_k/ρ_{k−1} p_{k−1}.
"""

from __future__ import annotations

import math

import numpy as np

from hmm_plating.emission.kernels.collision import collide_all, collide_block, planes_of
from hmm_plating.emission.kernels.compiled import inlined, kernel
from hmm_plating.emission.kernels.layout import LANES, shift_of
from hmm_plating.emission.kernels.streaming import fill_ghosts

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
def add(to, alpha, of):
    """One block += α another."""
    real, count = to.dtype.type, to.size // 2
    ar, ai = real(alpha.real), real(alpha.imag)
    to_r, to_i, of_r, of_i = to[:count], to[count:], of[:count], of[count:]
    for k in range(count):
        a, b = of_r[k], of_i[k]
        to_r[k] += ar * a - ai * b
        to_i[k] += ar * b + ai * a


@inlined
def follow(x, p, v, beta, eta, alpha):
    """One block of directions p = β p + η v, of the field x += α p."""
    real, count = x.dtype.type, x.size // 2
    br, bi, er, ei = real(beta.real), real(beta.imag), real(eta.real), real(eta.imag)
    ar, ai = real(alpha.real), real(alpha.imag)
    p_r, p_i, v_r, v_i, x_r, x_i = p[:count], p[count:], v[:count], v[count:], x[:count], x[count:]
    for k in range(count):
        pr, pi, vr, vi = p_r[k], p_i[k], v_r[k], v_i[k]
        a = er * vr - ei * vi + br * pr - bi * pi
        b = er * vi + ei * vr + br * pi + bi * pr
        p_r[k] = a
        p_i[k] = b
        x_r[k] += ar * a - ai * b
        x_i[k] += ar * b + ai * a


@kernel
def correct_load(
    lattice, box, links, wet, factors, reflection, fourier, v, unit, load, excess_reference, relative, absolute, most, x
):
    """Load Z₀ + ⅓ ⟨r₀, A⁻¹ r₀⟩ of one surface at one overtone.

    Args:
        lattice: Stencil; its floating-point type, that of all other arrays, is the one computed in.
        box, links, wet, factors: as `prepare_surface` returns them.
        reflection: half space, real and imaginary part (2, lane, lane, z, x), divided by the number of modes.
        fourier: as in `fill_ghosts`.
        v: r₀ / unit in blocks, overwritten.
        load: Z₀.
        excess_reference: load from which the excess is counted for the relative tolerance.
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units.
        most: upper limit of operator applications, at least 2.
        x: 0 in blocks, receives A⁻¹ r₀ / unit; of length 0 if it is not wanted, as the load does not need it.

    Returns:
        load (lattice units, summed over the area), applications, estimated error of the load, status.
    """
    lanes, real = lattice.upward.size, v.dtype
    plane = (lanes, box.depth, box.width)
    work = (
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty(plane, real),
        np.empty((8, box.width // 2 + 1), real),
    )
    scratch = np.empty((8 + 2 * lattice.weights.size, LANES), real)
    g = np.zeros((2 * lattice.weights.size, box.slots), real)
    previous, p = np.zeros(v.shape, real), np.zeros(x.shape, real)
    history = np.empty(most, np.complex128)
    history[0] = load
    floor = 1e-14 if v.itemsize == 8 else 1e-6  # of the correction, what rounding leaves
    initial = load
    norm = collide_all(v, factors, g, lattice, box, scratch)
    first_norm, former_norm, former_scale, former_rho = abs(norm), norm, 1.0, norm
    eta = pivot = 1.0 + 0.0j
    applications, estimate = 1, np.inf
    for step in range(1, most):
        if norm == 0:
            return load, applications, 0.0, CONVERGED
        scale = math.sqrt(first_norm / abs(norm))  # keeps single precision from under- and overflow
        beta = scale / former_scale * norm / former_norm if step > 1 else 0.0j
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, False)
        alpha = advance(v, previous, g, wet, lattice, box, scale, beta) / norm
        applications += 1
        pivot = (alpha - beta / (former_scale * pivot)) / scale if step > 1 else alpha / scale
        if pivot == 0:
            break
        rho = eta * eta * norm
        load += unit * unit * rho / pivot / 3
        for block in range(x.shape[0]):
            follow(x[block], p[block], v[block], rho / former_rho if step > 1 else 0.0j, eta, 1 / pivot)
        history[step] = load
        window = 8 + step // 4
        if step >= window:
            estimate = 0.0
            for past in range(step - window, step):
                estimate = max(estimate, abs(history[past] - load))
            least = max(floor * abs(load - initial), 1e-14 * abs(load))
            if estimate <= max(absolute, relative * abs(load - excess_reference), least):
                return load, applications, estimate, CONVERGED
        eta = -eta / (scale * pivot)
        former_norm, former_scale, former_rho = norm, scale, rho
        norm = 0.0j
        for block in range(box.blocks):
            add(previous[block], -alpha, v[block])
            norm += collide_block(previous, factors, g, block, lattice, box, scratch)
        v, previous = previous, v
    return load, applications, estimate, NOT_CONVERGED
