"""The kernels of the classical form against its free energy, its symmetries and its books."""

import math

import numba
import numpy as np
import pytest
import torch
from classical_cases import TRANSPORT, WIDTH, ball, random_field, surface
from hypothesis import given, settings
from hypothesis import strategies as st

from hmm_plating.errors import InputError
from hmm_plating.morphology import film
from hmm_plating.transition.classical import (
    ClassicalParameters,
    ClassicalState,
    classical_step,
    free_energy,
    stable_time_step,
)

BOXES = [(2, (9, 8)), (3, (5, 9, 8))]
FOLDS = (2, 3, 4, 6)


def one_step(state, p, overpotential=0.0):
    limit = float(stable_time_step(state, overpotential, p).min())
    return classical_step(state, overpotential, 0.99 * limit, p), 0.99 * limit


@pytest.mark.parametrize(
    ("dimensions", "box", "fold"),
    [*((*box, fold) for box in BOXES for fold in (0, 4)), *((*BOXES[0], fold) for fold in FOLDS if fold != 4)],
)
def test_kernel_is_minus_the_derivative_of_the_free_energy(dimensions, box, fold):
    """Reverse-mode derivative of `free_energy`; fold 0: no anisotropy. Particles differ in strength and orientation."""
    strength = torch.tensor([0.0, 0.05, 0.3]) * (fold > 0)
    p = surface(
        fold=fold or 4,
        dimensions=dimensions,
        anisotropy_strength=strength,
        crystal_orientation=torch.tensor([0.1, 0.0, -0.7]),
    )
    xi = random_field(3, *box).requires_grad_()
    (derivative,) = torch.autograd.grad(free_energy(xi, p).sum(), xi)
    moved, duration = one_step(ClassicalState(xi.detach()), ClassicalParameters(p, 2.0))
    rate = (moved.order_parameter - xi.detach()) / duration
    variation = derivative / p.interface.spacing**dimensions
    torch.testing.assert_close(rate, -2.0 * variation, rtol=1e-9, atol=1e-11 * float(variation.abs().max()))


def test_energy_of_the_profile_converges_to_the_surface_energy():
    """sqrt(2κW)/6 = γ (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258), with second order in the spacing."""
    errors = []
    for cells in (8, 16, 32):
        p = surface(cells)
        xi = film(torch.full((4,), 25.25e-6, dtype=torch.float64), 12 * cells, WIDTH, p.interface.spacing)
        errors.append(abs(float(free_energy(xi, p)) / (4 * p.interface.spacing * p.surface_energy) - 1))
    assert errors[1] < 1e-3
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx(2, abs=0.1)


def test_anisotropic_energy():
    """On the isotropic profile half the energy is gradient energy, so a front costs γ[1 + ½ δ_a cos ω_a(θ − θ_0)]."""
    height = torch.full((4,), 25.25e-6, dtype=torch.float64)
    for orientation in (0.0, 0.2, math.pi / 4):
        p = surface(16, anisotropy_strength=0.3, crystal_orientation=orientation)
        energy = float(free_energy(film(height, 200, WIDTH, p.interface.spacing), p))
        front = energy / (4 * p.interface.spacing * p.surface_energy)
        assert front == pytest.approx(1 + 0.15 * math.cos(4 * orientation), rel=2e-3)
        # around a circle the cosine averages out
        circle = float(free_energy(ball(15e-6, 42e-6, p), p)) / (2 * math.pi * 15e-6 * p.surface_energy)
        assert circle == pytest.approx(1, rel=2e-3)


def test_cubic_energy():
    """As in a section, with 4 Σ n_i⁴ − 3 for the cosine, whose mean over a sphere is −3/5."""
    for orientation in (0.0, 0.4):
        p = surface(8, dimensions=3, anisotropy_strength=0.3, crystal_orientation=orientation)
        sphere = float(free_energy(ball(8e-6, 26e-6, p), p)) / float(
            free_energy(ball(8e-6, 26e-6, p), surface(8, dimensions=3))
        )
        assert sphere == pytest.approx(1 - 0.5 * 0.3 * 0.6, rel=2e-3)


