"""The complex symmetric Lanczos recurrence in the form of the load, and the load that it converges to.

In the form ⟨u, v⟩ = uᵀ G v, in which A = I − SC is self-adjoint, the vectors v₁ = r₀ and
v_{k+1} = s_k A v_k − α_k v_k − β_k v_{k−1} are orthogonal. With T their tridiagonal matrix the load is
Z₀ + ⅓ ⟨v₁, v₁⟩ (T⁻¹)₁₁: three vectors and two passes over the cells per step. It is COCG (van der Vorst and Melissen,
IEEE Trans. Magn. 26 (1990) 706), whose residuals are η_k v_k and whose directions, needed for the field alone, are
p_k = η_k v_k + ρ_k/ρ_{k−1} p_{k−1}.

A form without conjugation can vanish for a vector that does not. Close to that ⟨v_k, v_k⟩ is what rounding leaves of
large terms (Freund, SIAM J. Sci. Comput. 13 (1992) 425), and the load, which is built of such numbers alone, converges
to a wrong value: with r_k = |⟨v_k, v_k⟩|/Σ|v_k|² what a step adds is off by about ε/(r_k r_{k−1})². The field stays
right, and the recurrence is to be started again from there: after a while where nothing is left of the load, at the end
where the error is merely more than the accepted one.

The load may also rest, for tens of steps, at a value that is wrong by a hundredth or a tenth: of shapes with edges on
fine grids, and with a thin plate a hundred cells high, penetration depths as long, and a start from a recurrence that
broke down after hundreds. So the residual r must be small, too: ⅓ Σ|Re r|² was 0.5 to 1000 times the accepted error
there. To ask for a tenth costs 1 % more applications, as the error is about that sum times |A⁻¹|.
"""

from __future__ import annotations

import math

import numpy as np

from hmm_plating.compiled import inlined
from hmm_plating.emission.kernels.collision import collide_all, collide_block, planes_of
from hmm_plating.emission.kernels.layout import LANES, shift_of
from hmm_plating.emission.kernels.streaming import fill_ghosts, workspace

CONVERGED, NOT_CONVERGED, BREAKDOWN = 0, 1, 2
ROUNDING, ROUNDING_SINGLE = 1e-16, 6e-8  # ε
FAR = 0.1  # ⅓ Σ|Re r|² over the accepted error: beyond, the load rests and has not converged
LOST = 1e-2  # relative error at which nothing is left: single precision takes a hundred times longer
CRUDE = 1e-2  # relative error of the load to which a recurrence that has broken down goes on
GAINED = 0.1  # and of what it changes the load by, or one that starts there would be broken off at once
LONGER = 50  # or to so many steps more than twice those before it broke down, or as many as were made before it


@inlined
def follow(x, p, u, v, i, turn_u, eta_u, turn_v, eta_v, length_p, length_u):
    """Of population i in one block: directions p_u = turn_u p + η_u u, p_v = turn_v p_u + η_v v; the field x gets those
    before p_v, which stays in p. Each a sum over the vectors.
    """
    real, half = x.dtype.type, x.size // (2 * LANES)
    of_p, of_u, from_p, from_u = length_p + length_u * turn_u, length_u * eta_u, turn_v * turn_u, turn_v * eta_u
    lr, li, mr, mi = real(of_p.real), real(of_p.imag), real(of_u.real), real(of_u.imag)
    ar, ai, br, bi = real(from_p.real), real(from_p.imag), real(from_u.real), real(from_u.imag)
    cr, ci = real(eta_v.real), real(eta_v.imag)
    pr, pi = planes_of(p, i, half)
    ur, ui = planes_of(u, i, half)
    vr, vi = planes_of(v, i, half)
    xr, xi = planes_of(x, i, half)
    for k in range(LANES):
        a, b, c, d = pr[k], pi[k], ur[k], ui[k]
        xr[k] += lr * a - li * b + mr * c - mi * d
        xi[k] += lr * b + li * a + mr * d + mi * c
        pr[k] = ar * a - ai * b + br * c - bi * d + cr * vr[k] - ci * vi[k]
        pi[k] = ar * b + ai * a + br * d + bi * c + cr * vi[k] + ci * vr[k]


@inlined
def advance(v, previous, g, wet, block, i, lattice, box, scale, beta):
    """Of population i in one block: previous = scale (v − S F) − β previous, with flat F = C v and filled ghosts.

    Returns its share of ⟨v, previous⟩.
    """
    real, half = v.dtype.type, lattice.weights.size
    s, br, bi = real(scale), real(beta.real), real(beta.imag)
    here, liquid = box.first + block * LANES, wet[block]
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
    return complex(lattice.inverse_weights[i] * sr, lattice.inverse_weights[i] * si)


@inlined
def add(to, alpha, of):
    """One block += α another; returns the sum of squares of the new real parts."""
    real, count = to.dtype.type, to.size // 2
    square = real(0)
    ar, ai = real(alpha.real), real(alpha.imag)
    to_r, to_i, of_r, of_i = to[:count], to[count:], of[:count], of[count:]
    for k in range(count):
        a, b = of_r[k], of_i[k]
        new = to_r[k] + ar * a - ai * b
        to_r[k] = new
        to_i[k] += ar * b + ai * a
        square += new * new
    return square


