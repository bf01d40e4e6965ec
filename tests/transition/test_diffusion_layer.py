"""The diffusion layer against closed forms: Sand, Cottrell, the finite layer's series, and its own books."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfc

from hmm_plating.errors import DepletionError, InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition import Transport, diffusion_layer
from hmm_plating.transition.diffusion_layer import NODES, advance, node_positions, node_widths, relaxed_profile

DEEP = Transport(1e3, 3.197e-10, 2e-3)  # the design's Sand case; sqrt(D t_S) is 0.27 mm
THIN = Transport(1e3, 3.2e-10, 5e-5)
FLUX = 100.0 / FARADAY_CONSTANT
VALENCE = 1


def uniform(*batch: int) -> torch.Tensor:
    return torch.ones(*batch, NODES, dtype=torch.float64)


def time_scale(transport: Transport) -> float:
    return transport.layer_thickness**2 / transport.diffusivity


def limiting_flux(transport: Transport) -> float:
    return transport.limiting_current_density(1) / FARADAY_CONSTANT


def unit_drop(tau: float) -> float:
    """1 − c̃ at the face of a layer of thickness 1 after a unit gradient is switched on; the other face is held at 1.

    Carslaw and Jaeger, Conduction of Heat in Solids, 2nd ed., ch. 3.8: images for short times, Fourier for long ones.
    """
    if tau > 0.1:
        rates = ((np.arange(100) + 0.5) * math.pi) ** 2
        return float(1 - (2 / rates * np.exp(-rates * tau)).sum())
    z = np.arange(12) / math.sqrt(tau)
    integral = np.exp(-(z**2)) / math.sqrt(math.pi) - z * erfc(z)
    signs = np.where(np.arange(12) % 2, -2.0, 2.0)
    signs[0] = 1
    return float(2 * math.sqrt(tau) * (signs * integral).sum())


@pytest.mark.parametrize("transference_number", [0.0, 0.4])
@pytest.mark.parametrize("step", [2.0, 20.0, math.inf])
def test_sand(transference_number, step):
    """c̃(0, t) = 1 − sqrt(t/t_S) (Sand, Phil. Mag. 1 (1901) 45) within 0.1 % of c0, in steps or in one."""
    transport = Transport(1e3, 3.197e-10, 4e-3, transference_number=transference_number)
    sand = transport.sand_time(100.0, VALENCE)
    assert sand == pytest.approx(234 / (1 - transference_number) ** 2, rel=2e-3)
    profile, time = uniform(), 0.0
    while time < 0.99 * sand:
        duration = min(step, 0.99 * sand - time + 1e-9)
        profile, time = advance(profile, FLUX, duration, transport, VALENCE), time + duration
        assert profile[0].item() == pytest.approx(1 - math.sqrt(time / sand), abs=1e-3)
    with pytest.raises(DepletionError) as error:
        advance(profile, FLUX, sand, transport, VALENCE)
    assert time + error.value.time == pytest.approx(sand, rel=1e-3)


@pytest.mark.parametrize("transport", [THIN, Transport(1e3, 3.2e-10, 2e-4), Transport(50.0, 1e-9, 1e-5)])
def test_response_to_a_step_of_the_flux(transport):
    """From 1e-7 of δ²/D on, the drop at the box top is that of the series (Carslaw and Jaeger) within 0.04 %."""
    for tau in np.geomspace(1e-7, 10, 60):
        profile = advance(uniform(), 0.01 * limiting_flux(transport), tau * time_scale(transport), transport, VALENCE)
        assert 1 - profile[0].item() == pytest.approx(0.01 * unit_drop(tau), rel=4e-4)


def test_cottrell():
    """A surface held empty draws nFc0 sqrt(D/πt) (Cottrell, Z. Phys. Chem. 42 (1903) 385).

    Within 2 % from the 20th step on, where the stairs that stand for the flux are fine enough, and 0.2 % at the last.
    """
    profile, step = uniform(), 0.5
    for index in range(200):
        # the box top is linear in the flux: the one that leaves 1e-9 there
        at_rest, small = (advance(profile, f, step, DEEP, VALENCE)[0].item() for f in (0.0, -1e-3 * FLUX))
        flux = (at_rest - 1e-9) / (small - at_rest) * 1e-3 * FLUX
        profile = advance(profile, flux, step, DEEP, VALENCE)
        roots = math.sqrt((index + 1) * step) - math.sqrt(index * step)  # mean over the step of 1/(2 sqrt t)
        cottrell = 2 * DEEP.concentration * math.sqrt(DEEP.diffusivity / math.pi) * roots / step
        if index >= 20:
            assert flux == pytest.approx(cottrell, rel=2e-2)
    assert flux == pytest.approx(cottrell, rel=2e-3)
    assert profile[0].item() == pytest.approx(1e-9, rel=1e-3)


def test_steady_state_is_the_straight_line_of_the_limiting_current():
    """c̃(0) = 1 − j/j_lim (Nernst layer); approached from a uniform profile, and kept; on the brink of j_lim too."""
    transport = Transport(1e3, 3.2e-10, 5e-5, transference_number=0.3)
    for share in (0.2, 0.999):
        flux = share * limiting_flux(transport)
        steady = relaxed_profile(flux, transport)
        assert steady[0].item() == pytest.approx(1 - share, abs=1e-12)
        line = 1 - share * (1 - node_positions(transport) / transport.layer_thickness)
        torch.testing.assert_close(steady, line, rtol=0, atol=1e-12)
        for start in (uniform(), steady):
            late = advance(start, flux, 100 * time_scale(transport), transport, VALENCE)
            torch.testing.assert_close(late, steady, rtol=0, atol=1e-12)
    with pytest.raises(DepletionError):
        advance(uniform(), 1.001 * limiting_flux(transport), 100 * time_scale(transport), transport, VALENCE)


def test_relaxation_after_the_current_stops():
    """The last mode to go is cos(πy/2δ) with the time constant 4δ²/(π²D); deviation and sign as in the series."""
    constant = 4 * time_scale(THIN) / math.pi**2
    start = relaxed_profile(0.5 * limiting_flux(THIN), THIN)
    early, late = (advance(start, 0.0, t * constant, THIN, VALENCE) for t in (2.0, 3.0))
    assert math.log((1 - early[0].item()) / (1 - late[0].item())) == pytest.approx(1, rel=3e-3)
    assert 1 - early[0].item() == pytest.approx(0.5 * (1 - unit_drop(2 * 4 / math.pi**2)), rel=5e-3)
    assert 0 < 1 - advance(start, 0.0, 20 * constant, THIN, VALENCE)[0].item() < 1e-8


def test_pulses_and_reversal_superpose():
    """Plating, rest, stripping, plating again: a sum of shifted step responses (Duhamel), within 0.1 % of c0."""
    events = [(0.0, 1.2), (0.5, 0.0), (0.55, -2.0), (0.9, 0.8), (0.9001, 0.0), (1.0, 0.9)]  # of δ²/D, of j_lim
    profile = uniform()
    for (start, share), (end, _) in zip(events, [*events[1:], (1.3, 0.0)], strict=True):
        profile = advance(profile, share * limiting_flux(THIN), (end - start) * time_scale(THIN), THIN, VALENCE)
        history = [(t, s - before) for (t, s), (_, before) in zip(events, [(0.0, 0.0), *events], strict=False)]
        exact = 1 - sum(change * unit_drop(end - t) for t, change in history if t < end)
        assert profile[0].item() == pytest.approx(exact, abs=1e-3)


def test_exact_in_time():
    """One call or a thousand of unequal length: the same profile to round-off; there is no order in time to state."""
    durations = np.random.default_rng(1).exponential(1.0, 1000) * time_scale(THIN) / 1000
    flux, profile = 0.8 * limiting_flux(THIN), relaxed_profile(-limiting_flux(THIN), THIN)
    once = advance(profile, flux, float(durations.sum()), THIN, VALENCE)
    for duration in durations:
        profile = advance(profile, flux, float(duration), THIN, VALENCE)
    torch.testing.assert_close(profile, once, rtol=0, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(
    shares=st.lists(st.floats(-2, 0.9), min_size=1, max_size=4),
    exponents=st.lists(st.floats(-6, 0.5), min_size=4, max_size=4),
    transference_number=st.floats(0, 0.9),
)
def test_conservation(shares, exponents, transference_number):
    """Σ c̃·width changes by what enters at both ends, to 1e-12; the bulk's part by quadrature of the last node."""
    transport = Transport(2e3, 5e-10, 8e-5, transference_number=transference_number)
    widths = node_widths(transport)
    last_gap = transport.layer_thickness - node_positions(transport)[-1].item()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.append(0.0, np.geomspace(1e-9, 1, 41))
    times = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
    parts = (np.diff(edges)[:, None] * weights / 2).ravel()
    profile = uniform()
    for share, exponent in zip(shares, exponents, strict=False):
        flux, duration = share * limiting_flux(transport), 10**exponent * time_scale(transport)
        from_bulk = 0.0
        for time, part in zip(times, parts, strict=True):
            last = advance(profile, flux, time * duration, transport, VALENCE)[-1].item()
            from_bulk += transport.diffusivity * (1 - last) / last_gap * part * duration
        following = advance(profile, flux, duration, transport, VALENCE)
        consumed = (1 - transference_number) * flux * duration / transport.concentration
        change = ((following - profile) * widths).sum().item()
        assert change == pytest.approx(from_bulk - consumed, abs=1e-12 * (abs(from_bulk) + abs(consumed) + 1e-6))
        profile = following


