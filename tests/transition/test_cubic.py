"""The cubic crystal in three dimensions: Herring's tensor, symmetries, the Wulff shape, derivatives of the kernels."""

import dataclasses
import itertools
import math

import pytest
import torch

from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.morphology import film
from hmm_plating.transition import Interface, Parameters, initial_state, potentiostatic_step, reference, step
from hmm_plating.transition.coefficients import coefficients

WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
WIDTH = 16e-9


def parameters(cells=4, dimensions=3, metal=None, **changes):
    return Parameters.from_materials(
        metal or Metal.lithium(), WATER, Interface(WIDTH, WIDTH / cells, dimensions), **changes
    )


def centred(n):
    """Coordinates (3, z, y, x) from the middle of a cube, in cells, in the order x, y, z."""
    x = torch.arange(n, dtype=torch.float64) + 0.5 - n / 2
    return torch.stack(torch.meshgrid(x, x, x, indexing="ij")).flip(0)


def geometry(xi, p):
    return reference.geometry(xi[None], coefficients(p, torch.Size([1]), 1.0, xi))


def crystal_energy(p, strength, orientation):
    """|p| [1 + δ(4 Σ n_i⁴ − 3)] of gradients (3,) in the order x, y, z, along axes turned from y towards x."""
    cosine, sine = math.cos(orientation), math.sin(orientation)
    along = torch.stack([cosine * p[0] - sine * p[1], cosine * p[1] + sine * p[0], p[2]])
    length = p.norm()
    return length * (1 + strength * (4 * (along / length).pow(4).sum() - 3))


def herring(normals, strength, orientation):
    """Positive part of A = ∂²γ/∂p∂p at unit normals (…, 3), its eigenvalues and vectors, by autograd and `eigh`.

    Herring, in The Physics of Powder Metallurgy (1951) 143; Hoffman and Cahn, Surf. Sci. 31 (1972) 368.
    """

    def energy(p):
        return crystal_energy(p, strength, orientation)

    hessian = torch.func.vmap(torch.func.hessian(energy))(normals.reshape(-1, 3))
    values, vectors = torch.linalg.eigh(hessian)
    positive = torch.einsum("pij,pj,pkj->pik", vectors, values.clamp(min=0), vectors)
    return positive.reshape(*normals.shape, 3), values[:, -1].reshape(normals.shape[:-1])


@pytest.mark.parametrize("orientation", [0.0, 0.3])
@pytest.mark.parametrize("strength", [0.05, 0.3])
def test_spheres_and_oblique_cylinders_against_herring(strength, orientation):
    """A:K on the surface, K = P/R or (the cylinder's) uu/R; second order in the spacing."""
    errors = []
    for cells in (4, 8):
        p = parameters(cells, anisotropy_strength=strength, crystal_orientation=orientation)
        at, radius = centred(12 * cells), 5 * cells
        axis = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)[:, None, None, None]
        for away in (at, at - (at * axis).sum(0) * axis):
            distance = away.norm(dim=0)
            found = geometry(torch.sigmoid(4 * (radius - distance) / cells), p)
            inner = torch.zeros_like(distance, dtype=torch.bool)
            inner[(slice(2, -2),) * 3] = True  # nothing is periodic here
            on = inner & ((distance - radius).abs() < 0.5)
            normal = (away / distance)[:, on].T
            tensor, largest = herring(normal, strength, orientation)
            across = torch.linalg.cross(normal, axis.flatten().expand_as(normal))
            curved = torch.eye(3, dtype=torch.float64) if away is at else across[:, :, None] * across[:, None, :]
            wanted = (tensor * curved).sum((-1, -2)) / distance[on]
            errors.append(float((found.weighted_curvature[0, on] - wanted).abs().max()) * radius)
            errors.append(float((found.stiffness[0, on] - largest).abs().max()))
    coarse, fine = torch.tensor(errors).reshape(2, 4)
    assert bool((fine < 0.35 * coarse).all())
    assert float(fine.max()) < (1e-3 if strength < 1 / 15 else 0.02)


@pytest.mark.parametrize("orientation", [0.0, 0.3])
@pytest.mark.parametrize("strength", [0.05, 0.3])
def test_a_section_extruded_has_the_stiffness_of_the_section(strength, orientation):
    columns = torch.arange(20, dtype=torch.float64)
    section = film(50e-9 + 12e-9 * torch.sin(columns * torch.pi / 10), 30, WIDTH, WIDTH / 4)
    section = section ** torch.linspace(0.8, 1.2, 20)  # no profile of equilibrium
    changes = {"anisotropy_strength": strength, "crystal_orientation": orientation}
    flat = geometry(section, parameters(dimensions=2, **changes))
    deep = geometry(section.expand(5, 30, 20), parameters(**changes))
    inside = (flat.weight[0] > 0) & (deep.curvature[0, 2].abs() < 0.5)
    assert int(inside.sum()) > 100
    torch.testing.assert_close(deep.stiffness[0, 2][inside], flat.stiffness[0][inside], rtol=0, atol=1e-10)
    # curvatures of volumes have a mixed fourth difference as well
    wanted = flat.stiffness[0] * deep.curvature[0, 2]
    torch.testing.assert_close(deep.weighted_curvature[0, 2][inside], wanted[inside], rtol=0, atol=1e-10)


