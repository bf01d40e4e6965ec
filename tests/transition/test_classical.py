"""The classical form against its sharp-interface limits."""

import math

import numpy as np
import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film
from hmm_plating.transition import Interface, Parameters
from hmm_plating.transition.classical import classical_step, free_energy

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
WIDTH = 16e-9


def parameters(cells, **changes):
    return Parameters.from_materials(Metal.copper(), WATER, Interface(WIDTH, WIDTH / cells), **changes)


def disc(radius, edge, p):
    """ξ of a disc in the middle of a square box."""
    n = int(edge / p.interface.spacing)
    x = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * p.interface.spacing
    return torch.sigmoid(4 * (radius - torch.hypot(x, x[:, None])) / WIDTH)


def test_energy_of_the_profile_converges_to_the_surface_energy():
    """sqrt(2κW)/6 = γ, with second order in the spacing."""
    errors = []
    for cells in (8, 16, 32):
        p = parameters(cells)
        surface = film(torch.full((4,), 101e-9, dtype=torch.float64), int(200e-9 / p.interface.spacing), *_grid(p))
        errors.append(abs(float(free_energy(surface, p)) / (4 * p.interface.spacing * p.surface_energy) - 1))
    assert errors[1] < 1e-3
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx(2, abs=0.1)


def _grid(p):
    return p.interface.width, p.interface.spacing


def test_anisotropic_energy():
    """On the isotropic profile half the energy is gradient energy, so a front costs γ[1 + ½ δ_a cos ω_a(θ − θ_0)]."""
    height = torch.full((4,), 101e-9, dtype=torch.float64)
    for orientation in (0.0, 0.2, math.pi / 4):
        p = parameters(16, anisotropy_strength=0.3, crystal_orientation=orientation)
        surface = film(height, int(200e-9 / p.interface.spacing), *_grid(p))
        energy = float(free_energy(surface, p)) / (4 * p.interface.spacing * p.surface_energy)
        assert energy == pytest.approx(1 + 0.15 * math.cos(4 * orientation), rel=2e-3)
        # around a circle the cosine averages out
        circle = float(free_energy(disc(60e-9, 170e-9, p), p)) / (2 * math.pi * 60e-9 * p.surface_energy)
        assert circle == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize(("cells", "tolerance"), [(4, 0.03), pytest.param(8, 0.01, marks=pytest.mark.slow)])
def test_circle_shrinks_by_its_curvature(cells, tolerance):
    """d(R²)/dt = −2 L_σ κ (Allen and Cahn, Acta Metall. 27 (1979) 1085)."""
    p, mobility, radius = parameters(cells), 1.0, 80e-9
    kappa = p.interface.gradient_energy(p.surface_energy)
    duration = 0.15 * radius**2 / (2 * mobility * kappa)
    relaxed = classical_step(disc(radius, 2.6 * radius, p), 0.0, duration / 3, mobility, 0.0, p)
    shrunk = classical_step(relaxed, 0.0, duration, mobility, 0.0, p)
    lost = float((relaxed - shrunk).sum()) * p.interface.spacing**2 / math.pi
    assert lost == pytest.approx(2 * mobility * kappa * duration, rel=tolerance)


@pytest.mark.parametrize(("cells", "tolerance"), [(4, 0.03), pytest.param(8, 0.01, marks=pytest.mark.slow)])
def test_planar_front_moves_at_its_reaction_rate(cells, tolerance):
    """v = 1.5 ℓ L_η |Γ| for L_η Γ = 0.02 L_σ W."""
    p, mobility, eta = parameters(cells), 1.0, -0.05
    y = eta / p.kinetic_voltage
    gamma = math.exp(-y / 2) - math.exp(y / 2)
    rate = 0.02 * mobility * p.interface.well_height(p.surface_energy) / gamma
    speed = 1.5 * WIDTH * rate * gamma
    height = torch.full((3,), 80e-9, dtype=torch.float64)
    surface = film(height, int(200e-9 / p.interface.spacing), *_grid(p))
    started = classical_step(surface, eta, 20e-9 / speed, mobility, rate, p)
    moved = classical_step(started, eta, 24e-9 / speed, mobility, rate, p)
    assert float((moved - started).sum()) * p.interface.spacing / 3 == pytest.approx(24e-9, rel=tolerance)


def test_duration_must_be_positive():
    with pytest.raises(InputError, match="duration"):
        classical_step(torch.zeros(4, 4), 0.0, 0.0, 1.0, 1.0, parameters(4))
