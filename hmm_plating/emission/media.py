"""What fills the cells of a box at one overtone: the liquid and viscoelastic layers, mixed where they share a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmm_plating.emission.closed_form import Overtones, angular_frequencies
from hmm_plating.emission.kernels import Media
from hmm_plating.emission.lattice import relaxation
from hmm_plating.emission.saturation import calibrate
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator


@dataclass(frozen=True)
class ViscoelasticLayer:
    """Soft matter in the liquid: an interphase on the metal, a soft deposit.

    Attributes:
        fraction: share of that part of each cell which is not metal, in [0, 1], shaped as (or broadcast to) the
            surfaces: 1 in a cell that metal and layer fill, however much of it is metal.
        density: [kg/m³].
        shear_modulus: G = G' + iG'' [Pa], a number or one per overtone; G'' of a liquid is ωη.
    """

    fraction: Tensor
    density: float
    shear_modulus: complex | Tensor

    def __post_init__(self) -> None:
        if not (math.isfinite(self.density) and self.density > 0):
            raise InputError(f"density of a layer must be positive, got {self.density!r} kg/m³")
        if not bool(((self.fraction >= 0) & (self.fraction <= 1)).all()):
            raise InputError("fraction of a layer must lie in [0, 1]")
        modulus = torch.as_tensor(self.shear_modulus, dtype=torch.complex128)
        if not bool((torch.isfinite(modulus) & (modulus.real >= 0) & (modulus.imag >= 0) & (modulus != 0)).all()):
            raise InputError(
                f"shear_modulus of a layer must have G' and G'' not negative nor both 0, got {self.shear_modulus!r}"
            )


def fitted(layer: ViscoelasticLayer, shape: torch.Size) -> Tensor:
    """Fraction of a layer in every cell of surfaces of this shape; InputError where it does not fit them."""
    try:
        return layer.fraction.expand(shape)
    except RuntimeError as error:
        raise InputError(f"fraction of a layer does not fit surfaces of shape {tuple(shape)}: {error}") from None


def distinct_mixtures(layers: tuple[ViscoelasticLayer, ...], shape: torch.Size) -> tuple[np.ndarray, np.ndarray]:
    """Which mixture fills each cell.

    Returns:
        index (shape), 0 for pure liquid; mixtures (mixture, layer): volume shares of the layers, the first row 0.

    Raises:
        InputError: layers that overlap, or do not fit the shape.
    """
    if not layers:
        return np.zeros(shape, np.int64), np.zeros((1, 0))
    shares = torch.stack([fitted(layer, shape).detach().to("cpu", torch.float64) for layer in layers], -1)
    if float(shares.sum(-1).max()) > 1 + 1e-9:
        raise InputError("layers overlap: their fractions exceed 1 in a cell")
    flat = np.round(shares.reshape(-1, len(layers)).numpy(), 6)
    mixtures, index = np.unique(np.concatenate([np.zeros((1, len(layers))), flat]), axis=0, return_inverse=True)
    return index.reshape(-1)[1:].reshape(shape), mixtures


def media(
    mixtures: np.ndarray,
    layers: tuple[ViscoelasticLayer, ...],
    held: np.ndarray,
    spacing: float,
    overtones: Overtones,
    electrolyte: Electrolyte,
    resonator: Resonator,
) -> list[Media]:
    """Media of every overtone: fluidities 1/η and densities add by volume, as in layers parallel to the shear.

    Args:
        mixtures: as from `distinct_mixtures`.
        held: mixtures that occur in partly solid cells, which need a calibration, bool (mixture,).

    Raises:
        InputError: a shear modulus that is neither a number nor one per overtone.
    """
    omegas = angular_frequencies(overtones, resonator)
    moduli = [torch.as_tensor(layer.shear_modulus, dtype=torch.complex128) for layer in layers]
    for modulus in moduli:
        if modulus.ndim > 1 or modulus.numel() not in (1, len(omegas)):
            raise InputError(
                f"shear_modulus of a layer must be a number or one per overtone, {len(omegas)} of them, "
                f"got shape {tuple(modulus.shape)}"
            )
    moduli = [modulus.expand(omegas.shape) for modulus in moduli]
    liquid_share = 1 - mixtures.sum(axis=1)
    density = liquid_share * electrolyte.density + mixtures @ np.array([layer.density for layer in layers])
    result = []
    for order, omega in enumerate(omegas.tolist()):
        fluidity = liquid_share / electrolyte.viscosity + mixtures @ np.array(
            [complex(1j * omega / modulus[order]) for modulus in moduli], complex
        )
        wavenumbers = np.sqrt(1j * omega * density * fluidity) * spacing
        ratios = 1 / (electrolyte.viscosity * fluidity)
        factors = [relaxation(complex(k), complex(r)) for k, r in zip(wavenumbers, ratios, strict=True)]
        terms = calibrate(factors[0], complex(wavenumbers[0]))
        calibrations = [
            calibrate(factor, complex(k)) if needed else terms
            for factor, k, needed in zip(factors, wavenumbers, held, strict=True)
        ]
        result.append(
            Media(
                np.array(factors, complex),
                np.array([c.saturation for c in calibrations]),
                np.array([c.ghost for c in calibrations]),
            )
        )
    return result
