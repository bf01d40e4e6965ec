"""Independent filters of the same series, one per chain.

A particle filter that has resampled for long descends from few early particles, so its own spread understates what it
does not know. Filters that differ in their seed alone show that Monte Carlo error: their draws together, each chain
with the same weight, spread by both, and R̂ compares the two (Vehtari et al., Bayesian Analysis 16 (2021) 667).
"""

from __future__ import annotations

import copy
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hmm_plating.errors import require_integer
from hmm_plating.inference.arviz_export import InferenceData, concatenate
from hmm_plating.inference.checkpoint import create_folder
from hmm_plating.inference.filter_state import StepInfo
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.progress import Progress


def chain_seed(seed: int, chain: int) -> int:
    """Seed of a chain: that of the run for the first, well apart from it for the others."""
    if chain == 0:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(chain,)).generate_state(1, np.uint64)[0] >> 1)


def run_chains(
    particle_filter: ParticleFilter,
    chains: int,
    observations: Any,
    *inputs: Any,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> InferenceData:
    """`particle_filter.run(observations, *inputs, …)` for every chain, one after another, as one result.

    Args:
        particle_filter: each chain has all its particles and a copy of its model.
        chains: how many.
        observations, inputs, options: as of `ParticleFilter.run`.
        seed: of the run; see `chain_seed`.
        checkpoint: folder that holds one checkpoint folder per chain.
        progress: counts the steps of all chains.

    Returns:
        InferenceData as of `ParticleFilter.run` with `chains` chains; `attrs["log_evidence"]` is the logarithm of the
        mean of their evidences, which is unbiased as each of them is.

    Raises:
        InputError: see `ParticleFilter.run`; fewer than one chain.
    """
    require_integer("chains", chains, 1)
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        create_folder(folder)
    results = []
    try:
        for chain in range(chains):

            def report(step: int, total: int, info: StepInfo, chain: int = chain) -> None:
                if progress is not None:
                    progress(chain * total + step, chains * total, info)

            program = {name: copy.copy(getattr(particle_filter, name)) for name in ("model", "guide")}
            results.append(
                replace(particle_filter, **program).run(
                    observations,
                    *inputs,
                    seed=chain_seed(seed, chain),
                    checkpoint=None if folder is None else folder / f"chain-{chain}",
                    progress=report,
                    **options,
                )
            )
    except BaseException:
        if folder is not None and not any(folder.iterdir()):
            folder.rmdir()
        raise
    evidences = np.array([result.attrs["log_evidence"] for result in results])
    return concatenate(
        results,
        attrs={
            "log_evidence": float(np.logaddexp.reduce(evidences) - math.log(chains)),
            "seed": seed,
            "particles": particle_filter.particles,
            "chains": chains,
        },
    )
