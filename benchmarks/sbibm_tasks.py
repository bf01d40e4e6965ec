"""Five tasks of sbibm with simulators restated in torch; observations and reference posteriors from its wheel.

Lueckmann et al., "Benchmarking Simulation-Based Inference" (AISTATS 2021), appendix T. The wheel is read as a zip and
never installed, because it pins old packages: `pip download --no-deps sbibm==1.1.0`.
"""

from __future__ import annotations

import bz2
import io
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pyro import distributions as dist
from torch import Tensor

_CACHE = Path.home() / ".cache" / "sbibm_wheel"


class Task(NamedTuple):
    """Prior and vectorised simulator."""

    prior: dist.TorchDistribution
    simulator: Callable[[Tensor], Tensor]


class Case(NamedTuple):
    """Observation (m,) and reference posterior (10000, d)."""

    observed: Tensor
    reference: Tensor


def two_moons(theta: Tensor) -> Tensor:
    angle = math.pi * (torch.rand(len(theta)) - 0.5)
    radius = 0.1 + 0.01 * torch.randn(len(theta))
    first, second = (theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]
    return torch.stack(
        [radius * angle.cos() + 0.25 - first / math.sqrt(2), radius * angle.sin() + second / math.sqrt(2)], 1
    )


def gaussian_linear(theta: Tensor) -> Tensor:
    return theta + math.sqrt(0.1) * torch.randn_like(theta)


def gaussian_mixture(theta: Tensor) -> Tensor:
    scale = torch.where(torch.rand(len(theta), 1) < 0.5, 1.0, 0.1)
    return theta + scale * torch.randn_like(theta)


def slcp(theta: Tensor) -> Tensor:
    """Four points from a normal distribution: mean θ₁, θ₂, standard deviations θ₃², θ₄², correlation tanh θ₅."""
    first, second, correlation = theta[:, 2] ** 2, theta[:, 3] ** 2, torch.tanh(theta[:, 4])
    noise = torch.randn(len(theta), 4, 2)
    mixed = correlation[:, None] * noise[..., 0] + (1 - correlation[:, None] ** 2).sqrt() * noise[..., 1]
    return torch.stack(
        [theta[:, :1] + first[:, None] * noise[..., 0], theta[:, 1:2] + second[:, None] * mixed], -1
    ).reshape(len(theta), 8)


def sir(theta: Tensor, population: float = 1e6, step: float = 0.25) -> Tensor:
    """Infected people among 1000 tested every 17 days; classical Runge–Kutta."""
    contact, recovery = theta.double().T
    state = torch.stack([torch.full_like(contact, population - 1), torch.ones_like(contact)])
    infected = []

    def rate(state: Tensor) -> Tensor:
        infections = contact * state[0] * state[1] / population
        return torch.stack([-infections, infections - recovery * state[1]])

    for number in range(int(160 / step) + 1):
        if number % int(17 / step) == 0:
            infected.append(state[1])
        first = rate(state)
        second = rate(state + step / 2 * first)
        third = rate(state + step / 2 * second)
        state = state + step / 6 * (first + 2 * second + 2 * third + rate(state + step * third))
    return torch.distributions.Binomial(1000, (torch.stack(infected, 1) / population).clamp(0, 1)).sample().float()


def _uniform(bound: float, dimension: int) -> dist.TorchDistribution:
    return dist.Uniform(-bound * torch.ones(dimension), bound * torch.ones(dimension)).to_event(1)


TASKS = {
    "two_moons": Task(_uniform(1.0, 2), two_moons),
    "gaussian_linear": Task(dist.Normal(torch.zeros(10), math.sqrt(0.1)).to_event(1), gaussian_linear),
    "gaussian_mixture": Task(_uniform(10.0, 2), gaussian_mixture),
    "slcp": Task(_uniform(3.0, 5), slcp),
    "sir": Task(
        dist.LogNormal(torch.tensor([math.log(0.4), math.log(0.125)]), torch.tensor([0.5, 0.2])).to_event(1), sir
    ),
}


def case(task: str, observation: int) -> Case:
    """From the wheel, which is downloaded once."""
    with zipfile.ZipFile(_wheel()) as wheel:
        folder = f"sbibm/tasks/{task}/files/num_observation_{observation}"
        observed = _rows(wheel.read(f"{folder}/observation.csv"))[0]
        reference = _rows(bz2.decompress(wheel.read(f"{folder}/reference_posterior_samples.csv.bz2")))
    return Case(observed.float(), reference)


def c2st(reference: Tensor, draws: Tensor, seed: int) -> float:
    """Accuracy of a classifier that tells the two apart, by sbibm's recipe: 0.5 where it cannot, 1 at best."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, deviation = reference.mean(0), reference.std(0)
    both = torch.cat([(reference - mean) / deviation, (draws - mean) / deviation]).float().numpy()
    width = 10 * both.shape[1]
    classifier = MLPClassifier(hidden_layer_sizes=(width, width), max_iter=10000, random_state=seed)
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    label = np.repeat([0.0, 1.0], [len(reference), len(draws)])
    return float(np.mean(cross_val_score(classifier, both, label, cv=folds)))


def _wheel() -> Path:
    if not list(_CACHE.glob("sbibm-1.1.0-*.whl")):
        _CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(_CACHE), "sbibm==1.1.0"]
        subprocess.run(command, check=True)
    return next(_CACHE.glob("sbibm-1.1.0-*.whl"))


def _rows(text: bytes) -> Tensor:
    return torch.from_numpy(np.loadtxt(io.BytesIO(text), delimiter=",", skiprows=1, ndmin=2))
