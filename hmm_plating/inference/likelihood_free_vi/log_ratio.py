"""The ratio as the objective sees it: network, known densities and whitening together.

r(x, z, β) = f(x, z, β) − log q(x) − log q(z | x, β)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hmm_plating.inference.likelihood_free_vi.frame import Frame
from hmm_plating.inference.likelihood_free_vi.local_guide import LocalGuide
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork

_CHUNK = 2**18
LOCAL_DRAWS = 8


class LogRatio(nn.Module):
    """r(y, z, β) for data y whitened by the reference, latents z and parameters β of the guide.

    Args:
        ratio: builds the network from the length of (y, z) and that of β.
        data_size, local_size, parameter_size: lengths of y, z and β; local_size is 0 without local latents.
    """

    def __init__(
        self, ratio: Callable[[int, int], RatioNetwork], data_size: int, local_size: int, parameter_size: int
    ) -> None:
        super().__init__()
        self.data_size = data_size
        self.network = ratio(data_size + local_size, parameter_size)
        self.parameter_frame = Frame(parameter_size)
        self.local_frame = Frame(local_size)
        self.local_guide = LocalGuide(local_size, data_size, parameter_size) if local_size else None

    def forward(self, data: Tensor, local: Tensor, parameters: Tensor) -> Tensor:
        """r at y (…, k), whitened z (…, l) and β (…, d): (…,)."""
        b = self.parameter_frame.inverse(parameters)
        log_reference = -0.5 * data.square().sum(-1) - 0.5 * data.shape[-1] * math.log(2 * math.pi)
        if self.local_guide is not None:
            log_reference = log_reference + self.local_guide(data, b).log_prob(local)
        return self.network(torch.cat([data, local], -1), b) - log_reference

    def draw_local(self, data: Tensor, parameters: Tensor) -> Tensor:
        """Whitened z ~ q(z | y, β), reparameterised: (…, l)."""
        if self.local_guide is None:
            return data[..., :0]
        return self.local_guide(data, self.parameter_frame.inverse(parameters)).rsample()

    def sampled(self, data: Tensor, parameters: Tensor) -> Tensor:
        """r(y_m, z_m, β_s) with z drawn from the guide, for data (M, k) and parameters (S, d): (S, M)."""
        shape = (len(parameters), len(data))
        y = data.expand(*shape, -1)
        beta = parameters[:, None].expand(*shape, -1)
        return self(y, self.draw_local(y, beta), beta)

    @torch.no_grad()
    def log_likelihood(self, data: Tensor, parameters: Tensor) -> Tensor:
        """Σ_m log p(x_m | β_s) − log q(x_m), local latents integrated by importance sampling: (S,)."""
        draws = LOCAL_DRAWS if self.local_guide is not None else 1
        rows = max(1, _CHUNK // (len(data) * draws))
        totals = []
        for chunk in parameters.split(rows):
            sampled = torch.stack([self.sampled(data, chunk) for _ in range(draws)])
            totals.append((torch.logsumexp(sampled, 0) - math.log(draws)).sum(-1))
        return torch.cat(totals)
