"""What a set of overtones can tell about a surface before it is measured: Fisher information of its parameters.

    F = Jᵀ Σ⁻¹ J,    J = E_z[∂s/∂β],    Σ = R + Cov_z[s]/boxes,    posterior covariance ≈ (F + P⁻¹)⁻¹

s(β, z) are the shifts of the surface with parameters β and white noise z, R the noise of the instrument, P the prior
covariance. Which surface of its family the crystal bears is not known and not asked: z is a nuisance. What it does to
the shifts is noise of covariance Cov_z[s], less by the number of independent boxes that the crystal averages over; the
gradient of the mean response is the mean of the emission's gradient over z. That Σ itself depends on β is left out:
shifts are near quadratic in the heights, and for a quadratic statistic of a Gaussian field the information of its
covariance is already in its mean (Carron, Astron. Astrophys. 551 (2013) A88, DOI 10.1051/0004-6361/201220538).

In units of the prior, the eigenvectors of P^½ F P^½ are the combinations of parameters that the data tell apart; with
eigenvalue λ the posterior of one is (1 + λ)^−½ as wide as its prior, and ½ ln(1 + λ) nats are learned. Source: Kay,
Fundamentals of Statistical Signal Processing: Estimation Theory (1993), ch. 3 and 10.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.report.table import Table, number
from hmm_plating.static_surface import StaticSurface

IDENTIFIED = 0.5  # a direction counts as identified where its posterior is at most so wide, relative to the prior
_BATCH = 64  # surfaces whose gradients are computed at once


@dataclass(frozen=True)
class Sensitivity:
    """Of p parameters at one point, in SI units.

    Attributes:
        overtones: odd orders n.
        values: of the parameters.
        prior_deviation: their standard deviations a priori (p,).
        shifts: (Δf_n …, ΔD_n …), mean over surfaces (2 · overtones,).
        jacobian: ∂shifts/∂parameters, mean over surfaces (2 · overtones, p).
        instrument_noise: standard deviation (2 · overtones,).
        surface_covariance: of the shifts over surfaces, for the number of boxes averaged (2 · overtones,)².
    """

    overtones: tuple[int, ...]
    values: Mapping[str, float]
    prior_deviation: Tensor
    shifts: Tensor
    jacobian: Tensor
    instrument_noise: Tensor
    surface_covariance: Tensor

    @property
    def fisher_information(self) -> Tensor:
        """F (p, p), in units of one over the parameters'."""
        scale = self.instrument_noise
        covariance = torch.eye(len(scale), dtype=scale.dtype) + self.surface_covariance / (scale[:, None] * scale)
        response = self.jacobian / scale[:, None]
        return response.mT @ torch.linalg.solve(covariance, response)

    @property
    def posterior_covariance(self) -> Tensor:
        """(F + P⁻¹)⁻¹ (p, p)."""
        eye = torch.eye(len(self.prior_deviation), dtype=torch.float64)
        inside = torch.linalg.inv(eye + self._information_in_prior_units())
        return inside * (self.prior_deviation[:, None] * self.prior_deviation)

    @property
    def posterior_deviation(self) -> dict[str, float]:
        """Predicted posterior standard deviation of each parameter."""
        return dict(zip(self.values, self.posterior_covariance.diagonal().sqrt().tolist(), strict=True))

    @property
    def directions(self) -> tuple[Tensor, Tensor]:
        """λ in descending order (p,), and the unit directions in units of the prior deviations, columns (p, p)."""
        eigenvalues, vectors = torch.linalg.eigh(self._information_in_prior_units())
        sign = torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))
        return eigenvalues.clamp(min=0).flip(0), (vectors * sign).flip(1)

    @property
    def expected_information(self) -> float:
        """What the data are expected to tell, ½ Σ ln(1 + λ) [nats]."""
        return 0.5 * float(torch.log1p(self.directions[0]).sum())

    def _information_in_prior_units(self) -> Tensor:
        return self.fisher_information * (self.prior_deviation[:, None] * self.prior_deviation)

    def parameter_table(self) -> Table:
        """One row per parameter: its value, prior and predicted posterior standard deviation, and their ratio."""
        deviations = zip(
            self.values.items(), self.prior_deviation.tolist(), self.posterior_deviation.values(), strict=True
        )
        rows = [
            (name, f"{value:.4g}", f"{prior:.3g}", f"{posterior:.3g}", number(posterior / prior, 2))
            for (name, value), prior, posterior in deviations
        ]
        return Table(("parameter", "value", "prior ±", "posterior ±", "ratio"), tuple(rows))

    def direction_table(self) -> Table:
        """One row per combination of parameters, best known first."""
        eigenvalues, vectors = self.directions
        rows = []
        for value, vector in zip(eigenvalues.tolist(), vectors.unbind(1), strict=True):
            width = 1 / math.sqrt(1 + value)
            weights = " ".join(f"{part:+.2f} {name}" for part, name in zip(vector.tolist(), self.values, strict=True))
            verdict = "identified" if width <= IDENTIFIED else "not identified"
            rows.append((weights, number(width, 2), number(0.5 * math.log1p(value), 2), verdict))
        return Table(("combination, in prior standard deviations", "width / prior", "nats", ""), tuple(rows))

    def text(self) -> str:
        """The report: what is predicted, and which combinations these overtones can and cannot identify."""
        orders = ", ".join(str(order) for order in self.overtones)
        eigenvalues, _ = self.directions
        found = f"{int((eigenvalues >= IDENTIFIED**-2 - 1).sum())} of {len(eigenvalues)}"
        return "\n\n".join(
            [
                f"Overtones {orders}: {found} combinations of parameters identified (posterior at most "
                f"{IDENTIFIED:g} of the prior's width), {self.expected_information:.2f} nats expected.",
                self.parameter_table().text(),
                self.direction_table().text(),
            ]
        )


