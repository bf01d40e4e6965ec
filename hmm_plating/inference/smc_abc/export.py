"""A run of SMC-ABC as ArviZ `InferenceData`; chain = the one run.

* posterior (chain, draw): equally weighted draws;
* sample_stats (chain, particle): the weighted particles, every simulation within the tolerance: parameters,
  `log_weight` (normalised, before the adjustment), `adjusted_log_weight`, `distance`, and the `population` it is of;
* population_stats (chain, population): `tolerance`, `acceptance_rate`, `effective_sample_size`, `simulations`,
  `failed_simulations`, `log_evidence`; the last entry is that of the result, after the last population;
* prior, prior_predictive (chain, draw): the first population, its simulated data flattened;
* observed_data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmm_plating.inference.arviz_export import InferenceData, from_groups
from hmm_plating.inference.prior import Prior
from hmm_plating.inference.smc_abc.final_draws import FinalDraws
from hmm_plating.inference.smc_abc.population import Population, PopulationInfo


def to_inference_data(
    prior: Prior,
    population: Population,
    infos: Sequence[PopulationInfo],
    final: FinalDraws,
    observed: Mapping[str, NDArray[Any]],
    *,
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
    seed: int,
) -> InferenceData:
    """See the top of this module."""

    def parameters(unconstrained: Tensor) -> dict[str, NDArray[Any]]:
        return {name: value.numpy() for name, value in prior.evaluate(unconstrained)[0].items()}

    accepted, first = final.accepted, slice(0, population.sizes[0])
    number = torch.repeat_interleave(torch.arange(len(population.sizes)), torch.tensor(population.sizes))
    groups: dict[str, tuple[str, dict[str, NDArray[Any]]]] = {
        "posterior": ("draw", parameters(final.draws)),
        "sample_stats": (
            "particle",
            {
                **parameters(population.unconstrained[accepted]),
                "log_weight": population.log_weights[accepted].numpy(),
                "adjusted_log_weight": final.log_weights.numpy(),
                "distance": population.distance[accepted].numpy(),
                "population": number[accepted].numpy(),
            },
        ),
        "population_stats": (
            "population",
            {name: np.array([getattr(info, name) for info in infos]) for name in PopulationInfo._fields},
        ),
        "prior": ("draw", parameters(population.unconstrained[first])),
        "prior_predictive": ("draw", {"data": population.data[first].numpy()}),
    }
    of_the_run = {
        group: (("chain", dimension), {name: array[None] for name, array in variables.items()})
        for group, (dimension, variables) in groups.items()
    }
    attributes = {"log_evidence": infos[-1].log_evidence, "tolerance": infos[-1].tolerance, "seed": seed,
                  "simulations": infos[-1].simulations}  # fmt: skip
    return from_groups({**of_the_run, "observed_data": ((), observed)}, attrs=attributes, dims=dims, coords=coords)
