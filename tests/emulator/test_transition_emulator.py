"""The emulated step in the place of the simulated one: books, limits and refusals, which no training decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyro
import pytest
import torch
from small_emulator import small_emulator

from hmm_plating import Electrolyte, Metal, PlatingModel, Protocol, Transport, inference, morphology, transition
from hmm_plating.emulator import EmulatedStep, load_weights, save_weights
from hmm_plating.emulator.displacement import solid_fraction
from hmm_plating.emulator.features import signed_distance
from hmm_plating.emulator.trust import Trust, relief_descriptors
from hmm_plating.errors import InputError
from hmm_plating.filter_recording import drives
from hmm_plating.report.result import simulated_share
from hmm_plating.transition import Interface, Parameters, State

WATER = Electrolyte(1322.8, 3.14e-3)
INTERFACE = Interface(16e-9, 4e-9)
PARAMETERS = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE, noise_amplitude=30.0, current_efficiency=0.8)
BATH = Transport(concentration=2000.0, diffusivity=2e-10, layer_thickness=150e-6, resolved=False)


def islands(dimensions: int = 2, particles: int = 3) -> State:
    generator = torch.Generator().manual_seed(4)
    shape = (32, 32) if dimensions == 2 else (16, 24, 16)
    uniform = 1 - torch.rand(particles, 64, generator=generator, dtype=torch.float64)
    normal = torch.randn(particles, 64, generator=generator, dtype=torch.float64)
    across = torch.rand(particles, 64, generator=generator, dtype=torch.float64) if dimensions == 3 else None
    density = (1 / 60e-9) ** (dimensions - 1)
    nuclei = morphology.nuclei(uniform, normal, density, 12e-9, 0.2, shape, 16e-9, 4e-9, across)
    return transition.initial_state(nuclei, dimensions)


def noise_like(state: State, seed: int = 0) -> torch.Tensor:
    return torch.randn(state.order_parameter.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def charge(state: State, dimensions: int = 2) -> torch.Tensor:
    metal = morphology.thickness(state.order_parameter, 4e-9, state.base_thickness, dimensions)
    return float(PARAMETERS.charge_per_volume) * metal + state.deferred_charge + state.side_charge


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_books_close_to_round_off(dimensions: int) -> None:
    p = replace(PARAMETERS, interface=replace(INTERFACE, dimensions=dimensions))
    step, state = small_emulator(dimensions), islands(dimensions)
    start, flowed = charge(state, dimensions), 0.0
    for k, (current, duration) in enumerate([(-10, 2.0), (-20, 3.0), (0, 4.0), (10, 2.0), (15, 2.5), (-5, 1.0)]):
        state = step(state, float(current), duration, noise_like(state, k), p)
        flowed -= current * duration
        torch.testing.assert_close(charge(state, dimensions) - start, torch.full_like(start, flowed), rtol=0, atol=1e-9)
        assert bool(((state.order_parameter >= 0) & (state.order_parameter <= 1)).all())


def test_stripped_bare_the_rest_is_side_charge_as_in_the_simulated_step() -> None:
    state, noise = islands(), noise_like(islands())
    for _ in range(3):
        ours = small_emulator()(state, 100.0, 4.0, noise, PARAMETERS)
        true = transition.step(state, 100.0, 4.0, noise, PARAMETERS)
        torch.testing.assert_close(ours.side_charge, true.side_charge, rtol=0, atol=1e-8)
        state = ours
    assert float(ours.order_parameter.abs().max()) == 0
    assert float(ours.overpotential.abs().max()) == 0
    # a bare crystal defers a cathodic charge until there are nuclei
    after = small_emulator()(ours, -10.0, 2.0, noise, PARAMETERS)
    torch.testing.assert_close(after.deferred_charge, torch.full_like(after.deferred_charge, 16.0))
    assert float(after.order_parameter.abs().max()) == 0


def test_a_flat_film_grows_as_faraday_says() -> None:
    """Where the network adds nothing, the front is the film's, higher by the charge over zFc_s."""
    film = morphology.film(torch.full((1, 16), 50e-9, dtype=torch.float64), 32, 16e-9, 4e-9)
    state = transition.initial_state(film)
    after = small_emulator(size=0.0)(state, -10.0, 4.0, 0 * film, PARAMETERS)
    rise = 0.8 * 10 * 4 / float(PARAMETERS.charge_per_volume)
    height = morphology.surface_height(after.order_parameter, 4e-9)
    torch.testing.assert_close(height, torch.full_like(height, 50e-9 + rise), rtol=0, atol=1e-12)


