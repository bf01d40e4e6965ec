"""Guided proposals by linearising the emission: a Laplace approximation per particle, by automatic differentiation.

With z the standard normal noise of a step and ℓ(z) = log p(y_t | x_t(z)), Newton's method on ℓ(z) − |z|²/2 gives

    q(z) = N(m, S),    S = (I + JᵀJ)⁻¹,    m ← S (∇ℓ + JᵀJ m),

J the Jacobian of the whitened prediction, so that JᵀJ is the Fisher information (Gauss–Newton); where an observed site
is not Gaussian, its rows come from the positive part of −∇²ℓ. The observation has few channels and the noise may have
many directions: with JJᵀ = V Λ Vᵀ and Q = JᵀV Λ^−½, S^½ = I + Q ((1 + Λ)^−½ − 1) Qᵀ. The same expansion tells how well
a particle will explain the observation whatever its noise, which an auxiliary filter needs:

    log ∫ exp(ℓ(z)) N(z; 0, I) dz ≈ ℓ(z₀) − ∇ℓᵀz₀ − |J z₀|²/2 + mᵀS⁻¹m/2 − Σ log(1 + Λ)/2.

Doucet, Godsill and Andrieu, Statistics and Computing 10 (2000) 197, section II.D; a share of the draws comes from the
prior, which bounds the weights (Hesterberg, Technometrics 37 (1995) 185).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError, require_integer
from hmm_plating.inference.program import Program, Site, log_density
from hmm_plating.inference.resampling import take
from hmm_plating.inference.standard_noise import StandardNoise, at_mean, whitened_location


class LocalGaussian(NamedTuple):
    """N(m, (I + JᵀJ)⁻¹) per particle: mean (N, D), directions Q (N, D, K), curvature Λ (N, K).

    `log_evidence` (N,) is log p(y_t | x_{t−1}) by the same expansion.
    """

    mean: Tensor
    directions: Tensor
    curvature: Tensor
    log_evidence: Tensor

    @classmethod
    def around(cls, z: Tensor, density: Tensor, gradient: Tensor, jacobian: Tensor) -> LocalGaussian:
        """From ℓ (N,), ∇ℓ (N, D) and J (N, K, D) at z (N, D); where they are not finite, the model's own noise."""
        finite = torch.isfinite(gradient).all(-1) & torch.isfinite(jacobian).flatten(1).all(-1)
        gradient = torch.where(finite[:, None], gradient, 0.0)
        jacobian = torch.where(finite[:, None, None], jacobian, 0.0)
        curvature, rotation = torch.linalg.eigh(jacobian @ jacobian.mT)
        curvature = curvature.clamp(min=0)
        scale = torch.where(curvature > 1e-12, curvature, torch.inf).rsqrt()
        directions = jacobian.mT @ (rotation * scale[:, None, :])
        seen = (jacobian @ z[..., None])[..., 0]
        ascent = gradient + (jacobian.mT @ seen[..., None])[..., 0]
        mean = ascent - _along(directions, curvature / (1 + curvature), ascent)
        change = 0.5 * (mean * ascent).sum(-1) - (gradient * z).sum(-1) - 0.5 * seen.square().sum(-1)
        change = change - 0.5 * torch.log1p(curvature).sum(-1)
        return cls(mean, directions, curvature, density + change.to(density))


class Proposal(NamedTuple):
    """What a guide found for one step: a local Gaussian in the noise of some sites, the others as they are.

    Attributes:
        noise: {site: z} of all Gaussian sites, (N, …).
        values: {site: value} of the latent sites that are not Gaussian.
        chosen: names of the sites that are proposed, none where there is nothing to propose.
        local: the Gaussian in the noise of `chosen`, side by side.
        defensive: share of draws from the model itself.
    """

    noise: dict[str, Tensor]
    values: dict[str, Tensor]
    chosen: tuple[str, ...]
    local: LocalGaussian | None
    defensive: float

    def take(self, index: Tensor) -> Proposal:
        """That of the chosen particles."""
        local = None if self.local is None else LocalGaussian(*(part[index.to(part.device)] for part in self.local))
        return self._replace(noise=take(self.noise, index), values=take(self.values, index), local=local)

    def draw(self) -> tuple[StandardNoise, Tensor]:
        """Noise of each particle, as a handler for the program, and log p(z) − log q(z), (N,)."""
        if self.local is None:
            return StandardNoise(self.noise, self.values), torch.zeros((), dtype=torch.float64)
        drawn, log_ratio = draw(self.local, self.defensive)
        like = {name: self.noise[name] for name in self.chosen}
        return StandardNoise(self.noise | split(drawn, like), self.values), log_ratio.double().cpu()


