"""The recurrence of `kernels.lanczos` in plain torch, for a batch of pairs of surface and overtone at once.

Formulas, scaling and stopping rule are those of the kernel; each pair has its own complex scalars, in double precision
whatever that of the fields. Pairs that have converged leave the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.emission.kernels import CRUDE, FAR, GAINED, LONGER, LOST, ROUNDING, ROUNDING_SINGLE
from hmm_plating.emission.operator import Operator, bilinear, collide, stream

_STEPS_PER_CHECK = 8  # on a GPU, which waits for the answer


class Correction(NamedTuple):
    """What the recurrence finds, for every pair.

    Attributes:
        load: lattice units, summed over the area, complex128 (pair,).
        field: A⁻¹ r₀ / unit, complex (pair, population, [z,] y, x); without pairs if not wanted.
        applications: of the operator, int64 (pair,); pairs go on until the next check.
        error: estimated, float64 (pair,).
        converged: bool (pair,).
        broken: whether to start again from the field, as `kernels.BREAKDOWN`, bool (pair,).
    """

    load: Tensor
    field: Tensor
    applications: Tensor
    error: Tensor
    converged: Tensor
    broken: Tensor


class _State(NamedTuple):
    """After k steps: fields v_{k+1}, v_k, P C v_{k+1}, p_k and x_k, scalars of the pairs, and the loads so far.

    `square` is Σ|Re v|²; `former_share` and `lost` as in the kernel; `sound` is the number of steps before it broke
    down, very large where it has not.
    """

    pair: Tensor
    v: Tensor
    previous: Tensor
    leaving: Tensor
    direction: Tensor
    field: Tensor
    norm: Tensor
    former_norm: Tensor
    first_norm: Tensor
    former_scale: Tensor
    former_rho: Tensor
    eta: Tensor
    pivot: Tensor
    amplitude: Tensor
    square: Tensor
    former_share: Tensor
    lost: Tensor
    sound: Tensor
    history: Tensor


def _start(system: Operator, residual: Tensor, unit: Tensor, load: Tensor, keep_field: bool) -> _State:
    leaving = collide(system, residual)
    norm = bilinear(system, residual, leaving)
    one = torch.ones_like(norm)
    kept = torch.zeros_like(residual) if keep_field else residual.new_empty(len(residual), 0)
    return _State(
        torch.arange(len(residual), device=residual.device),
        residual,
        torch.zeros_like(residual),
        leaving,
        torch.zeros_like(kept),
        kept,
        norm,
        one,
        _unless_zero(norm).abs(),
        one.real,
        one,
        one,
        one,
        unit**2 / 3,
        one.real,
        one.real,
        torch.zeros_like(one.real),
        torch.full(one.shape, torch.iinfo(torch.int64).max // 4, device=one.device),
        load[:, None].expand(-1, 64).clone(),
    )


def _unless_zero(norm: Tensor) -> Tensor:
    """As a divisor: what was solved exactly has v = 0 and stays as it is."""
    return torch.where(norm == 0, 1, norm)


def _step(system: Operator, state: _State, step: int) -> _State:
    """One more application of the operator, in the memory of the fields of the state."""
    cells = (..., *(None,) * (system.dimensions + 1))
    v, previous, dtype = state.v, state.previous, state.v.dtype
    divisor = _unless_zero(state.norm)
    scale = (state.first_norm / divisor.abs()).sqrt()  # keeps single precision from under- and overflow
    ratio = state.norm / state.former_norm * (scale / state.former_scale)
    beta = ratio if step > 1 else torch.zeros_like(ratio)
    change = stream(system, state.leaving).sub_(v)
    previous.mul_(-beta.to(dtype)[cells]).addcmul_(change, -scale.to(dtype)[cells])
    alpha = bilinear(system, previous, state.leaving) / divisor
    pivot = (alpha - beta / (state.former_scale * state.pivot)) / scale
    pivot = torch.where(state.norm == 0, 1, pivot)
    rho = state.eta**2 * state.norm
    state.history[:, step] = state.history[:, step - 1] + state.amplitude * rho / pivot
    if state.field.numel():
        state.direction.mul_((rho / state.former_rho).to(dtype)[cells]).addcmul_(v, state.eta.to(dtype)[cells])
        state.field.addcmul_(state.direction, (1 / pivot).to(dtype)[cells])
    previous.addcmul_(v, -alpha.to(dtype)[cells])
    leaving = collide(system, previous)
    norm, square = bilinear(system, previous, leaving), previous.real.square().flatten(1).sum(1)
    share = torch.where(square > 0, norm.abs() / square, 1.0)
    rounding = ROUNDING if dtype == torch.complex128 else ROUNDING_SINGLE
    inaccuracy = (rounding / (share * state.former_share) ** 2).clamp(max=1)
    added = (state.history[:, max(step - 2, 0) : step + 1].diff()).abs().amax(1)  # by this step or the one before
    return state._replace(
        v=previous,
        previous=v,
        leaving=leaving,
        norm=norm,
        square=square,
        former_share=share.clamp(max=1),
        lost=state.lost.maximum(inaccuracy * added),
        sound=torch.where(inaccuracy > LOST, state.sound.clamp(max=step), state.sound),
        former_norm=divisor,
        former_scale=scale,
        former_rho=_unless_zero(rho),
        eta=-state.eta / (scale * pivot),
        pivot=pivot,
    )


def _estimate(history: Tensor, step: int) -> Tensor:
    """Largest distance of the last load from those of the steps before, a window that grows with them (pair,)."""
    window = max(8 + step // 4, 4 + step // 3)
    if step < window:
        return torch.full_like(history[:, 0].real, torch.inf)
    return (history[:, step - window : step] - history[:, step, None]).abs().amax(1)


def correct_load(
    system: Operator,
    residual: Tensor,
    unit: Tensor,
    load: Tensor,
    reference: Tensor,
    relative: float,
    absolute: Tensor,
    most: Tensor,
    before: Tensor,
    keep_field: bool,
) -> Correction:
    """Loads Z₀ + ⅓ ⟨r₀, A⁻¹ r₀⟩ of a batch of pairs.

    Args:
        system: of the pairs, in the precision to compute in.
        residual: r₀ / unit, complex (pair, population, [z,] y, x), overwritten.
        unit, load: of each pair, Z₀ the latter, (pair,).
        reference: loads from which the excess is counted for the relative tolerance, complex (pair,).
        relative, absolute: accepted error of the load, relative to its excess, and in lattice units (pair,).
        most: upper limit of operator applications, int64 (pair,).
        before: applications so far, as in the kernel, int64 (pair,).
        keep_field: whether A⁻¹ r₀ is wanted; the load does not need it.
    """
    floor = 1e-14 if residual.dtype == torch.complex128 else 1e-6  # of the correction, what rounding leaves
    every = _STEPS_PER_CHECK if residual.is_cuda else 1
    found = Correction(
        load.clone(),
        torch.zeros_like(residual if keep_field else residual[:0]),
        torch.zeros_like(most),
        torch.full_like(unit, torch.inf),
        torch.zeros_like(most, dtype=torch.bool),
        torch.zeros_like(most, dtype=torch.bool),
    )
    state, step, last = _start(system, residual, unit, load, keep_field), 0, int(most.min()) - 1
    while len(state.pair):
        step += 1
        if step == state.history.shape[1]:
            state = state._replace(history=torch.cat([state.history, torch.empty_like(state.history)], 1))
        state = _step(system, state, step)
        if step % every and step < last:
            continue
        pair, now, estimate = state.pair, state.history[:, step], _estimate(state.history, step)
        least = torch.maximum(floor * (now - load[pair]).abs(), 1e-14 * now.abs())
        wanted = torch.maximum(absolute[pair], relative * (now - reference[pair]).abs())
        wanted = torch.maximum(wanted, least)
        unsound = step > state.sound
        left = torch.where(unsound, (now - load[pair]).abs(), state.lost)
        near = state.amplitude.abs() * state.eta.abs() ** 2 * state.square <= FAR * wanted
        rests = (estimate <= wanted) & near
        converged = rests & (left <= wanted)
        longest = 2 * state.sound + before[pair].clamp(min=LONGER)
        crude = estimate <= torch.minimum(CRUDE * (now - reference[pair]).abs(), GAINED * (now - load[pair]).abs())
        broken = (rests | (unsound & (crude | (step >= longest) | (not keep_field)))) & ~converged
        finished = converged | broken | ~now.isfinite() | (step + 1 >= most[pair])  # not finite where a pivot was zero
        if not bool(finished.any()):
            continue
        ended = pair[finished]
        for result, value in (
            (found.load, now),
            (found.applications, torch.full_like(pair, step + 1)),
            (found.error, estimate),
            (found.converged, converged),
            (found.broken, broken),
            *([(found.field, state.field)] if keep_field else []),
        ):
            result[ended] = value[finished]
        going = (~finished).nonzero()[:, 0]
        state, system = _State(*(part[going] for part in state)), system.take(going)
        last = int(most[state.pair].min()) - 1 if len(going) else 0
    return found
