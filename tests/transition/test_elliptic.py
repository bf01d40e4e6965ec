"""Concentration and potential in the electrolyte: the kernels and the torch counterpart against direct solves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, prange
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from hmm_plating.errors import ConvergenceError, InputError
from hmm_plating.transition.elliptic_torch import elliptic_apply, elliptic_solve
from hmm_plating.transition.kernels import elliptic

pytestmark = pytest.mark.slow  # compiles for a quarter of a minute

SHAPES = st.one_of(
    st.tuples(st.just(1), st.integers(1, 33), st.integers(1, 33)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
)


def matrix(mobility, storage, sink, top_conductance):
    """The operator, cell by cell and face by face."""
    depth, rows, columns = mobility.shape
    number = np.arange(mobility.size).reshape(mobility.shape)
    entries = []
    for z, y, x in np.ndindex(mobility.shape):
        here = number[z, y, x]
        entries.append((here, here, storage + sink[z, y, x] + (top_conductance[z, x] if y == rows - 1 else 0.0)))
        neighbours = [(z, y + 1, x)] if y < rows - 1 else []
        neighbours += [(z, y, (x + 1) % columns)] if columns > 1 else []
        neighbours += [((z + 1) % depth, y, x)] if depth > 1 else []
        for other in neighbours:
            face, there = 0.5 * (mobility[z, y, x] + mobility[other]) + elliptic.LEAK, number[other]
            entries += [(here, here, face), (there, there, face), (here, there, -face), (there, here, -face)]
    i, j, value = zip(*entries, strict=True)
    return coo_matrix((value, (i, j)), (mobility.size, mobility.size)).tocsc()


def order_parameter(kind, shape, width=4.0, advance=0.0):
    """ξ of a flat film, bumps, thin dendrites or islands on the bare crystal, ℓ in cells."""
    depth, rows, columns = shape
    z, y, x = np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij")
    phase_x, phase_z = 2 * np.pi * x / columns, 2 * np.pi * z / depth
    if kind == "flat":
        distance = 0.3 * rows - y
    elif kind == "rough":
        height = 0.5 + 0.2 * np.sin(3 * phase_x) * np.cos(phase_z) + 0.1 * np.cos(5 * phase_x)
        distance = 0.5 * (rows * height - y)
    elif kind == "dendrites":
        distance = np.maximum(3 - y, 2.5 - np.hypot((x % (columns / 4)) - columns / 8, np.maximum(y - 0.7 * rows, 0)))
    else:
        beside = np.hypot((x % (columns / 3)) - columns / 6, z - depth / 2 if depth > 1 else 0.0)
        distance = 0.15 * columns - np.hypot(beside, y)
    return 0.5 * (1 + np.tanh(2 * (distance + advance) / width))


def problem(kind, shape, storage=1e-6, kinetics=0.05, advance=0.0):
    """Mobility, storage, sink, source, u_top and the conductance to it, as `solve` takes them."""
    metal = order_parameter(kind, shape, advance=advance)
    mobility, weight = 1 - metal, metal * (1 - metal)
    sink, source = kinetics * weight, storage + 0.01 * weight
    return mobility, storage, sink, source, 1.0, 2 * (mobility[:, -1] + elliptic.LEAK)


def solved(case, tolerance=1e-10, start=None, most=100):
    u = np.zeros_like(case[0]) if start is None else start.copy()
    iterations, residual = elliptic.solve(u, *case, tolerance, most, elliptic.workspace(*u.shape))
    assert residual <= 1.5 * tolerance  # at 1e-12 rounding may be left over
    return u, iterations


def as_tensors(case):
    return [torch.as_tensor(value, dtype=torch.float64) for value in case]


def right_hand_side(source, top_value, top_conductance):
    total = source.copy()
    total[:, -1] += top_conductance * top_value
    return total


def random_problem(shape, seed, storage):
    generator = np.random.default_rng(seed)
    mobility = generator.random(shape) ** 4
    sink = np.where(generator.random(shape) < 0.3, generator.random(shape), 0.0)
    top = generator.random((shape[0], shape[2])) + 0.01
    return mobility, storage, sink, generator.normal(size=shape), generator.normal(), top


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1), storage=st.sampled_from([0.0, 1e-6, 0.3, 5.0, 100.0]))
def test_agrees_with_a_direct_solve(shape, seed, storage):
    case = random_problem(shape, seed, storage)
    mobility, _, sink, source, top_value, top = case
    expected = spsolve(matrix(mobility, storage, sink, top), right_hand_side(source, top_value, top).ravel())
    expected = np.asarray(expected).reshape(shape)
    # with hardly any storage, rounding leaves a residual that the leak through metal turns into an error
    tolerance, error = (1e-9, 1e-4) if storage < 0.1 else (1e-12, 1e-8)
    u, _ = solved(case, tolerance)
    np.testing.assert_allclose(u, expected, rtol=0, atol=error * np.abs(expected).max())
    v = elliptic_solve(*as_tensors(case), tolerance=tolerance).numpy()
    np.testing.assert_allclose(v, expected, rtol=0, atol=error * np.abs(expected).max())


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1))
def test_operator_is_symmetric_and_conserves(shape, seed):
    mobility, storage, sink, _, _, top = random_problem(shape, seed, 0.2)
    generator = np.random.default_rng(seed)
    u, v = generator.normal(size=(2, *shape))
    a_u, a_v = np.empty(shape), np.empty(shape)
    elliptic.apply(u, mobility, storage, sink, top, a_u)
    elliptic.apply(v, mobility, storage, sink, top, a_v)
    assert (v * a_u).sum() == pytest.approx((u * a_v).sum(), rel=0, abs=1e-13 * u.size)
    kept = ((storage + sink) * u).sum() + (top * u[:, -1]).sum()
    assert a_u.sum() == pytest.approx(kept, rel=0, abs=1e-14 * u.size)
    dense = matrix(mobility, storage, sink, top) @ u.ravel()
    np.testing.assert_allclose(a_u.ravel(), dense, rtol=0, atol=1e-13)
    from_torch = elliptic_apply(*as_tensors((u, mobility, storage + sink, top)))
    np.testing.assert_allclose(from_torch.numpy(), a_u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["flat", "rough", "dendrites", "islands"])
@pytest.mark.parametrize("shape", [(1, 64, 128), (1, 47, 61), (16, 16, 16), (5, 33, 12)])
@pytest.mark.parametrize("storage", [0.0, 1e-6, 1.0, 100.0])
def test_iterations_on_surfaces(kind, shape, storage):
    case = problem(kind, shape, storage)
    u, iterations = solved(case, start=np.ones(shape))
    assert iterations <= 13
    assert np.isfinite(u).all()
    after = problem(kind, shape, storage, advance=0.1)
    again, warm = solved(after, 1e-6, start=u)
    cold_u, cold = solved(after, 1e-6)
    assert warm <= min(5, cold)
    np.testing.assert_allclose(again * after[0], cold_u * after[0], rtol=0, atol=2e-4)
    assert solved(case, start=u)[1] == 0


def test_residual_that_is_returned_is_that_of_the_solution():
    case = problem("rough", (1, 32, 32))
    for tolerance in (1e-3, 1e-6, 1e-12):
        u = np.zeros((1, 32, 32))
        _, residual = elliptic.solve(u, *case, tolerance, 100, elliptic.workspace(1, 32, 32))
        mobility, storage, sink, source, top_value, top = case
        total = right_hand_side(source, top_value, top).ravel()
        left = total - matrix(mobility, storage, sink, top) @ u.ravel()
        assert residual == pytest.approx(np.linalg.norm(left) / np.linalg.norm(total), rel=1e-2, abs=1e-15)


def test_manufactured_solution_converges_at_second_order():
    """u = cos(2πx) cos(πy/2), level at the bottom and zero at the top, with a = 1 + ½ y² sin(2πx)."""
    errors = []
    for count in (16, 32, 64):
        h = 1 / count
        y, x = np.meshgrid((np.arange(count) + 0.5) * h, (np.arange(count) + 0.5) * h, indexing="ij")
        k, q = 2 * np.pi, np.pi / 2
        exact = np.cos(k * x) * np.cos(q * y)
        a, a_x, a_y = 1 + 0.5 * np.sin(k * x) * y**2, 0.5 * k * np.cos(k * x) * y**2, np.sin(k * x) * y
        u_x, u_y = -k * np.sin(k * x) * np.cos(q * y), -q * np.cos(k * x) * np.sin(q * y)
        source = -(a_x * u_x + a_y * u_y) + a * (k**2 + q**2) * exact
        mobility, zero = a[None] - elliptic.LEAK, np.zeros((1, count, count))
        at_top = 1 + 0.5 * np.sin(k * x[-1:])
        u, _ = solved((mobility, 0.0, zero, h**2 * source[None], 0.0, 2 * at_top), 1e-12)
        errors.append(np.abs(u[0] - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 1.8).all()


@pytest.mark.parametrize("width", [4.0, 8.0])
def test_flat_film_has_the_sharp_interface_profile(width):
    """Flux j into the surface at y0: u = u_top − j (top − y) in the liquid, and u(y0) where the reaction weighs it."""
    rows, surface, flux = 96, 30.3, 0.01
    y = np.arange(rows) + 0.5
    metal = (0.5 * (1 + np.tanh(2 * (surface - y) / width)))[None, :, None] * np.ones((1, 1, 8))
    weight = 4 / width * metal * (1 - metal)
    u, _ = solved((1 - metal, 0.0, 0 * metal, -flux * weight, 1.0, np.full((1, 8), 2.0)), 1e-12)
    profile = 1 - flux * (rows - y)
    liquid = y > surface + 2 * width
    np.testing.assert_allclose(u[0, liquid, 3], profile[liquid], rtol=0, atol=1e-4 * flux * rows)
    seen = (weight * u).sum() / weight.sum()
    assert seen == pytest.approx(1 - flux * (rows - surface), abs=0.02 * flux)


@pytest.mark.parametrize("depth", [2, 5, 8])
def test_extruded_section_is_the_section(depth):
    section = problem("rough", (1, 24, 20))
    extruded = tuple(np.repeat(value, depth, axis=0) if isinstance(value, np.ndarray) else value for value in section)
    u, _ = solved(section, 1e-12)
    v, _ = solved(extruded, 1e-12)
    np.testing.assert_allclose(v, np.repeat(u, depth, axis=0), rtol=0, atol=1e-9)


def test_weak_coupling_to_the_bulk():
    """A thick diffusion layer above the box: the level is set through a small conductance."""
    mobility, storage, sink, source, _, _ = problem("rough", (1, 64, 64), 0.0, kinetics=0.0)
    u, iterations = solved((mobility, storage, sink, -source, 1.0, np.full((1, 64), 1e-4)))
    assert iterations <= 13
    entering = (1e-4 * (1.0 - u[:, -1])).sum()
    assert entering == pytest.approx(source.sum(), rel=1e-6)


def test_box_full_of_metal_stays_finite():
    metal = np.zeros((1, 16, 16))
    u, _ = solved((metal, 0.0, metal, metal, 1.0, np.full((1, 16), 2 * elliptic.LEAK)))
    np.testing.assert_allclose(u, 1.0, rtol=0, atol=1e-6)
    u, iterations = solved((metal, 0.0, metal, metal, 0.0, np.full((1, 16), 2.0)), start=np.ones((1, 16, 16)))
    assert iterations == 0
    assert (u == 0).all()


def test_failure_to_converge_is_told():
    case = problem("rough", (1, 32, 32))
    u = np.zeros((1, 32, 32))
    iterations, residual = elliptic.solve(u, *case, 1e-10, 2, elliptic.workspace(1, 32, 32))
    assert iterations == 2
    assert 1e-10 < residual < 1
    case[3][0, 3, 3] = math.nan
    assert math.isnan(elliptic.solve(u, *case, 1e-10, 9, elliptic.workspace(1, 32, 32))[1])
    with pytest.raises(ConvergenceError, match=r"no convergence: residual .* after 2 iterations"):
        elliptic_solve(*as_tensors(problem("rough", (1, 32, 32))), most=2)


def test_workspace_remembers_nothing():
    work = elliptic.workspace(1, 32, 32)
    first, second = problem("rough", (1, 32, 32)), problem("islands", (1, 32, 32), 3.0)
    results = []
    for case in (first, second, first):
        u = np.zeros((1, 32, 32))
        elliptic.solve(u, *case, 1e-8, 100, work)
        results.append(u)
    np.testing.assert_array_equal(results[0], results[2])


@njit(parallel=True)
def _solve_all(u, mobility, storage, sink, source, top_value, top_conductance, iterations):
    for particle in prange(u.shape[0]):
        work = elliptic.workspace(u.shape[1], u.shape[2], u.shape[3])
        iterations[particle], _ = elliptic.solve(
            u[particle], mobility[particle], storage, sink[particle], source[particle], top_value,
            top_conductance[particle], 1e-8, 100, work,
        )  # fmt: skip


@pytest.mark.slow
def test_particles_in_parallel():
    kinds = ["flat", "rough", "dendrites", "islands"]
    problems = [problem(kind, (1, 24, 32)) for kind in kinds]
    stacked = [np.stack([p[k] for p in problems]) for k in (0, 2, 3, 5)]
    u, iterations = np.zeros((4, 1, 24, 32)), np.zeros(4)
    _solve_all(u, stacked[0], 1e-6, stacked[1], stacked[2], 1.0, stacked[3], iterations)
    for k, case in enumerate(problems):
        alone, count = solved(case, 1e-8)
        assert iterations[k] == count
        np.testing.assert_allclose(u[k], alone, rtol=0, atol=1e-12)


def torch_inputs(shape, batch=()):
    generator = torch.Generator().manual_seed(2)

    def uniform(*size):
        return torch.rand((*batch, *size), generator=generator, dtype=torch.float64)

    depth, _, columns = shape
    return (
        uniform(*shape) + 0.05,
        uniform() + 0.1,
        uniform(*shape),
        uniform(*shape) - 0.5,
        uniform(),
        uniform(depth, columns) + 0.1,
    )


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 2), (1, 4, 1), (3, 1, 2)])
def test_gradients(shape):
    inputs = tuple(value.requires_grad_() for value in torch_inputs(shape))

    def solve(*values):
        return elliptic_solve(*values, tolerance=1e-13)

    assert torch.autograd.gradcheck(solve, inputs)
    assert torch.autograd.gradcheck(solve, inputs[:5])  # half a cell to the given value
    assert torch.autograd.gradgradcheck(solve, inputs, fast_mode=True)


def test_batch_is_its_members():
    inputs = torch_inputs((2, 7, 5), (3,))
    whole = elliptic_solve(*inputs, tolerance=1e-12)
    for k in range(3):
        one = elliptic_solve(*(value[k] for value in inputs), tolerance=1e-12)
        torch.testing.assert_close(whole[k], one, rtol=0, atol=1e-11)
    again = elliptic_solve(*inputs, start=whole, tolerance=1e-11)
    torch.testing.assert_close(again, whole, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, torch.full((1, 4, 4), -0.1), "mobility must be finite and not negative"),
        (0, torch.full((1, 4, 4), math.nan), "mobility must be finite and not negative"),
        (0, torch.ones(4, 4), r"mobility must have dimensions \(..., z, y, x\)"),
        (1, -1.0, "storage must be finite and not negative"),
        (1, torch.ones(3), "storage must be a number or have the shape"),
        (2, torch.full((1, 4, 4), -1.0), "sink must be finite and not negative"),
        (2, torch.zeros(1, 4, 5), r"sink must have the shape \(1, 4, 4\), got \(1, 4, 5\)"),
        (3, torch.full((1, 4, 4), math.inf), "source must be finite"),
        (4, math.nan, "top_value must be finite"),
        (5, torch.ones(4), r"top_conductance must have the shape \(1, 4\)"),
        (5, torch.zeros(1, 4), "level is not determined"),
    ],
)
def test_bad_input(index, value, message):
    inputs = [torch.ones(1, 4, 4), 0.0, torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), 1.0, torch.ones(1, 4)]
    inputs[index] = value
    with pytest.raises(InputError, match=message):
        elliptic_solve(*inputs)
