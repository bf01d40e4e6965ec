"""Chains: independent filters of one series, each as if it were run alone, their evidences averaged."""

import copy
import math
from dataclasses import dataclass

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter, run_chains
from hmm_plating.inference.chains import chain_seed

MODEL = LinearGaussian.four_dimensional()
Y = MODEL.simulate(9, seed=1)


def test_every_chain_is_the_filter_with_its_seed() -> None:
    particle_filter = ParticleFilter(MODEL, 20, predictive_draws=5)
    together = run_chains(particle_filter, 3, Y, seed=4)
    assert together["posterior"].sizes["chain"] == 3
    for chain in range(3):
        alone = particle_filter.run(Y, seed=chain_seed(4, chain))
        for group in alone.groups():
            expected = alone[group].isel(chain=0) if "chain" in alone[group].dims else alone[group]
            found = together[group].isel(chain=chain) if "chain" in together[group].dims else together[group]
            assert found.drop_vars("chain", errors="ignore").equals(expected.drop_vars("chain", errors="ignore"))
    assert chain_seed(4, 0) == 4


def test_seeds_of_chains_differ() -> None:
    assert len({chain_seed(seed, chain) for seed in range(50) for chain in range(20)}) == 50 * 20


def test_the_evidence_is_the_mean_of_the_evidences() -> None:
    result = run_chains(ParticleFilter(MODEL, 20), 4, Y, seed=2)
    evidence = np.exp(result["filter_stats"]["log_evidence_increment"].sum("time").values)
    assert result.attrs["log_evidence"] == pytest.approx(math.log(evidence.mean()), rel=1e-12)
    assert result.attrs["chains"] == 4


def test_chains_of_a_good_filter_agree() -> None:
    """R̂ of equally weighted draws from the same distribution is 1 (Vehtari et al. 2021)."""
    result = run_chains(ParticleFilter(MODEL, 1000, predictive_draws=0), 4, Y, seed=1)
    for name in result["posterior"].data_vars:
        assert float(arviz.rhat(result["posterior"][name].isel(time=-1)).to_array().max()) < 1.05


@pytest.mark.parametrize("killed", [3, 9, 14])
def test_a_killed_run_resumes_in_the_chain_where_it_was(tmp_path, killed) -> None:
    particle_filter = ParticleFilter(MODEL, 20, predictive_draws=5)
    options = {"seed": 4, "checkpoint": tmp_path / "run", "checkpoint_interval": 2}

    def kill(step, total, info):
        assert total == 18
        if step == killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_chains(particle_filter, 2, Y, **options, progress=kill)
    steps = []
    resumed = run_chains(particle_filter, 2, Y, **options, resume=True, progress=lambda step, *_: steps.append(step))
    assert steps[0] in (killed - 1, killed, killed + 1)
    assert steps[-1] == 18
    whole = run_chains(particle_filter, 2, Y, seed=4)
    assert whole.attrs == resumed.attrs
    for group in whole.groups():
        assert whole[group].identical(resumed[group])


def test_a_model_that_counts_in_itself_counts_anew_in_every_chain() -> None:
    @dataclass
    class Counting:
        steps: int = 0

        def init(self, state):
            state["x"] = pyro.sample("x", dist.Normal(0.0, 1.0))

        def step(self, state, y):
            self.steps += 1
            assert self.steps <= 3
            pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)

    model = Counting()
    before = copy.copy(model)
    run_chains(ParticleFilter(model, 5), 2, torch.zeros(3))
    assert model == before


@pytest.mark.parametrize("chains", [0, -1, 2.0])
def test_a_number_of_chains_that_is_none(chains) -> None:
    with pytest.raises(InputError, match="chains must be an integer ≥ 1"):
        run_chains(ParticleFilter(MODEL, 5), chains, Y)


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path) -> None:
    with pytest.raises(InputError):
        run_chains(ParticleFilter(MODEL, 5), 2, Y, checkpoint=tmp_path / "run", seed=-1)
    assert not list(tmp_path.iterdir())
