"""Training data: surfaces grown and stripped by the simulated step, drawn as they are needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating import morphology, transition
from hmm_plating.emulator.features import signed_distance
from hmm_plating.errors import InputError
from hmm_plating.grid import Grid
from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.transition.coefficients import Coefficients, coefficients, each_tensor
from hmm_plating.transition.state import thickness

FILLING = 0.2  # mean thickness that is plated, at most, over the height of the box
THINNEST_FILM = 1.5  # in interface widths
CANDIDATES = {2: 64, 3: 512}  # nuclei


@dataclass(frozen=True)
class Ranges:
    """What trajectories differ in: lowest and highest value of each, drawn evenly or (scales) evenly in the logarithm.

    Attributes:
        duration: of a frame [s].
        current_density: magnitude [A/m²]; capped where it would fill the box.
        exchange_current_density: j0 [A/m²].
        surface_energy: γ [J/m²].
        noise_amplitude: evenly drawn from.
        nucleus_spacing: mean distance of nuclei [m].
        film_thickness: of the films that a quarter of the trajectories start from [m].
        film_roughness: Sq of these [m].
        remaining: part of the metal that is left in the last frame.

    Raises:
        InputError: a range whose ends are not ordered, or not positive where its logarithm is drawn.
    """

    duration: tuple[float, float]
    current_density: tuple[float, float]
    exchange_current_density: tuple[float, float]
    surface_energy: tuple[float, float]
    noise_amplitude: tuple[float, float]
    nucleus_spacing: tuple[float, float] = (100e-9, 400e-9)
    film_thickness: tuple[float, float] = (24e-9, 40e-9)
    film_roughness: tuple[float, float] = (1e-9, 6e-9)
    remaining: tuple[float, float] = (0.1, 0.6)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            least = 0.0 if name == "noise_amplitude" else 1e-30
            if not (math.isfinite(high) and least <= low <= high):
                raise InputError(f"Ranges.{name} must be a lowest and a highest number ≥ 0, got {(low, high)!r}")


@dataclass(frozen=True)
class Source:
    """What trajectories are simulated with.

    Attributes:
        metal, electrolyte: materials; what `ranges` does not vary is theirs.
        grid: of the box.
        ranges: of what is varied.
        frames: of a trajectory, plating and stripping together.
        nucleus_radius: median [m], and deviation of the logarithm.
    """

    metal: Metal
    electrolyte: Electrolyte
    grid: Grid
    ranges: Ranges
    frames: int = 28
    nucleus_radius: tuple[float, float] = (9e-9, 0.1)


class Trajectories(NamedTuple):
    """Surfaces at the ends of frames, the first at the start, and what drives them: lengths in cells."""

    distance: Tensor  # signed, single precision (frame + 1, particle, [z,] y, x); (1, …) before they are simulated
    metal: Tensor  # Σξ (frame + 1, particle)
    noise: Tensor  # standard normal, single precision (frame, particle, [z,] y, x)
    current: Tensor  # (frame, particle) [A/m²]
    start: Tensor  # ξ at the start (particle, [z,] y, x)
    duration: float  # of a frame [s]
    parameters: transition.Parameters
    coefficients: Coefficients

    def part(self, particles: slice) -> Trajectories:
        """Those of some particles; parameters are left as they are."""
        return self._replace(
            distance=self.distance[:, particles],
            metal=self.metal[:, particles],
            noise=self.noise[:, particles],
            current=self.current[:, particles],
            start=self.start[particles],
            coefficients=each_tensor(self.coefficients, lambda value: value[particles]),
        )

    def to(self, device: torch.device) -> Trajectories:
        """What a network learns from on a device; the start and the parameters stay where they are."""
        c = each_tensor(self.coefficients, lambda value: value.to(device))
        distance, metal, noise = (value.to(device) for value in (self.distance, self.metal, self.noise))
        return self._replace(distance=distance, metal=metal, noise=noise, coefficients=c)


def draw_trajectories(source: Source, particles: int, seed: int) -> Trajectories:
    """Surfaces, parameters, currents and noise of a batch, not yet simulated: only the start has a distance.

    Each is to be plated at one current for some frames and stripped at another for the rest, down to a drawn part of
    its metal; one in ten frames rests. A quarter starts from films, the others from nuclei.

    Args:
        source: what to draw from.
        particles: trajectories; they share the duration of a frame.
        seed: of everything drawn.

    Raises:
        InputError: a grid that does not hold the films and nuclei.
    """
    generator = torch.Generator().manual_seed(seed)
    ranges, grid, frames = source.ranges, source.grid, source.frames
    batch = (particles,)
    low, high = ranges.duration
    duration = math.exp(float(_uniform(generator, (math.log(low), math.log(high)), ())))
    parameters = transition.Parameters.from_materials(
        source.metal,
        source.electrolyte,
        grid.interface,
        exchange_current_density=_log_uniform(generator, ranges.exchange_current_density, batch),
        noise_amplitude=_uniform(generator, ranges.noise_amplitude, batch),
    )
    parameters = replace(parameters, surface_energy=_log_uniform(generator, ranges.surface_energy, batch))
    start = _starting_surface(source, particles, generator)
    current = _currents(source, start, parameters, duration, generator)
    noise = torch.randn(frames, particles, *grid.shape, generator=generator)
    xi = start.order_parameter
    columns = xi[0].numel() // xi.shape[-2]
    plated = (
        -current
        * duration
        / torch.as_tensor(parameters.charge_per_volume, dtype=torch.float64)
        / grid.spacing
        * columns
    )
    metal = xi.flatten(1).sum(-1) + torch.cat([torch.zeros_like(plated[:1]), plated.cumsum(0)])
    distance = _distance(xi, source.grid)[None]
    c = coefficients(parameters, torch.Size(batch), duration, xi)
    return Trajectories(distance, metal, noise, current, xi, duration, parameters, c)


def simulate_trajectories(source: Source, particles: int, seed: int) -> Trajectories:
    """As `draw_trajectories`, grown and stripped by the simulated step.

    Raises:
        InputError: a grid that does not hold the films and nuclei, or what grows from them.
    """
    drawn = draw_trajectories(source, particles, seed)
    state = transition.initial_state(drawn.start, source.grid.dimensions)
    distance = [drawn.distance[0]]
    with torch.no_grad():
        for current, noise in zip(drawn.current, drawn.noise, strict=True):
            state = transition.step(state, current, drawn.duration, noise.double(), drawn.parameters)
            if bool((state.base_thickness > 0).any()):
                raise InputError("a trajectory left the box: take a higher one, or lower currents")
            distance.append(_distance(state.order_parameter, source.grid))
    return drawn._replace(distance=torch.stack(distance))


def _distance(order_parameter: Tensor, grid: Grid) -> Tensor:
    """Signed, in single precision [cells]."""
    return signed_distance(order_parameter, grid.interface_width / grid.spacing, grid.dimensions).float()


def _starting_surface(source: Source, particles: int, generator: torch.Generator) -> transition.State:
    """Nuclei whose charge has flowed, and rough films for the last quarter."""
    grid, ranges, dimensions = source.grid, source.ranges, source.grid.dimensions
    caps, films = particles - particles // 4, particles // 4
    spacing = _log_uniform(generator, ranges.nucleus_spacing, (caps,))
    shape = (caps, CANDIDATES[dimensions])
    uniform = 1 - torch.rand(shape, generator=generator, dtype=torch.float64)
    size = torch.randn(shape, generator=generator, dtype=torch.float64)
    across = torch.rand(shape, generator=generator, dtype=torch.float64) if dimensions == 3 else None
    nuclei = morphology.nuclei(
        uniform,
        size,
        spacing ** (1 - dimensions),
        *source.nucleus_radius,
        grid.shape,
        grid.interface_width,
        grid.spacing,
        across,
    )
    if films == 0:
        return transition.initial_state(nuclei, dimensions)
    lateral = grid.shape[:-2] + grid.shape[-1:]
    white = torch.randn(films, *lateral, generator=generator, dtype=torch.float64)
    longest = min(lateral) * grid.spacing / 4
    heights = morphology.gaussian_heights(
        white,
        _uniform(generator, ranges.film_thickness, (films,)),
        _log_uniform(generator, ranges.film_roughness, (films,)),
        _log_uniform(generator, (min(grid.interface_width, longest), longest), (films,)),
        grid.spacing,
        dimensions=dimensions,
    )
    film = morphology.film(heights.clamp(min=0), grid.shape[-2], grid.interface_width, grid.spacing, dimensions)
    return transition.initial_state(torch.cat([nuclei, film]), dimensions)


def _currents(
    source: Source,
    state: transition.State,
    parameters: transition.Parameters,
    duration: float,
    generator: torch.Generator,
) -> Tensor:
    """Current of each frame and particle (frame, particle) [A/m²]."""
    frames, ranges, grid = source.frames, source.ranges, source.grid
    batch = (len(state.base_thickness),)
    charge = torch.as_tensor(parameters.charge_per_volume, dtype=torch.float64)
    turn = (frames * _uniform(generator, (0.45, 0.6), batch)).round()
    low, high = ranges.current_density
    rate = _log_uniform(generator, (low, high), batch)
    rate = torch.minimum(rate, FILLING * grid.height * charge / (turn * duration))
    working = torch.rand(frames, *batch, generator=generator) > 0.1
    plating = (torch.arange(frames)[:, None] < turn) & working
    stripping = (torch.arange(frames)[:, None] >= turn) & working
    before = thickness(state.order_parameter, grid.interface)
    full = before + rate * plating.sum(0) * duration / charge
    left = _uniform(generator, ranges.remaining, batch) * full
    # a film no thicker than its interface is no film
    covered = (state.order_parameter[..., 0, :] > 0.5).flatten(1).all(-1)
    left = torch.where(covered, left.clamp(min=THINNEST_FILM * grid.interface_width), left)
    off = (full - left).clamp(min=0) * charge
    back = torch.minimum(off / (stripping.sum(0).clamp(min=1) * duration), torch.full_like(off, high))
    return back * stripping - rate * plating


def _uniform(generator: torch.Generator, limits: tuple[float, float], shape: tuple[int, ...]) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator, dtype=torch.float64)


def _log_uniform(generator: torch.Generator, limits: tuple[float, float], shape: tuple[int, ...]) -> Tensor:
    return torch.exp(_uniform(generator, (math.log(limits[0]), math.log(limits[1])), shape))


def card_ranges(source: Source) -> Mapping[str, tuple[float, float]]:
    """Ranges of a model card: of what the trajectories differ in and of what they share [SI]."""
    metal, grid, ranges = source.metal, source.grid, source.ranges
    return {
        "surface_energy": ranges.surface_energy,
        "exchange_current_density": ranges.exchange_current_density,
        "noise_amplitude": ranges.noise_amplitude,
        "duration": ranges.duration,
        "current_density": (-ranges.current_density[1], ranges.current_density[1]),
        "transfer_coefficient": (metal.transfer_coefficient,) * 2,
        "anisotropy_strength": (metal.anisotropy_strength,) * 2,
        "temperature": (source.electrolyte.temperature,) * 2,
        "interface_width": (grid.interface_width,) * 2,
    }
