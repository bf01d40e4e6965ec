"""The one-dimensional diffusion layer between the top of the phase-field box and the bulk of the electrolyte.

A binary electrolyte is electroneutral, so one concentration c describes both ions; at distance y from the box top

    ∂c/∂t = ∂/∂y (D ∂c/∂y),    N₊ = −D ∂c/∂y + t₊ i/(zF),    c(δ) = c0

(Newman and Thomas-Alyea, Electrochemical Systems, 3rd ed., ch. 11). In one dimension the current i, and with it the
migration t₊ i/(zF), is the same at every y and drops out of the balance. It shows at the box top, where the cation flux
J = −N₊ that leaves for the box carries the whole current: D ∂c/∂y = (1 − t₊) J. With a supporting electrolyte t₊ = 0.

In y/δ, c̃ = c/c0 and τ = Dt/δ² this is one fixed linear problem driven by q = (1 − t₊) J δ/(D c0), 1 at the limiting
current. Its finite volumes have fixed modes, so a step under a constant flux is exact in time however long it is:

    c̃(τ) = c̃(0) + V [exp(−λτ) − 1] m,    m = W(c̃(0) − 1) + q s

The volumes grow geometrically from the box top and evenly towards the bulk, which converges exponentially there
(Ingerman, Druskin and Knizhnerman, Comm. Pure Appl. Math. 53 (2000) 1039): 24 of them give the drop at the box top
after any change of the flux within 0.04 % from 1e-7 δ²/D on (3 µs for 100 µm and 3e-10 m²/s), 0.2 % from 1e-8 δ²/D on.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hmm_plating.errors import DepletionError, InputError
from hmm_plating.materials import FARADAY_CONSTANT
from hmm_plating.transition.transport import Transport

NODES = 24
_GROWTH, _GRADED = 0.66, 0.54  # volumes grow by e^0.66 over the first 54 %: least worst error from τ = 1e-7 on
DEPLETION_SAMPLES = np.geomspace(1e-6, 1, 33)  # times of a step, relative to it, at which depletion is looked for
BISECTIONS = 50


def _place(index: np.ndarray) -> np.ndarray:
    """Distance from the box top over the layer thickness; nodes have whole indices, faces of volumes half ones."""
    raw = np.arcsinh(math.exp(-_GROWTH * _GRADED * NODES) * np.sinh(_GROWTH * np.append(index, NODES)))
    return raw[:-1] / raw[-1]


POSITIONS = _place(np.arange(NODES))  # the first node is the box top, the one after the last is the bulk
WIDTHS = np.diff(_place(np.arange(NODES) + 0.5), prepend=0.0)


def _modes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decay rates λ (mode,), V (node, mode), its inverse W (mode, node) and s (mode,), the drop of a unit gradient."""
    root = 1 / np.sqrt(np.diff(POSITIONS, append=1.0))
    scale = np.sqrt(WIDTHS)
    gradient = np.diag(root / scale)
    gradient[np.arange(NODES - 1), np.arange(1, NODES)] = -root[:-1] / scale[1:]
    # the singular values of a bidiagonal matrix come out to full relative precision, eigenvalues would not
    _, singular, vectors = np.linalg.svd(gradient)
    rates, back = singular**2, vectors.T / scale[:, None]
    return rates, np.ascontiguousarray(back), np.ascontiguousarray(vectors * scale), back[0] / rates


RATES, BACK, FORTH, DROP = _modes()


