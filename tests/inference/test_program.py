"""Log densities of a program's sites, against torch's own formulas."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from hmm_plating.inference.program import Program, log_density


class Bare:
    """Without plates: a scalar, and several in one event."""

    def __init__(self, scale):
        self.scale = scale

    def step(self, state, y):
        pyro.sample("bare", dist.Normal(state["x"][:, 0], self.scale[:, 0]), obs=y[0])
        pyro.sample("event", dist.Normal(state["x"], self.scale).to_event(1), obs=y)


class Plated(Bare):
    """The same in a plate of channels."""

    def step(self, state, y):
        with pyro.plate("channels", 3, dim=-1):
            pyro.sample("plated", dist.Normal(state["x"], self.scale), obs=y)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 1), (5, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_density(shape, dtype):
    """The deviation may be shared by particles and channels, by one of them or by none."""
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(5, 3, generator=generator, dtype=dtype), torch.randn(3, generator=generator, dtype=dtype)
    scale = torch.rand(shape, generator=generator, dtype=dtype) + 0.1
    expected = torch.distributions.Normal(x, scale).log_prob(y).double()
    for model, nesting in ((Bare(scale), 0), (Plated(scale), 1)):
        program = Program(model, "step", (y,), 5, nesting, "here")
        for name, site in program.run({"x": x}).items():
            wanted = expected[:, 0] if name == "bare" else expected.sum(1)
            error = (log_density(site, program) - wanted).abs().max()
            assert error < (1e-13 if dtype == torch.float64 else 1e-4)