@dataclass(frozen=True)
class LaplaceProposal:
    """Guide for any model whose observed log density is differentiable in the Gaussian noise of its step.

    Sites of a step that are not Gaussian are drawn from the model, and the rest is proposed given those.

    Attributes:
        newton_steps: each costs one run of the model with gradients. 1 is exact where the emission is linear; one far
            from that needs several, as a step that leads downhill is cut.
        defensive: share of draws from the model itself, in [0, 1).
    """

    newton_steps: int = 1
    defensive: float = 0.05

    def __post_init__(self) -> None:
        require_integer("LaplaceProposal: newton_steps", self.newton_steps, 1)
        if not 0 <= self.defensive < 1:
            raise InputError(f"LaplaceProposal: defensive must be in [0, 1), got {self.defensive!r}")

    def propose(self, program: Program, particles: dict[str, Tensor]) -> Proposal:
        """The Laplace approximation of each particle, in the noise of all Gaussian sites."""
        handler = StandardNoise(draw=at_mean)
        for number in range(self.newton_steps):
            tried = _linearise(program, particles, handler)
            if tried is None:
                return Proposal(handler.noise, handler.values, (), None, self.defensive)
            if number == 0:
                found, trial = tried, tried.local.mean
            else:  # a step that led downhill is cut to a quarter
                better = tried.objective > found.objective
                found = _choose(better, tried, found)
                cut = found.point + 0.25 * (trial - found.point)
                trial = torch.where(better[:, None], tried.local.mean, cut)
            handler = StandardNoise(split(trial, handler.noise), handler.values)
        chosen = tuple(handler.noise)
        return Proposal(handler.noise, handler.values, chosen, found.local._replace(mean=trial), self.defensive)


class _Linearised(NamedTuple):
    """At a point z (N, D): the objective ℓ(z) − |z|²/2, (N,), and the Laplace approximation."""

    point: Tensor
    objective: Tensor
    local: LocalGaussian


def _linearise(program: Program, particles: dict[str, Tensor], handler: StandardNoise) -> _Linearised | None:
    """The Laplace approximation at the handler's noise, which it completes; None where the step has none."""
    leaves = StandardNoise(
        {name: z.detach().requires_grad_() for name, z in handler.noise.items()},
        handler.values,
        lambda name, like: torch.zeros_like(like).requires_grad_(),
    )
    with torch.enable_grad():
        sites = program.rehearse(particles, leaves)
        handler.noise, handler.values = leaves.noise, leaves.values
        noise = list(leaves.noise.values())
        observed = [site for site in sites.values() if site["is_observed"]]
        if not noise or not observed:
            return None
        density = torch.stack([log_density(site, program) for site in observed]).sum(0)
        gradient = flat(_gradients(density, noise))
        jacobian = torch.cat([_curvature(site, program, noise) for site in observed], 1)
    z = flat(noise).detach()
    density = density.detach().to(z.device).nan_to_num(nan=-torch.inf)
    local = LocalGaussian.around(z, density, gradient.to(z.dtype), jacobian.to(z.dtype))
    return _Linearised(z, density - 0.5 * z.double().square().sum(-1), local)


def _choose(better: Tensor, new: _Linearised, old: _Linearised) -> _Linearised:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.reshape(-1, *(1,) * (a.dim() - 1)), a, b)

    return _Linearised(
        pick(new.point, old.point),
        pick(new.objective, old.objective),
        LocalGaussian(*(pick(a, b) for a, b in zip(new.local, old.local, strict=True))),
    )


