"""Pictures of single surfaces show their cells and the velocity that was computed."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from hmm_plating.emission import ViscoelasticLayer, hemispheres, solve, velocity_amplitude
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator
from hmm_plating.report import figures
from hmm_plating.report.figures.style import LIQUID, METAL, ORANGE

WATER, QUARTZ = Electrolyte(997.05, 0.890e-3), Resonator()
SPACING, OVERTONES = 5e-9, [3, 7, 11]


@pytest.fixture(scope="module")
def surface():
    fraction = torch.zeros(10, 16, dtype=torch.float64)
    fraction[0] = 1
    fraction[1, 4:8] = 1
    fraction[2, 4:8] = 0.25
    return fraction


@pytest.fixture(scope="module")
def caps():
    return hemispheres([10e-9, 28e-9], [8e-9, 31e-9], [8e-9, 14e-9], (9, 6, 8), SPACING)


def velocity(fraction, dimensions):
    field = solve(fraction, SPACING, OVERTONES, WATER, QUARTZ, keep_gradient=True, dimensions=dimensions).field
    return velocity_amplitude(field, fraction, SPACING, OVERTONES, WATER, QUARTZ, dimensions=dimensions)


def test_surface_figure_mixes_the_colours_of_what_shares_a_cell(surface):
    share = torch.zeros(10, 16, dtype=torch.float64)
    share[2] = 0.5
    figure = figures.surface_figure(surface, SPACING, layers=[ViscoelasticLayer(share, 1100.0, 1e5)])
    (axis,) = figure.axes
    picture = axis.images[0].get_array()
    metal, liquid, layer = (np.array(to_rgb(colour)) for colour in (METAL, LIQUID, ORANGE))
    np.testing.assert_allclose(picture[0, 0], metal)
    np.testing.assert_allclose(picture[9, 5], liquid)
    np.testing.assert_allclose(picture[2, 0], (liquid + layer) / 2)
    np.testing.assert_allclose(picture[2, 5], 0.25 * metal + 0.75 * (liquid + layer) / 2)
    assert axis.images[0].get_extent() == pytest.approx([0, 80, 0, 50])
    assert axis.images[0].origin == "lower"
    assert axis.get_aspect() == 1.0
    assert axis.get_ylabel() == "height [nm]"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["metal", "liquid", "layer, 1100 kg/m³"]


def test_surface_figure_in_three_dimensions_has_a_height_map_and_a_section_through_the_highest_metal(caps):
    figure = figures.surface_figure(caps, SPACING)
    above, section, bar = figure.axes
    heights = above.images[0].get_array()
    assert heights.max() == pytest.approx(14, abs=0.7)  # the mean over a cell of the top of the larger cap
    assert heights[8, 0] == 0
    assert above.images[0].get_extent() == pytest.approx([0, 40, 0, 45])
    assert above.lines[0].get_ydata()[0] == pytest.approx(32.5)  # z of the section [nm]: plane 6
    assert bar.get_ylabel() == "height [nm]"
    metal = np.array(to_rgb(METAL))
    solid = np.abs(section.images[0].get_array() - metal).max(axis=-1) < 1e-9
    assert (solid == (caps[6] == 1).numpy()).all()
    assert solid.any()
    lower = figures.surface_figure(caps, SPACING, z=8e-9).axes[1].images[0].get_array()
    assert not (np.asarray(lower) == section.images[0].get_array()).all()


def test_velocity_figure_shows_amplitude_and_phase_in_the_liquid(surface):
    amplitude = velocity(surface, 2)
    figure = figures.velocity_figure(amplitude, surface, SPACING, OVERTONES)
    panels, bars = figure.axes[:6], figure.axes[6:]
    expected = amplitude[:, 0].numpy()
    for row in range(3):
        size, phase = (panel.images[0].get_array() for panel in panels[2 * row : 2 * row + 2])
        assert (size.mask == (surface >= 0.5).numpy()).all()
        np.testing.assert_allclose(size.compressed(), np.abs(expected[row])[~size.mask])
        np.testing.assert_allclose(phase.compressed(), np.degrees(np.angle(expected[row]))[~size.mask])
        assert panels[2 * row].get_title(loc="left") == f"n = {OVERTONES[row]}"
        (outline,) = panels[2 * row].collections
        corners = np.concatenate([path.vertices for path in outline.get_paths()])
        assert corners[:, 1].min() == pytest.approx(5, abs=0.1)  # nm, the flat metal: half-way between cell centres
        assert corners[:, 1].max() == pytest.approx(10.8, abs=1.3)
    assert [bar.get_ylabel() for bar in bars] == ["velocity |u|, crystal = 1", "phase [°]"]
    limits = {panel.images[0].get_clim() for panel in panels[::2]}
    assert len(limits) == 1  # overtones can be compared
    assert panels[4].get_xlabel() == "x, along the shear [nm]"


def test_phase_goes_on_below_half_a_turn():
    """Far above a flat wall the wave lags by y/δ, here by more than π."""
    rows, spacing = 60, 10e-9
    depth = WATER.penetration_depth(QUARTZ.angular_frequency(11))
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * spacing
    wave = torch.exp(-(1 + 1j) * y / depth)[:, None].expand(rows, 3)
    figure = figures.velocity_figure(wave.expand(1, 2, rows, 3), torch.zeros(rows, 3), spacing, [11])
    phase = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(phase[:, 1], np.degrees(-y.numpy() / depth), rtol=1e-9)
    assert phase.min() < -180


def test_velocity_figure_cuts_three_dimensions(caps):
    amplitude = velocity(caps, 3)
    figure = figures.velocity_figure(amplitude, caps, SPACING, OVERTONES, z=8e-9)
    size = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(size.compressed(), amplitude[0, 0, 1].abs().numpy()[~size.mask])


def test_what_does_not_fit_is_an_input_error(surface, caps):
    with pytest.raises(InputError, match="one surface"):
        figures.surface_figure(surface[None, None], SPACING)
    with pytest.raises(InputError, match="no section at"):
        figures.surface_figure(caps, SPACING, z=1e-6)
    with pytest.raises(InputError, match="of 2 overtones"):
        figures.velocity_figure(torch.zeros(3, 2, 10, 16), surface, SPACING, [3, 5])


def test_sections_are_drawn_to_scale_at_a_journal_size(surface, caps):
    for figure in (figures.surface_figure(surface, SPACING), figures.surface_figure(caps, SPACING)):
        assert figure.get_size_inches()[0] <= 7.2
        figure.draw_without_rendering()