def test_particles_are_independent_and_may_differ_in_their_transport():
    """A batch is its particles one by one."""
    diffusivity = torch.tensor([2e-10, 4e-10, 8e-10], dtype=torch.float64)
    flux = torch.tensor([[1e-3], [-2e-3]], dtype=torch.float64)
    together = advance(uniform(2, 3), flux, 1.0, Transport(1e3, diffusivity, 5e-5), VALENCE)
    assert together.shape == (2, 3, NODES)
    for row in range(2):
        for column in range(3):
            transport = Transport(1e3, diffusivity[column].item(), 5e-5)
            alone = advance(uniform(), flux[row].item(), 1.0, transport, VALENCE)
            torch.testing.assert_close(together[row, column], alone, rtol=0, atol=1e-14)


def test_depletion_is_an_error_that_names_sands_time():
    """j = 2 j_lim: the message has time, current density, limiting current density and Sand's time, and a way out."""
    flux = 2 * limiting_flux(THIN)
    sand = THIN.sand_time(2 * THIN.limiting_current_density(1), 1)
    with pytest.raises(InputError, match=r" 1235 A/m².* 617\.5 A/m².*Sand's time .* 1\.534 s.*lower") as error:
        advance(uniform(), flux, 60.0, THIN, VALENCE)
    assert error.value.time == pytest.approx(sand, rel=0.02)  # the layer is a little less than deep
    assert f"{error.value.time:.4g} s into a step of 60 s" in str(error.value)
    copied = pickle.loads(pickle.dumps(error.value))
    assert (str(copied), copied.time) == (str(error.value), error.value.time)
    with pytest.raises(DepletionError, match=r"\(1 of 3 particles\)"):
        advance(uniform(3), flux * torch.tensor([0.1, 1.0, -1.0]), 60.0, THIN, VALENCE)
    with pytest.raises(DepletionError, match=r"left at the surface 0 s"):
        advance(0 * uniform(), 0.0, 60.0, THIN, VALENCE)


