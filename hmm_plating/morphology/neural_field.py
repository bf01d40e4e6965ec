"""A surface as the level set of a coordinate network with sinusoidal activation, periodic along the crystal.

    ξ(r) = σ(4 d(r)/ℓ),   d(r) = thickness − y + amplitude · u(φ(r)),   u = W_m sin(… sin(W_1 φ + b_1) …) + b_m

φ holds cos and sin of whole multiples of 2πx/width (and 2πz/depth) and of πy/height: so u is periodic exactly, and
overhangs are no harder than hills. With the last layer at zero, ξ is the equilibrium profile of a flat film. Sources:
Tancik et al., NeurIPS 2020 (arXiv:2006.10739), Fourier features; Sitzmann et al., NeurIPS 2020 (arXiv:2006.09661),
sinusoidal activation and its initial weights; Park et al., CVPR 2019 (arXiv:1901.05103), signed distance as output.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hmm_plating.errors import InputError


@dataclass(frozen=True)
class NeuralField:
    """A family of surfaces in a box, indexed by one flat vector of weights, fit to be a latent variable.

    Weights are in units of their own scale (non-centred): independent standard normals are a sensible prior, in which
    u is of order 1. 2-D and 3-D differ in `shape` alone.

    Attributes:
        shape: of the box in cells, (rows, columns) or (layers, rows, columns).
        spacing: of the grid [m].
        interface_width: ℓ [m].
        thickness: of the flat film that it starts from [m].
        amplitude: how far u = 1 moves the surface [m].
        harmonics: highest multiple of the fundamental wave along each lateral axis and of half a wave along y: the
            finest feature of the first layer is width/(2 · harmonics).
        hidden: neurons of each hidden layer.
    """

    shape: tuple[int, ...]
    spacing: float
    interface_width: float
    thickness: float
    amplitude: float
    harmonics: int = 4
    hidden: tuple[int, ...] = (48, 48)

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in self.shape):
            raise InputError(
                f"NeuralField.shape must be (rows, columns) or (layers, rows, columns), got {self.shape!r}"
            )
        for name in ("spacing", "interface_width", "thickness", "amplitude"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"NeuralField.{name} must be a positive length in metres, got {value!r}")
        if self.harmonics < 1 or not self.hidden or min(self.hidden) < 1:
            raise InputError(
                f"NeuralField: harmonics and every hidden layer must be at least 1, got {self.harmonics!r} and "
                f"{self.hidden!r}"
            )

    @property
    def weight_count(self) -> int:
        """Length of the vector of weights."""
        return sum((rows + 1) * columns for rows, columns in self._layers())

    def initial_weights(self, generator: torch.Generator | None = None) -> Tensor:
        """Random hidden layers, the last one zero: the flat film (weight_count,)."""
        weights = torch.randn(self.weight_count, dtype=torch.float64, generator=generator)
        rows, columns = self._layers()[-1]
        weights[-(rows + 1) * columns :] = 0
        return weights

    def __call__(self, weights: Tensor) -> Tensor:
        """Order parameter ξ (..., [z,] y, x) of weights (..., weight_count), differentiable.

        Raises:
            InputError: another number of weights.
        """
        return torch.sigmoid(4 * self.distance(weights) / self.interface_width)

    def distance(self, weights: Tensor) -> Tensor:
        """Level-set function d [m], positive in metal (..., [z,] y, x); a distance where its gradient has length 1."""
        return self.thickness - self.height(weights) + self.amplitude * self.displacement(weights)

    def height(self, like: Tensor) -> Tensor:
        """y of the centres of all rows [m] (rows, 1), of the dtype and device of `like`."""
        rows = torch.arange(self.shape[-2], dtype=like.dtype, device=like.device)
        return (rows + 0.5)[:, None] * self.spacing

    def displacement(self, weights: Tensor) -> Tensor:
        """u of order 1 (..., [z,] y, x) of weights (..., weight_count)."""
        if weights.shape[-1:] != (self.weight_count,):
            raise InputError(f"weights must be (..., {self.weight_count}), got {tuple(weights.shape)}")
        values, start = self._features(weights), 0
        for number, (rows, columns) in enumerate(self._layers()):  # √2: the mean square of a sine is ½
            end = start + rows * columns
            matrix = weights[..., start:end].unflatten(-1, (rows, columns))
            bias = weights[..., None, end : end + columns]
            values = values @ matrix * math.sqrt(2 / rows) + bias
            if number < len(self.hidden):
                values = torch.sin(values)
            start = end + columns
        return values[..., 0].unflatten(-1, self.shape)

    def _layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        widths = [2 * self.harmonics * len(self.shape), *self.hidden, 1]
        return list(itertools.pairwise(widths))

    def _features(self, like: Tensor) -> Tensor:
        """φ at the centres of all cells (cell, feature)."""
        multiple = torch.arange(1, self.harmonics + 1, dtype=like.dtype, device=like.device)
        waves = []
        for axis, count in enumerate(self.shape):
            period = 2 if axis == len(self.shape) - 2 else 1  # along y half a wave: its ends need not agree
            place = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / (period * count)
            phase = 2 * math.pi * place[:, None] * multiple
            wave = torch.cat([torch.cos(phase), torch.sin(phase)], -1)
            placed = [1] * len(self.shape)
            placed[axis] = count
            waves.append(wave.reshape(*placed, -1).expand(*self.shape, -1))
        return torch.cat(waves, -1).flatten(0, -2)
