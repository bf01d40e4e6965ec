"""Viscoelastic layers: the closed form of a film in liquid, rigid and liquid limits, rough metal, reciprocity."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from surfaces import columns, overhangs

from hmm_plating.emission import ViscoelasticLayer, kanazawa_gordon, load_impedance, sauerbrey, solve, viscoelastic_film
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal, Resonator

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6)
OVERTONES = [3, 7, 13]
OMEGA = 2 * math.pi * 5e6 * torch.tensor(OVERTONES, dtype=torch.float64)
TIGHT = {"tolerance": 1e-10, "absolute_tolerance": 1e-10}
# film of the design's table 4.1, and ones stiffer, softer than the liquid, purely elastic, purely viscous
FILMS = {
    "table": (1100.0, 1e5 + 1j * OMEGA * 1e-3),
    "stiff": (1100.0, 1e8 + 0j * OMEGA),
    "soft": (1000.0, 1e4 + 1j * OMEGA * 0.4e-3),
    "viscous": (1200.0, 1j * OMEGA * 5e-3),
}


def between(metal, top, density, modulus):
    """Layer from the metal up to where cells are filled to `top`; its share is of the volume outside the metal."""
    outside = 1 - metal
    share = torch.where(outside > 0, (top - metal) / outside.clamp(min=1e-12), torch.zeros_like(metal)).clamp(0, 1)
    return ViscoelasticLayer(share, density, modulus)


def flat(height, rows=None):
    """Cells below a height [cells], (y, 2)."""
    rows = torch.arange(rows or math.ceil(height) + 1, dtype=torch.float64)
    return (height - rows).clamp(0, 1)[:, None].expand(-1, 2)


def film_error(film, thickness, spacing, wall):
    """Largest relative error of what a flat film adds to the liquid, on a wall `wall` cells above the crystal."""
    density, modulus = FILMS[film]
    top = flat(wall + thickness / spacing)
    metal = flat(wall, len(top))
    layers = [between(metal, top, density, modulus)]
    computed = load_impedance(metal, spacing, OVERTONES, WATER, QUARTZ, layers=layers, **TIGHT)
    expected = viscoelastic_film(thickness, density, modulus, OVERTONES, WATER, QUARTZ)
    liquid = kanazawa_gordon(OVERTONES, WATER, QUARTZ)
    return float(((computed - expected).abs() / (expected - liquid).abs()).max())


@pytest.mark.parametrize("film", list(FILMS))
@pytest.mark.parametrize("wall", [0.0, 0.3, 0.5, 1.7, 0.95])
def test_flat_film_converges_to_its_closed_form_with_second_order(film, wall):
    """20 nm in cells of 4 to 1 nm (Johannsmann 2015, eq. 10.2.2): 0.3 % of the film at 4 nm, on partial cells too."""
    errors = [film_error(film, 20e-9, spacing, wall) for spacing in (4e-9, 2e-9, 1e-9)]
    assert errors[0] < 0.004
    assert math.log(errors[0] / errors[2], 4) > 1.8


@pytest.mark.parametrize("film", list(FILMS))
def test_film_surface_anywhere_in_its_cell(film):
    """Fluidities and densities mix by volume: the largest error over positions falls with nearly second order."""
    coarse, fine = (
        max(film_error(film, 20e-9 + part * spacing, spacing, 0.0) for part in (0.1, 0.25, 0.5, 0.75, 0.9))
        for spacing in (4e-9, 1e-9)
    )
    assert coarse < 0.004
    assert math.log(coarse / fine, 4) > 1.4


@pytest.mark.parametrize("wall", [0.0, 0.5])
def test_film_thinner_than_a_cell(wall):
    """2 nm in cells of 4 nm: within 5 % of what it adds."""
    assert film_error("table", 2e-9, 4e-9, wall) < 0.05


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([2, 3]))
@example(131583, 3)  # two vectors in turn that all but vanish in the form: the load had lost eight digits
def test_a_layer_of_the_liquid_itself_changes_nothing(seed, dimensions):
    metal = overhangs(5, 6, seed, None if dimensions == 2 else 3)
    share = torch.rand(metal.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    layers = [ViscoelasticLayer(share, WATER.density, 1j * OMEGA * WATER.viscosity)]
    options = {"dimensions": dimensions, "tolerance": 1e-13, "absolute_tolerance": 1e-12}
    bare, layered = (
        load_impedance(metal, 5e-9, OVERTONES, WATER, QUARTZ, layers=matter, **options) for matter in ((), layers)
    )
    torch.testing.assert_close(layered, bare, rtol=1e-10, atol=0)


def rough_film(per_amplitude, density, modulus):
    """10 nm on a sinusoid of a = 10, L = 100 nm: load, fractions below the film's surface, spacing [nm]."""
    cells, per_cell = 10 * per_amplitude, 200
    x = (np.arange(cells * per_cell) + 0.5) / per_cell / cells
    wall = per_amplitude * (1 + np.cos(2 * np.pi * x)) + 1.3
    rows = math.ceil(wall.max() + per_amplitude) + 1
    metal, top = columns(wall, rows, per_cell), columns(wall + per_amplitude, rows, per_cell)
    spacing = 10e-9 / per_amplitude
    layers = [between(metal, top, density, modulus)]
    return load_impedance(metal, spacing, OVERTONES, WATER, QUARTZ, layers=layers), top, spacing