def test_depletion_within_a_step_that_recovers_is_found():
    """A layer that is poor but for its far end, at 0.9 j_lim: empty for a while, although the steady state is not."""
    scale, limit = time_scale(THIN), limiting_flux(THIN)
    poor = torch.where(node_positions(THIN) < 0.8 * THIN.layer_thickness, 0.2, 1.0).to(torch.float64)
    time = diffusion_layer.depletion_time(poor, 0.9 * limit, 100 * scale, THIN).item()
    assert 0 < time < 0.5 * scale
    assert relaxed_profile(0.9 * limit, THIN)[0] > 0
    advance(poor, 0.9 * limit, 0.999 * time, THIN, VALENCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concentration": torch.ones(3, dtype=torch.float64)}, "dimensions"),
        ({"flux": math.nan}, "finite"),
        ({"duration": 0.0}, "duration"),
        ({"duration": math.nan}, "duration"),
    ],
)
def test_unusable_input_is_named(change, message):
    values = dict(concentration=uniform(), flux=1e-3, duration=1.0, transport=THIN, valence=VALENCE)
    with pytest.raises(InputError, match=message):
        advance(**{**values, **change})


def test_gradients():
    """Against central differences (torch.autograd.gradcheck): profile, flux and every parameter of the transport."""
    generator = torch.Generator().manual_seed(3)
    profile = (0.6 + 0.8 * torch.rand(2, NODES, generator=generator, dtype=torch.float64)).requires_grad_()
    # logarithms, so that the difference quotients are well scaled
    logs = torch.tensor([1e3, 3e-10, 5e-5, 0.8], dtype=torch.float64).log().repeat(2, 1).requires_grad_()
    flux = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)

    def run(profile, flux, logs):
        transport = Transport(
            *logs.exp().T[:3], conductivity=logs.exp()[:, 3], transference_number=0.4 * logs.exp()[:, 3]
        )
        after = advance(profile, 1e-3 * flux, 0.7, transport, VALENCE)
        return after, diffusion_layer.potential_drop(after, -100 * flux, transport, 0.0257)

    assert torch.autograd.gradcheck(run, (profile, flux, logs), rtol=1e-6)


