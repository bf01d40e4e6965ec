"""State-space models with known answers, and those answers from the joint distribution of all observations at once."""

import math
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import multivariate_normal

from hmm_plating.inference import PartiallyObservedNormal, observation_distribution, predict, update

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "published"


def published(name: str) -> Path:
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip(f"published reference data {name} are not here")
    return path


class LinearGaussian(NamedTuple):
    """x_0 ~ N(m, P), x_t = A x_{t−1} + N(0, Q), y_t = H x_t + N(0, R); a Pyro model with init and step."""

    mean: torch.Tensor
    covariance: torch.Tensor
    transition: torch.Tensor
    process: torch.Tensor
    matrix: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def scalar(cls, transition: float, process: float, noise: float, mean: float, variance: float) -> "LinearGaussian":
        return cls(
            torch.tensor([mean], dtype=torch.float64),
            *(torch.tensor([[v]], dtype=torch.float64) for v in (variance, transition, process, 1.0, noise)),
        )

    @classmethod
    def four_dimensional(cls) -> "LinearGaussian":
        generator = torch.Generator().manual_seed(3)
        rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator)).Q
        matrix = torch.randn(3, 4, dtype=torch.float64, generator=generator)
        root = torch.randn(4, 4, dtype=torch.float64, generator=generator)
        identity = torch.eye(4, dtype=torch.float64)
        return cls(
            torch.arange(4.0).double(),
            identity + 0.1 * root @ root.T,
            0.9 * rotation,
            0.2 * identity + 0.05 * root @ root.T,
            matrix,
            torch.diag(torch.tensor([0.8, 1.0, 1.5], dtype=torch.float64)),
        )

    def init(self, state):
        state["x"] = pyro.sample("x", dist.MultivariateNormal(self.mean, self.covariance))

    def step(self, state, y):
        centre = state["x"] @ self.transition.T
        state["x"] = pyro.sample("x", dist.MultivariateNormal(centre, self.process))
        pyro.sample("y", PartiallyObservedNormal(state["x"] @ self.matrix.T, self.noise), obs=y)

    def simulate(self, steps: int, seed: int) -> torch.Tensor:
        mean, covariance = self.joint(steps)
        n = len(self.noise) * steps
        draw = np.random.default_rng(seed).multivariate_normal(mean[-n:], covariance[-n:, -n:])
        return torch.from_numpy(draw).reshape(steps, -1)

    def joint(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of (x_0 … x_T, y_1 … y_T), as a linear map of independent draws."""
        k, c = len(self.mean), len(self.noise)
        a, h = self.transition.numpy(), self.matrix.numpy()
        roots = [np.linalg.cholesky(m.numpy()) for m in (self.covariance, self.process, self.noise)]
        state_map = np.zeros((steps + 1, k, (steps + 1) * k + steps * c))
        state_map[0, :, :k] = roots[0]
        means = [self.mean.numpy()]
        for t in range(1, steps + 1):
            state_map[t] = a @ state_map[t - 1]
            state_map[t, :, t * k : (t + 1) * k] += roots[1]
            means.append(a @ means[-1])
        observation_map = np.einsum("ck,tkj->tcj", h, state_map[1:])
        for t in range(steps):
            start = (steps + 1) * k + t * c
            observation_map[t, :, start : start + c] += roots[2]
        full = np.concatenate([state_map.reshape(-1, state_map.shape[-1]), observation_map.reshape(steps * c, -1)])
        mean = np.concatenate([np.concatenate(means), np.concatenate([h @ m for m in means[1:]])])
        return mean, full @ full.T

    def log_evidence(self, y: torch.Tensor) -> float:
        """log p(y); NaN entries are left out."""
        mean, covariance = self.joint(len(y))
        n = y.numel()
        seen = ~np.isnan(y.numpy().ravel())
        return multivariate_normal.logpdf(
            y.numpy().ravel()[seen], mean[-n:][seen], covariance[-n:, -n:][np.ix_(seen, seen)]
        )

    def filtered(self, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean (k,) and covariance (k, k) of x_T given all of y, by conditioning the joint normal."""
        mean, covariance = self.conditional(y)
        k = len(self.mean)
        return mean[-k:], covariance[-k:, -k:]

    def smoothed(self, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, k) and covariance (T, k, k) of x_1 … x_T given all of y."""
        mean, covariance = self.conditional(y)
        k, steps = len(self.mean), range(1, len(y) + 1)
        blocks = [covariance[t * k : (t + 1) * k, t * k : (t + 1) * k] for t in steps]
        return mean.reshape(-1, k)[1:], np.stack(blocks)

    def forecast(self, y: torch.Tensor, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (steps, ·) and covariance of the states and observations that follow y."""
        unknown = torch.cat([y, y.new_full((steps, y.shape[1]), math.nan)])
        mean, covariance = self.smoothed(unknown)
        h, r = self.matrix.numpy(), self.noise.numpy()
        mean, covariance = mean[-steps:], covariance[-steps:]
        return mean, covariance, mean @ h.T, h @ covariance @ h.T + r

    def conditional(self, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of (x_0 … x_T) given y, by conditioning the joint normal; NaN entries are left out."""
        steps, k = len(y), len(self.mean)
        mean, covariance = self.joint(steps)
        states = (steps + 1) * k
        seen = np.flatnonzero(~np.isnan(y.numpy().ravel())) + states
        gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen, :states]).T
        values = y.numpy().ravel()[seen - states]
        return mean[:states] + gain @ (values - mean[seen]), covariance[:states, :states] - gain @ covariance[
            seen, :states
        ]


class RegimeSwitching:
    """A two-state Markov chain s_t sets the noise of a linear-Gaussian x_t; exact by enumeration of the chain.

    With `marginalise` the particles hold s and the Gaussian belief about x, otherwise s and x.
    """

    stay = 0.8
    transition = torch.tensor([[0.95, 0.3], [0.0, 0.8]], dtype=torch.float64)
    process = torch.stack([torch.diag(torch.tensor(v, dtype=torch.float64)) for v in ([0.05, 0.05], [1.5, 0.4])])
    matrix = torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    offset = torch.tensor([0.3, -0.2], dtype=torch.float64)
    noise = torch.diag(torch.tensor([0.2, 0.4], dtype=torch.float64))
    mean = torch.tensor([0.5, -0.5], dtype=torch.float64)
    covariance = torch.eye(2, dtype=torch.float64)

    def __init__(self, marginalise: bool):
        self.marginalise = marginalise

    def init(self, state):
        state["s"] = pyro.sample("s", dist.Bernoulli(torch.tensor(0.5, dtype=torch.float64))).long()
        if self.marginalise:
            state["mean"] = self.mean.expand(len(state["s"]), 2)
            state["covariance"] = self.covariance.expand(len(state["s"]), 2, 2)
        else:
            state["x"] = pyro.sample("x", dist.MultivariateNormal(self.mean, self.covariance))

    def step(self, state, y):
        one = torch.where(state["s"] == 1, self.stay, 1 - self.stay).double()
        state["s"] = pyro.sample("s", dist.Bernoulli(one)).long()
        process = self.process[state["s"]]
        if self.marginalise:
            belief = predict(state["mean"], state["covariance"], self.transition, process)
            emission = (self.matrix, self.offset, self.noise)
            pyro.sample("y", observation_distribution(*belief, *emission), obs=y)
            state["mean"], state["covariance"] = update(*belief, y, *emission)
        else:
            centre = state["x"] @ self.transition.T
            state["x"] = pyro.sample("x", dist.MultivariateNormal(centre, process))
            pyro.sample("y", PartiallyObservedNormal(state["x"] @ self.matrix.T + self.offset, self.noise), obs=y)

    def exact(self, y: torch.Tensor) -> tuple[float, np.ndarray, float]:
        """log p(y), E[x_T | y] and P(s_T = 1 | y): sum over all 2^(T+1) chains of joint Gaussian densities."""
        log_weights, means, ends = [], [], []
        for chain in product((0, 1), repeat=len(y) + 1):
            prior = math.log(0.5) + sum(math.log(self.stay if a == b else 1 - self.stay) for a, b in pairwise(chain))
            mean, covariance = self._joint(chain)
            n = y.numel()
            values = y.numpy().ravel() - mean[-n:]
            log_weights.append(prior + multivariate_normal.logpdf(values, cov=covariance[-n:, -n:]))
            means.append(mean[:2] + covariance[:2, -n:] @ np.linalg.solve(covariance[-n:, -n:], values))
            ends.append(chain[-1])
        total = np.logaddexp.reduce(log_weights)
        weights = np.exp(np.array(log_weights) - total)
        return float(total), weights @ np.array(means), float(weights @ np.array(ends))

    def _joint(self, chain):
        """Moments of (x_T, y_1 … y_T) by propagating E[x_t] and Cov[x_t, x_s]."""
        a, h, r, b = (m.numpy() for m in (self.transition, self.matrix, self.noise, self.offset))
        steps = len(chain) - 1
        means, cov = [self.mean.numpy()], {(0, 0): self.covariance.numpy()}
        for t in range(1, steps + 1):
            means.append(a @ means[-1])
            for s in range(t):
                cov[t, s] = a @ cov[t - 1, s]
                cov[s, t] = cov[t, s].T
            cov[t, t] = a @ cov[t - 1, t - 1] @ a.T + self.process[chain[t]].numpy()
        rows = range(1, steps + 1)
        yy = np.block([[h @ cov[t, s] @ h.T + (r if t == s else 0) for s in rows] for t in rows])
        xy = np.block([[cov[steps, t] @ h.T for t in rows]])
        mean = np.concatenate([means[-1], *(h @ means[t] + b for t in rows)])
        return mean, np.block([[cov[steps, steps], xy], [xy.T, yy]])
