"""The static inverse problem: from the shifts of one frozen surface to the numbers of the family it belongs to.

    β ~ p(β),   z ~ p(z),   ξ = surface(β, z),   (Δf_n …, ΔD_n …) = shifts(ξ) + N(0, diag(noise²))

β are a few interpretable numbers (mean height, Sq, correlation length, …), z the white noise that decides which of
all surfaces with these numbers it is: a nuisance. A crystal is larger than a box, so its shifts are the mean over
`boxes` independent ones. The same Pyro program is the prior and simulator of likelihood-free inference and, as the
emission is differentiable, the model of Hamiltonian Monte Carlo, which samples z too. Source of the sampler: Hoffman
and Gelman, J. Mach. Learn. Res. 15 (2014) 1593.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from torch import Tensor

from hmm_plating import emission
from hmm_plating.errors import InputError
from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.materials import Electrolyte, Metal, Resonator
from hmm_plating.morphology.random_surface import Parameter

SurfaceProgram = Callable[[Mapping[str, Parameter]], Tensor]


@dataclass(frozen=True)
class StaticSurface:
    """Sections of one family of surfaces under a liquid, seen at several overtones; shifts against the bare crystal.

    Attributes:
        parameters: priors of β by name, univariate Pyro distributions.
        surface: Pyro program from β to ξ (..., y, x) that samples its white noise, such as
            `partial(morphology.gaussian_surface, shape=(40, 64), interface_width=24e-9, spacing=6e-9)`.
        spacing: of the grid [m].
        interface_width: ℓ of ξ [m].
        overtones: odd orders n.
        electrolyte, resonator, metal: materials.
        frequency_noise, dissipation_noise: standard deviation of Δf_n [Hz, not divided by n] and ΔD_n [1], one per
            overtone.
        boxes: independent boxes that the crystal averages over.
        tolerance: accepted error of Δf, relative to what the roughness causes or to the noise, whichever is larger; the
            relative error of the gradient is its square root.
    """

    parameters: Mapping[str, dist.TorchDistribution]
    surface: SurfaceProgram
    spacing: float
    interface_width: float
    overtones: tuple[int, ...]
    electrolyte: Electrolyte
    resonator: Resonator
    metal: Metal
    frequency_noise: tuple[float, ...]
    dissipation_noise: tuple[float, ...]
    boxes: int = 1
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("frequency_noise", "dissipation_noise"):
            values = getattr(self, name)
            if len(values) != len(self.overtones) or not all(value > 0 for value in values):
                raise InputError(f"StaticSurface.{name} needs one positive value per overtone, got {values!r}")
        if not self.parameters or not all(isinstance(value, dist.Distribution) for value in self.parameters.values()):
            raise InputError("StaticSurface.parameters needs a Pyro distribution for every parameter to be inferred")
        if not (isinstance(self.boxes, int) and self.boxes >= 1):
            raise InputError(f"StaticSurface.boxes must be a whole number of boxes, got {self.boxes!r}")

    @property
    def noise(self) -> Tensor:
        """Standard deviation of an observation (2 · overtones,) [Hz, 1]."""
        return torch.tensor([*self.frequency_noise, *self.dissipation_noise], dtype=torch.float64)

    def prior(self) -> dict[str, Tensor]:
        """Pyro program: the parameters, one site each."""
        return {name: pyro.sample(name, distribution) for name, distribution in self.parameters.items()}

    def simulator(self, values: Mapping[str, Tensor]) -> Tensor:
        """Observations (draw, 2 · overtones) at parameters (draw,) each; noise of surface and instrument drawn anew.

        NaN where a surface outgrows its box. Raises InputError where `surface` refuses a parameter, such as a
        correlation length longer than half the box: choose priors that exclude these.
        """
        count = len(next(iter(values.values())))
        with torch.no_grad(), pyro.plate("draws", count, dim=-1):
            return self.observe(values, None)

    def __call__(self, observed: Tensor | None = None) -> Tensor:
        """Pyro program of one crystal: parameters, white noise and its observation (2 · overtones,)."""
        return self.observe(self.prior(), observed)

    def observe(self, values: Mapping[str, Parameter], observed: Tensor | None) -> Tensor:
        """The site `shifts` (..., 2 · overtones) at parameters (...,), batched by the plates around."""
        expected = self.expected_shifts(values)
        return pyro.sample("shifts", dist.Normal(expected, self.noise, validate_args=False).to_event(1), obs=observed)

    def expected_shifts(self, values: Mapping[str, Parameter]) -> Tensor:
        """Mean over the boxes of (Δf_n …, ΔD_n …) [Hz, 1], (..., 2 · overtones), white noise drawn by Pyro."""
        if self.boxes == 1:
            return self.shifts(self.surface(values))
        with pyro.plate("boxes", self.boxes):  # the leftmost dimension
            return self.shifts(self.surface(values)).mean(0)

    def shifts(self, order_parameter: Tensor) -> Tensor:
        """(Δf_n …, ΔD_n …) of surfaces ξ (..., y, x) against the bare crystal [Hz, 1], (..., 2 · overtones).

        Differentiable; NaN where metal reaches the top row of the box.
        """
        fraction = emission.solid_fraction(order_parameter, self.interface_width, self.spacing)
        outgrown = (fraction[..., -1, :] > 0).any(-1)
        fraction = torch.where(outgrown[..., None, None], 0.0, fraction)
        load = emission.load_impedance(
            fraction, self.spacing, self.overtones, self.electrolyte, self.resonator, self.metal,
            tolerance=self.tolerance, absolute_tolerance=self.tolerance * min(self.frequency_noise),
        )  # fmt: skip
        bare = emission.kanazawa_gordon(self.overtones, self.electrolyte, self.resonator)
        shifts = torch.cat(emission.shifts(load, bare, self.overtones, self.resonator), -1)
        return torch.where(outgrown[..., None], math.nan, shifts)

    def hamiltonian_monte_carlo(
        self,
        observed: Tensor,
        draws: int = 500,
        warmup: int = 300,
        chains: int = 1,
        seed: int = 0,
        max_tree_depth: int = 7,
    ) -> InferenceData:
        """Posterior of the parameters by NUTS in parameters and white noise: the check of the likelihood-free ones.

        A draw takes up to 2^max_tree_depth gradients of the load. Use a `tolerance` of 1e-4 or less: a gradient that is
        off by more keeps the energy from being conserved.

        Args:
            observed: (2 · overtones,) [Hz, 1].
            draws, warmup: kept and adaptation steps of each chain.
            chains: run one after the other, from different draws of the prior.
            seed: of all random draws.
            max_tree_depth: bound of a trajectory.

        Returns:
            InferenceData with posterior (chain, draw), sample_stats `diverging` and observed_data.

        Raises:
            InputError: an observation of another shape or not finite.
        """
        if observed.shape != self.noise.shape or not bool(torch.isfinite(observed).all()):
            raise InputError(
                f"observed must hold Δf and ΔD of {len(self.overtones)} overtones, {len(self.noise)} finite numbers, "
                f"got shape {tuple(observed.shape)}"
            )
        kept: list[dict[str, Tensor]] = []
        diverging = torch.zeros(chains, draws, dtype=torch.bool)
        with torch.random.fork_rng(devices=[]):
            for chain in range(chains):
                pyro.set_rng_seed(seed + chain)
                kernel = NUTS(self._within_bounds, max_tree_depth=max_tree_depth, init_strategy=init_to_sample())
                sampler = MCMC(kernel, num_samples=draws, warmup_steps=warmup, disable_progbar=True)
                sampler.run(observed)
                kept.append(sampler.get_samples())
                diverging[chain, sampler.diagnostics()["divergences"]["chain 0"]] = True
        posterior = {name: torch.stack([one[name] for one in kept]).numpy() for name in self.parameters}
        chains_first = ("chain", "draw")
        return from_groups(
            {
                "posterior": (chains_first, posterior),
                "sample_stats": (chains_first, {"diverging": diverging.numpy()}),
                "observed_data": ((), {"shifts": observed.numpy()}),
            },
            attrs={"seed": seed},
        )

    def _within_bounds(self, observed: Tensor) -> None:
        """The program; a trial step beyond what `surface` takes has probability NaN, which the sampler rejects."""
        try:
            self(observed)
        except InputError:
            pyro.factor("out_of_bounds", torch.tensor(math.nan, dtype=torch.float64))
