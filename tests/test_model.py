"""The hidden Markov model: a Pyro program, whose linear part is marginalised exactly and whose charge adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyro
import pytest
import torch
import xarray as xr
from pyro import poutine
from pyro.infer import SMCFilter
from small_recording import Simulated
from torch import Tensor

from hmm_plating import Drive, Grid, InputError, InstrumentResponse, PlatingModel, Protocol, morphology, transition
from hmm_plating.filter_recording import drives
from hmm_plating.inference.program import Program
from hmm_plating.inference.standard_noise import StandardNoise, at_mean
from hmm_plating.instrument import SurfaceShift

PARTICLES = 3
PROTOCOL = Protocol(
    cycles=1, plating_time=8.0, stripping_time=6.0, rest_time=4.0, sampling=2.0, overtones=(3, 7), frequency_noise=2.0
)
RECORDING = PROTOCOL.recording()


@pytest.fixture(scope="module")
def model(build: Callable[[xr.Dataset], PlatingModel]) -> PlatingModel:
    return build(RECORDING)


@pytest.fixture(scope="module")
def drive(model: PlatingModel) -> Drive:
    return drives(RECORDING, model.instrument.lag_times)


def at(series: Drive, t: int) -> Drive:
    return Drive(*(values[t] for values in series))


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@pytest.fixture(scope="module")
def run(model: PlatingModel, drive: Drive) -> list[dict[str, Tensor]]:
    """State after init and after each step of three particles that observe what they draw."""
    state: dict[str, Tensor] = {}
    states = []
    with seeded(), pyro.plate("particles", PARTICLES, dim=-1):
        model.init(state)
        states.append(dict(state))
        for t in range(len(drive.duration)):
            model.step(state, None, at(drive, t))
            states.append(dict(state))
    return states


def test_the_state_keeps_its_shapes(run: list[dict[str, Tensor]]) -> None:
    """All that depends on a draw is in the state, particles leading, so that resampling by indexing is right."""
    shapes = [{name: value.shape for name, value in state.items()} for state in run]
    assert all(later == shapes[1] for later in shapes[2:])
    assert shapes[0].items() <= shapes[1].items()
    for state in run:
        assert all(value.shape[0] == PARTICLES for value in state.values())
        assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert run[0]["order_parameter"].shape == (PARTICLES, 24, 32)
    assert run[-1]["step"].tolist() == [len(run) - 1] * PARTICLES


def test_the_observation_is_differentiable(model: PlatingModel, drive: Drive, run: list[dict[str, Tensor]]) -> None:
    """Predicted shifts against differences in the current efficiency's noise, at a step that plates."""
    plated = [bool((state["order_parameter"] > 0.5).flatten(1).any(1).all()) for state in run[:-1]]
    step = next(t for t, metal in enumerate(plated) if metal and float(drive.current_density[t]) < 0)
    start = StandardNoise(draw=at_mean)

    def predicted(noise: Tensor) -> Tensor:
        observation = torch.zeros(2 * len(model.overtones), dtype=torch.float64)
        program = Program(model, "step", (observation, at(drive, step)), PARTICLES, 0, "test")
        handler = StandardNoise({**start.noise, "current_efficiency": noise}, start.values, at_mean)
        sites = program.run(program.copy(run[step]), handler)
        start.noise, start.values = {**handler.noise, **start.noise}, handler.values
        return sites["observation"]["fn"].loc[:, : len(model.overtones)]

    zero = torch.zeros(PARTICLES, dtype=torch.float64)
    with torch.no_grad():
        predicted(zero)
        difference = (predicted(zero + 0.2) - predicted(zero - 0.2)) / 0.4
    noise = zero.clone().requires_grad_()
    derivative = torch.stack([torch.autograd.grad(predicted(noise)[:, n].sum(), noise)[0] for n in range(2)], -1)
    torch.testing.assert_close(derivative, difference, rtol=0.05, atol=0.02 * float(difference.abs().max()))


def test_the_charge_adds_up(model: PlatingModel, drive: Drive, run: list[dict[str, Tensor]]) -> None:
    """−∫j dt is what the metal, the charge in waiting and side reactions took, at every step (Faraday)."""
    for state, charge in zip(run[1:], drive.charge_density.tolist(), strict=True):
        metal = model.metal.charge_per_volume * model.report(state)["thickness"]
        books = metal + state["deferred_charge"] + state["side_charge"]
        torch.testing.assert_close(books, torch.full_like(books, -charge), rtol=0, atol=1e-7)