def sensitivity(
    problem: StaticSurface,
    values: Mapping[str, float] | None = None,
    realisations: int = 256,
    seed: int = 0,
    by_differences: Collection[str] = ("nucleation_density",),
) -> Sensitivity:
    """Fisher information of the parameters of a family of surfaces, by the emission's gradient.

    The mean of gradients is the gradient of the mean where a surface is continuous in its parameters at given noise. It
    is not where nuclei appear one by one: there the slope is that between half a prior deviation below and above, with
    the same noise.

    Mean and covariance over surfaces have Monte-Carlo errors of one over the root of `realisations`; the inverse of the
    covariance of c channels is too small by a factor 1 − (c + 1)/realisations or so (Hartlap, Simon and Schneider,
    Astron. Astrophys. 464 (2007) 399) where the surfaces' scatter dominates.

    Args:
        problem: family, prior, overtones, noise and boxes.
        values: of all parameters of the prior; their prior means by default.
        realisations: surfaces averaged over.
        seed: of their white noise.
        by_differences: parameters in which the surface jumps; names that the problem does not have are ignored.

    Raises:
        InputError: other parameters than the prior's, fewer than twice as many surfaces as channels, a prior without
            variance, surfaces that outgrow the box.
    """
    channels = len(problem.noise)
    if realisations < 2 * channels:
        raise InputError(f"realisations must be at least {2 * channels}, twice the channels, got {realisations!r}")
    if values is None:
        values = {name: float(prior.mean) for name, prior in problem.parameters.items()}
    if set(values) != set(problem.parameters):
        raise InputError(f"values are for {sorted(values)}, the prior's parameters are {sorted(problem.parameters)}")
    deviation = torch.stack([torch.as_tensor(problem.parameters[name].stddev, dtype=torch.float64) for name in values])
    if not bool((torch.isfinite(deviation) & (deviation > 0)).all()):
        raise InputError(f"prior standard deviations of {', '.join(values)}: {deviation.tolist()}; each must be finite")
    point = torch.tensor(list(values.values()), dtype=torch.float64)
    jumping = [index for index, name in enumerate(values) if name in by_differences]
    shifts, slopes = [], []
    with torch.random.fork_rng(devices=[]):
        pyro.set_rng_seed(seed)
        for start in range(0, realisations, _BATCH):
            points = point.repeat(min(_BATCH, realisations - start), 1).requires_grad_()
            noise = torch.get_rng_state()
            found = _shifts(problem, values, points)
            rows = [torch.autograd.grad(one.sum(), points, retain_graph=True)[0] for one in found.unbind(-1)]
            slope = torch.stack(rows, 1)
            after = torch.get_rng_state()
            for index in jumping:
                step = torch.zeros_like(point)
                step[index] = deviation[index] / 2
                ends = []
                for end in (points + step, points - step):
                    torch.set_rng_state(noise)
                    ends.append(_shifts(problem, values, end.detach()))
                slope[..., index] = (ends[0] - ends[1]) / deviation[index]
            torch.set_rng_state(after)
            shifts.append(found.detach())
            slopes.append(slope)
    every = torch.cat(shifts)
    finite = torch.isfinite(every).all(-1) & torch.isfinite(torch.cat(slopes)).all((-2, -1))
    if not bool(finite.all()):
        outgrown = int((~finite).sum())
        raise InputError(f"{outgrown} of {realisations} surfaces outgrow their box: use more rows")
    return Sensitivity(
        overtones=problem.overtones,
        values=dict(values),
        prior_deviation=deviation,
        shifts=every.mean(0),
        jacobian=torch.cat(slopes).mean(0),
        instrument_noise=problem.noise,
        surface_covariance=torch.cov(every.mT) / problem.boxes,
    )


def _shifts(problem: StaticSurface, names: Collection[str], points: Tensor) -> Tensor:
    """Shifts (realisation, 2 · overtones) of one surface at each point (realisation, p)."""
    with pyro.plate("realisations", len(points), dim=-1):
        return problem.shifts(problem.surface(dict(zip(names, points.unbind(-1), strict=True))))
