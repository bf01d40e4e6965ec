"""The Numba kernel against the torch reference, and the reference's gradient against central differences."""

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


@pytest.mark.parametrize("alpha", [0.5, 0.35])
def test_gradient_against_central_differences(alpha):
    """Every input that a filter moves: kinetics, current, efficiency, noise and the surface itself."""
    metal = Metal("zinc", 7140.0, 65.38e-3, 2, 0.99, 0.3, transfer_coefficient=alpha)
    rows, columns = 24, 16
    generator = torch.Generator().manual_seed(2)
    x = torch.arange(columns, dtype=torch.float64)
    phase = 2 * torch.pi * x / columns + torch.tensor([[0.3], [1.0]])
    height = 47.7e-9 + 12e-9 * torch.cos(phase) + 3e-9 * torch.sin(2 * phase)  # no symmetry: no ties in any maximum
    surface = film(height, rows, INTERFACE.width, INTERFACE.spacing)
    noise, weight = (torch.randn(surface.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    direction = torch.randn(surface.shape, generator=generator, dtype=torch.float64) * surface * (1 - surface)

    def objective(values):
        j0, strength, efficiency, amplitude, current, along_noise, along_surface = values
        parameters = Parameters.from_materials(
            metal,
            WATER,
            INTERFACE,
            exchange_current_density=j0,
            anisotropy_strength=strength,
            current_efficiency=efficiency,
            noise_amplitude=amplitude,
        )
        state = initial_state(surface + along_surface * direction)
        state = step(state, current, 3.0, noise * (1 + along_noise), parameters, "torch")
        held = potentiostatic_step(state, -0.08, 2.0, noise, parameters, "torch")
        return (weight * (state.order_parameter + held.order_parameter)).sum() + 10 * state.overpotential.sum()

    values = torch.tensor([0.3, 0.02, 0.9, 5.0, -10.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(objective(values), values)
    for k, scale in enumerate((0.3, 0.02, 0.9, 5.0, 10.0, 1.0, 1.0)):
        offset = torch.zeros_like(values)
        offset[k] = 1e-5 * scale
        with torch.no_grad():
            difference = float(objective(values + offset) - objective(values - offset)) / (2e-5 * scale)
        assert float(gradient[k]) == pytest.approx(difference, rel=1e-6, abs=1e-7 * float(gradient.abs().max()))
