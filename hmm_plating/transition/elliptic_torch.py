"""The problem of `elliptic` in plain torch: the kernels' reference, the source of gradients, the path on a GPU.

The operator is symmetric, so the gradient of a solution needs one more solve with it: for u = A⁻¹b and λ = A⁻¹∂L/∂u,
∂L/∂b = λ and ∂L/∂A = −λuᵀ, of which only the entries of faces and of the diagonal are formed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import ConvergenceError, InputError
from hmm_plating.transition.kernels.conductances import LEAK

# As in `multigrid`, in the order of the first sweeps; the same polynomial after the coarse correction.
WEIGHTS = (0.5290611067, 0.8474576271, 2.1282972988)


class Stencil(NamedTuple):
    """A of one level: conductances to the right, upwards, into the depth, and s + d; each (..., z, y, x)."""

    right: Tensor
    up: Tensor
    deep: Tensor
    mass: Tensor

    def diagonal(self) -> Tensor:
        right, up, deep, mass = self
        return mass + right + right.roll(1, -1) + up + _raised(up) + deep + deep.roll(1, -3)


def elliptic_solve(
    mobility: Tensor,
    storage: Tensor | float,
    sink: Tensor,
    source: Tensor,
    top_value: Tensor | float,
    top_conductance: Tensor | None = None,
    start: Tensor | None = None,
    tolerance: float = 1e-10,
    most: int = 200,
) -> Tensor:
    """Solve (s + d) u − ∇·(a ∇u) = f in units of cells (`elliptic`), differentiably in all that is given but `start`.

    Args:
        mobility: a ≥ 0 (..., z, y, x), y the surface normal; sections have z = 1.
        storage: s ≥ 0, a number or (...,).
        sink: d ≥ 0 (..., z, y, x).
        source: f (..., z, y, x).
        top_value: u_top, a number or (...,).
        top_conductance: between the top row and u_top (..., z, x); by default 2a: half a cell.
        start: where to start from (..., z, y, x).
        tolerance: of the residual relative to |f + top_conductance u_top|, Euclidean norms per particle.
        most: iterations.

    Raises:
        InputError: shapes that do not match, values that are negative or not finite, or nothing that fixes the
            solution's level: no storage, no sink and no conductance at the top.
        ConvergenceError: the tolerance was not reached.
    """
    storage, top_value = (
        torch.as_tensor(value, dtype=mobility.dtype, device=mobility.device)[..., None, None]
        for value in (storage, top_value)
    )
    if top_conductance is None and mobility.ndim >= 3:
        top_conductance = 2 * (mobility[..., -1, :] + LEAK)
    _check(mobility, storage, sink, source, top_value, top_conductance, start)
    assert top_conductance is not None
    mass = storage[..., None] + sink
    if bool(((mass.flatten(-3).sum(-1) == 0) & (top_conductance.flatten(-2).sum(-1) == 0)).any()):
        raise InputError("storage, sink and top_conductance are all zero: the solution's level is not determined")
    arriving = torch.cat([source[..., :-1, :], (source[..., -1, :] + top_conductance * top_value)[..., None, :]], -2)
    return _Solution.apply(mobility, mass, arriving, top_conductance, start, tolerance, most)


def elliptic_apply(u: Tensor, mobility: Tensor, mass: Tensor, top_conductance: Tensor) -> Tensor:
    """A u = (s + d) u − ∇·(a ∇u) with the value above the top at zero; mass: s + d (..., z, y, x)."""
    return _image(u, _stencil(mobility, mass, top_conductance))


def _check(
    mobility: Tensor,
    storage: Tensor,
    sink: Tensor,
    source: Tensor,
    top_value: Tensor,
    top_conductance: Tensor | None,
    start: Tensor | None,
) -> None:
    shape = mobility.shape
    if mobility.ndim < 3 or mobility.numel() == 0:
        raise InputError(f"mobility must have dimensions (..., z, y, x), got shape {tuple(shape)}")
    top_shape = (*shape[:-2], shape[-1])
    for name, value, expected in (
        ("sink", sink, shape),
        ("source", source, shape),
        ("start", start, shape),
        ("top_conductance", top_conductance, top_shape),
    ):
        if value is not None and tuple(value.shape) != tuple(expected):
            raise InputError(f"{name} must have the shape {tuple(expected)}, got {tuple(value.shape)}")
    for name, value in (("storage", storage[..., 0, 0]), ("top_value", top_value[..., 0, 0])):
        if value.ndim and value.shape != shape[:-3]:
            raise InputError(f"{name} must be a number or have the shape {tuple(shape[:-3])}, got {tuple(value.shape)}")
    for name, value, signed in (
        ("mobility", mobility, False),
        ("storage", storage, False),
        ("sink", sink, False),
        ("top_conductance", top_conductance, False),
        ("source", source, True),
        ("top_value", top_value, True),
        ("start", start, True),
    ):
        if value is not None and not bool((torch.isfinite(value) & ((value >= 0) | signed)).all()):
            raise InputError(f"{name} must be finite" + ("" if signed else " and not negative"))


class _Solution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        mobility: Tensor,
        mass: Tensor,
        arriving: Tensor,
        top_conductance: Tensor,
        start: Tensor | None,
        tolerance: float,
        most: int,
    ) -> Tensor:
        u = _solve(_stencil(mobility, mass, top_conductance), arriving, start, tolerance, most)
        ctx.save_for_backward(mobility, mass, top_conductance, u)
        ctx.settings = tolerance, most
        return u

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mobility, mass, top_conductance, u = ctx.saved_tensors
        adjoint = _Solution.apply(mobility, mass, gradients[0], top_conductance, None, *ctx.settings)
        to_mobility = torch.zeros_like(u)
        for axis in (-1, -3):
            if u.shape[axis] > 1:
                face = 0.5 * (u.roll(-1, axis) - u) * (adjoint.roll(-1, axis) - adjoint)
                to_mobility = to_mobility - face - face.roll(1, axis)
        face = 0.5 * u.diff(dim=-2) * adjoint.diff(dim=-2)
        edge = torch.zeros_like(u[..., :1, :])
        to_mobility = to_mobility - torch.cat([face, edge], -2) - torch.cat([edge, face], -2)
        to_top = -(adjoint * u)[..., -1, :]
        return to_mobility, -adjoint * u, adjoint, to_top, None, None, None


def _raised(field: Tensor) -> Tensor:
    """What the row below holds, and zero in the lowest."""
    return torch.cat([torch.zeros_like(field[..., :1, :]), field[..., :-1, :]], -2)


def _stencil(mobility: Tensor, mass: Tensor, top_conductance: Tensor) -> Stencil:
    right, deep = (
        0.5 * (mobility + mobility.roll(-1, axis)) + LEAK if mobility.shape[axis] > 1 else torch.zeros_like(mobility)
        for axis in (-1, -3)
    )
    inner = 0.5 * (mobility[..., :-1, :] + mobility[..., 1:, :]) + LEAK
    return Stencil(right, torch.cat([inner, top_conductance[..., None, :]], -2), deep, mass)


def _image(u: Tensor, a: Stencil) -> Tensor:
    flux_x, flux_z = a.right * (u.roll(-1, -1) - u), a.deep * (u.roll(-1, -3) - u)
    flux_y = a.up * (torch.cat([u[..., 1:, :], torch.zeros_like(u[..., :1, :])], -2) - u)
    arrives = flux_x - flux_x.roll(1, -1) + flux_z - flux_z.roll(1, -3) + flux_y - _raised(flux_y)
    return a.mass * u - arrives


def _even(field: Tensor, axis: int) -> Tensor:
    odd = field.shape[axis] % 2
    return torch.cat([field, torch.zeros_like(field.narrow(axis, 0, 1))], axis) if odd else field


def _joined(field: Tensor, *axes: int) -> Tensor:
    """Sums of pairs of neighbours along some axes; a last one without a partner stays."""
    for axis in axes:
        whole = _even(field, axis)
        field = whole.unflatten(axis, (whole.shape[axis] // 2, 2)).sum(axis)
    return field


def _coarse_faces(conductance: Tensor, axis: int, others: tuple[int, int]) -> Tensor:
    """Conductances between pairs: of their common faces, over the distance between their centres."""
    count = conductance.shape[axis]
    pairs = (count + 1) // 2
    kept = conductance.index_select(
        axis, torch.arange(pairs, device=conductance.device).mul(2).add(1).clamp(max=count - 1)
    )
    if pairs == 1:
        return torch.zeros_like(_joined(kept, *others))
    distance = torch.full((pairs,), 2.0, dtype=conductance.dtype, device=conductance.device)
    if count % 2:
        distance[-2:] = 1.5
    return _joined(kept, *others) / distance.reshape((-1,) + (1,) * (-axis - 1))


def _coarse(a: Stencil) -> Stencil:
    rows = a.up.shape[-2]
    top = a.up[..., -1:, :]
    if rows % 2 == 0:
        # from the centre to the given value: half the face between the joined cells in series with the top's
        inner = a.up[..., -2:-1, :]
        top = top * (inner / (inner + 0.5 * top).clamp(min=torch.finfo(top.dtype).tiny)).clamp(min=0.5)
    up = _joined(top, -1, -3)
    if rows > 2:
        up = torch.cat([_coarse_faces(a.up, -2, (-1, -3))[..., :-1, :], up], -2)
    return Stencil(
        _coarse_faces(a.right, -1, (-2, -3)), up, _coarse_faces(a.deep, -3, (-2, -1)), _joined(a.mass, -1, -2, -3)
    )


def _hierarchy(a: Stencil) -> list[tuple[Stencil, Tensor]]:
    """Stencil and inverse diagonal of each level, down to a single cell."""
    levels = []
    while True:
        diagonal = a.diagonal()
        smallest = torch.finfo(diagonal.dtype).tiny
        levels.append((a, torch.where(diagonal > 0, 1 / diagonal.clamp(min=smallest), torch.zeros_like(diagonal))))
        if max(a.mass.shape[-3:]) == 1:
            return levels
        a = _coarse(a)


def _cycle(levels: list[tuple[Stencil, Tensor]], source: Tensor) -> Tensor:
    (a, inverse), coarser = levels[0], levels[1:]
    if not coarser:
        return inverse * source
    u = WEIGHTS[0] * inverse * source
    for weight in WEIGHTS[1:]:
        u = u + weight * inverse * (source - _image(u, a))
    correction = _cycle(coarser, _joined(source - _image(u, a), -1, -2, -3))
    for axis in (-1, -2, -3):
        correction = correction.repeat_interleave(2, axis).narrow(axis, 0, u.shape[axis])
    u = u + correction
    for weight in reversed(WEIGHTS):
        u = u + weight * inverse * (source - _image(u, a))
    return u


def _solve(a: Stencil, source: Tensor, start: Tensor | None, tolerance: float, most: int) -> Tensor:
    """Conjugate gradients for a batch; a particle that has converged waits for the others."""

    def inner(p: Tensor, q: Tensor) -> Tensor:
        return (p * q).sum((-3, -2, -1), keepdim=True)

    levels = _hierarchy(a)
    u = torch.zeros_like(source) if start is None else start.detach().clone()
    goal = tolerance * inner(source, source).sqrt()
    residual = source - _image(u, a)
    direction, previous = torch.zeros_like(u), torch.ones_like(goal)
    for iteration in range(most + 1):
        running = inner(residual, residual).sqrt() > goal
        if not bool(running.any()):
            residual = source - _image(u, a)  # the recursion drifts from it
            running = inner(residual, residual).sqrt() > goal
            if not bool(running.any()):
                return u
        if iteration == most:
            break
        correction = _cycle(levels, residual)
        power = inner(residual, correction)
        direction = correction + power / previous * direction
        image = _image(direction, a)
        curvature = inner(direction, image)
        step = torch.where(running, power / torch.where(curvature > 0, curvature, torch.ones_like(curvature)), 0.0)
        u, residual = u + step * direction, residual - step * image
        previous = torch.where(power > 0, power, torch.ones_like(power))
    relative = float((inner(residual, residual).sqrt() / goal).nan_to_num(torch.inf).max()) * tolerance
    raise ConvergenceError(f"no convergence: residual {relative:.1e} after {most} iterations, wanted {tolerance:.1e}")