def test_axes_permuted():
    """All six orders of the axes: the driving curvature to round-off, a grain's growth but for rows out of action."""
    at = centred(56)
    shape = torch.tensor([1.0, 1.2, 0.8], dtype=torch.float64)[:, None, None, None]
    grain = torch.sigmoid(7 - (at * shape + 0.1).norm(dim=0) + at[0] * at[1] * at[2] / 3000)
    p = parameters(anisotropy_strength=0.05)

    def grown(xi):
        return potentiostatic_step(initial_state(xi.contiguous(), 3), -0.02, 0.5, 0 * xi, p).order_parameter

    curvature, after = geometry(grain, p).weighted_curvature[0], grown(grain)
    assert float((after - grain).abs().max()) > 0.1
    for axes in itertools.permutations(range(3)):
        found = geometry(grain.permute(axes), p).weighted_curvature[0]
        torch.testing.assert_close(found, curvature.permute(axes), rtol=0, atol=1e-10)
        torch.testing.assert_close(grown(grain.permute(axes)), after.permute(axes), rtol=0, atol=1e-5)


def wulff_shape(n, radius, strength):
    """ξ of the shape of which every orientation lies γ(n)/γ · radius from the middle, which is convex.

    Its support function is that of γ (Wulff, Z. Kristallogr. 34 (1901) 449), so that the distance is max_n x·n − h(n).
    """
    at = centred(n).reshape(3, -1)

    def height(normal):
        return radius * (1 + strength * (4 * normal.pow(4).sum(0) - 3))

    normal = at / at.norm(dim=0)
    for _ in range(60):
        cubes = normal.pow(4).sum(0)
        # Cahn–Hoffman vector, ∇ of |p| a(p/|p|)
        point = radius * (normal * (1 - strength * (3 + 12 * cubes)) + 16 * strength * normal**3)
        slope = at - point
        slope = slope - (slope * normal).sum(0) * normal
        normal = normal + slope / ((1 + 15 * strength) * radius)
        normal = normal / normal.norm(dim=0)
    distance = ((at * normal).sum(0) - height(normal)).reshape(n, n, n)
    return torch.sigmoid(-distance * 4 / 4)


def test_wulff_shape_is_stationary():
    """Gibbs–Thomson in every orientation, η = −2γ/(R nF c_s): it grows above, shrinks below, and keeps its form."""
    strength, radius, n = 0.04, 16, 52
    p = parameters(anisotropy_strength=strength)
    grain = wulff_shape(n, radius, strength)
    found, on = geometry(grain, p), (grain - 0.5).abs() < 0.1
    weighted, plain = (value[0, on] * radius for value in (found.weighted_curvature, found.curvature))
    assert float((weighted - 2).abs().mean()) < 0.05
    assert float(plain.max() - plain.min()) > 1.5  # of 2 on a sphere
    eta = -2 * p.surface_energy / (radius * p.interface.spacing * p.charge_per_volume)
    factor = torch.tensor([0.97, 1.0, 1.03], dtype=torch.float64)
    start = grain.expand(3, n, n, n)
    after = potentiostatic_step(initial_state(start, 3), eta * factor, 1.0, 0 * start, p).order_parameter
    change = (after - start).sum((-3, -2, -1))
    assert change[0] < 0 < change[2]
    at = centred(n)
    harmonic = 4 * (at / at.norm(dim=0)).pow(4).sum(0) - 2.4  # orthogonal to 1 on a sphere
    ball = torch.sigmoid(radius - at.norm(dim=0))
    round_after = potentiostatic_step(initial_state(ball, 3), float(eta), 1.0, 0 * ball, p).order_parameter
    kept, formed = (float((harmonic * (b - a)).sum()) for a, b in ((grain, after[1]), (ball, round_after)))
    assert abs(kept) < 0.05 * abs(formed)


