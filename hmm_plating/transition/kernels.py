"""The transition as a Numba kernel: the same arithmetic as `reference`, a few passes over one particle at a time.

Particles are shared among threads; each is advanced serially, so that the result does not depend on their number.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from hmm_plating.transition import reference
from hmm_plating.transition.butler_volmer import solve_overpotential
from hmm_plating.transition.reference import ACTIVE, CLIP, FLAT_SLOPE, PROFILE_RELAXATION, Coefficients, Progress

_largest_substep = njit(cache=True, error_model="numpy")(reference.largest_substep)


def advance(
    progress: Progress, noise: Tensor, c: Coefficients, galvanostatic: bool, base_rows: Tensor, margin: int
) -> Progress:
    """As `reference.advance`, on the CPU in double precision and without gradients."""
    field = progress.order_parameter.detach().to(torch.float64).contiguous().clone().numpy()
    demand, time_left, overpotential, substeps = (
        value.detach().to(torch.float64).clone().contiguous().numpy() for value in progress[1:]
    )
    per_particle = np.stack([value.detach().numpy() for value in c[:5]])
    _advance(
        field,
        demand,
        time_left,
        overpotential,
        substeps,
        noise.detach().to(torch.float64).contiguous().numpy(),
        per_particle,
        c.capillary_length,
        c.transfer_coefficient,
        c.anisotropy_fold,
        c.width,
        galvanostatic,
        base_rows.detach().numpy() > 0,
        margin,
    )
    return Progress(*(torch.from_numpy(value) for value in (field, demand, time_left, overpotential, substeps)))


@njit(cache=True, parallel=True, error_model="numpy")
def _advance(
    field, demand, time_left, overpotential, substeps, noise, per_particle, capillary_length, alpha, fold, width,
    galvanostatic, on_base, margin,
):  # fmt: skip
    for particle in prange(field.shape[0]):
        demand[particle], time_left[particle], overpotential[particle], substeps[particle] = _advance_particle(
            field[particle], demand[particle], time_left[particle], overpotential[particle], substeps[particle],
            noise[particle], per_particle[:, particle], capillary_length, alpha, fold, width, galvanostatic,
            on_base[particle], margin,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _advance_particle(
    xi, demand, time_left, overpotential, substeps, noise, per_particle, capillary_length, alpha, fold, width,
    galvanostatic, on_base, margin,
):  # fmt: skip
    rows, columns = xi.shape
    exchange, strength, cos0, sin0, noise_velocity = per_particle
    beta = 1 - alpha
    t2 = math.tanh(2 / width) ** 2
    distance = np.empty((rows + 2, columns + 2))  # ψ with one cell more on each side
    padded = np.empty((rows + 2, columns + 2))  # ξ likewise
    force = np.empty((rows, columns))
    forward, backward, agitation = (np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, columns)))
    above, above_row = np.empty(columns), np.empty(columns, np.int64)  # normal on the face below a cell of that row
    while time_left > 0 and _may_run(xi, on_base, margin):
        _fill_padded(xi, padded, distance, width)
        _fill_profile_force(padded, force, t2)
        forward[:], backward[:], agitation[:], above_row[:] = 0.0, 0.0, 0.0, -1
        weight_cathodic = weight_anodic = noise_sum = loudest = stiffest = 0.0
        low = high = 0.0  # capillary shift; 0 off the interface
        for j in range(rows):
            beside, right = False, 0.0
            for i in range(columns):
                value = xi[j, i]
                if value * (1 - value) <= ACTIVE:
                    beside = False
                    continue
                # a face shared with the active cell to the left or below was computed there
                left = right if beside else _normal_x(distance, j + 1, i)
                below = above[i] if above_row[i] == j else _normal_y(distance, j, i + 1)
                right, above[i] = _normal_x(distance, j + 1, i + 1), _normal_y(distance, j + 1, i + 1)
                beside, above_row[i] = True, j + 1
                curvature = min(max((left - right) + (below - above[i]), -2 / width), 2 / width)
                stiffness = 1.0
                if strength > 0:
                    stiffness = _stiffness(distance, j + 1, i + 1, strength, cos0, sin0, fold)
                shift = capillary_length * stiffness * curvature
                weight = 4 / width * value * (1 - value)
                force[j, i] += weight * curvature * (1 + 8 / (3 * width**2) * (1 - 6 * value * (1 - value)))
                factor = math.exp(-alpha * shift)
                forward[j, i] = weight * factor
                backward[j, i] = weight / factor if alpha == 0.5 else weight * math.exp(beta * shift)
                agitation[j, i] = weight * noise_velocity * noise[j, i]
                weight_cathodic += forward[j, i]
                weight_anodic += backward[j, i]
                noise_sum += agitation[j, i]
                loudest = max(loudest, abs(noise[j, i]))
                stiffest = max(stiffest, stiffness)
                low, high = min(low, shift), max(high, shift)
        cathodic, anodic = exchange * weight_cathodic / columns, exchange * weight_anodic / columns
        rate = demand / time_left - noise_sum / columns
        y = overpotential
        if galvanostatic:
            y = solve_overpotential(cathodic, anodic, rate, alpha)
        speed = slope = 0.0
        for shift in (low, high):
            plate, strip = exchange * math.exp(-alpha * (y + shift)), exchange * math.exp(beta * (y + shift))
            speed = max(speed, abs(plate - strip))
            slope = max(slope, alpha * plate + beta * strip)
        speed += noise_velocity * loudest
        diffusivity = capillary_length * stiffest * slope
        relaxation = PROFILE_RELAXATION * width * speed + diffusivity
        limit = _largest_substep(relaxation, speed, diffusivity, width, 4 * t2 / (1 - t2))
        count = max(math.ceil(time_left / limit), 1)
        if galvanostatic:
            y = solve_overpotential(cathodic, anodic, rate - relaxation * force.sum() / columns, alpha)
        substep = time_left / count
        plate, strip = exchange * math.exp(-alpha * y), exchange * math.exp(beta * y)
        before = after = 0.0
        for j in range(rows):
            for i in range(columns):
                deposition = plate * forward[j, i] - strip * backward[j, i] + agitation[j, i]
                updated = min(max(xi[j, i] + substep * (deposition + relaxation * force[j, i]), 0.0), 1.0)
                before += xi[j, i]
                after += updated
                xi[j, i] = updated
        demand -= (after - before) / columns
        overpotential = y
        time_left = time_left - substep if count > 1 else 0.0
        substeps += 1
    return demand, time_left, overpotential, substeps


@njit(cache=True, error_model="numpy")
def _may_run(xi, on_base, margin):
    """A surface is there and the window need not shift (`moving_window.must_shift`)."""
    rows, columns = xi.shape
    metal = False
    for j in range(rows):
        for i in range(columns):
            if xi[j, i] > 0.5:
                metal = True
                if j >= rows - 2 * margin:
                    return False
            elif on_base and j < margin:
                return False
    return metal


@njit(cache=True, error_model="numpy")
def _fill_padded(xi, padded, distance, width):
    rows, columns = xi.shape
    bottom = 0.25 * width * math.log(CLIP / (1 - CLIP))
    top = 0.25 * width * math.log((1 - CLIP) / (1 - (1 - CLIP)))
    for j in range(rows):
        for i in range(columns):
            value = xi[j, i]
            padded[j + 1, i + 1] = value
            if value <= CLIP:
                distance[j + 1, i + 1] = bottom
            elif value >= 1 - CLIP:
                distance[j + 1, i + 1] = top
            else:
                distance[j + 1, i + 1] = 0.25 * width * math.log(value / (1 - value))
    for array in (padded, distance):
        for i in range(columns + 2):
            array[0, i], array[rows + 1, i] = array[1, i], array[rows, i]
        for j in range(rows + 2):
            array[j, 0], array[j, columns + 1] = array[j, columns], array[j, 1]


@njit(cache=True, error_model="numpy")
def _fill_profile_force(padded, force, t2):
    """`reference.profile_force`; a loop without branches, which the compiler vectorises."""
    rows, columns = force.shape
    for j in range(rows):
        lower, middle, upper = padded[j], padded[j + 1], padded[j + 2]
        for i in range(columns):
            axial = middle[i] + middle[i + 2] + lower[i + 1] + upper[i + 1]
            diagonal = lower[i] + lower[i + 2] + upper[i] + upper[i + 2]
            phi = 2 * middle[i + 1] - 1
            well = t2 * phi * (1 - phi * phi) / (1 - t2 * phi * phi)
            force[j, i] = (4 * axial + diagonal - 20 * middle[i + 1]) / 6 + well


@njit(cache=True, error_model="numpy")
def _normal(along, across):
    return along / math.sqrt(along * along + across * across + FLAT_SLOPE**2)


@njit(cache=True, error_model="numpy")
def _normal_x(p, j, i):
    """Component of the inward normal through the face between cells i and i + 1."""
    return _normal(p[j, i + 1] - p[j, i], 0.25 * (p[j + 1, i + 1] + p[j + 1, i] - p[j - 1, i + 1] - p[j - 1, i]))


@njit(cache=True, error_model="numpy")
def _normal_y(p, j, i):
    """Component of the inward normal through the face between rows j and j + 1."""
    return _normal(p[j + 1, i] - p[j, i], 0.25 * (p[j + 1, i + 1] + p[j, i + 1] - p[j + 1, i - 1] - p[j, i - 1]))


@njit(cache=True, error_model="numpy")
def _stiffness(p, j, i, strength, cos0, sin0, fold):
    gx, gy = 0.5 * (p[j, i + 1] - p[j, i - 1]), 0.5 * (p[j + 1, i] - p[j - 1, i])
    slope = math.sqrt(gx * gx + gy * gy + FLAT_SLOPE**2)
    cosine, sine = -gy / slope, -gx / slope
    real, imaginary = cosine, sine
    for _ in range(fold - 1):
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    return max(1 + strength * (1 - fold**2) * (real * cos0 + imaginary * sin0), 0.0)
