"""The default form against the sharp-interface problem that it stands for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import coverage, film, nuclei, surface_height, thickness
from hmm_plating.transition import (
    Interface,
    Parameters,
    State,
    add_metal,
    butler_volmer,
    initial_state,
    potentiostatic_step,
    step,
)

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(16e-9, 4e-9)
BACKENDS = ["numba", "torch"]


def parameters(metal=None, **changes):
    return Parameters.from_materials(metal or Metal.zinc(), WATER, INTERFACE, **changes)


def flat(height, rows=48, columns=8):
    return film(torch.full((columns,), height, dtype=torch.float64), rows, INTERFACE.width, INTERFACE.spacing)


def disc(radius, n):
    x = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * INTERFACE.spacing
    return torch.sigmoid(4 * (radius - torch.hypot(x, x[:, None])) / INTERFACE.width)


def islands(rows=48, columns=96, batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    uniform = 1 - torch.rand(batch, 16, generator=generator, dtype=torch.float64)
    normal = torch.randn(batch, 16, generator=generator, dtype=torch.float64)
    return nuclei(uniform, normal, 1e7, 12e-9, 0.3, (rows, columns), INTERFACE.width, INTERFACE.spacing)


def metal_thickness(state):
    return thickness(state.order_parameter, INTERFACE.spacing, state.base_thickness)


def unbooked(before: State, after: State, charge, p):
    """Charge that flowed less what the books show [C/m²]; 0 by definition of the state."""
    metal = p.charge_per_volume * (metal_thickness(after) - metal_thickness(before))
    deferred = after.deferred_charge - before.deferred_charge
    return charge - metal - deferred - (after.side_charge - before.side_charge)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("eta", [-0.15, -0.02, 0.1])
def test_planar_front_follows_butler_volmer_and_keeps_its_profile(backend, eta):
    """Design table, strong drive: speed within 3 %, width within 5 %, over twice the interface width."""
    p = parameters()
    speed = -float(butler_volmer(torch.tensor(eta), 0.3, 0.5, p.kinetic_voltage)) / p.charge_per_volume
    start = initial_state(flat(90e-9))
    after = potentiostatic_step(start, eta, 32e-9 / abs(speed), torch.zeros_like(start.order_parameter), p, backend)
    moved = float(metal_thickness(after) - metal_thickness(start))
    assert moved == pytest.approx(math.copysign(32e-9, speed), rel=0.03)
    column = after.order_parameter[:, 0]
    width = 4 * float((column * (1 - column)).sum()) * INTERFACE.spacing  # ∫4ξ(1 − ξ) dy = ℓ of a tanh
    assert width == pytest.approx(INTERFACE.width, rel=0.05)
    assert float(column.diff().abs().max()) == pytest.approx(INTERFACE.spacing / INTERFACE.width, rel=0.07)


@pytest.mark.parametrize("cells", [8, 12, 16])
def test_grain_is_stationary_at_its_gibbs_thomson_overpotential(cells):
    """η = −γ/(R nFc_s): stationary within 3 % of the drive, grows above it, shrinks below it."""
    p = parameters(Metal.lithium())
    radius = cells * INTERFACE.spacing
    grain = disc(radius, 2 * cells + 24)
    eta = -p.surface_energy / (radius * p.charge_per_volume)
    factor = torch.tensor([0.97, 1.0, 1.03], dtype=torch.float64)
    start = initial_state(grain.expand(3, -1, -1))
    after = potentiostatic_step(start, eta * factor, 2.0, torch.zeros_like(start.order_parameter), p)
    growth = (after.order_parameter - start.order_parameter).sum((-2, -1))
    assert growth[0] < 0 < growth[2]
    assert abs(growth[1]) < 0.5 * min(-growth[0], growth[2])


def test_grain_shrinks_at_the_sharp_interface_rate():
    """d(πR²)/dt = 2πR v with v linear in η − γ/(R nFc_s), integrated with the exact Butler–Volmer law."""
    p = parameters(Metal.lithium())
    radius = 56e-9
    start = initial_state(disc(radius, 56))
    after = potentiostatic_step(start, 0.0, 20.0, torch.zeros_like(start.order_parameter), p)
    area = float(after.order_parameter.sum()) / float(start.order_parameter.sum()) * radius**2

    def pace(r):
        eta = torch.tensor(p.surface_energy / (r * p.charge_per_volume), dtype=torch.float64)
        return p.charge_per_volume / float(butler_volmer(eta, 30.0, 0.5, p.kinetic_voltage))

    duration, _ = quad(pace, math.sqrt(area), radius)
    assert area < 0.9 * radius**2
    assert duration == pytest.approx(20.0, rel=0.03)


def test_anisotropy_turns_with_the_crystal():
    """A disc's fourth harmonic grows at M γ/R · 15 δ (stiffness 1 − 15 δ cos 4θ), and turning by 45° flips its sign."""
    p = parameters(Metal.lithium(), anisotropy_strength=0.05, crystal_orientation=torch.tensor([0.0, math.pi / 4]))
    radius, n, duration = 60e-9, 60, 2.0
    start = initial_state(disc(radius, n).expand(2, n, n))
    eta = -p.surface_energy / (radius * p.charge_per_volume)
    after = potentiostatic_step(start, eta, duration, torch.zeros_like(start.order_parameter), p)
    x = torch.arange(n, dtype=torch.float64) + 0.5 - n / 2
    harmonic = torch.cos(4 * torch.atan2(x.expand(n, n), x[:, None].expand(n, n)))
    change = ((after.order_parameter - start.order_parameter) * harmonic).sum((-2, -1)) * INTERFACE.spacing**2
    mobility = 30.0 / (p.kinetic_voltage * p.charge_per_volume)  # m/s per V
    shift = p.surface_energy / (p.charge_per_volume * radius)
    expected = math.pi * radius * mobility * shift * 15 * 0.05 * duration / p.charge_per_volume
    assert float(change[0]) == pytest.approx(expected, rel=0.1)
    assert float(change[1]) == pytest.approx(-float(change[0]), rel=0.03)