def test_nothing_moves_where_nothing_drives() -> None:
    """At rest, without surface energy and noise, the step is the identity, up to a tail's last digits."""
    p = replace(PARAMETERS, surface_energy=0.0, noise_amplitude=0.0)
    step = small_emulator()
    card = replace(step.card, ranges={**step.card.ranges, "surface_energy": (0.0, 1.5)})
    state = islands()
    after = replace(step, card=card)(state, 0.0, 4.0, noise_like(state), p)
    torch.testing.assert_close(after.order_parameter, state.order_parameter, rtol=0, atol=2e-4)


def test_overpotential_and_diffusion_layer_are_those_of_the_simulated_step() -> None:
    p = replace(PARAMETERS, transport=BATH, noise_amplitude=0.0)
    film = morphology.film(torch.full((1, 16), 50e-9, dtype=torch.float64), 32, 16e-9, 4e-9)
    ours = true = transition.initial_state(film)
    for current in (-10.0, -10.0, 5.0):
        ours = small_emulator()(ours, current, 4.0, 0 * film, p)
        true = transition.step(true, current, 4.0, 0 * film, p)
        torch.testing.assert_close(ours.overpotential, true.overpotential, rtol=0, atol=2e-4)
        torch.testing.assert_close(ours.diffusion_layer, true.diffusion_layer, rtol=0, atol=1e-4)


def test_the_window_follows_a_deposit_that_outgrows_the_box() -> None:
    film = morphology.film(torch.full((1, 16), 70e-9, dtype=torch.float64), 32, 16e-9, 4e-9)
    state = transition.initial_state(film)
    start = charge(state)
    for _ in range(20):
        state = small_emulator()(state, -50.0, 4.0, 0 * film, PARAMETERS)
    assert float(state.base_thickness) > 0
    torch.testing.assert_close(charge(state) - start, torch.full_like(start, 20 * 50.0 * 4.0), rtol=0, atol=1e-8)