@pytest.mark.parametrize(("dimensions", "box"), BOXES)
@given(seed=st.integers(0, 2**31), strength=st.floats(0, 0.9), fold=st.sampled_from(FOLDS), angle=st.floats(-4, 4))
@settings(max_examples=30)
def test_energy_decays_without_drive(dimensions, box, seed, strength, fold, angle):
    """dF/dt = −L_σ ∫(δF/δξ)² (Allen and Cahn, Acta Metall. 27 (1979) 1085), at the longest stable step."""
    fold = fold if dimensions == 2 else 4
    p = surface(fold=fold, dimensions=dimensions, anisotropy_strength=strength, crystal_orientation=angle)
    state, energies = ClassicalState(random_field(*box, seed=seed)), []
    for _ in range(4):
        energies.append(float(free_energy(state.order_parameter, p)))
        state, _ = one_step(state, ClassicalParameters(p, 1.0))
    assert energies == sorted(energies, reverse=True)


def coupled(dimensions, box, strength=0.0, top=None, seed=0):
    p = surface(dimensions=dimensions, anisotropy_strength=strength)
    state = ClassicalState(random_field(*box, seed=seed), 0.5 + random_field(*box, seed=seed + 1))
    parameters = ClassicalParameters(p, 1e-4, 0.1, TRANSPORT, 1e-11, top)
    return state, parameters, 20 * float(stable_time_step(state, -0.02, parameters).min())