def test_nuclei_appear_with_the_first_cathodic_current(drive: Drive, run: list[dict[str, Tensor]]) -> None:
    first = int((drive.current_density < 0).nonzero()[0])
    for state in run[: first + 1]:
        assert not state["order_parameter"].any()
    assert bool((run[first + 1]["order_parameter"] > 0.5).flatten(1).any(-1).all())


def test_a_bare_crystal_shifts_nothing(model: PlatingModel) -> None:
    shift = model.surface_shift(transition.initial_state(torch.zeros(1, 24, 32, dtype=torch.float64)))
    assert all(float(part.abs().max()) < 1e-9 for part in shift)


@pytest.mark.parametrize("base", [0.0, 40e-9])
def test_a_flat_film_shifts_as_sauerbrey_says(model: PlatingModel, base: float) -> None:
    """−2 f0² ρ h / Z_q at every Δf_n/n and no dissipation, whether the film lies in the box or below it."""
    thickness = 26e-9
    state = film(thickness)
    state = state._replace(base_thickness=torch.full_like(state.base_thickness, base))
    shift = model.surface_shift(state)
    expected = -2 * 5e6**2 / 8.84e6 * 7140.0 * (thickness + base) * torch.ones(1, 2, dtype=torch.float64)
    torch.testing.assert_close(shift.frequency, expected, rtol=5e-3, atol=0)
    assert float(shift.dissipation.abs().max()) < 2e-8


