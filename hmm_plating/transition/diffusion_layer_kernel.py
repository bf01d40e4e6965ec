"""`diffusion_layer.advance` of one particle as a Numba function to be called from other kernels, and its adjoint.

All vectors are float64 (node,), c̃ in units of the bulk's; the box top is entry 0.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmm_plating.transition.diffusion_layer import (
    BACK,
    BISECTIONS,
    DEPLETION_SAMPLES,
    DROP,
    FORTH,
    NODES,
    RATES,
)

# laid out so that inner loops run over contiguous memory and carry no sum, which the compiler vectorises
_FORTH, _BACK = np.ascontiguousarray(FORTH.T), np.ascontiguousarray(BACK.T)

# not cached but inlined into the entry point that calls it: that one's cache must watch the constants above, too
_inlined = njit(error_model="numpy", forceinline=True)


@_inlined
def _amplitudes(concentration, gradient, amplitudes):
    for k in range(NODES):
        amplitudes[k] = gradient * DROP[k]
    for j in range(NODES):
        excess = concentration[j] - 1
        for k in range(NODES):
            amplitudes[k] += _FORTH[j, k] * excess


@_inlined
def _top(concentration, amplitudes, tau):
    total = concentration[0]
    for k in range(NODES):
        total += BACK[0, k] * amplitudes[k] * math.expm1(-RATES[k] * tau)
    return total


@_inlined
def _depletion(concentration, gradient, tau, amplitudes):
    """Part of the step after which the box top is empty; infinite if it stays positive."""
    lowest = min(concentration.min(), 1.0)
    if lowest > max(gradient, 0.0) * min(1.2 * math.sqrt(tau), 1.0):
        return math.inf
    if concentration[0] <= 0:
        return 0.0
    low = 0.0
    for high in DEPLETION_SAMPLES:
        if _top(concentration, amplitudes, tau * high) <= 0:
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                if _top(concentration, amplitudes, tau * middle) <= 0:
                    high = middle
                else:
                    low = middle
            return high
        low = high
    return math.inf


@_inlined
def advance_profile(
    concentration, flux, duration, bulk_concentration, diffusivity, layer_thickness, transference_number, following
):
    """Advance c̃ (node,) into `following` (node,), which may be the same array; quantities as in `Transport`, SI.

    Returns:
        The time into the step at which the box top runs out of cations [s], infinite if it does not; where it is
        finite, `following` is left as it was and the caller raises `diffusion_layer.depletion_error`.
    """
    gradient = (1 - transference_number) * flux * layer_thickness / (diffusivity * bulk_concentration)
    tau = duration * diffusivity / layer_thickness**2
    amplitudes, change = np.empty(NODES), np.zeros(NODES)
    _amplitudes(concentration, gradient, amplitudes)
    depleted = _depletion(concentration, gradient, tau, amplitudes)
    if depleted < math.inf:
        return depleted * duration
    for k in range(NODES):
        decayed = amplitudes[k] * math.expm1(-RATES[k] * tau)
        for j in range(NODES):
            change[j] += _BACK[k, j] * decayed
    for j in range(NODES):
        following[j] = concentration[j] + change[j]
    return math.inf


@_inlined
def advance_profile_adjoint(
    concentration,
    flux,
    duration,
    bulk_concentration,
    diffusivity,
    layer_thickness,
    transference_number,
    following_adjoint,
    concentration_adjoint,
):
    """Adjoint of `advance_profile`: from that of the new profile to those of everything that it depends on.

    Args:
        concentration: and the next six: the arguments of `advance_profile`; nothing of its work need be kept.
        following_adjoint: of the new profile (node,); an adjoint of the new box-top value is added to its entry 0.
        concentration_adjoint: of the old profile (node,), overwritten; may be the same array as `following_adjoint`.

    Returns:
        Adjoints of flux, bulk_concentration, diffusivity, layer_thickness and transference_number.
    """
    scale = layer_thickness / (diffusivity * bulk_concentration)
    gradient = (1 - transference_number) * flux * scale
    tau = duration * diffusivity / layer_thickness**2
    amplitudes, pulled, change = np.empty(NODES), np.zeros(NODES), np.zeros(NODES)
    _amplitudes(concentration, gradient, amplitudes)
    for j in range(NODES):
        for k in range(NODES):
            pulled[k] += BACK[j, k] * following_adjoint[j]
    gradient_adjoint, tau_adjoint = 0.0, 0.0
    for k in range(NODES):
        decay = math.expm1(-RATES[k] * tau)
        tau_adjoint -= RATES[k] * (1 + decay) * amplitudes[k] * pulled[k]
        pulled[k] *= decay
        gradient_adjoint += DROP[k] * pulled[k]
        for j in range(NODES):
            change[j] += FORTH[k, j] * pulled[k]
    for j in range(NODES):
        concentration_adjoint[j] = following_adjoint[j] + change[j]
    return (
        gradient_adjoint * (1 - transference_number) * scale,
        -gradient_adjoint * gradient / bulk_concentration,
        (tau_adjoint * tau - gradient_adjoint * gradient) / diffusivity,
        (gradient_adjoint * gradient - 2 * tau_adjoint * tau) / layer_thickness,
        -gradient_adjoint * flux * scale,
    )