@pytest.mark.parametrize(("dimensions", "box"), BOXES)
@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_mirror_symmetry(dimensions, box, strength):
    """A mirrored surface moves as the mirror image, to round-off."""
    state, p, duration = coupled(dimensions, box, strength)
    moved = classical_step(state, -0.02, duration, p)
    for axis in range(-dimensions, 0):
        mirrored = classical_step(ClassicalState(*(field.flip(axis) for field in state)), -0.02, duration, p)
        for one, other in zip(moved, mirrored, strict=True):
            torch.testing.assert_close(other.flip(axis), one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_section_is_a_box_that_does_not_vary_in_depth(strength):
    state, p2, duration = coupled(2, (9, 8), strength, top=1.0)
    _, p3, _ = coupled(3, (5, 9, 8), strength, top=1.0)
    flat, deep = (
        classical_step(ClassicalState(*fields), -0.02, duration, p, time_step=duration / 40)
        for fields, p in ((state, p2), ([field.expand(5, 9, 8) for field in state], p3))
    )
    for one, other in zip(flat, deep, strict=True):
        torch.testing.assert_close(other, one.expand(5, 9, 8), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("cells", "tolerance"), [(4, 0.02), (8, 0.005)])
def test_anisotropy_turns_with_the_crystal(cells, tolerance):
    """A grain whose crystal is turned by 45° grows into the same shape, turned by 45°."""
    p = surface(cells, anisotropy_strength=0.1, crystal_orientation=torch.tensor([0.0, math.pi / 4]))
    grain = ball(12e-6, 80e-6, p).expand(2, -1, -1)
    parameters = ClassicalParameters(p, 1e-4, 0.55)  # L_η |Γ| = 0.05 L_σ W
    grown = classical_step(ClassicalState(grain), -0.1, 0.12, parameters).order_parameter
    n = grown.shape[-1]

    def radius(xi, angle):
        """Where ξ crosses ½ on a ray from the centre [m]."""
        r = torch.linspace(0.2, 0.98, 400, dtype=torch.float64)
        ray = torch.stack([r * math.sin(angle), r * math.cos(angle)], -1)
        along = torch.nn.functional.grid_sample(xi[None, None], ray[None, None], "bilinear", align_corners=False)
        along = along.flatten()
        i = int((along > 0.5).nonzero().max())
        return float(r[i] + (r[1] - r[0]) * (along[i] - 0.5) / (along[i] - along[i + 1])) * n / 2

    straight = [radius(grown[0], angle) for angle in (0, math.pi / 4)]
    turned = [radius(grown[1], angle) for angle in (math.pi / 4, 0)]
    assert straight == pytest.approx(turned, rel=tolerance)
    assert straight[0] > 1.05 * straight[1]


@pytest.mark.parametrize(("dimensions", "box"), BOXES)
@pytest.mark.parametrize("overpotential", [-0.1, 0.05])
def test_cation_is_conserved(dimensions, box, overpotential):
    """∫(c̃ + (c_s/c0) ξ) of a closed box, to 1e-10 of what moves."""
    state, p, duration = coupled(dimensions, box, 0.05)
    moved = classical_step(state, overpotential, 100 * duration, p)
    ratio = p.concentration_ratio
    assert ratio == pytest.approx(8960 / 63.546e-3 / 1000)
    before, after = (float((s.concentration + ratio * s.order_parameter).sum()) for s in (state, moved))
    exchanged = float((moved.order_parameter - state.order_parameter).abs().sum()) * ratio
    assert exchanged > 1
    assert abs(after - before) < 1e-10 * exchanged


def test_diffusion_decays_at_its_rate():
    """c̃ = cos kx decays as exp(−Dk²t) in the electrolyte (Crank, The Mathematics of Diffusion, ch. 2)."""
    p = ClassicalParameters(surface(), 1e-4, 0.1, TRANSPORT)
    x = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    k = 2 * math.pi / (64 * p.surface.interface.spacing)
    state = ClassicalState(torch.zeros(8, 64, dtype=torch.float64), 1 + 0.5 * torch.cos(x).expand(8, 64))
    after = classical_step(state, 0.0, 1 / (TRANSPORT.diffusivity * k**2), p)
    expected = 1 + 0.5 * math.exp(-1) * torch.cos(x).expand(8, 64)
    torch.testing.assert_close(after.concentration, expected, rtol=0, atol=1e-3)


def test_particles_do_not_depend_on_each_other_or_on_threads():
    state, p, duration = coupled(2, (5, 9, 8), torch.linspace(0, 0.2, 5, dtype=torch.float64))
    eta = torch.linspace(-0.05, 0.05, 5, dtype=torch.float64)
    threads = numba.get_num_threads()
    together = classical_step(state, eta, duration, p)
    try:
        numba.set_num_threads(1)
        serial = classical_step(state, eta, duration, p)
    finally:
        numba.set_num_threads(threads)
    for particle in range(5):
        one_state, one_p, _ = coupled(2, (5, 9, 8), float(torch.linspace(0, 0.2, 5, dtype=torch.float64)[particle]))
        alone = classical_step(
            ClassicalState(*(field[particle] for field in one_state)), float(eta[particle]), duration, one_p
        )
        for many, single, one in zip(together, serial, alone, strict=True):
            assert torch.equal(many, single)
            assert torch.equal(many[particle], one)


@given(seed=st.integers(0, 2**31), overpotential=st.floats(-0.15, 0.15))
@settings(max_examples=30)
def test_order_parameter_stays_between_0_and_1(seed, overpotential):
    state, p, duration = coupled(2, (9, 8), seed=seed)
    moved = classical_step(state, overpotential, duration, p)
    assert bool(((moved.order_parameter >= 0) & (moved.order_parameter <= 1)).all())
    assert bool(torch.isfinite(moved.concentration).all())


def test_unstable_time_step_is_refused_with_the_limit():
    state, p, duration = coupled(2, (9, 8))
    limit = float(stable_time_step(state, -0.02, p))
    classical_step(state, -0.02, duration, p, time_step=0.999 * limit)
    with pytest.raises(InputError, match=f"at most {limit:g} s"):
        classical_step(state, -0.02, duration, p, time_step=1.01 * limit)


def test_input_that_does_not_fit_is_refused():
    state, p, duration = coupled(2, (9, 8))
    for changes, message in (
        ({"duration": 0.0}, "duration must be a positive"),
        ({"time_step": math.nan}, "time_step must be a positive"),
        ({"state": ClassicalState(state.order_parameter)}, "needs ClassicalParameters.transport"),
        ({"state": ClassicalState(state.order_parameter, torch.ones(3))}, "concentration has the shape"),
        ({"source": torch.ones(3)}, "source has the shape"),
    ):
        arguments = {"state": state, "overpotential": 0.0, "duration": duration, "parameters": p, **changes}
        with pytest.raises(InputError, match=message):
            classical_step(**arguments)
    for name, value in (("interface_mobility", -1.0), ("top_concentration", math.nan)):
        with pytest.raises(InputError, match=name):
            ClassicalParameters(p.surface, **{"interface_mobility": 1.0, name: value})