@pytest.mark.parametrize(("film", "accepted"), [("table", 0.02), ("viscous", 0.02), ("stiff", 0.02), ("soft", 0.16)])
def test_film_on_rough_metal_converges(film, accepted):
    """Differences between 3, 6 and 12 cells per amplitude, first order or better.

    Where the film's surface is oblique, mixing as in layers parallel to the shear errs: most for a film that flows
    eight times more easily than the liquid.
    """
    loads = [rough_film(cells, *FILMS[film])[0] for cells in (3, 6, 12)]
    liquid = kanazawa_gordon(OVERTONES, WATER, QUARTZ)
    first, second = ((b - a).abs() / (loads[2] - liquid).abs() for a, b in itertools.pairwise(loads))
    assert first.max() < accepted
    assert second.max() < first.max() / 2


def test_a_stiff_film_on_rough_metal_is_rigid():
    """G = 1e12 Pa: metal as far as the film's surface, plus the film's own inertia; a metal is the oracle."""
    load, top, spacing = rough_film(6, 1100.0, 1e12)
    rigid = load_impedance(top, spacing, OVERTONES, WATER, QUARTZ) + sauerbrey(1100 * 10e-9, OVERTONES, QUARTZ)
    assert ((load - rigid).abs() / (rigid - kanazawa_gordon(OVERTONES, WATER, QUARTZ)).abs()).max() < 0.002


def test_two_halves_of_a_film_are_the_film():
    """Layers add by volume, in one cell too, and each overtone has its own modulus."""
    density, modulus = FILMS["table"]
    metal, top = flat(0.6, 5), flat(3.3, 5)
    whole = between(metal, top, density, modulus)
    halves = [ViscoelasticLayer(whole.fraction * share, density, modulus) for share in (0.25, 0.75)]
    one, two = (load_impedance(metal, 4e-9, OVERTONES, WATER, QUARTZ, layers=m, **TIGHT) for m in ([whole], halves))
    torch.testing.assert_close(two, one, rtol=1e-6, atol=0)
    for index, order in enumerate(OVERTONES):
        alone = [ViscoelasticLayer(whole.fraction, density, complex(modulus[index]))]
        single = load_impedance(metal, 4e-9, [order], WATER, QUARTZ, layers=alone, **TIGHT)
        torch.testing.assert_close(single[0], one[index], rtol=1e-9, atol=0)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_reciprocity_gives_the_gradient_under_a_layer(dimensions):
    """The adjoint is the field itself only if the operator stays complex symmetric: central differences."""
    metal = overhangs(4, 6, 3, None if dimensions == 2 else 2)
    share = torch.rand(metal.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layers = [ViscoelasticLayer(share, 1100.0, 1e5 + 1j * OMEGA * 1e-3)]
    options = {"layers": layers, "dimensions": dimensions, "tolerance": 1e-14, "absolute_tolerance": 1e-13}

    def value(surface):
        return solve(surface, 5e-9, OVERTONES, WATER, QUARTZ, **options, keep_field=False).load

    gradient = solve(metal, 5e-9, OVERTONES, WATER, QUARTZ, **options, keep_gradient=True).gradient
    partial = ((metal > 0.01) & (metal < 0.99)).nonzero()[::3]
    for cell in map(tuple, partial.tolist()):
        bump = torch.zeros_like(metal)
        bump[cell] = 1e-3
        first, second = ((value(metal + s * bump) - value(metal - s * bump)) / (2e-3 * s) for s in (1, 2))
        expected = gradient[(slice(None), *cell)]
        assert ((4 * first - second) / 3 - expected).abs().max() < 1e-6 * expected.abs().max()


def test_layer_and_metal_count_once():
    """Metal adds its own inertia under a layer as without."""
    metal = overhangs(5, 8, 1)
    layers = [ViscoelasticLayer(torch.full((5, 8), 0.5), 1100.0, 1e6 + 1e5j)]
    liquid, whole = (
        load_impedance(metal, 5e-9, OVERTONES, WATER, QUARTZ, m, layers=layers, **TIGHT) for m in (None, Metal.zinc())
    )
    mass = Metal.zinc().density * float(metal.sum()) * 5e-9 / 8
    torch.testing.assert_close(whole - liquid, sauerbrey(mass, OVERTONES, QUARTZ), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"fraction": torch.full((3, 4), 1.1)}, "fraction of a layer"),
        ({"fraction": torch.full((3, 4), -0.1)}, "fraction of a layer"),
        ({"fraction": torch.full((3, 4), float("nan"))}, "fraction of a layer"),
        ({"density": 0.0}, "density"),
        ({"density": float("nan")}, "density"),
        ({"shear_modulus": -1e5 + 1e3j}, "shear_modulus"),
        ({"shear_modulus": 1e5 - 1e3j}, "shear_modulus"),
        ({"shear_modulus": 0j}, "shear_modulus"),
        ({"shear_modulus": torch.tensor([1e5, float("inf")])}, "shear_modulus"),
    ],
)
def test_unusable_layers_are_named(layer, message):
    with pytest.raises(InputError, match=message):
        ViscoelasticLayer(**({"fraction": torch.zeros(3, 4), "density": 1e3, "shear_modulus": 1e5 + 0j} | layer))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([ViscoelasticLayer(torch.full((3, 4), 0.6), 1e3, 1e5)] * 2, "overlap"),
        ([ViscoelasticLayer(torch.zeros(3, 5), 1e3, 1e5)], "does not fit"),
        ([ViscoelasticLayer(torch.zeros(2, 3, 4), 1e3, 1e5)], "does not fit"),
        ([ViscoelasticLayer(torch.ones(3, 4), 1e3, torch.tensor([1e5, 1e6]))], "one per overtone"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers, message):
    metal = torch.tensor([1.0, 0.5, 0.0])[:, None].repeat(1, 4)  # near the top, which gets rows of liquid
    for surface in (torch.zeros(3, 4), metal):
        with pytest.raises(InputError, match=message):
            load_impedance(surface, 5e-9, OVERTONES, WATER, QUARTZ, layers=layers)
