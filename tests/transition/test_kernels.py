"""The Numba kernels against the torch reference, and the gradients of both against central differences."""

import dataclasses

import numba
import pytest
import torch

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film, nuclei
from hmm_plating.transition import Interface, Parameters, add_metal, initial_state, potentiostatic_step, step

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
INTERFACE = Interface(20e-9, 5e-9)


def islands(rows, columns, batch):
    generator = torch.Generator().manual_seed(0)
    uniform = 1 - torch.rand(batch, 16, generator=generator, dtype=torch.float64)
    normal = torch.randn(batch, 16, generator=generator, dtype=torch.float64)
    return nuclei(uniform, normal, 1e7, 12e-9, 0.3, (rows, columns), INTERFACE.width, INTERFACE.spacing)


@pytest.mark.parametrize("alpha", [0.5, 0.3])
def test_kernel_agrees_with_the_reference(alpha):
    """Plating, rest and stripping with noise, anisotropy and nuclei ahead of their charge."""
    metal = Metal("zinc", 7140.0, 65.38e-3, 2, 0.99, 0.3, transfer_coefficient=alpha)
    parameters = Parameters.from_materials(
        metal,
        WATER,
        INTERFACE,
        exchange_current_density=torch.tensor([0.3, 1.0, 0.1, 3.0], dtype=torch.float64),
        anisotropy_strength=torch.tensor([0.0, 0.02, 0.05, 0.0], dtype=torch.float64),
        noise_amplitude=torch.tensor([0.0, 1.0, 10.0, 30.0], dtype=torch.float64),
        crystal_orientation=0.3,
    )
    caps = islands(32, 64, 4)
    state = add_metal(initial_state(0 * caps), caps, parameters)
    generator = torch.Generator().manual_seed(1)
    for current in (-15.0, -15.0, 0.0, 10.0, 20.0):
        noise = torch.randn(caps.shape, generator=generator, dtype=torch.float64)
        kernel = step(state, current, 2.0, noise, parameters)
        reference = step(state, current, 2.0, noise, parameters, "torch")
        for name, scale in (("order_parameter", 1), ("overpotential", 1), ("deferred_charge", 10), ("side_charge", 10)):
            torch.testing.assert_close(getattr(kernel, name), getattr(reference, name), rtol=0, atol=1e-12 * scale)
        state = kernel


def test_result_does_not_depend_on_the_number_of_threads():
    parameters = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE, noise_amplitude=10.0)
    state = initial_state(islands(32, 64, 5))
    noise = torch.randn(state.order_parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    threads = numba.get_num_threads()
    results = []
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            results.append(step(state, -10.0, 2.0, noise, parameters).order_parameter)
    finally:
        numba.set_num_threads(threads)
    assert torch.equal(results[0], results[-1])


def growth(values, backend, duration=3.0):
    """An objective of everything that inference moves, after plating, stripping and a given potential."""
    names = ("exchange_current_density", "anisotropy_strength", "current_efficiency", "noise_amplitude")
    more = ("crystal_orientation", "surface_energy", "transfer_coefficient", "temperature", "charge_per_volume")
    current, along_noise, along_surface = values[9:]
    rows, columns = 24, 16
    generator = torch.Generator().manual_seed(2)
    x = torch.arange(columns, dtype=torch.float64)
    phase = 2 * torch.pi * x / columns + torch.tensor([[0.3], [1.0]])
    height = 47.7e-9 + 12e-9 * torch.cos(phase) + 3e-9 * torch.sin(2 * phase)  # no symmetry: no ties in any maximum
    surface = film(height, rows, INTERFACE.width, INTERFACE.spacing)
    noise, weight = (torch.randn(surface.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    direction = torch.randn(surface.shape, generator=generator, dtype=torch.float64) * surface * (1 - surface)
    parameters = Parameters.from_materials(Metal.zinc(), WATER, INTERFACE)
    parameters = dataclasses.replace(parameters, **dict(zip((*names, *more), values, strict=False)))
    noise = noise * (1 + along_noise)
    state = initial_state(surface + along_surface * direction)
    state = step(state, current, duration, noise, parameters, backend)
    state = step(state, -current / 2, duration, noise.flip(-1), parameters, backend)
    held = potentiostatic_step(state, -0.08, 2.0, noise, parameters, backend)
    return (weight * (state.order_parameter + held.order_parameter)).sum() + 10 * state.overpotential.sum()


SCALES = torch.tensor([0.3, 0.02, 0.9, 5.0, 0.2, 0.99, 0.5, 298.15, 2.1e10, 10.0, 1.0, 1.0], dtype=torch.float64)


def start(alpha):
    values = SCALES.clone()
    values[6], values[9:] = alpha, torch.tensor([-10.0, 0.0, 0.0])
    return values.requires_grad_()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("alpha", [0.5, 0.35])
def test_gradient_against_central_differences(alpha, backend):
    """Every input that a filter moves: kinetics, materials, current, efficiency, noise and the surface itself."""
    values = start(alpha)
    (gradient,) = torch.autograd.grad(growth(values, backend), values)
    for k, scale in enumerate(SCALES):
        offset = torch.zeros_like(values)
        offset[k] = 1e-5 * scale
        with torch.no_grad():
            difference = float(growth(values + offset, "numba") - growth(values - offset, "numba")) / 2e-5
        largest = float((gradient * SCALES).abs().max())
        assert float(gradient[k] * scale) == pytest.approx(difference, rel=1e-6, abs=1e-7 * largest)


@pytest.mark.slow
def test_gradient_through_checkpoints_equals_that_of_autograd():
    """Hundreds of sub-steps, so that checkpoints are thinned out more than once."""
    values = start(0.5)
    gradients = [torch.autograd.grad(growth(values, backend, 150.0), values)[0] for backend in ("numba", "torch")]
    torch.testing.assert_close(gradients[0] * SCALES, gradients[1] * SCALES, rtol=1e-8, atol=1e-8)
