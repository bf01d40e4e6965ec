"""The velocity of the liquid against closed forms and against the balance of momentum."""

import cmath

import pytest
import torch
from surfaces import random_surface, sinusoid

from hmm_plating.emission import (
    ViscoelasticLayer,
    kanazawa_gordon,
    solve,
    spheres,
    velocity_amplitude,
    viscoelastic_film,
)
from hmm_plating.emission.lattice import D2Q9, MAGIC, collision_matrix, relaxation, shear_wave
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6)
OVERTONES = [3, 13]
TIGHT = {"tolerance": 1e-12, "absolute_tolerance": 1e-12, "keep_gradient": True}


def velocities(fraction, spacing, **options):
    """Velocity amplitude of surfaces, and the solution."""
    solution = solve(fraction, spacing, OVERTONES, WATER, QUARTZ, **{**TIGHT, **options})
    kept = {name: options[name] for name in ("layers", "dimensions") if name in options}
    return velocity_amplitude(solution.field, fraction, spacing, OVERTONES, WATER, QUARTZ, **kept), solution


def wavenumbers():
    """k = (1 + i)/δ [1/m], complex (overtone,)."""
    depths = [WATER.penetration_depth(QUARTZ.angular_frequency(n)) for n in OVERTONES]
    return (1 + 1j) / torch.tensor(depths, dtype=torch.float64)


def wall_amplitude(wavenumber):
    """A of the shear wave A e^{−ky}, a solution in the liquid, that fulfils half-way bounce-back at the crystal.

    The x-momentum that rises into the first row is 1/3 less that which falls out of it; kΔx is given.
    """
    factors = relaxation(wavenumber)
    arriving = shear_wave(D2Q9, factors, wavenumber)
    leaving = collision_matrix(D2Q9, factors) @ arriving
    along, normal = D2Q9.velocities.T
    rising, falling = (along * arriving)[normal > 0].sum(), (along * leaving)[normal < 0].sum()
    return cmath.exp(wavenumber / 2) / (3 * (rising + falling))


def test_slip_of_the_wall_is_of_second_order():
    """Half-way bounce-back places the wall of a parabolic flow exactly where (τ₊ − ½)(τ₋ − ½) = 3/16.

    Ginzburg, Verhaeghe and d'Humières, Commun. Comput. Phys. 3 (2008) 427.
    """
    for cells in (8, 16):
        wavenumber = (1 + 1j) / cells
        assert abs((wall_amplitude(wavenumber) - 1) / wavenumber**2 - 2 / 3 * (3 / 16 - MAGIC)) < 0.02 / cells**2


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("level", [0.0, 2.0, 2.37])
def test_shear_wave_above_a_flat_wall(level, dimensions):
    """u = A e^{−k(y − h)} along the shear, to round-off; 1 in the metal; nothing across."""
    spacing, rows = 8e-9, torch.arange(12, dtype=torch.float64)
    fraction = (level - rows).clamp(0, 1)[:, None].repeat(1, 4)
    fraction = fraction.expand(3, -1, -1) if dimensions == 3 else fraction
    velocity, _ = velocities(fraction, spacing, dimensions=dimensions)
    assert velocity.shape == (2, dimensions, *fraction.shape)
    slip = torch.tensor([wall_amplitude(k * spacing) for k in wavenumbers().tolist()], dtype=torch.complex128)[:, None]
    expected = slip * torch.exp(-wavenumbers()[:, None] * (rows + 0.5 - level) * spacing)
    liquid = rows >= level
    along = velocity[:, 0] if dimensions == 2 else velocity[:, 0, 1]
    assert (along[:, liquid] - expected[:, liquid, None]).abs().max() < 1e-10
    assert bool((along[:, rows < int(level)] == 1).all())
    assert velocity[:, 1:].abs().max() < 1e-12