def test_ohmic_drop_with_a_supporting_electrolyte():
    """100 A/m² through 100 µm of 1 S/m: 10 mV, the box top below the bulk when plating; nothing without resistance."""
    transport = Transport(1e3, 1e-9, 1e-4, conductivity=1.0)
    drop = diffusion_layer.potential_drop(relaxed_profile(1e-4, transport), -100.0, transport, 0.0257)
    assert drop.item() == pytest.approx(-0.01)
    perfect = Transport(1e3, 1e-9, 1e-4)
    assert diffusion_layer.potential_drop(relaxed_profile(1e-4, perfect), -100.0, perfect, 0.0257).item() == 0


@pytest.mark.parametrize("share", [0.1, 0.9, 0.9999])
@pytest.mark.parametrize("transference_number", [0.2, 0.5, 0.8])
def test_steady_binary_electrolyte_has_its_anion_in_equilibrium(share, transference_number):
    """With σ and D of the same ions (Nernst–Einstein), the drop is RT/(zF) ln c̃ (Newman and Thomas-Alyea, ch. 11)."""
    voltage, valence, ions = 0.0257 / 2, 2, 2e-9  # D₊ + D₋
    transport = Transport(
        1e3,
        2 * transference_number * (1 - transference_number) * ions,
        1e-4,
        conductivity=valence * FARADAY_CONSTANT * 1e3 * ions / voltage,
        transference_number=transference_number,
    )
    current = share * transport.limiting_current_density(valence)
    profile = relaxed_profile(current / (valence * FARADAY_CONSTANT), transport)
    drop = diffusion_layer.potential_drop(profile, -current, transport, voltage)
    assert drop.item() == pytest.approx(voltage * math.log(1 - share), rel=1e-9)