def test_a_ridge_in_a_box_shifts_as_its_section(model: PlatingModel) -> None:
    """A surface that does not vary across the shear is that of two dimensions, its metal and its liquid."""
    x = torch.arange(32, dtype=torch.float64)
    height = 30e-9 + 8e-9 * torch.cos(2 * torch.pi * x / 32)
    profile = morphology.film(height[None], 24, 16e-9, 4e-9)
    box = replace(model, grid=replace(model.grid, depth=32e-9))
    extruded = profile[:, None].expand(1, 8, 24, 32).contiguous()
    section = model.surface_shift(transition.initial_state(profile))
    shift = box.surface_shift(transition.initial_state(extruded, 3))
    for computed, expected in zip(shift, section, strict=True):
        torch.testing.assert_close(computed, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("formed", [0.0, 0.25, 1.0])
def test_nuclei_are_felt_as_their_charge_flows(model: PlatingModel, formed: float) -> None:
    """Placed at once, paid for later: the shift grows from 0 with the part of the charge that has flowed."""
    whole = film(26e-9)
    metal = model.metal.charge_per_volume * morphology.thickness(whole.order_parameter, 4e-9, whole.base_thickness)
    shift = model.surface_shift(whole._replace(deferred_charge=(formed - 1) * metal))
    expected = model.surface_shift(whole)
    torch.testing.assert_close(shift.frequency, formed * expected.frequency, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(shift.dissipation, formed * expected.dissipation, rtol=1e-9, atol=1e-15)


def film(thickness: float) -> transition.State:
    profile = morphology.film(torch.tensor([thickness], dtype=torch.float64), 24, 16e-9, 4e-9)
    return transition.initial_state(profile.expand(1, 24, 32).contiguous())


@pytest.mark.parametrize("thickness", [22e-9, 30.7e-9, 41.3e-9])
def test_the_picture_holds_the_metal(model: PlatingModel, thickness: float) -> None:
    """The solid fraction's sum over the emission's cells is the metal per area, wherever the surface cuts them."""
    state = film(thickness)._asdict() | {
        "coefficient_mean": torch.zeros(1, 2),
        "surface_frequency_shift": torch.zeros(1, 2),
        "surface_dissipation_shift": torch.zeros(1, 2),
        "step": torch.zeros(1, dtype=torch.int64),
        **{f"latent_{name}": torch.zeros(1) for name in ("nucleation_density", "current_efficiency")},
    }
    picture = model.report(state)["morphology"]
    assert picture.shape == (1, len(model.coords["y"]), len(model.coords["x"]))
    assert float(picture.mean() * 96e-9) == pytest.approx(thickness, abs=0.1e-9)
    assert float(model.report(state)["thickness"]) == pytest.approx(thickness, abs=0.1e-9)


def test_the_picture_is_where_the_metal_is(model: PlatingModel, run: list[dict[str, Tensor]]) -> None:
    """Rows count up from the crystal and columns along it: each cell of the picture covers 2 × 2 of the phase field."""
    state = next(state for state in reversed(run) if "morphology" in model.report(state))
    picture = model.report(state)["morphology"].double()
    mean = state["order_parameter"].reshape(PARTICLES, 12, 2, 16, 2).mean((2, 4))
    assert float(((picture > 0.5) == (mean > 0.5)).double().mean()) > 0.98
    assert bool((picture > 0.5).any())


def joint_gaussian(model: PlatingModel, shifts: list[SurfaceShift], drive: Drive) -> tuple[Tensor, Tensor]:
    """Mean and covariance of all observations together, given the surfaces: products of transitions, no filtering."""
    belief = model.instrument.initial(model.overtones)
    means, blocks = [belief.mean], [[belief.covariance]]  # blocks[s][t] = cov(x_s, x_t), s ≥ t
    matrices = []
    before = torch.zeros(1, len(model.overtones), dtype=torch.float64)
    for t, shift in enumerate(shifts):
        step = at(drive, t)
        matrix, offset, process = model.instrument.dynamics(model.overtones, step, shift.frequency - before)
        before = shift.frequency
        means.append(matrix @ means[-1] + offset)
        row = [matrix @ block for block in blocks[-1]]
        blocks.append([*row, row[-1] @ matrix.T + process])
        matrices.append(model.instrument.observation_matrix(model.overtones, model.resonator, shift, step)[0])
    noise = torch.diag(torch.tensor([*model.frequency_noise, *model.dissipation_noise], dtype=torch.float64) ** 2)
    count = len(shifts)
    channels = len(noise)
    covariance = torch.zeros(count * channels, count * channels, dtype=torch.float64)
    for s in range(count):
        for t in range(s + 1):
            block = matrices[s] @ blocks[s + 1][t + 1] @ matrices[t].T + (noise if s == t else 0)
            covariance[s * channels : (s + 1) * channels, t * channels : (t + 1) * channels] = block
            covariance[t * channels : (t + 1) * channels, s * channels : (s + 1) * channels] = block.T
    return torch.cat([matrix @ mean for matrix, mean in zip(matrices, means[1:], strict=True)]), covariance


@pytest.mark.parametrize("missing", [[], [(3, 1), (5, 0), (5, 2)], [(t, 1) for t in range(8)]])
def test_the_marginalised_likelihood_is_that_of_the_joint_gaussian(
    model: PlatingModel, drive: Drive, missing: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ_t log p(y_t | y_{1:t−1}, surfaces) of the Kalman recursion against the dense density of the whole series."""
    state: dict[str, Tensor] = {}
    shifts: list[SurfaceShift] = []
    observed = []
    original = InstrumentResponse.observation_matrix

    def seen(self: InstrumentResponse, *arguments: Any) -> Tensor:
        shifts.append(next(argument for argument in arguments if isinstance(argument, SurfaceShift)))
        return original(self, *arguments)

    scores = torch.zeros(1, dtype=torch.float64)
    with seeded(3), pyro.plate("particles", 1, dim=-1):
        model.init(state)
        for t in range(8):
            drawn = model.step(dict(state), None, at(drive, t))[0]
            drawn[[channel for step, channel in missing if step == t]] = torch.nan
            with monkeypatch.context() as patch:
                patch.setattr(InstrumentResponse, "observation_matrix", seen)
                trace = poutine.trace(model.step).get_trace(state, drawn, at(drive, t))
            scores += trace.nodes["observation"]["fn"].log_prob(drawn)
            observed.append(drawn)
        mean, covariance = joint_gaussian(model, shifts, drive)
        values = torch.cat(observed)
        known = ~values.isnan()
        dense = torch.distributions.MultivariateNormal(mean[known], covariance[known][:, known]).log_prob(values[known])
    assert float(scores) == pytest.approx(float(dense), rel=1e-8)


def test_runs_in_pyros_own_filter(model: PlatingModel, drive: Drive, run: list[dict[str, Tensor]]) -> None:
    """`pyro.infer.SMCFilter` takes the model as it is, with the prior as its proposal."""

    class Prior:
        def init(self, state: dict[str, Any], *args: Any) -> None:
            model.init(dict(state))

        def step(self, state: dict[str, Any], *args: Any) -> None:
            with poutine.block(hide=["observation"]):
                model.step(dict(state), *args)

    with seeded():
        smc = SMCFilter(model, Prior(), num_particles=PARTICLES, max_plate_nesting=0)
        smc.init()
        for t in range(4):
            smc.step(torch.zeros(4, dtype=torch.float64), at(drive, t))
    assert smc.state["order_parameter"].shape == (PARTICLES, 24, 32)
    assert bool(torch.isfinite(smc.state._log_weights).all())


@pytest.mark.parametrize("batch", [(), (PARTICLES,)])
def test_is_a_callable_pyro_program(model: PlatingModel, drive: Drive, batch: tuple[int, ...]) -> None:
    """Drawn observations, traced back in, have a finite density; every site of every step has a name of its own."""
    series = Drive(*(values[:4] for values in drive))

    def program(observations: Tensor | None) -> Tensor:
        if not batch:
            return model(observations, series)
        with pyro.plate("particles", *batch):
            return model(observations, series)

    with seeded():
        observations = program(None)
        assert observations.shape == (*batch, 4, 4)
        trace = poutine.trace(program).get_trace(observations.reshape(-1, 4, 4)[0])
    assert bool(torch.isfinite(trace.log_prob_sum()))
    assert [name for name in trace.observation_nodes if "observation" in name] == [
        f"step_{t}/observation" for t in range(1, 5)
    ]


def test_parameters_that_are_all_fixed(model: PlatingModel, drive: Drive) -> None:
    fixed = replace(model, parameters={"nucleus_radius": 12e-9, "nucleation_density": 1 / 60e-9**2})
    state: dict[str, Tensor] = {}
    with seeded(), pyro.plate("particles", PARTICLES, dim=-1):
        fixed.init(state)
        observation = fixed.step(state, None, at(drive, 2))
    assert observation.shape == (PARTICLES, 4)
    assert all(value.shape[0] == PARTICLES for value in state.values())


def test_a_recording_tells_its_viscosity_where_it_has_a_step_from_air(
    model: PlatingModel, simulated: Simulated
) -> None:
    """3.14 mPa s is what the recording was drawn with; 1 mPa s is what is assumed where nothing tells."""
    parts = {"metal": model.metal, "grid": model.grid, "parameters": model.parameters, "instrument": model.instrument}
    told = PlatingModel.for_recording(simulated.recording, density=1322.8, viscosity=1e-3, **parts)
    assert told.electrolyte.viscosity == pytest.approx(3.14e-3, rel=1e-6)
    assert told.overtones == (3, 7, 11)
    assert told.frequency_noise == tuple(simulated.recording["frequency_shift_noise"].values)
    untold = PlatingModel.for_recording(RECORDING, density=1322.8, viscosity=1e-3, **parts)
    assert untold.electrolyte.viscosity == 1e-3
    assert untold.resonator.fundamental_frequency == 5e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interface_width": 12e-9}, "3 cells of 4e-09 m; fewer than 4 pin the front"),
        ({"width": 130e-9}, r"Grid\.width = 1\.3e-07 m is not a whole number of emission cells of 8e-09 m"),
        ({"height": 0.0}, r"Grid\.height"),
        ({"spacing": -4e-9}, "spacing must be a positive length"),
    ],
)
def test_a_grid_that_resolves_nothing_is_refused(arguments: dict[str, float], message: str) -> None:
    given = {"width": 128e-9, "height": 96e-9, "spacing": 4e-9, "interface_width": 16e-9} | arguments
    with pytest.raises(InputError, match=message):
        Grid(**given)


def test_a_model_refuses_what_does_not_fit(model: PlatingModel) -> None:
    with pytest.raises(InputError, match="unknown density; known: nucleation_density"):
        replace(model, parameters={"density": 1.0})
    for noise in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(InputError, match="frequency_noise needs one positive value per overtone"):
            replace(model, frequency_noise=noise)


def test_a_looser_solver_moves_the_shift_within_its_tolerance(
    model: PlatingModel, run: list[dict[str, Tensor]]
) -> None:
    exact = replace(model, load_tolerance=1e-8)
    for state in run[5:8]:
        surface = transition.State(*(state[name] for name in transition.State._fields))
        coarse, fine = (candidate.surface_shift(surface) for candidate in (model, exact))
        scale = fine.frequency.abs()
        assert float(((coarse.frequency - fine.frequency).abs() / scale).max()) < model.load_tolerance
