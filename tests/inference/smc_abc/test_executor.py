"""Where simulations run does not change them, and a worker that dies loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from simulators import OBSERVED, KillsItsWorkerOnce, linear, normal_prior

from hmm_plating.errors import InputError
from hmm_plating.inference import SMCABC
from hmm_plating.inference.smc_abc import NoAdjustment

SETTINGS = {"populations": 2, "block_size": 50, "draws": 100, "adjustment": NoAdjustment(), "smooth": False}


def posterior(**settings: object) -> torch.Tensor:
    simulator = settings.pop("simulator", linear)
    result = SMCABC(normal_prior(), simulator, **SETTINGS, **settings).run(OBSERVED, simulations=600, seed=2)
    return torch.from_numpy(result.posterior.theta.values)


@pytest.mark.slow
def test_one_and_two_processes_give_the_same_result() -> None:
    here = posterior()
    assert torch.equal(posterior(executor=1), here)
    assert torch.equal(posterior(executor=2), here)


@pytest.mark.slow
def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    assert torch.equal(posterior(executor=2, simulator=KillsItsWorkerOnce(tmp_path / "killed")), posterior())
    assert (tmp_path / "killed").exists()


def test_a_simulator_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(InputError, match="top level"):
        posterior(executor=2, simulator=lambda theta: linear(theta))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_dask_gives_the_same_result_even_when_a_worker_is_killed(tmp_path: Path, workers: int) -> None:
    distributed = pytest.importorskip("distributed")
    here = posterior()
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert torch.equal(posterior(executor=client), here)
        assert torch.equal(posterior(executor=client, simulator=KillsItsWorkerOnce(tmp_path / "killed")), here)
    assert (tmp_path / "killed").exists()
