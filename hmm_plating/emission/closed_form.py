"""Loads Z_L = stress / velocity at the crystal that have a closed form [Pa s/m].

Every function takes odd overtone orders n and returns a complex tensor (..., overtone); ω_n = 2π n f0, e^{+iωt}.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

Overtones = Sequence[int] | Tensor


def angular_frequencies(overtones: Overtones, resonator: Resonator) -> Tensor:
    """ω_n [rad/s], float64 (overtone,).

    Raises:
        InputError: an order that is not odd and positive.
    """
    try:
        orders = torch.as_tensor(overtones, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"overtones must be odd positive orders (1, 3, 5, …), got {overtones!r}") from None
    if orders.numel() == 0 or not bool(((orders > 0) & (orders % 2 == 1)).all()):
        raise InputError(f"overtones must be odd positive orders (1, 3, 5, …), got {orders.tolist()}")
    return 2 * torch.pi * resonator.fundamental_frequency * orders


def _positive(**values: float | Tensor) -> None:
    for name, value in values.items():
        tensor = torch.as_tensor(value)
        if not bool((torch.isfinite(tensor) & (tensor > 0)).all()):
            raise InputError(f"{name} must be positive and finite in SI units, got {value!r}")


def kanazawa_gordon(overtones: Overtones, electrolyte: Electrolyte, resonator: Resonator) -> Tensor:
    """Liquid half space, Z = sqrt(iωρη) (Kanazawa and Gordon, Anal. Chim. Acta 175 (1985) 99).

    Returns:
        complex (overtone,) [Pa s/m].
    """
    omega = angular_frequencies(overtones, resonator)
    return torch.sqrt(1j * omega * electrolyte.density * electrolyte.viscosity)


def sauerbrey(areal_mass: float | Tensor, overtones: Overtones, resonator: Resonator) -> Tensor:
    """Rigid layer, Z = iωm (Sauerbrey, Z. Phys. 155 (1959) 206).

    Args:
        areal_mass: m [kg/m²], any batch shape.

    Returns:
        complex (..., overtone) [Pa s/m].
    """
    omega = angular_frequencies(overtones, resonator)
    return 1j * omega * torch.as_tensor(areal_mass, dtype=torch.float64)[..., None]


def viscoelastic_film(
    thickness: float | Tensor,
    density: float,
    shear_modulus: complex | Tensor,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
) -> Tensor:
    """Viscoelastic film under a liquid half space (Johannsmann, The Quartz Crystal Microbalance, 2015, eq. 10.2.2).

    Z = Z_f (Z_liq + Z_f tanh κh) / (Z_f + Z_liq tanh κh), Z_f = sqrt(ρ_f G), κ = iω sqrt(ρ_f/G).

    Args:
        thickness: h [m], any batch shape.
        density: ρ_f [kg/m³].
        shear_modulus: G = G' + iG'' [Pa], a number or one per overtone.

    Returns:
        complex (..., overtone) [Pa s/m].
    """
    _positive(thickness=thickness, density=density)
    omega = angular_frequencies(overtones, resonator)
    modulus = torch.as_tensor(shear_modulus, dtype=torch.complex128)
    liquid = kanazawa_gordon(overtones, electrolyte, resonator)
    film = torch.sqrt(density * modulus)
    phase = 1j * omega * torch.sqrt(density / modulus)
    tanh = torch.tanh(phase * torch.as_tensor(thickness, dtype=torch.float64)[..., None])
    return film * (liquid + film * tanh) / (film + liquid * tanh)


def brinkman(
    thickness: float | Tensor,
    permeability_length: float | Tensor,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
) -> Tensor:
    """Excess over the bare liquid of a rigid porous layer filled with it (Daikhin and Urbakh, Langmuir 12 (1996) 6354).

    Inside, η u'' = iωρ u + (η/ξ²)(u − 1); u and η u' are continuous at its top. The layer's solid is not counted.

    Args:
        thickness: h [m], any batch shape.
        permeability_length: ξ [m], square root of the permeability, broadcast with `thickness`.

    Returns:
        complex (..., overtone) [Pa s/m].
    """
    _positive(thickness=thickness, permeability_length=permeability_length)
    omega = angular_frequencies(overtones, resonator)
    height = torch.as_tensor(thickness, dtype=torch.float64)[..., None]
    friction = torch.as_tensor(permeability_length, dtype=torch.float64)[..., None] ** -2
    outside = torch.sqrt(1j * omega * electrolyte.density / electrolyte.viscosity)
    inside = torch.sqrt(outside**2 + friction)
    carried = friction / inside**2  # velocity far inside a thick layer
    # u = carried + A cosh κy + B sinh κy with A = 1 − carried; continuity at y = h gives B and u(h)
    amplitude = 1 - carried
    decay = torch.exp(-inside * height)  # cosh itself overflows in layers thicker than 710 permeability lengths
    tanh, sech = torch.tanh(inside * height), 2 * decay / (1 + decay**2)
    denominator = inside + outside * tanh
    wall_slope = -inside * (outside * carried * sech + amplitude * (inside * tanh + outside)) / denominator
    top_velocity = inside * (carried + amplitude * sech) / denominator
    # momentum of the liquid inside, integrated once through the equation of motion, and the stress that leaves its top
    displacement = carried * height - (outside * top_velocity + wall_slope) / inside**2
    liquid = kanazawa_gordon(overtones, electrolyte, resonator)
    return 1j * omega * electrolyte.density * displacement + liquid * (top_velocity - 1)


def slight_roughness(height: Tensor, spacing: float, penetration_depth: Tensor) -> Tensor:
    """Excess of a slightly rough wall over a flat one, relative to that, Z/√(iωρη) − 1, across the shear.

    k Σ_q |h_q|² [κ − k + |q|], k = (1 + i)/δ, κ = √(k² + q²), second order in the slope (Urbakh and Daikhin, Phys. Rev.
    B 49 (1994) 4866), for heights that vary along the shear alone. The metal up to the mean height is not counted.

    Args:
        height: (..., x), laterally periodic [m].
        spacing: of the heights [m].
        penetration_depth: δ_n [m], (overtone,) or (..., overtone).

    Returns:
        complex (..., overtone) [1].
    """
    columns = height.shape[-1]
    amplitude = torch.fft.rfft(height, dim=-1) / columns
    power = amplitude.real.square() + amplitude.imag.square()
    both = torch.full_like(power, 2.0)  # q and −q
    both[..., 0] = 0.0
    if columns % 2 == 0:
        both[..., -1] = 1.0
    q = 2 * torch.pi / (columns * spacing) * torch.arange(power.shape[-1], dtype=height.dtype, device=height.device)
    k = ((1 + 1j) / penetration_depth)[..., None]
    weight = k * (torch.sqrt(k * k + q * q) - k + q)
    return (weight * (both * power)[..., None, :]).sum(-1)