def _like(value: Tensor | float | np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def node_positions(transport: Transport) -> Tensor:
    """Distance of the nodes from the box top [m] (..., node); the first is the box top itself."""
    thickness = torch.as_tensor(transport.layer_thickness, dtype=torch.float64)
    return thickness[..., None] * _like(POSITIONS, thickness)


def node_widths(transport: Transport) -> Tensor:
    """Thickness of electrolyte that each node stands for [m] (..., node)."""
    thickness = torch.as_tensor(transport.layer_thickness, dtype=torch.float64)
    return thickness[..., None] * _like(WIDTHS, thickness)


def relaxed_profile(flux: Tensor | float, transport: Transport) -> Tensor:
    """Steady c̃ (..., node) under a cation flux into the box [mol/(m² s)] (...,): a straight line, 1 everywhere at rest.

    Beyond the limiting current the line runs below zero, and `advance` refuses it.
    """
    flux = torch.as_tensor(flux, dtype=torch.float64)
    gradient, _ = _dimensionless(flux, 1.0, transport, flux)
    return 1 - gradient[..., None] * (1 - _like(POSITIONS, flux))


def _dimensionless(
    flux: Tensor | float, duration: Tensor | float, transport: Transport, like: Tensor
) -> tuple[Tensor, Tensor]:
    """(1 − t₊) J δ/(D c0) and D t/δ²."""
    thickness, diffusivity = _like(transport.layer_thickness, like), _like(transport.diffusivity, like)
    supplied = diffusivity * _like(transport.concentration, like) / thickness
    gradient = (1 - _like(transport.transference_number, like)) * _like(flux, like) / supplied
    return gradient, _like(duration, like) * diffusivity / thickness**2


def _amplitudes(concentration: Tensor, gradient: Tensor) -> Tensor:
    """m (..., mode): what decays, relative to the steady profile."""
    return (concentration - 1) @ _like(FORTH.T, concentration) + gradient[..., None] * _like(DROP, concentration)


def advance(concentration: Tensor, flux: Tensor | float, duration: float, transport: Transport, valence: int) -> Tensor:
    """The profile after a while at a constant flux: exact in time, so a step may be as long as its flux is constant.

    Differentiable in the profile, the flux and the tensors of `transport`.

    Args:
        concentration: c̃ (..., node) at the start; entry 0 is the concentration at the box top.
        flux: of cations into the box [mol/(m² s)], positive when plating, broadcast to (...,).
        duration: [s].
        transport: those with tensors broadcast to (...,).
        valence: z, for the message of the error.

    Returns:
        c̃ (..., node) at the end. Σ c0 c̃ `node_widths` has changed, to round-off, by what came in from the bulk less
        (1 − t₊) flux · duration.

    Raises:
        InputError: a profile of another length, values that are not finite or a duration that is not positive.
        DepletionError: the concentration at the box top reaches zero within the step.
    """
    if concentration.ndim < 1 or concentration.shape[-1] != NODES:
        raise InputError(f"concentration must have dimensions (..., {NODES}), got shape {tuple(concentration.shape)}")
    if not (isinstance(duration, int | float) and math.isfinite(duration) and duration > 0):
        raise InputError(f"duration must be a positive number of seconds, got {duration!r}")
    flux = _like(flux, concentration)
    if not bool(torch.isfinite(flux).all() & torch.isfinite(concentration).all()):
        raise InputError("concentration and flux must be finite: interpolate gaps of the recording first")
    depleted = depletion_time(concentration, flux, duration, transport)
    if bool((depleted < math.inf).any()):
        raise depletion_error(depleted, flux, duration, transport, valence)
    gradient, tau = _dimensionless(flux, duration, transport, concentration)
    decay = torch.expm1(-_like(RATES, concentration) * tau[..., None])
    return concentration + (decay * _amplitudes(concentration, gradient)) @ _like(BACK.T, concentration)


@torch.no_grad()
def depletion_time(concentration: Tensor, flux: Tensor | float, duration: float, transport: Transport) -> Tensor:
    """Time into a step at which the box top runs out of cations [s] (...,), infinite if it does not; args of `advance`.

    The zero is looked for at 33 times, dense towards the start, then bisected: what can be missed is a dip below zero
    that is over again in less than a third of the time at which it happened.
    """
    gradient, tau = _dimensionless(flux, duration, transport, concentration)
    batch = torch.broadcast_shapes(gradient.shape, tau.shape, concentration.shape[:-1])
    gradient, tau, profile = gradient.expand(batch), tau.expand(batch), concentration.expand(*batch, NODES)
    found = torch.full(batch, math.inf, dtype=concentration.dtype, device=concentration.device)
    # 2 sqrt(τ/π) is Sand's drop: most steps end far from depletion
    near = profile.amin(-1).clamp(max=1) <= gradient.clamp(min=0) * (1.2 * tau.sqrt()).clamp(max=1)
    if not bool(near.any()):
        return found
    amplitudes = _amplitudes(profile[near], gradient[near]) * _like(BACK[0], concentration)
    rates, start = -_like(RATES, concentration) * tau[near][:, None], profile[near][:, 0]

    def top(fraction: Tensor) -> Tensor:  # of the step (particle, time)
        return start[:, None] + (torch.expm1(rates[:, None] * fraction[..., None]) * amplitudes[:, None]).sum(-1)

    samples = _like(np.append(0.0, DEPLETION_SAMPLES), concentration)
    empty = top(samples.expand(len(start), -1)) <= 0
    first = empty.int().argmax(-1)
    low, high = samples[(first - 1).clamp(min=0)], samples[first]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = top(middle[:, None])[:, 0] <= 0
        low, high = torch.where(below, low, middle), torch.where(below, middle, high)
    found[near] = torch.where(empty.any(-1), high * duration, math.inf)
    return found


def depletion_error(
    time: Tensor | float, flux: Tensor | float, duration: float, transport: Transport, valence: int
) -> DepletionError:
    """The error of a step (args of `advance`) with depletion at `time` [s] (...,): that of the first particle."""
    limit = torch.as_tensor(transport.limiting_current_density(valence), dtype=torch.float64)
    rows = torch.broadcast_tensors(
        *(torch.as_tensor(value, dtype=torch.float64).detach().cpu() for value in (time, flux, limit)),
        torch.as_tensor(transport.sand_time(1.0, valence), dtype=torch.float64).detach().cpu(),
    )
    times, fluxes, limits, sand = (row.flatten() for row in rows)
    worst = int(times.argmin())
    current = valence * FARADAY_CONSTANT * float(fluxes[worst])
    from_uniform = float(sand[worst]) / current**2 if current else math.inf
    depleted, particles = int((times < math.inf).sum()), len(times)
    affected = f" ({depleted} of {particles} particles)" if particles > 1 else ""
    return DepletionError(
        f"no cation is left at the surface {float(times[worst]):.4g} s into a step of {duration:g} s{affected}: its "
        f"current density is {current:.4g} A/m², the limiting current density {float(limits[worst]):.4g} A/m² and "
        f"Sand's time from a uniform electrolyte {from_uniform:.4g} s; lower the current density, or give Transport a "
        f"higher concentration, diffusivity or transference number, or a thinner layer",
        float(times[worst]),
    )


def potential_drop(
    concentration: Tensor, current_density: Tensor | float, transport: Transport, kinetic_voltage: float
) -> Tensor:
    """Potential of the electrolyte at the box top less that in the bulk [V] (...,): negative when plating.

    With a supporting electrolyte (t₊ = 0) the conductivity is even and this is the ohmic iδ/σ. In a binary electrolyte
    (t₊ > 0) of a symmetric salt (z₊ = −z₋, dilute) it follows the concentration, and diffusion adds its own potential,

        i/σ ∫dy/c̃ − (2t₊ − 1) RT/(zF) ln c̃(0)        (Newman and Thomas-Alyea, ch. 11)

    two terms of the same size: where σ is that of the same ions they add up to RT/(zF) ln c̃(0) in the steady state, at
    which the anion is in equilibrium. The electrode's own Nernst shift is left to the electrode kinetics.

    Args:
        concentration: c̃ (..., node), positive.
        current_density: [A/m²], negative when plating, broadcast to (...,).
        transport: those with tensors broadcast to (...,).
        kinetic_voltage: RT/(zF) [V].
    """
    current, share = _like(current_density, concentration), _like(transport.transference_number, concentration)
    resistance = _like(transport.layer_thickness, concentration) / _like(transport.conductivity, concentration)
    following = torch.cat([concentration[..., 1:], torch.ones_like(concentration[..., :1])], -1)
    rise = following / concentration - 1
    small = rise.abs() < 1e-6
    safe = torch.where(small, torch.ones_like(rise), rise)
    # exact where c̃ is linear between two nodes
    inverse = torch.where(small, 1 - rise / 2, torch.log1p(safe) / safe) / concentration
    binary = (inverse * _like(np.diff(POSITIONS, append=1.0), concentration)).sum(-1)
    diffusion = -(2 * share - 1) * kinetic_voltage * torch.log(concentration[..., 0])
    return torch.where(share > 0, current * resistance * binary + diffusion, current * resistance + 0 * diffusion)
