"""Rough and overhanging walls against exact solutions of the unsteady Stokes equations, and their own fine grids."""

import functools
import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from surfaces import overhanging, polygon, profile
from unsteady_stokes import shear_across_grooves, shear_along_grooves, shear_over_a_curve

from hmm_plating.emission import kanazawa_gordon, load_impedance, solid_fraction
from hmm_plating.materials import Electrolyte, Resonator

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator(5e6, 8.84e6)
NANOMETRE = 1e-9
# a, L [nm]: Δf/n + iΔΓ/n [Hz] at n = 3, 7, 13 of the design's table 4.1
SINUSOIDS = {
    (3, 100): (-2.935 + 0.153j, -2.845 + 0.219j, -2.750 + 0.276j),
    (10, 200): (-14.827 + 1.358j, -13.946 + 1.781j, -13.087 + 2.012j),
    (10, 100): (-26.986 + 1.028j, -26.394 + 1.507j, -25.763 + 1.953j),
    (20, 200): (-51.714 + 3.783j, -49.285 + 5.146j, -46.800 + 6.003j),
}
GROOVES_ALONG = (-6.699 + 1.528j, -5.705 + 1.983j, -4.747 + 2.218j)
POSITIONS = (0.0, 0.2, 0.35, 0.5, 0.75)


def sinusoid(amplitude, period):
    return lambda x: amplitude * NANOMETRE * np.cos(2 * np.pi * x / (period * NANOMETRE))


def excess(fraction, spacing, overtones, electrolyte=WATER, resonator=QUARTZ):
    """Load of the liquid over that of the half space [Pa s/m]."""
    load = load_impedance(fraction, spacing, overtones, electrolyte, resonator)
    return (load - kanazawa_gordon(overtones, electrolyte, resonator)).numpy()


def in_hertz(load, overtones):
    """Δf/n + iΔΓ/n."""
    return 1j * QUARTZ.fundamental_frequency / (math.pi * QUARTZ.impedance) * np.asarray(load) / np.array(overtones)


def largest_error(shape, period, cells, overtones, expected, electrolyte=WATER, positions=POSITIONS):
    """Largest relative error of the complex excess over overtones and positions of the wall in its cell."""
    batch = [shape(cells, position) for position in positions]
    rows = max(len(fraction) for fraction in batch)
    batch = torch.stack([torch.nn.functional.pad(f, (0, 0, 0, rows - len(f))) for f in batch])
    computed = excess(batch, period / cells, overtones, electrolyte)
    return np.abs(computed / np.array(expected) - 1).max()


@pytest.mark.parametrize(("amplitude", "period"), list(SINUSOIDS))
def test_both_exact_series_reproduce_the_table(amplitude, period):
    """To half a unit of its last digit; a = 10, L = 200 nm along the grooves too."""
    series = [shear_across_grooves(sinusoid(amplitude, period), period * 1e-9, n, WATER, QUARTZ) for n in (3, 7, 13)]
    np.testing.assert_allclose(
        in_hertz([load for load, _ in series], (3, 7, 13)), SINUSOIDS[amplitude, period], rtol=0, atol=8e-4
    )
    assert max(error for _, error in series) < 1e-5
    load, error = shear_over_a_curve(
        lambda s: period * 1e-9 * s + 1j * amplitude * 1e-9 * np.cos(2 * np.pi * s), period * 1e-9, 3, WATER, QUARTZ, 80
    )
    assert error < 1e-6
    assert abs(load / series[0][0] - 1) < 1e-5


def test_exact_series_along_the_grooves_reproduces_the_table():
    along = [shear_along_grooves(sinusoid(10, 200), 200e-9, n, WATER, QUARTZ)[0] for n in (3, 7, 13)]
    np.testing.assert_allclose(in_hertz(along, (3, 7, 13)), GROOVES_ALONG, rtol=0, atol=8e-4)


