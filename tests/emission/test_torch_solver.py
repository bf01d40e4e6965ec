"""The solve in plain torch against the Numba kernels, which share no code with it beyond the set-up."""

import pytest
import torch
from surfaces import random_surface

from hmm_plating.emission import ViscoelasticLayer, load_impedance, solve, torch_solver
from hmm_plating.errors import ConvergenceError, InputError
from hmm_plating.materials import Electrolyte, Metal, Resonator

WATER, QUARTZ, SPACING, OVERTONES = Electrolyte(997.05, 0.890e-3), Resonator(), 6e-9, [3, 13]
TIGHT = {"tolerance": 1e-14, "absolute_tolerance": 0}
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU (CUDA), there is none")
)
DEVICES = ["cpu", CUDA]


def surfaces():
    """Three of different heights, with overhangs, pores and rows of solid, (surface, y, x)."""
    batch = torch.stack([random_surface(8, 12, seed) for seed in range(3)])
    batch[:2, 0] = 1
    batch[0, 5, 2:6] = 1
    batch[0, 2:5, 3] = 0
    batch[1, 2, 7:9] = 1
    batch[2, -4:] = 0
    return batch


def volumes():
    """Two of different heights, (surface, z, y, x)."""
    batch = torch.stack([random_surface(5, 6, seed) for seed in range(8)]).reshape(2, 4, 5, 6)
    batch[0, 1:3, :2] = 1
    batch[0, 1, 3, 2:4] = 1
    batch[1, :, -2:] = 0
    return batch


