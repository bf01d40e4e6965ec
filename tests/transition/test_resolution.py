"""Nothing physical may depend on the grid: its spacing, its axes, its origin, or the time step."""

import dataclasses
import math

import pytest
import torch

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film, surface_height
from hmm_plating.transition import Interface, Parameters, initial_state, potentiostatic_step, step

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
WIDTH = 16e-9
CUBIC = dataclasses.replace(Metal.zinc(), anisotropy_fold=4)


def parameters(cells=4, dimensions=2, metal=None, **changes):
    interface = Interface(WIDTH, WIDTH / cells, dimensions)
    return Parameters.from_materials(metal or Metal.zinc(), WATER, interface, **changes)


def waves(cells, columns, rows):
    """A compact film of 60 nm, two waves; 4-cell columns and rows, with more cells per width more of them."""
    columns, rows, spacing = columns * cells // 4, rows * cells // 4, WIDTH / cells
    phase = 2 * math.pi * (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
    return film(60e-9 + 8e-9 * torch.cos(phase) + 4e-9 * torch.sin(2 * phase), rows, WIDTH, spacing)


def bump(cells, height=30e-9, breadth=40e-9):
    """On a film of 40 nm in a section of 256 by 240 nm."""
    columns, spacing = 64 * cells // 4, WIDTH / cells
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) * spacing - 128e-9
    return film(40e-9 + height * torch.exp(-((x / breadth) ** 2)), 60 * cells // 4, WIDTH, spacing)


def height(state, cells):
    return surface_height(state.order_parameter, WIDTH / cells) + state.base_thickness


def coarse_noise(shape, cells, seed=0):
    """Drawn with 4 cells across ℓ and refined by repetition.

    A cell's noise velocity goes as 1/spacing in two dimensions: repeated, that of half the spacing is to be halved.
    """
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    factor = cells // 4
    return noise.repeat_interleave(factor, -1).repeat_interleave(factor, -2) / factor


def refined(surface, noise_amplitude, steps, **changes):
    """Surface heights with 4 and 8 cells across ℓ, the fine averaged over pairs of columns, and the starts' heights."""
    results, starts = [], []
    for cells in (4, 8):
        p = parameters(cells, noise_amplitude=noise_amplitude, **changes)
        state = initial_state(surface(cells))
        starts.append(height(state, cells).reshape(-1, cells // 4).mean(-1))
        shape = tuple(size * 4 // cells for size in state.order_parameter.shape)
        for k in range(steps):
            state = step(state, -20.0, 10e-9 * p.charge_per_volume / 20.0, coarse_noise(shape, cells, k), p)
        results.append(height(state, cells).reshape(-1, cells // 4).mean(-1))
    return (*results, *starts)


@pytest.mark.parametrize("noise_amplitude", [0.0, 10.0])
def test_refinement_of_a_compact_film(noise_amplitude):
    """60 nm of zinc, almost four times ℓ: the height of the tip changes by 0.3 % at most, the relief by 1 %."""
    coarse, fine, *_ = refined(lambda cells: waves(cells, 64, 40), noise_amplitude, 6)
    assert float(coarse.max()) == pytest.approx(float(fine.max()), rel=0.003)
    relief = float(fine.max() - fine.min())
    assert float(coarse.max() - coarse.min()) == pytest.approx(relief, rel=0.01)
    assert float((coarse - fine).square().mean().sqrt()) < 0.01 * relief


def test_refinement_of_an_anisotropic_bump():
    """A bump on a film, growing 40 nm: its height above the film's lowest point within 1 %."""
    coarse, fine, *_ = refined(bump, 0.0, 4, anisotropy_strength=0.05, metal=Metal.lithium())
    assert float(coarse.max()) == pytest.approx(float(fine.max()), rel=0.003)
    assert float(coarse.max() - coarse.min()) == pytest.approx(float(fine.max() - fine.min()), rel=0.01)


def quarter(field):
    """From the middle of a square box along x, and along the diagonal: profiles over the same distances."""
    n = field.shape[-1]
    r = torch.arange(0, n / 2 - 4, 0.5, dtype=torch.float64)
    profiles = []
    for angle in (0.0, math.pi / 4):
        at = [(n / 2 - 0.5 + f(angle) * r) / (n - 1) * 2 - 1 for f in (math.cos, math.sin)]
        grid = torch.stack(at, -1)[None, None]
        sampled = torch.nn.functional.grid_sample(field[None, None], grid, mode="bicubic", align_corners=True)
        profiles.append(sampled[0, 0, 0])
    return profiles


def radius(profile):
    """Distance of ξ = ½ on a profile sampled every half cell."""
    return float(profile.clamp(0, 1).sum() / 2 - 0.25)


@pytest.mark.parametrize("cells", [4, 8])
@pytest.mark.parametrize("strength", [0.0, 0.05])
def test_turning_a_disc_and_its_anisotropy_by_45_degrees(cells, strength):
    """A disc of 80 nm grown by 30 nm: radii along axis and diagonal change places within 0.5 % of the growth."""
    n, spacing = 80 * cells // 4, WIDTH / cells
    x = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * spacing
    disc = torch.sigmoid(4 * (80e-9 - torch.hypot(x, x[:, None])) / WIDTH)
    orientation = torch.tensor([0.0, math.pi / 4], dtype=torch.float64)
    p = parameters(cells, metal=Metal.lithium(), anisotropy_strength=strength, crystal_orientation=orientation)
    state = initial_state(disc.expand(2, n, n))
    after = potentiostatic_step(state, -0.02, 10.0, torch.zeros_like(state.order_parameter), p)
    (axis, diagonal), (turned_axis, turned_diagonal) = (
        [radius(profile) * spacing for profile in quarter(field)] for field in after.order_parameter
    )
    grown = axis - 80e-9
    assert grown > 20e-9
    assert turned_diagonal - axis == pytest.approx(0, abs=0.005 * grown)
    assert turned_axis - diagonal == pytest.approx(0, abs=0.005 * grown)
    if strength:
        assert abs(axis - diagonal) > 0.04 * grown  # the anisotropy is seen


@pytest.mark.parametrize("strength", [0.0, 0.05])
@pytest.mark.parametrize("drive", [-10.0, 0.0, 10.0])
def test_volumes_are_mirrored_turned_and_shifted_alike(drive, strength):
    """x and z are mirrored, swapped and shifted, noise along: to round-off."""
    p = parameters(dimensions=3, metal=CUBIC, noise_amplitude=3.0, anisotropy_strength=strength)
    generator = torch.Generator().manual_seed(0)
    relief = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    surface = torch.sigmoid(
        (60e-9 + 4e-9 * relief[:, None] - (torch.arange(30)[:, None] + 0.5) * WIDTH / 4) * (4 / WIDTH)
    )
    noise = torch.randn(surface.shape, generator=generator, dtype=torch.float64)

    def advanced(change):
        return step(initial_state(change(surface).contiguous(), 3), drive, 3.0, change(noise).contiguous(), p)

    wanted = advanced(lambda field: field).order_parameter
    for change in (
        lambda field: field.flip(-1),
        lambda field: field.flip(-3),
        lambda field: field.transpose(-1, -3),
        lambda field: field.roll((3, 5), (-3, -1)),
    ):
        # turned, sums over rows are taken in another order
        torch.testing.assert_close(advanced(change).order_parameter, change(wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_step_in_parts_is_the_step(dimensions):
    """10 nm of growth in one step of many sub-steps, in two, and in seven, without noise; anisotropy counts."""
    p = parameters(dimensions=dimensions, metal=CUBIC if dimensions == 3 else None, anisotropy_strength=0.03)
    surface = waves(4, 64, 40) if dimensions == 2 else waves(4, 16, 40).expand(8, 40, 16)
    start, duration = initial_state(surface, dimensions), 10e-9 * p.charge_per_volume / 20.0
    whole = step(start, -20.0, duration, 0 * surface, p)
    for parts in (2, 7):
        state = start
        for _ in range(parts):
            state = step(state, -20.0, duration / parts, 0 * surface, p)
        change = (whole.order_parameter - start.order_parameter).abs().max()
        assert float((state.order_parameter - whole.order_parameter).abs().max()) < 0.001 * float(change)
        assert float(state.overpotential) == pytest.approx(float(whole.overpotential), rel=1e-3)
