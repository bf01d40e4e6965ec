"""What the instrument shows of a load: frequency and dissipation shift in the small-load approximation."""

from __future__ import annotations

import torch
from torch import Tensor

from hmm_plating.emission.closed_form import Overtones, angular_frequencies
from hmm_plating.errors import InputError
from hmm_plating.materials import Resonator


def shifts(
    load: Tensor, reference_load: Tensor | complex, overtones: Overtones, resonator: Resonator
) -> tuple[Tensor, Tensor]:
    """Δf + iΔΓ = (i f0/(π Z_q)) (Z_L − Z_ref), ΔD = 2ΔΓ/(n f0).

    Source: Johannsmann, The Quartz Crystal Microbalance in Soft Matter Research (2015), ch. 6.

    Args:
        load: complex (..., overtone) [Pa s/m].
        reference_load: load of the state that the shifts are counted from, broadcast with `load`.
        overtones: odd orders n.
        resonator: f0 and Z_q.

    Returns:
        frequency_shift [Hz], not divided by n, and dissipation_shift [1], each float (..., overtone).

    Raises:
        InputError: orders that are not odd and positive, or not as many as the last dimension of `load`.
    """
    resonance = angular_frequencies(overtones, resonator) / (2 * torch.pi)
    if load.shape[-1] != resonance.numel():
        raise InputError(f"load has {load.shape[-1]} overtones in its last dimension, overtones lists {len(resonance)}")
    factor = resonator.fundamental_frequency / (torch.pi * resonator.impedance)
    shift = 1j * factor * (load - reference_load)
    return shift.real, 2 * shift.imag / resonance