@pytest.mark.parametrize(("amplitude", "period"), list(SINUSOIDS))
def test_sinusoids_wherever_the_wall_lies_in_its_cell(amplitude, period):
    """0.7 % of the excess at six cells per amplitude, 0.2 % at twelve, second order; surfaces of the design's table."""
    height, overtones = sinusoid(amplitude, period), (3, 7, 13)
    expected = [shear_across_grooves(height, period * 1e-9, n, WATER, QUARTZ)[0] for n in overtones]
    shape = functools.partial(profile, height, period * 1e-9)
    coarse, middle, fine = (
        largest_error(shape, period * 1e-9, period * cells // amplitude, overtones, expected) for cells in (4, 6, 12)
    )
    assert middle < 0.007
    assert fine < 0.002
    assert math.log(middle / fine, 2) > 1.8
    assert math.log(coarse / fine, 3) > 1.8


@pytest.mark.parametrize("level", [0.02, 0.3, 0.6, 0.9, 0.98])
def test_waves_lower_than_a_cell(level):
    """At any height in their cell they are misplaced by a cell's height times the square of their slope at most."""
    amplitude, cells, spacing = 0.005, 100, 1e-10
    x = (np.arange(cells) + 0.5) / cells
    wave = torch.from_numpy(amplitude * np.sinc(1 / cells) * np.cos(2 * np.pi * x))
    flat = torch.tensor([1.0, level, 0.0], dtype=torch.float64)[:, None].repeat(1, cells)
    rough = flat.clone()
    rough[1] += wave
    options = {"tolerance": 1e-7, "absolute_tolerance": 0.0}
    loads = load_impedance(torch.stack([rough, flat]), spacing, [3], WATER, QUARTZ, **options).numpy()[:, 0]
    expected, _ = shear_across_grooves(
        lambda x: amplitude * spacing * np.cos(2 * np.pi * x / (cells * spacing)), cells * spacing, 3, WATER, QUARTZ, 6
    )
    inertia = QUARTZ.angular_frequency(3) * WATER.density * spacing
    assert abs(loads[0] - loads[1] - expected) < inertia * (2 * np.pi * amplitude / cells) ** 2 * 1.2


def from_order_parameter(height, period, cells, offset, interface):
    """Fractions out of ξ = ½[1 + tanh(2d/ℓ)], d the distance to a profile, ℓ of `interface` cells."""
    spacing = period / cells
    x = (np.arange(-cells, 2 * cells, 0.01) - offset) * spacing
    level = height(x) / spacing
    level += 1 + offset - level.min()
    rows = math.ceil(level.max()) + 2 * interface
    y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(cells) + 0.5, indexing="ij")
    distance, _ = cKDTree(np.stack([np.arange(-cells, 2 * cells, 0.01), level], 1)).query(np.stack([x, y], -1))
    above = y > np.interp(x, np.arange(-cells, 2 * cells, 0.01), level)
    depth = torch.from_numpy(np.where(above, -distance, distance))
    return solid_fraction(0.5 * (1 + torch.tanh(2 * depth / interface)), interface * spacing, spacing)


@pytest.mark.parametrize("interface", [4, 8])
@pytest.mark.parametrize(("amplitude", "period"), list(SINUSOIDS))
def test_sinusoids_out_of_a_diffuse_interface(amplitude, period, interface):
    """The same tolerances when the wall is known only through ξ of a phase field, interfaces of 4 and 8 cells."""
    expected = np.array(SINUSOIDS[amplitude, period]) / in_hertz(1, (3, 7, 13))
    for per_amplitude, accepted in ((6, 0.01), (12, 0.0025)):
        error = largest_error(
            lambda cells, offset: from_order_parameter(
                sinusoid(amplitude, period), period * 1e-9, cells, offset, interface
            ),
            period * 1e-9,
            period * per_amplitude // amplitude,
            (3, 7, 13),
            expected,
            positions=(0.0, 0.35, 0.7),
        )
        assert error < accepted


def two_harmonics(amplitude, second, phase, period):
    def height(x):
        angle = 2 * np.pi * x / period
        return amplitude * (np.cos(angle) + second * np.cos(2 * angle + phase))

    return height


ELECTROLYTES = {"water": WATER, "zinc sulfate": Electrolyte(1322.8, 3.14e-3), "ether": Electrolyte(713.0, 0.224e-3)}


