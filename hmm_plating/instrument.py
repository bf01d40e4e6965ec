"""What the crystal reports besides the surface: the terms of an EQCM-D recording that are linear, given the surface.

An observation is, for each overtone n,

    Δf_n = Σ_j θ_jn x_j(t) + n s m(t) + noise,        ΔD_n = Σ_j θ_jn x_j(t) + noise.

The regressors x_j are known at each step: the shift that the surface itself causes (its coefficient is the mass
sensitivity of the overtone, about 1), the charge that has flowed without making metal (it leaves a rigid layer), the
recorded potential (adsorption and charging), the current seen through first-order lags (the electrolyte at the
electrode follows the current slowly) and 1 (the baseline). m is a rigid side mass whose rate wanders. All coefficients
are Gaussian a priori, wander as Ornstein–Uhlenbeck processes and are correlated across overtones, so that a Kalman
filter marginalises them exactly (Doucet, de Freitas, Murphy and Russell, UAI 2000: Rao–Blackwellised particle filter).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.materials import Resonator


class Drive(NamedTuple):
    """What the potentiostat imposed and recorded up to the end of one filter step; scalar tensors but the last.

    Attributes:
        duration: length of the step [s].
        current_density: mean over the step [A/m²], plating negative.
        charge_density: since the start of the recording [C/m²].
        potential: [V].
        lagged_current: the current density behind first-order lags, one per time constant, shape (lags,) [A/m²].
    """

    duration: Tensor
    current_density: Tensor
    charge_density: Tensor
    potential: Tensor
    lagged_current: Tensor


class SurfaceShift(NamedTuple):
    """Shifts that the metal alone causes, against the bare crystal in the same liquid.

    Attributes:
        frequency: Δf_n/n of the surface [Hz], shape (..., overtones).
        dissipation: ΔD_n of the surface [1], same shape.
        side_layer: Δf_n/n of a rigid layer that holds the side charge at the metal's mass per charge [Hz], shape
            (..., 1).
    """

    frequency: Tensor
    dissipation: Tensor
    side_layer: Tensor


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

    def __post_init__(self) -> None:
        if self.channel not in ("frequency", "dissipation"):
            raise InputError(
                f"LinearTerm {self.name!r}: channel must be 'frequency' or 'dissipation', got {self.channel!r}"
            )
        if not (self.standard_deviation >= 0 and self.correlation_time > 0):
            raise InputError(f"LinearTerm {self.name!r}: standard_deviation must be ≥ 0 and correlation_time > 0")


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
    """Gaussian belief about the coefficients, the side mass and its rate: (..., k) and (..., k, k)."""

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
        lag_times: time constants of `Drive.lagged_current` [s].
    """

    terms: tuple[LinearTerm, ...]
    side_mass_deviation: float
    side_mass_rate_deviation: float
    side_mass_rate_time: float
    lag_times: tuple[float, ...]

    def initial(self, overtones: Sequence[int]) -> LinearGaussianState:
        """Prior belief, shapes (k,) and (k, k) with k = terms · overtones + 2."""
        blocks = [
            term.standard_deviation**2 * overtone_covariance(overtones, term.common, term.smooth, term.independent)
            for term in self.terms
        ]
        rate = torch.tensor([[self.side_mass_rate_deviation**2]], dtype=torch.float64)
        mass = torch.tensor([[self.side_mass_deviation**2]], dtype=torch.float64)
        mean = torch.zeros(len(self.terms) * len(overtones) + 2, dtype=torch.float64)
        for index, term in enumerate(self.terms):
            mean[index * len(overtones) : (index + 1) * len(overtones)] = term.mean
        return LinearGaussianState(mean, torch.block_diag(*blocks, mass, rate))

    def dynamics(self, overtones: Sequence[int], drive: Drive) -> tuple[Tensor, Tensor, Tensor]:
        """Matrix A, offset a and process covariance Q of one step, state ← A state + a + N(0, Q)."""
        duration = float(drive.duration)
        prior = self.initial(overtones)
        retained = [
            torch.full((len(overtones),), math.exp(-duration / term.correlation_time), dtype=torch.float64)
            for term in self.terms
        ]
        lost = -math.expm1(-duration / self.side_mass_rate_time)  # of the rate's memory
        flow = abs(float(drive.current_density)) * self.side_mass_rate_time
        diagonal = torch.cat([*retained, torch.tensor([1.0, 1 - lost], dtype=torch.float64)])
        transition = torch.diag(diagonal)
        transition[-2, -1] = flow * lost
        offset = (1 - diagonal) * prior.mean
        process = (1 - diagonal[:, None] * diagonal) * prior.covariance
        # the rate within the step, integrated exactly, so that the step's length does not matter (Gillespie, Phys. Rev.
        # E 54 (1996) 2084)
        variance = self.side_mass_rate_deviation**2
        process[-2, -2] = variance * flow**2 * (2 * duration / self.side_mass_rate_time - 2 * lost - lost**2)
        process[-2, -1] = process[-1, -2] = variance * flow * lost**2
        return transition, offset, process

    def observation_matrix(
        self, overtones: Sequence[int], resonator: Resonator, surface: SurfaceShift, drive: Drive
    ) -> Tensor:
        """Matrix from the linear state to (Δf_n …, ΔD_n …), shape (..., 2 · overtones, k)."""
        order = torch.as_tensor(overtones, dtype=torch.float64)
        *batch, count = surface.frequency.shape
        matrix = torch.zeros(*batch, 2 * count, len(self.terms) * count + 2, dtype=torch.float64)
        diagonal = torch.arange(count)
        for index, term in enumerate(self.terms):
            value = torch.as_tensor(term.regressor(surface, drive), dtype=torch.float64)
            row = diagonal
            if term.channel == "frequency":
                value = order * value
            else:
                row = diagonal + count
            matrix[..., row, index * count + diagonal] = value.expand(*batch, count)
        matrix[..., :count, -2] = -order * sauerbrey_sensitivity(resonator)
        return matrix


def sauerbrey_sensitivity(resonator: Resonator) -> float:
    """−Δf_n/n per rigid areal mass, 2 f0²/Z_q [Hz m²/kg] (Sauerbrey, Z. Phys. 155 (1959) 206)."""
    return 2 * resonator.fundamental_frequency**2 / resonator.impedance


def lagged(current_density: Tensor, duration: float, times: Sequence[float]) -> Tensor:
    """A series of mean current densities (time,) behind first-order lags, shape (time, lags) [A/m²]."""
    response = torch.zeros(len(current_density), len(times), dtype=torch.float64)
    retained = torch.exp(-duration / torch.as_tensor(times, dtype=torch.float64))
    previous = torch.zeros(len(times), dtype=torch.float64)
    for step, current in enumerate(current_density):
        previous = retained * previous + (1 - retained) * current
        response[step] = previous
    return response
