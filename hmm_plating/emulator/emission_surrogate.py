"""The excess of the load by a small network that corrects a physical first guess, many surfaces in one pass.

    Z/√(iωρη) − 1 = UD_n exp(g_n),    UD_n: slight roughness (Urbakh and Daikhin), g_n: complex, learned

UD vanishes for a flat wall at any height, so the flat limit is exact whatever g is. g depends on the surface and on δ_n
alone, both in cells: the unsteady Stokes equation has no other number. It is a polynomial in ln δ_n whose coefficients
come from the columns of the surface: every column of cells is embedded as a vector, vectors are mixed along x by
periodic, even kernels as long as the box, and averaged over x, evenly and by relief. So lateral shifts and mirror
images change nothing, exactly. Several networks that differ in their seed are averaged in g; their spread tells how far
to trust them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmm_plating import emission
from hmm_plating.emission.closed_form import Overtones, angular_frequencies
from hmm_plating.emulator.trust import Trust, descriptors
from hmm_plating.emulator.weights import Ensemble, ModelCard, load_weights, restored, save_weights
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Metal, Resonator
from hmm_plating.threads import in_threads, one_torch_thread

DEGREE = 3  # of the polynomial in ln δ_n
HEAD = 64  # numbers per surface in the last layers, which cost next to nothing
_AT_ONCE = 128  # surfaces whose channels fit the cache
DEPTH = "penetration_depth"  # name of δ_n in the card's ranges
DESCRIPTORS = descriptors(torch.zeros(1, 2, 2)).shape[-1]


class CorrectionNetwork(nn.Module):
    """Coefficients of g for surfaces of one box.

    Args:
        rows, columns: of the box in cells.
        channels: numbers per column.
        layers: of lateral mixing.
    """

    def __init__(self, rows: int, columns: int, channels: int = 32, layers: int = 2) -> None:
        super().__init__()
        lags = columns // 2 + 1
        reach = torch.logspace(0, math.log10(columns / 4), channels)[:, None]
        decay = torch.exp(-torch.arange(lags) / reach)
        self.embedding = nn.Parameter(torch.randn(channels, rows) / math.sqrt(rows))
        self.kernels = nn.ParameterList(torch.randn(channels, lags) * decay / reach.sqrt() for _ in range(layers))
        self.biases = nn.ParameterList(torch.zeros(channels, 1, 1) for _ in range(layers))
        self.pointwise = nn.ParameterList(
            torch.randn(channels, channels) / math.sqrt(channels * layers) for _ in range(layers - 1)
        )
        last = nn.Linear(HEAD, 2 * (DEGREE + 1))
        for parameter in last.parameters():
            nn.init.zeros_(parameter)  # begin at the first guess
        self.head = nn.Sequential(
            nn.Linear(2 * channels * layers, HEAD), nn.SiLU(), nn.Linear(HEAD, HEAD), nn.SiLU(), last
        )

    def forward(self, solid_fraction: Tensor) -> Tensor:
        """Real and imaginary coefficients (surface, 2, DEGREE + 1) of solid fractions (surface, y, x)."""
        surfaces, rows, columns = solid_fraction.shape
        by_column = self.embedding[:, :rows] @ solid_fraction.transpose(0, 1).reshape(rows, -1)
        hidden = by_column.view(-1, surfaces, columns)  # channels lead: each step is one large matrix product
        height = solid_fraction.sum(1)
        relief = (height - height.mean(-1, keepdim=True)).square()
        share = relief / (relief.sum(-1, keepdim=True) + 1e-12)
        pooled = []
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            mixed = (hidden @ circulant(kernel, columns)).add_(bias)
            mixed = nn.functional.silu(mixed, inplace=not mixed.requires_grad)
            pooled += [mixed.mean(-1), (mixed * share).sum(-1)]
            if layer < len(self.pointwise):
                hidden = hidden + (self.pointwise[layer] @ mixed.view(len(mixed), -1)).view(hidden.shape)
        return self.head(torch.cat(pooled).T).view(surfaces, 2, DEGREE + 1)


def circulant(kernel: Tensor, columns: int) -> Tensor:
    """Matrices of even periodic convolutions (channel, x, x) with kernels at the lags 0 … columns // 2."""
    period = torch.cat([kernel, kernel[:, 1 : (columns + 1) // 2].flip(-1)], -1)
    rows = torch.cat([period, period], -1).unfold(-1, columns, 1)  # the row of column i begins at lag −i
    return rows[:, 1:].flip(1).contiguous()


def chebyshev(penetration_depth: Tensor, limits: tuple[float, float]) -> Tensor:
    """Polynomials in ln δ between the limits (..., DEGREE + 1), which have the unit of δ."""
    low, high = (math.log(limit) for limit in limits)
    position = (2 * torch.log(penetration_depth) - low - high) / (high - low)
    powers = [torch.ones_like(position), position]
    while len(powers) <= DEGREE:
        powers.append(2 * position * powers[-1] - powers[-2])
    return torch.stack(powers, -1)


def corrected_excess(coefficients: Tensor, solid_fraction: Tensor, penetration_depth: Tensor, basis: Tensor) -> Tensor:
    """Excess over a flat wall relative to it, complex (surface, overtone).

    Args:
        coefficients: of g (surface, 2, DEGREE + 1).
        solid_fraction: (surface, y, x).
        penetration_depth: in cells, (overtone,) or (surface, overtone).
        basis: `chebyshev` of it.
    """
    height = solid_fraction.sum(-2)
    relief = height - height.mean(-1, keepdim=True)  # exactly zero where flat
    correction = (coefficients[:, :, None, :] * basis[..., None, :, :].expand(len(coefficients), 1, -1, -1)).sum(-1)
    return emission.slight_roughness(relief, 1.0, penetration_depth) * torch.exp(torch.complex(*correction.unbind(1)))


class Guess(NamedTuple):
    """Loads [Pa s/m], complex (..., overtone), and whether each surface's are to be trusted, bool (...,)."""

    load: Tensor
    trusted: Tensor


@dataclass(frozen=True)
class EmissionSurrogate:
    """Networks of one weights file, used as `emission.load_impedance` is.

    Attributes:
        networks: differ in their seed.
        card: what they were trained on.
        trust: which surfaces they know.
    """

    networks: tuple[CorrectionNetwork, ...]
    card: ModelCard
    trust: Trust

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmissionSurrogate:
        """From a weights file.

        Raises:
            InputError: as `load_weights` and `restore`; a card that describes no such networks.
        """
        tensors, card = load_weights(path, "emission")
        try:
            shape = {name: int(card.architecture[name]) for name in ("rows", "columns", "channels", "layers")}
            count = int(card.architecture["networks"])
            card.ranges[DEPTH]
            networks = [CorrectionNetwork(**shape) for _ in range(count)]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"weights {path}: the card describes no emission network ({error})") from error
        trained, trust = restored(networks, DESCRIPTORS, tensors, path)
        return cls(trained, card, trust)

    def weights(self) -> dict[str, Tensor]:
        """All numbers, by their names in the weights file."""
        return Ensemble(self.networks, self.trust).state_dict()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights file."""
        save_weights(path, self.weights(), self.card)

    def check(
        self, cells: Sequence[int], spacing: float, overtones: Overtones, electrolyte: Electrolyte, resonator: Resonator
    ) -> None:
        """Raise InputError, which names what differs, unless the networks were trained on such a box and liquid.

        Args:
            cells: of the box, (rows, columns).
            spacing: of the cells [m].
            overtones, electrolyte, resonator: which give δ_n.
        """
        self.card.check_spacing(spacing)
        trained = (self.card.architecture["rows"], self.card.architecture["columns"])
        if tuple(cells) != trained:
            raise InputError(
                f"the emission network was trained on boxes of {' × '.join(map(str, trained))} cells (rows × columns), "
                f"not of {' × '.join(map(str, cells))}: use that grid, or train one for this with hmm-plating train"
            )
        self.card.check_range(DEPTH, penetration_depths(overtones, electrolyte, resonator))

    @one_torch_thread()
    def guess(
        self,
        solid_fraction: Tensor,
        spacing: float,
        overtones: Overtones,
        electrolyte: Electrolyte,
        resonator: Resonator,
        metal: Metal | None = None,
    ) -> Guess:
        """Loads of a batch of surfaces in one pass, and which of them to trust; arguments as `load_impedance`."""
        *batch, rows, columns = solid_fraction.shape
        self.check((rows, columns), spacing, overtones, electrolyte, resonator)
        fraction = solid_fraction.reshape(-1, rows, columns)
        if not fraction.requires_grad and len(fraction):  # rows without metal add nothing to the value
            occupied = torch.arange(1, rows + 1)[fraction.amax((0, 2)) > 0]
            fraction = fraction[:, : int(occupied[-1]) if len(occupied) else 1]
        depth = penetration_depths(overtones, electrolyte, resonator)
        basis = chebyshev(depth, self.card.ranges[DEPTH])
        own = fraction.to(self.networks[0].embedding.dtype)
        coefficients = self._coefficients(own).double()
        excess = corrected_excess(coefficients.mean(0), fraction.double(), depth / spacing, basis)
        spread = disagreement(coefficients.detach(), basis)
        load = emission.kanazawa_gordon(overtones, electrolyte, resonator) * (1 + excess)
        if metal is not None:
            load = load + emission.metal_inertia(fraction, spacing, overtones, metal, resonator)
        trusted = self.trust.trusted(descriptors(own.detach().float()), spread)
        trusted |= (own == 0).flatten(1).all(-1)  # a bare crystal's load is exact
        return Guess(load.reshape(*batch, -1), trusted.reshape(batch))

    def _coefficients(self, fraction: Tensor) -> Tensor:
        """Of every network (network, surface, 2, DEGREE + 1)."""
        pairs = list(itertools.product(self.networks, fraction.split(_AT_ONCE)))
        found, traced = [fraction] * len(pairs), torch.is_grad_enabled()

        def ask(index: int) -> None:
            network, surfaces = pairs[index]
            with torch.set_grad_enabled(traced):  # which threads do not inherit
                found[index] = network(surfaces)

        in_threads(ask, [(index,) for index in range(len(pairs))])
        return torch.cat(found).reshape(len(self.networks), len(fraction), 2, DEGREE + 1)

    def load_impedance(
        self,
        solid_fraction: Tensor,
        spacing: float,
        overtones: Overtones,
        electrolyte: Electrolyte,
        resonator: Resonator,
        metal: Metal | None = None,
    ) -> Tensor:
        """Z_L above the crystal plane y = 0, as `emission.load_impedance` gives it, by the networks.

        Args:
            solid_fraction: (..., y, x) in [0, 1], row 0 at the crystal, x periodic and the direction of shear.
            spacing: cell size [m].
            overtones: odd orders n.
            electrolyte, resonator: density and viscosity; f0.
            metal: where given, its inertia is added.

        Returns:
            complex (..., overtone) [Pa s/m], differentiable in `solid_fraction`.

        Raises:
            InputError: see `check`.
        """
        return self.guess(solid_fraction, spacing, overtones, electrolyte, resonator, metal).load


def disagreement(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Largest standard deviation of g over the networks at any overtone (surface,).

    Args:
        coefficients: (network, surface, 2, DEGREE + 1).
        basis: `chebyshev` (overtone, DEGREE + 1).
    """
    if len(coefficients) == 1:
        return torch.zeros(coefficients.shape[1], dtype=coefficients.dtype)
    values = coefficients @ basis.T.to(coefficients.dtype)
    return values.var(0).sum(1).amax(-1).sqrt()


def penetration_depths(overtones: Overtones, electrolyte: Electrolyte, resonator: Resonator) -> Tensor:
    """δ_n [m], (overtone,)."""
    omegas = angular_frequencies(overtones, resonator).tolist()
    return torch.tensor([electrolyte.penetration_depth(omega) for omega in omegas], dtype=torch.float64)