@pytest.mark.parametrize("liquid", list(ELECTROLYTES))
@pytest.mark.parametrize(
    ("amplitude", "second", "phase", "period"),
    [(12e-9, 0.4, 1.0, 150e-9), (30e-9, 0.25, 2.2, 400e-9), (8e-9, 0.5, -0.7, 120e-9)],
)
def test_asymmetric_profiles_in_several_liquids(amplitude, second, phase, period, liquid):
    """Two harmonics, exact series: 1 % of the excess at six cells per amplitude, every overtone from 1 to 13."""
    height, overtones = two_harmonics(amplitude, second, phase, period), [1, 3, 5, 9, 11, 13]
    series = [shear_across_grooves(height, period, n, ELECTROLYTES[liquid], QUARTZ, 40) for n in overtones]
    assert max(error for _, error in series) < 1e-3
    error = largest_error(
        functools.partial(profile, height, period),
        period,
        round(6 * period / amplitude),
        overtones,
        [load for load, _ in series],
        ELECTROLYTES[liquid],
        positions=(0.1, 0.6),
    )
    assert error < 0.01


@pytest.mark.parametrize(("second", "phase"), [(0.0, 0.0), (0.4, 1.0)])
def test_grooves_along_the_shear_at_every_position(second, phase):
    """Exact series for ∇²u = k²u: 2 % of the excess at four cells per amplitude, twelve positions, seven overtones."""
    amplitude, period, overtones = 10e-9, 200e-9, [1, 3, 5, 7, 9, 11, 13]
    height = two_harmonics(amplitude, second, phase, period)
    expected = np.array([shear_along_grooves(height, period, n, WATER, QUARTZ)[0] for n in overtones])
    for position in np.arange(12) / 12:
        grooves = profile(height, period, 80, position).T[:, :, None]
        load = load_impedance(grooves, period / 80, overtones, WATER, QUARTZ, dimensions=3)
        computed = (load - kanazawa_gordon(overtones, WATER, QUARTZ)).numpy()
        assert np.abs(computed / expected - 1).max() < 0.02


def mushroom(period, amplitude, neck):
    """Crests wider than what carries them where neck > ½."""
    return lambda s: period * (s + neck / (2 * np.pi) * np.sin(4 * np.pi * s)) + 1j * amplitude * np.cos(2 * np.pi * s)


def breaker(period, amplitude, lean):
    """A wave that leans over to one side where lean > 1."""
    return lambda s: (
        period * (s + lean / (2 * np.pi) * np.sin(2 * np.pi * s)) + 1j * amplitude * np.sin(2 * np.pi * s + 0.6)
    )


def facets(period, height, lean):
    """Planes that meet at edges rounded over a tenth of the period; `lean` makes one flank steeper than the other."""
    return lambda s: (
        period * (s + lean / (2 * np.pi) * np.cos(2 * np.pi * s))
        + 1j * height / 2 * np.arcsin(0.95 * np.sin(2 * np.pi * s)) / np.arcsin(0.95)
    )


# wall, period, error accepted at cells of 8 nm
CURVES = {
    "mushroom": (mushroom(200e-9, 50e-9, 0.65), 200e-9, 0.03),
    "wide mushroom": (mushroom(240e-9, 40e-9, 0.8), 240e-9, 0.03),
    "breaker": (breaker(240e-9, 40e-9, 1.15), 240e-9, 0.03),
    "steep breaker": (breaker(200e-9, 50e-9, 1.1), 200e-9, 0.012),
    "tilted facets": (facets(240e-9, 60e-9, 0.5), 240e-9, 0.03),
}


@pytest.mark.parametrize("shape", list(CURVES))
def test_overhanging_and_oblique_walls_are_exact_on_fine_grids(shape):
    """Fundamental solutions: 0.9 to 1.5 % of the excess at cells of 8 nm, rounded facets 2.7 %, second order."""
    curve, period, accepted = CURVES[shape]
    expected = []
    for n in (3, 13):
        load, error = shear_over_a_curve(curve, period, n, WATER, QUARTZ)
        assert error < 1e-4
        expected.append(load)
    at = functools.partial(overhanging, curve, period)
    coarse, fine = (
        largest_error(at, period, round(period / s), (3, 13), expected, positions=(0.1, 0.5)) for s in (8e-9, 2e-9)
    )
    assert coarse < accepted
    # the crest of the steep breaker is an edge to cells of 8 nm alone: 1.0 instead of 1.5 % there, 0.11 % at 2 nm
    assert math.log(coarse / fine, 4) > (1.5 if shape == "steep breaker" else 1.8)


