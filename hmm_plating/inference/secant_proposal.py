"""Guided proposals by differences: a Gaussian approximation per particle in a few directions of the noise.

With u(z) the whitened prediction of a Gaussian observation, e its whitened residual and e_d the unit vectors,

    J_d = (u(z + h e_d) − u(z)) / h,    q(z) = N(S Jᵀe, S),    S = (I + JᵀJ)⁻¹.

The secant over about one standard deviation of the noise needs no derivative of the model and averages over what is
not smooth in it, such as the tolerance of a solver: the statistical linearisation of Gelb, "Applied Optimal Estimation"
(1974), section 6.2, as a proposal. Each direction costs one run of the model. All other sites are drawn from the model
first and held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.inference.laplace_proposal import LocalGaussian, Proposal, flat, split
from hmm_plating.inference.program import Program, Site, log_density
from hmm_plating.inference.standard_noise import StandardNoise, whitened_residual


@dataclass(frozen=True)
class SecantProposal:
    """Guide for a model with Gaussian observations, by differences in the noise of some of its step's sites.

    Attributes:
        sites: names of Gaussian sites of a step; the entries of their noise are the directions.
        difference: h > 0, in standard deviations.
        defensive: share of draws from the model itself, in [0, 1).
    """

    sites: Sequence[str]
    difference: float = 1.0
    defensive: float = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.sites, str) or not self.sites:
            raise InputError(f"SecantProposal: sites must be a sequence of names, got {self.sites!r}")
        if not self.difference > 0:
            raise InputError(f"SecantProposal: difference must be positive, got {self.difference!r}")
        if not 0 <= self.defensive < 1:
            raise InputError(f"SecantProposal: defensive must be in [0, 1), got {self.defensive!r}")

    def propose(self, program: Program, particles: dict[str, Tensor]) -> Proposal:
        """A Gaussian in the noise of `sites` per particle; all other sites keep what was drawn for them."""
        held = StandardNoise(
            draw=lambda name, like: (torch.zeros_like if name in self.sites else torch.randn_like)(like)
        )
        sites = program.rehearse(particles, held)
        missing = [name for name in self.sites if name not in held.noise]
        if missing:
            known = ", ".join(held.noise) or "none"
            raise InputError(
                f"{program.where}: SecantProposal has no Gaussian site {missing[0]!r} in the step; there are {known}"
            )
        chosen = {name: held.noise[name] for name in self.sites}
        z = flat(list(chosen.values()))
        residual = self._residual(sites, program)
        columns = []
        for direction in range(z.shape[-1]):
            moved = z.clone()
            moved[:, direction] += self.difference
            noise = {**held.noise, **split(moved, chosen)}
            other = program.rehearse(particles, StandardNoise(noise, held.values))
            columns.append((residual - self._residual(sites, program, other)) / self.difference)
        jacobian, residual = torch.stack(columns, -1).to(z.dtype), residual.to(z.dtype)
        density = torch.stack([log_density(site, program) for site in sites.values() if site["is_observed"]]).sum(0)
        gradient = (jacobian.mT @ residual[..., None])[..., 0]
        local = LocalGaussian.around(z, density.to(z.device).nan_to_num(nan=-torch.inf), gradient, jacobian)
        return Proposal(held.noise, held.values, tuple(self.sites), local, self.defensive)

    def _residual(self, sites: dict[str, Site], program: Program, other: dict[str, Site] | None = None) -> Tensor:
        """Whitened y − μ, (N, channels), with the spread of `sites` and the location of `other`."""
        rows = []
        for name, site in sites.items():
            if site["is_observed"]:
                row = whitened_residual(site["fn"], (other or sites)[name]["fn"], site["value"])
                if row is None:
                    raise InputError(
                        f"{program.where}: SecantProposal needs Gaussian observations, {name!r} is not; "
                        "use LaplaceProposal"
                    )
                rows.append(row.reshape(program.size, -1))
        if not rows:
            raise InputError(f"{program.where}: SecantProposal needs an observation")
        return torch.cat(rows, -1)