@pytest.mark.parametrize(
    ("metal", "micrometres"),
    [(Metal.lithium(), 4.850), (Metal.copper(), 1.323), (Metal.zinc(), 1.708), (Metal.silver(), 3.837)],
)
def test_faraday_thickness(metal, micrometres):
    """1 mAh/cm² (36 000 C/m²) in metal; the design's table."""
    p = parameters(metal)
    start = initial_state(flat(90e-9))
    after = step(start, -36.0, 1.0, torch.zeros_like(start.order_parameter), p)
    assert 1e3 * float(metal_thickness(after) - metal_thickness(start)) * 1e6 == pytest.approx(micrometres, abs=6e-4)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.floats(-30, 30).map(lambda j: round(j, 1)), min_size=1, max_size=4),
    st.integers(0, 100),
    st.sampled_from([0.5, 0.3]),
    st.floats(0, 30),
)
def test_charge_books_close(currents, seed, alpha, amplitude):
    """Plating, rest and stripping in any order on noisy islands: every coulomb is metal, deferred or side charge."""
    zinc = Metal("zinc", 7140.0, 65.38e-3, 2, 0.99, 0.3, transfer_coefficient=alpha)
    p = parameters(zinc, noise_amplitude=amplitude, current_efficiency=0.93)
    state = initial_state(torch.zeros(2, 48, 96, dtype=torch.float64))
    start = state
    state = add_metal(state, islands(batch=2, seed=seed), p)
    generator = torch.Generator().manual_seed(seed)
    charge = 0.0
    for current in currents:
        noise = torch.randn(state.order_parameter.shape, generator=generator, dtype=torch.float64)
        state = step(state, current, 1.5, noise, p)
        charge -= 1.5 * current
        assert bool(((state.order_parameter >= 0) & (state.order_parameter <= 1)).all())
        assert all(bool(torch.isfinite(value).all()) for value in state)
    scale = 1.5 * sum(abs(current) for current in currents) + p.charge_per_volume * 1e-9
    assert float(unbooked(start, state, charge, p).abs().max()) < 1e-12 * scale