def soft_layers(fraction):
    """A film on the metal and blobs in the liquid that share cells with each other and with metal."""
    share = 0.4 * torch.rand(2, *fraction.shape[-2:], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    share[:, -1] = 0
    film = ViscoelasticLayer(share[0].round(decimals=1), 1100.0, 1e5 + 3e4j)
    return [film, ViscoelasticLayer(share[1].round(decimals=1), 1300.0, torch.tensor([2e4 + 1e5j, 3e4 + 2e5j]))]


def compare(one, other, rtol):
    """Each entry of two tensors within `rtol` of the largest."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    assert (one - other).abs().max() <= rtol * other.abs().max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("cells", "soft"), [(surfaces, False), (surfaces, True), (volumes, False), (volumes, True)])
def test_every_result_is_that_of_the_kernels(cells, soft, device):
    """Same first guess, same boxes, same stopping rule: on a CPU as many applications, and all else to round-off."""
    fraction = cells()
    options = {"layers": soft_layers(fraction) if soft else (), "dimensions": fraction.ndim - 1}
    for gradient in (False, True):  # with it, nothing is cut off the boxes
        expected, computed = (
            solve(
                surface,
                SPACING,
                OVERTONES,
                WATER,
                QUARTZ,
                **options,
                tolerance=1e-3,
                keep_gradient=gradient,
                backend=backend,
            )
            for surface, backend in ((fraction, "numba"), (fraction.to(device), "torch"))
        )
        assert {part.device.type for part in computed} == {device}
        if device == "cpu":
            assert computed.applications.tolist() == expected.applications.tolist()
            compare(computed.field, expected.field, 1e-9)
            compare(computed.estimated_error, expected.estimated_error, 1e-8)
        compare(computed.load.cpu(), expected.load, 1e-10 if device == "cpu" else 1e-3)
        if gradient:
            compare(computed.gradient.cpu(), expected.gradient, 1e-10 if device == "cpu" else 3e-2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [surfaces, volumes])
def test_converged_load_and_gradient_are_those_of_the_kernels(cells, device):
    """To the last digits of the load, of which the gradient has half."""
    fraction = cells()
    options = {**TIGHT, "dimensions": fraction.ndim - 1, "keep_field": False, "keep_gradient": True}
    expected = solve(fraction, SPACING, OVERTONES, WATER, QUARTZ, **options, backend="numba")
    computed = solve(fraction.to(device), SPACING, OVERTONES, WATER, QUARTZ, **options, backend="torch")
    compare(computed.load.cpu(), expected.load, 1e-12)
    compare(computed.gradient.cpu(), expected.gradient, 1e-7)


@pytest.mark.parametrize("device", DEVICES)
def test_batch_is_its_members(device, monkeypatch):
    """Alone, together, and in chunks of three pairs: heights differ, and so do the steps to convergence."""
    batch = surfaces().to(device)
    options = {"tolerance": 1e-4, "keep_gradient": True, "backend": "torch"}
    together = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, **options)
    assert len(set(together.applications.flatten().tolist())) > 1
    alone = [solve(surface, SPACING, OVERTONES, WATER, QUARTZ, **options) for surface in batch]
    monkeypatch.setattr(torch_solver, "_POPULATIONS_AT_ONCE", 3 * 9 * batch[0].numel())
    chunked = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, **options)
    for whole, part, *members in zip(together, chunked, *alone, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-6, atol=1e-6 * float(whole.abs().max()))
        torch.testing.assert_close(torch.stack(members), whole, rtol=1e-6, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision_is_confirmed_in_double(device):
    """Against the kernels in double precision: the tolerance lies far below the rounding of single precision."""
    batch, options = surfaces(), {"tolerance": 1e-9, "absolute_tolerance": 0}
    exact = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, **TIGHT, keep_gradient=True, backend="numba")
    single = solve(
        batch.to(device),
        SPACING,
        OVERTONES,
        WATER,
        QUARTZ,
        **options,
        precision="single",
        keep_gradient=True,
        backend="torch",
    )
    excess = (exact.load - load_impedance(torch.zeros(1, 12), SPACING, OVERTONES, WATER, QUARTZ)).abs()
    assert ((single.load.cpu() - exact.load).abs() < 1e-8 * excess).all()
    compare(single.gradient.cpu(), exact.gradient, 1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_load_impedance_is_differentiable_by_torch(device):
    """The gradient of a weighted sum against that of the kernels, in the surface's own precision and device."""
    weight = torch.randn(3, 2, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    gradients = []
    for place, backend in (("cpu", "numba"), (device, "torch")):
        batch = surfaces().to(place, torch.float32).requires_grad_()
        load = load_impedance(batch, SPACING, OVERTONES, WATER, QUARTZ, Metal.zinc(), **TIGHT, backend=backend)
        (load * weight.to(place)).real.sum().backward()
        assert batch.grad.device == batch.device
        gradients.append(batch.grad.cpu())
    compare(*gradients, 1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU (CUDA), there is none")
def test_surfaces_on_a_gpu_are_solved_there():
    """No backend named: that of the device; and the kernels, asked for by name, return to it."""
    batch = surfaces().cuda()
    own, named = (solve(batch, SPACING, OVERTONES, WATER, QUARTZ, backend=name) for name in (None, "numba"))
    assert own.load.is_cuda
    assert named.load.is_cuda
    torch.testing.assert_close(own.load, named.load, rtol=1e-4, atol=0)


def test_bare_crystal_needs_no_solve():
    """Next to a rough surface in one batch: the first guess is the solution, and stays it."""
    batch = torch.stack([torch.zeros(8, 12, dtype=torch.float64), surfaces()[0]])
    computed = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, tolerance=1e-8, backend="torch")
    expected = solve(batch, SPACING, OVERTONES, WATER, QUARTZ, tolerance=1e-8, backend="numba")
    torch.testing.assert_close(computed.load, expected.load, rtol=1e-10, atol=0)
    assert (computed.applications[0] < 20).all()
    assert (computed.applications[1] > 20).all()


def test_limit_of_applications_is_an_error_that_says_what_was_reached():
    with pytest.raises(ConvergenceError, match=r"surface 0, overtone index 0: 30 operator applications reached"):
        solve(surfaces(), SPACING, [3], WATER, QUARTZ, **TIGHT, applications=30, backend="torch")


def test_unknown_backend_is_refused():
    with pytest.raises(InputError, match='backend must be "numba", "torch" or None'):
        load_impedance(surfaces(), SPACING, [3], WATER, QUARTZ, backend="jax")
