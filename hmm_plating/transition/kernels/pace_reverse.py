"""The reverse of what a sub-step does with its sums over the surface: overpotential, duration, charge."""

from __future__ import annotations

import math
from typing import NamedTuple

from hmm_plating.compiled import inlined
from hmm_plating.transition.kernels.substep import AGITATION, ALPHA, CAPILLARY, EXCHANGE, PROFILE_RELAXATION


class CarryAdjoints(NamedTuple):
    """Derivatives with respect to what the last overpotential of a `Pace` depends on."""

    cathodic: float
    anodic: float
    force: float
    rate: float
    relaxation: float
    first_overpotential: float


class SumAdjoints(NamedTuple):
    """Derivatives with respect to `Sums`, the demand and the overpotential before the sub-step.

    `carried` is that with respect to the cathodic sum which carries the current, `cathodic` that of the first one.
    """

    carried: float
    cathodic: float
    anodic: float
    noise: float
    force: float
    low: float
    high: float
    loudest: float
    stiffest: float
    richest: float
    demand: float
    overpotential: float


@inlined
def overpotential_reverse(given, y, cathodic, anodic, rate, alpha):
    """Derivatives of `solve_overpotential` with respect to cathodic, anodic, rate and α, times `given`."""
    forward, backward = math.exp(-alpha * y), math.exp((1 - alpha) * y)
    scale = given / (alpha * cathodic * forward + (1 - alpha) * anodic * backward)
    return scale * forward, -scale * backward, -scale, -scale * y * rate


@inlined
def carry_reverse(pulls, sums, pace, given_overpotential, c, grid, by_c):
    """Through the scalars of `apply_rates` and `carry`; adds to `by_c`, returns `CarryAdjoints`."""
    alpha, exchange = c[ALPHA], c[EXCHANGE]
    beta, y = 1 - alpha, pace.overpotential
    plate, strip = pace.substep * exchange * math.exp(-alpha * y), pace.substep * exchange * math.exp(beta * y)
    by_plate, by_strip = plate * pulls[0], -strip * pulls[1]
    by_y = given_overpotential - alpha * by_plate + beta * by_strip
    by_c[EXCHANGE] += (by_plate + by_strip) / exchange
    by_c[ALPHA] -= y * (by_plate + by_strip)
    by_c[AGITATION] += pace.substep * pulls[2]
    by_relaxation = pace.substep * pulls[3]
    if not grid.galvanostatic:
        return CarryAdjoints(0.0, 0.0, 0.0, 0.0, by_relaxation, by_y)
    rate = pace.rate - pace.relaxation * sums.force
    by_cathodic, by_anodic, by_rate, by_alpha = overpotential_reverse(by_y, y, pace.cathodic, sums.anodic, rate, alpha)
    by_c[ALPHA] += by_alpha
    by_c[EXCHANGE] += (by_cathodic * pace.cathodic + by_anodic * sums.anodic) / exchange
    by_relaxation -= by_rate * sums.force
    return CarryAdjoints(by_cathodic, by_anodic, -by_rate * pace.relaxation, by_rate, by_relaxation, 0.0)


@inlined
def pace_reverse(by_carry, by_first, sums, pace, given_demand, time_left, c, grid, by_c):
    """Through `set_pace` up to `carry`; adds to `by_c`, returns `SumAdjoints`.

    `by_first`: with respect to the first overpotential, what a stiff reaction makes of it included.
    """
    alpha, exchange, width = c[ALPHA], c[EXCHANGE], grid.width
    beta, first = 1 - c[ALPHA], pace.first_overpotential
    by_anodic, by_rate = by_carry.anodic, by_carry.rate
    by_relaxation = by_carry.relaxation
    by_speed = PROFILE_RELAXATION * width * by_relaxation
    by_slope = by_relaxation * c[CAPILLARY] * sums.stiffest
    by_c[CAPILLARY] += by_relaxation * sums.stiffest * pace.slope
    by_stiffest = by_relaxation * c[CAPILLARY] * pace.slope
    by_c[AGITATION] += by_speed * sums.loudest
    by_loudest = by_speed * c[AGITATION]
    supplied = exchange * sums.richest
    plates, strips = supplied * math.exp(-alpha * (first + sums.low)), exchange * math.exp(beta * (first + sums.low))
    plates_high = supplied * math.exp(-alpha * (first + sums.high))
    strips_high = exchange * math.exp(beta * (first + sums.high))
    at_low = abs(plates - strips) >= abs(plates_high - strips_high)
    slope_low = alpha * plates + beta * strips >= alpha * plates_high + beta * strips_high
    by_low = by_high = by_richest = 0.0
    for part in range(2):
        low = at_low if part == 0 else slope_low
        p, s = (plates, strips) if low else (plates_high, strips_high)
        z = first + (sums.low if low else sums.high)
        if part == 0:
            given = by_speed if p >= s else -by_speed
            by_z, value, by_alpha = -(alpha * p + beta * s), p - s, -z * (p - s)
        else:
            given = by_slope
            by_z = beta * beta * s - alpha * alpha * p
            value, by_alpha = alpha * p + beta * s, p - s - z * (alpha * p + beta * s)
        by_richest += given * (1 if part == 0 else alpha) * p / sums.richest
        by_first += given * by_z
        by_low += given * by_z if low else 0.0
        by_high += 0.0 if low else given * by_z
        by_c[EXCHANGE] += given * value / exchange
        by_c[ALPHA] += given * by_alpha
    by_cathodic = by_overpotential = 0.0
    if grid.galvanostatic:
        by_cathodic, more_anodic, more_rate, by_alpha = overpotential_reverse(
            by_first, first, sums.cathodic, sums.anodic, pace.rate, alpha
        )
        by_anodic += more_anodic
        by_rate += more_rate
        by_c[ALPHA] += by_alpha
        by_c[EXCHANGE] += (by_cathodic * sums.cathodic + more_anodic * sums.anodic) / exchange
    else:
        by_overpotential = by_first
    by_c[AGITATION] -= by_rate * sums.noise
    return SumAdjoints(
        by_carry.cathodic,
        by_cathodic,
        by_anodic,
        -by_rate * c[AGITATION],
        by_carry.force,
        by_low,
        by_high,
        by_loudest,
        by_stiffest,
        by_richest,
        given_demand + by_rate / time_left,
        by_overpotential,
    )
