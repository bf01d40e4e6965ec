"""The emission of a model: what the crystal feels of a surface in its box, by the true solver or by a surrogate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hmm_plating import emission, morphology, transition
from hmm_plating.grid import Grid
from hmm_plating.instrument import SurfaceShift, sauerbrey_sensitivity
from hmm_plating.materials import Electrolyte, Metal, Resonator

TOLERANCE_HERTZ = 0.1  # accepted error of Δf where the surface is nearly flat, below every instrument's noise
LARGEST_SURROGATE_ERROR = 0.5  # relative; beyond, the surface was none that its surrogate knows


class Surrogate(Protocol):
    """A stand-in for the solver, such as `hmm_plating.emulator.EmissionSurrogate`."""

    def guess(
        self,
        solid_fraction: Tensor,
        spacing: float,
        overtones: emission.closed_form.Overtones,
        electrolyte: Electrolyte,
        resonator: Resonator,
        metal: Metal | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loads as of `emission.load_impedance`, and whether that of each surface is to be trusted, bool (...,)."""
        ...


@dataclass(frozen=True)
class SurfaceLoad:
    """Loads of the surfaces of one box.

    Attributes:
        grid: of the phase field.
        metal, electrolyte, resonator: materials.
        overtones: odd orders n.
        tolerance: relative error of the roughness part at which the solver may stop.
    """

    grid: Grid
    metal: Metal
    electrolyte: Electrolyte
    resonator: Resonator
    overtones: tuple[int, ...]
    tolerance: float

    @property
    def spacing(self) -> float:
        """Edge of an emission cell [m]."""
        return self.grid.spacing * self.grid.coarsening

    @property
    def surroundings(self) -> tuple[float, tuple[int, ...], Electrolyte, Resonator]:
        """What every function of the load takes after the solid fraction."""
        return self.spacing, self.overtones, self.electrolyte, self.resonator

    def solid_fraction(self, order_parameter: Tensor) -> Tensor:
        """Metal fraction of the emission's cells (..., [z,] y, x)."""
        grid, dimensions = self.grid, self.grid.dimensions
        fine = emission.solid_fraction(order_parameter, grid.interface_width, grid.spacing, dimensions=dimensions)
        pool = torch.nn.functional.avg_pool2d if dimensions == 2 else torch.nn.functional.avg_pool3d
        pooled = pool(fine.reshape(-1, 1, *fine.shape[-dimensions:]), grid.coarsening)
        return pooled.reshape(*fine.shape[:-dimensions], *pooled.shape[-dimensions:])

    def solve(self, fraction: Tensor, liquid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Load (..., overtones), and the liquid's field, which starts the solver at the next step.

        Args:
            fraction: `solid_fraction`.
            liquid: field of a similar batch; single precision suffices.
        """
        solution = emission.solve_surface(
            fraction,
            *self.surroundings,
            tolerance=self.tolerance,
            absolute_tolerance=TOLERANCE_HERTZ,
            dimensions=self.grid.dimensions,
            initial_guess=liquid,
            keep_field=torch.float32,
        )
        return solution.load + self.inertia(fraction), solution.field

    def inertia(self, fraction: Tensor) -> Tensor:
        """Load of the metal alone, (..., overtone)."""
        at = fraction, self.spacing, self.overtones
        return emission.metal_inertia(*at, self.metal, self.resonator, self.grid.dimensions)

    def flat(self, fraction: Tensor) -> Tensor:
        """Load of a flat film with as much metal, (..., overtones)."""
        return emission.kanazawa_gordon(self.overtones, self.electrolyte, self.resonator) + self.inertia(fraction)

    def surrogate_error(self, true: Tensor, guessed_excess: Tensor, fraction: Tensor) -> Tensor:
        """Ratio of the true excess over `flat` to the guessed one, 1 where it tells nothing, (..., overtones)."""
        hertz = math.pi * self.resonator.impedance / self.resonator.fundamental_frequency
        excess = true - self.flat(fraction)
        ratio = torch.where(guessed_excess.abs() > hertz, excess / guessed_excess, 1.0)
        return torch.where((ratio - 1).abs() < LARGEST_SURROGATE_ERROR, ratio, 1.0)

    def shift(self, surface: transition.State, fraction: Tensor, load: Tensor) -> SurfaceShift:
        """Shifts against the bare crystal, of a surface whose emission cells have this load."""
        spacing, dimensions = self.grid.spacing, self.grid.dimensions
        # sharp cells hold a little less metal than small diffuse caps, whose mass is that of the charge
        thickness = morphology.thickness(surface.order_parameter, spacing, surface.base_thickness, dimensions)
        rest = thickness - morphology.thickness(fraction, self.spacing, dimensions=dimensions)
        rigid = emission.sauerbrey(self.metal.density * rest, self.overtones, self.resonator)
        reference = emission.kanazawa_gordon(self.overtones, self.electrolyte, self.resonator)
        frequency, dissipation = emission.shifts(load + rigid, reference, self.overtones, self.resonator)
        # nuclei form one after another, as their charge flows: so far the crystal feels a part of them
        metal_charge = self.metal.charge_per_volume * thickness
        formed = 1 + surface.deferred_charge.clamp(max=0) / torch.where(metal_charge > 0, metal_charge, torch.inf)
        frequency, dissipation = (formed.clamp(min=0)[..., None] * shift for shift in (frequency, dissipation))
        mass_per_charge = self.metal.density / self.metal.charge_per_volume
        layer = -sauerbrey_sensitivity(self.resonator) * mass_per_charge * surface.side_charge[..., None]
        return SurfaceShift(frequency / torch.tensor(self.overtones), dissipation, layer)
