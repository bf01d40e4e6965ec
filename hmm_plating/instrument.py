"""What the crystal reports besides the surface: the terms of an EQCM-D recording that are linear, given the surface.

An observation is, for each overtone n,

    Δf_n/n = Σ_j θ_jn x_j + Σ_k I_kn − s m + noise,        ΔD_n = Σ_j θ_jn x_j + Σ_k I_kn + noise,
    dI_kn = θ_kn dx_k − I_kn |dx_k|/μ_k,                     dm = |j| (r − m/q) dt.

The regressors x_j are known at each step: the shift that the surface itself causes (its coefficient is the mass
sensitivity of the overtone, about 1), the charge that has flowed without making metal (it leaves a rigid layer), the
recorded potential (adsorption and charging), the current seen through first-order lags (the electrolyte at the
electrode follows the current slowly) and 1 (the baseline). The integrals are the errors of what is computed for one
small box: the crystal feels many such boxes, so what the surface changes by is known only up to a factor that wanders,
while what does not change keeps the error that it has. A surface that has changed by μ is another one, and what is
stripped takes its error with it, so the integral forgets over μ. m is a rigid side mass whose rate per charge, r,
wanders; it forgets over the charge q. Without forgetting both would be random walks, and a forecast over a plating and
its stripping would have the width of all errors since. All coefficients are Gaussian a priori, wander as
Ornstein–Uhlenbeck processes and are correlated across overtones, so that a Kalman filter marginalises them exactly
(Doucet, de Freitas, Murphy and Russell, UAI 2000: Rao–Blackwellised particle filter).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.forgetful_integral import forgetful_integral
from hmm_plating.materials import Resonator

CLOCK = "clock"  # name of the term of `clock_term`


class Drive(NamedTuple):
    """What the potentiostat imposed and recorded up to the end of one filter step; scalar tensors but the last.

    Attributes:
        duration: length of the step [s].
        current_density: mean over the step [A/m²], plating negative.
        charge_density: since the start of the recording [C/m²].
        passed_charge: charge that has flowed either way since then, ∫|j| dt [C/m²].
        potential: [V].
        lagged_current: the current density behind first-order lags, one per time constant, shape (lags,) [A/m²].
    """

    duration: Tensor
    current_density: Tensor
    charge_density: Tensor
    passed_charge: Tensor
    potential: Tensor
    lagged_current: Tensor


class SurfaceShift(NamedTuple):
    """Shifts that the metal alone causes, against the bare crystal in the same liquid.

    Attributes:
        frequency: Δf_n/n of the surface [Hz], shape (..., overtones).
        dissipation: ΔD_n of the surface [1], same shape.
        side_layer: Δf_n/n of a rigid layer that holds the side charge at the metal's mass per charge [Hz], shape
            (..., 1).
        frequency_rate: by how much `frequency` changes per second over the step [Hz/s], same shape.
    """

    frequency: Tensor
    dissipation: Tensor
    side_layer: Tensor
    frequency_rate: Tensor = torch.zeros((), dtype=torch.float64)


@dataclass(frozen=True)
class LinearTerm:
    """One regressor and the prior of its coefficients, one coefficient per overtone.

    Attributes:
        name: for reports.
        channel: "frequency" (the coefficient refers to Δf_n/n [Hz]) or "dissipation" (to ΔD_n).
        standard_deviation: of the coefficient a priori, in channel units per unit of the regressor.
        correlation_time: of its Ornstein–Uhlenbeck process [s]; math.inf keeps it constant.
        regressor: from (surface shift, drive) to a tensor or number that broadcasts against (..., overtones).
        mean: of the coefficient a priori.
        common, smooth, independent: how alike overtones are, see `overtone_covariance`.
        accumulated: the coefficient weighs the changes of the regressor, ∫ θ dx, instead of its value, θ x.
        memory: μ, change of the regressor over which that integral falls to 1/e [its unit]; math.inf keeps it.
    """

    name: str
    channel: str
    standard_deviation: float
    correlation_time: float
    regressor: Callable[[SurfaceShift, Drive], Tensor | float]
    mean: float = 0.0
    common: float = 1.0
    smooth: float = 0.3
    independent: float = 3e-4
    accumulated: bool = False
    memory: float = math.inf

    def __post_init__(self) -> None:
        if self.channel not in ("frequency", "dissipation"):
            raise InputError(
                f"LinearTerm {self.name!r}: channel must be 'frequency' or 'dissipation', got {self.channel!r}"
            )
        if not (self.standard_deviation >= 0 and self.correlation_time > 0):
            raise InputError(f"LinearTerm {self.name!r}: standard_deviation must be ≥ 0 and correlation_time > 0")
        if not self.memory > 0:
            raise InputError(f"LinearTerm {self.name!r}: memory must be positive, got {self.memory!r}")


def clock_term(standard_deviation: float) -> LinearTerm:
    """What is left of an error of the clock offset [s], inferred with the rest: Δf_n/n − ε d(Δf_n/n)/dt.

    ε comes on top of the recording's `clock_offset` (t_QCM = t_potentiostat + offset + ε), is the same for all
    overtones and constant. To first order in ε, and in a step in which the current turns around by the rate over the
    step itself: right for some tenths of a step. The recording's `clock_offset_uncertainty` is a standard deviation to
    give.
    """
    return LinearTerm(
        CLOCK,
        "frequency",
        standard_deviation,
        math.inf,
        lambda surface, drive: -torch.as_tensor(surface.frequency_rate),
        smooth=0.0,
        independent=0.0,
    )


def overtone_covariance(overtones: Sequence[int], common: float, smooth: float, independent: float) -> Tensor:
    """Correlation matrix of a term's coefficients across overtones, shape (overtones, overtones).

    A part shared by all overtones, a smooth part (squared exponential in ln n with length 0.7, about the distance
    between neighbouring low overtones) and a part that each overtone has for itself, in the given proportions.
    """
    position = torch.log(torch.as_tensor(overtones, dtype=torch.float64))
    similarity = torch.exp(-0.5 * ((position[:, None] - position) / 0.7) ** 2)
    eye = torch.eye(len(position), dtype=torch.float64)
    return (common + smooth * similarity + independent * eye) / (common + smooth + independent)


class LinearGaussianState(NamedTuple):
    """Gaussian belief about coefficients, integrals, side mass and its rate: (..., k) and (..., k, k)."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class InstrumentResponse:
    """The linear-Gaussian part of the emission.

    Attributes:
        terms: regressors and priors.
        side_mass_deviation: standard deviation of the rigid side mass at the start [kg/m²].
        side_mass_rate_deviation: stationary standard deviation of its rate, per charge that flows [kg/C].
        side_mass_rate_time: correlation time of that rate [s].
        side_mass_memory: q, charge over which the side mass falls to 1/e [C/m²]; math.inf keeps it.
        lag_times: time constants of `Drive.lagged_current` [s].
    """

    terms: tuple[LinearTerm, ...]
    side_mass_deviation: float
    side_mass_rate_deviation: float
    side_mass_rate_time: float
    lag_times: tuple[float, ...]
    side_mass_memory: float = math.inf

    @property
    def accumulated(self) -> tuple[LinearTerm, ...]:
        """The terms ∫ θ dx."""
        return tuple(term for term in self.terms if term.accumulated)

    @property
    def has_clock_term(self) -> bool:
        """Whether the clock's error is inferred."""
        return any(term.name == CLOCK for term in self.terms)

    def clock_error(self, state: LinearGaussianState, overtones: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the clock's error [s], where there is a `clock_term`."""
        place = [term.name for term in self.terms].index(CLOCK) * len(overtones)
        return state.mean[..., place], state.covariance[..., place, place].clamp(min=0).sqrt()

    def initial(self, overtones: Sequence[int]) -> LinearGaussianState:
        """Prior belief, shapes (k,) and (k, k) with k = (terms + accumulated terms) · overtones + 2."""
        count = len(overtones)
        blocks = [
            term.standard_deviation**2 * overtone_covariance(overtones, term.common, term.smooth, term.independent)
            for term in self.terms
        ]
        integrals = torch.zeros(len(self.accumulated) * count, dtype=torch.float64)
        side = torch.tensor([self.side_mass_deviation**2, self.side_mass_rate_deviation**2], dtype=torch.float64)
        means = torch.tensor([term.mean for term in self.terms], dtype=torch.float64).repeat_interleave(count)
        return LinearGaussianState(
            torch.cat([means, integrals, torch.zeros(2, dtype=torch.float64)]),
            torch.block_diag(*blocks, torch.diag(integrals), torch.diag(side)),
        )

    def accumulated_regressors(self, overtones: Sequence[int], surface: SurfaceShift, drive: Drive) -> Tensor:
        """x of the accumulated terms, shape (..., accumulated terms, overtones)."""
        *batch, count = surface.frequency.shape
        values = [
            torch.as_tensor(term.regressor(surface, drive), dtype=torch.float64).expand(*batch, count)
            for term in self.accumulated
        ]
        return torch.stack(values, -2) if values else torch.empty(*batch, 0, count, dtype=torch.float64)

    def dynamics(
        self, overtones: Sequence[int], drive: Drive, change: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Matrix A, offset a and process covariance Q of one step, state ← A state + a + N(0, Q).

        `change` of the accumulated regressors over the step, (..., accumulated terms, overtones), gives A, a and Q its
        leading dimensions; None stands for no change.
        """
        duration, count = float(drive.duration), len(overtones)
        prior = self.initial(overtones)
        if change is None:
            change = torch.zeros(len(self.accumulated), count, dtype=torch.float64)
        times = torch.tensor([term.correlation_time for term in self.terms], dtype=torch.float64)
        fixed = torch.ones(len(self.accumulated) * count + 1, dtype=torch.float64)
        rate = torch.tensor([math.exp(-duration / self.side_mass_rate_time)], dtype=torch.float64)
        diagonal = torch.cat([torch.exp(-duration / times).repeat_interleave(count), fixed, rate])
        transition = torch.diag(diagonal).expand(*change.shape[:-2], -1, -1).clone()
        offset = ((1 - diagonal) * prior.mean).expand(*change.shape[:-2], -1).clone()
        process = (1 - diagonal[:, None] * diagonal) * prior.covariance
        process = process.expand(*change.shape[:-2], -1, -1).clone()
        positions = [index for index, term in enumerate(self.terms) if term.accumulated]
        for number, index in enumerate(positions):
            own = slice(index * count, (index + 1) * count)
            total = slice((len(self.terms) + number) * count, (len(self.terms) + number + 1) * count)
            term, dx, covariance = self.terms[index], change[..., number, :], prior.covariance[own, own]
            part = forgetful_integral(duration / term.correlation_time, dx.abs() / term.memory)
            transition[..., total, total] = torch.diag_embed(part.kept)
            transition[..., total, own] = torch.diag_embed(part.gain * dx)
            offset[..., total] = part.pull * dx * prior.mean[own]
            process[..., total, total] = _outer(part.root * dx[..., None]) * covariance
            process[..., total, own] = (part.covariance * dx)[..., :, None] * covariance
            process[..., own, total] = process[..., total, own].mT
        flow = torch.abs(drive.current_density) * duration
        part = forgetful_integral(duration / self.side_mass_rate_time, flow / self.side_mass_memory)
        deviation = self.side_mass_rate_deviation
        transition[..., -2, -2], transition[..., -2, -1] = part.kept, part.gain * flow
        process[..., -2, -2] = deviation**2 * _outer(part.root[None] * flow)[0, 0]
        process[..., -2, -1] = process[..., -1, -2] = deviation**2 * part.covariance * flow
        return transition, offset, process

    def observation_matrix(
        self, overtones: Sequence[int], resonator: Resonator, surface: SurfaceShift, drive: Drive
    ) -> Tensor:
        """Matrix from the linear state to (Δf_n …, ΔD_n …), shape (..., 2 · overtones, k)."""
        order = torch.as_tensor(overtones, dtype=torch.float64)
        *batch, count = surface.frequency.shape
        size = (len(self.terms) + len(self.accumulated)) * count + 2
        matrix = torch.zeros(*batch, 2 * count, size, dtype=torch.float64)
        diagonal = torch.arange(count)
        weights = {"frequency": order, "dissipation": torch.ones_like(order)}
        first_row = {"frequency": 0, "dissipation": count}
        integral = len(self.terms) * count
        for index, term in enumerate(self.terms):
            value, column = weights[term.channel], index * count
            if term.accumulated:
                column, integral = integral, integral + count
            else:
                value = value * torch.as_tensor(term.regressor(surface, drive), dtype=torch.float64)
            matrix[..., diagonal + first_row[term.channel], column + diagonal] = value.expand(*batch, count)
        matrix[..., :count, -2] = -order * sauerbrey_sensitivity(resonator)
        return matrix


def _outer(root: Tensor) -> Tensor:
    """root rootᵀ, symmetric to the last bit."""
    product = root @ root.mT
    return 0.5 * (product + product.mT)


def sauerbrey_sensitivity(resonator: Resonator) -> float:
    """−Δf_n/n per rigid areal mass, 2 f0²/Z_q [Hz m²/kg] (Sauerbrey, Z. Phys. 155 (1959) 206)."""
    return 2 * resonator.fundamental_frequency**2 / resonator.impedance


def lagged(current_density: Tensor, duration: float, times: Sequence[float], previous: Tensor | None = None) -> Tensor:
    """A series of mean current densities (time,) behind first-order lags, shape (time, lags) [A/m²].

    `previous` (lags,) is what came before the series; default no current.
    """
    response = torch.zeros(len(current_density), len(times), dtype=torch.float64)
    retained = torch.exp(-duration / torch.as_tensor(times, dtype=torch.float64))
    previous = torch.zeros(len(times), dtype=torch.float64) if previous is None else previous
    for step, current in enumerate(current_density):
        previous = retained * previous + (1 - retained) * current
        response[step] = previous
    return response
