"""The hidden Markov model of plating as a Pyro program.

Hidden state X_t: the morphology, its drifting parameters and a Gaussian belief about all that is linear given the
morphology. Transition: one phase-field step driven by the recorded current. Emission: the frequency-domain lattice
Boltzmann load of the surface, seen through the instrument's linear response, which is marginalised exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
import xarray as xr
from pyro.contrib.autoname import scope
from torch import Tensor

from hmm_plating import morphology, transition
from hmm_plating.errors import InputError
from hmm_plating.grid import Grid
from hmm_plating.inference import LinearPart, observe_linear, start_linear
from hmm_plating.instrument import Drive, InstrumentResponse, LinearGaussianState, SurfaceShift
from hmm_plating.materials import Electrolyte, Metal, Resonator
from hmm_plating.recording import require_viscosity, viscosity_from_air
from hmm_plating.surface_load import SurfaceLoad, Surrogate
from hmm_plating.wandering import Wandering

State = MutableMapping[str, Tensor]

NO_METAL = 1e-12  # current efficiency of a step whose whole charge goes into the wetting layer
CANDIDATE_NUCLEI = {2: 64, 3: 4096}  # sites drawn per nucleation, by dimension; a section holds a few

DEFAULT_PARAMETERS: Mapping[str, float | None] = {  # None: the metal's own
    "nucleation_density": 1 / 250e-9**2,
    "nucleation_regularity": 1.0,
    "nucleus_radius": 20e-9,
    "nucleus_radius_spread": 0.2,
    "wetting_charge": 0.0,
    "current_efficiency": 1.0,
    "exchange_current_density": None,
    "anisotropy_strength": None,
    "noise_amplitude": 1.0,
}


@dataclass(frozen=True)
class PlatingModel:
    """Phase field, emission and instrument of one experiment, as a model for `hmm_plating.inference.ParticleFilter`.

    `init(state)` and `step(state, observation, drive)` are Pyro programs in the form that `pyro.infer.SMCFilter`
    expects; `model(observations, drives)` runs them over a whole recording, for notebooks and variational inference.
    `grow(state, current_density, duration)` is the part of a step before the observation: the surface alone. With a
    surrogate, `move`, `first_guess` and `observe` are the parts that `hmm_plating.inference.TwoStage` asks for.
    An observation holds (Δf_n …, ΔD_n …) [Hz, 1], NaN where missing or withheld.

    Attributes:
        metal, electrolyte, resonator: materials.
        overtones: odd orders n.
        grid: of the phase field.
        parameters: priors of nucleation_density [1/m²], nucleation_regularity (Weibull shape of the nuclei's
            distances: 1 Poisson, larger more even), nucleus_radius [m] and nucleus_radius_spread (of the log-normal
            radii), wetting_charge [C/m²] (of the layer, by underpotential deposition or alloying, that
            covers a bare crystal before nuclei form; part of the side charge), current_efficiency,
            exchange_current_density [A/m²], anisotropy_strength and noise_amplitude; a number fixes a parameter.
            Missing ones take the metal's value or their default.
        instrument: linear response.
        frequency_noise, dissipation_noise: standard deviation of an observation, one per overtone [Hz, 1].
        transport: of the cation from the bulk, which sets the concentration overpotential and Sand's time; None where
            it never lacks.
        load_tolerance: relative error of the roughness part of the load at which the solver may stop.
        transition_step: moves the surface, `transition.step` or an emulator of it; of one that leaves some surfaces to
            the simulated step (`transition.CheckedStep`), `simulated_step` is reported.
        morphology_interval: steps between recorded pictures of the surface.
        surrogate: stand-in for the emission's solver in `first_guess`.
    """

    metal: Metal
    electrolyte: Electrolyte
    resonator: Resonator
    overtones: tuple[int, ...]
    grid: Grid
    parameters: Mapping[str, Wandering | float]
    instrument: InstrumentResponse
    frequency_noise: tuple[float, ...]
    dissipation_noise: tuple[float, ...]
    transport: transition.Transport | None = None
    load_tolerance: float = 1e-2
    transition_step: transition.Step = transition.step
    morphology_interval: int = 5
    surrogate: Surrogate | None = None

    def __post_init__(self) -> None:
        unknown = set(self.parameters) - set(DEFAULT_PARAMETERS)
        if unknown:
            raise InputError(
                f"PlatingModel.parameters: unknown {', '.join(sorted(unknown))}; known: {', '.join(DEFAULT_PARAMETERS)}"
            )
        for name in ("frequency_noise", "dissipation_noise"):
            values = getattr(self, name)
            if len(values) != len(self.overtones) or not all(value > 0 for value in values):
                raise InputError(f"PlatingModel.{name} needs one positive value per overtone, got {values!r}")

    @classmethod
    def for_recording(
        cls,
        recording: xr.Dataset,
        *,
        metal: Metal,
        density: float,
        viscosity: float,
        grid: Grid,
        parameters: Mapping[str, Wandering | float],
        instrument: InstrumentResponse,
        transport: transition.Transport | None = None,
    ) -> PlatingModel:
        """Model with the overtones, noise and crystal of a resampled recording.

        `viscosity` [Pa s] is used where the recording has no step from air to liquid, which tells it (Kanazawa and
        Gordon); `density` [kg/m³] is the electrolyte's.
        """
        resonator = Resonator(recording.attrs["fundamental_frequency"])
        if "air_to_liquid_frequency_shift" in recording:
            electrolyte = Electrolyte(density, viscosity_from_air(recording, density, resonator).value)
        else:
            electrolyte = Electrolyte(density, viscosity)
            require_viscosity(recording, electrolyte, resonator)
        return cls(
            metal=metal,
            electrolyte=electrolyte,
            resonator=resonator,
            overtones=tuple(int(n) for n in recording["overtone"].values),
            grid=grid,
            parameters=parameters,
            instrument=instrument,
            frequency_noise=tuple(recording["frequency_shift_noise"].values.tolist()),
            dissipation_noise=tuple(recording["dissipation_shift_noise"].values.tolist()),
            transport=transport,
        )

    def init(self, state: State) -> None:
        """Draw the parameters and put a bare crystal into `state`."""
        thickness = pyro.sample("thickness", dist.Delta(torch.tensor(0.0, dtype=torch.float64)))
        batch = thickness.shape  # that of the plate of particles
        for name, parameter in self._wandering().items():
            state[f"latent_{name}"] = parameter.init(name)
        bare = torch.zeros(*batch, *self.grid.shape, dtype=torch.float64)
        surface = transition.initial_state(bare, self.grid.dimensions)
        state.update(surface._asdict())
        start_linear(state, "coefficient", *self.instrument.initial(self.overtones), tuple(batch))
        accumulated = (len(self.instrument.accumulated), len(self.overtones))
        state["accumulated_regressors"] = torch.zeros(*batch, *accumulated, dtype=torch.float64)
        state["wetting"] = torch.zeros(batch, dtype=torch.float64)
        if self.surrogate is not None:
            state["surrogate_error"] = torch.ones(*batch, len(self.overtones), dtype=torch.complex128)
        state["step"] = torch.zeros(batch, dtype=torch.int64)

    def step(self, state: State, observation: Tensor | None, drive: Drive) -> Tensor:
        """Advance by one step under `drive` and observe; `observation` None draws one. Returns the observation."""
        self.move(state, observation, drive)
        return self.observe(state, observation, drive)

    def move(self, state: State, observation: Tensor | None, drive: Drive) -> None:
        """Draw everything that a step draws: `grow` under `drive`."""
        self.grow(state, float(drive.current_density), float(drive.duration))

    def observe(self, state: State, observation: Tensor | None, drive: Drive) -> Tensor:
        """Score the observation of the surface in `state`, by the true solver, and advance the instrument's belief."""
        surface, emitted = self.surface(state), self.surface_load
        fraction = emitted.solid_fraction(surface.order_parameter)
        load, liquid = emitted.solve(fraction, state.get("liquid"))
        guessed = state.pop("surrogate_excess", None)
        if guessed is not None:
            state["surrogate_error"] = emitted.surrogate_error(load, guessed, fraction)
        shift = self._with_rate(emitted.shift(surface, fraction, load), state, drive)
        y = self._observe(state, observation, self._linear_part(state, shift, drive))
        state.update(
            liquid=liquid,
            surface_frequency_shift=shift.frequency * torch.as_tensor(self.overtones),
            surface_dissipation_shift=shift.dissipation,
        )
        return y

    def first_guess(self, state: State, observation: Tensor | None, drive: Drive) -> None:
        """Score the observation by the surrogate, and by the true solver where the surrogate is not to be trusted.

        A surface errs as its ancestor did one step before, so the excess is multiplied by the ratio found there.
        Leaves `surrogate_excess` for `observe` and `corrected_at_once` for the filter's record.
        """
        if self.surrogate is None:
            raise InputError("PlatingModel.first_guess needs a surrogate of the emission")
        surface, emitted = self.surface(state), self.surface_load
        fraction = emitted.solid_fraction(surface.order_parameter)
        flat = emitted.flat(fraction)
        guessed, trusted = self.surrogate.guess(fraction, *emitted.surroundings, self.metal)
        excess, doubtful = guessed - flat, ~trusted
        load = flat + excess * state["surrogate_error"]
        if bool(doubtful.any()):
            liquid = state["liquid"][doubtful] if "liquid" in state else None
            load[doubtful] = emitted.solve(fraction[doubtful], liquid)[0]
        shift = self._with_rate(emitted.shift(surface, fraction, load), state, drive)
        part = self._linear_part(dict(state), shift, drive)
        self._observe(dict(state), observation, part)
        state.update(surrogate_excess=excess, corrected_at_once=doubtful)

    def _with_rate(self, shift: SurfaceShift, state: Mapping[str, Tensor], drive: Drive) -> SurfaceShift:
        """With the change since the last observed step, which `state` holds."""
        before = state.get("surface_frequency_shift", torch.zeros(len(self.overtones), dtype=torch.float64))
        change = shift.frequency - before / torch.as_tensor(self.overtones)
        return shift._replace(frequency_rate=change / drive.duration)

    def grow(self, state: State, current_density: float, duration: float) -> None:
        """Advance parameters and surface by one step [A/m², s], nuclei and wetting included, and observe nothing."""
        for name, parameter in self._wandering().items():
            state[f"latent_{name}"] = parameter.step(name, state[f"latent_{name}"], duration)
        state.update(self._plate(state, current_density, duration)._asdict(), step=state["step"] + 1)

    def surface(self, state: Mapping[str, Tensor]) -> transition.State:
        """The surface in a state."""
        return transition.State(*(state[name] for name in transition.State._fields))

    def __call__(self, observations: Tensor | None, drives: Drive) -> Tensor:
        """The whole recording as one Pyro program: `observations` (time, 2 · overtones) or None to draw them."""
        state: dict[str, Tensor] = {}
        self.init(state)
        observed = []
        for t in range(len(drives.duration)):
            with scope(prefix=f"step_{t + 1}"):
                drive = Drive(*(series[t] for series in drives))
                observed.append(self.step(state, None if observations is None else observations[t], drive))
        return torch.stack(observed, dim=-2)

    def _wandering(self) -> dict[str, Wandering]:
        return {name: value for name, value in self.parameters.items() if isinstance(value, Wandering)}

    def parameter(self, state: Mapping[str, Tensor], name: str) -> Tensor | float:
        """Present value of a parameter: a tensor per particle where it wanders, else its number."""
        value = self.parameters.get(name, DEFAULT_PARAMETERS[name])
        if isinstance(value, Wandering):
            return value.value(state[f"latent_{name}"])
        return getattr(self.metal, name) if value is None else value

    def _plate(self, state: State, current: float, duration: float) -> transition.State:
        """Nucleate on bare crystals that plate, then advance the phase field by one step."""
        surface, grid = self.surface(state), self.grid
        standard = dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
        unit = dist.Uniform(torch.tensor(0.0, dtype=torch.float64), 1.0)
        candidates = [CANDIDATE_NUCLEI[grid.dimensions]]
        position = pyro.sample("nucleus_position", unit.expand(candidates).to_event(1))
        across = pyro.sample("nucleus_across", unit.expand(candidates).to_event(1)) if grid.dimensions == 3 else None
        size = pyro.sample("nucleus_size", standard.expand(candidates).to_event(1))
        noise = pyro.sample("interface_noise", standard.expand(grid.shape).to_event(grid.dimensions))
        cells = tuple(range(-grid.dimensions, 0))
        bare = ~(surface.order_parameter > 0.5).any(cells) & (surface.base_thickness == 0)
        wetting, free = self._wet(state, bare, -current * duration)
        parameters = transition.Parameters.from_materials(
            self.metal,
            self.electrolyte,
            grid.interface,
            exchange_current_density=self.parameter(state, "exchange_current_density"),
            anisotropy_strength=self.parameter(state, "anisotropy_strength"),
            current_efficiency=torch.where(free > 0, free * self.parameter(state, "current_efficiency"), NO_METAL),
            noise_amplitude=self.parameter(state, "noise_amplitude"),
            transport=self.transport,
        )
        nucleating = bare & (current < 0) & (free > 0)
        if bool(nucleating.any()):
            density = torch.as_tensor(self.parameter(state, "nucleation_density"))
            nuclei = morphology.nuclei(
                1 - position,
                size,
                density if grid.dimensions == 3 else density.sqrt(),
                self.parameter(state, "nucleus_radius"),
                self.parameter(state, "nucleus_radius_spread"),
                grid.shape,
                grid.interface_width,
                grid.spacing,
                across,
                self.parameter(state, "nucleation_regularity"),
            )
            placed = nuclei * nucleating[(..., *(None,) * grid.dimensions)]
            surface = transition.add_metal(surface, placed, parameters)
        state["wetting"] = wetting
        if isinstance(self.transition_step, transition.CheckedStep):
            surface, simulated = self.transition_step.checked(surface, current, duration, noise, parameters)
            state["simulated_step"] = simulated
            return surface
        return self.transition_step(surface, current, duration, noise, parameters)

    def _wet(self, state: State, bare: Tensor, cathodic_charge: float) -> tuple[Tensor, Tensor]:
        """Charge of the wetting layer after the step [C/m²], and the part of the step's charge left for metal."""
        before = state["wetting"]
        if cathodic_charge == 0:
            return before, torch.ones_like(before)
        capacity = torch.as_tensor(self.parameter(state, "wetting_charge"), dtype=before.dtype)
        after = torch.where(bare, (before + cathodic_charge).clamp(min=0).minimum(capacity), before)
        return after, (1 - (after - before).clamp(min=0) / abs(cathodic_charge)).clamp(0, 1)

    def surface_shift(self, surface: transition.State) -> SurfaceShift:
        """Shifts of the surface against the bare crystal in the same liquid, shapes (..., overtones) and (..., 1)."""
        fraction = self.surface_load.solid_fraction(surface.order_parameter)
        return self.surface_load.shift(surface, fraction, self.surface_load.solve(fraction, None)[0])

    @property
    def surface_load(self) -> SurfaceLoad:
        """What the crystal feels of a surface in the box."""
        return SurfaceLoad(self.grid, self.metal, self.electrolyte, self.resonator, self.overtones, self.load_tolerance)

    def _observe(self, state: State, observation: Tensor | None, part: LinearPart) -> Tensor:
        """Advance the belief about the response and score the observation, or draw one."""
        return observe_linear(state, "coefficient", "observation", observation, part)

    def _linear_part(self, state: State, shift: SurfaceShift, drive: Drive) -> LinearPart:
        """The instrument's response over this step, whose accumulated regressors are kept in the state."""
        regressors = self.instrument.accumulated_regressors(self.overtones, shift, drive)
        change = regressors - state["accumulated_regressors"]
        state["accumulated_regressors"] = regressors
        transition_matrix, offset, process = self.instrument.dynamics(self.overtones, drive, change)
        matrix = self.instrument.observation_matrix(self.overtones, self.resonator, shift, drive)
        noise = torch.diag(torch.tensor([*self.frequency_noise, *self.dissipation_noise], dtype=torch.float64) ** 2)
        return LinearPart(transition_matrix, process, matrix, noise, offset)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions after `time` of what is reported."""
        per_overtone = ("frequency_shift", "dissipation_shift", "surface_frequency_shift", "surface_dissipation_shift")
        return {"morphology": tuple("zyx"[-self.grid.dimensions :]), **dict.fromkeys(per_overtone, ("overtone",))}

    @property
    def coords(self) -> dict[str, list[float] | list[int]]:
        """Coordinates of `dims` [m] and the overtones."""
        cell = self.grid.spacing * self.grid.coarsening
        axes = {
            axis: [(index + 0.5) * cell for index in range(count // self.grid.coarsening)]
            for axis, count in zip("zyx"[-self.grid.dimensions :], self.grid.shape, strict=True)
        }
        return {**axes, "overtone": list(self.overtones)}

    def describe(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Numbers that a state's surface has, and the present values of parameters that wander (...,) [SI]."""
        xi, base = state["order_parameter"], state["base_thickness"]
        spacing, dimensions = self.grid.spacing, self.grid.dimensions
        described = {
            "thickness": morphology.thickness(xi, spacing, base, dimensions),
            "roughness": morphology.roughness(xi, spacing, dimensions),
            "solid_volume_fraction": morphology.solid_volume_fraction(xi, spacing, base, dimensions),
            "coverage": morphology.coverage(xi, base, dimensions),
            "dendrite_height": morphology.dendrite_height(xi, spacing, dimensions),
            "base_thickness": base,
            "overpotential": state["overpotential"],
            "side_charge": state["side_charge"],
        }
        if self.transport is not None:
            described["surface_concentration"] = state["diffusion_layer"][..., 0]
        return described | {name: torch.as_tensor(self.parameter(state, name)) for name in self._wandering()}

    def report(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is recorded of a state, particles leading [SI]; the surface's picture only every few steps."""
        reported = self.describe(state) | {
            "side_mass": state["coefficient_mean"][..., -2],
            "surface_frequency_shift": state["surface_frequency_shift"],
            "surface_dissipation_shift": state["surface_dissipation_shift"],
        }
        if "simulated_step" in state:
            reported["simulated_step"] = state["simulated_step"].double()
        if self.instrument.has_clock_term:
            belief = LinearGaussianState(state["coefficient_mean"], state["coefficient_covariance"])
            mean, deviation = self.instrument.clock_error(belief, self.overtones)
            reported |= {"clock_error": mean, "clock_error_deviation": deviation}
        if int(state["step"][0]) % self.morphology_interval == 0:
            reported["morphology"] = self.surface_load.solid_fraction(state["order_parameter"]).float()
        return reported

    def report_predictive(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Split the observation into Δf_n and ΔD_n."""
        frequency, dissipation = draws["observation"].chunk(2, dim=-1)
        return {"frequency_shift": frequency, "dissipation_shift": dissipation}