@pytest.mark.parametrize(
    ("orientation", "waves", "factor"),
    [
        (0.0, (0, 1), 1 - 15 * 0.05),
        (0.0, (1, 1), 1 - 15 * 0.05),
        (math.pi / 4, (0, 1), 1 + 15 * 0.05),
        (math.pi / 4, (1, 0), 1 - 9 * 0.05),
        (math.pi / 4, (1, 1), 1 + 3 * 0.05),
    ],
)
def test_waves_decay_with_the_stiffness_of_their_direction(orientation, waves, factor):
    """M γ q·A q on the faces (100) and (110), whose principal stiffnesses are 1 − 15δ, twice, and 1 + 15δ, 1 − 9δ.

    The waves are of (z, x), 8 ℓ long; turning by 45° about z makes (110) of (100).
    """
    p = parameters(anisotropy_strength=0.05, crystal_orientation=orientation)
    n = 32
    phase = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    wave = torch.cos(waves[0] * phase[:, None] + waves[1] * phase + 0.3)
    surface = film((16 + 0.05 * wave) * WIDTH / 4, 32, WIDTH, WIDTH / 4)
    mobility = p.exchange_current_density / p.charge_per_volume * p.capillary_length
    rate = mobility * (waves[0] ** 2 + waves[1] ** 2) * (2 * math.pi / (n * WIDTH / 4)) ** 2 * factor
    after = potentiostatic_step(initial_state(surface, 3), 0.0, 0.5 / rate, 0 * surface, p)
    before, left = (float((xi.sum(-2) * wave).sum()) for xi in (surface, after.order_parameter))
    assert math.log(before / left) == pytest.approx(0.5, rel=0.03)


def growth(values, backend, duration=2.0):
    """Of strength, orientation, surface energy, current, and along random changes of noise and surface."""
    strength, orientation, energy, current, along_noise, along_surface = values
    z, x = (2 * torch.pi * torch.arange(n, dtype=torch.float64) / n for n in (6, 10))
    height = 47.7e-9 + 8e-9 * torch.cos(x + 0.3) + 6e-9 * torch.cos(z + 0.9)[:, None]
    height = height + 3e-9 * torch.sin(x + z[:, None] + 0.2)  # no symmetry: no ties in any maximum
    interface = Interface(20e-9, 5e-9, 3)
    surface = film(height, 24, interface.width, interface.spacing)
    generator = torch.Generator().manual_seed(2)
    noise, weight, direction = (torch.randn(surface.shape, generator=generator, dtype=torch.float64) for _ in range(3))
    p = Parameters.from_materials(
        Metal.lithium(),
        WATER,
        interface,
        anisotropy_strength=strength,
        crystal_orientation=orientation,
        noise_amplitude=1.0,
    )
    p = dataclasses.replace(p, surface_energy=energy)
    state = initial_state(surface + along_surface * direction * surface * (1 - surface), 3)
    state = step(state, current, duration, noise * (1 + along_noise), p, backend)
    state = step(state, -current / 2, duration, noise.flip(-1), p, backend)
    held = potentiostatic_step(state, -0.01, 0.25 * duration, noise, p, backend)
    return (weight * (state.order_parameter + held.order_parameter)).sum() + 10 * state.overpotential.sum()


SCALES = torch.tensor([0.03, 0.2, 0.5, 20.0, 1.0, 1.0], dtype=torch.float64)


def start(strength):
    return torch.tensor([strength, 0.2, 0.5, -20.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.03, 0.05])
def test_gradient_against_central_differences(strength):
    values = start(strength)
    (gradient,) = torch.autograd.grad(growth(values, "numba"), values)
    for k, scale in enumerate(SCALES):
        offset = torch.zeros_like(values)
        offset[k] = 3e-6 * scale
        with torch.no_grad():
            difference = float(growth(values + offset, "numba") - growth(values - offset, "numba")) / 6e-6
        largest = float((gradient * SCALES).abs().max())
        assert float(gradient[k] * scale) == pytest.approx(difference, rel=1e-6, abs=1e-7 * largest)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.05, 0.2])
def test_kernels_agree_with_the_reference(strength):
    """Value and gradient; 0.2 has orientations whose tensor is not positive."""
    values, results = start(strength), []
    for backend in ("numba", "torch"):
        value = growth(values, backend, 1.0)
        results.append((value.detach(), torch.autograd.grad(value, values)[0] * SCALES))
    assert float(results[0][0]) == pytest.approx(float(results[1][0]), rel=1e-10)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=1e-8 * float(results[1][1].abs().max()))


def test_other_symmetries_are_refused_in_a_volume():
    zinc = Metal.zinc()
    parameters(metal=zinc)
    parameters(dimensions=2, metal=zinc, anisotropy_strength=0.02)
    for strength in (torch.tensor([0.0, 0.02]), torch.zeros(1, requires_grad=True)):
        with pytest.raises(InputError, match=r"anisotropy_fold = 6 has no meaning in three dimensions.*fold=4"):
            parameters(metal=zinc, anisotropy_strength=strength)