def draw(local: LocalGaussian, defensive: float) -> tuple[Tensor, Tensor]:
    """Draws of (1 − δ) N(m, S) + δ N(0, I), shape (N, D), and log N(z; 0, I) − log q(z), (N,)."""
    mean, directions, curvature, _ = local
    normal = torch.randn_like(mean)
    narrow = mean + normal + _along(directions, (1 + curvature).rsqrt() - 1, normal)
    from_model = torch.rand(len(mean), dtype=torch.float64).to(mean.device) < defensive
    z = torch.where(from_model[:, None], normal, narrow)
    offset = z - mean
    along = (directions.mT @ offset[..., None])[..., 0]
    # The D-dimensional squares are close to each other: their difference is formed before they are summed.
    exponent = 0.5 * ((offset - z) * (offset + z)).sum(-1) + 0.5 * (curvature * along.square()).sum(-1)
    relative = exponent - 0.5 * torch.log1p(curvature).sum(-1)  # log N(z; 0, I) − log N(z; m, S)
    if defensive == 0:
        return z, relative
    return z, -torch.logaddexp(math.log1p(-defensive) - relative, torch.full_like(relative, math.log(defensive)))


def _curvature(site: Site, program: Program, noise: list[Tensor]) -> Tensor:
    """Rows J of one observed site, (N, K, D), so that JᵀJ is its information."""
    rows = whitened_location(site["fn"], site["value"])
    if rows is None:
        return _hessian_root(log_density(site, program), noise)
    weight = torch.as_tensor(site["scale"]).sqrt()
    if site["mask"] is not None and site["mask"] is not True:
        weight = weight * torch.as_tensor(site["mask"])
    event = site["fn"].event_dim
    weight = weight.reshape(weight.shape + (1,) * event)
    columns = [(row * weight).expand(site["fn"].shape()).reshape(program.size, -1) for row in rows]
    return torch.stack([flat(_gradients(column, noise)) for row in columns for column in row.unbind(-1)], 1)


def _hessian_root(density: Tensor, noise: list[Tensor]) -> Tensor:
    """Rows (N, D, D) of the positive part of −∇² log density."""
    gradients = torch.autograd.grad(density.sum(), noise, create_graph=True, allow_unused=True)
    first = flat([torch.zeros_like(z) if g is None else g for g, z in zip(gradients, noise, strict=True)])
    if not first.requires_grad:
        return first.new_zeros(len(first), 0, first.shape[-1])
    hessian = torch.stack([flat(_gradients(entry, noise)) for entry in first.unbind(-1)], 1)
    finite = torch.isfinite(hessian).flatten(1).all(-1)
    value, vector = torch.linalg.eigh(-0.5 * (hessian + hessian.mT)[finite])
    root = torch.full_like(hessian, torch.nan)
    root[finite] = value.clamp(min=0).sqrt()[..., None] * vector.mT
    return root


def _gradients(per_particle: Tensor, noise: list[Tensor]) -> list[Tensor]:
    """Derivative of each particle's number in its own noise: particles do not depend on one another."""
    if not per_particle.requires_grad:
        return [torch.zeros_like(z) for z in noise]
    found = torch.autograd.grad(per_particle.sum(), noise, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(z) if g is None else g for g, z in zip(found, noise, strict=True)]


def _along(directions: Tensor, factor: Tensor, vector: Tensor) -> Tensor:
    """Q diag(factor) Qᵀ vector."""
    return (directions @ (factor[..., None] * (directions.mT @ vector[..., None])))[..., 0]


def flat(tensors: list[Tensor]) -> Tensor:
    """Noise of several sites side by side, (N, D)."""
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], -1)


def split(noise: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `flat`, by name and shape."""
    parts = noise.split([z[0].numel() for z in like.values()], -1)
    return {name: part.reshape(z.shape) for (name, z), part in zip(like.items(), parts, strict=True)}