def correct_load(
    lattice,
    box,
    links,
    wet,
    factors,
    reflection,
    fourier,
    v,
    unit,
    load,
    reference,
    relative,
    absolute,
    most,
    before,
    x,
):
    """Load Z₀ + ⅓ ⟨r₀, A⁻¹ r₀⟩ of one surface at one overtone.

    Args:
        lattice: Stencil; its floating-point type, that of all other arrays, is the one computed in.
        box, links, wet, factors: as `prepare_surface` returns them.
        reflection: half space, real and imaginary part (2, lane, lane, z, x), divided by the number of modes.
        fourier: as in `fill_ghosts`.
        v: r₀ / unit in blocks, overwritten.
        load: Z₀.
        reference: load from which the excess is counted for the relative tolerance.
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units.
        most: upper limit of operator applications.
        before: applications so far, of recurrences that broke down or, in single precision, were to be confirmed. Each
            may take as many, or one that starts close to a null vector would never get to where it converges.
        x: blocks to which A⁻¹ r₀ / unit is added; of length 0 if it is not wanted: the load needs none.

    Returns:
        load (lattice units, summed over the area), applications, estimated error of the load, status.
    """
    keep, half, real = x.shape[0] > 0, lattice.weights.size, v.dtype
    work, scratch = workspace(lattice, box)
    g = np.zeros((2 * half, box.slots), real)
    previous = np.zeros(v.shape, real)
    p = np.zeros(x.shape, real)
    history = np.empty(most, np.complex128)
    history[0] = load
    floor = 1e-14 if v.itemsize == 8 else 1e-6  # of the correction, what rounding leaves
    rounding = ROUNDING if v.itemsize == 8 else ROUNDING_SINGLE
    initial = load
    norm = collide_all(v, factors, g, lattice, box, scratch)
    first_norm, former_norm, former_scale, former_rho = abs(norm), norm, 1.0, norm
    eta = pivot = 1.0 + 0.0j
    turn = former_eta = former_turn = waiting = 0.0j
    former_share, lost, former_added = 1.0, 0.0, 0.0  # r_{k−1}, 1 at most; error of the load by rounding
    applications, estimate, status, sound = 1, np.inf, NOT_CONVERGED, most  # steps before it broke down
    for step in range(1, most):
        if norm == 0:
            estimate, status = 0.0, CONVERGED
            break
        rho = eta * eta * norm
        turn = rho / former_rho if step > 1 else 0.0j
        scale = math.sqrt(first_norm / abs(norm))  # keeps single precision from under- and overflow
        beta = scale / former_scale * norm / former_norm if step > 1 else 0.0j
        fill_ghosts(g, lattice, links, box, reflection[0], reflection[1], fourier, work, False)
        alpha, even = 0.0j, keep and step % 2 == 0
        for block in range(box.blocks):
            for i in range(half):
                if even:  # two steps at once, half the traffic; p is p_{k−2}, whose 1/pivot is known by now
                    at = x[block], p[block], previous[block], v[block], i
                    follow(*at, former_turn, former_eta, turn, eta, waiting, 1 / pivot)
                alpha += advance(v, previous, g, wet, block, i, lattice, box, scale, beta)
        alpha /= norm
        applications += 1
        pivot = (alpha - beta / (former_scale * pivot)) / scale if step > 1 else alpha / scale
        if pivot == 0:
            return load, applications, estimate, status
        load += unit * unit * rho / pivot / 3
        history[step] = load
        waiting = 1 / pivot if step % 2 == 0 else waiting
        former_eta, former_turn, former_rho = eta, turn, rho
        eta = -eta / (scale * pivot)
        former_norm, former_scale = norm, scale
        norm, square = 0.0j, 0.0
        for block in range(box.blocks):
            square += add(previous[block], -alpha, v[block])
            norm += collide_block(previous, factors, g, block, lattice, box, scratch)
        v, previous = previous, v
        window = max(8 + step // 4, 4 + step // 3)
        if step >= window:
            estimate = 0.0
            for past in range(step - window, step):
                estimate = max(estimate, abs(history[past] - load))
            least = max(floor * abs(load - initial), 1e-14 * abs(load))
            excess = abs(load - reference)
            wanted = max(absolute, relative * excess, least)
            broken = step > sound
            if estimate <= wanted and unit * unit * abs(eta) ** 2 * square / 3 <= FAR * wanted:
                left = abs(load - initial) if broken else lost
                status = CONVERGED if left <= wanted else BREAKDOWN
                break
            crude = estimate <= min(CRUDE * excess, GAINED * abs(load - initial))
            if broken and (crude or step >= 2 * sound + max(LONGER, before)):
                status = BREAKDOWN
                break
        share = abs(norm) / square if square > 0 else 1.0
        inaccuracy = min(rounding / (share * former_share) ** 2, 1.0) if share > 0 else 1.0
        added = abs(load - history[step - 1])
        lost = max(lost, inaccuracy * max(added, former_added))
        former_share, former_added = min(share, 1.0), added
        if inaccuracy > LOST:
            sound = min(sound, step)
            if not keep:  # the field is needed to go on
                status = BREAKDOWN
                break
    steps = applications - 1
    for block in range(x.shape[0] if steps > 0 else 0):
        if steps % 2 == 1:
            for i in range(half):
                at = x[block], p[block], previous[block], previous[block], i
                follow(*at, former_turn, former_eta, 0.0j, 0.0j, waiting, 1 / pivot)
        else:
            add(x[block], waiting, p[block])
    return load, applications, estimate, status