def circle(centre, radius):
    return [centre + radius * np.exp(-2j * np.pi * s / 200) for s in range(200)]


# corners x + iy [nm] of what stands on a flat metal, one period of 240 nm; error accepted at cells of 8 nm
CORNERED = {
    "sharp facets": (0.03, [[0, 60 + 70j, 150 + 30j, 240]]),
    "mushroom": (0.03, [[95, 95 + 50j, 60 + 50j, 60 + 90j, 170 + 90j, 170 + 50j, 135 + 50j, 135]]),
    "undercut island": (0.03, [[100, 40 + 80j, 190 + 80j, 140]]),
    "touching cylinder": (0.03, [circle(120 + 40j, 40)]),
    "cylinder above": (0.03, [circle(120 + 60j, 40)]),
    "hollow block": (0.03, [[40, 40 + 80j, 200 + 80j, 200], [80 + 24j, 160 + 24j, 160 + 56j, 80 + 56j]]),
    "tip of 60°": (0.03, [[60, 120 + 60j * math.sqrt(3), 180]]),
    "tip of 90°": (0.03, [[60, 120 + 60j, 180]]),
    "triangular wave": (0.03, [[0, 40j, 120 + 136j, 240 + 40j, 240]]),
    "leaning tip of 35°": (0.03, [[70, 133 + 85j, 130]]),
    "needle of 45°": (0.03, [[76.5, 115 + 93j, 153.5]]),
    "needle of 30°": (0.055, [[90, 115 + 93j, 140]]),  # sharper ones end too low: docs/emission.md
    "stairs": (0.03, [[30, 30 + 24j, 70 + 24j, 70 + 48j, 150 + 48j, 150 + 24j, 190 + 24j, 190]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(CORNERED))
def test_cornered_shapes_converge_to_their_own_fine_grid(shape):
    """Edges and contact lines allow no exact series: against the extrapolation of cells of 2 and 1 nm to none.

    First order: the flow at an edge is singular.
    """
    accepted, outlines = CORNERED[shape]
    outlines = [[corner * NANOMETRE for corner in outline] for outline in outlines]
    loads = []
    for spacing in (8, 4, 2, 1):
        at = [polygon(*outlines, period=240e-9, cells=240 // spacing, offset=o) for o in (0.0, 0.2, 0.4, 0.6, 0.8)]
        loads.append(np.stack([excess(fraction, spacing * NANOMETRE, (3, 13)) for fraction in at]))
    limit = 2 * loads[3].mean(0) - loads[2].mean(0)
    coarse, _, fine = (np.abs(load / limit - 1).max() for load in loads[:3])
    assert coarse < accepted
    assert math.log(coarse / fine, 4) > 1


# what cells of 8 nm do not resolve: cells of a sixth of half the width or height, the lesser, and corners [nm]
NARROW = {
    "needle of 20°": (2.5, [[98.6, 115 + 93j, 131.4]]),
    "needle of 30°, low": (2.5, [[100, 115 + 56j, 130]]),
    "saw": (4, [[0, 40 + 50j, 80, 120 + 50j, 160, 200 + 50j, 240]]),
    "cylinder": (2, [circle(120 + 12j, 12)]),
    "plate": (2, [[108, 108 + 80j, 132 + 80j, 132]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(NARROW))
def test_narrow_shapes_at_six_cells_to_half_their_width(shape):
    """Within 3 % of the excess, as sinusoids are judged at six cells to their amplitude, half of their height."""
    working, outlines = NARROW[shape]
    outlines = [[corner * NANOMETRE for corner in outline] for outline in outlines]
    loads = []
    for spacing in (working, working / 2, working / 4):
        at = [polygon(*outlines, period=240e-9, cells=round(240 / spacing), offset=o) for o in (0.1, 0.5)]
        loads.append(np.stack([excess(fraction, spacing * NANOMETRE, (3, 13)) for fraction in at]))
    limit = 2 * loads[2].mean(0) - loads[1].mean(0)
    assert np.abs(loads[0] / limit - 1).max() < 0.03