def test_particles_do_not_know_of_each_other() -> None:
    state, step = islands(), small_emulator()
    noise = noise_like(state)
    whole = step(state, -10.0, 2.0, noise, PARAMETERS)
    for k in range(3):
        alone = State(*(value[k : k + 1] for value in state))
        one = step(alone, -10.0, 2.0, noise[k : k + 1], PARAMETERS)
        torch.testing.assert_close(one.order_parameter, whole.order_parameter[k : k + 1], rtol=0, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_it_is_the_same_step() -> None:
    state, step = islands(), small_emulator()
    there = State(*(value.cuda() for value in state))
    ours = step.to("cuda")(there, -10.0, 2.0, noise_like(state).cuda(), PARAMETERS)
    assert ours.order_parameter.is_cuda
    wanted = step(state, -10.0, 2.0, noise_like(state), PARAMETERS)
    torch.testing.assert_close(ours.order_parameter.cpu(), wanted.order_parameter, rtol=0, atol=1e-5)


def test_gradients_reach_the_noise() -> None:
    """Against central differences, with a network in double precision."""
    step = small_emulator()
    for network in step.networks:
        network.double()
    state = islands(particles=1)
    noise = noise_like(state).requires_grad_()
    weight = noise_like(state, 9)

    def value(agitation: torch.Tensor) -> torch.Tensor:
        return (weight * step(state, -10.0, 2.0, agitation, PARAMETERS).order_parameter).sum()

    (found,) = torch.autograd.grad(value(noise), noise)
    along = noise_like(state, 10)
    with torch.no_grad():
        wanted = (value(noise + 1e-4 * along) - value(noise - 1e-4 * along)) / 2e-4
    assert float((found * along).sum()) == pytest.approx(float(wanted), rel=1e-6)


def test_in_the_place_of_the_step_in_a_model_and_its_filter(build: object) -> None:
    recording = Protocol(overtones=(3, 7), plating_time=6.0, rest_time=2.0, sampling=2.0).recording()
    model: PlatingModel = replace(build(recording), transition_step=small_emulator())  # type: ignore[operator]
    series = drives(recording, model.instrument.lag_times)
    observations = torch.zeros(len(series.duration), 4, dtype=torch.float64)
    found = inference.ParticleFilter(model, particles=4).run(observations, series, seed=1)
    assert found.posterior["thickness"].values[..., -1].min() > 0
    share = simulated_share(found)
    assert share is not None
    assert 0 <= share <= 1
    pyro.clear_param_store()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_needle_and_a_closed_pore_are_left_to_the_simulated_step(dimensions: int) -> None:
    """Thresholds from islands; a grid of particles, with parameters and currents of their own."""
    known = relief(islands(dimensions, 200), dimensions)
    trust = Trust.calibrate(known, known, torch.full((200,), 0.5))
    step = replace(small_emulator(dimensions, size=0.1), trust=trust)
    needle, pore = islands(dimensions, 2).order_parameter
    needle[..., :15, 8:12] = 1.0
    pore[..., :14, :] = 1.0
    pore[..., 4:10, 4:12] = 0.0
    fields = torch.cat([islands(dimensions, 2).order_parameter, needle[None], pore[None]])
    state = transition.initial_state(fields.reshape(2, 2, *fields.shape[1:]), dimensions)
    noise, current = noise_like(state), torch.tensor([[-10.0, -5.0], [-10.0, 5.0]], dtype=torch.float64)
    p = replace(
        PARAMETERS,
        interface=replace(INTERFACE, dimensions=dimensions),
        transport=BATH,
        current_efficiency=torch.tensor([[0.7], [0.8]], dtype=torch.float64),
    )
    ours, simulated = step.checked(state, current, 2.0, noise, p)
    true = transition.step(state, current, 2.0, noise, p)
    assert simulated.tolist() == [[False, False], [True, True]]
    for name, value in ours._asdict().items():
        torch.testing.assert_close(value[1], getattr(true, name)[1], rtol=1e-12, atol=1e-15, msg=name)
    assert not torch.equal(ours.order_parameter[0], true.order_parameter[0])


def relief(state: State, dimensions: int) -> torch.Tensor:
    distance = signed_distance(state.order_parameter, 4.0, dimensions)
    return relief_descriptors(solid_fraction(distance).float(), dimensions)


def test_where_networks_differ_or_the_front_leaps_the_step_is_simulated() -> None:
    step, state, noise = small_emulator(), islands(), noise_like(islands())
    assert not bool(step.checked(state, -10.0, 2.0, noise, PARAMETERS)[1].any())
    doubting = replace(step, trust=step.trust._replace(spread=torch.tensor(1e-6)))
    assert bool(doubting.checked(state, -10.0, 2.0, noise, PARAMETERS)[1].all())
    alike = replace(doubting, networks=step.networks[:1] * 2)
    assert not bool(alike.checked(state, -10.0, 2.0, noise, PARAMETERS)[1].any())
    after, simulated = step.checked(state, 40.0, 4.0, noise, PARAMETERS)  # more than there is
    left = after.order_parameter.flatten(1).amax(1) > 0
    assert torch.equal(simulated, left)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interface": Interface(20e-9, 5e-9)}, "trained on cells of 4e-09 m, not of 5e-09 m"),
        ({"interface": Interface(32e-9, 4e-9)}, "interface_width = 3.2e-08 lies outside 1.6e-08 to 1.6e-08"),
        ({"interface": Interface(16e-9, 4e-9, 3)}, "network is for 2 dimensions, the grid has 3"),
        ({"surface_energy": 2.0}, "surface_energy = 2 lies outside 0.5 to 1.5"),
        ({"exchange_current_density": 100.0}, "exchange_current_density = 100 lies outside 0.1 to 1"),
        ({"noise_amplitude": 100.0}, "noise_amplitude = 100 lies outside 0 to 60"),
        ({"anisotropy_strength": 0.05}, "anisotropy_strength = 0.05 lies outside 0 to 0"),
        ({"transfer_coefficient": 0.3}, "transfer_coefficient = 0.3 lies outside 0.5 to 0.5"),
        ({"transport": replace(BATH, resolved=True)}, "resolved=False"),
    ],
)
def test_what_it_was_not_trained_for_is_named(change: dict[str, object], message: str) -> None:
    state = islands()
    with pytest.raises(InputError, match=message):
        small_emulator()(state, -10.0, 2.0, noise_like(state), replace(PARAMETERS, **change))


def test_a_drive_that_it_was_not_trained_for() -> None:
    state = islands()
    with pytest.raises(InputError, match="current_density = -200 lies outside -100 to 100"):
        small_emulator()(state, -200.0, 2.0, noise_like(state), PARAMETERS)
    with pytest.raises(InputError, match=r"duration = 60 lies outside 0\.5 to 5"):
        small_emulator()(state, -10.0, 60.0, noise_like(state), PARAMETERS)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    step, state = small_emulator(), islands()
    save_weights(tmp_path / "w.safetensors", step.weights(), step.card)
    loaded = EmulatedStep.load(tmp_path / "w.safetensors")
    arguments = (state, -10.0, 2.0, noise_like(state), PARAMETERS)
    assert torch.equal(loaded(*arguments).order_parameter, step(*arguments).order_parameter)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"inputs": 7}, "for 7 features of a surface, this version has 12"),
        ({"hidden": 16}, "they are of another network than their card says"),
        ({"attention": 3}, "describes another network"),
    ],
)
def test_weights_that_do_not_fit_their_card(tmp_path: Path, architecture: dict[str, int], message: str) -> None:
    step = small_emulator()
    card = replace(step.card, architecture={**step.card.architecture, **architecture})
    save_weights(tmp_path / "w.safetensors", step.weights(), card)
    assert load_weights(tmp_path / "w.safetensors", "transition")[1] == card
    with pytest.raises(InputError, match=message):
        EmulatedStep.load(tmp_path / "w.safetensors")
