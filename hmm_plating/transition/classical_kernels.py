"""The classical phase field as explicit stencils over (z, y, x), row by row so that the compiler vectorises them.

Working arrays have one ghost cell more on each side of y and x; z is periodic by index, so that a section (depth 1)
costs nothing extra. All numbers are in units of the grid and of one sub-step.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

TINY = 1e-300  # keeps 0/0 out of a flat corner


@njit(cache=True, parallel=True, error_model="numpy")
def advance(order_parameter, concentration, source, coefficients, substeps, fold):
    """Advance every particle in place by its own number of sub-steps.

    Args:
        order_parameter: ξ (particle, z, y, x).
        concentration: c̃ (particle, z, y, x); (particle, 0, 0, 0) where it is uniform.
        source: added to ∂ξ/∂t (particle, z, y, x) or (particle, 0, 0, 0).
        coefficients: (particle, 12), named in `_advance_particle`.
        substeps: (particle,).
        fold: ω_a; without effect where the strength is 0.
    """
    if order_parameter.shape[0] == 1:  # no other threads to wait for
        _advance_particle(order_parameter[0], concentration[0], source[0], coefficients[0], substeps[0], fold)
        return
    for particle in prange(order_parameter.shape[0]):
        _advance_particle(
            order_parameter[particle], concentration[particle], source[particle], coefficients[particle],
            substeps[particle], fold,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _advance_particle(order_parameter, concentration, source, coefficients, substeps, fold):
    gradient, well, forward, backward, ratio, liquid, metal, top, strength, cosine, sine, substep = coefficients
    depth, rows, columns = order_parameter.shape
    transported = concentration.size > 0
    corners = 8 if depth > 1 else 4
    xi, xi_new = padded(order_parameter), padded(order_parameter)
    c, c_new = padded(concentration), padded(concentration)
    mobility = np.empty_like(c)
    curvature = np.empty((depth if strength > 0 else 0, rows, columns))
    work = row_work(columns)
    row = np.empty(columns)
    for _ in range(substeps):
        fill_halo(xi, math.nan)
        if transported:
            fill_halo(c, top)
            _fill_mobility(mobility, xi, liquid, metal)
        if strength > 0:
            anisotropic_laplacian(curvature, xi, work, strength, cosine, sine, fold)
        for k in range(depth):
            for j in range(rows):
                old, new = xi[k, j + 1], xi_new[k, j + 1]
                if strength > 0:
                    row[:] = curvature[k, j] / corners
                else:
                    laplacian_row(row, xi, k, j + 1)
                if transported:
                    _react_row(new, old, row, c[k, j + 1], gradient, well, forward, backward)
                else:
                    _relax_row(new, old, row, gradient, well, forward - backward)
                if source.size > 0:
                    new[1:-1] += substep * source[k, j]
                if transported:
                    _diffusion_row(row, c, mobility, k, j + 1)
                    _consume_row(c_new[k, j + 1], c[k, j + 1], row, new, old, ratio)
        xi, xi_new = xi_new, xi
        c, c_new = c_new, c
    order_parameter[:] = xi[:, 1:-1, 1:-1]
    if transported:
        concentration[:] = c[:, 1:-1, 1:-1]


@njit(cache=True, error_model="numpy")
def padded(field):
    """A copy with one ghost cell more on each side of y and x."""
    depth, rows, columns = field.shape
    copy = np.zeros((depth, rows + 2, columns + 2))
    copy[:, 1:-1, 1:-1] = field
    return copy


@njit(cache=True, error_model="numpy")
def fill_halo(field, top):
    """Ghost cells: mirrored at the bottom and, where `top` is not a number, at the top; else `top` is held on the
    upper face. Periodic in x."""
    depth, rows, columns = field.shape
    held = not math.isnan(top)
    for k in range(depth):
        below, above = field[k, 0], field[k, rows - 1]
        below[:] = field[k, 1]
        above[:] = field[k, rows - 2]
        if held:
            above[:] = 2 * top - field[k, rows - 2]
        for j in range(rows):
            field[k, j, 0], field[k, j, columns - 1] = field[k, j, columns - 2], field[k, j, 1]


@njit(cache=True, error_model="numpy")
def _beside(field, k, j):
    """Rows in front of and behind row j of plane k."""
    depth = field.shape[0]
    return field[k - 1 if k > 0 else depth - 1, j], field[k + 1 if k < depth - 1 else 0, j]


@njit(cache=True, error_model="numpy")
def laplacian_row(out, field, k, j):
    """Five- or seven-point Laplacian of a padded row."""
    lower, middle, upper = field[k, j - 1], field[k, j], field[k, j + 1]
    for i in range(out.size):
        out[i] = (middle[i] + middle[i + 2]) + (lower[i + 1] + upper[i + 1]) - 4 * middle[i + 1]
    if field.shape[0] > 1:
        front, back = _beside(field, k, j)
        for i in range(out.size):
            out[i] += (front[i + 1] + back[i + 1]) - 2 * middle[i + 1]


@njit(cache=True, error_model="numpy")
def _relax_row(new, old, laplacian, gradient, well, drive):
    """Double well, g' = 2p(1 − 2ξ), and reaction, h' = 30p², with p = ξ(1 − ξ)."""
    for i in range(laplacian.size):
        xi = old[i + 1]
        p = xi * (1 - xi)
        new[i + 1] = xi + gradient * laplacian[i] - p * (well * (1 - 2 * xi) + drive * p)


@njit(cache=True, error_model="numpy")
def _react_row(new, old, laplacian, c, gradient, well, forward, backward):
    """As `_relax_row` with the cathodic reaction in proportion to c̃."""
    for i in range(laplacian.size):
        xi = old[i + 1]
        p = xi * (1 - xi)
        drive = forward - backward * c[i + 1]
        new[i + 1] = xi + gradient * laplacian[i] - p * (well * (1 - 2 * xi) + drive * p)


@njit(cache=True, error_model="numpy")
def _fill_mobility(mobility, xi, liquid, metal):
    """½ D(ξ) = ½ [D_l (1 − h) + D_s h], ghost cells included."""
    depth, rows, columns = xi.shape
    for k in range(depth):
        for j in range(rows):
            source, target = xi[k, j], mobility[k, j]
            for i in range(columns):
                v = source[i]
                target[i] = liquid + (metal - liquid) * (v * v * v * (v * (6 * v - 15) + 10))


@njit(cache=True, error_model="numpy")
def _diffusion_row(out, c, mobility, k, j):
    """∇·D∇c̃; both cells at a face compute the same flux to the last bit, so that nothing is lost."""
    lower, middle, upper = c[k, j - 1], c[k, j], c[k, j + 1]
    m_lower, m, m_upper = mobility[k, j - 1], mobility[k, j], mobility[k, j + 1]
    for i in range(out.size):
        here, value = m[i + 1], middle[i + 1]
        lateral = (here + m[i]) * (middle[i] - value) + (here + m[i + 2]) * (middle[i + 2] - value)
        normal = (here + m_lower[i + 1]) * (lower[i + 1] - value) + (here + m_upper[i + 1]) * (upper[i + 1] - value)
        out[i] = lateral + normal
    if c.shape[0] > 1:
        front, back = _beside(c, k, j)
        m_front, m_back = _beside(mobility, k, j)
        for i in range(out.size):
            here, value = m[i + 1], middle[i + 1]
            out[i] += (here + m_front[i + 1]) * (front[i + 1] - value) + (here + m_back[i + 1]) * (back[i + 1] - value)


@njit(cache=True, error_model="numpy")
def _consume_row(c_new, c, diffusion, new, old, ratio):
    for i in range(diffusion.size):
        c_new[i + 1] = c[i + 1] + diffusion[i] - ratio * (new[i + 1] - old[i + 1])


@njit(cache=True, error_model="numpy")
def row_work(columns):
    """Row buffers of `anisotropic_laplacian`: gradients and fluxes along x, y and z."""
    return np.empty((6, columns + 1))


@njit(cache=True, error_model="numpy")
def anisotropic_laplacian(out, field, work, strength, cosine, sine, fold):
    """∇·∂e/∂∇ξ with e = ½ |∇ξ|² a(n) as in `classical`, summed over 4 or 8 corners of each cell.

    Exactly minus the derivative of `classical.free_energy` times the number of corners: each corner's flux
    enters the cells whose difference it belongs to with opposite signs.

    Args:
        out: (z, y, x).
        field: ξ, padded, with its ghost cells filled.
        work: `row_work`.
        strength, cosine, sine, fold: δ_a, cos ωθ_0, sin ωθ_0, ω, which is 4 in three dimensions.
    """
    depth, rows, columns = out.shape
    if depth > 1:  # the crystal's own axes; which of the four angles does not matter to a cube
        angle = 0.25 * math.atan2(sine, cosine)
        cosine, sine = math.cos(angle), math.sin(angle)
    gx, gy, gz, fx, fy, fz = work[0], work[1, :-1], work[2, :-1], work[3], work[4, :-1], work[5, :-1]
    out[:] = 0.0
    for k in range(depth):
        front, back = (k - 1 if k > 0 else depth - 1), (k + 1 if k < depth - 1 else 0)
        for j in range(rows):
            if _roughness(field, k, j + 1) == 0:  # bulk
                continue
            middle, here = field[k, j + 1], out[k, j]
            fx[:] = 0.0
            for i in range(columns + 1):
                gx[i] = middle[i + 1] - middle[i]
            for up in range(2):
                other = field[k, j + 2 * up]
                for i in range(columns):
                    gy[i] = other[i + 1] - middle[i + 1] if up else middle[i + 1] - other[i + 1]
                fy[:] = 0.0
                if depth == 1:
                    _both_sides(gx, gy, gz, fx, fy, fz, strength, cosine, sine, fold, False)
                else:
                    for beyond in range(2):
                        z = back if beyond else front
                        other = field[z, j + 1]
                        for i in range(columns):
                            gz[i] = other[i + 1] - middle[i + 1] if beyond else middle[i + 1] - other[i + 1]
                        fz[:] = 0.0
                        _both_sides(gx, gy, gz, fx, fy, fz, strength, cosine, sine, fold, True)
                        _exchange(here, out[z, j], fz, beyond)
                if 0 <= j + 2 * up - 1 < rows:  # mirrored walls pass nothing
                    _exchange(here, out[k, j + 2 * up - 1], fy, up)
            fx[0] += fx[columns]  # the same face
            fx[columns] = fx[0]
            for i in range(columns):
                here[i] += fx[i + 1] - fx[i]


@njit(cache=True, error_model="numpy", fastmath={"reassoc"})  # so that the sum is vectorised
def _roughness(field, k, j):
    """Sum of |differences| between a padded row and the rows and cells beside it."""
    lower, middle, upper = field[k, j - 1], field[k, j], field[k, j + 1]
    front, back = _beside(field, k, j)
    total = 0.0
    for i in range(middle.size - 1):
        v = middle[i]
        total += abs(middle[i + 1] - v) + abs(lower[i] - v) + abs(upper[i] - v) + abs(front[i] - v) + abs(back[i] - v)
    return total


@njit(cache=True, error_model="numpy")
def _exchange(here, there, flux, forward):
    """Add a flux between two rows, along the axis from `here` to `there` or, not `forward`, against it."""
    sign = 1.0 if forward else -1.0
    for i in range(flux.size):
        here[i] += sign * flux[i]
    for i in range(flux.size):
        there[i] -= sign * flux[i]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _both_sides(gx, gy, gz, fx, fy, fz, strength, cosine, sine, fold, deep):
    """The corners to the left and to the right of each cell of a row; cos and sin of θ_0 if `deep`, else of ωθ_0."""
    for right in range(2):
        gx_side, fx_side = gx[right : right + gy.size], fx[right : right + gy.size]
        # literal exponents let the compiler unroll and vectorise the common symmetries
        if deep:
            _cubic_corner_fluxes(gx_side, gy, gz, fx_side, fy, fz, strength, cosine, sine)
        elif fold == 4:
            _corner_fluxes(gx_side, gy, fx_side, fy, strength, cosine, sine, 4, 1)
        elif fold == 6:
            _corner_fluxes(gx_side, gy, fx_side, fy, strength, cosine, sine, 6, 2)
        else:
            _corner_fluxes(gx_side, gy, fx_side, fy, strength, cosine, sine, fold, (fold - 1) // 2)


@njit(error_model="numpy", inline="always")
def _cubic_corner_fluxes(gx, gy, gz, fx, fy, fz, strength, cosine, sine):
    """Add ∂e/∂∇ξ = p_i [1 + δ_a(8 p_i²/p² − 4 Σ p_j⁴/p⁴ − 3)], p = ∇ξ along the crystal's axes."""
    for i in range(fy.size):
        x, y, z = cosine * gx[i] - sine * gy[i], cosine * gy[i] + sine * gx[i], gz[i]
        inverse = 1 / (x * x + y * y + z * z + TINY)
        a, b, c = x * x * inverse, y * y * inverse, z * z * inverse
        common = 1 - strength * (4 * (a * a + b * b + c * c) + 3)
        x, y = x * (common + 8 * strength * a), y * (common + 8 * strength * b)
        fx[i] += cosine * x + sine * y
        fy[i] += cosine * y - sine * x
        fz[i] += z * (common + 8 * strength * c)


@njit(error_model="numpy", inline="always")
def _corner_fluxes(gx, gy, fx, fy, strength, cosine, sine, fold, squarings):
    """Add ∂e/∂∇ξ of one corner per cell: with u = −(g_y + i g_x) and G = (u/|g|)^(ω−1) |g| e^{−iωθ_0},
    Re[…] = Re(Gu)/|g|² and its derivative times |g|² is ω (Im G, −Re G, 0) − ω Re[…] g."""
    half = 0.5 * fold
    for i in range(fy.size):
        x, y = gx[i], gy[i]
        square = x * x + y * y
        inverse = 1 / (square + TINY)
        re, im = -(y * cosine + x * sine), y * sine - x * cosine
        if fold % 2 == 1:
            re, im = math.sqrt(square) * cosine, -math.sqrt(square) * sine
        base_re, base_im = (y * y - x * x) * inverse, 2 * x * y * inverse  # (u/|g|)²
        for _ in range(squarings):
            re, im = re * base_re - im * base_im, re * base_im + im * base_re
        radial = (1 - half) * (x * im - y * re) * inverse
        fx[i] += x + strength * (radial * x + half * im)
        fy[i] += y + strength * (radial * y - half * re)
