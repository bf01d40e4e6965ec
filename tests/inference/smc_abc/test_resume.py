"""A run that was interrupted anywhere ends, once resumed, with the result of an uninterrupted one, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulators import OBSERVED, linear, normal_prior

from hmm_plating.errors import InputError
from hmm_plating.inference import SMCABC
from hmm_plating.inference.smc_abc import NoAdjustment, TimeAbove

SETTINGS = {"populations": 3, "block_size": 50, "draws": 100, "adjustment": NoAdjustment(), "smooth": False}


class Interrupted(Exception):
    pass


def interrupted_after(blocks: int) -> Callable[..., Iterator[Any]]:
    done = 0

    def executor(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        nonlocal done
        for given in arguments:
            if done == blocks:
                raise Interrupted
            done += 1
            yield function(*given)

    return executor


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 5])
def test_resumed_run_is_bit_exact(tmp_path: Path, blocks: int) -> None:
    whole = SMCABC(normal_prior(), linear, **SETTINGS).run(OBSERVED, simulations=300, seed=6)
    with pytest.raises(Interrupted):
        SMCABC(normal_prior(), linear, executor=interrupted_after(blocks), **SETTINGS).run(
            OBSERVED, simulations=300, seed=6, checkpoint=tmp_path / "run", resume=True
        )
    calls = []

    def counted(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        for given in arguments:
            calls.append(given)
            yield function(*given)

    resumed = SMCABC(normal_prior(), linear, executor=counted, **SETTINGS).run(
        OBSERVED, simulations=300, seed=6, checkpoint=tmp_path / "run", resume=True
    )
    assert len(calls) == 6 - blocks
    for group in ("posterior", "sample_stats", "population_stats", "prior", "prior_predictive"):
        assert resumed[group].identical(whole[group])


def test_a_finished_run_simulates_nothing_and_keeps_its_decisions_about_time(tmp_path: Path) -> None:
    method = SMCABC(normal_prior(), linear, population_size=100, adjustment=NoAdjustment())
    first = method.run(OBSERVED, stop=TimeAbove(0.05), checkpoint=tmp_path / "run")

    def refuse(theta: object) -> None:
        raise AssertionError("simulated again")

    assert method.run(OBSERVED, stop=TimeAbove(0.05), checkpoint=tmp_path / "run", resume=True).posterior.identical(
        first.posterior
    )
    with pytest.raises(InputError, match="another prior, simulator"):
        SMCABC(normal_prior(), refuse, population_size=100, adjustment=NoAdjustment()).run(
            OBSERVED, stop=TimeAbove(0.05), checkpoint=tmp_path / "run", resume=True
        )


def test_wrong_checkpoints_are_refused(tmp_path: Path) -> None:
    method = SMCABC(normal_prior(), linear, **SETTINGS)
    method.run(OBSERVED, simulations=300, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="holds a checkpoint already"):
        method.run(OBSERVED, simulations=300, checkpoint=tmp_path / "run")
    for arguments in ({"seed": 1}, {"simulations": 400}):
        with pytest.raises(InputError, match="another prior, simulator, seed"):
            method.run(OBSERVED, **{"simulations": 300, "checkpoint": tmp_path / "run", "resume": True, **arguments})
    with pytest.raises(InputError, match="another prior, simulator, seed"):
        method.run(OBSERVED + 1, simulations=300, checkpoint=tmp_path / "run", resume=True)
    sorted((tmp_path / "run").iterdir())[0].unlink()
    with pytest.raises(InputError, match="is missing"):
        method.run(OBSERVED, simulations=300, checkpoint=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="pass checkpoint"):
        method.run(OBSERVED, simulations=300, resume=True)
