"""The instrument's linear response: stationary priors, regressors against explicit sums, lags against analysis."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hmm_plating import Drive, InputError, InstrumentResponse, LinearTerm, Resonator, emission
from hmm_plating.instrument import SurfaceShift, lagged, overtone_covariance

OVERTONES = (3, 7, 11)
COUNT = len(OVERTONES)
RESPONSE = InstrumentResponse(
    terms=(
        LinearTerm("sensitivity", "frequency", 0.3, 400.0, lambda surface, drive: surface.frequency, mean=1.0),
        LinearTerm("charge", "frequency", 2.0, math.inf, lambda surface, drive: drive.charge_density),
        LinearTerm("lag", "frequency", 3.0, 50.0, lambda surface, drive: drive.lagged_current[1]),
        LinearTerm(
            "sensitivity", "dissipation", 0.5, 10.0, lambda surface, drive: surface.dissipation, 1.0, independent=0.1
        ),
        LinearTerm("potential", "dissipation", 1e-6, 90.0, lambda surface, drive: drive.potential),
        LinearTerm("side layer", "frequency", 0.4, 70.0, lambda surface, drive: surface.side_layer),
        LinearTerm(
            "box", "frequency", 0.1, 20.0, lambda surface, drive: surface.frequency, 0.2, accumulated=True, memory=9.0
        ),
        LinearTerm("box", "dissipation", 0.3, math.inf, lambda surface, drive: surface.dissipation, accumulated=True),
    ),
    side_mass_deviation=1e-5,
    side_mass_rate_deviation=5e-8,
    side_mass_rate_time=6.0,
    lag_times=(2.0, 8.0),
    side_mass_memory=200.0,
)
COEFFICIENTS = len(RESPONSE.terms) * COUNT
STATES = COEFFICIENTS + 2 * COUNT + 2
changes = st.lists(st.floats(-50, 50), min_size=2 * COUNT, max_size=2 * COUNT).map(
    lambda values: torch.tensor(values, dtype=torch.float64).reshape(2, COUNT)
)
durations = st.floats(1e-3, 1e3)


def drive(duration: float = 2.0, current: float = 0.0, charge: float = 0.0, potential: float = 0.0) -> Drive:
    values = (duration, current, charge, abs(charge), potential)
    numbers = (torch.tensor(value, dtype=torch.float64) for value in values)
    return Drive(*numbers, lagged_current=torch.tensor([1.5, -2.5], dtype=torch.float64))


@given(
    st.lists(st.integers(0, 30).map(lambda k: 2 * k + 1), min_size=1, max_size=7, unique=True),
    st.floats(0, 10),
    st.floats(0, 10),
    st.floats(1e-6, 10),
)
def test_overtone_covariance_is_a_correlation(overtones: list[int], common: float, smooth: float, own: float) -> None:
    matrix = overtone_covariance(overtones, common, smooth, own)
    assert torch.equal(matrix, matrix.T)
    torch.testing.assert_close(matrix.diagonal(), torch.ones(len(overtones), dtype=torch.float64))
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def test_neighbouring_overtones_are_more_alike() -> None:
    """The parts of the correlation, by hand: ln(5/3) = 0.5108, so exp(−½ (0.5108/0.7)²) = 0.7662."""
    matrix = overtone_covariance((3, 5, 11), 1.0, 0.5, 0.25)
    assert float(matrix[0, 1]) == pytest.approx((1 + 0.5 * 0.7662) / 1.75, abs=1e-4)
    assert matrix[0, 1] > matrix[0, 2]


@given(durations)
def test_the_prior_is_stationary_at_rest(duration: float) -> None:
    """A P Aᵀ + Q = P and A m + a = m: an Ornstein–Uhlenbeck process keeps its distribution."""
    mean, covariance = RESPONSE.initial(OVERTONES)
    transition, offset, process = RESPONSE.dynamics(OVERTONES, drive(duration))
    torch.testing.assert_close(transition @ covariance @ transition.T + process, covariance, rtol=1e-12, atol=1e-30)
    torch.testing.assert_close(transition @ mean + offset, mean, rtol=1e-12, atol=1e-15)


@given(durations, st.floats(-100, 100), changes)
def test_process_noise_is_a_covariance(duration: float, current: float, change: Tensor) -> None:
    process = RESPONSE.dynamics(OVERTONES, drive(duration, current), change)[2]
    scale = process.diagonal().clamp(min=1e-300).rsqrt()
    assert torch.equal(process, process.T)
    assert float(torch.linalg.eigvalsh(scale[:, None] * process * scale).min()) > -1e-12


@given(durations, st.floats(-100, 100), changes)
def test_half_a_step_twice_is_one_step(duration: float, current: float, change: Tensor) -> None:
    """A₂ = A A, Q₂ = A Q Aᵀ + Q, a₂ = A a + a: a filter of other steps is the same model."""
    half_transition, half_offset, half_process = RESPONSE.dynamics(OVERTONES, drive(duration / 2, current), change / 2)
    transition, offset, process = RESPONSE.dynamics(OVERTONES, drive(duration, current), change)
    twice = half_transition @ half_process @ half_transition.T + half_process
    torch.testing.assert_close(half_transition @ half_transition, transition, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(twice, process, rtol=1e-6, atol=1e-28)
    torch.testing.assert_close(half_transition @ half_offset + half_offset, offset, rtol=1e-9, atol=1e-12)


def test_the_side_mass_grows_with_the_charge_that_flows_either_way() -> None:
    for current in (-10.0, 10.0):
        transition = RESPONSE.dynamics(OVERTONES, drive(0.01, current))[0]
        assert float(transition[-2, -1]) == pytest.approx(0.1, rel=1e-2)  # |j| Δt, for a step short against its time
    assert float(RESPONSE.dynamics(OVERTONES, drive(0.01, 0.0))[0][-2, -1]) == 0


def test_an_accumulated_term_is_the_integral_of_its_coefficient() -> None:
    """dI = (θ − I/μ) dx by Monte Carlo: Euler–Maruyama paths against mean and covariance of the step."""
    term, duration, steps, paths = RESPONSE.terms[6], 30.0, 400, 20_000
    generator = torch.Generator().manual_seed(0)
    fine = duration / steps
    dx = 7.0 / steps
    theta = torch.full((paths,), 0.5, dtype=torch.float64)
    integral = torch.zeros(paths, dtype=torch.float64)
    for _ in range(steps):
        integral += (theta - integral / term.memory) * dx
        noise = torch.randn(paths, generator=generator, dtype=torch.float64)
        drift = (term.mean - theta) * fine / term.correlation_time
        theta += drift + term.standard_deviation * math.sqrt(2 * fine / term.correlation_time) * noise
    change = torch.zeros(2, COUNT, dtype=torch.float64)
    change[0, 1] = 7.0
    transition, offset, process = RESPONSE.dynamics(OVERTONES, drive(duration), change)
    coefficient, total = 6 * COUNT + 1, COEFFICIENTS + 1
    mean = transition[total, coefficient] * 0.5 + offset[total]
    scatter = float(process[total, total].sqrt())
    assert float(integral.mean()) == pytest.approx(float(mean), abs=4 * scatter / math.sqrt(paths) + 0.01)
    assert float(integral.std()) == pytest.approx(scatter, rel=4 / math.sqrt(2 * paths) + 0.01)
    correlation = float(torch.corrcoef(torch.stack([integral, theta]))[0, 1])
    expected = float(process[total, coefficient] / (process[total, total] * process[coefficient, coefficient]).sqrt())
    assert correlation == pytest.approx(expected, abs=0.03)


def test_an_error_that_lasts_is_remembered_over_its_memory() -> None:
    """θ constant: dI = (θ − I/μ) dx gives I = θ μ (1 − e^{−x/μ}), and back at x = 0 I = −θ μ (1 − e^{−x/μ})²."""
    term = LinearTerm("box", "frequency", 0.1, math.inf, lambda s, d: s.frequency, accumulated=True, memory=9.0)
    response = replace(RESPONSE, terms=(term,))
    change = torch.full((1, COUNT), 25.0, dtype=torch.float64)
    there, back = (response.dynamics(OVERTONES, drive(7.0), sign * change)[0] for sign in (1, -1))
    coefficient, total = 0, COUNT
    kept = math.exp(-25 / 9)
    assert float(there[total, coefficient]) == pytest.approx(9 * (1 - kept), rel=1e-12)
    assert float((back @ there)[total, coefficient]) == pytest.approx(-9 * (1 - kept) ** 2, rel=1e-12)
    assert float(there[total, total]) == pytest.approx(kept, rel=1e-12)


def test_the_side_mass_stays_within_what_its_memory_allows() -> None:
    """dm = (r − m/q) |j| dt with r an Ornstein–Uhlenbeck process: Var m → σ² q² τ|j| / (τ|j| + q)."""
    flow, rate_time, memory = 10.0, RESPONSE.side_mass_rate_time, RESPONSE.side_mass_memory
    transition, _, process = RESPONSE.dynamics(OVERTONES, drive(50.0, flow))
    belief = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(60):
        belief = transition[-2:, -2:] @ belief @ transition[-2:, -2:].T + process[-2:, -2:]
    charge = flow * rate_time  # over which the rate is remembered
    expected = RESPONSE.side_mass_rate_deviation**2 * memory**2 * charge / (charge + memory)
    assert float(belief[0, 0]) == pytest.approx(expected, rel=1e-9)


def test_what_does_not_change_accumulates_nothing() -> None:
    mean, covariance = RESPONSE.initial(OVERTONES)
    transition, offset, process = RESPONSE.dynamics(OVERTONES, drive(5.0, -10.0))
    integrals = slice(COEFFICIENTS, COEFFICIENTS + 2 * COUNT)
    assert not (transition @ mean + offset)[integrals].any()
    assert not (transition @ covariance @ transition.T + process)[integrals].any()


def test_particles_accumulate_each_by_its_own_change() -> None:
    change = torch.randn(4, 2, COUNT, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = RESPONSE.dynamics(OVERTONES, drive(2.0, -10.0), change)
    for particle in range(4):
        alone = RESPONSE.dynamics(OVERTONES, drive(2.0, -10.0), change[particle])
        for batch, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batch[particle], single, rtol=1e-12, atol=0)


def explicit_observation(state: Tensor, surface: SurfaceShift, at: Drive) -> Tensor:
    """Σ_j θ_jn x_j and the side mass, written out for each overtone, from the docstring's formula and Sauerbrey's."""
    theta, mass = state[:COEFFICIENTS].reshape(-1, COUNT), state[-2]
    integrals = state[COEFFICIENTS:-2].reshape(2, COUNT)
    rows = []
    for particle in range(len(surface.frequency)):
        frequency, dissipation = [], []
        for index, n in enumerate(OVERTONES):
            shift, extra = surface.frequency[particle, index], surface.dissipation[particle, index]
            per_overtone = theta[0, index] * shift + theta[5, index] * surface.side_layer[particle, 0]
            per_overtone += theta[1, index] * at.charge_density + theta[2, index] * at.lagged_current[1]
            per_overtone += integrals[0, index]
            frequency.append(n * per_overtone - n * mass * 2 * (5e6) ** 2 / 8.84e6)
            dissipation.append(theta[3, index] * extra + theta[4, index] * at.potential + integrals[1, index])
        rows.append(torch.stack([*frequency, *dissipation]))
    return torch.stack(rows)


def test_observation_matrix_is_the_explicit_sum_and_its_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(STATES, generator=generator, dtype=torch.float64)
    frequency, dissipation = torch.randn(2, 4, COUNT, generator=generator, dtype=torch.float64)
    side_layer = 10 * torch.randn(4, 1, generator=generator, dtype=torch.float64)
    surface = SurfaceShift(1e3 * frequency, 1e-6 * dissipation, side_layer)
    at = drive(2.0, -10.0, -300.0, -0.05)
    matrix = RESPONSE.observation_matrix(OVERTONES, Resonator(), surface, at)
    torch.testing.assert_close(matrix @ state, explicit_observation(state, surface, at), rtol=1e-12, atol=1e-12)
    for column in range(len(state)):  # the response is linear, so a difference of any width is exact
        step = torch.zeros_like(state).index_fill(0, torch.tensor(column), 0.5)
        upper, lower = (explicit_observation(sign * step, surface, at) for sign in (1, -1))
        torch.testing.assert_close(matrix[..., column], upper - lower, rtol=1e-12, atol=1e-12)


def test_a_side_mass_shifts_as_sauerbrey_says() -> None:
    """10 nm of copper: −506.79 Hz per overtone at 5 MHz, no dissipation."""
    surface = SurfaceShift(*torch.zeros(2, 1, COUNT, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
    matrix = RESPONSE.observation_matrix(OVERTONES, Resonator(), surface, drive())[0]
    state = torch.zeros(STATES, dtype=torch.float64)
    state[-2] = 8960.0 * 10e-9
    expected = torch.tensor([-506.79 * n for n in OVERTONES] + [0.0] * COUNT, dtype=torch.float64)
    torch.testing.assert_close(matrix @ state, expected, rtol=1e-5, atol=0)
    load = emission.sauerbrey(8960.0 * 10e-9, OVERTONES, Resonator())
    film = emission.shifts(load, 0j, OVERTONES, Resonator())[0]
    torch.testing.assert_close((matrix @ state)[:COUNT], film, rtol=1e-12, atol=0)


@pytest.mark.parametrize("duration", [0.25, 2.0, 30.0])
def test_lags_follow_the_analytic_response_to_a_pulse(duration: float) -> None:
    """Steps of the current at t_i by J_i give Σ_i J_i (1 − exp(−(t − t_i)/τ)), at any sampling of the steps."""
    steps = [(2, -10.0), (5, 14.0), (9, -4.0)]
    current = torch.zeros(12, dtype=torch.float64)
    for index, change in steps:
        current[index:] += change
    times = (0.7, 4.0, 60.0)
    response = lagged(current, duration, times)
    assert response.shape == (12, 3)
    for end in range(12):
        for lag, time in enumerate(times):
            expected = sum(
                change * (1 - math.exp(-(end + 1 - index) * duration / time)) for index, change in steps if index <= end
            )
            assert float(response[end, lag]) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_lags_do_not_depend_on_the_sampling_of_a_constant_current() -> None:
    coarse = lagged(torch.full((5,), -10.0, dtype=torch.float64), 2.0, (1.0, 7.0))
    fine = lagged(torch.full((20,), -10.0, dtype=torch.float64), 0.5, (1.0, 7.0))
    torch.testing.assert_close(fine[3::4], coarse, rtol=1e-13, atol=0)


def test_terms_refuse_what_they_cannot_mean() -> None:
    with pytest.raises(InputError, match="channel must be 'frequency' or 'dissipation'"):
        LinearTerm("x", "mass", 1.0, 1.0, lambda surface, drive: 1.0)
    with pytest.raises(InputError, match="standard_deviation must be ≥ 0"):
        LinearTerm("x", "frequency", -1.0, 1.0, lambda surface, drive: 1.0)
    with pytest.raises(InputError, match="correlation_time > 0"):
        LinearTerm("x", "frequency", 1.0, 0.0, lambda surface, drive: 1.0)
    with pytest.raises(InputError, match="memory must be positive"):
        LinearTerm("x", "frequency", 1.0, 1.0, lambda surface, drive: 1.0, accumulated=True, memory=0.0)