def test_galvanostat_delivers_the_charge_within_the_step():
    """Nothing is left over but round-off: d/dt∫ξ equals the current, noise and regularisation included."""
    p = parameters(noise_amplitude=20.0, anisotropy_strength=0.02)
    state = initial_state(islands(batch=4))
    noise = torch.randn(state.order_parameter.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for current in (-10.0, 5.0):
        after = step(state, current, 2.0, noise, p)
        growth = p.charge_per_volume * (metal_thickness(after) - metal_thickness(state))
        torch.testing.assert_close(growth, torch.full_like(growth, -2.0 * current), rtol=1e-10, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nuclei_wait_for_their_charge_and_a_bare_crystal_defers_it(backend):
    p = parameters()
    noise = torch.zeros(1, 48, 96, dtype=torch.float64)
    bare = step(initial_state(noise), -10.0, 2.0, noise, p, backend)
    assert float(bare.deferred_charge) == pytest.approx(20.0, rel=1e-14)
    assert float(bare.overpotential) == 0
    nucleated = add_metal(initial_state(noise), islands(), p)
    debt = -float(nucleated.deferred_charge)
    assert debt == pytest.approx(p.charge_per_volume * float(metal_thickness(nucleated)), rel=1e-14)
    early = step(nucleated, -0.25 * debt, 2.0, noise, p, backend)
    assert float(metal_thickness(early)) == pytest.approx(float(metal_thickness(nucleated)), rel=1e-12)
    late = step(early, -1.25 * debt, 2.0, noise, p, backend)
    assert float(metal_thickness(late)) == pytest.approx(3 * debt / p.charge_per_volume, rel=1e-12)
    assert float(late.deferred_charge) == pytest.approx(0, abs=1e-11 * debt)


@pytest.mark.parametrize("backend", BACKENDS)
def test_stripping_ends_at_the_bare_crystal(backend):
    """Plated charge back, then more of it: no metal is left and the surplus is side charge."""
    p = parameters()
    noise = torch.zeros(1, 48, 96, dtype=torch.float64)
    state = add_metal(initial_state(noise), islands(), p)
    for _ in range(4):
        state = step(state, -20.0, 2.0, noise, p, backend)
    plated = metal_thickness(state)
    for k in range(6):
        state = step(state, 20.0, 2.0, noise, p, backend)
        if k == 3:
            assert float(metal_thickness(state)) < 0.01 * float(plated)
    assert float(state.order_parameter.max()) == 0
    assert float(state.side_charge) == pytest.approx(-80.0, rel=1e-12)
    assert float(state.deferred_charge) == 0


def test_a_stripping_potential_dissolves_everything():
    p = parameters()
    state = initial_state(islands())
    after = potentiostatic_step(state, 0.15, 30.0, torch.zeros_like(state.order_parameter), p)
    assert float(after.order_parameter.max()) == 0


def test_rest_changes_no_volume():
    p = parameters(Metal.copper())
    state = initial_state(islands(batch=2))
    after = step(state, 0.0, 60.0, torch.zeros_like(state.order_parameter), p)
    torch.testing.assert_close(metal_thickness(after), metal_thickness(state), rtol=1e-12, atol=0)
    assert float((after.order_parameter - state.order_parameter).abs().max()) > 1e-3  # it ripens


def test_half_disc_stays_a_half_disc():
    """Slow kinetics, one island per 240 nm, 28 nm of metal: R = sqrt(2·240·28/π) = 65 nm, 90° at the crystal."""
    p = parameters()
    rows, columns = 48, 60
    x = (torch.arange(columns, dtype=torch.float64) + 0.5 - columns / 2) * INTERFACE.spacing
    y = (torch.arange(rows, dtype=torch.float64) + 0.5)[:, None] * INTERFACE.spacing
    cap = torch.sigmoid(4 * (12e-9 - torch.hypot(x.expand(rows, columns), y)) / INTERFACE.width)
    bare = torch.zeros_like(cap)
    state = add_metal(initial_state(bare), cap, p)
    duration = 28e-9 * p.charge_per_volume / 10.0
    for _ in range(10):
        state = step(state, -10.0, duration / 10, bare, p)
    radius = math.sqrt(2 * 240e-9 * 28e-9 / math.pi)
    assert float(metal_thickness(state)) == pytest.approx(28e-9, rel=1e-9)
    # the diffuse disc holds 0.2 ℓ²/R² more than the level ξ = ½ encloses
    assert float(surface_height(state.order_parameter, INTERFACE.spacing).max()) == pytest.approx(radius, rel=0.04)
    assert float(coverage(state.order_parameter)) * 120e-9 == pytest.approx(radius, abs=INTERFACE.spacing)
    for _ in range(12):
        state = step(state, 10.0, duration / 10, bare, p)
    assert float(state.order_parameter.max()) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_mirror_symmetry(backend):
    p = parameters(anisotropy_strength=0.02, noise_amplitude=10.0)
    surface = islands()
    noise = torch.randn(surface.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    after = step(initial_state(surface), -10.0, 4.0, noise, p, backend).order_parameter
    mirrored = step(initial_state(surface.flip(-1)), -10.0, 4.0, noise.flip(-1), p, backend).order_parameter
    torch.testing.assert_close(mirrored.flip(-1), after, rtol=0, atol=1e-12)
    shifted = step(initial_state(surface.roll(7, -1)), -10.0, 4.0, noise.roll(7, -1), p, backend).order_parameter
    torch.testing.assert_close(shifted.roll(-7, -1), after, rtol=0, atol=1e-12)


def test_front_does_not_feel_the_grid_under_it():
    """A flat film advances by the same thickness wherever its front lies in a cell, and a half-disc grows alike."""
    p = parameters()
    heights = 60e-9 + torch.arange(8, dtype=torch.float64)[:, None] / 8 * INTERFACE.spacing
    start = initial_state(film(heights.expand(8, 8), 40, INTERFACE.width, INTERFACE.spacing))
    after = potentiostatic_step(start, -0.1, 20.0, torch.zeros_like(start.order_parameter), p)
    moved = metal_thickness(after) - metal_thickness(start)
    assert float(moved.std() / moved.mean()) < 1e-3


def test_noise_has_the_thermal_strength_whatever_the_duration():
    """Fluctuation–dissipation: a front's mean square displacement is 2 k_B T M t/area, area one cell times ℓ.

    The displacement of the profile is the part of the change along w; the rest decays.
    """
    p = parameters(noise_amplitude=0.1)
    mobility = 0.3 / (p.kinetic_voltage * p.charge_per_volume**2)
    start = initial_state(flat(90e-9, rows=40, columns=128).expand(16, -1, -1))
    generator = torch.Generator().manual_seed(0)
    for duration in (0.5, 2.0):
        noise = torch.randn(start.order_parameter.shape, generator=generator, dtype=torch.float64)
        after = potentiostatic_step(start, 0.0, duration, noise, p)
        weight = 4 / INTERFACE.width * start.order_parameter * (1 - start.order_parameter)
        change = after.order_parameter - start.order_parameter
        displacement = (weight * change).sum(-2) / weight.square().sum(-2)
        thermal = 2 * 1.380649e-23 * p.temperature * mobility * duration / (INTERFACE.spacing * INTERFACE.width)
        # 2048 columns: 3 % Monte-Carlo error
        assert float(displacement.square().mean()) == pytest.approx(0.01 * thermal, rel=0.12)


def test_noise_does_not_depend_on_the_splitting_of_the_step():
    """The same noise velocity held over two half steps ends where one step does."""
    p = parameters(noise_amplitude=20.0)
    start = initial_state(flat(90e-9, columns=32))
    noise = torch.randn(start.order_parameter.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = step(start, -10.0, 2.0, noise, p).order_parameter
    half = noise / math.sqrt(2)
    split = step(step(start, -10.0, 1.0, half, p), -10.0, 1.0, half, p).order_parameter
    quiet = step(start, -10.0, 2.0, 0 * noise, p).order_parameter
    assert float((split - whole).norm() / (whole - quiet).norm()) < 0.05


def test_batch_dimensions_and_parameters_broadcast():
    """A (2, 3) batch with its own kinetics per particle equals the particles one by one."""
    j0 = torch.tensor([[0.1, 0.3, 1.0], [0.2, 2.0, 5.0]], dtype=torch.float64)
    current = torch.tensor([-10.0, -5.0, 10.0], dtype=torch.float64)
    surface = islands(batch=6).reshape(2, 3, 48, 96)
    after = step(initial_state(surface), current, 2.0, 0 * surface, parameters(exchange_current_density=j0))
    assert after.overpotential.shape == (2, 3)
    alone = step(
        initial_state(surface[1, 2]), 10.0, 2.0, 0 * surface[1, 2], parameters(exchange_current_density=j0[1, 2])
    )
    for batched, single in zip(after, alone, strict=True):
        torch.testing.assert_close(batched[1, 2], single, rtol=0, atol=0)


def test_bad_input_is_named():
    p, surface = parameters(), flat(60e-9)
    start = initial_state(surface)
    for wrong, message in (
        (dict(current_density=math.nan), "current_density must be finite"),
        (dict(current_density=torch.zeros(3)), "does not broadcast"),
        (dict(current_density=-1e9), "area"),
        (dict(duration=0.0), "duration"),
        (dict(duration=-1.0), "duration"),
        (dict(noise=torch.zeros(3, 3)), "noise must have the shape"),
        (dict(noise=surface * math.nan), "must be finite"),
        (dict(state=start._replace(base_thickness=torch.zeros(2))), "State.base_thickness"),
        (dict(backend="fortran"), "backend"),
    ):
        arguments = dict(state=start, current_density=-1.0, duration=1.0, noise=0 * surface, parameters=p)
        with pytest.raises(InputError, match=message):
            step(**{**arguments, **wrong})
    with pytest.raises(InputError, match="V, not mV"):
        potentiostatic_step(start, -150.0, 1.0, 0 * surface, p)
    with pytest.raises(InputError, match="dimensions"):
        initial_state(torch.zeros(3))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        initial_state(torch.full((3, 3), 1.5))
