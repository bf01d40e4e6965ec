"""Growth of a surface alone: the filter's own transition, with the numbers that Faraday's and Fick's laws fix."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
import xarray as xr
from PIL import Image

from hmm_plating import Grid, InputError, PlatingModel, Protocol, Transport, grow_surface
from hmm_plating.errors import DepletionError
from hmm_plating.filter_recording import drives
from hmm_plating.instrument import Drive
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.report import figures

Builder = Callable[[xr.Dataset], PlatingModel]
CURRENT = np.array([0.0] + [-20.0] * 10 + [20.0] * 6)
BATH = Transport(concentration=500.0, diffusivity=5e-10, layer_thickness=100e-6)


@pytest.fixture(scope="module")
def model(build: Builder) -> PlatingModel:
    return build(Protocol(overtones=(3, 7)).recording())


@pytest.fixture(scope="module")
def growth(model: PlatingModel) -> xr.Dataset:
    return grow_surface(model, CURRENT, 1.0, seed=1, pictures=6)


@pytest.fixture(scope="module")
def box(model: PlatingModel) -> PlatingModel:
    parameters = {"nucleation_density": 1 / 60e-9**2, "nucleus_radius": 9e-9, "nucleus_radius_spread": 0.0}
    return replace(model, grid=replace(model.grid, depth=64e-9), parameters=parameters)


@pytest.fixture(scope="module")
def grown_box(box: PlatingModel) -> xr.Dataset:
    return grow_surface(box, CURRENT[:13], 1.0, seed=2, pictures=4)


def books(growth: xr.Dataset, model: PlatingModel) -> np.ndarray:
    """Charge in metal, in other reactions and in waiting [C/m²]."""
    metal = model.metal.charge_per_volume * growth["thickness"]
    return (metal + growth["side_charge"] + growth["deferred_charge"]).values


def test_the_charge_adds_up(growth: xr.Dataset, model: PlatingModel) -> None:
    np.testing.assert_allclose(books(growth, model), -growth["charge_density"].values, rtol=0, atol=1e-9)
    assert growth["charge_density"].values[-1] == pytest.approx(-10 * 20 + 6 * 20)
    assert growth["thickness"].values[0] == 0
    assert (np.diff(growth["thickness"].values[4:11]) > 0).all()
    assert (np.diff(growth["thickness"].values[10:]) < 0).all()


def test_is_the_transition_of_the_filter(model: PlatingModel) -> None:
    """A step that observes grows the surface by the same method: with the same draws, the same surface."""
    fixed = replace(model, parameters={"nucleus_radius": 9e-9, "nucleation_density": 1 / 60e-9**2})
    grown = grow_surface(fixed, [-20.0], 4.0, seed=5)
    recording = Protocol(plating_time=8.0, rest_time=0.0, sampling=4.0, current_density=20.0).recording()
    series = drives(recording, model.instrument.lag_times)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.plate("particles", 1, dim=-1):
        torch.manual_seed(5)
        state: dict[str, torch.Tensor] = {}
        fixed.init(state)
        fixed.step(state, None, Drive(*(values[0] for values in series)))
    field = grown["order_parameter"].values[-1]
    np.testing.assert_array_equal(field, state["order_parameter"][0].float().numpy())
    assert field.max() > 0.5


def test_the_seed_decides(model: PlatingModel, growth: xr.Dataset) -> None:
    again, other = (grow_surface(model, CURRENT, 1.0, seed=seed, pictures=6) for seed in (1, 2))
    assert again.identical(growth)
    assert not np.array_equal(other["thickness"].values, growth["thickness"].values)


def test_pictures_are_spread_over_the_steps(model: PlatingModel, growth: xr.Dataset) -> None:
    assert growth["order_parameter"].dims == ("picture_time", "y", "x")
    assert growth["order_parameter"].dtype == np.float32
    assert growth.sizes["picture_time"] == 6
    assert growth["picture_time"].values[-1] == growth["time"].values[-1] == 17.0
    assert set(growth["picture_time"].values) <= set(growth["time"].values)
    last = growth["order_parameter"].values[-1].mean() * model.grid.height
    assert last + growth["base_thickness"].values[-1] == pytest.approx(growth["thickness"].values[-1], rel=1e-6)
    few = grow_surface(model, CURRENT[:3], 1.0, seed=1)
    assert few["picture_time"].values.tolist() == [1.0, 2.0, 3.0]
    assert grow_surface(model, CURRENT[:3], 1.0, pictures=1)["picture_time"].values.tolist() == [3.0]


def test_every_number_says_what_it_is(growth: xr.Dataset, tmp_path: Path) -> None:
    for name in growth.variables:
        assert growth[name].attrs["units"], name
        assert growth[name].attrs["long_name"], name
    assert growth["x"].values[[0, -1]].tolist() == pytest.approx([2e-9, 126e-9])
    assert growth.attrs["seed"] == 1
    assert "torch" in growth.attrs["versions"]
    growth.to_netcdf(tmp_path / "growth.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "growth.nc", engine="h5netcdf") as back:
        assert back["time"].dtype == float  # seconds, not a date
        xr.testing.assert_identical(back.load(), growth)


def test_tells_its_progress(model: PlatingModel) -> None:
    steps: list[tuple[int, int]] = []
    grow_surface(model, CURRENT[:3], 1.0, progress=lambda step, total: steps.append((step, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow  # to compile the fields in the box
def test_transport_depletes_the_surface(model: PlatingModel, growth: xr.Dataset) -> None:
    """c̃ at the surface falls as Sand says, 1 − sqrt(t/t_S), while the layer is deep; without transport none is told."""
    assert "surface_concentration" not in growth
    fixed = replace(model, transport=BATH, parameters={"nucleus_radius": 9e-9, "wetting_charge": 0.0})
    grown = grow_surface(fixed, np.full(8, -20.0), 1.0)
    sand = BATH.sand_time(20.0, 2)
    expected = 1 - np.sqrt(grown["time"].values / sand)
    late = slice(4, None)  # nuclei are placed ahead of their charge
    np.testing.assert_allclose(grown["surface_concentration"].values[late], expected[late], rtol=0, atol=0.02)
    assert sand == pytest.approx(math.pi * 5e-10 * (2 * FARADAY_CONSTANT * 500 / 40) ** 2)
    bare = grow_surface(replace(fixed, transport=None), np.full(8, -20.0), 1.0)
    np.testing.assert_allclose(grown["thickness"], bare["thickness"], rtol=1e-9)
    assert (grown["overpotential"].values[late] < bare["overpotential"].values[late]).all()


@pytest.mark.slow  # to compile the fields in the box
def test_depletion_is_told_from_the_start(model: PlatingModel) -> None:
    thin = replace(model, transport=replace(BATH, concentration=20.0), parameters={"nucleus_radius": 9e-9})
    with pytest.raises(DepletionError, match=r"^\d+(\.\d+)? s after the start: ") as caught:
        grow_surface(thin, np.full(60, -40.0), 1.0)
    sand = thin.transport.sand_time(40.0, 2)  # type: ignore[union-attr]
    assert float(str(caught.value).split()[0]) == pytest.approx(sand, rel=0.3)


@pytest.mark.slow  # to compile the fields in the box
def test_a_model_reports_the_concentration(model: PlatingModel) -> None:
    state: dict[str, torch.Tensor] = {}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), pyro.plate("particles", 3, dim=-1):
        torch.manual_seed(0)
        both = [replace(model, transport=transport) for transport in (None, BATH)]
        both[1].init(state)
        for _ in range(5):  # nuclei are placed ahead of their charge
            both[1].grow(state, -20.0, 2.0)
    assert "surface_concentration" not in both[0].describe(state)
    told = both[1].describe(state)["surface_concentration"]
    assert told.shape == (3,)
    assert bool(((told > 0.5) & (told < 1)).all())


def test_grows_in_three_dimensions(box: PlatingModel, grown_box: xr.Dataset) -> None:
    assert grown_box["order_parameter"].dims == ("picture_time", "z", "y", "x")
    assert grown_box["order_parameter"].shape == (4, 16, 24, 32)
    np.testing.assert_allclose(books(grown_box, box), -grown_box["charge_density"].values, rtol=0, atol=1e-9)
    assert 0 < grown_box["coverage"].values[4] < 1
    picture = grown_box["order_parameter"].values[-1]
    assert np.ptp(picture.max(1), axis=0).max() > 0.1  # caps, not ridges
    assert grown_box["z"].attrs["units"] == "m"


def test_a_grid_changes_its_dimensions() -> None:
    section = Grid(width=128e-9, height=96e-9, spacing=4e-9, interface_width=16e-9)
    assert (section.dimensions, section.shape) == (2, (24, 32))
    assert section.in_dimensions(2) == section
    assert section.in_dimensions(3).shape == (32, 24, 32)
    deep = replace(section, depth=64e-9)
    assert deep.in_dimensions(3) == deep
    assert deep.in_dimensions(2) == section
    with pytest.raises(InputError, match=r"Grid\.depth"):
        replace(section, depth=65e-9)


@pytest.mark.parametrize(
    ("current", "interval", "pictures", "message"),
    [
        ([], 1.0, 5, "one finite number of A/m² per step"),
        ([[-1.0]], 1.0, 5, "one finite number of A/m² per step"),
        ([math.nan], 1.0, 5, "one finite number of A/m² per step"),
        ([-1.0], 0.0, 5, "interval must be a positive number of seconds"),
        ([-1.0], math.inf, 5, "interval must be a positive number of seconds"),
        ([-1.0], 1.0, 0, "pictures must be at least 1"),
    ],
)
def test_what_makes_no_growth_is_refused(
    model: PlatingModel, current: list[float], interval: float, pictures: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        grow_surface(model, current, interval, pictures=pictures)


# Figures


def test_the_film_strip_shows_the_pictures(growth: xr.Dataset) -> None:
    figure = figures.growth_figure(growth)
    panels = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title(loc="left") for axis in panels] == [f"{t:g} s" for t in growth["picture_time"].values]
    for axis, field in zip(panels, growth["order_parameter"].values, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), field)
        assert axis.images[0].get_extent() == pytest.approx([0, 128, 0, 96])
        assert axis.images[0].origin == "lower"
    thickness = figure.axes[-1].lines[0].get_ydata()
    np.testing.assert_allclose(thickness, 1e9 * growth["thickness"].values)
    two = figures.growth_figure(growth, times=[11.0, 17.0, 16.9])
    assert sum(bool(axis.images) for axis in two.axes) == 2
    with pytest.raises(InputError, match="times is empty"):
        figures.growth_figure(growth, times=[])


def test_the_film_strip_of_a_box_is_cut_through_the_highest_metal(grown_box: xr.Dataset) -> None:
    figure = figures.growth_figure(grown_box)
    images = [axis.images[0] for axis in figure.axes if axis.images]
    sections = [image for image in images if image.get_array().shape == (24, 32)]
    maps = [image.get_array() for image in images if image.get_array().shape == (16, 32)]
    assert len(maps) == 4
    assert max(map(np.max, maps)) < 96
    field = grown_box["order_parameter"].values
    plane = next(z for z in range(16) if np.array_equal(field[-1, z], sections[-1].get_array()))
    assert (field[-1, plane] > 0.5).any()


def test_the_film_strip_stands_on_the_base(growth: xr.Dataset) -> None:
    """Metal below the moving window is part of the picture."""
    raised = growth.assign(base_thickness=growth["base_thickness"] + 40e-9)
    axis = figures.growth_figure(raised).axes[0]
    assert axis.images[0].get_extent() == pytest.approx([0, 128, 40, 136])
    assert axis.get_ylim()[0] == 0


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_animation_has_a_frame_per_picture(growth: xr.Dataset, grown_box: xr.Dataset, dimensions: int) -> None:
    grown = growth if dimensions == 2 else grown_box
    with Image.open(io.BytesIO(figures.growth_animation(grown, frames_per_second=5))) as animation:
        assert animation.format == "GIF"
        assert animation.n_frames == grown.sizes["picture_time"]
        assert animation.info["duration"] == 200
    with pytest.raises(InputError, match="frames_per_second"):
        figures.growth_animation(grown, frames_per_second=0)