def test_flow_above_slight_grooves():
    """First order in the amplitude a of grooves a cos qx: u₁ = ka (κe^{−κy} − qe^{−qy})/(κ − q) cos qx and
    v₁ = kaq (e^{−qy} − e^{−κy})/(κ − q) sin qx, κ² = k² + q², from continuity and the unsteady Stokes equation.
    """
    amplitude, period, spacing = 1.0, 200.0, 2.0  # nm
    mean = amplitude + spacing
    fraction = torch.cat([sinusoid(amplitude, period, spacing, mean), torch.zeros(30, 100, dtype=torch.float64)])
    velocity, _ = velocities(fraction, spacing * 1e-9)
    x = (torch.arange(100, dtype=torch.float64) + 0.5) * 2 * torch.pi / 100
    y = ((torch.arange(len(fraction), dtype=torch.float64) + 0.5) * spacing - mean)[3:] * 1e-9
    k, q = wavenumbers()[:, None], 2 * torch.pi / (period * 1e-9)
    kappa = torch.sqrt(k**2 + q**2)
    scale = k * amplitude * 1e-9 / (kappa - q)
    expected_along = scale * (kappa * torch.exp(-kappa * y) - q * torch.exp(-q * y))
    expected_normal = scale * q * (torch.exp(-q * y) - torch.exp(-kappa * y))
    along = 2 * (velocity[:, 0, 3:] * torch.cos(x)).mean(-1)
    normal = 2 * (velocity[:, 1, 3:] * torch.sin(x)).mean(-1)
    for computed, expected in ((along, expected_along), (normal, expected_normal)):
        assert (computed - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_momentum_balance(dimensions):
    """The load moves the liquid below a plane, iωρ ∫u, and the half space above it, Z_liq u."""
    spacing = 4e-9
    if dimensions == 2:
        fraction = torch.cat([random_surface(6, 20, 1), torch.zeros(14, 20, dtype=torch.float64)])
        fraction[:2, 4:9] = 1
    else:
        fraction = spheres(20e-9, 20e-9, 8e-9, 14e-9, (10, 16, 10), spacing)
    velocity, solution = velocities(fraction, spacing, dimensions=dimensions)
    mean = ((1 - fraction) * velocity[:, 0]).mean((-1, -3) if dimensions == 3 else -1)
    inertia = (
        1j
        * torch.tensor([QUARTZ.angular_frequency(n) for n in OVERTONES], dtype=torch.float64)
        * WATER.density
        * spacing
    )
    top = velocity[:, 0, ..., -1, :].flatten(1).mean(1)
    above = kanazawa_gordon(OVERTONES, WATER, QUARTZ) * top * torch.exp(-wavenumbers() * spacing / 2)
    flat = kanazawa_gordon(OVERTONES, WATER, QUARTZ)
    excess = solution.load - flat
    assert ((inertia * mean.sum(-1) + above - flat - excess) / excess).abs().max() < 0.005


def test_viscoelastic_film():
    """Between crystal and liquid half space, u = cosh κy − (Z/Z_f) sinh κy, Z the load of the film in the liquid."""
    spacing, rows, film_rows = 2e-9, 24, 10
    modulus, density = 1e5 + 1e5j, 1100.0
    share = (torch.arange(rows) < film_rows).to(torch.float64)[:, None].expand(-1, 4)
    layer = ViscoelasticLayer(share, density, modulus)
    velocity, _ = velocities(torch.zeros(rows, 4, dtype=torch.float64), spacing, layers=(layer,))
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * spacing
    load = viscoelastic_film(film_rows * spacing, density, modulus, OVERTONES, WATER, QUARTZ)[:, None]
    omega = torch.tensor([QUARTZ.angular_frequency(n) for n in OVERTONES], dtype=torch.float64)[:, None]
    phase = 1j * omega * (density / torch.tensor(modulus, dtype=torch.complex128)) ** 0.5
    film = (density * torch.tensor(modulus, dtype=torch.complex128)) ** 0.5
    inside = torch.cosh(phase * y) - load / film * torch.sinh(phase * y)
    thickness = torch.tensor(film_rows * spacing, dtype=torch.float64)
    at_top = torch.cosh(phase * thickness) - load / film * torch.sinh(phase * thickness)
    outside = at_top * torch.exp(-wavenumbers()[:, None] * (y - thickness))
    expected = torch.where(y < thickness, inside, outside)
    assert (velocity[:, 0, :, 0] - expected).abs().max() < 1e-3


def test_batch():
    fraction = torch.stack([random_surface(6, 12, seed) for seed in (1, 2)])
    fraction = torch.cat([fraction, torch.zeros(2, 2, 12, dtype=torch.float64)], 1)
    together, _ = velocities(fraction, 6e-9)
    alone, _ = velocities(fraction[1], 6e-9)
    torch.testing.assert_close(together[1], alone, rtol=0, atol=1e-9)


def test_fields_that_do_not_serve_are_named():
    fraction = torch.cat([random_surface(4, 8, 1), torch.zeros(2, 8, dtype=torch.float64)])
    field = solve(fraction, 6e-9, OVERTONES, WATER, QUARTZ).field
    with pytest.raises(InputError, match="keep_gradient=True"):
        velocity_amplitude(field, fraction, 6e-9, OVERTONES, WATER, QUARTZ)
    with pytest.raises(InputError, match="not that of surfaces"):
        velocity_amplitude(field, fraction[:4], 6e-9, OVERTONES, WATER, QUARTZ)
    with pytest.raises(InputError, match="at 1 overtones"):
        velocity_amplitude(field, fraction, 6e-9, [3], WATER, QUARTZ)
