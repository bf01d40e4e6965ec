"""Does the posterior of a frozen surface cover the truth as often as it says, and how wide is it predicted to be?

    python benchmarks/static_calibration.py abc|vi|exact [--surfaces 200] [--simulations 2000] [--output RANKS.nc]

Copper of 80 nm, rough as a Gaussian random field with a period of 384 nm, under water, seen at six overtones with the
noise of a bench instrument (1.5 Hz in Δf_n/n, 0.2e-6 in ΔD_n). Surfaces are drawn from the prior, and each is inferred
alone. Jobs share the surfaces among processes.

"exact" is the oracle of the other two: a film thicker by δ shifts by Sauerbrey's law whatever its roughness, so δ
is integrated over in closed form; what remains is importance sampling from the prior of roughness and white noise.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import hmm_plating as hp
from hmm_plating.inference import Calibration, ParameterPrior, simulation_based_calibration
from hmm_plating.inference.calibration import Posterior
from hmm_plating.inference.likelihood_free_vi import MixtureGuide
from hmm_plating.inference.random_stream import initial_random_state, random_stream
from hmm_plating.instrument import sauerbrey_sensitivity

OVERTONES = (3, 5, 7, 9, 11, 13)
GUIDE = partial(MixtureGuide, components=4)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


PROBLEM = hp.StaticSurface(
    parameters={
        "mean_height": dist.LogNormal(number(math.log(80e-9)), 0.1),
        "root_mean_square_height": dist.LogNormal(number(math.log(12e-9)), 0.3),
        "correlation_length": dist.LogNormal(number(math.log(40e-9)), 0.3),
    },
    surface=partial(hp.morphology.gaussian_surface, shape=(28, 48), interface_width=16e-9, spacing=8e-9),
    spacing=8e-9,
    interface_width=16e-9,
    overtones=OVERTONES,
    electrolyte=hp.Electrolyte(997.05, 0.89e-3),
    resonator=hp.Resonator(),
    metal=hp.Metal.copper(),
    frequency_noise=tuple(1.5 * order for order in OVERTONES),
    dissipation_noise=(0.2e-6,) * len(OVERTONES),
    tolerance=1e-2,
)


def simulate(truth: dict[str, torch.Tensor]) -> torch.Tensor:
    return PROBLEM.simulator({name: value[None] for name, value in truth.items()})[0]


@cache
def simulated(simulations: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Parameters of surfaces from the prior, and their shifts without noise."""
    with random_stream(initial_random_state(2**30)), torch.no_grad():
        values, _ = ParameterPrior(PROBLEM.prior).constrain(ParameterPrior(PROBLEM.prior).sample(simulations))
        parts = []
        for part in torch.arange(simulations).split(500):
            with pyro.plate("draws", len(part), dim=-1):
                parts.append(PROBLEM.expected_shifts({name: value[part] for name, value in values.items()}))
    return values, torch.cat(parts)


def exact(simulations: int, observed: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    values, shifts = simulated(simulations)
    sauerbrey = -PROBLEM.metal.density * sauerbrey_sensitivity(PROBLEM.resonator)
    rigid = torch.tensor([sauerbrey * order for order in OVERTONES] + [0.0] * len(OVERTONES), dtype=torch.float64)
    precision = PROBLEM.noise**-2
    residual = observed - shifts
    variance = 1 / (rigid.square() * precision).sum()
    thicker = variance * (residual * rigid * precision).sum(-1)
    left = residual - thicker[:, None] * rigid
    height = values["mean_height"] + thicker
    log_weight = -0.5 * (left.square() * precision).sum(-1)
    log_weight += PROBLEM.parameters["mean_height"].log_prob(height.nan_to_num(1.0).clamp(min=1e-12))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(log_weight.nan_to_num(-torch.inf).softmax(0), 1000, True, generator=generator)
    scatter = variance.sqrt() * torch.randn(1000, dtype=torch.float64, generator=generator)
    return {name: value[chosen] for name, value in values.items()} | {"mean_height": height[chosen] + scatter}


def infer(algorithm: str, simulations: int, observed: torch.Tensor, seed: int) -> Posterior:
    if algorithm == "exact":
        return exact(simulations, observed, seed)
    if algorithm == "abc":
        return hp.inference.SMCABC(PROBLEM.prior, PROBLEM.simulator).run(observed, simulations=simulations, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cautions, which the result holds as well
        method = hp.inference.LFVI(
            (PROBLEM.prior, PROBLEM.simulator), GUIDE, rounds=2, ratio_steps=800, guide_steps=500
        )
        return method.run(observed, simulations=simulations, seed=seed)


def part(algorithm: str, simulations: int, surfaces: int, seed: int) -> Calibration:
    torch.set_num_threads(1)
    return simulation_based_calibration(
        PROBLEM.prior, simulate, partial(infer, algorithm, simulations), surfaces, seed=seed
    )


def joined(parts: list[Calibration]) -> Calibration:
    names = list(parts[0].ranks)
    return Calibration(
        {name: np.concatenate([one.truth[name] for one in parts]) for name in names},
        {name: np.concatenate([one.ranks[name] for one in parts]) for name in names},
        parts[0].draws,
        sum(one.failures for one in parts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", choices=("abc", "vi", "exact"))
    parser.add_argument("--surfaces", type=int, default=200)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="ranks (netCDF)")
    options = parser.parse_args()
    began, pieces = time.perf_counter(), max(options.surfaces // 10, 1)
    sizes = [len(piece) for piece in np.array_split(np.arange(options.surfaces), pieces)]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        found = [
            pool.submit(part, options.algorithm, options.simulations, size, options.seed * pieces + index)
            for index, size in enumerate(sizes)
        ]
        parts = []
        for future in found:
            parts.append(future.result())
            done = sum(len(one.ranks["mean_height"]) for one in parts)
            print(f"{done} surfaces in {time.perf_counter() - began:.0f} s", flush=True)
    calibration = joined(parts)
    print(f"{options.algorithm}, {options.simulations} simulations each, {calibration.failures} failed")
    print(calibration.summary().to_dataframe().to_string(float_format="{:.3f}".format))
    if options.output:
        calibration.inference_data().to_netcdf(options.output)


if __name__ == "__main__":
    main()
