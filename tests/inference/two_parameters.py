"""A scalar linear-Gaussian model with two unknown parameters, and their posterior on a grid."""

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from scipy.stats import lognorm

NOISE = 0.7


class Autoregression:
    """x_0 ~ N(0, 1), x_t = ρ x_{t−1} + N(0, q²), y_t = x_t + N(0, 0.7²), given {"rho": ρ, "q": q}."""

    def __init__(self, parameters):
        self.parameters = parameters

    def init(self, state):
        state["x"] = pyro.sample("x", dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0))

    def step(self, state, y=None):
        centre = self.parameters["rho"] * state["x"]
        state["x"] = pyro.sample("x", dist.Normal(centre, self.parameters["q"]))
        pyro.sample("y", dist.Normal(state["x"], NOISE), obs=y)


def prior():
    pyro.sample("rho", dist.Uniform(torch.tensor(0.0, dtype=torch.float64), 1.0))
    pyro.sample("q", dist.LogNormal(torch.tensor(-0.5, dtype=torch.float64), 0.5))


def simulate(steps: int, seed: int) -> torch.Tensor:
    """With ρ = 0.8, q = 0.6."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(), []
    for _ in range(steps):
        x = 0.8 * x + 0.6 * generator.normal()
        y.append(x + NOISE * generator.normal())
    return torch.tensor(y, dtype=torch.float64)


class GridPosterior:
    """Kalman's likelihood times the prior at 400 × 400 points: log evidence and marginals."""

    def __init__(self, y: torch.Tensor):
        rho, log_q = (np.arange(400) + 0.5) / 400, np.linspace(-3.5, 1.5, 400)
        q = np.exp(log_q)
        logarithm = kalman(y, rho[:, None], q[None]) + lognorm.logpdf(q, 0.5, scale=np.exp(-0.5)) + log_q
        mass = np.exp(logarithm - logarithm.max())
        self.log_evidence = float(np.log(mass.sum() * (log_q[1] - log_q[0]) / 400) + logarithm.max())
        mass /= mass.sum()
        self.grids = {"rho": rho, "q": q}
        self.distributions = {"rho": _middle(mass.sum(1)), "q": _middle(mass.sum(0))}

    def distance(self, name: str, draws: np.ndarray) -> float:
        """Kolmogorov and Smirnov's, of draws from the marginal."""
        draws = np.sort(np.ravel(draws))
        exact = np.interp(draws, self.grids[name], self.distributions[name])
        above, below = np.arange(1, len(draws) + 1) / len(draws), np.arange(len(draws)) / len(draws)
        return float(max(np.abs(exact - above).max(), np.abs(exact - below).max()))


def kalman(y: torch.Tensor, rho: np.ndarray, q: np.ndarray) -> np.ndarray:
    """log p(y | ρ, q), in scalars."""
    mean, variance, total = np.zeros_like(rho * q), np.ones_like(rho * q), 0.0
    for value in y.numpy():
        mean, variance = rho * mean, rho**2 * variance + q**2
        spread = variance + NOISE**2
        total = total - 0.5 * (np.log(2 * np.pi * spread) + (value - mean) ** 2 / spread)
        gain = variance / spread
        mean, variance = mean + gain * (value - mean), (1 - gain) * variance
    return total


def _middle(mass: np.ndarray) -> np.ndarray:
    return np.cumsum(mass) - 0.5 * mass
