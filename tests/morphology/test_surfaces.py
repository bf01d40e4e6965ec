"""Nucleation: sites as a renewal process, log-normal caps."""

import math

import pytest
import scipy.stats
import torch

from hmm_plating.errors import InputError
from hmm_plating.morphology import nucleation_sites, nuclei, surface_height, thickness

WIDTH, SPACING = 16e-9, 4e-9


def test_sites_are_a_poisson_process():
    """Mean and variance of the number: density × length (Kingman, Poisson Processes, ch. 2); uniform positions.

    A section without any has e⁻⁵ of the probability and gets one.
    """
    generator = torch.Generator().manual_seed(0)
    uniform = 1 - torch.rand(20000, 24, generator=generator, dtype=torch.float64)
    position = nucleation_sites(uniform, torch.tensor(1e7), 5e-7)
    number = torch.isfinite(position).sum(-1).double()
    assert float(number.mean()) == pytest.approx(5 + math.exp(-5), abs=4 * (5 / 20000) ** 0.5)
    assert float(number.var()) == pytest.approx(5, rel=0.05)
    inside = position[torch.isfinite(position)]
    assert float(inside.mean()) == pytest.approx(2.5e-7, rel=0.01)
    assert float(inside.var()) == pytest.approx(5e-7**2 / 12, rel=0.02)


def test_sites_follow_the_density_of_each_particle():
    uniform = torch.full((2, 3), 0.5, dtype=torch.float64)
    position = nucleation_sites(uniform, torch.tensor([1e6, 1e8]), 1e-9)
    assert torch.isinf(position[:, 1:]).all()
    assert ((position[:, 0] >= 0) & (position[:, 0] < 1e-9)).all()
    with pytest.raises(InputError, match="candidate sites are too few"):
        nucleation_sites(uniform, torch.tensor([1e6, 1e8]), 1e-6)


@pytest.mark.parametrize("regularity", [1.0, 1.5, 6.0, 30.0])
def test_as_many_sites_whatever_their_regularity(regularity):
    """Density × length on average, and Weibull's moments of the gaps (scipy), in a stationary renewal process."""
    uniform = 1 - torch.rand(20_000, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    position = nucleation_sites(uniform, 1e7, 2.02e-6, regularity)
    number = torch.isfinite(position).sum(-1).double()
    assert float(number.mean()) == pytest.approx(20.2, abs=4 * float(number.std()) / 20_000**0.5 + 0.01)
    gaps = position[:, 3] - position[:, 2]  # both lie in the length but for one in a million
    gaps, law = gaps[torch.isfinite(gaps)], scipy.stats.weibull_min(regularity)
    assert float(gaps.mean()) == pytest.approx(1e-7, rel=0.03)
    assert float(gaps.std() / gaps.mean()) == pytest.approx(law.std() / law.mean(), rel=0.05)


def test_sites_more_random_than_a_poisson_process_are_refused():
    with pytest.raises(InputError, match="regularity of nucleation must be at least 1"):
        nucleation_sites(torch.full((3,), 0.5, dtype=torch.float64), 1e6, 1e-9, 0.5)


def test_caps_have_their_log_normal_radii():
    """The median where the noise is 0, median × e^σ where it is 1, never below half the interface width."""
    uniform = torch.exp(-torch.tensor([[0.4, 9.0]] * 3, dtype=torch.float64))
    normal = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-9.0, 0.0]], dtype=torch.float64)
    caps = nuclei(uniform, normal, 1 / 400e-9, 40e-9, 0.5, (48, 100), WIDTH, SPACING)
    height = surface_height(caps, SPACING)
    # the cell nearest to the apex is half a cell off its axis
    torch.testing.assert_close(
        height.amax(-1), torch.tensor([40e-9, 40e-9 * 1.6487, 8e-9], dtype=torch.float64), rtol=0.02, atol=0.3e-9
    )
    apex = height[0].argmax()
    assert (float(apex) + 0.5) * SPACING == pytest.approx(160e-9, abs=SPACING)


def test_caps_wrap_around_the_lateral_boundary():
    uniform = torch.exp(-torch.tensor([0.0, 9.0], dtype=torch.float64))  # first site at x = 0
    caps = nuclei(uniform, torch.zeros(2, dtype=torch.float64), 1 / 400e-9, 40e-9, 0.5, (24, 100), WIDTH, SPACING)
    torch.testing.assert_close(caps, caps.flip(-1), rtol=1e-9, atol=1e-12)


def test_density_and_radius_are_differentiable():
    uniform = torch.exp(-torch.tensor([0.4, 0.2, 9.0], dtype=torch.float64))
    normal = torch.tensor([0.2, -0.4, 0.0], dtype=torch.float64)
    density = torch.tensor(1 / 400e-9, dtype=torch.float64)
    weight = torch.randn(24, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def objective(log_density, log_radius, log_deviation):
        caps = nuclei(
            uniform, normal, density * log_density.exp(), 30e-9 * log_radius.exp(), 0.3 * log_deviation.exp(),
            (24, 100), WIDTH, SPACING,
        )  # fmt: skip
        return (weight * caps).sum()

    zeros = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(objective, zeros)


def test_unresolvable_nuclei_are_refused():
    with pytest.raises(InputError, match="half the interface width"):
        nuclei(torch.ones(2), torch.zeros(2), 1e6, 5e-9, 0.3, (8, 8), WIDTH, SPACING)


def test_caps_in_three_dimensions():
    """A Poisson number per area, uniform in z and x, periodic in both; a cap of radius R holds 2πR³/3."""
    generator = torch.Generator().manual_seed(0)
    uniform, across = (1 - torch.rand(4000, 24, generator=generator, dtype=torch.float64) for _ in range(2))
    site = nucleation_sites(uniform, 25e12 * 400e-9, 500e-9)
    assert float(torch.isfinite(site).sum(-1).double().mean()) == pytest.approx(5, abs=4 * (5 / 4000) ** 0.5 + 0.01)
    radius, shape = 40e-9, (24, 16, 30)
    first = torch.exp(-torch.tensor([0.1, 9.0], dtype=torch.float64))  # z at 0.1 mean gaps
    gap = 1 / (1e14 * 30 * SPACING)
    cap = nuclei(first, torch.zeros(2).double(), 1e14, radius, 0.0, shape, WIDTH, SPACING, across[0, :2])
    height = surface_height(cap, SPACING, dimensions=3)
    assert float(height.amax()) == pytest.approx(radius, rel=0.02)
    z, x = divmod(int(height.argmax()), 30)
    assert (z + 0.5) * SPACING == pytest.approx(0.1 * gap, abs=SPACING)
    assert (x + 0.5) * SPACING == pytest.approx(float(across[0, 0]) * 30 * SPACING, abs=SPACING)
    volume = float(thickness(cap, SPACING, dimensions=3)) * 24 * 30 * SPACING**2
    excess = 1 + math.pi**2 / 4 * (WIDTH / (2 * radius)) ** 2  # of the diffuse ball, ⟨r³⟩ over R³
    assert volume == pytest.approx(excess * 2 * math.pi * radius**3 / 3, rel=0.02)
    with pytest.raises(InputError, match="only there"):
        nuclei(first, torch.zeros(2).double(), 1e14, radius, 0.0, shape, WIDTH, SPACING)
    with pytest.raises(InputError, match="only there"):
        nuclei(first, torch.zeros(2).double(), 1e7, radius, 0.0, shape[1:], WIDTH, SPACING, across[0, :2])
